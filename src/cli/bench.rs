//! `fireside bench`: Measure training and screens on this machine

use super::{CliError, Exit};

/// Measure training and screens on this machine
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: Args) -> Result<Exit, CliError> {
    Err(CliError::failed("not built yet"))
}
