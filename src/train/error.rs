//! Why a step, an evaluation or a restore did not happen.

use super::SEED_SCHEME;
use crate::device::DeviceFailure;
use crate::state::StateError;

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TrainError {
    /// The loss or a gradient is not a number. The step was not applied: the trainer is as it was before it.
    #[error("step {step}: {message}")]
    Diverged {
        /// The step that could not be made; the first step of a run is 1.
        step: u64,
        /// The first layer, in the order of the model, that holds the trouble.
        layer: Option<String>,
        message: String,
    },
    #[error(
        "the {part} part of the corpus has {tokens} tokens, but {needed} are needed for {what}; use a longer text, \
         a shorter model.context_length or a smaller train.batch_size"
    )]
    TooShort {
        part: &'static str,
        tokens: usize,
        needed: usize,
        what: &'static str,
    },
    /// A snapshot does not belong to this configuration.
    #[error("the snapshot does not fit this run: {0}")]
    State(#[from] StateError),
    /// A snapshot of a version that drew its batches and masks in another way.
    #[error(
        "its random numbers follow scheme {found}, this version's scheme {SEED_SCHEME}: going on would not repeat the run. \
         Start a new run from its weights with `fireside train --from`"
    )]
    SeedScheme { found: u32 },
    /// The device failed: lost, or out of memory.
    #[error(transparent)]
    Device(#[from] DeviceFailure),
}
