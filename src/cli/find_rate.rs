//! `fireside find-rate`: Find a learning rate by a short test

use super::{CliError, Exit};
use crate::config::{Source, load_looking};
use crate::headless::{self, Format, Streams};
use crate::protocol::RateSweep;
use crate::worker::{self, WorkerOptions};

/// Find a learning rate: train for a short while with a rising rate, and see where the loss falls fastest
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Nothing is written to the runs folder; the model is thrown away.\n\
                  Exit codes: 0 the test was made (with or without a suggestion), 1 failed, 2 bad usage or configuration, \
                  130 stopped early."
)]
pub struct Args {
    /// A preset (see `fireside config list`), a TOML file, or a run's folder
    config: String,
    /// Override a key; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// The first learning rate
    #[arg(long, value_name = "RATE", default_value_t = RateSweep::default().from)]
    from: f64,
    /// The last learning rate
    #[arg(long, value_name = "RATE", default_value_t = RateSweep::default().to)]
    to: f64,
    /// Steps between the two
    #[arg(long, value_name = "N", default_value_t = RateSweep::default().steps)]
    steps: u64,
    /// One JSON object a line (see docs/scripting.md)
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<Exit, CliError> {
    let sweep = RateSweep {
        from: args.from,
        to: args.to,
        steps: args.steps,
    };
    let source = Source::from_argument(&args.config);
    let loaded = load_looking(source, &args.sets, &crate::data::foresee);
    let mut problems: Vec<String> = match &loaded {
        Ok(_) => Vec::new(),
        Err(errors) => errors.problems.iter().map(ToString::to_string).collect(),
    };
    if let Err(refused) = sweep.check() {
        problems.extend(refused.split("; ").map(|problem| format!("--{problem}")));
    }
    let loaded = match (loaded, problems.as_slice()) {
        (Ok(loaded), []) => loaded,
        (_, [only]) => return Err(CliError::usage(only)),
        (_, all) => {
            let all = format!("{} problems\n  {}", all.len(), all.join("\n  "));
            return Err(CliError::usage(all));
        }
    };
    for note in loaded.notes {
        super::complain(&format!("note: {note}"));
    }
    let engine = worker::spawn(WorkerOptions {
        runs_root: super::tui::runs_root(),
    })
    .map_err(|error| CliError::failed(format!("no thread to train with: {error}")))?;
    let interrupts = super::train::count_interrupts()?;
    let outcome = headless::find_rate(
        &engine,
        loaded.config.clone(),
        sweep,
        &interrupts,
        Streams {
            format: match args.json {
                true => Format::Json,
                false => Format::Lines,
            },
            out: &mut std::io::stdout().lock(),
            err: &mut std::io::stderr(),
        },
    );
    match outcome {
        Ok(headless::Outcome::Finished) => Ok(Exit::Success),
        Ok(headless::Outcome::Interrupted) => Ok(Exit::Interrupted),
        Ok(headless::Outcome::Hurried) => std::process::exit(130),
        Err(failure) => Err(super::failure(&loaded.given, failure)),
    }
}
