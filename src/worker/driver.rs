//! What the training thread asks of a trainer: an interface, so that tests can put in one that fails.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::config::RunConfig;
use crate::data::Dataset;
use crate::model::LanguageModel;
use crate::protocol::{EvalReport, LayerHealth, SchedulePoint, StepReport};
use crate::run::checkpoint::Checkpoint;
use crate::train::{Counts, Reconfigured};

/// Why a step or an evaluation did not happen.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DriveError {
    /// The loss is no longer a number. The step was not applied.
    #[error("{message}")]
    Diverged {
        step: u64,
        layer: Option<String>,
        message: String,
    },
    #[error("{0}")]
    Failed(String),
}

/// A trainer at work. No threads, no terminal.
pub trait Driver {
    /// Steps finished.
    fn steps_done(&self) -> u64;
    /// Seconds of training so far.
    fn seconds(&self) -> f64;
    fn parameters(&self) -> u64;
    fn step(&mut self) -> Result<StepReport, DriveError>;
    /// `None` when `stop` cut it short.
    fn evaluate(
        &mut self,
        counts: Counts,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Option<EvalReport>, DriveError>;
    /// Measures the norms of the next step.
    fn measure_health(&mut self);
    /// What was measured last, and at which step.
    fn health(&self) -> Option<(u64, Vec<LayerHealth>)>;
    fn model(&self) -> &LanguageModel;
    fn learning_rate_multiplier(&self) -> f64;
    fn set_learning_rate_multiplier(&mut self, multiplier: f64);
    /// Goes on with another configuration of the same run. After an error nothing has changed.
    fn reconfigure(&mut self, config: &RunConfig) -> Result<Reconfigured, DriveError>;
    /// Leaves out the step that has just diverged: it counts, the weights stay. `None` where none has.
    fn skip_step(&mut self) -> Option<StepReport>;
    fn schedule(&self) -> Vec<SchedulePoint>;
    /// A copy of everything, as plain data; `state` is the trainer's own part.
    fn snapshot(&self) -> Result<Checkpoint, DriveError>;
    /// Goes to where a checkpoint was taken, with the configuration that was in force there. After an error nothing has
    /// changed, unless the device failed.
    fn restore(&mut self, config: &RunConfig, checkpoint: Checkpoint) -> Result<(), DriveError>;
}

/// What a trainer is made from.
#[derive(Debug)]
pub struct DriverSetup {
    pub config: RunConfig,
    pub dataset: Arc<Dataset>,
    pub vocab_size: usize,
    pub device: burn::tensor::Device,
}

/// Makes trainers.
pub type DriverFactory =
    Arc<dyn Fn(DriverSetup) -> Result<Box<dyn Driver>, DriveError> + Send + Sync>;
