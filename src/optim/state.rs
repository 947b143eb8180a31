//! Optimizer state as named tensors.
//!
//! `steps` holds the step count in two float32 parts, `[count mod 2²⁴, count div 2²⁴]`, both exact. Each parameter
//! adds `<path>/first` (Adam's first moment, SGD's momentum buffer) and, for Adam and AdamW, `<path>/second`.

use std::collections::BTreeMap;

use super::Optimizer;
use super::rule::Moments;
use crate::config::OptimizerKind;
use crate::state::{NamedTensor, StateError};

const STEPS: &str = "steps";
const STEPS_BASE: u64 = 1 << 24;
const FIRST: &str = "/first";
const SECOND: &str = "/second";

impl Optimizer {
    /// Everything the optimizer remembers, bit for bit.
    pub fn state(&self) -> Vec<NamedTensor> {
        let mut tensors = vec![NamedTensor {
            name: STEPS.to_string(),
            shape: vec![2],
            data: vec![
                (self.steps % STEPS_BASE) as f32,
                (self.steps / STEPS_BASE) as f32,
            ],
        }];
        for (path, moments) in &self.moments {
            let (first, second) = moments.clone().into_host();
            tensors.push(flat(path, FIRST, first));
            tensors.extend(second.map(|second| flat(path, SECOND, second)));
        }
        tensors
    }

    /// Replaces everything the optimizer remembers. `shapes` are the model's parameters, which the state has to fit.
    ///
    /// # Errors
    /// A tensor is missing, left over, or of another size. The optimizer is then as it was.
    pub fn load_state(
        &mut self,
        tensors: &[NamedTensor],
        parameters: &[NamedTensor],
    ) -> Result<(), StateError> {
        let mut given: BTreeMap<&str, &NamedTensor> = tensors
            .iter()
            .map(|tensor| (tensor.name.as_str(), tensor))
            .collect();
        let steps = given
            .remove(STEPS)
            .ok_or_else(|| StateError::Missing(STEPS.to_string()))?;
        let steps = match steps.data.as_slice() {
            [low, high] => *low as u64 + *high as u64 * STEPS_BASE,
            _ => return Err(wrong_size(steps, 2)),
        };
        let mut moments = BTreeMap::new();
        for parameter in parameters {
            let mut take = |suffix: &str| {
                let name = format!("{}{suffix}", parameter.name);
                let tensor = given.remove(name.as_str());
                match tensor {
                    Some(tensor) if tensor.data.len() != parameter.data.len() => {
                        Err(wrong_size(tensor, parameter.data.len()))
                    }
                    tensor => Ok((name, tensor.map(|tensor| tensor.data.clone()))),
                }
            };
            let (_, first) = take(FIRST)?;
            let (second_name, second) = take(SECOND)?;
            match first {
                None => {}
                Some(_) if second.is_none() && self.config.kind != OptimizerKind::Sgd => {
                    return Err(StateError::Missing(second_name));
                }
                Some(first) => {
                    moments.insert(parameter.name.clone(), Moments::Host { first, second });
                }
            }
        }
        if let Some(name) = given.keys().next() {
            return Err(StateError::Unexpected(name.to_string()));
        }
        self.steps = steps;
        self.moments = moments;
        Ok(())
    }
}

fn flat(path: &str, suffix: &str, data: Vec<f32>) -> NamedTensor {
    NamedTensor {
        name: format!("{path}{suffix}"),
        shape: vec![data.len()],
        data,
    }
}

fn wrong_size(tensor: &NamedTensor, expected: usize) -> StateError {
    StateError::Shape {
        name: tensor.name.clone(),
        expected: vec![expected],
        found: tensor.shape.clone(),
    }
}
