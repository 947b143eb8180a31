//! A recurrent layer over a whole sequence and its backpropagation through time: Elman RNN, GRU (the reset gate applied after
//! the recurrent product, as cuDNN and PyTorch do) and LSTM.
//!
//! A task takes some rows of the batch through all time steps: one product with the recurrent weight a step, then the gates in
//! one pass. The gradients of the weight and the bias are one product and one sum over all steps at the end.

use rayon::prelude::*;

use super::Unwritten;
use super::linear::{bias_gradient, weight_gradient};
use super::matmul::{Output, Threads, View, ViewMut, matmul};
use crate::kernel::simd::{MulAdd, sigmoid, tanh, vectorize};

/// Rows of the batch per task. It depends on the batch alone, so that results do not depend on the number of threads: the products
/// of 16 rows read the weights half as often as those of 8, but a small batch has to make two tasks at least.
fn rows_per_task(batch: usize) -> usize {
    if batch <= 16 { 8 } else { 16 }
}

/// Which recurrence. Its gates lie side by side in every row of width `gates·hidden`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// h' = tanh(x + h·W + b)
    Rnn,
    /// Reset, update, new: r, z = σ(x + h·W + b); n = tanh(x + r·(h·W + b)); h' = n + z·(h - n)
    Gru,
    /// Input, forget, cell, output: i, f, o = σ(x + h·W + b), g = tanh(..); c' = f·c + i·g; h' = o·tanh(c')
    Lstm,
}

impl Cell {
    pub fn gates(self) -> usize {
        match self {
            Cell::Rnn => 1,
            Cell::Gru => 3,
            Cell::Lstm => 4,
        }
    }

    /// Blocks of width `hidden` that the forward pass keeps for each position: the GRU's r, z, n and h·W_n + b_n; the LSTM's i, f,
    /// g, o and c'. The RNN's output is enough.
    fn kept(self) -> usize {
        match self {
            Cell::Rnn => 0,
            Cell::Gru => 4,
            Cell::Lstm => 5,
        }
    }
}

/// The sizes of a recurrent layer's work.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    pub batch: usize,
    pub seq: usize,
    pub hidden: usize,
}

/// The state before the first step: each `[batch, hidden]`; `cell` is empty except for the LSTM.
#[derive(Debug, Clone, Default)]
pub struct Initial {
    pub hidden: Vec<f32>,
    pub cell: Vec<f32>,
}

/// What the forward pass gives.
pub struct Forward {
    /// Hidden states `[batch, seq, hidden]`.
    pub output: Vec<f32>,
    /// What [`backward`] needs besides.
    pub kept: Vec<f32>,
    /// The LSTM's cell state after the last step, `[batch, hidden]`; else empty.
    pub last_cell: Vec<f32>,
}

/// `projected` `[batch, seq, gates·hidden]`, `weight` `[hidden, gates·hidden]`, `bias` `[gates·hidden]`.
pub fn forward(
    cell: Cell,
    sizes: Sizes,
    [projected, weight, bias]: [&[f32]; 3],
    initial: &Initial,
) -> Forward {
    let Sizes { batch, seq, hidden } = sizes;
    let (width, kept_width) = (cell.gates() * hidden, cell.kept() * hidden);
    assert_eq!(projected.len(), batch * seq * width);
    assert_eq!(weight.len(), hidden * width);
    let mut output = Unwritten::new(batch * seq * hidden);
    let mut kept = Unwritten::new(batch * seq * kept_width);
    let mut last_cell = initial.cell.clone();
    let task_rows = rows_per_task(batch);
    let states = initial.hidden.par_chunks(task_rows * hidden);
    let cells = pieces(&mut last_cell, task_rows * hidden, states.len());
    let kepts = pieces(kept.slots(), task_rows * seq * kept_width, states.len());
    output
        .slots()
        .par_chunks_mut(task_rows * seq * hidden)
        .zip(projected.par_chunks(task_rows * seq * width))
        .zip(states)
        .zip(cells.into_par_iter().zip(kepts))
        .for_each(|(((output, projected), state), (c, kept))| {
            let rows = state.len() / hidden;
            let mut state = state.to_vec();
            let mut recurrent = vec![0.0; rows * width];
            let mut kept_row = vec![0.0; kept_width];
            for t in 0..seq {
                for row in recurrent.chunks_exact_mut(width) {
                    row.copy_from_slice(bias);
                }
                matmul(
                    ViewMut::new(&mut recurrent, rows, width),
                    View::new(&state, rows, hidden),
                    View::new(weight, hidden, width),
                    1.0,
                    Output::Accumulate,
                    Threads::One,
                );
                vectorize!(|m| {
                    for row in 0..rows {
                        let at = row * seq + t;
                        let x = &projected[at * width..][..width];
                        let a = &recurrent[row * width..][..width];
                        let h = &mut state[row * hidden..][..hidden];
                        match cell {
                            Cell::Rnn => rnn(m, x, a, h),
                            Cell::Gru => gru(m, x, a, h, &mut kept_row),
                            Cell::Lstm => lstm(m, x, a, h, &mut c[row * hidden..], &mut kept_row),
                        }
                        kept[at * kept_width..][..kept_width].write_copy_of_slice(&kept_row);
                        output[at * hidden..][..hidden].write_copy_of_slice(h);
                    }
                });
            }
        });
    // SAFETY: every row of the batch wrote its hidden state and what is kept at every step.
    #[allow(unsafe_code)]
    let (output, kept) = unsafe { (output.written(), kept.written()) };
    Forward {
        output,
        kept,
        last_cell,
    }
}

/// Mutable pieces of `size`, one a task; empty ones where there is nothing to cut.
fn pieces<T>(data: &mut [T], size: usize, tasks: usize) -> Vec<&mut [T]> {
    if data.is_empty() {
        return (0..tasks).map(|_| Default::default()).collect();
    }
    data.chunks_mut(size).collect()
}

/// `N` blocks of the same width.
#[inline(always)]
fn blocks<const N: usize>(row: &[f32], width: usize) -> [&[f32]; N] {
    std::array::from_fn(|i| &row[i * width..][..width])
}

/// `N` blocks of the same width, to be written.
#[inline(always)]
fn blocks_mut<const N: usize>(row: &mut [f32], width: usize) -> [&mut [f32]; N] {
    let mut rest = row;
    std::array::from_fn(|_| {
        let (block, after) = std::mem::take(&mut rest).split_at_mut(width);
        rest = after;
        block
    })
}

#[inline(always)]
fn rnn(m: impl MulAdd, x: &[f32], a: &[f32], h: &mut [f32]) {
    for ((h, x), a) in h.iter_mut().zip(x).zip(a) {
        *h = tanh(m, x + a);
    }
}

#[inline(always)]
fn gru(m: impl MulAdd, x: &[f32], a: &[f32], h: &mut [f32], kept: &mut [f32]) {
    let n = h.len();
    let [xr, xz, xn] = blocks(x, n);
    let [ar, az, an] = blocks(a, n);
    let [r, z, new, half] = blocks_mut(kept, n);
    for i in 0..n {
        r[i] = sigmoid(m, xr[i] + ar[i]);
        z[i] = sigmoid(m, xz[i] + az[i]);
    }
    for i in 0..n {
        half[i] = an[i];
        new[i] = tanh(m, xn[i] + r[i] * an[i]);
        h[i] = new[i] + z[i] * (h[i] - new[i]);
    }
}

#[inline(always)]
fn lstm(m: impl MulAdd, x: &[f32], a: &[f32], h: &mut [f32], c: &mut [f32], kept: &mut [f32]) {
    let n = h.len();
    let c = &mut c[..n];
    let [xi, xf, xg, xo] = blocks(x, n);
    let [ai, af, ag, ao] = blocks(a, n);
    let [i, f, g, o, cell] = blocks_mut(kept, n);
    for e in 0..n {
        i[e] = sigmoid(m, xi[e] + ai[e]);
        f[e] = sigmoid(m, xf[e] + af[e]);
    }
    for e in 0..n {
        g[e] = tanh(m, xg[e] + ag[e]);
        o[e] = sigmoid(m, xo[e] + ao[e]);
    }
    for e in 0..n {
        c[e] = f[e] * c[e] + i[e] * g[e];
        cell[e] = c[e];
        h[e] = o[e] * tanh(m, c[e]);
    }
}

/// Gradients with respect to `projected`, `weight` and `bias`, given that of the output `[batch, seq, hidden]`. None flows out
/// of the window through the initial state.
pub fn backward(
    cell: Cell,
    sizes: Sizes,
    weight: &[f32],
    initial: &Initial,
    [output, kept]: [&[f32]; 2],
    grad: &[f32],
) -> [Vec<f32>; 3] {
    let Sizes { batch, seq, hidden } = sizes;
    let (width, kept_width) = (cell.gates() * hidden, cell.kept() * hidden);
    // Transposed once: the product of every step then reads it along its rows.
    let transposed = transpose(weight, hidden, width); // [gates·hidden, hidden]
    let previous = shift(sizes, &initial.hidden, output); // [batch, seq, hidden]
    let mut dprojected = Unwritten::new(batch * seq * width);
    // The GRU's new gate scales its recurrent half by r; elsewhere both halves have the same gradient.
    let apart = cell == Cell::Gru;
    let mut drecurrent = Unwritten::new(if apart { batch * seq * width } else { 0 });
    let task_rows = rows_per_task(batch);
    let tasks = batch.div_ceil(task_rows);
    let drecurrents = pieces(drecurrent.slots(), task_rows * seq * width, tasks);
    dprojected
        .slots()
        .par_chunks_mut(task_rows * seq * width)
        .zip(drecurrents)
        .zip(grad.par_chunks(task_rows * seq * hidden))
        .enumerate()
        .for_each(|(task, ((dprojected, drecurrent), grad))| {
            let first = task * task_rows;
            let rows = task_rows.min(batch - first);
            let mut dh = vec![0.0; rows * hidden];
            let mut dc = vec![0.0; rows * hidden];
            let mut da = vec![0.0; rows * width];
            let mut dx_row = vec![0.0; width];
            for t in (0..seq).rev() {
                vectorize!(|m| {
                    for row in 0..rows {
                        let (local, at) = (row * seq + t, (first + row) * seq + t);
                        let da = &mut da[row * width..][..width];
                        let dh = &mut dh[row * hidden..][..hidden];
                        for (dh, grad) in dh.iter_mut().zip(&grad[local * hidden..]) {
                            *dh += grad;
                        }
                        let row_kept = &kept[at * kept_width..][..kept_width];
                        let old = &previous[at * hidden..][..hidden];
                        let dx = &mut dprojected[local * width..][..width];
                        match cell {
                            Cell::Rnn => rnn_backward(&output[at * hidden..][..hidden], dh, da),
                            Cell::Gru => {
                                gru_backward(row_kept, old, dh, da, &mut dx_row);
                                drecurrent[local * width..][..width].write_copy_of_slice(da);
                                dx.write_copy_of_slice(&dx_row);
                                continue;
                            }
                            Cell::Lstm => {
                                let old = match t {
                                    0 => &initial.cell[(first + row) * hidden..],
                                    _ => &kept[(at - 1) * kept_width + 4 * hidden..],
                                };
                                let dc = &mut dc[row * hidden..][..hidden];
                                lstm_backward(m, row_kept, &old[..hidden], dh, dc, da);
                            }
                        }
                        dx.write_copy_of_slice(da);
                    }
                });
                // The GRU's state also reaches the next one directly; that part is in `dh` already.
                let mode = match cell {
                    Cell::Gru => Output::Accumulate,
                    Cell::Rnn | Cell::Lstm => Output::Replace,
                };
                matmul(
                    ViewMut::new(&mut dh, rows, hidden),
                    View::new(&da, rows, width),
                    View::new(&transposed, width, hidden),
                    1.0,
                    mode,
                    Threads::One,
                );
            }
        });
    // SAFETY: every row of the batch wrote both at every step; without `apart` there is nothing of the second.
    #[allow(unsafe_code)]
    let (dprojected, drecurrent) = unsafe { (dprojected.written(), drecurrent.written()) };
    let recurrent = if apart { &drecurrent } else { &dprojected };
    let dweight = weight_gradient(&previous, recurrent, hidden, width);
    let dbias = bias_gradient(recurrent, width);
    [dprojected, dweight, dbias]
}

/// The state before each step: the initial one, then the outputs but the last.
fn shift(sizes: Sizes, initial: &[f32], output: &[f32]) -> Vec<f32> {
    let Sizes { seq, hidden, .. } = sizes;
    let mut previous = Unwritten::new(output.len());
    previous
        .slots()
        .par_chunks_mut(seq * hidden)
        .zip(output.par_chunks(seq * hidden))
        .zip(initial.par_chunks(hidden))
        .for_each(|((previous, output), initial)| {
            let (first, rest) = previous.split_at_mut(hidden);
            first.write_copy_of_slice(initial);
            rest.write_copy_of_slice(&output[..rest.len()]);
        });
    // SAFETY: every row of the batch was written whole.
    #[allow(unsafe_code)]
    unsafe {
        previous.written()
    }
}

/// Tile by tile, so that whole cache lines are used on both sides.
fn transpose(matrix: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    const TILE: usize = 16;
    let mut out = Unwritten::new(matrix.len());
    out.slots()
        .par_chunks_mut(TILE * rows)
        .enumerate()
        .for_each(|(tile, out)| {
            let first = tile * TILE;
            for start in (0..rows).step_by(TILE) {
                let end = (start + TILE).min(rows);
                for (column, out) in out.chunks_exact_mut(rows).enumerate() {
                    for row in start..end {
                        out[row].write(matrix[row * columns + first + column]);
                    }
                }
            }
        });
    // SAFETY: every row of every tile was written.
    #[allow(unsafe_code)]
    unsafe {
        out.written()
    }
}

#[inline(always)]
fn rnn_backward(output: &[f32], dh: &[f32], da: &mut [f32]) {
    for ((da, dh), h) in da.iter_mut().zip(dh).zip(output) {
        *da = dh * (1.0 - h * h);
    }
}

/// `dh` becomes the part that goes straight to the state before; `da` is for the recurrent half, `dx` for the projected one.
#[inline(always)]
fn gru_backward(kept: &[f32], old: &[f32], dh: &mut [f32], da: &mut [f32], dx: &mut [f32]) {
    let n = dh.len();
    let old = &old[..n];
    let [r, z, new, half] = blocks(kept, n);
    let [dr, dz, dhalf] = blocks_mut(da, n);
    for i in 0..n {
        dz[i] = dh[i] * (old[i] - new[i]) * z[i] * (1.0 - z[i]);
    }
    let [dxr, dxz, dxn] = blocks_mut(dx, n);
    for i in 0..n {
        let dn = dh[i] * (1.0 - z[i]) * (1.0 - new[i] * new[i]);
        dxn[i] = dn;
        dhalf[i] = dn * r[i];
        dr[i] = dn * half[i] * r[i] * (1.0 - r[i]);
        dh[i] *= z[i];
    }
    dxr.copy_from_slice(dr);
    dxz.copy_from_slice(dz);
}

/// `dc` goes from the cell state after the step to the one before.
#[inline(always)]
fn lstm_backward(
    m: impl MulAdd,
    kept: &[f32],
    old: &[f32],
    dh: &[f32],
    dc: &mut [f32],
    da: &mut [f32],
) {
    let n = dh.len();
    let (old, dc) = (&old[..n], &mut dc[..n]);
    let [i, f, g, o, c] = blocks(kept, n);
    let [di, df, dg, d_o] = blocks_mut(da, n);
    for e in 0..n {
        let t = tanh(m, c[e]);
        d_o[e] = dh[e] * t * o[e] * (1.0 - o[e]);
        dc[e] += dh[e] * o[e] * (1.0 - t * t);
    }
    for e in 0..n {
        di[e] = dc[e] * g[e] * i[e] * (1.0 - i[e]);
        df[e] = dc[e] * old[e] * f[e] * (1.0 - f[e]);
    }
    for e in 0..n {
        dg[e] = dc[e] * i[e] * (1.0 - g[e] * g[e]);
        dc[e] *= f[e];
    }
}
