//! Blocks that the five models share.
//!
//! Each operation that a hand-written kernel may replace stands behind one function: [`transformer_block::TransformerBlock::forward`],
//! [`layer_norm::normalize`], [`loss::Head::loss`], [`recurrent::run_sequence`],
//! [`activation::linear_activation`], [`past_attention::PastAttention`].

pub mod activation;
pub mod causal_attention;
pub mod dropout;
pub mod embedding;
pub mod feed_forward;
pub mod init;
pub mod layer_norm;
pub mod linear;
pub mod loss;
pub mod past_attention;
pub mod positions;
pub mod recurrent;
pub mod recurrent_stack;
pub mod transformer_block;
