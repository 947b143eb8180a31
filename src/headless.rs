//! (headless: to be written)
