//! The rows of `model`.

use super::{SHARE, integer, is};
use crate::config::fields::{Condition, Default, Field, FieldKind, Step};
use crate::config::value::Constant::{Bool, Float, Integer, Text};

use Default::{By, Same};

const RECURRENT: &[Condition] = &[is(
    "model.kind",
    &["char-rnn", "word-gru", "lstm-attention"],
)];
const TRANSFORMER: &[Condition] = &[is("model.kind", &["transformer", "gpt"])];

pub(super) const FIELDS: &[Field] = &[
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
];
