//! Which windows an evaluation sees, and what their loss is.
//!
//! The windows depend on the length of the text and the configuration alone, so every evaluation of a run sees the
//! same ones. With `eval.batches = n`, n batches, their windows spread evenly over the split; with 0, or where n batches would cover
//! the split more than once, the whole split: windows side by side, and a shorter last one, so that every token
//! but the first is predicted exactly once.
//!
//! Recurrent state follows the way the model trains. With `train.batching = "random"` every window starts from an
//! empty state. With `"stream"` the split is cut into `train.batch_size` rows, state is carried along each row
//! from its start, and `eval.batches = n` reads the first n windows of every row.

use std::f64::consts::LN_2;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Device;

use super::TrainError;
use super::batch::gather;
use super::pool::Pool;
use crate::data::TokenIds;
use crate::device::{DeviceFailure, guarded};
use crate::model::{CarriedState, LanguageModel};

/// What to evaluate on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evaluation {
    pub batch_size: usize,
    pub context_length: usize,
    /// 0 reads the whole text.
    pub batches: u64,
    /// Whether recurrent state is carried from window to window.
    pub carry: bool,
}

/// One forward pass: rows of equal length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    pub starts: Vec<usize>,
    pub length: usize,
    /// Whether the rows start from an empty state.
    pub fresh: bool,
}

/// The forward passes that evaluate a text of `tokens` tokens. Empty when there is nothing to predict.
pub fn windows(tokens: usize, evaluation: Evaluation) -> Vec<Window> {
    let targets = tokens.saturating_sub(1);
    if targets == 0 {
        return Vec::new();
    }
    match evaluation.carry {
        true => carried(targets, evaluation),
        false => separate(targets, evaluation),
    }
}

fn separate(targets: usize, evaluation: Evaluation) -> Vec<Window> {
    let Evaluation {
        batch_size,
        context_length: length,
        batches,
        ..
    } = evaluation;
    let whole = targets / length;
    let wanted = usize::try_from(batches)
        .unwrap_or(usize::MAX)
        .saturating_mul(batch_size);
    let chunk = |starts: Vec<usize>| -> Vec<Window> {
        starts
            .chunks(batch_size)
            .map(|starts| Window {
                starts: starts.to_vec(),
                length,
                fresh: true,
            })
            .collect()
    };
    if wanted > 0 && wanted <= whole {
        let last = targets - length;
        let gaps = (wanted - 1).max(1);
        // 128 bits: a long text times many windows.
        let start = |i: usize| (last as u128 * i as u128 / gaps as u128) as usize;
        return chunk((0..wanted).map(start).collect());
    }
    let mut all = chunk((0..whole).map(|i| i * length).collect());
    let rest = targets % length;
    if rest > 0 {
        all.push(Window {
            starts: vec![whole * length],
            length: rest,
            fresh: true,
        });
    }
    all
}

fn carried(targets: usize, evaluation: Evaluation) -> Vec<Window> {
    let length = evaluation.context_length;
    let rows = evaluation.batch_size.min(targets);
    let row_length = targets / rows;
    let limit = match evaluation.batches {
        0 => usize::MAX,
        n => usize::try_from(n).unwrap_or(usize::MAX),
    };
    let mut all: Vec<Window> = pieces(0, row_length, length)
        .take(limit)
        .map(|(offset, length)| Window {
            starts: (0..rows).map(|row| row * row_length + offset).collect(),
            length,
            fresh: offset == 0,
        })
        .collect();
    // What does not divide evenly among the rows: fewer tokens than there are rows.
    let done = rows * row_length;
    if all.len() < limit {
        all.extend(
            pieces(done, targets - done, length).map(|(offset, length)| Window {
                starts: vec![offset],
                length,
                fresh: offset == done,
            }),
        );
    }
    all
}

/// Cuts `start .. start + total` into pieces of `length` and a rest: (start, length).
fn pieces(start: usize, total: usize, length: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..total.div_ceil(length)).map(move |i| {
        let offset = i * length;
        (start + offset, length.min(total - offset))
    })
}

/// Mean loss in nats per predicted token over these windows. `model` should come from `valid()`.
///
/// `progress` hears of every forward pass done. `None` when `stop` was raised.
///
/// # Errors
/// The device failed.
pub(super) fn mean_loss(
    model: &LanguageModel,
    ids: &TokenIds,
    windows: &[Window],
    device: &Device,
    pool: &Pool,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(),
) -> Result<Option<f64>, TrainError> {
    guarded(device, || {
        sum_up(model, ids, windows, device, pool, stop, progress)
    })
}

fn sum_up(
    model: &LanguageModel,
    ids: &TokenIds,
    windows: &[Window],
    device: &Device,
    pool: &Pool,
    stop: &AtomicBool,
    progress: &mut dyn FnMut(),
) -> Result<Option<f64>, TrainError> {
    let mut nats = 0.0;
    let mut count = 0;
    let mut state: Option<CarriedState> = None;
    for window in windows {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        if window.fresh {
            state = None;
        }
        let carried = state.take();
        let (loss, next) = pool.run(|| {
            let (tokens, targets) = gather(ids, &window.starts, window.length, device);
            let (loss, next) = model.loss(tokens, targets, carried);
            (loss.try_into_data(), next)
        });
        state = Some(next);
        let loss = loss.map_err(DeviceFailure::from)?;
        let loss = loss
            .as_slice::<f32>()
            .map_or(f64::NAN, |loss| f64::from(loss[0]));
        let predicted = window.starts.len() * window.length;
        nats += loss * predicted as f64;
        count += predicted;
        progress();
    }
    Ok(Some(nats / count as f64))
}

/// exp of the mean loss: how many tokens the model hesitates between.
pub fn perplexity(loss: f64) -> f64 {
    loss.exp()
}

/// Bits per byte of text, the unit in which tokenizers compare: nats of the whole text / ln 2 / bytes of the text,
/// with the mean loss standing for every token of it.
pub fn bits_per_byte(loss: f64, tokens: usize, bytes: u64) -> f64 {
    loss * tokens as f64 / LN_2 / bytes as f64
}
