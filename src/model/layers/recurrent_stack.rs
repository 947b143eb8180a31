//! What the three recurrent rungs share: input, stacked recurrent layers, dropout.

use burn::tensor::{Int, Tensor};

use super::dropout::dropout;
use super::embedding::Embedding;
use super::init::{Builder, Initial};
use super::recurrent::{Input, LayerState, Recurrent};
use crate::config::{CellKind, InputKind};
use crate::model::saturation::{Place, observe};

/// What a stack is made of.
#[derive(Debug, Clone, Copy)]
pub struct StackSpec {
    pub vocab: usize,
    pub input: InputKind,
    pub cell: CellKind,
    pub d_embedding: usize,
    pub hidden: usize,
    pub n_layers: usize,
}

/// Builds the embedding (none for one-hot input; N(0, 1) as PyTorch's `nn.Embedding`) and the layers.
pub fn build(builder: &Builder, spec: StackSpec) -> (Option<Embedding>, Vec<Recurrent>) {
    let embedding = (spec.input == InputKind::Embedding).then(|| {
        Embedding::new(
            &builder.at("embedding"),
            [spec.vocab, spec.d_embedding],
            Initial::Normal { std: 1.0 },
        )
    });
    let layers = (0..spec.n_layers)
        .map(|index| {
            let inputs = match (index, spec.input) {
                (0, InputKind::OneHot) => spec.vocab,
                (0, InputKind::Embedding) => spec.d_embedding,
                _ => spec.hidden,
            };
            Recurrent::new(
                &builder.at("layers").at(index),
                [inputs, spec.hidden],
                spec.cell,
            )
        })
        .collect();
    (embedding, layers)
}

/// Runs all layers, with dropout after every layer: between layers as PyTorch's modules do, and before whatever reads the last one.
///
/// # Shapes
/// - tokens: `[batch, seq]`
/// - state: one per layer, or none for zero
/// - output: `[batch, seq, hidden]` and one state per layer
pub fn run(
    embedding: Option<&Embedding>,
    layers: &[Recurrent],
    rate: f64,
    tokens: Tensor<2, Int>,
    state: Vec<LayerState>,
) -> (Tensor<3>, Vec<LayerState>) {
    let mut input = match embedding {
        Some(embedding) => Input::Vectors(embedding.forward(tokens)),
        None => Input::OneHot(tokens),
    };
    let mut state = state.into_iter();
    let mut carried = Vec::with_capacity(layers.len());
    for layer in layers {
        let (output, after) = layer.forward(input, state.next());
        observe(Place::Recurrent, &output);
        carried.push(after);
        input = Input::Vectors(dropout(output, rate));
    }
    match input {
        Input::Vectors(output) => (output, carried),
        Input::OneHot(_) => unreachable!("n_layers is at least 1"),
    }
}
