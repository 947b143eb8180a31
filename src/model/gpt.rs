//! Rung 5, `gpt`: the recipe of GPT-2 (Radford et al. 2019, "Language models are unsupervised multitask learners"): learned
//! positions, pre-norm blocks with a final norm, GELU, tied head, and initial weights N(0, 0.02²) with the residual projections
//! scaled by 1/sqrt(2·n_layers).

pub use super::decoder::Decoder as Gpt;
