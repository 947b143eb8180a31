//! How much of each layer no longer responds: measured in a forward pass, on demand.
//!
//! A hidden state of a recurrent layer (and an attentional vector) is a tanh or a mix of some: beyond ±0.97 less than 6 % of a
//! gradient gets through (1 - 0.97² = 0.059), and it is called saturated. A hidden unit of a feed-forward layer is called
//! saturated when it is off at every position: it gives nothing, and after a ReLU no gradient comes back to it either.

use std::cell::RefCell;
use std::sync::Arc;

use burn::tensor::{Tensor, s};

use crate::kernel::Observed;

/// Beyond this a tanh counts as saturated.
const BEYOND: f32 = 0.97;

/// A unit of a feed-forward layer that stays below this is off. A ReLU that is off gives 0; a GELU far below zero gives a little less
/// than that (-0.004 at -3).
const OFF: f32 = 0.005;

/// Positions that are looked at: enough to see shares of a percent, few enough to cost next to nothing.
const POSITIONS: usize = 512;

/// How much of a layer is saturated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Saturation {
    pub kind: SaturationKind,
    /// From 0 to 1.
    pub share: f64,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SaturationKind {
    /// Hidden states beyond ±0.97.
    States,
    /// Units of a feed-forward layer that are off at every position.
    Units,
}

thread_local! {
    static RECORDED: RefCell<Option<Recorded>> = const { RefCell::new(None) };
}

/// What a forward pass has shown so far.
#[derive(Debug, Default)]
struct Recorded {
    recurrent: Vec<Saturation>,
    feed_forward: Vec<Saturation>,
    attention: Option<Saturation>,
}

/// Where a tensor was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The hidden states of the next recurrent layer.
    Recurrent,
    /// The hidden units of the feed-forward layer of the next block.
    FeedForward,
    /// The attentional vector.
    Attention,
}

/// Runs `forward`, and gives with what it gives the saturation of each layer, named as [`super::layer_group`] names it. Only what
/// this thread computes is seen.
pub fn record<T>(forward: impl FnOnce() -> T) -> (T, Vec<(String, Saturation)>) {
    RECORDED.set(Some(Recorded::default()));
    let result = forward();
    let recorded = RECORDED.take().unwrap_or_default();
    let numbered = |name: &'static str, layers: Vec<Saturation>| {
        let layers = layers.into_iter().enumerate();
        layers.map(move |(at, found)| (format!("{name}.{at}"), found))
    };
    let layers = numbered("layers", recorded.recurrent)
        .chain(numbered("blocks", recorded.feed_forward))
        .chain(
            recorded
                .attention
                .map(|found| ("attention".to_string(), found)),
        )
        .collect();
    (result, layers)
}

/// As [`observe`], for a kernel that tells its units itself.
///
/// # Shapes
/// - input: `[batch, seq, width]`, only for its sizes
pub(super) fn ask(input: &Tensor<3>) -> Option<Observed> {
    RECORDED.with_borrow(|recorded| {
        recorded.as_ref()?;
        let [batch, seq, _] = input.dims();
        Some(Observed {
            rows: rows(batch, seq),
            units: Arc::default(),
        })
    })
}

/// Takes note of the units that a kernel told, `width` of them at a position.
pub(super) fn answered(observed: &Observed, width: usize) {
    RECORDED.with_borrow_mut(|recorded| {
        if let (Some(recorded), Some(units)) = (recorded, observed.units.get()) {
            recorded.feed_forward.push(units_off(units, width));
        }
    });
}

/// The first rows are as good as any: windows of a batch are drawn at random, or far apart.
fn rows(batch: usize, seq: usize) -> usize {
    POSITIONS.div_ceil(seq.max(1)).clamp(1, batch.max(1))
}

/// Takes note of a layer's output, inside [`record`]; elsewhere does nothing.
///
/// # Shapes
/// - output: `[batch, seq, width]`
pub(super) fn observe(place: Place, output: &Tensor<3>) {
    RECORDED.with_borrow_mut(|recorded| {
        let Some(recorded) = recorded else { return };
        let [batch, seq, width] = output.dims();
        let rows = rows(batch, seq);
        let some = output
            .clone()
            .detach()
            .slice(s![..rows, .., ..])
            .try_into_data();
        // A device that failed is told of by the step itself, which reads its loss.
        let Some(values) = some.ok().and_then(|data| data.try_into_vec::<f32>().ok()) else {
            return;
        };
        let found = match place {
            Place::FeedForward => units_off(&values, width),
            Place::Recurrent | Place::Attention => states_beyond(&values),
        };
        match place {
            Place::Recurrent => recorded.recurrent.push(found),
            Place::FeedForward => recorded.feed_forward.push(found),
            Place::Attention => recorded.attention = Some(found),
        }
    });
}

fn states_beyond(values: &[f32]) -> Saturation {
    let beyond = values.iter().filter(|value| value.abs() > BEYOND).count();
    Saturation {
        kind: SaturationKind::States,
        share: beyond as f64 / values.len().max(1) as f64,
    }
}

fn units_off(values: &[f32], width: usize) -> Saturation {
    let mut largest = vec![0f32; width];
    for row in values.chunks_exact(width.max(1)) {
        for (largest, value) in largest.iter_mut().zip(row) {
            *largest = largest.max(value.abs());
        }
    }
    let off = largest.iter().filter(|largest| **largest < OFF).count();
    Saturation {
        kind: SaturationKind::Units,
        share: off as f64 / width.max(1) as f64,
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    fn tensor(values: &[f32], shape: [usize; 3]) -> Tensor<3> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), &Device::flex())
    }

    #[test]
    fn shares_by_hand() {
        let states = tensor(&[0.5, -0.98, 0.99, 0.0, 0.97, -1.0, 0.1, 0.2], [1, 2, 4]);
        // Unit 0 fires once, unit 1 never, unit 2 is far below zero in a GELU, unit 3 always.
        let units = tensor(&[0.0, 0.0, -0.004, 2.0, 1.0, 0.0, -0.001, 3.0], [2, 1, 4]);
        let ((), found) = record(|| {
            observe(Place::FeedForward, &units);
            observe(Place::Recurrent, &states);
            observe(Place::Attention, &states);
            observe(Place::Recurrent, &tensor(&[0.0; 4], [1, 1, 4]));
        });
        let found: Vec<(&str, SaturationKind, f64)> = found
            .iter()
            .map(|(name, found)| (name.as_str(), found.kind, found.share))
            .collect();
        assert_eq!(
            found,
            [
                ("layers.0", SaturationKind::States, 3.0 / 8.0),
                ("layers.1", SaturationKind::States, 0.0),
                ("blocks.0", SaturationKind::Units, 0.5),
                ("attention", SaturationKind::States, 3.0 / 8.0),
            ]
        );
        observe(Place::Recurrent, &states);
        assert!(record(|| ()).1.is_empty(), "nothing is kept outside");
    }

    #[test]
    fn at_most_a_few_rows_are_looked_at() {
        let mut values = vec![0.0; 1024 * 2];
        values[512 * 2..].fill(1.0);
        let ((), found) = record(|| observe(Place::Recurrent, &tensor(&values, [64, 16, 2])));
        assert_eq!(found[0].1.share, 0.0, "the second half is beyond them");
    }
}
