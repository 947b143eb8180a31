//! (preview: to be written)
