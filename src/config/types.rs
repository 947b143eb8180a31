//! The configuration as plain data. Ranges, defaults and descriptions of the keys live in `fields`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Everything that decides what a run does. Complete: no key is optional.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Label of the run; empty means "made from the model and the corpus".
    pub name: String,
    /// `auto`, `flex`, `ndarray`, `cuda:0`, `wgpu:0`, `vulkan:0`.
    pub device: String,
    pub corpus: CorpusConfig,
    pub tokenizer: TokenizerConfig,
    pub model: ModelConfig,
    pub optimizer: OptimizerConfig,
    pub schedule: ScheduleConfig,
    pub train: TrainConfig,
    pub eval: EvalConfig,
    pub sample: SampleConfig,
    pub checkpoint: CheckpointConfig,
}

/// Where the text comes from, and how it is split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorpusConfig {
    /// A built-in text, the generator `stories`, or a name from the catalog. Unused when `path` is given.
    pub name: String,
    /// Files, folders, globs, or `-` for standard input; joined in the order given.
    #[serde(serialize_with = "as_text")]
    pub path: Vec<PathBuf>,
    /// Share of the bytes, at the end of the text, that is held out.
    pub validation_fraction: f64,
    /// Length in bytes of the generated text (`stories` only).
    pub bytes: u64,
    /// Seed of the generated text (`stories` only).
    pub seed: u64,
    /// Accept text that is not UTF-8, replacing what cannot be read.
    pub lossy: bool,
}

/// Paths come from TOML text, so that they are valid UTF-8; writing them never fails.
fn as_text<S: serde::Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paths.iter().map(|path| path.to_string_lossy()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenizerKind {
    Char,
    Word,
    Bpe,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerConfig {
    pub kind: TokenizerKind,
    /// Largest vocabulary (`word`: most frequent words; `bpe`: bytes plus merges). Not used by `char`.
    pub vocab_size: usize,
    /// Words seen fewer times become `<unk>` (`word` only).
    pub min_freq: u64,
    /// Fold upper case to lower case (`word` only).
    pub lowercase: bool,
}

/// The five rungs of the ladder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum ModelConfig {
    CharRnn(RecurrentConfig),
    WordGru(RecurrentConfig),
    LstmAttention(AttentiveConfig),
    Transformer(TransformerConfig),
    Gpt(TransformerConfig),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModelKind {
    CharRnn,
    WordGru,
    LstmAttention,
    Transformer,
    Gpt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputKind {
    OneHot,
    Embedding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CellKind {
    Rnn,
    Gru,
    Lstm,
}

/// Rungs 1 and 2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecurrentConfig {
    /// Tokens per training window; for a recurrent model the length of truncated backpropagation.
    pub context_length: usize,
    pub input: InputKind,
    pub cell: CellKind,
    /// Embedding width. Not used with `input = "one-hot"`.
    pub d_embedding: usize,
    pub hidden_size: usize,
    pub n_layers: usize,
    pub dropout: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScoreKind {
    Additive,
    Dot,
    ScaledDot,
}

/// Rung 3: a recurrent model whose output attends over the hidden states so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentiveConfig {
    pub context_length: usize,
    pub input: InputKind,
    pub cell: CellKind,
    pub d_embedding: usize,
    pub hidden_size: usize,
    pub n_layers: usize,
    pub dropout: f64,
    /// How a hidden state scores an earlier one.
    pub score: ScoreKind,
    /// Width of the additive score's hidden layer. Not used by `dot` and `scaled-dot`.
    pub d_attention: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormKind {
    Post,
    Pre,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActivationKind {
    Relu,
    /// GELU in its exact form, with erf (nanoGPT's).
    Gelu,
    /// GELU in its tanh form (GPT-2's).
    GeluTanh,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PositionKind {
    Sinusoidal,
    Learned,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InitKind {
    /// Normal 0.02; residual projections scaled by 1/sqrt(2·n_layers).
    Gpt2,
    /// Normal 0.02 everywhere.
    Normal,
    /// PyTorch's defaults: linear U(±1/sqrt(fan_in)), embedding N(0, 1/sqrt(d_model)).
    Uniform,
}

/// Rungs 4 and 5: one architecture, two recipes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransformerConfig {
    pub context_length: usize,
    pub d_model: usize,
    pub n_heads: usize,
    pub n_layers: usize,
    /// Width of the feed-forward layer; 0 means 4·d_model.
    pub d_ff: usize,
    pub dropout: f64,
    pub norm: NormKind,
    pub activation: ActivationKind,
    pub positions: PositionKind,
    /// Multiply token embeddings by sqrt(d_model) before positions are added.
    pub scale_embeddings: bool,
    /// Share the output matrix with the token embedding.
    pub tied_head: bool,
    /// Biases in linear layers and norms.
    pub bias: bool,
    /// Biases in the query, key and value projections (only with `bias`).
    pub qkv_bias: bool,
    /// Bias of the output layer (only with an untied head).
    pub head_bias: bool,
    pub init: InitKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    Sgd,
    Adam,
    #[serde(rename = "adamw")]
    AdamW,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecayForm {
    /// Decoupled for AdamW, L2 for SGD and Adam.
    Auto,
    /// weight_decay·w is added to the gradient.
    L2,
    /// learning_rate·weight_decay·w is taken from the weight.
    Decoupled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecayGroup {
    /// Tensors of two or more dimensions (embeddings included), as nanoGPT does.
    Matrices,
    All,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerConfig {
    pub kind: OptimizerKind,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// `adam`, `adamw`.
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    /// `sgd`.
    pub momentum: f64,
    pub nesterov: bool,
    pub weight_decay: f64,
    pub decay_form: DecayForm,
    pub decay_group: DecayGroup,
    /// Largest global gradient norm; 0 turns clipping off.
    pub grad_clip: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScheduleKind {
    Constant,
    Linear,
    Cosine,
    WarmupLinear,
    WarmupCosine,
    Exponential,
    Step,
    Plateau,
}

/// Learning rate over steps. `warmup` precedes every kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleConfig {
    pub kind: ScheduleKind,
    /// Step, counted from 0, from which the schedule counts; before it the rate is that of its first step.
    #[serde(default)]
    pub start: u64,
    /// Steps of linear warmup, before the schedule proper.
    pub warmup: u64,
    /// Steps from `start` after which `linear` and `cosine` reach their end; 0 means up to `train.steps`.
    pub decay_steps: u64,
    /// Where `linear` and `cosine` end, as a share of the peak (0.1: a tenth).
    pub final_ratio: f64,
    /// Factor per step (`exponential`) or per `step_size` steps (`step`) or per plateau (`plateau`).
    pub gamma: f64,
    /// Steps between two cuts (`step` only).
    pub step_size: u64,
    /// Evaluations without improvement before a cut (`plateau` only).
    pub patience: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BatchingKind {
    /// Windows at random offsets, drawn with replacement (nanoGPT).
    Random,
    /// Contiguous streams, one a batch row; recurrent state is carried from window to window.
    Stream,
}

/// What to do when the loss stands far above what it had been, or is no longer a number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnSpike {
    /// Pause, and let the user decide.
    #[default]
    Pause,
    /// Go back to the newest checkpoint before it and halve the learning-rate multiplier.
    Rewind,
    /// Say it and go on; a step whose loss is no number is left out.
    Continue,
}

fn default_spike_threshold() -> f64 {
    1.0
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Optimizer steps.
    pub steps: u64,
    /// Windows per forward pass.
    pub batch_size: usize,
    /// Forward passes per optimizer step.
    pub gradient_accumulation: usize,
    pub seed: u64,
    pub batching: BatchingKind,
    /// Share of the target distribution that is spread over the whole vocabulary; 0 is plain cross-entropy.
    #[serde(default)]
    pub label_smoothing: f64,
    /// Stop after this many evaluations without improvement; 0 turns it off.
    pub early_stopping: u64,
    /// What to do when the loss spikes or is no longer a number.
    #[serde(default)]
    pub on_spike: OnSpike,
    /// Nats that the latest losses must stand above the mean of the earlier ones; 0 looks at no loss that is a number.
    #[serde(default = "default_spike_threshold")]
    pub spike_threshold: f64,
    /// CPU threads; 0 means all.
    pub threads: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalConfig {
    /// Steps between evaluations; 0 evaluates only at the end.
    pub every: u64,
    /// Batches per split and evaluation; 0 reads the whole split.
    pub batches: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleConfig {
    /// Steps between samples; 0 turns them off.
    pub every: u64,
    pub prompts: Vec<String>,
    /// Tokens to generate.
    pub length: usize,
    /// 0 is greedy.
    pub temperature: f64,
    /// 0 is off.
    pub top_k: usize,
    /// 1 is off.
    pub top_p: f64,
    /// 0 is off.
    pub min_p: f64,
    /// 1 is off.
    pub repetition_penalty: f64,
    pub seed: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointConfig {
    /// Steps between checkpoints; 0 saves only at the end.
    pub every: u64,
    /// How many of the newest are kept, besides the best and those saved by hand.
    pub keep: usize,
}

impl ModelKind {
    /// The ladder, lowest rung first.
    pub const ALL: [ModelKind; 5] = [
        ModelKind::CharRnn,
        ModelKind::WordGru,
        ModelKind::LstmAttention,
        ModelKind::Transformer,
        ModelKind::Gpt,
    ];

    /// The value of `model.kind`.
    pub fn key(self) -> &'static str {
        match self {
            ModelKind::CharRnn => "char-rnn",
            ModelKind::WordGru => "word-gru",
            ModelKind::LstmAttention => "lstm-attention",
            ModelKind::Transformer => "transformer",
            ModelKind::Gpt => "gpt",
        }
    }
}

impl ModelConfig {
    pub fn kind(&self) -> ModelKind {
        match self {
            ModelConfig::CharRnn(_) => ModelKind::CharRnn,
            ModelConfig::WordGru(_) => ModelKind::WordGru,
            ModelConfig::LstmAttention(_) => ModelKind::LstmAttention,
            ModelConfig::Transformer(_) => ModelKind::Transformer,
            ModelConfig::Gpt(_) => ModelKind::Gpt,
        }
    }

    pub fn dropout(&self) -> f64 {
        match self {
            ModelConfig::CharRnn(c) | ModelConfig::WordGru(c) => c.dropout,
            ModelConfig::LstmAttention(c) => c.dropout,
            ModelConfig::Transformer(c) | ModelConfig::Gpt(c) => c.dropout,
        }
    }

    pub fn set_dropout(&mut self, rate: f64) {
        match self {
            ModelConfig::CharRnn(c) | ModelConfig::WordGru(c) => c.dropout = rate,
            ModelConfig::LstmAttention(c) => c.dropout = rate,
            ModelConfig::Transformer(c) | ModelConfig::Gpt(c) => c.dropout = rate,
        }
    }

    /// Tokens per training window.
    pub fn context_length(&self) -> usize {
        match self {
            ModelConfig::CharRnn(c) | ModelConfig::WordGru(c) => c.context_length,
            ModelConfig::LstmAttention(c) => c.context_length,
            ModelConfig::Transformer(c) | ModelConfig::Gpt(c) => c.context_length,
        }
    }
}

impl RunConfig {
    /// Keys in which `other` describes another run: with these a run, and its checkpoints, stay the same for as long as they live.
    pub fn another_run(&self, other: &RunConfig) -> Vec<&'static str> {
        let mut model = other.model.clone();
        // The one key of a model that may change while it trains.
        model.set_dropout(self.model.dropout());
        let mut corpus = other.corpus.clone();
        // A text may have been moved; whether it is the same one shows when it is read.
        if !self.corpus.path.is_empty() && !corpus.path.is_empty() {
            corpus.path.clone_from(&self.corpus.path);
        }
        let same = [
            ("model", self.model == model),
            ("tokenizer", self.tokenizer == other.tokenizer),
            ("corpus", self.corpus == corpus),
            ("train.seed", self.train.seed == other.train.seed),
            (
                "train.batching",
                self.train.batching == other.train.batching,
            ),
        ];
        same.into_iter()
            .filter_map(|(key, same)| (!same).then_some(key))
            .collect()
    }
}
