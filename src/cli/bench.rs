//! `fireside bench`: what training and the screens cost on this machine.

mod checkpoint;

use serde::Serialize;

use super::{CliError, Exit};
use crate::config::{self, RunConfig, Source};
use crate::model::parameter_count;
use crate::train::{Trainer, TrainerSetup};
use crate::{data, device, progress, ui};

/// Measure training and screens on this machine
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub what: What,
}

#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// Milliseconds a step and tokens a second, by phase, for presets or config files
    Train(TrainArgs),
    /// How long training stands still for a checkpoint, and how much slower it is while one is written
    Checkpoint(checkpoint::Args),
    /// The cost of a frame, and the memory of the screens, with a run of a million steps
    Ui {
        /// Print one JSON array instead of a table
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
pub struct TrainArgs {
    /// Presets or config files; without any, the five default presets
    #[arg(value_name = "CONFIG")]
    pub configs: Vec<String>,

    /// Steps that count, after a fifth as many that do not
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    pub steps: u64,

    /// Override a key; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,

    /// Print one JSON object a line instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Medians over the counted steps.
#[derive(Debug, Serialize)]
struct Row {
    config: String,
    device: String,
    parameters: u64,
    vocab_size: usize,
    tokens_per_step: u64,
    ms: f64,
    ms_p10: f64,
    ms_p90: f64,
    forward_ms: f64,
    backward_ms: f64,
    optimizer_ms: f64,
    tokens_per_second: f64,
    /// The whole process so far, where the system tells.
    peak_memory_bytes: Option<u64>,
}

pub fn run(args: Args) -> Result<Exit, CliError> {
    match args.what {
        What::Train(args) => train(&args),
        What::Checkpoint(args) => checkpoint::run(&args),
        What::Ui { json } => screens(json),
    }
}

fn train(args: &TrainArgs) -> Result<Exit, CliError> {
    let ladder = || {
        config::ModelKind::ALL
            .map(|kind| kind.key().to_string())
            .to_vec()
    };
    let configs = if args.configs.is_empty() {
        ladder()
    } else {
        args.configs.clone()
    };
    let mut loaded = Vec::new();
    for name in &configs {
        let config = config::load(Source::from_argument(name), &args.sets);
        loaded.push((name, config.map_err(CliError::usage)?));
    }
    if !args.json {
        println!(
            "{:22} {:>11} {:>9} {:>9} {:>9} {:>9} {:>9} {:>10} {:>8}",
            "config",
            "parameters",
            "ms/step",
            "p10",
            "forward",
            "backward",
            "optimizer",
            "tokens/s",
            "peak MB"
        );
    }
    for (name, config) in loaded {
        let row = measure(name, config, args.steps)?;
        if args.json {
            println!("{}", serde_json::to_string(&row).map_err(CliError::failed)?);
        } else {
            let peak = row
                .peak_memory_bytes
                .map_or("-".into(), |b| format!("{}", b / 1_000_000));
            println!(
                "{:22} {:>11} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>10.0} {:>8}",
                row.config,
                row.parameters,
                row.ms,
                row.ms_p10,
                row.forward_ms,
                row.backward_ms,
                row.optimizer_ms,
                row.tokens_per_second,
                peak
            );
        }
    }
    Ok(Exit::Success)
}

/// A trainer at its first step, and what it trains with.
struct Prepared {
    trainer: Trainer,
    device: String,
    vocab_size: usize,
}

fn prepare(config: RunConfig) -> Result<Prepared, CliError> {
    let threads = device::set_threads(config.train.threads).map_err(CliError::failed)?;
    let chosen = device::resolve(&config.device).map_err(CliError::usage)?;
    let prepared = data::prepare(&config, None, &mut progress::ignore).map_err(CliError::failed)?;
    let vocab_size = prepared.tokenizer.vocab_size();
    let trainer = Trainer::new(TrainerSetup {
        config,
        dataset: prepared.dataset,
        vocab_size,
        device: chosen.device,
    })
    .map_err(CliError::failed)?;
    Ok(Prepared {
        trainer,
        device: format!("{}, {threads} threads", chosen.name),
        vocab_size,
    })
}

fn measure(name: &str, config: RunConfig, steps: u64) -> Result<Row, CliError> {
    let tokens_per_step = (config.train.batch_size
        * config.model.context_length()
        * config.train.gradient_accumulation.max(1)) as u64;
    let model = config.model.clone();
    let Prepared {
        mut trainer,
        device,
        vocab_size,
    } = prepare(config)?;
    let parameters = parameter_count(&model, vocab_size);
    for _ in 0..(steps / 5).max(2) {
        trainer.step().map_err(CliError::failed)?;
    }
    let mut reports = Vec::new();
    for _ in 0..steps {
        reports.push(trainer.step().map_err(CliError::failed)?);
    }
    let share = |share: f64, of: fn(&crate::protocol::StepReport) -> f64| {
        let mut values: Vec<f64> = reports.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[((values.len() - 1) as f64 * share).round() as usize]
    };
    let ms = share(0.5, |r| r.ms);
    Ok(Row {
        config: name.to_string(),
        device,
        parameters,
        vocab_size,
        tokens_per_step,
        ms,
        ms_p10: share(0.1, |r| r.ms),
        ms_p90: share(0.9, |r| r.ms),
        forward_ms: share(0.5, |r| r.forward_ms),
        backward_ms: share(0.5, |r| r.backward_ms),
        optimizer_ms: share(0.5, |r| r.optimizer_ms),
        tokens_per_second: tokens_per_step as f64 / (ms / 1e3),
        peak_memory_bytes: peak_memory(),
    })
}

/// The largest resident size of this process, from Linux's `/proc`.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

fn screens(json: bool) -> Result<Exit, CliError> {
    let measured = ui::bench::measure(1_000_000);
    if json {
        let rows: Vec<_> = measured
            .iter()
            .map(|m| {
                serde_json::json!({
                    "name": m.name, "value": m.value, "unit": m.unit, "limit": m.limit
                })
            })
            .collect();
        println!("{}", serde_json::Value::Array(rows));
        return Ok(Exit::Success);
    }
    println!("a run of 1 000 000 steps");
    for m in &measured {
        let verdict = if m.passes() { "ok" } else { "TOO MUCH" };
        println!(
            "{:32} {:9.3} {:4} (at most {:6.1}) {verdict}",
            m.name, m.value, m.unit, m.limit
        );
    }
    match measured.iter().all(|m| m.passes()) {
        true => Ok(Exit::Success),
        false => Err(CliError::failed("some measurements are above their limits")),
    }
}
