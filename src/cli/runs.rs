//! `fireside runs`: List the runs on disk

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{CliError, Exit};
use crate::run::checkpoint::{self, CheckpointEntry};
use crate::run::{self, RunSummary};

/// List the runs on disk, or the checkpoints of one
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A run: its folder, its name below the runs folder, or `last`
    run: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<Exit, CliError> {
    let root = super::tui::runs_root();
    let text = match &args.run {
        None => {
            let runs = run::list(&root);
            match args.json {
                true => json_lines(&runs)?,
                false if runs.is_empty() => format!("no runs in {} yet\n", root.display()),
                false => table(&runs, now()),
            }
        }
        Some(name) => {
            let dir = run::find(&root, name).map_err(CliError::failed)?;
            let summary = run::summarize(&dir).map_err(CliError::failed)?;
            match args.json {
                true => json_lines(&[summary])?,
                false => details(&summary, &checkpoint::entries(&dir)),
            }
        }
    };
    super::train::print(&text)?;
    Ok(Exit::Success)
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}

fn json_lines(runs: &[RunSummary]) -> Result<String, CliError> {
    let mut text = String::new();
    for run in runs {
        text.push_str(&serde_json::to_string(run).map_err(CliError::failed)?);
        text.push('\n');
    }
    Ok(text)
}

fn table(runs: &[RunSummary], now: u64) -> String {
    let header = [
        "run",
        "status",
        "model",
        "corpus",
        "step",
        "validation",
        "best",
        "bits/byte",
        "changed",
    ];
    let mut rows = vec![header.map(str::to_string)];
    let number =
        |value: Option<f64>| value.map_or("–".to_string(), |value| format!("{value:.4}"));
    rows.extend(runs.iter().map(|run| {
        [
            run.name.clone(),
            run.status.label().to_string(),
            run.model.key().to_string(),
            run.corpus.clone(),
            format!("{}/{}", run.step, run.total_steps),
            number(run.val_loss),
            number(run.best_val_loss),
            number(run.bits_per_byte),
            age(now.saturating_sub(run.updated)),
        ]
    }));
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            rows.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

fn details(run: &RunSummary, checkpoints: &[CheckpointEntry]) -> String {
    let mut text = table(std::slice::from_ref(run), now());
    let _ = writeln!(text, "\n{}", run.dir.display());
    if let Some(problem) = &run.problem {
        let _ = writeln!(text, "{problem}");
    }
    let total: u64 = checkpoints.iter().map(|entry| entry.bytes).sum();
    let _ = writeln!(
        text,
        "\n{} checkpoints, {:.1} MB",
        checkpoints.len(),
        total as f64 / 1e6
    );
    for entry in checkpoints {
        let mut marks = Vec::new();
        if entry.best {
            marks.push("best when written");
        }
        if entry.kept {
            marks.push("kept");
        }
        let _ = writeln!(
            text,
            "  step {:>8}  {:>8.1} MB  validation {}  {}",
            entry.step,
            entry.bytes as f64 / 1e6,
            entry
                .val_loss
                .map_or("–".to_string(), |loss| format!("{loss:.4}")),
            marks.join(", ")
        );
    }
    text
}

/// `12 s ago`, `3 min ago`, `5 h ago`, `2 d ago`.
fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86400 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86400),
    }
}
