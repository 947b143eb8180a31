//! Short trainings, and what they say.

use serde_json::Value;

pub use crate::process::Place;
use crate::process::of;

pub const TINY: [&str; 22] = [
    "--set",
    "corpus.bytes=40000",
    "--set",
    "tokenizer.vocab_size=300",
    "--set",
    "model.context_length=24",
    "--set",
    "model.d_model=32",
    "--set",
    "model.n_layers=2",
    "--set",
    "train.batch_size=8",
    "--set",
    "eval.every=0",
    "--set",
    "eval.batches=4",
    "--set",
    "sample.every=0",
    "--set",
    "schedule.warmup=5",
    "--set",
    "device=\"flex\"",
];

pub fn train(place: &Place, arguments: &[&str]) -> Vec<Value> {
    let mut all = vec!["train"];
    all.extend(arguments);
    all.push("--json");
    place.succeed(&all)
}

pub fn losses(events: &[Value]) -> Vec<f64> {
    of(events, "step")
        .iter()
        .map(|event| event["loss"].as_f64().unwrap())
        .collect()
}

pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
