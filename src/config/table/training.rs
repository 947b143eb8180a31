//! The rows of `optimizer`, `schedule` and `train`: how the weights change, and for how long.

use super::{MANY, SHARE, float, integer, is};
use crate::config::fields::{Condition, Default, Field, FieldKind, Limit, Step};
use crate::config::value::{Constant, Value};

use Constant::{Bool, Float, Integer, Text};
use Default::{By, Computed, Same};

const ADAM: &[Condition] = &[is("optimizer.kind", &["adam", "adamw"])];
const SGD: &[Condition] = &[is("optimizer.kind", &["sgd"])];
const DECAYING: &[Condition] = &[is(
    "schedule.kind",
    &["linear", "cosine", "warmup-linear", "warmup-cosine"],
)];
const WEIGHT_DECAY: &[Condition] = &[Condition::Positive {
    key: "optimizer.weight_decay",
}];

pub(super) const FIELDS: &[Field] = &[
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
