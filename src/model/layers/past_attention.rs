//! Attention of each hidden state of a recurrent layer over the hidden states up to itself.
//!
//! `additive` after Bahdanau, Cho, Bengio 2014 (<https://arxiv.org/abs/1409.0473>), `dot` after Luong, Pham, Manning 2015
//! (<https://arxiv.org/abs/1508.04025>), whose attentional vector `tanh(W[hidden; context])` is the output. Position t sees the
//! last `context_length` states, itself included and never a later one.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData, activation, s};

use super::activation::tanh;
use super::init::{Builder, fan_in};
use super::linear::Linear;
use crate::config::ScoreKind;
use crate::kernel;
use crate::model::saturation::{Place, observe};

/// See `causal_attention`: finite, and its exponential is exactly zero.
const MASKED: f32 = -1e30;

/// Queries scored at a time by [`additive_scores`]: a block needs only the keys up to its own end, so that the part of the
/// score matrix above the diagonal is for the most part never computed.
const QUERY_BLOCK: usize = 16;

/// How hidden states score each other, and how what they find is mixed in.
#[derive(Module, Debug)]
pub struct PastAttention {
    /// `Wq` and `b` of the additive score: `[hidden, d_attention]`.
    pub query: Option<Linear>,
    /// `Wk` of the additive score: `[hidden, d_attention]`.
    pub key: Option<Linear>,
    /// `v` of the additive score: `[d_attention, 1]`.
    pub score: Option<Linear>,
    /// `W` of the attentional vector: `[2·hidden, hidden]`.
    pub combine: Linear,
    #[module(skip)]
    pub(crate) kind: ScoreKind,
    #[module(skip)]
    pub(crate) span: usize,
}

impl PastAttention {
    /// # Arguments
    /// - `span`: how many states, the position's own included, can be seen.
    pub fn new(
        builder: &Builder,
        hidden: usize,
        d_attention: usize,
        kind: ScoreKind,
        span: usize,
    ) -> Self {
        let additive = kind == ScoreKind::Additive;
        let project = |name: &str, bias: bool| {
            additive.then(|| {
                let bias = bias.then(|| fan_in(hidden));
                Linear::new(
                    &builder.at(name),
                    [hidden, d_attention],
                    fan_in(hidden),
                    bias,
                )
            })
        };
        PastAttention {
            query: project("query", true),
            key: project("key", false),
            score: additive.then(|| {
                Linear::new(
                    &builder.at("score"),
                    [d_attention, 1],
                    fan_in(d_attention),
                    None,
                )
            }),
            combine: Linear::new(
                &builder.at("combine"),
                [2 * hidden, hidden],
                fan_in(2 * hidden),
                Some(fan_in(2 * hidden)),
            ),
            kind,
            span,
        }
    }

    /// # Shapes
    /// - hidden: `[batch, seq, hidden]`
    /// - memory: `[batch, past, hidden]`, the states before them
    /// - output: attentional vectors `[batch, seq, hidden]`, and the newest `span - 1` states, the memory of what follows
    pub fn forward(
        &self,
        hidden: Tensor<3>,
        memory: Option<Tensor<3>>,
    ) -> (Tensor<3>, Option<Tensor<3>>) {
        let [_, seq, width] = hidden.dims();
        let span = self.span;
        let (context, states) = match self.kind {
            ScoreKind::Dot | ScoreKind::ScaledDot if kernel::takes(&hidden) => {
                let scale = self.scale(width);
                let context = kernel::dot_attention(hidden.clone(), memory.clone(), span, scale);
                // The states before the window are not of the newest where it is long enough by itself.
                let memory = memory.filter(|_| seq < span - 1);
                (context, joined(memory, hidden.clone()))
            }
            _ => {
                let states = joined(memory, hidden.clone()); // [batch, past + seq, hidden]
                (self.context(hidden.clone(), states.clone()), states)
            }
        };
        let output = self.attentional_vector(hidden, context);
        observe(Place::Attention, &output);
        let [_, count, _] = states.dims();
        let kept = (span - 1).min(count);
        let memory = (kept > 0).then(|| states.slice(s![.., count - kept.., ..]));
        (output, memory)
    }

    /// `tanh(W[hidden; context])`.
    ///
    /// # Shapes
    /// - hidden, context and output: `[batch, seq, hidden]`
    pub fn attentional_vector(&self, hidden: Tensor<3>, context: Tensor<3>) -> Tensor<3> {
        match &self.combine.bias {
            Some(bias) if kernel::takes(&hidden) => {
                let weight = self.combine.weight.val();
                kernel::attentional_vector([hidden, context], weight, bias.val())
            }
            _ => tanh(self.combine.forward(Tensor::cat(vec![hidden, context], 2))),
        }
    }

    /// What the products of the states are multiplied by.
    fn scale(&self, width: usize) -> f64 {
        match self.kind {
            ScoreKind::ScaledDot => 1.0 / (width as f64).sqrt(),
            ScoreKind::Dot | ScoreKind::Additive => 1.0,
        }
    }

    /// What each query takes from the states.
    ///
    /// # Shapes
    /// - hidden: `[batch, queries, hidden]`, the last of `states: [batch, keys, hidden]`
    /// - output: `[batch, queries, hidden]`
    fn context(&self, hidden: Tensor<3>, states: Tensor<3>) -> Tensor<3> {
        match (&self.query, &self.key, &self.score) {
            (Some(query), Some(key), Some(score)) if kernel::takes(&states) => {
                let pair = [query.forward(hidden), key.forward(states.clone())];
                kernel::additive_attention(pair, score.weight.val(), states, self.span)
            }
            _ => self.weights(hidden, states.clone()).matmul(states),
        }
    }

    /// How much each query takes from each state.
    ///
    /// # Shapes
    /// - hidden: `[batch, queries, hidden]`, the last of `states: [batch, keys, hidden]`
    /// - output: `[batch, queries, keys]`
    pub fn weights(&self, hidden: Tensor<3>, states: Tensor<3>) -> Tensor<3> {
        let [_, queries, width] = hidden.dims();
        let [_, keys, _] = states.dims();
        let mask = band_mask(queries, keys, self.span, &hidden.device());
        let scores = match (&self.query, &self.key, &self.score) {
            (Some(query), Some(key), Some(score)) => additive_scores(
                query.forward(hidden),
                key.forward(states),
                score.weight.val(),
            ),
            _ => {
                let scaled = hidden.mul_scalar(self.scale(width));
                scaled.matmul(states.swap_dims(1, 2))
            }
        }; // [batch, queries, keys]
        activation::softmax(scores + mask, 2)
    }
}

/// The states of a window behind those from before it.
fn joined(memory: Option<Tensor<3>>, hidden: Tensor<3>) -> Tensor<3> {
    match memory {
        Some(memory) => Tensor::cat(vec![memory, hidden], 1),
        None => hidden,
    }
}

/// Scores to be added: 0 where query `i` (one of the last `queries` of `keys` positions) may see key `j`.
///
/// # Shapes
/// - output: `[1, queries, keys]`
fn band_mask(queries: usize, keys: usize, span: usize, device: &Device) -> Tensor<3> {
    let past = keys - queries;
    let mut values = vec![MASKED; queries * keys];
    for (query, row) in values.chunks_mut(keys).enumerate() {
        let position = past + query;
        row[(position + 1).saturating_sub(span)..=position].fill(0.0);
    }
    Tensor::from_data(TensorData::new(values, [1, queries, keys]), device)
}

/// `v · tanh(query_t + key_j)` for every query and every key up to it; 0 for later keys, which the mask covers.
///
/// # Shapes
/// - query: `[batch, queries, d_attention]`, the last of `key: [batch, keys, d_attention]`
/// - v: `[d_attention, 1]`
/// - output: `[batch, queries, keys]`
pub fn additive_scores(query: Tensor<3>, key: Tensor<3>, v: Tensor<2>) -> Tensor<3> {
    let [batch, queries, width] = query.dims();
    let [_, keys, _] = key.dims();
    let past = keys - queries;
    let device = query.device();
    let mut rows = Vec::with_capacity(queries.div_ceil(QUERY_BLOCK));
    for start in (0..queries).step_by(QUERY_BLOCK) {
        let end = (start + QUERY_BLOCK).min(queries);
        let visible = past + end;
        let q = query.clone().slice(s![.., start..end, ..]);
        let k = key.clone().slice(s![.., 0..visible, ..]);
        let sum = q.unsqueeze_dim::<4>(2) + k.unsqueeze_dim::<4>(1); // [batch, block, visible, d_attention]
        let scores = tanh(sum)
            .reshape([batch * (end - start) * visible, width])
            .matmul(v.clone())
            .reshape([batch, end - start, visible]);
        let hidden_keys = keys - visible;
        rows.push(if hidden_keys > 0 {
            let rest = Tensor::zeros([batch, end - start, hidden_keys], &device);
            Tensor::cat(vec![scores, rest], 2)
        } else {
            scores
        });
    }
    if rows.len() == 1 {
        rows.remove(0)
    } else {
        Tensor::cat(rows, 1)
    }
}
