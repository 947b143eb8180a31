//! The arithmetic of the fused operations on plain slices: no tensor, no graph.
//!
//! Rows are shared out among rayon's threads in pieces whose size depends on the shapes alone, and sums
//! over pieces are taken in order: results do not depend on the number of threads.

pub mod activation;
pub mod additive;
pub mod attention;
pub mod cross_entropy;
pub mod embedding;
pub mod head;
pub mod layer_norm;
pub mod linear;
pub mod matmul;
pub mod recurrent;
#[cfg(test)]
mod sequence_tests;
pub mod sums;
#[cfg(test)]
mod tests;

/// Rows per piece of work: enough elements to be worth a hand-over between threads.
pub(crate) fn rows_per_piece(columns: usize) -> usize {
    const ELEMENTS: usize = 16 * 1024;
    (ELEMENTS / columns.max(1)).max(1)
}

/// A float32 buffer of this length, its contents unspecified but initialised.
///
/// Zeroed pages come from the allocator at no cost for large buffers.
pub(crate) fn buffer(len: usize) -> Vec<f32> {
    vec![0.0; len]
}
