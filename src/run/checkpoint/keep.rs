//! Which checkpoints stay, and how one is marked.

use std::path::Path;

use super::{CheckpointEntry, DAMAGED, KEPT, LEFT, TEMPORARY, entries, folder};
use crate::protocol::CheckpointReason;
use crate::run::RunError;
use crate::run::branch::WayBack;
use crate::run::dir::{sync_parent, write_whole};

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

/// Makes a checkpoint, to which the run goes back, the newest that it may go on from: what is not on the way to it is left.
pub fn return_to(
    run: &Path,
    entry: &CheckpointEntry,
    way: Option<&WayBack>,
) -> Result<(), RunError> {
    let entries = entries(run);
    let leads = |other: &CheckpointEntry| {
        other.sequence < entry.sequence && way.is_some_and(|way| way.has(other))
    };
    let is_it = |other: &CheckpointEntry| other.sequence == entry.sequence;
    // First, so that there is one to go on from at every moment: the newest of now, until that is marked.
    for other in entries.iter().filter(|other| other.left) {
        if is_it(other) || leads(other) {
            let mark = other.path.join(LEFT);
            match std::fs::remove_file(&mark) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(RunError::io("remove", &mark)(error));
                }
                _ => sync_parent(&mark).map_err(RunError::io("sync", &mark))?,
            }
        }
    }
    let common = way.map_or(u64::MAX, |way| way.common);
    let elsewhere = |other: &&CheckpointEntry| {
        other.sequence > entry.sequence || (other.step > common && !is_it(other) && !leads(other))
    };
    entries
        .iter()
        .filter(|other| !other.left)
        .filter(elsewhere)
        .try_for_each(|other| write_whole(&other.path.join(LEFT), b""))
}

/// Clears away what the rule does not keep: the newest `keep`, as many of those made before edits and of those on branches that the
/// run has left, the best, and every one the user saved or the run began from. Damaged folders are not touched. Returns the steps cleared away.
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
    // Those before edits count for themselves, so that many edits push nothing else out, and so do those of branches that were
    // left: the one that the run went back to is older than they are.
    let mut newer = [0, 0, 0];
    for entry in &entries {
        let kind = match entry.left {
            true => 2,
            false => usize::from(entry.reason == CheckpointReason::Edit),
        };
        let count = &mut newer[kind];
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
