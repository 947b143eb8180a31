//! GELU in both forms and ReLU, forward and backward, and dropout.

use rayon::prelude::*;

use super::buffer;
use crate::kernel::simd::{erf, exp, mix, tanh, vectorize};

const PIECE: usize = 16 * 1024;

/// Which activation (Hendrycks and Gimpel 2016, arXiv:1606.08415, for GELU).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    Relu,
    /// x·Φ(x)
    Gelu,
    /// 0.5·x·(1 + tanh(sqrt(2/π)·(x + 0.044715·x³)))
    GeluTanh,
}

const SQRT_2_OVER_PI: f32 = 0.797_884_6;
const CUBIC: f32 = 0.044_715;

#[inline(always)]
fn normal_distribution(x: f32) -> f32 {
    0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

#[inline(always)]
fn normal_density(x: f32) -> f32 {
    0.398_942_3 * exp(-0.5 * x * x)
}

#[inline(always)]
fn value(kind: Activation, x: f32) -> f32 {
    match kind {
        Activation::Relu => x.max(0.0),
        Activation::Gelu => x * normal_distribution(x),
        Activation::GeluTanh => 0.5 * x * (1.0 + tanh(SQRT_2_OVER_PI * (x + CUBIC * x * x * x))),
    }
}

#[inline(always)]
fn slope(kind: Activation, x: f32) -> f32 {
    match kind {
        Activation::Relu => {
            if x > 0.0 {
                1.0
            } else {
                0.0
            }
        }
        Activation::Gelu => normal_distribution(x) + x * normal_density(x),
        Activation::GeluTanh => {
            let t = tanh(SQRT_2_OVER_PI * (x + CUBIC * x * x * x));
            let inner = SQRT_2_OVER_PI * (1.0 + 3.0 * CUBIC * x * x);
            0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner
        }
    }
}

/// Element-wise, any shape.
pub fn forward(kind: Activation, x: &[f32]) -> Vec<f32> {
    let mut y = buffer(x.len());
    y.par_chunks_mut(PIECE)
        .zip(x.par_chunks(PIECE))
        .for_each(|(y, x)| match kind {
            Activation::Relu => map(y, x, |x| value(Activation::Relu, x)),
            Activation::Gelu => map(y, x, |x| value(Activation::Gelu, x)),
            Activation::GeluTanh => map(y, x, |x| value(Activation::GeluTanh, x)),
        });
    y
}

/// Element-wise, in place, on this thread.
pub fn apply(kind: Activation, x: &mut [f32]) {
    match kind {
        Activation::Relu => each(x, |x| value(Activation::Relu, x)),
        Activation::Gelu => each(x, |x| value(Activation::Gelu, x)),
        Activation::GeluTanh => each(x, |x| value(Activation::GeluTanh, x)),
    }
}

#[inline(always)]
fn each(x: &mut [f32], f: impl Fn(f32) -> f32) {
    vectorize!({
        for x in x {
            *x = f(*x);
        }
    });
}

#[inline(always)]
fn map(y: &mut [f32], x: &[f32], f: impl Fn(f32) -> f32) {
    vectorize!({
        for (y, x) in y.iter_mut().zip(x) {
            *y = f(*x);
        }
    });
}

/// The gradient with respect to the input, written over that of the output.
pub fn backward(kind: Activation, x: &[f32], dy: &mut [f32]) {
    dy.par_chunks_mut(PIECE)
        .zip(x.par_chunks(PIECE))
        .for_each(|(dy, x)| match kind {
            Activation::Relu => scale(dy, x, |x| slope(Activation::Relu, x)),
            Activation::Gelu => scale(dy, x, |x| slope(Activation::Gelu, x)),
            Activation::GeluTanh => scale(dy, x, |x| slope(Activation::GeluTanh, x)),
        });
}

#[inline(always)]
fn scale(dy: &mut [f32], x: &[f32], f: impl Fn(f32) -> f32) {
    vectorize!({
        for (dy, x) in dy.iter_mut().zip(x) {
            *dy *= f(*x);
        }
    });
}

/// Dropout's factor at a position: 0 with the given probability, else 1/(1 - probability).
#[derive(Debug, Clone, Copy)]
pub struct Mask {
    seed: u64,
    threshold: u32,
    keep: f32,
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
        }
    }

    #[inline(always)]
    pub fn factor(&self, index: u64) -> f32 {
        if mix(self.seed, index) < self.threshold {
            0.0
        } else {
            self.keep
        }
    }
}

/// Multiplies by the mask, in place: forward and backward are the same.
pub fn dropout(x: &mut [f32], mask: Mask) {
    x.par_chunks_mut(PIECE).enumerate().for_each(|(piece, x)| {
        let start = (piece * PIECE) as u64;
        vectorize!({
            for (i, x) in x.iter_mut().enumerate() {
                *x *= mask.factor(start + i as u64);
            }
        });
    });
}
