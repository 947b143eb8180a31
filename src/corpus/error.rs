//! What can be wrong with a corpus.

/// Why a corpus could not be opened. Every message names the source and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    #[error("corpus `{source_name}` is empty")]
    Empty { source_name: String },
    #[error("stopped while reading the corpus")]
    Stopped,
}
