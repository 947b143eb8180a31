//! Journeys through a run's time: undo, going back to a checkpoint, forks.

use super::steering::{edited, set, steered};
use super::*;

fn entry(step: u64, reason: CheckpointReason) -> Found {
    Found {
        entry: crate::run::checkpoint::CheckpointEntry {
            path: PathBuf::from(format!("runs/gpt-stories/checkpoints/step-{step:08}")),
            step,
            sequence: step,
            reason,
            best: false,
            kept: false,
            left: false,
            val_loss: Some(2.5),
            created: 0,
            bytes: 10_400_000,
        },
        config: None,
    }
}

impl Journey {
    /// What was asked of the disk since the last call.
    #[track_caller]
    pub(super) fn asked(&mut self) -> Purpose {
        let effects = std::mem::take(&mut self.effects);
        let asked = effects.into_iter().find_map(|effect| match effect {
            Effect::LoadCheckpoints { purpose, .. } => Some(purpose),
            _ => None,
        });
        asked.unwrap_or_else(|| panic!("nothing was asked of the disk:\n{}", self.screen()))
    }

    /// Answers with these checkpoints, newest first.
    #[track_caller]
    pub(super) fn found(&mut self, found: Vec<Found>) {
        let purpose = self.asked();
        let run = self.app.next_run - 1;
        self.tell(Message::CheckpointsLoaded {
            run,
            purpose,
            found,
        });
    }

    /// As [`Journey::found`], for a question that comes by itself, and looks at it.
    #[track_caller]
    pub(super) fn found_and_seen(&mut self, found: Vec<Found>) {
        self.found(found);
        self.tell(Message::Timer(Timer::Seen));
    }
}

pub(super) fn two() -> Vec<Found> {
    vec![
        entry(150, CheckpointReason::Edit),
        entry(100, CheckpointReason::Cadence),
    ]
}

#[test]
fn the_last_edit_is_undone_by_putting_the_value_back() {
    let mut journey = steered();
    journey.keys("u");
    journey.sees("nothing was edited yet");
    let (edit, undo) = (
        set(&[("optimizer.weight_decay", "0.05")]),
        set(&[("optimizer.weight_decay", "0.01")]),
    );
    journey.event(edited(151, edit.clone(), undo.clone()));
    journey.keys("u");
    journey.found(two());
    journey.sees("optimizer.weight_decay 0.05, from step 151 on");
    journey.sees("put the value back");
    journey.sees("optimizer.weight_decay back to 0.01");
    journey.sees("go back to before it");
    journey.keys("p");
    assert_eq!(journey.sent(), [Command::Set { edit: undo.clone() }]);
    journey.event(edited(201, undo, edit));
    assert_eq!(journey.view().config.optimizer.weight_decay, 0.01);
    journey.size(200, 60);
    journey.sees("weight_decay 0.05 (undone)");
    journey.sees("undone: optimizer.weight_decay 0.01 from step 201, by you");
    journey.keys("u");
    journey.sees("every edit has been undone");
}

#[test]
fn undo_can_go_back_to_before_the_edit() {
    let mut journey = steered();
    let (edit, undo) = (
        Edit::LearningRateMultiplier(0.5),
        Edit::LearningRateMultiplier(1.0),
    );
    journey.event(edited(151, edit, undo));
    journey.keys("u");
    journey.found(two());
    journey.sees("learning rate × 0.5, from step 151 on");
    journey.keys("down");
    journey.sees("To the checkpoint of step 150; 50 steps are left");
    journey.keys("enter");
    let checkpoint = "step-00000150".to_string();
    assert_eq!(journey.sent(), [Command::Rewind { checkpoint }]);
    // When that checkpoint is gone, only the value can be put back.
    journey.keys("u");
    journey.found(vec![entry(100, CheckpointReason::Cadence)]);
    journey.sees("There is");
    journey.does_not_see("go back to before it");
    journey.keys("esc");
    // One that was there already when the edit was made does as well.
    journey.keys("u");
    let mut found = vec![
        entry(150, CheckpointReason::User),
        entry(150, CheckpointReason::Cadence),
    ];
    found[0].entry.path.set_file_name("step-00000150-1");
    journey.found(found);
    journey.keys("down");
    journey.sees("To the checkpoint of step 150");
    journey.keys("enter");
    let checkpoint = "step-00000150".to_string();
    assert_eq!(journey.sent(), [Command::Rewind { checkpoint }]);
}

#[test]
fn a_checkpoint_is_chosen_to_go_back_to_and_asked_about_once() {
    let mut journey = steered();
    journey.event(EventKind::SampleDone(crate::protocol::SampleRecord {
        step: 100,
        prompt_index: 0,
        prompt: "Once".into(),
        text: " there was a fox\nand more".into(),
        temperature: 0.8,
        top_k: 40,
        top_p: 1.0,
        tokens_per_second: 900.0,
        complete: true,
    }));
    journey.keys("b");
    assert!(matches!(journey.asked(), Purpose::Rewind));
    journey.keys("b");
    journey.found(two());
    for wanted in [
        "Go back to a checkpoint",
        "2.5000",
        "before an edit",
        "on schedule",
        "10 MB",
        "there was a fox",
    ] {
        journey.sees(wanted);
    }
    for (width, height) in [(40, 12), (80, 24), (120, 40), (200, 60)] {
        journey.size(width, height);
        journey.sees("150");
    }
    journey.keys("down enter");
    journey.sees("Go back from step 200 to 100?");
    assert_eq!(journey.sent(), [], "it is asked once");
    journey.keys("esc");
    assert_eq!(journey.sent(), []);
    journey.keys("b");
    journey.found(two());
    journey.keys("down enter enter");
    let checkpoint = "step-00000100".to_string();
    assert_eq!(journey.sent(), [Command::Rewind { checkpoint }]);
    // Without one there is nothing to choose from.
    journey.keys("b");
    journey.found(Vec::new());
    journey.sees("there is no checkpoint yet");
}

#[test]
fn a_long_list_of_checkpoints_is_gone_through_in_pages() {
    let mut journey = steered();
    journey.size(80, 24);
    let steps = (1..=60).rev().map(|at| at * 10);
    let found: Vec<Found> = steps
        .map(|step| entry(step, CheckpointReason::Cadence))
        .collect();
    journey.keys("b");
    journey.found(found);
    journey.sees("What came after it stays in the logs.");
    let marked = |journey: &Journey| -> u64 {
        let screen = journey.screen();
        let line = screen.lines().find(|line| line.contains('▸'));
        let line = line.unwrap_or_else(|| panic!("nothing is marked:\n{screen}"));
        let mut words = line.split_whitespace();
        words.nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
    };
    assert_eq!(marked(&journey), 600);
    journey.keys("end");
    assert_eq!(marked(&journey), 10);
    journey.keys("home pagedown");
    let page = marked(&journey);
    assert!((400..=500).contains(&page), "{page}");
    journey.keys("ctrl-d ctrl-u pageup");
    assert_eq!(marked(&journey), 600);
    journey.keys("G");
    assert_eq!(marked(&journey), 10);
    journey.keys("g g j");
    assert_eq!(marked(&journey), 590);
    journey.keys("esc");
    journey.does_not_see("Go back to a checkpoint");
}

#[test]
fn a_run_that_is_over_goes_back_and_is_taken_up_there() {
    let mut journey = steered();
    journey.event(EventKind::Finished(FinishReport {
        step: 200,
        reason: FinishReason::Completed,
        val_loss: None,
        best_val_loss: None,
        best_step: None,
        seconds: 6.0,
    }));
    journey.keys("b");
    journey.found(two());
    journey.keys("enter");
    journey.sees("Go back from step 200 to 150?");
    journey.keys("g");
    let dir = info().dir;
    let wanted = Effect::GoBack {
        dir: dir.clone(),
        checkpoint: "step-00000150".into(),
    };
    assert!(journey.effects.contains(&wanted));
    assert_eq!(journey.sent(), [], "nobody trains it");
    journey.tell(Message::WentBack {
        dir: dir.clone(),
        config: Err("the run is in use by another process".into()),
    });
    journey.sees("in use by another process");
    journey.tell(Message::WentBack {
        dir: dir.clone(),
        config: Ok(Box::new(RunConfig::defaults())),
    });
    let sent = journey.sent();
    assert!(
        matches!(
            sent.as_slice(),
            [Command::Start { origin: Origin::Resume { dir: there }, .. }, Command::Pause] if *there == dir
        ),
        "{sent:?}"
    );
}

fn checkpointed(step: u64) -> CheckpointInfo {
    CheckpointInfo {
        sequence: None,
        step,
        path: PathBuf::from(format!("runs/gpt-stories/checkpoints/step-{step:08}")),
        bytes: 10_400_000,
        total_bytes: 10_400_000,
        reason: CheckpointReason::User,
        val_loss: None,
    }
}

#[test]
fn a_checkpoint_of_a_branch_that_was_left_can_be_gone_back_to() {
    let mut journey = steered();
    let mut left = entry(180, CheckpointReason::User);
    left.entry.left = true;
    let all = vec![left, entry(100, CheckpointReason::Cadence)];
    journey.keys("b");
    journey.found(all.clone());
    journey.sees("left: saved by you");
    for (width, height) in [(40, 12), (80, 24), (120, 40), (200, 60)] {
        journey.size(width, height);
        journey.sees("180");
    }
    journey.keys("enter");
    journey.sees("Go from step 200 to step 180 of a branch that was left?");
    journey.keys("g");
    let checkpoint = "step-00000180".to_string();
    assert_eq!(journey.sent(), [Command::Rewind { checkpoint }]);
    // What the worker then tells: back to where both part, and what the branch did from there.
    journey.event(EventKind::Rewound(crate::protocol::Rewound {
        from: 200,
        step: 150,
        checkpoint: "step-00000180".into(),
        by: crate::protocol::EditAuthor::User,
        onto: Some(180),
    }));
    journey.event(edited(
        161,
        Edit::LearningRateMultiplier(0.5),
        Edit::LearningRateMultiplier(1.0),
    ));
    let again = (151..=180).map(|n| StepReport {
        loss: 7.25,
        ..step(n)
    });
    journey.event(EventKind::Steps(again.collect()));
    journey.event(EventKind::Checkpointed(checkpointed(180)));
    let view = journey.view();
    assert_eq!((view.step, view.multiplier), (180, 0.5));
    assert_eq!(view.saved_step, Some(180));
    assert_eq!(view.series.last().map(|report| report.loss), Some(7.25));
    journey.size(200, 60);
    journey.sees("went back from step 200 to 150");
    journey.does_not_see("checkpoint of step 180");
    // `:rewind` takes the run's own before a left one of the same step.
    let mut twin = entry(100, CheckpointReason::User);
    twin.entry.left = true;
    twin.entry.path.set_file_name("step-00000100-1");
    journey.keys(":");
    journey.text("rewind 100");
    journey.keys("enter");
    journey.found(vec![twin, entry(100, CheckpointReason::Cadence)]);
    journey.sees("Go back from step 180 to 100?");
}

#[test]
fn a_fork_gets_a_name_and_edits_and_takes_the_screen() {
    let mut journey = steered();
    journey.knob("train.batch_size");
    journey.keys("right F");
    journey.found(two());
    journey.sees("now; saved first");
    journey.keys("down down enter");
    journey.sees("the checkpoint of step 100");
    journey.sees("It takes the screen; gpt-stories is saved");
    journey.sees("train.batch_size=20");
    journey.keys("ctrl-u");
    journey.text("colder");
    journey.keys("tab ctrl-u");
    journey.text("model.n_layers=3");
    journey.sees("cannot change while a run goes on");
    journey.keys("enter");
    assert_eq!(journey.sent(), [], "a bad edit keeps it from starting");
    journey.keys("ctrl-u");
    journey.text("optimizer.learning_rate=1e-4 model.dropout=0.1");
    journey.keys("enter");
    let sent = journey.sent();
    let [
        Command::Stop,
        Command::Start {
            run: 2,
            config,
            origin,
        },
    ] = sent.as_slice()
    else {
        panic!("{sent:?}\n{}", journey.screen());
    };
    assert_eq!(config.name, "colder");
    assert_eq!(config.optimizer.learning_rate, 1e-4);
    assert_eq!(config.model.kind(), ModelKind::Gpt);
    assert_eq!(
        *origin,
        Origin::Fork {
            dir: None,
            parent: PathBuf::from("runs/gpt-stories"),
            checkpoint: Some("step-00000100".into()),
        }
    );
    journey.event(EventKind::Phase(Phase::Loading {
        what: "reading".into(),
        done: 0,
        total: None,
    }));
    let mut info = info();
    info.start_step = 100;
    info.name = "colder-001".into();
    info.config = (**config).clone();
    journey.event(EventKind::Started(Box::new(info)));
    let dir = PathBuf::from("runs/gpt-stories");
    assert!(
        journey
            .effects
            .contains(&Effect::LoadHistory { run: 2, dir })
    );
    journey.sees("from gpt-stories @100");
    journey.size(200, 60);
    journey.sees("forked from gpt-stories @100");
}

#[test]
fn a_fork_from_now_goes_on_from_what_stopping_saves() {
    let mut journey = steered();
    journey.keys("F");
    journey.found(two());
    journey.keys("enter");
    journey.sees("now (about step 200, which is");
    journey.keys("enter");
    let sent = journey.sent();
    assert!(
        matches!(
            sent.as_slice(),
            [
                Command::Stop,
                Command::Start {
                    origin: Origin::Fork {
                        checkpoint: None,
                        ..
                    },
                    ..
                }
            ]
        ),
        "{sent:?}"
    );
}
