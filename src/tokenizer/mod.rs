//! Text to ids and back: characters, words, byte-level BPE.

mod error;

pub use error::{TokenizerError, UnknownText};

use std::path::Path;
use std::sync::Arc;

use crate::config::{TokenizerConfig, TokenizerKind};
use crate::progress::Progress;

/// A trained tokenizer. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    kind: TokenizerKind,
}

impl Tokenizer {
    /// Learns a vocabulary from `text`: the whole corpus for `char`, the training part for `word` and `bpe`.
    pub fn train(
        config: &TokenizerConfig,
        text: &str,
        progress: &mut Progress<'_>,
    ) -> Result<Self, TokenizerError> {
        let _ = (text, progress);
        Ok(Self {
            inner: Arc::new(Inner { kind: config.kind }),
        })
    }

    /// Reads a Hugging Face `tokenizer.json`.
    pub fn from_json(json: &str) -> Result<Self, TokenizerError> {
        Err(TokenizerError::Unsupported(json.len().to_string()))
    }

    /// The Hugging Face `tokenizer.json`.
    pub fn to_json(&self) -> String {
        String::new()
    }

    pub fn load(path: &Path) -> Result<Self, TokenizerError> {
        Err(TokenizerError::Unsupported(path.display().to_string()))
    }

    /// Writes `tokenizer.json` whole: to a temporary file beside `path`, then renamed.
    pub fn save(&self, path: &Path) -> Result<(), TokenizerError> {
        Err(TokenizerError::Unsupported(path.display().to_string()))
    }

    pub fn kind(&self) -> TokenizerKind {
        self.inner.kind
    }

    /// Ids are `0..vocab_size`.
    pub fn vocab_size(&self) -> usize {
        0
    }

    /// The id that stands for unknown text (`word` only).
    pub fn unknown_id(&self) -> Option<u32> {
        None
    }

    /// Ids of `text`. What the vocabulary does not know becomes `<unk>` (`word`) or is left out (`char`);
    /// `bpe` knows every text.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let _ = text;
        Vec::new()
    }

    /// As [`Tokenizer::encode`], but text outside the vocabulary is an error.
    pub fn encode_strict(&self, text: &str) -> Result<Vec<u32>, UnknownText> {
        Ok(self.encode(text))
    }

    /// Text of `ids`. Ids outside the vocabulary are left out.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut stream = self.stream_decoder();
        let mut text: String = ids.iter().map(|&id| stream.push(id)).collect();
        text.push_str(&stream.finish());
        text
    }

    /// What to show for one token: its text, with bytes that are no character by themselves as `\xE2`.
    pub fn token_text(&self, id: u32) -> String {
        id.to_string()
    }

    /// Decodes id by id, for text that appears while it is generated.
    pub fn stream_decoder(&self) -> StreamDecoder {
        StreamDecoder {
            tokenizer: self.clone(),
        }
    }
}

/// Decodes id by id; what comes out of all pushes and `finish` together is [`Tokenizer::decode`] of all ids.
#[derive(Debug, Clone)]
pub struct StreamDecoder {
    tokenizer: Tokenizer,
}

impl StreamDecoder {
    /// The text that this id completes; empty while a character is still incomplete.
    pub fn push(&mut self, id: u32) -> String {
        self.tokenizer.token_text(id)
    }

    /// What is left: an incomplete character becomes U+FFFD.
    pub fn finish(self) -> String {
        String::new()
    }
}
