//! Opening a run to read from it: its config, tokenizer and the weights of one of its checkpoints.

use std::path::PathBuf;

use super::CliError;
use crate::config::RunConfig;
use crate::device;
use crate::model::{LanguageModel, load_named_tensors};
use crate::run::checkpoint::{self, CheckpointEntry, Which};
use crate::run::{self, RunFile};
use crate::tokenizer::Tokenizer;

/// A run's model, ready to read text.
pub struct Opened {
    pub dir: PathBuf,
    pub config: RunConfig,
    pub tokenizer: Tokenizer,
    pub model: LanguageModel,
    pub entry: CheckpointEntry,
}

/// `newest` (or `last`), `best` or a step.
pub fn parse_which(text: &str) -> Result<Which, String> {
    match text {
        "newest" | "last" => Ok(Which::Newest),
        "best" => Ok(Which::Best),
        step => step
            .parse()
            .map(Which::Step)
            .map_err(|_| "expected `newest` (or `last`), `best` or a step".to_string()),
    }
}

/// Opens `name` (a path, a name below the runs folder, or `last`). Another process may be training it.
pub fn open(name: &str, which: Which, device: &str) -> Result<Opened, CliError> {
    let dir = run::find(&super::tui::runs_root(), name).map_err(CliError::failed)?;
    let path = dir.join(RunFile::Config.name());
    let text = std::fs::read_to_string(&path)
        .map_err(|error| CliError::failed(format!("cannot read {}: {error}", path.display())))?;
    let config =
        RunConfig::from_toml(&path.display().to_string(), &text).map_err(CliError::failed)?;
    let (weights, entry, skipped) =
        checkpoint::load_model(&dir, which).map_err(CliError::failed)?;
    for sentence in skipped {
        super::complain(&format!("warning: {sentence}"));
    }
    let tokenizer =
        Tokenizer::load(&dir.join(RunFile::Tokenizer.name())).map_err(CliError::failed)?;
    let chosen = device::resolve(device).map_err(CliError::usage)?;
    if let Some(notice) = &chosen.notice {
        super::complain(&format!("note: {notice}"));
    }
    let model = device::guarded(&chosen.device, || {
        let model = LanguageModel::new(
            &config.model,
            tokenizer.vocab_size(),
            config.train.seed,
            &chosen.device,
        );
        load_named_tensors(model, &weights).map_err(|error| {
            CliError::failed(format!(
                "the weights in {} do not fit its config: {error}",
                entry.path.display()
            ))
        })
    })?;
    Ok(Opened {
        dir,
        config,
        tokenizer,
        model,
        entry,
    })
}
