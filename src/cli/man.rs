//! `fireside man`: Print the manual page, or write one for each command

use std::path::PathBuf;

use clap::CommandFactory;

use super::{Cli, CliError, Exit};

/// Print the manual page, or write one for each command
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write the pages of all commands into this folder
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub fn run(args: Args) -> Result<Exit, CliError> {
    match args.dir {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command())
                .render(&mut page)
                .map_err(CliError::failed)?;
            super::train::print(&String::from_utf8_lossy(&page))?;
        }
        Some(dir) => {
            let failed = |error: std::io::Error| {
                CliError::failed(format!("cannot write to {}: {error}", dir.display()))
            };
            std::fs::create_dir_all(&dir).map_err(failed)?;
            clap_mangen::generate_to(Cli::command(), &dir).map_err(failed)?;
        }
    }
    Ok(Exit::Success)
}
