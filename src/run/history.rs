//! What a run has been through, read back from its logs.

use std::path::Path;

use super::dir::{Logged, read_header};
use super::log::LeftBranch;
use super::{EditRecord, Parent, Record, RunError, RunFile, log};
use crate::model::training_operations;
use crate::protocol::{
    CheckpointInfo, EvalReport, FinishReport, Notice, RunInfo, SampleRecord, Spike, StepReport,
};

/// Everything a run logged, oldest first, without what a resume took back.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// `None` for a run that never got as far as training.
    pub info: Option<RunInfo>,
    /// Where its first weights came from, if they were not drawn.
    pub parent: Option<Parent>,
    pub steps: Vec<StepReport>,
    pub evaluations: Vec<EvalReport>,
    pub samples: Vec<SampleRecord>,
    /// As they were written; the older ones may have been cleared away since.
    pub checkpoints: Vec<CheckpointInfo>,
    pub edits: Vec<EditRecord>,
    pub notices: Vec<Notice>,
    /// What was trained, sampled and edited, and left when the run went back to a checkpoint, oldest first.
    pub left: Vec<LeftBranch>,
    pub spikes: Vec<Spike>,
    /// Steps at which the run was taken up again.
    pub resumed: Vec<u64>,
    pub finished: Option<FinishReport>,
    pub failed: Option<String>,
    /// Step, layer and message.
    pub diverged: Option<(u64, Option<String>, String)>,
    /// Lines that could not be read.
    pub skipped_lines: usize,
}

/// Reads the logs of the run in `dir`; another process may be writing them.
///
/// # Errors
/// [`RunError::NotARun`], [`RunError::Newer`], [`RunError::Damaged`] (of `run.json`); I/O errors. A torn or
/// unreadable line of a log is skipped and counted, not an error.
pub fn read_history(dir: &Path) -> Result<History, RunError> {
    let whole = Logged {
        metrics: u64::MAX,
        samples: u64::MAX,
        edits: u64::MAX,
        notices: u64::MAX,
    };
    read_history_up_to(dir, &whole)
}

/// As [`read_history`], as the logs were when they were that long.
///
/// # Errors
/// As [`read_history`].
pub fn read_history_up_to(dir: &Path, logged: &Logged) -> Result<History, RunError> {
    let header = read_header(dir)?;
    let mut history = History {
        info: header.info,
        parent: header.parent,
        ..History::default()
    };
    if let Some(info) = &mut history.info {
        // The folder may have been moved since.
        info.dir = dir.to_path_buf();
    }
    for (file, length) in [
        (RunFile::Metrics, logged.metrics),
        (RunFile::Samples, logged.samples),
        (RunFile::Edits, logged.edits),
        (RunFile::Notices, logged.notices),
    ] {
        let lines = log::read_up_to(&dir.join(file.name()), length)?;
        history.skipped_lines += lines.skipped;
        match file {
            RunFile::Metrics => history.left = lines.left,
            _ => join(&mut history.left, lines.left),
        }
        for record in lines.records {
            // The marker is in several logs; one of them counts it.
            if matches!(record, Record::Resumed { .. } | Record::Rewound(_))
                && file != RunFile::Metrics
            {
                continue;
            }
            history.add(record);
        }
    }
    // One that a run will make again, after it ended without a last word, stands before those made meanwhile.
    history.edits.sort_by_key(|edit| edit.step);
    Ok(history)
}

/// Puts what another log has of the branches beside what is known of them. Both name them in the order in which they were left; of
/// one that a log does not have, because a kill tore its last line away, nothing is added.
fn join(branches: &mut [LeftBranch], of_log: Vec<LeftBranch>) {
    let mut next = 0;
    for more in of_log {
        let mut rest = branches.iter().skip(next);
        let found = rest.position(|branch| branch.rewound == more.rewound);
        if let Some(at) = found.map(|at| next + at) {
            branches[at].records.extend(more.records);
            next = at + 1;
        }
    }
}

impl History {
    /// Multiplications and additions of training, a token; `None` where the log does not say what the model is.
    pub fn operations_per_token(&self) -> Option<f64> {
        let info = self.info.as_ref()?;
        Some(training_operations(&info.config.model, info.vocab_size) as f64)
    }

    fn add(&mut self, record: Record) {
        match record {
            Record::Started(_) => {}
            Record::Resumed { step } => self.resumed.push(step),
            Record::Rewound(_) => {}
            Record::Spike(spike) => self.spikes.push(spike),
            Record::Step(report) => self.steps.push(report),
            Record::Eval(report) => self.evaluations.push(report),
            Record::Sample(sample) => self.samples.push(sample),
            Record::Checkpoint(info) => self.checkpoints.push(info),
            Record::Edit(edit) => self.edits.push(edit),
            Record::Notice { level, message } => self.notices.push(Notice { level, message }),
            Record::Diverged {
                step,
                layer,
                message,
            } => self.diverged = Some((step, layer, message)),
            Record::Finished(report) => self.finished = Some(report),
            Record::Failed { message } => self.failed = Some(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Edit, EditAuthor, Rewound};

    fn left(from: u64, edits: &[u64]) -> LeftBranch {
        let edit = |step: &u64| {
            Record::Edit(EditRecord {
                step: *step,
                edit: Edit::LearningRateMultiplier(1.0),
                undo: None,
                by: EditAuthor::User,
            })
        };
        LeftBranch {
            rewound: Rewound {
                from,
                step: 1,
                checkpoint: "step-00000001".into(),
                by: EditAuthor::User,
                onto: None,
            },
            records: edits.iter().map(edit).collect(),
        }
    }

    #[test]
    fn branches_of_several_logs_are_joined_in_their_order() {
        // Two of them look alike; the other log has lost one, and has one more.
        let mut branches = [left(5, &[]), left(7, &[]), left(5, &[]), left(9, &[])];
        join(
            &mut branches,
            vec![
                left(5, &[2]),
                left(5, &[3, 4]),
                left(8, &[8]),
                left(9, &[9]),
            ],
        );
        let steps = |branch: &LeftBranch| -> Vec<u64> {
            let edits = branch.records.iter().filter_map(|record| match record {
                Record::Edit(edit) => Some(edit.step),
                _ => None,
            });
            edits.collect()
        };
        let found: Vec<Vec<u64>> = branches.iter().map(steps).collect();
        assert_eq!(found, [vec![2], vec![], vec![3, 4], vec![9]]);
    }
}
