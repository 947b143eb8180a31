//! `fireside screenshots`: Draw the screens of a short real run as SVG and PNG

use super::{CliError, Exit};

/// Draw the screens of a short real run as SVG and PNG
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: Args) -> Result<Exit, CliError> {
    Err(CliError::failed("not built yet"))
}
