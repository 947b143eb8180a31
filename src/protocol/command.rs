//! What the training thread is asked to do: [`Command`], how a run begins, and the edits of a run in progress.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{RateSweep, RunId};
use crate::config::{RunConfig, SampleConfig};

/// What the training thread is asked to do. Applied at step boundaries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Command {
    Start {
        run: RunId,
        config: Box<RunConfig>,
        origin: Origin,
    },
    Pause,
    Resume,
    /// Train one optimizer step, then pause.
    StepOnce,
    /// Train until something is the case, then pause.
    RunUntil {
        until: Until,
    },
    /// End the run, after a checkpoint.
    Stop,
    Set {
        edit: Edit,
    },
    /// Go back to a checkpoint of this run and pause there. What was trained after it stays in the log, as a branch that was
    /// left.
    Rewind {
        /// Name of its folder, for example `step-00000200`.
        checkpoint: String,
    },
    Evaluate,
    /// Generate now, with these settings.
    Sample {
        settings: SampleConfig,
    },
    /// Write a checkpoint that is kept until the user deletes it.
    Save,
    /// Look for a learning rate: train a model of this config for a short while with an exponentially rising rate, and
    /// throw it away. Takes the place of a run: refused while one is training, ended by [`Command::Stop`].
    FindRate {
        run: RunId,
        config: Box<RunConfig>,
        sweep: RateSweep,
    },
    /// Describe what this config would train; answered by [`super::EventKind::Previewed`]. Never disturbs a run.
    Preview {
        request: u64,
        config: Box<RunConfig>,
    },
    /// Save, end the run and end the thread.
    Shutdown,
}

/// In words, as the log has them: `pause`, `run until step 200`.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Command::Start { .. } => f.write_str("start a run"),
            Command::Pause => f.write_str("pause"),
            Command::Resume => f.write_str("resume"),
            Command::StepOnce => f.write_str("one step"),
            Command::RunUntil { until } => match until {
                Until::Step(step) => write!(f, "run until step {step}"),
                Until::Loss(loss) => write!(f, "run until the loss is below {loss}"),
                Until::Evaluation => f.write_str("run until the next evaluation"),
            },
            Command::Stop => f.write_str("stop"),
            Command::Set { edit } => write!(f, "set {edit}"),
            Command::Rewind { checkpoint } => write!(f, "go back to {checkpoint}"),
            Command::Evaluate => f.write_str("evaluate"),
            Command::Sample { .. } => f.write_str("sample"),
            Command::Save => f.write_str("save"),
            Command::FindRate { .. } => f.write_str("find a learning rate"),
            Command::Preview { .. } => f.write_str("preview"),
            Command::Shutdown => f.write_str("shut down"),
        }
    }
}

/// What [`Command::RunUntil`] waits for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// This many steps are done.
    Step(u64),
    /// A step's training loss is below this, in nats per token.
    Loss(f64),
    /// The next evaluation is done.
    Evaluation,
}

/// How a run begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A new folder; `None` lets the run store name it.
    New { dir: Option<PathBuf> },
    /// Go on from the newest whole checkpoint in `dir`.
    Resume { dir: PathBuf },
    /// A new folder, as with `New`, that starts at step 0 from the weights and with the tokenizer of the run `parent`: its
    /// checkpoint of that step, or its newest whole one.
    From {
        dir: Option<PathBuf>,
        parent: PathBuf,
        step: Option<u64>,
    },
    /// A new folder that goes on from a checkpoint of the run `parent` with all of its state. Where the config given with
    /// `Start` differs from the checkpoint's, in keys that may change while a run goes on, the difference is its first edit.
    Fork {
        dir: Option<PathBuf>,
        parent: PathBuf,
        /// Name of the checkpoint's folder; `None` is the newest whole one.
        checkpoint: Option<String>,
    },
    /// A new folder that repeats the run `parent` from its beginning, with its edits at the same steps, up to where it
    /// ended. The config given with `Start` is not used: the parent's first one is.
    Replay {
        dir: Option<PathBuf>,
        parent: PathBuf,
    },
}

/// A change to a run in progress, written to its edit log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "key", content = "value", rename_all = "kebab-case")]
pub enum Edit {
    /// Multiplies the schedule's learning rate from the next step on.
    LearningRateMultiplier(f64),
    /// New values of configuration keys that may change while a run goes on, as `--set` takes them, all at once.
    /// `schedule.start` also takes `now`: the schedule begins anew with the next step.
    Set(BTreeMap<String, String>),
}

/// In words: `learning rate × 0.5`, `optimizer.weight_decay 0.05, train.batch_size 8`.
impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Edit::LearningRateMultiplier(multiplier) => write!(f, "learning rate × {multiplier}"),
            Edit::Set(changes) => {
                for (i, (key, value)) in changes.iter().enumerate() {
                    let comma = if i > 0 { ", " } else { "" };
                    write!(f, "{comma}{key} {value}")?;
                }
                Ok(())
            }
        }
    }
}

/// An edit that took effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EditRecord {
    /// The first step trained with it.
    pub step: u64,
    #[serde(flatten)]
    pub edit: Edit,
    /// The edit that puts back what was there before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<Edit>,
    #[serde(default)]
    pub by: EditAuthor,
}

/// Who made an edit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EditAuthor {
    #[default]
    User,
    /// `train.on_spike`, after the loss went wrong.
    Policy,
    /// Settings that were given when a run was taken up again or forked.
    Start,
    /// The log of the run that is replayed.
    Replay,
}
