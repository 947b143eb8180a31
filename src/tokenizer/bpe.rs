//! Byte-level BPE, as GPT-2 has it: every text is known, nothing is lost.
//!
//! Training is the `tokenizers` crate's `BpeTrainer` on words counted here. Encoding is done here too, because
//! the crate keeps strings and offsets of every token, which large texts cannot afford; a property test holds
//! both to the same ids. Special tokens of a foreign vocabulary are ordinary text to [`Bpe::encode`].

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rayon::prelude::*;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use super::bytes;
use super::chunks::chunks;
use super::classes::{self, Class, char_at, class};
use super::error::{TokenizerError, UnknownText};
use super::hash::QuickMap;
use crate::config::TokenizerConfig;
use crate::progress::{self, Progress, Update};

/// Bytes that one task reads while words are counted.
const TASK: usize = 1 << 20;
/// Words up to this many bytes are merged by looking at every pair; longer ones through a heap.
const SHORT: usize = 48;
/// A piece of text remembers the ids of at most this many different words.
const REMEMBERED: usize = 1 << 16;

#[derive(Debug)]
pub(super) struct Bpe {
    /// What a token stands for; empty for special tokens, which stand for no text.
    tokens: Vec<Vec<u8>>,
    /// The id of each single byte; [`NONE`] where the vocabulary leaves one out.
    byte_ids: [u32; 256],
    merges: QuickMap<u64, Merge>,
    json: String,
}

const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Merge {
    rank: u32,
    id: u32,
}

fn pair(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

impl Bpe {
    pub(super) fn train(
        config: &TokenizerConfig,
        text: &str,
        progress: &mut Progress<'_>,
    ) -> Result<Self, TokenizerError> {
        if config.vocab_size < 256 {
            let given = config.vocab_size;
            return Err(TokenizerError::TooSmall { given });
        }
        let counts = count(text, progress)?;
        let update = Update {
            what: "learning merges",
            done: 0,
            total: None,
        };
        if progress(update) == progress::Flow::Stop {
            return Err(TokenizerError::Stopped);
        }
        let table = bytes::alphabet();
        let visible = |word: &str| word.bytes().map(|b| table[b as usize]).collect::<String>();
        let trainer = BpeTrainer::builder()
            .vocab_size(config.vocab_size)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .show_progress(false)
            .build();
        let mut model = BPE::default();
        trainer
            .do_train(
                &counts
                    .iter()
                    .map(|(word, &times)| (visible(word).into(), times))
                    .collect(),
                &mut model,
            )
            .map_err(|error| TokenizerError::Train(error.to_string()))?;
        let mut tokenizer = tokenizers::Tokenizer::new(model);
        tokenizer
            .with_pre_tokenizer(Some(ByteLevel::new(false, true, true)))
            .with_decoder(Some(ByteLevel::default()));
        let json = tokenizer
            .to_string(false)
            .map_err(|error| TokenizerError::Train(error.to_string()))?;
        super::json::parse(&json)?.into_bpe(json)
    }

    /// From the tokens and merges of a `tokenizer.json`. `special` says which ids stand for no text.
    pub(super) fn from_parts(
        tokens: &[String],
        merges: &[(String, String)],
        special: &[u32],
        json: String,
    ) -> Result<Self, TokenizerError> {
        let unsupported = |problem: String| TokenizerError::Unsupported(problem);
        let mut texts = Vec::with_capacity(tokens.len());
        let mut ids: QuickMap<&str, u32> = QuickMap::default();
        let mut byte_ids = [NONE; 256];
        for (id, token) in tokens.iter().enumerate() {
            let id = id as u32;
            ids.insert(token, id);
            if special.contains(&id) {
                texts.push(Vec::new());
                continue;
            }
            let text = bytes::of_token(token)
                .ok_or_else(|| unsupported(format!("token {token:?} is not made of bytes")))?;
            if let [byte] = text[..] {
                byte_ids[byte as usize] = id;
            }
            texts.push(text);
        }
        let mut table = QuickMap::default();
        for (rank, (left, right)) in merges.iter().enumerate() {
            let joined = format!("{left}{right}");
            let known = |token: &str| {
                ids.get(token).copied().ok_or_else(|| {
                    unsupported(format!("a merge names the unknown token {token:?}"))
                })
            };
            let merge = Merge {
                rank: rank as u32,
                id: known(&joined)?,
            };
            table.insert(pair(known(left)?, known(right)?), merge);
        }
        Ok(Self {
            tokens: texts,
            byte_ids,
            merges: table,
            json,
        })
    }

    pub(super) fn json(&self) -> &str {
        &self.json
    }

    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// The bytes of a token.
    pub(super) fn token(&self, id: u32) -> Option<&[u8]> {
        self.tokens.get(id as usize).map(Vec::as_slice)
    }

    /// Appends the ids of `text`. A byte that the vocabulary leaves out is left out.
    pub(super) fn encode(&self, text: &str, ids: &mut Vec<u32>) {
        ids.reserve(text.len() / 3);
        let mut known: QuickMap<&str, (u32, u32)> = QuickMap::default();
        let first = ids.len();
        for (start, end) in scan(text) {
            let word = &text[start..end];
            // Where this word's ids already stand.
            if let Some(&(from, to)) = known.get(word) {
                ids.extend_from_within(first + from as usize..first + to as usize);
                continue;
            }
            let from = ids.len() - first;
            self.encode_word(word.as_bytes(), ids);
            let to = ids.len() - first;
            if known.len() < REMEMBERED && to < NONE as usize {
                known.insert(word, (from as u32, to as u32));
            }
        }
    }

    fn encode_word(&self, word: &[u8], ids: &mut Vec<u32>) {
        let first = ids.len();
        let known = |&byte: &u8| Some(self.byte_ids[byte as usize]).filter(|&id| id != NONE);
        ids.extend(word.iter().filter_map(known));
        if ids.len() - first <= SHORT {
            self.merge_short(ids, first);
        } else {
            let merged = self.merge_long(&ids[first..]);
            ids.truncate(first);
            ids.extend(merged);
        }
    }

    fn merge_of(&self, left: u32, right: u32) -> Option<Merge> {
        self.merges.get(&pair(left, right)).copied()
    }

    /// Merges the best pair, leftmost first, until none is left. Quadratic in the length.
    fn merge_short(&self, ids: &mut Vec<u32>, first: usize) {
        loop {
            let best = (first..ids.len().saturating_sub(1))
                .filter_map(|at| Some((at, self.merge_of(ids[at], ids[at + 1])?)))
                .min_by_key(|(at, merge)| (merge.rank, *at));
            let Some((at, merge)) = best else {
                return;
            };
            ids[at] = merge.id;
            ids.remove(at + 1);
        }
    }

    /// The same, with the pairs in a heap and the symbols in a linked list.
    fn merge_long(&self, symbols: &[u32]) -> Vec<u32> {
        const GONE: usize = usize::MAX;
        let mut ids = symbols.to_vec();
        let mut next: Vec<usize> = (1..=ids.len()).collect();
        let mut before: Vec<usize> = (0..ids.len()).map(|at| at.wrapping_sub(1)).collect();
        let end = ids.len();
        let mut heap = BinaryHeap::new();
        let offer = |heap: &mut BinaryHeap<_>, ids: &[u32], left: usize, right: usize| {
            if let Some(merge) = self.merge_of(ids[left], ids[right]) {
                heap.push(Reverse((merge.rank, left, right, ids[left], ids[right])));
            }
        };
        for at in 1..end {
            offer(&mut heap, &ids, at - 1, at);
        }
        while let Some(Reverse((_, left, right, left_id, right_id))) = heap.pop() {
            // Skips pairs of which a side has been merged away since.
            if next[left] != right || ids[left] != left_id || ids[right] != right_id {
                continue;
            }
            let Some(merge) = self.merge_of(left_id, right_id) else {
                continue;
            };
            ids[left] = merge.id;
            let after = next[right];
            next[left] = after;
            next[right] = GONE;
            if after < end {
                before[after] = left;
                offer(&mut heap, &ids, left, after);
            }
            if before[left] < end {
                offer(&mut heap, &ids, before[left], left);
            }
        }
        let mut merged = Vec::new();
        let mut at = 0;
        while at < end {
            merged.push(ids[at]);
            at = next[at];
        }
        merged
    }

    /// The first byte that [`Bpe::encode`] would leave out: none, unless a foreign vocabulary lacks bytes.
    pub(super) fn first_unknown(&self, text: &str) -> Option<UnknownText> {
        let lacks = |c: char| {
            let mut buffer = [0; 4];
            let mut bytes = c.encode_utf8(&mut buffer).bytes();
            bytes.any(|byte| self.byte_ids[byte as usize] == NONE)
        };
        text.char_indices()
            .find(|&(_, c)| lacks(c))
            .map(|(position, c)| UnknownText {
                position,
                text: c.to_string(),
            })
    }
}

/// How often each word of `text` occurs.
fn count(text: &str, progress: &mut Progress<'_>) -> Result<QuickMap<String, u64>, TokenizerError> {
    let mut counts: QuickMap<String, u64> = QuickMap::default();
    let mut done = 0;
    for batch in chunks(text, TASK).chunks(2 * rayon::current_num_threads()) {
        let found: Vec<QuickMap<&str, u64>> = batch
            .par_iter()
            .map(|piece| {
                let mut counts: QuickMap<&str, u64> = QuickMap::default();
                for (start, end) in scan(piece) {
                    *counts.entry(&piece[start..end]).or_default() += 1;
                }
                counts
            })
            .collect();
        for (word, times) in found.into_iter().flatten() {
            match counts.get_mut(word) {
                Some(count) => *count += times,
                None => {
                    counts.insert(word.to_string(), times);
                }
            }
        }
        done += batch.iter().map(|piece| piece.len() as u64).sum::<u64>();
        if progress::stopped(progress, "counting words", done, text.len() as u64) {
            return Err(TokenizerError::Stopped);
        }
    }
    Ok(counts)
}

/// The words of `text` as byte ranges; together they are the whole text. GPT-2's pattern:
/// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
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

/// The classes that GPT-2's pattern tells apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Run {
    Letters,
    Numbers,
    Space,
    Others,
}

impl Scan<'_> {
    #[inline]
    fn look(&self, at: usize) -> Option<(Run, usize)> {
        let byte = *self.text.as_bytes().get(at)?;
        let (class, len) = if byte < 128 {
            (self.ascii[byte as usize], 1)
        } else {
            let c = char_at(self.text, at);
            (class(c), c.len_utf8())
        };
        let run = match class {
            Class::Letter => Run::Letters,
            Class::Number => Run::Numbers,
            Class::Space | Class::Newline => Run::Space,
            Class::Mark | Class::Other => Run::Others,
        };
        Some((run, len))
    }

    #[inline]
    fn run_end(&self, mut at: usize, run: Run) -> usize {
        while let Some((found, len)) = self.look(at) {
            if found != run {
                break;
            }
            at += len;
        }
        at
    }

    /// The end of a run of white space from `start` on: up to the last space before visible text, which goes
    /// with that text (or stands alone, when it is not a plain space).
    fn space_end(&self, start: usize) -> usize {
        let end = self.run_end(start, Run::Space);
        if end == self.text.len() {
            return end;
        }
        let last = self.text[start..end].chars().next_back();
        let without_last = end - last.map_or(0, char::len_utf8);
        if without_last > start {
            without_last
        } else {
            end
        }
    }
}

/// Length of the English contraction that `text` begins with.
fn contraction(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    match (bytes.get(1)?, bytes.get(2)) {
        (b's' | b't' | b'm' | b'd', _) => Some(2),
        (b'r' | b'v', Some(b'e')) | (b'l', Some(b'l')) => Some(3),
        _ => None,
    }
}

impl Iterator for Scan<'_> {
    type Item = (usize, usize);

    #[inline]
    fn next(&mut self) -> Option<(usize, usize)> {
        let start = self.at;
        let (run, len) = self.look(start)?;
        let byte = self.text.as_bytes()[start];
        self.at = match run {
            Run::Space if byte == b' ' => match self.look(start + 1) {
                Some((next, _)) if next != Run::Space => self.run_end(start + 1, next),
                _ => self.space_end(start),
            },
            Run::Space => self.space_end(start),
            Run::Others if byte == b'\'' => match contraction(&self.text[start..]) {
                Some(len) => start + len,
                None => self.run_end(start + len, run),
            },
            _ => self.run_end(start + len, run),
        };
        Some((start, self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_cut_as_gpt_2_cuts_them() {
        let words: Vec<&str> = scan("I'll  go, we've 12 \n\n o'er!'s\t\u{3000}x \u{301} ")
            .map(|(start, end)| &"I'll  go, we've 12 \n\n o'er!'s\t\u{3000}x \u{301} "[start..end])
            .collect();
        assert_eq!(
            words,
            [
                "I", "'ll", " ", " go", ",", " we", "'ve", " 12", " \n\n", " o", "'", "er", "!'",
                "s", "\t", "\u{3000}", "x", " \u{301}", " "
            ]
        );
    }
}
