//! The architecture of rungs 4 and 5: a stack of causal transformer blocks.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, s};

use super::layers::causal_attention::{AttentionSpec, LayerCache, causal_mask};
use super::layers::dropout::dropout;
use super::layers::embedding::Embedding;
use super::layers::feed_forward::FeedForwardSpec;
use super::layers::init::{Builder, Initial, fan_in};
use super::layers::layer_norm::LayerNorm;
use super::layers::linear::Linear;
use super::layers::loss::Head;
use super::layers::positions::sinusoids;
use super::layers::transformer_block::{BlockSpec, TransformerBlock};
use crate::config::{InitKind, NormKind, PositionKind, TransformerConfig};

/// Dropout at the embeddings, on attention weights and on what each residual branch adds.
#[derive(Module, Debug)]
pub struct Decoder {
    pub token_embedding: Embedding,
    /// Learned positions: `[context_length, d_model]`.
    pub position_embedding: Option<Embedding>,
    /// Fixed positions: `[context_length, d_model]`.
    pub(crate) sinusoids: Option<Tensor<2>>,
    pub blocks: Vec<TransformerBlock>,
    /// Only with `norm = "pre"`: a post-norm block already ends in one.
    pub final_norm: Option<LayerNorm>,
    /// None with a tied head.
    pub head: Option<Linear>,
    #[module(skip)]
    pub(crate) embedding_scale: Option<f64>,
    #[module(skip)]
    context_length: usize,
    #[module(skip)]
    dropout: f64,
}

/// Keys and values of the positions already seen.
#[derive(Debug, Clone)]
pub struct KeyValueCache {
    layers: Vec<LayerCache>,
    length: usize,
}

impl KeyValueCache {
    /// Positions seen so far.
    pub fn length(&self) -> usize {
        self.length
    }
}

/// Width of the feed-forward layer: `d_ff`, where 0 stands for 4·d_model.
pub fn feed_forward_width(config: &TransformerConfig) -> usize {
    match config.d_ff {
        0 => 4 * config.d_model,
        width => width,
    }
}

impl Decoder {
    pub fn new(config: &TransformerConfig, vocab: usize, builder: &Builder) -> Self {
        let d_model = config.d_model;
        let context = config.context_length;
        let initials = Initials::new(config);
        let bias = |inputs: usize, wanted: bool| wanted.then(|| initials.bias(inputs));
        let d_ff = feed_forward_width(config);
        let block = BlockSpec {
            attention: AttentionSpec {
                d_model,
                n_heads: config.n_heads,
                dropout: config.dropout,
                qkv: (
                    initials.linear(d_model),
                    bias(d_model, config.bias && config.qkv_bias),
                ),
                output: (initials.residual(d_model), bias(d_model, config.bias)),
            },
            feed_forward: FeedForwardSpec {
                d_model,
                d_ff,
                activation: config.activation,
                up: (initials.linear(d_model), bias(d_model, config.bias)),
                down: (initials.residual(d_ff), bias(d_ff, config.bias)),
            },
            norm: config.norm,
            norm_bias: config.bias,
            dropout: config.dropout,
        };
        let embed = |name: &str, count: usize| {
            Embedding::new(&builder.at(name), [count, d_model], initials.embedding())
        };
        let learned = config.positions == PositionKind::Learned;
        Decoder {
            token_embedding: embed("token_embedding", vocab),
            position_embedding: learned.then(|| embed("position_embedding", context)),
            sinusoids: (!learned).then(|| sinusoids(context, d_model, builder.device())),
            blocks: (0..config.n_layers)
                .map(|index| TransformerBlock::new(&builder.at("blocks").at(index), block))
                .collect(),
            final_norm: (config.norm == NormKind::Pre)
                .then(|| LayerNorm::new(&builder.at("final_norm"), d_model, config.bias)),
            head: (!config.tied_head).then(|| {
                Linear::new(
                    &builder.at("head"),
                    [d_model, vocab],
                    initials.linear(d_model),
                    bias(d_model, config.head_bias),
                )
            }),
            embedding_scale: config.scale_embeddings.then(|| (d_model as f64).sqrt()),
            context_length: context,
            dropout: config.dropout,
        }
    }

    /// Longest sequence.
    pub fn context_length(&self) -> usize {
        self.context_length
    }

    pub fn set_dropout(&mut self, rate: f64) {
        self.dropout = rate;
        for block in &mut self.blocks {
            block.set_dropout(rate);
        }
    }

    /// What the output layer reads.
    ///
    /// # Shapes
    /// - tokens: `[batch, seq]` with `seq <= context_length`
    /// - output: `[batch, seq, d_model]`
    pub fn hidden(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let [_, seq] = tokens.dims();
        let mut hidden = self.embed(tokens, 0); // [batch, seq, d_model]
        let mask = causal_mask(seq, seq, &hidden.device());
        for block in &self.blocks {
            hidden = block.forward(hidden, mask.clone());
        }
        self.normalize(hidden)
    }

    /// The output layer.
    pub fn head(&self) -> Head<'_> {
        match &self.head {
            Some(head) => Head::Own(head),
            None => Head::Tied(&self.token_embedding),
        }
    }

    /// An empty cache for sequences of up to `context_length`.
    pub fn cache(&self, batch: usize, device: &Device) -> KeyValueCache {
        KeyValueCache {
            layers: self
                .blocks
                .iter()
                .map(|block| block.attention.cache(batch, self.context_length, device))
                .collect(),
            length: 0,
        }
    }

    /// Logits of the last of these tokens, which follow the positions in the cache.
    ///
    /// # Shapes
    /// - tokens: `[batch, seq]` with `cache.length() + seq <= context_length`
    /// - output: `[batch, vocab]`
    pub fn forward_cached(&self, tokens: Tensor<2, Int>, cache: &mut KeyValueCache) -> Tensor<2> {
        let [batch, seq] = tokens.dims();
        let past = cache.length;
        let mut hidden = self.embed(tokens, past); // [batch, seq, d_model]
        for (block, layer) in self.blocks.iter().zip(&mut cache.layers) {
            hidden = block.forward_cached(hidden, layer, past);
        }
        cache.length += seq;
        let last = hidden.slice(s![.., seq - 1..seq, ..]); // [batch, 1, d_model]
        let logits = self.head().logits(self.normalize(last)); // [batch, 1, vocab]
        let [_, _, vocab] = logits.dims();
        logits.reshape([batch, vocab])
    }

    /// Tokens at positions `past..past + seq` as vectors.
    fn embed(&self, tokens: Tensor<2, Int>, past: usize) -> Tensor<3> {
        let [_, seq] = tokens.dims();
        let vectors = self.token_embedding.forward(tokens); // [batch, seq, d_model]
        let vectors = match self.embedding_scale {
            Some(scale) => vectors.mul_scalar(scale),
            None => vectors,
        };
        let table = match (&self.position_embedding, &self.sinusoids) {
            (Some(learned), _) => Some(learned.weight.val()),
            (None, fixed) => fixed.clone(),
        };
        let vectors = match table {
            Some(table) => vectors + table.slice(s![past..past + seq, ..]).unsqueeze::<3>(),
            None => vectors,
        };
        dropout(vectors, self.dropout)
    }

    fn normalize(&self, hidden: Tensor<3>) -> Tensor<3> {
        match &self.final_norm {
            Some(norm) => norm.forward(hidden),
            None => hidden,
        } // [batch, seq, d_model]
    }
}

/// `model.init` as distributions.
#[derive(Debug, Clone, Copy)]
struct Initials {
    kind: InitKind,
    d_model: usize,
    n_layers: usize,
}

impl Initials {
    const STD: f64 = 0.02;

    fn new(config: &TransformerConfig) -> Self {
        Initials {
            kind: config.init,
            d_model: config.d_model,
            n_layers: config.n_layers,
        }
    }

    fn linear(self, inputs: usize) -> Initial {
        match self.kind {
            InitKind::Gpt2 | InitKind::Normal => Initial::Normal { std: Self::STD },
            InitKind::Uniform => fan_in(inputs),
        }
    }

    /// Projections that add to the residual stream, two a layer.
    fn residual(self, inputs: usize) -> Initial {
        match self.kind {
            InitKind::Gpt2 => Initial::Normal {
                std: Self::STD / (2.0 * self.n_layers as f64).sqrt(),
            },
            InitKind::Normal | InitKind::Uniform => self.linear(inputs),
        }
    }

    fn bias(self, inputs: usize) -> Initial {
        match self.kind {
            InitKind::Gpt2 | InitKind::Normal => Initial::Zeros,
            InitKind::Uniform => fan_in(inputs),
        }
    }

    fn embedding(self) -> Initial {
        let std = match self.kind {
            InitKind::Gpt2 | InitKind::Normal => Self::STD,
            InitKind::Uniform => 1.0 / (self.d_model as f64).sqrt(),
        };
        Initial::Normal { std }
    }
}
