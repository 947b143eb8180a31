//! Every model with the kernels on and off: the same loss, and the same weights after a step of plain gradient
//! descent, whose size is the gradient's.

#![cfg(feature = "flex")]

use burn::tensor::{Device, Int, Tensor, TensorData};
use fireside::config::{Source, load};
use fireside::kernel;
use fireside::model::{LanguageModel, named_tensors, seed_dropout};
use fireside::optim::{Optimizer, ParameterGradients, Update};

const VOCAB: usize = 37;

/// Two rows of twelve tokens and their successors.
fn batch(device: &Device) -> [Tensor<2, Int>; 2] {
    let at = |shift: i64| -> Vec<i64> {
        (0..24i64)
            .map(|i| ((i + shift) * (i + shift) * 7 + 3) % VOCAB as i64)
            .collect()
    };
    [0, 1].map(|shift| Tensor::from_data(TensorData::new(at(shift), [2, 12]), device))
}

/// The loss, and the weights after one step with learning rate 1.
fn step(preset: &str, sets: &[String]) -> (f64, Vec<(String, Vec<f32>)>) {
    let config = load(Source::Preset(preset.into()), sets).expect("a valid configuration");
    let device = Device::flex().autodiff();
    let model = LanguageModel::new(&config.model, VOCAB, 5, &device);
    seed_dropout(&device, 11);
    let [tokens, targets] = batch(&device);
    // A first window, so that the state carried into the second is not zero.
    let state = model.supports_carried_state().then(|| {
        let (_, state) = model.forward(targets.clone(), None);
        state.detach()
    });
    let (loss, _) = model.loss(tokens, targets, state);
    let value = loss.clone().into_scalar::<f32>();
    let gradients = ParameterGradients::collect(&model, loss.backward());
    let mut optimizer = Optimizer::new(&config.optimizer);
    let update = Update {
        learning_rate: 1.0,
        gradient_scale: 1.0,
        measure: false,
    };
    let (model, _) = optimizer.step(model, gradients, update);
    let weights = named_tensors(&model)
        .into_iter()
        .map(|t| (t.name, t.data))
        .collect();
    (f64::from(value), weights)
}

#[test]
fn kernels_and_composed_operations_agree() {
    let small = [
        "optimizer.kind=sgd",
        "optimizer.momentum=0.0",
        "optimizer.weight_decay=0.0",
        "model.dropout=0.1",
    ];
    let sizes = |extra: &[&str]| -> Vec<String> {
        small.iter().chain(extra).map(|s| s.to_string()).collect()
    };
    let transformer = [
        "model.d_model=24",
        "model.n_heads=3",
        "model.n_layers=2",
        "model.context_length=12",
    ];
    let with = |more: &[&str]| sizes(&[&transformer[..], more].concat());
    let recurrent = [
        "model.hidden_size=20",
        "model.context_length=12",
        "model.n_layers=1",
    ];
    let stacked = ["model.hidden_size=20", "model.n_layers=2"];
    let attending = |score| {
        let score = format!("model.score={score}");
        // A span shorter than the sequence and what came before it.
        sizes(&["model.hidden_size=20", "model.context_length=7", &score])
    };
    let cases = [
        ("gpt", with(&["model.activation=gelu"])),
        (
            "gpt",
            with(&["model.activation=gelu-tanh", "model.bias=false"]),
        ),
        ("transformer", with(&["model.activation=relu"])),
        ("char-rnn", sizes(&recurrent)),
        ("word-gru", sizes(&recurrent)),
        ("lstm-attention", sizes(&recurrent)),
        ("char-rnn", sizes(&stacked)),
        (
            "char-rnn",
            sizes(&[&stacked[..], &["model.cell=gru"]].concat()),
        ),
        (
            "char-rnn",
            sizes(&[&stacked[..], &["model.cell=lstm"]].concat()),
        ),
        (
            "word-gru",
            sizes(&[&stacked[..], &["model.cell=lstm"]].concat()),
        ),
        ("lstm-attention", attending("additive")),
        ("lstm-attention", attending("dot")),
        ("lstm-attention", attending("scaled-dot")),
    ];
    for (preset, sets) in cases {
        kernel::set_enabled(true);
        let (fused_loss, fused) = step(preset, &sets);
        kernel::set_enabled(false);
        let (composed_loss, composed) = step(preset, &sets);
        kernel::set_enabled(true);
        let error = (fused_loss - composed_loss).abs();
        assert!(
            error < 1e-5,
            "{preset} {sets:?}: loss {fused_loss} against {composed_loss}"
        );
        for ((name, fused), (_, composed)) in fused.iter().zip(&composed) {
            for (f, c) in fused.iter().zip(composed) {
                assert!((f - c).abs() < 2e-5, "{preset} {name}: {f} against {c}");
            }
        }
    }
}

#[test]
fn the_square_sum_and_its_gradient() {
    let device = Device::flex().autodiff();
    let values: Vec<f32> = (0..1003)
        .map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0)
        .collect();
    let x = Tensor::<2>::from_data(TensorData::new(values, [17, 59]), &device).require_grad();
    // A factor, so that the gradient of the sum is not 1.
    let fused = kernel::square_sum(x.clone()).mul_scalar(3.0);
    let composed = x.clone().square().sum().mul_scalar(3.0);
    let (a, b) = (
        fused.clone().into_scalar::<f32>(),
        composed.clone().into_scalar::<f32>(),
    );
    assert!((a - b).abs() < 1e-5 * b);
    let gradient = |loss: Tensor<1>| -> Vec<f32> {
        let gradient = x.grad(&loss.backward()).expect("x is tracked");
        gradient.into_data().try_into_vec().expect("float32")
    };
    for (a, b) in gradient(fused).iter().zip(gradient(composed)) {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }
}
