//! Token ids, in memory or memory-mapped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::corpus::mapped::MappedFile;

/// Windows read from a mapped file before its pages are let go. A window brings in up to 64 KiB around it, so
/// that at most a quarter of a gigabyte stays resident.
const WINDOWS_RESIDENT: usize = 4096;

/// Bytes of one id, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    One = 1,
    Two = 2,
    Four = 4,
}

impl Width {
    /// The narrowest that holds the ids of a vocabulary.
    pub(super) fn of_vocabulary(size: usize) -> Self {
        match size {
            0..=0x100 => Width::One,
            0x101..=0x1_0000 => Width::Two,
            _ => Width::Four,
        }
    }

    pub(super) fn from_bytes(bytes: u64) -> Option<Self> {
        [Width::One, Width::Two, Width::Four]
            .into_iter()
            .find(|width| *width as u64 == bytes)
    }

    /// Appends `ids`; each must fit.
    pub(super) fn write(self, ids: &[u32], out: &mut Vec<u8>) {
        match self {
            Width::One => out.extend(ids.iter().map(|&id| id as u8)),
            Width::Two => ids
                .iter()
                .for_each(|&id| out.extend_from_slice(&(id as u16).to_le_bytes())),
            Width::Four => ids
                .iter()
                .for_each(|&id| out.extend_from_slice(&id.to_le_bytes())),
        }
    }

    fn read(self, bytes: &[u8], out: &mut Vec<u32>) {
        match self {
            Width::One => out.extend(bytes.iter().map(|&id| u32::from(id))),
            Width::Two => {
                let (ids, _) = bytes.as_chunks::<2>();
                out.extend(ids.iter().map(|id| u32::from(u16::from_le_bytes(*id))));
            }
            Width::Four => {
                let (ids, _) = bytes.as_chunks::<4>();
                out.extend(ids.iter().map(|id| u32::from_le_bytes(*id)));
            }
        }
    }
}

/// A sequence of token ids. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TokenIds {
    bytes: Bytes,
    width: Width,
    /// Byte range of this sequence.
    start: usize,
    len: usize,
}

#[derive(Debug, Clone)]
enum Bytes {
    Memory(Arc<Vec<u8>>),
    Mapped(Arc<Mapped>),
}

#[derive(Debug)]
struct Mapped {
    file: MappedFile,
    windows: AtomicUsize,
}

impl TokenIds {
    /// Ids held in memory.
    pub fn from_ids(ids: &[u32]) -> Self {
        let largest = ids.iter().max().map_or(0, |&id| id as usize);
        let width = Width::of_vocabulary(largest + 1);
        let mut bytes = Vec::with_capacity(ids.len() * width as usize);
        width.write(ids, &mut bytes);
        Self {
            bytes: Bytes::Memory(Arc::new(bytes)),
            width,
            start: 0,
            len: ids.len(),
        }
    }

    /// Two sequences, one behind the other in memory: the first `train` ids, and the rest.
    pub(super) fn pair_in_memory(bytes: Vec<u8>, width: Width, train: usize) -> (Self, Self) {
        let total = bytes.len() / width as usize;
        Self::pair(Bytes::Memory(Arc::new(bytes)), width, 0, train, total)
    }

    /// Two sequences, one behind the other in a file from byte `start` on.
    pub(super) fn pair_in_file(
        file: MappedFile,
        width: Width,
        start: usize,
        train: usize,
    ) -> (Self, Self) {
        let total = (file.len() - start) / width as usize;
        let windows = AtomicUsize::new(0);
        let bytes = Bytes::Mapped(Arc::new(Mapped { file, windows }));
        Self::pair(bytes, width, start, train, total)
    }

    fn pair(bytes: Bytes, width: Width, start: usize, train: usize, total: usize) -> (Self, Self) {
        let first = Self {
            bytes: bytes.clone(),
            width,
            start,
            len: train,
        };
        let second = Self {
            bytes,
            width,
            start: start + train * width as usize,
            len: total - train,
        };
        (first, second)
    }

    /// Number of ids.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// True when the ids are read from a memory-mapped file.
    pub fn is_mapped(&self) -> bool {
        matches!(self.bytes, Bytes::Mapped(_))
    }

    /// Replaces `out` by ids `start .. start + len`.
    ///
    /// # Panics
    /// When the window does not lie inside the sequence.
    pub fn window(&self, start: usize, len: usize, out: &mut Vec<u32>) {
        assert!(
            start.checked_add(len).is_some_and(|end| end <= self.len),
            "a window of {len} ids at {start} does not fit into {}",
            self.len
        );
        let width = self.width as usize;
        let from = self.start + start * width;
        let range = from..from + len * width;
        out.clear();
        match &self.bytes {
            Bytes::Memory(bytes) => self.width.read(&bytes[range], out),
            Bytes::Mapped(mapped) => {
                self.width.read(&mapped.file[range], out);
                if mapped.windows.fetch_add(1, Ordering::Relaxed) % WINDOWS_RESIDENT
                    == WINDOWS_RESIDENT - 1
                {
                    mapped.file.release();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_give_the_ids_at_every_width() {
        for largest in [255, 256, 65_535, 65_536, u32::MAX] {
            let ids = [0, largest, 7, largest - 1, 3];
            let sequence = TokenIds::from_ids(&ids);
            assert_eq!(sequence.len(), 5);
            let mut window = vec![9; 3];
            sequence.window(1, 3, &mut window);
            assert_eq!(window, ids[1..4]);
            sequence.window(5, 0, &mut window);
            assert!(window.is_empty());
        }
        assert!(TokenIds::from_ids(&[]).is_empty());
    }

    #[test]
    #[should_panic(expected = "a window of 3 ids at 1 does not fit into 3")]
    fn a_window_past_the_end_panics() {
        TokenIds::from_ids(&[1, 2, 3]).window(1, 3, &mut Vec::new());
    }

    #[test]
    fn a_pair_shares_its_bytes_without_overlap() {
        let mut bytes = Vec::new();
        Width::Two.write(&[1, 2, 3, 4, 5], &mut bytes);
        let (train, validation) = TokenIds::pair_in_memory(bytes, Width::Two, 3);
        let mut window = Vec::new();
        train.window(0, 3, &mut window);
        assert_eq!(window, [1, 2, 3]);
        validation.window(0, 2, &mut window);
        assert_eq!(window, [4, 5]);
        assert_eq!((train.len(), validation.len()), (3, 2));
    }
}
