//! Fused CPU operations behind burn's backend extension, each with a composed form that every backend can run.
//!
//! - [`simd`]: run-time choice of vector instructions, and the element-wise mathematics.
//! - [`cpu`]: the operations on plain slices, forward and backward.
//!
//! The composed forms are in `model::layers`, one function per operation that a kernel here may take over. So far
//! no operation is taken over: the slices are not yet wired to tensors.

pub mod cpu;
pub mod simd;
