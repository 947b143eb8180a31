//! Everything that a trainer is, as plain data.

use serde::{Deserialize, Serialize};

use super::Position;
use crate::schedule::PlateauState;
use crate::state::NamedTensor;

/// A trainer between two steps. With the same configuration and data it goes on from here bit for bit.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    pub model: Vec<NamedTensor>,
    pub optimizer: Vec<NamedTensor>,
    /// Recurrent state carried into the next window; empty where none is.
    pub carried: Vec<NamedTensor>,
    pub progress: Progress,
}

/// How random numbers follow from a run's seed: windows from (seed, step, micro-batch, row), dropout from (seed, step,
/// micro-batch, layer, element), initial weights from (seed, name), all by SplitMix64. A change to any of it is another scheme.
pub const SEED_SCHEME: u32 = 1;

/// How far a run is. A snapshot without its tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// [`SEED_SCHEME`] of the version that trained it: another one would not repeat its batches.
    pub seed_scheme: u32,
    /// Optimizer steps done.
    pub step: u64,
    /// Tokens seen.
    pub tokens: u64,
    /// Seconds spent in steps.
    pub seconds: f64,
    pub position: Position,
    pub plateau: PlateauState,
    pub learning_rate_multiplier: f64,
    /// Of the last evaluation; `None` when that was not finite.
    pub val_loss: Option<f64>,
    pub best_val_loss: Option<f64>,
    /// The step at which the best was measured.
    pub best_step: Option<u64>,
    /// Evaluations since the best.
    pub evaluations_since_best: u64,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            seed_scheme: SEED_SCHEME,
            step: 0,
            tokens: 0,
            seconds: 0.0,
            position: Position::default(),
            plateau: PlateauState::default(),
            learning_rate_multiplier: 1.0,
            val_loss: None,
            best_val_loss: None,
            best_step: None,
            evaluations_since_best: 0,
        }
    }
}
