//! Models that leave and arrive. What needs no Python is tested without; the rest, against `transformers` itself, runs where
//! `FIRESIDE_PYTHON` (or `python3`) can import it, and says so where it cannot.

mod folders;
mod logs;
mod made;
mod place;
#[path = "../process/mod.rs"]
mod process;
mod refused;
mod runs;
mod transformers;
