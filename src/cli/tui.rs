//! `fireside` without arguments: the screens.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use super::{CliError, Exit, detach};
use crate::protocol::Engine;
use crate::run;
use crate::ui::settings::Settings;
use crate::ui::{self, Outcome, UiOptions};
use crate::worker::{self, WorkerOptions};

/// Open the screens
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: Args) -> Result<Exit, CliError> {
    if let Err(why) = can_show() {
        return Err(CliError::usage(format!(
            "the screens need a terminal, and {why}; train without screens by \
             `fireside train CONFIG --headless` (or --json), or see `fireside --help`"
        )));
    }
    let (root, _) = find_runs_root();
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

/// Whether there is a terminal that the screens can be drawn on, or why not.
pub(super) fn can_show() -> Result<(), &'static str> {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        Err("standard input or output is none")
    } else if std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
        Err("TERM=dumb says that this one cannot move its cursor")
    } else {
        Ok(())
    }
}

/// Where runs live: FIRESIDE_RUNS, else the folder of the user's settings, else `./runs`. What is wrong with the settings goes to
/// standard error.
pub(super) fn runs_root() -> PathBuf {
    let (root, problems) = find_runs_root();
    for problem in problems {
        super::complain(&format!("note: {problem}"));
    }
    root
}

/// As [`runs_root`], with what is wrong with the settings: the screens say it themselves.
pub(super) fn find_runs_root() -> (PathBuf, Vec<String>) {
    let from_environment = std::env::var_os("FIRESIDE_RUNS").is_some_and(|root| !root.is_empty());
    let (settings, problems) = Settings::load();
    let root = match settings.runs {
        Some(folder) if !from_environment => folder,
        _ => run::runs_root(),
    };
    (root, problems)
}

/// Shows the screens on `engine`, with the user's settings, and says how they ended.
pub(super) fn show(engine: Engine, mut options: UiOptions) -> Result<Exit, CliError> {
    let root = options.runs_root.clone();
    let (settings, problems) = Settings::load();
    options.settings = settings;
    options.problems.extend(problems);
    match ui::run(engine, options).map_err(CliError::failed)? {
        Outcome::Done | Outcome::Abandoned => Ok(Exit::Success),
        Outcome::Interrupted => Ok(Exit::Interrupted),
        Outcome::Background { dir, until } => go_on_in_background(&root, &dir, until),
    }
}

/// Trains a run on that was saved here, in a process that this terminal does not end.
fn go_on_in_background(root: &Path, dir: &Path, until: Option<u64>) -> Result<Exit, CliError> {
    let mut arguments = vec![
        "train".into(),
        "--resume".into(),
        dir.as_os_str().to_owned(),
    ];
    if let Some(step) = until {
        arguments.extend(["--until".into(), step.to_string().into()]);
    }
    let started = detach::start(&arguments, detach::WaitFor::Start, None).map_err(|error| {
        let (CliError::Failed(why) | CliError::Usage(why)) = error;
        CliError::failed(format!(
            "the run is saved in {}, but could not go on in the background: {why}",
            dir.display()
        ))
    })?;
    // A terminal that is gone is one of the reasons for being here.
    let _ = super::train::print(&started.text(root));
    Ok(Exit::Success)
}
