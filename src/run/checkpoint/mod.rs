//! Checkpoints: written whole or not at all, verified before use, cleared away only by rule.
//!
//! `checkpoints/step-00000200/` holds `model.safetensors`, `optimizer.safetensors`, `carried.safetensors`, `state.json`, copies
//! of the run's `config.toml` and `tokenizer.json`, so that a checkpoint stands alone, and, written last, `manifest.json` with
//! the size and SHA-256 of the others and of itself. A second
//! checkpoint of the same step gets `-2`, so that a whole one is never overwritten. "Newest" goes by the
//! manifest's running number, not by step: a run that went back in time writes smaller steps later.

mod keep;
mod manifest;
mod read;
mod write;

use std::path::{Path, PathBuf};

use super::RunFile;
use crate::protocol::CheckpointReason;
use crate::state::NamedTensor;

pub use keep::{keep, mark_damaged, prune, return_to, sweep};
use manifest::Manifest;
pub use read::{load, load_model, load_newest};
pub use write::{write, write_with};

const MANIFEST: &str = "manifest.json";
const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const CARRIED: &str = "carried.safetensors";
const STATE: &str = "state.json";
/// Copies of what the run folder has under the same names.
const COPIES: [RunFile; 2] = [RunFile::Config, RunFile::Tokenizer];
/// An empty file beside the manifest: the user wants this one kept.
const KEPT: &str = "kept";
/// An empty file beside the manifest: the run went back to before it, so that it does not go on from here.
const LEFT: &str = "left";
/// Says why a checkpoint was found damaged: it is then no longer one of the newest, and never cleared away.
const DAMAGED: &str = "damaged";
/// Folders that are being written or cleared away.
const TEMPORARY: &str = ".tmp-";

/// What a checkpoint holds. `state` is the trainer's and the worker's, as JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    pub model: Vec<NamedTensor>,
    pub optimizer: Vec<NamedTensor>,
    pub carried: Vec<NamedTensor>,
    pub state: serde_json::Value,
}

/// What is said about a checkpoint when it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckpointMeta {
    pub step: u64,
    pub reason: CheckpointReason,
    /// The best validation loss so far was measured at this step.
    pub best: bool,
    pub val_loss: Option<f64>,
}

/// A checkpoint on disk, as its manifest tells it. Not verified.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckpointEntry {
    pub path: PathBuf,
    pub step: u64,
    /// Counts up over the run's life.
    pub sequence: u64,
    pub reason: CheckpointReason,
    pub best: bool,
    /// Saved by the user, where a run began, or marked to be kept.
    pub kept: bool,
    /// The run went back to before it: it is on a branch that was left. A run that is taken up does not go on from it; it can go
    /// back to it, which takes the branch up again, and it can be forked.
    pub left: bool,
    pub val_loss: Option<f64>,
    /// Seconds since 1970, UTC.
    pub created: u64,
    pub bytes: u64,
}

/// A verified checkpoint, and what was passed over to get to it.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub checkpoint: Checkpoint,
    pub entry: CheckpointEntry,
    /// One sentence for each newer checkpoint that could not be used.
    pub skipped: Vec<String>,
    /// Those of them that were found damaged just now, with the reason.
    pub damaged: Vec<(PathBuf, String)>,
}

/// Which checkpoint of a run is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    Newest,
    /// Of the lowest validation loss; the newest where none was evaluated.
    Best,
    Step(u64),
}

/// A folder whose manifest can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Broken {
    name: String,
    reason: String,
}

fn folder(run: &Path) -> PathBuf {
    run.join(RunFile::Checkpoints.name())
}

/// Whether there is anything that looks like a checkpoint.
pub fn any(run: &Path) -> bool {
    std::fs::read_dir(folder(run)).is_ok_and(|entries| {
        entries
            .flatten()
            .any(|entry| is_checkpoint_name(&entry.file_name().to_string_lossy()))
    })
}

fn is_checkpoint_name(name: &str) -> bool {
    name.starts_with("step-")
}

/// The checkpoints of a run, newest first. Folders without a readable manifest are left out.
pub fn entries(run: &Path) -> Vec<CheckpointEntry> {
    scan(run).0
}

fn scan(run: &Path) -> (Vec<CheckpointEntry>, Vec<Broken>) {
    let mut entries = Vec::new();
    let mut broken = Vec::new();
    let Ok(listing) = std::fs::read_dir(folder(run)) else {
        return (entries, broken);
    };
    for item in listing.flatten() {
        let name = item.file_name().to_string_lossy().into_owned();
        if !is_checkpoint_name(&name) {
            continue;
        }
        match Manifest::read(&item.path()) {
            Ok(manifest) => entries.push(entry(item.path(), &manifest)),
            Err(reason) => broken.push(Broken { name, reason }),
        }
    }
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.sequence));
    broken.sort_by(|a, b| b.name.cmp(&a.name));
    (entries, broken)
}

fn entry(path: PathBuf, manifest: &Manifest) -> CheckpointEntry {
    CheckpointEntry {
        kept: matches!(
            manifest.reason,
            CheckpointReason::User | CheckpointReason::Start
        ) || path.join(KEPT).exists(),
        left: path.join(LEFT).exists(),
        path,
        step: manifest.step,
        sequence: manifest.sequence,
        reason: manifest.reason,
        best: manifest.best,
        val_loss: manifest.val_loss,
        created: manifest.created,
        bytes: manifest.files.iter().map(|file| file.bytes).sum(),
    }
}

impl CheckpointEntry {
    /// The name of its folder.
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

/// The newest checkpoint that the run may go on from.
pub fn newest(run: &Path) -> Option<CheckpointEntry> {
    entries(run).into_iter().find(|entry| !entry.left)
}

/// Bytes of all checkpoints of a run.
pub fn total_bytes(run: &Path) -> u64 {
    entries(run).iter().map(|entry| entry.bytes).sum()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
