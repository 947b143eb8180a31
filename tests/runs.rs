//! `fireside runs` as a process: lists, filters, sorts, tags, notes, names, and the bin.
#![cfg(unix)]

mod process;

use process::{Place, code, ended, errors, lines, signal, tiny, wait_for_step};
use rustix::process::Signal;

const TINY: &str = r#"
corpus.bytes = 20000
model.context_length = 8
model.hidden_size = 8
train.steps = 12
train.batch_size = 2
eval.every = 4
eval.batches = 1
sample.every = 0
checkpoint.every = 6
checkpoint.keep = 2
"#;

fn text(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn names(place: &Place, arguments: &[&str]) -> Vec<String> {
    let found = place.succeed(&[&["runs", "--json"], arguments].concat());
    found
        .iter()
        .map(|run| run["name"].as_str().unwrap().to_string())
        .collect()
}

/// Three finished runs: `a` and `b` with different learning rates, `c` begun from `a`.
fn three() -> Place {
    let place = Place::new(&tiny(TINY));
    let train = |arguments: &[&str]| {
        let all = [&["train", "--headless", "--json"], arguments].concat();
        place.succeed(&all);
    };
    for (name, rate) in [("a", "0.001"), ("b", "0.01")] {
        let run = format!("runs/{name}");
        let set = format!("optimizer.learning_rate={rate}");
        train(&["tiny.toml", "--run", &run, "--set", &set]);
    }
    train(&["--run", "runs/c", "--from", "a"]);
    place
}

#[test]
fn runs_are_listed_filtered_sorted_named_and_put_away() {
    let place = three();
    // The writer keeps an overview, and the list knows what a filter may ask.
    assert!(place.path("runs/a/overview.bin").is_file());
    let all = place.succeed(&["runs", "list", "--json", "--sort", "name"]);
    assert_eq!(all.len(), 3);
    assert_eq!(all[0]["status"], "finished");
    assert_eq!(all[0]["tokenizer"], "char");
    assert!(all[0]["operations_per_token"].as_u64().unwrap() > 0);
    assert!(all[0]["checkpoints"].as_u64().unwrap() > 0);
    assert!(all[0]["checkpoint_bytes"].as_u64().unwrap() > 1000);
    assert!(all[2]["parent"]["run"].as_str().unwrap().ends_with("a"));
    let sorted = |by: &str| names(&place, &["--sort", by]);
    assert_eq!(sorted("name"), ["a", "b", "c"]);
    assert_eq!(sorted("-name"), ["c", "b", "a"]);
    assert_eq!(sorted("-optimizer.learning_rate").first().unwrap(), "b");
    let fits = |filter: &str| names(&place, &["--sort", "name", "--filter", filter]);
    assert_eq!(fits("learning_rate=0.01"), ["b"]);
    assert_eq!(fits("step=12 & val_loss<100 & !b"), ["a", "c"]);
    assert_eq!(fits("parent~a"), ["c"]);
    let wrong = place.run(&["runs", "--filter", "val_los<1"]);
    assert_eq!(code(&wrong), 2);
    let message = errors(&wrong);
    assert!(message.contains("did you mean `val_loss`?"), "{message}");
    assert!(message.contains("  val_los<1\n  ^"), "{message}");
    assert_eq!(code(&place.run(&["runs", "--sort", "size"])), 2);

    place.ok(&["runs", "tag", "b", "good", "fast"]);
    assert_eq!(text(&place.run(&["runs", "tag", "b", "-fast"])), "good\n");
    assert_eq!(code(&place.run(&["runs", "tag", "b", "a&b"])), 2);
    assert_eq!(fits("tags=good"), ["b"]);
    place.ok(&["runs", "note", "b", "warm, and quick"]);
    assert_eq!(
        text(&place.run(&["runs", "note", "b"])),
        "warm, and quick\n"
    );
    assert_eq!(fits("note~warm"), ["b"]);
    place.ok(&["runs", "note", "b", "--clear"]);
    assert_eq!(text(&place.run(&["runs", "note", "b"])), "");

    assert_eq!(code(&place.run(&["runs", "rename", "a", "../a"])), 2);
    assert_eq!(code(&place.run(&["runs", "rename", "a", "b"])), 1);
    place.ok(&["runs", "rename", "a", "elder"]);
    assert_eq!(fits("name=elder | name=a"), ["elder"]);
    // It is still the run that it was: training can go on.
    let more = [
        "train",
        "--resume",
        "elder",
        "--headless",
        "--json",
        "--set",
        "train.steps=14",
    ];
    place.succeed(&more);

    let asked = place.run(&["runs", "delete", "elder", "c"]);
    assert_eq!(code(&asked), 2);
    assert!(errors(&asked).contains("say --yes"), "{}", errors(&asked));
    place.ok(&["runs", "delete", "elder", "c", "--yes"]);
    assert_eq!(names(&place, &[]), ["b"]);
    assert_eq!(place.succeed(&["runs", "restore", "--json"]).len(), 2);
    let missing = place.run(&["runs", "restore", "b"]);
    assert!(errors(&missing).contains("it has"), "{}", errors(&missing));
    place.ok(&["runs", "restore", "elder"]);
    assert_eq!(names(&place, &["--sort", "name"]), ["b", "elder"]);
    assert_eq!(code(&place.run(&["runs", "empty-bin"])), 2);
    let emptied = place.run(&["runs", "empty-bin", "--yes"]);
    assert_eq!(text(&emptied), "1 run taken away\n");
    assert!(!place.path("runs/.bin").exists());
}

#[test]
fn a_run_that_trains_is_shown_with_its_process_and_left_alone() {
    let place = Place::new(&tiny(TINY).replace("steps = 12", "steps = 1000000"));
    let child = place.spawn(&["train", "tiny.toml", "--headless", "--run", "runs/busy"]);
    wait_for_step(&place.path("runs/busy"), 20);
    let found = place.succeed(&["runs", "--json", "--filter", "status=running"]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["process"], u64::from(child.id()));
    for arguments in [
        &["runs", "delete", "busy", "--yes"] as &[&str],
        &["runs", "rename", "busy", "idle"],
    ] {
        let refused = place.run(arguments);
        assert_eq!(code(&refused), 1);
        let message = errors(&refused);
        assert!(message.contains("in use by another process"), "{message}");
    }
    // Tags are no business of the one that trains.
    place.ok(&["runs", "tag", "busy", "live"]);
    signal(&child, Signal::INT);
    ended(child);
    let output = place.run(&["runs", "--json"]);
    assert_eq!(lines(&output)[0]["tags"][0], "live");
    assert_eq!(lines(&output)[0]["process"], serde_json::Value::Null);
}

/// Where runs lie: `--run`, before FIRESIDE_RUNS, before the settings, before `runs` in the working folder.
#[test]
fn the_runs_folder_of_the_settings_holds_for_every_command_and_the_environment_beats_it() {
    let place = Place::new(&tiny(TINY));
    let (theirs, environment) = (place.path("theirs"), place.path("environment"));
    let settings = place.path("config").join("fireside");
    std::fs::create_dir_all(&settings).unwrap();
    let line = format!("runs = {:?}\n", theirs.display().to_string());
    std::fs::write(settings.join("settings.toml"), line).unwrap();
    let below = |folder: &std::path::Path| {
        let Ok(entries) = std::fs::read_dir(folder) else {
            return Vec::new();
        };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    };
    place.succeed(&["train", "tiny.toml", "--headless", "--json"]);
    let sweep = [
        "sweep",
        "tiny.toml",
        "--vary",
        "train.seed=1,2",
        "--steps",
        "4",
    ];
    let done = place.run(&sweep);
    assert_eq!(code(&done), 0, "{}", errors(&done));
    let found = below(&theirs);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(names(&place, &[]).len(), 3, "a run and two trials");
    assert!(!place.path("runs").exists());
    let with = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        let done = command.env("FIRESIDE_RUNS", &environment).output().unwrap();
        assert_eq!(code(&done), 0, "{}", errors(&done));
        text(&done)
    };
    with(&["train", "tiny.toml", "--headless", "--json"]);
    assert_eq!(with(&["runs", "--json"]).lines().count(), 1);
    assert_eq!(below(&environment).len(), 1);
    with(&[
        "train",
        "tiny.toml",
        "--headless",
        "--json",
        "--run",
        "mine",
    ]);
    assert!(place.path("mine").join("run.json").is_file());
    assert_eq!((below(&environment).len(), below(&theirs)), (1, found));
}
