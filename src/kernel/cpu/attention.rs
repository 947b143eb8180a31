//! Causal multi-head attention over fused projections, forward and backward.
//!
//! One task a batch row and head. A task walks over blocks of queries and keeps one block of scores at a
//! time, as FlashAttention does (Dao et al. 2022, arXiv:2205.14135); what is saved for the backward pass is
//! the logarithm of each query's softmax denominator. Nothing of size seq × seq outlives a block. Unlike
//! FlashAttention the keys of a block are not tiled: the scratch is `BLOCK × seq`.

use rayon::prelude::*;

use super::activation::Mask;
use super::cross_entropy::exponentiate;
use super::matmul::{Output, Threads, View, ViewMut, matmul};
use super::{Unwritten, buffer};
use crate::kernel::simd::{exp, vectorize};

/// Queries per block.
const BLOCK: usize = 32;
/// Float32 values in the widest vectors there are.
const LANES: usize = 16;

/// The sizes of an attention layer's input `[batch, seq, 3·d_model]`, whose last dimension holds the
/// queries, the keys and the values of all heads, in this order.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    pub batch: usize,
    pub seq: usize,
    pub n_heads: usize,
    pub d_head: usize,
}

impl Sizes {
    fn d_model(&self) -> usize {
        self.n_heads * self.d_head
    }

    /// Queries, keys and values of one head of one batch row, as views on the fused projection.
    fn head<'a>(&self, qkv: &'a [f32], task: usize) -> [&'a [f32]; 3] {
        let (row, head) = (task / self.n_heads, task % self.n_heads);
        let start = row * self.seq * 3 * self.d_model() + head * self.d_head;
        [0, 1, 2].map(|part| &qkv[start + part * self.d_model()..])
    }

    fn scale(&self) -> f32 {
        1.0 / (self.d_head as f32).sqrt()
    }
}

/// A head's columns of a row-major matrix that several tasks fill at once.
struct HeadColumns(*mut f32);

// SAFETY: tasks write disjoint columns (see `Sizes::head` and its counterpart `scatter`).
#[allow(unsafe_code)]
unsafe impl Sync for HeadColumns {}

impl HeadColumns {
    /// Adds up nothing: copies `block` `[rows, d_head]` to rows `first_row..` at column `column`.
    fn scatter(&self, block: &[f32], d_head: usize, stride: usize, offset: usize) {
        for (i, row) in block.chunks_exact(d_head).enumerate() {
            // SAFETY: callers pass offsets inside the buffer this was made from, and no two tasks the same
            // columns of the same rows.
            #[allow(unsafe_code)]
            unsafe {
                std::ptr::copy_nonoverlapping(
                    row.as_ptr(),
                    self.0.add(offset + i * stride),
                    d_head,
                );
            }
        }
    }
}

/// `qkv` `[batch, seq, 3·d_model]` → output `[batch, seq, d_model]` and log-denominators `[batch, n_heads, seq]`.
pub fn forward(qkv: &[f32], sizes: Sizes, mask: Option<Mask>) -> (Vec<f32>, Vec<f32>) {
    let Sizes {
        batch,
        seq,
        n_heads,
        d_head,
    } = sizes;
    let d_model = sizes.d_model();
    assert_eq!(qkv.len(), batch * seq * 3 * d_model);
    let mut out = Unwritten::new(batch * seq * d_model);
    let mut log_denominators = buffer(batch * n_heads * seq);
    let columns = HeadColumns(out.slots().as_mut_ptr().cast());
    let columns = &columns;
    let block = BLOCK.min(seq);
    let scratch = || [buffer(block * seq), buffer(block * d_head)];
    log_denominators
        .par_chunks_mut(seq)
        .enumerate()
        .for_each_init(scratch, |[scores, result], (task, logs)| {
            let [q, k, v] = sizes.head(qkv, task);
            let (row, head) = (task / n_heads, task % n_heads);
            for first in (0..seq).step_by(BLOCK) {
                let rows = BLOCK.min(seq - first);
                let visible = first + rows;
                let scores = &mut scores[..rows * visible];
                score(scores, [q, k], first, rows, visible, sizes);
                for (i, row) in scores.chunks_exact_mut(visible).enumerate() {
                    logs[first + i] = softmax(row, first + i + 1);
                    if let Some(mask) = mask {
                        let start = ((task * seq + first + i) * seq) as u64;
                        let seen = &mut row[..first + i + 1];
                        vectorize!({
                            for (j, p) in seen.iter_mut().enumerate() {
                                *p *= mask.factor(start + j as u64);
                            }
                        });
                    }
                }
                let result = &mut result[..rows * d_head];
                matmul(
                    ViewMut::new(result, rows, d_head),
                    View::new(scores, rows, visible),
                    View::strided(v, visible, d_head, 3 * d_model),
                    1.0,
                    Output::Replace,
                    Threads::One,
                );
                let offset = (row * seq + first) * d_model + head * d_head;
                columns.scatter(result, d_head, d_model, offset);
            }
        });
    // SAFETY: each task wrote every row of its head's columns.
    #[allow(unsafe_code)]
    let out = unsafe { out.written() };
    (out, log_denominators)
}

/// Scores become probabilities: those of the first `visible` positions, and 0 for the rest. Gives the logarithm of the denominator.
fn softmax(row: &mut [f32], visible: usize) -> f32 {
    // Whole vectors are faster than a ragged end; e^-∞ is the 0 that the future gets anyway.
    let padded = visible.next_multiple_of(LANES).min(row.len());
    let (seen, future) = row.split_at_mut(padded);
    seen[visible..].fill(f32::NEG_INFINITY);
    future.fill(0.0);
    let (max, sum) = exponentiate(seen);
    let factor = 1.0 / sum;
    vectorize!({
        for p in seen.iter_mut() {
            *p *= factor;
        }
    });
    max + sum.ln()
}

/// scale·Q·Kᵀ for a block of queries and the keys it may see; the future is left as computed.
fn score(
    scores: &mut [f32],
    [q, k]: [&[f32]; 2],
    first: usize,
    rows: usize,
    visible: usize,
    sizes: Sizes,
) {
    let stride = 3 * sizes.d_model();
    matmul(
        ViewMut::new(scores, rows, visible),
        View::strided(&q[first * stride..], rows, sizes.d_head, stride),
        View::strided(k, visible, sizes.d_head, stride).transposed(),
        sizes.scale(),
        Output::Replace,
        Threads::One,
    );
}

/// The gradient with respect to `qkv`, from that of the output `[batch, seq, d_model]`.
pub fn backward(
    qkv: &[f32],
    out: &[f32],
    log_denominators: &[f32],
    grad: &[f32],
    sizes: Sizes,
    mask: Option<Mask>,
) -> Vec<f32> {
    let Sizes {
        batch,
        seq,
        n_heads,
        d_head,
    } = sizes;
    let d_model = sizes.d_model();
    let stride = 3 * d_model;
    assert_eq!(qkv.len(), batch * seq * stride);
    assert_eq!(log_denominators.len(), batch * n_heads * seq);
    let mut dqkv = Unwritten::new(batch * seq * stride);
    let columns = HeadColumns(dqkv.slots().as_mut_ptr().cast());
    let columns = &columns;
    let block = BLOCK.min(seq);
    let scratch = || {
        let [heads, scores] = [seq * d_head, block * seq];
        [block * d_head, heads, heads, scores, scores].map(buffer)
    };
    log_denominators.par_chunks(seq).enumerate().for_each_init(
        scratch,
        |[dq, dk, dv, probabilities, dscores], (task, logs)| {
            let (row, head) = (task / n_heads, task % n_heads);
            let [q, k, v] = sizes.head(qkv, task);
            let start = row * seq * d_model + head * d_head;
            let (grad, out) = (&grad[start..], &out[start..]);
            // From the last block, which sees all keys and so writes their gradients, to the first: the others add.
            let mut mode = Output::Replace;
            for first in (0..seq).step_by(BLOCK).rev() {
                let rows = BLOCK.min(seq - first);
                let visible = first + rows;
                let probabilities = &mut probabilities[..rows * visible];
                let dscores = &mut dscores[..rows * visible];
                score(probabilities, [q, k], first, rows, visible, sizes);
                let grad_block = View::strided(&grad[first * d_model..], rows, d_head, d_model);
                matmul(
                    ViewMut::new(dscores, rows, visible),
                    grad_block,
                    View::strided(v, visible, d_head, stride).transposed(),
                    1.0,
                    Output::Replace,
                    Threads::One,
                );
                let lines = probabilities
                    .chunks_exact_mut(visible)
                    .zip(dscores.chunks_exact_mut(visible));
                for (i, (p, ds)) in lines.enumerate() {
                    let at = (first + i) * d_model;
                    let dot = dot(&out[at..at + d_head], &grad[at..at + d_head]);
                    let position = ((task * seq + first + i) * seq) as u64;
                    let mask = mask.map(|mask| (mask, position));
                    backward_row(p, ds, first + i + 1, logs[first + i], dot, mask);
                }
                matmul(
                    ViewMut::new(&mut dv[..visible * d_head], visible, d_head),
                    View::new(probabilities, rows, visible).transposed(),
                    grad_block,
                    1.0,
                    mode,
                    Threads::One,
                );
                let dq = &mut dq[..rows * d_head];
                matmul(
                    ViewMut::new(dq, rows, d_head),
                    View::new(dscores, rows, visible),
                    View::strided(k, visible, d_head, stride),
                    sizes.scale(),
                    Output::Replace,
                    Threads::One,
                );
                matmul(
                    ViewMut::new(&mut dk[..visible * d_head], visible, d_head),
                    View::new(dscores, rows, visible).transposed(),
                    View::strided(&q[first * stride..], rows, d_head, stride),
                    sizes.scale(),
                    mode,
                    Threads::One,
                );
                mode = Output::Accumulate;
                let offset = (row * seq + first) * stride + head * d_head;
                columns.scatter(dq, d_head, stride, offset);
            }
            let offset = row * seq * stride + head * d_head;
            columns.scatter(dk, d_head, stride, offset + d_model);
            columns.scatter(dv, d_head, stride, offset + 2 * d_model);
        },
    );
    // SAFETY: each task wrote every row of its head's columns of all three parts.
    #[allow(unsafe_code)]
    unsafe {
        dqkv.written()
    }
}

/// In sixteen partial sums, so that the loop vectorises.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    vectorize!({
        let mut lanes = [0.0f32; LANES];
        let (mut left, mut right) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
        for (a, b) in (&mut left).zip(&mut right) {
            for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
                *lane += a * b;
            }
        }
        let rest = left.remainder().iter().zip(right.remainder());
        lanes.iter().sum::<f32>() + rest.map(|(a, b)| a * b).sum::<f32>()
    })
}

/// One query's row: scores become what weighs the values (dropout applied), and the gradient of the dropped
/// probabilities becomes that of the scores: P·(dP - ΣP·dP), where ΣP·dP = out·grad.
#[inline(always)]
fn backward_row(
    p: &mut [f32],
    ds: &mut [f32],
    visible: usize,
    log_denominator: f32,
    dot: f32,
    mask: Option<(Mask, u64)>,
) {
    let (p, future_p) = p.split_at_mut(visible);
    let (ds, future_ds) = ds.split_at_mut(visible);
    future_p.fill(0.0);
    future_ds.fill(0.0);
    match mask {
        Some((mask, start)) => vectorize!({
            for (j, (p, ds)) in p.iter_mut().zip(ds).enumerate() {
                let probability = exp(*p - log_denominator);
                let factor = mask.factor(start + j as u64);
                *ds = probability * (*ds * factor - dot);
                *p = probability * factor;
            }
        }),
        None => vectorize!({
            for (p, ds) in p.iter_mut().zip(ds) {
                *p = exp(*p - log_denominator);
                *ds = *p * (*ds - dot);
            }
        }),
    }
}
