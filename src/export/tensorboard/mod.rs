//! A run as a log folder that TensorBoard reads: scalars of every step and evaluation, samples, edits and the
//! configuration as text.
//!
//! | tag | what |
//! | --- | --- |
//! | `train/loss`, `train/learning_rate`, `train/grad_norm`, `train/tokens_per_second` | every step |
//! | `eval/loss`, `eval/perplexity`, `eval/bits_per_byte`, `eval/train_loss` | every evaluation |
//! | `samples/prompt N` | what the model wrote |
//! | `edits`, `config` | what was changed, and what the run is |
//!
//! Steps that the run left by going back to a checkpoint are not in it: TensorBoard has one value a step.

mod event;
mod record;
#[cfg(test)]
mod tests;

use std::path::Path;

use super::folder::{self, Replace};
use super::{ExportError, File};
use crate::protocol::{EvalReport, SampleRecord, StepReport};
use crate::run::{History, LeftBranch};

use event::What;

/// A run to be written.
#[derive(Debug, Clone, Copy)]
pub struct Logged<'a> {
    pub name: &'a str,
    /// Seconds since 1970, when the run was made.
    pub created: u64,
    /// `config.toml`.
    pub config: &'a str,
    pub history: &'a History,
}

/// Writes the event file of a run into the folder `out`, or those of several runs into a folder each below it, and returns the
/// names and sizes in bytes.
///
/// # Errors
/// A folder that is there already and may not be replaced; I/O errors. Nothing is left behind then.
pub fn export(
    runs: &[Logged<'_>],
    out: &Path,
    replace: Replace,
) -> Result<Vec<(String, u64)>, ExportError> {
    let files: Vec<File> = runs
        .iter()
        .map(|run| {
            let file = format!("{}{:010}.fireside", folder::EVENTS, run.created);
            File {
                name: match runs.len() {
                    1 => file.into(),
                    _ => format!("{}/{file}", run.name).into(),
                },
                bytes: events(run),
            }
        })
        .collect();
    folder::write(out, replace, &files)
}

/// All events, in the order of their steps.
fn events(run: &Logged<'_>) -> Vec<u8> {
    let history = run.history;
    let mut writer = Writer {
        created: run.created as f64,
        steps: &history.steps,
        out: Vec::new(),
    };
    writer.put(0.0, 0, &What::Version);
    writer.text(0, "config", &literal(run.config));
    // What happened besides steps, by step; of one step in this order.
    let mut beside: Vec<(u64, Beside<'_>)> = Vec::new();
    for edit in &history.edits {
        beside.push((edit.step, Beside::Edit(edit.edit.to_string())));
    }
    for LeftBranch { rewound, .. } in &history.left {
        let text = format!(
            "went back from step {} to {}",
            rewound.from, rewound.checkpoint
        );
        beside.push((rewound.step, Beside::Edit(text)));
    }
    for report in &history.evaluations {
        beside.push((report.step, Beside::Evaluation(report)));
    }
    for sample in &history.samples {
        beside.push((sample.step, Beside::Sample(sample)));
    }
    beside.sort_by_key(|(step, _)| *step);
    let mut beside = beside.into_iter().peekable();
    for report in &history.steps {
        while let Some((step, what)) = beside.next_if(|(step, _)| *step < report.step) {
            writer.beside(step, what);
        }
        let values = [
            ("train/loss", report.loss),
            ("train/learning_rate", report.learning_rate),
            ("train/grad_norm", report.grad_norm),
            ("train/tokens_per_second", report.tokens_per_second),
        ];
        writer.put(report.seconds, report.step, &What::Scalars(&values));
    }
    for (step, what) in beside {
        writer.beside(step, what);
    }
    writer.out
}

enum Beside<'a> {
    Edit(String),
    Evaluation(&'a EvalReport),
    Sample(&'a SampleRecord),
}

struct Writer<'a> {
    created: f64,
    steps: &'a [StepReport],
    out: Vec<u8>,
}

impl Writer<'_> {
    fn put(&mut self, seconds: f64, step: u64, what: &What<'_>) {
        let event = event::encode(self.created + seconds, step, what);
        record::frame(&event, &mut self.out);
    }

    /// At the time of the nearest step.
    fn text(&mut self, step: u64, tag: &str, text: &str) {
        let after = self.steps.partition_point(|report| report.step < step);
        let near = self
            .steps
            .get(after.min(self.steps.len().saturating_sub(1)));
        let seconds = near
            .filter(|_| step > 0)
            .map_or(0.0, |report| report.seconds);
        self.put(seconds, step, &What::Text { tag, text });
    }

    fn beside(&mut self, step: u64, what: Beside<'_>) {
        match what {
            Beside::Edit(text) => self.text(step, "edits", &text),
            Beside::Evaluation(report) => {
                let values = [
                    ("eval/loss", report.val_loss),
                    ("eval/perplexity", report.perplexity),
                    ("eval/bits_per_byte", report.bits_per_byte),
                    ("eval/train_loss", report.train_loss),
                ];
                self.put(report.seconds, step, &What::Scalars(&values));
            }
            Beside::Sample(sample) => {
                let text = format!(
                    "temperature {}, top-k {}, top-p {}\n\n{}",
                    sample.temperature,
                    sample.top_k,
                    sample.top_p,
                    literal(&format!("{}{}", sample.prompt, sample.text))
                );
                let tag = format!("samples/prompt {}", sample.prompt_index + 1);
                self.text(step, &tag, &text);
            }
        }
    }
}

/// Text that Markdown leaves as it is: a block that is indented by four spaces.
fn literal(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("    {line}")).collect();
    lines.join("\n")
}
