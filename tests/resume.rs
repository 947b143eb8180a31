//! A run that goes on from a snapshot repeats the uninterrupted run bit for bit: every model, optimizer and way of batching,
//! with dropout, accumulation and the plateau schedule. Then the same through the command line, by processes that are stopped,
//! interrupted and killed, with every schedule besides.

mod process;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use fireside::config::{RunConfig, Source, load};
use fireside::data::{Dataset, TokenIds};
use fireside::train::{Snapshot, Trainer, TrainerSetup};
use process::{Place, assert_same, kill, reached, signal, wait_for_step};
use rustix::process::Signal;

const VOCAB: usize = 17;
const STEPS: usize = 20;
const CUT: usize = 8;

const RECURRENT: &[&str] = &[
    "model.hidden_size=12",
    "model.n_layers=2",
    "model.dropout=0.2",
    "model.context_length=6",
];
const ATTENTION: &[&str] = &[
    "model.d_model=16",
    "model.n_heads=2",
    "model.n_layers=2",
    "model.dropout=0.2",
    "model.context_length=6",
];
const MODELS: [(&str, &[&str]); 5] = [
    ("char-rnn", RECURRENT),
    ("word-gru", RECURRENT),
    ("lstm-attention", RECURRENT),
    ("transformer", ATTENTION),
    ("gpt", ATTENTION),
];
const OPTIMIZERS: [&[&str]; 3] = [
    &[
        "optimizer.kind=sgd",
        "optimizer.momentum=0.9",
        "optimizer.nesterov=true",
    ],
    &["optimizer.kind=adam", "optimizer.weight_decay=0.1"],
    &["optimizer.kind=adamw", "optimizer.weight_decay=0.1"],
];
const COMMON: &[&str] = &[
    "train.batch_size=3",
    "train.gradient_accumulation=2",
    "train.steps=20",
    "eval.batches=1",
    "schedule.kind=plateau",
    "schedule.patience=0",
    "schedule.warmup=4",
    "optimizer.learning_rate=0.01",
];

fn dataset() -> Arc<Dataset> {
    let ids = |count: u32| -> Vec<u32> { (0..count).map(|i| (i * i / 5 + i) % 17).collect() };
    Arc::new(Dataset {
        train: TokenIds::from_ids(&ids(250)),
        validation: TokenIds::from_ids(&ids(60)),
        train_bytes: 250,
        validation_bytes: 60,
        unknown_validation: 0,
        unigram_loss: 2.8,
        source_entropy: None,
    })
}

fn trainer(config: &RunConfig) -> Trainer {
    Trainer::new(TrainerSetup {
        config: config.clone(),
        dataset: dataset(),
        vocab_size: VOCAB,
        device: Device::flex(),
    })
    .expect("enough tokens")
}

/// Steps `from..to`, with an evaluation after every third.
fn train(trainer: &mut Trainer, from: usize, to: usize) -> Vec<(u64, u64, u64)> {
    (from..to)
        .map(|step| {
            let report = trainer.step().expect("a step");
            if step % 3 == 2 {
                trainer
                    .evaluate(&AtomicBool::new(false), &mut |_, _| {})
                    .expect("the device works")
                    .expect("nobody stops it");
            }
            (
                report.loss.to_bits(),
                report.grad_norm.to_bits(),
                report.learning_rate.to_bits(),
            )
        })
        .collect()
}

/// What has to be equal: all but the wall clock.
fn timeless(mut snapshot: Snapshot) -> Snapshot {
    snapshot.progress.seconds = 0.0;
    snapshot
}

#[test]
fn resumed_equals_uninterrupted() {
    for (preset, sizes) in MODELS {
        for optimizer in OPTIMIZERS {
            for batching in ["random", "stream"] {
                let batching = format!("train.batching={batching}");
                let sets: Vec<String> = [sizes, optimizer, COMMON, &[batching.as_str()]]
                    .concat()
                    .iter()
                    .map(ToString::to_string)
                    .collect();
                let config = load(Source::Preset(preset.to_string()), &sets)
                    .unwrap_or_else(|error| panic!("{preset} {sets:?}: {error}"));
                let label = format!("{preset} {optimizer:?} {batching}");

                let mut straight = trainer(&config);
                let expected = train(&mut straight, 0, STEPS);

                let mut first = trainer(&config);
                let mut found = train(&mut first, 0, CUT);
                let snapshot = first.snapshot().unwrap();
                drop(first);
                let mut second = trainer(&config);
                // The state of the trainer that goes on must come from the snapshot alone.
                train(&mut second, 0, 2);
                second.restore(&snapshot).expect("its own snapshot");
                assert_eq!(second.snapshot().unwrap(), snapshot, "{label}");
                found.extend(train(&mut second, CUT, STEPS));

                assert_eq!(found, expected, "{label}");
                assert!(
                    timeless(second.snapshot().unwrap()) == timeless(straight.snapshot().unwrap()),
                    "{label}: the last weights differ"
                );
            }
        }
    }
}

const TINY: &str = r#"
device = "flex"
[corpus]
bytes = 30000
[model]
kind = "KIND"
context_length = 8
n_layers = 2
dropout = 0.2
[train]
batch_size = 3
[eval]
every = 20
batches = 1
[sample]
every = 30
length = 6
prompts = ["Once"]
[checkpoint]
every = 10
keep = 2
"#;

/// Trains in three pieces that end by SIGTERM, Ctrl-C and `kill -9`, and a fourth to the end; then once more without a stop.
/// How many steps it is follows from where the kill came, so that no piece can be done before its signal.
fn pieces_equal_the_whole(kind: &str, sets: &[&str]) {
    let place = Place::new(&TINY.replace("KIND", kind));
    let sizes: &[&str] = match kind {
        "transformer" | "gpt" => &["model.d_model=12", "model.n_heads=2"],
        _ => &["model.hidden_size=10"],
    };
    let sets: Vec<&str> = sizes
        .iter()
        .chain(sets)
        .flat_map(|set| ["--set", set])
        .collect();
    let run = place.path("pieces");
    let new = |name: &'static str, steps: &'static str| -> Vec<&str> {
        let mut all = vec![
            "train",
            "tiny.toml",
            "--json",
            "--run",
            name,
            "--steps",
            steps,
        ];
        all.extend(&sets);
        all
    };
    let resume = ["train", "--resume", "pieces", "--json"];

    let child = place.spawn(&new("pieces", "1000000"));
    wait_for_step(&run, 15);
    signal(&child, Signal::TERM);
    assert_eq!(process::ended(child), Some(130));
    let stopped = reached(&run);
    let child = place.spawn(&resume);
    wait_for_step(&run, stopped + 15);
    signal(&child, Signal::INT);
    assert_eq!(process::ended(child), Some(130));
    let stopped = reached(&run);
    let child = place.spawn(&resume);
    wait_for_step(&run, stopped + 25);
    kill(child);
    let steps = (reached(&run) + 15).to_string();
    let events = place.succeed(&[&resume[..], &["--steps", &steps]].concat());
    assert!(process::start_step(&events) >= stopped, "{kind} {sets:?}");

    let mut whole = new("whole", "1000000");
    whole[6] = &steps;
    place.succeed(&whole);
    assert_same(&format!("{kind} {sets:?}"), &place.path("whole"), &run);
}

#[test]
fn a_run_goes_on_from_another_folder_with_a_text_that_was_moved_and_without_its_tokenizer() {
    let place = Place::new(&TINY.replace("KIND", "char-rnn"));
    let train = [
        "train",
        "tiny.toml",
        "--json",
        "--run",
        "r",
        "--steps",
        "20",
        "--set",
        "corpus.path=text.txt",
    ];
    std::fs::write(
        place.path("text.txt"),
        "to be or not to be, that is the question\n".repeat(60),
    )
    .unwrap();
    place.succeed(&train);
    let elsewhere = place.path("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let run = place.path("r").display().to_string();
    let resume = |steps: &str, more: &[&str]| {
        let base = ["train", "--resume", &run, "--json", "--steps", steps];
        let all = [&base[..], more].concat();
        place
            .command(&all)
            .current_dir(&elsewhere)
            .output()
            .unwrap()
    };
    let said = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let output = resume("30", &[]);
    assert!(output.status.success(), "{}", said(&output));
    std::fs::rename(place.path("text.txt"), elsewhere.join("moved.txt")).unwrap();
    let output = resume("40", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).contains("`--set corpus.path=…`"),
        "{}",
        said(&output)
    );
    // The new place is kept, and the tokenizer comes back from a checkpoint.
    std::fs::remove_file(place.path("r/tokenizer.json")).unwrap();
    let output = resume("40", &["--set", "corpus.path=moved.txt"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(place.path("r/tokenizer.json").is_file());
    let events = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        events.contains("tokenizer.json was gone and is back"),
        "{events}"
    );
    let output = resume("50", &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(reached(&place.path("r")), 50);
}

#[test]
fn char_rnn_in_pieces() {
    pieces_equal_the_whole(
        "char-rnn",
        &[
            "optimizer.kind=sgd",
            "optimizer.momentum=0.9",
            "optimizer.nesterov=true",
            "optimizer.learning_rate=0.05",
            "schedule.kind=constant",
            "train.batching=stream",
        ],
    );
    pieces_equal_the_whole(
        "char-rnn",
        &[
            "optimizer.kind=adam",
            "schedule.kind=plateau",
            "schedule.patience=0",
            "train.batching=random",
            "model.cell=lstm",
        ],
    );
}

#[test]
fn word_gru_in_pieces() {
    pieces_equal_the_whole(
        "word-gru",
        &[
            "optimizer.kind=adam",
            "optimizer.weight_decay=0.1",
            "schedule.kind=exponential",
            "train.batching=stream",
            "train.gradient_accumulation=2",
        ],
    );
}

#[test]
fn lstm_attention_in_pieces() {
    pieces_equal_the_whole(
        "lstm-attention",
        &[
            "optimizer.kind=adamw",
            "schedule.kind=step",
            "schedule.step_size=20",
            "schedule.gamma=0.7",
            "train.batching=stream",
        ],
    );
    pieces_equal_the_whole(
        "lstm-attention",
        &[
            "optimizer.kind=sgd",
            "schedule.kind=linear",
            "schedule.decay_steps=80",
            "train.batching=random",
        ],
    );
}

#[test]
fn transformer_in_pieces() {
    pieces_equal_the_whole(
        "transformer",
        &[
            "optimizer.kind=adamw",
            "schedule.kind=warmup-linear",
            "schedule.warmup=20",
            "schedule.decay_steps=80",
            "train.batching=random",
        ],
    );
    pieces_equal_the_whole(
        "transformer",
        &[
            "optimizer.kind=sgd",
            "schedule.kind=cosine",
            "schedule.decay_steps=80",
            "train.batching=stream",
            "schedule.warmup=0",
        ],
    );
}

#[test]
fn gpt_in_pieces() {
    pieces_equal_the_whole(
        "gpt",
        &[
            "optimizer.kind=adamw",
            "schedule.kind=warmup-cosine",
            "schedule.warmup=20",
            "schedule.decay_steps=80",
            "train.batching=random",
            "tokenizer.kind=bpe",
            "tokenizer.vocab_size=300",
        ],
    );
    pieces_equal_the_whole(
        "gpt",
        &[
            "optimizer.kind=adam",
            "schedule.kind=plateau",
            "schedule.patience=0",
            "schedule.warmup=10",
            "train.batching=stream",
            "train.gradient_accumulation=2",
            "tokenizer.kind=char",
        ],
    );
}
