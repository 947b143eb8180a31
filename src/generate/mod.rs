//! (generate: to be written)
