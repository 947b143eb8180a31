//! `fireside train`: Train a model, with or without screens

use super::{CliError, Exit};

/// Train a model, with or without screens
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: Args) -> Result<Exit, CliError> {
    Err(CliError::failed("not built yet"))
}
