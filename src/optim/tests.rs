use burn::module::Module;
use burn::tensor::{Device, TensorData};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::*;
use crate::state::{NamedTensor, StateError};

const SCRIPT: &[u8] = include_bytes!("../../tests/reference/optimizers.py");
const RECORDED: &str = include_str!("../../tests/reference/optimizers.json");

/// The problem of the script: x W^T + b.
#[derive(Module, Debug)]
struct Line {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

struct Problem {
    line: Line,
    x: Tensor<2>,
    y: Tensor<2>,
}

fn recorded() -> Value {
    serde_json::from_str(RECORDED).expect("the recorded file is JSON")
}

fn numbers(value: &Value) -> Vec<f32> {
    let list = value.as_array().expect("a list");
    list.iter()
        .map(|n| n.as_f64().expect("a number") as f32)
        .collect()
}

fn problem() -> Problem {
    let device = Device::flex().autodiff();
    let recorded = recorded();
    let tensor = |name: &str, shape: [usize; 2]| {
        Tensor::<2>::from_data(
            TensorData::new(numbers(&recorded["problem"][name]), shape),
            &device,
        )
    };
    let bias = numbers(&recorded["problem"]["bias"]);
    Problem {
        line: Line {
            weight: Param::from_tensor(tensor("weight", [3, 4])),
            bias: Param::from_data(TensorData::new(bias, [3]), &device),
        },
        x: tensor("x", [5, 4]),
        y: tensor("y", [5, 3]),
    }
}

impl Problem {
    fn gradients(&self) -> (f32, ParameterGradients) {
        let out = self.x.clone().matmul(self.line.weight.val().transpose())
            + self.line.bias.val().unsqueeze::<2>();
        let loss = (out - self.y.clone()).square().mean();
        let gradients = ParameterGradients::collect(&self.line, loss.backward());
        (loss.into_scalar(), gradients)
    }
}

fn config(kind: OptimizerKind) -> OptimizerConfig {
    OptimizerConfig {
        kind,
        learning_rate: 0.05,
        beta1: 0.9,
        beta2: 0.99,
        epsilon: 1e-8,
        momentum: 0.0,
        nesterov: false,
        weight_decay: 0.0,
        decay_form: DecayForm::Auto,
        decay_group: DecayGroup::All,
        grad_clip: 0.0,
    }
}

fn cases() -> Vec<(&'static str, OptimizerConfig)> {
    let momentum = OptimizerConfig {
        momentum: 0.9,
        ..config(OptimizerKind::Sgd)
    };
    let decayed = |config: OptimizerConfig| OptimizerConfig {
        weight_decay: 0.1,
        ..config
    };
    let adamw = decayed(config(OptimizerKind::AdamW));
    vec![
        (
            "sgd",
            OptimizerConfig {
                learning_rate: 0.1,
                ..config(OptimizerKind::Sgd)
            },
        ),
        ("sgd-momentum", momentum.clone()),
        (
            "sgd-nesterov",
            OptimizerConfig {
                nesterov: true,
                ..momentum.clone()
            },
        ),
        ("sgd-l2", decayed(momentum.clone())),
        (
            "adam",
            OptimizerConfig {
                beta2: 0.999,
                ..config(OptimizerKind::Adam)
            },
        ),
        (
            "adam-l2",
            OptimizerConfig {
                beta2: 0.95,
                ..decayed(config(OptimizerKind::Adam))
            },
        ),
        ("adamw", adamw.clone()),
        (
            "adamw-matrices",
            OptimizerConfig {
                decay_group: DecayGroup::Matrices,
                ..adamw.clone()
            },
        ),
        (
            "sgd-clipped",
            OptimizerConfig {
                learning_rate: 0.5,
                grad_clip: 0.25,
                ..momentum
            },
        ),
        (
            "adamw-clipped",
            OptimizerConfig {
                epsilon: 1e-3,
                grad_clip: 0.1,
                ..adamw
            },
        ),
    ]
}

/// One step with clipping as the trainer makes it: the loss and the norm before clipping.
fn step(problem: &mut Problem, optimizer: &mut Optimizer) -> (f32, f64) {
    let (loss, gradients) = problem.gradients();
    let sums: Vec<f32> = read(gradients.square_sums().expect("gradients"));
    let norm = gradients.norms(&sums, 1.0).global;
    let update = Update {
        learning_rate: optimizer.config().learning_rate,
        gradient_scale: clip_coefficient(norm, optimizer.config().grad_clip),
        measure: false,
    };
    let (line, _) = optimizer.step(problem.line.clone(), gradients, update);
    problem.line = line;
    (loss, norm)
}

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("float32")
}

fn assert_close(name: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() <= tolerance * expected.abs().max(0.1),
            "{name}: {found} instead of {expected}"
        );
    }
}

fn parameters(line: &Line) -> Vec<NamedTensor> {
    let named = |name: &str, shape: Vec<usize>, data| NamedTensor {
        name: name.to_string(),
        shape,
        data,
    };
    vec![
        named("weight", vec![3, 4], read(line.weight.val())),
        named("bias", vec![3], read(line.bias.val())),
    ]
}

#[test]
fn recorded_values_belong_to_the_script() {
    let digest: String = Sha256::digest(SCRIPT)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        recorded()["script_sha256"],
        digest,
        "run tests/reference/optimizers.py"
    );
}

/// Tolerance: float32 rounding over ten steps; both sides are float32 with scalars worked out in float64.
#[test]
fn ten_steps_equal_torch() {
    let recorded = recorded();
    for (name, config) in cases() {
        let mut problem = problem();
        let mut optimizer = Optimizer::new(&config);
        let case = &recorded["cases"][name];
        let (mut losses, mut norms) = (Vec::new(), Vec::new());
        for _ in 0..10 {
            let (loss, norm) = step(&mut problem, &mut optimizer);
            losses.push(loss);
            norms.push(norm as f32);
        }
        assert_close(name, &losses, &numbers(&case["losses"]), 1e-5);
        assert_close(name, &norms, &numbers(&case["norms"]), 1e-5);
        let weight = read(problem.line.weight.val());
        assert_close(name, &weight, &numbers(&case["weight"]), 1e-5);
        let bias = read(problem.line.bias.val());
        assert_close(name, &bias, &numbers(&case["bias"]), 1e-5);
    }
}

/// The fused pass and the tensor operations are one rule.
#[test]
fn both_writings_of_the_rule_agree() {
    let device = Device::flex();
    let tensor = |values: Vec<f32>| {
        let count = values.len();
        Tensor::<1>::from_data(TensorData::new(values, [count]), &device)
    };
    let numbers = |a: usize| -> Vec<f32> {
        (0..1000)
            .map(|i| ((i * a) % 257) as f32 / 128.0 - 1.0)
            .collect()
    };
    for decay_form in [DecayForm::L2, DecayForm::Decoupled] {
        for (name, config) in cases() {
            let config = OptimizerConfig {
                decay_form,
                weight_decay: 0.1,
                ..config
            };
            let (mut host, mut other) = (tensor(numbers(37)), tensor(numbers(37)));
            let (mut host_moments, mut other_moments) = (None, None);
            for steps in 1..=5 {
                let update = Update {
                    learning_rate: 0.01,
                    gradient_scale: 0.7,
                    measure: false,
                };
                let rule = Rule::new(&config, steps, update, true);
                let gradient = tensor(numbers(11 + steps as usize));
                (host, host_moments) = rule.apply_on_host(host, gradient.clone(), host_moments);
                (other, other_moments) = rule.apply_on_device(other, gradient, other_moments);
            }
            assert_close(name, &read(host), &read(other), 1e-5);
        }
    }
}

#[test]
fn clipping() {
    assert_eq!(clip_coefficient(10.0, 0.0), 1.0);
    assert_eq!(clip_coefficient(0.5, 1.0), 1.0);
    let coefficient = clip_coefficient(4.0, 1.0);
    assert!((coefficient - 0.25).abs() < 1e-6);
    assert!(clip_coefficient(f64::INFINITY, 1.0) == 0.0);
}

#[test]
fn norms_are_over_all_parameters() {
    let (_, gradients) = problem().gradients();
    let norms = gradients.norms(&[9.0, 16.0], 0.5);
    assert_eq!(norms.global, 2.5);
    assert_eq!(
        norms.parameters,
        vec![("weight".to_string(), 1.5), ("bias".to_string(), 2.0)]
    );
}

#[test]
fn gradients_that_are_not_finite_are_named() {
    let mut problem = problem();
    assert_eq!(problem.gradients().1.first_not_finite(), None);
    assert_eq!(first_weight_not_finite(&problem.line), None);
    problem.line.bias = problem.line.bias.map(|bias| {
        let shape = bias.dims();
        Tensor::from_data(
            TensorData::new(vec![0.0, f32::NAN, 0.0], shape),
            &bias.device(),
        )
        .require_grad()
    });
    assert_eq!(
        first_weight_not_finite(&problem.line).as_deref(),
        Some("bias")
    );
    assert!(problem.gradients().1.first_not_finite().is_some());
}

#[test]
fn decay_groups_and_forms() {
    // With a gradient scale of 0 only decay moves anything.
    let still = Update {
        learning_rate: 0.5,
        gradient_scale: 0.0,
        measure: false,
    };
    for (group, bias_moves) in [(DecayGroup::Matrices, false), (DecayGroup::All, true)] {
        let config = OptimizerConfig {
            weight_decay: 0.1,
            decay_group: group,
            ..config(OptimizerKind::AdamW)
        };
        let problem = problem();
        let (weight, bias) = (
            read(problem.line.weight.val()),
            read(problem.line.bias.val()),
        );
        let (_, gradients) = problem.gradients();
        let (line, _) = Optimizer::new(&config).step(problem.line, gradients, still);
        let shrunk = |values: &[f32]| values.iter().map(|v| v * 0.95).collect::<Vec<_>>();
        assert_close("weight", &read(line.weight.val()), &shrunk(&weight), 1e-6);
        let expected = if bias_moves { shrunk(&bias) } else { bias };
        assert_close("bias", &read(line.bias.val()), &expected, 1e-6);
    }
}

#[test]
fn state_goes_out_and_in_bit_for_bit() {
    for (name, config) in cases() {
        let mut straight = problem();
        let mut optimizer = Optimizer::new(&config);
        for _ in 0..4 {
            step(&mut straight, &mut optimizer);
        }
        let state = optimizer.state();
        let mut other = Optimizer::new(&config);
        other
            .load_state(&state, &parameters(&straight.line))
            .expect("its own state");
        assert_eq!(other.state(), state, "{name}");
        let mut resumed = Problem {
            line: straight.line.clone(),
            ..problem()
        };
        for _ in 0..4 {
            let (a, b) = step(&mut straight, &mut optimizer);
            let (c, d) = step(&mut resumed, &mut other);
            assert_eq!((a.to_bits(), b.to_bits()), (c.to_bits(), d.to_bits()));
        }
        assert_eq!(parameters(&straight.line), parameters(&resumed.line));
    }
}

#[test]
fn foreign_state_is_refused() {
    let mut trained = problem();
    let mut optimizer = Optimizer::new(&config(OptimizerKind::AdamW));
    step(&mut trained, &mut optimizer);
    let shapes = parameters(&trained.line);
    let state = optimizer.state();

    let without = |name: &str| -> Vec<NamedTensor> {
        state.iter().filter(|t| t.name != name).cloned().collect()
    };
    let problem_of = |state: &[NamedTensor]| {
        Optimizer::new(&config(OptimizerKind::AdamW))
            .load_state(state, &shapes)
            .expect_err("foreign")
    };
    assert_eq!(
        problem_of(&without("steps")),
        StateError::Missing("steps".to_string())
    );
    assert_eq!(
        problem_of(&without("weight/second")),
        StateError::Missing("weight/second".to_string())
    );
    let mut renamed = state.clone();
    renamed[1].name = "other/first".to_string();
    assert!(matches!(problem_of(&renamed), StateError::Unexpected(_)));
    let mut cut = state.clone();
    cut[1].data.pop();
    assert!(matches!(problem_of(&cut), StateError::Shape { .. }));
}

#[test]
fn a_change_of_kind_keeps_what_means_the_same() {
    let mut trained = problem();
    let mut optimizer = Optimizer::new(&config(OptimizerKind::Adam));
    step(&mut trained, &mut optimizer);
    let state = optimizer.state();
    assert!(optimizer.reconfigure(&config(OptimizerKind::AdamW)));
    assert_eq!(optimizer.state(), state);
    assert!(!optimizer.reconfigure(&config(OptimizerKind::Sgd)));
    assert_eq!(optimizer.state().len(), 1);
}

#[test]
fn measured_norms() {
    let mut problem = problem();
    let before = read(problem.line.bias.val());
    let (_, gradients) = problem.gradients();
    let update = Update {
        learning_rate: 0.1,
        gradient_scale: 1.0,
        measure: true,
    };
    let mut optimizer = Optimizer::new(&config(OptimizerKind::Sgd));
    let (line, norms) = optimizer.step(problem.line, gradients, update);
    problem.line = line;
    let after = read(problem.line.bias.val());
    let length = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
    assert_eq!(norms[1].name, "bias");
    let weight_norm = length(&mut after.iter().copied());
    assert!((norms[1].weight_norm as f32 - weight_norm).abs() < 1e-6);
    let update_norm = length(&mut after.iter().zip(&before).map(|(a, b)| a - b));
    assert!((norms[1].update_norm as f32 - update_norm).abs() < 1e-6);
}

#[test]
fn a_large_step_count_is_exact() {
    let mut optimizer = Optimizer::new(&config(OptimizerKind::AdamW));
    optimizer.steps = (1 << 24) * 5 + 16_777_213;
    let mut other = Optimizer::new(&config(OptimizerKind::AdamW));
    other
        .load_state(&optimizer.state(), &[])
        .expect("its own state");
    assert_eq!(other.steps, optimizer.steps);
}
