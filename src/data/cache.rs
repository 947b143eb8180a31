//! Token ids on disk, so that a large text is tokenised once.
//!
//! A file `tokens/KEY.ids` in the cache folder holds a header and the ids of both parts, one behind the other. The
//! key is a hash of everything that decides the ids: the text, where it is split, and the tokenizer. Files are
//! written under another name and renamed when they are whole, so that two processes may prepare the same corpus
//! at once; whoever is last replaces equal bytes. Deleting the folder is always safe.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::ids::{TokenIds, Width};
use crate::corpus::Corpus;
use crate::corpus::mapped::MappedFile;
use crate::progress::{self, Progress};

const MAGIC: &[u8; 8] = b"FSIDS\0\0\x01";
/// The header is padded, so that ids of any width are aligned.
const HEADER: usize = 128;
/// Bytes that one task hashes.
const TASK: usize = 4 << 20;

pub(super) type Hash = [u8; 32];

/// What the header says besides the key: everything about the dataset but the ids.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Summary {
    pub(super) width: Width,
    pub(super) vocabulary: u64,
    pub(super) train_tokens: u64,
    pub(super) validation_tokens: u64,
    pub(super) unknown_validation: u64,
    pub(super) unigram_loss: f64,
}

/// Hash of a text: of the hashes of its pieces, so that it can be computed in parallel. `None` when stopped.
pub(super) fn content_hash(corpus: &Corpus, progress: &mut Progress<'_>) -> Option<Hash> {
    let bytes = corpus.text().as_bytes();
    let mut whole = Sha256::new();
    whole.update((bytes.len() as u64).to_le_bytes());
    let mut done = 0;
    for batch in bytes.chunks(TASK * 2 * rayon::current_num_threads()) {
        let pieces: Vec<Hash> = batch
            .par_chunks(TASK)
            .map(|piece| Sha256::digest(piece).into())
            .collect();
        pieces.iter().for_each(|hash| whole.update(hash));
        corpus.release();
        done += batch.len() as u64;
        if progress::stopped(progress, "checking the corpus", done, bytes.len() as u64) {
            return None;
        }
    }
    Some(whole.finalize().into())
}

/// A hash of several parts, each with its length.
pub(super) fn key(parts: &[&[u8]]) -> Hash {
    let mut hash = Sha256::new();
    hash.update(MAGIC);
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// The file of a key in one of the cache's folders.
pub(super) fn path(cache: &Path, folder: &str, key: &Hash, extension: &str) -> PathBuf {
    let name: String = key[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    cache.join(folder).join(format!("{name}.{extension}"))
}

fn header(key: &Hash, summary: &Summary) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..40].copy_from_slice(key);
    let numbers = [
        summary.width as u64,
        summary.vocabulary,
        summary.train_tokens,
        summary.validation_tokens,
        summary.unknown_validation,
        summary.unigram_loss.to_bits(),
    ];
    for (at, number) in numbers.into_iter().enumerate() {
        let at = 40 + 8 * at;
        bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
    }
    let check: Hash = Sha256::digest(&bytes[..88]).into();
    bytes[88..120].copy_from_slice(&check);
    bytes
}

fn read_header(bytes: &[u8], key: &Hash) -> Option<Summary> {
    let number = |at: usize| {
        let bytes = bytes.get(40 + 8 * at..48 + 8 * at)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    let summary = Summary {
        width: Width::from_bytes(number(0)?)?,
        vocabulary: number(1)?,
        train_tokens: number(2)?,
        validation_tokens: number(3)?,
        unknown_validation: number(4)?,
        unigram_loss: f64::from_bits(number(5)?),
    };
    (bytes.get(..HEADER)? == header(key, &summary)).then_some(summary)
}

/// Opens the file of `key`; `None` where there is none, or where it is damaged.
pub(super) fn open(path: &Path, key: &Hash) -> Option<(Summary, TokenIds, TokenIds)> {
    let file = File::open(path).ok()?;
    let mapped = MappedFile::open(&file).ok()?;
    let summary = read_header(&mapped, key)?;
    let tokens = summary
        .train_tokens
        .checked_add(summary.validation_tokens)?;
    let body = tokens.checked_mul(summary.width as u64)?;
    if body.checked_add(HEADER as u64)? != mapped.len() as u64 {
        return None;
    }
    let train = usize::try_from(summary.train_tokens).ok()?;
    let (train, validation) = TokenIds::pair_in_file(mapped, summary.width, HEADER, train);
    Some((summary, train, validation))
}

/// A name beside `path` that no other writer uses.
pub(super) fn temporary(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    path.with_extension(format!("{}-{count}.tmp", std::process::id()))
}

/// Writes a file of ids; what is not finished is removed.
pub(super) struct Writer {
    temporary: PathBuf,
    path: PathBuf,
    file: BufWriter<File>,
}

impl Writer {
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let temporary = temporary(path);
        let mut file = BufWriter::with_capacity(1 << 20, File::create(&temporary)?);
        file.write_all(&[0; HEADER])?;
        let path = path.to_path_buf();
        Ok(Self {
            temporary,
            path,
            file,
        })
    }

    pub(super) fn write(&mut self, ids: &[u8]) -> io::Result<()> {
        self.file.write_all(ids)
    }

    /// Completes the file and gives it its name.
    pub(super) fn finish(mut self, key: &Hash, summary: &Summary) -> io::Result<()> {
        self.file.flush()?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header(key, summary))?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        fs::rename(&self.temporary, &self.path)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // After a rename there is nothing left to remove.
        let _ = fs::remove_file(&self.temporary);
    }
}
