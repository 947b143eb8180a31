//! How much arithmetic a model's definition asks for, from its configuration alone.

use super::decoder::feed_forward_width;
use super::layers::recurrent::gates;
use crate::config::{
    AttentiveConfig, CellKind, InputKind, ModelConfig, RecurrentConfig, ScoreKind,
    TransformerConfig,
};

/// Multiplications and additions of the matrix products of one training step, per token: the forward pass, and twice as much for the
/// backward pass. Attention counts the positions it may see, on average over a window. Everything that is not a product of
/// matrices is left out, as is what an implementation computes twice.
pub fn training_operations(config: &ModelConfig, vocab_size: usize) -> u64 {
    let vocab = vocab_size as u64;
    let weights = match config {
        ModelConfig::CharRnn(c) | ModelConfig::WordGru(c) => {
            let RecurrentConfig {
                input,
                cell,
                d_embedding,
                hidden_size,
                n_layers,
                ..
            } = c;
            let sizes = [*d_embedding, *hidden_size, *n_layers];
            stack(*input, *cell, sizes) + *hidden_size as u64 * vocab
        }
        ModelConfig::LstmAttention(c) => attentive(c) + c.hidden_size as u64 * vocab,
        ModelConfig::Transformer(c) | ModelConfig::Gpt(c) => decoder(c) + c.d_model as u64 * vocab,
    };
    // A multiplication and an addition each, forward and twice backward.
    6 * weights
}

/// Multiplications per token of the recurrent layers. One-hot input picks rows and multiplies nothing.
fn stack(input: InputKind, cell: CellKind, [embedding, hidden, layers]: [usize; 3]) -> u64 {
    let first = match input {
        InputKind::Embedding => embedding,
        InputKind::OneHot => 0,
    };
    let width = gates(cell) * hidden;
    ((first + hidden + (layers - 1) * 2 * hidden) * width) as u64
}

/// Positions that a position sees, on average over a window.
fn seen(context: usize) -> u64 {
    (context as u64).div_ceil(2)
}

fn attentive(c: &AttentiveConfig) -> u64 {
    let (hidden, width) = (c.hidden_size as u64, c.d_attention as u64);
    let pairs = seen(c.context_length);
    let score = match c.score {
        ScoreKind::Additive => 2 * hidden * width + pairs * width,
        ScoreKind::Dot | ScoreKind::ScaledDot => pairs * hidden,
    };
    let sizes = [c.d_embedding, c.hidden_size, c.n_layers];
    stack(c.input, c.cell, sizes) + score + pairs * hidden + 2 * hidden * hidden
}

fn decoder(c: &TransformerConfig) -> u64 {
    let d = c.d_model as u64;
    let layer = 4 * d * d + 2 * d * feed_forward_width(c) as u64 + 2 * d * seen(c.context_length);
    c.n_layers as u64 * layer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Source};

    fn operations(preset: &str, vocab: usize, sets: &[&str]) -> u64 {
        let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
        let config = config::load(Source::Preset(preset.to_string()), &sets).expect("valid");
        training_operations(&config.model, vocab)
    }

    /// nanoGPT's CPU recipe: 12 windows of 64 tokens, 0.8 M parameters in matrices. 6 operations a parameter and token, and
    /// the attention's products.
    #[test]
    fn nanogpt() {
        let sets = [
            "model.d_model=128",
            "model.n_heads=4",
            "model.n_layers=4",
            "model.context_length=64",
        ];
        let expected = 6 * (4 * (12 * 128 * 128 + 2 * 128 * 32) + 128 * 65);
        assert_eq!(operations("gpt", 65, &sets), expected);
    }

    #[test]
    fn recurrent_models() {
        let embedded = [
            "model.input=embedding",
            "model.d_embedding=10",
            "model.hidden_size=20",
            "model.n_layers=2",
        ];
        let gru = 6 * (30 * 60 + 40 * 60 + 20 * 100);
        assert_eq!(operations("word-gru", 100, &embedded), gru);
        let one_hot = [
            "model.input=one-hot",
            "model.hidden_size=20",
            "model.n_layers=1",
        ];
        assert_eq!(operations("char-rnn", 65, &one_hot), 6 * (400 + 20 * 65));
    }
}
