//! `fireside screenshots`: the real screens of a short real run, as SVG and PNG.
//!
//! A run is trained for some seconds by the training thread that the screens use, in a folder that is thrown away;
//! its events go through the same state, and the frames are drawn by the same code, as in a terminal.

use std::path::{Path, PathBuf};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use super::{CliError, Exit};
use crate::config::{self, RunConfig, Source};
use crate::protocol::{Command, Engine, EventKind, Origin, StepTime};
use crate::ui::app::{App, Effect, Message, Setup};
use crate::ui::picture::{Picture, pictures, png};
use crate::worker;

/// Draw the screens of a short real run as SVG and PNG
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder to write into
    #[arg(long, value_name = "DIR", default_value = "screenshots")]
    pub out: PathBuf,

    /// How long to train before the pictures are taken
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub seconds: u64,

    /// A preset or a config file
    #[arg(long, value_name = "CONFIG", default_value = "gpt")]
    pub config: String,

    /// Change one key of the config, as in `train`
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
}

/// Pixels of the PNG to a unit of the SVG; fewer for a wide screen, to keep the file small.
fn scale(picture: &Picture) -> f32 {
    if picture.columns > 150 { 1.2 } else { 1.5 }
}

/// So long without any event, and something is wrong.
const SILENCE: Duration = Duration::from_secs(600);

pub fn run(args: Args) -> Result<Exit, CliError> {
    let source = Source::from_argument(&args.config);
    let config = config::load(source, &args.sets).map_err(CliError::usage)?;
    std::fs::create_dir_all(&args.out)
        .map_err(|error| CliError::failed(format!("{}: {error}", args.out.display())))?;
    let folder = Scratch::new()?;
    let engine = worker::spawn(worker::WorkerOptions {
        runs_root: folder.0.clone(),
    })
    .map_err(|error| CliError::failed(format!("the training thread could not start: {error}")))?;
    let taken = take(&engine, config, &args);
    end(&engine);
    for picture in taken? {
        write(&args.out, &picture)?;
    }
    Ok(Exit::Success)
}

fn take(engine: &Engine, config: RunConfig, args: &Args) -> Result<Vec<Picture>, CliError> {
    let mut home = Stage::open(engine, None)?;
    home.play("the preview", |seen| match seen {
        // The first tells what is known at once; the picture has the time of a step too.
        EventKind::Previewed { preview, .. } => match preview {
            Ok(preview) if preview.step_time == StepTime::Measuring => None,
            preview => Some(preview.clone().map(|_| ())),
        },
        _ => None,
    })?;
    eprintln!("training {} for {} s", args.config, args.seconds);
    let mut train = Stage::open(engine, Some((config, Origin::New { dir: None })))?;
    let time = Duration::from_secs(args.seconds);
    let mut deadline = None;
    train.play("training", |seen| match seen {
        EventKind::Failed { message, .. } => Some(Err(message.clone())),
        EventKind::Finished(_) => Some(Ok(())),
        // Reading and tokenising do not count.
        EventKind::Started(_) => {
            deadline = Some(Instant::now() + time);
            None
        }
        // Between a step and its evaluation is no moment for a picture.
        EventKind::Steps(_) => deadline.filter(|at| Instant::now() >= *at).map(|_| Ok(())),
        _ => None,
    })?;
    Ok(pictures(&mut home.app, &mut train.app))
}

/// The application, with the training thread behind it and nobody in front of it.
struct Stage<'a> {
    app: App,
    engine: &'a Engine,
}

impl<'a> Stage<'a> {
    fn open(engine: &'a Engine, start: Option<(RunConfig, Origin)>) -> Result<Self, CliError> {
        let (app, effects) = App::new(Setup {
            start,
            ..Setup::default()
        });
        let mut stage = Stage { app, engine };
        stage.carry_out(effects)?;
        Ok(stage)
    }

    /// Commands are sent, timers are due at once (so that no notice lies over the picture).
    fn carry_out(&mut self, effects: Vec<Effect>) -> Result<(), CliError> {
        for effect in effects {
            match effect {
                Effect::Send(command) => {
                    let heard = self.engine.commands.send(command);
                    heard.then_some(()).ok_or_else(gone)?;
                }
                Effect::After(_, timer) => {
                    let effects = self.app.update(Message::Timer(timer));
                    self.carry_out(effects)?;
                }
                // No terminal, and no other runs in the folder.
                _ => {}
            }
        }
        Ok(())
    }

    /// Passes on events until `end` says that it is enough, or what went wrong.
    fn play(
        &mut self,
        what: &str,
        mut end: impl FnMut(&EventKind) -> Option<Result<(), String>>,
    ) -> Result<(), CliError> {
        loop {
            let event = match self.engine.events.recv_timeout(SILENCE) {
                Ok(event) => event,
                Err(RecvTimeoutError::Timeout) => {
                    let text = format!("{what}: nothing happened for ten minutes");
                    return Err(CliError::failed(text));
                }
                Err(RecvTimeoutError::Disconnected) => return Err(gone()),
            };
            let ended = end(&event.kind);
            let effects = self.app.update(Message::Engine(event));
            self.carry_out(effects)?;
            if let Some(result) = ended {
                return result.map_err(CliError::failed);
            }
        }
    }
}

fn gone() -> CliError {
    CliError::failed("the training thread ended by itself")
}

/// Ends the training thread and waits for it, so that nothing writes into the folder any more.
fn end(engine: &Engine) {
    engine.commands.send(Command::Shutdown);
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        match engine.events.recv_timeout(Duration::from_secs(1)) {
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Writes `name.svg` and `name.png`.
fn write(out: &Path, picture: &Picture) -> Result<(), CliError> {
    let pixels = png(&picture.svg, scale(picture)).map_err(CliError::failed)?;
    for (kind, bytes) in [("svg", picture.svg.as_bytes()), ("png", &pixels)] {
        let path = out.join(format!("{}.{kind}", picture.name));
        std::fs::write(&path, bytes)
            .map_err(|error| CliError::failed(format!("{}: {error}", path.display())))?;
        eprintln!("{}", path.display());
    }
    Ok(())
}

/// A folder that is removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, CliError> {
        let path =
            std::env::temp_dir().join(format!("fireside-screenshots-{}", std::process::id()));
        std::fs::create_dir_all(&path)
            .map_err(|error| CliError::failed(format!("{}: {error}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed lies in the system's own temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
