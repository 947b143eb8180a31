//! Ids back to text, one at a time.

use super::spacing::Spacing;
use super::{Inner, Tokenizer};

/// Decodes id by id; what comes out of all pushes and [`StreamDecoder::finish`] together is
/// [`Tokenizer::decode`] of all ids.
#[derive(Debug, Clone)]
pub struct StreamDecoder {
    tokenizer: Tokenizer,
    spacing: Spacing,
    /// Bytes of a character that is not complete yet.
    pending: Vec<u8>,
}

impl StreamDecoder {
    pub(super) fn new(tokenizer: Tokenizer) -> Self {
        Self {
            tokenizer,
            spacing: Spacing::default(),
            pending: Vec::new(),
        }
    }

    /// The text that this id adds; empty while a character is still incomplete. An id outside the vocabulary
    /// adds nothing; bytes that can never become a character add U+FFFD.
    pub fn push(&mut self, id: u32) -> String {
        match &*self.tokenizer.inner {
            Inner::Char(characters) => characters.token(id).map(String::from).unwrap_or_default(),
            Inner::Word(words) => {
                let word = words.token(id).unwrap_or_default();
                match self.spacing.before(word) {
                    true => format!(" {word}"),
                    false => word.to_string(),
                }
            }
            Inner::Bpe(bpe) => {
                self.pending
                    .extend_from_slice(bpe.token(id).unwrap_or_default());
                take_text(&mut self.pending)
            }
        }
    }

    /// What is left: an incomplete character becomes U+FFFD.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.pending).into_owned()
    }
}

/// Takes everything off the front of `pending` but a character that may still become whole.
fn take_text(pending: &mut Vec<u8>) -> String {
    let incomplete = pending
        .utf8_chunks()
        .last()
        .map_or(0, |chunk| match chunk.invalid() {
            [] => 0,
            tail => {
                // `error_len` is `None` only for a tail that more bytes could complete.
                let error = std::str::from_utf8(tail).err();
                let open = error.is_some_and(|error| error.error_len().is_none());
                if open { tail.len() } else { 0 }
            }
        });
    let rest = pending.split_off(pending.len() - incomplete);
    let text = String::from_utf8_lossy(pending).into_owned();
    *pending = rest;
    text
}
