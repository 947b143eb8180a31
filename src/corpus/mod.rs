//! Text to learn from: built-in texts, the `stories` generator, the catalog of public corpora, and the user's
//! own files.
//!
//! What a text is: UTF-8 without zero bytes. A byte order mark is dropped; line ends stay as they are, `\r\n`
//! included. Several files are joined in the order given (folders and globs sorted by path), with a line break
//! between two when the first does not end in one. Large texts are memory-mapped, or spooled to a temporary file
//! that is, so that a text may be larger than memory.

pub mod builtin;
pub mod catalog;
mod error;
pub mod fetch;
#[cfg(test)]
mod fetch_tests;
pub mod folders;
mod gather;
pub(crate) mod mapped;
mod paths;
pub mod stories;
#[cfg(test)]
mod tests;

pub use error::CorpusError;

use std::borrow::Cow;

use crate::config::CorpusConfig;
use crate::progress::Progress;

/// A text, ready to be split and tokenised.
#[derive(Debug)]
pub struct Corpus {
    /// For people: `stories`, `tiny-shakespeare`, `war-and-peace.txt`, `3 files`.
    pub name: String,
    text: Text,
    /// Entropy of the source in bits per byte, where it is known; `true` when exact, `false` for a bound.
    pub source_entropy: Option<(f64, bool)>,
    /// What the user should know about how the text was read.
    pub notices: Vec<String>,
}

#[derive(Debug)]
enum Text {
    Owned(String),
    Static(&'static str),
    Mapped(mapped::MappedText),
}

impl Text {
    fn as_str(&self) -> &str {
        match self {
            Text::Owned(text) => text,
            Text::Static(text) => text,
            Text::Mapped(text) => text.as_str(),
        }
    }
}

/// Opens the corpus that `config` describes: `path` where it is given, else `name`.
///
/// # Errors
/// Whatever is wrong with the source: see [`CorpusError`]. An empty text is an error; one that is too short to
/// train on is found later, when its tokens are counted.
pub fn open(config: &CorpusConfig, progress: &mut Progress<'_>) -> Result<Corpus, CorpusError> {
    let mut corpus = match config.path.is_empty() {
        true => named(config, progress)?,
        false => paths::open(&config.path, config.lossy, progress)?,
    };
    let start = &corpus.text().as_bytes()[..corpus.text().len().min(1 << 16)];
    if start.windows(2).any(|pair| pair == b"\r\n") {
        let notice = "the text has Windows line ends (\\r\\n), which are kept as they are";
        corpus.notices.push(notice.into());
    }
    Ok(corpus)
}

/// Everything that is wrong with the source that `config` describes, as far as it shows without reading it through.
pub fn problems(config: &CorpusConfig) -> Vec<CorpusError> {
    if !config.path.is_empty() {
        return paths::problems(&config.path, config.lossy);
    }
    known_bytes(config).err().into_iter().collect()
}

/// How many bytes the text of `config` has, as far as that can be told without reading it; none for standard input. Where it
/// has to be converted, more may come of it.
///
/// # Errors
/// A text that is not there, as [`open`].
pub fn known_bytes(config: &CorpusConfig) -> Result<Option<u64>, CorpusError> {
    if !config.path.is_empty() {
        return paths::known_bytes(&config.path);
    }
    let name = config.name.as_str();
    if name == STORIES {
        return Ok(Some(config.bytes));
    }
    if let Some(found) = builtin::find(name) {
        return Ok(Some(found.text.len() as u64));
    }
    match catalog::find(name)? {
        None => Err(unknown(name)?),
        Some(entry) => match entry.fetched() {
            Some(path) => paths::known_bytes(&[path]),
            None => Err(CorpusError::NotFetched {
                name: name.to_string(),
            }),
        },
    }
}

/// The name of the generator.
const STORIES: &str = "stories";

fn named(config: &CorpusConfig, progress: &mut Progress<'_>) -> Result<Corpus, CorpusError> {
    let name = config.name.as_str();
    if name == STORIES {
        return generated(config, progress);
    }
    if let Some(found) = builtin::find(name) {
        return Ok(Corpus::from_text(name, found.text));
    }
    let Some(entry) = catalog::find(name)? else {
        return Err(unknown(name)?);
    };
    let Some(path) = entry.fetched() else {
        let name = name.to_string();
        return Err(CorpusError::NotFetched { name });
    };
    let corpus = paths::open(&[path], config.lossy, progress)?;
    let name = name.to_string();
    Ok(Corpus { name, ..corpus })
}

fn generated(config: &CorpusConfig, progress: &mut Progress<'_>) -> Result<Corpus, CorpusError> {
    let mut gathered = gather::Gather::default();
    let mut writing = gather::Writing {
        gathered: &mut gathered,
        total: config.bytes,
        progress,
        error: None,
    };
    if stories::write(&mut writing, config.bytes, config.seed).is_err() {
        return Err(writing.error.unwrap_or(CorpusError::Stopped));
    }
    let text = gathered.finish()?;
    if text.as_str().is_empty() {
        let source_name = STORIES.to_string();
        return Err(CorpusError::Empty { source_name });
    }
    let entropy = stories::entropy();
    Ok(Corpus {
        name: STORIES.to_string(),
        text,
        source_entropy: Some((entropy.bits_per_byte, entropy.exact)),
        notices: Vec::new(),
    })
}

fn unknown(name: &str) -> Result<CorpusError, CorpusError> {
    let known: Vec<String> = names()?.iter().map(|name| format!("`{name}`")).collect();
    Ok(CorpusError::UnknownName {
        name: name.to_string(),
        known: known.join(", "),
    })
}

/// Every value that `corpus.name` can have: the generator, the built-in texts, the catalog.
pub fn names() -> Result<Vec<&'static str>, CorpusError> {
    let built_in = builtin::TEXTS.iter().map(|text| text.name);
    let catalog = catalog::entries()?.iter().map(|entry| entry.name.as_str());
    Ok(std::iter::once(STORIES)
        .chain(built_in)
        .chain(catalog)
        .collect())
}

impl Corpus {
    /// A corpus held in memory.
    pub fn from_text(name: impl Into<String>, text: impl Into<Cow<'static, str>>) -> Self {
        let text = match text.into() {
            Cow::Borrowed(text) => Text::Static(text),
            Cow::Owned(text) => Text::Owned(text),
        };
        Self {
            name: name.into(),
            text,
            source_entropy: None,
            notices: Vec::new(),
        }
    }

    /// The whole text.
    pub fn text(&self) -> &str {
        self.text.as_str()
    }

    /// Lets go of the parts of a large text that are in memory; they come back when they are read again.
    pub fn release(&self) {
        if let Text::Mapped(text) = &self.text {
            text.release();
        }
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
