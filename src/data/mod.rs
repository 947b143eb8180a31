//! From a corpus to token ids that a trainer can draw windows from.
//!
//! Small texts are tokenised into memory at every start. Large ones are tokenised once, into a file in the cache
//! folder that is memory-mapped (see `cache`); where that file cannot be written, into memory, with a notice.

mod cache;
mod encode;
mod error;
mod ids;
#[cfg(test)]
mod tests;

pub use error::DataError;
pub use ids::TokenIds;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{BatchingKind, Finding, RunConfig, TokenizerConfig, TokenizerKind};
use crate::corpus::{self, Corpus, CorpusError, folders};
use crate::progress::{Progress, Update};
use crate::tokenizer::Tokenizer;

use cache::{Hash, Summary};
use encode::{Encoding, Failure, unigram_loss};
use ids::Width;

/// Texts from this size on have their ids, and their tokenizer, cached on disk.
const CACHED_FROM: usize = 8 << 20;

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
///
/// # Errors
/// When the corpus cannot be read, is too small for one batch and one validation window, or `progress` says stop.
pub fn prepare(
    config: &RunConfig,
    tokenizer: Option<Tokenizer>,
    progress: &mut Progress<'_>,
) -> Result<Prepared, DataError> {
    let corpus = corpus::open(&config.corpus, progress)?;
    prepare_corpus(config, corpus, tokenizer, progress)
}

/// As [`prepare`], for a corpus that is already open.
pub fn prepare_corpus(
    config: &RunConfig,
    corpus: Corpus,
    tokenizer: Option<Tokenizer>,
    progress: &mut Progress<'_>,
) -> Result<Prepared, DataError> {
    let cache = match corpus.text().len() >= CACHED_FROM {
        true => folders::cache(),
        false => None,
    };
    prepare_with_cache(config, corpus, tokenizer, cache, progress)
}

fn prepare_with_cache(
    config: &RunConfig,
    mut corpus: Corpus,
    tokenizer: Option<Tokenizer>,
    cache: Option<PathBuf>,
    progress: &mut Progress<'_>,
) -> Result<Prepared, DataError> {
    let mut notices = std::mem::take(&mut corpus.notices);
    let fraction = config.corpus.validation_fraction;
    let store = match cache {
        Some(folder) => {
            let content = cache::content_hash(&corpus, progress).ok_or(DataError::Stopped)?;
            let cut = corpus.split(fraction).0.len();
            Some(Store {
                folder,
                content,
                cut,
            })
        }
        None => None,
    };
    let tokenizer = match tokenizer {
        Some(tokenizer) => tokenizer,
        None => {
            let wanted = &config.tokenizer;
            let tokenizer = train_tokenizer(wanted, &corpus, fraction, store.as_ref(), progress)?;
            let size = tokenizer.vocab_size();
            if wanted.kind == TokenizerKind::Bpe && size < wanted.vocab_size {
                notices.push(format!(
                    "tokenizer.vocab_size = {}: this text has no more than {size} byte-pair pieces",
                    wanted.vocab_size
                ));
            }
            tokenizer
        }
    };
    let tokenised = Tokenising {
        corpus: &corpus,
        tokenizer: &tokenizer,
        fraction,
    }
    .run(store.as_ref(), &mut notices, progress)?;
    check_size(config, &corpus.name, &tokenised)?;
    let (train, validation) = corpus.split(fraction);
    let dataset = Dataset {
        train: tokenised.train,
        validation: tokenised.validation,
        train_bytes: train.len() as u64,
        validation_bytes: validation.len() as u64,
        unknown_validation: tokenised.summary.unknown_validation,
        unigram_loss: tokenised.summary.unigram_loss,
        source_entropy: corpus.source_entropy,
    };
    Ok(Prepared {
        tokenizer: Arc::new(tokenizer),
        dataset: Arc::new(dataset),
        notices,
    })
}

/// Where the results for one text may lie on disk.
struct Store {
    folder: PathBuf,
    content: Hash,
    /// Byte at which the text is split.
    cut: usize,
}

impl Store {
    fn key(&self, what: &[u8]) -> Hash {
        cache::key(&[&self.content, &(self.cut as u64).to_le_bytes(), what])
    }
}

fn train_tokenizer(
    config: &TokenizerConfig,
    corpus: &Corpus,
    fraction: f64,
    store: Option<&Store>,
    progress: &mut Progress<'_>,
) -> Result<Tokenizer, DataError> {
    let path = store.map(|store| {
        let key = store.key(format!("{config:?}").as_bytes());
        cache::path(&store.folder, "tokenizers", &key, "json")
    });
    if let Some(path) = &path
        && let Ok(known) = Tokenizer::load(path)
        && known.kind() == config.kind
    {
        return Ok(known);
    }
    let text = match config.kind {
        TokenizerKind::Char => corpus.text(),
        TokenizerKind::Word | TokenizerKind::Bpe => corpus.split(fraction).0,
    };
    let tokenizer = Tokenizer::train(config, text, &mut |update: Update<'_>| {
        corpus.release();
        progress(update)
    })?;
    if let Some(path) = path {
        // Only a convenience: what cannot be kept is trained again.
        let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
        let _ = folder.map(|()| tokenizer.save(&path));
    }
    Ok(tokenizer)
}

struct Tokenised {
    train: TokenIds,
    validation: TokenIds,
    summary: Summary,
}

struct Tokenising<'a> {
    corpus: &'a Corpus,
    tokenizer: &'a Tokenizer,
    fraction: f64,
}

impl Tokenising<'_> {
    fn run(
        &self,
        store: Option<&Store>,
        notices: &mut Vec<String>,
        progress: &mut Progress<'_>,
    ) -> Result<Tokenised, DataError> {
        let Some(store) = store else {
            return self.in_memory(progress);
        };
        let key = store.key(self.tokenizer.to_json().as_bytes());
        let path = cache::path(&store.folder, "tokens", &key, "ids");
        if let Some(found) = self.open(&path, &key) {
            return Ok(found);
        }
        let failed = match self.to_file(&path, &key, progress) {
            Ok(()) => match self.open(&path, &key) {
                Some(written) => return Ok(written),
                None => io::Error::other("what was written cannot be read back"),
            },
            Err(Failure::Stopped) => return Err(DataError::Stopped),
            Err(Failure::Sink(error)) => error,
        };
        notices.push(format!(
            "the token ids are held in memory, because the cache {} cannot be used: {failed} (FIRESIDE_CACHE moves it)",
            store.folder.display()
        ));
        self.in_memory(progress)
    }

    fn open(&self, path: &std::path::Path, key: &Hash) -> Option<Tokenised> {
        let (summary, train, validation) = cache::open(path, key)?;
        (summary.vocabulary == self.tokenizer.vocab_size() as u64).then_some(Tokenised {
            train,
            validation,
            summary,
        })
    }

    fn in_memory(&self, progress: &mut Progress<'_>) -> Result<Tokenised, DataError> {
        let mut bytes = Vec::new();
        let summary = self
            .both(progress, &mut |ids| {
                bytes.extend_from_slice(ids);
                Ok(())
            })
            .map_err(|_| DataError::Stopped)?;
        let train = summary.train_tokens as usize;
        let (train, validation) = TokenIds::pair_in_memory(bytes, summary.width, train);
        Ok(Tokenised {
            train,
            validation,
            summary,
        })
    }

    fn to_file(
        &self,
        path: &std::path::Path,
        key: &Hash,
        progress: &mut Progress<'_>,
    ) -> Result<(), Failure> {
        let mut writer = cache::Writer::create(path).map_err(Failure::Sink)?;
        let summary = self.both(progress, &mut |ids| writer.write(ids))?;
        writer.finish(key, &summary).map_err(Failure::Sink)
    }

    /// Tokenises both parts, the training part first.
    fn both(
        &self,
        progress: &mut Progress<'_>,
        sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<Summary, Failure> {
        let vocabulary = self.tokenizer.vocab_size();
        let width = Width::of_vocabulary(vocabulary);
        let encoding = Encoding {
            corpus: self.corpus,
            tokenizer: self.tokenizer,
            width,
        };
        let (train, validation) = self.corpus.split(self.fraction);
        let trained = encoding.run(train, 0, progress, sink)?;
        let validated = encoding.run(validation, train.len() as u64, progress, sink)?;
        let unknown = self.tokenizer.unknown_id();
        Ok(Summary {
            width,
            vocabulary: vocabulary as u64,
            train_tokens: trained.iter().sum(),
            validation_tokens: validated.iter().sum(),
            unknown_validation: unknown.map_or(0, |id| validated[id as usize]),
            unigram_loss: unigram_loss(&trained, &validated),
        })
    }
}

/// Tokens that a run needs to make one batch of. A window is a context and the token after it. Random windows may overlap,
/// streams may not.
fn batch_tokens(config: &RunConfig) -> u64 {
    let context = config.model.context_length() as u64;
    let batch = config.train.batch_size as u64;
    match config.train.batching {
        BatchingKind::Random => batch * context + 1,
        BatchingKind::Stream => batch * (context + 1),
    }
}

/// What can be seen to be wrong with the corpus of `config` before it is read: sources that are not there or are no text, and a
/// text that is too small. A corpus of the catalog that is not on this machine is not judged: it can be fetched. For
/// [`crate::config::load_looking`].
pub fn foresee(config: &RunConfig, sound: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    const OF_THE_CORPUS: [&str; 4] = [
        "corpus.path",
        "corpus.name",
        "corpus.lossy",
        "corpus.validation_fraction",
    ];
    const OF_A_BATCH: [&str; 5] = [
        "corpus.bytes",
        "train.batch_size",
        "train.batching",
        "model.kind",
        "model.context_length",
    ];
    if !OF_THE_CORPUS.into_iter().all(sound) {
        return Vec::new();
    }
    let mut problems = corpus::problems(&config.corpus);
    problems.retain(|problem| !matches!(problem, CorpusError::NotFetched { .. }));
    if !problems.is_empty() {
        let keys = || vec!["corpus.path", "corpus.name"];
        let found = problems.into_iter();
        return found.map(|problem| (keys(), problem.to_string())).collect();
    }
    if !OF_A_BATCH.into_iter().all(sound) {
        return Vec::new();
    }
    match foresee_size(config) {
        Ok(()) => Vec::new(),
        Err((keys, message)) => vec![(keys.to_vec(), message)],
    }
}

/// Whether the corpus of `config` can be seen to be too small before it is read: it has fewer bytes than a batch or a window has
/// tokens, and a token is at least a byte. A text that is not there is not judged.
///
/// # Errors
/// The keys that have to do with it, and a sentence.
fn foresee_size(config: &RunConfig) -> Result<(), (&'static [&'static str], String)> {
    let corpus = &config.corpus;
    let (source, keys): (&str, &[&'static str]) = match (corpus.path.is_empty(), &*corpus.name) {
        (false, _) => (
            "corpus.path",
            &["corpus.path", "train.batch_size", "model.context_length"],
        ),
        (true, "stories") => (
            "corpus.bytes",
            &["corpus.bytes", "train.batch_size", "model.context_length"],
        ),
        (true, _) => (
            "corpus.name",
            &["corpus.name", "train.batch_size", "model.context_length"],
        ),
    };
    let Ok(Some(bytes)) = corpus::known_bytes(corpus) else {
        return Ok(());
    };
    // A byte that is replaced becomes a character of three.
    let most = if corpus.lossy { 3 * bytes } else { bytes };
    // As the text is cut in two; a character that is not cut through goes to validation.
    let training = (most as f64 * (1.0 - corpus.validation_fraction)) as u64;
    let validation = most - training.saturating_sub(4);
    let context = config.model.context_length() as u64;
    let batch = config.train.batch_size;
    let needs = batch_tokens(config);
    let too_small = |part: &str, at_most: u64, needs: u64, reason: String| {
        let message = format!(
            "{source}: the text has {bytes} bytes, so its {part} part has at most {at_most} tokens, but {reason} needs {needs}"
        );
        Err((keys, message))
    };
    if training < needs {
        let reason =
            format!("one batch (train.batch_size {batch} × model.context_length {context})");
        return too_small("training", training, needs, reason);
    }
    if validation < context + 1 {
        let reason = format!("one window (model.context_length {context})");
        return too_small("validation", validation, context + 1, reason);
    }
    Ok(())
}

/// A run needs one batch to train on and one window to validate on.
fn check_size(config: &RunConfig, corpus: &str, tokenised: &Tokenised) -> Result<(), DataError> {
    let context = config.model.context_length() as u64;
    let batch = config.train.batch_size as u64;
    let training = batch_tokens(config);
    let too_small = |part, tokens, needed, reason, remedy| DataError::TooSmall {
        corpus: corpus.to_string(),
        part,
        tokens,
        needed,
        reason,
        remedy,
    };
    let tokens = tokenised.train.len() as u64;
    if tokens < training {
        return Err(too_small(
            error::TRAINING,
            tokens,
            training,
            format!("one batch (train.batch_size {batch} × model.context_length {context})"),
            "lower train.batch_size or model.context_length, or take a longer text",
        ));
    }
    let tokens = tokenised.validation.len() as u64;
    if tokens < context + 1 {
        return Err(too_small(
            "validation",
            tokens,
            context + 1,
            format!("one window (model.context_length {context})"),
            "lower model.context_length, raise corpus.validation_fraction, or take a longer text",
        ));
    }
    Ok(())
}
