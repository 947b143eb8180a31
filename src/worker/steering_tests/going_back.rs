//! Going back to a checkpoint, because a person wants it or because the loss has risen.

use super::*;
use crate::config;
use crate::protocol::{EditAuthor, FinishReason};
use crate::run::checkpoint::{self, CheckpointEntry, CheckpointMeta};

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
            by: EditAuthor::User,
            onto: None,
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

/// Two branches from one checkpoint, and from the second to a checkpoint of the first and back.
#[test]
fn a_branch_that_was_left_is_taken_up_again() {
    let mut front = Front::new();
    let base = config(&[
        "checkpoint.every=0",
        "checkpoint.keep=100",
        "eval.every=4",
        "sample.every=4",
    ]);
    front.start(1, base.clone());
    front.pause();
    let dir = front.started_dir(1);
    let start = front.step_of(1);
    let name = |step: u64| format!("step-{step:08}");
    let go = |front: &mut Front, checkpoint: String| {
        let from = front.seen.len();
        front.send(Command::Rewind { checkpoint });
        let event = front.until("the way there", |event| {
            rewound(event).is_some() || says(event, "left")
        });
        front.until("the words about it", |event| {
            says(event, "went back to step")
        });
        let told = front.seen[from..]
            .iter()
            .flat_map(|event| match &event.kind {
                EventKind::Steps(steps) => steps.iter().map(|report| report.step).collect(),
                _ => Vec::new(),
            });
        let told: Vec<u64> = told.collect();
        let rewound = rewound(&event)
            .unwrap_or_else(|| panic!("{event:?}"))
            .clone();
        (rewound, told)
    };
    front.run_to(start + 3);
    front.save();
    front.run_to(start + 5);
    let first_edit = front.edit(set(&[("optimizer.kind", "sgd"), ("train.batch_size", "7")]));
    front.run_to(start + 9);
    front.save();
    front.edit(Edit::LearningRateMultiplier(3.0));
    front.run_to(start + 12);
    let first = traced(&dir);
    let (back, _) = go(&mut front, name(start + 3));
    assert_eq!((back.step, back.onto), (start + 3, None));
    front.run_to(start + 4);
    let second_edit = front.edit(set(&[("optimizer.weight_decay", "0.3")]));
    front.run_to(start + 14);
    front.save();
    let second = traced(&dir);
    // To the first branch, and on.
    let (back, told) = go(&mut front, name(start + 9));
    assert_eq!(
        (back.from, back.step, back.onto),
        (start + 14, start + 3, Some(start + 9))
    );
    assert_eq!(told, (start + 4..=start + 9).collect::<Vec<_>>());
    let edits = |dir: &Path| read_history(dir).unwrap().edits;
    assert_eq!(edits(&dir), std::slice::from_ref(&first_edit));
    assert_eq!(traced(&dir), first[..(start + 9) as usize]);
    let newest = checkpoint::newest(&dir).unwrap();
    assert_eq!((newest.step, newest.left), (start + 9, false));
    front.run_to(start + 16);
    let third = traced(&dir);
    assert_eq!(third[..(start + 9) as usize], first[..(start + 9) as usize]);
    front.save();
    let history = read_history(&dir).unwrap();
    let once = |steps: Vec<u64>| {
        let mut sorted = steps.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(steps, sorted);
    };
    once(history.evaluations.iter().map(|e| e.step).collect());
    once(history.checkpoints.iter().map(|c| c.step).collect());
    // And to the second once more.
    let (back, _) = go(&mut front, name(start + 14));
    assert_eq!((back.step, back.onto), (start + 3, Some(start + 14)));
    assert_eq!(edits(&dir), [second_edit]);
    assert_eq!(traced(&dir), second[..(start + 14) as usize]);
    front.run_to(start + 18);
    front.stop(1);
    front.replay(2, &dir, "from branch to branch");
    // A run that ended between the marks on its checkpoints and the lines in its logs: the lines are said when it is taken up.
    let entries = checkpoint::entries(&dir);
    let first_branch = entries
        .iter()
        .find(|entry| entry.step == start + 9)
        .unwrap();
    assert!(first_branch.left);
    for entry in &entries {
        let mark = entry.path.join("left");
        match entry.step {
            step if step == start + 9 => std::fs::remove_file(mark).unwrap(),
            step if step > start + 3 && !entry.left => std::fs::write(mark, "").unwrap(),
            _ => {}
        }
    }
    front.begin(3, base, Origin::Resume { dir: dir.clone() });
    assert_eq!(front.started(3).start_step, start + 9);
    front.pause();
    front.run_to(start + 11);
    front.stop(3);
    assert_eq!(edits(&dir), [first_edit]);
    assert_eq!(
        traced(&dir)[..(start + 9) as usize],
        first[..(start + 9) as usize]
    );
    front.replay(4, &dir, "taken up on another branch");
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

/// With `pause`: going on as it is would only give the same again.
#[test]
fn going_on_after_a_step_without_a_number_leaves_it_out() {
    let mut front = Front::new();
    let (dir, config) = poisoned(&mut front, "pause");
    let before = read_history(&dir).unwrap().steps.len() as u64;
    front.begin(2, config, Origin::Resume { dir: dir.clone() });
    for step in before + 1..=before + 2 {
        front.until("the question", |event| {
            matches!(&event.kind, EventKind::Phase(Phase::Diverged { step: s, .. }) if *s == step)
        });
        front.send(Command::Resume);
        let words = format!("step {step} was left out");
        front.until("the word", |event| says(event, &words));
    }
    front.until("the question", |event| {
        matches!(&event.kind, EventKind::Phase(Phase::Diverged { .. }))
    });
    // With something changed it is tried again.
    front.edit(Edit::LearningRateMultiplier(0.5));
    front.send(Command::Resume);
    front.until("the word", |event| says(event, "trying the step again"));
    front.stop(2);
    let history = read_history(&dir).unwrap();
    assert_eq!(history.steps.len() as u64, before + 2);
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
