//! Text to ids and back: characters, words, byte-level BPE.
//!
//! Every kind is saved as Hugging Face `tokenizer.json` and behaves there as it does here: the same ids for the
//! same text, in this crate, in the `tokenizers` crate and in its Python package. Encoding does not go through
//! the crate, though: each kind has a scanner of its own that keeps no strings, so that a gigabyte can be read
//! in seconds; tests hold the scanners to the crate's answers.
//!
//! What survives a round trip: `bpe` everything; `char` everything whose characters were in the corpus; `word`
//! words, marks and line breaks, with spaces put back by rule. `char` and `bpe` keep `\r\n` as two characters,
//! `word` drops the `\r` as it drops all white space but `\n`.

mod bpe;
mod bytes;
mod character;
mod chunks;
mod classes;
mod error;
mod hash;
mod json;
mod spacing;
mod stream;
#[cfg(test)]
mod tests;
mod word;

pub(crate) use chunks::chunks;
pub use error::{TokenizerError, UnknownText};
pub use stream::StreamDecoder;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use crate::config::{TokenizerConfig, TokenizerKind};
use crate::progress::Progress;

/// Bytes of text that one task encodes.
const TASK: usize = 1 << 20;

/// A trained tokenizer. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
// One value a run, behind an `Arc`: its size does not matter.
#[allow(clippy::large_enum_variant)]
enum Inner {
    Char(character::Characters),
    Word(word::Words),
    Bpe(bpe::Bpe),
}

impl Tokenizer {
    /// Learns a vocabulary from `text`: give it the whole corpus for `char`, the training part for `word` and
    /// `bpe`. Reads large texts in parallel.
    ///
    /// # Errors
    /// When `progress` says stop, or `bpe` is asked for fewer than 256 tokens.
    pub fn train(
        config: &TokenizerConfig,
        text: &str,
        progress: &mut Progress<'_>,
    ) -> Result<Self, TokenizerError> {
        let inner = match config.kind {
            TokenizerKind::Char => Inner::Char(character::Characters::train(text, progress)?),
            TokenizerKind::Word => Inner::Word(word::Words::train(config, text, progress)?),
            TokenizerKind::Bpe => Inner::Bpe(bpe::Bpe::train(config, text, progress)?),
        };
        Ok(inner.into())
    }

    /// Reads a Hugging Face `tokenizer.json`.
    ///
    /// # Errors
    /// When it is malformed, or of none of the three kinds.
    pub fn from_json(json: &str) -> Result<Self, TokenizerError> {
        json::read(json).map(Self::from)
    }

    /// The Hugging Face `tokenizer.json`.
    pub fn to_json(&self) -> String {
        match &*self.inner {
            Inner::Char(characters) => characters.to_json().to_string(),
            Inner::Word(words) => words.to_json().to_string(),
            Inner::Bpe(bpe) => bpe.json().to_string(),
        }
    }

    /// Reads a `tokenizer.json` from a file.
    pub fn load(path: &Path) -> Result<Self, TokenizerError> {
        let json = fs::read_to_string(path).map_err(|error| TokenizerError::Read {
            path: path.to_path_buf(),
            error,
        })?;
        Self::from_json(&json)
    }

    /// Writes `tokenizer.json` whole: to a temporary file beside `path`, then renamed.
    pub fn save(&self, path: &Path) -> Result<(), TokenizerError> {
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{}.tmp", std::process::id()));
        let temporary = Path::new(&temporary);
        let write = || -> std::io::Result<()> {
            let mut file = fs::File::create(temporary)?;
            file.write_all(self.to_json().as_bytes())?;
            file.sync_all()?;
            fs::rename(temporary, path)
        };
        write().map_err(|error| {
            let _ = fs::remove_file(temporary);
            TokenizerError::Write {
                path: path.to_path_buf(),
                error,
            }
        })
    }

    pub fn kind(&self) -> TokenizerKind {
        match &*self.inner {
            Inner::Char(_) => TokenizerKind::Char,
            Inner::Word(_) => TokenizerKind::Word,
            Inner::Bpe(_) => TokenizerKind::Bpe,
        }
    }

    /// Ids are `0..vocab_size`.
    pub fn vocab_size(&self) -> usize {
        match &*self.inner {
            Inner::Char(characters) => characters.len(),
            Inner::Word(words) => words.len(),
            Inner::Bpe(bpe) => bpe.len(),
        }
    }

    /// The id that stands for unknown text (`word` only).
    pub fn unknown_id(&self) -> Option<u32> {
        match &*self.inner {
            Inner::Word(_) => Some(word::UNKNOWN_ID),
            Inner::Char(_) | Inner::Bpe(_) => None,
        }
    }

    /// Ids of `text`. What the vocabulary does not know becomes `<unk>` (`word`) or is left out (`char`);
    /// `bpe` knows every text. Large texts are encoded in parallel.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let pieces = chunks(text, TASK);
        let encoded: Vec<Vec<u32>> = pieces
            .par_iter()
            .map(|piece| {
                let mut ids = Vec::new();
                self.encode_piece(piece, &mut ids);
                ids
            })
            .collect();
        match <[Vec<u32>; 1]>::try_from(encoded) {
            Ok([ids]) => ids,
            Err(many) => many.concat(),
        }
    }

    /// Appends the ids of `text` on this thread. Of a text cut by [`chunks`], the pieces encode apart.
    pub(crate) fn encode_piece(&self, text: &str, ids: &mut Vec<u32>) {
        match &*self.inner {
            Inner::Char(characters) => characters.encode(text, ids),
            Inner::Word(words) => words.encode(text, ids),
            Inner::Bpe(bpe) => bpe.encode(text, ids),
        }
    }

    /// As [`Tokenizer::encode`], but text outside the vocabulary is an error that names it.
    pub fn encode_strict(&self, text: &str) -> Result<Vec<u32>, UnknownText> {
        let unknown = match &*self.inner {
            Inner::Char(characters) => characters.first_unknown(text),
            Inner::Word(words) => words.first_unknown(text),
            Inner::Bpe(bpe) => bpe.first_unknown(text),
        };
        match unknown {
            Some(unknown) => Err(unknown),
            None => Ok(self.encode(text)),
        }
    }

    /// Text of `ids`. Ids outside the vocabulary are left out.
    pub fn decode(&self, ids: &[u32]) -> String {
        self.decode_after("", ids)
    }

    /// What to show for one token: its text, with bytes that are no character by themselves as `\xE2`. Empty for
    /// an id outside the vocabulary.
    pub fn token_text(&self, id: u32) -> String {
        match &*self.inner {
            Inner::Char(characters) => characters.token(id).map(String::from).unwrap_or_default(),
            Inner::Word(words) => words.token(id).unwrap_or_default().to_string(),
            Inner::Bpe(bpe) => visible(bpe.token(id).unwrap_or_default()),
        }
    }

    /// Decodes id by id, for text that appears while it is generated.
    pub fn stream_decoder(&self) -> StreamDecoder {
        StreamDecoder::new(self.clone())
    }

    /// As [`Tokenizer::stream_decoder`], for text that follows `prompt`: a word is set apart from the prompt's last one.
    pub fn stream_decoder_after(&self, prompt: &str) -> StreamDecoder {
        let mut decoder = self.stream_decoder();
        if let Inner::Word(_) = &*self.inner
            && !prompt.ends_with(char::is_whitespace)
        {
            for id in self.encode(prompt) {
                decoder.push(id);
            }
        }
        decoder
    }

    /// The text of all ids, where it follows `prompt`.
    pub fn decode_after(&self, prompt: &str, ids: &[u32]) -> String {
        let mut stream = self.stream_decoder_after(prompt);
        let mut text: String = ids.iter().map(|&id| stream.push(id)).collect();
        text.push_str(&stream.finish());
        text
    }
}

impl From<Inner> for Tokenizer {
    fn from(inner: Inner) -> Self {
        Self {
            inner: Arc::new(inner),
        }
    }
}

fn visible(bytes: &[u8]) -> String {
    bytes.utf8_chunks().fold(String::new(), |mut text, chunk| {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02X}"));
        }
        text
    })
}
