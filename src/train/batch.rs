//! Which windows of the training text a step sees.
//!
//! `random`: every row starts at an offset of its own, drawn with replacement, uniformly over all offsets (nanoGPT).
//!
//! `stream`: the text is cut into `batch_size` rows of equal length; a step takes the next window of every row, so
//! that recurrent state carries over. When less than a window is left, the pass is over: the next one starts at the
//! beginning, from an empty state.
//!
//! While a step computes, the windows of the next one are read ahead (see `ahead`).

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::ahead::{Ahead, Rows, read_rows};
use crate::config::BatchingKind;
use crate::data::{Dataset, TokenIds};
use crate::model::random::mix;

/// Tells the seeds of windows from the seeds of dropout.
const WINDOWS: u64 = 0x5749_4e44;

/// Where the next window lies (`stream` only). Part of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Position {
    /// Passes over the text that are done.
    pub pass: u64,
    /// Windows of this pass that are done.
    pub window: u64,
}

/// Tokens and, one place on, what should follow each of them.
#[derive(Debug, Clone)]
pub struct Batch {
    /// `[batch, seq]`
    pub tokens: Tensor<2, Int>,
    /// `[batch, seq]`
    pub targets: Tensor<2, Int>,
    /// Whether the rows start anew, so that no state may be carried into them.
    pub fresh: bool,
}

/// Draws the batches of a run.
#[derive(Debug, Clone)]
pub struct BatchSource {
    dataset: Arc<Dataset>,
    kind: BatchingKind,
    batch_size: usize,
    context_length: usize,
    seed: u64,
    ahead: Arc<Ahead>,
}

impl BatchSource {
    /// # Errors
    /// The training part is too short for one batch.
    pub fn new(
        dataset: Arc<Dataset>,
        kind: BatchingKind,
        batch_size: usize,
        context_length: usize,
        seed: u64,
    ) -> Result<Self, TrainError> {
        let (needed, what) = match kind {
            BatchingKind::Random => (context_length + 1, "one window"),
            BatchingKind::Stream => (batch_size * context_length + 1, "one batch of streams"),
        };
        let tokens = dataset.train.len();
        if tokens < needed {
            return Err(TrainError::TooShort {
                part: "training",
                tokens,
                needed,
                what,
            });
        }
        Ok(Self {
            ahead: Arc::new(Ahead::new(dataset.train.clone())),
            dataset,
            kind,
            batch_size,
            context_length,
            seed,
        })
    }

    /// Where the rows of a batch start, whether they start anew, and where the next batch is.
    pub fn starts(
        &self,
        step: u64,
        micro_batch: u64,
        position: Position,
    ) -> (Vec<usize>, bool, Position) {
        let tokens = self.dataset.train.len();
        match self.kind {
            BatchingKind::Random => {
                let offsets = (tokens - self.context_length) as u64;
                let seed = mix(mix(mix(self.seed, WINDOWS), step), micro_batch);
                let starts = (0..self.batch_size as u64)
                    .map(|row| below(mix(seed, row), offsets) as usize)
                    .collect();
                (starts, true, position)
            }
            BatchingKind::Stream => {
                let row_length = (tokens - 1) / self.batch_size;
                let windows = (row_length / self.context_length) as u64;
                let position = if position.window < windows {
                    position
                } else {
                    Position {
                        pass: position.pass + 1,
                        window: 0,
                    }
                };
                let first = position.window as usize * self.context_length;
                let starts = (0..self.batch_size)
                    .map(|row| row * row_length + first)
                    .collect();
                let next = Position {
                    pass: position.pass,
                    window: position.window + 1,
                };
                (starts, position.window == 0, next)
            }
        }
    }

    /// The batch itself, on `device`, and where the next one is.
    pub fn batch(
        &self,
        step: u64,
        micro_batch: u64,
        position: Position,
        device: &Device,
    ) -> (Batch, Position) {
        let (starts, fresh, next) = self.starts(step, micro_batch, position);
        let rows = self.ahead.take(&starts, self.context_length);
        let (tokens, targets) = tensors(rows, [starts.len(), self.context_length], device);
        let batch = Batch {
            tokens,
            targets,
            fresh,
        };
        (batch, next)
    }

    /// Begins to read the batch that [`BatchSource::batch`] will be asked for next.
    pub fn prepare(&self, step: u64, micro_batch: u64, position: Position) {
        let (starts, _, _) = self.starts(step, micro_batch, position);
        self.ahead.prepare(starts, self.context_length);
    }
}

/// A number below `bound`, from 64 random bits, by multiplication; the bias is below `bound / 2⁶⁴`.
fn below(bits: u64, bound: u64) -> u64 {
    ((u128::from(bits) * u128::from(bound)) >> 64) as u64
}

/// Windows of `length` tokens and their targets.
///
/// # Shapes
/// - output: `[starts, length]`, twice
pub(super) fn gather(
    ids: &TokenIds,
    starts: &[usize],
    length: usize,
    device: &Device,
) -> (Tensor<2, Int>, Tensor<2, Int>) {
    tensors(
        read_rows(ids, starts, length),
        [starts.len(), length],
        device,
    )
}

fn tensors(rows: Rows, shape: [usize; 2], device: &Device) -> (Tensor<2, Int>, Tensor<2, Int>) {
    (
        Tensor::from_data(TensorData::new(rows.tokens, shape), device),
        Tensor::from_data(TensorData::new(rows.targets, shape), device),
    )
}
