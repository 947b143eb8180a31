//! What an export writes, and that it comes back.

use burn::tensor::Device;
use fireside::config::{self, RunConfig};
use fireside::export::{ExportError, Format, Replace, export, gpt2, import_hf, tensors};
use fireside::model::{LanguageModel, load_named_tensors, named_tensors};
use fireside::state::NamedTensor;
use serde_json::Value;

use crate::made::{Made, decoder, gpts, logits, rungs};

fn tied(config: &RunConfig) -> bool {
    match &config.model {
        config::ModelConfig::Transformer(c) | config::ModelConfig::Gpt(c) => c.tied_head,
        _ => false,
    }
}

#[test]
fn an_export_comes_back_bit_for_bit() {
    let place = tempfile::tempdir().unwrap();
    for made in gpts() {
        let out = place.path().join(&made.name);
        made.export(Format::HuggingFace, &out);
        let back = import_hf(&out).unwrap_or_else(|error| panic!("{}: {error}", made.name));
        assert_eq!(back.tokenizer.to_json(), made.tokenizer.to_json());
        let model = LanguageModel::new(
            &back.config.model,
            back.tokenizer.vocab_size(),
            1,
            &Device::flex(),
        );
        let model = load_named_tensors(model, &back.tensors).unwrap();
        let ids = made.ids();
        let (back_again, before) = (logits(&model, &ids), logits(&made.model, &ids));
        if tied(&back.config) == tied(&made.config) {
            assert_eq!(back_again, before, "{}", made.name);
            continue;
        }
        // A scaled, tied embedding leaves as two tables: the same numbers, multiplied in another order.
        for (a, b) in back_again.iter().flatten().zip(before.iter().flatten()) {
            assert!((a - b).abs() < 1e-5, "{}: {a} {b}", made.name);
        }
    }
}

#[test]
fn the_folder_is_what_transformers_expects() {
    let place = tempfile::tempdir().unwrap();
    for made in gpts() {
        let out = place.path().join(&made.name);
        made.export(Format::HuggingFace, &out);
        let mut names: Vec<String> = std::fs::read_dir(&out)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "config.json",
                "generation_config.json",
                "model.safetensors",
                "tokenizer.json",
                "tokenizer_config.json"
            ]
        );
        let read = |name: &str| -> Value {
            serde_json::from_slice(&std::fs::read(out.join(name)).unwrap()).unwrap()
        };
        let config = read("config.json");
        let (config::ModelConfig::Gpt(c) | config::ModelConfig::Transformer(c)) =
            &made.config.model
        else {
            panic!("{} is no decoder", made.name);
        };
        let vocab = made.tokenizer.vocab_size();
        assert_eq!(config["vocab_size"], vocab);
        assert_eq!(config["n_positions"], 24);
        assert_eq!(config["layer_norm_epsilon"], 1e-5);
        for file in ["config.json", "generation_config.json"] {
            for key in ["bos_token_id", "eos_token_id"] {
                // There, null, and not left to the default, which is outside the vocabulary.
                assert_eq!(read(file).get(key), Some(&Value::Null), "{file} {key}");
            }
        }
        let bytes = std::fs::read(out.join("model.safetensors")).unwrap();
        let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
        let found = tensors::read(&bytes, |_| true).unwrap();
        let shape = |name: &str| {
            let tensor = found.iter().find(|tensor| tensor.name == name);
            tensor.map(|tensor| tensor.shape.clone())
        };
        assert_eq!(
            shape("transformer.h.1.attn.c_attn.weight"),
            Some(vec![32, 96])
        );
        assert_eq!(shape("transformer.wpe.weight"), Some(vec![24, 32]));
        assert_eq!(
            shape("transformer.h.0.mlp.c_fc.weight"),
            Some(vec![32, if c.d_ff == 0 { 128 } else { c.d_ff }])
        );
        let head = shape("lm_head.weight");
        let tied = config["tie_word_embeddings"].as_bool().unwrap();
        assert_eq!(head, (!tied).then(|| vec![vocab, 32]), "{}", made.name);
        assert_eq!(tied, c.tied_head && !c.scale_embeddings);
        if !c.bias {
            let bias = found
                .iter()
                .find(|tensor| tensor.name == "transformer.ln_f.bias")
                .unwrap();
            assert!(bias.data.iter().all(|value| *value == 0.0));
        }
    }
}

#[test]
fn what_a_gpt2_cannot_represent_says_why_and_what_to_do() {
    let place = tempfile::tempdir().unwrap();
    let head_bias = ["model.norm=\"pre\"", "tokenizer.min_freq=1"];
    let cases = [
        (
            decoder("head-bias", "transformer", &head_bias),
            "model.head_bias",
        ),
        (
            decoder("post", "transformer", &["tokenizer.min_freq=1"]),
            "model.norm",
        ),
        (
            Made::new("rnn", "char-rnn", &["model.hidden_size=8"]),
            "char-rnn",
        ),
    ];
    for (made, sentence) in cases {
        assert!(!gpt2::obstacles(&made.config.model).is_empty());
        let out = place.path().join("out");
        let error =
            export(&made.exported(), Format::HuggingFace, &out, Replace::Never).unwrap_err();
        assert!(matches!(error, ExportError::NotGpt2 { .. }));
        let message = error.to_string();
        assert!(
            message.contains(sentence) && message.contains("--to safetensors"),
            "{message}"
        );
        assert!(!out.exists());
    }
}

#[test]
fn a_plain_export_lists_every_tensor() {
    let place = tempfile::tempdir().unwrap();
    for made in rungs() {
        let out = place.path().join(&made.name);
        made.export(Format::Safetensors, &out);
        let bytes = std::fs::read(out.join("model.safetensors")).unwrap();
        let mut found = tensors::read(&bytes, |_| true).unwrap();
        let mut expected = named_tensors(&made.model);
        let by_name = |a: &NamedTensor, b: &NamedTensor| a.name.cmp(&b.name);
        found.sort_by(by_name);
        expected.sort_by(by_name);
        assert_eq!(found, expected, "{}", made.name);
        let readme = std::fs::read_to_string(out.join("README.md")).unwrap();
        for tensor in expected {
            let line = format!("| `{}` | `{:?}` |", tensor.name, tensor.shape);
            assert!(readme.contains(&line), "{}: {line}", made.name);
        }
    }
}
