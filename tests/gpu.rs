//! The GPU path, run for real: every model trains, evaluates and samples on the first device of every GPU backend in this build.
//! That of wgpu may be a driver that emulates a GPU (Debian: `mesa-vulkan-drivers`, `libvulkan1`; `XDG_RUNTIME_DIR` set to any folder).
//!
//! `cargo test --features wgpu --test gpu -- --nocapture` also prints times. Where a backend finds no device the tests say so and pass.

#![cfg(all(
    any(feature = "wgpu", feature = "vulkan", feature = "cuda"),
    feature = "flex"
))]

mod process;
mod terminal;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use burn::tensor::{Device, Int, Tensor, TensorData};
use fireside::config::{RunConfig, Source, load};
use fireside::data::{Dataset, TokenIds};
use fireside::device::{self, Backend, Chosen, Spec};
use fireside::generate::Generator;
use fireside::model::{LanguageModel, named_tensors};
use fireside::optim::{Optimizer, ParameterGradients, Update};
use fireside::train::{Trainer, TrainerSetup};
#[cfg(unix)]
use process::{PROGRAM, Place};

const TINY: &str = r#"
name = "tiny"
[corpus]
bytes = 40000
[tokenizer]
kind = "char"
[model]
kind = "gpt"
context_length = 16
d_model = 16
n_heads = 2
n_layers = 1
[train]
steps = 1000000
batch_size = 4
[eval]
every = 20
batches = 2
[sample]
every = 30
length = 8
[checkpoint]
every = 10
"#;
const VOCAB: usize = 13;
const RUNGS: [&str; 5] = [
    "char-rnn",
    "word-gru",
    "lstm-attention",
    "transformer",
    "gpt",
];

/// The device's random generator, from which dropout draws, belongs to the whole process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first device of every GPU backend in this build; said aloud where this machine has none.
fn devices() -> Vec<Chosen> {
    let entries = device::list();
    let built = Backend::ALL
        .into_iter()
        .filter(|backend| backend.compiles() && backend.is_compiled_in());
    let mut found = Vec::new();
    for backend in built {
        let entry = entries.iter().find(|entry| entry.backend == backend);
        let entry = entry.expect("the backend is listed");
        if entry.available {
            found.push(device::resolve(&entry.spec).expect("a listed device can be used"));
        } else {
            eprintln!("NOT RUN: {}: {}", entry.spec, entry.detail);
        }
    }
    found
}

fn config(rung: &str, more: &[&str]) -> RunConfig {
    let size: &[&str] = match rung {
        "transformer" | "gpt" => &["model.d_model=16", "model.n_heads=2"],
        _ => &["model.hidden_size=16"],
    };
    let common = [
        "model.n_layers=1",
        "model.context_length=8",
        "train.batch_size=4",
        "train.steps=40",
        "eval.batches=2",
        "schedule.kind=constant",
        "optimizer.learning_rate=0.01",
    ];
    let sets: Vec<String> = [&common[..], size, more]
        .concat()
        .iter()
        .map(ToString::to_string)
        .collect();
    load(Source::Preset(rung.to_string()), &sets).expect("a valid configuration")
}

/// Each token decides the next one.
fn ids(count: usize) -> Vec<u32> {
    (0..count as u32).map(|i| (i * 5) % VOCAB as u32).collect()
}

fn trainer(config: RunConfig, device: &Device) -> Trainer {
    let dataset = Dataset {
        train: TokenIds::from_ids(&ids(600)),
        validation: TokenIds::from_ids(&ids(200)),
        train_bytes: 1200,
        validation_bytes: 400,
        unknown_validation: 0,
        unigram_loss: 2.5,
        source_entropy: None,
    };
    let setup = TrainerSetup {
        config,
        dataset: Arc::new(dataset),
        vocab_size: VOCAB,
        device: device.clone(),
    };
    Trainer::new(setup).expect("enough tokens")
}

fn losses(trainer: &mut Trainer, steps: usize) -> Vec<f64> {
    (0..steps)
        .map(|_| trainer.step().expect("a step").loss)
        .collect()
}

#[test]
fn every_rung_trains_evaluates_and_samples() {
    let _alone = alone();
    devices().iter().for_each(trains_evaluates_and_samples);
}

fn trains_evaluates_and_samples(chosen: &Chosen) {
    for rung in RUNGS {
        let mut trainer = trainer(config(rung, &["model.dropout=0.1"]), &chosen.device);
        let reports: Vec<_> = (0..20).map(|_| trainer.step().expect("a step")).collect();
        let first = reports[0].loss;
        let last = reports[15..].iter().map(|report| report.loss).sum::<f64>() / 5.0;
        assert!(last < first - 0.1, "{rung}: loss {first} became {last}");
        let mut times: Vec<f64> = reports[5..].iter().map(|report| report.ms).collect();
        times.sort_by(f64::total_cmp);
        eprintln!(
            "{rung} on {}: first step {:.0} ms, median of steps 6 to 20 {:.1} ms, loss {first:.3} to {last:.3}",
            chosen.name,
            reports[0].ms,
            times[times.len() / 2],
        );

        trainer.measure_health();
        trainer.step().expect("a step");
        let (_, layers) = trainer.health().expect("the step was measured");
        assert!(layers.iter().all(|layer| layer.weight_norm.is_finite()));

        let report = trainer
            .evaluate(&AtomicBool::new(false), &mut |_, _| {})
            .expect("the device works")
            .expect("nobody stops it");
        assert!(report.val_loss < first, "{rung}: {report:?}");

        // More tokens than the context holds, so that the cache of a transformer slides.
        let sample = &trainer.config().sample;
        let picks: Vec<_> = Generator::new(trainer.model(), &[0, 5, 10], sample)
            .expect("a prompt of known tokens")
            .take(12)
            .map(|pick| pick.expect("the device works"))
            .collect();
        assert!(picks.iter().all(|pick| (pick.id as usize) < VOCAB));
        assert!(picks.iter().all(|pick| pick.probability > 0.0));
    }
}

/// Loss, weights before and weights after one step of plain gradient descent with learning rate 1: their difference is
/// the gradient.
fn gradient(config: &RunConfig, device: &Device) -> (f64, Vec<(String, Vec<f64>)>) {
    let device = device.clone().autodiff();
    let model = LanguageModel::new(&config.model, VOCAB, 5, &device);
    let before = named_tensors(&model);
    let [tokens, targets] = [0, 1].map(|shift| {
        let ids: Vec<i32> = ids(17).iter().map(|&id| id as i32).collect();
        let data = TensorData::new(ids[shift..shift + 16].to_vec(), [2, 8]);
        Tensor::<2, Int>::from_data(data, &device)
    });
    let (loss, _) = model.loss(tokens, targets, None);
    let value = f64::from(loss.clone().into_scalar::<f32>());
    let gradients = ParameterGradients::collect(&model, loss.backward());
    let update = Update {
        learning_rate: 1.0,
        gradient_scale: 1.0,
        measure: false,
    };
    let (model, _) = Optimizer::new(&config.optimizer).step(model, gradients, update);
    let after = named_tensors(&model);
    let differences = before.iter().zip(&after).map(|(before, after)| {
        let pairs = before.data.iter().zip(&after.data);
        let gradient = pairs.map(|(b, a)| f64::from(*b) - f64::from(*a)).collect();
        (before.name.clone(), gradient)
    });
    (value, differences.collect())
}

#[test]
fn first_loss_and_gradients_agree_with_flex() {
    let _alone = alone();
    devices().iter().for_each(agrees_with_flex);
}

fn agrees_with_flex(chosen: &Chosen) {
    /// Of the norm of a parameter's gradient.
    const RELATIVE: f64 = 1e-3;
    /// Of the norm over all parameters: a gradient that is zero but for rounding has nothing to agree about.
    const FLOOR: f64 = 1e-5;

    fn norm(values: impl Iterator<Item = f64>) -> f64 {
        values.map(|value| value * value).sum::<f64>().sqrt()
    }

    for rung in RUNGS {
        let config = config(
            rung,
            &[
                "model.dropout=0",
                "optimizer.kind=sgd",
                "optimizer.momentum=0.0",
                "optimizer.weight_decay=0.0",
            ],
        );
        let (expected_loss, expected) = gradient(&config, &Device::flex());
        let (loss, found) = gradient(&config, &chosen.device);
        assert!(
            (loss - expected_loss).abs() < RELATIVE * expected_loss,
            "{rung}: loss {loss}, flex {expected_loss}"
        );
        let all = norm(expected.iter().flat_map(|(_, g)| g.iter().copied()));
        assert!(all > 0.0);
        for ((name, expected), (_, found)) in expected.iter().zip(&found) {
            let error = norm(expected.iter().zip(found).map(|(e, f)| e - f));
            let size = norm(expected.iter().copied());
            assert!(
                error <= RELATIVE * size + FLOOR * all,
                "{rung} {name}: gradient of norm {size} is off by {error}"
            );
        }
    }
}

#[test]
fn a_restored_run_repeats_its_losses() {
    let _alone = alone();
    devices().iter().for_each(repeats_its_losses);
}

fn repeats_its_losses(chosen: &Chosen) {
    for rung in RUNGS {
        let config = || config(rung, &["model.dropout=0.1"]);
        let mut first = trainer(config(), &chosen.device);
        losses(&mut first, 3);
        let snapshot = first.snapshot().unwrap();
        let expected = losses(&mut first, 4);
        let mut second = trainer(config(), &chosen.device);
        losses(&mut second, 1);
        second
            .restore(&snapshot)
            .expect("a snapshot of the same run");
        let found = losses(&mut second, 4);
        for (expected, found) in expected.iter().zip(&found) {
            // Not bit for bit: autotuning may take another kernel for the same operation.
            assert!(
                (expected - found).abs() < 1e-4 * expected,
                "{rung}: {expected} against {found}"
            );
        }
    }
}

#[test]
fn emulation_is_named_and_never_chosen_unasked() {
    let _alone = alone();
    devices().iter().for_each(is_named);
}

fn is_named(chosen: &Chosen) {
    let entries = device::list();
    let spec = chosen.spec.to_string();
    let entry = entries
        .iter()
        .find(|entry| entry.spec == spec)
        .expect("the adapter is listed");
    assert!(entry.compiled_in && entry.available && chosen.compiles);
    // A real GPU comes before an emulated one, so the first tells about all.
    let software = entry.detail.contains("never chosen by auto");
    assert_eq!(software, chosen.notice.is_some(), "{entry:?}");
    let auto = device::resolve("auto").expect("a CPU backend is built in");
    if software {
        assert!(!matches!(auto.spec, Spec::At(Backend::Wgpu, _)), "{auto:?}");
    }
}

/// The program, as a person sees it: kernels are compiled under a phase of their own, while the screen goes on.
#[cfg(unix)]
#[test]
fn the_program_trains_on_it_and_says_what_it_waits_for() {
    let _alone = alone();
    devices().iter().for_each(the_program_trains);
}

#[cfg(unix)]
fn the_program_trains(chosen: &Chosen) {
    let place = Place::new(TINY);
    let device = format!("device={}", chosen.spec);
    let arguments = ["train", "tiny.toml", "--set", &device];
    let mut command = terminal::fireside(&arguments, place.dir());
    // Drivers want a folder there.
    command.env("XDG_RUNTIME_DIR", place.dir());
    let mut terminal = terminal::Terminal::start(command, 120, 40);
    terminal.wait_for("compiling kernels");
    // Keys are answered meanwhile.
    terminal.press("?");
    terminal.wait_for("Help: scroll");
    terminal.press("?");
    terminal.wait_gone("Help: scroll");
    terminal.wait_for("training ●");
    terminal.wait_for("val ");
    terminal.wait_for("checkpoint of step 10");
    terminal.press("q");
    terminal.wait_for("save and quit");
    terminal.press("s");
    assert_eq!(terminal.exit(), 0);
    terminal.assert_restored();
    let run = place.only_run();
    assert!(run.resumable, "{run:?}");

    // And on with it, on the same device.
    let dir = run.dir.to_str().unwrap().to_string();
    let until = format!("train.steps={}", run.step + 5);
    let output = std::process::Command::new(PROGRAM)
        .args(["train", "--resume", &dir, "--set", &until])
        .args(["--headless", "--json"])
        .current_dir(place.dir())
        .env("XDG_RUNTIME_DIR", place.dir())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(text.contains("\"event\":\"finished\""), "{text}");
}

/// A layer larger than a buffer of the device may be: the run ends with a sentence, the process with 1.
#[cfg(unix)]
#[test]
fn memory_that_the_device_does_not_have_is_a_sentence() {
    let _alone = alone();
    devices().iter().for_each(lacks_memory);
}

#[cfg(unix)]
fn lacks_memory(chosen: &Chosen) {
    let place = Place::new(TINY);
    let device = format!("device={}", chosen.spec);
    let output = std::process::Command::new(PROGRAM)
        .args(["train", "tiny.toml", "--headless", "--set", &device])
        // More in one tensor than the device binds at once; a device that can does the steps.
        .args(["--set", "model.d_model=1024", "--set", "model.d_ff=40000"])
        .args(["--set", "train.steps=2", "--set", "eval.every=0"])
        .current_dir(place.dir())
        .env("XDG_RUNTIME_DIR", place.dir())
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        eprintln!("NOT SEEN: this device has room for the layer");
        return;
    }
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(words.contains("the device failed: "), "{words}");
    assert!(!words.contains("panicked"), "{words}");
}
