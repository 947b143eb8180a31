//! The command line: one file per subcommand, and what an exit code means.

pub mod attach;
pub mod bench;
pub mod completions;
pub mod config;
pub mod corpus;
mod detach;
pub mod devices;
pub mod eval;
pub mod export;
pub mod find_rate;
mod history;
pub mod import;
pub mod man;
mod open;
mod prompt;
pub mod runs;
pub mod sample;
pub mod screenshots;
pub mod sweep;
pub mod tokenizer;
pub mod train;
pub mod tui;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Given;
use crate::headless::Failure;

/// A terminal workbench for training small language models.
#[derive(Debug, Parser)]
#[command(name = "fireside", version, propagate_version = true)]
pub struct Cli {
    /// Print the default configuration (the same as `config print`)
    #[arg(long)]
    pub print_default_config: bool,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Train(train::Args),
    FindRate(find_rate::Args),
    Sweep(sweep::Args),
    Attach(attach::Args),
    Sample(sample::Args),
    Eval(eval::Args),
    Export(export::Args),
    Import(import::Args),
    Runs(runs::Args),
    Corpus(corpus::Args),
    Tokenizer(tokenizer::Args),
    Devices(devices::Args),
    Config(config::Args),
    Bench(bench::Args),
    Screenshots(screenshots::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// How a subcommand ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0
    Success,
    /// 130: stopped by Ctrl-C or a signal, after saving.
    Interrupted,
}

/// Why a subcommand did not do what it was asked.
#[derive(Debug)]
pub enum CliError {
    /// 1
    Failed(String),
    /// 2: bad usage or configuration.
    Usage(String),
}

impl CliError {
    pub fn failed(message: impl ToString) -> Self {
        CliError::Failed(message.to_string())
    }

    pub fn usage(message: impl ToString) -> Self {
        CliError::Usage(message.to_string())
    }
}

/// A run that failed; where keys of its configuration are to blame, at the place where one was given.
fn failure(given: &Given, failure: Failure) -> CliError {
    match given.problem(&failure.keys, failure.message.clone()) {
        Some(problem) => CliError::usage(problem),
        None => CliError::Failed(failure.message),
    }
}

impl From<crate::device::DeviceFailure> for CliError {
    fn from(failure: crate::device::DeviceFailure) -> Self {
        CliError::failed(failure)
    }
}

/// Parses the process's arguments, runs the subcommand and says how it went.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nothing to do about a closed stdout while printing help.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    crate::logging::init();
    match dispatch(cli) {
        Ok(Exit::Success) => ExitCode::SUCCESS,
        Ok(Exit::Interrupted) => ExitCode::from(130),
        Err(CliError::Failed(message)) => {
            complain(&format!("error: {message}"));
            ExitCode::from(1)
        }
        Err(CliError::Usage(message)) => {
            complain(&format!("error: {message}"));
            ExitCode::from(2)
        }
    }
}

/// A line on standard error; where that is closed too, there is nobody to tell.
pub(crate) fn complain(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn dispatch(cli: Cli) -> Result<Exit, CliError> {
    crate::kernel::simd::chosen().map_err(CliError::usage)?;
    match cli.command {
        None if cli.print_default_config => config::print_defaults(),
        Some(_) if cli.print_default_config => Err(CliError::usage(
            "--print-default-config stands alone, without a subcommand",
        )),
        None => tui::run(tui::Args {}),
        Some(Command::Train(args)) => train::run(args),
        Some(Command::FindRate(args)) => find_rate::run(args),
        Some(Command::Sweep(args)) => sweep::run(args),
        Some(Command::Attach(args)) => attach::run(args),
        Some(Command::Sample(args)) => sample::run(args),
        Some(Command::Eval(args)) => eval::run(args),
        Some(Command::Export(args)) => export::run(args),
        Some(Command::Import(args)) => import::run(args),
        Some(Command::Runs(args)) => runs::run(args),
        Some(Command::Corpus(args)) => corpus::run(args),
        Some(Command::Tokenizer(args)) => tokenizer::run(args),
        Some(Command::Devices(args)) => devices::run(args),
        Some(Command::Config(args)) => config::run(args),
        Some(Command::Bench(args)) => bench::run(args),
        Some(Command::Screenshots(args)) => screenshots::run(args),
        Some(Command::Completions(args)) => completions::run(args),
        Some(Command::Man(args)) => man::run(args),
    }
}
