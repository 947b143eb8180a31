//! Checkpoints: written whole or not at all, verified before use, cleared away only by rule.
//!
//! `checkpoints/step-00000200/` holds `model.safetensors`, `optimizer.safetensors`, `carried.safetensors`,
//! `state.json` and, written last, `manifest.json` with the size and SHA-256 of the others. A second
//! checkpoint of the same step gets `-2`, so that a whole one is never overwritten. "Newest" goes by the
//! manifest's running number, not by step: a run that went back in time writes smaller steps later.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::dir::{now, sync_parent, write_whole};
use super::{FORMAT_VERSION, RunError, RunFile};
use crate::protocol::CheckpointReason;
use crate::state::NamedTensor;

const MANIFEST: &str = "manifest.json";
const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const CARRIED: &str = "carried.safetensors";
const STATE: &str = "state.json";
/// An empty file beside the manifest: the user wants this one kept.
const KEPT: &str = "kept";
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

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Manifest {
    format_version: u32,
    program_version: String,
    sequence: u64,
    step: u64,
    reason: CheckpointReason,
    best: bool,
    val_loss: Option<f64>,
    /// Seconds since 1970, UTC.
    created: u64,
    files: Vec<FileEntry>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct FileEntry {
    name: String,
    bytes: u64,
    sha256: String,
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
    /// Saved by the user, or marked to be kept.
    pub kept: bool,
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
        match read_manifest(&item.path()) {
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
        kept: manifest.reason == CheckpointReason::User || path.join(KEPT).exists(),
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

fn read_manifest(path: &Path) -> Result<Manifest, String> {
    if let Ok(reason) = std::fs::read_to_string(path.join(DAMAGED)) {
        return Err(reason.trim().to_string());
    }
    let bytes = std::fs::read(path.join(MANIFEST)).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("{MANIFEST} is missing"),
        _ => format!("{MANIFEST} cannot be read: {error}"),
    })?;
    #[derive(Deserialize)]
    struct Version {
        format_version: u32,
    }
    if let Ok(version) = serde_json::from_slice::<Version>(&bytes)
        && version.format_version > FORMAT_VERSION
    {
        return Err(format!(
            "it was written by a newer fireside (format {}; this one reads up to {FORMAT_VERSION})",
            version.format_version
        ));
    }
    serde_json::from_slice(&bytes).map_err(|error| format!("{MANIFEST} is damaged: {error}"))
}

/// Bytes of all checkpoints of a run.
pub fn total_bytes(run: &Path) -> u64 {
    entries(run).iter().map(|entry| entry.bytes).sum()
}

/// Writes a checkpoint beside its place, syncs every file and renames the folder into place.
///
/// # Errors
/// I/O errors; what was written so far is then taken away again, and nothing else is touched.
pub fn write(
    run: &Path,
    meta: &CheckpointMeta,
    checkpoint: &Checkpoint,
) -> Result<CheckpointEntry, RunError> {
    let folder = folder(run);
    std::fs::create_dir_all(&folder).map_err(RunError::io("make", &folder))?;
    let (existing, _) = scan(run);
    let sequence = existing.first().map_or(1, |entry| entry.sequence + 1);
    let temporary = folder.join(format!("{TEMPORARY}{}-{sequence}", std::process::id()));
    let result = write_into(&temporary, sequence, meta, checkpoint)
        .map_err(RunError::io("write the checkpoint", &temporary))
        .and_then(|manifest| {
            let path = place(&folder, &temporary, meta.step)?;
            Ok(entry(path, &manifest))
        });
    if result.is_err() {
        let _ = std::fs::remove_dir_all(&temporary);
    }
    result
}

/// Renames the finished folder to the first free name of its step.
fn place(folder: &Path, temporary: &Path, step: u64) -> Result<PathBuf, RunError> {
    for attempt in 1_u64.. {
        let path = match attempt {
            1 => folder.join(format!("step-{step:08}")),
            _ => folder.join(format!("step-{step:08}-{attempt}")),
        };
        if path.exists() {
            continue;
        }
        std::fs::rename(temporary, &path).map_err(RunError::io("make", &path))?;
        sync_parent(&path).map_err(RunError::io("sync", folder))?;
        return Ok(path);
    }
    unreachable!("there are more names than folders")
}

fn write_into(
    path: &Path,
    sequence: u64,
    meta: &CheckpointMeta,
    checkpoint: &Checkpoint,
) -> std::io::Result<Manifest> {
    std::fs::create_dir(path)?;
    let state = serde_json::to_vec_pretty(&checkpoint.state).map_err(std::io::Error::other)?;
    let files = vec![
        write_tensors(path, MODEL, &checkpoint.model)?,
        write_tensors(path, OPTIMIZER, &checkpoint.optimizer)?,
        write_tensors(path, CARRIED, &checkpoint.carried)?,
        write_file(path, STATE, |out| out.write_all(&state))?,
    ];
    let manifest = Manifest {
        format_version: FORMAT_VERSION,
        program_version: env!("CARGO_PKG_VERSION").to_string(),
        sequence,
        step: meta.step,
        reason: meta.reason,
        best: meta.best,
        val_loss: meta.val_loss.filter(|loss| loss.is_finite()),
        created: now(),
        files,
    };
    let bytes = serde_json::to_vec_pretty(&manifest).map_err(std::io::Error::other)?;
    write_file(path, MANIFEST, |out| out.write_all(&bytes))?;
    #[cfg(unix)]
    File::open(path)?.sync_all()?;
    Ok(manifest)
}

/// A file that is hashed and counted on its way to the disk.
struct Hashing<W> {
    inner: W,
    hash: Sha256,
    bytes: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

fn write_file(
    folder: &Path,
    name: &str,
    fill: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> std::io::Result<FileEntry> {
    let hashing = Hashing {
        inner: File::create(folder.join(name))?,
        hash: Sha256::new(),
        bytes: 0,
    };
    let mut out = BufWriter::with_capacity(1 << 18, hashing);
    fill(&mut out)?;
    let hashing = out.into_inner().map_err(|error| error.into_error())?;
    hashing.inner.sync_all()?;
    Ok(FileEntry {
        name: name.to_string(),
        bytes: hashing.bytes,
        sha256: hex(&hashing.hash.finalize()),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes tensors in the safetensors format (<https://github.com/huggingface/safetensors>): the header's
/// length, the header as JSON padded to eight bytes, then the values, little-endian, in the order given.
/// Streamed, so that a model is not copied once more to be saved.
fn write_tensors(folder: &Path, name: &str, tensors: &[NamedTensor]) -> std::io::Result<FileEntry> {
    let mut header = serde_json::Map::new();
    header.insert(
        "__metadata__".to_string(),
        serde_json::json!({ "format": "pt" }),
    );
    let mut offset = 0;
    for tensor in tensors {
        let end = offset + 4 * tensor.data.len();
        header.insert(
            tensor.name.clone(),
            serde_json::json!({ "dtype": "F32", "shape": tensor.shape, "data_offsets": [offset, end] }),
        );
        offset = end;
    }
    let mut header = serde_json::to_vec(&header).map_err(std::io::Error::other)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    write_file(folder, name, |out| {
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        for tensor in tensors {
            for value in &tensor.data {
                out.write_all(&value.to_le_bytes())?;
            }
        }
        Ok(())
    })
}

/// Reads and verifies one file against the manifest.
fn read_file(path: &Path, manifest: &Manifest, name: &str) -> Result<Vec<u8>, String> {
    let expected = manifest
        .files
        .iter()
        .find(|file| file.name == name)
        .ok_or_else(|| format!("{MANIFEST} does not name {name}"))?;
    let bytes = std::fs::read(path.join(name)).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("{name} is missing"),
        _ => format!("{name} cannot be read: {error}"),
    })?;
    if bytes.len() as u64 != expected.bytes {
        return Err(format!(
            "{name} has {} bytes instead of {}",
            bytes.len(),
            expected.bytes
        ));
    }
    if hex(&Sha256::digest(&bytes)) != expected.sha256 {
        return Err(format!("{name} does not match its checksum"));
    }
    Ok(bytes)
}

fn read_tensors(path: &Path, manifest: &Manifest, name: &str) -> Result<Vec<NamedTensor>, String> {
    let bytes = read_file(path, manifest, name)?;
    let file = safetensors::SafeTensors::deserialize(&bytes)
        .map_err(|error| format!("{name} cannot be read: {error}"))?;
    file.tensors()
        .into_iter()
        .map(|(tensor, view)| {
            if view.dtype() != safetensors::Dtype::F32 {
                return Err(format!("{name}: `{tensor}` is {:?}, not F32", view.dtype()));
            }
            let (chunks, _) = view.data().as_chunks::<4>();
            Ok(NamedTensor {
                name: tensor,
                shape: view.shape().to_vec(),
                data: chunks
                    .iter()
                    .map(|chunk| f32::from_le_bytes(*chunk))
                    .collect(),
            })
        })
        .collect()
}

fn read_all(path: &Path) -> Result<Checkpoint, String> {
    let manifest = read_manifest(path)?;
    let state = read_file(path, &manifest, STATE)?;
    Ok(Checkpoint {
        model: read_tensors(path, &manifest, MODEL)?,
        optimizer: read_tensors(path, &manifest, OPTIMIZER)?,
        carried: read_tensors(path, &manifest, CARRIED)?,
        state: serde_json::from_slice(&state)
            .map_err(|error| format!("{STATE} is damaged: {error}"))?,
    })
}

/// The newest checkpoint that is whole. Damaged ones are passed over and named, never deleted.
///
/// # Errors
/// [`RunError::NoCheckpoint`] when none is left.
pub fn load_newest(run: &Path) -> Result<Loaded, RunError> {
    let found = first_whole(run, entries(run), read_all)?;
    Ok(Loaded {
        checkpoint: found.value,
        entry: found.entry,
        skipped: found.skipped,
        damaged: found.damaged,
    })
}

/// The weights alone, for sampling and evaluation, with the sentences about what was passed over.
///
/// # Errors
/// [`RunError::NoCheckpoint`] when none that was asked for is whole.
pub fn load_model(
    run: &Path,
    which: Which,
) -> Result<(Vec<NamedTensor>, CheckpointEntry, Vec<String>), RunError> {
    let mut candidates = entries(run);
    match which {
        Which::Newest => {}
        Which::Best => candidates.sort_by(|a, b| {
            let loss = |entry: &CheckpointEntry| entry.val_loss.unwrap_or(f64::INFINITY);
            loss(a).total_cmp(&loss(b))
        }),
        Which::Step(step) => candidates.retain(|entry| entry.step == step),
    }
    let found = first_whole(run, candidates, |path| {
        let manifest = read_manifest(path)?;
        read_tensors(path, &manifest, MODEL)
    })?;
    Ok((found.value, found.entry, found.skipped))
}

struct Found<T> {
    value: T,
    entry: CheckpointEntry,
    skipped: Vec<String>,
    damaged: Vec<(PathBuf, String)>,
}

fn first_whole<T>(
    run: &Path,
    candidates: Vec<CheckpointEntry>,
    read: impl Fn(&Path) -> Result<T, String>,
) -> Result<Found<T>, RunError> {
    let mut damaged = Vec::new();
    let mut skipped: Vec<String> = scan(run)
        .1
        .into_iter()
        .map(|broken| format!("{} was skipped: {}", broken.name, broken.reason))
        .collect();
    for entry in candidates {
        match read(&entry.path) {
            Ok(value) => {
                return Ok(Found {
                    value,
                    entry,
                    skipped,
                    damaged,
                });
            }
            Err(reason) => {
                skipped.push(format!(
                    "{} was skipped: {reason}",
                    entry.path.file_name().unwrap_or_default().to_string_lossy()
                ));
                damaged.push((entry.path, reason));
            }
        }
    }
    Err(RunError::NoCheckpoint {
        path: run.to_path_buf(),
        skipped,
    })
}

/// Marks a checkpoint as damaged. Only for the owner of the run's lock.
pub fn mark_damaged(path: &Path, reason: &str) -> Result<(), RunError> {
    write_whole(&path.join(DAMAGED), reason.as_bytes())
}

/// Marks a checkpoint as one the user wants kept.
pub fn keep(entry: &CheckpointEntry) -> Result<(), RunError> {
    write_whole(&entry.path.join(KEPT), b"")
}

/// Clears away what the rule does not keep: the newest `keep`, the best, and every one the user saved.
/// Damaged folders are not touched. Returns the steps cleared away.
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
    for entry in entries.iter().skip(keep.max(1)) {
        if entry.kept || Some(entry.sequence) == best {
            continue;
        }
        // Out of the way first: a kill in the middle must not leave half a checkpoint under its name.
        let doomed = folder(run).join(format!(
            "{TEMPORARY}{}-old-{}",
            std::process::id(),
            entry.sequence
        ));
        std::fs::rename(&entry.path, &doomed).map_err(RunError::io("clear away", &entry.path))?;
        std::fs::remove_dir_all(&doomed).map_err(RunError::io("clear away", &doomed))?;
        removed.push(entry.step);
    }
    Ok(removed)
}

/// Clears away folders that a killed process left half written. Only for the owner of the run's lock.
pub fn sweep(run: &Path) {
    let Ok(listing) = std::fs::read_dir(folder(run)) else {
        return;
    };
    for item in listing.flatten() {
        if item.file_name().to_string_lossy().starts_with(TEMPORARY) {
            // What cannot be removed is in nobody's way.
            let _ = std::fs::remove_dir_all(item.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, values: &[f32]) -> NamedTensor {
        NamedTensor {
            name: name.into(),
            shape: vec![values.len()],
            data: values.to_vec(),
        }
    }

    fn sample(value: f32) -> Checkpoint {
        Checkpoint {
            model: vec![
                tensor("b.weight", &[value, f32::MIN_POSITIVE, -0.0]),
                tensor("a.weight", &[1.5]),
            ],
            optimizer: vec![tensor("a.moment", &[f32::MAX])],
            carried: Vec::new(),
            state: serde_json::json!({ "step": value }),
        }
    }

    fn meta(step: u64) -> CheckpointMeta {
        CheckpointMeta {
            step,
            reason: CheckpointReason::Cadence,
            best: false,
            val_loss: None,
        }
    }

    fn save(run: &Path, step: u64) -> CheckpointEntry {
        write(run, &meta(step), &sample(step as f32)).unwrap()
    }

    fn sorted(mut tensors: Vec<NamedTensor>) -> Vec<NamedTensor> {
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        tensors
    }

    #[test]
    fn comes_back_bit_for_bit() {
        let run = tempfile::tempdir().unwrap();
        save(run.path(), 7);
        let loaded = load_newest(run.path()).unwrap();
        let expected = sample(7.0);
        assert_eq!(sorted(loaded.checkpoint.model), sorted(expected.model));
        assert_eq!(loaded.checkpoint.optimizer, expected.optimizer);
        assert_eq!(loaded.checkpoint.state, expected.state);
        assert!(loaded.checkpoint.carried.is_empty() && loaded.skipped.is_empty());
        assert_eq!(loaded.entry.path.file_name().unwrap(), "step-00000007");
    }

    #[test]
    fn damaged_ones_are_passed_over_and_named() {
        type Damage = fn(&Path);
        let damages: [(&str, Damage); 5] = [
            ("does not match its checksum", |path| {
                let mut bytes = std::fs::read(path.join(OPTIMIZER)).unwrap();
                let last = bytes.len() - 1;
                bytes[last] ^= 1;
                std::fs::write(path.join(OPTIMIZER), bytes).unwrap();
            }),
            ("bytes instead of", |path| {
                let file = File::options().write(true).open(path.join(MODEL)).unwrap();
                file.set_len(10).unwrap();
            }),
            ("is missing", |path| {
                std::fs::remove_file(path.join(STATE)).unwrap()
            }),
            ("manifest.json is damaged", |path| {
                std::fs::write(path.join(MANIFEST), "").unwrap();
            }),
            ("newer fireside", |path| {
                std::fs::write(path.join(MANIFEST), r#"{"format_version":99}"#).unwrap();
            }),
        ];
        for (sentence, damage) in damages {
            let run = tempfile::tempdir().unwrap();
            save(run.path(), 100);
            let newest = save(run.path(), 200);
            damage(&newest.path);
            let loaded = load_newest(run.path()).unwrap();
            assert_eq!(loaded.entry.step, 100);
            assert_eq!(loaded.skipped.len(), 1, "{:?}", loaded.skipped);
            assert!(
                loaded.skipped[0].starts_with("step-00000200 was skipped")
                    && loaded.skipped[0].contains(sentence),
                "{:?}",
                loaded.skipped
            );
            for (path, reason) in loaded.damaged {
                mark_damaged(&path, &reason).unwrap();
            }
            // Still named, not among the newest, and not cleared away.
            save(run.path(), 300);
            assert_eq!(prune(run.path(), 1).unwrap(), [100]);
            assert!(newest.path.exists());
            assert_eq!(load_newest(run.path()).unwrap().skipped, loaded.skipped);
        }
    }

    #[test]
    fn nothing_whole_is_an_error_that_says_why() {
        let run = tempfile::tempdir().unwrap();
        assert!(matches!(
            load_newest(run.path()),
            Err(RunError::NoCheckpoint { .. })
        ));
        let entry = save(run.path(), 1);
        std::fs::write(entry.path.join(MODEL), "").unwrap();
        let message = load_newest(run.path()).unwrap_err().to_string();
        assert!(
            message.contains("model.safetensors has 0 bytes"),
            "{message}"
        );
    }

    #[test]
    fn the_same_step_twice_keeps_both_and_the_later_is_newer() {
        let run = tempfile::tempdir().unwrap();
        save(run.path(), 5);
        let second = write(run.path(), &meta(5), &sample(9.0)).unwrap();
        assert_eq!(second.path.file_name().unwrap(), "step-00000005-2");
        assert_eq!(load_newest(run.path()).unwrap().entry, second);
        // Back in time: a smaller step, written later, is what the run goes on from.
        let third = save(run.path(), 3);
        assert_eq!(load_newest(run.path()).unwrap().entry, third);
    }

    #[test]
    fn prune_keeps_the_newest_the_best_and_the_users() {
        let run = tempfile::tempdir().unwrap();
        for step in 1..=8 {
            let loss = [9.0, 5.0, 2.0, 3.0, 8.0, 8.0, 8.0, 8.0][step as usize - 1];
            let meta = CheckpointMeta {
                step,
                reason: if step == 1 {
                    CheckpointReason::User
                } else {
                    CheckpointReason::Best
                },
                best: step <= 3,
                val_loss: Some(loss),
            };
            write(run.path(), &meta, &sample(0.0)).unwrap();
        }
        let marked = entries(run.path())
            .into_iter()
            .find(|e| e.step == 4)
            .unwrap();
        keep(&marked).unwrap();
        let damaged = entries(run.path())
            .into_iter()
            .find(|e| e.step == 2)
            .unwrap();
        std::fs::write(damaged.path.join(MANIFEST), "x").unwrap();
        assert_eq!(prune(run.path(), 2).unwrap(), [6, 5]);
        let left: Vec<u64> = entries(run.path()).iter().map(|e| e.step).collect();
        assert_eq!(left, [8, 7, 4, 3, 1]);
        assert!(damaged.path.exists());
        let (_, entry, _) = load_model(run.path(), Which::Best).unwrap();
        assert_eq!(entry.step, 3);
    }

    #[test]
    fn a_failed_write_leaves_nothing_behind() {
        let run = tempfile::tempdir().unwrap();
        save(run.path(), 1);
        std::fs::create_dir(
            folder(run.path()).join(format!("{TEMPORARY}{}-2", std::process::id())),
        )
        .unwrap();
        assert!(write(run.path(), &meta(2), &sample(2.0)).is_err());
        assert_eq!(entries(run.path()).len(), 1);
        save(run.path(), 2);
        std::fs::create_dir(folder(run.path()).join(".tmp-1-9")).unwrap();
        sweep(run.path());
        assert_eq!(std::fs::read_dir(folder(run.path())).unwrap().count(), 2);
    }
}
