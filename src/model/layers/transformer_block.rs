//! One transformer block: attention and feed-forward, each with a residual connection and a norm.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::activation::kernel_kind;
use super::causal_attention::{AttentionSpec, CausalAttention, LayerCache};
use super::dropout::{dropout, next_mask};
use super::feed_forward::{FeedForward, FeedForwardSpec};
use super::init::Builder;
use super::layer_norm::{EPSILON, LayerNorm};
use super::linear::Linear;
use crate::config::NormKind;
use crate::kernel;
use crate::model::saturation;

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
        if kernel::takes(&input) {
            return self.by_kernels(input);
        }
        self.around(input, |normed| self.attention.forward(normed, mask))
    }

    /// The same in two operations.
    fn by_kernels(&self, input: Tensor<3>) -> Tensor<3> {
        let norm = match self.norm {
            NormKind::Pre => kernel::Norm::Pre,
            NormKind::Post => kernel::Norm::Post,
        };
        let sublayer = |middle, input: &Tensor<3>| kernel::Sublayer {
            norm,
            epsilon: EPSILON as f32,
            middle,
            mask: next_mask(input, self.dropout),
        };
        let attention = &self.attention;
        let middle = kernel::Middle::Attention {
            n_heads: attention.n_heads,
            mask: next_mask(&input, attention.dropout()),
        };
        let taken = parameters(&self.attention_norm, &attention.qkv, &attention.output);
        let attend = sublayer(middle, &input);
        let hidden = kernel::sublayer(attend, input, taken, None);

        let layer = &self.feed_forward;
        let middle = kernel::Middle::FeedForward(kernel_kind(layer.activation));
        let taken = parameters(&self.feed_forward_norm, &layer.up, &layer.down);
        let feed = sublayer(middle, &hidden);
        let asked = saturation::ask(&hidden);
        let output = kernel::sublayer(feed, hidden, taken, asked.clone());
        if let Some(asked) = &asked {
            let [_, width] = layer.up.weight.dims();
            saturation::answered(asked, width);
        }
        output
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

/// The parameters of a sublayer as its kernel takes them: where only some of the biases are there, the others are zeros without gradient.
fn parameters(norm: &LayerNorm, first: &Linear, second: &Linear) -> kernel::SublayerParameters {
    let biases = [&norm.bias, &first.bias, &second.bias];
    let widths = [
        norm.weight.dims(),
        [first.weight.dims()[1]],
        [second.weight.dims()[1]],
    ];
    let some = biases.iter().any(|bias| bias.is_some());
    let bias = |(bias, width): (&Option<Param<Tensor<1>>>, [usize; 1])| match bias {
        Some(bias) => bias.val(),
        None => Tensor::zeros(width, &norm.weight.device()),
    };
    kernel::SublayerParameters {
        gamma: norm.weight.val(),
        first: first.weight.val(),
        second: second.weight.val(),
        biases: some.then(|| {
            let [beta, first, second] = biases;
            let [d, n, m] = widths;
            [(beta, d), (first, n), (second, m)].map(bias)
        }),
    }
}
