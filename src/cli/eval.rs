//! `fireside eval`: Measure a run's loss on any text

use super::{CliError, Exit};

/// Measure a run's loss on any text
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: Args) -> Result<Exit, CliError> {
    Err(CliError::failed("not built yet"))
}
