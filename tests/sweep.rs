//! `fireside sweep` as a process: halving, a sweep that is interrupted and one that is killed, trials that fail, and
//! `train --until`, on which it stands.

mod process;

use std::path::Path;
use std::process::Stdio;

use fireside::run::sweep::{TrialOutcome, TrialStatus, read};
use process::{
    Place, assert_same, code, copy_folder, ended, errors, kill, lines, of, reached, tiny, wait_for,
};
use serde_json::Value;

const TINY: &str = r#"
corpus.bytes = 20000
model.n_layers = 1
eval.every = 0
eval.batches = 2
sample.every = 0
checkpoint.every = 10
schedule.kind = "linear"
"#;

const SWEEP: [&str; 15] = [
    "sweep",
    "tiny.toml",
    "--vary",
    "optimizer.learning_rate=1e-5..3e-1:log",
    "--vary",
    "model.dropout=0,0.2",
    "--runs",
    "4",
    "--steps",
    "40",
    "--halving",
    "2",
    "--seed",
    "7",
    "--json",
];

/// What came of each trial in each rung, bit for bit.
fn results(sweep: &Path) -> Vec<(usize, usize, u64, Option<u64>)> {
    let state = read(sweep).unwrap();
    let mut results: Vec<_> = state
        .results
        .iter()
        .map(|r| (r.rung, r.trial, r.step, r.val_loss.map(f64::to_bits)))
        .collect();
    results.sort_unstable();
    results
}

#[test]
fn until_trains_to_a_step_and_the_rest_is_as_if_nothing_had_happened() {
    let place = Place::new(&tiny(TINY));
    let whole = ["train", "tiny.toml", "--json", "--steps", "30", "--run"];
    place.succeed(&[&whole[..], &["whole", "--set", "eval.every=10"]].concat());
    let part = place.succeed(
        &[
            &whole[..],
            &["part", "--set", "eval.every=10", "--until", "7"],
        ]
        .concat(),
    );
    let end = part.last().unwrap();
    assert_eq!(
        (&end["event"], &end["step"]),
        (&"finished".into(), &7.into())
    );
    assert_eq!(of(&part, "eval").last().unwrap()["step"], 7);
    assert_eq!(of(&part, "checkpoint").last().unwrap()["step"], 7);
    // The schedule is that of all 30 steps.
    let rates = |run: &str| -> Vec<u64> {
        process::trace(&place.path(run))
            .steps
            .iter()
            .map(|s| s.2[2])
            .collect()
    };
    assert_eq!(rates("part"), rates("whole")[..7]);
    // Where an evaluation is due anyway, there is one.
    let more = place.succeed(&["train", "--resume", "part", "--json", "--until", "10"]);
    assert_eq!(of(&more, "eval").len(), 1);
    let output = place.run(&["train", "--resume", "part", "--json", "--until", "10"]);
    assert_eq!(code(&output), 2);
    assert!(
        errors(&output).contains("is at step 10 already"),
        "{}",
        errors(&output)
    );
    place.succeed(&["train", "--resume", "part", "--json"]);
    // But for the evaluation at step 7 they are the same; it is no part of what a run remembers.
    let (whole, part) = (
        process::trace(&place.path("whole")),
        process::trace(&place.path("part")),
    );
    assert_eq!(whole.steps, part.steps);
    let output = place.run(&["train", "tiny.toml", "--until", "0", "--steps", "5"]);
    assert_eq!(code(&output), 2);
    // Beyond the end it is the end.
    let over = place.succeed(&[
        "train",
        "tiny.toml",
        "--json",
        "--steps",
        "5",
        "--until",
        "9",
        "--run",
        "over",
    ]);
    assert_eq!(over.last().unwrap()["reason"], "completed");
}

#[test]
fn a_sweep_halves_ranks_and_names_the_best() {
    let place = Place::new(&tiny(TINY));
    let events = place.succeed(&SWEEP);
    let started = of(&events, "sweep-started")[0];
    assert_eq!(started["rungs"], serde_json::json!([10, 20, 40]));
    let done = of(&events, "trial-done");
    let in_rung = |rung: u64| done.iter().filter(|event| event["rung"] == rung).count();
    assert_eq!([1, 2, 3].map(in_rung), [4, 2, 1]);
    let ranked = of(&events, "ranked");
    assert_eq!(ranked.len(), 4);
    let end = events.last().unwrap();
    assert_eq!(end["complete"], true);
    assert_eq!(end["best"], ranked[0]["trial"]);
    assert_eq!(ranked[0]["step"], 40);

    let sweep = place.path("runs/sweep-tiny-001");
    let state = read(&sweep).unwrap();
    let count = |status| state.trials.iter().filter(|t| t.status == status).count();
    assert_eq!(
        (count(TrialStatus::Finished), count(TrialStatus::Stopped)),
        (1, 3)
    );
    // Those that were left behind stopped where their rung ended, and the lowest losses went on.
    let rung = |n: usize| state.results.iter().filter(move |r| r.rung == n);
    for result in rung(0) {
        let goes_on = rung(1).any(|r| r.trial == result.trial);
        let better = rung(0).filter(|r| r.val_loss < result.val_loss).count();
        assert_eq!(goes_on, better < 2);
        assert_eq!(result.step, 10);
    }
    // Trials are ordinary runs: the list has them, and by its names they are found.
    let best = ranked[0]["run"].as_str().unwrap();
    let listed = place.succeed(&["runs", "--json"]);
    assert_eq!(listed.len(), 4);
    let name = format!("sweep-tiny-001/{best}");
    assert!(
        listed.iter().any(|run| run["name"] == name.as_str()),
        "{listed:?}"
    );
    place.succeed(&["sample", &name, "--json", "-n", "3"]);
    // The line at the end repeats the best: the same losses, but for the evaluations between.
    let mut again = vec![
        "train",
        "tiny.toml",
        "--json",
        "--run",
        "again",
        "--steps",
        "40",
    ];
    let set = end["set"].as_str().unwrap().to_string();
    again.extend(set.split(' '));
    place.succeed(&again);
    let (one, other) = (
        process::trace(&place.path("again")),
        process::trace(&sweep.join(best)),
    );
    assert_eq!(one.steps, other.steps);

    // A second one is the same, with as many trials at a time as there is room for.
    let parallel = [&SWEEP[..], &["--parallel", "2", "--name", "two"]].concat();
    place.succeed(&parallel);
    assert_eq!(results(&place.path("runs/sweep-two-001")), results(&sweep));

    // For people: a table, and what to type.
    let output = place.run(&["sweep", "--resume", "sweep-tiny-001", "--headless"]);
    assert_eq!(code(&output), 0);
    let text = String::from_utf8(output.stdout).unwrap();
    for wanted in [
        "rank",
        "optimizer.learning_rate",
        "finished",
        "left behind",
        "best: trial-",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    assert!(
        text.contains(&format!("fireside train tiny.toml --steps 40 {set}")),
        "{text}"
    );
}

/// Conducts the sweep, and ends it by `stop` as soon as a trial is at work for the `n`th time.
#[cfg(unix)]
fn cut_short(place: &Place, arguments: &[&str], n: usize, stop: impl FnOnce(std::process::Child)) {
    let mut child = place
        .command(arguments)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let reader = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut started = 0;
    for line in std::io::BufRead::lines(reader) {
        started += usize::from(line.unwrap().contains("trial-started"));
        if started == n {
            break;
        }
    }
    stop(child);
}

#[cfg(unix)]
#[test]
fn an_interrupted_or_killed_sweep_goes_on_where_it_was() {
    let place = Place::new(&tiny(TINY));
    // Long enough for a signal to find a trial at work.
    let sweep: Vec<&str> = SWEEP
        .iter()
        .map(|a| if *a == "40" { "400" } else { *a })
        .collect();
    place.succeed(&[&sweep[..], &["--name", "whole"]].concat());
    let whole = place.path("runs/sweep-whole-001");
    let pieces = place.path("runs/sweep-pieces-001");
    let resume = ["sweep", "--resume", "sweep-pieces-001", "--json"];

    // In the first rung, by Ctrl-C.
    cut_short(
        &place,
        &[&sweep[..], &["--name", "pieces"]].concat(),
        2,
        |child| {
            process::signal(&child, rustix::process::Signal::INT);
            assert_eq!(ended(child), Some(130));
        },
    );
    let before = read(&pieces).unwrap();
    assert!(!before.results.is_empty() && before.results.len() < 4);
    assert_eq!(before.plan.trials, read(&whole).unwrap().plan.trials);
    // Then by kill -9; the trial at work finds nobody to write to, saves and ends.
    cut_short(&place, &resume, 3, kill);
    // One conductor at a time, and who was done is not asked again.
    let events = place.succeed(&resume);
    for event in of(&events, "trial-started") {
        let known = before.results.iter().any(|r| {
            r.trial as u64 + 1 == event["trial"].as_u64().unwrap()
                && r.rung as u64 + 1 == event["rung"].as_u64().unwrap()
        });
        assert!(!known, "{event}");
    }
    assert_eq!(results(&pieces), results(&whole));
    for trial in ["trial-001", "trial-002", "trial-003", "trial-004"] {
        assert_same(trial, &whole.join(trial), &pieces.join(trial));
    }
    // Once more: nothing is left to do, and it says the same.
    let again = place.succeed(&resume);
    assert_eq!(of(&again, "trial-started").len(), 0);
    assert_eq!(
        again.last().unwrap()["best"],
        events.last().unwrap()["best"]
    );
}

#[cfg(unix)]
#[test]
fn a_sweep_is_deleted_and_brought_back_with_its_runs_but_not_while_it_goes_on() {
    let place = Place::new(&tiny(TINY));
    let long: Vec<&str> = SWEEP
        .iter()
        .map(|a| if *a == "40" { "4000" } else { *a })
        .collect();
    let delete = ["runs", "delete", "sweep-tiny-001", "--yes"];
    cut_short(&place, &long, 1, |child| {
        let said = place.fails(1, &delete);
        assert!(
            said.contains(&format!(
                "the sweep sweep-tiny-001 goes on (process {})",
                child.id()
            )),
            "{said}"
        );
        process::signal(&child, rustix::process::Signal::INT);
        assert_eq!(ended(child), Some(130));
    });
    let said = place.fails(1, &["runs", "delete", "sweep-tiny-001/trial-001", "--yes"]);
    assert!(
        said.contains("`fireside runs delete sweep-tiny-001`"),
        "{said}"
    );
    let asked = place.fails(2, &["runs", "delete", "sweep-tiny-001"]);
    assert!(
        asked.contains("with all of its runs to the bin?"),
        "{asked}"
    );
    place.ok(&delete);
    assert!(place.succeed(&["runs", "--json"]).is_empty());
    let bin = place.succeed(&["runs", "restore", "--json"]);
    assert_eq!(
        (&bin[0]["kind"], &bin[0]["name"]),
        (&"sweep".into(), &"sweep-tiny-001".into())
    );
    place.ok(&["runs", "restore", "sweep-tiny-001"]);
    // It is the sweep that it was.
    assert!(!place.succeed(&["runs", "--json"]).is_empty());
    let state = read(&place.path("runs/sweep-tiny-001")).unwrap();
    assert_eq!(state.plan.trials.len(), 4);
}

#[cfg(unix)]
#[test]
fn a_trial_killed_with_its_conductor_before_its_first_checkpoint_begins_anew() {
    let place = Place::new(&tiny(TINY));
    let sweep = [
        "sweep",
        "tiny.toml",
        "--vary",
        "model.dropout=0,0.2",
        "--grid",
        "--steps",
        "300",
        "--json",
        "--set",
        "checkpoint.every=0",
    ];
    place.succeed(&[&sweep[..], &["--name", "whole"]].concat());
    let trial = place.path("runs/sweep-pieces-001/trial-001");
    cut_short(
        &place,
        &[&sweep[..], &["--name", "pieces"]].concat(),
        1,
        |child| {
            wait_for("a step", || reached(&trial) > 0);
            let pid = process::owner(&trial).unwrap();
            kill(child);
            // It may have ended by itself already, its output being closed.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        },
    );
    place.succeed(&["sweep", "--resume", "sweep-pieces-001", "--json"]);
    let whole = place.path("runs/sweep-whole-001");
    assert_eq!(
        results(&place.path("runs/sweep-pieces-001")),
        results(&whole)
    );
}

#[test]
fn a_trial_that_fails_ranks_last_and_is_said() {
    let place = Place::new(&tiny(TINY));
    // One of the texts is too short to be trained on.
    std::fs::write(
        place.path("good.txt"),
        "the cat sat on the mat. ".repeat(400),
    )
    .unwrap();
    std::fs::write(place.path("short.txt"), "the cat").unwrap();
    let config = tiny(TINY).replace("bytes = 20000", "path = [\"good.txt\"]");
    std::fs::write(place.path("tiny.toml"), config).unwrap();
    let sweep = [
        "sweep",
        "tiny.toml",
        "--vary",
        r#"corpus.path="good.txt","short.txt""#,
        "--grid",
        "--steps",
        "8",
        "--json",
    ];
    let events = place.succeed(&sweep);
    let ranked = of(&events, "ranked");
    assert_eq!(ranked[0]["outcome"], "done");
    assert_eq!(
        (&ranked[1]["outcome"], &ranked[1]["trial"]),
        (&"failed".into(), &2.into())
    );
    let done = of(&events, "trial-done");
    assert!(
        done[1]["message"].as_str().unwrap().contains("short.txt")
            || done[1]["message"].as_str().unwrap().contains("tokens"),
        "{}",
        done[1]
    );
    let state = read(&place.path("runs/sweep-tiny-001")).unwrap();
    assert_eq!(state.results[1].outcome, TrialOutcome::Failed);
    assert_eq!(state.trials[1].status, TrialStatus::Failed);
    // Where none comes through, the sweep failed.
    std::fs::write(place.path("good.txt"), "x").unwrap();
    let output = place.run(&[&sweep[..], &["--name", "none"]].concat());
    assert_eq!(code(&output), 1);
    assert!(
        errors(&output).contains("no trial came through"),
        "{}",
        errors(&output)
    );
    assert_eq!(lines(&output).last().unwrap()["best"], Value::Null);
}

#[test]
fn a_trial_that_diverges_ranks_last() {
    let place = Place::new(&tiny(TINY));
    let events = place.succeed(&[
        "sweep",
        "tiny.toml",
        "--set",
        "optimizer.kind=sgd",
        "--set",
        "optimizer.grad_clip=0",
        "--set",
        "optimizer.weight_decay=1",
        "--vary",
        "optimizer.learning_rate=100,0.001",
        "--grid",
        "--steps",
        "30",
        "--json",
    ]);
    let ranked = of(&events, "ranked");
    assert_eq!(ranked[0]["trial"], 2);
    assert_eq!(ranked[0]["outcome"], "done");
    assert_eq!(ranked[1]["outcome"], "diverged", "{}", ranked[1]);
}

#[test]
fn bad_input_is_told_at_once_and_nothing_is_started() {
    let place = Place::new(&tiny(TINY));
    let output = place.run(&[
        "sweep",
        "tiny.toml",
        "--vary",
        "model.dropuot=0,1",
        "--vary",
        "optimizer.learning_rate=1e-2..1e-4:log",
        "--vary",
        "model.hidden_size=a",
        "--steps",
        "10",
        "--runs",
        "0",
    ]);
    assert_eq!(code(&output), 2);
    for wanted in [
        "4 problems",
        "did you mean `model.dropout`?",
        "the end must be above the beginning",
        "a: expected a whole number",
        "--runs 0",
    ] {
        assert!(
            errors(&output).contains(wanted),
            "{wanted}: {}",
            errors(&output)
        );
    }
    for (arguments, wanted) in [
        (
            &["sweep", "tiny.toml", "--steps", "9"][..],
            "nothing to vary",
        ),
        (
            &["sweep", "tiny.toml", "--vary", "model.dropout=0,0.1"],
            "--steps",
        ),
        (
            &[
                "sweep",
                "none.toml",
                "--vary",
                "model.dropout=0,0.1",
                "--steps",
                "9",
            ],
            "none.toml",
        ),
        (
            &[
                "sweep",
                "tiny.toml",
                "--vary",
                "model.dropout=0..0.5",
                "--grid",
                "--steps",
                "9",
            ],
            "how many points",
        ),
        (
            &[
                "sweep",
                "tiny.toml",
                "--vary",
                "model.dropout=0,0.1",
                "--grid",
                "--runs",
                "3",
                "--steps",
                "9",
            ],
            "--grid",
        ),
        (&["sweep", "tiny.toml", "--resume", "x"], "--resume"),
    ] {
        let output = place.run(arguments);
        assert_eq!(code(&output), 2, "{arguments:?}");
        assert!(
            errors(&output).contains(wanted),
            "{arguments:?}: {}",
            errors(&output)
        );
    }
    assert!(!place.path("runs").exists());
    let output = place.run(&["sweep", "--resume", "none"]);
    assert_eq!(code(&output), 1);
    assert!(
        errors(&output).contains("is a sweep: there is no sweep.json"),
        "{}",
        errors(&output)
    );
    // A plan of another version, and one that is damaged.
    for (text, wanted) in [
        (r#"{"format_version":9}"#, "newer fireside"),
        ("{", "is damaged"),
    ] {
        let dir = place.path("odd");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("sweep.json"), text).unwrap();
        let output = place.run(&["sweep", "--resume", "odd"]);
        assert_eq!(code(&output), 1);
        assert!(errors(&output).contains(wanted), "{}", errors(&output));
    }
}

#[test]
fn a_sweep_that_was_moved_goes_on_from_where_it_is() {
    let place = Place::new(&tiny(TINY));
    place.succeed(&[
        "sweep",
        "tiny.toml",
        "--vary",
        "model.dropout=0,0.1",
        "--grid",
        "--steps",
        "4",
        "--json",
    ]);
    let moved = place.path("elsewhere");
    copy_folder(&place.path("runs/sweep-tiny-001"), &moved);
    std::fs::remove_file(moved.join("results.jsonl")).unwrap();
    let events = place.succeed(&["sweep", "--resume", "elsewhere", "--json"]);
    // The runs are done: what is missing is only written down again.
    assert_eq!(of(&events, "trial-started").len(), 0);
    assert_eq!(results(&moved), results(&place.path("runs/sweep-tiny-001")));
}
