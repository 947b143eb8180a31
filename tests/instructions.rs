//! Every model on each level of vector instructions that the machine has: what a run gives does not hang on the processor it was trained
//! on where both multiply and add in one instruction, and differs by rounding alone where one does not.

#![cfg(feature = "flex")]

mod process;

use process::*;

const MODELS: [(&str, &str); 5] = [
    ("char-rnn", "model.n_layers = 2"),
    ("word-gru", "model.d_embedding = 24"),
    (
        "lstm-attention",
        "model.d_embedding = 24\nmodel.score = \"additive\"",
    ),
    ("transformer", "model.d_model = 36\nmodel.n_heads = 4"),
    ("gpt", "model.d_model = 48\nmodel.n_heads = 4"),
];

/// The losses of some steps and the text at their end; `None` where the machine lacks the instructions.
fn trained(kind: &str, own: &str, level: &str) -> Option<(Vec<f64>, String)> {
    let size = match kind {
        "transformer" | "gpt" => "model.n_layers = 2",
        _ => "model.hidden_size = 36",
    };
    let place = Place::empty();
    std::fs::write(
        place.path("tiny.toml"),
        format!(
            "device = \"flex\"\ncorpus.bytes = 40000\ntokenizer.kind = \"char\"\nmodel.kind = \"{kind}\"\nmodel.context_length = 20\n\
             {size}\n{own}\ntrain.batch_size = 5\ntrain.steps = 8\nsample.every = 8\nsample.length = 30\n"
        ),
    )
    .unwrap();
    let output = place
        .command(&to_train("r", &[]))
        .env("FIRESIDE_SIMD", level)
        .output()
        .unwrap();
    if code(&output) == 2 && errors(&output).contains("which this machine has not") {
        return None;
    }
    assert_eq!(code(&output), 0, "{kind} {level}: {}", errors(&output));
    let events = lines(&output);
    let losses: Vec<f64> = of(&events, "step")
        .iter()
        .map(|step| step["loss"].as_f64().unwrap())
        .collect();
    assert_eq!(losses.len(), 8, "{kind} {level}");
    let sample = of(&events, "sample")[0]["text"].to_string();
    Some((losses, sample))
}

#[test]
fn every_model_trains_alike_on_every_level() {
    for (kind, own) in MODELS {
        let (losses, sample) = trained(kind, own, "widest").unwrap();
        if let Some((narrow, same)) = trained(kind, own, "avx2") {
            assert_eq!(losses, narrow, "{kind}");
            assert_eq!(sample, same, "{kind}");
        }
        let (rounded, _) = trained(kind, own, "baseline").unwrap();
        for (a, b) in losses.iter().zip(&rounded) {
            assert!((a - b).abs() < 1e-4 * a.abs(), "{kind}: {a} {b}");
        }
    }
}

#[test]
fn another_level_is_an_error_that_says_what_there_is() {
    let place = Place::empty();
    let output = place
        .command(&["devices"])
        .env("FIRESIDE_SIMD", "avx1024")
        .output()
        .unwrap();
    assert_eq!(code(&output), 2);
    let told = errors(&output);
    assert!(
        told.contains("avx1024") && told.contains("widest, avx2, baseline"),
        "{told}"
    );
}
