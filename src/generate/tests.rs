//! Sessions against whole forward passes, for every rung.

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};

use super::*;
use crate::model::tests::variants;

const VOCAB: usize = 11;

fn whole(model: &LanguageModel, tokens: &[u32], device: &Device) -> Vec<f32> {
    let ids: Vec<i32> = tokens.iter().map(|&token| token as i32).collect();
    let tokens = Tensor::<2, Int>::from_data(TensorData::new(ids, [1, tokens.len()]), device);
    let [_, seq] = tokens.dims();
    let (logits, _) = model.valid().forward(tokens, None);
    let logits: Tensor<3> = logits.slice_dim(1, seq - 1..seq);
    logits.into_data().try_into_vec::<f32>().unwrap()
}

fn assert_close(a: &[f32], b: &[f32], what: &str) {
    assert_eq!(a.len(), b.len());
    for (x, y) in a.iter().zip(b) {
        assert!((x - y).abs() <= 1e-5 * (1.0 + y.abs()), "{what}: {x} {y}");
    }
}

#[test]
fn sessions_equal_whole_passes_at_every_position() {
    let device = Device::flex();
    let text = [3, 1, 4, 1, 5, 9, 2, 6];
    for (name, config) in variants() {
        let model = LanguageModel::new(&config, VOCAB, 1, &device);
        let mut session = Session::new(&model, &[text[..2].to_vec()]).unwrap();
        for position in 2..text.len() {
            let expected = whole(&model, &text[..position], &device);
            assert_close(
                &session.logits()[0],
                &expected,
                &format!("{name} at {position}"),
            );
            session.next_logits(&text[position..=position]).unwrap();
        }
    }
}

#[test]
fn sequences_of_unequal_length_do_not_disturb_each_other() {
    let device = Device::flex();
    let prompts = [vec![1, 2, 3], vec![4], vec![7, 8, 9], vec![5, 6]];
    for (name, config) in variants() {
        let model = LanguageModel::new(&config, VOCAB, 2, &device);
        let mut session = Session::new(&model, &prompts).unwrap();
        let logits = session.next_logits(&[1, 2, 3, 4]).unwrap().to_vec();
        for (index, prompt) in prompts.iter().enumerate() {
            let mut text = prompt.clone();
            text.push(index as u32 + 1);
            assert_close(
                &logits[index],
                &whole(&model, &text, &device),
                &format!("{name} sequence {index}"),
            );
        }
    }
}

#[test]
fn a_full_context_keeps_its_newest_half() {
    let device = Device::flex();
    for (name, config) in variants() {
        let model = LanguageModel::new(&config, VOCAB, 3, &device);
        if model.supports_carried_state() {
            continue;
        }
        let context = config.context_length();
        let prompt: Vec<u32> = (0..context as u32 + 3).map(|i| i % 7).collect();
        let mut session = Session::new(&model, std::slice::from_ref(&prompt)).unwrap();
        let newest = &prompt[3..];
        assert_close(&session.logits()[0], &whole(&model, newest, &device), &name);
        let logits = session.next_logits(&[5]).unwrap().to_vec();
        let mut half = newest[context - context / 2..].to_vec();
        half.push(5);
        assert_close(&logits[0], &whole(&model, &half, &device), &name);
    }
}

#[test]
fn recurrent_sessions_outlive_their_context() {
    let device = Device::flex();
    for (name, config) in variants() {
        let model = LanguageModel::new(&config, VOCAB, 4, &device);
        let mut session = Session::new(&model, &[vec![1]]).unwrap();
        for step in 0..3 * config.context_length() as u32 {
            let logits = session.next_logits(&[step % VOCAB as u32]).unwrap();
            assert!(logits[0].iter().all(|logit| logit.is_finite()), "{name}");
        }
    }
}

#[test]
fn the_same_seed_writes_the_same_text() {
    let device = Device::flex();
    let sample = SampleConfig {
        every: 0,
        prompts: Vec::new(),
        length: 0,
        temperature: 0.9,
        top_k: 5,
        top_p: 0.95,
        min_p: 0.01,
        repetition_penalty: 1.1,
        seed: 9,
    };
    for (name, config) in variants() {
        let model = LanguageModel::new(&config, VOCAB, 5, &device);
        let write = || -> Vec<u32> {
            let generator = Generator::new(&model, &[1, 2], &sample).unwrap();
            generator.take(20).map(|pick| pick.unwrap().id).collect()
        };
        assert_eq!(write(), write(), "{name}");
    }
}

#[test]
fn unreadable_prompts_are_named() {
    let (_, config) = &variants()[0];
    let model = LanguageModel::new(config, VOCAB, 6, &Device::flex());
    let error = Session::new(&model, &[vec![1], vec![]]).unwrap_err();
    assert_eq!(error, GenerateError::EmptyPrompt(1));
    let error = Session::new(&model, &[vec![1, 11]]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "token 11 of prompt 0 is outside the vocabulary of 11"
    );
}
