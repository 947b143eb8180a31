//! Journeys on the screen of runs: keys, what is asked of the disk, and what stands on the screen.

use super::*;
use crate::run::{Binned, BinnedKind};
use crate::ui::screens::runs::work::{Course, RunsDesk, Said};

/// Three runs on the list: one alive, one diverged, one with a tag and a parent.
pub(super) fn listed() -> Journey {
    let mut journey = Journey::new();
    journey.keys("r");
    journey.tell(loaded());
    journey.effects.clear();
    journey
}

pub(super) fn three() -> Vec<Arc<RunEntry>> {
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

pub(super) fn loaded() -> Message {
    Message::RunsLoaded {
        runs: Ok(three().into()),
        now: 9_200,
    }
}

impl Journey {
    pub(super) fn tasks(&mut self) -> Vec<RunsTask> {
        let effects = std::mem::take(&mut self.effects);
        let tasks = effects.into_iter().filter_map(|effect| match effect {
            Effect::Runs(RunsTask::Courses(_)) => None,
            Effect::Runs(task) => Some(task),
            _ => None,
        });
        tasks.collect()
    }

    /// The rows of the screen on which these stand, in this order.
    #[track_caller]
    pub(super) fn stand_in_order(&self, names: &[&str]) {
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

pub(super) fn dir(name: &str) -> PathBuf {
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
        kind: BinnedKind::Run,
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
    // What came back is under the cursor, so that the next key means it and not its neighbour.
    journey.tell(Message::Runs(RunsAnswer::Restored {
        runs: vec![dir("rnn-bad")],
        problems: Vec::new(),
    }));
    journey.tell(Message::RunsLoaded {
        runs: Ok(three().into()),
        now: 9_200,
    });
    let selected = journey.app.runs.selected().map(|run| run.name.clone());
    assert_eq!(selected.as_deref(), Some("rnn-bad"));
    journey.keys("g g u");
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
fn a_trial_is_deleted_with_its_whole_sweep() {
    let mut journey = listed();
    let trial = |n: u8| {
        let name = format!("sweep-x-001/trial-00{n}");
        Arc::new(RunEntry::from(summary(&name, 10)))
    };
    let mut runs = three();
    runs.extend([trial(1), trial(2), trial(3)]);
    let runs = Ok(runs.into());
    journey.tell(Message::RunsLoaded { runs, now: 9_200 });
    journey.keys("G D");
    journey.sees("Move the sweep sweep-x-001 with all of its 3 runs to the bin?");
    journey.keys("d");
    assert_eq!(
        journey.tasks(),
        [RunsTask::Delete(vec![dir("sweep-x-001")])]
    );
    let binned = Binned {
        kind: BinnedKind::Sweep,
        name: "sweep-x-001".into(),
        dir: PathBuf::from("runs/.bin/sweep-x-001"),
        deleted: 9_200,
    };
    journey.tell(Message::Runs(RunsAnswer::Deleted {
        runs: vec![binned.clone()],
        problems: Vec::new(),
    }));
    journey.sees("sweep-x-001 in the bin; u brings back");
    journey.keys("u");
    assert_eq!(journey.tasks(), [RunsTask::Restore(vec![binned])]);
    // Two of its trials and a run: the sweep once.
    journey.keys("home space G space up space D");
    journey.sees("Move gpt-busy and the sweep sweep-x-001 with all of its");
    journey.keys("d");
    assert_eq!(
        journey.tasks(),
        [RunsTask::Delete(vec![dir("gpt-busy"), dir("sweep-x-001")])]
    );
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
    let wanted = Effect::Runs(RunsTask::Courses(vec![dir("gpt-busy")]));
    assert!(journey.effects.contains(&wanted), "{:?}", journey.effects);
    journey.effects.clear();
    journey.tell(loaded());
    assert!(!journey.effects.contains(&wanted));
    journey.sees("reading its curve");
    journey.tell(Message::Runs(RunsAnswer::Courses(vec![(
        dir("gpt-busy"),
        Ok(Course::default()),
    )])));
    journey.sees("no steps yet");
    journey.sees("running by process 4711");
    journey.keys("j");
    journey.sees("the one to beat");
    journey.sees("from runs/gpt-busy at step 100");
}

#[test]
fn the_best_of_a_pinned_run_is_a_line_on_the_loss_of_another() {
    let mut journey = Journey::training();
    journey.size(160, 50);
    journey.event(EventKind::Started(Box::new(info())));
    journey.event(EventKind::Steps((1..40).map(step).collect()));
    journey.does_not_see("gpt-child");
    journey.keys("r");
    let mut runs = three();
    let child = Arc::make_mut(&mut runs[2]);
    child.summary.best_val_loss = Some(2.0);
    child.bytes_per_token = 2.0;
    journey.tell(Message::RunsLoaded {
        runs: Ok(runs.into()),
        now: 9_200,
    });
    journey.keys("g g j p");
    journey.sees("gpt-child is pinned");
    journey.sees("gpt-child pinned");
    // 2 nats on 2 bytes are 1 nat on each: as much as the tokens of this run have bytes.
    let nats = 1.0 * info().bytes_per_token;
    journey.keys("T");
    journey.sees(&format!(
        "gpt-child {}",
        crate::ui::widgets::chart::short(nats)
    ));
    journey.keys("r p T");
    let view = &journey.app.train_screen().unwrap().view;
    assert_eq!(view.pinned, None);
}

#[test]
fn folders_that_cannot_be_read_are_said_below_the_list() {
    let mut journey = listed();
    journey.does_not_see("left out");
    let newer = "runs/later was written by a newer fireside (format 9; this one reads up to 1)";
    let mut told = |runs: Vec<Arc<RunEntry>>, left_out: &[&str]| {
        journey.tell(Message::RunsLoaded {
            runs: Ok(crate::run::Listing {
                runs,
                left_out: left_out.iter().map(ToString::to_string).collect(),
            }),
            now: 9_200,
        });
        for (width, height) in [(60, 14), (80, 24), (200, 60)] {
            journey.size(width, height);
            journey.sees("left out: runs/later was written by a newer");
        }
        journey.screen()
    };
    assert!(told(three(), &[newer, "runs/torn is damaged"]).contains("(and 1 more)"));
    let screen = told(Vec::new(), &[newer]);
    assert!(screen.contains("No run here can be read."), "{screen}");
    assert!(!screen.contains("more)"), "{screen}");
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

#[test]
fn a_long_name_keeps_its_end_and_stands_whole_beside_the_list() {
    let names = [1, 2, 3].map(|at| format!("sweep-char-rnn-001/trial-{at:03}"));
    let mut journey = Journey::new();
    journey.keys("r");
    journey.tell(Message::RunsLoaded {
        runs: Ok(entries(names.iter().map(|name| summary(name, 700)).collect()).into()),
        now: 9_200,
    });
    journey.size(80, 24);
    for at in 1..=3 {
        journey.sees(&format!("-001/trial-{at:03} "));
    }
    for (width, height) in [(80, 24), (140, 40), (200, 60)] {
        journey.size(width, height);
        let screen = journey.screen();
        let whole = |name: &String| screen.contains(&format!(" {name} "));
        assert!(names.iter().any(whole), "{screen}");
        assert!(width < 140 || names.iter().all(whole), "{screen}");
    }
}
