//! One transformer block: attention and feed-forward, each with a residual connection and a norm.

use burn::module::Module;
use burn::tensor::Tensor;

use super::causal_attention::{AttentionSpec, CausalAttention, LayerCache};
use super::dropout::dropout;
use super::feed_forward::{FeedForward, FeedForwardSpec};
use super::init::Builder;
use super::layer_norm::LayerNorm;
use crate::config::NormKind;

/// `post`: `x = norm(x + f(x))` (Vaswani et al. 2017). `pre`: `x = x + f(norm(x))` (GPT-2; Xiong et al. 2020,
/// <https://arxiv.org/abs/2002.04745>). Dropout on what each part adds.
#[derive(Module, Debug)]
pub struct TransformerBlock {
    pub attention_norm: LayerNorm,
    pub attention: CausalAttention,
    pub feed_forward_norm: LayerNorm,
    pub feed_forward: FeedForward,
    #[module(skip)]
    pub(crate) norm: NormKind,
    #[module(skip)]
    dropout: f64,
}

/// What a block is made of.
#[derive(Debug, Clone, Copy)]
pub struct BlockSpec {
    pub attention: AttentionSpec,
    pub feed_forward: FeedForwardSpec,
    pub norm: NormKind,
    pub norm_bias: bool,
    pub dropout: f64,
}

impl TransformerBlock {
    pub fn new(builder: &Builder, spec: BlockSpec) -> Self {
        let norm =
            |name: &str| LayerNorm::new(&builder.at(name), spec.attention.d_model, spec.norm_bias);
        TransformerBlock {
            attention_norm: norm("attention_norm"),
            attention: CausalAttention::new(&builder.at("attention"), spec.attention),
            feed_forward_norm: norm("feed_forward_norm"),
            feed_forward: FeedForward::new(&builder.at("feed_forward"), spec.feed_forward),
            norm: spec.norm,
            dropout: spec.dropout,
        }
    }

    pub fn set_dropout(&mut self, rate: f64) {
        self.dropout = rate;
        self.attention.set_dropout(rate);
    }

    /// # Shapes
    /// - input and output: `[batch, seq, d_model]`
    /// - mask: `[1, 1, seq, seq]`
    pub fn forward(&self, input: Tensor<3>, mask: Tensor<4>) -> Tensor<3> {
        self.around(input, |normed| self.attention.forward(normed, mask))
    }

    /// The same for positions `past..past + seq`, the earlier ones taken from the cache.
    ///
    /// # Shapes
    /// - input and output: `[batch, seq, d_model]`
    pub fn forward_cached(
        &self,
        input: Tensor<3>,
        cache: &mut LayerCache,
        past: usize,
    ) -> Tensor<3> {
        self.around(input, |normed| {
            self.attention.forward_cached(normed, cache, past)
        })
    }

    fn around(&self, input: Tensor<3>, attend: impl FnOnce(Tensor<3>) -> Tensor<3>) -> Tensor<3> {
        match self.norm {
            NormKind::Post => {
                let added = dropout(attend(input.clone()), self.dropout);
                let middle = self.attention_norm.forward(input + added);
                let added = dropout(self.feed_forward.forward(middle.clone()), self.dropout);
                self.feed_forward_norm.forward(middle + added)
            }
            NormKind::Pre => {
                let normed = self.attention_norm.forward(input.clone());
                let middle = input + dropout(attend(normed), self.dropout);
                let normed = self.feed_forward_norm.forward(middle.clone());
                middle + dropout(self.feed_forward.forward(normed), self.dropout)
            }
        }
    }
}
