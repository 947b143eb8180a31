//! The table of fields. Order here is the order of files, forms and documentation.
//!
//! - here: `name` and `device`, and the shorthands that rows are written with.
//! - `text`: `corpus`, `tokenizer`. `model`: `model`.
//! - `training`: `optimizer`, `schedule`, `train`. `cadence`: `eval`, `sample`, `checkpoint`.

mod cadence;
mod model;
mod text;
mod training;

use std::sync::LazyLock;

use super::fields::{Condition, Default, Field, FieldKind, Limit, Step};
use super::value::Constant::Text;

use Default::Same;

pub(super) static FIELDS: LazyLock<Vec<Field>> = LazyLock::new(|| {
    [
        RUN,
        text::FIELDS,
        model::FIELDS,
        training::FIELDS,
        cadence::FIELDS,
    ]
    .concat()
});

const RUN: &[Field] = &[
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
