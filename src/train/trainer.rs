//! [`Trainer`]: a model, its optimizer and its place in the data; how it is made, changed, saved and put back.
//!
//! - `step`: one optimizer step, and its health.
//! - `evaluation`: the losses of both parts of the corpus.

mod evaluation;
mod step;

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Device;

use super::batch::BatchSource;
use super::pool::Pool;
use super::{Progress, SEED_SCHEME, Snapshot, TrainError};
use crate::config::{BatchingKind, RunConfig};
use crate::data::Dataset;
use crate::device::{DeviceFailure, guarded};
use crate::model::{CarriedState, LanguageModel, load_named_tensors, named_tensors};
use crate::optim::Optimizer;
use crate::protocol::{LayerHealth, SchedulePoint};
use crate::schedule::{self, PlateauState};

pub use evaluation::Counts;
use step::RefusedStep;

/// What a trainer is made of.
#[derive(Debug, Clone)]
pub struct TrainerSetup {
    pub config: RunConfig,
    pub dataset: Arc<Dataset>,
    pub vocab_size: usize,
    /// Without autodiff, as the device registry gives it.
    pub device: Device,
}

/// Trains a model, one optimizer step at a time.
#[derive(Debug)]
pub struct Trainer {
    config: RunConfig,
    dataset: Arc<Dataset>,
    /// Without autodiff.
    device: Device,
    pool: Arc<Pool>,
    /// Absent only while the optimizer works on it.
    model: Option<LanguageModel>,
    optimizer: Optimizer,
    batches: BatchSource,
    carried: Option<CarriedState>,
    progress: Progress,
    /// Whether the next step measures its health.
    measure: bool,
    health: Option<(u64, Vec<LayerHealth>)>,
    /// The step that was not applied because it diverged.
    refused: Option<RefusedStep>,
}

/// What another configuration did to what a trainer had gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconfigured {
    /// False where the optimizer's moments mean nothing under the new kind and were dropped.
    pub moments_kept: bool,
    /// The streams began anew, from empty states, because there are more or fewer of them.
    pub streams_restarted: bool,
}

impl Trainer {
    /// A new run at step 0.
    ///
    /// # Errors
    /// A part of the corpus is too short for this configuration, or the device failed.
    pub fn new(setup: TrainerSetup) -> Result<Self, TrainError> {
        let TrainerSetup {
            config,
            dataset,
            vocab_size,
            device,
        } = setup;
        let batches = BatchSource::new(
            dataset.clone(),
            config.train.batching,
            config.train.batch_size,
            config.model.context_length(),
            config.train.seed,
        )?;
        if dataset.validation.len() < 2 {
            return Err(TrainError::TooShort {
                part: "validation",
                tokens: dataset.validation.len(),
                needed: 2,
                what: "an evaluation",
            });
        }
        let device = device.without_autodiff();
        let threads = config.train.threads;
        let model = guarded(&device, || -> Result<_, TrainError> {
            Ok(LanguageModel::new(
                &config.model,
                vocab_size,
                config.train.seed,
                &device.clone().autodiff(),
            ))
        })?;
        Ok(Self {
            optimizer: Optimizer::new(&config.optimizer),
            model: Some(model),
            batches,
            carried: None,
            progress: Progress::default(),
            measure: false,
            health: None,
            refused: None,
            config,
            dataset,
            pool: Arc::new(Pool::new(&device, threads)),
            device,
        })
    }

    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// Goes on with another configuration of the same model on the same text, from the next step on.
    ///
    /// # Errors
    /// The text is too short for the new batches. Nothing has changed then.
    pub fn reconfigure(&mut self, config: &RunConfig) -> Result<Reconfigured, TrainError> {
        let batches = self.batches_for(config)?;
        let before = std::mem::replace(&mut self.config, config.clone());
        let rows_changed = before.train.batch_size != config.train.batch_size;
        let streams_restarted = rows_changed && config.train.batching == BatchingKind::Stream;
        if streams_restarted {
            // Other rows begin elsewhere in the text: no state belongs to them, no window of them is done.
            self.carried = None;
            self.progress.position.window = 0;
        }
        self.batches = batches;
        if before.schedule.start != config.schedule.start {
            self.progress.plateau = PlateauState::default();
        }
        if let Some(model) = &mut self.model {
            model.set_dropout(config.model.dropout());
        }
        Ok(Reconfigured {
            moments_kept: self.optimizer.reconfigure(&config.optimizer),
            streams_restarted,
        })
    }

    fn batches_for(&self, config: &RunConfig) -> Result<BatchSource, TrainError> {
        BatchSource::new(
            self.dataset.clone(),
            config.train.batching,
            config.train.batch_size,
            config.model.context_length(),
            config.train.seed,
        )
    }

    /// The model as it trains. `model().valid()` evaluates and generates.
    pub fn model(&self) -> &LanguageModel {
        self.model
            .as_ref()
            .expect("the model is absent only inside a step")
    }

    /// Without autodiff: where `model().valid()` lives.
    pub fn device(&self) -> &Device {
        &self.device
    }

    pub fn dataset(&self) -> &Arc<Dataset> {
        &self.dataset
    }

    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Steps done.
    pub fn step_count(&self) -> u64 {
        self.progress.step
    }

    pub fn total_steps(&self) -> u64 {
        self.config.train.steps
    }

    /// Whether all steps are done.
    pub fn is_finished(&self) -> bool {
        self.progress.step >= self.config.train.steps
    }

    /// Whether `train.early_stopping` evaluations have passed without improvement.
    pub fn stops_early(&self) -> bool {
        let patience = self.config.train.early_stopping;
        patience > 0 && self.progress.evaluations_since_best >= patience
    }

    /// Trained numbers.
    pub fn parameters(&self) -> u64 {
        self.model().num_params() as u64
    }

    pub fn tokens_per_step(&self) -> u64 {
        let train = &self.config.train;
        (train.batch_size * self.config.model.context_length() * train.gradient_accumulation.max(1))
            as u64
    }

    /// Multiplies the schedule's learning rate from the next step on.
    pub fn set_learning_rate_multiplier(&mut self, multiplier: f64) {
        self.progress.learning_rate_multiplier = multiplier;
    }

    /// The learning rate of the next step.
    pub fn learning_rate(&self) -> f64 {
        let rate = schedule::learning_rate(
            &self.config.schedule,
            self.config.optimizer.learning_rate,
            self.config.train.steps,
            self.progress.step,
            &self.progress.plateau,
        );
        rate * self.progress.learning_rate_multiplier
    }

    /// At most `n` points of the schedule over the whole run, as it would be with the multiplier and the plateau's
    /// cuts as they now are. What past steps were really made with is in their reports.
    pub fn schedule_points(&self, n: usize) -> Vec<SchedulePoint> {
        let mut points = schedule::points(
            &self.config.schedule,
            self.config.optimizer.learning_rate,
            self.config.train.steps,
            n,
            &self.progress.plateau,
        );
        for point in &mut points {
            point.learning_rate *= self.progress.learning_rate_multiplier;
        }
        points
    }

    /// Whether recurrent state goes from window to window.
    fn carries(&self) -> bool {
        self.config.train.batching == BatchingKind::Stream && self.model().supports_carried_state()
    }

    /// Everything that this trainer is, as of its last whole step.
    ///
    /// # Errors
    /// The device failed. It may have failed in a later step already and still give this: a device that reads a
    /// tensor says whether everything that led to it was really computed.
    pub fn snapshot(&self) -> Result<Snapshot, TrainError> {
        let Some(model) = &self.model else {
            let words = "it failed half way through an update of the weights";
            return Err(DeviceFailure::new(words).into());
        };
        guarded(&self.device, || {
            Ok(Snapshot {
                model: named_tensors(model),
                optimizer: self.optimizer.state(),
                carried: self
                    .carried
                    .as_ref()
                    .map(CarriedState::to_named)
                    .unwrap_or_default(),
                progress: self.progress.clone(),
            })
        })
    }

    /// Goes to where a snapshot was taken.
    ///
    /// # Errors
    /// The snapshot belongs to another configuration: the trainer is then as it was. Or the device failed.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<(), TrainError> {
        let config = self.config.clone();
        self.restore_with(&config, snapshot)
    }

    /// Goes to where a snapshot was taken, and to the configuration that was in force there.
    ///
    /// # Errors
    /// As [`Trainer::restore`].
    pub fn restore_with(
        &mut self,
        config: &RunConfig,
        snapshot: &Snapshot,
    ) -> Result<(), TrainError> {
        let found = snapshot.progress.seed_scheme;
        if found != SEED_SCHEME {
            return Err(TrainError::SeedScheme { found });
        }
        let device = self.device.clone();
        guarded(&device, || self.put_back(config, snapshot))
    }

    fn put_back(&mut self, config: &RunConfig, snapshot: &Snapshot) -> Result<(), TrainError> {
        let batches = self.batches_for(config)?;
        let mut model = load_named_tensors(self.model().clone(), &snapshot.model)?;
        let carried = if snapshot.carried.is_empty() {
            None
        } else {
            let device = self.device.clone().autodiff();
            Some(CarriedState::from_named(&snapshot.carried, &device)?)
        };
        let mut optimizer = Optimizer::new(&config.optimizer);
        optimizer.load_state(&snapshot.optimizer, &snapshot.model)?;
        // Nothing can fail any more.
        model.set_dropout(config.model.dropout());
        self.config = config.clone();
        self.batches = batches;
        self.optimizer = optimizer;
        self.model = Some(model);
        self.carried = carried;
        self.progress = snapshot.progress.clone();
        self.health = None;
        self.refused = None;
        Ok(())
    }
}
