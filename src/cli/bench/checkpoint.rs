//! `fireside bench checkpoint`: what a checkpoint costs the training that goes on while it is written.

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use super::{CliError, Exit};
use crate::config::{self, RunConfig, Source};
use crate::protocol::CheckpointReason;
use crate::run::checkpoint::{self, Checkpoint, CheckpointMeta};
use crate::train::Snapshot;

/// Checkpoints that are measured.
const CHECKPOINTS: u64 = 7;
/// Largest share of the time between two checkpoints that one may cost, in percent.
const LIMIT: f64 = 5.0;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Presets or config files; without any, `gpt`
    #[arg(value_name = "CONFIG")]
    pub configs: Vec<String>,

    /// Override a key; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,

    /// Folder to write in, on the disk that is meant (default: the system's temporary folder)
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,

    /// Print one JSON object a line instead of a table
    #[arg(long)]
    pub json: bool,
}

/// Medians over the checkpoints.
#[derive(Debug, Serialize)]
struct Row {
    config: String,
    checkpoint_bytes: u64,
    /// Steps between two checkpoints, and how long they take.
    every: u64,
    interval_ms: f64,
    /// Training stands still: the state is copied.
    snapshot_ms: f64,
    /// On a thread of its own: hashed, written and synced.
    write_ms: f64,
    /// By how much the steps made meanwhile were slower, all together.
    slowed_ms: f64,
    /// Both, as a share of the interval.
    percent: f64,
    limit_percent: f64,
}

pub fn run(args: &Args) -> Result<Exit, CliError> {
    let configs = match args.configs.is_empty() {
        true => vec!["gpt".to_string()],
        false => args.configs.clone(),
    };
    let mut rows = Vec::new();
    for name in &configs {
        let config =
            config::load(Source::from_argument(name), &args.sets).map_err(CliError::usage)?;
        if config.checkpoint.every == 0 {
            return Err(CliError::usage(format!(
                "{name}: checkpoint.every = 0: there is no interval to compare with; expected at least 1"
            )));
        }
        let folder = args.dir.clone().unwrap_or_else(std::env::temp_dir);
        let folder = folder.join(format!("fireside-bench-{}", std::process::id()));
        std::fs::create_dir(&folder).map_err(|error| {
            CliError::failed(format!("cannot make {}: {error}", folder.display()))
        })?;
        let row = measure(name, config, &folder);
        // What cannot be removed again is the user's to see; the measurement stands.
        let _ = std::fs::remove_dir_all(&folder);
        rows.push(row?);
    }
    if !args.json {
        println!(
            "{:16} {:>8} {:>12} {:>10} {:>10} {:>10} {:>9}",
            "config", "MB", "interval ms", "copy ms", "write ms", "slower ms", "share"
        );
    }
    for row in &rows {
        if args.json {
            println!("{}", serde_json::to_string(row).map_err(CliError::failed)?);
        } else {
            println!(
                "{:16} {:>8.1} {:>12.0} {:>10.1} {:>10.1} {:>10.1} {:>8.2}%",
                row.config,
                row.checkpoint_bytes as f64 / 1e6,
                row.interval_ms,
                row.snapshot_ms,
                row.write_ms,
                row.slowed_ms,
                row.percent
            );
        }
    }
    match rows.iter().all(|row| row.percent <= LIMIT) {
        true => Ok(Exit::Success),
        false => Err(CliError::failed(format!(
            "checkpoints cost more than {LIMIT} % of the time between them: raise checkpoint.every"
        ))),
    }
}

fn measure(name: &str, config: RunConfig, folder: &Path) -> Result<Row, CliError> {
    let every = config.checkpoint.every;
    let keep = config.checkpoint.keep;
    let mut trainer = super::train::prepare(config, None)?.trainer;
    for _ in 0..10 {
        trainer.step().map_err(CliError::failed)?;
    }
    let mut plain = Vec::new();
    let (mut copies, mut writes, mut slowed) = (Vec::new(), Vec::new(), Vec::new());
    let mut bytes = 0;
    for number in 0..CHECKPOINTS {
        let mut between = Vec::new();
        for _ in 0..20 {
            between.push(trainer.step().map_err(CliError::failed)?.ms);
        }
        let usual = median(&mut between);
        plain.push(usual);
        let began = Instant::now();
        let snapshot = trainer.snapshot().map_err(CliError::failed)?;
        copies.push(began.elapsed().as_secs_f64() * 1e3);
        let run = folder.to_path_buf();
        let writer = std::thread::spawn(move || write(&run, number, snapshot, keep));
        let mut late = 0.0;
        while !writer.is_finished() {
            late += trainer.step().map_err(CliError::failed)?.ms - usual;
        }
        slowed.push(late);
        let (ms, size) = writer
            .join()
            .map_err(|_| CliError::failed("writing the checkpoint panicked"))??;
        writes.push(ms);
        bytes = size;
    }
    let (snapshot_ms, slowed_ms) = (median(&mut copies), median(&mut slowed));
    let interval_ms = every as f64 * median(&mut plain);
    Ok(Row {
        config: name.to_string(),
        checkpoint_bytes: bytes,
        every,
        interval_ms,
        snapshot_ms,
        write_ms: median(&mut writes),
        slowed_ms,
        percent: 100.0 * (snapshot_ms + slowed_ms.max(0.0)) / interval_ms,
        limit_percent: LIMIT,
    })
}

/// What the thread that saves does for a run: writes, and clears away. Milliseconds and bytes.
fn write(run: &Path, number: u64, snapshot: Snapshot, keep: usize) -> Result<(f64, u64), CliError> {
    let began = Instant::now();
    let state = serde_json::to_value(&snapshot.progress).map_err(CliError::failed)?;
    let meta = CheckpointMeta {
        step: number,
        reason: CheckpointReason::Cadence,
        best: false,
        val_loss: None,
    };
    let checkpoint = Checkpoint {
        model: snapshot.model,
        optimizer: snapshot.optimizer,
        carried: snapshot.carried,
        state,
    };
    let entry = checkpoint::write(run, &meta, &checkpoint).map_err(CliError::failed)?;
    checkpoint::prune(run, keep).map_err(CliError::failed)?;
    Ok((began.elapsed().as_secs_f64() * 1e3, entry.bytes))
}

pub(super) fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
