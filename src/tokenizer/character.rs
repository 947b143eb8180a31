//! One token a character.
//!
//! The vocabulary is every distinct character of the whole corpus, in the order of code points, as Python's
//! `sorted(set(text))`. The validation part is included so that it holds no unknown character (nanoGPT does the
//! same). In `tokenizer.json` this is a BPE model without merges: one symbol a character, unknown ones dropped.

use std::collections::HashMap;

use rayon::prelude::*;
use serde_json::{Map, Value, json};

use super::chunks::chunks;
use super::error::{TokenizerError, UnknownText};
use crate::progress::{self, Progress};

const NONE: u32 = u32::MAX;
/// Bytes that one task reads while the vocabulary is collected.
const TASK: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Characters {
    vocabulary: Vec<char>,
    ascii: [u32; 128],
    others: HashMap<char, u32>,
}

impl Characters {
    /// Every distinct character of `text`.
    pub(super) fn train(
        text: &str,
        progress: &mut Progress<'_>,
    ) -> Result<Characters, TokenizerError> {
        let mut seen = Seen::default();
        let mut done = 0;
        let pieces = chunks(text, TASK);
        for batch in pieces.chunks(4 * rayon::current_num_threads()) {
            let found: Vec<Seen> = batch.par_iter().map(|piece| Seen::of(piece)).collect();
            found.iter().for_each(|more| seen.add(more));
            done += batch.iter().map(|piece| piece.len() as u64).sum::<u64>();
            if progress::stopped(progress, "collecting characters", done, text.len() as u64) {
                return Err(TokenizerError::Stopped);
            }
        }
        Ok(Self::new(seen.sorted()))
    }

    fn new(vocabulary: Vec<char>) -> Self {
        let mut ascii = [NONE; 128];
        let mut others = HashMap::new();
        for (id, &c) in vocabulary.iter().enumerate() {
            match ascii.get_mut(c as usize) {
                Some(slot) => *slot = id as u32,
                None => {
                    others.insert(c, id as u32);
                }
            }
        }
        Self {
            vocabulary,
            ascii,
            others,
        }
    }

    /// From the tokens of a `tokenizer.json`, by id.
    pub(super) fn from_tokens(tokens: &[String]) -> Result<Self, TokenizerError> {
        let single = |token: &String| {
            let mut chars = token.chars();
            chars.next().filter(|_| chars.next().is_none())
        };
        let vocabulary: Option<Vec<char>> = tokens.iter().map(single).collect();
        vocabulary.map(Self::new).ok_or_else(|| {
            TokenizerError::Unsupported("a vocabulary without merges must be characters".into())
        })
    }

    pub(super) fn to_json(&self) -> Value {
        let vocabulary: Map<String, Value> = self
            .vocabulary
            .iter()
            .enumerate()
            .map(|(id, c)| (c.to_string(), json!(id)))
            .collect();
        json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
            "normalizer": null, "pre_tokenizer": null, "post_processor": null,
            "decoder": {"type": "Fuse"},
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
                "ignore_merges": false, "vocab": vocabulary, "merges": [],
            },
        })
    }

    pub(super) fn len(&self) -> usize {
        self.vocabulary.len()
    }

    pub(super) fn token(&self, id: u32) -> Option<char> {
        self.vocabulary.get(id as usize).copied()
    }

    fn id(&self, c: char) -> Option<u32> {
        match self.ascii.get(c as usize) {
            Some(&id) => Some(id).filter(|&id| id != NONE),
            None => self.others.get(&c).copied(),
        }
    }

    /// Appends the ids of `text`; characters outside the vocabulary are left out.
    pub(super) fn encode(&self, text: &str, ids: &mut Vec<u32>) {
        ids.reserve(text.len());
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            if byte < 128 {
                let id = self.ascii[byte as usize];
                if id != NONE {
                    ids.push(id);
                }
                at += 1;
            } else {
                let c = super::classes::char_at(text, at);
                ids.extend(self.others.get(&c));
                at += c.len_utf8();
            }
        }
    }

    /// The first character that [`Characters::encode`] would leave out.
    pub(super) fn first_unknown(&self, text: &str) -> Option<UnknownText> {
        text.char_indices()
            .find(|&(_, c)| self.id(c).is_none())
            .map(|(position, c)| UnknownText {
                position,
                text: c.to_string(),
            })
    }
}

/// A set of characters: a flag a byte value for ASCII, a bit a code point above.
struct Seen {
    ascii: [bool; 128],
    others: Vec<u64>,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            ascii: [false; 128],
            others: Vec::new(),
        }
    }
}

impl Seen {
    fn of(text: &str) -> Self {
        let mut seen = Self::default();
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let byte = bytes[at];
            if byte < 128 {
                seen.ascii[byte as usize] = true;
                at += 1;
            } else {
                let c = super::classes::char_at(text, at);
                if seen.others.is_empty() {
                    seen.others = vec![0; 0x11_0000 / 64];
                }
                seen.others[c as usize / 64] |= 1 << (c as usize % 64);
                at += c.len_utf8();
            }
        }
        seen
    }

    fn add(&mut self, more: &Seen) {
        for (mine, theirs) in self.ascii.iter_mut().zip(&more.ascii) {
            *mine |= theirs;
        }
        if self.others.is_empty() {
            self.others = more.others.clone();
        } else {
            for (mine, theirs) in self.others.iter_mut().zip(&more.others) {
                *mine |= theirs;
            }
        }
    }

    fn sorted(&self) -> Vec<char> {
        let ascii = (0..128u32).filter(|&code| self.ascii[code as usize]);
        let others = self.others.iter().enumerate().flat_map(|(word, &bits)| {
            (0..64u32)
                .filter(move |bit| bits >> bit & 1 == 1)
                .map(move |bit| word as u32 * 64 + bit)
        });
        ascii.chain(others).filter_map(char::from_u32).collect()
    }
}
