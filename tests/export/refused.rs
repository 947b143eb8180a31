//! Folders that cannot be imported.

use std::path::Path;

use fireside::export::{Format, ImportError, import_hf, tensors};
use fireside::state::NamedTensor;
use serde_json::{Value, json};

use crate::made::decoder;

/// A sound folder, then one thing at a time is wrong with it.
#[test]
fn a_folder_that_cannot_be_imported_is_refused_by_name() {
    type Damage = fn(&Path);
    fn edit(folder: &Path, key: &str, value: Value) {
        let path = folder.join("config.json");
        let mut config: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        config[key] = value;
        std::fs::write(path, config.to_string()).unwrap();
    }
    fn change(folder: &Path, change: impl Fn(&mut Vec<NamedTensor>)) {
        let path = folder.join("model.safetensors");
        let mut found = tensors::read(&std::fs::read(&path).unwrap(), |_| true).unwrap();
        change(&mut found);
        std::fs::write(path, tensors::write(&found)).unwrap();
    }
    let cases: [(&str, Damage); 17] = [
        ("has no config.json", |f| {
            std::fs::remove_file(f.join("config.json")).unwrap()
        }),
        ("config.json cannot be read", |f| {
            std::fs::write(f.join("config.json"), "{").unwrap()
        }),
        ("model_type is \"llama\", expected \"gpt2\"", |f| {
            edit(f, "model_type", json!("llama"))
        }),
        ("model_type is absent", |f| {
            edit(f, "model_type", Value::Null)
        }),
        ("activation_function is \"silu\"", |f| {
            edit(f, "activation_function", json!("silu"))
        }),
        ("layer_norm_epsilon is 0.001", |f| {
            edit(f, "layer_norm_epsilon", json!(1e-3))
        }),
        ("scale_attn_by_inverse_layer_idx is true", |f| {
            edit(f, "scale_attn_by_inverse_layer_idx", json!(true))
        }),
        ("n_layer is \"two\", expected a number", |f| {
            edit(f, "n_layer", json!("two"))
        }),
        ("n_head is 5, expected a divisor of n_embd", |f| {
            edit(f, "n_head", json!(5))
        }),
        ("has no tokenizer.json", |f| {
            std::fs::remove_file(f.join("tokenizer.json")).unwrap()
        }),
        ("tokenizer.json: not a tokenizer.json", |f| {
            std::fs::write(f.join("tokenizer.json"), "[]").unwrap()
        }),
        (
            "tokenizer.json has 280 tokens, but vocab_size in config.json is 300",
            |f| edit(f, "vocab_size", json!(300)),
        ),
        ("has no model.safetensors", |f| {
            std::fs::remove_file(f.join("model.safetensors")).unwrap()
        }),
        ("model.safetensors cannot be read", |f| {
            std::fs::write(f.join("model.safetensors"), "short").unwrap()
        }),
        (
            "12 tensors of this GPT-2 are missing, the first of them `transformer.h.2.ln_1.weight`",
            |f| edit(f, "n_layer", json!(3)),
        ),
        (
            "tensor `transformer.wpe.weight` has shape [24, 32], expected [48, 32]",
            |f| edit(f, "n_positions", json!(48)),
        ),
        ("tensor `extra.weight` is not part of a GPT-2", |f| {
            change(f, |tensors| {
                tensors.push(NamedTensor {
                    name: "extra.weight".into(),
                    shape: vec![1],
                    data: vec![1.0],
                })
            })
        }),
    ];
    let made = decoder("gpt", "gpt", &["tokenizer.vocab_size=280"]);
    let place = tempfile::tempdir().unwrap();
    for (index, (sentence, damage)) in cases.into_iter().enumerate() {
        let folder = place.path().join(index.to_string());
        made.export(Format::HuggingFace, &folder);
        damage(&folder);
        let error = import_hf(&folder).unwrap_err();
        assert!(error.to_string().contains(sentence), "{sentence}: {error}");
    }
    let error = import_hf(&place.path().join("nowhere")).unwrap_err();
    assert!(matches!(error, ImportError::NotAFolder(_)), "{error}");
    // A tied model whose file holds the shared tensor twice is sound, provided that both are the same.
    let twice = place.path().join("twice");
    made.export(Format::HuggingFace, &twice);
    change(&twice, |tensors| {
        let mut head = tensors
            .iter()
            .find(|tensor| tensor.name == "transformer.wte.weight")
            .unwrap()
            .clone();
        head.name = "lm_head.weight".into();
        tensors.push(head);
    });
    import_hf(&twice).unwrap();
    change(&twice, |tensors| {
        let head = tensors.iter_mut().find(|t| t.name == "lm_head.weight");
        head.unwrap().data[0] += 1.0;
    });
    let error = import_hf(&twice).unwrap_err();
    assert!(matches!(error, ImportError::NotTied { .. }), "{error}");
}
