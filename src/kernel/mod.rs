//! (kernel: to be written)
