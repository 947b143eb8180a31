//! Affine map over the last dimension.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, module};

use super::init::{Builder, Initial};
use crate::kernel;

/// `y = x W + b`. The weight is stored `[inputs, outputs]` (as GPT-2's checkpoints do; PyTorch's `nn.Linear` stores the transpose).
#[derive(Module, Debug)]
pub struct Linear {
    /// `[inputs, outputs]`
    pub weight: Param<Tensor<2>>,
    /// `[outputs]`
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// A map with `bias` where one is given.
    pub fn new(
        builder: &Builder,
        [inputs, outputs]: [usize; 2],
        weight: Initial,
        bias: Option<Initial>,
    ) -> Self {
        Linear {
            weight: builder.parameter("weight", [inputs, outputs], weight),
            bias: bias.map(|bias| builder.parameter("bias", [outputs], bias)),
        }
    }

    /// # Shapes
    /// - input: `[.., inputs]`
    /// - output: `[.., outputs]`
    pub fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        let (weight, bias) = (self.weight.val(), self.bias.as_ref().map(Param::val));
        if kernel::takes(&input) {
            return kernel::linear(input, weight, bias);
        }
        module::linear(input, weight, bias)
    }
}
