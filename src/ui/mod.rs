//! (ui: to be written)
