//! The program as a process, and what it says.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// A folder for a process: its runs, its output.
pub struct Place {
    pub dir: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        Place {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_fireside"))
            .args(arguments)
            .current_dir(self.dir.path())
            .env_remove("FIRESIDE_RUNS")
            .env("XDG_STATE_HOME", self.path("state"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("XDG_DATA_HOME", self.path("data"))
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Runs and must succeed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs and must fail with this code; returns what it says.
    pub fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

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
    place
        .ok(&all)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub fn losses(events: &[Value]) -> Vec<f64> {
    events
        .iter()
        .filter(|event| event["event"] == "step")
        .map(|event| event["loss"].as_f64().unwrap())
        .collect()
}

pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
