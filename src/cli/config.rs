//! `fireside config`: Print, check, list and describe configurations

use super::{CliError, Exit};

/// Print, check, list and describe configurations
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: Args) -> Result<Exit, CliError> {
    Err(CliError::failed("not built yet"))
}
