//! Replays: nothing but the log decides what a run was, whatever was done to it, and a replay that differs says where.

use std::collections::BTreeMap;

use super::*;
use crate::model::random::Generator;
use crate::run::checkpoint;

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
    ("optimizer.beta1", &["0", "0.5", "0.9", "1"]),
    ("optimizer.beta2", &["0.9", "0.999"]),
    ("optimizer.momentum", &["0", "0.5", "0.9"]),
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
    ("sample.every", &["0", "5"]),
    ("sample.prompts", &["[\"A\"]", "[\"B\", \"The\"]"]),
    ("sample.temperature", &["0", "0.8"]),
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
        "sample.length=3",
    ]);
    let mut run: RunId = 1;
    front.start(run, base);
    front.pause();
    let mut dirs = vec![front.started_dir(run)];
    let mut done: BTreeMap<&str, usize> = BTreeMap::new();
    let mut crossed = 0;
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
                let answer = front.until("an answer", |event| {
                    event.run == run
                        && (rewound(event).is_some()
                            || says(event, "there is no checkpoint")
                            || says(event, "cannot be used"))
                });
                let onto = rewound(&answer).and_then(|rewound| rewound.onto);
                crossed += usize::from(onto.is_some());
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
    assert!(crossed > 5, "{crossed} times onto a branch that was left");
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
