//! The way to a checkpoint on a branch that a run has left: what its logs hold of that branch.
//!
//! Logs are only ever appended to, so that a run which takes such a branch up again says once more what happened on it: a
//! `rewound` line to the last step that the branch and the run have in common, copies of what the branch logged up to the
//! checkpoint, and a `resumed` line. Whoever reads the logs needs to know nothing of it.

use std::path::Path;

use super::checkpoint::CheckpointEntry;
use super::log::{self, Reader};
use super::{EditRecord, Record, RunError, RunFile};
use crate::protocol::EditAuthor;

/// Where a checkpoint lies, seen from what its run is now.
#[derive(Debug)]
pub enum Place {
    /// On the run's own way.
    Here,
    /// On a branch that was left.
    Left(WayBack),
    /// The logs do not say: it was written when they could not be.
    Unknown,
}

/// What leads to a checkpoint on a branch that was left.
#[derive(Debug)]
pub struct WayBack {
    /// The last step that the branch and the run have in common.
    pub common: u64,
    /// What was logged beyond it, up to the checkpoint, in its order: edits, steps, evaluations, samples, spikes and checkpoints.
    pub records: Vec<Record>,
}

impl WayBack {
    /// Whether a checkpoint was made on the way.
    pub fn has(&self, entry: &CheckpointEntry) -> bool {
        self.records.iter().any(|record| tells_of(record, entry))
    }
}

/// Whether a record says that this checkpoint was made. Not by its name alone: another of that name may have been cleared away, and be on
/// another branch.
fn tells_of(record: &Record, entry: &CheckpointEntry) -> bool {
    let Record::Checkpoint(info) = record else {
        return false;
    };
    let numbered = info.sequence.is_none_or(|number| number == entry.sequence);
    numbered && info.path.file_name() == entry.path.file_name()
}

/// When something happens: an edit before its step, what a step asks for after it.
fn moment(record: &Record) -> (u64, u8) {
    match record {
        Record::Edit(edit) => (edit.step, 0),
        Record::Step(report) => (report.step, 1),
        Record::Spike(spike) => (spike.step, 2),
        Record::Eval(report) => (report.step, 3),
        Record::Sample(sample) => (sample.step, 4),
        Record::Checkpoint(info) => (info.step, 5),
        _ => (u64::MAX, 6),
    }
}

/// What a branch is taken up again with. Borders and last words are of the time before it was left.
fn is_of_a_branch(record: &Record) -> bool {
    moment(record).1 < 6
}

/// Where a checkpoint of the run in `dir` lies.
///
/// # Errors
/// I/O errors of the logs.
pub fn place(dir: &Path, entry: &CheckpointEntry) -> Result<Place, RunError> {
    let is_it = |record: &Record| tells_of(record, entry);
    let mut reader = Reader::default();
    let mut borders = 0;
    // The border that took it back for the last time, and what there was up to it just before.
    let mut left: Option<(usize, u64, Vec<Record>)> = None;
    for record in log::read_raw(&dir.join(RunFile::Metrics.name()))? {
        if let Some(step) = log::border(&record) {
            let records = &reader.lines.records;
            let found = records.iter().rposition(is_it);
            match (found, &mut left) {
                (Some(at), _) if log::taken_back(&records[at], step) => {
                    left = Some((borders, step, records[..=at].to_vec()));
                }
                (_, Some((_, common, _))) => *common = step.min(*common),
                _ => {}
            }
            borders += 1;
        }
        reader.take(record);
    }
    if reader.lines.records.iter().any(is_it) {
        return Ok(Place::Here);
    }
    let Some((border, common, mut records)) = left else {
        return Ok(Place::Unknown);
    };
    for file in [RunFile::Samples, RunFile::Edits] {
        let path = dir.join(file.name());
        records.extend(before_border(&path, borders - border)?);
    }
    records.retain(|record| {
        let (step, _) = moment(record);
        is_of_a_branch(record) && step > common && step <= entry.step
    });
    records.sort_by_key(moment);
    Ok(Place::Left(WayBack { common, records }))
}

/// The edits that a run made on its own way after one of its checkpoints, in their order. None where the checkpoint lies elsewhere.
///
/// # Errors
/// I/O errors of the logs.
pub fn edits_after(dir: &Path, entry: &CheckpointEntry) -> Result<Vec<EditRecord>, RunError> {
    if matches!(place(dir, entry)?, Place::Left(_)) {
        return Ok(Vec::new());
    }
    let lines = log::read(&dir.join(RunFile::Edits.name()))?;
    let edits = lines.records.into_iter().filter_map(|record| match record {
        Record::Edit(edit) if edit.step > entry.step => Some(edit),
        _ => None,
    });
    let mut edits: Vec<EditRecord> = edits.collect();
    edits.sort_by_key(|edit| edit.step);
    Ok(edits)
}

/// How often the policy for spikes went back to a checkpoint, its last times in a row.
///
/// # Errors
/// I/O errors of the log.
pub fn retreats(dir: &Path, checkpoint: &str) -> Result<usize, RunError> {
    let records = log::read_raw(&dir.join(RunFile::Edits.name()))?;
    let by_policy = records.iter().rev().filter_map(|record| match record {
        Record::Rewound(rewound) if rewound.by == EditAuthor::Policy => Some(rewound),
        _ => None,
    });
    Ok(by_policy
        .take_while(|rewound| rewound.checkpoint == checkpoint)
        .count())
}

/// What a log held before a border, counted from the last one: a kill may have kept an earlier one from a log.
fn before_border(path: &Path, from_the_end: usize) -> Result<Vec<Record>, RunError> {
    let records = log::read_raw(path)?;
    let borders: Vec<usize> = (0..records.len())
        .filter(|at| log::border(&records[*at]).is_some())
        .collect();
    let Some(border) = borders.len().checked_sub(from_the_end) else {
        return Ok(Vec::new());
    };
    let end = borders.get(border).copied().unwrap_or(records.len());
    let mut reader = Reader::default();
    for record in records.into_iter().take(end) {
        reader.take(record);
    }
    Ok(reader.lines.records)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::log::JsonLog;
    use super::*;
    use crate::protocol::{CheckpointInfo, CheckpointReason, Rewound, SampleRecord, StepReport};

    fn step(step: u64, loss: f64) -> Record {
        Record::Step(StepReport {
            step,
            epoch: 0.0,
            tokens: step,
            loss,
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

    fn saved(step: u64, name: &str) -> Record {
        saved_as(step, name, None)
    }

    fn saved_as(step: u64, name: &str, sequence: Option<u64>) -> Record {
        Record::Checkpoint(CheckpointInfo {
            step,
            sequence,
            path: PathBuf::from("/elsewhere/checkpoints").join(name),
            bytes: 1,
            total_bytes: 1,
            reason: CheckpointReason::User,
            val_loss: None,
        })
    }

    fn sample(step: u64, text: &str) -> Record {
        Record::Sample(SampleRecord {
            step,
            prompt_index: 0,
            prompt: "a".into(),
            text: text.into(),
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            tokens_per_second: 1.0,
            complete: true,
        })
    }

    fn edit(step: u64) -> Record {
        Record::Edit(crate::run::EditRecord {
            step,
            edit: crate::protocol::Edit::LearningRateMultiplier(0.5),
            undo: None,
            by: EditAuthor::User,
        })
    }

    fn back(from: u64, step: u64) -> Record {
        Record::Rewound(Rewound {
            from,
            step,
            checkpoint: "any".into(),
            by: EditAuthor::User,
            onto: None,
        })
    }

    fn entry(step: u64, name: &str) -> CheckpointEntry {
        CheckpointEntry {
            path: PathBuf::from("/here/checkpoints").join(name),
            step,
            sequence: 0,
            reason: CheckpointReason::User,
            best: false,
            kept: false,
            left: true,
            val_loss: None,
            created: 0,
            bytes: 1,
        }
    }

    struct Logs(tempfile::TempDir);

    impl Logs {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn add(&self, records: &[Record]) {
            for file in [RunFile::Metrics, RunFile::Samples, RunFile::Edits] {
                let mut log = JsonLog::open(self.0.path().join(file.name())).unwrap();
                for record in records {
                    let goes_to = match record {
                        Record::Sample(_) => RunFile::Samples,
                        Record::Edit(_) => RunFile::Edits,
                        _ => RunFile::Metrics,
                    };
                    if goes_to == file || log::border(record).is_some() {
                        log.push(record);
                    }
                }
                log.sync().unwrap();
            }
        }

        fn way(&self, step: u64, name: &str) -> WayBack {
            match place(self.0.path(), &entry(step, name)).unwrap() {
                Place::Left(way) => way,
                other => panic!("{other:?}"),
            }
        }
    }

    /// Losses of the steps that the log now says the run was trained with.
    fn losses(logs: &Logs) -> Vec<f64> {
        let lines = log::read(&logs.0.path().join(RunFile::Metrics.name())).unwrap();
        let steps = lines.records.iter().filter_map(|record| match record {
            Record::Step(report) => Some(report.loss),
            _ => None,
        });
        steps.collect()
    }

    /// One branch had a checkpoint that was cleared away, another made one of the same name, and the first was taken up again.
    #[test]
    fn a_name_that_was_used_again_is_of_the_branch_that_made_it_last() {
        let logs = Logs::new();
        let first = [step(2, 1.0), saved_as(2, "two", Some(7)), step(3, 1.0)];
        logs.add(&[step(1, 1.0)]);
        logs.add(&first);
        logs.add(&[back(3, 1), step(2, 2.0), saved_as(2, "two", Some(9))]);
        logs.add(&[step(3, 2.0), back(3, 1)]);
        logs.add(&first);
        let two = CheckpointEntry {
            sequence: 9,
            ..entry(2, "two")
        };
        let way = match place(logs.0.path(), &two).unwrap() {
            Place::Left(way) => way,
            other => panic!("{other:?}"),
        };
        assert_eq!(way.records, [step(2, 2.0), saved_as(2, "two", Some(9))]);
        assert!(way.has(&two));
        let cleared = CheckpointEntry { sequence: 7, ..two };
        assert!(!way.has(&cleared));
        assert!(matches!(
            place(logs.0.path(), &cleared).unwrap(),
            Place::Here
        ));
    }

    #[test]
    fn the_way_to_a_branch_within_branches() {
        let logs = Logs::new();
        logs.add(&[step(1, 1.0), step(2, 1.0), saved(2, "two")]);
        logs.add(&[
            edit(3),
            step(3, 1.0),
            sample(3, "first"),
            step(4, 1.0),
            saved(4, "four"),
            edit(5),
        ]);
        logs.add(&[step(5, 1.0), back(5, 2), step(3, 2.0), saved(3, "three")]);
        logs.add(&[sample(3, "second"), step(4, 2.0), saved(4, "four-1")]);
        // Within the second branch, and then to before where both began.
        logs.add(&[
            back(4, 3),
            step(4, 3.0),
            Record::Resumed { step: 4 },
            step(5, 3.0),
        ]);
        assert!(matches!(
            place(logs.0.path(), &entry(3, "three")).unwrap(),
            Place::Here
        ));
        assert!(matches!(
            place(logs.0.path(), &entry(9, "nine")).unwrap(),
            Place::Unknown
        ));
        let way = logs.way(4, "four");
        assert_eq!(way.common, 2);
        assert_eq!(
            way.records,
            [
                edit(3),
                step(3, 1.0),
                sample(3, "first"),
                step(4, 1.0),
                saved(4, "four")
            ]
        );
        let way = logs.way(4, "four-1");
        assert_eq!(
            (way.common, way.records),
            (3, vec![step(4, 2.0), saved(4, "four-1")])
        );
        logs.add(&[back(5, 1), step(2, 4.0)]);
        let way = logs.way(4, "four-1");
        assert_eq!(way.common, 1);
        assert_eq!(
            way.records,
            [
                step(2, 1.0),
                saved(2, "two"),
                step(3, 2.0),
                sample(3, "second"),
                saved(3, "three"),
                step(4, 2.0),
                saved(4, "four-1")
            ]
        );
        // Taken up again, the log reads as if nothing else had happened.
        logs.add(&[back(2, way.common)]);
        logs.add(&way.records);
        logs.add(&[Record::Resumed { step: 4 }, step(5, 2.0)]);
        assert_eq!(losses(&logs), [1.0, 1.0, 2.0, 2.0, 2.0]);
        assert!(matches!(
            place(logs.0.path(), &entry(4, "four-1")).unwrap(),
            Place::Here
        ));
        // And again, from copies.
        logs.add(&[back(5, 3), step(4, 5.0)]);
        let way = logs.way(4, "four-1");
        assert_eq!((way.common, way.records.len()), (3, 2));
    }

    /// The run may have been taken up in between: the log knows.
    #[test]
    fn retreats_to_one_checkpoint_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = JsonLog::open(dir.path().join(RunFile::Edits.name())).unwrap();
        assert_eq!(retreats(dir.path(), "a").unwrap(), 0);
        let by = |by, name: &str| match back(9, 4) {
            Record::Rewound(rewound) => Record::Rewound(Rewound {
                by,
                checkpoint: name.into(),
                ..rewound
            }),
            other => other,
        };
        log.push(&by(EditAuthor::Policy, "a"));
        log.push(&by(EditAuthor::Policy, "b"));
        log.push(&Record::Resumed { step: 4 });
        log.push(&by(EditAuthor::User, "a"));
        log.push(&by(EditAuthor::Policy, "b"));
        log.sync().unwrap();
        assert_eq!(retreats(dir.path(), "b").unwrap(), 2);
        assert_eq!(retreats(dir.path(), "a").unwrap(), 0);
    }
}
