//! Where each point of a series lies: step and tokens as runs of equal strides, seconds as offsets.
//!
//! Steps count by one and tokens by the batch, so a million of them are a handful of straight pieces; an
//! irregular stretch costs a piece for every two points and stays exact.

use super::chunked::{CHUNK, Chunked};

#[derive(Debug, Clone, Copy)]
struct Piece {
    start: usize,
    first: u64,
    stride: u64,
}

/// A non-decreasing sequence of whole numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Progression {
    pieces: Vec<Piece>,
    len: usize,
}

impl Progression {
    /// Adds a value; one below the last is taken as the last, so that the sequence stays searchable.
    pub fn push(&mut self, value: u64) {
        let value = self.last().map_or(value, |last| value.max(last));
        let index = self.len;
        self.len += 1;
        if let Some(piece) = self.pieces.last_mut() {
            let within = index - piece.start;
            if within == 1 {
                piece.stride = value - piece.first;
                return;
            }
            if piece.first + piece.stride * within as u64 == value {
                return;
            }
        }
        self.pieces.push(Piece {
            start: index,
            first: value,
            stride: 0,
        });
    }

    pub fn last(&self) -> Option<u64> {
        self.len.checked_sub(1).map(|index| self.get(index))
    }

    /// The value at `index`; past the end the last piece goes on.
    pub fn get(&self, index: usize) -> u64 {
        let after = self.pieces.partition_point(|piece| piece.start <= index);
        match after.checked_sub(1).map(|at| self.pieces[at]) {
            Some(piece) => piece.first + piece.stride * (index - piece.start) as u64,
            None => 0,
        }
    }

    pub fn truncate(&mut self, len: usize) {
        if len >= self.len {
            return;
        }
        let keep = self.pieces.partition_point(|piece| piece.start < len);
        self.pieces.truncate(keep);
        self.len = len;
    }

    pub fn bytes(&self) -> usize {
        self.pieces.capacity() * size_of::<Piece>()
    }
}

/// Non-decreasing seconds: `f32` offsets from an exact base for each chunk.
#[derive(Debug, Clone, Default)]
pub(super) struct Seconds {
    bases: Vec<f64>,
    offsets: Chunked<f32>,
    last: f64,
}

impl Seconds {
    pub fn push(&mut self, value: f64) {
        let value = if value.is_finite() { value } else { self.last };
        let value = if self.offsets.len() == 0 {
            value
        } else {
            value.max(self.last)
        };
        self.last = value;
        if self.offsets.len().is_multiple_of(CHUNK) {
            self.bases.push(value);
        }
        let base = self.bases.last().copied().unwrap_or(value);
        self.offsets.push((value - base) as f32);
    }

    pub fn get(&self, index: usize) -> f64 {
        self.bases[index / CHUNK] + f64::from(self.offsets.get(index))
    }

    pub fn truncate(&mut self, len: usize) {
        if len >= self.offsets.len() {
            return;
        }
        self.offsets.truncate(len);
        self.bases.truncate(len.div_ceil(CHUNK));
        self.last = len.checked_sub(1).map_or(0.0, |index| self.get(index));
    }

    pub fn bytes(&self) -> usize {
        self.offsets.bytes() + self.bases.capacity() * size_of::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn any_non_decreasing_sequence_is_kept_exactly(
            strides in prop::collection::vec((0u64..5, 1usize..40), 1..40),
            cut in 0usize..800,
        ) {
            let mut expected = Vec::new();
            let mut value = 7;
            for (stride, count) in strides {
                for _ in 0..count {
                    value += stride;
                    expected.push(value);
                }
            }
            let mut progression = Progression::default();
            for &value in &expected {
                progression.push(value);
            }
            let cut = cut.min(expected.len());
            progression.truncate(cut);
            for &value in &expected[cut..] {
                progression.push(value);
            }
            for (index, &value) in expected.iter().enumerate() {
                prop_assert_eq!(progression.get(index), value);
            }
        }
    }

    #[test]
    fn a_million_steps_are_one_piece() {
        let mut progression = Progression::default();
        for step in 1..=1_000_000 {
            progression.push(step);
        }
        assert_eq!(progression.pieces.len(), 1);
        assert_eq!(progression.get(999_999), 1_000_000);
    }

    #[test]
    fn seconds_never_run_backwards() {
        let mut seconds = Seconds::default();
        for value in [1.0, 2.5, 2.0, f64::NAN, 4.0] {
            seconds.push(value);
        }
        let all: Vec<f64> = (0..5).map(|index| seconds.get(index)).collect();
        assert_eq!(all, [1.0, 2.5, 2.5, 2.5, 4.0]);
    }
}
