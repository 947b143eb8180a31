//! A run on the dashboard: its keys, its charts, its end, and every way of leaving it.

use super::*;
use crate::protocol::EvalReport;

#[test]
fn the_run_is_steered_by_keys() {
    let mut journey = Journey::training();
    journey.keys("space");
    assert_eq!(journey.sent(), [Command::Pause]);
    journey.event(EventKind::Phase(Phase::Paused));
    journey.keys("space . w v");
    assert_eq!(
        journey.sent(),
        [
            Command::Resume,
            Command::StepOnce,
            Command::Save,
            Command::Evaluate
        ]
    );
    journey.keys("g");
    assert!(matches!(
        journey.sent().as_slice(),
        [Command::Sample { .. }]
    ));
    journey.keys("n");
    journey.text("50");
    journey.keys("enter");
    assert_eq!(
        journey.sent(),
        [Command::RunUntil {
            until: Until::Step(62)
        }]
    );
}

#[test]
fn the_footer_has_the_keys_of_the_moment() {
    let mut journey = Journey::training();
    journey.size(120, 40);
    journey.sees("space pause");
    journey.does_not_see(" apply ");
    journey.event(EventKind::Phase(Phase::Paused));
    journey.sees("space resume");
    journey.keys("]");
    journey.sees("a apply");
    journey.event(EventKind::Phase(Phase::Training));
    journey.sees("space pause");
    journey.event(EventKind::Phase(Phase::Finished));
    for gone in ["space pause", "space resume", " step  ", "a apply"] {
        let screen = journey.screen();
        let footer = screen.lines().next_back().unwrap_or_default().to_string();
        assert!(!footer.contains(gone), "{footer}");
    }
}

#[test]
fn pending_edits_are_applied_and_discarded_by_the_first_keys_of_the_footer() {
    let mut journey = Journey::training();
    journey.size(80, 24);
    journey.does_not_see("discard");
    journey.keys("]");
    let screen = journey.screen();
    let footer = screen.lines().next_back().unwrap_or_default();
    let at = |word: &str| footer.find(word);
    assert!(at("a apply").is_some(), "{footer}");
    assert!(at("a apply") < at("backspace discard"), "{footer}");
    assert!(at("backspace discard") < at("zoom"), "{footer}");
    journey.keys("backspace");
    journey.does_not_see("discard  ");
}

#[test]
fn a_run_that_was_stopped_says_so_and_promises_no_sample() {
    for (reason, word) in [
        (FinishReason::Stopped, "stopped ●"),
        (FinishReason::Completed, "finished ●"),
        (FinishReason::EarlyStopped, "finished ●"),
    ] {
        let mut journey = Journey::training();
        journey.sees("the first sample comes at step");
        journey.event(EventKind::Finished(FinishReport {
            step: 12,
            reason,
            val_loss: None,
            best_val_loss: None,
            best_step: None,
            seconds: 1.0,
        }));
        journey.sees(word);
        journey.sees("ended without a sample");
        journey.does_not_see("the first sample comes");
    }
}

#[test]
fn a_run_that_diverged_is_still_called_so_when_it_is_stopped() {
    let stopped = || {
        EventKind::Finished(FinishReport {
            step: 12,
            reason: FinishReason::Stopped,
            val_loss: None,
            best_val_loss: None,
            best_step: None,
            seconds: 1.0,
        })
    };
    let diverged = || {
        let mut journey = Journey::training();
        journey.event(EventKind::Phase(Phase::Diverged {
            step: 12,
            layer: None,
            message: "the loss is NaN".into(),
        }));
        journey
    };
    let mut journey = diverged();
    journey.event(EventKind::Phase(Phase::Stopping));
    journey.event(stopped());
    journey.sees("diverged ●");
    // Not if it went on in between.
    let mut journey = diverged();
    journey.event(EventKind::Phase(Phase::Training));
    journey.event(stopped());
    journey.sees("stopped ●");
}

#[test]
fn a_pause_is_logged_once_however_much_is_asked_for_meanwhile() {
    let mut journey = Journey::training();
    journey.size(160, 50);
    journey.event(EventKind::Phase(Phase::Paused));
    for _ in 0..3 {
        journey.event(EventKind::Phase(Phase::Sampling));
        journey.event(EventKind::Phase(Phase::Paused));
    }
    let log = &journey.app.train_screen().unwrap().view.log;
    let paused = log.iter().filter(|line| line.text == "paused").count();
    assert_eq!(paused, 1);
    journey.event(EventKind::Phase(Phase::Training));
    journey.event(EventKind::Phase(Phase::Paused));
    let log = &journey.app.train_screen().unwrap().view.log;
    assert_eq!(log.iter().filter(|line| line.text == "paused").count(), 2);
}

#[test]
fn a_run_that_stands_goes_on_also_while_it_samples_or_evaluates() {
    for asked in [Phase::Sampling, Phase::Evaluating { done: 1, total: 3 }] {
        let mut journey = Journey::training();
        journey.event(EventKind::Phase(Phase::Paused));
        journey.event(EventKind::Phase(asked.clone()));
        journey.sees("resume");
        journey.keys("space");
        assert_eq!(journey.sent(), [Command::Resume]);
        // Once more is a pause again.
        journey.keys("space");
        assert_eq!(journey.sent(), [Command::Pause]);
        // One that trains pauses.
        let mut journey = Journey::training();
        journey.event(EventKind::Phase(asked));
        journey.keys("space");
        assert_eq!(journey.sent(), [Command::Pause]);
    }
    let mut journey = Journey::training();
    journey.event(EventKind::Phase(Phase::Paused));
    journey.event(EventKind::Phase(Phase::Sampling));
    journey.keys("ctrl-z");
    assert_eq!(journey.sent(), [Command::Pause]);
    journey.event(EventKind::Phase(Phase::Paused));
    journey.tell(Message::Resumed);
    assert_eq!(journey.sent(), []);
}

#[test]
fn what_the_vocabulary_lacks_is_said_beside_the_loss() {
    let mut journey = Journey::training();
    journey.size(64, 16);
    let report = |unknown_fraction: f64| EvalReport {
        step: 12,
        tokens: 9_216,
        seconds: 2.0,
        train_loss: 2.0,
        val_loss: 2.1,
        perplexity: 8.2,
        bits_per_byte: 1.1,
        unknown_fraction,
        best: false,
    };
    journey.event(EventKind::Evaluated(report(0.0)));
    journey.does_not_see("<unk>");
    journey.event(EventKind::Evaluated(report(0.138)));
    journey.size(160, 50);
    journey.keys("z");
    let log = &journey.app.train_screen().unwrap().view.log;
    let line = &log.back().unwrap().text;
    assert!(line.contains("14 % <unk>"), "{line}");
}

#[test]
fn a_number_of_steps_must_be_a_number() {
    let mut journey = Journey::training();
    journey.keys("n ctrl-u");
    journey.text("ten");
    journey.keys("enter");
    journey.sees("`ten` is not a whole number above 0");
    assert_eq!(journey.sent(), []);
    journey.keys("esc");
    journey.does_not_see("How many steps");
}

#[test]
fn the_learning_rate_is_dialled_then_applied() {
    let mut journey = Journey::training();
    journey.keys("] }");
    assert_eq!(journey.sent(), [], "nothing is sent before enter");
    journey.keys("enter");
    assert_eq!(
        journey.sent(),
        [Command::Set {
            edit: Edit::LearningRateMultiplier(2.5)
        }]
    );
    journey.keys("[ backspace enter");
    assert_eq!(journey.sent(), []);
    // From anywhere on the dashboard, the knobs included.
    journey.keys("6 { a");
    assert_eq!(
        journey.sent(),
        [Command::Set {
            edit: Edit::LearningRateMultiplier(0.5)
        }]
    );
}

#[test]
fn the_focused_chart_is_written_as_it_is_shown() {
    use crate::chart::{Across, CurveKind, Quantity};
    let mut journey = Journey::training();
    journey.keys("e");
    journey.sees("the run is still loading");
    journey.event(EventKind::Started(Box::new(info())));
    journey.event(EventKind::Schedule(preview().schedule));
    let mut written = |keys: &str| {
        journey.keys(keys);
        let effects = std::mem::take(&mut journey.effects);
        effects.into_iter().find_map(|effect| match effect {
            Effect::ExportChart(export) => Some(*export),
            _ => None,
        })
    };
    let export = written("e").unwrap();
    assert_eq!(export.dir, PathBuf::from("runs/gpt-stories"));
    assert_eq!((export.newest, export.view.quantity), (12, Quantity::Loss));
    assert_eq!((export.view.range, export.view.smoothing), (None, 0.9));
    // Unit, axis, smoothing, scale and a frozen window go with it.
    let view = written("U U x x s y f e").unwrap().view;
    assert_eq!(view.quantity, Quantity::BitsPerByte);
    assert_eq!((view.across, view.smoothing), (Across::Time, 0.97));
    assert_eq!(view.scale, crate::chart::scale::Scale::Log);
    assert!(view.range.is_some());
    // The learning rate brings its schedule, and what a pending edit makes of it.
    let view = written("3 ] e").unwrap().view;
    assert_eq!(view.quantity, Quantity::LearningRate);
    let kinds: Vec<CurveKind> = view.ahead.iter().map(|curve| curve.kind).collect();
    assert_eq!(kinds, [CurveKind::Ahead, CurveKind::Pending]);
    let first = |at: usize| view.ahead[at].points[0];
    assert_eq!(first(0).step, 40);
    // What is pending follows the configuration, step by step.
    let more = written("] e").unwrap().view;
    let ratio = more.ahead[1].points[0].value / first(1).value;
    assert!((ratio - 1.25).abs() < 1e-9, "{ratio}");
    assert_eq!(written("4 e").unwrap().view.quantity, Quantity::GradNorm);
    assert_eq!(
        written("5 e").unwrap().view.quantity,
        Quantity::TokensPerSecond
    );
    // The palette has it too.
    assert_eq!(written("2 e"), None);
    journey.keys("4 :");
    journey.text("export");
    journey.keys("enter");
    let asked = |effect: &Effect| matches!(effect, Effect::ExportChart(_));
    assert!(journey.effects.iter().any(asked));
    journey.tell(Message::ChartExported(Ok("wrote loss.csv".into())));
    journey.sees("wrote loss.csv");
    journey.tell(Message::ChartExported(Err("the disk is full".into())));
    journey.sees("the chart was not written: the disk is full");
}

#[test]
fn checkpoints_are_marks_on_the_curves_and_say_what_they_take() {
    let mut journey = Journey::training();
    journey.event(EventKind::Steps((13..=100).map(step).collect()));
    let before = journey.screen().matches('◆').count();
    for (step, total_bytes) in [(40, 10_400_000), (80, 20_800_000)] {
        journey.event(EventKind::Checkpointed(CheckpointInfo {
            sequence: None,
            step,
            path: "runs/gpt-stories/checkpoints/step".into(),
            bytes: 10_400_000,
            total_bytes,
            reason: CheckpointReason::Cadence,
            val_loss: None,
        }));
    }
    // On the loss, the learning rate, the gradient norm and the speed.
    assert_eq!(journey.screen().matches('◆').count(), before + 8);
    journey.sees("checkpoint of step 80 (10 MB)");
    journey.sees("checkpoints 21 MB on disk");
}

#[test]
fn starting_over_a_run_asks_first() {
    let mut journey = Journey::training();
    journey.keys("H enter");
    journey.sees("A run is in progress");
    journey.keys("t");
    assert_eq!(journey.sent(), []);
    journey.keys("enter s");
    assert!(matches!(
        journey.sent().as_slice(),
        [Command::Stop, Command::Start { run: 2, .. }]
    ));
    let stale = Event {
        run: 1,
        kind: EventKind::Phase(Phase::Paused),
    };
    journey.tell(Message::Engine(stale));
    let phase = journey
        .app
        .train_screen()
        .map(|train| train.view.phase.clone());
    assert_ne!(
        phase,
        Some(Phase::Paused),
        "the old run is no longer listened to"
    );
}

#[test]
fn a_finished_run_is_said_and_quits_without_asking() {
    let mut journey = Journey::training();
    journey.event(EventKind::Finished(FinishReport {
        step: 2_000,
        reason: FinishReason::Completed,
        val_loss: Some(1.9),
        best_val_loss: Some(1.9),
        best_step: Some(2_000),
        seconds: 60.0,
    }));
    // The training thread is free again.
    journey.event(EventKind::Phase(Phase::Idle));
    journey.sees("finished");
    journey.sees("All steps are done after 1:00");
    journey.sees("all steps are done at step 2000");
    journey.keys("esc q");
    assert_eq!(journey.quit(), Some(&Outcome::Done));
}

#[test]
fn failures_stay_on_screen_until_esc() {
    let mut journey = Journey::training();
    journey.event(EventKind::failed("the disk is full".to_string()));
    journey.event(EventKind::Phase(Phase::Idle));
    journey.sees("failed");
    journey.sees("the disk is full");
    let timers = journey
        .effects
        .iter()
        .any(|e| matches!(e, Effect::After(_, Timer::Notice(_))));
    assert!(!timers);
    journey.keys("space");
    assert_eq!(journey.sent(), []);
}

#[test]
fn quitting_while_training_asks_and_saves() {
    let mut journey = Journey::training();
    journey.keys("q");
    journey.sees("save and quit");
    journey.keys("esc");
    journey.does_not_see("save and quit");
    assert_eq!(journey.sent(), []);
    journey.keys("ctrl-c ctrl-c");
    assert_eq!(journey.sent(), [Command::Shutdown]);
    journey.sees("Saving the run");
    assert_eq!(journey.quit(), None, "waits for the checkpoint");
    journey.tell(Message::EngineGone);
    assert_eq!(journey.quit(), Some(&Outcome::Done));
}

#[test]
fn a_run_can_go_on_in_the_background() {
    let mut journey = Journey::training();
    journey.keys("q b");
    journey.sees("still loading");
    journey.event(EventKind::Started(Box::new(info())));
    journey.sees("gpt · stories · CPU ─");
    journey.keys("q");
    journey.sees("go on in the background");
    journey.keys("b");
    assert_eq!(journey.sent().last(), Some(&Command::Shutdown));
    journey.sees("Saving the run");
    journey.tell(Message::EngineGone);
    let dir = PathBuf::from("runs/gpt-stories");
    assert_eq!(
        journey.quit(),
        Some(&Outcome::Background { dir, until: None })
    );
}

#[test]
fn quitting_without_saving_says_what_is_lost() {
    let mut journey = Journey::training();
    journey.event(EventKind::Checkpointed(CheckpointInfo {
        sequence: None,
        step: 10,
        path: PathBuf::from("checkpoints/step-000010"),
        bytes: 1,
        total_bytes: 1,
        reason: CheckpointReason::Cadence,
        val_loss: None,
    }));
    journey.keys("q down down");
    journey.sees("What was trained since the");
    journey.sees("checkpoint of step 10 is lost: 2 steps.");
    journey.keys("enter");
    assert_eq!(journey.sent(), []);
    journey.keys("q x");
    assert_eq!(journey.quit(), Some(&Outcome::Abandoned));
}

#[test]
fn a_second_ctrl_c_does_not_wait_for_saving() {
    let mut journey = Journey::training();
    journey.keys("q s ctrl-c");
    assert_eq!(journey.quit(), Some(&Outcome::Abandoned));
}

#[test]
fn esc_never_quits() {
    let mut journey = Journey::training();
    journey.keys("z esc esc esc");
    assert_eq!((journey.sent(), journey.quit()), (vec![], None));
    let mut home = Journey::new();
    home.keys("esc esc esc");
    assert_eq!(home.quit(), None);
}

#[test]
fn suspending_pauses_first_and_goes_on_after() {
    let mut journey = Journey::training();
    journey.keys("ctrl-z");
    assert_eq!(journey.sent(), [Command::Pause]);
    journey.event(EventKind::Phase(Phase::Paused));
    let said = journey.effects.iter().find_map(|effect| match effect {
        Effect::Suspend(text) => Some(text.clone()),
        _ => None,
    });
    assert!(said.is_some_and(|text| text.contains("training")));
    journey.tell(Message::Resumed);
    assert!(journey.effects.contains(&Effect::Redraw));
    assert_eq!(journey.sent(), [Command::Resume]);
}

#[test]
fn a_signal_saves_before_it_ends() {
    let mut journey = Journey::training();
    journey.tell(Message::Terminate);
    assert_eq!(journey.sent(), [Command::Shutdown]);
    journey.tell(Message::EngineGone);
    assert_eq!(journey.quit(), Some(&Outcome::Interrupted));
}
