//! Layer normalisation over the last dimension (Ba, Kiros and Hinton 2016, arXiv:1607.06450).

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::cross_entropy::fold;
use super::tile::{LANES, WIDTH};
use super::{Unwritten, buffer, rows_per_piece};
use crate::kernel::simd::vectorize;

/// What the backward pass needs: one mean and one 1/deviation a row.
#[derive(Debug, Clone)]
pub struct Statistics {
    pub mean: Vec<f32>,
    pub inverse_deviation: Vec<f32>,
}

impl Statistics {
    /// To be found for so many rows.
    pub fn new(rows: usize) -> Self {
        Self {
            mean: buffer(rows),
            inverse_deviation: buffer(rows),
        }
    }
}

/// Normalises each row of `x` `[rows, d]`, scales by `gamma` `[d]` and shifts by `beta` `[d]`.
pub fn forward(
    x: &[f32],
    gamma: &[f32],
    beta: Option<&[f32]>,
    epsilon: f32,
) -> (Vec<f32>, Statistics) {
    let d = gamma.len();
    let rows = x.len() / d;
    assert_eq!(x.len(), rows * d);
    let mut y = Unwritten::new(x.len());
    let mut found = Statistics::new(rows);
    let piece = rows_per_piece(d);
    y.slots()
        .par_chunks_mut(piece * d)
        .zip(x.par_chunks(piece * d))
        .zip(
            found
                .mean
                .par_chunks_mut(piece)
                .zip(found.inverse_deviation.par_chunks_mut(piece)),
        )
        .for_each(|((y, x), (means, inverses))| {
            normalise(
                y,
                x,
                [gamma, beta.unwrap_or_default()],
                epsilon,
                [means, inverses],
            );
        });
    // SAFETY: x is whole rows of `d` values, and every row of y was written.
    #[allow(unsafe_code)]
    let y = unsafe { y.written() };
    (y, found)
}

/// As [`forward`], on this thread: whole rows of `x` into as many of `y`, all of which are written, and their means and 1/deviations.
pub(super) fn rows_into<'y>(
    y: &'y mut [MaybeUninit<f32>],
    x: &[f32],
    gamma_and_beta: [&[f32]; 2],
    epsilon: f32,
    found: [&mut [f32]; 2],
) -> &'y mut [f32] {
    let [d, shifts] = gamma_and_beta.map(<[f32]>::len);
    assert!(shifts == 0 || shifts == d);
    assert!(x.len().is_multiple_of(d) && y.len() == x.len());
    assert!(found.each_ref().map(|found| found.len()) == [x.len() / d; 2]);
    normalise(y, x, gamma_and_beta, epsilon, found);
    // SAFETY: x is whole rows of `d` values, and every row of y was written.
    #[allow(unsafe_code)]
    unsafe {
        y.assume_init_mut()
    }
}

/// An empty `beta` shifts by nothing.
fn normalise(
    y: &mut [MaybeUninit<f32>],
    x: &[f32],
    [gamma, beta]: [&[f32]; 2],
    epsilon: f32,
    [means, inverses]: [&mut [f32]; 2],
) {
    let d = gamma.len();
    vectorize!({
        let rows = y.chunks_exact_mut(d).zip(x.chunks_exact(d));
        for ((y, x), (mean, inverse)) in rows.zip(means.iter_mut().zip(inverses)) {
            (*mean, *inverse) = moments(x, epsilon);
            scaled_into(y, x, [gamma, beta], *mean, *inverse);
        }
    });
}

/// What [`rows_into`] gave, again, from what it found of the rows; in panels (see [`super::panels`]).
pub(super) fn again_in_panels(
    x: &[f32],
    [gamma, beta]: [&[f32]; 2],
    [means, inverses]: [&[f32]; 2],
) -> Vec<f32> {
    let d = gamma.len();
    assert!(x.len().is_multiple_of(d) && means.len() == x.len() / d);
    assert_eq!(means.len(), inverses.len());
    assert!(beta.is_empty() || beta.len() == d);
    let mut y = Unwritten::new(x.len());
    let panels = y.slots().chunks_mut((means.len() * WIDTH).max(1));
    for (y, first) in panels.zip((0..d).step_by(WIDTH)) {
        let columns = first..(first + WIDTH).min(d);
        let width = columns.len();
        let scales = [gamma, beta].map(|scale| match scale.is_empty() {
            true => scale,
            false => &scale[columns.clone()],
        });
        vectorize!({
            let rows = y.chunks_exact_mut(width).zip(x.chunks_exact(d));
            for ((y, x), (mean, inverse)) in rows.zip(means.iter().zip(inverses)) {
                scaled_into(y, &x[columns.clone()], scales, *mean, *inverse);
            }
        });
    }
    // SAFETY: every row of every panel was written.
    #[allow(unsafe_code)]
    unsafe {
        y.written()
    }
}

/// A row, normalised and scaled. An empty `beta` shifts by nothing.
#[inline(always)]
fn scaled_into(
    y: &mut [MaybeUninit<f32>],
    x: &[f32],
    [gamma, beta]: [&[f32]; 2],
    mean: f32,
    inverse: f32,
) {
    if beta.is_empty() {
        for ((y, x), g) in y.iter_mut().zip(x).zip(gamma) {
            y.write((x - mean) * inverse * g);
        }
    } else {
        for (((y, x), g), b) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
            y.write((x - mean) * inverse * g + b);
        }
    }
}

/// One row `[d]` into another, on this thread.
pub fn row(y: &mut [f32], x: &[f32], gamma: &[f32], beta: Option<&[f32]>, epsilon: f32) {
    vectorize!({
        let (mean, inverse) = moments(x, epsilon);
        match beta {
            Some(beta) => {
                for (((y, x), g), b) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
                    *y = (x - mean) * inverse * g + b;
                }
            }
            None => {
                for ((y, x), g) in y.iter_mut().zip(x).zip(gamma) {
                    *y = (x - mean) * inverse * g;
                }
            }
        }
    });
}

/// Mean and 1/sqrt(variance + epsilon), in eight partial sums so that the loops vectorise.
#[inline(always)]
fn moments(x: &[f32], epsilon: f32) -> (f32, f32) {
    let n = x.len() as f32;
    let mean = sum(x, |v| v) / n;
    let variance = sum(x, |v| (v - mean) * (v - mean)) / n;
    (mean, 1.0 / (variance + epsilon).sqrt())
}

#[inline(always)]
fn sum(x: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; 16];
    let mut chunks = x.chunks_exact(16);
    for chunk in &mut chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane += term(*v);
        }
    }
    let rest: f32 = chunks.remainder().iter().map(|v| term(*v)).sum();
    total(lanes) + rest
}

/// The sum of all lanes. They go through memory, without which the compiler makes the loops before it as narrow as the last of its steps.
#[inline(always)]
fn total(lanes: [f32; LANES]) -> f32 {
    fold(std::hint::black_box(lanes), |a, b| a + b)
}

/// Gradients with respect to `x`, `gamma` and `beta`, given that of the output.
pub fn backward(
    x: &[f32],
    gamma: &[f32],
    saved: &Statistics,
    dy: &[f32],
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let d = gamma.len();
    assert!(x.len().is_multiple_of(d) && dy.len() == x.len());
    assert!(saved.mean.len() == x.len() / d && saved.inverse_deviation.len() == x.len() / d);
    let mut dx = Unwritten::new(x.len());
    let piece = rows_per_piece(d);
    let partial: Vec<(Vec<f32>, Vec<f32>)> = dx
        .slots()
        .par_chunks_mut(piece * d)
        .zip(x.par_chunks(piece * d).zip(dy.par_chunks(piece * d)))
        .zip(
            saved
                .mean
                .par_chunks(piece)
                .zip(saved.inverse_deviation.par_chunks(piece)),
        )
        .map(|((dx, (x, dy)), (means, inverses))| {
            let (mut dgamma, mut dbeta) = (vec![0.0; d], vec![0.0; d]);
            let sums = [&mut dgamma[..], &mut dbeta[..]];
            slopes(dx, [x, dy, gamma], [means, inverses], sums);
            (dgamma, dbeta)
        })
        .collect();
    let (mut dgamma, mut dbeta) = (vec![0.0; d], vec![0.0; d]);
    for (g, b) in &partial {
        for (total, part) in dgamma.iter_mut().zip(g) {
            *total += part;
        }
        for (total, part) in dbeta.iter_mut().zip(b) {
            *total += part;
        }
    }
    // SAFETY: x, dy and the statistics have the same number of whole rows, and every row of dx was written.
    #[allow(unsafe_code)]
    let dx = unsafe { dx.written() };
    (dx, dgamma, dbeta)
}

/// As [`backward`], on this thread: whole rows of `x`, with their means and 1/deviations. All of `dx` is written; the gradients of gamma and
/// beta are added to `sums`, of which that of beta may be empty.
pub(super) fn backward_rows_into<'x>(
    dx: &'x mut [MaybeUninit<f32>],
    [x, dy, gamma]: [&[f32]; 3],
    found: [&[f32]; 2],
    sums: [&mut [f32]; 2],
) -> &'x mut [f32] {
    let d = gamma.len();
    assert!(x.len().is_multiple_of(d) && dy.len() == x.len() && dx.len() == x.len());
    assert!(found.map(<[f32]>::len) == [x.len() / d; 2]);
    slopes(dx, [x, dy, gamma], found, sums);
    // SAFETY: as in `rows_into`.
    #[allow(unsafe_code)]
    unsafe {
        dx.assume_init_mut()
    }
}

fn slopes(
    dx: &mut [MaybeUninit<f32>],
    [x, dy, gamma]: [&[f32]; 3],
    [means, inverses]: [&[f32]; 2],
    [dgamma, dbeta]: [&mut [f32]; 2],
) {
    let d = gamma.len();
    assert!(dgamma.len() == d && (dbeta.is_empty() || dbeta.len() == d));
    vectorize!({
        let rows = dx
            .chunks_exact_mut(d)
            .zip(x.chunks_exact(d).zip(dy.chunks_exact(d)));
        for ((dx, (x, dy)), (mean, inverse)) in rows.zip(means.iter().zip(inverses)) {
            for (db, dy) in dbeta.iter_mut().zip(dy) {
                *db += dy;
            }
            // Of dy·gamma, and of its products with the normalised values.
            let (mut scaled, mut products) = ([0.0f32; LANES], [0.0f32; LANES]);
            let ((x_vectors, x_rest), (dy_vectors, dy_rest)) = (vectors(x), vectors(dy));
            let (gamma_vectors, gamma_rest) = vectors(gamma);
            let (dgamma_vectors, dgamma_rest) = dgamma.as_chunks_mut::<LANES>();
            let factors = dy_vectors.iter().zip(gamma_vectors);
            for (dgamma, (x, (dy, gamma))) in
                dgamma_vectors.iter_mut().zip(x_vectors.iter().zip(factors))
            {
                for i in 0..LANES {
                    let n = (x[i] - mean) * inverse;
                    dgamma[i] += dy[i] * n;
                    scaled[i] += dy[i] * gamma[i];
                    products[i] += dy[i] * gamma[i] * n;
                }
            }
            let factors = dy_rest.iter().zip(gamma_rest);
            let sums = scaled.iter_mut().zip(&mut products);
            for (((x, (dy, gamma)), dgamma), (scaled, products)) in
                x_rest.iter().zip(factors).zip(dgamma_rest).zip(sums)
            {
                let n = (x - mean) * inverse;
                *dgamma += dy * n;
                *scaled += dy * gamma;
                *products += dy * gamma * n;
            }
            let mean_of = |lanes| total(lanes) / d as f32;
            let (mean_scaled, mean_product) = (mean_of(scaled), mean_of(products));
            for ((dx, x), (dy, g)) in dx.iter_mut().zip(x).zip(dy.iter().zip(gamma)) {
                let n = (x - mean) * inverse;
                dx.write((dy * g - mean_scaled - n * mean_product) * inverse);
            }
        }
    });
}

/// Whole vectors, and what is left.
#[inline(always)]
fn vectors(row: &[f32]) -> (&[[f32; LANES]], &[f32]) {
    row.as_chunks::<LANES>()
}
