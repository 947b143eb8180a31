//! `fireside tokenizer`: See a text as a tokenizer sees it

use super::{CliError, Exit};

/// See a text as a tokenizer sees it
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: Args) -> Result<Exit, CliError> {
    Err(CliError::failed("not built yet"))
}
