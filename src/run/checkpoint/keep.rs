//! Which checkpoints stay, and how one is marked.

use std::path::Path;

use super::{CheckpointEntry, DAMAGED, KEPT, LEFT, TEMPORARY, entries, folder};
use crate::protocol::CheckpointReason;
use crate::run::RunError;
use crate::run::dir::write_whole;

/// In the name of a folder on its way out.
const CLEARED: &str = "-old-";

/// Marks a checkpoint as damaged. Only for the owner of the run's lock.
pub fn mark_damaged(path: &Path, reason: &str) -> Result<(), RunError> {
    write_whole(&path.join(DAMAGED), reason.as_bytes())
}

/// Marks a checkpoint as one the user wants kept.
pub fn keep(entry: &CheckpointEntry) -> Result<(), RunError> {
    write_whole(&entry.path.join(KEPT), b"")
}

/// Marks what came after a checkpoint as left, because the run goes back to it.
pub fn leave_after(run: &Path, entry: &CheckpointEntry) -> Result<(), RunError> {
    entries(run)
        .iter()
        .filter(|later| later.sequence > entry.sequence && !later.left)
        .try_for_each(|later| write_whole(&later.path.join(LEFT), b""))
}

/// Clears away what the rule does not keep: the newest `keep`, as many of those made before edits, the best, and every one the
/// user saved or the run began from. Damaged folders are not touched. Returns the steps cleared away.
///
/// # Errors
/// I/O errors; what could not be cleared away stays.
pub fn prune(run: &Path, keep: usize) -> Result<Vec<u64>, RunError> {
    let entries = entries(run);
    // The best is the lowest loss there is; of equals the newest, which comes first.
    let best = entries
        .iter()
        .filter(|entry| entry.val_loss.is_some() && entry.best)
        .min_by(|a, b| {
            let loss = |entry: &CheckpointEntry| entry.val_loss.unwrap_or(f64::INFINITY);
            loss(a).total_cmp(&loss(b))
        })
        .map(|entry| entry.sequence);
    let mut removed = Vec::new();
    // Those before edits count for themselves, so that many edits push nothing else out.
    let mut newer = [0, 0];
    for entry in &entries {
        let count = &mut newer[usize::from(entry.reason == CheckpointReason::Edit)];
        *count += 1;
        if *count <= keep.max(1) || entry.kept || Some(entry.sequence) == best {
            continue;
        }
        // Out of the way first: a kill in the middle must not leave half a checkpoint under its name.
        let doomed = folder(run).join(format!(
            "{TEMPORARY}{}{CLEARED}{}",
            std::process::id(),
            entry.sequence
        ));
        std::fs::rename(&entry.path, &doomed).map_err(RunError::io("clear away", &entry.path))?;
        std::fs::remove_dir_all(&doomed).map_err(RunError::io("clear away", &doomed))?;
        removed.push(entry.step);
    }
    Ok(removed)
}

/// Clears away folders that a killed process left half written, and says how many. Only for the owner of the run's lock.
pub fn sweep(run: &Path) -> usize {
    let Ok(listing) = std::fs::read_dir(folder(run)) else {
        return 0;
    };
    let mut swept = 0;
    for item in listing.flatten() {
        let name = item.file_name().to_string_lossy().into_owned();
        if name.starts_with(TEMPORARY) {
            // What cannot be removed is in nobody's way.
            let _ = std::fs::remove_dir_all(item.path());
            swept += usize::from(!name.contains(CLEARED));
        }
    }
    swept
}
