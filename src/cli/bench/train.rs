//! `fireside bench train`: milliseconds a step by phase, tokens a second, memory, and the share of what the machine can do.

use std::sync::Arc;

use serde::Serialize;

use super::machine::{matmul_peak, peak_memory, processor_seconds};
use super::{CliError, Exit};
use crate::config::{self, RunConfig, Source};
use crate::data::{Dataset, TokenIds};
use crate::kernel::simd;
use crate::model::{parameter_count, training_operations};
use crate::protocol::StepReport;
use crate::train::{Trainer, TrainerSetup};
use crate::{data, device, progress};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Presets or config files; without any, the five default presets
    #[arg(value_name = "CONFIG")]
    pub configs: Vec<String>,

    /// Steps that count, after a fifth as many that do not
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    pub steps: u64,

    /// Train on random tokens of a vocabulary of this size, instead of the text of the configuration
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    pub vocab: Option<u32>,

    /// Override a key; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,

    /// Print one JSON object a line instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Medians over the counted steps.
#[derive(Debug, Serialize, serde::Deserialize)]
pub(super) struct Row {
    pub config: String,
    pub device: String,
    pub threads: usize,
    pub parameters: u64,
    pub vocab_size: usize,
    pub tokens_per_step: u64,
    pub ms: f64,
    pub ms_p10: f64,
    pub ms_p90: f64,
    /// Processor time a step of all threads together, the mean over the counted steps, where the system tells.
    pub processor_ms: Option<f64>,
    pub forward_ms: f64,
    pub backward_ms: f64,
    pub optimizer_ms: f64,
    pub tokens_per_second: f64,
    /// Of the matrix products that the model's definition asks for.
    pub gflops: f64,
    /// The best that this machine's matrix product did just before.
    pub peak_gflops: f64,
    /// `gflops / peak_gflops`
    pub peak_share: f64,
    /// The whole process so far, where the system tells.
    pub peak_memory_bytes: Option<u64>,
}

pub fn run(args: &Args) -> Result<Exit, CliError> {
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
            "{:22} {:>11} {:>9} {:>9} {:>9} {:>9} {:>9} {:>10} {:>8} {:>8} {:>8}",
            "config",
            "parameters",
            "ms/step",
            "p10",
            "forward",
            "backward",
            "optimizer",
            "tokens/s",
            "GFLOP/s",
            "of peak",
            "peak MB"
        );
    }
    for (name, config) in loaded {
        let row = measure(name, config, args)?;
        if args.json {
            println!("{}", serde_json::to_string(&row).map_err(CliError::failed)?);
        } else {
            println!(
                "{:22} {:>11} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>10.0} {:>8.0} {:>7.0}% {:>8}",
                row.config,
                row.parameters,
                row.ms,
                row.ms_p10,
                row.forward_ms,
                row.backward_ms,
                row.optimizer_ms,
                row.tokens_per_second,
                row.gflops,
                row.peak_share * 100.0,
                megabytes(row.peak_memory_bytes)
            );
        }
    }
    Ok(Exit::Success)
}

pub(super) fn megabytes(bytes: Option<u64>) -> String {
    bytes.map_or("-".into(), |b| format!("{}", b / 1_000_000))
}

/// The data and the size of the vocabulary: of the configuration, or random tokens.
fn dataset(config: &RunConfig, vocab: Option<u32>) -> Result<(Arc<Dataset>, usize), CliError> {
    let Some(vocab) = vocab else {
        let prepared = data::prepare(config, None, &mut progress::ignore);
        let prepared = prepared.map_err(CliError::failed)?;
        let vocab_size = prepared.tokenizer.vocab_size();
        return Ok((prepared.dataset, vocab_size));
    };
    const TOKENS: u64 = 1 << 20;
    let random = |i: u64| {
        let bits = u64::from(simd::mix(7, i));
        ((bits * u64::from(vocab)) >> 32) as u32
    };
    let ids: Vec<u32> = (0..TOKENS).map(random).collect();
    let dataset = Dataset {
        train: TokenIds::from_ids(&ids),
        validation: TokenIds::from_ids(&ids[..4096]),
        train_bytes: TOKENS,
        validation_bytes: 4096,
        unknown_validation: 0,
        unigram_loss: f64::from(vocab).ln(),
        source_entropy: None,
    };
    Ok((Arc::new(dataset), vocab as usize))
}

/// A trainer at its first step, and what it trains with.
pub(super) struct Prepared {
    pub trainer: Trainer,
    device: String,
    threads: usize,
    vocab_size: usize,
}

/// Trains on random tokens where `vocab` says so.
pub(super) fn prepare(config: RunConfig, vocab: Option<u32>) -> Result<Prepared, CliError> {
    let threads = device::set_threads(config.train.threads).map_err(CliError::failed)?;
    let chosen = device::resolve(&config.device).map_err(CliError::usage)?;
    let device = chosen.on_threads(threads);
    let (dataset, vocab_size) = dataset(&config, vocab)?;
    let trainer = Trainer::new(TrainerSetup {
        config,
        dataset,
        vocab_size,
        device: chosen.device,
    })
    .map_err(CliError::failed)?;
    Ok(Prepared {
        trainer,
        device,
        threads,
        vocab_size,
    })
}

fn measure(name: &str, config: RunConfig, args: &Args) -> Result<Row, CliError> {
    let steps = args.steps;
    let model = config.model.clone();
    let tokens_per_step = (config.train.batch_size
        * config.model.context_length()
        * config.train.gradient_accumulation.max(1)) as u64;
    let Prepared {
        mut trainer,
        device,
        threads,
        vocab_size,
    } = prepare(config, args.vocab)?;
    let parameters = parameter_count(&model, vocab_size);
    let operations = training_operations(&model, vocab_size) * tokens_per_step;
    let peak_gflops = matmul_peak();
    for _ in 0..(steps / 5).max(2) {
        trainer.step().map_err(CliError::failed)?;
    }
    let busy = processor_seconds();
    let mut reports = Vec::new();
    for _ in 0..steps {
        reports.push(trainer.step().map_err(CliError::failed)?);
    }
    let busy = processor_seconds().zip(busy);
    let share = |share: f64, of: fn(&StepReport) -> f64| {
        let mut values: Vec<f64> = reports.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[((values.len() - 1) as f64 * share).round() as usize]
    };
    let ms = share(0.5, |r| r.ms);
    let gflops = operations as f64 / ms / 1e6;
    Ok(Row {
        config: name.to_string(),
        device,
        threads,
        parameters,
        vocab_size,
        tokens_per_step,
        ms,
        ms_p10: share(0.1, |r| r.ms),
        ms_p90: share(0.9, |r| r.ms),
        processor_ms: busy.map(|(after, before)| (after - before) * 1e3 / steps as f64),
        forward_ms: share(0.5, |r| r.forward_ms),
        backward_ms: share(0.5, |r| r.backward_ms),
        optimizer_ms: share(0.5, |r| r.optimizer_ms),
        tokens_per_second: tokens_per_step as f64 / (ms / 1e3),
        gflops,
        peak_gflops,
        peak_share: gflops / peak_gflops,
        peak_memory_bytes: peak_memory(),
    })
}
