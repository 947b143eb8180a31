//! How [`Trainer`] answers what the training thread asks.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::{DriveError, Driver, DriverFactory, DriverSetup};
use crate::config::RunConfig;
use crate::model::LanguageModel;
use crate::protocol::{EvalReport, LayerHealth, SchedulePoint, StepReport};
use crate::run::checkpoint::Checkpoint;
use crate::train::{Counts, Reconfigured, Snapshot, TrainError, Trainer, TrainerSetup};

/// Points of the schedule that the screens draw.
const SCHEDULE_POINTS: usize = 400;

/// Makes real trainers.
pub(crate) fn factory() -> DriverFactory {
    Arc::new(|setup: DriverSetup| {
        let trainer = Trainer::new(TrainerSetup {
            config: setup.config,
            dataset: setup.dataset,
            vocab_size: setup.vocab_size,
            device: setup.device,
        })?;
        Ok(Box::new(trainer) as Box<dyn Driver>)
    })
}

impl From<TrainError> for DriveError {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Diverged {
                step,
                layer,
                message,
            } => DriveError::Diverged {
                step,
                layer,
                message,
            },
            other => DriveError::Failed(other.to_string()),
        }
    }
}

impl Driver for Trainer {
    fn steps_done(&self) -> u64 {
        self.step_count()
    }

    fn seconds(&self) -> f64 {
        self.progress().seconds
    }

    fn parameters(&self) -> u64 {
        Trainer::parameters(self)
    }

    fn step(&mut self) -> Result<StepReport, DriveError> {
        Ok(Trainer::step(self)?)
    }

    fn evaluate(
        &mut self,
        counts: Counts,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Option<EvalReport>, DriveError> {
        Ok(self.evaluate_as(counts, stop, progress)?)
    }

    fn measure_health(&mut self) {
        Trainer::measure_health(self);
    }

    fn health(&self) -> Option<(u64, Vec<LayerHealth>)> {
        Trainer::health(self).map(|(step, layers)| (step, layers.to_vec()))
    }

    fn model(&self) -> &LanguageModel {
        Trainer::model(self)
    }

    fn learning_rate_multiplier(&self) -> f64 {
        self.progress().learning_rate_multiplier
    }

    fn set_learning_rate_multiplier(&mut self, multiplier: f64) {
        Trainer::set_learning_rate_multiplier(self, multiplier);
    }

    fn reconfigure(&mut self, config: &RunConfig) -> Result<Reconfigured, DriveError> {
        Ok(Trainer::reconfigure(self, config)?)
    }

    fn skip_step(&mut self) -> Option<StepReport> {
        Trainer::skip_step(self)
    }

    fn schedule(&self) -> Vec<SchedulePoint> {
        self.schedule_points(SCHEDULE_POINTS)
    }

    fn snapshot(&self) -> Result<Checkpoint, DriveError> {
        let snapshot = Trainer::snapshot(self)?;
        let state = serde_json::to_value(&snapshot.progress)
            .map_err(|error| DriveError::Failed(error.to_string()))?;
        Ok(Checkpoint {
            model: snapshot.model,
            optimizer: snapshot.optimizer,
            carried: snapshot.carried,
            state,
        })
    }

    fn restore(&mut self, config: &RunConfig, checkpoint: Checkpoint) -> Result<(), DriveError> {
        let progress = serde_json::from_value(checkpoint.state)
            .map_err(|error| DriveError::Failed(format!("its state cannot be read: {error}")))?;
        let snapshot = Snapshot {
            model: checkpoint.model,
            optimizer: checkpoint.optimizer,
            carried: checkpoint.carried,
            progress,
        };
        Ok(self.restore_with(config, &snapshot)?)
    }
}
