//! (inspect: to be written)
