//! How many parameters a model has and how much memory training it takes, from its configuration alone.

use super::decoder::feed_forward_width;
use super::layers::recurrent::gates;
use crate::config::{
    AttentiveConfig, CellKind, InputKind, ModelConfig, NormKind, OptimizerKind, PositionKind,
    RecurrentConfig, RunConfig, ScoreKind, TransformerConfig,
};

/// Number of trainable numbers; a tied head counts once.
pub fn parameter_count(config: &ModelConfig, vocab_size: usize) -> u64 {
    let vocab = vocab_size as u64;
    match config {
        ModelConfig::CharRnn(c) | ModelConfig::WordGru(c) => {
            Stack::from(c).parameters(vocab) + affine(c.hidden_size as u64, vocab, true)
        }
        ModelConfig::LstmAttention(c) => {
            let hidden = c.hidden_size as u64;
            let width = c.d_attention as u64;
            let score = match c.score {
                ScoreKind::Additive => 2 * hidden * width + 2 * width,
                ScoreKind::Dot | ScoreKind::ScaledDot => 0,
            };
            Stack::from(c).parameters(vocab)
                + score
                + affine(2 * hidden, hidden, true)
                + affine(hidden, vocab, true)
        }
        ModelConfig::Transformer(c) | ModelConfig::Gpt(c) => decoder_parameters(c, vocab),
    }
}

fn affine(inputs: u64, outputs: u64, bias: bool) -> u64 {
    inputs * outputs + if bias { outputs } else { 0 }
}

fn decoder_parameters(c: &TransformerConfig, vocab: u64) -> u64 {
    let d = c.d_model as u64;
    let d_ff = feed_forward_width(c) as u64;
    let norm = if c.bias { 2 * d } else { d };
    let block = affine(d, 3 * d, c.bias && c.qkv_bias)
        + affine(d, d, c.bias)
        + affine(d, d_ff, c.bias)
        + affine(d_ff, d, c.bias)
        + 2 * norm;
    let positions = match c.positions {
        PositionKind::Learned => c.context_length as u64 * d,
        PositionKind::Sinusoidal => 0,
    };
    let final_norm = match c.norm {
        NormKind::Pre => norm,
        NormKind::Post => 0,
    };
    let head = match c.tied_head {
        true => 0,
        false => affine(d, vocab, c.head_bias),
    };
    vocab * d + positions + c.n_layers as u64 * block + final_norm + head
}

/// The recurrent part of rungs 1 to 3.
struct Stack {
    input: InputKind,
    cell: CellKind,
    embedding: u64,
    hidden: u64,
    layers: u64,
}

impl From<&RecurrentConfig> for Stack {
    fn from(c: &RecurrentConfig) -> Self {
        Stack {
            input: c.input,
            cell: c.cell,
            embedding: c.d_embedding as u64,
            hidden: c.hidden_size as u64,
            layers: c.n_layers as u64,
        }
    }
}

impl From<&AttentiveConfig> for Stack {
    fn from(c: &AttentiveConfig) -> Self {
        Stack {
            input: c.input,
            cell: c.cell,
            embedding: c.d_embedding as u64,
            hidden: c.hidden_size as u64,
            layers: c.n_layers as u64,
        }
    }
}

impl Stack {
    fn parameters(&self, vocab: u64) -> u64 {
        let (table, first) = match self.input {
            InputKind::Embedding => (vocab * self.embedding, self.embedding),
            InputKind::OneHot => (0, vocab),
        };
        let width = gates(self.cell) as u64 * self.hidden;
        let layer = |inputs: u64| (inputs + self.hidden) * width + 2 * width;
        table + layer(first) + (self.layers - 1) * layer(self.hidden)
    }

    /// Numbers kept for the backward pass, per token.
    fn activations(&self, kernels: bool) -> u64 {
        let width = gates(self.cell) as u64 * self.hidden;
        let layer = match kernels {
            // Projection, gates, the gradient of the projection; states and their gradient.
            true => 4 * width + 3 * self.hidden,
            // Projection, its halves and slices, gates, states and their products.
            false => 5 * width + 8 * self.hidden,
        };
        self.embedding + self.layers * layer
    }
}

/// Whether the kernels will run this: they belong to the flex backend.
fn runs_on_kernels(device: &str) -> bool {
    let gpu = cfg!(any(feature = "cuda", feature = "wgpu", feature = "vulkan"));
    cfg!(feature = "flex") && (device == "flex" || device == "auto" && !gpu)
}

/// Bytes that training takes at its peak: parameters, gradients, optimizer moments, what the backward pass needs of one
/// forward pass (attention matrices and logits among it), in float32. A reckoning, not a measurement: right within a factor
/// of about two on the CPU backends. With kernels (flex) little is kept besides the inputs of the layers; composed operations keep theirs.
pub fn memory_estimate(config: &RunConfig, vocab_size: usize) -> u64 {
    let parameters = parameter_count(&config.model, vocab_size);
    let moments = match config.optimizer.kind {
        OptimizerKind::Sgd if config.optimizer.momentum > 0.0 => 1,
        OptimizerKind::Sgd => 0,
        OptimizerKind::Adam | OptimizerKind::AdamW => 2,
    };
    // While a step is applied the old and the new of one tensor coexist: one more copy of the largest.
    let weights = parameters * (2 + moments) + parameters / 2;
    let batch = config.train.batch_size as u64;
    let seq = config.model.context_length() as u64;
    let vocab = vocab_size as u64;
    let tokens = batch * seq;
    let kernels = runs_on_kernels(&config.device);
    let head = match kernels {
        // One chunk of logits: see `kernel::cpu::head`.
        true => (tokens * vocab).min((1 << 21).max(128 * vocab)),
        // Logits, their shifted copy, its exponential, and the gradients of two of them.
        false => 4 * tokens * vocab,
    };
    let body = match &config.model {
        ModelConfig::CharRnn(c) | ModelConfig::WordGru(c) => {
            tokens * Stack::from(c).activations(kernels)
        }
        ModelConfig::LstmAttention(c) => {
            let hidden = c.hidden_size as u64;
            let pairs = batch * seq * seq;
            let scores = match c.score {
                // Never kept.
                ScoreKind::Additive if kernels => 0,
                // The upper triangle is skipped: a little more than half of all pairs, kept as sum, sigmoid and tanh.
                ScoreKind::Additive => pairs * c.d_attention as u64 * 2 + 4 * pairs,
                ScoreKind::Dot | ScoreKind::ScaledDot => 5 * pairs,
            };
            tokens * (Stack::from(c).activations(kernels) + 8 * hidden) + scores
        }
        ModelConfig::Transformer(c) | ModelConfig::Gpt(c) => {
            let d = c.d_model as u64;
            let d_ff = feed_forward_width(c) as u64;
            let heads = c.n_heads as u64;
            let dropped = u64::from(c.dropout > 0.0);
            let pairs = batch * heads * seq * seq;
            let layer = match kernels {
                // Inputs of both norms, of all four linear layers and of the attention; of the activation, input and output.
                true => tokens * ((9 + 2 * dropped) * d + 2 * d_ff),
                false => tokens * ((16 + 2 * dropped) * d + 5 * d_ff) + (4 + 2 * dropped) * pairs,
            };
            tokens * 2 * d + c.n_layers as u64 * layer
        }
    };
    // Freed blocks that the allocator has not given back: measured at about half of what is in use.
    4 * (weights + (head + body) * 3 / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Source};

    fn megabytes(sets: &[&str], vocab_size: usize) -> f64 {
        let plain = ["optimizer.kind=sgd", "optimizer.momentum=0"];
        let sets: Vec<String> = sets
            .iter()
            .chain(&plain)
            .map(|set| set.to_string())
            .collect();
        let config = config::load(Source::Defaults, &sets).expect("the settings fit together");
        memory_estimate(&config, vocab_size) as f64 / 1e6
    }

    /// Growth of the peak resident memory (VmHWM, with mimalloc, on flex and two threads) over a few steps of plain SGD, in
    /// the settings of the ladder's benchmark, with kernels and without. The estimate answers "will it fit": it may be off by a
    /// factor of two.
    #[test]
    fn estimate_is_within_a_factor_of_two_of_measured_peaks() {
        let decoder = [
            "model.context_length=64",
            "model.d_model=128",
            "model.n_heads=4",
            "model.n_layers=4",
            "model.d_ff=512",
            "model.dropout=0",
        ];
        let recurrent = [
            "model.input=embedding",
            "model.d_embedding=256",
            "model.hidden_size=256",
            "model.n_layers=1",
            "train.batch_size=32",
        ];
        type Setting<'a> = (&'a [&'a str], &'a [&'a str], usize, [f64; 2]);
        let rows: [Setting; 5] = [
            (
                &["model.kind=gpt", "train.batch_size=12"],
                &decoder,
                65,
                [86.0, 116.0],
            ),
            (
                &["model.kind=transformer", "train.batch_size=32"],
                &decoder,
                10_000,
                [131.0, 600.0],
            ),
            (
                &["model.kind=char-rnn", "model.context_length=128"],
                &recurrent,
                65,
                [48.0, 114.0],
            ),
            (
                &["model.kind=word-gru", "model.context_length=64"],
                &recurrent,
                10_000,
                [89.0, 970.0],
            ),
            (
                &[
                    "model.kind=lstm-attention",
                    "model.context_length=64",
                    "model.score=additive",
                    "model.d_attention=256",
                ],
                &recurrent,
                10_000,
                [105.0, 1050.0],
            ),
        ];
        for (kind, shape, vocab_size, measured) in rows {
            // Other CPU backends run the composed forms.
            for (device, measured) in ["device=flex", "device=ndarray"].iter().zip(measured) {
                let estimate = megabytes(&[kind, shape, &[device]].concat(), vocab_size);
                let ratio = estimate / measured;
                assert!(
                    (0.5..=2.0).contains(&ratio),
                    "{kind:?} {device}: {estimate} MB, measured {measured} MB"
                );
            }
        }
    }
}
