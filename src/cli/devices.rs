//! `fireside devices`: List backends and devices, and why one is missing

use super::{CliError, Exit};

/// List backends and devices, and why one is missing
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: Args) -> Result<Exit, CliError> {
    Err(CliError::failed("not built yet"))
}
