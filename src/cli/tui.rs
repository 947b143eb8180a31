//! `fireside` without arguments: the screens.

use std::io::IsTerminal;

use super::{CliError, Exit};
use crate::protocol::Engine;
use crate::run;
use crate::ui::{self, Outcome, UiOptions};
use crate::worker::{self, WorkerOptions};

/// Open the screens
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: Args) -> Result<Exit, CliError> {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(CliError::usage(
            "the screens need a terminal, and standard input or output is none; train without screens by \
             `fireside train CONFIG --headless` (or --json), or see `fireside --help`",
        ));
    }
    let root = run::runs_root();
    let engine = worker::spawn(WorkerOptions {
        runs_root: root.clone(),
    })
    .map_err(|error| CliError::failed(format!("no thread to train with: {error}")))?;
    show(
        engine,
        UiOptions {
            runs_root: root,
            ..UiOptions::default()
        },
    )
}

/// Shows the screens on `engine` and says how they ended.
pub(super) fn show(engine: Engine, options: UiOptions) -> Result<Exit, CliError> {
    match ui::run(engine, options).map_err(CliError::failed)? {
        Outcome::Done | Outcome::Abandoned => Ok(Exit::Success),
        Outcome::Interrupted => Ok(Exit::Interrupted),
    }
}
