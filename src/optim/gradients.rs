//! Gradients by parameter path: summed over batches, measured, clipped by their global norm.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{ExecutionError, Gradients, Tensor};

use crate::kernel;
use crate::state::NamedTensor;

/// The gradient of every parameter that has one, in the order of the model's definition.
#[derive(Debug, Clone, Default)]
pub struct ParameterGradients {
    entries: Vec<(String, Tensor<1>)>,
}

/// Norms of a [`ParameterGradients`], on this side of the device border.
#[derive(Debug, Clone, PartialEq)]
pub struct GradientNorms {
    /// The norm over all parameters together. NaN or infinite where a gradient is.
    pub global: f64,
    /// The norm of each parameter's gradient, in the model's order.
    pub parameters: Vec<(String, f64)>,
}

impl ParameterGradients {
    /// Takes the gradients of all parameters of `model` out of a backward pass.
    pub fn collect<M: Module>(model: &M, mut gradients: Gradients) -> Self {
        let mut collector = Collector {
            path: ParameterPath::default(),
            source: &mut gradients,
            entries: Vec::new(),
        };
        model.visit(&mut collector);
        Self {
            entries: collector.entries,
        }
    }

    /// Adds the gradients of another batch.
    pub fn accumulate(self, other: Self) -> Self {
        let mut others = other.into_map();
        let mut entries: Vec<_> = self
            .entries
            .into_iter()
            .map(|(name, tensor)| {
                let sum = match others.remove(&name) {
                    Some(more) => tensor + more,
                    None => tensor,
                };
                (name, sum)
            })
            .collect();
        entries.extend(others);
        Self { entries }
    }

    /// The gradients as plain data, flat, in the model's order. Reads the device.
    ///
    /// # Errors
    /// The device failed.
    pub fn to_named(&self) -> Result<Vec<NamedTensor>, ExecutionError> {
        self.entries
            .iter()
            .map(|(name, tensor)| {
                let data = tensor.clone().try_into_data()?;
                let data = data
                    .try_into_vec::<f32>()
                    .expect("gradients are float32 on every backend of this program");
                Ok(NamedTensor {
                    name: name.clone(),
                    shape: vec![data.len()],
                    data,
                })
            })
            .collect()
    }

    /// Sum of squares of each parameter's gradient, still on the device: `[n_parameters]`. `None` without gradients.
    pub fn square_sums(&self) -> Option<Tensor<1>> {
        let sums: Vec<_> = self
            .entries
            .iter()
            .map(|(_, tensor)| match kernel::takes(tensor) {
                true => kernel::square_sum(tensor.clone()),
                false => tensor.clone().square().sum(),
            })
            .collect();
        (!sums.is_empty()).then(|| Tensor::cat(sums, 0))
    }

    /// Norms out of what [`Self::square_sums`] came to, after `scale` has been applied to every gradient.
    pub fn norms(&self, square_sums: &[f32], scale: f64) -> GradientNorms {
        let total: f64 = square_sums.iter().copied().map(f64::from).sum();
        let parameters = self
            .entries
            .iter()
            .zip(square_sums)
            .map(|((name, _), sum)| (name.clone(), f64::from(*sum).sqrt() * scale))
            .collect();
        GradientNorms {
            global: total.sqrt() * scale,
            parameters,
        }
    }

    /// The first parameter, in the model's order, whose gradient holds a NaN or an infinity. Reads the device.
    pub fn first_not_finite(&self) -> Option<&str> {
        self.entries
            .iter()
            .find(|(_, tensor)| !tensor.clone().is_finite().all().into_scalar::<bool>())
            .map(|(name, _)| name.as_str())
    }

    pub(super) fn into_map(self) -> BTreeMap<String, Tensor<1>> {
        self.entries.into_iter().collect()
    }
}

/// What gradients of norm `norm` are multiplied by so that their norm is at most `max_norm`:
/// `min(1, max_norm / (norm + 1e-6))`, as `torch.nn.utils.clip_grad_norm_`. A `max_norm` of 0 turns clipping off.
pub fn clip_coefficient(norm: f64, max_norm: f64) -> f64 {
    if max_norm > 0.0 {
        (max_norm / (norm + 1e-6)).min(1.0)
    } else {
        1.0
    }
}

/// The first parameter, in the model's order, that holds a NaN or an infinity. Reads the device.
pub fn first_weight_not_finite<M: Module>(model: &M) -> Option<String> {
    let mut finder = Finder::default();
    model.visit(&mut finder);
    finder.found
}

#[derive(Default)]
struct Finder {
    path: ParameterPath,
    found: Option<String>,
}

impl ModuleVisitor for Finder {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.found.is_some() {
            return;
        }
        let weight = param.val().detach().without_autodiff();
        if !weight.is_finite().all().into_scalar::<bool>() {
            self.found = Some(self.path.join());
        }
    }
}

struct Collector<'a> {
    path: ParameterPath,
    source: &'a mut Gradients,
    entries: Vec<(String, Tensor<1>)>,
}

impl ModuleVisitor for Collector<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = param.val().grad_remove(self.source) {
            let count = gradient.shape().num_elements();
            self.entries
                .push((self.path.join(), gradient.reshape([count])));
        }
    }
}

/// Where a visitor is in a module. An enum at the root (the choice between models) is not part of a path.
#[derive(Debug, Default)]
pub(super) struct ParameterPath {
    parts: Vec<Option<String>>,
}

impl ParameterPath {
    pub(super) fn enter(&mut self, name: &str, container_type: &str) {
        let root_enum = self.parts.is_empty() && container_type.starts_with("Enum:");
        self.parts.push((!root_enum).then(|| name.to_string()));
    }

    pub(super) fn exit(&mut self) {
        self.parts.pop();
    }

    pub(super) fn join(&self) -> String {
        let parts: Vec<&str> = self.parts.iter().flatten().map(String::as_str).collect();
        parts.join(".")
    }
}
