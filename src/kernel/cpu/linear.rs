//! The affine map y = x·W + b, with W stored `[in, out]`, and its gradients.

use rayon::prelude::*;

use super::matmul::{Output, Threads, View, ViewMut, matmul, product};
use super::{Unwritten, rows_per_piece};
use crate::kernel::simd::vectorize;

/// `x` `[rows, n_in]`, `weight` `[n_in, n_out]`, `bias` `[n_out]` → `[rows, n_out]`.
pub fn forward(
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    n_in: usize,
    n_out: usize,
) -> Vec<f32> {
    let rows = x.len() / n_in;
    let (x, weight) = (View::new(x, rows, n_in), View::new(weight, n_in, n_out));
    let Some(bias) = bias else {
        return product(x, weight);
    };
    let mut y = Unwritten::new(rows * n_out);
    y.slots()
        .par_chunks_mut(rows_per_piece(n_out) * n_out)
        .flat_map_iter(|piece| piece.chunks_exact_mut(n_out))
        .for_each(|row| {
            row.write_copy_of_slice(bias);
        });
    // SAFETY: `rows` rows of `n_out` values each were written.
    #[allow(unsafe_code)]
    let mut y = unsafe { y.written() };
    matmul(
        ViewMut::new(&mut y, rows, n_out),
        x,
        weight,
        1.0,
        Output::Accumulate,
        Threads::All,
    );
    y
}

/// dx = dy·Wᵀ, `[rows, n_in]`.
pub fn input_gradient(dy: &[f32], weight: &[f32], n_in: usize, n_out: usize) -> Vec<f32> {
    let rows = dy.len() / n_out;
    let weight = View::new(weight, n_in, n_out);
    product(View::new(dy, rows, n_out), weight.transposed())
}

/// dW = xᵀ·dy, `[n_in, n_out]`.
pub fn weight_gradient(x: &[f32], dy: &[f32], n_in: usize, n_out: usize) -> Vec<f32> {
    let rows = dy.len() / n_out;
    let x = View::new(x, rows, n_in);
    product(x.transposed(), View::new(dy, rows, n_out))
}

/// db: the sum of the rows of dy, `[n_out]`.
pub fn bias_gradient(dy: &[f32], n_out: usize) -> Vec<f32> {
    let piece = rows_per_piece(n_out);
    let partial: Vec<Vec<f32>> = dy
        .par_chunks(piece * n_out)
        .map(|dy| {
            let mut sum = vec![0.0; n_out];
            vectorize!({
                for row in dy.chunks_exact(n_out) {
                    for (total, v) in sum.iter_mut().zip(row) {
                        *total += v;
                    }
                }
            });
            sum
        })
        .collect();
    let mut total = vec![0.0; n_out];
    for part in &partial {
        for (t, p) in total.iter_mut().zip(part) {
            *t += p;
        }
    }
    total
}

/// x·Wᵀ for a weight `[n_out, n_in]`, such as an embedding used as the output layer: `[rows, n_out]`.
pub fn transposed_forward(x: &[f32], weight: &[f32], n_in: usize, n_out: usize) -> Vec<f32> {
    input_gradient(x, weight, n_out, n_in)
}

/// dx = dy·W of [`transposed_forward`], `[rows, n_in]`.
pub fn transposed_input_gradient(
    dy: &[f32],
    weight: &[f32],
    n_in: usize,
    n_out: usize,
) -> Vec<f32> {
    forward(dy, weight, None, n_out, n_in)
}

/// dW = dyᵀ·x of [`transposed_forward`], `[n_out, n_in]`.
pub fn transposed_weight_gradient(x: &[f32], dy: &[f32], n_in: usize, n_out: usize) -> Vec<f32> {
    weight_gradient(dy, x, n_out, n_in)
}
