//! What events carry about a run: its sizes, steps, evaluations, samples, checkpoints, norms by layer; and the preview of one.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{EditAuthor, finite, finite32};
use crate::config::{ModelKind, RunConfig};

/// What stays the same while a run trains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    pub dir: PathBuf,
    pub name: String,
    pub model: ModelKind,
    pub config: RunConfig,
    /// The device that was really taken, for people: `CPU, burn-flex, 2 threads`.
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
    /// Counts up over the run's life: a name is used again when what had it was cleared away. None in logs of before it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
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
    /// The checkpoint's step; but see `onto`.
    pub step: u64,
    /// Name of its folder.
    pub checkpoint: String,
    #[serde(default)]
    pub by: EditAuthor,
    /// The checkpoint's step, where it lies on a branch that the run had left: `step` is then the last one that the run and the
    /// branch have in common, and what happened on the branch from there on is told once more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onto: Option<u64>,
}

impl Rewound {
    /// The step that the run is at afterwards.
    pub fn to(&self) -> u64 {
        self.onto.unwrap_or(self.step)
    }
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
    /// What of it no longer responds; None for a layer that has nothing to saturate (an embedding, a norm, the head).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saturation: Option<Saturation>,
}

/// How much of a layer is saturated.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Saturation {
    pub kind: SaturationKind,
    /// From 0 to 1.
    #[serde(with = "finite")]
    pub share: f64,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SaturationKind {
    /// Hidden states beyond ±0.97, where a tanh lets hardly any gradient through.
    States,
    /// Units of a feed-forward layer that are off at every position.
    Units,
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
    pub step_time: StepTime,
    pub notices: Vec<String>,
}

/// `14 % <unk>`: how much of the validation text the vocabulary lacks, which makes its loss look better than it is. Nothing where it
/// lacks nothing.
pub fn unknown_words(fraction: f64) -> Option<String> {
    let percent = fraction * 100.0;
    match percent {
        _ if percent <= 0.0 || !percent.is_finite() => None,
        _ if percent < 0.95 => Some(format!("{percent:.1} % <unk>")),
        _ => Some(format!("{percent:.0} % <unk>")),
    }
}

/// How long a step takes on this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepTime {
    /// Steps are being made: a second preview follows.
    Measuring,
    /// Mean seconds over half a second of steps.
    Seconds(f64),
    /// Why it was not measured.
    Unknown(String),
}
