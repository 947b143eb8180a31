//! Against `transformers` and PyTorch themselves, by `tests/reference/hf.py`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use burn::tensor::Device;
use fireside::config::RunConfig;
use fireside::export::Format;
use fireside::model::{LanguageModel, load_named_tensors};
use fireside::tokenizer::Tokenizer;
use serde_json::{Value, json};

use crate::made::{Made, PROMPT, gpts, greedy, logits, rungs};
use crate::place::{Place, TINY, losses, mean, train};

/// A Python that has transformers, or a line that says that there is none.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("FIRESIDE_PYTHON").unwrap_or_else(|| "python3".into());
    let found = Command::new(&python)
        .args(["-c", "import torch, transformers, safetensors, tokenizers"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        eprintln!("not run: no Python with torch and transformers (FIRESIDE_PYTHON names one)");
    }
    found.then(|| PathBuf::from(python))
}

fn hf(python: &Path, command: &str, argument: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/hf.py");
    let output = Command::new(python)
        .arg(script)
        .arg(command)
        .arg(argument)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

#[test]
fn transformers_and_pytorch_compute_the_same() {
    let Some(python) = python() else { return };
    let place = tempfile::tempdir().unwrap();
    let entry = |made: &Made, format: Format, name: &str| {
        let folder = place.path().join(format!("{}-{name}", made.name));
        made.export(format, &folder);
        json!({
            "folder": folder, "format": name, "text": PROMPT, "ids": made.ids(),
            "decoded": made.tokenizer.decode(&made.ids()), "logits": logits(&made.model, &made.ids()),
            "greedy": greedy(made, 6),
        })
    };
    let mut entries: Vec<Value> = gpts()
        .iter()
        .map(|made| entry(made, Format::HuggingFace, "hf"))
        .collect();
    entries.extend(
        rungs()
            .iter()
            .map(|made| entry(made, Format::Safetensors, "plain")),
    );
    let count = entries.len();
    let manifest = place.path().join("manifest.json");
    std::fs::write(&manifest, Value::Array(entries).to_string()).unwrap();
    let said = hf(&python, "check", &manifest);
    assert_eq!(said.lines().count(), count, "{said}");
}

#[test]
fn end_to_end_with_transformers() {
    let Some(python) = python() else { return };
    let place = Place::empty();
    // train → export → transformers: the same logits and the same greedy text.
    let mut arguments = vec!["gpt", "--run", "runs/one", "--steps", "40"];
    arguments.extend(TINY);
    train(&place, &arguments);
    place.ok(&["export", "one", "--to", "hf"]);
    let open = |run: &str| {
        let dir = place.path("runs").join(run);
        let config = RunConfig::from_toml(
            "config",
            &std::fs::read_to_string(dir.join("config.toml")).unwrap(),
        )
        .unwrap();
        let tokenizer = Tokenizer::load(&dir.join("tokenizer.json")).unwrap();
        let which = fireside::run::checkpoint::Which::Newest;
        let (weights, _, _) = fireside::run::checkpoint::load_model(&dir, which).unwrap();
        let model = LanguageModel::new(&config.model, tokenizer.vocab_size(), 1, &Device::flex());
        Made {
            name: run.to_string(),
            model: load_named_tensors(model, &weights).unwrap(),
            config,
            tokenizer,
        }
    };
    let made = open("one");
    let manifest = place.path("manifest.json");
    let entries = json!([{
        "folder": place.path("one-hf"), "format": "hf", "text": PROMPT, "ids": made.ids(),
        "decoded": PROMPT, "logits": logits(&made.model, &made.ids()), "greedy": greedy(&made, 8),
    }]);
    std::fs::write(&manifest, entries.to_string()).unwrap();
    hf(&python, "check", &manifest);

    // Random weights from transformers → import → the same logits → trained on, the loss falls.
    let folder = place.path("theirs");
    std::fs::create_dir(&folder).unwrap();
    hf(&python, "make", &folder);
    let expected: Vec<Value> =
        serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
    assert_eq!(expected.len(), 3);
    for case in expected {
        let name = case["name"].as_str().unwrap();
        place.ok(&[
            "import",
            "hf",
            &format!("theirs/{name}"),
            "--run",
            &format!("runs/{name}"),
        ]);
        let made = open(name);
        let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
        let text = case["text"].as_str().unwrap();
        assert_eq!(made.tokenizer.encode(text)[..ids.len()], ids, "{name}");
        let theirs: Vec<Vec<f32>> = serde_json::from_value(case["logits"].clone()).unwrap();
        let ours = logits(&made.model, &ids);
        assert_eq!(ours.len(), theirs.len());
        for (a, b) in ours.iter().flatten().zip(theirs.iter().flatten()) {
            assert!((a - b).abs() <= 1e-4, "{name}: {a} {b}");
        }
        let child = format!("runs/{name}-tuned");
        let mut arguments = vec!["--from", name, "--run", &child, "--steps", "40"];
        arguments.extend([
            "--set",
            "corpus.bytes=40000",
            "--set",
            "train.batch_size=8",
            "--set",
            "eval.batches=4",
            "--set",
            "sample.every=0",
            "--set",
            "schedule.warmup=5",
            "--set",
            "optimizer.learning_rate=3e-3",
        ]);
        let losses = losses(&train(&place, &arguments));
        let (begin, end) = (losses[0], mean(&losses[30..]));
        assert!(end < begin - 0.5, "{name}: {begin} {end}");
    }
}
