//! Initial values of parameters, computed on the host from a seed and the parameter's own path: the same on every
//! backend, and independent of how many random numbers anything else has drawn.

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};

use crate::model::random::Generator;

/// A distribution of initial values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Initial {
    /// All zero.
    Zeros,
    /// All one.
    Ones,
    /// N(0, std²).
    Normal { std: f64 },
    /// U(-bound, bound).
    Uniform { bound: f64 },
}

/// Where a parameter is made: seed, device and the path so far.
#[derive(Debug, Clone)]
pub struct Builder {
    seed: u64,
    device: Device,
    path: String,
}

impl Builder {
    pub fn new(seed: u64, device: &Device) -> Self {
        Builder {
            seed,
            device: device.clone(),
            path: String::new(),
        }
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The builder of the part called `name`.
    pub fn at(&self, name: impl std::fmt::Display) -> Self {
        let path = match self.path.as_str() {
            "" => name.to_string(),
            path => format!("{path}.{name}"),
        };
        Builder {
            path,
            ..self.clone()
        }
    }

    /// The parameter called `name`, drawn from its own stream.
    pub fn parameter<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
        initial: Initial,
    ) -> Param<Tensor<D>> {
        let count = shape.iter().product();
        let values = draw(self.seed, &self.at(name).path, count, initial);
        Param::from_data(TensorData::new(values, shape), &self.device)
    }
}

/// `count` values of the stream that belongs to `path`.
pub fn draw(seed: u64, path: &str, count: usize, initial: Initial) -> Vec<f32> {
    let mut generator = Generator::named(seed, path);
    match initial {
        Initial::Zeros => vec![0.0; count],
        Initial::Ones => vec![1.0; count],
        Initial::Uniform { bound } => (0..count)
            .map(|_| ((2.0 * generator.next_f64() - 1.0) * bound) as f32)
            .collect(),
        Initial::Normal { std } => {
            let mut values = Vec::with_capacity(count + 1);
            while values.len() < count {
                let (a, b) = generator.next_normal_pair();
                values.push((a * std) as f32);
                values.push((b * std) as f32);
            }
            values.truncate(count);
            values
        }
    }
}

/// PyTorch's `nn.Linear` default: U(±1/sqrt(fan_in)) for weight and bias.
pub fn fan_in(inputs: usize) -> Initial {
    Initial::Uniform {
        bound: 1.0 / (inputs as f64).sqrt(),
    }
}
