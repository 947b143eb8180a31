//! Layer normalization (Ba, Kiros, Hinton 2016, <https://arxiv.org/abs/1607.06450>).

use burn::module::{Module, Param};
use burn::tensor::{Tensor, module};

use super::init::{Builder, Initial};
use crate::kernel;

/// PyTorch's and GPT-2's epsilon.
pub const EPSILON: f64 = 1e-5;

/// Normalizes the last dimension to mean 0 and variance 1, then scales and shifts it.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// `[width]`
    pub weight: Param<Tensor<1>>,
    /// `[width]`
    pub bias: Option<Param<Tensor<1>>>,
}

impl LayerNorm {
    pub fn new(builder: &Builder, width: usize, bias: bool) -> Self {
        LayerNorm {
            weight: builder.parameter("weight", [width], Initial::Ones),
            bias: bias.then(|| builder.parameter("bias", [width], Initial::Zeros)),
        }
    }

    /// # Shapes
    /// - input and output: `[batch, seq, width]`
    pub fn forward(&self, input: Tensor<3>) -> Tensor<3> {
        normalize(input, self.weight.val(), self.bias.as_ref().map(Param::val))
    }
}

/// `(x - mean) / sqrt(variance + ε) · weight + bias`, with the variance of the population (divided by width).
///
/// # Shapes
/// - input and output: `[batch, seq, width]`
/// - weight, bias: `[width]`
pub fn normalize(input: Tensor<3>, weight: Tensor<1>, bias: Option<Tensor<1>>) -> Tensor<3> {
    if kernel::takes(&input) {
        return kernel::layer_norm(input, weight, bias, EPSILON);
    }
    if !input.is_autodiff() {
        return module::layer_norm(input, weight, bias, EPSILON);
    }
    let mean = input.clone().mean_dim(2); // [batch, seq, 1]
    let centered = input - mean;
    let variance = (centered.clone() * centered.clone()).mean_dim(2); // [batch, seq, 1]
    let scale = variance.add_scalar(EPSILON).sqrt().recip();
    let scaled = centered * scale * weight.unsqueeze();
    match bias {
        Some(bias) => scaled + bias.unsqueeze(),
        None => scaled,
    }
}
