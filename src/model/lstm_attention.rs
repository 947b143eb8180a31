//! Rung 3, `lstm-attention`: LSTM layers whose output attends over the hidden states so far (never the future).
//!
//! Attention reaches back over the last `context_length` hidden states, the position's own included. Within a window that
//! starts from nothing this is plain causal attention; carried from window to window, and while generating, it slides.

use burn::module::Module;
use burn::tensor::{Int, Tensor};

use super::carried::CarriedState;
use super::layers::embedding::Embedding;
use super::layers::init::{Builder, fan_in};
use super::layers::linear::Linear;
use super::layers::loss::Head;
use super::layers::past_attention::PastAttention;
use super::layers::recurrent::Recurrent;
use super::layers::recurrent_stack::{self, StackSpec};
use crate::config::AttentiveConfig;

/// `logits = head(tanh(W[hidden; context]))`. Dropout after each recurrent layer.
#[derive(Module, Debug)]
pub struct LstmAttention {
    /// None with one-hot input.
    pub embedding: Option<Embedding>,
    pub layers: Vec<Recurrent>,
    pub attention: PastAttention,
    pub head: Linear,
    #[module(skip)]
    dropout: f64,
}

impl LstmAttention {
    pub fn new(config: &AttentiveConfig, vocab: usize, builder: &Builder) -> Self {
        let hidden = config.hidden_size;
        let (embedding, layers) = recurrent_stack::build(
            builder,
            StackSpec {
                vocab,
                input: config.input,
                cell: config.cell,
                d_embedding: config.d_embedding,
                hidden,
                n_layers: config.n_layers,
            },
        );
        LstmAttention {
            embedding,
            layers,
            attention: PastAttention::new(
                &builder.at("attention"),
                hidden,
                config.d_attention,
                config.score,
                config.context_length,
            ),
            head: Linear::new(
                &builder.at("head"),
                [hidden, vocab],
                fan_in(hidden),
                Some(fan_in(hidden)),
            ),
            dropout: config.dropout,
        }
    }

    pub fn set_dropout(&mut self, rate: f64) {
        self.dropout = rate;
    }

    /// What the output layer reads.
    ///
    /// # Shapes
    /// - tokens: `[batch, seq]`
    /// - output: `[batch, seq, hidden]`
    pub fn hidden(&self, tokens: Tensor<2, Int>, state: CarriedState) -> (Tensor<3>, CarriedState) {
        let (hidden, layers) = recurrent_stack::run(
            self.embedding.as_ref(),
            &self.layers,
            self.dropout,
            tokens,
            state.layers,
        ); // [batch, seq, hidden]
        let (attended, memory) = self.attention.forward(hidden, state.memory); // [batch, seq, hidden]
        (attended, CarriedState { layers, memory })
    }

    /// The output layer.
    pub fn head(&self) -> Head<'_> {
        Head::Own(&self.head)
    }
}
