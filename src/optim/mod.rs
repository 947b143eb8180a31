//! Optimizers: SGD, Adam and AdamW with `torch.optim`'s formulas, on parameters known by their path.
//!
//! burn's own optimizers key their state by a parameter id that differs in every process, clip each tensor by itself, and know no
//! decay groups. Here state is keyed by path, clipping is over all parameters together, and weight decay goes to
//! the group that the configuration names. A tied matrix is one parameter and is updated and decayed once.
//!
//! Order of a step, as in PyTorch: gradients are summed over the accumulated batches and divided by their number,
//! clipped by their global norm, then handed to the rule in `rule`. Division and clipping are one factor,
//! [`Update::gradient_scale`], which the rule folds into its own arithmetic.

mod gradients;
mod rule;
mod state;

pub use gradients::{GradientNorms, ParameterGradients, clip_coefficient, first_weight_not_finite};

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::Tensor;

use crate::config::{DecayForm, DecayGroup, OptimizerConfig, OptimizerKind};
use crate::device::runs_on_host;
use gradients::ParameterPath;
use rule::{Moments, Rule};

/// An optimizer and what it remembers of each parameter.
#[derive(Debug)]
pub struct Optimizer {
    config: OptimizerConfig,
    /// Steps since the moments were empty, for the bias correction.
    steps: u64,
    moments: BTreeMap<String, Moments>,
}

/// What one step is made with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Update {
    pub learning_rate: f64,
    /// Multiplies every gradient: clipping and the division by the number of accumulated batches.
    pub gradient_scale: f64,
    /// Whether to measure [`StepNorms`], which costs another pass over the weights.
    pub measure: bool,
}

/// Norms of one parameter around a step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepNorms {
    pub name: String,
    /// ‖w‖ after the step.
    pub weight_norm: f64,
    /// ‖w after - w before‖.
    pub update_norm: f64,
}

impl Optimizer {
    pub fn new(config: &OptimizerConfig) -> Self {
        Self {
            config: config.clone(),
            steps: 0,
            moments: BTreeMap::new(),
        }
    }

    pub fn config(&self) -> &OptimizerConfig {
        &self.config
    }

    /// Goes on with other settings. Moments are kept where they mean the same: between Adam and AdamW, and within
    /// SGD. Returns false when they were dropped, because the kind changed between SGD and the Adam family.
    pub fn reconfigure(&mut self, config: &OptimizerConfig) -> bool {
        let family = |kind| matches!(kind, OptimizerKind::Sgd);
        let kept = family(self.config.kind) == family(config.kind);
        if !kept {
            self.steps = 0;
            self.moments.clear();
        }
        self.config = config.clone();
        kept
    }

    /// The model after one step. Parameters without a gradient stay as they are. Norms are in the model's order,
    /// and empty unless asked for.
    pub fn step<M: Module>(
        &mut self,
        model: M,
        gradients: ParameterGradients,
        update: Update,
    ) -> (M, Vec<StepNorms>) {
        self.steps += 1;
        let mut mapper = Stepper {
            path: ParameterPath::default(),
            config: &self.config,
            steps: self.steps,
            moments: &mut self.moments,
            gradients: gradients.into_map(),
            update,
            norms: Vec::new(),
        };
        let model = model.map(&mut mapper);
        (model, mapper.norms)
    }
}

struct Stepper<'a> {
    path: ParameterPath,
    config: &'a OptimizerConfig,
    steps: u64,
    moments: &'a mut BTreeMap<String, Moments>,
    gradients: BTreeMap<String, Tensor<1>>,
    update: Update,
    norms: Vec<StepNorms>,
}

impl ModuleMapper for Stepper<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.join();
        let Some(gradient) = self.gradients.remove(&name) else {
            return param;
        };
        let rule = Rule::new(self.config, self.steps, self.update, decays(self.config, D));
        let moments = self.moments.remove(&name);
        let mut kept = None;
        let mut norms = None;
        let param = param.map(|tensor| {
            let require_grad = tensor.is_require_grad();
            let shape = tensor.shape();
            let count = shape.num_elements();
            let weight = tensor.without_autodiff().reshape([count]);
            let before = self.update.measure.then(|| weight.clone());
            // In main memory one fused pass beats a dozen tensor operations.
            let (weight, moments) = if runs_on_host(&weight.device()) {
                rule.apply_on_host(weight, gradient, moments)
            } else {
                rule.apply_on_device(weight, gradient, moments)
            };
            kept = moments;
            if let Some(before) = before {
                norms = Some((norm(weight.clone()), norm(weight.clone() - before)));
            }
            Tensor::from_inner(weight.reshape(shape)).set_require_grad(require_grad)
        });
        if let Some((weight_norm, update_norm)) = norms {
            self.norms.push(StepNorms {
                name: name.clone(),
                weight_norm,
                update_norm,
            });
        }
        if let Some(moments) = kept {
            self.moments.insert(name, moments);
        }
        param
    }
}

/// Whether a parameter of this rank is decayed.
fn decays(config: &OptimizerConfig, rank: usize) -> bool {
    config.weight_decay != 0.0
        && match config.decay_group {
            DecayGroup::All => true,
            DecayGroup::Matrices => rank >= 2,
        }
}

/// The form of decay that the configuration means.
fn decay_form(config: &OptimizerConfig) -> DecayForm {
    match (config.decay_form, config.kind) {
        (DecayForm::Auto, OptimizerKind::AdamW) => DecayForm::Decoupled,
        (DecayForm::Auto, OptimizerKind::Sgd | OptimizerKind::Adam) => DecayForm::L2,
        (form, _) => form,
    }
}

/// ‖tensor‖, read off the device.
fn norm(tensor: Tensor<1>) -> f64 {
    f64::from(tensor.square().sum().into_scalar::<f32>()).sqrt()
}

#[cfg(test)]
mod tests;
