//! Tokenising both parts of a text, in parallel, with token counts.

use std::io;

use rayon::prelude::*;

use super::ids::Width;
use crate::corpus::Corpus;
use crate::progress::{self, Progress};
use crate::tokenizer::{Tokenizer, chunks};

/// Bytes of text that one task encodes.
const TASK: usize = 1 << 20;

/// How often each id occurs.
pub(super) type Counts = Vec<u64>;

/// Why tokenising ended early.
#[derive(Debug)]
pub(super) enum Failure {
    Stopped,
    /// The sink could not take the ids.
    Sink(io::Error),
}

/// One corpus with what turns it into ids.
pub(super) struct Encoding<'a> {
    pub(super) corpus: &'a Corpus,
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) width: Width,
}

impl Encoding<'_> {
    /// Hands the ids of `text`, a part of the corpus that starts at byte `offset`, to `sink`, in order.
    pub(super) fn run(
        &self,
        text: &str,
        offset: u64,
        progress: &mut Progress<'_>,
        sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<Counts, Failure> {
        let total = self.corpus.text().len() as u64;
        let mut counts = vec![0; self.tokenizer.vocab_size()];
        let mut done = offset;
        let pieces = chunks(text, TASK);
        for batch in pieces.chunks(4 * rayon::current_num_threads()) {
            let encoded: Vec<(Vec<u8>, Counts)> =
                batch.par_iter().map(|piece| self.piece(piece)).collect();
            for (bytes, found) in encoded {
                sink(&bytes).map_err(Failure::Sink)?;
                for (count, more) in counts.iter_mut().zip(found) {
                    *count += more;
                }
            }
            self.corpus.release();
            done += batch.iter().map(|piece| piece.len() as u64).sum::<u64>();
            if progress::stopped(progress, "tokenising", done, total) {
                return Err(Failure::Stopped);
            }
        }
        Ok(counts)
    }

    fn piece(&self, text: &str) -> (Vec<u8>, Counts) {
        let mut ids = Vec::new();
        self.tokenizer.encode_piece(text, &mut ids);
        let mut counts = vec![0; self.tokenizer.vocab_size()];
        for &id in &ids {
            counts[id as usize] += 1;
        }
        let mut bytes = Vec::with_capacity(ids.len() * self.width as usize);
        self.width.write(&ids, &mut bytes);
        (bytes, counts)
    }
}

/// Cross-entropy, in nats per token, of the validation tokens under the add-one-smoothed training frequencies:
/// `p(id) = (train[id] + 1) / (Σ train + vocabulary)`. 0 where there is no validation token.
pub(super) fn unigram_loss(train: &[u64], validation: &[u64]) -> f64 {
    let total = train.iter().sum::<u64>() as f64 + train.len() as f64;
    let tokens = validation.iter().sum::<u64>();
    if tokens == 0 {
        return 0.0;
    }
    let nats: f64 = train
        .iter()
        .zip(validation)
        .filter(|(_, seen)| **seen > 0)
        .map(|(known, &seen)| seen as f64 * (total.ln() - ((known + 1) as f64).ln()))
        .sum();
    nats / tokens as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unigram_loss_is_the_smoothed_cross_entropy() {
        // p = (3+1)/(4+3), (1+1)/7, (0+1)/7.
        let expected = -(2.0 * (4.0f64 / 7.0).ln() + (1.0f64 / 7.0).ln()) / 3.0;
        assert!((unigram_loss(&[3, 1, 0], &[2, 0, 1]) - expected).abs() < 1e-12);
        assert_eq!(unigram_loss(&[3, 1], &[0, 0]), 0.0);
    }
}
