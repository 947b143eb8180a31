//! Products of few vectors with one matrix.
//!
//! A matrix is held in tiles of 64 columns, each tile row by row: a product walks through memory once, in order, with the sums
//! of a tile in registers. The sums run over the inputs in order, so that a row's result depends on nothing but the row.

use burn::module::Param;
use burn::tensor::Tensor;
use rayon::prelude::*;

use super::values;
use crate::kernel::simd::vectorize;
use crate::model::layers::linear::Linear;

/// Columns of a tile: four vectors of 512 bits, enough sums to hide the latency of an addition.
const TILE: usize = 64;
/// Multiplications from which on a product is shared among threads: a hand-over costs some microseconds.
const SHARED: usize = 1 << 19;

/// `[inputs, outputs]`, with a bias where there is one.
#[derive(Debug)]
pub struct Matrix {
    inputs: usize,
    outputs: usize,
    /// `[ceil(outputs / 64), inputs, 64]`, filled up with zeros.
    tiles: Vec<f32>,
    bias: Option<Vec<f32>>,
}

impl Matrix {
    /// From `[inputs, outputs]`, row-major.
    pub fn new(weight: &[f32], [inputs, outputs]: [usize; 2], bias: Option<Vec<f32>>) -> Self {
        let mut tiles = vec![0.0; outputs.div_ceil(TILE) * inputs * TILE];
        for (tile, at) in tiles.chunks_exact_mut(inputs * TILE).zip(0..) {
            let first = at * TILE;
            let width = TILE.min(outputs - first);
            for (row, from) in tile
                .chunks_exact_mut(TILE)
                .zip(weight.chunks_exact(outputs))
            {
                row[..width].copy_from_slice(&from[first..first + width]);
            }
        }
        Matrix {
            inputs,
            outputs,
            tiles,
            bias,
        }
    }

    /// From `[outputs, inputs]`, row-major: an embedding used as the output layer.
    pub fn transposed(weight: &[f32], [outputs, inputs]: [usize; 2]) -> Self {
        let mut tiles = vec![0.0; outputs.div_ceil(TILE) * inputs * TILE];
        for (output, from) in weight.chunks_exact(inputs).enumerate() {
            let tile = &mut tiles[output / TILE * inputs * TILE..][..inputs * TILE];
            for (row, value) in tile.chunks_exact_mut(TILE).zip(from) {
                row[output % TILE] = *value;
            }
        }
        Matrix {
            inputs,
            outputs,
            tiles,
            bias: None,
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
        let mut y = vec![0.0; rows * self.outputs];
        let shared = rows * self.tiles.len() >= SHARED && rayon::current_num_threads() > 1;
        match (shared, rows) {
            (false, _) => self.rows(x, &mut y),
            // One row: each thread takes some of its tiles.
            (true, 1) => {
                let tiles = self
                    .outputs
                    .div_ceil(TILE)
                    .div_ceil(2 * rayon::current_num_threads());
                y.par_chunks_mut(tiles * TILE)
                    .zip(self.tiles.par_chunks(tiles * self.inputs * TILE))
                    .for_each(|(y, tiles)| self.one_row(x, tiles, y));
            }
            (true, _) => {
                let rows = rows.div_ceil(2 * rayon::current_num_threads());
                y.par_chunks_mut(rows * self.outputs)
                    .zip(x.par_chunks(rows * self.inputs))
                    .for_each(|(y, x)| self.rows(x, y));
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

    /// Every row against a tile while that is in the nearest cache, then the next tile.
    fn rows(&self, x: &[f32], y: &mut [f32]) {
        vectorize!({
            let tiles = self.tiles.chunks_exact(self.inputs * TILE);
            for (tile, first) in tiles.zip((0..).step_by(TILE)) {
                let end = self.outputs.min(first + TILE);
                let (lines, _) = tile.as_chunks::<TILE>();
                let rows = x.chunks_exact(self.inputs);
                for (x, y) in rows.zip(y.chunks_exact_mut(self.outputs)) {
                    let mut sums = [0.0f32; TILE];
                    for (x, line) in x.iter().zip(lines) {
                        for (sum, w) in sums.iter_mut().zip(line) {
                            *sum += x * w;
                        }
                    }
                    y[first..end].copy_from_slice(&sums[..end - first]);
                }
            }
        });
    }

    /// Some of the tiles of one row.
    fn one_row(&self, x: &[f32], tiles: &[f32], y: &mut [f32]) {
        vectorize!({
            let tiles = tiles.chunks_exact(self.inputs * TILE);
            for (tile, y) in tiles.zip(y.chunks_mut(TILE)) {
                let mut sums = [0.0f32; TILE];
                let (lines, _) = tile.as_chunks::<TILE>();
                for (x, line) in x.iter().zip(lines) {
                    for (sum, w) in sums.iter_mut().zip(line) {
                        *sum += x * w;
                    }
                }
                y.copy_from_slice(&sums[..y.len()]);
            }
        });
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
