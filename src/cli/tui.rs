//! `fireside` without arguments: the screens.

use std::fs::File;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
    if let Err(why) = can_show() {
        return Err(CliError::usage(format!(
            "the screens need a terminal, and {why}; train without screens by \
             `fireside train CONFIG --headless` (or --json), or see `fireside --help`"
        )));
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
        Outcome::Background(dir) => go_on_in_background(&dir),
    }
}

/// Starts `fireside train --resume DIR --headless` as a process that this terminal does not end.
fn go_on_in_background(dir: &Path) -> Result<Exit, CliError> {
    let log_path = dir.join("background.log");
    let start = || -> std::io::Result<u32> {
        let log = File::options().create(true).append(true).open(&log_path)?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(["train", "--headless", "--resume"])
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        // A group of its own hears neither the terminal's keys nor its end.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        Ok(command.spawn()?.id())
    };
    let id = start().map_err(|error| {
        CliError::failed(format!(
            "the run is saved in {}, but could not go on in the background: {error}",
            dir.display()
        ))
    })?;
    super::train::print(&format!(
        "{} trains on in the background as process {id}, and writes to {}\n\
         `kill {id}` ends it, after saving; `fireside runs` shows how far it is\n",
        dir.display(),
        log_path.display()
    ))?;
    Ok(Exit::Success)
}
