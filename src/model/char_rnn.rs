//! Rung 1, `char-rnn`: a tanh RNN over characters (Elman 1990; Mikolov et al. 2010, "Recurrent neural network based language
//! model"). It shows hidden state, truncated backpropagation and vanishing gradients.

pub use super::recurrent_model::RecurrentModel as CharRnn;
