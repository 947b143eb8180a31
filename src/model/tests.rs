//! What must hold for every rung and every variant of it.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Gradients, Int, Tensor, TensorData, s};

use super::*;
use crate::config::*;

const VOCAB: usize = 11;

fn recurrent(cell: CellKind, input: InputKind, n_layers: usize) -> RecurrentConfig {
    RecurrentConfig {
        context_length: 8,
        input,
        cell,
        d_embedding: 6,
        hidden_size: 10,
        n_layers,
        dropout: 0.0,
    }
}

fn attentive(cell: CellKind, score: ScoreKind) -> AttentiveConfig {
    AttentiveConfig {
        context_length: 8,
        input: InputKind::Embedding,
        cell,
        d_embedding: 6,
        hidden_size: 10,
        n_layers: 1,
        dropout: 0.0,
        score,
        d_attention: 7,
    }
}

/// The recipe of `configs/gpt.toml` in small.
pub(crate) fn small_gpt() -> TransformerConfig {
    TransformerConfig {
        context_length: 8,
        d_model: 12,
        n_heads: 3,
        n_layers: 2,
        d_ff: 0,
        dropout: 0.0,
        norm: NormKind::Pre,
        activation: ActivationKind::GeluTanh,
        positions: PositionKind::Learned,
        scale_embeddings: false,
        tied_head: true,
        bias: true,
        qkv_bias: true,
        head_bias: false,
        init: InitKind::Gpt2,
    }
}

fn small_transformer() -> TransformerConfig {
    TransformerConfig {
        d_ff: 20,
        norm: NormKind::Post,
        activation: ActivationKind::Relu,
        positions: PositionKind::Sinusoidal,
        scale_embeddings: true,
        tied_head: false,
        head_bias: true,
        init: InitKind::Uniform,
        ..small_gpt()
    }
}

/// Every rung with every variant of its parts, at least once.
pub(crate) fn variants() -> Vec<(String, ModelConfig)> {
    use CellKind::*;
    use InputKind::*;
    let mut variants = Vec::new();
    let mut add = |name: &str, config: ModelConfig| {
        variants.push((format!("{} {name}", config.kind().key()), config));
    };
    add("rnn", ModelConfig::CharRnn(recurrent(Rnn, Embedding, 2)));
    add("one-hot", ModelConfig::CharRnn(recurrent(Rnn, OneHot, 1)));
    add("lstm", ModelConfig::CharRnn(recurrent(Lstm, OneHot, 2)));
    add("gru", ModelConfig::WordGru(recurrent(Gru, Embedding, 2)));
    let scores = [
        ("additive", ScoreKind::Additive),
        ("dot", ScoreKind::Dot),
        ("scaled-dot", ScoreKind::ScaledDot),
    ];
    for (name, score) in scores {
        add(name, ModelConfig::LstmAttention(attentive(Lstm, score)));
    }
    let gru = attentive(Gru, ScoreKind::Additive);
    add("gru", ModelConfig::LstmAttention(gru));
    add("post", ModelConfig::Transformer(small_transformer()));
    let pre = TransformerConfig {
        norm: NormKind::Pre,
        activation: ActivationKind::Gelu,
        qkv_bias: false,
        head_bias: false,
        ..small_transformer()
    };
    add("pre", ModelConfig::Transformer(pre));
    add("tied", ModelConfig::Gpt(small_gpt()));
    let bare = TransformerConfig {
        bias: false,
        tied_head: false,
        init: InitKind::Normal,
        activation: ActivationKind::Gelu,
        ..small_gpt()
    };
    add("no bias, untied", ModelConfig::Gpt(bare));
    variants
}

fn with_dropout(config: &ModelConfig, rate: f64) -> ModelConfig {
    let mut config = config.clone();
    match &mut config {
        ModelConfig::CharRnn(c) | ModelConfig::WordGru(c) => c.dropout = rate,
        ModelConfig::LstmAttention(c) => c.dropout = rate,
        ModelConfig::Transformer(c) | ModelConfig::Gpt(c) => c.dropout = rate,
    }
    config
}

fn tokens(rows: &[&[i32]], device: &Device) -> Tensor<2, Int> {
    let shape = [rows.len(), rows[0].len()];
    Tensor::from_data(TensorData::new(rows.concat(), shape), device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.detach().into_data().try_into_vec().unwrap()
}

fn largest_difference<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> f32 {
    let (a, b) = (values(a), values(b));
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

const A: &[i32] = &[1, 2, 3, 4, 5, 6, 7, 8];
const B: &[i32] = &[9, 8, 0, 10, 3, 3, 1, 2];

#[test]
fn logits_have_the_shape_of_tokens_by_vocabulary() {
    let device = Device::flex();
    for (name, config) in variants() {
        let model = LanguageModel::new(&config, VOCAB, 1, &device);
        assert_eq!(model.kind(), config.kind());
        assert_eq!(model.vocab_size(), VOCAB);
        for rows in [
            &[A, B][..],
            &[&A[..1]][..],
            &[&A[..5], &B[..5], &A[3..]][..],
        ] {
            let (logits, state) = model.forward(tokens(rows, &device), None);
            assert_eq!(logits.dims(), [rows.len(), rows[0].len(), VOCAB], "{name}");
            let carried = model.supports_carried_state().then_some(rows.len());
            assert_eq!(state.batch_size(), carried, "{name}");
        }
    }
}

#[test]
fn a_later_token_never_changes_an_earlier_logit() {
    let device = Device::flex();
    for (name, config) in variants() {
        let model = LanguageModel::new(&config, VOCAB, 2, &device);
        let (whole, _) = model.forward(tokens(&[A], &device), None);
        for position in 1..A.len() {
            let mut changed = A.to_vec();
            changed[position..]
                .iter_mut()
                .for_each(|t| *t = (*t + 3) % 11);
            let (other, _) = model.forward(tokens(&[&changed], &device), None);
            let before = s![.., 0..position, ..];
            let difference =
                largest_difference(whole.clone().slice(before), other.clone().slice(before));
            assert_eq!(difference, 0.0, "{name} at {position}");
            let at = s![.., position..=position, ..];
            assert!(
                largest_difference(whole.clone().slice(at), other.slice(at)) > 0.0,
                "{name}: the token at {position} has no effect"
            );
        }
    }
}

#[test]
fn two_halves_with_carried_state_equal_one_pass() {
    let device = Device::flex();
    for (name, config) in variants() {
        let model = LanguageModel::new(&config, VOCAB, 3, &device);
        if !model.supports_carried_state() {
            continue;
        }
        let (whole, _) = model.forward(tokens(&[A, B], &device), None);
        let (first, state) = model.forward(tokens(&[&A[..3], &B[..3]], &device), None);
        let state = CarriedState::from_named(&state.detach().to_named(), &device).unwrap();
        let (second, _) = model.forward(tokens(&[&A[3..], &B[3..]], &device), Some(state));
        let difference = largest_difference(whole, Tensor::cat(vec![first, second], 1));
        assert!(difference < 1e-5, "{name}: {difference}");
    }
}

#[test]
fn parameter_count_is_that_of_the_built_model() {
    let device = Device::flex();
    for (name, config) in variants() {
        let model = LanguageModel::new(&config, VOCAB, 4, &device);
        let named: usize = named_tensors(&model).iter().map(|t| t.data.len()).sum();
        assert_eq!(
            model.num_params() as u64,
            parameter_count(&config, VOCAB),
            "{name}"
        );
        assert_eq!(named, model.num_params(), "{name}");
    }
}

#[test]
fn published_parameter_counts() {
    let nanogpt = TransformerConfig {
        context_length: 64,
        d_model: 128,
        n_heads: 4,
        n_layers: 4,
        bias: false,
        qkv_bias: false,
        activation: ActivationKind::Gelu,
        ..small_gpt()
    };
    // nanoGPT prints the count without the position embedding: "0.80M".
    let count = parameter_count(&ModelConfig::Gpt(nanogpt), 65) - 64 * 128;
    assert_eq!(format!("{:.2}M", count as f64 / 1e6), "0.80M");
    let lecture = TransformerConfig {
        context_length: 32,
        d_model: 64,
        n_heads: 4,
        n_layers: 4,
        tied_head: false,
        qkv_bias: false,
        head_bias: true,
        activation: ActivationKind::Relu,
        ..small_gpt()
    };
    assert_eq!(parameter_count(&ModelConfig::Gpt(lecture), 65), 209_729);
}

#[test]
fn names_are_paths_and_fall_into_layers() {
    let model = LanguageModel::new(&ModelConfig::Gpt(small_gpt()), VOCAB, 5, &Device::flex());
    let names: Vec<String> = named_tensors(&model).into_iter().map(|t| t.name).collect();
    assert_eq!(
        names[..6],
        [
            "token_embedding.weight",
            "position_embedding.weight",
            "blocks.0.attention_norm.weight",
            "blocks.0.attention_norm.bias",
            "blocks.0.attention.qkv.weight",
            "blocks.0.attention.qkv.bias",
        ]
    );
    assert_eq!(layer_group("blocks.0.attention.qkv.weight"), "blocks.0");
    assert_eq!(layer_group("layers.1.weight_hh"), "layers.1");
    assert_eq!(layer_group("head.bias"), "head");
    assert_eq!(layer_group("attention.query.weight"), "attention");
}

#[test]
fn saved_and_loaded_models_are_the_same_to_the_bit() {
    let device = Device::flex().autodiff();
    for (name, config) in variants() {
        let model = LanguageModel::new(&config, VOCAB, 6, &device);
        let saved = named_tensors(&model);
        let other = LanguageModel::new(&config, VOCAB, 7, &device);
        assert_ne!(named_tensors(&other), saved, "{name}");
        let loaded = load_named_tensors(other, &saved).unwrap();
        assert_eq!(named_tensors(&loaded), saved, "{name}");
        let (a, _) = model.forward(tokens(&[A], &device), None);
        let (b, _) = loaded.forward(tokens(&[A], &device), None);
        assert_eq!(values(a), values(b), "{name}");
        assert!(loaded.device().is_autodiff(), "{name}");
    }
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let (_, config) = &variants()[0];
    let model = LanguageModel::new(config, VOCAB, 6, &Device::flex());
    let saved = named_tensors(&model);
    let load = |tensors: &[crate::state::NamedTensor]| {
        load_named_tensors(model.clone(), tensors)
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(load(&saved[1..]), "tensor `embedding.weight` is missing");
    let mut wrong = saved.clone();
    wrong[0].shape = vec![6, 11];
    assert_eq!(
        load(&wrong),
        "tensor `embedding.weight` has shape [6, 11], expected [11, 6]"
    );
    let mut extra = saved.clone();
    extra.push(crate::state::NamedTensor {
        name: "tail".to_string(),
        shape: vec![1],
        data: vec![0.0],
    });
    assert_eq!(load(&extra), "tensor `tail` is not part of this model");
}

#[test]
fn initial_weights_depend_on_the_seed_alone() {
    let device = Device::flex();
    for (name, config) in variants() {
        device.seed(1);
        let first = named_tensors(&LanguageModel::new(&config, VOCAB, 8, &device));
        device.seed(2);
        let _ = Tensor::<1>::random([5], burn::tensor::Distribution::Default, &device);
        let second = named_tensors(&LanguageModel::new(&config, VOCAB, 8, &device));
        assert_eq!(first, second, "{name}");
    }
}

#[test]
fn initial_loss_is_that_of_a_guess() {
    let device = Device::flex();
    for (name, config) in variants() {
        let model = LanguageModel::new(&config, VOCAB, 9, &device);
        let (loss, _) = model.loss(tokens(&[A], &device), tokens(&[B], &device), None);
        let loss = values(loss)[0];
        assert!(loss.is_finite(), "{name}");
        if config.kind() == ModelKind::Gpt {
            assert!((loss - (VOCAB as f32).ln()).abs() < 0.1, "{name}: {loss}");
        }
    }
}

#[test]
fn dropout_acts_in_training_only_and_follows_its_seed() {
    let device = Device::flex().autodiff();
    for (name, config) in variants() {
        let model = LanguageModel::new(&with_dropout(&config, 0.5), VOCAB, 10, &device);
        let plain = LanguageModel::new(&config, VOCAB, 10, &device);
        let (expected, _) = plain.forward(tokens(&[A], &device), None);
        let train = |seed: u64| {
            seed_dropout(&device, seed);
            values(model.forward(tokens(&[A], &device), None).0)
        };
        assert_ne!(train(1), values(expected.clone()), "{name}");
        assert_eq!(train(1), train(1), "{name}");
        assert_ne!(train(1), train(2), "{name}");
        let valid = model.valid();
        let (logits, _) = valid.forward(tokens(&[A], &valid.device()), None);
        let difference = largest_difference(logits, expected.inner());
        assert!(difference < 1e-5, "{name}: {difference}");
    }
}

/// Sign descent, good enough to overfit.
struct Descent<'a> {
    gradients: &'a mut Gradients,
    rate: f64,
}

impl ModuleMapper for Descent<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|weight| {
            let gradient = weight.grad_remove(self.gradients);
            let gradient = gradient.expect("every parameter has a gradient");
            // The sign of the gradient: every layer moves at the same pace, whatever the scale of its gradients.
            let step = gradient.sign().mul_scalar(self.rate);
            Tensor::from_inner(weight.inner() - step).require_grad()
        })
    }
}

#[test]
fn one_batch_is_overfitted_and_every_parameter_takes_part() {
    let device = Device::flex().autodiff();
    for (name, config) in variants() {
        let mut model = LanguageModel::new(&config, VOCAB, 11, &device);
        let (mut first, mut last) = (0.0, 0.0);
        for step in 0..300 {
            let input = tokens(&[A, B], &device);
            let target = tokens(&[&A[1..], &B[1..]], &device);
            let input = input.slice(s![.., 0..7]);
            let (loss, _) = model.loss(input, target, None);
            let mut gradients = loss.backward();
            last = values(loss)[0];
            if step == 0 {
                first = last;
            }
            let rate = 0.02 * 0.985f64.powi(step);
            model = model.map(&mut Descent {
                gradients: &mut gradients,
                rate,
            });
        }
        assert!(first > 1.5 && last < 0.25, "{name}: {first} -> {last}");
    }
}

/// What a step computes must not depend on how many threads compute it (512 rows are enough for parallel matmuls).
#[test]
fn gradients_do_not_depend_on_the_number_of_threads() {
    let config = TransformerConfig {
        context_length: 64,
        d_model: 128,
        n_heads: 4,
        dropout: 0.1,
        ..small_gpt()
    };
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.unwrap().install(|| {
            let device = Device::flex().autodiff();
            let model = LanguageModel::new(&ModelConfig::Gpt(config.clone()), 65, 12, &device);
            let row: Vec<i32> = (0..64).map(|i| i * 7 % 65).collect();
            let rows = [row.as_slice(); 8];
            seed_dropout(&device, 3);
            let (loss, _) = model.loss(tokens(&rows, &device), tokens(&rows, &device), None);
            let mut gradients = loss.backward();
            let LanguageModel::Gpt(gpt) = &model else {
                unreachable!("the config says gpt")
            };
            let weight = gpt.token_embedding.weight.val();
            let gradient = weight.grad_remove(&mut gradients);
            (values(loss), values(gradient.unwrap()))
        })
    };
    let alone = run(1);
    assert_eq!(alone, run(2));
    assert_eq!(alone, run(5));
}
