//! Operations on single rows, on this thread.

use crate::kernel::simd::{MulAdd, exp, sigmoid, tanh, vectorize};

/// Scores to weights that sum to 1, in place.
#[inline(always)]
pub fn softmax(m: impl MulAdd, scores: &mut [f32]) {
    let higher = |a: f32, b: f32| if b > a { b } else { a };
    let largest = fold(scores, f32::NEG_INFINITY, higher);
    for score in scores.iter_mut() {
        *score = exp(m, *score - largest);
    }
    let share = 1.0 / fold(scores, 0.0, |a, b| a + b);
    for score in scores {
        *score *= share;
    }
}

/// All values taken together by an operation whose order does not matter, in lanes.
#[inline(always)]
fn fold(values: &[f32], nothing: f32, with: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [nothing; 16];
    let (chunks, rest) = values.as_chunks::<16>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = with(*lane, *value);
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane = with(*lane, *value);
    }
    // By halves: a chain of sixteen would wait for each.
    for half in [8, 4, 2, 1] {
        for at in 0..half {
            lanes[at] = with(lanes[at], lanes[at + half]);
        }
    }
    lanes[0]
}

/// `a += b`
pub fn add(a: &mut [f32], b: &[f32]) {
    vectorize!({
        for (a, b) in a.iter_mut().zip(b) {
            *a += b;
        }
    });
}

/// `h' = tanh(x + a)`
pub fn rnn(x: &[f32], a: &[f32], h: &mut [f32]) {
    vectorize!(|m| {
        for ((h, x), a) in h.iter_mut().zip(x).zip(a) {
            *h = tanh(m, x + a);
        }
    });
}

/// Gates: reset, update, new; `a` is the recurrent half with its bias.
pub fn gru(x: &[f32], a: &[f32], h: &mut [f32]) {
    let n = h.len();
    let [xr, xz, xn] = parts(x, n);
    let [ar, az, an] = parts(a, n);
    vectorize!(|m| {
        for i in 0..n {
            let reset = sigmoid(m, xr[i] + ar[i]);
            let update = sigmoid(m, xz[i] + az[i]);
            let new = tanh(m, xn[i] + reset * an[i]);
            h[i] = new + update * (h[i] - new);
        }
    });
}

/// Gates: input, forget, cell, output.
pub fn lstm(x: &[f32], a: &[f32], h: &mut [f32], c: &mut [f32]) {
    let n = h.len();
    let [xi, xf, xg, xo] = parts(x, n);
    let [ai, af, ag, ao] = parts(a, n);
    let c = &mut c[..n];
    vectorize!(|m| {
        for i in 0..n {
            let kept = sigmoid(m, xf[i] + af[i]) * c[i];
            c[i] = kept + sigmoid(m, xi[i] + ai[i]) * tanh(m, xg[i] + ag[i]);
            h[i] = sigmoid(m, xo[i] + ao[i]) * tanh(m, c[i]);
        }
    });
}

/// `N` parts of `width` each.
fn parts<const N: usize>(row: &[f32], width: usize) -> [&[f32]; N] {
    std::array::from_fn(|part| &row[part * width..][..width])
}
