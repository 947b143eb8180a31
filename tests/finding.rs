//! Finding good values on a pseudo-terminal, with real training: a range test from Home, a sweep that is stopped and goes on.
#![cfg(unix)]

mod process;
mod terminal;

use process::{Place, tiny};
use terminal::Terminal;

const TINY: &str = r#"
name = "tiny"
eval.every = 1000
eval.batches = 2
sample.every = 0
checkpoint.every = 0
checkpoint.keep = 3
"#;

fn start(arguments: &[&str], place: &Place) -> Terminal {
    Terminal::start(terminal::fireside(arguments, place.dir()), 140, 44)
}

#[test]
fn a_range_test_finds_a_rate_which_one_key_takes() {
    let place = Place::empty();
    let mut terminal = start(&[], &place);
    terminal.wait_for("1 Ladder");
    // The smallest model of the smallest rung.
    terminal.press("gg");
    for (key, value) in [
        ("device", "flex"),
        ("corpus.bytes", "40000"),
        ("model.context_length", "16"),
        ("model.hidden_size", "16"),
    ] {
        terminal.press(&format!(":set {key} {value}"));
        terminal.wait_for("Palette");
        terminal.press("\r");
        terminal.wait_gone("Palette");
    }
    terminal.press("f");
    terminal.wait_for("Learning-rate range test: char-rnn");
    // Leaving half way keeps nothing.
    terminal.press("\x1b");
    terminal.wait_for("esc closes");
    terminal.press("\x1b");
    terminal.wait_gone("Learning-rate range test");
    terminal.press("f");
    terminal.wait_for("as optimizer.learning_rate");
    let text = terminal.shown().text();
    let (_, rate) = text.split_once("enter takes ").expect("a suggestion");
    let rate = rate.split_whitespace().next().unwrap().to_string();
    terminal.press("\r");
    terminal.wait_for("optimizer.learning_rate is now");
    terminal.wait_for("5 changed");
    // No run was made by it; the next one has the rate.
    let runs = place.path("runs");
    assert!(fireside::run::list(&runs).is_empty());
    terminal.press("\r");
    terminal.wait_for("training ●");
    terminal.press("q");
    terminal.wait_for("save and quit");
    terminal.press("s");
    assert_eq!(terminal.exit(), 0);
    terminal.assert_restored();
    let config = place.only_run().dir.join("config.toml");
    let config = std::fs::read_to_string(config).unwrap();
    let wanted: f64 = rate.parse().unwrap();
    let written = config
        .lines()
        .find_map(|line| line.strip_prefix("learning_rate = "))
        .and_then(|value| value.parse::<f64>().ok());
    assert_eq!(written, Some(wanted), "{config}");
}

#[test]
fn a_sweep_is_watched_stopped_and_goes_on() {
    let place = Place::new(&tiny(TINY));
    let sweep = [
        "sweep",
        "tiny.toml",
        "--vary",
        "optimizer.learning_rate=1e-4..1e-1:log",
        "--runs",
        "4",
        "--steps",
        // Long enough that it is still going on when it is stopped, on a machine that does other work too.
        "16000",
        "--halving",
        "2",
        "--parallel",
        "2",
    ];
    let mut terminal = start(&sweep, &place);
    terminal.wait_for("Trials");
    terminal.wait_for("trial-004");
    terminal.wait_for("rung 1/3");
    // A pane takes the screen and gives it back; the table keeps its order until it is asked for another.
    terminal.press("3z");
    terminal.wait_gone("Losses");
    terminal.press("z");
    terminal.wait_for("Losses");
    terminal.press("o");
    terminal.resize(80, 24);
    terminal.wait_for("trial-001");
    terminal.resize(140, 44);
    terminal.press("S");
    terminal.wait_for("still to be trained");
    terminal.press("\r");
    assert_eq!(terminal.exit(), 130);
    terminal.assert_restored();
    let dir = place.path("runs/sweep-tiny-001");
    let done = std::fs::read_to_string(dir.join("results.jsonl")).unwrap_or_default();

    let resumed = ["sweep", "--resume", "runs/sweep-tiny-001"];
    let mut terminal = start(&resumed, &place);
    // A trial is finished a moment before the sweep is; until then a `q` asks whether to stop.
    terminal.wait_for("sweep-tiny-001   finished");
    terminal.press("q");
    assert_eq!(terminal.exit(), 0);
    terminal.assert_restored();
    let results = std::fs::read_to_string(dir.join("results.jsonl")).unwrap();
    // What was done is not done again: four trials to the first rung, two to the second, one to the last.
    assert!(results.starts_with(&done));
    assert_eq!(results.lines().count(), 7, "{results}");

    // What is over stays on the screen until the window is closed.
    let mut terminal = start(&resumed, &place);
    terminal.wait_for("sweep-tiny-001   finished");
    terminal.signal(rustix::process::Signal::HUP);
    assert_eq!(terminal.exit(), 0);
    terminal.assert_restored();
}
