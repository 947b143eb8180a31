//! Edits: each takes effect with the next step and can be undone, what is not allowed is refused with what is; and how long to
//! train on.

use super::*;
use crate::config;
use crate::run::{RunFile, checkpoint};

#[test]
fn an_edit_made_twice_at_one_step_counts_as_it_was_made_last() {
    let mut front = Front::new();
    front.begin(
        1,
        super::config(&["optimizer.weight_decay=0", "train.steps=14"]),
        Origin::New { dir: None },
    );
    let dir = front.started(1).dir;
    front.run_to(5);
    let edits = ["0.3", "0.1"].map(|value| front.edit(set(&[("optimizer.weight_decay", value)])));
    assert_eq!(edits[0].step, edits[1].step);
    front.run_to(8);
    front.send(Command::Stop);
    front.until_phase(Phase::Idle);
    front.begin(
        2,
        super::config(&["optimizer.weight_decay=0.1", "train.steps=14"]),
        Origin::Resume { dir: dir.clone() },
    );
    let info = front.started(2);
    assert_eq!(info.config.optimizer.weight_decay, 0.1);
    front.until("the end", |event| {
        event.run == 2 && matches!(event.kind, EventKind::Finished(_))
    });
    front.until_phase(Phase::Idle);
    assert_eq!(read_history(&dir).unwrap().edits, edits);
    front.replay(3, &dir, "twice");
}

const PLATEAU: &[&str] = &[
    "schedule.kind=plateau",
    "schedule.patience=0",
    "eval.every=2",
];

/// The edit, what the run needs beside it to show, and whether the losses must change.
type Case = (&'static str, &'static str, &'static [&'static str], bool);

const CASES: &[Case] = &[
    ("model.dropout", "0.5", &[], true),
    ("optimizer.kind", "sgd", &[], true),
    (
        "optimizer.kind",
        "adam",
        &["optimizer.weight_decay=0.1"],
        true,
    ),
    ("optimizer.learning_rate", "0.5", &[], true),
    ("optimizer.beta1", "0.1", &[], true),
    ("optimizer.beta2", "0.1", &[], true),
    ("optimizer.epsilon", "0.5", &[], true),
    (
        "optimizer.momentum",
        "0.9",
        &["optimizer.kind=sgd", "optimizer.momentum=0"],
        true,
    ),
    (
        "optimizer.nesterov",
        "true",
        &["optimizer.kind=sgd", "optimizer.momentum=0.9"],
        true,
    ),
    (
        "optimizer.weight_decay",
        "5",
        &["optimizer.learning_rate=0.1"],
        true,
    ),
    (
        "optimizer.decay_form",
        "l2",
        &["optimizer.learning_rate=0.1", "optimizer.weight_decay=1"],
        true,
    ),
    (
        "optimizer.decay_group",
        "all",
        &[
            "optimizer.learning_rate=0.1",
            "optimizer.weight_decay=5",
            "optimizer.decay_group=matrices",
        ],
        true,
    ),
    (
        "optimizer.grad_clip",
        "0.001",
        &["optimizer.kind=sgd"],
        true,
    ),
    (
        "schedule.kind",
        "exponential",
        &["schedule.kind=constant", "schedule.warmup=0"],
        true,
    ),
    ("schedule.start", "now", &["schedule.warmup=10"], true),
    ("schedule.warmup", "9", &["schedule.warmup=0"], true),
    (
        "schedule.decay_steps",
        "9",
        &["schedule.kind=linear", "schedule.warmup=0"],
        true,
    ),
    (
        "schedule.final_ratio",
        "0.9",
        &[
            "schedule.kind=linear",
            "schedule.warmup=0",
            "schedule.final_ratio=0",
        ],
        true,
    ),
    (
        "schedule.gamma",
        "0.5",
        &["schedule.kind=exponential", "schedule.warmup=0"],
        true,
    ),
    (
        "schedule.step_size",
        "2",
        &[
            "schedule.kind=step",
            "schedule.warmup=0",
            "schedule.step_size=1000",
            "schedule.gamma=0.1",
        ],
        true,
    ),
    ("schedule.patience", "50", PLATEAU, false),
    ("train.steps", "15", &["schedule.kind=constant"], false),
    ("train.batch_size", "3", &[], true),
    ("train.batch_size", "3", &["train.batching=random"], true),
    ("train.gradient_accumulation", "2", &[], true),
    ("train.label_smoothing", "0.2", &[], true),
    ("train.early_stopping", "40", &["eval.every=2"], false),
    ("train.on_spike", "continue", &[], false),
    ("train.spike_threshold", "0", &[], false),
    ("eval.every", "3", PLATEAU, false),
    ("eval.batches", "2", PLATEAU, false),
    ("sample.every", "3", &["sample.length=3"], false),
    (
        "sample.prompts",
        "[\"A\"]",
        &["sample.every=5", "sample.length=3"],
        false,
    ),
    ("sample.length", "2", &["sample.every=5"], false),
    (
        "sample.temperature",
        "0.5",
        &["sample.every=5", "sample.length=3"],
        false,
    ),
    (
        "sample.top_k",
        "3",
        &["sample.every=5", "sample.length=3"],
        false,
    ),
    (
        "sample.top_p",
        "0.5",
        &["sample.every=5", "sample.length=3"],
        false,
    ),
    (
        "sample.min_p",
        "0.1",
        &["sample.every=5", "sample.length=3"],
        false,
    ),
    (
        "sample.repetition_penalty",
        "1.5",
        &["sample.every=5", "sample.length=3"],
        false,
    ),
    (
        "sample.seed",
        "9",
        &["sample.every=5", "sample.length=3"],
        false,
    ),
    ("checkpoint.every", "3", &[], false),
    ("checkpoint.keep", "1", &["checkpoint.every=2"], false),
];

#[test]
fn every_live_key_takes_effect_with_the_next_step_and_replays() {
    for field in config::fields() {
        let covered = CASES.iter().any(|case| case.0 == field.key);
        assert!(covered || !config::is_live(field.key), "{}", field.key);
    }
    let mut front = Front::new();
    for (at, (key, value, sets, matters)) in CASES.iter().enumerate() {
        let label = format!("{key} = {value}");
        let run = 1 + 2 * at as u64;
        let before = config(&[&["train.steps=14"], *sets].concat());
        front.start(run, before.clone());
        front.pause();
        let dir = front.started_dir(run);
        front.run_to(front.step_of(run).max(6));
        let step = front.step_of(run);
        let record = front.edit(set(&[(key, value)]));
        assert_eq!(record.step, step + 1, "{label}");
        // In force, also on disk, and it can be taken back.
        let text = std::fs::read_to_string(dir.join(RunFile::Config.name())).unwrap();
        let stored = RunConfig::from_toml("config.toml", &text).unwrap();
        let Edit::Set(changes) = &record.edit else {
            panic!("{record:?}");
        };
        assert_eq!(
            stored,
            config::change(&before, changes, 0).unwrap(),
            "{label}"
        );
        assert_ne!(stored, before, "{label}");
        let Some(Edit::Set(undo)) = &record.undo else {
            panic!("{label}: no undo");
        };
        assert_eq!(config::change(&stored, undo, 0).unwrap(), before, "{label}");
        front.send(Command::Resume);
        front.until("the end", |event| {
            event.run == run && matches!(event.kind, EventKind::Finished(_))
        });
        front.until_phase(Phase::Idle);
        if *matters {
            // The same run without the edit.
            let plain = run + 10_000;
            front.start(plain, before);
            let other = front.started(plain).dir;
            front.until("the end", |event| {
                event.run == plain && matches!(event.kind, EventKind::Finished(_))
            });
            front.until_phase(Phase::Idle);
            let (with, without) = (traced(&dir), traced(&other));
            let edit = step as usize;
            assert_eq!(with[..edit], without[..edit], "{label}");
            assert_ne!(with[edit..], without[edit..], "{label}");
        }
        front.replay(run + 1, &dir, &label);
    }
    front.end();
}

#[test]
fn what_is_not_allowed_is_refused_with_what_is() {
    let mut front = Front::new();
    front.start(1, config(&[]));
    front.started(1);
    front.until_step(3);
    front.pause();
    let step = front.step_of(1);
    let before = front.seen.len();
    let all = front.refused(set(&[
        ("optimizer.weight_decay", "-1"),
        ("optimizer.lerning_rate", "1"),
        ("model.n_layers", "3"),
        ("schedule.patience", "many"),
    ]));
    for part in [
        "optimizer.weight_decay: expected a number from 0 to 10",
        "did you mean `optimizer.learning_rate`?",
        "model.n_layers: cannot change while a run goes on",
        "schedule.patience: ",
    ] {
        assert!(all.contains(part), "{all}");
    }
    let past = front.refused(set(&[("train.steps", "1")]));
    assert!(
        past.contains(&format!(
            "the run is at step {step}; expected at least that"
        )),
        "{past}"
    );
    // Streams need a text that is long enough for them.
    let short = front.refused(set(&[("train.batch_size", "60000")]));
    assert!(short.contains("train.batch_size"), "{short}");
    // One good value among bad ones changes nothing either.
    front.refused(set(&[
        ("optimizer.learning_rate", "0.5"),
        ("optimizer.beta1", "2"),
    ]));
    assert!(
        front.seen[before..]
            .iter()
            .all(|event| edited(event).is_none())
    );
    front.send(Command::Set {
        edit: set(&[("train.steps", "100000")]),
    });
    front.until("a word", |event| says(event, "in force already"));
    front.stop(1);
    let dir = front.started_dir(1);
    assert!(read_history(&dir).unwrap().edits.is_empty());
    front.end();
}

#[test]
fn a_batch_that_does_not_fit_the_memory_is_refused() {
    let mut front = Front::new();
    let sets = [
        "model.kind=gpt",
        "model.context_length=64",
        "model.d_model=256",
        "model.n_heads=4",
        "model.n_layers=4",
        "train.batch_size=1",
        "corpus.bytes=200000",
    ];
    let base = [
        "device=flex",
        "tokenizer.kind=char",
        "eval.every=0",
        "sample.every=0",
        "checkpoint.every=0",
    ];
    let all: Vec<String> = base
        .iter()
        .chain(&sets)
        .map(|set| set.to_string())
        .collect();
    front.start(1, config::load(config::Source::Defaults, &all).unwrap());
    front.started(1);
    front.send(Command::Set {
        edit: set(&[("train.batch_size", "60000")]),
    });
    front.until("a refusal", |event| {
        assert!(edited(event).is_none());
        says(event, "of memory and") && says(event, "train.batch_size")
    });
    front.stop(1);
    front.end();
}

#[test]
fn an_undone_edit_leaves_the_run_as_if_it_had_not_been() {
    let mut front = Front::new();
    front.start(1, config(&["train.steps=14"]));
    front.pause();
    front.run_to(front.step_of(1).max(5));
    for edit in [
        set(&[
            ("optimizer.learning_rate", "0.1"),
            ("train.batch_size", "5"),
        ]),
        Edit::LearningRateMultiplier(0.25),
    ] {
        let record = front.edit(edit);
        let undone = front.edit(record.undo.unwrap());
        assert_eq!(undone.step, record.step);
    }
    front.send(Command::Resume);
    front.finish();
    front.until_phase(Phase::Idle);
    front.start(2, config(&["train.steps=14", "train.batching=random"]));
    front.started(2);
    front.finish();
    front.until_phase(Phase::Idle);
    // Streams begin anew with another number of them: what is undone is the config, which `random` shows whole.
    let dir = front.started_dir(1);
    let text = std::fs::read_to_string(dir.join("config.toml")).unwrap();
    assert_eq!(
        RunConfig::from_toml("config.toml", &text).unwrap(),
        config(&["train.steps=14"])
    );
    let rates: Vec<u64> = traced(&dir).iter().map(|step| step.1[2]).collect();
    let plain: Vec<u64> = traced(&front.started_dir(2))
        .iter()
        .map(|step| step.1[2])
        .collect();
    assert_eq!(rates, plain);
    front.replay(3, &dir, "undone");
    front.end();
}

#[test]
fn until_a_loss_or_an_evaluation() {
    let mut front = Front::new();
    front.start(1, config(&["eval.every=7"]));
    front.pause();
    let start = front.step_of(1);
    front.send(Command::RunUntil {
        until: Until::Evaluation,
    });
    front.paused();
    assert_eq!(front.step_of(1), (start + 1).next_multiple_of(7));
    let dir = front.started_dir(1);
    // Above every loss there has been: the next step is below it.
    front.send(Command::RunUntil {
        until: Until::Loss(50.0),
    });
    front.paused();
    assert_eq!(front.step_of(1), (start + 1).next_multiple_of(7) + 1);
    front.send(Command::RunUntil {
        until: Until::Loss(2.9),
    });
    front.paused();
    let report = *read_history(&dir).unwrap().steps.last().unwrap();
    assert!(report.loss < 2.9);
    front.send(Command::RunUntil {
        until: Until::Loss(f64::NAN),
    });
    front.until("a refusal", |event| says(event, "must be a number"));
    front.stop(1);
    front.end();
}

#[test]
fn what_an_edit_does_not_carry_over_is_said() {
    let mut front = Front::new();
    front.start(1, config(&["optimizer.kind=adam"]));
    front.pause();
    front.run_to(front.step_of(1).max(3));
    for (key, value, words) in [
        ("optimizer.kind", "adamw", None),
        (
            "optimizer.kind",
            "sgd",
            Some("the optimizer starts without moments: those of adamw mean nothing to sgd"),
        ),
        (
            "optimizer.kind",
            "adam",
            Some("the optimizer starts without moments: those of sgd mean nothing to adam"),
        ),
        ("train.gradient_accumulation", "2", None),
        (
            "train.batch_size",
            "3",
            Some("the text is cut into 3 streams from now on, which begin at their start"),
        ),
    ] {
        let before = front.seen.len();
        front.edit(set(&[(key, value)]));
        front.run_to(front.step_of(1) + 2);
        let said = |words| front.seen[before..].iter().any(|event| says(event, words));
        let lost = said("without moments") || said("is cut into");
        assert_eq!(lost, words.is_some(), "{key} {value}");
        assert!(words.is_none_or(said), "{key} {value}");
    }
    front.stop(1);
    front.end();
}

/// A crash between an edit and the next checkpoint: the run trains the same steps again, and makes the edits where they were made.
#[test]
fn edits_that_no_checkpoint_knows_of_are_made_again() {
    let mut front = Front::new();
    let base = config(&["checkpoint.every=0", "checkpoint.keep=100", "eval.every=4"]);
    front.start(1, base.clone());
    front.pause();
    let dir = front.started_dir(1);
    let start = front.step_of(1);
    front.run_to(start + 2);
    front.save();
    front.run_to(start + 4);
    front.edit(set(&[("optimizer.kind", "sgd"), ("train.batch_size", "3")]));
    front.run_to(start + 6);
    front.edit(Edit::LearningRateMultiplier(0.5));
    front.edit(set(&[("train.steps", "500")]));
    front.run_to(start + 9);
    front.stop(1);
    let edits = read_history(&dir).unwrap().edits;
    assert_eq!(edits.len(), 3);
    let whole = traced(&dir);
    // As if the process had been killed before anything after step start + 2 was saved.
    for entry in checkpoint::entries(&dir) {
        if entry.step > start + 2 {
            std::fs::remove_dir_all(entry.path).unwrap();
        }
    }
    let stored = || {
        let text = std::fs::read_to_string(dir.join("config.toml")).unwrap();
        RunConfig::from_toml("config.toml", &text).unwrap()
    };
    let resume = || Origin::Resume { dir: dir.clone() };
    front.begin(2, stored(), resume());
    let info = front.started(2);
    assert_eq!(
        (info.start_step, info.config.train.batch_size),
        (start + 2, 2)
    );
    assert!(
        front
            .seen
            .iter()
            .any(|event| says(event, "with the 3 edits made there"))
    );
    front.pause();
    // Once more, perhaps before it has got as far as any of them.
    front.stop(2);
    front.begin(3, stored(), resume());
    let from = front.started(3).start_step;
    front.pause();
    front.run_to(start + 9);
    let made: Vec<&EditRecord> = front
        .seen
        .iter()
        .filter(|event| event.run == 3)
        .filter_map(edited)
        .filter(|record| record.step > from + 1)
        .collect();
    let due: Vec<&EditRecord> = edits.iter().filter(|edit| edit.step > from + 1).collect();
    assert_eq!(made, due);
    front.stop(3);
    assert_eq!(traced(&dir), whole);
    assert_eq!(read_history(&dir).unwrap().edits, edits);
    let info = crate::run::read_header(&dir).unwrap().info.unwrap();
    assert_eq!(info.total_steps, 500);
    front.replay(4, &dir, "edits made again");
    front.end();
}

/// What is asked for when a run is taken up counts more than an edit of the same key that it had still to make again.
#[test]
fn what_is_asked_for_counts_more_than_an_edit_to_be_made_again() {
    let mut front = Front::new();
    front.start(1, config(&["checkpoint.every=0", "checkpoint.keep=100"]));
    front.pause();
    let dir = front.started_dir(1);
    let start = front.step_of(1);
    front.save();
    front.run_to(start + 2);
    let before = super::config(&[]).train.gradient_accumulation;
    front.edit(set(&[
        ("optimizer.weight_decay", "0.3"),
        ("train.batch_size", "3"),
        ("train.gradient_accumulation", "2"),
    ]));
    front.run_to(start + 4);
    front.stop(1);
    for entry in checkpoint::entries(&dir) {
        if entry.step > start {
            std::fs::remove_dir_all(entry.path).unwrap();
        }
    }
    let text = std::fs::read_to_string(dir.join("config.toml")).unwrap();
    let mut asked = RunConfig::from_toml("config.toml", &text).unwrap();
    asked.optimizer.weight_decay = 0.2;
    // As it was before the edit, and is at the checkpoint.
    asked.train.gradient_accumulation = before;
    front.begin(2, asked, Origin::Resume { dir: dir.clone() });
    front.started(2);
    front.pause();
    let reached = front.step_of(2).max(start + 4);
    if reached > front.step_of(2) {
        front.run_to(reached);
    }
    front.stop(2);
    let edits = read_history(&dir).unwrap().edits;
    let made: Vec<(u64, &Edit)> = edits.iter().map(|edit| (edit.step, &edit.edit)).collect();
    assert_eq!(
        made,
        [
            (start + 1, &set(&[("optimizer.weight_decay", "0.2")])),
            (start + 3, &set(&[("train.batch_size", "3")])),
        ]
    );
    front.replay(3, &dir, "asked for");
    front.end();
}
