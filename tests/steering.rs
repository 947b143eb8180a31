//! Live steering on a pseudo-terminal, with real training: edit, undo, go back, fork, compare.
#![cfg(unix)]

mod process;
mod terminal;

use fireside::protocol::Edit;
use fireside::run;
use process::{Place, tiny};
use terminal::Terminal;

/// Trains for as long as it is left alone.
const TINY: &str = r#"
name = "tiny"
train.steps = 1000000
eval.every = 1000
eval.batches = 2
sample.every = 0
checkpoint.every = 0
checkpoint.keep = 3
"#;

#[track_caller]
fn pause(terminal: &mut Terminal) -> u64 {
    terminal.press(" ");
    terminal.wait_for("paused ●");
    terminal.shown().step().unwrap()
}

#[test]
fn a_run_is_edited_undone_taken_back_and_forked() {
    let place = Place::new(&tiny(TINY));
    let command = terminal::fireside(&["train", "tiny.toml"], place.dir());
    let mut terminal = Terminal::start(command, 160, 46);
    terminal.wait_for_step(20);
    terminal.press("8");

    // By name, while it trains.
    terminal.press(":");
    terminal.wait_for("Palette");
    terminal.press("set optimizer.weight_decay 0.05");
    terminal.wait_for("from the next step on; now 0.0");
    terminal.press("\r");
    terminal.wait_for("weight_decay 0.05 from step");
    let edited = terminal.shown().step().unwrap();
    terminal.wait_for_step(edited + 20);
    pause(&mut terminal);

    // A value out of range is not sent.
    terminal.press(":set optimizer.weight_decay 50");
    terminal.wait_for("expected a number from 0 to 10");
    terminal.press("\x1b");
    terminal.wait_gone("Palette");

    terminal.press("u");
    terminal.wait_for("put the value back");
    terminal.wait_for("go back to before it");
    terminal.press("p");
    terminal.wait_for("(undone)");
    terminal.press("u");
    terminal.wait_for("every edit has been undone");
    terminal.press(" ");
    let seen = terminal.wait_for_step(edited + 60);
    pause(&mut terminal);

    // The checkpoint before the first edit is the last of the list.
    terminal.press("b");
    terminal.wait_for("before an edit");
    terminal.press("jjjj\r");
    terminal.wait_for("Go back from step");
    terminal.press("\r");
    terminal.wait_for("back from");
    terminal.wait_until("an earlier step", |shown| shown.step() < Some(seen));
    let back = terminal.shown().step().unwrap();
    assert!(back <= edited, "{back} of {edited}");
    terminal.press(" ");
    terminal.wait_for_step(back + 20);

    // From now, with an edit and a name.
    terminal.press("F");
    terminal.wait_for("now; saved first");
    terminal.press("\r");
    terminal.wait_for("It takes the screen");
    terminal.press("\x15branch\tmodel.dropout=0.1");
    terminal.wait_for("model.dropout=0.1");
    terminal.press("\r");
    terminal.wait_for("from tiny-001 @");
    terminal.wait_for("model.dropout 0.1 from step");
    let forked = terminal.shown().step().unwrap();
    let reached = terminal.wait_for_step(forked + 20);

    // Both beside each other while the fork trains: the curves with the edit, and what differs.
    terminal.press("r");
    terminal.wait_for("Runs: 2");
    terminal.press("a");
    terminal.wait_for("2 marked");
    terminal.press("o");
    terminal.wait_for("Overlay");
    terminal.wait_for("dropout 0.1");
    terminal.press("x");
    terminal.wait_for("by tokens");
    terminal.press("\x1b");
    terminal.wait_for("Runs: 2");
    terminal.press("d");
    terminal.wait_for("Difference");
    terminal.wait_for("model.dropout 0.1");
    terminal.press("\x1b");
    terminal.wait_for("Runs: 2");
    terminal.press("T");
    terminal.wait_for("from tiny-001 @");
    terminal.press("q");
    terminal.wait_for("save and quit");
    terminal.press("s");
    assert_eq!(terminal.exit(), 0);
    terminal.assert_restored();

    let mut runs = run::list(&place.path("runs"));
    runs.sort_by(|a, b| a.name.cmp(&b.name));
    let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    assert_eq!(names, ["branch-001", "tiny-001"]);
    assert!(runs.iter().all(|run| run.resumable), "{runs:?}");
    assert!(runs[0].step >= reached);
    let parent = run::read_history(&runs[1].dir).unwrap();
    assert_eq!(parent.left.len(), 1);
    assert_eq!(parent.left[0].rewound.step, back);
    assert!(parent.edits.is_empty(), "{:?}", parent.edits);
    let fork = run::read_history(&runs[0].dir).unwrap();
    let origin = fork.parent.expect("a fork names its parent");
    assert!(origin.run.ends_with("tiny-001"), "{}", origin.run);
    let dropout = |edit: &Edit| match edit {
        Edit::Set(changes) => changes
            .get("model.dropout")
            .is_some_and(|value| value == "0.1"),
        Edit::LearningRateMultiplier(_) => false,
    };
    assert!(
        fork.edits.iter().any(|record| dropout(&record.edit)),
        "{:?}",
        fork.edits
    );
}
