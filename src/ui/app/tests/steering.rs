//! Journeys of live steering: edits, the pending ones and the palette's, spikes, run until.

use std::collections::BTreeMap;

use super::moments::two;
use super::*;
use crate::protocol::{EditAuthor, EditRecord, Rewound};
use crate::ui::screens::train::RunView;

pub(super) fn set(pairs: &[(&str, &str)]) -> Edit {
    let owned = |(key, value): &(&str, &str)| (key.to_string(), value.to_string());
    Edit::Set(pairs.iter().map(owned).collect::<BTreeMap<_, _>>())
}

pub(super) fn edited(step: u64, edit: Edit, undo: Edit) -> EventKind {
    EventKind::Edited(EditRecord {
        step,
        edit,
        undo: Some(undo),
        by: EditAuthor::User,
    })
}

/// A run of 200 steps that trains on.
pub(super) fn steered() -> Journey {
    let mut journey = Journey::training();
    journey.event(EventKind::Started(Box::new(info())));
    journey.event(EventKind::Steps((13..=200).map(step).collect()));
    journey.sent();
    journey
}

impl Journey {
    pub(super) fn view(&self) -> &RunView {
        &self.app.train_screen().expect("a run").view
    }

    /// Moves the cursor of the knobs to a key.
    #[track_caller]
    pub(super) fn knob(&mut self, key: &str) {
        self.keys("6 home");
        for _ in 0..80 {
            let knobs = &self.view().knobs;
            if knobs.rows()[knobs.at()].key() == key {
                return;
            }
            self.keys("down");
        }
        panic!("no knob {key} on\n{}", self.screen());
    }
}

#[test]
fn several_values_are_pending_and_applied_together() {
    let mut journey = steered();
    journey.size(200, 60);
    journey.knob("optimizer.weight_decay");
    journey.keys("right");
    journey.sees("0.01 → 0.02");
    journey.knob("train.batch_size");
    journey.keys("enter ctrl-u");
    journey.sees("65536");
    journey.text("8");
    journey.keys("enter");
    journey.sees("16 → 8");
    journey.sees("2 pending");
    journey.sees("a apply");
    assert_eq!(journey.sent(), [], "nothing is sent before it is applied");
    journey.keys("a");
    let edit = set(&[
        ("optimizer.weight_decay", "0.02"),
        ("train.batch_size", "8"),
    ]);
    assert_eq!(journey.sent(), [Command::Set { edit: edit.clone() }]);
    journey.does_not_see("2 pending");
    let undo = set(&[
        ("optimizer.weight_decay", "0.01"),
        ("train.batch_size", "16"),
    ]);
    journey.event(edited(201, edit, undo));
    let view = journey.view();
    assert_eq!(view.config.train.batch_size, 8);
    assert_eq!(view.config.optimizer.weight_decay, 0.02);
    assert_eq!(view.info.as_ref().unwrap().tokens_per_step, 384);
    journey.keys("8 z");
    journey.sees("optimizer.weight_decay 0.02, train.batch_size 8 from step 201, by you");
}

#[test]
fn an_edit_is_said_to_be_in_force_only_when_it_is_and_a_refusal_is_the_last_word() {
    let mut journey = steered();
    let apply = |journey: &mut Journey| {
        journey.knob("optimizer.weight_decay");
        journey.keys("right a");
        journey.sees("optimizer.weight_decay 0.02: sent, not in force yet");
        journey.does_not_see("in force from step");
    };
    apply(&mut journey);
    journey.event(EventKind::Notice(crate::protocol::Notice {
        level: NoticeLevel::Warning,
        message: "not changed: there is no room".into(),
    }));
    journey.sees("not changed: there is no room");
    journey.does_not_see("sent, not in force yet");
    journey.does_not_see("in force from step");
    apply(&mut journey);
    let (edit, undo) = (
        set(&[("optimizer.weight_decay", "0.02")]),
        set(&[("optimizer.weight_decay", "0.01")]),
    );
    journey.event(edited(201, edit.clone(), undo.clone()));
    journey.sees("optimizer.weight_decay 0.02: in force from step 201 on");
    journey.does_not_see("sent, not in force yet");
    // What nobody here sent is not said to be the answer to anything.
    journey.keys("esc");
    journey.event(edited(202, undo, edit));
    journey.does_not_see("in force from step 202");
}

#[test]
fn a_pending_value_can_be_discarded_and_dropped() {
    let mut journey = steered();
    journey.knob("model.dropout");
    journey.keys("right right");
    journey.sees("→ 0.1");
    journey.keys("left left");
    journey.does_not_see("pending");
    journey.keys("right");
    journey.knob("optimizer.grad_clip");
    journey.keys("right x");
    journey.sees("1 pending");
    journey.keys("esc");
    journey.does_not_see("pending");
    journey.keys("a");
    assert_eq!(journey.sent(), []);
}

#[test]
fn a_bad_value_is_marked_with_what_is_allowed_and_not_sent() {
    let mut journey = steered();
    journey.size(200, 60);
    journey.knob("optimizer.weight_decay");
    journey.keys("enter ctrl-u");
    journey.text("-3q");
    // Typing locks the hot keys.
    assert_eq!(journey.quit(), None);
    journey.sees("✗");
    journey.sees("expected a number from 0 to 10");
    journey.keys("enter");
    journey.sees("1 wrong");
    journey.keys("1 a");
    assert_eq!(journey.sent(), []);
    journey.sees("nothing was sent: optimizer.weight_decay: expected a number");
    // The cursor went to it.
    assert_eq!(journey.app.contexts()[0], Context::Knobs);
    journey.keys("enter ctrl-u");
    journey.text("0.5");
    journey.keys("enter a");
    let edit = set(&[("optimizer.weight_decay", "0.5")]);
    assert_eq!(journey.sent(), [Command::Set { edit }]);
    // The multiplier has bounds of its own.
    journey.knob("");
    journey.keys("enter ctrl-u");
    journey.text("5000");
    journey.keys("enter a");
    assert_eq!(journey.sent(), []);
    journey.sees("learning rate ×: expected a number from 0.001");
}

#[test]
fn esc_while_typing_leaves_the_value_as_it_was() {
    let mut journey = steered();
    journey.knob("sample.temperature");
    journey.keys("right enter 9 q");
    journey.sees("✗");
    journey.keys("esc");
    journey.does_not_see("✗");
    journey.keys("a");
    let edit = set(&[("sample.temperature", "0.9")]);
    assert_eq!(journey.sent(), [Command::Set { edit }]);
}

#[test]
fn only_what_applies_is_offered() {
    let mut journey = steered();
    let keys = |journey: &Journey| -> Vec<&'static str> {
        let rows = journey.view().knobs.rows();
        rows.iter().map(|row| row.key()).collect()
    };
    let before = keys(&journey);
    assert!(before.contains(&"optimizer.beta1") && !before.contains(&"optimizer.momentum"));
    assert!(
        before
            .iter()
            .all(|key| key.is_empty() || crate::config::is_live(key))
    );
    assert!(!before.contains(&"model.n_layers"));
    journey.knob("optimizer.kind");
    journey.keys("enter");
    let after = keys(&journey);
    assert!(after.contains(&"optimizer.momentum") && !after.contains(&"optimizer.beta1"));
    journey.keys("esc");
    assert_eq!(keys(&journey), before);
}

#[test]
fn going_back_keeps_what_survives_and_dims_what_was_left() {
    let mut journey = steered();
    let decay = |to: &str| set(&[("optimizer.weight_decay", to)]);
    journey.event(edited(101, decay("0.05"), decay("0.01")));
    journey.event(edited(
        151,
        Edit::LearningRateMultiplier(0.5),
        Edit::LearningRateMultiplier(1.0),
    ));
    journey.event(edited(181, decay("0.5"), decay("0.05")));
    assert_eq!(journey.view().multiplier, 0.5);
    assert_eq!(journey.view().config.optimizer.weight_decay, 0.5);
    for (step, val_loss) in [(100, 2.5), (200, 2.0)] {
        journey.event(EventKind::Evaluated(evaluation(step, val_loss)));
    }
    journey.event(EventKind::Rewound(Rewound {
        from: 200,
        step: 120,
        checkpoint: "step-00000120".into(),
        by: EditAuthor::User,
        onto: None,
    }));
    let view = journey.view();
    assert_eq!((view.step, view.multiplier), (120, 1.0));
    assert_eq!(view.config.optimizer.weight_decay, 0.05);
    assert_eq!(view.knobs.in_force("optimizer.weight_decay"), "0.05");
    assert_eq!(view.edits.len(), 1);
    assert_eq!(view.evaluations.len(), 1);
    assert_eq!(view.series.last().map(|report| report.step), Some(120));
    let [branch] = view.branches.as_slice() else {
        panic!("{:?}", view.branches.len());
    };
    assert_eq!((branch.at, branch.from), (120, 200));
    assert_eq!(branch.series.last().map(|report| report.step), Some(200));
    assert_eq!(branch.evaluations.len(), 1);
    journey.sees("back from 200");
    journey.size(200, 60);
    journey.sees("went back from step 200 to 120; 80 steps left behind");
    // The chart still reaches to where the branch ends; what is trained now lies on the main line.
    assert_eq!(view_extent(&journey), (12.0, 200.0));
    journey.event(EventKind::Steps((121..=125).map(step).collect()));
    assert_eq!(journey.view().series.len(), 114);
    for (width, height) in [(80, 24), (120, 40), (200, 60)] {
        journey.size(width, height);
        journey.sees("step 125/2 000");
    }
}

fn view_extent(journey: &Journey) -> (f64, f64) {
    let axis = crate::ui::series::XAxis::Step;
    journey.view().extent(axis).unwrap()
}

fn evaluation(step: u64, val_loss: f64) -> crate::protocol::EvalReport {
    crate::protocol::EvalReport {
        step,
        tokens: step * 768,
        seconds: 1.0,
        train_loss: val_loss,
        val_loss,
        perplexity: val_loss.exp(),
        bits_per_byte: val_loss / 2.0,
        unknown_fraction: 0.0,
        best: true,
    }
}

#[test]
fn a_pending_schedule_is_drawn_until_it_is_applied_or_discarded() {
    let mut journey = steered();
    journey.size(200, 60);
    journey.event(EventKind::Schedule(
        (0..=20)
            .map(|at| SchedulePoint {
                step: at * 100 + 1,
                learning_rate: 1e-3,
            })
            .collect(),
    ));
    journey.keys("3 z");
    journey.does_not_see("pending");
    let flat = journey.screen();
    journey.knob("schedule.kind");
    journey.keys("right right 3");
    journey.sees("pending ·");
    let curved = journey.screen();
    let dots = |screen: &str| {
        screen
            .chars()
            .filter(|c| ('\u{2801}'..='\u{28ff}').contains(c))
            .count()
    };
    assert!(dots(&curved) > dots(&flat) + 10, "{curved}");
    journey.keys("backspace");
    journey.does_not_see("pending ·");
}

#[test]
fn training_on_can_wait_for_steps_a_loss_or_an_evaluation() {
    let mut journey = steered();
    journey.keys("n down");
    journey.sees("in nats per token;");
    journey.keys("ctrl-u");
    journey.text("low");
    journey.keys("enter");
    journey.sees("`low` is not a loss");
    journey.keys("ctrl-u");
    journey.text("1.5");
    journey.keys("down up enter");
    let until = |until| Command::RunUntil { until };
    assert_eq!(journey.sent(), [until(Until::Loss(1.5))]);
    journey.keys("n up enter");
    assert_eq!(journey.sent(), [until(Until::Evaluation)]);
    journey.keys("n enter");
    assert_eq!(journey.sent(), [until(Until::Step(300))]);
}

#[test]
fn the_palette_sets_values_of_the_run() {
    let mut journey = steered();
    journey.keys(":");
    journey.text("set weight");
    journey.sees("set optimizer.weight_decay");
    journey.sees("now 0.01");
    journey.keys("enter");
    journey.text("77");
    journey.sees("expected a number from 0 to 10");
    journey.keys("enter");
    assert_eq!(journey.sent(), [], "it stays open");
    journey.keys("backspace backspace");
    journey.text("0.2");
    journey.sees("from the next step on; now 0.01");
    journey.keys("enter");
    let edit = set(&[("optimizer.weight_decay", "0.2")]);
    assert_eq!(journey.sent(), [Command::Set { edit }]);
    for (typed, edit) in [
        ("set dropout 0.1", set(&[("model.dropout", "0.1")])),
        ("eval.every=50", set(&[("eval.every", "50")])),
        ("set multiplier 0.5", Edit::LearningRateMultiplier(0.5)),
        (
            "set sample.prompts [\"One day\", \"The end\"]",
            set(&[("sample.prompts", "[\"One day\", \"The end\"]")]),
        ),
    ] {
        journey.keys(":");
        journey.text(typed);
        journey.keys("enter");
        assert_eq!(journey.sent(), [Command::Set { edit }], "{typed}");
    }
    for (typed, words) in [
        ("set model.n_layers 3", "cannot change while a run goes on"),
        (
            "set optimizer.weight_deca 3",
            "did you mean `optimizer.weight_decay`?",
        ),
        ("set every 3", "may be"),
        ("until loss x", "is not a loss"),
        ("set multiplier -1", "expected a number from 0.001 to 1000"),
        ("schedule wavy", "expected constant"),
        ("rewind soon", "is not the step of a checkpoint"),
    ] {
        journey.keys(":");
        journey.text(typed);
        journey.sees(words);
        journey.keys("enter esc");
        assert_eq!(journey.sent(), [], "{typed}");
    }
}

#[test]
fn the_palette_runs_until_goes_back_and_forks() {
    let mut journey = steered();
    for (typed, until) in [
        ("until loss 1.5", Until::Loss(1.5)),
        ("until step 500", Until::Step(500)),
        ("until ev", Until::Evaluation),
    ] {
        journey.keys(":");
        journey.text(typed);
        journey.keys("enter");
        assert_eq!(journey.sent(), [Command::RunUntil { until }], "{typed}");
    }
    journey.keys(":");
    journey.text("rewind");
    journey.keys("enter");
    assert!(matches!(journey.asked(), Purpose::Rewind));
    journey.keys(":");
    journey.text("rewind 120");
    journey.keys("enter");
    journey.found(two());
    journey.sees("no checkpoint of step 120; there are 100 and 150");
    journey.keys("esc :");
    journey.text("rewind 100");
    journey.keys("enter");
    journey.found(two());
    journey.keys("enter");
    let checkpoint = "step-00000100".to_string();
    assert_eq!(journey.sent(), [Command::Rewind { checkpoint }]);
    journey.keys(":");
    journey.text("fork");
    journey.keys("enter");
    assert!(matches!(journey.asked(), Purpose::Fork));
}

#[test]
fn a_new_schedule_is_filled_in_previewed_and_begins_now() {
    let mut journey = steered();
    journey.size(200, 60);
    journey.keys(":");
    journey.text("schedule cos");
    journey.sees("schedule cosine");
    journey.keys("enter");
    journey.text("peak=3e-4 length=500");
    journey.keys("enter");
    for wanted in ["A new schedule", "cosine", "3e-4", "500", "pending ·"] {
        journey.sees(wanted);
    }
    // To a kind with other fields and back; the peak is put right.
    journey.keys("right right right right");
    journey.sees("gamma");
    journey.keys("left left left left down ctrl-u");
    journey.text("-1");
    journey.sees("expected a number");
    journey.keys("enter");
    assert_eq!(journey.sent(), []);
    journey.keys("ctrl-u");
    journey.text("2e-4");
    journey.keys("enter");
    let edit = set(&[
        ("optimizer.learning_rate", "2e-4"),
        ("schedule.decay_steps", "500"),
        ("schedule.final_ratio", "0.1"),
        ("schedule.kind", "cosine"),
        ("schedule.start", "now"),
    ]);
    assert_eq!(journey.sent(), [Command::Set { edit }]);
    // Esc leaves nothing pending.
    journey.keys(":");
    journey.text("new-schedule");
    journey.keys("enter right esc");
    journey.does_not_see("pending ·");
    journey.keys("a");
    assert_eq!(journey.sent(), []);
}

#[test]
fn a_spike_that_pauses_the_run_puts_the_choices_in_words() {
    let mut journey = steered();
    let spike = crate::protocol::Spike {
        step: 200,
        loss: 9.5,
        mean: 3.2,
    };
    journey.event(EventKind::Spiked(spike));
    journey.event(EventKind::Phase(Phase::Paused));
    journey.found(two());
    // Whoever was typing when it came meant something else.
    journey.keys("s enter esc g");
    assert_eq!(journey.sent(), []);
    journey.tell(Message::Timer(Timer::Seen));
    for wanted in [
        "The loss went wrong",
        "the loss rose to 9.5",
        "go back, halve the learning rate",
        "go on",
        "stop the run",
    ] {
        journey.sees(wanted);
    }
    journey.keys("b");
    let checkpoint = "step-00000150".to_string();
    assert_eq!(journey.sent(), [Command::Rewind { checkpoint }]);
    journey.event(EventKind::Rewound(Rewound {
        from: 200,
        step: 150,
        checkpoint: "step-00000150".into(),
        by: EditAuthor::User,
        onto: None,
    }));
    let edit = Edit::LearningRateMultiplier(0.5);
    assert_eq!(journey.sent(), [Command::Set { edit }, Command::Resume]);
    // A pause of the user's own asks nothing.
    journey.event(EventKind::Phase(Phase::Training));
    journey.event(EventKind::Phase(Phase::Paused));
    assert!(
        !journey
            .effects
            .iter()
            .any(|e| matches!(e, Effect::LoadCheckpoints { .. }))
    );
}

#[test]
fn a_loss_that_is_no_number_asks_too() {
    let mut journey = steered();
    journey.event(EventKind::Phase(Phase::Diverged {
        step: 201,
        layer: None,
        message: "the loss is NaN".into(),
    }));
    journey.found_and_seen(Vec::new());
    journey.sees("Step 201: the loss is NaN.");
    journey.does_not_see("halve the learning rate, go on");
    journey.keys("g");
    assert_eq!(journey.sent(), [Command::Resume]);
}

#[test]
fn steering_draws_at_every_size() {
    let open: [fn(&mut Journey); 5] = [
        |journey| {
            journey.keys("b");
            journey.found(two());
        },
        |journey| {
            journey.keys("F");
            journey.found(two());
            journey.keys("enter");
        },
        |journey| {
            journey.keys(":");
            journey.text("new-schedule");
            journey.keys("enter");
        },
        |journey| journey.keys("n"),
        |journey| {
            journey.knob("sample.prompts");
            journey.keys("enter 9");
        },
    ];
    for open in open {
        let mut journey = steered();
        open(&mut journey);
        for (width, height) in [
            (1, 1),
            (40, 12),
            (60, 14),
            (80, 24),
            (120, 40),
            (200, 60),
            (300, 5),
        ] {
            journey.size(width, height);
            journey.screen();
        }
    }
}
