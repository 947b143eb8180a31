//! `fireside bench scaling`: how time and memory of a training step grow with one size at a time, next to the operation count.
//!
//! Every row is a process of its own, so that memory peaks do not mix. Tokens are random.

use std::process::Command;

use serde::Serialize;

use super::train::{Row, megabytes};
use super::{CliError, Exit};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Steps that count in each row
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    pub steps: u64,

    /// Threads (default: all); the last table always compares one with two
    #[arg(long)]
    pub threads: Option<usize>,

    /// Print one JSON object a line instead of tables
    #[arg(long)]
    pub json: bool,
}

/// One size, varied.
struct Series {
    name: &'static str,
    config: &'static str,
    /// What each row is called, its vocabulary, and its keys.
    rows: Vec<(String, u32, Vec<String>)>,
}

#[derive(Serialize)]
struct Line<'a> {
    series: &'a str,
    value: &'a str,
    /// Time against the first row.
    time_ratio: f64,
    /// Operations against the first row.
    operation_ratio: f64,
    /// Peak memory against the first row, where the system tells.
    memory_ratio: Option<f64>,
    #[serde(flatten)]
    row: &'a Row,
}

/// A decoder small enough that the largest row takes seconds.
const DECODER: [&str; 4] = [
    "model.d_model=128",
    "model.n_heads=4",
    "model.n_layers=4",
    "model.dropout=0.0",
];

fn series() -> Vec<Series> {
    let row = |value: u32, vocab: u32, sets: &[String]| {
        let fixed = DECODER.iter().map(ToString::to_string);
        // A later key overrides an earlier one.
        let sets = fixed.chain(sets.iter().cloned()).collect();
        (value.to_string(), vocab, sets)
    };
    let set = |key: &str, value: u32| format!("{key}={value}");
    let shape = |batch: u32, context: u32| {
        [
            set("train.batch_size", batch),
            set("model.context_length", context),
        ]
    };
    let context = [64, 128, 256, 512, 1024];
    let context = context.map(|n| row(n, 65, &shape(2048 / n, n)));
    let vocabulary = [65, 512, 4096, 10_000, 50_000].map(|n| row(n, n, &shape(16, 64)));
    let batch = [4, 8, 16, 32, 64].map(|n| row(n, 65, &shape(n, 64)));
    let layers = [1, 2, 4, 8];
    let layers = layers.map(|n| {
        let mut sets = shape(16, 64).to_vec();
        sets.push(set("model.n_layers", n));
        row(n, 65, &sets)
    });
    let named = |name, rows: Vec<_>| Series {
        name,
        config: "gpt",
        rows,
    };
    vec![
        named("context length, 2048 tokens a batch", context.to_vec()),
        named("vocabulary", vocabulary.to_vec()),
        named("batch size", batch.to_vec()),
        named("layers", layers.to_vec()),
    ]
}

/// One thread against two, for each default preset.
fn thread_series() -> Vec<Series> {
    [
        "char-rnn",
        "word-gru",
        "lstm-attention",
        "transformer",
        "gpt",
    ]
    .map(|config| Series {
        name: "threads",
        config,
        rows: [1, 2]
            .map(|n: u32| (n.to_string(), 2000, vec![format!("train.threads={n}")]))
            .to_vec(),
    })
    .into()
}

pub fn run(args: &Args) -> Result<Exit, CliError> {
    let threads = args.threads.map(|n| format!("train.threads={n}"));
    for series in series() {
        print_series(args, &series, threads.as_deref())?;
    }
    for series in thread_series() {
        print_series(args, &series, None)?;
    }
    Ok(Exit::Success)
}

fn print_series(args: &Args, series: &Series, threads: Option<&str>) -> Result<(), CliError> {
    if !args.json {
        println!("\n{}, {}", series.config, series.name);
        println!(
            "{:>10} {:>10} {:>10} {:>10} {:>10} {:>8} {:>8}",
            "", "ms/step", "× time", "× work", "tokens/s", "of peak", "peak MB"
        );
    }
    let mut first: Option<Row> = None;
    for (value, vocab, sets) in &series.rows {
        let row = measure(args.steps, series.config, *vocab, sets, threads)?;
        let base = first.as_ref().unwrap_or(&row);
        let work = |row: &Row| row.gflops * row.ms;
        let memory = row.peak_memory_bytes.zip(base.peak_memory_bytes);
        let line = Line {
            series: series.name,
            value,
            time_ratio: row.ms / base.ms,
            operation_ratio: work(&row) / work(base),
            memory_ratio: memory.map(|(now, first)| now as f64 / first as f64),
            row: &row,
        };
        if args.json {
            println!(
                "{}",
                serde_json::to_string(&line).map_err(CliError::failed)?
            );
        } else {
            println!(
                "{:>10} {:>10.2} {:>10.2} {:>10.2} {:>10.0} {:>7.0}% {:>8}",
                value,
                row.ms,
                line.time_ratio,
                line.operation_ratio,
                row.tokens_per_second,
                row.peak_share * 100.0,
                megabytes(row.peak_memory_bytes)
            );
        }
        first.get_or_insert(row);
    }
    Ok(())
}

/// `fireside bench train` in a process of its own.
fn measure(
    steps: u64,
    config: &str,
    vocab: u32,
    sets: &[String],
    threads: Option<&str>,
) -> Result<Row, CliError> {
    let program = std::env::current_exe().map_err(CliError::failed)?;
    let mut command = Command::new(program);
    command.args(["bench", "train", config, "--json"]);
    command.args(["--steps", &steps.to_string(), "--vocab", &vocab.to_string()]);
    for set in sets.iter().map(String::as_str).chain(threads) {
        command.args(["--set", set]);
    }
    let output = command.output().map_err(CliError::failed)?;
    if !output.status.success() {
        let problem = String::from_utf8_lossy(&output.stderr);
        return Err(CliError::failed(problem.trim()));
    }
    serde_json::from_slice(&output.stdout).map_err(CliError::failed)
}
