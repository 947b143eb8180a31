//! Runs that begin with another one: forks, other weights, runs that are taken up, folders of older versions.

use super::*;
use crate::protocol::{EditAuthor, FinishReason};
use crate::run::checkpoint::{self, CheckpointMeta};
use crate::run::{self, History};

fn losses(history: &History) -> Vec<(u64, u64)> {
    history
        .steps
        .iter()
        .map(|report| (report.step, report.loss.to_bits()))
        .collect()
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
