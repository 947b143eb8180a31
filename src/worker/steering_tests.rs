//! Edits, going back, forks and replays, on the real thread with real runs in a temporary folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::tests::{Front, config, failure};
use super::*;
use crate::config::{self, RunConfig};
use crate::model::random::Generator;
use crate::protocol::{
    CheckpointReason, Edit, EditAuthor, EditRecord, Event, FinishReason, Origin, Rewound, Until,
};
use crate::run::checkpoint::{self, CheckpointEntry, CheckpointMeta};
use crate::run::{self, History, RunFile, read_history};

fn set(pairs: &[(&str, &str)]) -> Edit {
    Edit::Set(
        pairs
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect(),
    )
}

fn edited(event: &Event) -> Option<&EditRecord> {
    match &event.kind {
        EventKind::Edited(record) => Some(record),
        _ => None,
    }
}

fn says(event: &Event, words: &str) -> bool {
    matches!(&event.kind, EventKind::Notice(notice) if notice.message.contains(words))
}

fn losses(history: &History) -> Vec<(u64, u64)> {
    history
        .steps
        .iter()
        .map(|report| (report.step, report.loss.to_bits()))
        .collect()
}

/// What the run trained, as far as a replay must repeat it.
fn traced(dir: &Path) -> Vec<(u64, [u64; 3])> {
    let history = read_history(dir).unwrap();
    let bits = |report: &crate::protocol::StepReport| {
        [report.loss, report.grad_norm, report.learning_rate].map(f64::to_bits)
    };
    history
        .steps
        .iter()
        .map(|report| (report.step, bits(report)))
        .collect()
}

impl Front {
    fn started(&mut self, run: RunId) -> Box<crate::protocol::RunInfo> {
        let event = self.until("the start", |event| {
            event.run == run
                && matches!(event.kind, EventKind::Started(_) | EventKind::Failed { .. })
        });
        match event.kind {
            EventKind::Started(info) => info,
            other => panic!("{other:?}"),
        }
    }

    fn begin(&self, run: RunId, config: RunConfig, origin: Origin) {
        self.send(Command::Start {
            run,
            config: Box::new(config),
            origin,
        });
    }

    fn pause(&mut self) {
        self.send(Command::Pause);
        self.paused();
    }

    fn paused(&mut self) {
        self.until_phase(Phase::Paused);
    }

    fn run_to(&mut self, step: u64) {
        self.send(Command::RunUntil {
            until: Until::Step(step),
        });
        self.paused();
    }

    /// A checkpoint that no later one takes the place of, on disk.
    fn save(&mut self) {
        self.send(Command::Save);
        self.until("a checkpoint", |event| {
            says(event, "will be kept")
                || matches!(&event.kind, EventKind::Checkpointed(info) if info.reason == CheckpointReason::User)
        });
    }

    fn edit(&mut self, edit: Edit) -> EditRecord {
        self.send(Command::Set { edit });
        let event = self.until("an edit", |event| {
            edited(event).is_some() || says(event, "not changed")
        });
        edited(&event)
            .cloned()
            .unwrap_or_else(|| panic!("{event:?}"))
    }

    fn refused(&mut self, edit: Edit) -> String {
        self.send(Command::Set { edit });
        let event = self.until("a refusal", |event| {
            edited(event).is_some()
                || matches!(&event.kind, EventKind::Notice(notice) if notice.level == NoticeLevel::Warning)
        });
        match event.kind {
            EventKind::Notice(notice) => notice.message,
            other => panic!("{other:?}"),
        }
    }

    fn stop(&mut self, run: RunId) {
        self.send(Command::Stop);
        self.until("the end", |event| {
            event.run == run && matches!(event.kind, EventKind::Finished(_))
        });
        self.until_phase(Phase::Idle);
    }

    /// Repeats a run, and wants it to be the same.
    fn replay(&mut self, run: RunId, parent: &Path, label: &str) -> PathBuf {
        self.begin(
            run,
            config(&[]),
            Origin::Replay {
                dir: None,
                parent: parent.to_path_buf(),
            },
        );
        let dir = self.started(run).dir;
        let end = self.until("the end of the replay", |event| {
            event.run == run
                && (failure(event).is_some() || matches!(event.kind, EventKind::Finished(_)))
        });
        assert!(failure(&end).is_none(), "{label}: {end:?}");
        self.until_phase(Phase::Idle);
        assert_eq!(traced(&dir), traced(parent), "{label}");
        dir
    }
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

impl Front {
    /// The folder of a run that has started already.
    fn started_dir(&self, run: RunId) -> PathBuf {
        let started = self.seen.iter().find_map(|event| match &event.kind {
            EventKind::Started(info) if event.run == run => Some(info.dir.clone()),
            _ => None,
        });
        started.expect("it has started")
    }

    fn step_of(&self, run: RunId) -> u64 {
        let steps = self.seen.iter().rev().filter(|event| event.run == run);
        let known = steps.filter_map(|event| match &event.kind {
            EventKind::Steps(steps) => steps.last().map(|report| report.step),
            EventKind::Rewound(rewound) => Some(rewound.step),
            EventKind::Started(info) => Some(info.start_step),
            _ => None,
        });
        known.into_iter().next().unwrap_or(0)
    }
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

/// Manual evaluations, pauses in the middle and the plateau: a replay knows nothing of them.
#[test]
fn looking_does_not_steer() {
    let sets = [
        "train.steps=12",
        "eval.every=3",
        "schedule.kind=plateau",
        "schedule.patience=0",
        "train.early_stopping=9",
    ];
    let mut front = Front::new();
    front.start(1, config(&sets));
    front.pause();
    let step = front.step_of(1);
    for next in (step + 1)..12 {
        front.run_to(next);
        front.send(Command::Evaluate);
        front.until("an evaluation", |event| {
            matches!(event.kind, EventKind::Evaluated(_))
        });
    }
    front.send(Command::Resume);
    front.finish();
    front.until_phase(Phase::Idle);
    front.start(2, config(&sets));
    front.started(2);
    front.finish();
    front.until_phase(Phase::Idle);
    let (looked, left_alone) = (front.started_dir(1), front.started_dir(2));
    assert_eq!(traced(&looked), traced(&left_alone));
    front.replay(3, &looked, "looked at");
    front.end();
}

fn rewound(event: &Event) -> Option<&Rewound> {
    match &event.kind {
        EventKind::Rewound(rewound) => Some(rewound),
        _ => None,
    }
}

#[test]
fn going_back_takes_everything_back_and_the_left_branch_stays_in_the_log() {
    let mut front = Front::new();
    front.start(1, config(&["checkpoint.every=0", "checkpoint.keep=100"]));
    front.pause();
    let dir = front.started_dir(1);
    let start = front.step_of(1).next_multiple_of(5) + 5;
    front.run_to(start + 2);
    let early = front.edit(Edit::LearningRateMultiplier(0.5));
    front.run_to(start + 5);
    front.save();
    front.run_to(start + 7);
    front.edit(set(&[("optimizer.kind", "sgd"), ("train.batch_size", "7")]));
    front.edit(Edit::LearningRateMultiplier(3.0));
    front.run_to(start + 10);
    front.save();
    front.run_to(start + 12);
    let first: Vec<(u64, [u64; 3])> = traced(&dir);
    front.send(Command::Rewind {
        checkpoint: "step-00000003-9".into(),
    });
    front.until("a refusal", |event| {
        says(event, "there is no checkpoint") && says(event, "There are: step-")
    });
    let back = format!("step-{:08}", start + 5);
    front.send(Command::Rewind {
        checkpoint: back.clone(),
    });
    let event = front.until("the way back", |event| rewound(event).is_some());
    assert_eq!(
        rewound(&event),
        Some(&Rewound {
            from: start + 12,
            step: start + 5,
            checkpoint: back.clone(),
            by: EditAuthor::User
        })
    );
    // It was paused before, so that no phase follows: the words are the last of it.
    front.until("the words about it", |event| {
        says(event, "went back to step")
    });
    let text = std::fs::read_to_string(dir.join("config.toml")).unwrap();
    let now = RunConfig::from_toml("config.toml", &text).unwrap();
    assert_eq!(
        (now.train.batch_size, now.optimizer.kind),
        (2, config::OptimizerKind::AdamW)
    );
    front.run_to(start + 9);
    let later = format!("step-{:08}", start + 10);
    front.send(Command::Rewind { checkpoint: later });
    front.until("a refusal", |event| {
        says(event, "on a branch that this run has left")
    });
    front.stop(1);
    let history = read_history(&dir).unwrap();
    let edits: Vec<&Edit> = history.edits.iter().map(|record| &record.edit).collect();
    assert_eq!(edits, vec![&early.edit]);
    assert_eq!(history.left.len(), 1);
    assert_eq!(history.left[0].rewound.from, start + 12);
    // The same text up to the edit that was taken back.
    let again = traced(&dir);
    let edit = (start + 7) as usize;
    assert_eq!(again.len() as u64, start + 9);
    assert_eq!(again[..edit], first[..edit]);
    assert_ne!(again[edit..], first[edit..again.len()]);
    front.replay(2, &dir, "after going back");
    // Taken up again it goes on from where it was, not from what was left.
    front.begin(
        3,
        config(&["checkpoint.every=0", "checkpoint.keep=100"]),
        Origin::Resume { dir: dir.clone() },
    );
    assert_eq!(front.started(3).start_step, start + 9);
    front.stop(3);
    front.end();
}

#[test]
fn going_back_to_what_is_deleted_or_damaged_changes_nothing() {
    let mut front = Front::new();
    front.start(1, config(&["checkpoint.every=0", "checkpoint.keep=100"]));
    front.pause();
    let start = front.step_of(1).next_multiple_of(3);
    for more in [3, 6, 9, 10] {
        front.run_to(start + more);
        front.save();
    }
    front.send(Command::Evaluate);
    front.until("an evaluation", |event| {
        matches!(event.kind, EventKind::Evaluated(_))
    });
    let dir = front.started_dir(1);
    let entries: Vec<CheckpointEntry> = checkpoint::entries(&dir);
    let (deleted, damaged) = (&entries[0], &entries[1]);
    std::fs::remove_dir_all(&deleted.path).unwrap();
    std::fs::write(damaged.path.join("optimizer.safetensors"), "x").unwrap();
    for (entry, words) in [
        (deleted, "there is no checkpoint"),
        (damaged, "cannot be used"),
    ] {
        front.send(Command::Rewind {
            checkpoint: entry.name(),
        });
        let event = front.until("a refusal", |event| {
            says(event, words) || rewound(event).is_some()
        });
        assert!(
            rewound(&event).is_none() && says(&event, &entries[2].name()),
            "{event:?}"
        );
    }
    let before = front.step_of(1);
    front.run_to(before + 2);
    assert_eq!(front.step_of(1), before + 2);
    front.stop(1);
    front.replay(2, &dir, "nothing changed");
    front.end();
}

#[test]
fn edits_of_one_step_share_a_checkpoint_and_push_no_other_out() {
    let mut front = Front::new();
    front.start(1, config(&["checkpoint.keep=2", "checkpoint.every=1000"]));
    front.pause();
    let dir = front.started_dir(1);
    front.send(Command::Save);
    let mut edits = 0;
    for _ in 0..5 {
        front.run_to(front.step_of(1) + 2);
        for value in ["0.1", "0.2", "0.3"] {
            front.edit(set(&[("optimizer.weight_decay", value)]));
            edits += 1;
        }
    }
    front.stop(1);
    assert_eq!(edits, 15);
    let before_edits: Vec<u64> = checkpoint::entries(&dir)
        .iter()
        .filter(|entry| entry.reason == CheckpointReason::Edit)
        .map(|entry| entry.step)
        .collect();
    // The newest two, one a step.
    assert_eq!(before_edits.len(), 2);
    assert_eq!(before_edits[0], before_edits[1] + 2);
    assert!(
        checkpoint::entries(&dir)
            .iter()
            .any(|entry| entry.reason == CheckpointReason::User)
    );
    front.replay(2, &dir, "many edits");
    front.end();
}

#[test]
fn a_fork_goes_on_with_everything_and_its_replay_begins_there() {
    let mut front = Front::new();
    let sets = [
        "checkpoint.every=0",
        "checkpoint.keep=100",
        "schedule.kind=constant",
    ];
    front.start(1, config(&sets));
    front.pause();
    let parent = front.started_dir(1);
    let start = front.step_of(1).next_multiple_of(5) + 5;
    front.run_to(start - 2);
    front.edit(Edit::LearningRateMultiplier(0.5));
    front.run_to(start);
    front.save();
    front.run_to(start + 8);
    front.stop(1);
    // As it is, it does what the parent did.
    let name = format!("step-{start:08}");
    let fork = |steps: &str, more: &[&str]| config(&[&sets[..], &[steps], more].concat());
    let same = format!("train.steps={}", start + 8);
    front.begin(
        2,
        fork(&same, &[]),
        Origin::Fork {
            dir: None,
            parent: parent.clone(),
            checkpoint: Some(name.clone()),
        },
    );
    let info = front.started(2);
    assert_eq!(info.start_step, start);
    front.finish();
    front.until_phase(Phase::Idle);
    assert_eq!(traced(&info.dir), traced(&parent)[start as usize..]);
    let header = run::read_header(&info.dir).unwrap();
    let lineage = header.parent.unwrap();
    assert_eq!(
        (lineage.run, lineage.step),
        (parent.display().to_string(), start)
    );
    // With a difference, which is its first edit.
    front.begin(
        3,
        fork(&same, &["optimizer.weight_decay=9", "model.dropout=0.3"]),
        Origin::Fork {
            dir: None,
            parent: parent.clone(),
            checkpoint: Some(name),
        },
    );
    let other = front.started(3).dir;
    front.finish();
    front.until_phase(Phase::Idle);
    let history = read_history(&other).unwrap();
    assert_eq!(
        (history.edits[0].step, history.edits[0].by),
        (start + 1, EditAuthor::Start)
    );
    assert!(
        history.edits[0]
            .edit
            .to_string()
            .contains("optimizer.weight_decay 9"),
        "{:?}",
        history.edits
    );
    assert_ne!(losses(&history), losses(&read_history(&info.dir).unwrap()));
    for (run, dir) in [(4, info.dir), (5, other)] {
        assert!(
            checkpoint::entries(&dir)
                .iter()
                .any(|entry| entry.reason == CheckpointReason::Start && entry.kept)
        );
        front.replay(run, &dir, "a fork");
    }
    // Another model is no fork.
    front.begin(
        6,
        config(&["model.hidden_size=9"]),
        Origin::Fork {
            dir: None,
            parent,
            checkpoint: None,
        },
    );
    let refused = front.until("a refusal", |event| failure(event).is_some());
    assert!(
        failure(&refused).unwrap().contains("another model"),
        "{refused:?}"
    );
    front.end();
}

#[test]
fn a_run_from_other_weights_replays_from_its_beginning() {
    let mut front = Front::new();
    front.start(1, config(&["train.steps=4"]));
    let parent = front.started(1).dir;
    front.finish();
    front.until_phase(Phase::Idle);
    front.begin(
        2,
        config(&["train.steps=6", "train.seed=5"]),
        Origin::From {
            dir: None,
            parent,
            step: None,
        },
    );
    let dir = front.started(2).dir;
    front.finish();
    front.until_phase(Phase::Idle);
    front.replay(3, &dir, "from other weights");
    front.end();
}

#[test]
fn what_is_set_when_a_run_is_taken_up_is_its_first_edit() {
    let mut front = Front::new();
    front.start(1, config(&["train.steps=5"]));
    let dir = front.started(1).dir;
    front.finish();
    front.until_phase(Phase::Idle);
    let more = config(&["train.steps=9", "optimizer.kind=sgd"]);
    front.begin(2, more.clone(), Origin::Resume { dir: dir.clone() });
    front.started(2);
    front.finish();
    front.until_phase(Phase::Idle);
    let history = read_history(&dir).unwrap();
    assert_eq!(history.steps.len(), 9);
    assert_eq!(
        (
            history.edits.len(),
            history.edits[0].step,
            history.edits[0].by
        ),
        (1, 6, EditAuthor::Start)
    );
    let text = std::fs::read_to_string(dir.join("config.toml")).unwrap();
    assert_eq!(RunConfig::from_toml("config.toml", &text).unwrap(), more);
    assert_eq!(
        run::read_header(&dir).unwrap().config,
        Some(config(&["train.steps=5"]))
    );
    front.replay(3, &dir, "taken up");
    // Fewer steps than are done.
    front.begin(
        4,
        config(&["train.steps=3", "optimizer.kind=sgd"]),
        Origin::Resume { dir },
    );
    let refused = front.until("a refusal", |event| {
        event.run == 4 && failure(event).is_some()
    });
    assert!(
        failure(&refused)
            .unwrap()
            .contains("expected at least that"),
        "{refused:?}"
    );
    front.end();
}

/// As versions before this one left it: no first configuration, no new part in the state of the checkpoint.
#[test]
fn an_older_folder_goes_on() {
    let mut front = Front::new();
    front.start(1, config(&["train.steps=5", "eval.every=2"]));
    let dir = front.started(1).dir;
    front.finish();
    front.until_phase(Phase::Idle);
    let path = dir.join("run.json");
    let mut header: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    header.as_object_mut().unwrap().remove("config").unwrap();
    for key in ["on_spike", "spike_threshold"] {
        header["info"]["config"]["train"]
            .as_object_mut()
            .unwrap()
            .remove(key)
            .unwrap();
    }
    std::fs::write(&path, header.to_string()).unwrap();
    let newest = checkpoint::newest(&dir).unwrap();
    let mut content = checkpoint::load_newest(&dir).unwrap().checkpoint;
    let session = content.state["session"].as_object_mut().unwrap();
    for key in [
        "config",
        "spikes",
        "version",
        "best_counted",
        "last_val_step",
    ] {
        session.remove(key).unwrap();
    }
    std::fs::remove_dir_all(&newest.path).unwrap();
    let meta = CheckpointMeta {
        step: newest.step,
        reason: newest.reason,
        best: newest.best,
        val_loss: newest.val_loss,
    };
    checkpoint::write(&dir, &meta, &content).unwrap();
    front.begin(
        2,
        config(&["train.steps=9", "eval.every=2"]),
        Origin::Resume { dir: dir.clone() },
    );
    assert_eq!(front.started(2).start_step, 5);
    assert_eq!(front.finish().reason, FinishReason::Completed);
    front.until_phase(Phase::Idle);
    front.replay(3, &dir, "an older folder");
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

/// A run whose loss rises because of a rate that is far too high.
fn spiking(front: &mut Front, policy: &str) -> PathBuf {
    let policy = format!("train.on_spike={policy}");
    front.start(
        1,
        config(&[
            &policy,
            "train.spike_threshold=0.6",
            "checkpoint.every=10",
            "checkpoint.keep=100",
            "train.steps=150",
            "train.batch_size=8",
            "schedule.kind=constant",
            "schedule.warmup=0",
            "optimizer.learning_rate=0.01",
        ]),
    );
    front.pause();
    front.run_to(front.step_of(1).max(30));
    front.save();
    front.run_to(40);
    front.edit(Edit::LearningRateMultiplier(500.0));
    front.send(Command::Resume);
    front.until("a spike", |event| {
        matches!(event.kind, EventKind::Spiked(_))
    });
    front.started_dir(1)
}

#[test]
fn a_spike_pauses_and_says_what_can_be_done() {
    let mut front = Front::new();
    let dir = spiking(&mut front, "pause");
    front.until("the choices", |event| {
        says(event, "resume to go on as it is, go back to a checkpoint")
    });
    front.paused();
    front.stop(1);
    let history = read_history(&dir).unwrap();
    assert_eq!(history.spikes.len(), 1);
    front.replay(2, &dir, "a spike");
    front.end();
}

#[test]
fn a_spike_goes_by_itself() {
    let mut front = Front::new();
    let dir = spiking(&mut front, "continue");
    front.until("the word", |event| says(event, "training goes on"));
    front.finish();
    front.until_phase(Phase::Idle);
    assert!(read_history(&dir).unwrap().left.is_empty());
    front.replay(2, &dir, "going on");
    front.end();
}

#[test]
fn a_spike_goes_back_with_half_the_rate() {
    let mut front = Front::new();
    let dir = spiking(&mut front, "rewind");
    let event = front.until("the way back", |event| rewound(event).is_some());
    let back = rewound(&event).unwrap().clone();
    assert_eq!(back.by, EditAuthor::Policy);
    assert!(back.step <= 40, "{back:?}");
    let event = front.until("half the rate", |event| {
        edited(event).is_some_and(|record| record.by == EditAuthor::Policy)
    });
    assert_eq!(
        edited(&event).unwrap().edit,
        Edit::LearningRateMultiplier(250.0)
    );
    // It comes to an end: a rate that is low enough, or a pause after going back in vain.
    front.until("an end", |event| {
        matches!(event.kind, EventKind::Finished(_)) || says(event, "Training is paused: resume")
    });
    front.send(Command::Stop);
    front.until_phase(Phase::Idle);
    let history = read_history(&dir).unwrap();
    assert!(!history.left.is_empty() && !history.edits.is_empty());
    front.replay(2, &dir, "gone back");
    front.end();
}

/// Weights that are no numbers, in the newest checkpoint.
fn poisoned(front: &mut Front, policy: &str) -> (PathBuf, RunConfig) {
    let policy = format!("train.on_spike={policy}");
    let config = config(&[
        &policy,
        "train.steps=12",
        "checkpoint.every=3",
        "checkpoint.keep=100",
    ]);
    front.start(1, config.clone());
    front.pause();
    front.run_to(front.step_of(1).max(4));
    front.save();
    front.run_to(7);
    front.stop(1);
    let dir = front.started_dir(1);
    let mut content = checkpoint::load_newest(&dir).unwrap().checkpoint;
    content.model[0].data.fill(f32::NAN);
    let meta = CheckpointMeta {
        step: checkpoint::newest(&dir).unwrap().step,
        reason: CheckpointReason::Stop,
        best: false,
        val_loss: None,
    };
    checkpoint::write(&dir, &meta, &content).unwrap();
    (dir, config)
}

#[test]
fn steps_without_a_number_are_left_out() {
    let mut front = Front::new();
    let (dir, config) = poisoned(&mut front, "continue");
    let before = read_history(&dir).unwrap().steps.len();
    front.begin(2, config, Origin::Resume { dir: dir.clone() });
    front.until("the word", |event| says(event, "was left out"));
    assert_eq!(front.finish().reason, FinishReason::Completed);
    front.until_phase(Phase::Idle);
    let history = read_history(&dir).unwrap();
    assert_eq!(history.steps.len(), 12);
    assert!(
        history.steps[before..]
            .iter()
            .all(|report| !report.loss.is_finite())
    );
    assert_eq!(history.spikes.len(), 12 - before);
    front.end();
}

#[test]
fn weights_without_numbers_are_gone_back_from() {
    let mut front = Front::new();
    let (dir, config) = poisoned(&mut front, "rewind");
    front.begin(2, config, Origin::Resume { dir: dir.clone() });
    let event = front.until("the way back", |event| rewound(event).is_some());
    assert!(rewound(&event).unwrap().step < rewound(&event).unwrap().from);
    assert_eq!(front.finish().reason, FinishReason::Completed);
    front.until_phase(Phase::Idle);
    let history = read_history(&dir).unwrap();
    assert!(history.steps.iter().all(|report| report.loss.is_finite()));
    assert_eq!(history.edits[0].edit, Edit::LearningRateMultiplier(0.5));
    front.replay(3, &dir, "numbers again");
    front.end();
}

#[test]
fn a_replay_that_differs_is_a_failed_run_that_says_where() {
    let mut front = Front::new();
    front.start(1, config(&["train.steps=6"]));
    let dir = front.started(1).dir;
    front.finish();
    front.until_phase(Phase::Idle);
    let log = dir.join("metrics.jsonl");
    let text = std::fs::read_to_string(&log).unwrap();
    let third = read_history(&dir).unwrap().steps[2].loss;
    let changed = text.replace(&format!("\"loss\":{third:?}"), "\"loss\":0.5");
    assert_ne!(changed, text);
    std::fs::write(&log, changed).unwrap();
    front.begin(
        2,
        config(&[]),
        Origin::Replay {
            dir: None,
            parent: dir,
        },
    );
    front.started(2);
    let failed = front.until("the verdict", |event| failure(event).is_some());
    let words = failure(&failed).unwrap();
    assert!(
        words.contains("step 3 is the first") && words.contains("instead of 0.5"),
        "{words}"
    );
    front.end();
}

/// Random numbers below a bound.
struct Dice(Generator);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        (self.0.next_f64() * bound as f64) as usize
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

const RANDOM_EDITS: &[(&str, &[&str])] = &[
    ("optimizer.kind", &["sgd", "adam", "adamw"]),
    ("optimizer.learning_rate", &["0.001", "0.01", "0.02", "-3"]),
    ("optimizer.weight_decay", &["0", "0.1", "99"]),
    ("optimizer.grad_clip", &["0", "0.5", "1"]),
    (
        "schedule.kind",
        &["constant", "cosine", "plateau", "exponential"],
    ),
    ("schedule.start", &["now", "0", "3"]),
    ("schedule.warmup", &["0", "5"]),
    ("model.dropout", &["0", "0.2", "1.5"]),
    ("train.batch_size", &["1", "2", "3", "many"]),
    ("train.gradient_accumulation", &["1", "2"]),
    ("train.label_smoothing", &["0", "0.1"]),
    ("eval.every", &["2", "3", "7"]),
    ("eval.batches", &["1", "2"]),
    ("checkpoint.every", &["0", "3", "10"]),
    ("checkpoint.keep", &["1", "3"]),
    ("train.spike_threshold", &["0", "2"]),
    ("model.n_layers", &["2"]),
];

/// Whatever is done to a run, its log says it: a thousand edits, pauses, steps, looks, saves, rewinds, forks and resumes in a
/// row, and every run that came of it replays to the same losses.
#[test]
fn a_thousand_random_acts_leave_runs_that_replay() {
    const ACTS: usize = 1000;
    let mut dice = Dice(Generator::new(20_240_601));
    let mut front = Front::new();
    let base = config(&[
        "eval.every=3",
        "checkpoint.every=0",
        "train.on_spike=continue",
        "model.hidden_size=4",
        "corpus.bytes=6000",
    ]);
    let mut run: RunId = 1;
    front.start(run, base);
    front.pause();
    let mut dirs = vec![front.started_dir(run)];
    let mut done: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..ACTS {
        let dir = dirs[dirs.len() - 1].clone();
        let act = *dice.pick(&[
            "edit", "edit", "edit", "edit", "multiply", "resume", "pause", "step", "steps",
            "steps", "look", "save", "rewind", "rewind", "undo", "fork", "stop",
        ]);
        *done.entry(act).or_default() += 1;
        match act {
            "edit" => {
                let count = 1 + dice.below(3);
                let changes: Vec<(&str, &str)> = (0..count)
                    .map(|_| {
                        let (key, values) = dice.pick(RANDOM_EDITS);
                        (*key, *dice.pick(values))
                    })
                    .collect();
                front.send(Command::Set {
                    edit: set(&changes),
                });
            }
            "multiply" => {
                let factor = *dice.pick(&[0.25, 0.5, 1.0, 2.0, -1.0]);
                front.send(Command::Set {
                    edit: Edit::LearningRateMultiplier(factor),
                });
            }
            "undo" => {
                let undo = front.seen.iter().rev().filter(|event| event.run == run);
                let undo = undo
                    .filter_map(edited)
                    .find_map(|record| record.undo.clone());
                if let Some(edit) = undo {
                    front.send(Command::Set { edit });
                }
            }
            "resume" => {
                front.send(Command::Resume);
                let step = front.step_of(run);
                front.until_step_of(run, step + 1);
            }
            "pause" => front.send(Command::Pause),
            "step" => front.send(Command::StepOnce),
            "steps" => front.run_on(run, 1 + dice.below(20) as u64),
            "look" => front.send(Command::Evaluate),
            "save" => front.send(Command::Save),
            "rewind" => {
                let entries = checkpoint::entries(&dir);
                let name = match entries.is_empty() || dice.below(10) == 0 {
                    true => "step-99999999".to_string(),
                    false => dice.pick(&entries).name(),
                };
                front.send(Command::Rewind { checkpoint: name });
                front.until("an answer", |event| {
                    event.run == run
                        && (rewound(event).is_some()
                            || says(event, "there is no checkpoint")
                            || says(event, "has left")
                            || says(event, "cannot be used"))
                });
            }
            "fork" | "stop" => {
                front.stop(run);
                front.seen.clear();
                run += 1;
                let text = std::fs::read_to_string(dir.join("config.toml")).unwrap();
                let config = RunConfig::from_toml("config.toml", &text).unwrap();
                let entries = checkpoint::entries(&dir);
                let origin = match act == "fork" && dice.below(3) == 0 && !entries.is_empty() {
                    true => Origin::Fork {
                        dir: None,
                        parent: dir,
                        checkpoint: Some(dice.pick(&entries).name()),
                    },
                    false if entries.is_empty() => Origin::New { dir: None },
                    false => Origin::Resume { dir },
                };
                let resumes = matches!(origin, Origin::Resume { .. });
                front.begin(run, config, origin);
                front.pause();
                let dir = front.started_dir(run);
                if !resumes {
                    dirs.push(dir);
                }
            }
            _ => unreachable!(),
        }
    }
    front.stop(run);
    assert!(done.values().all(|count| *count > 20), "{done:?}");
    let mut steps = 0;
    for dir in &dirs {
        let history = read_history(dir).unwrap();
        steps += history.steps.len();
        if !history.steps.is_empty() {
            run += 1;
            front.replay(run, dir, &dir.display().to_string());
        }
    }
    assert!(
        dirs.len() > 5 && steps > 300,
        "{} runs, {steps} steps",
        dirs.len()
    );
    front.end();
}

impl Front {
    fn until_step_of(&mut self, run: RunId, step: u64) {
        self.until("a step", |event| {
            event.run == run
                && matches!(&event.kind, EventKind::Steps(steps) if steps.last().is_some_and(|last| last.step >= step))
        });
    }

    /// Some steps more, and then a pause; commands sent before are obeyed first.
    fn run_on(&mut self, run: RunId, count: u64) {
        self.send(Command::Pause);
        // Its refusal is behind everything sent before.
        self.send(Command::Set {
            edit: set(&[("no.such_key", "1")]),
        });
        self.until("a refusal", |event| {
            event.run == run && says(event, "no.such_key")
        });
        let step = self.step_of(run);
        self.send(Command::RunUntil {
            until: Until::Step(step + count),
        });
        self.until_step_of(run, step + count);
    }
}
