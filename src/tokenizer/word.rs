//! One token a word, number, punctuation mark or line break.
//!
//! What a token is: [`PATTERN`]. White space other than line breaks separates tokens and is dropped; decoding
//! puts spaces back (see `spacing`). The vocabulary comes from the training part alone: `<unk>` has id 0, the
//! words follow by falling frequency, equal ones in the order in which they first appear.

use std::cmp::Reverse;

use rayon::prelude::*;
use serde_json::{Map, Value, json};

use super::chunks::chunks;
use super::classes::{self, Class, char_at, class};
use super::error::{TokenizerError, UnknownText};
use super::hash::QuickMap;
use super::spacing;
use crate::config::TokenizerConfig;
use crate::progress::{self, Progress};

/// Words with inner apostrophes, numbers, single signs, line breaks; the scanner below in one expression.
pub(super) const PATTERN: &str =
    r"[\p{L}\p{M}]+(?:['’][\p{L}\p{M}]+)*|\p{N}+|[^\p{L}\p{M}\p{N}\s]|\n";
/// The token that stands for words outside the vocabulary.
pub(super) const UNKNOWN: &str = "<unk>";
pub(super) const UNKNOWN_ID: u32 = 0;
/// Bytes that one task reads while words are counted.
const TASK: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Words {
    vocabulary: Vec<String>,
    ids: QuickMap<String, u32>,
    lowercase: bool,
}

/// How often a word was seen, and its place among the words first seen in the same piece of text.
#[derive(Clone, Copy)]
struct Count {
    times: u64,
    order: (u32, u32),
}

impl Words {
    pub(super) fn train(
        config: &TokenizerConfig,
        text: &str,
        progress: &mut Progress<'_>,
    ) -> Result<Self, TokenizerError> {
        let mut counts: QuickMap<String, Count> = QuickMap::default();
        let mut done = 0;
        let mut index = 0;
        for batch in chunks(text, TASK).chunks(2 * rayon::current_num_threads()) {
            let found: Vec<_> = batch
                .par_iter()
                .map(|piece| count(piece, config.lowercase))
                .collect();
            for words in found {
                for (word, times, order) in words {
                    let order = (index, order);
                    let fresh = Count { times: 0, order };
                    counts.entry(word).or_insert(fresh).times += times;
                }
                index += 1;
            }
            done += batch.iter().map(|piece| piece.len() as u64).sum::<u64>();
            if progress::stopped(progress, "counting words", done, text.len() as u64) {
                return Err(TokenizerError::Stopped);
            }
        }
        let mut words: Vec<(String, Count)> = counts
            .into_iter()
            .filter(|(_, count)| count.times >= config.min_freq)
            .collect();
        words.sort_unstable_by_key(|(_, count)| (Reverse(count.times), count.order));
        words.truncate(config.vocab_size.saturating_sub(1));
        let vocabulary = std::iter::once(UNKNOWN.to_string())
            .chain(words.into_iter().map(|(word, _)| word))
            .collect();
        Ok(Self::new(vocabulary, config.lowercase))
    }

    /// From the tokens of a `tokenizer.json`, by id.
    pub(super) fn from_tokens(
        tokens: Vec<String>,
        lowercase: bool,
    ) -> Result<Self, TokenizerError> {
        if tokens.first().map(String::as_str) != Some(UNKNOWN) {
            let problem = format!("the first word of the vocabulary must be {UNKNOWN}");
            return Err(TokenizerError::Unsupported(problem));
        }
        Ok(Self::new(tokens, lowercase))
    }

    fn new(vocabulary: Vec<String>, lowercase: bool) -> Self {
        let ids = vocabulary.iter().cloned().zip(0..).collect();
        Self {
            vocabulary,
            ids,
            lowercase,
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let vocabulary: Map<String, Value> = self
            .vocabulary
            .iter()
            .enumerate()
            .map(|(id, word)| (word.clone(), json!(id)))
            .collect();
        let normalizer = match self.lowercase {
            true => json!({"type": "Lowercase"}),
            false => Value::Null,
        };
        json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": [],
            "normalizer": normalizer,
            "pre_tokenizer": {
                "type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Removed", "invert": true,
            },
            "post_processor": null,
            "decoder": spacing::decoder(),
            "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": UNKNOWN},
        })
    }

    pub(super) fn len(&self) -> usize {
        self.vocabulary.len()
    }

    pub(super) fn token(&self, id: u32) -> Option<&str> {
        self.vocabulary.get(id as usize).map(String::as_str)
    }

    /// Appends the ids of `text`.
    pub(super) fn encode(&self, text: &str, ids: &mut Vec<u32>) {
        ids.reserve(text.len() / 4);
        let mut folded = Folded::default();
        for (start, end) in scan(text) {
            let word = &text[start..end];
            ids.push(match self.lowercase {
                true => self.id(folded.fold(word)),
                false => self.id(word),
            });
        }
    }

    #[inline]
    fn id(&self, word: &str) -> u32 {
        self.ids.get(word).copied().unwrap_or(UNKNOWN_ID)
    }

    /// The first word that is not in the vocabulary.
    pub(super) fn first_unknown(&self, text: &str) -> Option<UnknownText> {
        let mut folded = Folded::default();
        scan(text)
            .find(|&(start, end)| {
                let word = &text[start..end];
                let word = match self.lowercase {
                    true => folded.fold(word),
                    false => word,
                };
                self.id(word) == UNKNOWN_ID
            })
            .map(|(position, end)| UnknownText {
                position,
                text: text[position..end].to_string(),
            })
    }
}

/// The words of a piece of text with their counts, numbered in the order of their first appearance.
fn count(text: &str, lowercase: bool) -> Vec<(String, u64, u32)> {
    let mut places: QuickMap<String, u32> = QuickMap::default();
    let mut words: Vec<(String, u64, u32)> = Vec::new();
    let mut folded = Folded::default();
    for (start, end) in scan(text) {
        let word = match lowercase {
            true => folded.fold(&text[start..end]),
            false => &text[start..end],
        };
        match places.get(word) {
            Some(&place) => words[place as usize].1 += 1,
            None => {
                let place = words.len() as u32;
                places.insert(word.to_string(), place);
                words.push((word.to_string(), 1, place));
            }
        }
    }
    words
}

/// Lower case, into a buffer that is used again.
#[derive(Default)]
struct Folded(String);

impl Folded {
    #[inline]
    fn fold<'a>(&'a mut self, word: &'a str) -> &'a str {
        if !word
            .bytes()
            .any(|byte| byte.is_ascii_uppercase() || byte >= 128)
        {
            return word;
        }
        self.0.clear();
        if word.is_ascii() {
            self.0.push_str(word);
            self.0.make_ascii_lowercase();
        } else {
            // Character by character, as the crate does: no rule looks at neighbours.
            self.0.extend(word.chars().flat_map(char::to_lowercase));
        }
        &self.0
    }
}

/// The tokens of `text` as byte ranges, as [`PATTERN`] finds them.
pub(super) fn scan(text: &str) -> Scan<'_> {
    Scan {
        text,
        at: 0,
        ascii: classes::ascii(),
    }
}

pub(super) struct Scan<'a> {
    text: &'a str,
    at: usize,
    ascii: &'static [Class; 128],
}

impl Scan<'_> {
    /// Class and length of the character at byte `at`.
    #[inline]
    fn look(&self, at: usize) -> Option<(Class, usize)> {
        let byte = *self.text.as_bytes().get(at)?;
        if byte < 128 {
            return Some((self.ascii[byte as usize], 1));
        }
        let c = char_at(self.text, at);
        Some((class(c), c.len_utf8()))
    }

    /// The end of the run of characters from `at` on that `wanted` accepts.
    #[inline]
    fn run(&self, mut at: usize, wanted: impl Fn(Class) -> bool) -> usize {
        while let Some((class, len)) = self.look(at) {
            if !wanted(class) {
                break;
            }
            at += len;
        }
        at
    }

    /// The end of a word whose first letter lies before `at`.
    #[inline]
    fn word_end(&self, mut at: usize) -> usize {
        loop {
            at = self.run(at, in_word);
            let Some(quote) = apostrophe(self.text, at) else {
                return at;
            };
            match self.look(at + quote) {
                Some((class, len)) if in_word(class) => at += quote + len,
                _ => return at,
            }
        }
    }
}

#[inline]
fn in_word(class: Class) -> bool {
    matches!(class, Class::Letter | Class::Mark)
}

/// Length of the apostrophe at byte `at`, if there is one.
#[inline]
fn apostrophe(text: &str, at: usize) -> Option<usize> {
    match *text.as_bytes().get(at)? {
        b'\'' => Some(1),
        byte if byte >= 128 && text[at..].starts_with('’') => Some('’'.len_utf8()),
        _ => None,
    }
}

impl Iterator for Scan<'_> {
    type Item = (usize, usize);

    #[inline]
    fn next(&mut self) -> Option<(usize, usize)> {
        loop {
            let start = self.at;
            let (class, len) = self.look(start)?;
            self.at = start + len;
            match class {
                Class::Space => continue,
                Class::Letter | Class::Mark => self.at = self.word_end(self.at),
                Class::Number => self.at = self.run(self.at, |class| class == Class::Number),
                Class::Newline | Class::Other => {}
            }
            return Some((start, self.at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        scan(text).map(|(start, end)| &text[start..end]).collect()
    }

    #[test]
    fn words_numbers_signs_and_line_breaks_are_tokens() {
        assert_eq!(
            words("Don't stop—it’s 3.50,\r\n  o'er 'tis dogs' _x_ naïve\u{301}\n"),
            [
                "Don't",
                "stop",
                "—",
                "it’s",
                "3",
                ".",
                "50",
                ",",
                "\n",
                "o'er",
                "'",
                "tis",
                "dogs",
                "'",
                "_",
                "x",
                "_",
                "naïve\u{301}",
                "\n"
            ]
        );
        assert_eq!(
            words("a''b a'’b'"),
            ["a", "'", "'", "b", "a", "'", "’", "b", "'"]
        );
        assert!(words(" \t\r").is_empty());
    }

    fn config(vocab_size: usize, min_freq: u64) -> TokenizerConfig {
        TokenizerConfig {
            kind: crate::config::TokenizerKind::Word,
            vocab_size,
            min_freq,
            lowercase: true,
        }
    }

    #[test]
    fn the_vocabulary_is_by_frequency_then_first_appearance() {
        let text = "b a c a B d a";
        let mut ignore = progress::ignore;
        let all = Words::train(&config(100, 1), text, &mut ignore).unwrap();
        assert_eq!(all.vocabulary, [UNKNOWN, "a", "b", "c", "d"]);
        let capped = Words::train(&config(3, 1), text, &mut ignore).unwrap();
        assert_eq!(capped.vocabulary, [UNKNOWN, "a", "b"]);
        let frequent = Words::train(&config(100, 3), text, &mut ignore).unwrap();
        assert_eq!(frequent.vocabulary, [UNKNOWN, "a"]);
        let unknown = capped.first_unknown("a B é").unwrap();
        assert_eq!((unknown.position, unknown.text.as_str()), (4, "é"));
    }
}
