//! Reading: every file is held against the manifest before anything of it is used.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::manifest::Manifest;
use super::{
    CARRIED, COPIES, Checkpoint, CheckpointEntry, Loaded, MANIFEST, MODEL, OPTIMIZER, STATE, Which,
    entries, hex, scan,
};
use crate::config::RunConfig;
use crate::run::{RunError, RunFile};
use crate::state::NamedTensor;

/// Reads and verifies one file against the manifest.
fn read_file(path: &Path, manifest: &Manifest, name: &str) -> Result<Vec<u8>, String> {
    let expected = manifest
        .file(name)
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

fn read_all(run: &Path, path: &Path) -> Result<Checkpoint, String> {
    let manifest = Manifest::read(path)?;
    let state = read_file(path, &manifest, STATE)?;
    belongs(run, path, &manifest)?;
    Ok(Checkpoint {
        model: read_tensors(path, &manifest, MODEL)?,
        optimizer: read_tensors(path, &manifest, OPTIMIZER)?,
        carried: read_tensors(path, &manifest, CARRIED)?,
        state: serde_json::from_slice(&state)
            .map_err(|error| format!("{STATE} is damaged: {error}"))?,
    })
}

/// That a checkpoint is this run's own, as its copies of the run's configuration and tokenizer tell. One from before there were
/// copies, or of a run that has lost the files, is taken at its word.
fn belongs(run: &Path, path: &Path, manifest: &Manifest) -> Result<(), String> {
    for copy in COPIES {
        let name = copy.name();
        if manifest.file(name).is_none() {
            continue;
        }
        let theirs = read_file(path, manifest, name)?;
        let Ok(ours) = std::fs::read(run.join(name)) else {
            continue;
        };
        let differences = match copy {
            RunFile::Config => config_differences(&ours, &theirs),
            _ if ours != theirs => vec!["tokenizer"],
            _ => Vec::new(),
        };
        if !differences.is_empty() {
            return Err(format!(
                "it is of another run: its {name} has another {}",
                differences.join(", ")
            ));
        }
    }
    Ok(())
}

/// Parts of the configuration that stay the same for as long as a run lives. A file that cannot be read differs in nothing: that
/// is for whoever reads it next to say.
fn config_differences(ours: &[u8], theirs: &[u8]) -> Vec<&'static str> {
    let parse = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).ok()?;
        RunConfig::from_toml(RunFile::Config.name(), text).ok()
    };
    match (parse(ours), parse(theirs)) {
        (Some(ours), Some(theirs)) => ours.another_run(&theirs),
        _ => Vec::new(),
    }
}

/// The checkpoint of this name, whole.
///
/// # Errors
/// A sentence: why it cannot be used, and which can.
pub fn load(run: &Path, name: &str) -> Result<Loaded, String> {
    let (entries, broken) = scan(run);
    let found = entries.into_iter().find(|entry| entry.name() == name);
    let Some(entry) = found else {
        let why = broken.into_iter().find(|broken| broken.name == name);
        return Err(match why {
            Some(broken) => format!("{name} cannot be used: {}", broken.reason),
            None => format!("there is no checkpoint {name}"),
        });
    };
    match read_all(run, &entry.path) {
        Ok(checkpoint) => Ok(Loaded {
            checkpoint,
            entry,
            skipped: Vec::new(),
            damaged: Vec::new(),
        }),
        Err(reason) => Err(format!("{name} cannot be used: {reason}")),
    }
}

/// The newest checkpoint that is whole and not of a branch that was left. Damaged ones are passed over and named, never deleted.
///
/// # Errors
/// [`RunError::NoCheckpoint`] when none is left.
pub fn load_newest(run: &Path) -> Result<Loaded, RunError> {
    let mut candidates = entries(run);
    candidates.retain(|entry| !entry.left);
    let found = first_whole(run, candidates, |path| read_all(run, path))?;
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
        Which::Newest => candidates.retain(|entry| !entry.left),
        Which::Best => candidates.sort_by(|a, b| {
            let loss = |entry: &CheckpointEntry| entry.val_loss.unwrap_or(f64::INFINITY);
            loss(a).total_cmp(&loss(b))
        }),
        Which::Step(step) => candidates.retain(|entry| entry.step == step),
    }
    let found = first_whole(run, candidates, |path| {
        let manifest = Manifest::read(path)?;
        belongs(run, path, &manifest)?;
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
