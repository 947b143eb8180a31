//! Models that leave and arrive. What needs no Python is tested without; the rest, against `transformers` itself, runs where
//! `FIRESIDE_PYTHON` (or `python3`) can import it, and says so where it cannot.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use burn::tensor::{Device, Int, Tensor, TensorData};
use fireside::config::{self, RunConfig, SampleConfig, Source};
use fireside::export::{
    ExportError, Exported, Format, ImportError, Replace, export, gpt2, import_hf, tensors,
};
use fireside::generate::Generator;
use fireside::model::{LanguageModel, load_named_tensors, named_tensors};
use fireside::state::NamedTensor;
use fireside::tokenizer::Tokenizer;
use serde_json::{Value, json};

const TEXT: &str =
    "Once upon a time there was an old mill by the river,\nand in the mill there lived a miller.";
const PROMPT: &str = "there was a mill";

/// A model with initial weights, everything moved a little so that no bias is zero and no norm is one.
struct Made {
    name: String,
    config: RunConfig,
    tokenizer: Tokenizer,
    model: LanguageModel,
}

impl Made {
    fn new(name: &str, preset: &str, sets: &[&str]) -> Self {
        let mut all = vec!["model.context_length=24".to_string()];
        all.extend(sets.iter().map(|set| set.to_string()));
        let config = config::load(Source::Preset(preset.into()), &all)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let text = TEXT.repeat(4);
        let tokenizer =
            Tokenizer::train(&config.tokenizer, &text, &mut fireside::progress::ignore).unwrap();
        let model = LanguageModel::new(&config.model, tokenizer.vocab_size(), 3, &Device::flex());
        let mut weights = named_tensors(&model);
        for (index, tensor) in weights.iter_mut().enumerate() {
            for (at, value) in tensor.data.iter_mut().enumerate() {
                *value += 0.05 * ((index * 31 + at * 7) as f32).sin();
            }
        }
        let model = load_named_tensors(model, &weights).unwrap();
        Made {
            name: name.to_string(),
            config,
            tokenizer,
            model,
        }
    }

    fn exported(&self) -> Exported<'_> {
        Exported {
            name: &self.name,
            step: 7,
            config: &self.config,
            tokenizer: &self.tokenizer,
            model: &self.model,
        }
    }

    fn export(&self, format: Format, out: &Path) {
        export(&self.exported(), format, out, Replace::Never)
            .unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    fn ids(&self) -> Vec<u32> {
        self.tokenizer.encode(PROMPT)
    }
}

/// `[seq][vocab]`
fn logits(model: &LanguageModel, ids: &[u32]) -> Vec<Vec<f32>> {
    let values: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    let tokens =
        Tensor::<2, Int>::from_data(TensorData::new(values, [1, ids.len()]), &Device::flex());
    let (logits, _) = model.forward(tokens, None);
    let [_, _, vocab] = logits.dims();
    let values = logits.into_data().try_into_vec::<f32>().unwrap();
    values.chunks(vocab).map(<[f32]>::to_vec).collect()
}

fn greedy(made: &Made, count: usize) -> Vec<u32> {
    let settings = SampleConfig {
        temperature: 0.0,
        ..made.config.sample.clone()
    };
    let generator = Generator::new(&made.model, &made.ids(), &settings).unwrap();
    generator.take(count).map(|pick| pick.unwrap().id).collect()
}

const SMALL: [&str; 3] = ["model.d_model=32", "model.n_heads=4", "model.n_layers=2"];

fn decoder(name: &str, preset: &str, sets: &[&str]) -> Made {
    let mut all = SMALL.to_vec();
    all.extend(sets);
    Made::new(name, preset, &all)
}

/// Every kind of model that a GPT-2 can represent.
fn gpts() -> Vec<Made> {
    vec![
        decoder("gpt-tied", "gpt", &["tokenizer.vocab_size=280"]),
        decoder(
            "gpt-untied-no-bias",
            "gpt",
            &[
                "model.tied_head=false",
                "model.head_bias=false",
                "model.bias=false",
                "model.activation=\"gelu\"",
                "tokenizer.kind=\"char\"",
            ],
        ),
        decoder(
            "gpt-untied",
            "gpt",
            &[
                "model.tied_head=false",
                "model.head_bias=false",
                "model.d_ff=48",
                "tokenizer.vocab_size=280",
            ],
        ),
        decoder(
            "gpt-tied-no-bias",
            "gpt",
            &["model.bias=false", "tokenizer.kind=\"char\""],
        ),
        decoder(
            "transformer-pre",
            "transformer",
            &[
                "model.norm=\"pre\"",
                "model.head_bias=false",
                "tokenizer.min_freq=1",
            ],
        ),
        decoder(
            "transformer-pre-tied-scaled",
            "transformer",
            &[
                "model.norm=\"pre\"",
                "model.tied_head=true",
                "model.qkv_bias=false",
                "tokenizer.min_freq=1",
            ],
        ),
    ]
}

/// Every rung and its variants.
fn rungs() -> Vec<Made> {
    let recurrent = |name: &str, preset: &str, sets: &[&str]| {
        let mut all = vec!["model.hidden_size=24", "tokenizer.kind=\"char\""];
        all.extend(sets);
        Made::new(name, preset, &all)
    };
    let mut made = vec![
        recurrent("char-rnn", "char-rnn", &["model.input=\"one-hot\""]),
        recurrent(
            "char-lstm",
            "char-rnn",
            &["model.cell=\"lstm\"", "model.input=\"embedding\""],
        ),
        Made::new(
            "word-gru",
            "word-gru",
            &["model.hidden_size=24", "tokenizer.min_freq=1"],
        ),
        recurrent("additive", "lstm-attention", &["model.score=\"additive\""]),
        recurrent("dot", "lstm-attention", &["model.score=\"dot\""]),
        recurrent(
            "scaled-dot",
            "lstm-attention",
            &["model.score=\"scaled-dot\"", "model.cell=\"gru\""],
        ),
        decoder("transformer-post", "transformer", &["tokenizer.min_freq=1"]),
    ];
    made.extend(gpts());
    made
}

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

/// A folder for a process: its runs, its output.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Place {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_fireside"))
            .args(arguments)
            .current_dir(self.dir.path())
            .env_remove("FIRESIDE_RUNS")
            .env("XDG_STATE_HOME", self.path("state"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("XDG_DATA_HOME", self.path("data"))
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Runs and must succeed.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs and must fail with this code; returns what it says.
    fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

const TINY: [&str; 22] = [
    "--set",
    "corpus.bytes=40000",
    "--set",
    "tokenizer.vocab_size=300",
    "--set",
    "model.context_length=24",
    "--set",
    "model.d_model=32",
    "--set",
    "model.n_layers=2",
    "--set",
    "train.batch_size=8",
    "--set",
    "eval.every=0",
    "--set",
    "eval.batches=4",
    "--set",
    "sample.every=0",
    "--set",
    "schedule.warmup=5",
    "--set",
    "device=\"flex\"",
];

fn train(place: &Place, arguments: &[&str]) -> Vec<Value> {
    let mut all = vec!["train"];
    all.extend(arguments);
    all.push("--json");
    place
        .ok(&all)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn losses(events: &[Value]) -> Vec<f64> {
    events
        .iter()
        .filter(|event| event["event"] == "step")
        .map(|event| event["loss"].as_f64().unwrap())
        .collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn a_trained_run_leaves_comes_back_and_trains_on() {
    let place = Place::new();
    let mut arguments = vec!["gpt", "--run", "runs/one", "--steps", "60"];
    arguments.extend(TINY);
    let first = train(&place, &arguments);
    let said = place.ok(&["export", "one", "--to", "hf"]);
    assert!(
        said.contains("step 60 of one") && said.contains("one-hf"),
        "{said}"
    );
    let message = place.fails(1, &["export", "one", "--to", "hf"]);
    assert!(message.contains("--force"), "{message}");
    place.ok(&[
        "export",
        "one",
        "--to",
        "hf",
        "--force",
        "--checkpoint",
        "best",
    ]);
    let message = place.fails(
        1,
        &[
            "export",
            "one",
            "--to",
            "hf",
            "--checkpoint",
            "59",
            "--out",
            "x",
        ],
    );
    assert!(message.contains("no whole checkpoint"), "{message}");
    let text = place.ok(&["export", "one", "--to", "safetensors", "--json"]);
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["step"], 60);
    assert!(place.path("one-safetensors/README.md").is_file());

    let said = place.ok(&["import", "hf", "one-hf", "--run", "runs/two"]);
    assert!(said.contains("the run two"), "{said}");
    let sample = |run: &str| {
        place.ok(&[
            "sample",
            run,
            "--prompt",
            "Once",
            "-n",
            "20",
            "--temperature",
            "0",
            "--json",
        ])
    };
    let text = |line: String| serde_json::from_str::<Value>(&line).unwrap()["text"].clone();
    assert_eq!(text(sample("one")), text(sample("two")));
    place.ok(&["eval", "two"]);
    let listed = place.ok(&["runs", "two", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(
        (&listed["status"], &listed["resumable"]),
        (&json!("stopped"), &json!(true))
    );

    // From the weights of the first run: starts about where it ended, with a fresh optimizer at step 0.
    for parent in ["one", "two"] {
        let child = format!("runs/from-{parent}");
        let events = train(
            &place,
            &[
                "--from",
                parent,
                "--run",
                &child,
                "--steps",
                "10",
                "--set",
                "corpus.bytes=40000",
                "--set",
                "schedule.warmup=2",
                "--set",
                "train.batch_size=8",
            ],
        );
        assert_eq!(events[0]["start_step"], 0);
        let start = losses(&events)[0];
        let (begin, end) = (losses(&first)[0], mean(&losses(&first)[50..]));
        assert!(
            (start - end).abs() < 0.25 * (begin - end),
            "{begin} {end} {start}"
        );
        let header = std::fs::read(place.path(&child).join("run.json")).unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        let lineage = header["parent"]["run"].as_str().unwrap();
        assert!(lineage.ends_with(&format!("runs/{parent}")), "{lineage}");
        assert_eq!(
            header["parent"]["step"],
            if parent == "one" { 60 } else { 0 }
        );
    }
    let message = place.fails(
        1,
        &[
            "train",
            "--from",
            "one",
            "--headless",
            "--run",
            "runs/x",
            "--set",
            "model.n_layers=3",
        ],
    );
    assert!(
        message.contains("do not fit") && message.contains("blocks.2"),
        "{message}"
    );
    assert!(!place.path("runs/x").exists());
    let message = place.fails(
        2,
        &[
            "train",
            "--from",
            "one",
            "--headless",
            "--set",
            "tokenizer.vocab_size=400",
        ],
    );
    assert!(message.contains("comes with the weights"), "{message}");
    // An imported run can also be gone on with in place.
    let go_on = [
        "--resume",
        "two",
        "--steps",
        "2",
        "--set",
        "schedule.warmup=1",
    ];
    let events = train(&place, &go_on);
    assert_eq!(losses(&events).len(), 2);
    let message = place.fails(1, &["import", "hf", "one-safetensors"]);
    assert!(message.contains("has no config.json"), "{message}");
}

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
    let place = Place::new();
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
