//! Journeys on the screen of runs: keys, what is asked of the disk, and what stands on the screen.

use super::*;
use crate::run::Binned;
use crate::ui::screens::runs::work::{RunsDesk, Said};

/// Three runs on the list: one alive, one diverged, one with a tag and a parent.
fn listed() -> Journey {
    let mut journey = Journey::new();
    journey.keys("r");
    journey.tell(loaded());
    journey.effects.clear();
    journey
}

fn three() -> Vec<Arc<RunEntry>> {
    let mut busy = RunEntry::from(summary("gpt-busy", 1_200));
    busy.summary.status = RunStatus::Running;
    busy.summary.resumable = false;
    busy.summary.updated = 9_195;
    busy.summary.val_loss = Some(1.9);
    busy.process = Some(4_711);
    let mut bad = RunEntry::from(summary("rnn-bad", 300));
    bad.summary.status = RunStatus::Diverged;
    bad.summary.model = ModelKind::CharRnn;
    bad.summary.problem = Some("the loss is not a number".into());
    bad.summary.val_loss = None;
    let mut child = RunEntry::from(summary("gpt-child", 700));
    child.notes.tags = vec!["baseline".into()];
    child.notes.note = "the one to beat".into();
    child.parent = Some(crate::run::Parent {
        run: "runs/gpt-busy".into(),
        step: 100,
    });
    for (run, learning_rate) in [(&mut busy, "1e-3"), (&mut child, "2e-3")] {
        let set = format!("optimizer.learning_rate={learning_rate}");
        let source = crate::config::Source::Preset("gpt".into());
        run.set_config(&crate::config::load(source, &[set]).expect("a preset"));
    }
    [busy, bad, child].map(Arc::new).to_vec()
}

fn loaded() -> Message {
    Message::RunsLoaded {
        runs: Ok(three()),
        now: 9_200,
    }
}

impl Journey {
    fn tasks(&mut self) -> Vec<RunsTask> {
        let effects = std::mem::take(&mut self.effects);
        let tasks = effects.into_iter().filter_map(|effect| match effect {
            Effect::Runs(RunsTask::Overviews(_)) => None,
            Effect::Runs(task) => Some(task),
            _ => None,
        });
        tasks.collect()
    }

    /// The rows of the screen on which these stand, in this order.
    #[track_caller]
    fn stand_in_order(&self, names: &[&str]) {
        let screen = self.screen();
        let rows: Vec<Option<usize>> = names
            .iter()
            .map(|name| screen.lines().position(|line| line.contains(name)))
            .collect();
        assert!(
            rows.iter().all(Option::is_some) && rows.is_sorted(),
            "{names:?} in {rows:?} on\n{screen}"
        );
    }
}

fn dir(name: &str) -> PathBuf {
    PathBuf::from(format!("runs/{name}"))
}

#[test]
fn the_list_is_read_again_while_it_is_shown_and_only_then() {
    let mut journey = listed();
    let armed = |journey: &Journey| {
        let timers = journey.effects.iter();
        timers
            .filter(|e| matches!(e, Effect::After(_, Timer::Runs)))
            .count()
    };
    journey.tell(loaded());
    assert_eq!(armed(&journey), 0, "one timer is enough");
    journey.tell(Message::Timer(Timer::Runs));
    assert!(journey.effects.contains(&Effect::LoadRuns));
    journey.tell(loaded());
    assert_eq!(armed(&journey), 1);
    journey.keys("H");
    journey.effects.clear();
    journey.tell(Message::Timer(Timer::Runs));
    assert!(journey.effects.is_empty());
}

#[test]
fn the_filter_is_applied_while_it_is_typed_and_says_what_is_wrong() {
    let mut journey = listed();
    journey.sees("Runs: 3");
    journey.sees("running 4711");
    journey.keys("/");
    journey.text("val_los");
    journey.sees("No run fits");
    journey.text("<2");
    journey.sees("did you mean `val_loss`?");
    // Enter does not take what is wrong; the place is marked.
    journey.keys("enter");
    journey.sees("^");
    journey.keys("ctrl-u");
    journey.text("val_loss<2 & model=gpt");
    journey.keys("enter");
    journey.sees("Runs: 1 of 3");
    journey.sees("gpt-busy");
    journey.does_not_see("rnn-bad");
    // Esc takes the filter away first, then leaves.
    journey.keys("/");
    journey.text(" | rnn");
    journey.sees("Runs: 2 of 3");
    journey.keys("esc");
    journey.sees("Runs: 1 of 3");
    journey.keys("esc");
    journey.sees("Runs: 3");
    journey.keys("/");
    journey.text("learning_rate>1e-3");
    journey.keys("enter");
    journey.sees("Runs: 1 of 3");
    journey.sees("gpt-child");
    journey.does_not_see("running 4711");
    journey.keys("esc esc");
    assert_eq!(journey.app.screen(), Screen::Home);
}

#[test]
fn keys_and_clicks_sort_and_the_cursor_stays_on_its_run() {
    let mut journey = listed();
    journey.stand_in_order(&["gpt-busy", "gpt-child", "rnn-bad"]);
    journey.keys("G");
    journey.sees("▸   rnn-bad");
    // From age onward: tags, note, and round to the name.
    journey.keys("> > >");
    journey.sees("by name");
    journey.stand_in_order(&["gpt-busy", "gpt-child", "rnn-bad"]);
    journey.keys("i");
    journey.stand_in_order(&["rnn-bad", "gpt-child", "gpt-busy"]);
    journey.sees("▸   rnn-bad");
    let screen = journey.screen();
    let heading = screen.lines().nth(1).expect("a heading");
    let column = heading.chars().position(|c| c == 'v').expect("val loss") as u16 - 1;
    let click = |journey: &mut Journey, column, row| {
        journey.tell(Message::Input(Input::Mouse(MouseEvent {
            kind: MouseEventKind::Down(MouseButton::Left),
            column,
            row,
            modifiers: KeyModifiers::NONE,
        })));
    };
    click(&mut journey, column, 1);
    journey.sees("by val_loss");
    journey.stand_in_order(&["gpt-busy", "gpt-child", "rnn-bad"]);
    click(&mut journey, column, 1);
    // The largest first, and what has none is last all the same.
    journey.stand_in_order(&["gpt-child", "gpt-busy", "rnn-bad"]);
    click(&mut journey, 20, 3);
    journey.sees("▸   gpt-busy");
    click(&mut journey, 2, 3);
    journey.sees("1 marked");
}

#[test]
fn deleting_asks_and_is_undone() {
    let mut journey = listed();
    journey.keys("space D");
    journey.sees("Move gpt-busy to the bin?");
    journey.keys("n");
    assert_eq!(journey.tasks(), []);
    journey.keys("D d");
    assert_eq!(journey.tasks(), [RunsTask::Delete(vec![dir("gpt-busy")])]);
    let binned = Binned {
        name: "gpt-busy".into(),
        dir: PathBuf::from("runs/.bin/gpt-busy"),
        deleted: 9_200,
    };
    journey.tell(Message::Runs(RunsAnswer::Deleted {
        runs: vec![binned.clone()],
        problems: vec!["the run runs/x is in use by another process".into()],
    }));
    journey.sees("gpt-busy in the bin; u brings back");
    journey.sees("in use by another process");
    assert!(journey.effects.contains(&Effect::LoadRuns));
    journey.keys("esc u");
    assert_eq!(journey.tasks(), [RunsTask::Restore(vec![binned])]);
    journey.keys("u");
    journey.sees("nothing to undo");
    journey.keys(":");
    journey.text("empty-bin");
    journey.keys("enter");
    journey.sees("cannot come back");
    // The first choice keeps them.
    journey.keys("enter");
    assert_eq!(journey.tasks(), []);
}

#[test]
fn names_tags_and_notes_are_typed_and_checked() {
    let mut journey = listed();
    journey.keys("e ctrl-u");
    journey.text("a/b");
    journey.keys("enter");
    journey.sees("'/' is not allowed");
    journey.keys("ctrl-u");
    journey.text("best");
    journey.keys("enter");
    let task = RunsTask::Rename {
        dir: dir("gpt-busy"),
        name: "best".into(),
    };
    assert_eq!(journey.tasks(), [task]);
    journey.tell(Message::Runs(RunsAnswer::Renamed {
        from: dir("gpt-busy"),
        to: Ok(dir("best")),
    }));
    journey.keys("u");
    let back = RunsTask::Rename {
        dir: dir("best"),
        name: "gpt-busy".into(),
    };
    assert_eq!(journey.tasks(), [back]);
    journey.keys("j #");
    journey.text(" q&a");
    journey.keys("enter");
    journey.sees("`&` is not allowed");
    journey.keys("backspace backspace backspace");
    journey.text("good");
    journey.keys("enter");
    let words = "baseline good".to_string();
    let tags = RunsTask::SetTags {
        dir: dir("gpt-child"),
        words,
    };
    assert_eq!(journey.tasks(), [tags]);
    journey.keys("a #");
    journey.sees("3 marked");
    journey.text("q1 -baseline");
    journey.keys("enter");
    assert!(matches!(
        journey.tasks().as_slice(),
        [RunsTask::Tag { dirs, words }] if dirs.len() == 3 && words == "q1 -baseline"
    ));
    journey.keys("n");
    journey.text("!");
    journey.keys("enter");
    assert!(matches!(
        journey.tasks().as_slice(),
        [RunsTask::Note { text, .. }] if text == "the one to beat!"
    ));
    let before = vec![Said {
        dir: dir("gpt-child"),
        tags: vec!["baseline".into()],
        note: "the one to beat".into(),
    }];
    journey.tell(Message::Runs(RunsAnswer::Noted {
        before: before.clone(),
        problems: vec!["cannot write b/notes.json".into()],
    }));
    journey.sees("cannot write b/notes.json");
    journey.keys("u");
    assert_eq!(journey.tasks(), [RunsTask::PutBack(before)]);
    journey.tell(Message::Runs(RunsAnswer::PutBack { problems: vec![] }));
    journey.sees("as they were before");
}

#[test]
fn tags_and_notes_are_put_back_on_disk() {
    let place = tempfile::tempdir().unwrap();
    let config = crate::config::load(crate::config::Source::Defaults, &[]).unwrap();
    let dirs: Vec<PathBuf> = ["a", "b"]
        .map(|name| {
            let dir = place.path().join(name);
            crate::run::RunDir::create(place.path(), Some(&dir), &config).unwrap();
            dir
        })
        .to_vec();
    let desk = RunsDesk::new(place.path().to_path_buf());
    let said = |dir: &PathBuf| {
        let notes = crate::run::Notes::read(dir).unwrap();
        (notes.tags, notes.note)
    };
    let note = RunsTask::Note {
        dir: dirs[0].clone(),
        text: "first".into(),
    };
    desk.work(note);
    let before: Vec<_> = dirs.iter().map(said).collect();
    let tag = RunsTask::Tag {
        dirs: dirs.clone(),
        words: "x y".into(),
    };
    let RunsAnswer::Noted {
        before: earlier,
        problems,
    } = desk.work(tag)
    else {
        panic!("another answer");
    };
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(said(&dirs[1]).0, ["x", "y"]);
    desk.work(RunsTask::PutBack(earlier));
    assert_eq!(dirs.iter().map(said).collect::<Vec<_>>(), before);
}

#[test]
fn forks_stand_below_their_parents_and_ask_for_what_is_shown() {
    let mut journey = listed();
    journey.keys("t");
    journey.sees("as a tree");
    journey.sees("└ gpt-child");
    journey.keys("a t");
    journey.sees("3 marked");
    // On a wide screen the curve of the run under the cursor is asked for, once.
    journey.size(180, 40);
    let wanted = Effect::Runs(RunsTask::Overviews(vec![dir("gpt-busy")]));
    assert!(journey.effects.contains(&wanted), "{:?}", journey.effects);
    journey.effects.clear();
    journey.tell(loaded());
    assert!(!journey.effects.contains(&wanted));
    journey.sees("reading its curve");
    journey.tell(Message::Runs(RunsAnswer::Overviews(vec![(
        dir("gpt-busy"),
        Ok(Arc::default()),
    )])));
    journey.sees("no steps yet");
    journey.sees("running by process 4711");
    journey.keys("j");
    journey.sees("the one to beat");
    journey.sees("from runs/gpt-busy at step 100");
}

#[test]
fn every_size_shows_what_matters_most() {
    let mut journey = listed();
    for (width, height) in [(40, 12), (60, 14), (80, 24), (120, 40), (200, 60)] {
        journey.size(width, height);
        journey.sees("gpt-busy");
        journey.sees("running");
    }
    journey.size(80, 24);
    for wanted in [
        "step",
        "val loss",
        "bits/byte",
        "age▴",
        "1 200/2 000",
        "1.900",
    ] {
        journey.sees(wanted);
    }
    journey.does_not_see("params");
    journey.size(200, 60);
    for wanted in ["params", "tags", "baseline", "note"] {
        journey.sees(wanted);
    }
    for keys in ["/", "esc D", "esc e", "esc #"] {
        journey.keys(keys);
        for (width, height) in [(1, 1), (39, 11), (40, 12), (300, 5), (80, 24)] {
            journey.size(width, height);
            journey.screen();
        }
    }
}

/// A folder with the log of a run, and its overview as the desk reads it.
fn overview(steps: u64, loss: f64) -> Arc<crate::run::Overview> {
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
    Arc::new(overview.unwrap_or_else(|e| panic!("{e}")))
}

/// All three marked and laid over each other.
fn overlaid() -> Journey {
    let mut journey = listed();
    journey.keys("a o");
    let wanted = journey.effects.iter().find_map(|effect| match effect {
        Effect::Runs(RunsTask::Overviews(dirs)) => Some(dirs.len()),
        _ => None,
    });
    assert_eq!(wanted, Some(3));
    journey.sees("reading the curves");
    journey.tell(Message::Runs(RunsAnswer::Overviews(vec![
        (dir("gpt-busy"), Ok(overview(900, 1.0))),
        (dir("gpt-child"), Ok(overview(500, 2.0))),
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
fn a_run_that_is_still_training_goes_on_in_the_overlay() {
    let mut journey = overlaid();
    journey.effects.clear();
    journey.tell(loaded());
    let asked = |journey: &Journey| {
        journey.effects.iter().find_map(|effect| match effect {
            Effect::Runs(RunsTask::Overviews(dirs)) => Some(dirs.clone()),
            _ => None,
        })
    };
    assert_eq!(asked(&journey), None, "nothing was added");
    let mut runs = three();
    Arc::make_mut(&mut runs[0]).summary.step += 50;
    journey.tell(Message::RunsLoaded {
        runs: Ok(runs),
        now: 9_201,
    });
    assert_eq!(asked(&journey), Some(vec![dir("gpt-busy")]));
    journey.tell(Message::Runs(RunsAnswer::Overviews(vec![(
        dir("gpt-busy"),
        Ok(overview(950, 0.5)),
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
        "1 keys differ, 60 are the same",
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
    journey.tell(Message::Runs(RunsAnswer::Samples(vec![
        of(
            "gpt-busy",
            vec![sample(10, "alone", "x"), sample(50, "Once", "the miller")],
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
