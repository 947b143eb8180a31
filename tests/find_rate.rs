//! `fireside find-rate` as a process.

mod process;

use process::{Place, code, errors, of, tiny};

const TINY: &str = "model.n_layers = 1\ntrain.batch_size = 8";

#[test]
fn a_rate_is_found_and_no_run_is_left() {
    let place = Place::new(&tiny(TINY));
    let lines = place.succeed(&[
        "find-rate",
        "tiny.toml",
        "--from",
        "1e-5",
        "--steps",
        "80",
        "--json",
    ]);
    let points = of(&lines, "rate-point");
    let last = lines.last().unwrap();
    assert_eq!(last["event"], "rate-found");
    assert_eq!(last["steps"].as_u64().unwrap() as usize, points.len());
    assert_eq!(last["complete"], true);
    let rate = last["suggestion"].as_f64().unwrap();
    assert!((1e-4..1.0).contains(&rate), "{last}");
    assert_eq!(points[0]["learning_rate"].as_f64(), Some(1e-5));
    assert!(points[5]["smoothed"].as_f64().unwrap() > 0.0);
    assert!(!place.path("runs").exists());

    // For people, and with the same outcome: everything is seeded.
    let output = place.run(&["find-rate", "tiny.toml", "--from", "1e-5", "--steps", "80"]);
    assert_eq!(code(&output), 0);
    let text = String::from_utf8(output.stdout).unwrap();
    let set = format!("--set optimizer.learning_rate={rate:e}");
    assert!(text.contains(&set), "{set} is not in\n{text}");
    assert!(text.contains("<- suggested"), "{text}");
    // The line can be used as it stands.
    let argument = set.strip_prefix("--set ").unwrap();
    place.succeed(&[
        "train",
        "tiny.toml",
        "--json",
        "--steps",
        "2",
        "--set",
        argument,
    ]);
}

#[test]
fn bad_input_is_told_all_at_once() {
    let place = Place::new(&tiny(TINY));
    let output = place.run(&[
        "find-rate",
        "tiny.toml",
        "--from",
        "0",
        "--steps",
        "2",
        "--set",
        "train.batch_sise=4",
    ]);
    assert_eq!(code(&output), 2);
    let text = errors(&output);
    for wanted in [
        "3 problems",
        "did you mean `train.batch_size`",
        "--from = 0: expected",
        "--steps = 2: expected a whole number from 10",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    let output = place.run(&["find-rate", "tiny.toml", "--from", "a"]);
    assert_eq!(code(&output), 2);
    let with_text = |name: &str| {
        let set = format!("corpus.path=[{name:?}]");
        place.run(&["find-rate", "tiny.toml", "--set", &set, "--json"])
    };
    let output = with_text("none.txt");
    assert_eq!(code(&output), 2);
    let text = errors(&output);
    assert!(
        text.contains("corpus.path: none.txt does not exist"),
        "{text}"
    );
    // What shows only when the text is read through is an event.
    let mut bytes = "to be or not to be\n".repeat(2_000).into_bytes();
    bytes.push(0xFF);
    std::fs::write(place.path("bad.txt"), bytes).unwrap();
    let output = with_text("bad.txt");
    assert_eq!(code(&output), 1);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains(r#""event":"failed""#) && text.contains("bad.txt"),
        "{text}"
    );
}

#[cfg(unix)]
#[test]
fn a_signal_ends_it_early_with_what_it_has() {
    let place = Place::new(&tiny(TINY));
    let mut child = place
        .command(&["find-rate", "tiny.toml", "--steps", "10000", "--json"])
        .spawn()
        .unwrap();
    // The first line says that it is at work.
    let mut reader = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut reader, &mut line).unwrap();
    assert!(line.contains("rate-point"), "{line}");
    process::signal(&child, rustix::process::Signal::INT);
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut reader, &mut rest).unwrap();
    assert!(rest.contains(r#""complete":false"#), "{rest}");
    assert_eq!(process::ended(child), Some(130));
}
