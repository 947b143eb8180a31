//! Random numbers by their statistics: how every kind of parameter starts, and what dropout drops and scales.
//!
//! Seeded, so that a test that passes once passes always; the bounds are five standard errors.

#![cfg(feature = "flex")]

use std::path::PathBuf;

use burn::tensor::{Device, Tensor, TensorData};
use fireside::config::{
    InitKind, ModelConfig, ModelKind, RunConfig, Source, TransformerConfig, load,
};
use fireside::kernel::cpu::attention::{self, Sizes};
use fireside::model::layers::causal_attention::{attend, causal_mask};
use fireside::model::layers::dropout::{dropout, next_mask};
use fireside::model::{LanguageModel, named_tensors, seed_dropout};
use serde_json::Value;

/// Standard errors that a statistic may be off.
const ERRORS: f64 = 5.0;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Expected {
    Constant(f64),
    Normal(f64),
    /// Between minus and plus this.
    Uniform(f64),
}

fn moments(values: &[f32]) -> (f64, f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
    let power = |k: i32| {
        values
            .iter()
            .map(|v| (f64::from(*v) - mean).powi(k))
            .sum::<f64>()
            / n
    };
    let variance = power(2);
    (mean, variance.sqrt(), power(4) / variance.powi(2))
}

fn largest(values: &[f32]) -> f64 {
    values
        .iter()
        .map(|v| f64::from(v.abs()))
        .fold(0.0, f64::max)
}

fn check(name: &str, values: &[f32], expected: Expected) {
    let (std, kurtosis) = match expected {
        Expected::Constant(value) => {
            assert!(values.iter().all(|v| f64::from(*v) == value), "{name}");
            return;
        }
        Expected::Normal(std) => (std, 3.0),
        Expected::Uniform(bound) => {
            let most = largest(values);
            assert!(most <= bound, "{name}: {most} is beyond {bound}");
            (bound / 3f64.sqrt(), 1.8)
        }
    };
    let n = values.len() as f64;
    let (mean, found, shape) = moments(values);
    assert!(mean.abs() <= ERRORS * std / n.sqrt(), "{name}: mean {mean}");
    let error = std * ((kurtosis - 1.0) / (4.0 * n)).sqrt();
    assert!(
        (found - std).abs() <= ERRORS * error,
        "{name}: standard deviation {found} instead of {std}"
    );
    // Enough values to tell the shapes apart: 1.8 for a uniform distribution, 3 for a normal one.
    if n >= 5000.0 {
        assert!((shape - kurtosis).abs() < 0.4, "{name}: kurtosis {shape}");
    }
}

/// PyTorch's default for a linear layer of so many inputs.
fn linear(inputs: usize) -> Expected {
    Expected::Uniform(1.0 / (inputs as f64).sqrt())
}

fn transformer(config: &TransformerConfig, name: &str, shape: &[usize]) -> Expected {
    let depth = (2.0 * config.n_layers as f64).sqrt();
    let residual = name.ends_with("attention.output.weight") || name.ends_with("down.weight");
    let embedding = name.ends_with("embedding.weight");
    if name.ends_with("norm.weight") {
        return Expected::Constant(1.0);
    }
    if name.ends_with("norm.bias") {
        return Expected::Constant(0.0);
    }
    match config.init {
        InitKind::Gpt2 | InitKind::Normal if name.ends_with(".bias") => Expected::Constant(0.0),
        InitKind::Gpt2 if residual => Expected::Normal(0.02 / depth),
        InitKind::Gpt2 | InitKind::Normal => Expected::Normal(0.02),
        InitKind::Uniform if embedding => Expected::Normal(1.0 / (config.d_model as f64).sqrt()),
        InitKind::Uniform => {
            // A bias starts like its weight, whose inputs are d_model but in the second feed-forward layer.
            let down = name.ends_with("down.bias").then_some(4 * config.d_model);
            let inputs = if shape.len() == 2 {
                shape[0]
            } else {
                down.unwrap_or(config.d_model)
            };
            linear(inputs)
        }
    }
}

/// The three recurrent rungs.
fn recurrent(hidden: usize, name: &str, shape: &[usize]) -> Expected {
    if name == "embedding.weight" {
        return Expected::Normal(1.0);
    }
    match (name, shape) {
        ("attention.combine.bias", _) => linear(2 * hidden),
        (name, [inputs, _]) if !name.starts_with("layers.") => linear(*inputs),
        _ => linear(hidden),
    }
}

fn config(kind: ModelKind, sets: &[&str]) -> RunConfig {
    let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
    load(Source::Preset(kind.key().to_string()), &sets).expect("a valid configuration")
}

#[test]
fn every_parameter_starts_as_its_kind_should() {
    let vocab = 211;
    let recurrent_sizes = [
        "model.hidden_size=96",
        "model.d_embedding=64",
        "model.n_layers=2",
    ];
    let attention = ["model.d_model=96", "model.n_heads=4", "model.n_layers=3"];
    let mut cases = Vec::new();
    for kind in ModelKind::ALL {
        match kind {
            ModelKind::Transformer | ModelKind::Gpt => {
                for init in ["gpt2", "normal", "uniform"] {
                    let init = format!("model.init={init}");
                    let more = ["model.tied_head=false", "model.head_bias=true", &init];
                    cases.push(config(kind, &[&attention[..], &more].concat()));
                }
            }
            ModelKind::LstmAttention => {
                let more = ["model.score=additive", "model.d_attention=80"];
                cases.push(config(kind, &[&recurrent_sizes[..], &more].concat()));
            }
            ModelKind::CharRnn | ModelKind::WordGru => {
                let more = ["model.input=embedding"];
                cases.push(config(kind, &[&more[..], &recurrent_sizes].concat()));
            }
        }
    }
    for config in cases {
        let model = LanguageModel::new(&config.model, vocab, 3, &Device::flex());
        for tensor in named_tensors(&model) {
            let expected = match &config.model {
                ModelConfig::CharRnn(c) | ModelConfig::WordGru(c) => {
                    recurrent(c.hidden_size, &tensor.name, &tensor.shape)
                }
                ModelConfig::LstmAttention(c) => {
                    recurrent(c.hidden_size, &tensor.name, &tensor.shape)
                }
                ModelConfig::Transformer(c) | ModelConfig::Gpt(c) => {
                    transformer(c, &tensor.name, &tensor.shape)
                }
            };
            let name = format!("{} {}", config.model.kind().key(), tensor.name);
            check(&name, &tensor.data, expected);
        }
    }
}

/// That [`linear`] and [`recurrent`] are what PyTorch's own modules do, by what it recorded of them.
#[test]
fn pytorch_starts_like_this() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/reference/models.json");
    let text = std::fs::read(path).expect("it is in the repository");
    let recorded: Value = serde_json::from_slice(&text).expect("JSON");
    for (module, parameters) in recorded["initial"].as_object().expect("an object") {
        for (name, found) in parameters.as_object().expect("an object") {
            let number = |key: &str| found[key].as_f64().expect("a number");
            let expected = match module.as_str() {
                "embedding" => Expected::Normal(1.0),
                "linear" => linear(400),
                _ => linear(256),
            };
            let std = match expected {
                Expected::Normal(std) => std,
                Expected::Uniform(bound) => {
                    let most = number("largest");
                    assert!(
                        most <= bound && most > 0.98 * bound,
                        "{module} {name}: {most}"
                    );
                    bound / 3f64.sqrt()
                }
                Expected::Constant(_) => unreachable!("none is"),
            };
            let shape = found["shape"].as_array().expect("a list");
            let n: f64 = shape.iter().filter_map(Value::as_f64).product();
            let error = ERRORS * std / (2.0 * n).sqrt();
            let found = number("std");
            assert!(
                (found - std).abs() <= error,
                "{module} {name}: {found} instead of {std}"
            );
        }
    }
}

fn cpus() -> Vec<(&'static str, Device)> {
    vec![
        #[cfg(feature = "flex")]
        ("flex", Device::flex()),
        #[cfg(feature = "ndarray")]
        #[allow(deprecated)] // burn means to drop the backend
        ("ndarray", Device::ndarray()),
    ]
}

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor.detach().into_data();
    data.try_into_vec().expect("float32")
}

/// As `torch.nn.functional.dropout`: zero with probability `rate`, the rest times 1/(1 - rate), the gradient the same.
#[test]
fn dropout_drops_its_rate_and_scales_the_rest() {
    let shape = [1, 300, 1001];
    let n = 300.0 * 1001.0;
    for (backend, device) in cpus() {
        for rate in [0.1, 0.2, 0.5] {
            let device = device.clone().autodiff();
            seed_dropout(&device, 21);
            let input = Tensor::<3>::ones(shape, &device).require_grad();
            let output = dropout(input.clone(), rate);
            let values = read(output.clone());
            let kept = (1.0 / (1.0 - rate)) as f32;
            assert!(
                values.iter().all(|v| *v == 0.0 || (*v - kept).abs() < 1e-6),
                "{backend} {rate}"
            );
            let dropped = values.iter().filter(|v| **v == 0.0).count() as f64 / n;
            let error = (rate * (1.0 - rate) / n).sqrt();
            assert!(
                (dropped - rate).abs() <= ERRORS * error,
                "{backend}: {dropped} of {rate} are dropped"
            );
            let mut gradients = output.sum().backward();
            let gradient = input.grad_remove(&mut gradients).expect("a gradient");
            assert_eq!(read(gradient), values, "{backend} {rate}");
        }
        let plain = Tensor::<3>::ones(shape, &device);
        assert_eq!(
            largest(&read(dropout(plain, 0.5))),
            1.0,
            "{backend}: not in training"
        );
    }
}

/// Dropout on attention weights, in the kernel and out of single operations: its mean over many masks is what attention
/// without it gives, and the two forms spread alike.
#[test]
fn dropped_attention_has_the_mean_of_attention() {
    const RATE: f64 = 0.3;
    const DRAWS: u64 = 4000;
    let [heads, seq, d_head] = [2, 5, 3];
    let width = 3 * heads * d_head;
    let values: Vec<f32> = (0..seq * width)
        .map(|i| ((i * 37 + 11) % 64) as f32 / 32.0 - 1.0)
        .collect();
    let device = Device::flex().autodiff();
    let qkv = Tensor::<3>::from_data(TensorData::new(values.clone(), [1, seq, width]), &device);
    let composed = |rate: f64| {
        let part = |index: usize| {
            qkv.clone()
                .narrow(2, index * heads * d_head, heads * d_head)
                .reshape([1, seq, heads, d_head])
                .swap_dims(1, 2)
        };
        let mask = causal_mask(seq, seq, &device);
        let mixed = attend(part(0), part(1), part(2), Some(mask), rate);
        read(mixed.swap_dims(1, 2).reshape([1, seq, heads * d_head]))
    };
    let fused = |rate: f64| {
        let sizes = Sizes {
            batch: 1,
            seq,
            n_heads: heads,
            d_head,
        };
        attention::forward(&values, sizes, next_mask(&qkv, rate)).0
    };
    let expected = composed(0.0);
    let mut spreads = Vec::new();
    for draw in [&composed as &dyn Fn(f64) -> Vec<f32>, &fused] {
        let count = expected.len();
        let (mut sum, mut squares) = (vec![0.0; count], vec![0.0; count]);
        for seed in 0..DRAWS {
            seed_dropout(&device, seed);
            for (at, value) in draw(RATE).into_iter().map(f64::from).enumerate() {
                sum[at] += value;
                squares[at] += value * value;
            }
        }
        let n = DRAWS as f64;
        let mut spread = 0.0;
        for (at, expected) in expected.iter().enumerate() {
            let mean = sum[at] / n;
            let variance = (squares[at] / n - mean * mean).max(0.0);
            spread += variance;
            let off = (mean - f64::from(*expected)).abs();
            assert!(
                off <= ERRORS * (variance / n).sqrt() + 1e-6,
                "{at}: {mean} {expected}"
            );
        }
        spreads.push(spread);
    }
    assert!(
        spreads[0] > 0.1 && (spreads[0] / spreads[1] - 1.0).abs() < 0.1,
        "{spreads:?}"
    );
}
