//! What a recurrent model carries from one window to the next.

use burn::tensor::{Device, Tensor, TensorData};

use super::layers::recurrent::LayerState;
use crate::state::{NamedTensor, StateError};

/// Hidden (and cell) states per layer and, for rung 3, the hidden states that attention can still see. Empty for transformers.
#[derive(Debug, Clone, Default)]
pub struct CarriedState {
    pub(super) layers: Vec<LayerState>,
    /// `[batch, past, hidden]`, at most `context_length - 1` of them.
    pub(super) memory: Option<Tensor<3>>,
}

impl CarriedState {
    /// Nothing carried: a model starts from zero.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// How many sequences the state belongs to; none when empty.
    pub fn batch_size(&self) -> Option<usize> {
        self.layers.first().map(|layer| layer.hidden.dims()[0])
    }

    /// Cuts the graph: gradients stop at the border between two windows (truncated backpropagation through time).
    pub fn detach(self) -> Self {
        CarriedState {
            layers: self
                .layers
                .into_iter()
                .map(|layer| LayerState {
                    hidden: layer.hidden.detach(),
                    cell: layer.cell.map(Tensor::detach),
                })
                .collect(),
            memory: self.memory.map(Tensor::detach),
        }
    }

    /// As plain data: `layers.0.hidden`, `layers.0.cell`, …, `memory`.
    pub fn to_named(&self) -> Vec<NamedTensor> {
        let mut named = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            named.push(named_tensor(
                format!("layers.{index}.hidden"),
                layer.hidden.clone(),
            ));
            if let Some(cell) = &layer.cell {
                named.push(named_tensor(format!("layers.{index}.cell"), cell.clone()));
            }
        }
        if let Some(memory) = &self.memory {
            named.push(named_tensor("memory".to_string(), memory.clone()));
        }
        named
    }

    /// The inverse of [`to_named`](Self::to_named). On an autodiff device for training, on a plain one otherwise.
    ///
    /// # Errors
    /// A tensor with a name that no state has, or of the wrong rank or size.
    pub fn from_named(tensors: &[NamedTensor], device: &Device) -> Result<Self, StateError> {
        let find = |name: String| tensors.iter().find(|tensor| tensor.name == name);
        let mut state = CarriedState::default();
        let mut used = 0;
        while let Some(hidden) = find(format!("layers.{}.hidden", state.layers.len())) {
            let cell = find(format!("layers.{}.cell", state.layers.len()));
            used += 1 + usize::from(cell.is_some());
            state.layers.push(LayerState {
                hidden: tensor(hidden, device)?,
                cell: cell.map(|cell| tensor(cell, device)).transpose()?,
            });
        }
        if let Some(memory) = find("memory".to_string()) {
            used += 1;
            state.memory = Some(tensor(memory, device)?);
        }
        if used < tensors.len() {
            let known = state.to_named();
            let unexpected = tensors
                .iter()
                .find(|tensor| known.iter().all(|known| known.name != tensor.name));
            let name = unexpected.unwrap_or(&tensors[0]).name.clone();
            return Err(StateError::Unexpected(name));
        }
        Ok(state)
    }
}

/// Reads a tensor off its device, without its graph.
pub(super) fn named_tensor<const D: usize>(name: String, tensor: Tensor<D>) -> NamedTensor {
    let shape = tensor.dims().to_vec();
    let data = tensor
        .detach()
        .into_data()
        .try_into_vec::<f32>()
        .expect("parameters and states are float32 on every backend of this program");
    NamedTensor { name, shape, data }
}

fn tensor<const D: usize>(named: &NamedTensor, device: &Device) -> Result<Tensor<D>, StateError> {
    let shape = <[usize; D]>::try_from(named.shape.as_slice())
        .ok()
        .filter(|shape| shape.iter().product::<usize>() == named.data.len())
        .ok_or_else(|| StateError::Shape {
            name: named.name.clone(),
            expected: vec![0; D],
            found: named.shape.clone(),
        })?;
    Ok(Tensor::from_data(
        TensorData::new(named.data.clone(), shape),
        device,
    ))
}
