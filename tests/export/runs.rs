//! From run to folder to run, as a user does it.

use serde_json::{Value, json};

use crate::place::{Place, TINY, losses, mean, train};

#[test]
fn a_trained_run_leaves_comes_back_and_trains_on() {
    let place = Place::empty();
    let mut arguments = vec!["gpt", "--run", "runs/one", "--steps", "60"];
    arguments.extend(TINY);
    let first = train(&place, &arguments);
    let said = place.ok(&["export", "one", "--to", "hf"]);
    assert!(
        said.contains("step 60 of one") && said.contains("one-hf"),
        "{said}"
    );
    let message = place.fails(1, &["export", "one", "--to", "hf"]);
    assert!(message.contains("--force"), "{message}");
    place.ok(&[
        "export",
        "one",
        "--to",
        "hf",
        "--force",
        "--checkpoint",
        "best",
    ]);
    let message = place.fails(
        1,
        &[
            "export",
            "one",
            "--to",
            "hf",
            "--checkpoint",
            "59",
            "--out",
            "x",
        ],
    );
    assert!(message.contains("no whole checkpoint"), "{message}");
    let text = place.ok(&["export", "one", "--to", "safetensors", "--json"]);
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["step"], 60);
    assert!(place.path("one-safetensors/README.md").is_file());

    let said = place.ok(&["import", "hf", "one-hf", "--run", "runs/two"]);
    assert!(said.contains("the run two"), "{said}");
    let sample = |run: &str| {
        place.ok(&[
            "sample",
            run,
            "--prompt",
            "Once",
            "-n",
            "20",
            "--temperature",
            "0",
            "--json",
        ])
    };
    let text = |line: String| serde_json::from_str::<Value>(&line).unwrap()["text"].clone();
    assert_eq!(text(sample("one")), text(sample("two")));
    place.ok(&["eval", "two"]);
    let listed = place.ok(&["runs", "two", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(
        (&listed["status"], &listed["resumable"]),
        (&json!("stopped"), &json!(true))
    );

    // From the weights of the first run: starts about where it ended, with a fresh optimizer at step 0.
    for parent in ["one", "two"] {
        let child = format!("runs/from-{parent}");
        let events = train(
            &place,
            &[
                "--from",
                parent,
                "--run",
                &child,
                "--steps",
                "10",
                "--set",
                "corpus.bytes=40000",
                "--set",
                "schedule.warmup=2",
                "--set",
                "train.batch_size=8",
            ],
        );
        assert_eq!(events[0]["start_step"], 0);
        let start = losses(&events)[0];
        let (begin, end) = (losses(&first)[0], mean(&losses(&first)[50..]));
        assert!(
            (start - end).abs() < 0.25 * (begin - end),
            "{begin} {end} {start}"
        );
        let header = std::fs::read(place.path(&child).join("run.json")).unwrap();
        let header: Value = serde_json::from_slice(&header).unwrap();
        let lineage = header["parent"]["run"].as_str().unwrap();
        assert!(lineage.ends_with(&format!("runs/{parent}")), "{lineage}");
        assert_eq!(
            header["parent"]["step"],
            if parent == "one" { 60 } else { 0 }
        );
    }
    let message = place.fails(
        1,
        &[
            "train",
            "--from",
            "one",
            "--headless",
            "--run",
            "runs/x",
            "--set",
            "model.n_layers=3",
        ],
    );
    assert!(
        message.contains("do not fit") && message.contains("blocks.2"),
        "{message}"
    );
    assert!(!place.path("runs/x").exists());
    let message = place.fails(
        2,
        &[
            "train",
            "--from",
            "one",
            "--headless",
            "--set",
            "tokenizer.vocab_size=400",
        ],
    );
    assert!(message.contains("comes with the weights"), "{message}");
    // An imported run can also be gone on with in place.
    let go_on = [
        "--resume",
        "two",
        "--steps",
        "2",
        "--set",
        "schedule.warmup=1",
    ];
    let events = train(&place, &go_on);
    assert_eq!(losses(&events).len(), 2);
    let message = place.fails(1, &["import", "hf", "one-safetensors"]);
    assert!(message.contains("has no config.json"), "{message}");
}
