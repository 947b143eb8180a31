use std::path::PathBuf;

use super::*;
use crate::protocol::*;
use crate::run::History;
use crate::ui::bench::{dashboard, step_report};
use crate::ui::screens::ScreenMouse;
use crate::ui::series::{Metric, XAxis};
use crate::ui::theme::{ColorDepth, Symbols};

const SIZES: [(u16, u16); 8] = [
    (0, 0),
    (1, 1),
    (3, 40),
    (39, 11),
    (40, 12),
    (80, 24),
    (120, 40),
    (200, 60),
];

fn info(start_step: u64) -> RunInfo {
    RunInfo {
        dir: PathBuf::from("runs/x"),
        name: "x".into(),
        model: crate::config::ModelKind::Gpt,
        config: RunConfig::defaults(),
        device: "flex (CPU, 2 threads)".into(),
        parameters: 809_000,
        vocab_size: 65,
        train_tokens: 1_000_000,
        validation_tokens: 100_000,
        bytes_per_token: 3.1,
        uniform_loss: 4.17,
        unigram_loss: 3.3,
        source_entropy: Some((0.8, true)),
        tokens_per_step: 768,
        start_step,
        total_steps: 5_000,
        program_version: "0".into(),
    }
}

fn text(screen: &TrainScreen, width: u16, height: u16) -> String {
    text_in(screen, &Theme::default(), width, height)
}

fn text_in(screen: &TrainScreen, theme: &Theme, width: u16, height: u16) -> String {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    screen.render(theme, &KeyMap::default(), area, &mut buffer);
    let mut out = String::new();
    for row in 0..height {
        for column in 0..width {
            out.push_str(buffer[(column, row)].symbol());
        }
        out.push('\n');
    }
    out
}

fn record(step: u64, text: &str) -> SampleRecord {
    SampleRecord {
        step,
        prompt_index: 0,
        prompt: "Once".into(),
        text: text.into(),
        temperature: 0.8,
        top_k: 40,
        top_p: 1.0,
        tokens_per_second: 900.0,
        complete: true,
    }
}

fn running() -> TrainScreen {
    let mut screen = dashboard(300);
    screen.on_event(EventKind::Started(Box::new(info(0))));
    screen.on_event(EventKind::SampleDone(record(100, " upon a time")));
    screen.on_event(EventKind::SampleDone(record(200, " there was a fox")));
    screen.on_event(EventKind::Edited(EditRecord {
        step: 150,
        edit: Edit::LearningRateMultiplier(0.5),
        undo: None,
        by: EditAuthor::User,
    }));
    screen.on_event(EventKind::Checkpointed(CheckpointInfo {
        sequence: None,
        step: 200,
        path: "c".into(),
        bytes: 3_200_000,
        total_bytes: 3_200_000,
        reason: CheckpointReason::Cadence,
        val_loss: None,
    }));
    screen
}

/// A screen in every state that a run can be in, by name.
fn states() -> Vec<(&'static str, TrainScreen)> {
    let empty = TrainScreen::new(1, RunConfig::defaults());
    let mut one = TrainScreen::new(1, RunConfig::defaults());
    one.on_event(EventKind::Steps(vec![step_report(1)]));
    let mut gaps = running();
    for step in 301..330 {
        let mut report = step_report(step);
        report.loss = [f64::NAN, f64::INFINITY, 2.0][step as usize % 3];
        report.grad_norm = f64::NAN;
        gaps.on_event(EventKind::Steps(vec![report]));
    }
    let mut all_bad = TrainScreen::new(1, RunConfig::defaults());
    let mut bad = step_report(1);
    (bad.loss, bad.grad_norm, bad.tokens_per_second) = (f64::NAN, f64::NAN, f64::INFINITY);
    all_bad.on_event(EventKind::Steps(vec![bad]));
    let mut diverged = running();
    diverged.on_event(EventKind::Phase(Phase::Diverged {
        step: 301,
        layer: Some("blocks.2".into()),
        message: "the loss is NaN".into(),
    }));
    let mut paused = running();
    paused.on_event(EventKind::Phase(Phase::Paused));
    let mut finished = running();
    finished.on_event(EventKind::Finished(FinishReport {
        step: 300,
        reason: FinishReason::Completed,
        val_loss: Some(2.1),
        best_val_loss: Some(2.05),
        best_step: Some(250),
        seconds: 75.0,
    }));
    let mut failed = running();
    failed.on_event(EventKind::failed("the disk is full"));
    let mut huge = running();
    let mut report = step_report(u64::MAX / 4096);
    report.loss = 1e30;
    report.grad_norm = 1e38;
    report.learning_rate = 1e300;
    report.tokens_per_second = 1e18;
    report.seconds = 1e12;
    huge.on_event(EventKind::Steps(vec![report]));
    vec![
        ("empty", empty),
        ("one step", one),
        ("running", running()),
        ("gaps", gaps),
        ("nothing finite", all_bad),
        ("diverged", diverged),
        ("paused", paused),
        ("finished", finished),
        ("failed", failed),
        ("huge", huge),
    ]
}

fn state(name: &str) -> TrainScreen {
    let found = states().into_iter().find(|(state, _)| *state == name);
    found.expect("a state of this name").1
}

#[test]
fn escape_undoes_the_zoom_and_takes_the_crosshair_away() {
    let mut screen = state("running");
    let plain = text(&screen, 120, 40);
    for action in [Action::ToggleCrosshair, Action::Zoom, Action::Close] {
        assert_eq!(screen.act(action), Handled::Yes);
    }
    assert_ne!(text(&screen, 120, 40), plain);
    assert_eq!(screen.act(Action::Close), Handled::Yes);
    assert_eq!(text(&screen, 120, 40), plain);
    assert_eq!(screen.act(Action::Close), Handled::No);
}

#[test]
fn every_state_at_every_size_in_every_theme_is_drawn() {
    let plain = Theme::new("dark", ColorDepth::None, Symbols::ascii());
    for (name, mut screen) in states() {
        for (width, height) in SIZES {
            text(&screen, width, height);
            let ascii = text_in(&screen, &plain, width, height);
            let strange: String = ascii.chars().filter(|c| !c.is_ascii()).collect();
            assert_eq!(strange, "", "{name} at {width}×{height}:\n{ascii}");
        }
        // Each pane, zoomed, with everything switched on.
        screen.act(Action::Zoom);
        for _ in 0..screen.panes.len() {
            for action in [
                Action::ToggleCrosshair,
                Action::ZoomIn,
                Action::Left,
                Action::CycleUnit,
                Action::CycleXAxis,
                Action::ToggleLog,
                Action::ToggleFreeze,
                Action::ShowProbabilities,
                Action::CompareSamples,
                Action::Down,
                Action::CycleSmoothing,
            ] {
                screen.act(action);
            }
            for (width, height) in SIZES {
                text(&screen, width, height);
            }
            screen.act(Action::NextPane);
        }
    }
}

#[test]
fn every_action_and_click_is_harmless_in_every_state() {
    let area = Rect::new(0, 0, 120, 39);
    for (_, mut screen) in states() {
        for _ in 0..screen.panes.len() {
            for action in Action::ALL {
                screen.act(*action);
            }
            text(&screen, 120, 40);
            screen.act(Action::NextPane);
        }
        for x in (0..120).step_by(7) {
            for y in (0..40).step_by(3) {
                let at = Position::new(x, y);
                screen.mouse(ScreenMouse::Click(at), area);
                screen.mouse(ScreenMouse::Drag(Position::new(y, x.min(39))), area);
                screen.mouse(ScreenMouse::Release(at), area);
                screen.mouse(ScreenMouse::Wheel { at, lines: 2 }, area);
            }
        }
        text(&screen, 120, 39);
    }
}

#[test]
fn a_run_shows_what_it_is_and_how_far() {
    let text = text(&running(), 120, 40);
    for words in [
        "gpt · stories · flex",
        "step 300/5 000",
        "tok/s",
        "ETA",
        "training ●",
        "1 Loss",
        "2 Samples",
        "3 Learning rate",
        "4 Gradient norm",
        "5 Tokens/s",
        "6 Knobs",
        "7 Health",
        "8 Events",
        "lr ×0.5",
        "there was a fox",
        "step 100",
        "temp 0.8 top-k 40",
        "all layers learn",
        "checkpoint of step 200",
        "uniform 4.17",
        "optimizer",
    ] {
        assert!(text.contains(words), "{words} is missing:\n{text}");
    }
}

#[test]
fn a_small_screen_keeps_loss_samples_and_rate_and_says_the_rest_in_numbers() {
    let mut screen = running();
    let shown = text(&screen, 80, 23);
    for words in ["1 Loss", "2 Samples", "3 Learning rate", "grad", "val"] {
        assert!(shown.contains(words), "{words} is missing:\n{shown}");
    }
    assert!(!shown.contains("8 Events"));
    screen.act(Action::Focus8);
    assert!(
        text(&screen, 80, 23).contains("8 Events"),
        "focus brings it in"
    );
    assert!(text(&screen, 39, 10).contains("at least 40 by 12"));
}

#[test]
fn standing_still_is_explained_with_what_can_be_done() {
    let diverged = text(&state("diverged"), 120, 40);
    for words in [
        "Diverged at step 301 in blocks.2: the loss is NaN",
        "step 300 is untouched",
        "{ halve",
    ] {
        assert!(diverged.contains(words), "{words}:\n{diverged}");
    }
    let failed = text(&state("failed"), 120, 40);
    assert!(
        failed.contains("the disk is full") && failed.contains("resumed from step 300"),
        "{failed}"
    );
    let finished = text(&state("finished"), 120, 40);
    assert!(
        finished.contains("All steps are done") && finished.contains("2.05 at step 250"),
        "{finished}"
    );
    assert!(text(&state("empty"), 120, 40).contains("no steps yet"));
}

#[test]
fn gaps_leave_a_mark_in_the_loss() {
    let mut screen = state("gaps");
    screen.act(Action::Zoom);
    let shown = text(&screen, 120, 40);
    assert!(shown.contains(Symbols::unicode().cross), "{shown}");
}

#[test]
fn a_sample_streams_in_and_older_ones_stay_in_reach() {
    let mut screen = running();
    for piece in [" once", " there"] {
        screen.on_event(EventKind::SamplePiece {
            step: 300,
            prompt: 0,
            piece: SamplePiece {
                text: piece.into(),
                probability: 0.5,
            },
        });
    }
    screen.act(Action::Focus2);
    screen.act(Action::Zoom);
    assert!(text(&screen, 100, 30).contains("once there"));
    screen.act(Action::Left);
    assert!(text(&screen, 100, 30).contains("there was a fox"));
    screen.act(Action::CompareSamples);
    let both = text(&screen, 100, 30);
    assert!(
        both.contains("there was a fox") && both.contains("once there"),
        "{both}"
    );
}

#[test]
fn a_long_sample_is_scrolled_to_its_end_and_back_from_there() {
    let mut screen = running();
    let lines = |many: usize| (1..=many).map(|line| format!("line {line}"));
    let long = lines(60).collect::<Vec<_>>().join("\n");
    screen.on_event(EventKind::SampleDone(record(310, &long)));
    let short = lines(3).collect::<Vec<_>>().join("\n");
    screen.on_event(EventKind::SampleDone(record(320, &short)));
    screen.act(Action::Focus2);
    screen.act(Action::Zoom);
    screen.act(Action::Left);
    for beside in [false, true] {
        if beside {
            // The short one beside it does not end the scrolling, and stays in sight.
            screen.act(Action::CompareSamples);
            screen.act(Action::Right);
        }
        assert!(!text(&screen, 100, 30).contains("line 60"));
        for _ in 0..20 {
            screen.act(Action::PageDown);
            text(&screen, 100, 30);
        }
        let end = text(&screen, 100, 30);
        assert!(end.contains("line 60"), "{end}");
        assert_eq!(end.contains("line 2 "), beside, "{end}");
        screen.act(Action::Up);
        let back = text(&screen, 100, 30);
        assert!(!back.contains("line 60"), "{back}");
        for _ in 0..20 {
            screen.act(Action::PageUp);
        }
    }
}

#[test]
fn a_resumed_run_shows_its_history_without_a_seam() {
    let mut screen = TrainScreen::new(1, RunConfig::defaults());
    screen.on_event(EventKind::Started(Box::new(info(100))));
    screen.on_event(EventKind::Steps((101..=110).map(step_report).collect()));
    screen.on_event(EventKind::SampleDone(record(105, "new")));
    // Steps 101 to 120 were trained before the program ended, after the last checkpoint.
    let history = History {
        steps: (1..=120).map(step_report).collect(),
        samples: vec![record(50, "old"), record(115, "lost")],
        ..History::default()
    };
    screen.on_history(history);
    assert_eq!(screen.view.series.len(), 110);
    assert_eq!(
        screen.view.series.last().map(|report| report.step),
        Some(110)
    );
    let samples: Vec<&str> = screen
        .view
        .samples
        .iter()
        .map(|s| s.record.text.as_str())
        .collect();
    assert_eq!(samples, ["old", "new"]);
    assert!(text(&screen, 120, 40).contains("resumed"));
}

#[test]
fn curves_of_a_resumed_run_are_those_of_one_that_never_stopped() {
    let mut straight = TrainScreen::new(1, RunConfig::defaults());
    straight.on_event(EventKind::Started(Box::new(info(0))));
    straight.on_event(EventKind::Steps((1..=3000).map(step_report).collect()));
    let mut resumed = TrainScreen::new(1, RunConfig::defaults());
    resumed.on_event(EventKind::Started(Box::new(info(1500))));
    resumed.on_event(EventKind::Steps((1501..=2000).map(step_report).collect()));
    // The log is read while the run goes on.
    resumed.on_history(History {
        steps: (1..=1700).map(step_report).collect(),
        ..History::default()
    });
    resumed.on_event(EventKind::Steps((2001..=3000).map(step_report).collect()));
    let (one, other) = (&straight.view.series, &resumed.view.series);
    assert_eq!((one.len(), other.len()), (3000, 3000));
    for metric in Metric::ALL {
        for index in 0..3000 {
            assert_eq!(one.value(metric, index), other.value(metric, index));
            assert_eq!(one.smoothed(metric, index), other.smoothed(metric, index));
        }
    }
    for index in 0..3000 {
        for axis in [XAxis::Step, XAxis::Tokens] {
            assert_eq!(one.x(axis, index), other.x(axis, index));
        }
        // Kept as f32 from the beginning of a stretch.
        let apart = one.x(XAxis::Seconds, index) - other.x(XAxis::Seconds, index);
        assert!(apart.abs() < 1e-3, "{index}: {apart}");
    }
}

#[test]
fn a_frozen_view_stays_while_training_goes_on() {
    let mut screen = running();
    screen.act(Action::ToggleFreeze);
    // On a narrow pane the numbers give way to it.
    assert!(text(&screen, 80, 24).contains("frozen"));
    screen.act(Action::Zoom);
    let loss = |screen: &TrainScreen| {
        let all = text(screen, 120, 40);
        all.lines().skip(2).collect::<Vec<_>>().join("\n")
    };
    let before = loss(&screen);
    assert!(text(&screen, 120, 40).contains("frozen"));
    screen.on_event(EventKind::Steps((301..=400).map(step_report).collect()));
    assert_eq!(loss(&screen), before);
}

#[test]
fn a_splitter_can_be_dragged() {
    let mut screen = running();
    let area = Rect::new(0, 0, 120, 39);
    let before = screen.layout(screen.body(area)).split_column.unwrap();
    screen.mouse(ScreenMouse::Click(Position::new(before, 30)), area);
    screen.mouse(ScreenMouse::Drag(Position::new(48, 30)), area);
    screen.mouse(ScreenMouse::Release(Position::new(48, 30)), area);
    let after = screen.layout(screen.body(area)).split_column.unwrap();
    assert!(after == 48 && before != 48, "{before} {after}");
    // Below the loss too, on a screen of 80×24.
    let area = Rect::new(0, 0, 80, 23);
    let row = |screen: &TrainScreen| screen.layout(screen.body(area)).split_row.unwrap();
    let before = row(&screen);
    let to = Position::new(10, before + 3);
    screen.mouse(ScreenMouse::Click(Position::new(10, before)), area);
    screen.mouse(ScreenMouse::Drag(to), area);
    screen.mouse(ScreenMouse::Release(to), area);
    assert_eq!(row(&screen), before + 3);
}

#[test]
fn lists_of_a_long_run_stay_bounded() {
    let mut screen = TrainScreen::new(1, RunConfig::defaults());
    for step in 0..3_000 {
        screen.on_event(EventKind::SamplePiece {
            step,
            prompt: 0,
            piece: SamplePiece {
                text: "x".into(),
                probability: 0.5,
            },
        });
        screen.on_event(EventKind::SampleDone(record(step, "x")));
        screen.on_event(EventKind::Notice(Notice {
            level: NoticeLevel::Info,
            message: "m".into(),
        }));
    }
    assert!(screen.view.samples.len() <= 600 && screen.view.log.len() <= 1000);
    let samples = &screen.view.samples;
    let with_pieces = samples.iter().filter(|s| !s.pieces.is_empty());
    assert_eq!(with_pieces.count(), 64);
    assert!(!samples[samples.len() - 1].pieces.is_empty());
    let steps: Vec<u64> = samples.iter().map(|s| s.record.step).collect();
    assert_eq!(
        (steps[0], steps[steps.len() - 1]),
        (0, 2_999),
        "both ends stay"
    );
}

#[test]
fn the_header_keeps_the_epoch_at_80_columns() {
    let mut screen = running();
    let header = |screen: &TrainScreen, width| {
        let shown = text(screen, width, 23);
        shown.lines().next().unwrap_or_default().trim().to_string()
    };
    let wide = header(&screen, 100);
    assert!(wide.contains("tok/s ── ETA "), "{wide}");
    for words in ["gpt · stories · flex", "epoch 0.2", "training ●"] {
        assert!(wide.contains(words), "{words}: {wide}");
    }
    let narrow = header(&screen, 80);
    let facts: Vec<&str> = narrow.split(" ── ").collect();
    assert_eq!(facts[0], "gpt · stories · flex");
    assert_eq!(facts[1], "step 300/5 000");
    assert!(
        facts[2] == "epoch 0.2" && facts[3].starts_with("ETA "),
        "{narrow}"
    );
    assert_eq!(facts[4], "training ●");
    // The speed stands below, among the single numbers.
    assert!(text(&screen, 80, 23).contains("tok/s"));
    // Where a number more leaves no room for the word, a shorter one keeps the fact; the device goes before the epoch does.
    screen.on_event(EventKind::Steps((301..=1_240).map(step_report).collect()));
    let longer = header(&screen, 80);
    assert!(
        longer.contains("step 1 240/5 000 ── ep 1.0 ── ETA"),
        "{longer}"
    );
    screen.on_event(EventKind::Phase(Phase::Evaluating { done: 1, total: 2 }));
    let busy = header(&screen, 80);
    assert!(
        busy.starts_with("gpt · stories ── step 1 240/5 000 ── ep 1.0 ── ETA"),
        "{busy}"
    );
    assert!(busy.ends_with("evaluating 50 % ●"), "{busy}");
    for width in 40..130 {
        let line = header(&screen, width);
        assert!(
            line.contains("step 1 240/5 000") && line.ends_with('●'),
            "{width}: {line}"
        );
    }
}
