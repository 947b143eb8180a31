//! Why a dataset could not be prepared.

use crate::corpus::CorpusError;
use crate::tokenizer::TokenizerError;

#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    #[error("stopped while tokenising")]
    Stopped,
}
