//! `fireside export`: Take a trained model elsewhere

use std::path::PathBuf;

use super::open::{self, parse_which};
use super::{CliError, Exit};
use crate::export::{Exported, Format, Replace, export};
use crate::run::checkpoint::Which;

/// Take a trained model elsewhere: a folder for `transformers`, or plain safetensors
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A run: its folder, its name below the runs folder, or `last`
    run: String,
    /// `hf`: what transformers loads as GPT2LMHeadModel; `safetensors`: any model, with a PyTorch module that loads it
    #[arg(long, value_name = "FORMAT")]
    to: To,
    /// The folder to write (default: the run's name and the format, in the current folder)
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// `last` (or `newest`), `best` or a step
    #[arg(long, value_name = "WHICH", default_value = "last", value_parser = parse_which)]
    checkpoint: Which,
    /// Replace an earlier export in that folder
    #[arg(long)]
    force: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum To {
    Hf,
    Safetensors,
}

pub fn run(args: Args) -> Result<Exit, CliError> {
    let opened = open::open(&args.run, args.checkpoint, "auto")?;
    let name = std::path::absolute(&opened.dir)
        .unwrap_or_else(|_| opened.dir.clone())
        .file_name()
        .map_or_else(
            || "run".to_string(),
            |name| name.to_string_lossy().into_owned(),
        );
    let (format, suffix) = match args.to {
        To::Hf => (Format::HuggingFace, "hf"),
        To::Safetensors => (Format::Safetensors, "safetensors"),
    };
    let out = args
        .out
        .unwrap_or_else(|| PathBuf::from(format!("{name}-{suffix}")));
    let replace = match args.force {
        true => Replace::EarlierExport,
        false => Replace::Never,
    };
    let exported = Exported {
        name: &name,
        step: opened.entry.step,
        config: &opened.config,
        tokenizer: &opened.tokenizer,
        model: &opened.model,
    };
    let files = export(&exported, format, &out, replace).map_err(CliError::failed)?;
    let text = match args.json {
        true => {
            let files: serde_json::Map<String, serde_json::Value> = files
                .into_iter()
                .map(|(name, bytes)| (name, bytes.into()))
                .collect();
            serde_json::json!({
                "run": opened.dir,
                "step": opened.entry.step,
                "format": suffix,
                "folder": out,
                "bytes": files,
            })
            .to_string()
        }
        false => {
            let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
            format!(
                "step {} of {name} → {}: {}",
                opened.entry.step,
                out.display(),
                names.join(", ")
            )
        }
    };
    super::train::print(&format!("{text}\n"))?;
    Ok(Exit::Success)
}
