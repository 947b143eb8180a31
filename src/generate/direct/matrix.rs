//! Products of few vectors with one matrix.
//!
//! A matrix is held in panels of columns (see [`panels`](crate::kernel::cpu::panels)), each row by row: the product with one vector walks
//! through memory once, in order, with the sums of two panels in registers; with more vectors it is a product of matrices. Either way the
//! sums run over the inputs in order, so that a row's result depends on nothing but the row.

use burn::module::Param;
use burn::tensor::Tensor;
use rayon::prelude::*;

use super::values;
use crate::kernel::cpu::matmul::{Threads, View};
use crate::kernel::cpu::panels::{Layout, Left, Panels, lay_out};
use crate::kernel::cpu::tile::WIDTH;
use crate::kernel::simd::{MulAdd, has_fused, vectorize};
use crate::model::layers::linear::Linear;

/// Multiplications from which on a product is shared among threads: with one row each reads its weight from memory, with more most are at
/// hand; and a thread that sleeps takes tens of microseconds to wake.
const SHARED: usize = 1 << 19;
const SHARED_ROWS: usize = 1 << 22;

/// `[inputs, outputs]`, with a bias where there is one.
#[derive(Debug)]
pub struct Matrix {
    inputs: usize,
    outputs: usize,
    panels: Vec<f32>,
    bias: Option<Vec<f32>>,
}

impl Matrix {
    /// From `[inputs, outputs]`, row-major.
    pub fn new(weight: &[f32], [inputs, outputs]: [usize; 2], bias: Option<Vec<f32>>) -> Self {
        Self::from(View::new(weight, inputs, outputs), [inputs, outputs], bias)
    }

    /// From `[outputs, inputs]`, row-major: an embedding used as the output layer.
    pub fn transposed(weight: &[f32], [outputs, inputs]: [usize; 2]) -> Self {
        let view = View::new(weight, outputs, inputs).transposed();
        Self::from(view, [inputs, outputs], None)
    }

    fn from(view: View, [inputs, outputs]: [usize; 2], bias: Option<Vec<f32>>) -> Self {
        let [panels] = lay_out([view]);
        Matrix {
            inputs,
            outputs,
            panels,
            bias,
        }
    }

    pub fn of(linear: &Linear) -> Self {
        let bias = linear.bias.as_ref().map(values);
        Self::with_bias(&linear.weight, bias)
    }

    pub fn with_bias(weight: &Param<Tensor<2>>, bias: Option<Vec<f32>>) -> Self {
        Self::new(&values(weight), weight.val().dims(), bias)
    }

    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// `x·W + b`: from `[rows, inputs]` to `[rows, outputs]`.
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        let rows = x.len() / self.inputs;
        let enough = match rows {
            0 | 1 => SHARED,
            _ => SHARED_ROWS,
        };
        let shared = rows * self.panels.len() >= enough && rayon::current_num_threads() > 1;
        let mut y = if rows > 1 && has_fused() {
            let threads = match shared {
                true => Threads::All,
                false => Threads::One,
            };
            let panels = Panels::new(&self.panels, self.inputs, self.outputs);
            let rows = Left::Rows(View::new(x, rows, self.inputs));
            panels.product(Layout::Rows, rows, threads)
        } else {
            let mut y = vec![0.0; rows * self.outputs];
            let rows = x.chunks_exact(self.inputs);
            for (x, y) in rows.zip(y.chunks_exact_mut(self.outputs)) {
                match shared {
                    false => one_row(x, &self.panels, y),
                    // Each thread takes some of the panels.
                    true => {
                        let panels = self.outputs.div_ceil(WIDTH);
                        let some = panels.div_ceil(2 * rayon::current_num_threads());
                        y.par_chunks_mut(some * WIDTH)
                            .zip(self.panels.par_chunks(some * WIDTH * self.inputs))
                            .for_each(|(y, panels)| one_row(x, panels, y));
                    }
                }
            }
            y
        };
        if let Some(bias) = &self.bias {
            for row in y.chunks_exact_mut(self.outputs) {
                for (y, b) in row.iter_mut().zip(bias) {
                    *y += b;
                }
            }
        }
        y
    }
}

/// As many of one row's results as there are panels.
fn one_row(x: &[f32], panels: &[f32], y: &mut [f32]) {
    let size = x.len() * WIDTH;
    vectorize!(|m| {
        // Two panels at a time: enough sums to hide the latency of an addition.
        let pairs = panels.chunks_exact(2 * size);
        let (mut last, mut done) = (pairs.remainder(), 0);
        for (pair, y) in pairs.zip(y.chunks_exact_mut(2 * WIDTH)) {
            let (left, right) = pair.split_at(size);
            let lines = left.as_chunks::<WIDTH>().0.iter();
            let mut sums = [[0.0f32; WIDTH]; 2];
            for (x, lines) in x.iter().zip(lines.zip(right.as_chunks::<WIDTH>().0)) {
                add_to(m, &mut sums[0], *x, lines.0);
                add_to(m, &mut sums[1], *x, lines.1);
            }
            y.copy_from_slice(sums.as_flattened());
            done += 2 * WIDTH;
        }
        let mut y = &mut y[done..];
        if last.len() >= size && !last.is_empty() {
            let mut sums = [0.0f32; WIDTH];
            for (x, line) in x.iter().zip(last.as_chunks::<WIDTH>().0) {
                add_to(m, &mut sums, *x, line);
            }
            let (whole, rest) = y.split_at_mut(WIDTH);
            whole.copy_from_slice(&sums);
            (last, y) = (&last[size..], rest);
        }
        // A narrower panel.
        let width = y.len();
        if width > 0 {
            y.fill(0.0);
            for (x, line) in x.iter().zip(last.chunks_exact(width)) {
                for (y, w) in y.iter_mut().zip(line) {
                    *y = m.of(*x, *w, *y);
                }
            }
        }
    });
}

/// sums + x·line
#[inline(always)]
fn add_to(m: impl MulAdd, sums: &mut [f32; WIDTH], x: f32, line: &[f32; WIDTH]) {
    for (sum, w) in sums.iter_mut().zip(line) {
        *sum = m.of(x, *w, *sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: f32) -> Vec<f32> {
        (0..count).map(|i| (i as f32 * 0.37 + seed).sin()).collect()
    }

    #[test]
    fn products_are_those_of_the_definition() {
        for (inputs, outputs) in [(1, 1), (5, 63), (8, 64), (33, 65), (16, 200), (128, 4200)] {
            let weight = numbers(inputs * outputs, 1.0);
            let bias = numbers(outputs, 2.0);
            let matrix = Matrix::new(&weight, [inputs, outputs], Some(bias.clone()));
            let mut columns = vec![0.0; inputs * outputs];
            for (at, value) in weight.iter().enumerate() {
                columns[at % outputs * inputs + at / outputs] = *value;
            }
            let transposed = Matrix::transposed(&columns, [outputs, inputs]);
            let x = numbers(11 * inputs, 3.0);
            let y = matrix.apply(&x);
            let z = transposed.apply(&x);
            for row in 0..11 {
                let x = &x[row * inputs..][..inputs];
                for column in 0..outputs {
                    let exact: f64 = (0..inputs)
                        .map(|k| f64::from(x[k]) * f64::from(weight[k * outputs + column]))
                        .sum();
                    let at = row * outputs + column;
                    assert!(
                        (f64::from(z[at]) - exact).abs() < 1e-4,
                        "{inputs} {outputs}"
                    );
                    assert_eq!(y[at], z[at] + bias[column]);
                }
                // A row's numbers do not depend on the rows beside it.
                assert_eq!(matrix.apply(x), y[row * outputs..][..outputs]);
            }
        }
    }
}
