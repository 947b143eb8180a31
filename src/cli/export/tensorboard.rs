//! Runs as a log folder of TensorBoard.

use std::path::PathBuf;

use super::super::{CliError, Exit};
use super::Args;
use crate::export::tensorboard::{Logged, branches, export};
use crate::run::{self, RunFile};
use crate::words::counted;

pub(super) fn run(args: &Args) -> Result<Exit, CliError> {
    let logged = args.logged()?;
    let mut facts = Vec::new();
    for run in &logged {
        let created = run::summarize(&run.dir).map_err(CliError::failed)?.created;
        let path = run.dir.join(RunFile::Config.name());
        let config = std::fs::read_to_string(&path).map_err(|error| {
            CliError::failed(format!("cannot read {}: {error}", path.display()))
        })?;
        facts.push((created, config));
    }
    let runs: Vec<Logged<'_>> = logged
        .iter()
        .zip(&facts)
        .map(|(run, (created, config))| Logged {
            name: &run.name,
            created: *created,
            config,
            history: &run.history,
        })
        .collect();
    let out = args.out.clone().unwrap_or_else(|| match runs.as_slice() {
        [run] => PathBuf::from(format!("{}-tensorboard", run.name)),
        _ => PathBuf::from("runs-tensorboard"),
    });
    let files = export(&runs, &out, args.replace()).map_err(CliError::failed)?;
    let text = match args.json {
        true => {
            let files: serde_json::Map<String, serde_json::Value> = files
                .into_iter()
                .map(|(name, bytes)| (name, bytes.into()))
                .collect();
            let runs: Vec<_> = logged.iter().map(|run| &run.dir).collect();
            serde_json::json!({
                "runs": runs,
                "format": "tensorboard",
                "folder": out,
                "bytes": files,
            })
            .to_string()
        }
        false => {
            let said = |run: &Logged<'_>| {
                let left = match branches(run).count() {
                    0 => String::new(),
                    1 => ", and 1 branch that it has left".to_string(),
                    count => format!(", and {count} branches that it has left"),
                };
                let steps = counted(run.history.steps.len(), "step");
                format!("{} ({steps}{left})", run.name)
            };
            let said: Vec<String> = runs.iter().map(said).collect();
            format!(
                "{} → {}; `tensorboard --logdir {}` shows it",
                said.join(", "),
                out.display(),
                out.display()
            )
        }
    };
    super::super::train::print(&format!("{text}\n"))?;
    Ok(Exit::Success)
}
