//! The lines of a run's logs and of `fireside train --json`: one JSON object each, told apart by `event`.
//!
//! The names are a contract with scripts (`docs/scripting.md`): they may gain fields, not lose or rename
//! them. A number that is not finite is written as `null`, its key stays.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::ModelKind;
use crate::protocol::{
    CheckpointInfo, EvalReport, EventKind, FinishReason, FinishReport, NoticeLevel, RunInfo,
    SampleRecord, Spike, StepReport,
};
pub use crate::protocol::{EditRecord, Rewound};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Record {
    Started(StartedRecord),
    /// What came before this line beyond `step` did not happen: the run went on from there.
    Resumed {
        step: u64,
    },
    /// As `resumed`, on the user's wish: what came before this line beyond its step is a branch that was left.
    Rewound(Rewound),
    Spike(Spike),
    Step(StepReport),
    Eval(EvalReport),
    Sample(SampleRecord),
    Checkpoint(CheckpointInfo),
    Edit(EditRecord),
    Notice {
        level: NoticeLevel,
        message: String,
    },
    Diverged {
        step: u64,
        layer: Option<String>,
        message: String,
    },
    Finished(FinishReport),
    Failed {
        message: String,
    },
}

/// The facts of a run that a script may want first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StartedRecord {
    pub run: PathBuf,
    pub name: String,
    pub model: ModelKind,
    pub parameters: u64,
    pub vocab: usize,
    pub device: String,
    pub train_tokens: u64,
    pub validation_tokens: u64,
    pub tokens_per_step: u64,
    pub start_step: u64,
    pub total_steps: u64,
    #[serde(with = "crate::protocol::finite")]
    pub uniform_loss: f64,
    #[serde(with = "crate::protocol::finite")]
    pub unigram_loss: f64,
    pub version: String,
}

impl From<&RunInfo> for StartedRecord {
    fn from(info: &RunInfo) -> Self {
        StartedRecord {
            run: info.dir.clone(),
            name: info.name.clone(),
            model: info.model,
            parameters: info.parameters,
            vocab: info.vocab_size,
            device: info.device.clone(),
            train_tokens: info.train_tokens,
            validation_tokens: info.validation_tokens,
            tokens_per_step: info.tokens_per_step,
            start_step: info.start_step,
            total_steps: info.total_steps,
            uniform_loss: info.uniform_loss,
            unigram_loss: info.unigram_loss,
            version: info.program_version.clone(),
        }
    }
}

impl Record {
    /// The records that an event stands for: none for what only a screen wants, several for a batch of steps.
    pub fn from_event(kind: &EventKind) -> Vec<Record> {
        match kind {
            EventKind::Started(info) => vec![Record::Started((&**info).into())],
            EventKind::Steps(steps) => steps.iter().copied().map(Record::Step).collect(),
            EventKind::Evaluated(report) => vec![Record::Eval(*report)],
            EventKind::SampleDone(sample) => vec![Record::Sample(sample.clone())],
            EventKind::Checkpointed(info) => vec![Record::Checkpoint(info.clone())],
            EventKind::Edited(edit) => vec![Record::Edit(edit.clone())],
            EventKind::Rewound(rewound) => vec![Record::Rewound(rewound.clone())],
            EventKind::Spiked(spike) => vec![Record::Spike(*spike)],
            EventKind::Notice(notice) => vec![Record::Notice {
                level: notice.level,
                message: notice.message.clone(),
            }],
            EventKind::Remote(remote) => vec![Record::Notice {
                level: NoticeLevel::Info,
                message: remote.to_string(),
            }],
            EventKind::Phase(crate::protocol::Phase::Diverged {
                step,
                layer,
                message,
            }) => vec![Record::Diverged {
                step: *step,
                layer: layer.clone(),
                message: message.clone(),
            }],
            EventKind::Finished(report) => vec![Record::Finished(report.clone())],
            EventKind::Failed { message, .. } => vec![Record::Failed {
                message: message.clone(),
            }],
            EventKind::Phase(_)
            | EventKind::SamplePiece { .. }
            | EventKind::Health { .. }
            | EventKind::Schedule(_)
            | EventKind::RatePoint(_)
            | EventKind::RateFound(_)
            | EventKind::Previewed { .. } => Vec::new(),
        }
    }

    /// One line, without its line break. Writing plain data as JSON cannot fail.
    pub fn to_line(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|error| {
            format!(r#"{{"event":"notice","level":"error","message":"{error}"}}"#)
        })
    }
}

/// How a finished run reads in words.
pub fn reason_text(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Completed => "all steps done",
        FinishReason::EarlyStopped => "stopped early: no improvement",
        FinishReason::Stopped => "stopped",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Edit, EditAuthor};

    fn step(loss: f64) -> StepReport {
        StepReport {
            step: 3,
            epoch: 0.5,
            tokens: 96,
            loss,
            learning_rate: 0.001,
            grad_norm: 0.1 + 0.2,
            tokens_per_second: 1000.0,
            ms: 1.5,
            forward_ms: 0.5,
            backward_ms: 0.5,
            optimizer_ms: 0.5,
            seconds: 0.01,
        }
    }

    #[test]
    fn numbers_survive_exactly() {
        let record = Record::Step(step(std::f64::consts::PI));
        let line = record.to_line();
        assert!(line.starts_with(r#"{"event":"step","step":3,"#), "{line}");
        assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record);
    }

    #[test]
    fn not_finite_is_null_and_the_key_stays() {
        for loss in [f64::NAN, f64::INFINITY] {
            let line = Record::Step(step(loss)).to_line();
            assert!(line.contains(r#""loss":null"#), "{line}");
            match serde_json::from_str(&line).unwrap() {
                Record::Step(report) => assert!(report.loss.is_nan()),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn edits_read_back() {
        let record = Record::Edit(EditRecord {
            step: 12,
            edit: Edit::LearningRateMultiplier(0.5),
            undo: None,
            by: EditAuthor::User,
        });
        let line = record.to_line();
        assert_eq!(
            line,
            r#"{"event":"edit","step":12,"key":"learning-rate-multiplier","value":0.5,"by":"user"}"#
        );
        assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record);
        // As versions before this one wrote it.
        let line = r#"{"event":"edit","step":12,"key":"learning-rate-multiplier","value":0.5}"#;
        assert_eq!(serde_json::from_str::<Record>(line).unwrap(), record);
    }

    #[test]
    fn edits_of_several_keys_read_back() {
        let set = |pairs: &[(&str, &str)]| {
            let owned = pairs
                .iter()
                .map(|(key, value)| (key.to_string(), value.to_string()));
            Edit::Set(owned.collect())
        };
        let record = Record::Edit(EditRecord {
            step: 5,
            edit: set(&[
                ("optimizer.weight_decay", "0.05"),
                ("train.batch_size", "8"),
            ]),
            undo: Some(set(&[
                ("optimizer.weight_decay", "0.1"),
                ("train.batch_size", "4"),
            ])),
            by: EditAuthor::Policy,
        });
        let line = record.to_line();
        assert_eq!(
            serde_json::from_str::<Record>(&line).unwrap(),
            record,
            "{line}"
        );
    }

    #[test]
    fn fields_may_be_added() {
        let line = r#"{"event":"resumed","step":7,"why":"later version"}"#;
        assert_eq!(
            serde_json::from_str::<Record>(line).unwrap(),
            Record::Resumed { step: 7 }
        );
    }
}
