//! The list as a table or as lines of JSON, and one run with its checkpoints.

use std::fmt::Write;
use std::sync::Arc;

use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::cli::{CliError, Exit};
use crate::run::checkpoint::{self, CheckpointEntry};
use crate::run::filter::Filter;
use crate::run::{self, RunEntry, SortBy, Store};
use crate::words::counted;

#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// A run: its folder, its name below the runs folder, or `last`
    run: Option<String>,
    /// Only runs that fit: words, and comparisons of columns or configuration keys, such as `val_loss<1.9 & model=gpt`
    #[arg(
        long,
        value_name = "EXPRESSION",
        conflicts_with = "run",
        allow_hyphen_values = true
    )]
    filter: Option<String>,
    /// Column or configuration key to sort by; a `-` before it puts the largest first
    #[arg(
        long,
        value_name = "KEY",
        conflicts_with = "run",
        allow_hyphen_values = true
    )]
    sort: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

pub fn run(args: ListArgs) -> Result<Exit, CliError> {
    let root = super::super::tui::runs_root();
    let text = match &args.run {
        None => {
            let filter = args.filter.as_deref().unwrap_or_default();
            let filter = Filter::parse(filter)
                .map_err(|error| CliError::usage(pointed("--filter", filter, &error)))?;
            let sort = match &args.sort {
                Some(text) => SortBy::parse(text)
                    .map_err(|error| CliError::usage(format!("--sort {text}: {error}")))?,
                None => SortBy::default(),
            };
            let now = run::now();
            let listing = Store::new(root.clone()).refresh();
            for words in &listing.left_out {
                crate::cli::complain(&format!("left out: {words}"));
            }
            let none = listing.runs.is_empty();
            let mut runs: Vec<Arc<RunEntry>> = listing
                .runs
                .into_iter()
                .filter(|run| filter.fits(run, now))
                .collect();
            runs.sort_by(|a, b| sort.compare(a, b, now));
            match args.json {
                true => json_lines(&runs)?,
                false if none => format!("no runs in {} yet\n", root.display()),
                false if runs.is_empty() => "no run fits\n".to_string(),
                false => table(&runs, now),
            }
        }
        Some(name) => {
            let dir = run::find(&root, name).map_err(CliError::failed)?;
            let entry = Arc::new(run::entry(&dir).map_err(CliError::failed)?);
            match args.json {
                true => json_lines(&[entry])?,
                false => details(entry, &checkpoint::entries(&dir)),
            }
        }
    };
    crate::cli::train::print(&text)?;
    Ok(Exit::Success)
}

/// The text with a caret under the place that is wrong.
fn pointed(what: &str, text: &str, error: &run::filter::FilterError) -> String {
    let before: String = text.chars().take(error.at).collect();
    format!(
        "{what}: {}\n  {text}\n  {}^",
        error.message,
        " ".repeat(before.width())
    )
}

/// A run, and what it takes on the disk.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    run: &'a RunEntry,
    checkpoints: usize,
    checkpoint_bytes: u64,
}

fn json_lines(runs: &[Arc<RunEntry>]) -> Result<String, CliError> {
    let mut text = String::new();
    for run in runs {
        let checkpoints = checkpoint::entries(&run.summary.dir);
        let listed = Listed {
            run,
            checkpoints: checkpoints.len(),
            checkpoint_bytes: checkpoints.iter().map(|entry| entry.bytes).sum(),
        };
        text.push_str(&serde_json::to_string(&listed).map_err(CliError::failed)?);
        text.push('\n');
    }
    Ok(text)
}

const HEADER: [&str; 10] = [
    "run",
    "status",
    "model",
    "corpus",
    "step",
    "validation",
    "best",
    "bits/byte",
    "changed",
    "tags",
];

fn table(runs: &[Arc<RunEntry>], now: u64) -> String {
    let number =
        |value: Option<f64>| value.map_or("–".to_string(), |value| format!("{value:.4}"));
    let mut rows = vec![HEADER.map(str::to_string)];
    rows.extend(runs.iter().map(|entry| {
        let run = &entry.summary;
        let status = match entry.process {
            Some(process) => format!("{} ({process})", run.status.label()),
            None => run.status.label().to_string(),
        };
        [
            run.name.clone(),
            status,
            run.model.key().to_string(),
            run.corpus.clone(),
            format!("{}/{}", run.step, run.total_steps),
            number(run.val_loss),
            number(run.best_val_loss),
            number(run.bits_per_byte),
            age(now.saturating_sub(run.updated)),
            entry.notes.tags.join(" "),
        ]
    }));
    let widths: Vec<usize> = (0..HEADER.len())
        .map(|column| {
            rows.iter()
                .map(|row| row[column].width())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat(width.saturating_sub(cell.width()) + 2));
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn details(entry: Arc<RunEntry>, checkpoints: &[CheckpointEntry]) -> String {
    let mut text = table(std::slice::from_ref(&entry), run::now());
    let run = &entry.summary;
    let _ = writeln!(text, "\n{}", run.dir.display());
    if let Some(problem) = &run.problem {
        let _ = writeln!(text, "{problem}");
    }
    if let Some(trouble) = &entry.trouble {
        let _ = writeln!(text, "{trouble}");
    }
    if let Some(parent) = &entry.parent {
        let _ = writeln!(text, "from {}, step {}", parent.run, parent.step);
    }
    if !entry.notes.formerly.is_empty() {
        let _ = writeln!(text, "formerly {}", entry.notes.formerly.join(", "));
    }
    if !entry.notes.note.is_empty() {
        let _ = writeln!(text, "\n{}", entry.notes.note);
    }
    let total: u64 = checkpoints.iter().map(|entry| entry.bytes).sum();
    let _ = writeln!(
        text,
        "\n{}, {:.1} MB",
        counted(checkpoints.len(), "checkpoint"),
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
pub fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86400 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86400),
    }
}
