//! The table of fields. Order here is the order of files, forms and documentation.

use super::fields::{Condition, Default, Field, FieldKind, Limit, Step};
use super::value::{Constant, Value};

use Constant::{Bool, Float, Integer, List, Text};
use Default::{By, Computed, Same};

const RECURRENT: &[Condition] = &[is(
    "model.kind",
    &["char-rnn", "word-gru", "lstm-attention"],
)];
const TRANSFORMER: &[Condition] = &[is("model.kind", &["transformer", "gpt"])];
const ADAM: &[Condition] = &[is("optimizer.kind", &["adam", "adamw"])];
const SGD: &[Condition] = &[is("optimizer.kind", &["sgd"])];
const WORD: &[Condition] = &[is("tokenizer.kind", &["word"])];
const DECAYING: &[Condition] = &[is(
    "schedule.kind",
    &["linear", "cosine", "warmup-linear", "warmup-cosine"],
)];
const WEIGHT_DECAY: &[Condition] = &[Condition::Positive {
    key: "optimizer.weight_decay",
}];
const STORIES: &[Condition] = &[
    Condition::Empty { key: "corpus.path" },
    is("corpus.name", &["stories"]),
];
/// The largest count of steps, bytes or batches: products of two still fit 64 bits.
const MANY: i64 = 1_000_000_000;

const fn is(key: &'static str, values: &'static [&'static str]) -> Condition {
    Condition::Is { key, values }
}

const fn integer(min: i64, max: i64) -> FieldKind {
    FieldKind::Integer { min, max }
}

const fn float(min: Limit, max: Limit) -> FieldKind {
    FieldKind::Float { min, max }
}

/// `[0, 1)`
const SHARE: FieldKind = float(Limit::Included(0.0), Limit::Excluded(1.0));

pub(super) static FIELDS: &[Field] = &[
    Field {
        key: "name",
        kind: FieldKind::Text,
        default: Same(Text("")),
        conditions: &[],
        step: Step::Typed,
        description: "Label of the run; empty means that it is made from the model and the corpus.",
    },
    Field {
        key: "device",
        kind: FieldKind::Text,
        default: Same(Text("auto")),
        conditions: &[],
        step: Step::Among(&["auto", "flex", "ndarray", "cuda:0", "wgpu:0", "vulkan:0"]),
        description: "Where to compute: auto, flex, ndarray, cuda:0, wgpu:0 or vulkan:0; auto takes the fastest that is there.",
    },
    // corpus
    Field {
        key: "corpus.name",
        kind: FieldKind::Text,
        default: Same(Text("stories")),
        conditions: &[Condition::Empty { key: "corpus.path" }],
        step: Step::Among(&[
            "stories",
            "fables",
            "play",
            "encyclopaedia",
            "enwik8",
            "names",
            "text8",
            "tiny-shakespeare",
            "tinystories-valid",
            "wikitext-2",
        ]),
        description: "A built-in text, the generator `stories`, or a downloaded text of the catalog.",
    },
    Field {
        key: "corpus.path",
        kind: FieldKind::TextList,
        default: Same(List(&[])),
        conditions: &[],
        step: Step::Typed,
        description: "Your own text: files, folders or globs, joined in order, or `-` for standard input; replaces corpus.name.",
    },
    Field {
        key: "corpus.validation_fraction",
        kind: float(Limit::Included(0.001), Limit::Included(0.5)),
        default: Same(Float(0.1)),
        conditions: &[],
        step: Step::Add(0.05),
        description: "Share of the bytes, at the end of the text, that is held out for validation.",
    },
    Field {
        key: "corpus.bytes",
        kind: integer(1_000, MANY),
        default: Same(Integer(4_000_000)),
        conditions: STORIES,
        step: Step::Multiply(2.0),
        description: "Length of the generated text in bytes.",
    },
    Field {
        key: "corpus.seed",
        kind: integer(0, i64::MAX),
        default: Same(Integer(1337)),
        conditions: STORIES,
        step: Step::Add(1.0),
        description: "Seed of the generated text: the same seed and length give the same text.",
    },
    Field {
        key: "corpus.lossy",
        kind: FieldKind::Bool,
        default: Same(Bool(false)),
        conditions: &[],
        step: Step::Next,
        description: "Accept text that is not valid UTF-8, replacing what cannot be read.",
    },
    // tokenizer
    Field {
        key: "tokenizer.kind",
        kind: FieldKind::Choice(&["char", "word", "bpe"]),
        default: By(
            "model.kind",
            &[("char-rnn", Text("char")), ("gpt", Text("bpe"))],
            Text("word"),
        ),
        conditions: &[],
        step: Step::Next,
        description: "What a token is: a character, a word, or a byte-pair piece learned from the corpus.",
    },
    Field {
        key: "tokenizer.vocab_size",
        kind: integer(16, 1_000_000),
        default: By("tokenizer.kind", &[("bpe", Integer(512))], Integer(2000)),
        conditions: &[is("tokenizer.kind", &["word", "bpe"])],
        step: Step::Multiply(2.0),
        description: "Largest vocabulary: the most frequent words, or the bytes and merges of bpe (at least 256).",
    },
    Field {
        key: "tokenizer.min_freq",
        kind: integer(1, 1_000_000),
        default: Same(Integer(2)),
        conditions: WORD,
        step: Step::Add(1.0),
        description: "Words seen fewer times in the training part become `<unk>`.",
    },
    Field {
        key: "tokenizer.lowercase",
        kind: FieldKind::Bool,
        default: Same(Bool(false)),
        conditions: WORD,
        step: Step::Next,
        description: "Fold upper case to lower case before splitting into words.",
    },
    // model
    Field {
        key: "model.kind",
        kind: FieldKind::Choice(&[
            "char-rnn",
            "word-gru",
            "lstm-attention",
            "transformer",
            "gpt",
        ]),
        default: Same(Text("gpt")),
        conditions: &[],
        step: Step::Next,
        description: "The rung of the ladder; it decides which model keys apply and what their defaults are.",
    },
    Field {
        key: "model.context_length",
        kind: integer(1, 65_536),
        default: By(
            "model.kind",
            &[("word-gru", Integer(32)), ("lstm-attention", Integer(32))],
            Integer(64),
        ),
        conditions: &[],
        step: Step::Multiply(2.0),
        description: "Tokens per training window; for a recurrent model the length of truncated backpropagation.",
    },
    Field {
        key: "model.input",
        kind: FieldKind::Choice(&["one-hot", "embedding"]),
        default: By(
            "model.kind",
            &[("char-rnn", Text("one-hot"))],
            Text("embedding"),
        ),
        conditions: RECURRENT,
        step: Step::Next,
        description: "How a token enters a recurrent model: as a one-hot vector or through a learned embedding.",
    },
    Field {
        key: "model.cell",
        kind: FieldKind::Choice(&["rnn", "gru", "lstm"]),
        default: By(
            "model.kind",
            &[("char-rnn", Text("rnn")), ("word-gru", Text("gru"))],
            Text("lstm"),
        ),
        conditions: RECURRENT,
        step: Step::Next,
        description: "The recurrent cell: a tanh RNN, a GRU or an LSTM.",
    },
    Field {
        key: "model.d_embedding",
        kind: integer(1, 16_384),
        default: Same(Integer(128)),
        conditions: &[
            is("model.kind", &["char-rnn", "word-gru", "lstm-attention"]),
            is("model.input", &["embedding"]),
        ],
        step: Step::Add(16.0),
        description: "Width of the token embedding of a recurrent model.",
    },
    Field {
        key: "model.hidden_size",
        kind: integer(1, 16_384),
        default: By("model.kind", &[("char-rnn", Integer(256))], Integer(192)),
        conditions: RECURRENT,
        step: Step::Add(32.0),
        description: "Width of the recurrent state.",
    },
    Field {
        key: "model.d_model",
        kind: integer(1, 16_384),
        default: Same(Integer(128)),
        conditions: TRANSFORMER,
        step: Step::Add(16.0),
        description: "Width of the residual stream; a multiple of model.n_heads.",
    },
    Field {
        key: "model.n_heads",
        kind: integer(1, 256),
        default: Same(Integer(4)),
        conditions: TRANSFORMER,
        step: Step::Add(1.0),
        description: "Attention heads per layer, each d_model / n_heads wide.",
    },
    Field {
        key: "model.n_layers",
        kind: integer(1, 128),
        default: By(
            "model.kind",
            &[("transformer", Integer(3)), ("gpt", Integer(4))],
            Integer(1),
        ),
        conditions: &[],
        step: Step::Add(1.0),
        description: "Recurrent layers or transformer blocks, one on top of the other.",
    },
    Field {
        key: "model.d_ff",
        kind: integer(0, 65_536),
        default: Same(Integer(0)),
        conditions: TRANSFORMER,
        step: Step::Add(64.0),
        description: "Width of the feed-forward layer; 0 means 4 times d_model.",
    },
    Field {
        key: "model.dropout",
        kind: SHARE,
        default: Same(Float(0.0)),
        conditions: &[],
        step: Step::Add(0.05),
        description: "Share of activations set to zero while training.",
    },
    Field {
        key: "model.score",
        kind: FieldKind::Choice(&["additive", "dot", "scaled-dot"]),
        default: Same(Text("scaled-dot")),
        conditions: &[is("model.kind", &["lstm-attention"])],
        step: Step::Next,
        description: "How a hidden state scores an earlier one.",
    },
    Field {
        key: "model.d_attention",
        kind: integer(1, 16_384),
        default: Same(Integer(128)),
        conditions: &[
            is("model.kind", &["lstm-attention"]),
            is("model.score", &["additive"]),
        ],
        step: Step::Add(16.0),
        description: "Width of the hidden layer of the additive score.",
    },
    Field {
        key: "model.norm",
        kind: FieldKind::Choice(&["post", "pre"]),
        default: By("model.kind", &[("transformer", Text("post"))], Text("pre")),
        conditions: TRANSFORMER,
        step: Step::Next,
        description: "Layer norm after each residual sum (post) or before each sublayer (pre, with a final norm).",
    },
    Field {
        key: "model.activation",
        kind: FieldKind::Choice(&["relu", "gelu", "gelu-tanh"]),
        default: By(
            "model.kind",
            &[("transformer", Text("relu"))],
            Text("gelu-tanh"),
        ),
        conditions: TRANSFORMER,
        step: Step::Next,
        description: "Activation of the feed-forward layer: relu, gelu (exact, with erf) or gelu-tanh (GPT-2's approximation).",
    },
    Field {
        key: "model.positions",
        kind: FieldKind::Choice(&["sinusoidal", "learned"]),
        default: By(
            "model.kind",
            &[("transformer", Text("sinusoidal"))],
            Text("learned"),
        ),
        conditions: TRANSFORMER,
        step: Step::Next,
        description: "Where position comes from: fixed sines and cosines, or one learned vector a position.",
    },
    Field {
        key: "model.scale_embeddings",
        kind: FieldKind::Bool,
        default: By("model.kind", &[("transformer", Bool(true))], Bool(false)),
        conditions: TRANSFORMER,
        step: Step::Next,
        description: "Multiply token embeddings by sqrt(d_model) before positions are added.",
    },
    Field {
        key: "model.tied_head",
        kind: FieldKind::Bool,
        default: By("model.kind", &[("transformer", Bool(false))], Bool(true)),
        conditions: TRANSFORMER,
        step: Step::Next,
        description: "Share the output matrix with the token embedding.",
    },
    Field {
        key: "model.bias",
        kind: FieldKind::Bool,
        default: Same(Bool(true)),
        conditions: TRANSFORMER,
        step: Step::Next,
        description: "Biases in linear layers and norms.",
    },
    Field {
        key: "model.qkv_bias",
        kind: FieldKind::Bool,
        default: Same(Bool(true)),
        conditions: &[
            is("model.kind", &["transformer", "gpt"]),
            is("model.bias", &["true"]),
        ],
        step: Step::Next,
        description: "Biases in the query, key and value projections.",
    },
    Field {
        key: "model.head_bias",
        kind: FieldKind::Bool,
        default: By("model.kind", &[("transformer", Bool(true))], Bool(false)),
        conditions: &[
            is("model.kind", &["transformer", "gpt"]),
            is("model.tied_head", &["false"]),
        ],
        step: Step::Next,
        description: "Bias of the output layer.",
    },
    Field {
        key: "model.init",
        kind: FieldKind::Choice(&["gpt2", "normal", "uniform"]),
        default: By(
            "model.kind",
            &[("transformer", Text("uniform"))],
            Text("gpt2"),
        ),
        conditions: TRANSFORMER,
        step: Step::Next,
        description: "First weights: gpt2 (normal 0.02, residual projections scaled by 1/sqrt(2·n_layers)), normal (0.02) or uniform (by fan-in).",
    },
    // optimizer
    Field {
        key: "optimizer.kind",
        kind: FieldKind::Choice(&["sgd", "adam", "adamw"]),
        default: Same(Text("adamw")),
        conditions: &[],
        step: Step::Next,
        description: "The rule that turns gradients into updates.",
    },
    Field {
        key: "optimizer.learning_rate",
        kind: float(Limit::Excluded(0.0), Limit::Included(100.0)),
        default: By("optimizer.kind", &[("sgd", Float(0.1))], Float(1e-3)),
        conditions: &[],
        step: Step::Multiply(1.25),
        description: "Peak learning rate, before the schedule's factor.",
    },
    Field {
        key: "optimizer.beta1",
        kind: SHARE,
        default: Same(Float(0.9)),
        conditions: ADAM,
        step: Step::Add(0.01),
        description: "Decay of the running mean of gradients.",
    },
    Field {
        key: "optimizer.beta2",
        kind: SHARE,
        default: Same(Float(0.999)),
        conditions: ADAM,
        step: Step::Add(0.001),
        description: "Decay of the running mean of squared gradients.",
    },
    Field {
        key: "optimizer.epsilon",
        kind: float(Limit::Excluded(0.0), Limit::Included(1.0)),
        default: Same(Float(1e-8)),
        conditions: ADAM,
        step: Step::Multiply(10.0),
        description: "Added to the root of the mean squared gradient, so that nothing is divided by zero.",
    },
    Field {
        key: "optimizer.momentum",
        kind: SHARE,
        default: Same(Float(0.9)),
        conditions: SGD,
        step: Step::Add(0.05),
        description: "Share of the last update that is kept; 0 is plain gradient descent.",
    },
    Field {
        key: "optimizer.nesterov",
        kind: FieldKind::Bool,
        default: Same(Bool(false)),
        conditions: SGD,
        step: Step::Next,
        description: "Nesterov's form of momentum; needs optimizer.momentum above 0.",
    },
    Field {
        key: "optimizer.weight_decay",
        kind: float(Limit::Included(0.0), Limit::Included(10.0)),
        default: By("optimizer.kind", &[("adamw", Float(0.01))], Float(0.0)),
        conditions: &[],
        step: Step::Multiply(2.0),
        description: "Pull of the weights towards zero; 0 turns it off.",
    },
    Field {
        key: "optimizer.decay_form",
        kind: FieldKind::Choice(&["auto", "l2", "decoupled"]),
        default: Same(Text("auto")),
        conditions: WEIGHT_DECAY,
        step: Step::Next,
        description: "Add decay to the gradient (l2) or take it from the weight (decoupled); auto is decoupled for adamw, l2 for sgd and adam.",
    },
    Field {
        key: "optimizer.decay_group",
        kind: FieldKind::Choice(&["matrices", "all"]),
        default: Same(Text("matrices")),
        conditions: WEIGHT_DECAY,
        step: Step::Next,
        description: "What decays: tensors of two or more dimensions (embeddings included), or all.",
    },
    Field {
        key: "optimizer.grad_clip",
        kind: float(Limit::Included(0.0), Limit::Included(1e6)),
        default: Same(Float(1.0)),
        conditions: &[],
        step: Step::Multiply(2.0),
        description: "Largest norm of the gradient over all parameters together; 0 turns clipping off.",
    },
    // schedule
    Field {
        key: "schedule.kind",
        kind: FieldKind::Choice(&[
            "constant",
            "linear",
            "cosine",
            "warmup-linear",
            "warmup-cosine",
            "exponential",
            "step",
            "plateau",
        ]),
        default: Same(Text("constant")),
        conditions: &[],
        step: Step::Next,
        description: "How the learning rate changes over the steps.",
    },
    Field {
        key: "schedule.start",
        kind: integer(0, MANY),
        default: Same(Integer(0)),
        conditions: &[],
        step: Step::Add(100.0),
        description: "Step from which the schedule counts, so that a new one can begin in the middle of a run (there also `now`).",
    },
    Field {
        key: "schedule.warmup",
        kind: integer(0, MANY),
        default: Computed(
            default_warmup,
            "0; for warmup-linear and warmup-cosine a tenth of train.steps, at most 100",
        ),
        conditions: &[],
        step: Step::Add(10.0),
        description: "Steps of linear warmup before the schedule proper; fewer than train.steps.",
    },
    Field {
        key: "schedule.decay_steps",
        kind: integer(0, MANY),
        default: Same(Integer(0)),
        conditions: DECAYING,
        step: Step::Add(100.0),
        description: "Steps from schedule.start after which the decay reaches its end; 0 means up to train.steps.",
    },
    Field {
        key: "schedule.final_ratio",
        kind: float(Limit::Included(0.0), Limit::Included(1.0)),
        default: Same(Float(0.1)),
        conditions: DECAYING,
        step: Step::Add(0.05),
        description: "Where the decay ends, as a share of the peak.",
    },
    Field {
        key: "schedule.gamma",
        kind: float(Limit::Excluded(0.0), Limit::Included(1.0)),
        default: By(
            "schedule.kind",
            &[("exponential", Float(0.999))],
            Float(0.5),
        ),
        conditions: &[is("schedule.kind", &["exponential", "step", "plateau"])],
        step: Step::Add(0.05),
        description: "Factor per step (exponential), per step_size steps (step) or per plateau (plateau).",
    },
    Field {
        key: "schedule.step_size",
        kind: integer(1, MANY),
        default: Same(Integer(500)),
        conditions: &[is("schedule.kind", &["step"])],
        step: Step::Add(100.0),
        description: "Steps between two cuts.",
    },
    Field {
        key: "schedule.patience",
        kind: integer(0, 1_000_000),
        default: Same(Integer(3)),
        conditions: &[is("schedule.kind", &["plateau"])],
        step: Step::Add(1.0),
        description: "Evaluations without improvement that are waited for before a cut.",
    },
    // train
    Field {
        key: "train.steps",
        kind: integer(1, MANY),
        default: Same(Integer(2000)),
        conditions: &[],
        step: Step::Add(500.0),
        description: "Optimizer steps.",
    },
    Field {
        key: "train.batch_size",
        kind: integer(1, 65_536),
        default: Same(Integer(16)),
        conditions: &[],
        step: Step::Add(4.0),
        description: "Windows per forward pass.",
    },
    Field {
        key: "train.gradient_accumulation",
        kind: integer(1, 65_536),
        default: Same(Integer(1)),
        conditions: &[],
        step: Step::Add(1.0),
        description: "Forward passes per optimizer step.",
    },
    Field {
        key: "train.seed",
        kind: integer(0, i64::MAX),
        default: Same(Integer(1337)),
        conditions: &[],
        step: Step::Add(1.0),
        description: "Seed of first weights, batches and dropout.",
    },
    Field {
        key: "train.batching",
        kind: FieldKind::Choice(&["random", "stream"]),
        default: By(
            "model.kind",
            &[("transformer", Text("random")), ("gpt", Text("random"))],
            Text("stream"),
        ),
        conditions: &[],
        step: Step::Next,
        description: "Windows at random offsets, or contiguous streams through which recurrent models carry their state (transformers read them in order and carry none).",
    },
    Field {
        key: "train.label_smoothing",
        kind: SHARE,
        default: Same(Float(0.0)),
        conditions: &[],
        step: Step::Add(0.05),
        description: "Share of the target that is spread over the whole vocabulary in training (evaluations never smooth); 0 is plain cross-entropy.",
    },
    Field {
        key: "train.early_stopping",
        kind: integer(0, 1_000_000),
        default: Same(Integer(0)),
        conditions: &[],
        step: Step::Add(1.0),
        description: "Stop after this many evaluations without improvement; 0 turns it off.",
    },
    Field {
        key: "train.on_spike",
        kind: FieldKind::Choice(&["pause", "rewind", "continue"]),
        default: Same(Text("pause")),
        conditions: &[],
        step: Step::Next,
        description: "When the loss spikes or is no longer a number: pause and ask, rewind to a checkpoint before it and halve the learning rate, or continue (a step without a number is left out).",
    },
    Field {
        key: "train.spike_threshold",
        kind: float(Limit::Included(0.0), Limit::Included(100.0)),
        default: Same(Float(1.0)),
        conditions: &[],
        step: Step::Add(0.5),
        description: "Nats by which the mean of the last 4 losses must stand above the exponential mean of those before to be a spike; 0 turns it off.",
    },
    Field {
        key: "train.threads",
        kind: integer(0, 1024),
        default: Same(Integer(0)),
        conditions: &[],
        step: Step::Add(1.0),
        description: "CPU threads; 0 means all.",
    },
    // eval
    Field {
        key: "eval.every",
        kind: integer(0, MANY),
        default: Same(Integer(100)),
        conditions: &[],
        step: Step::Add(50.0),
        description: "Steps between evaluations; 0 evaluates only at the end.",
    },
    Field {
        key: "eval.batches",
        kind: integer(0, MANY),
        default: Same(Integer(20)),
        conditions: &[],
        step: Step::Add(10.0),
        description: "Batches per split and evaluation; 0 reads the whole split.",
    },
    // sample
    Field {
        key: "sample.every",
        kind: integer(0, MANY),
        default: Same(Integer(200)),
        conditions: &[],
        step: Step::Add(50.0),
        description: "Steps between samples; 0 turns them off.",
    },
    Field {
        key: "sample.prompts",
        kind: FieldKind::TextList,
        default: Same(List(&["Once upon a time"])),
        conditions: &[],
        step: Step::Typed,
        description: "Texts that the model continues, one sample each.",
    },
    Field {
        key: "sample.length",
        kind: integer(1, 1_000_000),
        default: By("tokenizer.kind", &[("char", Integer(300))], Integer(100)),
        conditions: &[],
        step: Step::Add(50.0),
        description: "Tokens to generate per prompt.",
    },
    Field {
        key: "sample.temperature",
        kind: float(Limit::Included(0.0), Limit::Included(10.0)),
        default: Same(Float(0.8)),
        conditions: &[],
        step: Step::Add(0.1),
        description: "Below 1 sharpens the model's distribution, above 1 flattens it; 0 always takes the most probable token, whatever the cuts below say.",
    },
    Field {
        key: "sample.top_k",
        kind: integer(0, 1_000_000),
        default: Same(Integer(40)),
        conditions: &[],
        step: Step::Add(10.0),
        description: "Keep only this many of the most probable tokens; 0 is off.",
    },
    Field {
        key: "sample.top_p",
        kind: float(Limit::Excluded(0.0), Limit::Included(1.0)),
        default: Same(Float(1.0)),
        conditions: &[],
        step: Step::Add(0.05),
        description: "Keep the most probable tokens that together reach this probability; 1 is off.",
    },
    Field {
        key: "sample.min_p",
        kind: SHARE,
        default: Same(Float(0.0)),
        conditions: &[],
        step: Step::Add(0.01),
        description: "Drop tokens less probable than this share of the most probable one; 0 is off.",
    },
    Field {
        key: "sample.repetition_penalty",
        kind: float(Limit::Excluded(0.0), Limit::Included(10.0)),
        default: Same(Float(1.0)),
        conditions: &[],
        step: Step::Add(0.05),
        description: "Above 1 makes tokens that already occurred less likely; 1 is off.",
    },
    Field {
        key: "sample.seed",
        kind: integer(0, i64::MAX),
        default: Same(Integer(1337)),
        conditions: &[],
        step: Step::Add(1.0),
        description: "Seed of the sampler.",
    },
    // checkpoint
    Field {
        key: "checkpoint.every",
        kind: integer(0, MANY),
        default: Same(Integer(500)),
        conditions: &[],
        step: Step::Add(100.0),
        description: "Steps between checkpoints; 0 saves only at the end.",
    },
    Field {
        key: "checkpoint.keep",
        kind: integer(1, 1_000_000),
        default: Same(Integer(3)),
        conditions: &[],
        step: Step::Add(1.0),
        description: "How many of the newest checkpoints are kept, besides the best and those saved by hand.",
    },
];

/// A tenth of a short run, so that a warmup always ends before the run does.
fn default_warmup(get: &dyn Fn(&str) -> Value) -> Value {
    let warms_up = get("schedule.kind").to_plain().starts_with("warmup-");
    let steps = match get("train.steps") {
        Value::Integer(steps) => steps,
        _ => 0,
    };
    Value::Integer(if warms_up { (steps / 10).min(100) } else { 0 })
}
