//! `fireside completions`: Print completions for a shell

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, CliError, Exit};

/// Print completions for a shell
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Whose completions
    #[arg(value_enum)]
    shell: Shell,
}

pub fn run(args: Args) -> Result<Exit, CliError> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "fireside", &mut text);
    super::train::print(&String::from_utf8_lossy(&text))?;
    Ok(Exit::Success)
}
