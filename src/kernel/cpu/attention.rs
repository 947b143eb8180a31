//! Causal multi-head attention over fused projections, forward and backward.
//!
//! One task a batch row and head. A task walks over blocks of queries and keeps one block of scores at a
//! time, as FlashAttention does (Dao et al. 2022, arXiv:2205.14135); what is saved for the backward pass is
//! the logarithm of each query's softmax denominator. Nothing of size seq × seq outlives a block. Unlike
//! FlashAttention the keys of a block are not tiled: the scratch is `BLOCK × seq`. Of a strip of queries only the scores of keys that
//! some of them see are computed.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::activation::Mask;
use super::cross_entropy::{exponentiate, fold};
use super::matmul::{Output, View};
use super::tile::{self, LANES, Part, STRIP, Target};
use super::{Unwritten, buffer};
use crate::kernel::simd::{exp, vectorize};

/// Queries per block: whole strips of tiles.
const BLOCK: usize = 8 * STRIP;

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

// SAFETY: tasks write disjoint columns (see `Sizes::head`).
#[allow(unsafe_code)]
unsafe impl Sync for HeadColumns {}

impl HeadColumns {
    /// The columns from `offset` on, with rows `stride` apart.
    ///
    /// # Safety
    ///
    /// The offset must lie within the matrix.
    #[allow(unsafe_code)]
    unsafe fn from(&self, offset: usize, stride: usize) -> Target {
        // SAFETY: the caller's promise.
        let to = unsafe { self.0.add(offset) };
        Target { to, stride }
    }
}

/// `qkv` `[batch, seq, 3·d_model]` → output `[batch, seq, d_model]` and log-denominators `[batch, n_heads, seq]`.
pub fn forward(qkv: &[f32], sizes: Sizes, mask: Option<Mask>) -> (Vec<f32>, Vec<f32>) {
    let mut out = Unwritten::new(sizes.batch * sizes.seq * sizes.d_model());
    let mut log_denominators = buffer(sizes.batch * sizes.n_heads * sizes.seq);
    forward_into(out.slots(), &mut log_denominators, qkv, sizes, mask);
    // SAFETY: all of it was written.
    #[allow(unsafe_code)]
    let out = unsafe { out.written() };
    (out, log_denominators)
}

/// As [`forward`], into memory that is there; all of `out` is written.
pub(super) fn forward_into<'o>(
    out: &'o mut [MaybeUninit<f32>],
    log_denominators: &mut [f32],
    qkv: &[f32],
    sizes: Sizes,
    mask: Option<Mask>,
) -> &'o mut [f32] {
    let Sizes {
        batch,
        seq,
        n_heads,
        d_head,
    } = sizes;
    let d_model = sizes.d_model();
    assert_eq!(qkv.len(), batch * seq * 3 * d_model);
    assert_eq!(out.len(), batch * seq * d_model);
    assert_eq!(log_denominators.len(), batch * n_heads * seq);
    let columns = HeadColumns(out.as_mut_ptr().cast());
    let columns = &columns;
    let (block, padded) = (BLOCK.min(seq), seq.next_multiple_of(LANES));
    let scratch = || [block * padded, d_head * padded, seq * d_head].map(buffer);
    log_denominators
        .par_chunks_mut(seq)
        .enumerate()
        .for_each_init(scratch, |[scores, keys, values], (task, logs)| {
            let [q, k, v] = sizes.head(qkv, task);
            let stride = 3 * d_model;
            tile::transpose(keys, padded, k, [seq, d_head, stride]);
            tile::gather(values, v, d_head, stride);
            let (row, head) = (task / n_heads, task % n_heads);
            for first in (0..seq).step_by(BLOCK) {
                let rows = BLOCK.min(seq - first);
                score(scores, q, keys, first, rows, sizes);
                for (i, row) in scores.chunks_exact_mut(padded).take(rows).enumerate() {
                    let shown = shown(first, i, rows);
                    logs[first + i] = softmax(&mut row[..shown], first + i + 1);
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
                // SAFETY: these rows and columns of the output are this task's.
                #[allow(unsafe_code)]
                unsafe {
                    let offset = (row * seq + first) * d_model + head * d_head;
                    tile::product(
                        columns.from(offset, d_model),
                        View::strided(scores, rows, seq, padded),
                        View::new(values, seq, d_head),
                        1.0,
                        Output::Replace,
                        |strip| Part {
                            columns: d_head,
                            depth: 0..first + strip.end,
                        },
                    );
                }
            }
        });
    // SAFETY: each task wrote every row of its head's columns.
    #[allow(unsafe_code)]
    unsafe {
        out.assume_init_mut()
    }
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

/// How many keys are computed for query `i` of a block that begins at `first`: those that the last query of its strip sees, in whole
/// vectors.
fn shown(first: usize, i: usize, rows: usize) -> usize {
    let end = ((i / STRIP + 1) * STRIP).min(rows);
    (first + end).next_multiple_of(LANES)
}

/// scale·a·keys for a block of queries, `a` being their rows and `keys` `[d_head, padded seq]`, for as many keys as [`shown`] says; the
/// future is left as computed.
fn score(
    scores: &mut [f32],
    queries: &[f32],
    keys: &[f32],
    first: usize,
    rows: usize,
    sizes: Sizes,
) {
    let stride = 3 * sizes.d_model();
    let queries = View::strided(&queries[first * stride..], rows, sizes.d_head, stride);
    against(scores, queries, keys, sizes.scale(), first, sizes);
}

fn against(scores: &mut [f32], a: View, keys: &[f32], scale: f32, first: usize, sizes: Sizes) {
    let (padded, rows) = (sizes.seq.next_multiple_of(LANES), a.rows);
    assert!(rows * padded <= scores.len());
    let out = Target {
        to: scores.as_mut_ptr(),
        stride: padded,
    };
    let keys = View::new(keys, sizes.d_head, padded);
    // SAFETY: the scores have `rows` rows of `padded` values, and are borrowed mutably.
    #[allow(unsafe_code)]
    unsafe {
        tile::product(out, a, keys, scale, Output::Replace, |strip| Part {
            columns: shown(first, strip.start, rows),
            depth: 0..sizes.d_head,
        });
    }
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
    let mut dqkv = Unwritten::new(qkv.len());
    assert_eq!(log_denominators.len(), batch * n_heads * seq);
    let columns = HeadColumns(dqkv.slots().as_mut_ptr().cast());
    let columns = &columns;
    let (block, padded) = (BLOCK.min(seq), seq.next_multiple_of(LANES));
    let scratch = || {
        let (head, scores) = (d_head * padded, block * padded);
        [head, head, head, scores, scores].map(buffer)
    };
    log_denominators.par_chunks(seq).enumerate().for_each_init(
        scratch,
        |[keys, values, key_rows, probabilities, dscores], (task, logs)| {
            let (row, head) = (task / n_heads, task % n_heads);
            let [q, k, v] = sizes.head(qkv, task);
            let start = row * seq * d_model + head * d_head;
            let (grad, out) = (&grad[start..], &out[start..]);
            tile::transpose(keys, padded, k, [seq, d_head, stride]);
            tile::transpose(values, padded, v, [seq, d_head, stride]);
            tile::gather(key_rows, k, d_head, stride);
            let key_rows = View::new(key_rows, seq, d_head);
            // From the last block, which sees all keys and so writes their gradients, to the first: the others add.
            let mut mode = Output::Replace;
            for first in (0..seq).step_by(BLOCK).rev() {
                let rows = BLOCK.min(seq - first);
                let visible = first + rows;
                score(probabilities, q, keys, first, rows, sizes);
                let grads = View::strided(&grad[first * d_model..], rows, d_head, d_model);
                against(dscores, grads, values, 1.0, first, sizes);
                let lines = probabilities
                    .chunks_exact_mut(padded)
                    .zip(dscores.chunks_exact_mut(padded));
                for (i, (p, ds)) in lines.take(rows).enumerate() {
                    let at = (first + i) * d_model;
                    let dot = dot(&out[at..at + d_head], &grad[at..at + d_head]);
                    let position = ((task * seq + first + i) * seq) as u64;
                    let mask = mask.map(|mask| (mask, position));
                    let shown = shown(first, i, rows);
                    let (p, ds) = (&mut p[..shown], &mut ds[..shown]);
                    backward_row(p, ds, first + i + 1, logs[first + i], dot, mask);
                }
                let queries = View::strided(&q[first * stride..], rows, d_head, stride);
                let probabilities = View::strided(probabilities, rows, visible, padded);
                let dscores = View::strided(dscores, rows, seq, padded);
                // Queries before a key do not see it.
                let of_keys = |strip: Range<usize>| Part {
                    columns: d_head,
                    depth: strip.start.saturating_sub(first)..rows,
                };
                let of_queries = |strip: Range<usize>| Part {
                    columns: d_head,
                    depth: 0..first + strip.end,
                };
                let scale = sizes.scale();
                let seen = dscores.part(0..rows, 0..visible).transposed();
                // SAFETY: these rows and columns of all three parts are this task's, and written before they are added to.
                #[allow(unsafe_code)]
                unsafe {
                    let offset = row * seq * stride + head * d_head;
                    let to = |part: usize| columns.from(offset + part * d_model, stride);
                    let dq = columns.from(offset + first * stride, stride);
                    let every = Output::Replace;
                    tile::product(dq, dscores, key_rows, scale, every, of_queries);
                    tile::product(to(1), seen, queries, scale, mode, of_keys);
                    tile::product(to(2), probabilities.transposed(), grads, 1.0, mode, of_keys);
                }
                mode = Output::Accumulate;
            }
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
        fold(lanes, |a, b| a + b) + rest.map(|(a, b)| a * b).sum::<f32>()
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
