//! The architecture of rungs 1 and 2: embedding or one-hot input, stacked recurrent layers, linear head.

use burn::module::Module;
use burn::tensor::{Int, Tensor};

use super::carried::CarriedState;
use super::layers::embedding::Embedding;
use super::layers::init::{Builder, fan_in};
use super::layers::linear::Linear;
use super::layers::loss::Head;
use super::layers::recurrent::Recurrent;
use super::layers::recurrent_stack::{self, StackSpec};
use crate::config::RecurrentConfig;

/// Dropout after each recurrent layer: between layers, and before the head.
#[derive(Module, Debug)]
pub struct RecurrentModel {
    /// None with one-hot input: the first layer's weight is then the table.
    pub embedding: Option<Embedding>,
    pub layers: Vec<Recurrent>,
    pub head: Linear,
    #[module(skip)]
    dropout: f64,
}

impl RecurrentModel {
    pub fn new(config: &RecurrentConfig, vocab: usize, builder: &Builder) -> Self {
        let (embedding, layers) = recurrent_stack::build(
            builder,
            StackSpec {
                vocab,
                input: config.input,
                cell: config.cell,
                d_embedding: config.d_embedding,
                hidden: config.hidden_size,
                n_layers: config.n_layers,
            },
        );
        let initial = fan_in(config.hidden_size);
        RecurrentModel {
            embedding,
            layers,
            head: Linear::new(
                &builder.at("head"),
                [config.hidden_size, vocab],
                initial,
                Some(initial),
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
        let carried = CarriedState {
            layers,
            memory: None,
        };
        (hidden, carried)
    }

    /// The output layer.
    pub fn head(&self) -> Head<'_> {
        Head::Own(&self.head)
    }
}
