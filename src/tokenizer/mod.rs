//! (tokenizer: to be written)
