//! A configuration while it is edited: what a form on screen holds.

use std::collections::BTreeMap;

use super::error::{ConfigErrors, FieldProblem, Place};
use super::fields::{Field, FieldKind, Limit, Step, field, fields};
use super::load::{Source, load};
use super::resolve::{Entries, Entry, read_text};
use super::types::{ModelKind, RunConfig};
use super::value::{Value, format_float};

/// An editable configuration. Texts that cannot be used are kept as typed and marked as problems; values of
/// keys that have no meaning for the moment are kept too, and come back when the kind is changed back.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What the draft started from: values that differ from the defaults.
    base: Entries,
    edits: BTreeMap<&'static str, Edit>,
    /// Base and edits together, without what has no meaning; made anew by each edit, since a form asks for
    /// every field in every frame.
    current: Entries,
    problems: Vec<FieldProblem>,
}

#[derive(Debug, Clone)]
struct Edit {
    text: String,
    value: Result<Value, String>,
}

impl Draft {
    /// A draft of a preset.
    ///
    /// # Errors
    /// No preset has this name.
    pub fn from_preset(name: &str) -> Result<Draft, ConfigErrors> {
        load(Source::Preset(name.to_owned()), &[]).map(|config| Draft::from_config(&config))
    }

    /// A draft of any configuration.
    pub fn from_config(config: &RunConfig) -> Draft {
        let mut draft = Draft {
            // Only what differs from the defaults is held, so that a change of kind brings that kind's defaults.
            base: Entries::of(config, Place::Form).differences(),
            edits: BTreeMap::new(),
            current: Entries::default(),
            problems: Vec::new(),
        };
        draft.refresh();
        draft
    }

    /// The fields that have a meaning now, in order.
    pub fn visible(&self) -> Vec<&'static Field> {
        fields()
            .iter()
            .filter(|field| self.current.applies(field))
            .collect()
    }

    /// Whether a key has a meaning now.
    pub fn applies(&self, key: &str) -> bool {
        field(key).is_some_and(|field| self.current.applies(field))
    }

    /// The text of a field: as typed, or the value in effect. Empty for an unknown key.
    pub fn get(&self, key: &str) -> String {
        match self.edits.get(key) {
            Some(edit) => edit.text.clone(),
            None => self.current.effective(key).to_plain(),
        }
    }

    /// Types `text` into a field.
    ///
    /// # Errors
    /// The field's problem, with what is allowed. The text is kept all the same (an unknown key keeps nothing).
    pub fn set(&mut self, key: &str, text: &str) -> Result<(), FieldProblem> {
        let Some(field) = field(key) else {
            return Err(FieldProblem {
                key: key.to_owned(),
                also: Vec::new(),
                message: "unknown key".to_owned(),
            });
        };
        let edit = Edit {
            text: text.to_owned(),
            value: read_text(field, text),
        };
        self.edits.insert(field.key, edit);
        self.refresh();
        self.problem(key).map_or(Ok(()), Err)
    }

    /// Moves a field by one step of its table entry: up or down a number, to the next or previous choice.
    /// Text and values that cannot be read stay as they are.
    ///
    /// # Errors
    /// As [`Draft::set`].
    pub fn nudge(&mut self, key: &str, up: bool) -> Result<(), FieldProblem> {
        let moved = field(key).and_then(|field| {
            let value = self.current.effective(key);
            nudged(field, &value, up)
        });
        match moved {
            Some(value) => self.set(key, &value.to_plain()),
            None => self.problem(key).map_or(Ok(()), Err),
        }
    }

    /// Back to the value that the draft started from.
    pub fn reset(&mut self, key: &str) {
        self.edits.remove(key);
        self.refresh();
    }

    /// Whether the field shows something else than what the draft started from.
    pub fn changed(&self, key: &str) -> bool {
        self.edits.get(key).is_some_and(|edit| match &edit.value {
            Ok(value) => *value != self.base.effective(key),
            Err(_) => true,
        })
    }

    /// The kind of model, as far as it can be read.
    pub fn model_kind(&self) -> ModelKind {
        let kind = self.current.effective("model.kind").to_plain();
        ModelKind::ALL
            .into_iter()
            .find(|candidate| candidate.key() == kind)
            .unwrap_or(ModelKind::Gpt)
    }

    /// The problem to show at a field.
    pub fn problem(&self, key: &str) -> Option<FieldProblem> {
        self.problems
            .iter()
            .find(|problem| problem.concerns(key))
            .cloned()
    }

    /// Everything that keeps the draft from being trained, in the order of the fields.
    pub fn problems(&self) -> Vec<FieldProblem> {
        self.problems.clone()
    }

    /// The configuration.
    ///
    /// # Errors
    /// All problems, where there are any.
    pub fn build(&self) -> Result<RunConfig, Vec<FieldProblem>> {
        let problems = self.problems();
        if problems.is_empty() {
            Ok(self.current.build())
        } else {
            Err(problems)
        }
    }

    fn refresh(&mut self) {
        let mut entries = self.base.clone();
        for (key, edit) in &self.edits {
            let entry = Entry {
                value: edit.value.as_ref().ok().cloned(),
                place: Place::Form,
            };
            entries.0.insert(key, entry);
        }
        let meaningless: Vec<&str> = fields()
            .iter()
            .filter(|field| !entries.applies(field))
            .map(|field| field.key)
            .collect();
        entries.0.retain(|key, _| !meaningless.contains(key));

        let unreadable = entries.0.keys().filter_map(|key| {
            let message = self.edits.get(key)?.value.as_ref().err()?;
            Some(FieldProblem {
                key: key.to_string(),
                also: Vec::new(),
                message: message.clone(),
            })
        });
        let clashes = entries.clashes().into_iter().map(|clash| FieldProblem {
            key: clash.keys[0].to_owned(),
            also: clash.keys[1..].to_vec(),
            // The form names the field and shows its value already.
            message: match clash.message.split_once(": ") {
                Some((_, message)) => message.to_owned(),
                None => clash.message,
            },
        });
        let mut problems: Vec<FieldProblem> = unreadable.chain(clashes).collect();
        problems.sort_by_key(|problem| fields().iter().position(|f| f.key == problem.key));
        self.problems = problems;
        self.current = entries;
    }
}

/// The value one step on; `None` for text.
fn nudged(field: &Field, value: &Value, up: bool) -> Option<Value> {
    let sign = if up { 1.0 } else { -1.0 };
    match (field.kind, value, field.step) {
        (FieldKind::Bool, Value::Bool(b), _) => Some(Value::Bool(!b)),
        (FieldKind::Choice(choices), Value::Text(text), _)
        | (FieldKind::Text, Value::Text(text), Step::Among(choices)) => {
            // What is none of them is followed by the first.
            let next = match (choices.iter().position(|choice| choice == text), up) {
                (None, true) => 0,
                (None, false) => choices.len() - 1,
                (Some(at), true) => at + 1,
                (Some(at), false) => at + choices.len() - 1,
            };
            Some(Value::Text(choices[next % choices.len()].to_owned()))
        }
        (FieldKind::Integer { min, max }, Value::Integer(n), step) => {
            let moved = match step {
                Step::Add(by) => n.saturating_add((sign * by) as i64),
                Step::Multiply(by) if up => (*n as f64 * by).ceil() as i64,
                Step::Multiply(by) => (*n as f64 / by).floor() as i64,
                Step::Typed | Step::Among(_) | Step::Next => return None,
            };
            Some(Value::Integer(moved.clamp(min, max)))
        }
        (FieldKind::Float { min, max }, Value::Float(x), step) => {
            let moved = match step {
                Step::Add(by) => x + sign * by,
                Step::Multiply(_) if *x == 0.0 => {
                    // Zero multiplies to nothing: the first step up switches the setting on.
                    if up { 0.01 } else { 0.0 }
                }
                Step::Multiply(by) => x * by.powf(sign),
                Step::Typed | Step::Among(_) | Step::Next => return None,
            };
            // Three digits are what a person would type.
            let moved: f64 = format!("{moved:.2e}").parse().ok()?;
            let (low, high) = (min.value(), max.value());
            let outside = moved < low
                || moved > high
                || (moved == low && matches!(min, Limit::Excluded(_)))
                || (moved == high && matches!(max, Limit::Excluded(_)));
            let stays_at_end = match (min, max) {
                (Limit::Included(low), _) if moved < low => Some(low),
                (_, Limit::Included(high)) if moved > high => Some(high),
                _ => None,
            };
            match (outside, stays_at_end) {
                (false, _) => Some(Value::Float(moved)),
                (true, Some(end)) => Some(Value::Float(end)),
                // Against an open end, or a step too fine to show: the value stays.
                (true, None) => format_float(*x).parse().ok().map(Value::Float),
            }
        }
        _ => None,
    }
}
