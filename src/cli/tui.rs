//! `fireside tui`: Open the screens (what no arguments does)

use super::{CliError, Exit};

/// Open the screens (what no arguments does)
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: Args) -> Result<Exit, CliError> {
    Err(CliError::failed("not built yet"))
}
