//! Bias and activation (GELU in both forms, ReLU, tanh) in one pass, forward and backward; and dropout.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::{Unwritten, rows_per_piece};
use crate::kernel::simd::{MulAdd, mix, normal, sigmoid, tanh, vectorize};

const PIECE: usize = 16 * 1024;

/// Which activation (Hendrycks and Gimpel 2016, arXiv:1606.08415, for GELU).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    Relu,
    /// x·Φ(x)
    Gelu,
    /// 0.5·x·(1 + tanh(sqrt(2/π)·(x + 0.044715·x³)))
    GeluTanh,
    Tanh,
}

const SQRT_2_OVER_PI: f32 = 0.797_884_6;
const CUBIC: f32 = 0.044_715;

#[inline(always)]
fn value(m: impl MulAdd, kind: Activation, x: f32) -> f32 {
    both(m, kind, x).0
}

/// The value and the derivative.
#[inline(always)]
fn both(m: impl MulAdd, kind: Activation, x: f32) -> (f32, f32) {
    match kind {
        // Written so that a NaN stays one, as in PyTorch: `f32::max` would hide it.
        Activation::Relu => (
            if x < 0.0 { 0.0 } else { x },
            if x <= 0.0 { 0.0 } else { 1.0 },
        ),
        Activation::Gelu => {
            let (share, density) = normal(m, x);
            (x * share, m.of(x, density, share))
        }
        Activation::GeluTanh => {
            // (1 + tanh(u))/2 = sigmoid(2u): one exponential.
            let square = x * x;
            let share = sigmoid(m, 2.0 * SQRT_2_OVER_PI * x * (1.0 + CUBIC * square));
            let inner = 2.0 * SQRT_2_OVER_PI * (1.0 + 3.0 * CUBIC * square);
            (x * share, share + x * share * (1.0 - share) * inner)
        }
        Activation::Tanh => {
            let y = tanh(m, x);
            (y, 1.0 - y * y)
        }
    }
}

/// Runs a block for each kind, in which it is a constant: a loop then holds nothing but its arithmetic.
macro_rules! for_kind {
    ($kind:ident as $constant:ident, $body:block) => {
        for_kind!(@ $kind, $constant, $body, Relu, Gelu, GeluTanh, Tanh)
    };
    (@ $kind:ident, $constant:ident, $body:block, $($each:ident),+) => {
        match $kind {
            $(Activation::$each => {
                const $constant: Activation = Activation::$each;
                $body
            })+
        }
    };
}

/// Adds the bias to rows of its length and applies the activation, in place.
pub fn with_bias(kind: Activation, y: &mut [f32], bias: Option<&[f32]>) {
    let Some(bias) = bias else {
        return y.par_chunks_mut(PIECE).for_each(|y| apply(kind, y));
    };
    let piece = rows_per_piece(bias.len()) * bias.len();
    y.par_chunks_mut(piece).for_each(|y| {
        for row in y.chunks_exact_mut(bias.len()) {
            add(row, bias);
            apply(kind, row);
        }
    });
}

/// As [`with_bias`]; the derivatives at the sums come back, as they share the costly part with the values. None for ReLU and tanh, whose
/// output tells them.
pub fn with_bias_and_slope(kind: Activation, y: &mut [f32], bias: Option<&[f32]>) -> Vec<f32> {
    if matches!(kind, Activation::Relu | Activation::Tanh) {
        with_bias(kind, y, bias);
        return Vec::new();
    }
    let row = bias.map_or(PIECE, <[f32]>::len);
    let piece = rows_per_piece(row) * row;
    let mut slope = Unwritten::new(y.len());
    y.par_chunks_mut(piece)
        .zip(slope.slots().par_chunks_mut(piece))
        .for_each(|(y, slope)| {
            for (y, slope) in y.chunks_mut(row).zip(slope.chunks_mut(row)) {
                if let Some(bias) = bias {
                    add(y, bias);
                }
                values_and_slopes(kind, y, slope);
            }
        });
    // SAFETY: as many slots as values, and `map` writes one for each.
    #[allow(unsafe_code)]
    unsafe {
        slope.written()
    }
}

/// Values and derivatives, on this thread; all of `slope` is written.
fn values_and_slopes(kind: Activation, y: &mut [f32], slope: &mut [MaybeUninit<f32>]) {
    assert_eq!(y.len(), slope.len());
    for_kind!(kind as KIND, {
        vectorize!(|m| {
            for (y, slope) in y.iter_mut().zip(slope) {
                let (value, derivative) = both(m, KIND, *y);
                *y = value;
                slope.write(derivative);
            }
        })
    });
}

/// y += bias, element by element, on this thread.
pub(super) fn add(y: &mut [f32], bias: &[f32]) {
    vectorize!({
        for (y, b) in y.iter_mut().zip(bias) {
            *y += b;
        }
    });
}

/// Adds the same to each row, on this thread.
pub(super) fn add_to_rows(rows: &mut [f32], added: &[f32]) {
    vectorize!({
        for row in rows.chunks_exact_mut(added.len()) {
            for (y, b) in row.iter_mut().zip(added) {
                *y += b;
            }
        }
    });
}

/// Adds all rows to one, on this thread.
pub(super) fn add_rows(sum: &mut [f32], rows: &[f32]) {
    vectorize!({
        for row in rows.chunks_exact(sum.len()) {
            for (sum, y) in sum.iter_mut().zip(row) {
                *sum += y;
            }
        }
    });
}

/// Element-wise, in place, on this thread.
pub fn apply(kind: Activation, x: &mut [f32]) {
    for_kind!(kind as KIND, {
        vectorize!(|m| {
            for x in x {
                *x = value(m, KIND, *x);
            }
        })
    });
}

/// As [`apply`], from one place to another, all of which is written.
pub(super) fn apply_into<'y>(
    kind: Activation,
    y: &'y mut [MaybeUninit<f32>],
    x: &[f32],
) -> &'y mut [f32] {
    assert_eq!(x.len(), y.len());
    let all = y.iter_mut().zip(x);
    for_kind!(kind as KIND, {
        vectorize!(|m| {
            for (y, x) in all {
                y.write(value(m, KIND, *x));
            }
        })
    });
    // SAFETY: every value was written.
    #[allow(unsafe_code)]
    unsafe {
        y.assume_init_mut()
    }
}

/// The gradient with respect to the input, written over that of the output, from the derivatives that [`with_bias_and_slope`] gives.
pub fn backward(slope: &[f32], dy: &mut [f32]) {
    dy.par_chunks_mut(PIECE)
        .zip(slope.par_chunks(PIECE))
        .for_each(|(dy, slope)| times(dy, slope));
}

fn times(dy: &mut [f32], slope: &[f32]) {
    vectorize!({
        for (dy, slope) in dy.iter_mut().zip(slope) {
            *dy *= slope;
        }
    });
}

/// From the gradient of the output to that of the input, in place, on this thread, for those activations whose values tell the slopes.
///
/// # Panics
///
/// For the others.
pub(super) fn backward_from_values(kind: Activation, y: &[f32], dy: &mut [f32]) {
    match kind {
        Activation::Relu => relu_slopes(y, dy),
        Activation::Tanh => tanh_slopes(y, dy),
        Activation::Gelu | Activation::GeluTanh => {
            panic!("the values of {kind:?} do not tell its slopes")
        }
    }
}

/// From the gradient of the output to that of the input `x`, in place, on this thread; the values come back, as they share the costly part with the
/// slopes.
pub(super) fn backward_with_values(kind: Activation, x: &[f32], dy: &mut [f32]) -> Vec<f32> {
    assert_eq!(x.len(), dy.len());
    let mut values = Unwritten::new(x.len());
    let all = values.slots().iter_mut().zip(x).zip(dy);
    for_kind!(kind as KIND, {
        vectorize!(|m| {
            for ((value, x), dy) in all {
                let (found, slope) = both(m, KIND, *x);
                value.write(found);
                *dy *= slope;
            }
        })
    });
    // SAFETY: every value was written.
    #[allow(unsafe_code)]
    unsafe {
        values.written()
    }
}

/// As [`backward`] for ReLU, from its output.
pub fn relu_backward(y: &[f32], dy: &mut [f32]) {
    dy.par_chunks_mut(PIECE)
        .zip(y.par_chunks(PIECE))
        .for_each(|(dy, y)| relu_slopes(y, dy));
}

fn relu_slopes(y: &[f32], dy: &mut [f32]) {
    vectorize!({
        for (dy, y) in dy.iter_mut().zip(y) {
            *dy = if *y <= 0.0 { 0.0 } else { *dy };
        }
    });
}

/// As [`backward`] for tanh, from its output.
pub fn tanh_backward(y: &[f32], dy: &mut [f32]) {
    dy.par_chunks_mut(PIECE)
        .zip(y.par_chunks(PIECE))
        .for_each(|(dy, y)| tanh_slopes(y, dy));
}

fn tanh_slopes(y: &[f32], dy: &mut [f32]) {
    vectorize!({
        for (dy, y) in dy.iter_mut().zip(y) {
            *dy *= 1.0 - y * y;
        }
    });
}

/// Dropout's factor at a position: 0 with the given probability, else 1/(1 - probability).
#[derive(Debug, Clone, Copy)]
pub struct Mask {
    seed: u64,
    threshold: u32,
    keep: f32,
    /// The position that counts as the first.
    start: u64,
}

impl Mask {
    /// # Panics
    ///
    /// When the probability is not in [0, 1): the configuration refuses such values.
    pub fn new(seed: u64, probability: f64) -> Self {
        assert!(
            (0.0..1.0).contains(&probability),
            "dropout probability {probability}"
        );
        Self {
            seed,
            threshold: (probability * (u32::MAX as f64 + 1.0)) as u32,
            keep: (1.0 / (1.0 - probability)) as f32,
            start: 0,
        }
    }

    /// The same mask, seen from a position on.
    pub fn from(self, position: u64) -> Self {
        let start = self.start + position;
        Self { start, ..self }
    }

    #[inline(always)]
    pub fn factor(&self, index: u64) -> f32 {
        if mix(self.seed, self.start + index) < self.threshold {
            0.0
        } else {
            self.keep
        }
    }
}

/// Multiplies by the mask, in place: forward and backward are the same.
pub fn dropout(x: &mut [f32], mask: Mask) {
    x.par_chunks_mut(PIECE)
        .enumerate()
        .for_each(|(piece, x)| drop_some(x, mask.from((piece * PIECE) as u64)));
}

/// As [`dropout`], on this thread.
pub(super) fn drop_some(x: &mut [f32], mask: Mask) {
    vectorize!({
        for (i, x) in x.iter_mut().enumerate() {
            *x *= mask.factor(i as u64);
        }
    });
}
