//! The rows of `eval`, `sample` and `checkpoint`: what is done every so many steps beside training.

use super::{MANY, SHARE, float, integer};
use crate::config::fields::{Default, Field, FieldKind, Limit, Step};
use crate::config::value::Constant::{Float, Integer, List};

use Default::{By, Same};

pub(super) const FIELDS: &[Field] = &[
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
