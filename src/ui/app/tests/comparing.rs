//! Journeys of runs side by side: the overlay, differences, samples.

use super::runs::{dir, listed, loaded, three};
use super::*;
use crate::protocol::{Edit, EditAuthor, EditRecord};
use crate::ui::screens::runs::work::Course;

/// A folder with the log of a run, and its overview as the desk reads it. With an edit at each of these steps.
fn course(steps: u64, loss: f64, edited: &[u64]) -> Course {
    let folder = tempfile::tempdir().unwrap_or_else(|e| panic!("{e}"));
    let mut text = String::new();
    for n in 1..=steps {
        let report = StepReport {
            loss: loss + 3.0 / n as f64,
            ..step(n)
        };
        text.push_str(&crate::run::Record::Step(report).to_line());
        text.push('\n');
    }
    let log = folder.path().join("metrics.jsonl");
    std::fs::write(log, text).unwrap_or_else(|e| panic!("{e}"));
    let overview = crate::run::Overview::of(folder.path());
    let edits = edited.iter().map(|step| EditRecord {
        step: *step,
        edit: Edit::LearningRateMultiplier(0.5),
        undo: None,
        by: EditAuthor::default(),
    });
    Course {
        overview: Arc::new(overview.unwrap_or_else(|e| panic!("{e}"))),
        edits: edits.collect(),
    }
}

/// All three marked and laid over each other.
pub(super) fn overlaid() -> Journey {
    let mut journey = listed();
    journey.keys("a o");
    let wanted = journey.effects.iter().find_map(|effect| match effect {
        Effect::Runs(RunsTask::Courses(dirs)) => Some(dirs.len()),
        _ => None,
    });
    assert_eq!(wanted, Some(3));
    journey.sees("reading the curves");
    journey.tell(Message::Runs(RunsAnswer::Courses(vec![
        (dir("gpt-busy"), Ok(course(900, 1.0, &[300]))),
        (dir("gpt-child"), Ok(course(500, 2.0, &[100, 200]))),
        (
            dir("rnn-bad"),
            Err("cannot read runs/rnn-bad/metrics.jsonl".into()),
        ),
    ])));
    journey
}

#[test]
fn marked_runs_lie_over_each_other_on_every_axis() {
    let mut journey = overlaid();
    for wanted in [
        "nats/token, train",
        "by step",
        "smooth 0.9",
        "unreadable",
        "3 runs",
    ] {
        journey.sees(wanted);
    }
    // The newest values, smoothed: 1 and 2 and a little.
    journey.sees("1.00");
    journey.sees("2.00");
    for (key, wanted) in [
        ("x", "by tokens"),
        ("x", "by time"),
        ("x", "the compute is not known"),
        ("x", "by step"),
        ("s", "smooth 0.97"),
        ("y", "log"),
        ("U", "perplexity"),
        ("U", "bits/byte"),
        ("v", "validation"),
        ("v", "train and validation"),
        ("v", "nothing to draw"),
        ("U", "nats/token"),
        ("+", "zoom"),
        ("=", "by step"),
        ("f", "frozen"),
    ] {
        journey.keys(key);
        journey.sees(wanted);
    }
    journey.keys("f c");
    journey.sees("at step 900");
    // Where one run has ended only the other has a value.
    journey.keys("home");
    journey.sees("at step 1");
    journey.keys("space");
    journey.sees("hidden");
    journey.keys("space j k");
    journey.does_not_see("hidden");
    journey.keys("esc");
    journey.sees("Runs: 3");
    assert_eq!(journey.app.screen(), Screen::Runs);
}

#[test]
fn edits_are_marked_on_every_run_and_said_of_the_one_under_the_cursor() {
    let mut journey = overlaid();
    let count = |journey: &Journey, what: &str| journey.screen().matches(what).count();
    for _by in ["step", "tokens", "time"] {
        assert_eq!(count(&journey, "◇"), 3, "{}", journey.screen());
        assert_eq!(count(&journey, "lr ×0.5"), 1, "{}", journey.screen());
        journey.keys("j");
        assert_eq!(count(&journey, "lr ×0.5"), 2, "{}", journey.screen());
        // Of a hidden run nothing is drawn.
        journey.keys("space");
        assert_eq!(count(&journey, "◇"), 1, "{}", journey.screen());
        assert_eq!(count(&journey, "lr ×0.5"), 0, "{}", journey.screen());
        journey.keys("space k x");
    }
}

#[test]
fn a_run_that_is_still_training_goes_on_in_the_overlay() {
    let mut journey = overlaid();
    journey.effects.clear();
    journey.tell(loaded());
    let asked = |journey: &Journey| {
        journey.effects.iter().find_map(|effect| match effect {
            Effect::Runs(RunsTask::Courses(dirs)) => Some(dirs.clone()),
            _ => None,
        })
    };
    assert_eq!(asked(&journey), None, "nothing was added");
    let mut runs = three();
    Arc::make_mut(&mut runs[0]).summary.step += 50;
    journey.tell(Message::RunsLoaded {
        runs: Ok(runs.into()),
        now: 9_201,
    });
    assert_eq!(asked(&journey), Some(vec![dir("gpt-busy")]));
    journey.tell(Message::Runs(RunsAnswer::Courses(vec![(
        dir("gpt-busy"),
        Ok(course(950, 0.5, &[])),
    )])));
    journey.sees("0.50");
}

#[test]
fn the_overlay_is_written_as_it_is_shown() {
    use crate::chart::{Across, Quantity};

    let mut journey = overlaid();
    let mut export = |keys: &str| {
        journey.keys(keys);
        let mut tasks = journey.tasks().into_iter();
        tasks.find_map(|task| match task {
            RunsTask::Export(export) => Some(*export),
            _ => None,
        })
    };
    let shown = export("e").expect("an export");
    assert_eq!(shown.view.across, Across::Step);
    assert_eq!(shown.view.range, None);
    assert!(shown.training && !shown.validation);
    let drawn = shown.runs.len();
    assert!(drawn > 1, "{shown:?}");
    // One line hidden, another axis, zoomed in, both losses.
    let shown = export("space x v v e").expect("an export");
    assert_eq!(shown.runs.len(), drawn - 1);
    assert_eq!(shown.view.across, Across::Tokens);
    assert!(shown.training && shown.validation);
    let shown = export("x + e").expect("an export");
    assert_eq!(shown.view.across, Across::Time);
    assert!(shown.view.range.is_some_and(|(low, high)| low < high));
    assert!(matches!(
        shown.view.quantity,
        Quantity::Loss | Quantity::BitsPerByte
    ));
    journey.tell(Message::Runs(RunsAnswer::Exported(Ok(
        "wrote overlay.csv to runs/exports".into(),
    ))));
    journey.sees("wrote overlay.csv");
    journey.tell(Message::Runs(RunsAnswer::Exported(Err("disk full".into()))));
    journey.sees("nothing was written: disk full");
}

#[test]
fn differences_and_samples_stand_side_by_side() {
    let mut journey = listed();
    journey.keys("a d");
    let compare = |task: &RunsTask| matches!(task, RunsTask::Compare(runs) if runs.len() == 3);
    assert!(journey.tasks().iter().any(compare));
    let some = |text: &str| Some(text.to_string());
    journey.tell(Message::Runs(RunsAnswer::Compared(Ok(
        crate::run::Compared {
            keys: vec![(
                "optimizer.learning_rate",
                vec![some("0.001"), some("0.002"), None],
            )],
            same: 60,
            edits: vec![crate::run::EditLine {
                run: 1,
                step: 120,
                text: "learning rate × 0.5".into(),
                by: crate::protocol::EditAuthor::Policy,
            }],
        },
    ))));
    for wanted in [
        "1 key differs, 60 are the same",
        "optimizer.learning_rate",
        "0.002",
        "step 120",
        "learning rate × 0.5",
        "busy @100",
    ] {
        journey.sees(wanted);
    }
    journey.size(60, 16);
    journey.sees("gpt-busy");
    journey.does_not_see("rnn-bad");
    journey.keys("right right");
    journey.sees("rnn-bad");
    journey.size(120, 40);
    journey.keys("esc s");
    let texts = |task: &RunsTask| matches!(task, RunsTask::Samples(dirs) if dirs.len() == 3);
    assert!(journey.tasks().iter().any(texts));
    let sample = |step, prompt: &str, text: &str| crate::protocol::SampleRecord {
        step,
        prompt_index: 0,
        prompt: prompt.into(),
        text: text.into(),
        temperature: 1.0,
        top_k: 0,
        top_p: 1.0,
        tokens_per_second: 1.0,
        complete: true,
    };
    let of = |name: &str, samples| {
        let samples = crate::run::RunSamples {
            dir: dir(name),
            samples,
        };
        (dir(name), Ok(samples))
    };
    let long: String = (1..=70).map(|line| format!("line {line}\n")).collect();
    journey.tell(Message::Runs(RunsAnswer::Samples(vec![
        of(
            "gpt-busy",
            vec![sample(10, "alone", &long), sample(50, "Once", "the miller")],
        ),
        of(
            "gpt-child",
            vec![
                sample(30, "Once", "early words"),
                sample(80, "Once", "late words"),
            ],
        ),
        (dir("rnn-bad"), Err("cannot read".into())),
    ])));
    for wanted in [
        "prompt 1 of 2",
        "up to step 80 (3 of 3)",
        "the miller",
        "late words",
        "cannot read",
    ] {
        journey.sees(wanted);
    }
    journey.keys("left");
    journey.sees("early words");
    journey.sees("gpt-busy at step 50");
    journey.keys("left");
    journey.sees("nothing to this prompt by then");
    journey.keys("p");
    journey.sees("alone");
    // From beyond the end, one key leads back.
    journey.does_not_see("line 70");
    for _ in 0..20 {
        journey.keys("pagedown");
        journey.screen();
    }
    journey.sees("line 70");
    journey.keys("up");
    journey.does_not_see("line 70");
    journey.keys("pageup pageup pageup pageup");
    journey.sees("line 1 ");
    journey.keys("esc");
    journey.sees("Runs: 3");
}

#[test]
fn no_size_breaks_a_view_of_runs() {
    let mut views = [overlaid(), listed(), listed()];
    views[1].keys("a d");
    views[2].keys("a s");
    views[1].tell(Message::Runs(RunsAnswer::Compared(Err(
        "cannot read".into()
    ))));
    views[2].tell(Message::Runs(RunsAnswer::Samples(Vec::new())));
    for journey in &mut views {
        for (width, height) in [(1, 1), (39, 11), (40, 12), (80, 24), (200, 60), (300, 5)] {
            journey.size(width, height);
            journey.screen();
            journey.keys("c + left right up down home G");
            let click = MouseEvent {
                kind: MouseEventKind::Down(MouseButton::Left),
                column: width / 2,
                row: height / 2,
                modifiers: KeyModifiers::NONE,
            };
            journey.tell(Message::Input(Input::Mouse(click)));
            let wheel = MouseEvent {
                kind: MouseEventKind::ScrollUp,
                ..click
            };
            journey.tell(Message::Input(Input::Mouse(wheel)));
            journey.screen();
        }
    }
}

/// Runs of one kind differ at the end of their names, where the number is.
#[test]
fn long_names_are_told_apart() {
    let mut journey = Journey::new();
    journey.size(80, 24);
    journey.keys("r");
    let name = |at: usize| format!("{}-00{at}", "a-name-that-goes-on".repeat(4));
    let runs: Vec<_> = (1..3).map(|at| summary(&name(at), 700)).collect();
    journey.tell(Message::RunsLoaded {
        runs: Ok(entries(runs).into()),
        now: 9_200,
    });
    let ends = |journey: &Journey| {
        journey.sees("goes-on-001");
        journey.sees("goes-on-002");
    };
    ends(&journey);
    journey.keys("a o");
    journey.sees("2 runs");
    ends(&journey);
    journey.keys("esc d");
    journey.tell(Message::Runs(RunsAnswer::Compared(Ok(
        crate::run::Compared {
            keys: vec![("train.steps", vec![Some("1".into()), Some("2".into())])],
            same: 1,
            edits: Vec::new(),
        },
    ))));
    journey.sees("1 key differs, 1 is the same");
    ends(&journey);
}
