//! `fireside attach`: Watch and steer a run that another process trains

use std::path::{Path, PathBuf};
use std::sync::mpsc;

use super::{CliError, Exit};
use crate::control::{self, Role};
use crate::headless::{self, Followed, Format, Streams};
use crate::protocol::FinishReason;
use crate::run;
use crate::ui::UiOptions;
use crate::worker::{self, WorkerOptions};

/// Watch and steer a run that another process trains
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Leaving never ends the run. Exit codes without screens: 0 the run finished, or Ctrl-C left it training; 1 it failed, or \
                  its process is gone; 130 it was stopped."
)]
pub struct Args {
    /// The run: its folder, its name, or `last`
    run: String,
    /// Plain lines instead of screens, without commands; also what happens when there is no terminal
    #[arg(long)]
    headless: bool,
    /// One JSON object a line; implies --headless
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<Exit, CliError> {
    let root = super::tui::runs_root();
    let dir = run::find(&root, &args.run).map_err(CliError::failed)?;
    if !run::is_trained(&dir) {
        return Err(CliError::failed(not_trained(&dir)));
    }
    if !args.headless && !args.json && super::tui::can_show().is_ok() {
        return show(root, dir);
    }
    let (_to_run, commands) = mpsc::channel();
    let link = control::connect(&dir, Role::Watch, commands).map_err(CliError::failed)?;
    let interrupts = super::train::count_interrupts()?;
    let followed = headless::attach(
        &link,
        &interrupts,
        Streams {
            format: match args.json {
                true => Format::Json,
                false => Format::Lines,
            },
            out: &mut std::io::stdout().lock(),
            err: &mut std::io::stderr(),
        },
    );
    match followed {
        Ok(Followed::Ended(FinishReason::Stopped)) => Ok(Exit::Interrupted),
        Ok(Followed::Ended(_) | Followed::Left) => Ok(Exit::Success),
        Err(message) => Err(CliError::Failed(message)),
    }
}

fn show(root: PathBuf, dir: PathBuf) -> Result<Exit, CliError> {
    let engine = worker::spawn(WorkerOptions {
        runs_root: root.clone(),
    })
    .map_err(|error| CliError::failed(format!("no thread to train with: {error}")))?;
    let options = UiOptions {
        attach: Some(dir),
        runs_root: root,
        ..UiOptions::default()
    };
    super::tui::show(engine, options)
}

fn not_trained(dir: &Path) -> String {
    let status = match run::summarize(dir) {
        Ok(summary) => format!("it is {} at step {}", summary.status.label(), summary.step),
        Err(error) => error.to_string(),
    };
    format!(
        "no process trains {}: {status}. {}",
        dir.display(),
        run::what_is_saved(dir)
    )
}
