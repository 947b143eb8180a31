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
//! TensorBoard has one value a step. What the run trained and left by going back to a checkpoint therefore lies in a folder of
//! its own below, which TensorBoard shows as a run of its own: `left-1-at-step-400` is the first that was left, where the run went
//! back to step 400. It has the scalars of its steps and evaluations, what the model wrote on it, and its edits.

mod event;
mod record;
#[cfg(test)]
mod tests;

use std::path::Path;

use super::folder::{self, Replace};
use super::{ExportError, File};
use crate::protocol::{EvalReport, SampleRecord, StepReport};
use crate::run::{History, LeftBranch, Record};

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

/// Writes the event file of a run into the folder `out`, or those of several runs into a folder each below it, with a folder for
/// each branch that a run has left, and returns the names and sizes in bytes.
///
/// # Errors
/// A folder that is there already and may not be replaced; I/O errors. Nothing is left behind then.
pub fn export(
    runs: &[Logged<'_>],
    out: &Path,
    replace: Replace,
) -> Result<Vec<(String, u64)>, ExportError> {
    let mut files: Vec<File> = Vec::new();
    for run in runs {
        let below = match runs.len() {
            1 => String::new(),
            _ => format!("{}/", run.name),
        };
        let name = format!("{}{:010}.fireside", folder::EVENTS, run.created);
        files.push(File {
            name: format!("{below}{name}").into(),
            bytes: events(run),
        });
        files.extend(branches(run).map(|(branch, bytes)| File {
            name: format!("{below}{branch}/{name}").into(),
            bytes,
        }));
    }
    folder::write(out, replace, &files)
}

/// The branches that a run has left, with their names and events. Those on which no step was trained have nothing to show.
pub fn branches(run: &Logged<'_>) -> impl Iterator<Item = (String, Vec<u8>)> {
    let trained = |branch: &&LeftBranch| {
        let mut records = branch.records.iter();
        records.any(|record| matches!(record, Record::Step(_)))
    };
    let created = run.created;
    let left = run.history.left.iter().filter(trained).enumerate();
    left.map(move |(at, branch)| {
        let name = format!("{}{}-at-step-{}", folder::LEFT, at + 1, branch.rewound.step);
        (name, branch_events(branch, created))
    })
}

fn branch_events(branch: &LeftBranch, created: u64) -> Vec<u8> {
    let steps = branch.records.iter().filter_map(|record| match record {
        Record::Step(report) => Some(*report),
        _ => None,
    });
    let steps: Vec<StepReport> = steps.collect();
    let beside = branch.records.iter().filter_map(|record| match record {
        Record::Eval(report) => Some((report.step, Beside::Evaluation(report))),
        Record::Sample(sample) => Some((sample.step, Beside::Sample(sample))),
        Record::Edit(edit) => Some((edit.step, Beside::Edit(edit.edit.to_string()))),
        _ => None,
    });
    let mut writer = Writer::new(created, &steps);
    writer.text(steps[0].step, "edits", &went_back(branch));
    writer.all(beside.collect());
    writer.out
}

fn went_back(branch: &LeftBranch) -> String {
    let rewound = &branch.rewound;
    format!(
        "went back from step {} to {}",
        rewound.from, rewound.checkpoint
    )
}

/// All events, in the order of their steps.
fn events(run: &Logged<'_>) -> Vec<u8> {
    let history = run.history;
    let mut writer = Writer::new(run.created, &history.steps);
    writer.text(0, "config", &literal(run.config));
    // What happened besides steps, by step; of one step in this order.
    let mut beside: Vec<(u64, Beside<'_>)> = Vec::new();
    for edit in &history.edits {
        beside.push((edit.step, Beside::Edit(edit.edit.to_string())));
    }
    for branch in &history.left {
        beside.push((branch.rewound.step, Beside::Edit(went_back(branch))));
    }
    for report in &history.evaluations {
        beside.push((report.step, Beside::Evaluation(report)));
    }
    for sample in &history.samples {
        beside.push((sample.step, Beside::Sample(sample)));
    }
    writer.all(beside);
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

impl<'a> Writer<'a> {
    fn new(created: u64, steps: &'a [StepReport]) -> Self {
        let mut writer = Self {
            created: created as f64,
            steps,
            out: Vec::new(),
        };
        writer.put(0.0, 0, &What::Version);
        writer
    }

    /// The scalars of all steps, and what happened besides, in the order of their steps.
    fn all(&mut self, mut beside: Vec<(u64, Beside<'_>)>) {
        beside.sort_by_key(|(step, _)| *step);
        let mut beside = beside.into_iter().peekable();
        for report in self.steps {
            while let Some((step, what)) = beside.next_if(|(step, _)| *step < report.step) {
                self.beside(step, what);
            }
            let values = [
                ("train/loss", report.loss),
                ("train/learning_rate", report.learning_rate),
                ("train/grad_norm", report.grad_norm),
                ("train/tokens_per_second", report.tokens_per_second),
            ];
            self.put(report.seconds, report.step, &What::Scalars(&values));
        }
        for (step, what) in beside {
            self.beside(step, what);
        }
    }

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
