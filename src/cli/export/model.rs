//! A model: a folder for `transformers`, or plain safetensors.

use std::path::PathBuf;

use super::super::{CliError, Exit, open};
use super::{Args, name_of};
use crate::export::{Exported, Format, export};
use crate::run::checkpoint::Which;

pub(super) fn run(args: &Args, format: Format, suffix: &str) -> Result<Exit, CliError> {
    let which = args.checkpoint.unwrap_or(Which::Newest);
    let run = args.runs.first().map_or("last", String::as_str);
    let opened = open::open(run, which, "auto")?;
    let name = name_of(&opened.dir);
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{name}-{suffix}")));
    let exported = Exported {
        name: &name,
        step: opened.entry.step,
        config: &opened.config,
        tokenizer: &opened.tokenizer,
        model: &opened.model,
    };
    let files = export(&exported, format, &out, args.replace()).map_err(CliError::failed)?;
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
    super::super::train::print(&format!("{text}\n"))?;
    Ok(Exit::Success)
}
