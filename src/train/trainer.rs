//! [`Trainer`]: a model, its optimizer and its place in the data.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::batch::BatchSource;
use super::evaluate::{Evaluation, Window, bits_per_byte, mean_loss, perplexity, windows};
use super::health::layer_health;
use super::pool::Pool;
use super::{Progress, SEED_SCHEME, Snapshot, TrainError};
use crate::config::{BatchingKind, RunConfig};
use crate::data::Dataset;
use crate::device::{DeviceFailure, guarded};
use crate::model::random::mix;
use crate::model::{
    CarriedState, LanguageModel, layer_group, load_named_tensors, named_tensors, seed_dropout,
};
use crate::optim::{
    GradientNorms, Optimizer, ParameterGradients, Update, clip_coefficient, first_weight_not_finite,
};
use crate::protocol::{EvalReport, LayerHealth, SchedulePoint, StepReport};
use crate::schedule::{self, PlateauState};

/// Tells the seeds of dropout from the seeds of windows.
const DROPOUT: u64 = 0x4452_4f50;

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

/// A step that was not applied.
#[derive(Debug, Clone, Copy)]
struct RefusedStep {
    loss: f64,
    grad_norm: f64,
    position: super::Position,
    forward: Duration,
    backward: Duration,
}

/// Whether an evaluation is one of those that the configuration asks for. Only those steer the run; any other leaves the
/// trainer as it is, so that a run is the same whatever somebody looked at in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counts {
    Yes,
    No,
}

/// What another configuration did to what a trainer had gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconfigured {
    /// False where the optimizer's moments mean nothing under the new kind and were dropped.
    pub moments_kept: bool,
    /// The streams began anew, from empty states, because there are more or fewer of them.
    pub streams_restarted: bool,
}

/// What the forward and backward passes of one step came to.
struct Passes {
    gradients: ParameterGradients,
    /// Mean loss of the step.
    loss: f64,
    norms: GradientNorms,
    /// Multiplies the summed gradients to make their mean.
    mean: f64,
    position: super::Position,
    carried: Option<CarriedState>,
    forward: Duration,
    backward: Duration,
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
            pool: Arc::new(Pool::new(&device)),
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

    /// Makes one optimizer step. On a device that works on its own, the times for forward and backward are those of
    /// queueing the work; waiting for it counts as backward, as the one read per step (loss and norms) lies there.
    ///
    /// # Errors
    /// [`TrainError::Diverged`] when the loss or a gradient is not a number: the trainer is then as it was before the
    /// step. [`TrainError::Device`] when the device failed: what was saved before is what is left, as a GPU may fail
    /// half way through the update.
    pub fn step(&mut self) -> Result<StepReport, TrainError> {
        let device = self.device.clone();
        let pool = self.pool.clone();
        guarded(&device, || pool.run(|| self.apply_step()))
    }

    fn apply_step(&mut self) -> Result<StepReport, TrainError> {
        let started = Instant::now();
        let passes = self.passes()?;
        if !passes.loss.is_finite() || !passes.norms.global.is_finite() {
            self.refused = Some(RefusedStep {
                loss: passes.loss,
                grad_norm: passes.norms.global,
                position: passes.position,
                forward: passes.forward,
                backward: passes.backward,
            });
            return Err(self.divergence(&passes));
        }
        self.refused = None;
        let optimizer_started = Instant::now();
        let learning_rate = self.learning_rate();
        let clip = clip_coefficient(passes.norms.global, self.config.optimizer.grad_clip);
        let update = Update {
            learning_rate,
            gradient_scale: passes.mean * clip,
            measure: std::mem::take(&mut self.measure),
        };
        let model = self
            .model
            .take()
            .expect("the model is absent only inside a step");
        let (model, step_norms) = self.optimizer.step(model, passes.gradients, update);
        self.model = Some(model);
        let optimizer = optimizer_started.elapsed();

        self.carried = passes.carried;
        let progress = &mut self.progress;
        progress.position = passes.position;
        progress.step += 1;
        if update.measure {
            self.health = Some((progress.step, layer_health(&passes.norms, &step_norms)));
        }
        let elapsed = started.elapsed().as_secs_f64();
        let tokens = self.tokens_per_step();
        let progress = &mut self.progress;
        progress.tokens += tokens;
        progress.seconds += elapsed;
        Ok(StepReport {
            step: progress.step,
            epoch: progress.tokens as f64 / self.dataset.train.len() as f64,
            tokens: progress.tokens,
            loss: passes.loss,
            learning_rate,
            grad_norm: passes.norms.global,
            tokens_per_second: tokens as f64 / elapsed,
            ms: elapsed * 1e3,
            forward_ms: passes.forward.as_secs_f64() * 1e3,
            backward_ms: passes.backward.as_secs_f64() * 1e3,
            optimizer_ms: optimizer.as_secs_f64() * 1e3,
            seconds: progress.seconds,
        })
    }

    /// Leaves out the step that has just diverged: the weights stay, and the next step sees other text. Carried states begin
    /// anew, as the window between is missing from them. `None` where no step was refused.
    pub fn skip_step(&mut self) -> Option<StepReport> {
        let refused = self.refused.take()?;
        let learning_rate = self.learning_rate();
        let tokens = self.tokens_per_step();
        let elapsed = (refused.forward + refused.backward).as_secs_f64();
        self.carried = None;
        let progress = &mut self.progress;
        progress.position = refused.position;
        progress.step += 1;
        progress.tokens += tokens;
        progress.seconds += elapsed;
        Some(StepReport {
            step: progress.step,
            epoch: progress.tokens as f64 / self.dataset.train.len() as f64,
            tokens: progress.tokens,
            loss: refused.loss,
            learning_rate,
            grad_norm: refused.grad_norm,
            tokens_per_second: tokens as f64 / elapsed,
            ms: elapsed * 1e3,
            forward_ms: refused.forward.as_secs_f64() * 1e3,
            backward_ms: refused.backward.as_secs_f64() * 1e3,
            optimizer_ms: 0.0,
            seconds: progress.seconds,
        })
    }

    /// Forward and backward over every batch of the step. Changes nothing but the device's generator.
    fn passes(&self) -> Result<Passes, TrainError> {
        let step = self.progress.step;
        let count = self.config.train.gradient_accumulation.max(1) as u64;
        let seed = mix(mix(self.config.train.seed, DROPOUT), step);
        let carries = self.carries();
        let device = self.device.clone().autodiff();
        let mut position = self.progress.position;
        let mut carried = self.carried.clone();
        let mut gradients: Option<ParameterGradients> = None;
        let mut reads: Vec<Tensor<1>> = Vec::new();
        let (mut forward, mut backward) = (Duration::ZERO, Duration::ZERO);
        for micro_batch in 0..count {
            let started = Instant::now();
            let (batch, next) = self.batches.batch(step, micro_batch, position, &device);
            position = next;
            if batch.fresh {
                carried = None;
            }
            seed_dropout(&self.device, mix(seed, micro_batch));
            let (loss, state) = self.model().smoothed_loss(
                batch.tokens,
                batch.targets,
                carried.take(),
                self.config.train.label_smoothing,
            );
            if carries {
                carried = Some(state.detach());
            }
            reads.push(loss.clone().detach().without_autodiff());
            let queued = Instant::now();
            forward += queued - started;
            let more = ParameterGradients::collect(self.model(), loss.backward());
            gradients = Some(match gradients {
                None => more,
                Some(sum) => sum.accumulate(more),
            });
            backward += queued.elapsed();
        }
        let waiting = Instant::now();
        let gradients = gradients.unwrap_or_default();
        reads.extend(gradients.square_sums());
        let values = read(Tensor::cat(reads, 0))?;
        backward += waiting.elapsed();
        let (losses, square_sums) = values.split_at(count as usize);
        let mean = 1.0 / count as f64;
        Ok(Passes {
            loss: losses.iter().copied().map(f64::from).sum::<f64>() * mean,
            norms: gradients.norms(square_sums, mean),
            gradients,
            mean,
            position,
            carried,
            forward,
            backward,
        })
    }

    /// Whether recurrent state goes from window to window.
    fn carries(&self) -> bool {
        self.config.train.batching == BatchingKind::Stream && self.model().supports_carried_state()
    }

    /// Looks for where the trouble began.
    fn divergence(&self, passes: &Passes) -> TrainError {
        let step = self.progress.step + 1;
        let weight = first_weight_not_finite(self.model());
        let gradient = passes.gradients.first_not_finite();
        let what = if passes.loss.is_finite() {
            "the gradient is not a number".to_string()
        } else {
            format!("the loss is {}", passes.loss)
        };
        let (parameter, place) = match (weight, gradient) {
            (Some(name), _) => (
                Some(name.clone()),
                format!("the weights of `{name}` are not finite"),
            ),
            (None, Some(name)) => (
                Some(name.to_string()),
                format!("the gradient of `{name}` is the first that is not finite"),
            ),
            (None, None) => (
                None,
                "every gradient is finite, but their norm is too large for float32".to_string(),
            ),
        };
        TrainError::Diverged {
            step,
            layer: parameter.map(|name| layer_group(&name).to_string()),
            message: format!("{what}; {place}. The step was not applied"),
        }
    }

    /// Measures the health of the next step; costs about two passes over the weights.
    pub fn measure_health(&mut self) {
        self.measure = true;
    }

    /// Norms by layer of the last step that was measured, and which step that was.
    pub fn health(&self) -> Option<(u64, &[LayerHealth])> {
        self.health
            .as_ref()
            .map(|(step, layers)| (*step, layers.as_slice()))
    }

    /// Measures both parts of the corpus without dropout, tells the plateau and early stopping, and notes the best.
    ///
    /// The training part is read to the same number of windows as the validation part, also with `eval.batches = 0`,
    /// where the validation part is read whole. `progress` hears of forward passes done and their total.
    /// `None` when `stop` was raised; nothing has changed then.
    ///
    /// # Errors
    /// The device failed.
    pub fn evaluate(
        &mut self,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Option<EvalReport>, TrainError> {
        self.evaluate_as(Counts::Yes, stop, progress)
    }

    /// As [`Trainer::evaluate`], where it may not count.
    ///
    /// # Errors
    /// The device failed.
    pub fn evaluate_as(
        &mut self,
        counts: Counts,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Option<EvalReport>, TrainError> {
        let device = self.device.clone();
        guarded(&device, || self.measure_losses(counts, stop, progress))
    }

    fn measure_losses(
        &mut self,
        counts: Counts,
        stop: &AtomicBool,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Option<EvalReport>, TrainError> {
        let dataset = self.dataset.clone();
        let (train_windows, validation_windows) = self.evaluation_windows();
        let total = (train_windows.len() + validation_windows.len()) as u64;
        let mut done = 0;
        let mut advance = || {
            done += 1;
            progress(done, total);
        };
        let model = self.model().valid();
        let mut measure = |ids, windows: &[Window]| {
            mean_loss(
                &model,
                ids,
                windows,
                &self.device,
                &self.pool,
                stop,
                &mut advance,
            )
        };
        let Some(val_loss) = measure(&dataset.validation, &validation_windows)? else {
            return Ok(None);
        };
        let Some(train_loss) = measure(&dataset.train, &train_windows)? else {
            return Ok(None);
        };
        let best = match counts {
            Counts::Yes => self.note_evaluation(val_loss),
            Counts::No => self.is_best(val_loss),
        };
        let tokens = dataset.validation.len();
        Ok(Some(EvalReport {
            step: self.progress.step,
            tokens: self.progress.tokens,
            seconds: self.progress.seconds,
            train_loss,
            val_loss,
            perplexity: perplexity(val_loss),
            bits_per_byte: bits_per_byte(val_loss, tokens, dataset.validation_bytes),
            unknown_fraction: dataset.unknown_validation as f64 / tokens as f64,
            best,
        }))
    }

    /// The windows of both parts: training, validation.
    fn evaluation_windows(&self) -> (Vec<Window>, Vec<Window>) {
        let whole = Evaluation {
            batch_size: self.config.train.batch_size,
            context_length: self.config.model.context_length(),
            batches: self.config.eval.batches,
            carry: self.carries(),
        };
        let validation = windows(self.dataset.validation.len(), whole);
        let part = Evaluation {
            batches: validation.len() as u64,
            ..whole
        };
        (windows(self.dataset.train.len(), part), validation)
    }

    /// Returns whether this is the best so far.
    fn note_evaluation(&mut self, val_loss: f64) -> bool {
        let best = self.is_best(val_loss);
        let progress = &mut self.progress;
        progress.plateau.observe(&self.config.schedule, val_loss);
        progress.val_loss = val_loss.is_finite().then_some(val_loss);
        if best {
            progress.best_val_loss = Some(val_loss);
            progress.best_step = Some(progress.step);
            progress.evaluations_since_best = 0;
        } else {
            progress.evaluations_since_best += 1;
        }
        best
    }

    fn is_best(&self, val_loss: f64) -> bool {
        let best = self.progress.best_val_loss;
        best.map_or(val_loss.is_finite(), |best| val_loss < best)
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

fn read(tensor: Tensor<1>) -> Result<Vec<f32>, TrainError> {
    tensor
        .try_into_data()
        .map_err(DeviceFailure::from)?
        .try_into_vec()
        .map_err(|error| DeviceFailure::new(&error.to_string()).into())
}
