//! `fireside` without arguments: the screens.

use std::io::IsTerminal;
use std::path::PathBuf;

use super::{CliError, Exit};
use crate::protocol::Engine;
use crate::run;
use crate::ui::settings::Settings;
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
    let root = runs_root();
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

/// Where runs live: FIRESIDE_RUNS, else the folder of the user's settings, else `./runs`.
pub(super) fn runs_root() -> PathBuf {
    let from_environment = std::env::var_os("FIRESIDE_RUNS").is_some_and(|root| !root.is_empty());
    match Settings::load().0.runs {
        Some(folder) if !from_environment => folder,
        _ => run::runs_root(),
    }
}

/// Shows the screens on `engine`, with the user's settings, and says how they ended.
pub(super) fn show(engine: Engine, mut options: UiOptions) -> Result<Exit, CliError> {
    let (settings, problems) = Settings::load();
    options.settings = settings;
    options.problems.extend(problems);
    match ui::run(engine, options).map_err(CliError::failed)? {
        Outcome::Done | Outcome::Abandoned => Ok(Exit::Success),
        Outcome::Interrupted => Ok(Exit::Interrupted),
    }
}
