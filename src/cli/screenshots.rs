//! `fireside screenshots`: the real screens of a short real run, as SVG and PNG.
//!
//! A run is trained for some seconds by the training thread that the screens use, in a folder that is thrown away;
//! its events go through the same state, and the frames are drawn by the same code, as in a terminal.

use std::path::{Path, PathBuf};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use super::{CliError, Exit};
use crate::config::{self, RunConfig, Source};
use crate::protocol::{Command, Engine, EventKind, Origin};
use crate::ui::picture::{Picture, pictures, png};
use crate::ui::screens::train::TrainScreen;
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

/// Pixels of the PNG to a unit of the SVG.
const SCALE: f32 = 1.5;

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
    eprintln!("training {} for {} s", args.config, args.seconds);
    let screen = train(&engine, config, Duration::from_secs(args.seconds));
    end(&engine);
    let screen = screen?;
    for picture in pictures(&screen) {
        write(&args.out, &picture)?;
    }
    Ok(Exit::Success)
}

/// Trains for `time`, or until the run ends, and gives back the dashboard as it then stands.
fn train(engine: &Engine, config: RunConfig, time: Duration) -> Result<TrainScreen, CliError> {
    const RUN: u64 = 1;
    let gone = || CliError::failed("the training thread ended by itself");
    let mut screen = TrainScreen::new(RUN, config.clone());
    let start = Command::Start {
        run: RUN,
        config: Box::new(config),
        origin: Origin::New { dir: None },
    };
    if !engine.commands.send(start) {
        return Err(gone());
    }
    let mut deadline = None;
    loop {
        let wait = match deadline {
            None => Duration::from_secs(600),
            Some(deadline) => match Instant::checked_duration_since(&deadline, Instant::now()) {
                Some(rest) => rest,
                None => return Ok(screen),
            },
        };
        match engine.events.recv_timeout(wait) {
            Ok(event) => {
                if let EventKind::Failed { message } = &event.kind {
                    return Err(CliError::failed(message));
                }
                // Reading and tokenising do not count.
                if matches!(event.kind, EventKind::Started(_)) {
                    deadline = Some(Instant::now() + time);
                }
                let ended = matches!(event.kind, EventKind::Finished(_));
                screen.on_event(event.kind);
                if ended {
                    return Ok(screen);
                }
            }
            Err(RecvTimeoutError::Timeout) if deadline.is_some() => return Ok(screen),
            Err(RecvTimeoutError::Timeout) => {
                return Err(CliError::failed("nothing happened for ten minutes"));
            }
            Err(RecvTimeoutError::Disconnected) => return Err(gone()),
        }
    }
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
    let pixels = png(&picture.svg, SCALE).map_err(CliError::failed)?;
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
