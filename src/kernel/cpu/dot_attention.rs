//! Attention of each state of a recurrent layer over the states up to itself, scored by their products:
//! softmax(scale·Q·Sᵀ)·S, where the queries Q are the last of the states S.
//!
//! One task a batch row, which walks over blocks of queries and keeps one block of scores at a time. What is saved for the backward
//! pass is the logarithm of each query's softmax denominator.

use std::borrow::Cow;

use rayon::prelude::*;

use super::Unwritten;
use super::cross_entropy::exponentiate;
use super::matmul::{Output, Threads, View, ViewMut, matmul};
use super::sums::dot;
use crate::kernel::simd::{exp, vectorize};

/// Queries per block.
const BLOCK: usize = 16;

/// The sizes of such an attention. Each query sees its own state and the `span - 1` before it.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    pub batch: usize,
    /// States of the window, each of which is a query.
    pub seq: usize,
    /// States from before the window.
    pub past: usize,
    pub width: usize,
    pub span: usize,
    /// What the products are multiplied by.
    pub scale: f32,
}

impl Sizes {
    /// The states that a query sees.
    fn seen(&self, query: usize) -> std::ops::Range<usize> {
        let end = self.past + query + 1;
        end.saturating_sub(self.span)..end
    }

    /// The states that a block of queries sees together.
    fn block(&self, first: usize, rows: usize) -> std::ops::Range<usize> {
        self.seen(first).start..self.seen(first + rows - 1).end
    }

    fn check(&self, hidden: &[f32], memory: &[f32]) {
        assert!(self.span > 0);
        assert_eq!(hidden.len(), self.batch * self.seq * self.width);
        assert_eq!(memory.len(), self.batch * self.past * self.width);
    }

    /// All states of a batch row.
    fn states<'a>(&self, hidden: &'a [f32], memory: &[f32], row: usize) -> Cow<'a, [f32]> {
        let hidden = &hidden[row * self.seq * self.width..][..self.seq * self.width];
        let memory = &memory[row * self.past * self.width..][..self.past * self.width];
        match memory.is_empty() {
            true => Cow::Borrowed(hidden),
            false => Cow::Owned([memory, hidden].concat()),
        }
    }
}

/// A block of queries of one batch row, and the states that it sees.
struct Block<'a> {
    first: usize,
    rows: usize,
    /// The first state that is seen.
    start: usize,
    queries: View<'a>,
    states: View<'a>,
    count: usize,
}

impl<'a> Block<'a> {
    fn all(sizes: Sizes, states: &'a [f32]) -> impl Iterator<Item = Block<'a>> {
        let Sizes {
            seq, past, width, ..
        } = sizes;
        (0..seq).step_by(BLOCK).map(move |first| {
            let rows = BLOCK.min(seq - first);
            let shown = sizes.block(first, rows);
            let count = shown.len();
            Block {
                first,
                rows,
                start: shown.start,
                queries: View::new(&states[(past + first) * width..], rows, width),
                states: View::new(&states[shown.start * width..], count, width),
                count,
            }
        })
    }

    /// The products of queries and states, times `scale`.
    fn scores(&self, scores: &mut [f32], scale: f32) {
        matmul(
            ViewMut::new(scores, self.rows, self.count),
            self.queries,
            self.states.transposed(),
            scale,
            Output::Replace,
            Threads::One,
        );
    }

    /// What the query `i` of the block sees of a row of scores.
    fn seen(&self, sizes: Sizes, i: usize) -> std::ops::Range<usize> {
        let seen = sizes.seen(self.first + i);
        seen.start - self.start..seen.end - self.start
    }
}

fn largest_block(sizes: Sizes) -> usize {
    let rows = BLOCK.min(sizes.seq);
    rows * (sizes.past + sizes.seq).min(sizes.span + rows - 1)
}

/// `hidden` `[batch, seq, width]`, `memory` `[batch, past, width]` → contexts `[batch, seq, width]` and log-denominators
/// `[batch, seq]`.
pub fn forward(hidden: &[f32], memory: &[f32], sizes: Sizes) -> (Vec<f32>, Vec<f32>) {
    sizes.check(hidden, memory);
    let Sizes {
        seq, width, scale, ..
    } = sizes;
    let mut out = super::buffer(hidden.len());
    let mut logs = super::buffer(sizes.batch * seq);
    out.par_chunks_mut((seq * width).max(1))
        .zip(logs.par_chunks_mut(seq.max(1)))
        .enumerate()
        .for_each(|(row, (out, logs))| {
            let states = sizes.states(hidden, memory, row);
            let mut scores = vec![0.0; largest_block(sizes)];
            for block in Block::all(sizes, &states) {
                let weights = &mut scores[..block.rows * block.count];
                block.scores(weights, scale);
                for (i, row) in weights.chunks_exact_mut(block.count).enumerate() {
                    let seen = block.seen(sizes, i);
                    row[..seen.start].fill(0.0);
                    row[seen.end..].fill(0.0);
                    let row = &mut row[seen];
                    let (max, sum) = exponentiate(row);
                    logs[block.first + i] = max + sum.ln();
                    let factor = 1.0 / sum;
                    vectorize!({
                        for p in row.iter_mut() {
                            *p *= factor;
                        }
                    });
                }
                matmul(
                    ViewMut::new(&mut out[block.first * width..], block.rows, width),
                    View::new(weights, block.rows, block.count),
                    block.states,
                    1.0,
                    Output::Replace,
                    Threads::One,
                );
            }
        });
    (out, logs)
}

/// The gradient with respect to `hidden`, given that of the contexts. None flows into the memory.
pub fn backward(
    [hidden, memory]: [&[f32]; 2],
    out: &[f32],
    logs: &[f32],
    grad: &[f32],
    sizes: Sizes,
) -> Vec<f32> {
    sizes.check(hidden, memory);
    let Sizes {
        seq,
        past,
        width,
        scale,
        ..
    } = sizes;
    let mut dhidden = Unwritten::new(hidden.len());
    let row_len = (seq * width).max(1);
    dhidden
        .slots()
        .par_chunks_mut(row_len)
        .zip(out.par_chunks(row_len).zip(grad.par_chunks(row_len)))
        .enumerate()
        .for_each(|(row, (dhidden, (out, grad)))| {
            let logs = &logs[row * seq..][..seq];
            let states = sizes.states(hidden, memory, row);
            let mut dstates = vec![0.0; states.len()];
            let mut weights = vec![0.0; largest_block(sizes)];
            let mut dscores = vec![0.0; largest_block(sizes)];
            for block in Block::all(sizes, &states) {
                let weights = &mut weights[..block.rows * block.count];
                let dscores = &mut dscores[..block.rows * block.count];
                let at = block.first * width;
                let grad_block = View::new(&grad[at..], block.rows, width);
                block.scores(weights, scale);
                matmul(
                    ViewMut::new(dscores, block.rows, block.count),
                    grad_block,
                    block.states.transposed(),
                    1.0,
                    Output::Replace,
                    Threads::One,
                );
                let rows = weights.chunks_exact_mut(block.count);
                for (i, (p, ds)) in rows.zip(dscores.chunks_exact_mut(block.count)).enumerate() {
                    let query = block.first + i;
                    let of_query = query * width..(query + 1) * width;
                    let (out, grad) = (&out[of_query.clone()], &grad[of_query]);
                    let found = vectorize!({ dot(out, grad) });
                    let seen = block.seen(sizes, i);
                    for row in [&mut *p, &mut *ds] {
                        row[..seen.start].fill(0.0);
                        row[seen.end..].fill(0.0);
                    }
                    row_backward(
                        &mut p[seen.clone()],
                        &mut ds[seen],
                        logs[query],
                        found,
                        scale,
                    );
                }
                let weights = View::new(weights, block.rows, block.count);
                let dscores = View::new(dscores, block.rows, block.count);
                let mut add = |first: usize, rows: usize, a: View, b: View| {
                    matmul(
                        ViewMut::new(&mut dstates[first * width..], rows, width),
                        a,
                        b,
                        1.0,
                        Output::Accumulate,
                        Threads::One,
                    );
                };
                add(past + block.first, block.rows, dscores, block.states);
                add(
                    block.start,
                    block.count,
                    dscores.transposed(),
                    block.queries,
                );
                add(block.start, block.count, weights.transposed(), grad_block);
            }
            dhidden.write_copy_of_slice(&dstates[past * width..]);
        });
    // SAFETY: every row of the batch was written whole.
    #[allow(unsafe_code)]
    unsafe {
        dhidden.written()
    }
}

/// Scores become weights, and the gradients of the weights those of the products before `scale`.
fn row_backward(p: &mut [f32], ds: &mut [f32], log_denominator: f32, found: f32, scale: f32) {
    vectorize!(|m| {
        for (p, ds) in p.iter_mut().zip(ds.iter_mut()) {
            *p = exp(m, *p - log_denominator);
            *ds = *p * (*ds - found) * scale;
        }
    });
}
