//! What happened: [`Event`], the phases of a run, how it ends, and what is said to people.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::report::{
    CheckpointInfo, EvalReport, LayerHealth, Preview, Rewound, RunInfo, SamplePiece, SampleRecord,
    SchedulePoint, Spike, StepReport,
};
use super::{Command, EditRecord, RatePoint, RateReport, RunId, finite};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub run: RunId,
    pub kind: EventKind,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    Phase(Phase),
    /// Once per run, after loading: everything that stays the same while it trains.
    Started(Box<RunInfo>),
    /// Steps since the last report, oldest first. Batched 20 to 30 times a second.
    Steps(Vec<StepReport>),
    Evaluated(EvalReport),
    /// Text as it is generated. `prompt` is the index in the sampled prompts.
    SamplePiece {
        step: u64,
        prompt: usize,
        piece: SamplePiece,
    },
    SampleDone(SampleRecord),
    Checkpointed(CheckpointInfo),
    Edited(EditRecord),
    /// The run went back to a checkpoint.
    Rewound(Rewound),
    /// The loss went up far above what it had been, by `train.spike_threshold`. What was done about it, by
    /// `train.on_spike`, follows as events of its own.
    Spiked(Spike),
    /// Norms by layer, about once a second.
    Health {
        step: u64,
        layers: Vec<LayerHealth>,
    },
    /// The schedule as it now stands, sampled over the whole run.
    Schedule(Vec<SchedulePoint>),
    Previewed {
        request: u64,
        preview: Result<Box<Preview>, String>,
    },
    Notice(Notice),
    /// Another process did something over the control socket of the run.
    Remote(Remote),
    /// A step of [`Command::FindRate`].
    RatePoint(RatePoint),
    /// The end of [`Command::FindRate`]; nothing follows for it.
    RateFound(RateReport),
    /// The run ended for good; nothing follows for this run.
    Finished(FinishReport),
    /// The run ended by an error or a panic; nothing follows for this run.
    Failed {
        message: String,
        /// The keys of the configuration that are to blame, of which one is to be changed; none where it is no matter of them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        keys: Vec<String>,
    },
}

impl EventKind {
    /// A failure that no key of the configuration is to blame for.
    pub fn failed(message: impl Into<String>) -> Self {
        EventKind::Failed {
            message: message.into(),
            keys: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    Idle,
    /// Reading, tokenising, building. `done` of `total` where it can be counted.
    Loading {
        what: String,
        done: u64,
        total: Option<u64>,
    },
    /// The first step on a device that compiles its kernels.
    Compiling,
    Training,
    Evaluating {
        done: u64,
        total: u64,
    },
    Sampling,
    Paused,
    /// The loss is no longer a number. Training is paused; the last good checkpoint is kept.
    Diverged {
        step: u64,
        layer: Option<String>,
        message: String,
    },
    /// Writing the last checkpoint before ending.
    Stopping,
    Finished,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    pub level: NoticeLevel,
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoticeLevel {
    Info,
    Warning,
    Error,
}

/// What a process outside did to a run that is trained here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Remote {
    /// The process, as it named itself.
    pub pid: u32,
    pub act: RemoteAct,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RemoteAct {
    /// From now on its commands are obeyed.
    TookControls,
    LeftControls,
    /// A command of it that is being obeyed.
    Asked(Box<Command>),
}

/// In words: `process 4711 asks for: pause`.
impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.act {
            RemoteAct::TookControls => write!(f, "process {} has taken the controls", self.pid),
            RemoteAct::LeftControls => write!(f, "process {} has left the controls", self.pid),
            RemoteAct::Asked(command) => write!(f, "process {} asks for: {command}", self.pid),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FinishReport {
    pub step: u64,
    pub reason: FinishReason,
    pub val_loss: Option<f64>,
    pub best_val_loss: Option<f64>,
    pub best_step: Option<u64>,
    #[serde(with = "finite")]
    pub seconds: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FinishReason {
    /// All steps are done.
    Completed,
    /// `train.early_stopping` evaluations passed without improvement.
    EarlyStopped,
    /// The user asked.
    Stopped,
}
