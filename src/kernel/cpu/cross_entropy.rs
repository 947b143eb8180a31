//! Softmax cross-entropy straight from logits, its gradient in the same pass.

use rayon::prelude::*;

use super::rows_per_piece;
use crate::kernel::simd::{exp, vectorize};

/// The sum over rows of -ln softmax(logits)`[target]`, nats.
pub fn loss(logits: &[f32], targets: &[i64], vocab: usize) -> f64 {
    let piece = rows_per_piece(vocab);
    let partial: Vec<f64> = logits
        .par_chunks(piece * vocab)
        .zip(targets.par_chunks(piece))
        .map(|(logits, targets)| {
            let rows = logits.chunks_exact(vocab).zip(targets);
            rows.map(|(row, target)| {
                let (max, sum) = log_sum_parts(row);
                f64::from(max) + f64::from(sum).ln() - f64::from(row[*target as usize])
            })
            .sum()
        })
        .collect();
    partial.iter().sum()
}

/// As [`loss`]; the logits become the gradient of `scale` times the sum.
pub fn loss_and_gradient(logits: &mut [f32], targets: &[i64], vocab: usize, scale: f32) -> f64 {
    let piece = rows_per_piece(vocab);
    let partial: Vec<f64> = logits
        .par_chunks_mut(piece * vocab)
        .zip(targets.par_chunks(piece))
        .map(|(logits, targets)| {
            let rows = logits.chunks_exact_mut(vocab).zip(targets);
            rows.map(|(row, target)| {
                let target = *target as usize;
                let at_target = row[target];
                let (max, sum) = exponentiate(row);
                let factor = scale / sum;
                vectorize(|| {
                    for v in row.iter_mut() {
                        *v *= factor;
                    }
                });
                row[target] -= scale;
                f64::from(max) + f64::from(sum).ln() - f64::from(at_target)
            })
            .sum()
        })
        .collect();
    partial.iter().sum()
}

/// The row's maximum and the sum of e^(v - max).
fn log_sum_parts(row: &[f32]) -> (f32, f32) {
    vectorize(|| {
        let max = maximum(row);
        let mut lanes = [0.0f32; 16];
        let mut chunks = row.chunks_exact(16);
        for chunk in &mut chunks {
            for (lane, v) in lanes.iter_mut().zip(chunk) {
                *lane += exp(v - max);
            }
        }
        let rest: f32 = chunks.remainder().iter().map(|v| exp(v - max)).sum();
        (max, lanes.iter().sum::<f32>() + rest)
    })
}

/// Replaces each value by e^(v - max); gives the maximum and the sum.
#[inline(always)]
pub(crate) fn exponentiate(row: &mut [f32]) -> (f32, f32) {
    vectorize(|| {
        let max = maximum(row);
        let mut lanes = [0.0f32; 16];
        let mut chunks = row.chunks_exact_mut(16);
        for chunk in &mut chunks {
            for (lane, v) in lanes.iter_mut().zip(chunk) {
                *v = exp(*v - max);
                *lane += *v;
            }
        }
        let mut sum = lanes.iter().sum::<f32>();
        for v in chunks.into_remainder() {
            *v = exp(*v - max);
            sum += *v;
        }
        (max, sum)
    })
}

/// The largest value; NaN where any value is NaN, so that a broken row stays visible.
#[inline(always)]
pub(crate) fn maximum(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let mut broken = [false; 16];
    let mut chunks = row.chunks_exact(16);
    for chunk in &mut chunks {
        for ((lane, broken), v) in lanes.iter_mut().zip(&mut broken).zip(chunk) {
            *lane = if *v > *lane { *v } else { *lane };
            *broken |= v.is_nan();
        }
    }
    let mut max = f32::NEG_INFINITY;
    for v in lanes.iter().chain(chunks.remainder()) {
        if v.is_nan() {
            return f32::NAN;
        }
        max = max.max(*v);
    }
    if broken.contains(&true) {
        f32::NAN
    } else {
        max
    }
}
