//! `fireside import`: Bring a model in

use std::path::{Path, PathBuf};

use super::{CliError, Exit};
use crate::export::import_hf;
use crate::model::parameter_count;
use crate::optim::Optimizer;
use crate::protocol::{CheckpointReason, FinishReason, FinishReport, NoticeLevel};
use crate::run::checkpoint::{self, Checkpoint, CheckpointMeta};
use crate::run::{Parent, Record, RunDir, RunError};
use crate::train::Progress;

/// Bring a model in, as a run to sample, evaluate and train on from
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub from: From,
}

#[derive(Debug, clap::Subcommand)]
pub enum From {
    /// A folder that `transformers` wrote for a GPT-2: config.json, model.safetensors, tokenizer.json
    Hf {
        /// The folder
        folder: PathBuf,
        /// Folder of the new run (default: a numbered one in ./runs or FIRESIDE_RUNS, named after the folder)
        #[arg(long, value_name = "DIR")]
        run: Option<PathBuf>,
    },
}

pub fn run(args: Args) -> Result<Exit, CliError> {
    let From::Hf { folder, run } = args.from;
    let imported = import_hf(&folder).map_err(CliError::failed)?;
    for notice in &imported.notices {
        super::complain(&format!("note: {notice}"));
    }
    let parameters = parameter_count(&imported.config.model, imported.tokenizer.vocab_size());
    let mut dir = RunDir::create(&super::tui::runs_root(), run.as_deref(), &imported.config)
        .map_err(CliError::failed)?;
    let name = dir.name().to_string();
    let path = dir.path().to_path_buf();
    if let Err(error) = fill(&mut dir, &folder, imported) {
        // Half a run is none.
        let _ = std::fs::remove_dir_all(path.join(crate::run::RunFile::Checkpoints.name()));
        dir.discard();
        return Err(CliError::failed(error));
    }
    super::train::print(&format!(
        "{} is now the run {name}, a gpt of {parameters} parameters: {}\n\
         go on with `fireside sample {name}`, `fireside eval {name} --path TEXT`, or `fireside train --from {name} --set \
         'corpus.path=[\"TEXT\"]'`\n",
        folder.display(),
        path.display(),
    ))?;
    Ok(Exit::Success)
}

/// The tokenizer, a checkpoint of step 0, and where it all came from.
fn fill(
    dir: &mut RunDir,
    folder: &Path,
    imported: crate::export::Imported,
) -> Result<(), RunError> {
    let source = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
    dir.write_tokenizer(&imported.tokenizer.to_json())?;
    let trainer = serde_json::to_value(Progress::default()).map_err(|error| RunError::Damaged {
        path: dir.path().to_path_buf(),
        reason: error.to_string(),
    })?;
    checkpoint::write(
        dir.path(),
        &CheckpointMeta {
            step: 0,
            reason: CheckpointReason::User,
            best: false,
            val_loss: None,
        },
        &Checkpoint {
            model: imported.tensors,
            optimizer: Optimizer::new(&imported.config.optimizer).state(),
            carried: Vec::new(),
            state: serde_json::json!({ "trainer": trainer, "session": {} }),
        },
    )?;
    dir.append(&Record::Notice {
        level: NoticeLevel::Info,
        message: format!("imported from {}", source.display()),
    });
    dir.append(&Record::Finished(FinishReport {
        step: 0,
        reason: FinishReason::Stopped,
        val_loss: None,
        best_val_loss: None,
        best_step: None,
        seconds: 0.0,
    }));
    dir.write_parent(Parent {
        run: source.display().to_string(),
        step: 0,
    })?;
    dir.sync()
}
