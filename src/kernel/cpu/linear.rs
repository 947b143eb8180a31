//! The affine map y = x·W + b, with W stored `[in, out]`, and its gradients.

use rayon::prelude::*;

use super::matmul::{Output, Threads, View, ViewMut, matmul, product};
use super::shared::{over_rows, product_beside_over_rows, side_by_side};
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
    forward_on(x, weight, bias, [n_in, n_out], Threads::All)
}

pub(super) fn forward_on(
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    [n_in, n_out]: [usize; 2],
    threads: Threads,
) -> Vec<f32> {
    let rows = x.len() / n_in;
    let (x, weight) = (View::new(x, rows, n_in), View::new(weight, n_in, n_out));
    let Some(bias) = bias else {
        return product(x, weight, threads);
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
        threads,
    );
    y
}

/// dx = dy·Wᵀ, `[rows, n_in]`.
pub fn input_gradient(dy: &[f32], weight: &[f32], n_in: usize, n_out: usize) -> Vec<f32> {
    input_gradient_on(dy, weight, n_in, n_out, Threads::All)
}

pub(super) fn input_gradient_on(
    dy: &[f32],
    weight: &[f32],
    n_in: usize,
    n_out: usize,
    threads: Threads,
) -> Vec<f32> {
    let rows = dy.len() / n_out;
    let weight = View::new(weight, n_in, n_out);
    product(View::new(dy, rows, n_out), weight.transposed(), threads)
}

/// dW = xᵀ·dy, `[n_in, n_out]`.
pub fn weight_gradient(x: &[f32], dy: &[f32], n_in: usize, n_out: usize) -> Vec<f32> {
    weight_gradient_on(x, dy, n_in, n_out, Threads::All)
}

fn weight_gradient_on(
    x: &[f32],
    dy: &[f32],
    n_in: usize,
    n_out: usize,
    threads: Threads,
) -> Vec<f32> {
    let rows = dy.len() / n_out;
    over_rows(
        View::new(x, rows, n_in),
        View::new(dy, rows, n_out),
        threads,
    )
}

/// dx, dW and db, those that are wanted.
pub fn gradients(
    x: &[f32],
    weight: &[f32],
    dy: &[f32],
    [n_in, n_out]: [usize; 2],
    [wants_dx, wants_dw, wants_db]: [bool; 3],
) -> [Option<Vec<f32>>; 3] {
    let mut db = None;
    let (dx, dw) = if wants_dx && wants_dw {
        let rows = dy.len() / n_out;
        let weight = View::new(weight, n_in, n_out);
        let (x, dy_view) = (View::new(x, rows, n_in), View::new(dy, rows, n_out));
        let sum: Box<dyn FnOnce() + Send> = Box::new(|| db = Some(bias_gradient(dy, n_out)));
        let (dx, dw) = product_beside_over_rows(
            [dy_view, weight.transposed()],
            [x, dy_view],
            // Reading dy is all there is to it: less than any product.
            wants_db.then_some((0, sum)),
        );
        (Some(dx), Some(dw))
    } else {
        db = wants_db.then(|| bias_gradient(dy, n_out));
        (
            wants_dx.then(|| input_gradient(dy, weight, n_in, n_out)),
            wants_dw.then(|| weight_gradient(x, dy, n_in, n_out)),
        )
    };
    [dx, dw, db]
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

/// dx = dy·W and dW = dyᵀ·x of [`transposed_forward`], `[rows, n_in]` and `[n_out, n_in]`, those that are wanted.
pub fn transposed_gradients(
    x: &[f32],
    weight: &[f32],
    dy: &[f32],
    [n_in, n_out]: [usize; 2],
    wanted: [bool; 2],
) -> [Option<Vec<f32>>; 2] {
    let rows = dy.len() / n_out;
    let dx = |threads| {
        let weight = View::new(weight, n_out, n_in);
        product(View::new(dy, rows, n_out), weight, threads)
    };
    let dw = |threads| weight_gradient_on(dy, x, n_out, n_in, threads);
    match wanted {
        [true, true] => {
            let (x, dy) = (View::new(x, rows, n_in), View::new(dy, rows, n_out));
            let weight = View::new(weight, n_out, n_in);
            let (dx, dw) = product_beside_over_rows([dy, weight], [dy, x], None);
            [Some(dx), Some(dw)]
        }
        [wants_dx, wants_dw] => [
            wants_dx.then(|| dx(Threads::All)),
            wants_dw.then(|| dw(Threads::All)),
        ],
    }
}

/// The rows of `a` and `b` side by side, times a weight: `[a; b]·W` without a copy of both. `a`, `b` `[rows, n]`, `weight` `[2·n, n_out]` →
/// `[rows, n_out]`.
pub fn pair_forward([a, b]: [&[f32]; 2], weight: &[f32], n: usize, n_out: usize) -> Vec<f32> {
    let rows = a.len() / n;
    let (top, bottom) = weight.split_at(n * n_out);
    let (top, bottom) = (View::new(top, n, n_out), View::new(bottom, n, n_out));
    let mut y = product(View::new(a, rows, n), top, Threads::All);
    matmul(
        ViewMut::new(&mut y, rows, n_out),
        View::new(b, rows, n),
        bottom,
        1.0,
        Output::Accumulate,
        Threads::All,
    );
    y
}

/// The gradients of [`pair_forward`] with respect to `a`, `b` and the weight.
pub fn pair_gradients(
    [a, b]: [&[f32]; 2],
    weight: &[f32],
    dy: &[f32],
    n: usize,
    n_out: usize,
) -> [Vec<f32>; 3] {
    let rows = a.len() / n;
    let (top, bottom) = weight.split_at(n * n_out);
    let ((da, db), dw) = side_by_side(
        |threads| {
            (
                input_gradient_on(dy, top, n, n_out, threads),
                input_gradient_on(dy, bottom, n, n_out, threads),
            )
        },
        |threads| {
            let dy = View::new(dy, rows, n_out);
            let of = |x| over_rows(View::new(x, rows, n), dy, threads);
            [of(a), of(b)].concat()
        },
    );
    [da, db, dw]
}
