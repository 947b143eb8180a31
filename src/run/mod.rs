//! The run on disk. A run is a folder:
//!
//! ```text
//! runs/gpt-stories-001/
//!   run.json        what the run is: RunInfo, creation time, format and program version
//!   config.toml     the resolved configuration, complete
//!   tokenizer.json  the tokenizer, in the Hugging Face format
//!   metrics.jsonl   one JSON object a line: started, step, eval, checkpoint, resumed, finished …
//!   samples.jsonl   generated texts        edits.jsonl   changes made while it trained
//!   notices.jsonl   what the run said      run.log       the program's log
//!   summary.json    the last numbers, so that a list of runs need not read the log
//!   notes.json      tags and a note, where somebody gave them
//!   overview.bin    the curves in a few thousand numbers; a cache, made again from the log when it is missing
//!   lock            held (advisory) by the process that trains the run; names its process id
//!   control.sock    while it is trained: where other processes watch and steer it (`docs/control.md`)
//!   checkpoints/step-00000200/   model, optimizer, carried: .safetensors; state.json; copies of config.toml and
//!                                tokenizer.json; manifest.json
//! ```
//!
//! The `.jsonl` files are only ever appended to. A torn last line is skipped; a `resumed` line takes back
//! what came before it beyond its step. A checkpoint is written beside its place, synced and renamed, so
//! that it is whole or not there; its manifest says size and SHA-256 of each file. Every file is held against it before
//! a checkpoint is used; one that is damaged, of a newer format or of another run is passed over, named and left alone.

mod back;
mod bin;
pub mod branch;
pub mod checkpoint;
mod column;
mod compare;
mod dir;
pub mod filter;
mod history;
mod list;
mod lock;
mod log;
mod naming;
mod notes;
pub mod overview;
pub mod record;
mod store;
pub mod sweep;

use std::path::{Path, PathBuf};

pub use back::Back;
pub use bin::{
    Binned, BinnedKind, binned, check_name, counted, delete, empty_bin, rename, restore,
};
pub use column::{Datum, Key, KeyKind, RunColumn, SortBy};
pub use compare::{Branch, Compared, EditLine, RunSamples, compare, edits, lineage, read_samples};
pub use dir::now;
pub use dir::{Logged, Parent, RunDir, RunFile, RunHeader, read_header};
pub use history::{History, read_history, read_history_up_to};
pub use list::{RunStatus, RunSummary, list, summarize};
pub use log::LeftBranch;
pub use naming::slug;
pub use notes::Notes;
pub use overview::Overview;
pub use record::{EditRecord, Record};
pub use store::{Listing, RunEntry, Store, entry};

/// Version of the folder's layout. A folder of a newer one is refused, not guessed at.
pub const FORMAT_VERSION: u32 = 1;

/// Something about a run folder did not work out.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        action: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} is not a run: it has no {missing}", path.display())]
    NotARun {
        path: PathBuf,
        missing: &'static str,
    },
    #[error("{} already holds a run; continue it with `--resume`, or choose another folder", path.display())]
    Exists { path: PathBuf },
    #[error("{} is not empty and holds no run; choose a new or an empty folder", path.display())]
    Occupied { path: PathBuf },
    #[error("{checkpoint} is on a branch that the run has left, and its logs do not say what happened there; `fireside train --fork {} \
             --at {checkpoint}` goes on from it in a new run", run.display())]
    LostBranch { run: PathBuf, checkpoint: String },
    #[error("the run {} is in use by another process{}", path.display(), pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Locked { path: PathBuf, pid: Option<u32> },
    #[error("{} was written by a newer fireside (format {found}; this one reads up to {FORMAT_VERSION})", path.display())]
    Newer { path: PathBuf, found: u32 },
    #[error("{} is damaged: {reason}", path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("{} has no whole checkpoint to go on from{}", path.display(), skipped_note(skipped))]
    NoCheckpoint { path: PathBuf, skipped: Vec<String> },
    #[error("no run `{name}`: there is neither a folder of that name nor {}", root.join(name).display())]
    Unknown { name: String, root: PathBuf },
    #[error(
        "{name} is a trial of a sweep, which finds it by its name: it is not renamed, and deleted only with the whole sweep \
         (`fireside runs delete {}`)", name.split('/').next().unwrap_or_default()
    )]
    Trial { name: String },
    #[error("the sweep {name} goes on{}{}: stop it before it is deleted",
        trial.as_ref().map(|trial| format!(": {trial} is being trained")).unwrap_or_default(),
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    SweepGoesOn {
        name: String,
        /// The one that is trained, where nobody conducts the sweep.
        trial: Option<String>,
        pid: Option<u32>,
    },
    #[error("neither {} nor {} is a sweep: there is no sweep.json", path.display(), below.display())]
    NotASweep { path: PathBuf, below: PathBuf },
    #[error("there is a run `{name}` already; choose another name")]
    NameTaken { name: String },
    #[error("a run cannot be called `{name}`: {reason}")]
    BadName { name: String, reason: String },
    #[error("there are no runs in {} yet", root.display())]
    Empty { root: PathBuf },
}

fn skipped_note(skipped: &[String]) -> String {
    if skipped.is_empty() {
        String::new()
    } else {
        format!(" ({})", skipped.join("; "))
    }
}

impl RunError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> RunError {
        let path = path.to_path_buf();
        move |source| RunError::Io {
            action,
            path,
            source,
        }
    }
}

/// Whether a live process trains the run in `dir`.
pub fn is_trained(dir: &Path) -> bool {
    lock::is_held(&dir.join(RunFile::Lock.name()))
}

/// A sentence about what of the run in `dir` is on disk, and how it goes on.
pub fn what_is_saved(dir: &Path) -> String {
    match checkpoint::newest(dir) {
        Some(entry) => format!(
            "Saved up to step {}: `fireside train --resume {}` goes on from there",
            entry.step,
            dir.display()
        ),
        None => "No checkpoint had been written yet".to_string(),
    }
}

/// Where new runs go and where names are looked up: `FIRESIDE_RUNS`, or `./runs`.
pub fn runs_root() -> PathBuf {
    match std::env::var_os("FIRESIDE_RUNS") {
        Some(root) if !root.is_empty() => PathBuf::from(root),
        _ => PathBuf::from("runs"),
    }
}

/// The folder that a person means by `run`: a path, a name below `root`, or `last` (the one changed last).
///
/// # Errors
/// [`RunError::Unknown`] or, for `last` without any run, [`RunError::Empty`].
pub fn find(root: &Path, run: &str) -> Result<PathBuf, RunError> {
    let path = Path::new(run);
    if path.join(RunFile::Run.name()).is_file() {
        return Ok(path.to_path_buf());
    }
    let below = root.join(run);
    if below.join(RunFile::Run.name()).is_file() {
        return Ok(below);
    }
    if run == "last" {
        return list(root)
            .into_iter()
            .next()
            .map(|summary| summary.dir)
            .ok_or_else(|| RunError::Empty {
                root: root.to_path_buf(),
            });
    }
    if path.is_dir() {
        return Err(RunError::NotARun {
            path: path.to_path_buf(),
            missing: RunFile::Run.name(),
        });
    }
    Err(RunError::Unknown {
        name: run.to_string(),
        root: root.to_path_buf(),
    })
}
