//! Multi-head causal self-attention (Vaswani et al. 2017, <https://arxiv.org/abs/1706.03762>).

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData, activation, s};

use super::dropout::dropout;
use super::init::{Builder, Initial};
use super::linear::Linear;

/// What is added to a score that must not count. Finite, so that no backend meets infinity minus infinity, and so far down
/// that its exponential is exactly zero.
const MASKED: f32 = -1e30;

/// Each position looks at itself and at the positions before it.
#[derive(Module, Debug)]
pub struct CausalAttention {
    /// Query, key and value projections side by side: `[d_model, 3·d_model]`.
    pub qkv: Linear,
    /// `[d_model, d_model]`
    pub output: Linear,
    #[module(skip)]
    pub(crate) n_heads: usize,
    #[module(skip)]
    dropout: f64,
}

/// What an attention layer is made of.
#[derive(Debug, Clone, Copy)]
pub struct AttentionSpec {
    pub d_model: usize,
    pub n_heads: usize,
    pub dropout: f64,
    pub qkv: (Initial, Option<Initial>),
    pub output: (Initial, Option<Initial>),
}

/// Keys and values of the positions already seen by one layer.
#[derive(Debug, Clone)]
pub struct LayerCache {
    /// `[batch, n_heads, capacity, d_head]`
    keys: Tensor<4>,
    /// `[batch, n_heads, capacity, d_head]`
    values: Tensor<4>,
}

impl CausalAttention {
    pub fn new(builder: &Builder, spec: AttentionSpec) -> Self {
        let d_model = spec.d_model;
        CausalAttention {
            qkv: Linear::new(
                &builder.at("qkv"),
                [d_model, 3 * d_model],
                spec.qkv.0,
                spec.qkv.1,
            ),
            output: Linear::new(
                &builder.at("output"),
                [d_model, d_model],
                spec.output.0,
                spec.output.1,
            ),
            n_heads: spec.n_heads,
            dropout: spec.dropout,
        }
    }

    pub fn set_dropout(&mut self, rate: f64) {
        self.dropout = rate;
    }

    /// Of the attention weights.
    pub fn dropout(&self) -> f64 {
        self.dropout
    }

    /// # Shapes
    /// - input and output: `[batch, seq, d_model]`
    /// - mask: `[1, 1, seq, seq]`, from [`causal_mask`]
    pub fn forward(&self, input: Tensor<3>, mask: Tensor<4>) -> Tensor<3> {
        let [q, k, v] = self.project(input); // each [batch, n_heads, seq, d_head]
        self.merge(attend(q, k, v, Some(mask), self.dropout))
    }

    /// An empty cache for `capacity` positions.
    pub fn cache(&self, batch: usize, capacity: usize, device: &Device) -> LayerCache {
        let [d_model, _] = self.output.weight.dims();
        let shape = [batch, self.n_heads, capacity, d_model / self.n_heads];
        LayerCache {
            keys: Tensor::zeros(shape, device),
            values: Tensor::zeros(shape, device),
        }
    }

    /// The same as [`forward`](Self::forward) for positions `past..past + seq`, the earlier ones taken from the cache.
    ///
    /// # Shapes
    /// - input and output: `[batch, seq, d_model]`
    pub fn forward_cached(
        &self,
        input: Tensor<3>,
        cache: &mut LayerCache,
        past: usize,
    ) -> Tensor<3> {
        let [_, seq, _] = input.dims();
        let end = past + seq;
        let [q, k, v] = self.project(input); // each [batch, n_heads, seq, d_head]
        let range = s![.., .., past..end, ..];
        cache.keys.inplace(|keys| keys.slice_assign(range, k));
        cache.values.inplace(|values| values.slice_assign(range, v));
        let seen = s![.., .., 0..end, ..];
        let keys = cache.keys.clone().slice(seen); // [batch, n_heads, end, d_head]
        let values = cache.values.clone().slice(seen);
        // A single position may look at everything in the cache, so it needs no mask.
        let mask = (seq > 1).then(|| causal_mask(seq, end, &q.device()));
        self.merge(attend(q, keys, values, mask, 0.0))
    }

    /// # Shapes
    /// - input: `[batch, seq, d_model]`
    /// - output: query, key and value, each `[batch, n_heads, seq, d_head]`
    pub fn project(&self, input: Tensor<3>) -> [Tensor<4>; 3] {
        let [batch, seq, d_model] = input.dims();
        let heads = self.n_heads;
        let qkv = self.qkv.forward(input); // [batch, seq, 3·d_model]
        let part = |index: usize| {
            qkv.clone()
                .slice(s![.., .., index * d_model..(index + 1) * d_model])
                .reshape([batch, seq, heads, d_model / heads])
                .swap_dims(1, 2) // [batch, n_heads, seq, d_head]
        };
        [part(0), part(1), part(2)]
    }

    fn merge(&self, mixed: Tensor<4>) -> Tensor<3> {
        let [batch, heads, seq, d_head] = mixed.dims();
        let joined = mixed.swap_dims(1, 2).reshape([batch, seq, heads * d_head]); // [batch, seq, d_model]
        self.output.forward(joined)
    }
}

/// Scores to be added: 0 where query `i` may see key `j`, `MASKED` where it may not. The queries are the last `queries` of `keys` positions.
///
/// # Shapes
/// - output: `[1, 1, queries, keys]`
pub fn causal_mask(queries: usize, keys: usize, device: &Device) -> Tensor<4> {
    let past = keys - queries;
    let mut values = vec![0.0; queries * keys];
    for (query, row) in values.chunks_mut(keys).enumerate() {
        row[past + query + 1..].fill(MASKED);
    }
    Tensor::from_data(TensorData::new(values, [1, 1, queries, keys]), device)
}

/// The weights `softmax(q kᵀ / sqrt(d_head) + mask)`.
///
/// # Shapes
/// - q: `[batch, n_heads, queries, d_head]`, k: `[batch, n_heads, keys, d_head]`
/// - mask: `[1, 1, queries, keys]`
/// - output: `[batch, n_heads, queries, keys]`
pub fn attention_weights(q: Tensor<4>, k: Tensor<4>, mask: Option<Tensor<4>>) -> Tensor<4> {
    let [_, _, _, d_head] = q.dims();
    // Scaling the queries is the smaller pass: d_head numbers a row instead of one per key.
    let q = q.mul_scalar(1.0 / (d_head as f64).sqrt());
    let scores = q.matmul(k.swap_dims(2, 3)); // [batch, n_heads, queries, keys]
    let scores = match mask {
        Some(mask) => scores + mask,
        None => scores,
    };
    activation::softmax(scores, 3)
}

/// Scaled dot-product attention with dropout on the weights.
///
/// # Shapes
/// - q: `[batch, n_heads, queries, d_head]`, k and v: `[batch, n_heads, keys, d_head]`
/// - mask: `[1, 1, queries, keys]`
/// - output: `[batch, n_heads, queries, d_head]`
pub fn attend(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    mask: Option<Tensor<4>>,
    rate: f64,
) -> Tensor<4> {
    dropout(attention_weights(q, k, mask), rate).matmul(v)
}
