//! The direct path against whole forward passes, in the sizes of the default presets and across slides.

use burn::tensor::{Device, Int, TensorData};

use super::*;
use crate::config::{self, ModelConfig, SampleConfig, Source};
use crate::generate::{Batch, Generator, Session};
use crate::model::tests::variants;

/// The ladder as it comes, and both transformers with other shapes.
fn presets() -> Vec<(String, ModelConfig)> {
    let cases: [(&str, &[&str]); 7] = [
        ("char-rnn", &[]),
        ("word-gru", &[]),
        ("lstm-attention", &[]),
        ("transformer", &[]),
        ("gpt", &[]),
        (
            "gpt",
            &[
                "model.d_model=72",
                "model.n_heads=6",
                "model.context_length=70",
                "model.bias=false",
            ],
        ),
        (
            "lstm-attention",
            &["model.score=\"scaled-dot\"", "model.context_length=9"],
        ),
    ];
    let load = |name: &str, sets: &[&str]| {
        let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
        config::load(Source::Preset(name.into()), &sets)
            .unwrap()
            .model
    };
    cases
        .into_iter()
        .map(|(name, sets)| (format!("{name} {sets:?}"), load(name, sets)))
        .collect()
}

fn whole(model: &LanguageModel, tokens: &[u32]) -> Vec<f32> {
    let ids: Vec<i32> = tokens.iter().map(|&token| token as i32).collect();
    let data = TensorData::new(ids, [1, tokens.len()]);
    let (logits, _) = model.forward(Tensor::<2, Int>::from_data(data, &Device::flex()), None);
    logits.into_data().try_into_vec().unwrap()
}

#[test]
fn default_presets_equal_their_forward_pass_at_every_position() {
    const VOCAB: usize = 131;
    for (name, config) in presets() {
        let model = LanguageModel::new(&config, VOCAB, 3, &Device::flex());
        let context = config.context_length();
        let text: Vec<u32> = (0..context as u32).map(|i| (i * i + 5 * i) % 131).collect();
        let expected = whole(&model, &text);
        let weights = Weights::of(&model).unwrap();
        // Token by token, and all at once; on any number of threads the same.
        let [mut alone, mut team] = [1, 3].map(Team::new);
        let mut states = [weights.state()];
        let mut others = [weights.state()];
        let mut largest = 0.0f32;
        for (position, expected) in expected.chunks(VOCAB).enumerate() {
            let token = [vec![text[position]]];
            let logits = weights.read(&mut states, &token, &mut team);
            assert_eq!(logits, weights.read(&mut others, &token, &mut alone));
            for (a, b) in logits[0].iter().zip(expected) {
                largest = largest.max((a - b).abs() / (1.0 + b.abs()));
            }
        }
        assert!(largest < 1e-5, "{name}: {largest}");
        let mut states = [weights.state()];
        let once = weights.read(&mut states, std::slice::from_ref(&text), &mut team);
        let mut others = [weights.state()];
        let text = [text];
        assert_eq!(once, weights.read(&mut others, &text, &mut alone));
        for (a, b) in once[0].iter().zip(&expected[(context - 1) * VOCAB..]) {
            assert!((a - b).abs() < 1e-5 * (1.0 + b.abs()), "{name}: {a} {b}");
        }
    }
}

#[test]
fn a_sequence_is_the_same_alone_and_in_company() {
    let settings = |seed| SampleConfig {
        seed,
        temperature: 1.0,
        top_k: 0,
        ..config::RunConfig::defaults().sample
    };
    for (name, config) in variants() {
        let model = LanguageModel::new(&config, 11, 5, &Device::flex());
        let all: Vec<SampleConfig> = (0..6).map(settings).collect();
        // Past the context, so that slides are among it.
        let length = 2 * config.context_length() + 3;
        let together: Vec<Vec<_>> = Batch::new(&model, &[1, 2], &all)
            .unwrap()
            .take(length)
            .map(Result::unwrap)
            .collect();
        for (index, settings) in all.iter().enumerate() {
            let alone: Vec<_> = Generator::new(&model, &[1, 2], settings)
                .unwrap()
                .take(length)
                .map(Result::unwrap)
                .collect();
            let among: Vec<_> = together.iter().map(|picks| picks[index]).collect();
            assert_eq!(alone, among, "{name} sequence {index}");
        }
    }
}

/// The framework's path, which every device but the CPU takes.
#[cfg(feature = "ndarray")]
#[test]
fn tensors_give_the_same_logits() {
    let device = crate::device::resolve("ndarray").unwrap().device;
    for (name, config) in variants() {
        let plain = LanguageModel::new(&config, 11, 5, &Device::flex());
        let tensors = LanguageModel::new(&config, 11, 5, &device);
        assert!(Weights::of(&tensors).is_none());
        let prompts = [vec![1, 2, 3], vec![4], vec![7, 8, 9]];
        let mut a = Session::new(&plain, &prompts).unwrap();
        let mut b = Session::new(&tensors, &prompts).unwrap();
        for step in 0..2 * config.context_length() as u32 {
            for (a, b) in a.logits().iter().flatten().zip(b.logits().iter().flatten()) {
                assert!(
                    (a - b).abs() < 1e-5 * (1.0 + b.abs()),
                    "{name} step {step}: {a} {b}"
                );
            }
            let tokens = [step % 11, (step * 3) % 11, (step + 5) % 11];
            a.next_logits(&tokens).unwrap();
            b.next_logits(&tokens).unwrap();
        }
    }
}

/// Longer than a piece: read in several.
#[test]
fn a_long_prompt_is_read_in_pieces() {
    for (name, config) in variants() {
        let model = LanguageModel::new(&config, 11, 6, &Device::flex());
        if !model.supports_carried_state() {
            continue;
        }
        let prompt: Vec<u32> = (0..1300).map(|i| (i * 7) % 11).collect();
        let session = Session::new(&model, std::slice::from_ref(&prompt)).unwrap();
        let expected = whole(&model, &prompt);
        for (a, b) in session.logits()[0].iter().zip(&expected[1299 * 11..]) {
            assert!((a - b).abs() < 1e-5 * (1.0 + b.abs()), "{name}: {a} {b}");
        }
    }
}
