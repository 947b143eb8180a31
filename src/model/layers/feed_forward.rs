//! The position-wise feed-forward layer of a transformer block.

use burn::module::Module;
use burn::tensor::Tensor;

use super::activation::linear_activation;
use super::init::{Builder, Initial};
use super::linear::Linear;
use crate::config::ActivationKind;
use crate::model::saturation::{Place, observe};

/// `down(activation(up(x)))`.
#[derive(Module, Debug)]
pub struct FeedForward {
    pub up: Linear,
    pub down: Linear,
    #[module(skip)]
    pub(crate) activation: ActivationKind,
}

/// What a feed-forward layer is made of.
#[derive(Debug, Clone, Copy)]
pub struct FeedForwardSpec {
    pub d_model: usize,
    pub d_ff: usize,
    pub activation: ActivationKind,
    pub up: (Initial, Option<Initial>),
    pub down: (Initial, Option<Initial>),
}

impl FeedForward {
    pub fn new(builder: &Builder, spec: FeedForwardSpec) -> Self {
        FeedForward {
            up: Linear::new(
                &builder.at("up"),
                [spec.d_model, spec.d_ff],
                spec.up.0,
                spec.up.1,
            ),
            down: Linear::new(
                &builder.at("down"),
                [spec.d_ff, spec.d_model],
                spec.down.0,
                spec.down.1,
            ),
            activation: spec.activation,
        }
    }

    /// # Shapes
    /// - input and output: `[batch, seq, d_model]`
    pub fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        let units = linear_activation(&self.up, input, self.activation); // [batch, seq, d_ff]
        observe(Place::FeedForward, &units);
        self.down.forward(units)
    }
}
