//! `plateau`: the rate is cut by `gamma` after `patience` evaluations in a row without improvement, as
//! `torch.optim.lr_scheduler.ReduceLROnPlateau` does with `mode = "min"`, `threshold = 1e-4`,
//! `threshold_mode = "rel"`, `cooldown = 0`.

use serde::{Deserialize, Serialize};

use crate::config::ScheduleConfig;

/// An evaluation is better when it is below `best · (1 - THRESHOLD)`.
const THRESHOLD: f64 = 1e-4;
/// Cuts that would bring the rate below this share of the peak bring it to this share. Lower rates no longer move
/// float32 weights.
const MIN_SHARE: f64 = 1e-6;

/// What `plateau` remembers between evaluations. Plain data, part of a snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlateauState {
    /// Lowest validation loss that counted as an improvement.
    pub best: Option<f64>,
    /// Evaluations since then, or since the last cut.
    pub bad_evaluations: u64,
    /// Present share of the peak.
    pub share: f64,
    /// Cuts so far.
    pub cuts: u64,
}

impl Default for PlateauState {
    fn default() -> Self {
        Self {
            best: None,
            bad_evaluations: 0,
            share: 1.0,
            cuts: 0,
        }
    }
}

impl PlateauState {
    /// Takes note of an evaluation; returns true when it led to a cut. A loss that is not a number is no
    /// improvement.
    pub fn observe(&mut self, config: &ScheduleConfig, validation_loss: f64) -> bool {
        let better = match self.best {
            None => !validation_loss.is_nan(),
            Some(best) => validation_loss < best * (1.0 - THRESHOLD),
        };
        if better {
            self.best = Some(validation_loss);
            self.bad_evaluations = 0;
        } else {
            self.bad_evaluations += 1;
        }
        if self.bad_evaluations <= config.patience {
            return false;
        }
        self.bad_evaluations = 0;
        let share = (self.share * config.gamma).max(MIN_SHARE);
        let cut = share < self.share;
        if cut {
            self.share = share;
            self.cuts += 1;
        }
        cut
    }
}

/// Share of the peak.
pub(super) fn share(state: &PlateauState) -> f64 {
    state.share
}
