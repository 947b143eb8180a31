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
use super::cross_entropy::{exponentiate_below, maximum};
use super::matmul::{Output, View};
use super::sums::dot;
use super::tile::{self, LANES, Part, STRIP, Target};
use super::transpose::{gather, transpose};
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
            transpose(keys, padded, k, [seq, d_head, stride]);
            gather(values, v, d_head, stride);
            let (row, head) = (task / n_heads, task % n_heads);
            for first in (0..seq).step_by(BLOCK) {
                let rows = BLOCK.min(seq - first);
                score(scores, q, keys, first, rows, sizes);
                let block = Block::new(sizes, task, first, mask);
                block.softmax(scores, &mut logs[first..first + rows]);
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

/// A block of queries of a head: scores `[rows, padded]`.
struct Block {
    first: usize,
    rows: usize,
    padded: usize,
    /// From the first query's first weight on; a query's are `seq` apart.
    mask: Option<Mask>,
    seq: usize,
}

impl Block {
    /// Of a task's head, from query `first` on; `mask` is for the weights of all heads.
    fn new(sizes: Sizes, task: usize, first: usize, mask: Option<Mask>) -> Self {
        let seq = sizes.seq;
        Self {
            first,
            rows: BLOCK.min(seq - first),
            padded: seq.next_multiple_of(LANES),
            mask: mask.map(|mask| mask.from(((task * seq + first) * seq) as u64)),
            seq,
        }
    }

    /// What is computed of query `i` in whole vectors, of which the last has some that it does not see.
    #[inline(always)]
    fn shown<'r>(&self, scores: &'r mut [f32], i: usize) -> &'r mut [f32] {
        let shown = shown(self.first, i, self.rows);
        &mut scores[i * self.padded..][..shown]
    }

    /// How many positions query `i` sees.
    #[inline(always)]
    fn visible(&self, i: usize) -> usize {
        self.first + i + 1
    }

    /// Where the weights of query `i` begin in the mask.
    #[inline(always)]
    fn masked_from(&self, i: usize) -> u64 {
        (i * self.seq) as u64
    }

    /// Scores become probabilities, those of the future 0, with dropout applied; and each query's logarithm of the denominator is found. In
    /// passes over all rows, which do not wait for one another as the steps of a row do.
    fn softmax(&self, scores: &mut [f32], logs: &mut [f32]) {
        let mut sums = [0.0f32; BLOCK];
        vectorize!(|m| {
            for (i, log) in logs.iter_mut().enumerate() {
                let row = self.shown(scores, i);
                // e^-∞ is the 0 that the future gets.
                hide(row, self.visible(i), f32::NEG_INFINITY);
                *log = maximum(row);
            }
            for (i, (max, sum)) in logs.iter().zip(&mut sums).enumerate() {
                *sum = exponentiate_below(m, self.shown(scores, i), *max);
            }
            for (i, sum) in sums.iter().take(self.rows).enumerate() {
                let (row, factor) = (self.shown(scores, i), 1.0 / sum);
                let Some(mask) = self.mask else {
                    for vector in row.as_chunks_mut::<LANES>().0 {
                        for p in vector {
                            *p *= factor;
                        }
                    }
                    continue;
                };
                let start = self.masked_from(i);
                for (j, p) in row.iter_mut().enumerate() {
                    *p *= factor * mask.factor(start + j as u64);
                }
            }
        });
        for (log, sum) in logs.iter_mut().zip(&sums) {
            *log += sum.ln();
        }
    }

    /// Scores become what weighs the values (dropout applied), and the gradients of the dropped probabilities become those of the scores:
    /// P·(dP - ΣP·dP), where ΣP·dP = out·grad, which are rows of `width` values, `stride` apart.
    fn slopes(
        &self,
        [probabilities, dscores]: [&mut [f32]; 2],
        logs: &[f32],
        [out, grad]: [&[f32]; 2],
        [width, stride]: [usize; 2],
    ) {
        let mut dots = [0.0f32; BLOCK];
        vectorize!(|m| {
            for (i, found) in dots.iter_mut().take(self.rows).enumerate() {
                *found = dot(&out[i * stride..][..width], &grad[i * stride..][..width]);
            }
            for (i, (log, dot)) in logs.iter().zip(&dots).enumerate() {
                let visible = self.visible(i);
                let (p, ds) = (self.shown(probabilities, i), self.shown(dscores, i));
                hide(p, visible, f32::NEG_INFINITY);
                hide(ds, visible, 0.0);
                let Some(mask) = self.mask else {
                    let vectors = p.as_chunks_mut::<LANES>().0.iter_mut();
                    for (p, ds) in vectors.zip(ds.as_chunks_mut::<LANES>().0) {
                        for (p, ds) in p.iter_mut().zip(ds) {
                            *p = exp(m, *p - log);
                            *ds = *p * (*ds - dot);
                        }
                    }
                    continue;
                };
                let start = self.masked_from(i);
                for (j, (p, ds)) in p.iter_mut().zip(ds).enumerate() {
                    let probability = exp(m, *p - log);
                    let factor = mask.factor(start + j as u64);
                    *ds = probability * (*ds * factor - dot);
                    *p = probability * factor;
                }
            }
        });
    }
}

/// What tells the positions that are seen from the others, wherever the boundary is in a vector.
static SEEN: [f32; 2 * LANES] = {
    let mut seen = [0.0; 2 * LANES];
    let mut at = 0;
    while at < LANES {
        seen[at] = 1.0;
        at += 1;
    }
    seen
};

/// Puts `instead` behind the first `visible` values. Only those of the last vector can be hidden: see [`shown`].
#[inline(always)]
fn hide(row: &mut [f32], visible: usize, instead: f32) {
    let Some((before, last)) = row.split_last_chunk_mut::<LANES>() else {
        return;
    };
    let seen = &SEEN[LANES - (visible - before.len())..][..LANES];
    for (value, seen) in last.iter_mut().zip(seen) {
        *value = if *seen > 0.0 { *value } else { instead };
    }
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
            transpose(keys, padded, k, [seq, d_head, stride]);
            transpose(values, padded, v, [seq, d_head, stride]);
            gather(key_rows, k, d_head, stride);
            let key_rows = View::new(key_rows, seq, d_head);
            // From the last block, which sees all keys and so writes their gradients, to the first: the others add.
            let mut mode = Output::Replace;
            for first in (0..seq).step_by(BLOCK).rev() {
                let rows = BLOCK.min(seq - first);
                let visible = first + rows;
                score(probabilities, q, keys, first, rows, sizes);
                let grads = View::strided(&grad[first * d_model..], rows, d_head, d_model);
                against(dscores, grads, values, 1.0, first, sizes);
                let block = Block::new(sizes, task, first, mask);
                let at = first * d_model;
                block.slopes(
                    [probabilities, dscores],
                    &logs[first..first + rows],
                    [&out[at..], &grad[at..]],
                    [d_head, d_model],
                );
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
