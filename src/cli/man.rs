//! `fireside man`: Print the manual page

use super::{CliError, Exit};

/// Print the manual page
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: Args) -> Result<Exit, CliError> {
    Err(CliError::failed("not built yet"))
}
