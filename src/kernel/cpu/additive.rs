//! Additive attention over the past, softmax and weighted sum included: `score(i, j) = v·tanh(q_i + k_j)`.
//!
//! One task a batch row. The tensor of all tanh values, `[batch, queries, keys, d]`, never exists: they are computed for one query
//! at a time, and once more in the backward pass. What is saved is the logarithm of each query's softmax denominator.

use rayon::prelude::*;

use super::buffer;
use super::cross_entropy::exponentiate;
use super::matmul::{Output, Threads, View, ViewMut, matmul};
use super::sums::dot;
use crate::kernel::simd::{exp, tanh, vectorize};

/// Queries per block of weights.
const BLOCK: usize = 16;

/// The sizes of an additive attention. The queries are the last of the key positions; each sees its own position and the
/// `span - 1` before it.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    pub batch: usize,
    pub queries: usize,
    pub keys: usize,
    /// Width of the score's hidden layer.
    pub d: usize,
    /// Width of the values.
    pub width: usize,
    pub span: usize,
}

impl Sizes {
    /// The keys that a query sees.
    fn seen(&self, query: usize) -> std::ops::Range<usize> {
        let end = self.keys - self.queries + query + 1;
        end.saturating_sub(self.span)..end
    }

    /// The keys that a block of queries sees together.
    fn block(&self, first: usize, rows: usize) -> std::ops::Range<usize> {
        self.seen(first).start..self.seen(first + rows - 1).end
    }

    fn check(&self, [q, k, v, values]: [&[f32]; 4]) {
        assert!(self.queries <= self.keys && self.span > 0);
        assert_eq!(q.len(), self.batch * self.queries * self.d);
        assert_eq!(k.len(), self.batch * self.keys * self.d);
        assert_eq!(v.len(), self.d);
        assert_eq!(values.len(), self.batch * self.keys * self.width);
    }
}

/// `q` `[batch, queries, d]`, `k` `[batch, keys, d]`, `v` `[d]`, `values` `[batch, keys, width]` → contexts `[batch, queries, width]` and
/// log-denominators `[batch, queries]`.
pub fn forward(operands: [&[f32]; 4], sizes: Sizes) -> (Vec<f32>, Vec<f32>) {
    sizes.check(operands);
    let [q, k, v, values] = operands;
    let Sizes {
        batch,
        queries,
        keys,
        d,
        width,
        ..
    } = sizes;
    let mut out = buffer(batch * queries * width);
    let mut logs = buffer(batch * queries);
    out.par_chunks_mut(queries * width)
        .zip(logs.par_chunks_mut(queries))
        .zip(q.par_chunks(queries * d).zip(k.par_chunks(keys * d)))
        .zip(values.par_chunks(keys * width))
        .for_each(|(((out, logs), (q, k)), values)| {
            let mut weights = vec![0.0; BLOCK.min(queries) * keys];
            let mut scratch = vec![0.0; d];
            for first in (0..queries).step_by(BLOCK) {
                let rows = BLOCK.min(queries - first);
                let shown = sizes.block(first, rows);
                let weights = &mut weights[..rows * shown.len()];
                weights.fill(0.0);
                for (i, row) in weights.chunks_exact_mut(shown.len()).enumerate() {
                    let query = first + i;
                    let seen = sizes.seen(query);
                    let row = &mut row[seen.start - shown.start..seen.end - shown.start];
                    let q = &q[query * d..][..d];
                    score(row, q, &k[seen.start * d..seen.end * d], v, &mut scratch);
                    let (max, sum) = exponentiate(row);
                    logs[query] = max + sum.ln();
                    let factor = 1.0 / sum;
                    for p in row.iter_mut() {
                        *p *= factor;
                    }
                }
                matmul(
                    ViewMut::new(&mut out[first * width..][..rows * width], rows, width),
                    View::new(weights, rows, shown.len()),
                    View::new(&values[shown.start * width..], shown.len(), width),
                    1.0,
                    Output::Replace,
                    Threads::One,
                );
            }
        });
    (out, logs)
}

/// The scores of one query against the keys `k` `[scores, d]`.
fn score(scores: &mut [f32], q: &[f32], k: &[f32], v: &[f32], scratch: &mut [f32]) {
    let d = q.len();
    vectorize!(|m| {
        for (score, k) in scores.iter_mut().zip(k.chunks_exact(d)) {
            for ((s, q), k) in scratch.iter_mut().zip(q).zip(k) {
                *s = tanh(m, q + k);
            }
            *score = dot(scratch, v);
        }
    });
}

/// Gradients with respect to `q`, `k`, `v` and `values`, given that of the contexts.
pub fn backward(
    operands: [&[f32]; 4],
    out: &[f32],
    logs: &[f32],
    grad: &[f32],
    sizes: Sizes,
) -> [Vec<f32>; 4] {
    let [q, k, v, values] = operands;
    let Sizes {
        queries,
        keys,
        d,
        width,
        ..
    } = sizes;
    let (mut dq, mut dk) = (buffer(q.len()), buffer(k.len()));
    let mut dvalues = buffer(values.len());
    let partial: Vec<Vec<f32>> = dq
        .par_chunks_mut(queries * d)
        .zip(dk.par_chunks_mut(keys * d))
        .zip(dvalues.par_chunks_mut(keys * width))
        .enumerate()
        .map(|(batch, ((dq, dk), dvalues))| {
            let q = &q[batch * queries * d..][..queries * d];
            let k = &k[batch * keys * d..][..keys * d];
            let values = &values[batch * keys * width..][..keys * width];
            let (out, grad) = (
                &out[batch * queries * width..],
                &grad[batch * queries * width..],
            );
            let logs = &logs[batch * queries..];
            let mut dv = vec![0.0; d];
            let mut weights = vec![0.0; BLOCK.min(queries) * keys];
            let mut dscores = vec![0.0; BLOCK.min(queries) * keys];
            let mut hidden = vec![0.0; d];
            for first in (0..queries).step_by(BLOCK) {
                let rows = BLOCK.min(queries - first);
                let shown = sizes.block(first, rows);
                let count = shown.len();
                let weights = &mut weights[..rows * count];
                let dscores = &mut dscores[..rows * count];
                weights.fill(0.0);
                let grad_block = View::new(&grad[first * width..], rows, width);
                matmul(
                    ViewMut::new(dscores, rows, count),
                    grad_block,
                    View::new(&values[shown.start * width..], count, width).transposed(),
                    1.0,
                    Output::Replace,
                    Threads::One,
                );
                for i in 0..rows {
                    let query = first + i;
                    let seen = sizes.seen(query);
                    let row = i * count + seen.start - shown.start;
                    let at = query * width;
                    backward_row(
                        Row {
                            q: &q[query * d..][..d],
                            k: &k[seen.start * d..seen.end * d],
                            v,
                            log_denominator: logs[query],
                            dot: dot(&out[at..at + width], &grad[at..at + width]),
                        },
                        &mut weights[row..row + seen.len()],
                        &dscores[row..row + seen.len()],
                        &mut hidden,
                        [
                            &mut dq[query * d..][..d],
                            &mut dk[seen.start * d..seen.end * d],
                            &mut dv,
                        ],
                    );
                }
                matmul(
                    ViewMut::new(
                        &mut dvalues[shown.start * width..][..count * width],
                        count,
                        width,
                    ),
                    View::new(weights, rows, count).transposed(),
                    grad_block,
                    1.0,
                    Output::Accumulate,
                    Threads::One,
                );
            }
            dv
        })
        .collect();
    let mut dv = vec![0.0; d];
    for part in &partial {
        for (total, part) in dv.iter_mut().zip(part) {
            *total += part;
        }
    }
    [dq, dk, dv, dvalues]
}

/// One query with the keys it sees, and what is known of its softmax.
struct Row<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    log_denominator: f32,
    /// Σ P·dP: the output times its gradient.
    dot: f32,
}

/// Computes the query's weights again, and adds its share to the gradients of its query, its keys and `v`.
fn backward_row(
    row: Row,
    weights: &mut [f32],
    dweights: &[f32],
    hidden: &mut [f32],
    [dq, dk, dv]: [&mut [f32]; 3],
) {
    let d = row.q.len();
    let (q, v) = (row.q, &row.v[..d]);
    let (dq, dv) = (&mut dq[..d], &mut dv[..d]);
    vectorize!(|m| {
        let keys = row.k.chunks_exact(d).zip(dk.chunks_exact_mut(d));
        for ((p, dp), (k, dk)) in weights.iter_mut().zip(dweights).zip(keys) {
            for ((h, q), k) in hidden.iter_mut().zip(q).zip(k) {
                *h = tanh(m, q + k);
            }
            *p = exp(m, dot(hidden, v) - row.log_denominator);
            let dscore = *p * (dp - row.dot);
            for (dv, h) in dv.iter_mut().zip(hidden.iter()) {
                *dv += dscore * h;
            }
            for (h, v) in hidden.iter_mut().zip(v) {
                *h = dscore * v * (1.0 - *h * *h);
            }
            for (dq, inner) in dq.iter_mut().zip(hidden.iter()) {
                *dq += inner;
            }
            for (dk, inner) in dk.iter_mut().zip(hidden.iter()) {
                *dk += inner;
            }
        }
    });
}
