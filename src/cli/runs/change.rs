//! What changes on disk: tags, notes, names, the bin.

use std::fmt::Write;
use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

use crate::cli::{CliError, Exit, complain};
use crate::run::{self, Binned, BinnedKind, Notes};

use super::list::age;

#[derive(Debug, clap::Args)]
pub struct TagArgs {
    /// A run: its folder, its name below the runs folder, or `last`
    run: String,
    /// Tags to give (`baseline`), or to take away (`-baseline`)
    #[arg(allow_hyphen_values = true)]
    tags: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub struct NoteArgs {
    /// A run: its folder, its name below the runs folder, or `last`
    run: String,
    /// The note; takes the place of the one before
    #[arg(allow_hyphen_values = true)]
    text: Option<String>,
    /// Take the note away
    #[arg(long, conflicts_with = "text")]
    clear: bool,
}

#[derive(Debug, clap::Args)]
pub struct RenameArgs {
    /// A run: its folder, its name below the runs folder, or `last`
    run: String,
    /// The new name
    name: String,
}

#[derive(Debug, clap::Args)]
pub struct DeleteArgs {
    /// Runs or whole sweeps: folders, names below the runs folder, or `last`
    #[arg(required = true)]
    runs: Vec<String>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    /// Names of runs and sweeps in the bin; of several with one name, the one deleted last
    runs: Vec<String>,
    /// One JSON object a line
    #[arg(long, conflicts_with = "runs")]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub struct EmptyBinArgs {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

fn find(run: &str) -> Result<PathBuf, CliError> {
    run::find(&super::super::tui::runs_root(), run).map_err(CliError::failed)
}

fn print(text: &str) -> Result<Exit, CliError> {
    crate::cli::train::print(text)?;
    Ok(Exit::Success)
}

pub fn tag(args: TagArgs) -> Result<Exit, CliError> {
    let dir = find(&args.run)?;
    let mut notes = Notes::read(&dir).map_err(CliError::failed)?;
    if !args.tags.is_empty() {
        notes
            .change_tags(&args.tags.join(" "))
            .map_err(CliError::usage)?;
        notes.write(&dir).map_err(CliError::failed)?;
    }
    let mut text = String::new();
    for tag in &notes.tags {
        let _ = writeln!(text, "{tag}");
    }
    print(&text)
}

pub fn note(args: NoteArgs) -> Result<Exit, CliError> {
    let dir = find(&args.run)?;
    let mut notes = Notes::read(&dir).map_err(CliError::failed)?;
    match args.text.as_deref() {
        None if !args.clear => {
            return match notes.note.as_str() {
                "" => Ok(Exit::Success),
                note => print(&format!("{note}\n")),
            };
        }
        text => notes
            .set_note(text.unwrap_or_default())
            .map_err(CliError::usage)?,
    }
    notes.write(&dir).map_err(CliError::failed)?;
    Ok(Exit::Success)
}

pub fn rename(args: RenameArgs) -> Result<Exit, CliError> {
    let dir = find(&args.run)?;
    let place = run::rename(&dir, &args.name).map_err(|error| match error {
        run::RunError::BadName { .. } => CliError::usage(error),
        error => CliError::failed(error),
    })?;
    print(&format!("{}\n", place.display()))
}

/// True when the answer is yes. Without a terminal nobody can be asked.
fn asked(question: &str) -> Result<bool, CliError> {
    if !std::io::stdin().is_terminal() {
        return Err(CliError::usage(format!(
            "{question} There is no terminal to ask on: say --yes"
        )));
    }
    complain(&format!("{question} [y/N]"));
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(CliError::failed)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// A run, or a sweep.
fn find_whole(name: &str) -> Result<PathBuf, CliError> {
    let root = super::super::tui::runs_root();
    let found = run::find(&root, name)
        .or_else(|error| run::sweep::find(&root, name).map_err(|_| error))
        .map_err(CliError::failed)?;
    match run::sweep::trial_label(&found) {
        Some(name) => Err(CliError::failed(run::RunError::Trial { name })),
        None => Ok(found),
    }
}

pub fn delete(args: DeleteArgs) -> Result<Exit, CliError> {
    // All must be there before the first is moved.
    let mut dirs: Vec<PathBuf> = Vec::new();
    for run in &args.runs {
        let dir = find_whole(run)?;
        if !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    let named = |dir: &PathBuf| match run::sweep::is_sweep(dir) {
        true => format!("the sweep {} with all of its runs", dir.display()),
        false => dir.display().to_string(),
    };
    let names: Vec<String> = dirs.iter().map(named).collect();
    if !args.yes && !asked(&format!("Move {} to the bin?", names.join(", ")))? {
        complain("nothing was deleted");
        return Ok(Exit::Success);
    }
    for dir in dirs {
        let binned = run::delete(&dir).map_err(CliError::failed)?;
        print(&format!(
            "{} is in the bin; `fireside runs restore {}` brings it back\n",
            binned.name, binned.name
        ))?;
    }
    Ok(Exit::Success)
}

fn in_bin(bin: &[Binned], name: &str) -> Option<Binned> {
    // `a~2` is the folder in the bin of one of several runs that were called `a`.
    let folder = |run: &&Binned| run.dir.file_name().is_some_and(|folder| folder == name);
    let by_name = bin.iter().find(|run| run.name == name);
    by_name.or_else(|| bin.iter().find(folder)).cloned()
}

pub fn restore(args: RestoreArgs) -> Result<Exit, CliError> {
    let root = super::super::tui::runs_root();
    let bin = run::binned(&root);
    if args.runs.is_empty() {
        let mut text = String::new();
        for run in &bin {
            if args.json {
                let line = serde_json::to_string(run).map_err(CliError::failed)?;
                let _ = writeln!(text, "{line}");
            } else {
                let deleted = age(run::now().saturating_sub(run.deleted));
                let what = match run.kind {
                    BinnedKind::Run => "",
                    BinnedKind::Sweep => " (a sweep)",
                };
                let _ = writeln!(text, "{}{what}  deleted {deleted}", run.name);
            }
        }
        if text.is_empty() && !args.json {
            text.push_str("the bin is empty\n");
        }
        return print(&text);
    }
    let runs = args.runs.iter().map(|name| {
        in_bin(&bin, name).ok_or_else(|| {
            let names: Vec<&str> = bin.iter().map(|run| run.name.as_str()).collect();
            let there = match names.is_empty() {
                true => "it is empty".to_string(),
                false => format!("it has {}", names.join(", ")),
            };
            CliError::failed(format!("no run or sweep `{name}` in the bin: {there}"))
        })
    });
    for run in runs.collect::<Result<Vec<_>, _>>()? {
        let place = run::restore(&root, &run).map_err(CliError::failed)?;
        print(&format!("{}\n", place.display()))?;
    }
    Ok(Exit::Success)
}

pub fn empty_bin(args: EmptyBinArgs) -> Result<Exit, CliError> {
    let root = super::super::tui::runs_root();
    let bin = run::binned(&root);
    if bin.is_empty() {
        return print("the bin is empty\n");
    }
    let names: Vec<&str> = bin.iter().map(|run| run.name.as_str()).collect();
    let question = format!("Take away {} for good?", names.join(", "));
    if !args.yes && !asked(&question)? {
        complain("nothing was taken away");
        return Ok(Exit::Success);
    }
    let gone = run::empty_bin(&root).map_err(CliError::failed)?;
    print(&format!("{} taken away\n", run::counted(&gone)))
}
