//! What a run logged, as charts and as a log folder that TensorBoard itself reads.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::place::{Place, TINY, losses, train};

/// A run of 30 steps with evaluations and samples, and its events.
fn trained(place: &Place, name: &str) -> Vec<Value> {
    let dir = format!("runs/{name}");
    let mut arguments = vec!["gpt", "--run", &dir, "--steps", "30"];
    arguments.extend(TINY);
    arguments.extend(["--set", "eval.every=10", "--set", "sample.every=15"]);
    arguments.extend(["--set", "sample.length=12", "--set", "checkpoint.every=10"]);
    train(place, &arguments)
}

fn of<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    let all = events.iter().filter(|event| event["event"] == kind);
    all.collect()
}

#[test]
fn charts_hold_what_the_log_holds() {
    let place = Place::empty();
    let events = trained(&place, "one");
    let said = place.ok(&["export", "one", "--to", "csv", "--smooth", "0.9"]);
    assert!(said.contains("loss of one → one-loss.csv"), "{said}");
    let csv = std::fs::read_to_string(place.path("one-loss.csv")).unwrap();
    let heads: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
    let place_of = |name: &str| heads.iter().position(|head| *head == name).unwrap();
    let column = |series: &str| -> Vec<f64> {
        let begin = format!("one,{series},");
        let rows = csv.lines().filter(|row| row.starts_with(&begin));
        rows.map(|row| {
            row.split(',')
                .nth(place_of("loss"))
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect()
    };
    assert_eq!(column("train"), losses(&events), "to the last digit");
    let val: Vec<f64> = of(&events, "eval")
        .iter()
        .map(|e| e["val_loss"].as_f64().unwrap())
        .collect();
    assert_eq!(column("validation"), val);
    let checkpoints = csv.lines().filter(|row| row.starts_with("one,checkpoint,"));
    assert_eq!(checkpoints.count(), of(&events, "checkpoint").len());

    // Compute grows with the tokens.
    let row: Vec<&str> = csv.lines().nth(2).unwrap().split(',').collect();
    let of_row = |name: &str| row[place_of(name)].parse::<f64>().unwrap();
    let each = of_row("operations") / of_row("tokens");
    assert!(each > 100.0 && each.fract() == 0.0, "{each}");

    // Two runs, another axis, a stretch, and standard output.
    trained(&place, "two");
    let text = place.ok(&[
        "export",
        "one",
        "two",
        "--to",
        "json",
        "--metric",
        "grad_norm",
        "--x",
        "tokens",
        "--range",
        "0..1000",
        "--out",
        "-",
    ]);
    let chart: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&chart["metric"], &chart["x"]),
        (&"grad_norm".into(), &"tokens".into())
    );
    for (at, name) in ["one", "two"].into_iter().enumerate() {
        assert_eq!(chart["runs"][at]["run"], name);
        let tokens = chart["runs"][at]["series"][0]["tokens"].as_array().unwrap();
        let expected = of(&events, "step");
        let expected: Vec<&Value> = expected
            .iter()
            .map(|e| &e["tokens"])
            .filter(|t| t.as_u64() <= Some(1000))
            .collect();
        assert_eq!(tokens.iter().collect::<Vec<_>>(), expected);
    }

    // Pictures, and never over something.
    let picture = [
        "export",
        "one",
        "two",
        "--to",
        "svg",
        "--metric",
        "bits_per_byte",
        "--log-y",
        "--width",
        "900",
        "--height",
        "500",
        "--theme",
        "okabe-ito",
        "--json",
    ];
    let told: Value = serde_json::from_str(&place.ok(&picture)).unwrap();
    assert_eq!(told["file"], "bits_per_byte-of-2-runs.svg");
    let svg = std::fs::read_to_string(place.path("bits_per_byte-of-2-runs.svg")).unwrap();
    assert!(
        svg.contains("width='900' height='500'") && svg.contains(">two<"),
        "{svg}"
    );
    let message = place.fails(1, &picture);
    assert!(
        message.contains("exists already") && message.contains("--force"),
        "{message}"
    );
    place.ok(&[&picture[..], &["--force"]].concat());
}

#[test]
fn what_would_be_ignored_is_refused() {
    let place = Place::empty();
    for (arguments, words) in [
        (
            &["--to", "hf", "--metric", "loss"][..],
            "`--metric` is for `--to` csv, json, svg and png",
        ),
        (
            &["--to", "csv", "--width", "900"],
            "`--width` is for `--to` svg and png",
        ),
        (
            &["--to", "csv", "--checkpoint", "best"],
            "`--checkpoint` is for `--to` hf and safetensors",
        ),
        (
            &["--to", "tensorboard", "--smooth", "0.5"],
            "`--smooth` is for",
        ),
        (&["--to", "hf", "two"], "exported from one run"),
        (
            &["--to", "svg", "--metric", "accuracy"],
            "expected one of loss, val_loss",
        ),
        (
            &["--to", "svg", "--x", "epoch"],
            "expected one of step, tokens, time",
        ),
        (&["--to", "svg", "--smooth", "1"], "from 0 to 0.9999"),
        (&["--to", "svg", "--range", "5..1"], "as in 100..2000"),
        (&["--to", "png", "--width", "9"], "from 320 to 8192"),
        (&["--to", "png", "--theme", "pink"], "okabe-ito"),
        (
            &["--to", "svg", "--metric", "val_loss", "--smooth", "0.9"],
            "shown as it is",
        ),
        (
            &["--to", "tensorboard", "--out", "-"],
            "the others write a folder",
        ),
    ] {
        let message = place.fails(2, &[&["export", "one"], arguments].concat());
        assert!(message.contains(words), "{arguments:?}: {message}");
    }
    let message = place.fails(1, &["export", "one", "--to", "csv"]);
    assert!(message.contains("no run `one`"), "{message}");
}

/// A Python that has TensorBoard, or a line that says that there is none.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("FIRESIDE_PYTHON").unwrap_or_else(|| "python3".into());
    let found = Command::new(&python)
        .args(["-c", "import tensorboard"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !found {
        eprintln!("not run: no Python with tensorboard (FIRESIDE_PYTHON names one)");
    }
    found.then(|| PathBuf::from(python))
}

fn read(python: &Path, folder: &Path) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/events.py");
    let output = Command::new(python)
        .arg(script)
        .arg(folder)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let last = text.lines().last().unwrap_or_default();
    let errors = String::from_utf8_lossy(&output.stderr);
    serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {text}{errors}"))
}

#[test]
fn tensorboard_reads_the_same_numbers() {
    let Some(python) = python() else { return };
    let place = Place::empty();
    let events = trained(&place, "one");
    let second = trained(&place, "two");
    let said = place.ok(&["export", "one", "--to", "tensorboard"]);
    assert!(said.contains("one (30 steps) → one-tensorboard"), "{said}");
    let found = read(&python, &place.path("one-tensorboard"));
    let run = &found["."];
    let header = std::fs::read(place.path("runs/one/run.json")).unwrap();
    let created = serde_json::from_slice::<Value>(&header).unwrap()["created"]
        .as_f64()
        .unwrap();
    for (kind, tags) in [
        (
            "step",
            &[
                ("train/loss", "loss"),
                ("train/learning_rate", "learning_rate"),
                ("train/grad_norm", "grad_norm"),
                ("train/tokens_per_second", "tokens_per_second"),
            ],
        ),
        (
            "eval",
            &[
                ("eval/loss", "val_loss"),
                ("eval/perplexity", "perplexity"),
                ("eval/bits_per_byte", "bits_per_byte"),
                ("eval/train_loss", "train_loss"),
            ],
        ),
    ] {
        let expected = of(&events, kind);
        for (tag, key) in tags {
            let series = run["scalars"][tag]
                .as_array()
                .unwrap_or_else(|| panic!("{tag}: {found}"));
            assert_eq!(series.len(), expected.len(), "{tag}");
            for (point, event) in series.iter().zip(&expected) {
                assert_eq!(point[1], event["step"], "{tag}");
                let number = |value: &Value| value.as_f64().unwrap();
                // TensorBoard keeps float32.
                assert_eq!(
                    number(&point[2]) as f32,
                    number(&event[key]) as f32,
                    "{tag}"
                );
                assert_eq!(
                    number(&point[0]),
                    created + number(&event["seconds"]),
                    "{tag}"
                );
            }
        }
    }
    let texts = &run["texts"];
    assert!(
        texts["config"][0][1]
            .as_str()
            .unwrap()
            .contains("    [model]\n"),
        "{texts}"
    );
    let samples = of(&events, "sample");
    assert!(!samples.is_empty());
    for sample in samples {
        let tag = format!(
            "samples/prompt {}",
            sample["prompt_index"].as_u64().unwrap() + 1
        );
        let all = texts[&tag].as_array().unwrap();
        let found = all.iter().find(|text| text[0] == sample["step"]).unwrap();
        let written = format!(
            "{}{}",
            sample["prompt"].as_str().unwrap(),
            sample["text"].as_str().unwrap()
        );
        for line in written.lines() {
            assert!(
                found[1].as_str().unwrap().contains(&format!("    {line}")),
                "{found}"
            );
        }
    }
    // What a run leaves when it goes back is shown beside it, as a run of its own.
    let more = ["--resume", "two", "--at", "10", "--until", "14"];
    train(&place, &more);
    place.ok(&["export", "two", "--to", "tensorboard"]);
    let found = read(&python, &place.path("two-tensorboard"));
    let names: Vec<&String> = found.as_object().unwrap().keys().collect();
    assert_eq!(names, [".", "left-1-at-step-10"]);
    let points = |run: &str| -> Vec<(u64, f32)> {
        let series = found[run]["scalars"]["train/loss"].as_array().unwrap();
        let point = |p: &Value| (p[1].as_u64().unwrap(), p[2].as_f64().unwrap() as f32);
        series.iter().map(point).collect()
    };
    let trained = |events: &[Value]| -> Vec<(u64, f32)> {
        let point = |e: &&Value| {
            (
                e["step"].as_u64().unwrap(),
                e["loss"].as_f64().unwrap() as f32,
            )
        };
        of(events, "step").iter().map(point).collect()
    };
    assert_eq!(points("left-1-at-step-10"), trained(&second)[10..]);
    assert_eq!(points(".").last().unwrap().0, 14);
    let left: Vec<&Value> = of(&second, "sample")
        .into_iter()
        .filter(|sample| sample["step"].as_u64() > Some(10))
        .collect();
    assert!(!left.is_empty());
    for sample in left {
        let texts = found["left-1-at-step-10"]["texts"]["samples/prompt 1"]
            .as_array()
            .unwrap();
        let text = texts.iter().find(|text| text[0] == sample["step"]).unwrap();
        let line = sample["prompt"].as_str().unwrap().lines().next().unwrap();
        assert!(text[1].as_str().unwrap().contains(line), "{text}");
    }
    // Several runs into one folder, which TensorBoard tells apart.
    place.ok(&[
        "export",
        "one",
        "two",
        "--to",
        "tensorboard",
        "--out",
        "logs",
    ]);
    let found = read(&python, &place.path("logs"));
    let names: Vec<&String> = found.as_object().unwrap().keys().collect();
    assert_eq!(names, ["one", "two", "two/left-1-at-step-10"]);
    assert_eq!(found["one"], *run);
    let message = place.fails(
        1,
        &["export", "one", "--to", "tensorboard", "--out", "logs"],
    );
    assert!(message.contains("--force"), "{message}");
}
