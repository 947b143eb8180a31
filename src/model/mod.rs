//! The five language models: one enum over the rungs, and what holds for all of them.
//!
//! Every model maps token ids `[batch, seq]` to logits `[batch, seq, vocab]` and never looks at a later position. Shared blocks
//! are in [`layers`]. A parameter's name is its path (`blocks.0.attention.qkv.weight`); names key checkpoints and never change.

pub mod carried;
pub mod char_rnn;
pub mod decoder;
pub mod gpt;
pub mod layers;
pub mod lstm_attention;
mod named;
mod operations;
pub mod random;
pub mod recurrent_model;
pub mod saturation;
mod size;
pub mod transformer;
pub mod word_gru;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, s};

pub use carried::CarriedState;
pub use layers::dropout::seed as seed_dropout;
pub use named::{layer_group, load_named_tensors, named_tensors};
pub use operations::training_operations;
pub use size::{memory_estimate, parameter_count};

use char_rnn::CharRnn;
use decoder::KeyValueCache;
use gpt::Gpt;
use layers::init::Builder;
use layers::loss::Head;
use lstm_attention::LstmAttention;
use transformer::Transformer;
use word_gru::WordGru;

use crate::config::{ModelConfig, ModelKind};

/// A model of any rung.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)] // one per run, never in a collection
pub enum LanguageModel {
    CharRnn(CharRnn),
    WordGru(WordGru),
    LstmAttention(LstmAttention),
    Transformer(Transformer),
    Gpt(Gpt),
}

/// What a model remembers while it generates.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant)] // one per session
pub enum Memory {
    /// Keys and values (transformers).
    Cache(KeyValueCache),
    /// Recurrent state.
    Carried(CarriedState),
}

impl LanguageModel {
    /// A model with initial weights that depend on `config` and `seed` alone.
    ///
    /// Give an autodiff device to train; `valid()` of the result evaluates and generates.
    pub fn new(config: &ModelConfig, vocab_size: usize, seed: u64, device: &Device) -> Self {
        let builder = Builder::new(seed, device);
        match config {
            ModelConfig::CharRnn(c) => {
                LanguageModel::CharRnn(CharRnn::new(c, vocab_size, &builder))
            }
            ModelConfig::WordGru(c) => {
                LanguageModel::WordGru(WordGru::new(c, vocab_size, &builder))
            }
            ModelConfig::LstmAttention(c) => {
                LanguageModel::LstmAttention(LstmAttention::new(c, vocab_size, &builder))
            }
            ModelConfig::Transformer(c) => {
                LanguageModel::Transformer(Transformer::new(c, vocab_size, &builder))
            }
            ModelConfig::Gpt(c) => LanguageModel::Gpt(Gpt::new(c, vocab_size, &builder)),
        }
    }

    pub fn kind(&self) -> ModelKind {
        match self {
            LanguageModel::CharRnn(_) => ModelKind::CharRnn,
            LanguageModel::WordGru(_) => ModelKind::WordGru,
            LanguageModel::LstmAttention(_) => ModelKind::LstmAttention,
            LanguageModel::Transformer(_) => ModelKind::Transformer,
            LanguageModel::Gpt(_) => ModelKind::Gpt,
        }
    }

    /// Number of tokens the model can tell apart.
    pub fn vocab_size(&self) -> usize {
        match self {
            LanguageModel::CharRnn(model) | LanguageModel::WordGru(model) => {
                model.head.weight.dims()[1]
            }
            LanguageModel::LstmAttention(model) => model.head.weight.dims()[1],
            LanguageModel::Transformer(model) | LanguageModel::Gpt(model) => {
                model.token_embedding.weight.dims()[0]
            }
        }
    }

    /// Where the parameters are, with autodiff if they are trained.
    pub fn device(&self) -> Device {
        match self {
            LanguageModel::CharRnn(model) | LanguageModel::WordGru(model) => {
                model.head.weight.device()
            }
            LanguageModel::LstmAttention(model) => model.head.weight.device(),
            LanguageModel::Transformer(model) | LanguageModel::Gpt(model) => {
                model.token_embedding.weight.device()
            }
        }
    }

    /// Drops this share from now on; everything else stays.
    pub fn set_dropout(&mut self, rate: f64) {
        match self {
            LanguageModel::CharRnn(model) | LanguageModel::WordGru(model) => {
                model.set_dropout(rate);
            }
            LanguageModel::LstmAttention(model) => model.set_dropout(rate),
            LanguageModel::Transformer(model) | LanguageModel::Gpt(model) => {
                model.set_dropout(rate);
            }
        }
    }

    /// Whether [`forward`](Self::forward) makes use of a carried state (the recurrent rungs do).
    pub fn supports_carried_state(&self) -> bool {
        !matches!(self, LanguageModel::Transformer(_) | LanguageModel::Gpt(_))
    }

    /// Logits, and the state after the last position. Without a state a recurrent model starts from zero; a transformer
    /// ignores it.
    ///
    /// # Shapes
    /// - tokens: `[batch, seq]`; for transformers `seq <= context_length`
    /// - output: `[batch, seq, vocab]`
    pub fn forward(
        &self,
        tokens: Tensor<2, Int>,
        state: Option<CarriedState>,
    ) -> (Tensor<3>, CarriedState) {
        let (hidden, state) = self.hidden(tokens, state);
        (self.head().logits(hidden), state)
    }

    /// What the output layer reads, `[batch, seq, width]`, and the state after the last position.
    fn hidden(
        &self,
        tokens: Tensor<2, Int>,
        state: Option<CarriedState>,
    ) -> (Tensor<3>, CarriedState) {
        let state = state.unwrap_or_default();
        match self {
            LanguageModel::CharRnn(model) | LanguageModel::WordGru(model) => {
                model.hidden(tokens, state)
            }
            LanguageModel::LstmAttention(model) => model.hidden(tokens, state),
            LanguageModel::Transformer(model) | LanguageModel::Gpt(model) => {
                (model.hidden(tokens), CarriedState::default())
            }
        }
    }

    fn head(&self) -> Head<'_> {
        match self {
            LanguageModel::CharRnn(model) | LanguageModel::WordGru(model) => model.head(),
            LanguageModel::LstmAttention(model) => model.head(),
            LanguageModel::Transformer(model) | LanguageModel::Gpt(model) => model.head(),
        }
    }

    /// Mean cross-entropy in nats per token, and the state after the last position.
    ///
    /// # Shapes
    /// - tokens, targets: `[batch, seq]`
    /// - output: `[1]`
    pub fn loss(
        &self,
        tokens: Tensor<2, Int>,
        targets: Tensor<2, Int>,
        state: Option<CarriedState>,
    ) -> (Tensor<1>, CarriedState) {
        self.smoothed_loss(tokens, targets, state, 0.0)
    }

    /// As [`loss`](Self::loss), with the targets smoothed by `label_smoothing`.
    ///
    /// # Shapes
    /// - tokens, targets: `[batch, seq]`
    /// - output: `[1]`
    pub fn smoothed_loss(
        &self,
        tokens: Tensor<2, Int>,
        targets: Tensor<2, Int>,
        state: Option<CarriedState>,
        label_smoothing: f64,
    ) -> (Tensor<1>, CarriedState) {
        let (hidden, state) = self.hidden(tokens, state);
        (self.head().loss(hidden, targets, label_smoothing), state)
    }

    /// An empty memory for `batch` sequences. Meant for a model made by `valid()`.
    pub fn memory(&self, batch: usize) -> Memory {
        match self {
            LanguageModel::Transformer(model) | LanguageModel::Gpt(model) => {
                Memory::Cache(model.cache(batch, &self.device()))
            }
            _ => Memory::Carried(CarriedState::default()),
        }
    }

    /// Logits of the last of these tokens, which follow what is in the memory.
    ///
    /// # Shapes
    /// - tokens: `[batch, seq]`, as many as the memory has room for
    /// - output: `[batch, vocab]`
    pub fn advance(&self, tokens: Tensor<2, Int>, memory: &mut Memory) -> Tensor<2> {
        match (self, memory) {
            (
                LanguageModel::Transformer(model) | LanguageModel::Gpt(model),
                Memory::Cache(cache),
            ) => model.forward_cached(tokens, cache),
            (_, memory) => {
                let state = match std::mem::replace(memory, Memory::Carried(Default::default())) {
                    Memory::Carried(state) => state,
                    // A cache belongs to a transformer: a foreign one is as good as none.
                    Memory::Cache(_) => CarriedState::default(),
                };
                let (logits, state) = self.forward(tokens, Some(state));
                *memory = Memory::Carried(state);
                let [batch, seq, vocab] = logits.dims();
                logits
                    .slice(s![.., seq - 1..seq, ..])
                    .reshape([batch, vocab])
            }
        }
    }

    /// How many more tokens the memory has room for; `None` for no limit.
    pub fn room(&self, memory: &Memory) -> Option<usize> {
        match (self, memory) {
            (
                LanguageModel::Transformer(model) | LanguageModel::Gpt(model),
                Memory::Cache(cache),
            ) => Some(model.context_length() - cache.length()),
            _ => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
