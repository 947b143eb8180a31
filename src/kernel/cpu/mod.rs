//! The arithmetic of the fused operations on plain slices: no tensor, no graph.
//!
//! Rows are shared out among rayon's threads in pieces whose size depends on the shapes alone, and sums
//! over pieces are taken in order: results do not depend on the number of threads.

use std::mem::MaybeUninit;

pub mod activation;
pub mod additive;
pub mod attention;
pub mod cross_entropy;
pub mod dot_attention;
pub mod embedding;
pub mod head;
pub mod layer_norm;
pub mod linear;
pub mod matmul;
pub mod panels;
pub mod recurrent;
#[cfg(test)]
mod sequence_tests;
pub mod shared;
pub mod sublayer;
pub mod sums;
pub mod team;
#[cfg(test)]
mod tests;
pub mod tile;
pub mod transpose;

/// Rows per piece of work: enough elements to be worth a hand-over between threads.
pub(crate) fn rows_per_piece(columns: usize) -> usize {
    const ELEMENTS: usize = 16 * 1024;
    (ELEMENTS / columns.max(1)).max(1)
}

/// A float32 buffer of this length, all zeros.
pub(crate) fn buffer(len: usize) -> Vec<f32> {
    vec![0.0; len]
}

/// Memory for a result that is written once: it is not filled with zeros first.
pub(crate) struct Unwritten {
    values: Vec<f32>,
    len: usize,
}

impl Unwritten {
    pub(crate) const fn none() -> Self {
        let values = Vec::new();
        Self { values, len: 0 }
    }

    pub(crate) fn new(len: usize) -> Self {
        let values = Vec::with_capacity(len);
        Self { values, len }
    }

    /// The places to write to.
    pub(crate) fn slots(&mut self) -> &mut [MaybeUninit<f32>] {
        &mut self.values.spare_capacity_mut()[..self.len]
    }

    /// # Safety
    ///
    /// Every slot must have been written.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn written(mut self) -> Vec<f32> {
        // SAFETY: the capacity is at least `len`; that all of it is initialised is the caller's promise.
        unsafe { self.values.set_len(self.len) };
        self.values
    }
}
