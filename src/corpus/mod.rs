//! (corpus: to be written)
