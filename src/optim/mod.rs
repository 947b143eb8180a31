//! (optim: to be written)
