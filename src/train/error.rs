//! Why a step, an evaluation or a restore did not happen.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::{Device, ExecutionError};

use crate::optim::runs_on_host;
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
    /// The device failed: lost, or out of memory.
    #[error("the device failed: {0}")]
    Device(String),
}

impl From<ExecutionError> for TrainError {
    fn from(error: ExecutionError) -> Self {
        TrainError::Device(error.to_string())
    }
}

/// Runs `work` on `device`. The layers under the tensors panic where a GPU is lost or has no memory left: that is a
/// failure of the device. On the CPU a panic is a defect and goes on.
pub(super) fn guarded<T>(
    device: &Device,
    work: impl FnOnce() -> Result<T, TrainError>,
) -> Result<T, TrainError> {
    if runs_on_host(device) {
        work()
    } else {
        caught(work)
    }
}

fn caught<T>(work: impl FnOnce() -> Result<T, TrainError>) -> Result<T, TrainError> {
    // What is behind the borrow may be half changed; after `Device` nobody goes on with it.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let words = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        Err(TrainError::Device(
            words.unwrap_or("it gave no reason").to_string(),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_device_is_an_error_with_its_words() {
        let lost = |number: u32| -> Result<(), TrainError> { panic!("lost {number}") };
        assert_eq!(
            caught(|| lost(3)).unwrap_err().to_string(),
            "the device failed: lost 3"
        );
        let full = || -> Result<(), TrainError> { panic!("no memory left") };
        assert_eq!(
            caught(full),
            Err(TrainError::Device("no memory left".to_string()))
        );
        assert_eq!(caught(|| Ok(7)), Ok(7));
    }
}
