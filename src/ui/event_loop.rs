//! The loop: messages in, effects carried out, a frame when something changed.
//!
//! One thread reads the terminal, one passes on the events of the training thread, and short-lived ones read
//! files. A frame follows a key at once; anything else waits for the next of at most `frame_rate` frames a
//! second.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossterm::event::Event as Input;

use crate::config::{self, OwnConfigs, RunConfig, Source};
use crate::protocol::{Command, CommandSender, Engine, Event};
use crate::run::{self, Back};

use super::app::{App, Effect, Found, Message, Setup, Timer};
use super::link;
use super::screens::runs::work::RunsDesk;
use super::terminal::TerminalGuard;
use super::theme::Environment;
use super::{Outcome, UiError, UiOptions};

/// Never sleep longer than this without a timer; nothing depends on it.
const IDLE: Duration = Duration::from_secs(3600);
/// At most this many messages are taken before the next frame, so that a flood cannot hold up a key.
const BURST: usize = 512;
/// How long a run may take to be saved after the screens broke down.
const LAST_SAVE: Duration = Duration::from_secs(60);

struct Loop {
    app: App,
    terminal: TerminalGuard,
    commands: CommandSender,
    sender: Sender<Message>,
    messages: Receiver<Message>,
    timers: Vec<(Instant, Timer)>,
    desk: Arc<RunsDesk>,
    /// To the process that trains the run on screen, where that is another one.
    link: Option<CommandSender>,
    frame_time: Duration,
    outcome: Option<Outcome>,
    /// The terminal is gone; the run is being saved without it.
    blind: bool,
}

pub(super) fn run(engine: Engine, options: UiOptions) -> Result<Outcome, UiError> {
    let Engine { commands, events } = engine;
    let (sender, messages) = mpsc::channel();
    let engine_end = pass_on_events(events, sender.clone())?;
    let last_words = commands.clone();
    // The loop is dropped inside, which gives the terminal back, however it ends.
    let ended = catch_unwind(AssertUnwindSafe(|| {
        Loop::start(commands, sender, messages, options)?.turn()
    }));
    let trouble = match ended {
        Ok(Ok(outcome)) => return Ok(outcome),
        Ok(Err(error)) => error,
        Err(panic) => UiError::Defect(words(&*panic)),
    };
    // Nothing is lost by screens that broke: the run is saved before the process ends.
    last_words.send(Command::Shutdown);
    let deadline = Instant::now() + LAST_SAVE;
    while !engine_end.is_finished() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    Err(trouble)
}

/// The words of a panic.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_string())
}

impl Loop {
    /// Takes the terminal over and draws the first frame.
    fn start(
        commands: CommandSender,
        sender: Sender<Message>,
        messages: Receiver<Message>,
        options: UiOptions,
    ) -> Result<Self, UiError> {
        let terminal = TerminalGuard::new(options.settings.mouse)?;
        let (width, height) = terminal.size()?;
        let frame_rate = options.settings.frame_rate.max(1);
        let (app, effects) = App::new(Setup {
            settings: options.settings,
            problems: options.problems,
            environment: Environment::read(),
            width,
            height,
            start: options.start,
            until: options.until,
            attach: options.attach,
        });
        let mut it = Self {
            app,
            terminal,
            commands,
            sender: sender.clone(),
            messages,
            timers: Vec::new(),
            desk: Arc::new(RunsDesk::new(options.runs_root)),
            link: None,
            frame_time: Duration::from_secs(1) / frame_rate,
            outcome: None,
            blind: false,
        };
        it.draw()?;
        read_terminal(sender.clone())?;
        #[cfg(unix)]
        watch_signals(sender)?;
        it.carry_out(effects)?;
        Ok(it)
    }

    fn turn(&mut self) -> Result<Outcome, UiError> {
        let mut changed = true;
        let mut last_frame = Instant::now();
        loop {
            let now = Instant::now();
            let next_frame = last_frame + self.frame_time;
            let mut wake = self
                .timers
                .iter()
                .map(|(at, _)| *at)
                .min()
                .unwrap_or(now + IDLE);
            if changed {
                wake = wake.min(next_frame);
            }
            let mut at_once = false;
            match self
                .messages
                .recv_timeout(wake.saturating_duration_since(now))
            {
                Ok(message) => {
                    at_once |= self.take(message)?;
                    changed = true;
                    for _ in 0..BURST {
                        let Ok(message) = self.messages.try_recv() else {
                            break;
                        };
                        at_once |= self.take(message)?;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                // The loop holds a sender itself, so this does not happen.
                Err(RecvTimeoutError::Disconnected) => return Ok(Outcome::Done),
            }
            changed |= self.fire_timers()?;
            if let Some(outcome) = self.outcome.take() {
                return Ok(outcome);
            }
            if changed && (at_once || Instant::now() >= next_frame) {
                self.draw()?;
                last_frame = Instant::now();
                changed = false;
            }
        }
    }

    /// True when the answer must be on screen at once.
    fn take(&mut self, message: Message) -> Result<bool, UiError> {
        #[cfg(debug_assertions)]
        panic_when_asked(&message);
        let at_once = matches!(
            message,
            Message::Input(Input::Key(_) | Input::Mouse(_) | Input::Paste(_) | Input::Resize(..))
                | Message::Resumed
        );
        let effects = self.app.update(message);
        self.carry_out(effects)?;
        Ok(at_once)
    }

    fn fire_timers(&mut self) -> Result<bool, UiError> {
        let now = Instant::now();
        let due: Vec<Timer> = self
            .timers
            .iter()
            .filter(|(at, _)| *at <= now)
            .map(|(_, t)| *t)
            .collect();
        self.timers.retain(|(at, _)| *at > now);
        let changed = !due.is_empty();
        for timer in due {
            let effects = self.app.update(Message::Timer(timer));
            self.carry_out(effects)?;
        }
        Ok(changed)
    }

    fn carry_out(&mut self, effects: Vec<Effect>) -> Result<(), UiError> {
        for effect in effects {
            match effect {
                Effect::Send(command) => {
                    // A thread, or a process, that is gone says so by closing its events.
                    match &self.link {
                        Some(link) if is_for_a_run(&command) => link.send(command),
                        _ => self.commands.send(command),
                    };
                }
                Effect::Attach { run, dir } => {
                    let (sender, commands) = mpsc::channel();
                    self.link = Some(CommandSender::new(sender, Arc::default()));
                    let screens = self.sender.clone();
                    thread::Builder::new()
                        .name("ui-link".into())
                        .spawn(move || link::follow(run, &dir, commands, &screens))?;
                }
                Effect::Detach => self.link = None,
                Effect::LoadRuns => {
                    let desk = self.desk.clone();
                    self.aside(move || Message::RunsLoaded {
                        runs: Ok(desk.list()),
                        now: run::now(),
                    })?;
                }
                Effect::Runs(task) => {
                    let desk = self.desk.clone();
                    self.aside(move || Message::Runs(desk.work(task)))?;
                }
                Effect::LoadConfigs => {
                    self.aside(|| {
                        Message::ConfigsLoaded(config::own_configs(&config::own_folders()))
                    })?;
                }
                Effect::KeepConfig { name, config } => {
                    self.aside(move || Message::ConfigKept(keep_config(&name, &config)))?;
                }
                Effect::LoadHistory { run, dir } => self.aside(move || Message::HistoryLoaded {
                    run,
                    history: run::read_history(&dir)
                        .map(Box::new)
                        .map_err(|e| e.to_string()),
                })?,
                Effect::LoadCheckpoints { run, dir, purpose } => {
                    self.aside(move || Message::CheckpointsLoaded {
                        run,
                        purpose,
                        found: read_checkpoints(&dir),
                    })?
                }
                Effect::GoBack { dir, checkpoint } => self.aside(move || Message::WentBack {
                    config: go_back(&dir, &checkpoint).map(Box::new),
                    dir,
                })?,
                Effect::OpenRun { dir } => self.aside(move || Message::RunOpened {
                    config: config::load(Source::File(dir.join("config.toml")), &[])
                        .map(Box::new)
                        .map_err(|e| e.to_string()),
                    dir,
                })?,
                Effect::ExportChart(export) => {
                    self.aside(move || Message::ChartExported(export.write()))?;
                }
                Effect::After(time, timer) => self.timers.push((Instant::now() + time, timer)),
                Effect::Redraw => self.terminal.clear()?,
                Effect::SetMouse(on) => self.terminal.set_mouse(on)?,
                Effect::Suspend(message) => {
                    #[cfg(unix)]
                    self.terminal.suspend(&message)?;
                    #[cfg(not(unix))]
                    let _ = message;
                    let (width, height) = self.terminal.size()?;
                    self.app
                        .update(Message::Input(Input::Resize(width, height)));
                    let effects = self.app.update(Message::Resumed);
                    self.carry_out(effects)?;
                }
                Effect::Quit(outcome) => self.outcome = Some(outcome),
            }
        }
        Ok(())
    }

    /// Runs `work` on a thread of its own; what it returns comes back as a message.
    fn aside(&self, work: impl FnOnce() -> Message + Send + 'static) -> io::Result<()> {
        let sender = self.sender.clone();
        thread::Builder::new()
            .name("ui-files".into())
            .spawn(move || {
                // The loop may have ended meanwhile.
                let _ = sender.send(work());
            })?;
        Ok(())
    }

    /// A terminal that went away ends the program as a signal does: after saving.
    fn draw(&mut self) -> Result<(), UiError> {
        if self.blind {
            return Ok(());
        }
        let app = &self.app;
        let drawn = self.terminal.draw(|area, buffer| app.render(area, buffer));
        if let Err(error) = drawn {
            tracing::error!("the terminal cannot be drawn on: {error}");
            self.blind = true;
            let effects = self.app.update(Message::HangUp);
            self.carry_out(effects)?;
        }
        Ok(())
    }
}

/// Writes a configuration into the user's folder; what there is after that.
fn keep_config(name: &str, config: &RunConfig) -> Result<(String, OwnConfigs), String> {
    let folders = config::own_folders();
    let folder = folders.last().ok_or("there is no folder for it")?;
    let path = config::save_own(folder, name, config)?;
    let own = config::own_configs(&folders);
    let kept = own.configs.iter().find(|own| own.path == path);
    let name = kept.map_or_else(|| path.display().to_string(), |own| own.name.clone());
    Ok((name, own))
}

/// Takes a run that nobody trains back to one of its checkpoints.
fn go_back(dir: &Path, checkpoint: &str) -> Result<RunConfig, String> {
    let entries = crate::run::checkpoint::entries(dir);
    let entry = entries.into_iter().find(|entry| entry.name() == checkpoint);
    let entry = entry.ok_or_else(|| format!("there is no checkpoint {checkpoint} any more"))?;
    Back::new(dir, entry)?.go()
}

fn read_checkpoints(dir: &std::path::Path) -> Vec<Found> {
    let found = |entry: run::checkpoint::CheckpointEntry| Found {
        config: config::load(Source::File(entry.path.join("config.toml")), &[])
            .ok()
            .map(Box::new),
        entry,
    };
    run::checkpoint::entries(dir)
        .into_iter()
        .map(found)
        .collect()
}

/// Whether a command steers the run on screen, wherever that is trained.
fn is_for_a_run(command: &Command) -> bool {
    !matches!(
        command,
        Command::Start { .. }
            | Command::Preview { .. }
            | Command::FindRate { .. }
            | Command::Shutdown
    )
}

/// Ends with the process: there is no way to wake a thread that reads a terminal.
fn read_terminal(sender: Sender<Message>) -> io::Result<()> {
    thread::Builder::new()
        .name("ui-terminal".into())
        .spawn(move || {
            loop {
                match crossterm::event::read() {
                    Ok(input) => {
                        if sender.send(Message::Input(input)).is_err() {
                            return;
                        }
                    }
                    Err(error) => {
                        tracing::error!("the terminal cannot be read: {error}");
                        let _ = sender.send(Message::HangUp);
                        return;
                    }
                }
            }
        })?;
    Ok(())
}

/// Ends when the training thread has. It reads to the end even where nobody listens any more.
fn pass_on_events(events: Receiver<Event>, sender: Sender<Message>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name("ui-events".into())
        .spawn(move || {
            for event in events {
                let _ = sender.send(Message::Engine(event));
            }
            let _ = sender.send(Message::EngineGone);
        })
}

/// For the test of what a defect leaves behind: in builds with debug assertions, F12 is one where the environment
/// says so.
#[cfg(debug_assertions)]
fn panic_when_asked(message: &Message) {
    if let Message::Input(Input::Key(key)) = message
        && key.code == crossterm::event::KeyCode::F(12)
        && std::env::var_os("FIRESIDE_TEST_PANIC").is_some()
    {
        panic!("FIRESIDE_TEST_PANIC is set and F12 was pressed");
    }
}

#[cfg(unix)]
fn watch_signals(sender: Sender<Message>) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGTSTP};
    let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGHUP, SIGINT, SIGTSTP])?;
    thread::Builder::new()
        .name("ui-signals".into())
        .spawn(move || {
            for signal in signals.forever() {
                let message = match signal {
                    SIGTSTP => Message::Suspend,
                    SIGHUP => Message::HangUp,
                    _ => Message::Terminate,
                };
                if sender.send(message).is_err() {
                    return;
                }
            }
        })?;
    Ok(())
}
