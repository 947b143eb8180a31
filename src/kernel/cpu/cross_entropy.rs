//! Softmax cross-entropy of one token straight from its logits, its gradient in the same pass.
//!
//! With label smoothing ε the target distribution is (1 - ε) at the target and ε/vocab everywhere, as in
//! `torch.nn.CrossEntropyLoss` (Szegedy et al. 2016, <https://arxiv.org/abs/1512.00567>).

use crate::kernel::simd::{MulAdd, exp, vectorize};

/// The logits of one token, to which a bias may have to be added, and its target.
pub(super) struct Row<'a> {
    pub logits: &'a mut [f32],
    pub bias: Option<&'a [f32]>,
    pub target: usize,
    /// ε, from 0 to below 1.
    pub label_smoothing: f32,
}

/// -ln softmax(logits + bias)`[target]`, nats; with label smoothing the mean of -ln softmax under the smoothed target.
pub(super) fn row_loss(row: Row) -> f64 {
    let Row {
        logits,
        bias,
        target,
        label_smoothing,
    } = row;
    add(logits, bias);
    let aim = aim(logits, target, label_smoothing);
    let (max, sum) = log_sum_parts(logits);
    f64::from(max) + f64::from(sum).ln() - aim
}

/// The mean logit under the target distribution.
fn aim(logits: &[f32], target: usize, label_smoothing: f32) -> f64 {
    let at_target = f64::from(logits[target]);
    if label_smoothing == 0.0 {
        return at_target;
    }
    let share = f64::from(label_smoothing);
    (1.0 - share) * at_target + share * total(logits) / logits.len() as f64
}

/// Each lane sums a sixteenth of the vocabulary in float64, so that 50 000 logits lose nothing.
fn total(row: &[f32]) -> f64 {
    vectorize!({
        let mut lanes = [0.0f64; 16];
        let mut chunks = row.chunks_exact(16);
        for chunk in &mut chunks {
            for (lane, v) in lanes.iter_mut().zip(chunk) {
                *lane += f64::from(*v);
            }
        }
        let rest: f64 = chunks.remainder().iter().copied().map(f64::from).sum();
        lanes.iter().sum::<f64>() + rest
    })
}

/// As [`row_loss`]; the logits become the gradient of `scale` times the loss, which is also added to `columns` unless that is empty.
pub(super) fn row_gradient(row: Row, scale: f32, columns: &mut [f32]) -> f64 {
    let Row {
        logits,
        bias,
        target,
        label_smoothing,
    } = row;
    add(logits, bias);
    let aim = aim(logits, target, label_smoothing);
    let (max, sum) = exponentiate(logits);
    let factor = scale / sum;
    // Every word's share of the smoothed target, and the target's own share of the gradient: (p - 1)·scale without smoothing.
    let everywhere = scale * label_smoothing / logits.len() as f32;
    let own = logits[target] * factor - (scale * (1.0 - label_smoothing) + everywhere);
    vectorize!({
        for v in logits.iter_mut() {
            *v = *v * factor - everywhere;
        }
    });
    logits[target] = own;
    vectorize!({
        for (total, v) in columns.iter_mut().zip(logits.iter()) {
            *total += v;
        }
    });
    f64::from(max) + f64::from(sum).ln() - aim
}

fn add(logits: &mut [f32], bias: Option<&[f32]>) {
    if let Some(bias) = bias {
        vectorize!({
            for (v, b) in logits.iter_mut().zip(bias) {
                *v += b;
            }
        });
    }
}

/// The row's maximum and the sum of e^(v - max).
fn log_sum_parts(row: &[f32]) -> (f32, f32) {
    vectorize!(|m| {
        let max = maximum(row);
        let mut lanes = [0.0f32; 16];
        let mut chunks = row.chunks_exact(16);
        for chunk in &mut chunks {
            for (lane, v) in lanes.iter_mut().zip(chunk) {
                *lane += exp(m, v - max);
            }
        }
        let rest: f32 = chunks.remainder().iter().map(|v| exp(m, v - max)).sum();
        (max, fold(lanes, |a, b| a + b) + rest)
    })
}

/// Replaces each value by e^(v - max); gives the maximum and the sum. The sum is NaN where any value is NaN or infinite, so that a broken
/// row stays visible.
#[inline(always)]
pub(crate) fn exponentiate(row: &mut [f32]) -> (f32, f32) {
    vectorize!(|m| {
        let max = maximum(row);
        (max, exponentiate_below(m, row, max))
    })
}

/// Replaces each value by e^(v - max) and gives their sum. To be called inside `vectorize!`.
#[inline(always)]
pub(crate) fn exponentiate_below(m: impl MulAdd, row: &mut [f32], max: f32) -> f32 {
    let mut lanes = [0.0f32; 16];
    let mut chunks = row.chunks_exact_mut(16);
    for chunk in &mut chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *v = exp(m, *v - max);
            *lane += *v;
        }
    }
    let mut sum = fold(lanes, |a, b| a + b);
    for v in chunks.into_remainder() {
        *v = exp(m, *v - max);
        sum += *v;
    }
    sum
}

/// The largest value; NaN is passed over (e^(NaN - max) shows it).
#[inline(always)]
pub(crate) fn maximum(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let mut chunks = row.chunks_exact(16);
    for chunk in &mut chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane = if *v > *lane { *v } else { *lane };
        }
    }
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let rest = chunks.remainder().iter();
    rest.fold(fold(lanes, larger), |max, v| larger(max, *v))
}

/// Folds sixteen values pair by pair, in four steps, where a sum from left to right would take fifteen.
#[inline(always)]
pub(crate) fn fold(lanes: [f32; 16], join: impl Fn(f32, f32) -> f32) -> f32 {
    let eight: [f32; 8] = std::array::from_fn(|at| join(lanes[at], lanes[at + 8]));
    let four: [f32; 4] = std::array::from_fn(|at| join(eight[at], eight[at + 4]));
    join(join(four[0], four[2]), join(four[1], four[3]))
}
