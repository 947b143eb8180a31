//! `fireside runs`: List the runs on this machine

use super::{CliError, Exit};

/// List the runs on this machine
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: Args) -> Result<Exit, CliError> {
    Err(CliError::failed("not built yet"))
}
