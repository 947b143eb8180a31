//! Pointwise functions of the feed-forward layers and the recurrent cells.

use burn::module::Param;
use burn::tensor::{Tensor, activation};

use super::linear::Linear;
use crate::config::ActivationKind;
use crate::kernel;

/// A linear layer and the activation of what it gives: a kernel adds the bias and applies the activation in one pass.
///
/// # Shapes
/// - input: `[.., inputs]`
/// - output: `[.., outputs]`
pub fn linear_activation(layer: &Linear, input: Tensor<3>, kind: ActivationKind) -> Tensor<3> {
    if kernel::takes(&input) {
        let bias = layer.bias.as_ref().map(Param::val);
        return kernel::linear_activation(kernel_kind(kind), input, layer.weight.val(), bias);
    }
    let sum = layer.forward(input);
    match kind {
        ActivationKind::Relu => activation::relu(sum),
        ActivationKind::Gelu => gelu(sum),
        ActivationKind::GeluTanh => gelu_tanh(sum),
    }
}

/// The kernel of an activation.
pub(crate) fn kernel_kind(kind: ActivationKind) -> kernel::Activation {
    match kind {
        ActivationKind::Relu => kernel::Activation::Relu,
        ActivationKind::Gelu => kernel::Activation::Gelu,
        ActivationKind::GeluTanh => kernel::Activation::GeluTanh,
    }
}

/// GELU in its exact form, `x/2 · (1 + erf(x/√2))`.
///
/// In training it is put together here: the derivative that burn 0.22 has for its own GELU is that of the tanh form on every
/// backend but flex, which is off by up to 1e-3.
///
/// # Shapes
/// - input and output: any
pub fn gelu<const D: usize>(input: Tensor<D>) -> Tensor<D> {
    if !input.is_autodiff() {
        return activation::gelu(input);
    }
    let share = input
        .clone()
        .mul_scalar(std::f64::consts::FRAC_1_SQRT_2)
        .erf();
    input * share.mul_scalar(0.5).add_scalar(0.5)
}

/// GELU in its tanh form (Hendrycks and Gimpel 2016, <https://arxiv.org/abs/1606.08415>):
/// `x/2 · (1 + tanh(u))` with `u = sqrt(2/π) (x + 0.044715 x³)`, computed as the same function `x · sigmoid(2u)`, which takes
/// fewer passes forward and backward.
///
/// # Shapes
/// - input and output: any
pub fn gelu_tanh<const D: usize>(input: Tensor<D>) -> Tensor<D> {
    let slope = 2.0 * (2.0 / std::f64::consts::PI).sqrt();
    let square = input.clone() * input.clone();
    let argument = input.clone() * square.mul_scalar(slope * 0.044715).add_scalar(slope);
    input * activation::sigmoid(argument)
}

/// tanh as `2·sigmoid(2x) - 1`: the gradient then comes from the output instead of a second evaluation. Exact up to one
/// rounding of a number in [0, 1], an absolute error below 1.2e-7.
///
/// # Shapes
/// - input and output: any
pub fn tanh<const D: usize>(input: Tensor<D>) -> Tensor<D> {
    if !input.is_autodiff() {
        return input.tanh();
    }
    activation::sigmoid(input.mul_scalar(2.0))
        .mul_scalar(2.0)
        .sub_scalar(1.0)
}
