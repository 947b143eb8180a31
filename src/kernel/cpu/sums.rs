//! Sums over whole tensors, and of products of rows.

use rayon::prelude::*;

use super::cross_entropy::fold;
use crate::kernel::simd::vectorize;

/// Elements per task.
const PIECE: usize = 64 * 1024;

/// The sum of all squares. NaN or infinite where a value is, or where a square is too large for float32.
pub fn square_sum(values: &[f32]) -> f64 {
    let partial: Vec<f64> = values.par_chunks(PIECE).map(squares).collect();
    partial.iter().sum()
}

/// a·b. To be called inside `vectorize!`.
#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 16];
    let (mut left, mut right) = (a.chunks_exact(16), b.chunks_exact(16));
    for (a, b) in (&mut left).zip(&mut right) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    let rest = left.remainder().iter().zip(right.remainder());
    fold(lanes, |a, b| a + b) + rest.map(|(a, b)| a * b).sum::<f32>()
}

fn squares(values: &[f32]) -> f64 {
    let mut total = 0.0;
    // Short runs in float32, their sums in float64.
    for run in values.chunks(4096) {
        let mut lanes = [0.0f32; 32];
        let mut chunks = run.chunks_exact(32);
        vectorize!({
            for chunk in &mut chunks {
                for (lane, v) in lanes.iter_mut().zip(chunk) {
                    *lane += v * v;
                }
            }
        });
        let rest: f32 = chunks.remainder().iter().map(|v| v * v).sum();
        total += f64::from(lanes.iter().sum::<f32>() + rest);
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_add_up() {
        for count in [0, 1, 31, 33, 4097, 3 * PIECE + 5] {
            let values = super::super::tests::values(count, 3);
            let exact: f64 = values.iter().map(|v| f64::from(*v).powi(2)).sum();
            let found = square_sum(&values);
            assert!((found - exact).abs() <= 1e-6 * exact, "{count}: {found}");
        }
    }

    #[test]
    fn what_is_not_finite_shows() {
        let mut values = vec![0.5; 100_000];
        values[77_777] = f32::NAN;
        assert!(square_sum(&values).is_nan());
        values[77_777] = f32::NEG_INFINITY;
        assert_eq!(square_sum(&values), f64::INFINITY);
    }

    #[test]
    fn threads_do_not_change_the_sum() {
        let values = super::super::tests::values(5 * PIECE + 17, 4);
        let sum = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build().unwrap().install(|| square_sum(&values))
        };
        assert_eq!(sum(1).to_bits(), sum(3).to_bits());
    }
}
