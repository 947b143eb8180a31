//! The training thread: drains commands at step boundaries, drives the trainer, publishes events.
//!
//! - here: the thread itself, idle between runs; a panic ends the run, not the thread.
//! - `start`: from a config and a folder to a run that is ready to train.
//! - `origin`: what a run begins from: nothing, a checkpoint of its own, another run. `replay`: a run that repeats another.
//! - `session`: one run, step by step. `requests`: the commands it obeys. `sampling`: text token by token.
//! - `saving`: when it is saved. `publishing`: what is told of it, in its log and as events.
//! - `edit`: changes while it goes on. `rewind`: back to a checkpoint. `spike`: when a loss has gone wrong.
//! - `driver`: what is asked of a trainer. `trainer`: how [`crate::train::Trainer`] answers.
//! - `range_test`: a model that is trained with a rising rate and thrown away.
//! - `outbox`: the way out, which never waits. `saver`: checkpoints, written on a thread of their own.
//! - `memory`: whether a run fits into the machine. `machine`: one user of the cores at a time.
//!
//! A `Start` while a run is going on is refused: the new run fails with a sentence, the old one is not touched. One after a `Stop`
//! waits until the old run is put away.

mod driver;
mod edit;
mod machine;
mod memory;
mod origin;
mod outbox;
mod publishing;
mod range_test;
mod replay;
mod requests;
mod rewind;
mod sampling;
mod saver;
mod saving;
mod session;
mod spike;
mod start;
#[cfg(test)]
mod steering_tests;
#[cfg(test)]
mod tests;
mod trainer;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

pub(crate) use driver::{DriveError, Driver, DriverFactory, DriverSetup};
pub(crate) use machine::Machine;
pub(crate) use memory::available as available_memory;
pub(crate) use start::tokens_per_step;
pub(crate) use trainer::factory as trainer_factory;

use crate::control::{ControlError, Server};
use crate::protocol::{
    Command, CommandSender, Engine, EventKind, Notice, NoticeLevel, Phase, RunId, WeakCommandSender,
};
use crate::run::RunDir;
use outbox::Outbox;
use session::After;

/// What the training thread needs to know before its first command.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Where new runs go that are given no folder of their own.
    pub runs_root: PathBuf,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            runs_root: crate::run::runs_root(),
        }
    }
}

/// Starts the training thread, and a helper for previews, and hands over the two ends. When the command end is
/// dropped, the run is saved and the thread ends; the event end hangs up when it has.
///
/// # Errors
/// The system has no thread left to give.
pub fn spawn(options: WorkerOptions) -> std::io::Result<Engine> {
    spawn_until(options, None)
}

/// As [`spawn`]; the first run that is started pauses once this many steps are done, which it knows before its first step.
///
/// # Errors
/// As [`spawn`].
pub fn spawn_until(options: WorkerOptions, step: Option<u64>) -> std::io::Result<Engine> {
    spawn_first(options, trainer_factory(), step)
}

#[cfg(test)]
fn spawn_with(options: WorkerOptions, factory: DriverFactory) -> std::io::Result<Engine> {
    spawn_first(options, factory, None)
}

fn spawn_first(
    options: WorkerOptions,
    factory: DriverFactory,
    until: Option<u64>,
) -> std::io::Result<Engine> {
    log_panics_of_our_threads();
    let (sender, commands) = mpsc::channel();
    let (event_sender, events) = mpsc::sync_channel(outbox::CHANNEL_LENGTH);
    let stop = Arc::new(AtomicBool::new(false));
    let sender = CommandSender::new(sender, Arc::clone(&stop));
    let machine = Arc::new(Machine::default());
    let previews = crate::preview::spawn(
        event_sender.clone(),
        Arc::clone(&machine),
        Arc::clone(&factory),
    )?;
    let context = Context {
        commands,
        postponed: VecDeque::new(),
        stop,
        outbox: Outbox::new(event_sender),
        options,
        machine,
        factory,
        steering: sender.downgrade(),
        control: None,
        until,
    };
    std::thread::Builder::new()
        .name("fireside-train".to_string())
        .spawn({
            let previews = previews.clone();
            move || work(context, &previews)
        })?;
    Ok(Engine {
        commands: sender.with_previews(previews),
        events,
    })
}

/// What lives as long as the thread.
pub(crate) struct Context {
    pub commands: Receiver<Command>,
    /// Heard by a run that was ending already: they are for what comes after it, such as the start of another.
    pub postponed: VecDeque<Command>,
    pub stop: Arc<AtomicBool>,
    pub outbox: Outbox,
    pub options: WorkerOptions,
    pub machine: Arc<Machine>,
    pub factory: DriverFactory,
    /// For commands from other processes.
    pub steering: WeakCommandSender,
    /// Open while a run is trained.
    pub control: Option<Server>,
    /// Where the next run pauses.
    pub until: Option<u64>,
}

impl Context {
    /// Lets other processes watch and steer the run in `dir`. Where that cannot be, the run goes on without.
    pub fn open_control(&mut self, dir: &RunDir) {
        match Server::open(dir.path(), dir.logged(), self.steering.clone()) {
            Ok(server) => {
                self.outbox.set_tee(Some(server.tee()));
                self.control = Some(server);
            }
            // Nothing to be done about it, and nothing is missing that was there before.
            Err(error @ ControlError::Unsupported) => tracing::info!("{error}"),
            Err(error) => self.notice(
                NoticeLevel::Warning,
                format!("{error}; no other process can watch or steer this run"),
            ),
        }
    }

    /// Nobody can connect any more; who is connected hears the last words. To be called while the run is still locked.
    pub fn withdraw_control(&mut self) {
        if let Some(server) = &mut self.control {
            server.take_away();
        }
    }

    fn close_control(&mut self) {
        self.outbox.set_tee(None);
        self.control = None;
    }

    pub fn notice(&mut self, level: NoticeLevel, message: impl Into<String>) {
        let message = message.into();
        tracing::info!(?level, "{message}");
        self.outbox
            .emit(EventKind::Notice(Notice { level, message }));
    }

    /// The next command; waits up to `patience`, handing over events meanwhile. A front end that went away counts
    /// as a shutdown.
    pub fn next_command(&mut self, patience: Duration) -> Option<Command> {
        self.outbox.flush();
        if let Some(command) = self.postponed.pop_front() {
            return Some(command);
        }
        match self.commands.recv_timeout(patience) {
            Ok(command) => Some(command),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Command::Shutdown),
        }
    }

    /// A new run was asked for while one is going on.
    pub fn refuse_start(&mut self, run: RunId) {
        let message = "another run is training; stop it first".to_string();
        self.outbox.emit_for(run, EventKind::failed(message));
    }
}

fn work(mut context: Context, previews: &Sender<Command>) {
    // Nothing to train: wait long, unless events wait for the reader.
    loop {
        let patience = match context.outbox.is_empty() {
            true => Duration::from_secs(3600),
            false => Duration::from_millis(20),
        };
        match context.next_command(patience) {
            None => {}
            Some(Command::Shutdown) => break,
            Some(Command::Stop) => context.stop.store(false, Ordering::Relaxed),
            Some(Command::Start {
                run,
                config,
                origin,
            }) => {
                let work = |context: &mut Context| start::run(context, *config, origin);
                if with_the_machine(&mut context, run, "the run", work) == After::End {
                    break;
                }
            }
            Some(Command::FindRate { run, config, sweep }) => {
                let work = |context: &mut Context| range_test::run(context, *config, sweep);
                if with_the_machine(&mut context, run, "the range test", work) == After::End {
                    break;
                }
            }
            Some(Command::Preview { request, config }) => {
                // A sender without its own way for previews.
                let _ = previews.send(Command::Preview { request, config });
            }
            Some(_) => context.notice(NoticeLevel::Info, "nothing is training"),
        }
    }
    // The helper holds an event end too: the reader sees the end when both are gone.
    let _ = previews.send(Command::Shutdown);
    context.outbox.farewell();
}

/// Does `work`, which nothing else disturbs and whose panic ends it alone.
fn with_the_machine(
    context: &mut Context,
    run: RunId,
    what: &str,
    work: impl FnOnce(&mut Context) -> After,
) -> After {
    context.outbox.set_run(run);
    // Whatever it left half done, it dropped it; the context itself is whole between its calls.
    let result = catch_unwind(AssertUnwindSafe(|| {
        let machine = Arc::clone(&context.machine);
        let _in_use = machine.train();
        work(context)
    }));
    let after = result.unwrap_or_else(|panic| {
        let message = format!("{what} ended by a defect: {}", panic_text(&*panic));
        fail(context, message);
        After::Idle
    });
    context.close_control();
    crate::logging::follow_run(None);
    if after == After::Idle {
        context.outbox.emit(EventKind::Phase(Phase::Idle));
    }
    after
}

fn fail(context: &mut Context, message: String) {
    fail_for(context, message, &[]);
}

/// Ends a run that cannot be, because of one of these keys of its configuration.
fn fail_for(context: &mut Context, message: String, keys: &[&str]) {
    tracing::error!("{message}");
    context.outbox.emit(EventKind::Phase(Phase::Failed));
    let keys = keys.iter().map(|key| key.to_string()).collect();
    context.outbox.emit(EventKind::Failed { message, keys });
}

/// The words of a panic.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| text.to_string())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_string())
}

/// Whether a thread of this name works for the training thread. burn's device threads are called `DSU-…` and `DSD-…`.
fn is_ours(name: &str) -> bool {
    ["fireside-", "DSU-", "DSD-"]
        .into_iter()
        .any(|prefix| name.starts_with(prefix))
}

/// Panics of our own threads, and of those that compute for them, are caught and reported as events;
/// the usual message on stderr would land in the middle of the screen. They go to the log instead.
fn log_panics_of_our_threads() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let thread = std::thread::current();
            if thread.name().is_none_or(is_ours) {
                let trace = std::backtrace::Backtrace::force_capture();
                tracing::error!("panic: {info}\n{trace}");
            } else {
                usual(info);
            }
        }));
    });
}
