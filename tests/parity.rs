//! The five models and their variants against PyTorch: logits, loss, the gradient of every parameter, and ten optimizer
//! steps through [`Trainer`], with carried state, accumulation, clipping, decay groups and a schedule. The recorded values and
//! the script that made them are in `tests/reference/`.
//!
//! PyTorch computed in float64 from float32 weights; here everything is float32. `cargo test --test parity -- --nocapture`
//! prints the largest differences found, and `--features wgpu` adds a GPU, or a driver that emulates one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::tensor::{Device, Int, Tensor, TensorData};
use fireside::config::{RunConfig, Source, load};
use fireside::data::{Dataset, TokenIds};
use fireside::kernel;
use fireside::model::{LanguageModel, load_named_tensors};
use fireside::optim::ParameterGradients;
use fireside::state::NamedTensor;
use fireside::train::{Trainer, TrainerSetup};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Largest relative errors. Of a tensor: the norm of the difference by the norm of what is expected.
#[derive(Debug, Clone, Copy)]
struct Limits {
    logits: f64,
    gradient: f64,
    /// Loss and gradient norm of each of the ten steps.
    step: f64,
    /// Weights after the ten steps.
    weights: f64,
}

const CPU: Limits = Limits {
    logits: 1e-4,
    gradient: 1e-4,
    step: 1e-3,
    weights: 1e-3,
};

/// Whether kernels run is a switch of the whole process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/reference")
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The recorded file, and the tensors by their full names.
struct Reference {
    recorded: Value,
    tensors: BTreeMap<String, NamedTensor>,
}

fn reference() -> Reference {
    let text = std::fs::read(folder().join("models.json")).expect("it is in the repository");
    let bytes = std::fs::read(folder().join("models.safetensors")).expect("it is there too");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
    let tensors = file.tensors().into_iter().map(|(name, view)| {
        let (values, _) = view.data().as_chunks::<4>();
        let tensor = NamedTensor {
            name: name.clone(),
            shape: view.shape().to_vec(),
            data: values.iter().map(|v| f32::from_le_bytes(*v)).collect(),
        };
        (name, tensor)
    });
    Reference {
        recorded: serde_json::from_slice(&text).expect("JSON"),
        tensors: tensors.collect(),
    }
}

impl Reference {
    fn cases(&self) -> &[Value] {
        self.recorded["cases"].as_array().expect("a list")
    }

    /// The tensors of one kind of a case, by their names in the model.
    fn set(&self, case: &str, kind: &str) -> Vec<NamedTensor> {
        let prefix = format!("{case}/{kind}/");
        let of_kind = self.tensors.iter().filter_map(|(name, tensor)| {
            let name = name.strip_prefix(&prefix)?.to_string();
            Some(NamedTensor {
                name,
                ..tensor.clone()
            })
        });
        let set: Vec<_> = of_kind.collect();
        assert!(!set.is_empty(), "{prefix} is recorded");
        set
    }

    fn tensor(&self, case: &str, name: &str) -> &NamedTensor {
        &self.tensors[&format!("{case}/{name}")]
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().expect("a list");
    list.iter().map(number).collect()
}

fn sets(prefix: &str, object: &Value) -> Vec<String> {
    let object = object.as_object().expect("an object");
    object
        .iter()
        .map(|(key, value)| match value {
            Value::String(text) => format!("{prefix}.{key}={text}"),
            other => format!("{prefix}.{key}={other}"),
        })
        .collect()
}

/// The configuration of a case, with these keys besides the model's.
fn config(case: &Value, more: &[String]) -> RunConfig {
    let mut all = sets("model", &case["model"]);
    all.push(format!("train.batch_size={}", case["batch"]));
    all.extend(
        [
            "train.batching=stream",
            "train.steps=10",
            "schedule.warmup=0",
        ]
        .map(String::from),
    );
    all.extend_from_slice(more);
    load(Source::Preset(text(&case["kind"]).to_string()), &all)
        .unwrap_or_else(|error| panic!("{}: {error}", case["name"]))
}

fn tokens(case: &Value) -> Vec<u32> {
    numbers(&case["tokens"]).iter().map(|t| *t as u32).collect()
}

/// ‖found - expected‖ / ‖expected‖, over the given elements.
fn error(found: &[f32], expected: &[f32], counts: impl Fn(usize) -> bool) -> f64 {
    assert_eq!(found.len(), expected.len());
    let (mut difference, mut size) = (0.0, 0.0);
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        if counts(at) {
            let (found, expected) = (f64::from(*found), f64::from(*expected));
            difference += (found - expected).powi(2);
            size += expected.powi(2);
        }
    }
    // Not a number is no small error.
    if difference.is_nan() {
        return f64::INFINITY;
    }
    difference.sqrt() / size.sqrt().max(f64::MIN_POSITIVE)
}

/// Which elements of a parameter have a gradient to speak of. The keys' bias adds the same number to every score of a
/// query, which changes nothing: its gradient is zero but for rounding, and Adam moves along the rounding.
fn matters(name: &str, count: usize) -> impl Fn(usize) -> bool {
    let keys = name.ends_with("attention.qkv.bias").then_some(count / 3);
    move |at| keys.is_none_or(|third| !(third..2 * third).contains(&at))
}

/// The largest error of each kind, and where it was.
#[derive(Debug, Default)]
struct Worst(BTreeMap<&'static str, (f64, String)>);

impl Worst {
    fn note(&mut self, kind: &'static str, error: f64, limit: f64, place: String) {
        assert!(
            error <= limit,
            "{place}: {kind} is off by {error:.2e}, at most {limit:.0e} is allowed"
        );
        let worst = self.0.entry(kind).or_default();
        if error >= worst.0 {
            *worst = (error, place);
        }
    }

    fn print(&self, backend: &str) {
        for (kind, (error, place)) in &self.0 {
            eprintln!("{backend}: {kind} off by at most {error:.1e} ({place})");
        }
    }
}

fn window(ids: &[u32], starts: &[usize], seq: usize, device: &Device) -> Tensor<2, Int> {
    let ids: Vec<i32> = starts
        .iter()
        .flat_map(|start| &ids[*start..start + seq])
        .map(|id| *id as i32)
        .collect();
    Tensor::from_data(TensorData::new(ids, [starts.len(), seq]), device)
}

fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor.detach().into_data();
    data.try_into_vec().expect("float32")
}

/// Logits, loss and gradients of the second window of every case.
fn passes(reference: &Reference, device: &Device, limits: Limits, worst: &mut Worst) {
    let device = device.clone().autodiff();
    for case in reference.cases() {
        let name = text(&case["name"]);
        eprintln!("passes of {name}");
        let config = config(case, &[]);
        let vocab = number(&case["vocab"]) as usize;
        let model = LanguageModel::new(&config.model, vocab, 1, &device);
        let model = load_named_tensors(model, &reference.set(name, "weight"))
            .unwrap_or_else(|problem| panic!("{name}: {problem}"));
        let ids = tokens(case);
        let seq = config.model.context_length();
        let row = (ids.len() - 1) / config.train.batch_size;
        let starts = |shift: usize| -> Vec<usize> {
            (0..config.train.batch_size)
                .map(|index| index * row + shift)
                .collect()
        };
        let at = |shift: usize| window(&ids, &starts(shift), seq, &device);

        let (alone, _) = model.forward(window(&ids, &[0], seq, &device), None);
        let expected = &reference.tensor(name, "alone").data;
        let wrong = error(&read(alone), expected, |_| true);
        worst.note("logits", wrong, limits.logits, format!("{name} alone"));

        let (_, state) = model.forward(at(0), None);
        let (logits, _) = model.forward(at(seq), Some(state.clone().detach()));
        let expected = reference.tensor(name, "logits");
        assert_eq!(logits.dims().to_vec(), expected.shape, "{name}");
        let wrong = error(&read(logits), &expected.data, |_| true);
        worst.note("logits", wrong, limits.logits, name.to_string());

        let (loss, _) = model.loss(at(seq), at(seq + 1), Some(state.detach()));
        let expected = number(&case["loss"]);
        let wrong = (f64::from(read(loss.clone())[0]) - expected).abs() / expected;
        worst.note("loss", wrong, limits.logits, name.to_string());

        let gradients = ParameterGradients::collect(&model, loss.backward());
        let gradients = gradients.to_named().expect("the device works");
        let expected = reference.set(name, "gradient");
        assert_eq!(gradients.len(), expected.len(), "{name}");
        for expected in expected {
            let path = &expected.name;
            let found = gradients.iter().find(|found| found.name == *path);
            let found = found.unwrap_or_else(|| panic!("{name}: {path} has no gradient"));
            let counts = matters(path, expected.data.len());
            let wrong = error(&found.data, &expected.data, counts);
            let place = format!("{name} {path}");
            worst.note("gradient", wrong, limits.gradient, place);
        }
    }
}

/// Ten steps of every case and optimizer, by the trainer.
fn steps(reference: &Reference, device: &Device, limits: Limits, worst: &mut Worst) {
    for case in reference.cases() {
        let name = text(&case["name"]);
        eprintln!("ten steps of {name}");
        for (kind, run) in case["runs"].as_object().expect("an object") {
            let rule = &reference.recorded["optimizers"][kind];
            let mut more = sets("optimizer", &rule["optimizer"]);
            more.push(format!("optimizer.kind={kind}"));
            let schedule = text(&rule["schedule"]);
            more.push(format!("schedule.kind={schedule}"));
            if schedule == "cosine" {
                more.extend(["decay_steps=10", "final_ratio=0.1"].map(|k| format!("schedule.{k}")));
            }
            let accumulation = &rule["accumulation"];
            more.push(format!("train.gradient_accumulation={accumulation}"));
            let smoothing = &rule["label_smoothing"];
            more.push(format!("train.label_smoothing={smoothing}"));
            let config = config(case, &more);
            let ids = tokens(case);
            let dataset = Dataset {
                train: TokenIds::from_ids(&ids),
                validation: TokenIds::from_ids(&ids[..20]),
                train_bytes: ids.len() as u64,
                validation_bytes: 20,
                unknown_validation: 0,
                unigram_loss: 2.0,
                source_entropy: None,
            };
            let mut trainer = Trainer::new(TrainerSetup {
                config,
                dataset: Arc::new(dataset),
                vocab_size: number(&case["vocab"]) as usize,
                device: device.clone(),
            })
            .expect("enough tokens");
            let mut start = trainer.snapshot().unwrap();
            start.model = reference.set(name, "weight");
            trainer.restore(&start).expect("the same shapes");
            let (losses, norms) = (numbers(&run["losses"]), numbers(&run["norms"]));
            for (step, (loss, norm)) in losses.into_iter().zip(norms).enumerate() {
                let report = trainer.step().expect("a step");
                let place = format!("{name} {kind} step {}", step + 1);
                let wrong = (report.loss - loss).abs() / loss;
                worst.note("loss of a step", wrong, limits.step, place.clone());
                let wrong = (report.grad_norm - norm).abs() / norm;
                worst.note("gradient norm of a step", wrong, limits.step, place);
            }
            let end = trainer.snapshot().unwrap().model;
            for expected in reference.set(name, kind) {
                let path = &expected.name;
                let found = end.iter().find(|found| found.name == *path);
                let found = found.expect("the same names");
                assert_eq!(found.shape, expected.shape, "{name} {path}");
                let counts = matters(path, expected.data.len());
                let wrong = error(&found.data, &expected.data, counts);
                let place = format!("{name} {kind} {path}");
                worst.note("weights after ten steps", wrong, limits.weights, place);
            }
        }
    }
}

fn compare(backend: &str, device: &Device, limits: Limits) {
    let reference = reference();
    let mut worst = Worst::default();
    passes(&reference, device, limits, &mut worst);
    steps(&reference, device, limits, &mut worst);
    worst.print(backend);
}

#[test]
fn recorded_values_belong_to_the_script() {
    let recorded = reference().recorded;
    let file = |name: &str| digest(&std::fs::read(folder().join(name)).expect("it is there"));
    assert_eq!(
        text(&recorded["script_sha256"]),
        file("models.py"),
        "models.py has changed: run tests/reference/make.py"
    );
    assert_eq!(
        text(&recorded["values_sha256"]),
        file("models.safetensors"),
        "models.json and models.safetensors are of different runs: run tests/reference/make.py"
    );
}

/// What the recorded cases have to cover between them.
#[test]
fn every_variant_is_among_the_cases() {
    let reference = reference();
    let seen = |key: &str, value: &str| {
        reference
            .cases()
            .iter()
            .any(|case| match &case["model"][key] {
                Value::String(text) => text == value,
                other => serde_json::from_str(value).is_ok_and(|value: Value| *other == value),
            })
    };
    let choices: &[(&str, &[&str])] = &[
        ("input", &["one-hot", "embedding"]),
        ("cell", &["rnn", "gru", "lstm"]),
        ("score", &["additive", "dot", "scaled-dot"]),
        ("positions", &["sinusoidal", "learned"]),
        ("norm", &["post", "pre"]),
        ("activation", &["relu", "gelu", "gelu-tanh"]),
        ("tied_head", &["true", "false"]),
        ("bias", &["true", "false"]),
        ("qkv_bias", &["true", "false"]),
        ("head_bias", &["true", "false"]),
        ("scale_embeddings", &["true", "false"]),
        ("n_layers", &["1", "2", "3"]),
    ];
    for (key, values) in choices {
        for value in *values {
            assert!(seen(key, value), "no case has {key} = {value}");
        }
    }
    for kind in fireside::config::ModelKind::ALL {
        let found = reference
            .cases()
            .iter()
            .any(|case| case["kind"] == kind.key());
        assert!(found, "no case is of kind {}", kind.key());
    }
}

#[cfg(feature = "flex")]
#[test]
fn flex_equals_torch() {
    let _alone = alone();
    compare("flex", &Device::flex(), CPU);
}

#[cfg(feature = "flex")]
#[test]
fn flex_without_kernels_equals_torch() {
    let _alone = alone();
    kernel::set_enabled(false);
    // The switch goes back also when the comparison fails, so that the other tests mean what they say.
    let result = std::panic::catch_unwind(|| compare("flex without kernels", &Device::flex(), CPU));
    kernel::set_enabled(true);
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

#[cfg(feature = "ndarray")]
#[test]
#[allow(deprecated)] // burn means to drop the backend
fn ndarray_equals_torch() {
    let _alone = alone();
    compare("ndarray", &Device::ndarray(), CPU);
}

/// A GPU sums in another order and may fuse multiplication with addition: ten times the tolerance of the CPU. On NVIDIA's tensor
/// cores a matrix product may be one of TF32, whose factors have 10 bits after the point (a relative rounding of 5e-4 each): there
/// a gradient has been seen 2e-3 off. On the first device of every GPU backend in this build; where there is none the test says so and
/// passes.
#[cfg(any(feature = "wgpu", feature = "vulkan", feature = "cuda"))]
#[test]
fn gpus_equal_torch() {
    use fireside::device::{self, Backend};
    const GPU: Limits = Limits {
        logits: 1e-3,
        gradient: 1e-3,
        step: 1e-2,
        weights: 1e-2,
    };
    const TENSOR_CORES: Limits = Limits {
        logits: 1e-2,
        gradient: 1e-2,
        step: 1e-2,
        weights: 2e-2,
    };
    let _alone = alone();
    let entries = device::list();
    let built = Backend::ALL
        .into_iter()
        .filter(|backend| backend.compiles() && backend.is_compiled_in());
    for backend in built {
        let entry = entries.iter().find(|entry| entry.backend == backend);
        let entry = entry.expect("the backend is listed");
        if !entry.available {
            eprintln!("NOT RUN: {}: {}", entry.spec, entry.detail);
            continue;
        }
        let chosen = device::resolve(&entry.spec).expect("a listed device can be used");
        let name = format!("{} ({})", entry.spec, chosen.name);
        let limits = match backend {
            Backend::Cuda => TENSOR_CORES,
            _ => GPU,
        };
        compare(&name, &chosen.device, limits);
    }
}
