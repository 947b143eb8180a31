//! Generation on the CPU without the framework: weights as plain slices, one token costs one pass over them.
//!
//! A tensor operation costs microseconds before it computes anything, and a token of a small model takes some fifty of them.
//! Here a model's weights are laid out once for products of a matrix and few vectors (`matrix`), and tokens are read by
//! `decoder` (rungs 4 and 5) and `recurrent` (rungs 1 to 3). The logits are those of the model's forward pass up to rounding;
//! `tests` holds them to 1e-5 at every position, for every rung and variant.
//!
//! Every row of a batch is computed by the same operations in the same order, whatever else is in the batch and however many
//! threads there are: a text does not depend on what it is generated beside.

mod decoder;
mod math;
mod matrix;
mod recurrent;

use burn::module::Param;
use burn::tensor::Tensor;

use crate::kernel;
use crate::kernel::cpu::team::Team;
use crate::model::LanguageModel;

/// The weights of a model, ready to read tokens with.
#[derive(Debug)]
pub enum Weights {
    Decoder(decoder::Decoder),
    Recurrent(recurrent::Recurrent),
}

/// What one sequence has read.
#[derive(Debug, Clone)]
pub enum State {
    Cache(decoder::Cache),
    Carried(recurrent::Carried),
}

impl Weights {
    /// The weights of a model that lies on the CPU; none of one that lies elsewhere, or while kernels are switched off.
    pub fn of(model: &LanguageModel) -> Option<Self> {
        match model {
            LanguageModel::Transformer(model) | LanguageModel::Gpt(model) => {
                takes(&model.token_embedding.weight)
                    .then(|| Weights::Decoder(decoder::Decoder::of(model)))
            }
            LanguageModel::CharRnn(model) | LanguageModel::WordGru(model) => {
                takes(&model.head.weight)
                    .then(|| Weights::Recurrent(recurrent::Recurrent::of(model)))
            }
            LanguageModel::LstmAttention(model) => takes(&model.head.weight)
                .then(|| Weights::Recurrent(recurrent::Recurrent::of_attentive(model))),
        }
    }

    /// Before the first token.
    pub fn state(&self) -> State {
        match self {
            Weights::Decoder(weights) => State::Cache(weights.cache()),
            Weights::Recurrent(weights) => State::Carried(weights.state()),
        }
    }

    /// How many more tokens a state has room for; `None` for no limit.
    pub fn room(&self, state: &State) -> Option<usize> {
        match (self, state) {
            (Weights::Decoder(weights), State::Cache(cache)) => {
                Some(weights.context_length() - cache.length())
            }
            _ => None,
        }
    }

    /// Reads `tokens[i]` into `states[i]` and returns the logits of what follows: `[sequences][vocab]`. Each sequence reads at
    /// least one token and no more than its state has room for. The logits do not depend on how many are in the team.
    pub fn read(
        &self,
        states: &mut [State],
        tokens: &[Vec<u32>],
        team: &mut Team,
    ) -> Vec<Vec<f32>> {
        match self {
            Weights::Decoder(weights) => {
                let mut caches: Vec<&mut decoder::Cache> = states
                    .iter_mut()
                    .filter_map(|state| match state {
                        State::Cache(cache) => Some(cache),
                        State::Carried(_) => None,
                    })
                    .collect();
                weights.read(&mut caches, tokens, team)
            }
            Weights::Recurrent(weights) => {
                let mut carried: Vec<&mut recurrent::Carried> = states
                    .iter_mut()
                    .filter_map(|state| match state {
                        State::Carried(carried) => Some(carried),
                        State::Cache(_) => None,
                    })
                    .collect();
                weights.read(&mut carried, tokens, team)
            }
        }
    }
}

fn takes(weight: &Param<Tensor<2>>) -> bool {
    kernel::takes(&weight.val())
}

/// The values of a parameter.
fn values<const D: usize>(parameter: &Param<Tensor<D>>) -> Vec<f32> {
    tensor_values(parameter.val())
}

fn tensor_values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor
        .detach()
        .into_data()
        .try_into_vec::<f32>()
        .expect("parameters are float32 on every backend of this program")
}

#[cfg(test)]
mod tests;
