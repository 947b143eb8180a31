//! A table of vectors, one a token.

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, module};

use super::init::{Builder, Initial};
use crate::kernel;

/// Token ids to vectors.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[count, width]`
    pub weight: Param<Tensor<2>>,
}

impl Embedding {
    pub fn new(builder: &Builder, [count, width]: [usize; 2], initial: Initial) -> Self {
        Embedding {
            weight: builder.parameter("weight", [count, width], initial),
        }
    }

    /// # Shapes
    /// - tokens: `[batch, seq]`
    /// - output: `[batch, seq, width]`
    pub fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let weight = self.weight.val();
        if kernel::takes(&weight) {
            return kernel::embedding(weight, tokens);
        }
        module::embedding(weight, tokens)
    }

    /// The table used the other way round, as an output layer (Press and Wolf 2017, <https://arxiv.org/abs/1608.05859>).
    ///
    /// # Shapes
    /// - hidden: `[batch, seq, width]`
    /// - output: `[batch, seq, count]`
    pub fn unembed(&self, hidden: Tensor<3>) -> Tensor<3> {
        let weight = self.weight.val();
        if kernel::takes(&hidden) {
            return kernel::linear_transposed(hidden, weight);
        }
        module::linear(hidden, weight.transpose(), None)
    }
}
