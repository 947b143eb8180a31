//! Why a dataset could not be prepared.

use crate::corpus::CorpusError;
use crate::tokenizer::TokenizerError;

/// The part of a text that is trained on.
pub(super) const TRAINING: &str = "training";

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

impl DataError {
    /// The keys of the configuration of which one has to be another, in the order in which they are worth changing; none where
    /// it is no matter of them.
    pub fn keys(&self) -> &'static [&'static str] {
        match self {
            DataError::TooSmall { part, .. } if *part == TRAINING => &[
                "train.batch_size",
                "model.context_length",
                "corpus.path",
                "corpus.name",
                "corpus.bytes",
            ],
            DataError::TooSmall { .. } => &[
                "model.context_length",
                "corpus.validation_fraction",
                "corpus.path",
                "corpus.name",
                "corpus.bytes",
            ],
            DataError::Tokenizer(TokenizerError::TooSmall { .. }) => &["tokenizer.vocab_size"],
            DataError::Corpus(_) | DataError::Tokenizer(_) | DataError::Stopped => &[],
        }
    }
}
