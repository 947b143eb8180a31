//! `fireside completions`: Print shell completions

use super::{CliError, Exit};

/// Print shell completions
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: Args) -> Result<Exit, CliError> {
    Err(CliError::failed("not built yet"))
}
