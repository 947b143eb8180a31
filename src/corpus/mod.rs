//! Text to learn from: built-in texts, the `stories` generator, the catalog of public corpora, and the user's
//! own files.

pub mod builtin;
mod error;
pub mod stories;

pub use error::CorpusError;

use crate::config::CorpusConfig;
use crate::progress::Progress;

/// A text, ready to be split and tokenised.
#[derive(Debug)]
pub struct Corpus {
    /// For people: `stories`, `tiny-shakespeare`, `war-and-peace.txt`, `3 files`.
    pub name: String,
    text: String,
    /// Entropy of the source in bits per byte, where it is known; `true` when exact, `false` for a bound.
    pub source_entropy: Option<(f64, bool)>,
    /// What the user should know about how the text was read.
    pub notices: Vec<String>,
}

/// Opens the corpus that `config` describes.
///
/// # Errors
/// Whatever is wrong with the source: see [`CorpusError`].
pub fn open(config: &CorpusConfig, progress: &mut Progress<'_>) -> Result<Corpus, CorpusError> {
    let _ = (config, progress);
    Err(CorpusError::Empty {
        source_name: config.name.clone(),
    })
}

impl Corpus {
    /// A corpus held in memory.
    pub fn from_text(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
            source_entropy: None,
            notices: Vec::new(),
        }
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text cut in two: the first `1 - validation_fraction` of its bytes to train on, the rest to validate on.
    ///
    /// The cut is at byte `floor(bytes · (1 - validation_fraction))`, moved back to the start of a character where
    /// it falls inside one. For ASCII text this is nanoGPT's `int(0.9 * n)`. Nothing is in both parts, nothing is lost.
    pub fn split(&self, validation_fraction: f64) -> (&str, &str) {
        let text = self.text();
        let share = (1.0 - validation_fraction).clamp(0.0, 1.0);
        let cut = (text.len() as f64 * share) as usize;
        text.split_at(text.floor_char_boundary(cut))
    }
}
