//! `fireside runs`: the runs on disk: list, filter, sort, name, tag, delete, restore

mod change;
mod list;

use super::{CliError, Exit};

/// List the runs on disk, or the checkpoints of one; tag, note, rename, delete and restore them
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    list: list::ListArgs,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List the runs (the same as `fireside runs` alone)
    List(list::ListArgs),
    /// Give a run tags, or take them away with a `-` before them; without tags, print those it has
    Tag(change::TagArgs),
    /// Say something about a run; without text, print what was said
    Note(change::NoteArgs),
    /// Give a run's folder another name
    Rename(change::RenameArgs),
    /// Move runs, or whole sweeps, to the bin; `restore` brings them back
    Delete(change::DeleteArgs),
    /// Bring runs and sweeps back from the bin; without a name, list what is in it
    Restore(change::RestoreArgs),
    /// Take away for good what is in the bin
    EmptyBin(change::EmptyBinArgs),
}

pub fn run(args: Args) -> Result<Exit, CliError> {
    match args.what {
        None => list::run(args.list),
        Some(What::List(args)) => list::run(args),
        Some(What::Tag(args)) => change::tag(args),
        Some(What::Note(args)) => change::note(args),
        Some(What::Rename(args)) => change::rename(args),
        Some(What::Delete(args)) => change::delete(args),
        Some(What::Restore(args)) => change::restore(args),
        Some(What::EmptyBin(args)) => change::empty_bin(args),
    }
}
