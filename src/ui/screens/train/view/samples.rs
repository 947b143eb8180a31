//! The texts of a run: one that streams in, and those that are done, of which a long run keeps some.

use super::RunView;
use crate::protocol::{SamplePiece, SampleRecord};

/// Samples kept; when there are more, every second of the older half goes.
const SAMPLES: usize = 600;
/// Of so many of the newest samples the probabilities of the tokens are kept.
const WITH_PIECES: usize = 64;
/// Bytes of one text that are kept while it streams in.
const LIVE_BYTES: usize = 64 * 1024;

/// A generated text; `pieces` is empty for one that was read from disk or is not among the newest.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    pub record: SampleRecord,
    pub pieces: Vec<SamplePiece>,
}

/// A text that is being generated now.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveSample {
    pub step: u64,
    pub prompt: usize,
    pub pieces: Vec<SamplePiece>,
    bytes: usize,
}

impl RunView {
    pub(super) fn piece(&mut self, step: u64, prompt: usize, piece: SamplePiece) {
        let same = self
            .live
            .as_ref()
            .is_some_and(|live| live.step == step && live.prompt == prompt);
        if !same {
            self.live = Some(LiveSample {
                step,
                prompt,
                pieces: Vec::new(),
                bytes: 0,
            });
        }
        if let Some(live) = &mut self.live
            && live.bytes < LIVE_BYTES
        {
            live.bytes += piece.text.len();
            live.pieces.push(piece);
        }
    }

    pub(super) fn sampled(&mut self, record: SampleRecord) {
        let matching = self
            .live
            .take_if(|live| live.step == record.step && live.prompt == record.prompt_index);
        let pieces = matching.map_or_else(Vec::new, |live| live.pieces);
        self.samples.push(Sampled { record, pieces });
        if let Some(old) = self.samples.len().checked_sub(WITH_PIECES + 1) {
            self.samples[old].pieces = Vec::new();
        }
        self.thin_samples();
    }

    pub(super) fn thin_samples(&mut self) {
        while self.samples.len() > SAMPLES {
            let half = self.samples.len() / 2;
            // By step, so that the prompts of a step stay together.
            let mut steps: Vec<u64> = self.samples[..half].iter().map(|s| s.record.step).collect();
            steps.dedup();
            if steps.len() < 2 {
                self.samples.drain(..half);
                continue;
            }
            let dropped: Vec<u64> = steps.into_iter().skip(1).step_by(2).collect();
            self.samples
                .retain(|s| dropped.binary_search(&s.record.step).is_err());
        }
    }
}
