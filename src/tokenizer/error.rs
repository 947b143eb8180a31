//! What can go wrong with a tokenizer.

use std::path::PathBuf;

/// Why a tokenizer could not be trained, read or written.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    #[error("cannot read the tokenizer {}: {error}", path.display())]
    Read {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("cannot write the tokenizer {}: {error}", path.display())]
    Write {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("not a tokenizer.json: {0}")]
    Malformed(String),
    #[error(
        "this tokenizer.json is none of the kinds that fireside uses (char, word, byte-level BPE): {0}"
    )]
    Unsupported(String),
    #[error(
        "tokenizer.vocab_size is {given}, but byte-level BPE starts from 256 bytes: at least 256 is needed"
    )]
    TooSmall { given: usize },
    #[error("training the tokenizer failed: {0}")]
    Train(String),
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
