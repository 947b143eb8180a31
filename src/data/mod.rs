//! From a corpus to token ids that a trainer can draw windows from.

mod error;
mod ids;

pub use error::DataError;
pub use ids::TokenIds;

use std::sync::Arc;

use crate::config::RunConfig;
use crate::progress::Progress;
use crate::tokenizer::Tokenizer;

/// What [`prepare`] hands to a run.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub tokenizer: Arc<Tokenizer>,
    pub dataset: Arc<Dataset>,
    /// What the user should know: text that was replaced, a cache that could not be written.
    pub notices: Vec<String>,
}

/// Both parts of a tokenised corpus.
#[derive(Debug)]
pub struct Dataset {
    pub train: TokenIds,
    pub validation: TokenIds,
    /// Bytes of text in the training part.
    pub train_bytes: u64,
    /// Bytes of text in the validation part; with nats, gives bits per byte.
    pub validation_bytes: u64,
    /// Validation tokens that are `<unk>`.
    pub unknown_validation: u64,
    /// Cross-entropy, in nats per token, of the validation part under the add-one-smoothed token frequencies of
    /// the training part: what a model without any context can reach.
    pub unigram_loss: f64,
    /// Entropy of the source in bits per byte, where it is known; `true` when exact, `false` for a bound.
    pub source_entropy: Option<(f64, bool)>,
}

/// Opens the corpus of `config`, trains its tokenizer (or takes the one given, when a run is resumed) and
/// tokenises both parts.
pub fn prepare(
    config: &RunConfig,
    tokenizer: Option<Tokenizer>,
    progress: &mut Progress<'_>,
) -> Result<Prepared, DataError> {
    let corpus = crate::corpus::open(&config.corpus, progress)?;
    let tokenizer = match tokenizer {
        Some(tokenizer) => tokenizer,
        None => Tokenizer::train(&config.tokenizer, corpus.text(), progress)?,
    };
    let (train, validation) = corpus.split(config.corpus.validation_fraction);
    let dataset = Dataset {
        train: TokenIds::from_ids(&tokenizer.encode(train)),
        validation: TokenIds::from_ids(&tokenizer.encode(validation)),
        train_bytes: train.len() as u64,
        validation_bytes: validation.len() as u64,
        unknown_validation: 0,
        unigram_loss: 0.0,
        source_entropy: corpus.source_entropy,
    };
    Ok(Prepared {
        tokenizer: Arc::new(tokenizer),
        dataset: Arc::new(dataset),
        notices: corpus.notices,
    })
}
