//! Training, one optimizer step at a time. No events, no terminal, no files: [`Trainer`] is driven from outside,
//! and its CPU threads only share out the arithmetic.
//!
//! - `batch`: which windows of the text a step sees; `ahead`: how they are read before they are needed.
//! - `evaluate`: which windows an evaluation sees, and what their loss is.
//! - `trainer`: [`Trainer`]: step, evaluate, health.
//! - `pool`: the CPU threads of a trainer.
//! - `range_test`: which learning rate a range test finds.
//! - `snapshot`: everything that a trainer is, as plain data, and back.
//!
//! # Randomness
//! A step draws nothing from a generator that lives on. Windows are a function of (run seed, step, batch within the
//! step, row), and dropout is seeded before every forward pass from (run seed, step, batch). So a run that goes on
//! from a snapshot repeats the uninterrupted run bit for bit on the same device. On the CPU dropout counts on the
//! thread that steps; on a GPU it uses the device's generator, which all trainers of a process share.

mod ahead;
mod batch;
mod error;
mod evaluate;
mod health;
mod pool;
mod range_test;
mod snapshot;
mod trainer;

pub use batch::{Batch, BatchSource, Position};
pub use error::TrainError;
pub use evaluate::{Evaluation, Window, bits_per_byte, perplexity, windows};
pub use range_test::{Ending, RangeTest};
pub use snapshot::{Progress, SEED_SCHEME, Snapshot};
pub use trainer::{Counts, Reconfigured, Trainer, TrainerSetup};

#[cfg(test)]
mod tests;
