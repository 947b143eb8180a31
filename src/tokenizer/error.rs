//! What can go wrong with a tokenizer.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    #[error("cannot read {}: {error}", path.display())]
    Read {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("cannot write {}: {error}", path.display())]
    Write {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("not a tokenizer that fireside can use: {0}")]
    Unsupported(String),
    #[error("stopped while training the tokenizer")]
    Stopped,
}

/// Text that the vocabulary does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} at byte {position} is not in the tokenizer's vocabulary")]
pub struct UnknownText {
    /// Byte position in the text that was given.
    pub position: usize,
    /// The character or word.
    pub text: String,
}
