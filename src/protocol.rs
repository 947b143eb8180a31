//! What crosses the border between the screens and the training thread: owned, plain data.
//!
//! A [`Command`] asks, an [`Event`] states what happened. No tensor, no handle, no borrowed value crosses.
//! Every event names its run, so that a reader can drop what belongs to a run it no longer shows.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Weak};

use serde::{Deserialize, Serialize};

use crate::config::{ModelKind, RunConfig, SampleConfig};

/// Chosen by whoever sends [`Command::Start`]; unique within the process.
pub type RunId = u64;

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
    /// Describe what this config would train; answered by [`EventKind::Previewed`]. Never disturbs a run.
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
    },
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

/// What stays the same while a run trains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    pub dir: PathBuf,
    pub name: String,
    pub model: ModelKind,
    pub config: RunConfig,
    /// The device that was really taken, for people: `flex (CPU, 2 threads)`.
    pub device: String,
    pub parameters: u64,
    pub vocab_size: usize,
    pub train_tokens: u64,
    pub validation_tokens: u64,
    /// Bytes of text per token over the training part; turns nats per token into bits per byte.
    #[serde(with = "finite")]
    pub bytes_per_token: f64,
    /// ln(vocab_size), nats per token.
    #[serde(with = "finite")]
    pub uniform_loss: f64,
    /// Entropy of the training unigrams measured on the validation part, nats per token.
    #[serde(with = "finite")]
    pub unigram_loss: f64,
    /// Entropy of the source in bits per byte, where it is known; `true` when exact, `false` for a bound.
    pub source_entropy: Option<(f64, bool)>,
    pub tokens_per_step: u64,
    /// 0, or the step of the checkpoint the run went on from.
    pub start_step: u64,
    pub total_steps: u64,
    pub program_version: String,
}

/// One optimizer step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Steps finished, this one included: the first step of a run is 1.
    pub step: u64,
    /// Passes over the training part, as tokens seen / training tokens.
    #[serde(with = "finite")]
    pub epoch: f64,
    /// Tokens seen since step 0.
    pub tokens: u64,
    /// Mean cross-entropy of the step's batch, nats per token, with dropout and label smoothing: what is minimised. May be NaN.
    #[serde(with = "finite")]
    pub loss: f64,
    #[serde(with = "finite")]
    pub learning_rate: f64,
    /// Global gradient norm before clipping. May be NaN.
    #[serde(with = "finite")]
    pub grad_norm: f64,
    #[serde(with = "finite")]
    pub tokens_per_second: f64,
    /// Wall time of the step.
    #[serde(with = "finite")]
    pub ms: f64,
    #[serde(with = "finite")]
    pub forward_ms: f64,
    #[serde(with = "finite")]
    pub backward_ms: f64,
    #[serde(with = "finite")]
    pub optimizer_ms: f64,
    /// Seconds of training since step 0, pauses left out.
    #[serde(with = "finite")]
    pub seconds: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct EvalReport {
    pub step: u64,
    pub tokens: u64,
    #[serde(with = "finite")]
    pub seconds: f64,
    /// Mean cross-entropy over batches of the training part, nats per token, dropout off.
    #[serde(with = "finite")]
    pub train_loss: f64,
    #[serde(with = "finite")]
    pub val_loss: f64,
    /// exp(val_loss).
    #[serde(with = "finite")]
    pub perplexity: f64,
    /// Validation bits per byte of text.
    #[serde(with = "finite")]
    pub bits_per_byte: f64,
    /// Share of validation tokens that are `<unk>`.
    #[serde(with = "finite")]
    pub unknown_fraction: f64,
    /// The best so far.
    pub best: bool,
}

/// One generated token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SamplePiece {
    pub text: String,
    /// Probability of the token under the model, before the sampler's cuts.
    #[serde(with = "finite32")]
    pub probability: f32,
}

/// A whole generated text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleRecord {
    pub step: u64,
    pub prompt_index: usize,
    pub prompt: String,
    pub text: String,
    pub temperature: f64,
    pub top_k: usize,
    pub top_p: f64,
    #[serde(with = "finite")]
    pub tokens_per_second: f64,
    /// False when generation was cut short.
    pub complete: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckpointInfo {
    pub step: u64,
    pub path: PathBuf,
    pub bytes: u64,
    /// All checkpoints of the run together.
    pub total_bytes: u64,
    pub reason: CheckpointReason,
    pub val_loss: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckpointReason {
    Cadence,
    Best,
    User,
    Stop,
    /// Before an edit, so that it can be undone by going back.
    Edit,
    /// Where a run began that did not begin with fresh weights.
    Start,
}

/// A run went back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rewound {
    /// The last step that had been trained.
    pub from: u64,
    /// The checkpoint's step.
    pub step: u64,
    /// Name of its folder.
    pub checkpoint: String,
    #[serde(default)]
    pub by: EditAuthor,
}

/// The loss of a step stood far above the losses before it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spike {
    pub step: u64,
    #[serde(with = "finite")]
    pub loss: f64,
    /// The mean of the losses before it, weighted towards the latest.
    #[serde(with = "finite")]
    pub mean: f64,
}

/// A learning-rate range test (Smith 2015, <https://arxiv.org/abs/1506.01186>).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RateSweep {
    pub from: f64,
    pub to: f64,
    pub steps: u64,
}

impl Default for RateSweep {
    fn default() -> Self {
        Self {
            from: 1e-7,
            to: 10.0,
            steps: 150,
        }
    }
}

impl RateSweep {
    /// Steps that a test may take: fewer are no curve, more are a run.
    pub const STEPS: std::ops::RangeInclusive<u64> = 10..=10_000;

    /// # Errors
    /// A sentence about each value that cannot be used.
    pub fn check(&self) -> Result<(), String> {
        let mut problems = Vec::new();
        for (name, rate) in [("from", self.from), ("to", self.to)] {
            if !(rate.is_finite() && rate > 0.0) {
                problems.push(format!("{name} = {rate}: expected a learning rate above 0"));
            }
        }
        if problems.is_empty() && self.to <= self.from {
            problems.push(format!(
                "to = {}: expected a rate above from = {}",
                self.to, self.from
            ));
        }
        if !Self::STEPS.contains(&self.steps) {
            let (least, most) = (Self::STEPS.start(), Self::STEPS.end());
            problems.push(format!(
                "steps = {}: expected a whole number from {least} to {most}",
                self.steps
            ));
        }
        match problems.is_empty() {
            true => Ok(()),
            false => Err(problems.join("; ")),
        }
    }

    /// The rate of a step, counted from 1: `from` at the first, `to` at the last, equal ratios between.
    pub fn rate(&self, step: u64) -> f64 {
        let share = step.saturating_sub(1) as f64 / (self.steps.max(2) - 1) as f64;
        self.from * (self.to / self.from).powf(share)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RatePoint {
    pub step: u64,
    #[serde(with = "finite")]
    pub learning_rate: f64,
    #[serde(with = "finite")]
    pub loss: f64,
    /// Exponential moving average with bias correction.
    #[serde(with = "finite")]
    pub smoothed: f64,
}

/// What a range test came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RateReport {
    pub points: Vec<RatePoint>,
    /// `None` where the curve gives no reason for one.
    pub suggestion: Option<f64>,
    /// A sentence.
    pub reason: String,
    /// False when it was stopped.
    pub complete: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerHealth {
    pub name: String,
    #[serde(with = "finite")]
    pub grad_norm: f64,
    #[serde(with = "finite")]
    pub weight_norm: f64,
    /// ‖update‖ / ‖weight‖ of the last step.
    #[serde(with = "finite")]
    pub update_ratio: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SchedulePoint {
    pub step: u64,
    #[serde(with = "finite")]
    pub learning_rate: f64,
}

/// What a config would train, before it is started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preview {
    pub parameters: u64,
    /// Estimated peak memory of training, bytes.
    pub memory_bytes: u64,
    pub tokens_per_epoch: u64,
    pub vocab_size: usize,
    pub tokens_per_step: u64,
    pub schedule: Vec<SchedulePoint>,
    /// The beginning of the corpus, cut as the tokenizer cuts it.
    pub tokens: Vec<String>,
    /// From a half-second measurement; `None` while a run is using the machine.
    pub seconds_per_step: Option<f64>,
    pub notices: Vec<String>,
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

/// The two ends a front end holds.
#[derive(Debug)]
pub struct Engine {
    pub commands: CommandSender,
    pub events: Receiver<Event>,
}

/// Sends commands. `Stop` and `Shutdown` also raise a flag that evaluation and generation look at, so that
/// they end before the next step boundary.
#[derive(Debug, Clone)]
pub struct CommandSender {
    /// Shared, so that [`CommandSender::downgrade`] can give an end away that does not keep the training thread.
    sender: Arc<Sender<Command>>,
    /// Previews take their own way, so that a long step or a load never delays them.
    previews: Option<Sender<Command>>,
    stop: Arc<AtomicBool>,
}

impl CommandSender {
    /// The flag is cleared by the training thread when it takes the command.
    pub fn new(sender: Sender<Command>, stop: Arc<AtomicBool>) -> Self {
        Self {
            sender: Arc::new(sender),
            previews: None,
            stop,
        }
    }

    /// An end for those who may steer but are not the front end: when that goes away, the training thread ends.
    pub fn downgrade(&self) -> WeakCommandSender {
        WeakCommandSender {
            sender: Arc::downgrade(&self.sender),
            stop: Arc::clone(&self.stop),
        }
    }

    /// Sends [`Command::Preview`] to `previews` instead of the training thread.
    pub fn with_previews(mut self, previews: Sender<Command>) -> Self {
        self.previews = Some(previews);
        self
    }

    /// Returns false when the training thread is gone.
    pub fn send(&self, command: Command) -> bool {
        if matches!(command, Command::Stop | Command::Shutdown) {
            self.stop.store(true, Ordering::Relaxed);
        }
        match (&self.previews, &command) {
            (Some(previews), Command::Preview { .. }) => previews.send(command).is_ok(),
            _ => self.sender.send(command).is_ok(),
        }
    }
}

/// Sends commands for as long as somebody holds a [`CommandSender`].
#[derive(Debug, Clone)]
pub struct WeakCommandSender {
    sender: Weak<Sender<Command>>,
    stop: Arc<AtomicBool>,
}

impl WeakCommandSender {
    /// Returns false when the training thread, or its front end, is gone.
    pub fn send(&self, command: Command) -> bool {
        let Some(sender) = self.sender.upgrade() else {
            return false;
        };
        if matches!(command, Command::Stop | Command::Shutdown) {
            self.stop.store(true, Ordering::Relaxed);
        }
        sender.send(command).is_ok()
    }
}

/// Numbers in JSON, which has no NaN and no infinity: what is not finite is written as `null` and read as NaN.
pub mod finite {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        value.is_finite().then_some(*value).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
    }
}

/// As [`finite`], for `f32`.
pub mod finite32 {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(value: &f32, serializer: S) -> Result<S::Ok, S::Error> {
        value.is_finite().then_some(*value).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
        Ok(Option::<f32>::deserialize(deserializer)?.unwrap_or(f32::NAN))
    }
}
