//! What can happen to the screens, and what they ask the event loop for.

use std::path::PathBuf;
use std::time::Duration;

use crossterm::event::Event as Input;

use super::{Attached, Found, Purpose, Unlinked};
use crate::config::{OwnConfigs, RunConfig};
use crate::control::RoleNow;
use crate::protocol::{Command, Event, RunId};
use crate::run::{History, Listing};
use crate::ui::Outcome;
use crate::ui::export::ChartExport;
use crate::ui::screens::runs::work::{RunsAnswer, RunsTask};

/// Everything that can happen.
#[derive(Debug)]
pub enum Message {
    /// A key, a click, a paste, a new size.
    Input(Input),
    /// The program came back from the shell (`fg`).
    Resumed,
    Engine(Event),
    /// The training thread is gone; no event will follow.
    EngineGone,
    RunsLoaded {
        runs: Result<Listing, String>,
        /// Seconds since 1970.
        now: u64,
    },
    /// What the screen of runs asked for was done.
    Runs(RunsAnswer),
    /// The configurations that the user keeps.
    ConfigsLoaded(OwnConfigs),
    /// The answer to [`Effect::KeepConfig`]: the name and what there is now; or why it was not written.
    ConfigKept(Result<(String, OwnConfigs), String>),
    RunOpened {
        dir: PathBuf,
        config: Result<Box<RunConfig>, String>,
    },
    /// The answer to [`Effect::GoBack`]: what is in force there, or why the run is where it was.
    WentBack {
        dir: PathBuf,
        config: Result<Box<RunConfig>, String>,
    },
    HistoryLoaded {
        run: RunId,
        history: Result<Box<History>, String>,
    },
    /// A chart was written: where, in words, or why not.
    ChartExported(Result<String, String>),
    /// The checkpoints of a run, newest first.
    CheckpointsLoaded {
        run: RunId,
        purpose: Purpose,
        found: Vec<Found>,
    },
    /// The answer to [`Effect::Attach`].
    Attached {
        run: RunId,
        attached: Result<Box<Attached>, String>,
    },
    /// Who steers a run that another process trains has changed.
    Role {
        run: RunId,
        role: RoleNow,
    },
    /// The connection to the process that trains a run has ended, not by this side.
    Unlinked {
        run: RunId,
        how: Unlinked,
    },
    /// A timer that was set by [`Effect::After`].
    Timer(Timer),
    /// A signal asked the program to end (SIGTERM, SIGINT).
    Terminate,
    /// The terminal is gone: its window was closed, a connection broke (SIGHUP).
    HangUp,
    /// A signal asked the program to stop (SIGTSTP).
    Suspend,
}

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// Ask for the preview with this number, if no newer one was asked for.
    Preview(u64),
    /// Take this notice from the screen.
    Notice(u64),
    /// This many keys were pressed: if it is still so many, none follows what was typed.
    Key(u64),
    /// The run did not pause in time: suspend all the same.
    Suspend,
    /// Whoever typed when a question came by itself has seen it.
    Seen,
    /// Read the runs folder again, if it is still shown.
    Runs,
}

/// What the loop has to do after a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    Send(Command),
    /// Read the runs folder off this thread.
    LoadRuns,
    /// Do this for the screen of runs off this thread.
    Runs(RunsTask),
    /// Read the configurations that the user keeps, off this thread.
    LoadConfigs,
    /// Write a configuration to a file of the user's, off this thread.
    KeepConfig {
        name: String,
        config: Box<RunConfig>,
    },
    /// Read what a run wrote so far off this thread.
    LoadHistory {
        run: RunId,
        dir: PathBuf,
    },
    /// Read off this thread which checkpoints a run has.
    LoadCheckpoints {
        run: RunId,
        dir: PathBuf,
        purpose: Purpose,
    },
    /// Take a run that nobody trains back to the checkpoint of this name, off this thread.
    GoBack {
        dir: PathBuf,
        checkpoint: String,
    },
    /// Read the config of a run that is to go on, off this thread.
    OpenRun {
        dir: PathBuf,
    },
    /// Read a run's log and write what a chart shows, off this thread.
    ExportChart(Box<ChartExport>),
    /// Connect to the process that trains the run in `dir`; until [`Effect::Detach`], commands for a run go there.
    Attach {
        run: RunId,
        dir: PathBuf,
    },
    /// Close that connection; the run goes on.
    Detach,
    /// Send back [`Message::Timer`] after this long.
    After(Duration, Timer),
    /// Clear the terminal before the next frame.
    Redraw,
    SetMouse(bool),
    /// Give the terminal back, say this, and stop the process.
    Suspend(String),
    Quit(Outcome),
}
