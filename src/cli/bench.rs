//! `fireside bench`: what training and the screens cost on this machine.

mod checkpoint;
mod generate;
mod machine;
mod scaling;
mod tokenize;
mod train;

use super::{CliError, Exit};
use crate::ui;

/// Measure training, generation and screens on this machine
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub what: What,
}

#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// Milliseconds a step and tokens a second, by phase, for presets or config files
    Train(train::Args),
    /// How the cost of a step grows with context, vocabulary, batch, layers and threads
    Scaling(scaling::Args),
    /// Tokens a second with the cache, alone and eight at a time, and without it
    Generate(generate::GenerateArgs),
    /// Megabytes of text a second that become token ids, next to the tokenizers crate
    Tokenize(tokenize::Args),
    /// How long training stands still for a checkpoint, and how much slower it is while one is written
    Checkpoint(checkpoint::Args),
    /// The cost of a frame, and the memory of the screens, with a run of a million steps
    Ui {
        /// Print one JSON array instead of a table
        #[arg(long)]
        json: bool,
    },
}

pub fn run(args: Args) -> Result<Exit, CliError> {
    match args.what {
        What::Train(args) => train::run(&args),
        What::Generate(args) => generate::run(&args),
        What::Tokenize(args) => tokenize::run(&args),
        What::Scaling(args) => scaling::run(&args),
        What::Checkpoint(args) => checkpoint::run(&args),
        What::Ui { json } => screens(json),
    }
}

fn screens(json: bool) -> Result<Exit, CliError> {
    let measured = ui::bench::measure(1_000_000, crate::kernel::memory::give_back);
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
