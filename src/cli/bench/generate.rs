//! `fireside bench generate`: tokens a second with the cache, and without.

use std::time::{Duration, Instant};

use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData};
use serde::Serialize;

use super::super::{CliError, Exit};
use super::checkpoint::median;
use crate::config::{self, RunConfig, SampleConfig, Source, TokenizerKind};
use crate::device;
use crate::generate::{Batch, Generator, Session};
use crate::model::{LanguageModel, parameter_count};

/// Characters of tiny Shakespeare: the vocabulary that a `char` tokenizer is taken to have.
const CHARACTERS: usize = 65;
/// Sequences of the batch.
const BATCH: u64 = 8;
/// How long the measurements without a cache go on.
const PATIENCE: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
pub struct GenerateArgs {
    /// Presets or config files; without any, the five default presets
    #[arg(value_name = "CONFIG")]
    pub configs: Vec<String>,

    /// Tokens to generate (default: eight times the context length)
    #[arg(long)]
    pub length: Option<usize>,

    /// Override a key; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,

    /// Print one JSON object a line instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Tokens a second, with initial weights, the config's sampler settings and a prompt of one token.
#[derive(Debug, Serialize)]
struct Row {
    config: String,
    device: String,
    parameters: u64,
    vocab_size: usize,
    context_length: usize,
    length: usize,
    /// From an empty session to the logits after a prompt that fills the context.
    prompt_ms: f64,
    /// Over the whole length.
    tokens_per_second: f64,
    /// Over the last quarter of it.
    late_tokens_per_second: f64,
    /// Of eight texts side by side, all together.
    batch_tokens_per_second: f64,
    /// With a forward pass over the whole, full context for each token.
    recomputing_tokens_per_second: f64,
    speedup: f64,
}

pub fn run(args: &GenerateArgs) -> Result<Exit, CliError> {
    let configs = match args.configs.is_empty() {
        true => config::ModelKind::ALL
            .map(|kind| kind.key().to_string())
            .to_vec(),
        false => args.configs.clone(),
    };
    let mut loaded = Vec::new();
    for name in &configs {
        let config = config::load(Source::from_argument(name), &args.sets);
        loaded.push((name, config.map_err(CliError::usage)?));
    }
    if !args.json {
        println!(
            "{:22} {:>11} {:>8} {:>7} {:>10} {:>10} {:>10} {:>10} {:>12} {:>8}",
            "config",
            "parameters",
            "context",
            "length",
            "prompt ms",
            "tokens/s",
            "late",
            "batch of 8",
            "no cache",
            "speedup"
        );
    }
    for (name, config) in loaded {
        let row = measure(name, &config, args.length)?;
        if args.json {
            println!("{}", serde_json::to_string(&row).map_err(CliError::failed)?);
            continue;
        }
        println!(
            "{:22} {:>11} {:>8} {:>7} {:>10.2} {:>10.0} {:>10.0} {:>10.0} {:>12.0} {:>8.1}",
            row.config,
            row.parameters,
            row.context_length,
            row.length,
            row.prompt_ms,
            row.tokens_per_second,
            row.late_tokens_per_second,
            row.batch_tokens_per_second,
            row.recomputing_tokens_per_second,
            row.speedup
        );
    }
    Ok(Exit::Success)
}

fn measure(name: &str, config: &RunConfig, length: Option<usize>) -> Result<Row, CliError> {
    let threads = device::set_threads(config.train.threads).map_err(CliError::failed)?;
    let chosen = device::resolve(&config.device).map_err(CliError::usage)?;
    let vocab_size = match config.tokenizer.kind {
        TokenizerKind::Char => CHARACTERS,
        TokenizerKind::Word | TokenizerKind::Bpe => config.tokenizer.vocab_size,
    };
    let context_length = config.model.context_length();
    let length = length.unwrap_or(8 * context_length).max(8);
    let model = LanguageModel::new(&config.model, vocab_size, config.train.seed, &chosen.device);
    let full: Vec<u32> = (0..context_length)
        .map(|at| (at * 7 % vocab_size) as u32)
        .collect();
    // What is measured first pays for waking the threads.
    let session = |prompt: &[u32]| Session::new(&model, &[prompt.to_vec()]);
    session(&full).map_err(CliError::failed)?;
    let mut prompt_ms = [0.0; 5];
    for ms in &mut prompt_ms {
        let began = Instant::now();
        session(&full).map_err(CliError::failed)?;
        *ms = began.elapsed().as_secs_f64() * 1e3;
    }
    let prompt_ms = median(&mut prompt_ms);

    let mut generator =
        Generator::new(&model, &full[..1], &config.sample).map_err(CliError::failed)?;
    let early = length - length / 4;
    let began = Instant::now();
    generator.by_ref().take(early).for_each(drop);
    let middle = Instant::now();
    generator.take(length - early).for_each(drop);
    let late = middle.elapsed().as_secs_f64();
    let whole = began.elapsed().as_secs_f64();
    let tokens_per_second = length as f64 / whole;

    let settings: Vec<SampleConfig> = (0..BATCH)
        .map(|seed| SampleConfig {
            seed,
            ..config.sample.clone()
        })
        .collect();
    let batch = Batch::new(&model, &full[..1], &settings).map_err(CliError::failed)?;
    let began = Instant::now();
    batch.take(length).for_each(drop);
    let batched = began.elapsed().as_secs_f64();

    let recomputing = recomputing(&model, &full);
    Ok(Row {
        config: name.to_string(),
        device: chosen.on_threads(threads),
        parameters: parameter_count(&config.model, vocab_size),
        vocab_size,
        context_length,
        length,
        prompt_ms,
        tokens_per_second,
        late_tokens_per_second: (length - early) as f64 / late,
        batch_tokens_per_second: BATCH as f64 * length as f64 / batched,
        recomputing_tokens_per_second: recomputing,
        speedup: tokens_per_second / recomputing,
    })
}

/// Forward passes a second over a full context: what a token costs without a cache.
fn recomputing(model: &LanguageModel, window: &[u32]) -> f64 {
    let model = model.valid();
    let ids: Vec<i32> = window.iter().map(|&id| id as i32).collect();
    let pass = || {
        let data = TensorData::new(ids.clone(), [1, ids.len()]);
        let tokens = Tensor::<2, Int>::from_data(data, &model.device());
        let (logits, _) = model.forward(tokens, None);
        // Reading a number waits for the device.
        logits.slice_dim(1, ids.len() - 1..ids.len()).into_data()
    };
    pass();
    let began = Instant::now();
    let mut passes = 0;
    while passes < 3 || began.elapsed() < PATIENCE {
        pass();
        passes += 1;
    }
    f64::from(passes) / began.elapsed().as_secs_f64()
}
