//! What a field is: type and range, default, where it applies, and one sentence about it.
//!
//! The table itself is in [`super::table`]. It serves the loader, the form on screen, `config describe` and
//! docs/configuration.md, so that they cannot disagree.

use super::types::ModelKind;
use super::value::{Constant, Value, format_float};

/// One key of the configuration.
#[derive(Debug, Clone)]
pub struct Field {
    /// Dotted path, for example `model.n_heads`.
    pub key: &'static str,
    pub kind: FieldKind,
    pub(crate) default: Default,
    /// All must hold for the key to have a meaning; a key given where one does not hold is an error.
    pub conditions: &'static [Condition],
    /// How a form changes the value with one key press.
    pub step: Step,
    /// One sentence.
    pub description: &'static str,
}

/// The type of a field, with its range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FieldKind {
    Bool,
    /// Both ends included.
    Integer {
        min: i64,
        max: i64,
    },
    Float {
        min: Limit,
        max: Limit,
    },
    Choice(&'static [&'static str]),
    Text,
    /// A list of strings; a single string is accepted as a list of one.
    TextList,
}

/// An end of a range of floats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    Included(f64),
    Excluded(f64),
}

/// Where a key has a meaning.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Condition {
    /// The value of `key` is one of these (booleans as `true`, `false`).
    Is {
        key: &'static str,
        values: &'static [&'static str],
    },
    /// The list is empty.
    Empty { key: &'static str },
    /// The number is above zero.
    Positive { key: &'static str },
}

/// How far one key press moves a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step {
    /// Text: only typed.
    Typed,
    /// Text: through these, beside whatever else is typed.
    Among(&'static [&'static str]),
    /// The next choice, or the other truth value.
    Next,
    Add(f64),
    Multiply(f64),
}

/// The value of a key that nobody gave.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Default {
    Same(Constant),
    /// By the value of another key; the last one where none matches.
    By(&'static str, &'static [(&'static str, Constant)], Constant),
    /// Computed from other keys; the text says how.
    Computed(Compute, &'static str),
}

/// A default from the values in effect of other keys.
pub(crate) type Compute = fn(&dyn Fn(&str) -> Value) -> Value;

/// Every key, in the order of files and forms.
pub fn fields() -> &'static [Field] {
    &super::table::FIELDS
}

/// The field of a key.
pub fn field(key: &str) -> Option<&'static Field> {
    fields().iter().find(|field| field.key == key)
}

/// Sections in order: `""` for the keys without one, then `corpus`, `tokenizer`, …
pub fn sections() -> Vec<&'static str> {
    let mut sections: Vec<&'static str> = Vec::new();
    for field in fields() {
        if sections.last() != Some(&field.section()) {
            sections.push(field.section());
        }
    }
    sections
}

/// The known key that looks most like `key`, if any does.
pub fn did_you_mean(key: &str) -> Option<&'static str> {
    closest(key, fields().iter().map(|field| field.key))
}

/// The candidate most like `given`, if it is like enough to be a slip.
pub(crate) fn closest<'a>(
    given: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or(key).to_owned();
    candidates
        .into_iter()
        .map(|candidate| {
            let slips = strsim::damerau_levenshtein(given, candidate);
            let whole = strsim::normalized_damerau_levenshtein(given, candidate);
            // `n_heads` alone, or in the wrong section, still finds `model.n_heads`.
            let tail = strsim::normalized_damerau_levenshtein(&last(given), &last(candidate));
            let mixed = 0.6 * tail + 0.4 * strsim::jaro_winkler(given, candidate);
            // One slip in a short word is a small share of nothing: it always counts.
            let one_slip = if slips == 1 && given.len() > 1 {
                0.7
            } else {
                0.0
            };
            (candidate, whole.max(mixed).max(one_slip))
        })
        .filter(|(_, score)| *score >= 0.7)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(candidate, _)| candidate)
}

impl Field {
    /// `model` of `model.n_heads`; empty for `name` and `device`.
    pub fn section(&self) -> &'static str {
        self.key.split_once('.').map_or("", |(section, _)| section)
    }

    /// `n_heads` of `model.n_heads`.
    pub fn name(&self) -> &'static str {
        self.key.split_once('.').map_or(self.key, |(_, name)| name)
    }

    /// The default of this key for a model kind, everything else at its default.
    pub fn default_for(&self, kind: ModelKind) -> Value {
        self.default_with(&|key| default_value(key, kind))
    }

    /// Whether the key has a meaning for a model kind, everything else at its default.
    pub fn applies_for(&self, kind: ModelKind) -> bool {
        self.failing_condition(&|key| default_value(key, kind))
            .is_none()
    }

    pub(crate) fn default_with(&self, get: &dyn Fn(&str) -> Value) -> Value {
        match self.default {
            Default::Same(constant) => constant.value(),
            Default::By(key, cases, otherwise) => {
                let value = get(key).to_plain();
                cases
                    .iter()
                    .find(|(case, _)| *case == value)
                    .map_or(otherwise, |(_, constant)| *constant)
                    .value()
            }
            Default::Computed(compute, _) => compute(get),
        }
    }

    /// The first condition that does not hold.
    pub(crate) fn failing_condition(&self, get: &dyn Fn(&str) -> Value) -> Option<Condition> {
        self.conditions
            .iter()
            .find(|condition| !condition.holds(&get(condition.key())))
            .copied()
    }

    /// The default in words: `128`, or `0.01 (0 where optimizer.kind is sgd)`.
    pub fn default_text(&self) -> String {
        match self.default {
            Default::Same(constant) => constant.value().to_string(),
            Default::By(key, cases, otherwise) => {
                // Cases with equal values share one mention.
                let mut groups: Vec<(Constant, Vec<&str>)> = Vec::new();
                for (case, constant) in cases {
                    match groups.iter_mut().find(|(seen, _)| seen == constant) {
                        Some((_, names)) => names.push(case),
                        None => groups.push((*constant, vec![case])),
                    }
                }
                let cases: Vec<String> = groups
                    .iter()
                    .filter(|(constant, _)| *constant != otherwise)
                    .map(|(constant, names)| format!("{} for {}", constant.value(), or_list(names)))
                    .collect();
                format!("{} (by {key}: {})", otherwise.value(), cases.join("; "))
            }
            Default::Computed(_, text) => text.to_owned(),
        }
    }

    /// What may be given, in words.
    pub fn allowed(&self) -> String {
        match (&self.kind, &self.step) {
            _ if self.key == "device" => {
                "auto, flex, ndarray, or cuda, wgpu or vulkan with the number of the device: cuda:0"
                    .to_owned()
            }
            (FieldKind::Text, Step::Among(names)) if !names.is_empty() => or_list(names),
            _ => self.kind.allowed(),
        }
    }

    /// Where the key has a meaning, in words; `None` means everywhere.
    pub fn applies_text(&self) -> Option<String> {
        if self.conditions.is_empty() {
            return None;
        }
        let all: Vec<String> = self.conditions.iter().map(Condition::text).collect();
        Some(all.join(" and "))
    }

    /// The value of another key decides the default or whether this key applies: a form redraws after these.
    pub fn depends_on(&self, key: &str) -> bool {
        let default = matches!(self.default, Default::By(by, ..) if by == key);
        default
            || self
                .conditions
                .iter()
                .any(|condition| condition.key() == key)
    }
}

/// A key's value where only the model kind is given.
fn default_value(key: &str, kind: ModelKind) -> Value {
    if key == "model.kind" {
        return Value::Text(kind.key().to_owned());
    }
    match field(key) {
        Some(field) => field.default_with(&|key| default_value(key, kind)),
        None => Value::Text(String::new()),
    }
}

impl FieldKind {
    /// What may be given, in words.
    pub fn allowed(&self) -> String {
        match self {
            FieldKind::Bool => "true or false".to_owned(),
            FieldKind::Integer { min, max: i64::MAX } => format!("a whole number ≥ {min}"),
            FieldKind::Integer { min, max } => format!("a whole number from {min} to {max}"),
            FieldKind::Float { min, max } => match (min, max) {
                (Limit::Included(a), Limit::Included(b)) => {
                    format!("a number from {} to {}", number(*a), number(*b))
                }
                (a, b) => {
                    let low = match a {
                        Limit::Included(a) => format!("≥ {}", number(*a)),
                        Limit::Excluded(a) => format!("> {}", number(*a)),
                    };
                    let high = match b {
                        Limit::Included(b) => format!("≤ {}", number(*b)),
                        Limit::Excluded(b) => format!("< {}", number(*b)),
                    };
                    format!("a number {low} and {high}")
                }
            },
            FieldKind::Choice(choices) => or_list(choices),
            FieldKind::Text => "text".to_owned(),
            FieldKind::TextList => "a list of texts".to_owned(),
        }
    }

    /// One word for the type.
    pub fn type_name(&self) -> &'static str {
        match self {
            FieldKind::Bool => "boolean",
            FieldKind::Integer { .. } => "integer",
            FieldKind::Float { .. } => "float",
            FieldKind::Choice(_) => "choice",
            FieldKind::Text => "text",
            FieldKind::TextList => "list of texts",
        }
    }

    /// The range in short, for a form: `1–24`, `[0, 1)`, `relu | gelu`. Empty for text.
    pub fn range_text(&self) -> String {
        match self {
            FieldKind::Bool => "true | false".to_owned(),
            FieldKind::Integer { min, max: i64::MAX } => format!("≥ {min}"),
            FieldKind::Integer { min, max } => format!("{min}–{max}"),
            FieldKind::Float { min, max } => {
                let low = match min {
                    Limit::Included(a) => format!("[{}", number(*a)),
                    Limit::Excluded(a) => format!("({}", number(*a)),
                };
                let high = match max {
                    Limit::Included(b) => format!("{}]", number(*b)),
                    Limit::Excluded(b) => format!("{})", number(*b)),
                };
                format!("{low}, {high}")
            }
            FieldKind::Choice(choices) => choices.join(" | "),
            FieldKind::Text | FieldKind::TextList => String::new(),
        }
    }
}

impl Limit {
    pub(crate) fn value(self) -> f64 {
        match self {
            Limit::Included(x) | Limit::Excluded(x) => x,
        }
    }
}

impl Condition {
    /// The key that decides.
    pub fn key(&self) -> &'static str {
        match self {
            Condition::Is { key, .. } | Condition::Empty { key } | Condition::Positive { key } => {
                key
            }
        }
    }

    pub(crate) fn holds(&self, value: &Value) -> bool {
        match self {
            Condition::Is { values, .. } => values.contains(&value.to_plain().as_str()),
            Condition::Empty { .. } => matches!(value, Value::List(items) if items.is_empty()),
            Condition::Positive { .. } => value.as_number().is_some_and(|x| x > 0.0),
        }
    }

    /// In words: `model.kind is transformer or gpt`.
    pub fn text(&self) -> String {
        match self {
            Condition::Is { key, values } => format!("{key} is {}", or_list(values)),
            Condition::Empty { key } => format!("{key} is empty"),
            Condition::Positive { key } => format!("{key} is above 0"),
        }
    }
}

/// `a`, `a or b`, `a, b or c`.
pub(crate) fn or_list(items: &[&str]) -> String {
    match items {
        [] => String::new(),
        [only] => only.to_string(),
        [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
    }
}

/// A limit without a needless `.0`.
fn number(x: f64) -> String {
    let text = format_float(x);
    text.strip_suffix(".0").unwrap_or(&text).to_owned()
}
