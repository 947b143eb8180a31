//! What a step does to one parameter. Formulas of `torch.optim.{SGD, Adam, AdamW}`:
//!
//! ```text
//! g ← scale·g;  L2: g ← g + decay·w;  decoupled: w ← (1 - lr·decay)·w
//! SGD   b ← momentum·b + g (first step: b ← g);  nesterov: g ← g + momentum·b, else g ← b;  w ← w - lr·g
//! Adam  m ← β₁m + (1-β₁)g;  v ← β₂v + (1-β₂)g²;  w ← w - lr/(1-β₁ᵗ) · m / (√v/√(1-β₂ᵗ) + ε)
//! ```
//!
//! AdamW is Adam with decoupled decay (<https://arxiv.org/abs/1711.05101>). The same rule is written twice: as one
//! fused pass over main memory, and as tensor operations for devices with memory of their own. A test holds them
//! together.

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use super::{Update, decay_form};
use crate::config::{DecayForm, OptimizerConfig, OptimizerKind};
use crate::kernel::simd::vectorize;

/// Elements that one task of the fused pass updates.
const CHUNK: usize = 1 << 15;

/// What an optimizer remembers of one parameter.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant)] // one per parameter, a few hundred at most
pub(super) enum Moments {
    Host {
        first: Vec<f32>,
        /// Adam and AdamW only.
        second: Option<Vec<f32>>,
    },
    Device {
        first: Tensor<1>,
        second: Option<Tensor<1>>,
    },
}

/// The arithmetic of one step, its scalars worked out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    scale: f64,
    /// Added to the gradient, times the weight.
    l2: f64,
    /// Multiplies the weight before the update.
    keep: f64,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Sgd {
        learning_rate: f64,
        momentum: f64,
        nesterov: bool,
    },
    Adam {
        beta1: f64,
        beta2: f64,
        epsilon: f64,
        /// lr / (1 - β₁ᵗ)
        rate: f64,
        /// 1 / √(1 - β₂ᵗ)
        root_correction: f64,
    },
}

impl Rule {
    pub(super) fn new(config: &OptimizerConfig, steps: u64, update: Update, decays: bool) -> Self {
        let learning_rate = update.learning_rate;
        let decay = if decays { config.weight_decay } else { 0.0 };
        let (l2, keep) = match decay_form(config) {
            DecayForm::L2 => (decay, 1.0),
            DecayForm::Decoupled | DecayForm::Auto => (0.0, 1.0 - learning_rate * decay),
        };
        let kind = match config.kind {
            OptimizerKind::Sgd => Kind::Sgd {
                learning_rate,
                momentum: config.momentum,
                nesterov: config.nesterov,
            },
            OptimizerKind::Adam | OptimizerKind::AdamW => Kind::Adam {
                beta1: config.beta1,
                beta2: config.beta2,
                epsilon: config.epsilon,
                rate: learning_rate / (1.0 - config.beta1.powf(steps as f64)),
                root_correction: 1.0 / (1.0 - config.beta2.powf(steps as f64)).sqrt(),
            },
        };
        Self {
            scale: update.gradient_scale,
            l2,
            keep,
            kind,
        }
    }

    /// One pass over main memory.
    pub(super) fn apply_on_host(
        &self,
        weight: Tensor<1>,
        gradient: Tensor<1>,
        moments: Option<Moments>,
    ) -> (Tensor<1>, Option<Moments>) {
        let device = weight.device();
        let mut weights = weight.into_data();
        let gradients = gradient.into_data();
        let w = slice_mut(&mut weights);
        let g = slice(&gradients);
        let (scale, l2, keep) = (self.scale as f32, self.l2 as f32, self.keep as f32);
        let (first, second) = match moments {
            None => (None, None),
            Some(moments) => {
                let (first, second) = moments.into_host();
                (Some(first), second)
            }
        };
        let moments = match self.kind {
            Kind::Sgd {
                learning_rate,
                momentum: 0.0,
                ..
            } => {
                let lr = learning_rate as f32;
                w.par_chunks_mut(CHUNK)
                    .zip(g.par_chunks(CHUNK))
                    .for_each(|(w, g)| {
                        vectorize!({
                            for (w, g) in w.iter_mut().zip(g) {
                                let g = scale * g + l2 * *w;
                                *w = keep * *w - lr * g;
                            }
                        });
                    });
                None
            }
            Kind::Sgd {
                learning_rate,
                momentum,
                nesterov,
            } => {
                let (lr, momentum) = (learning_rate as f32, momentum as f32);
                // The first step copies the gradient, which from zero `momentum·0 + g` does too.
                let mut first = first.unwrap_or_else(|| vec![0.0; w.len()]);
                w.par_chunks_mut(CHUNK)
                    .zip(g.par_chunks(CHUNK))
                    .zip(first.par_chunks_mut(CHUNK))
                    .for_each(|((w, g), b)| {
                        vectorize!({
                            for ((w, g), b) in w.iter_mut().zip(g).zip(b) {
                                let g = scale * g + l2 * *w;
                                *b = momentum * *b + g;
                                let step = if nesterov { g + momentum * *b } else { *b };
                                *w = keep * *w - lr * step;
                            }
                        });
                    });
                Some(Moments::Host {
                    first,
                    second: None,
                })
            }
            Kind::Adam {
                beta1,
                beta2,
                epsilon,
                rate,
                root_correction,
            } => {
                let (b1, c1) = (beta1 as f32, (1.0 - beta1) as f32);
                let (b2, c2) = (beta2 as f32, (1.0 - beta2) as f32);
                let (eps, rate, root) = (epsilon as f32, rate as f32, root_correction as f32);
                let mut first = first.unwrap_or_else(|| vec![0.0; w.len()]);
                let mut second = second.unwrap_or_else(|| vec![0.0; w.len()]);
                w.par_chunks_mut(CHUNK)
                    .zip(g.par_chunks(CHUNK))
                    .zip(first.par_chunks_mut(CHUNK))
                    .zip(second.par_chunks_mut(CHUNK))
                    .for_each(|(((w, g), m), v)| {
                        vectorize!({
                            for (((w, g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
                                let g = scale * g + l2 * *w;
                                *m = b1 * *m + c1 * g;
                                *v = b2 * *v + c2 * g * g;
                                *w = keep * *w - rate * (*m / (v.sqrt() * root + eps));
                            }
                        });
                    });
                Some(Moments::Host {
                    first,
                    second: Some(second),
                })
            }
        };
        (Tensor::from_data(weights, &device), moments)
    }

    /// Tensor operations, nothing of which waits for the device.
    pub(super) fn apply_on_device(
        &self,
        weight: Tensor<1>,
        gradient: Tensor<1>,
        moments: Option<Moments>,
    ) -> (Tensor<1>, Option<Moments>) {
        let device = weight.device();
        let (first, second) = match moments {
            None => (None, None),
            Some(moments) => {
                let (first, second) = moments.into_device(&device);
                (Some(first), second)
            }
        };
        let mut g = gradient.mul_scalar(self.scale);
        if self.l2 != 0.0 {
            g = g + weight.clone().mul_scalar(self.l2);
        }
        let weight = if self.keep == 1.0 {
            weight
        } else {
            weight.mul_scalar(self.keep)
        };
        match self.kind {
            Kind::Sgd {
                learning_rate,
                momentum,
                nesterov,
            } => {
                if momentum == 0.0 {
                    return (weight - g.mul_scalar(learning_rate), None);
                }
                let first = match first {
                    None => g.clone(),
                    Some(first) => first.mul_scalar(momentum) + g.clone(),
                };
                let step = if nesterov {
                    g + first.clone().mul_scalar(momentum)
                } else {
                    first.clone()
                };
                let weight = weight - step.mul_scalar(learning_rate);
                let second = None;
                (weight, Some(Moments::Device { first, second }))
            }
            Kind::Adam {
                beta1,
                beta2,
                epsilon,
                rate,
                root_correction,
            } => {
                let added = g.clone().mul_scalar(1.0 - beta1);
                let first = match first {
                    None => added,
                    Some(first) => first.mul_scalar(beta1) + added,
                };
                let added = g.square().mul_scalar(1.0 - beta2);
                let second = match second {
                    None => added,
                    Some(second) => second.mul_scalar(beta2) + added,
                };
                let below = second
                    .clone()
                    .sqrt()
                    .mul_scalar(root_correction)
                    .add_scalar(epsilon);
                let weight = weight - (first.clone() / below).mul_scalar(rate);
                let second = Some(second);
                (weight, Some(Moments::Device { first, second }))
            }
        }
    }
}

impl Moments {
    pub(super) fn into_host(self) -> (Vec<f32>, Option<Vec<f32>>) {
        match self {
            Moments::Host { first, second } => (first, second),
            Moments::Device { first, second } => {
                let read = |tensor: Tensor<1>| slice(&tensor.into_data()).to_vec();
                (read(first), second.map(read))
            }
        }
    }

    fn into_device(self, device: &Device) -> (Tensor<1>, Option<Tensor<1>>) {
        match self {
            Moments::Device { first, second } => (first, second),
            Moments::Host { first, second } => {
                let write = |values: Vec<f32>| {
                    let count = values.len();
                    Tensor::from_data(TensorData::new(values, [count]), device)
                };
                (write(first), second.map(write))
            }
        }
    }
}

fn slice(data: &TensorData) -> &[f32] {
    data.as_slice()
        .expect("parameters, gradients and moments are float32 on every backend of this program")
}

fn slice_mut(data: &mut TensorData) -> &mut [f32] {
    data.as_mut_slice()
        .expect("parameters are float32 on every backend of this program")
}
