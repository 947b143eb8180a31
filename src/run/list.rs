//! All runs below a folder, with their status; quick for hundreds of runs.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::dir::read_header;
use super::{Record, RunError, RunFile, RunHeader, checkpoint, lock, log};
use crate::config::ModelKind;
use crate::protocol::FinishReason;

/// How much of a log's end is read to learn its last step.
const TAIL: u64 = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunStatus {
    /// A live process holds its lock.
    Running,
    /// All steps done, or stopped early for want of improvement.
    Finished,
    /// Ended by the user, after a checkpoint.
    Stopped,
    Diverged,
    Failed,
    /// Its process went away without a last word.
    Interrupted,
}

impl RunStatus {
    pub const ALL: [RunStatus; 6] = [
        RunStatus::Running,
        RunStatus::Finished,
        RunStatus::Stopped,
        RunStatus::Diverged,
        RunStatus::Failed,
        RunStatus::Interrupted,
    ];

    pub fn label(self) -> &'static str {
        match self {
            RunStatus::Running => "running",
            RunStatus::Finished => "finished",
            RunStatus::Stopped => "stopped",
            RunStatus::Diverged => "diverged",
            RunStatus::Failed => "failed",
            RunStatus::Interrupted => "interrupted",
        }
    }
}

/// One line of a list of runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunSummary {
    pub dir: PathBuf,
    pub name: String,
    pub status: RunStatus,
    pub model: ModelKind,
    pub corpus: String,
    pub device: String,
    /// Seconds since 1970, UTC.
    pub created: u64,
    pub updated: u64,
    pub parameters: u64,
    pub step: u64,
    pub total_steps: u64,
    /// Seconds of training.
    pub seconds: f64,
    pub train_loss: Option<f64>,
    pub val_loss: Option<f64>,
    pub best_val_loss: Option<f64>,
    pub best_step: Option<u64>,
    pub bits_per_byte: Option<f64>,
    /// There is a checkpoint to go on from, and no other process has the run.
    pub resumable: bool,
    /// Why the run failed or diverged.
    pub problem: Option<String>,
}

impl RunSummary {
    /// Whether it is a trial of a sweep, which the sweep goes on with: it stands in the list below its folder's name.
    pub fn is_trial(&self) -> bool {
        self.name.contains('/')
    }

    /// The folder of its sweep, of a trial.
    pub fn sweep(&self) -> Option<&Path> {
        self.dir.parent().filter(|_| self.is_trial())
    }
}

/// `summary.json`: what the log says, so far as it matters to a list.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Summary {
    pub updated: u64,
    pub step: u64,
    pub seconds: f64,
    pub train_loss: Option<f64>,
    pub val_loss: Option<f64>,
    pub best_val_loss: Option<f64>,
    pub best_step: Option<u64>,
    pub bits_per_byte: Option<f64>,
    pub end: Option<RunStatus>,
    pub problem: Option<String>,
}

impl Summary {
    pub fn read(dir: &Path) -> Option<Self> {
        let bytes = std::fs::read(dir.join(RunFile::Summary.name())).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    pub fn note(&mut self, record: &Record) {
        match record {
            Record::Started(_) | Record::Resumed { .. } | Record::Rewound(_) => {
                self.end = None;
                self.problem = None;
            }
            Record::Step(report) => {
                self.step = report.step;
                self.seconds = report.seconds;
                self.train_loss = finite(report.loss);
            }
            Record::Eval(report) => {
                self.val_loss = finite(report.val_loss);
                self.bits_per_byte = finite(report.bits_per_byte);
                if let Some(loss) = self.val_loss
                    && self.best_val_loss.is_none_or(|best| loss < best)
                {
                    self.best_val_loss = Some(loss);
                    self.best_step = Some(report.step);
                }
            }
            Record::Finished(report) => {
                // A run that diverged stays diverged, however it is put away.
                if self.end != Some(RunStatus::Diverged) {
                    self.end = Some(match report.reason {
                        FinishReason::Completed | FinishReason::EarlyStopped => RunStatus::Finished,
                        FinishReason::Stopped => RunStatus::Stopped,
                    });
                }
            }
            Record::Diverged { message, .. } => {
                self.end = Some(RunStatus::Diverged);
                self.problem = Some(message.clone());
            }
            Record::Failed { message } => {
                self.end = Some(RunStatus::Failed);
                self.problem = Some(message.clone());
            }
            // A fork has a checkpoint before it has made a step.
            Record::Checkpoint(info) => self.step = self.step.max(info.step),
            Record::Sample(_) | Record::Edit(_) | Record::Spike(_) | Record::Notice { .. } => {}
        }
    }
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

/// The runs below `root`, the one changed last first. Folders that are no runs are left out; a run whose
/// `run.json` cannot be read is left out as well, with a line in the log. No folder is an empty list.
pub fn list(root: &Path) -> Vec<RunSummary> {
    let Ok(entries) = std::fs::read_dir(root) else {
        return Vec::new();
    };
    let mut runs: Vec<RunSummary> = entries
        .flatten()
        .flat_map(|entry| super::sweep::with_trials(entry.path()))
        .filter_map(|dir| match summarize(&dir) {
            Ok(mut summary) => {
                if let Some(label) = super::sweep::trial_label(&dir) {
                    summary.name = label;
                }
                Some(summary)
            }
            Err(RunError::NotARun { .. }) => None,
            Err(error) => {
                tracing::warn!(%error, "run left out of the list");
                None
            }
        })
        .collect();
    runs.sort_by(|a, b| b.updated.cmp(&a.updated).then_with(|| b.name.cmp(&a.name)));
    runs
}

/// One run's line.
///
/// # Errors
/// [`RunError::NotARun`], [`RunError::Newer`], [`RunError::Damaged`] and I/O errors, all about `run.json`.
pub fn summarize(dir: &Path) -> Result<RunSummary, RunError> {
    let header = read_header(dir)?;
    let running = lock::is_held(&dir.join(RunFile::Lock.name()));
    Ok(summarize_with(dir, &header, running))
}

/// As [`summarize`], of a run whose `run.json` was read already. `running`: a process holds it.
pub(super) fn summarize_with(dir: &Path, header: &RunHeader, running: bool) -> RunSummary {
    let mut summary = Summary::read(dir).unwrap_or_default();
    for record in tail(&dir.join(RunFile::Metrics.name())) {
        summary.note(&record);
    }
    let status = if running {
        RunStatus::Running
    } else {
        summary.end.unwrap_or(RunStatus::Interrupted)
    };
    let info = header.info.as_ref();
    RunSummary {
        dir: dir.to_path_buf(),
        name: dir
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_else(|| header.name.clone()),
        status,
        model: header.model,
        corpus: header.corpus.clone(),
        device: info.map(|info| info.device.clone()).unwrap_or_default(),
        created: header.created,
        updated: changed(dir).max(summary.updated).max(header.created),
        parameters: info.map_or(0, |info| info.parameters),
        step: summary.step,
        total_steps: info.map_or(0, |info| info.total_steps),
        seconds: summary.seconds,
        train_loss: summary.train_loss,
        val_loss: summary.val_loss,
        best_val_loss: summary.best_val_loss,
        best_step: summary.best_step,
        bits_per_byte: summary.bits_per_byte,
        resumable: !running && checkpoint::any(dir),
        problem: summary.problem,
    }
}

/// When the log was last written, seconds since 1970.
fn changed(dir: &Path) -> u64 {
    std::fs::metadata(dir.join(RunFile::Metrics.name()))
        .and_then(|metadata| metadata.modified())
        .ok()
        .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok())
        .map_or(0, |elapsed| elapsed.as_secs())
}

/// The records in the last bytes of a log, from the last `resumed` or `rewound` on.
fn tail(path: &Path) -> Vec<Record> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut bytes = Vec::with_capacity(TAIL as usize);
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let Ok(bytes) = read() else {
        return Vec::new();
    };
    // The first line is cut unless the whole log fits; it is then read without harm, or skipped.
    let records: Vec<Record> = bytes
        .split(|byte| *byte == b'\n')
        .filter_map(log::parse)
        .collect();
    let from = records
        .iter()
        .rposition(|record| matches!(record, Record::Resumed { .. } | Record::Rewound(_)))
        .unwrap_or(0);
    records[from..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, load};
    use crate::protocol::{EvalReport, FinishReport, StepReport};
    use crate::run::{RunDir, read_history};

    fn step(step: u64) -> Record {
        Record::Step(StepReport {
            step,
            epoch: 0.0,
            tokens: step,
            loss: 2.0,
            learning_rate: 0.1,
            grad_norm: 1.0,
            tokens_per_second: 1.0,
            ms: 1.0,
            forward_ms: 0.5,
            backward_ms: 0.4,
            optimizer_ms: 0.1,
            seconds: step as f64,
        })
    }

    fn eval(step: u64, val_loss: f64) -> Record {
        Record::Eval(EvalReport {
            step,
            tokens: step,
            seconds: 0.0,
            train_loss: val_loss,
            val_loss,
            perplexity: val_loss.exp(),
            bits_per_byte: val_loss,
            unknown_fraction: 0.0,
            best: false,
        })
    }

    #[test]
    fn status_follows_the_life_of_a_run() {
        let root = tempfile::tempdir().unwrap();
        let config = load(Source::Defaults, &[]).unwrap();
        let mut run = RunDir::create(root.path(), None, &config).unwrap();
        let path = run.path().to_path_buf();
        assert_eq!(summarize(&path).unwrap().status, RunStatus::Running);
        for count in 1..=300 {
            run.append(&step(count));
            if count % 50 == 0 {
                run.append(&eval(count, if count == 100 { 1.0 } else { 1.5 }));
                run.write_summary().unwrap();
            }
        }
        run.flush().unwrap();
        drop(run);
        let summary = summarize(&path).unwrap();
        assert_eq!(
            (summary.status, summary.step, summary.best_step),
            (RunStatus::Interrupted, 300, Some(100))
        );
        let mut run = RunDir::open(&path).unwrap();
        run.append(&Record::Resumed { step: 80 });
        run.rebuild_summary().unwrap();
        run.append(&step(81));
        run.append(&Record::Finished(FinishReport {
            step: 81,
            reason: FinishReason::Stopped,
            val_loss: None,
            best_val_loss: None,
            best_step: None,
            seconds: 81.0,
        }));
        run.sync().unwrap();
        drop(run);
        let summary = summarize(&path).unwrap();
        assert_eq!(
            (
                summary.status,
                summary.step,
                summary.best_step,
                summary.resumable
            ),
            (RunStatus::Stopped, 81, Some(50), false)
        );
        assert_eq!(read_history(&path).unwrap().steps.len(), 81);
    }

    #[test]
    fn what_is_no_run_is_left_out() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("empty")).unwrap();
        std::fs::write(root.path().join("file"), "").unwrap();
        let newer = root.path().join("newer");
        std::fs::create_dir(&newer).unwrap();
        std::fs::write(newer.join("run.json"), r#"{"format_version":99}"#).unwrap();
        assert!(list(root.path()).is_empty());
        assert!(list(&root.path().join("none")).is_empty());
        assert!(matches!(
            summarize(&newer),
            Err(RunError::Newer { found: 99, .. })
        ));
        let message = summarize(&root.path().join("empty"))
            .unwrap_err()
            .to_string();
        assert!(
            message.ends_with("is not a run: it has no run.json"),
            "{message}"
        );
    }

    #[test]
    fn a_taken_folder_is_refused_and_a_discarded_run_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let config = load(Source::Defaults, &[]).unwrap();
        let here = root.path().join("here");
        let run = RunDir::create(root.path(), Some(&here), &config).unwrap();
        assert!(matches!(
            RunDir::create(root.path(), Some(&here), &config),
            Err(RunError::Exists { .. })
        ));
        run.discard();
        assert!(!here.exists());
    }
}
