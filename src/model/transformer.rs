//! Rung 4, `transformer`: the decoder of "Attention is all you need" (Vaswani et al. 2017, <https://arxiv.org/abs/1706.03762>)
//! on its own: scaled embeddings plus sinusoidal positions, post-norm blocks, ReLU, untied head by default.
//!
//! One architecture with rung 5; every difference is a config key.

pub use super::decoder::Decoder as Transformer;
