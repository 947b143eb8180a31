//! Rung 2, `word-gru`: dense word embeddings into gated recurrent layers (Cho et al. 2014, <https://arxiv.org/abs/1406.1078>).
//!
//! The same architecture as rung 1 with other defaults: the cell, the input and the tokenizer are config keys of both.

pub use super::recurrent_model::RecurrentModel as WordGru;
