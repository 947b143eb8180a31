//! One optimizer step: forward and backward over its batches, the update, and what is done about a step that diverged.

use std::time::{Duration, Instant};

use burn::tensor::Tensor;

use super::Trainer;
use crate::device::{DeviceFailure, guarded};
use crate::model::random::mix;
use crate::model::saturation::{self, Saturation};
use crate::model::{CarriedState, layer_group, seed_dropout};
use crate::optim::{
    GradientNorms, ParameterGradients, Update, clip_coefficient, first_weight_not_finite,
};
use crate::protocol::{LayerHealth, StepReport};
use crate::train::health::layer_health;
use crate::train::{Position, TrainError};

/// Tells the seeds of dropout from the seeds of windows.
const DROPOUT: u64 = 0x4452_4f50;

/// A step that was not applied.
#[derive(Debug, Clone, Copy)]
pub(super) struct RefusedStep {
    loss: f64,
    grad_norm: f64,
    position: Position,
    forward: Duration,
    backward: Duration,
}

/// What the forward and backward passes of one step came to.
struct Passes {
    gradients: ParameterGradients,
    /// Mean loss of the step.
    loss: f64,
    norms: GradientNorms,
    /// Multiplies the summed gradients to make their mean.
    mean: f64,
    position: Position,
    carried: Option<CarriedState>,
    /// By layer, where this step measures its health.
    saturation: Vec<(String, Saturation)>,
    forward: Duration,
    backward: Duration,
}

impl Trainer {
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
            self.health = Some((
                progress.step,
                layer_health(&passes.norms, &step_norms, &passes.saturation),
            ));
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
        let mut saturation = Vec::new();
        let (mut forward, mut backward) = (Duration::ZERO, Duration::ZERO);
        for micro_batch in 0..count {
            let started = Instant::now();
            let (batch, next) = self.batches.batch(step, micro_batch, position, &device);
            position = next;
            let (its_step, its_place) = match micro_batch + 1 {
                more if more < count => (step, more),
                _ => (step + 1, 0),
            };
            self.batches.prepare(its_step, its_place, position);
            if batch.fresh {
                carried = None;
            }
            seed_dropout(&self.device, mix(seed, micro_batch));
            let state_before = carried.take();
            let pass = || {
                self.model().smoothed_loss(
                    batch.tokens,
                    batch.targets,
                    state_before,
                    self.config.train.label_smoothing,
                )
            };
            let (loss, state) = if self.measure && micro_batch == 0 {
                let (result, layers) = saturation::record(pass);
                saturation = layers;
                result
            } else {
                pass()
            };
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
            saturation,
            forward,
            backward,
        })
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

    /// Measures the health of the next step; costs about two passes over the weights, and a look at the
    /// activations of its first batch.
    pub fn measure_health(&mut self) {
        self.measure = true;
    }

    /// Norms by layer of the last step that was measured, and which step that was.
    pub fn health(&self) -> Option<(u64, &[LayerHealth])> {
        self.health
            .as_ref()
            .map(|(step, layers)| (*step, layers.as_slice()))
    }
}

fn read(tensor: Tensor<1>) -> Result<Vec<f32>, TrainError> {
    tensor
        .try_into_data()
        .map_err(DeviceFailure::from)?
        .try_into_vec()
        .map_err(|error| DeviceFailure::new(&error.to_string()).into())
}
