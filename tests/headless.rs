//! `fireside train` as a process: what scripts see, and what survives signals, kills and damage.

mod process;

use std::path::Path;

use fireside::run::{RunStatus, checkpoint, read_history, summarize};
use process::*;
use rustix::process::Signal;
use serde_json::Value;

const TINY: &str = r#"
model.n_layers = 2
model.dropout = 0.2
optimizer.learning_rate = 0.01
train.steps = 60
eval.every = 20
eval.batches = 2
sample.every = 30
sample.length = 12
sample.prompts = ["Once"]
checkpoint.every = 20
checkpoint.keep = 2
schedule.kind = "constant"
"#;

fn log(run: &Path) -> Vec<Value> {
    std::fs::read_to_string(run.join("metrics.jsonl"))
        .unwrap()
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// (step, loss) of the run as a reader of its history sees it.
fn losses(run: &Path) -> Vec<(u64, f64)> {
    read_history(run)
        .unwrap()
        .steps
        .iter()
        .map(|report| (report.step, report.loss))
        .collect()
}

#[test]
fn json_lines_are_the_contract() {
    let place = Place::new(&tiny(TINY));
    let output = place.train("r", &[]);
    assert_eq!(code(&output), 0, "{}", errors(&output));
    let events = lines(&output);
    assert_eq!(events[0]["event"], "started");
    for key in ["parameters", "vocab", "device", "run"] {
        assert!(!events[0][key].is_null(), "{key}");
    }
    let steps = of(&events, "step");
    assert_eq!(steps.len(), 60);
    for key in [
        "step",
        "loss",
        "learning_rate",
        "grad_norm",
        "tokens_per_second",
        "ms",
    ] {
        assert!(steps.iter().all(|step| step[key].is_number()), "{key}");
    }
    let evals = of(&events, "eval");
    assert_eq!(evals.len(), 3);
    for key in [
        "step",
        "train_loss",
        "val_loss",
        "perplexity",
        "bits_per_byte",
    ] {
        assert!(evals.iter().all(|eval| eval[key].is_number()), "{key}");
    }
    assert_eq!(of(&events, "sample").len(), 2);
    assert!(!of(&events, "checkpoint").is_empty());
    let finished = events.last().unwrap();
    assert_eq!(finished["event"], "finished");
    for key in ["val_loss", "best_val_loss", "seconds"] {
        assert!(finished[key].is_number(), "{key}");
    }
    let run = place.path("r");
    for file in [
        "config.toml",
        "run.json",
        "tokenizer.json",
        "samples.jsonl",
        "run.log",
    ] {
        assert!(run.join(file).is_file(), "{file}");
    }
    // The list knows it, sampling and evaluation read it.
    let list = place
        .command(&["runs", "--json"])
        .env("FIRESIDE_RUNS", place.dir())
        .output()
        .unwrap();
    assert_eq!(lines(&list)[0]["status"], "finished");
    let sample = place.run(&[
        "sample", "r", "--prompt", "Once", "-n", "5", "--json", "--count", "2",
    ]);
    assert_eq!(code(&sample), 0, "{}", errors(&sample));
    let texts = lines(&sample);
    assert_eq!(texts.len(), 2);
    assert_eq!(texts[0]["tokens"].as_array().unwrap().len(), 5);
    let again = place.run(&[
        "sample", "r", "--prompt", "Once", "-n", "5", "--json", "--count", "2",
    ]);
    assert_eq!(texts, lines(&again));
    let eval = place.run(&["eval", "r", "--json"]);
    assert_eq!(code(&eval), 0, "{}", errors(&eval));
    assert!(lines(&eval)[0]["bits_per_byte"].as_f64().unwrap() > 0.0);
    let unknown = place.run(&["sample", "r", "--prompt", "On\u{4e16}"]);
    assert_eq!(code(&unknown), 2);
    assert!(
        errors(&unknown).contains("at byte 2"),
        "{}",
        errors(&unknown)
    );
}

#[test]
fn resumed_equals_uninterrupted() {
    let place = Place::new(&tiny(TINY));
    assert_eq!(code(&place.train("whole", &[])), 0);
    assert_eq!(code(&place.train("parts", &["--steps", "30"])), 0);
    let rest = place.run(&["train", "--resume", "parts", "--json", "--steps", "60"]);
    assert_eq!(code(&rest), 0, "{}", errors(&rest));
    assert_eq!(lines(&rest)[0]["start_step"], 30);
    assert_eq!(losses(&place.path("whole")), losses(&place.path("parts")));
    let texts = |run: &str| -> Vec<String> {
        read_history(&place.path(run))
            .unwrap()
            .samples
            .into_iter()
            .map(|s| s.text)
            .collect()
    };
    assert_eq!(texts("whole"), texts("parts"));
}

#[test]
fn ctrl_c_saves_and_kill_loses_little() {
    let place = Place::new(&tiny(TINY));
    let run = place.path("r");
    // Endless, so that neither piece is done before its signal comes.
    let mut child = place.spawn(&to_train("r", &["--steps", "1000000"]));
    wait_for_step(&run, 30);
    signal(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let stopped = losses(&run).last().unwrap().0;
    assert!(stopped >= 30, "{stopped}");
    assert_eq!(summarize(&run).unwrap().status, RunStatus::Stopped);
    let mut child = place.spawn(&["train", "--resume", "r", "--json"]);
    wait_for_step(&run, stopped + 50);
    child.kill().unwrap();
    child.wait().unwrap();
    let summary = summarize(&run).unwrap();
    assert_eq!(summary.status, RunStatus::Interrupted);
    assert!(summary.resumable);
    // A torn last line, as a kill in the middle of a write leaves it.
    let mut text = std::fs::read(run.join("metrics.jsonl")).unwrap();
    text.extend_from_slice(b"{\"event\":\"step\",\"st");
    std::fs::write(run.join("metrics.jsonl"), text).unwrap();
    let steps = (losses(&run).last().unwrap().0 + 20).to_string();
    let rest = place.run(&["train", "--resume", "r", "--json", "--steps", &steps]);
    assert_eq!(code(&rest), 0, "{}", errors(&rest));
    // What was lost may be said first.
    let events = lines(&rest);
    let from = of(&events, "started")[0]["start_step"].as_u64().unwrap();
    assert!(from >= stopped, "{from} {stopped}");
    assert_eq!(code(&place.train("whole", &["--steps", &steps])), 0);
    assert_eq!(losses(&place.path("whole")), losses(&run));
}

#[test]
fn a_damaged_checkpoint_is_passed_over() {
    let place = Place::new(&tiny(TINY));
    assert_eq!(code(&place.train("r", &[])), 0);
    let run = place.path("r");
    let newest = run.join("checkpoints/step-00000060/model.safetensors");
    // A tiny run outpaces the disk, and a checkpoint may have been left out for a newer one.
    let before = checkpoint::entries(&run)[1].step;
    std::fs::write(&newest, b"short").unwrap();
    let rest = place.run(&["train", "--resume", "r", "--json"]);
    assert_eq!(code(&rest), 0, "{}", errors(&rest));
    let events = lines(&rest);
    let said = notices(&events);
    assert!(
        said.iter()
            .any(|words| words.contains("step-00000060 was skipped")),
        "{said:?}"
    );
    assert_eq!(of(&events, "started")[0]["start_step"], before);
    assert!(newest.exists());
    assert_eq!(losses(&run).len(), 60);
    assert_eq!(of(&log(&run), "resumed").len(), 1);
}

#[test]
fn one_run_has_one_process() {
    let place = Place::new(&tiny(TINY));
    let run = place.path("r");
    let mut child = place.spawn(&[
        "train",
        "tiny.toml",
        "--headless",
        "--run",
        "r",
        "--steps",
        "100000",
    ]);
    // Whichever is there: only the newest are kept.
    wait_for("a checkpoint", || checkpoint::any(&run));
    assert_eq!(summarize(&run).unwrap().status, RunStatus::Running);
    let second = place.run(&["train", "--resume", "r", "--headless"]);
    assert_eq!(code(&second), 1);
    let message = errors(&second);
    assert!(
        message.contains("in use by another process") && message.contains(&child.id().to_string()),
        "{message}"
    );
    signal(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_closed_output_saves() {
    let place = Place::new(&tiny(TINY));
    let mut child = place
        .command(&to_train("r", &["--steps", "100000"]))
        .spawn()
        .unwrap();
    wait_for_step(&place.path("r"), 10);
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(summarize(&place.path("r")).unwrap().resumable);
}

#[test]
fn what_is_wrong_is_said() {
    let place = Place::new(&tiny(TINY));
    let taken = place.path("taken");
    std::fs::create_dir(&taken).unwrap();
    std::fs::write(taken.join("file"), "mine").unwrap();
    let cases: [(&[&str], i32, &str); 6] = [
        (
            &["train", "tiny.toml", "--json", "--run", "taken"],
            1,
            "is not empty and holds no run",
        ),
        (
            &["train", "tiny.toml", "--json", "--run", "tiny.toml/x"],
            1,
            "cannot make the run folder",
        ),
        (
            &["train", "tiny.toml", "--set", "train.steps=minus"],
            2,
            "train.steps",
        ),
        (&["train", "--resume", "nothing"], 1, "no run `nothing`"),
        (
            &[
                "train",
                "tiny.toml",
                "--json",
                "--run",
                "x",
                "--device",
                "abacus",
            ],
            2,
            "abacus",
        ),
        (
            &[
                "train",
                "tiny.toml",
                "--json",
                "--run",
                "x",
                "--set",
                "corpus.path=[\"none.txt\"]",
            ],
            2,
            "none.txt",
        ),
    ];
    for (arguments, expected, sentence) in cases {
        let output = place.run(arguments);
        assert!(
            errors(&output).contains(sentence),
            "{arguments:?}: {}",
            errors(&output)
        );
        assert_eq!(code(&output), expected, "{arguments:?}");
    }
    // Nothing came of it, so nothing is left of it.
    assert!(!place.path("x").exists());
    assert_eq!(std::fs::read_dir(&taken).unwrap().count(), 1);
    let screens = place.run(&[]);
    assert_eq!(code(&screens), 2);
    assert!(errors(&screens).contains("--headless"));
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let place = Place::new(&tiny(TINY));
    // A file where the runs folder should be: also refuses a user who may write anywhere.
    std::fs::write(place.path("runs"), "").unwrap();
    let output = place.run(&["train", "tiny.toml", "--headless"]);
    assert_eq!(code(&output), 1);
    assert!(errors(&output).contains("runs"), "{}", errors(&output));
}

#[test]
fn a_checkpoint_that_cannot_be_written_stops_a_run_without_a_screen() {
    let place = Place::new(&tiny(TINY));
    let run = place.path("r");
    let mut child = place
        .command(&to_train(
            "r",
            &["--steps", "100000", "--set", "checkpoint.every=1000"],
        ))
        .spawn()
        .unwrap();
    wait_for("the first checkpoint", || run.join("checkpoints").exists());
    // Where a checkpoint comes between the two, its folder is moved as well.
    let mut moved = 0;
    wait_for("a file in the way", || {
        moved += 1;
        let _ = std::fs::rename(run.join("checkpoints"), run.join(format!("moved-{moved}")));
        std::fs::write(run.join("checkpoints"), "in the way").is_ok()
    });
    let mut out = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut out).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(out.contains("was not written"), "{out}");
}
