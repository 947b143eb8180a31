//! Parameters by name: what checkpoints, optimizers and health reports are keyed by.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Tensor, TensorData};

use super::LanguageModel;
use super::carried::named_tensor;
use crate::state::{NamedTensor, StateError};

/// All parameters, in the order of the model's definition, bit for bit as they are.
pub fn named_tensors(model: &LanguageModel) -> Vec<NamedTensor> {
    let mut collector = Collector::default();
    visit_parameters(model, &mut collector);
    collector.tensors
}

/// The model with all parameters replaced, parameter ids and devices kept.
///
/// # Errors
/// A tensor that is missing, left over, or of another shape. The model given is then lost; clone it first where that matters.
pub fn load_named_tensors(
    model: LanguageModel,
    tensors: &[NamedTensor],
) -> Result<LanguageModel, StateError> {
    let mut loader = Loader {
        path: Path::default(),
        tensors,
        used: 0,
        problem: None,
    };
    let model = model.map(&mut loader);
    if let Some(problem) = loader.problem {
        return Err(problem);
    }
    if loader.used < tensors.len() {
        let known = named_tensors(&model);
        let unexpected = tensors
            .iter()
            .find(|tensor| known.iter().all(|known| known.name != tensor.name));
        let name = unexpected.unwrap_or(&tensors[0]).name.clone();
        return Err(StateError::Unexpected(name));
    }
    Ok(model)
}

/// The layer that a parameter belongs to: `blocks.0.attention.qkv.weight` → `blocks.0`, `head.bias` → `head`.
pub fn layer_group(path: &str) -> &str {
    let Some((first, rest)) = path.split_once('.') else {
        return path;
    };
    match rest.split('.').next() {
        Some(index) if index.bytes().all(|byte| byte.is_ascii_digit()) => {
            &path[..first.len() + 1 + index.len()]
        }
        _ => first,
    }
}

fn visit_parameters(model: &LanguageModel, visitor: &mut Collector) {
    model.visit(visitor);
}

/// The path of the module being visited. The enum's variant is not part of it.
#[derive(Default)]
struct Path(Vec<String>);

impl Path {
    fn enter(&mut self, name: &str, container: &str) {
        // The outermost container is the enum over the rungs.
        if container != ENUM {
            self.0.push(name.to_string());
        }
    }

    fn exit(&mut self, container: &str) {
        if container != ENUM {
            self.0.pop();
        }
    }

    fn join(&self) -> String {
        self.0.join(".")
    }
}

const ENUM: &str = "Enum:LanguageModel";

#[derive(Default)]
struct Collector {
    path: Path,
    tensors: Vec<NamedTensor>,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.tensors
            .push(named_tensor(self.path.join(), param.val()));
    }
}

struct Loader<'a> {
    path: Path,
    tensors: &'a [NamedTensor],
    used: usize,
    problem: Option<StateError>,
}

impl ModuleMapper for Loader<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.join();
        let expected = param.dims().to_vec();
        let problem = match self.tensors.iter().find(|tensor| tensor.name == name) {
            None => StateError::Missing(name),
            Some(tensor)
                if tensor.shape != expected
                    || tensor.data.len() != expected.iter().product::<usize>() =>
            {
                StateError::Shape {
                    name,
                    expected,
                    found: tensor.shape.clone(),
                }
            }
            Some(tensor) => {
                self.used += 1;
                let data = TensorData::new(tensor.data.clone(), expected);
                return param.map(|old| {
                    Tensor::from_data(data, &old.device()).set_require_grad(old.is_require_grad())
                });
            }
        };
        self.problem.get_or_insert(problem);
        param
    }
}
