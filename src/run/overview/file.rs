//! `overview.bin`: a head, the buckets, the evaluations, a checksum; all numbers little-endian.
//!
//! ```text
//! "FSOV"  version u32  stride u64  covered u64  mark u64  buckets u32  evaluations u32
//! bucket:      step u64  tokens u64  seconds f64  mean f64  min f32  max f32  count u32  gaps u32
//! evaluation:  step u64  tokens u64  seconds f64  val_loss f64  bits_per_byte f64
//! checksum u64 of all before it
//! ```

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Bucket, Evaluation, MOST_BUCKETS, MOST_EVALUATIONS, Overview};

const MAGIC: &[u8; 4] = b"FSOV";
/// Another version is made again from the log.
const VERSION: u32 = 1;

/// FNV-1a over words of eight bytes: quick, and enough against what a crash leaves of a file.
pub fn checksum(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64 ^ bytes.len() as u64;
    let mut mix = |word: u64| {
        hash = (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        hash ^= hash >> 29;
    };
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        mix(u64::from_le_bytes(*word));
    }
    for byte in rest {
        mix(u64::from(*byte));
    }
    hash
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn f32(&mut self) -> Option<f32> {
        self.take().map(f32::from_le_bytes)
    }

    fn f64(&mut self) -> Option<f64> {
        self.take().map(f64::from_le_bytes)
    }
}

/// `None` for whatever cannot be used.
pub fn read(path: &Path) -> Option<Overview> {
    let bytes = std::fs::read(path).ok()?;
    let (body, sum) = bytes.split_last_chunk::<8>()?;
    if checksum(body) != u64::from_le_bytes(*sum) {
        return None;
    }
    let mut from = Reader(body);
    if from.take::<4>()? != *MAGIC || from.u32()? != VERSION {
        return None;
    }
    let (stride, covered, mark) = (from.u64()?, from.u64()?, from.u64()?);
    let (buckets, evaluations) = (from.u32()? as usize, from.u32()? as usize);
    let usable = (stride.is_power_of_two() || (stride == 0 && buckets == 0))
        && buckets <= MOST_BUCKETS
        && evaluations <= MOST_EVALUATIONS;
    if !usable {
        return None;
    }
    let mut bucket = || {
        Some(Bucket {
            step: from.u64()?,
            tokens: from.u64()?,
            seconds: from.f64()?,
            mean: from.f64()?,
            min: from.f32()?,
            max: from.f32()?,
            count: from.u32()?,
            gaps: from.u32()?,
        })
    };
    let buckets = (0..buckets).map(|_| bucket()).collect::<Option<Vec<_>>>()?;
    let mut evaluation = || {
        Some(Evaluation {
            step: from.u64()?,
            tokens: from.u64()?,
            seconds: from.f64()?,
            val_loss: from.f64()?,
            bits_per_byte: from.f64()?,
        })
    };
    let evaluations = (0..evaluations)
        .map(|_| evaluation())
        .collect::<Option<Vec<_>>>()?;
    from.0.is_empty().then_some(Overview {
        buckets,
        evaluations,
        stride,
        covered,
        mark,
    })
}

fn encode(overview: &Overview) -> Vec<u8> {
    let mut bytes =
        Vec::with_capacity(64 + overview.buckets.len() * 48 + overview.evaluations.len() * 40);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    for number in [overview.stride, overview.covered, overview.mark] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    for length in [overview.buckets.len(), overview.evaluations.len()] {
        // Both are bounded far below.
        bytes.extend_from_slice(&(length as u32).to_le_bytes());
    }
    for bucket in &overview.buckets {
        bytes.extend_from_slice(&bucket.step.to_le_bytes());
        bytes.extend_from_slice(&bucket.tokens.to_le_bytes());
        bytes.extend_from_slice(&bucket.seconds.to_le_bytes());
        bytes.extend_from_slice(&bucket.mean.to_le_bytes());
        bytes.extend_from_slice(&bucket.min.to_le_bytes());
        bytes.extend_from_slice(&bucket.max.to_le_bytes());
        bytes.extend_from_slice(&bucket.count.to_le_bytes());
        bytes.extend_from_slice(&bucket.gaps.to_le_bytes());
    }
    for evaluation in &overview.evaluations {
        bytes.extend_from_slice(&evaluation.step.to_le_bytes());
        bytes.extend_from_slice(&evaluation.tokens.to_le_bytes());
        bytes.extend_from_slice(&evaluation.seconds.to_le_bytes());
        bytes.extend_from_slice(&evaluation.val_loss.to_le_bytes());
        bytes.extend_from_slice(&evaluation.bits_per_byte.to_le_bytes());
    }
    let sum = checksum(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// Beside its place under a name that no other writer uses, then renamed. Not synced: what a crash leaves is noticed by its
/// checksum, and a cache is not worth waiting for a disk.
pub fn write(path: &Path, overview: &Overview) -> std::io::Result<()> {
    static WRITERS: AtomicU64 = AtomicU64::new(0);
    let writer = WRITERS.fetch_add(1, Ordering::Relaxed);
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".tmp-{}-{writer}", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let written = std::fs::File::create(&temporary)
        .and_then(|mut file| file.write_all(&encode(overview)))
        .and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    written
}
