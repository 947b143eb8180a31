//! `fireside sample`: Generate text from a run

use super::{CliError, Exit};

/// Generate text from a run
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: Args) -> Result<Exit, CliError> {
    Err(CliError::failed("not built yet"))
}
