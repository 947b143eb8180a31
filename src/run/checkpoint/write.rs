//! Writing: beside its place, synced, then renamed.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::manifest::{FileEntry, Manifest};
use super::{
    CARRIED, COPIES, Checkpoint, CheckpointEntry, CheckpointMeta, MANIFEST, MODEL, OPTIMIZER,
    STATE, TEMPORARY, entry, folder, hex, scan,
};
use crate::run::dir::{now, sync_parent};
use crate::run::{FORMAT_VERSION, RunError, RunFile};
use crate::state::NamedTensor;

/// Writes a checkpoint beside its place, syncs every file and renames the folder into place. Its config.toml is the run's.
///
/// # Errors
/// I/O errors; what was written so far is then taken away again, and nothing else is touched.
pub fn write(
    run: &Path,
    meta: &CheckpointMeta,
    checkpoint: &Checkpoint,
) -> Result<CheckpointEntry, RunError> {
    write_with(run, meta, checkpoint, None)
}

/// As [`write()`], with a config.toml of its own: that of the run may be of a later step by now.
///
/// # Errors
/// As [`write()`].
pub fn write_with(
    run: &Path,
    meta: &CheckpointMeta,
    checkpoint: &Checkpoint,
    config: Option<&str>,
) -> Result<CheckpointEntry, RunError> {
    let folder = folder(run);
    std::fs::create_dir_all(&folder).map_err(RunError::io("make", &folder))?;
    let (existing, _) = scan(run);
    let sequence = existing.first().map_or(1, |entry| entry.sequence + 1);
    let temporary = folder.join(format!("{TEMPORARY}{}-{sequence}", std::process::id()));
    let content = Content {
        meta,
        checkpoint,
        config,
    };
    let result = write_into(run, &temporary, sequence, content)
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

/// What goes into a checkpoint's folder.
struct Content<'a> {
    meta: &'a CheckpointMeta,
    checkpoint: &'a Checkpoint,
    config: Option<&'a str>,
}

fn write_into(
    run: &Path,
    path: &Path,
    sequence: u64,
    content: Content<'_>,
) -> std::io::Result<Manifest> {
    let Content {
        meta,
        checkpoint,
        config,
    } = content;
    std::fs::create_dir(path)?;
    let state = serde_json::to_vec_pretty(&checkpoint.state).map_err(std::io::Error::other)?;
    let mut files = vec![
        write_tensors(path, MODEL, &checkpoint.model)?,
        write_tensors(path, OPTIMIZER, &checkpoint.optimizer)?,
        write_tensors(path, CARRIED, &checkpoint.carried)?,
        write_file(path, STATE, |out| out.write_all(&state))?,
    ];
    for copy in COPIES {
        let bytes = match (copy, config) {
            (RunFile::Config, Some(config)) => Ok(config.as_bytes().to_vec()),
            _ => std::fs::read(run.join(copy.name())),
        };
        match bytes {
            Ok(bytes) => files.push(write_file(path, copy.name(), |out| out.write_all(&bytes))?),
            // What the run has lost the checkpoint cannot have.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
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
        checksum: String::new(),
    };
    let (manifest, bytes) = manifest.sealed().map_err(std::io::Error::other)?;
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
