//! Why a dataset could not be prepared.

use crate::corpus::CorpusError;
use crate::tokenizer::TokenizerError;

/// Why [`super::prepare`] failed.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    #[error(
        "the corpus `{corpus}` is too small: its {part} part has {tokens} tokens, but {reason} needs {needed}; {remedy}"
    )]
    TooSmall {
        corpus: String,
        /// `training` or `validation`.
        part: &'static str,
        tokens: u64,
        needed: u64,
        /// What needs that many, with the values of its keys.
        reason: String,
        /// Which keys to change.
        remedy: &'static str,
    },
    #[error("stopped while tokenising")]
    Stopped,
}
