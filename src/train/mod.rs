//! (train: to be written)
