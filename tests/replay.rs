//! Going back, forks and replays through the command line, as processes.

mod process;

use fireside::run::{checkpoint, read_header, read_history};
use process::{Place, code, errors, lines, notices, of, start_step, tiny};

const TINY: &str = r#"
corpus.bytes = 20000
model.context_length = 8
model.hidden_size = 8
model.n_layers = 1
model.dropout = 0.1
train.batch_size = 2
train.steps = 30
eval.every = 10
eval.batches = 1
sample.every = 0
schedule.kind = "plateau"
schedule.patience = 0
checkpoint.every = 0
"#;

fn steps(events: &[serde_json::Value]) -> Vec<(u64, String)> {
    of(events, "step")
        .iter()
        .map(|event| (event["step"].as_u64().unwrap(), event["loss"].to_string()))
        .collect()
}

#[test]
fn a_run_is_taken_up_forked_taken_back_and_repeated() {
    let place = Place::new(&tiny(TINY));
    let whole = place.succeed(&["train", "tiny.toml", "--run", "one", "--json"]);
    // Two edits, by taking it up with other settings.
    let more = place.succeed(&[
        "train",
        "--resume",
        "one",
        "--json",
        "--set",
        "optimizer.weight_decay=0.5",
        "--steps",
        "40",
    ]);
    assert_eq!(start_step(&more), 30);
    let edit = more.iter().find(|event| event["event"] == "edit").unwrap();
    assert_eq!(
        (
            edit["step"].as_u64(),
            edit["key"].as_str(),
            edit["by"].as_str()
        ),
        (Some(31), Some("set"), Some("start"))
    );
    assert_eq!(edit["value"]["train.steps"], "40");
    assert_eq!(edit["undo"]["value"]["train.steps"], "30");
    place.succeed(&[
        "train",
        "--resume",
        "one",
        "--json",
        "--set",
        "train.batch_size=3",
        "--steps",
        "50",
    ]);

    let again = place.succeed(&["train", "--replay", "one", "--run", "again", "--json"]);
    assert!(
        notices(&again)
            .iter()
            .any(|words| words.contains("the replay is the same: all 50 losses")),
        "{:?}",
        notices(&again)
    );
    assert_eq!(steps(&again)[..30], steps(&whole));
    assert!(
        read_header(&place.path("again"))
            .unwrap()
            .replay_of
            .is_some()
    );

    // A fork in the middle, with a difference, in lines for people.
    let fork = place.run(&[
        "train",
        "--fork",
        "one",
        "--at",
        "40",
        "--run",
        "fork",
        "--headless",
        "--set",
        "optimizer.weight_decay=0",
        "--steps",
        "50",
    ]);
    assert_eq!(code(&fork), 0, "{}", errors(&fork));
    let said = String::from_utf8_lossy(&fork.stdout).into_owned();
    assert!(
        said.contains("from step 40") && said.contains("optimizer.weight_decay 0"),
        "{said}"
    );
    let header = read_header(&place.path("fork")).unwrap();
    assert_eq!(header.parent.unwrap().step, 40);
    place.succeed(&["train", "--replay", "fork", "--json"]);

    // Back to step 30, and on from there.
    let back = place.succeed(&[
        "train", "--resume", "one", "--at", "30", "--json", "--steps", "35",
    ]);
    assert_eq!(start_step(&back), 30);
    let history = read_history(&place.path("one")).unwrap();
    assert_eq!((history.steps.len(), history.left.len()), (35, 1));
    assert!(
        checkpoint::entries(&place.path("one"))
            .iter()
            .any(|entry| entry.left)
    );
    place.succeed(&["train", "--replay", "one", "--json"]);

    // To step 40 of what was left, with the edits made there, and on from there.
    let onto = place.succeed(&[
        "train", "--resume", "one", "--at", "40", "--json", "--steps", "45",
    ]);
    assert_eq!(start_step(&onto), 40);
    let history = read_history(&place.path("one")).unwrap();
    assert_eq!((history.steps.len(), history.left.len()), (45, 2));
    assert_eq!(history.left[1].rewound.onto, Some(40));
    let losses: Vec<f64> = history.steps.iter().map(|report| report.loss).collect();
    let before: Vec<f64> = read_history(&place.path("again"))
        .unwrap()
        .steps
        .iter()
        .map(|report| report.loss)
        .collect();
    assert_eq!(losses[..40], before[..40]);
    let edits: Vec<u64> = history.edits.iter().map(|edit| edit.step).collect();
    assert_eq!(edits, [31, 41]);
    place.succeed(&["train", "--replay", "one", "--json"]);

    // What is wrong changes nothing.
    for wrong in [
        ["--set", "train.batch_size=oops"],
        ["--until", "30"],
        ["--set", "train.steps=3"],
    ] {
        let arguments = ["train", "--resume", "one", "--json", "--at", "30"];
        let refused = place.run(&[&arguments[..], &wrong[..]].concat());
        assert_ne!(code(&refused), 0, "{wrong:?}");
        let history = read_history(&place.path("one")).unwrap();
        assert_eq!((history.steps.len(), history.left.len()), (45, 2));
    }
    // What was in force later, but not there, is an edit.
    let back = place.succeed(&[
        "train",
        "--resume",
        "one",
        "--at",
        "30",
        "--json",
        "--set",
        "optimizer.weight_decay=0.5",
        "--steps",
        "33",
        "--until",
        "32",
    ]);
    assert_eq!(start_step(&back), 30);
    let edit = back.iter().find(|event| event["event"] == "edit").unwrap();
    assert_eq!(edit["value"]["optimizer.weight_decay"], "0.5");
    assert_eq!(edit["value"]["train.batch_size"], serde_json::Value::Null);
    assert_eq!(read_history(&place.path("one")).unwrap().steps.len(), 32);

    // What cannot be is said, with what can.
    let missing = place.run(&["train", "--fork", "one", "--at", "7", "--json"]);
    assert_eq!(code(&missing), 1);
    assert!(
        errors(&missing).contains("has no checkpoint 7; there are: step-"),
        "{}",
        errors(&missing)
    );
    assert_eq!(
        code(&place.run(&["train", "--replay", "one", "--set", "train.steps=3"])),
        2
    );

    // A replay that is not the same.
    let log = place.path("fork").join("metrics.jsonl");
    let text = std::fs::read_to_string(&log).unwrap();
    let loss = read_history(&place.path("fork")).unwrap().steps[4].loss;
    std::fs::write(
        &log,
        text.replace(&format!("\"loss\":{loss:?}"), "\"loss\":1.25"),
    )
    .unwrap();
    let differs = place.run(&["train", "--replay", "fork", "--json"]);
    assert_eq!(code(&differs), 1);
    let last = lines(&differs).pop().unwrap();
    let message = last["message"].as_str().unwrap();
    assert!(
        message.contains("step 45 is the first") && message.contains("instead of 1.25"),
        "{message}"
    );
}

/// Nobody can be asked: it is said, and training goes on.
#[test]
fn a_spike_without_screens_is_said() {
    let place = Place::new(&tiny(TINY));
    let events = place.succeed(&[
        "train",
        "tiny.toml",
        "--json",
        "--steps",
        "80",
        "--set",
        "schedule.kind=step",
        "--set",
        "schedule.warmup=0",
        "--set",
        "schedule.step_size=1000",
        "--set",
        "optimizer.learning_rate=2",
        "--set",
        "train.spike_threshold=0.05",
        "--set",
        "schedule.start=0",
    ]);
    let spike = events.iter().find(|event| event["event"] == "spike");
    let spike = spike.expect("a rate this high makes the loss jump about");
    assert!(spike["loss"].as_f64() > spike["mean"].as_f64());
    assert!(
        notices(&events)
            .iter()
            .any(|words| words.contains("Training is paused: resume"))
    );
    assert_eq!(steps(&events).len(), 80);
}
