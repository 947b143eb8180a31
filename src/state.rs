//! Tensors as plain data: what a snapshot of a model or an optimizer is made of.
//!
//! Keyed by the parameter's path in the module (`blocks.0.attention.query.weight`), which, unlike burn's
//! parameter id, is the same in every process. float32 values pass through unchanged, bit for bit.

/// One tensor, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    pub name: String,
    pub shape: Vec<usize>,
    pub data: Vec<f32>,
}

/// A set of tensors did not fit what it was loaded into.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    #[error("tensor `{0}` is missing")]
    Missing(String),
    #[error("tensor `{name}` has shape {found:?}, expected {expected:?}")]
    Shape {
        name: String,
        expected: Vec<usize>,
        found: Vec<usize>,
    },
    #[error("tensor `{0}` is not part of this model")]
    Unexpected(String),
}
