//! `fireside corpus`: List, fetch and generate corpora

use super::{CliError, Exit};

/// List, fetch and generate corpora
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: Args) -> Result<Exit, CliError> {
    Err(CliError::failed("not built yet"))
}
