//! Products of few vectors with one matrix.
//!
//! A matrix is held in panels of columns (see [`panels`](crate::kernel::cpu::panels)), each row by row: the product with one vector walks
//! through memory once, in order, with the sums of two panels in registers; with more vectors it is a product of matrices. Either way the
//! sums run over the inputs in order, so that a row's result depends on nothing but the row. Each thread of a team takes some of the
//! panels, the same for every token: they stay in its cache.

use burn::module::Param;
use burn::tensor::Tensor;

use super::values;
use crate::kernel::cpu::matmul::{Threads, View};
use crate::kernel::cpu::panels::{Layout, Left, Panels, lay_out};
use crate::kernel::cpu::team::Team;
use crate::kernel::cpu::tile::WIDTH;
use crate::kernel::simd::{MulAdd, has_fused, vectorize};
use crate::model::layers::linear::Linear;

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
    pub fn apply(&self, x: &[f32], team: &mut Team) -> Vec<f32> {
        let rows = x.len() / self.inputs;
        // Each member takes some pairs of panels, the same for every token.
        let pairs = self.outputs.div_ceil(2 * WIDTH);
        let parts = team.worth(rows * self.panels.len());
        let width = 2 * WIDTH * pairs.div_ceil(parts);
        let panels = self.panels.chunks(width * self.inputs);
        let mut y = vec![0.0; rows * self.outputs];
        if rows > 1 && has_fused() {
            let x = Left::Rows(View::new(x, rows, self.inputs));
            let mut products: Vec<(&[f32], Vec<f32>)> =
                panels.map(|panels| (panels, Vec::new())).collect();
            team.share(&mut products, |(panels, product)| {
                let panels = Panels::new(panels, self.inputs, panels.len() / self.inputs);
                *product = panels.product(Layout::Rows, x, Threads::One);
            });
            for ((_, product), first) in products.iter().zip((0..).step_by(width)) {
                let width = product.len() / rows;
                let y = y.chunks_exact_mut(self.outputs);
                for (y, product) in y.zip(product.chunks_exact(width)) {
                    y[first..][..width].copy_from_slice(product);
                }
            }
        } else {
            let rows = x.chunks_exact(self.inputs);
            for (x, y) in rows.zip(y.chunks_exact_mut(self.outputs)) {
                team.share(y.chunks_mut(width).zip(panels.clone()), |(y, panels)| {
                    one_row(x, panels, y);
                });
            }
        }
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
            let [mut alone, mut team] = [1, 3].map(Team::new);
            let y = matrix.apply(&x, &mut alone);
            let z = transposed.apply(&x, &mut alone);
            assert_eq!(matrix.apply(&x, &mut team), y);
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
                // A row's numbers depend neither on the rows beside it nor on the number of threads.
                for team in [&mut alone, &mut team] {
                    assert_eq!(matrix.apply(x, team), y[row * outputs..][..outputs]);
                }
            }
        }
    }
}
