//! From the values that were given to a complete [`RunConfig`]: defaults, applicability, combinations.

use std::collections::BTreeMap;

use super::error::{Place, Problem};
use super::fields::{Condition, Field, FieldKind, Limit, field, fields};
use super::rules::{Clash, clashes};
use super::types::RunConfig;
use super::value::Value;

/// A value that somebody gave.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// `None` where the value given cannot be used; that problem is already reported.
    pub value: Option<Value>,
    pub place: Place,
}

/// All values given, by key. Unknown keys never get in.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Entries(pub BTreeMap<&'static str, Entry>);

impl Entries {
    /// The value given, or else the default that follows from the other values.
    pub fn effective(&self, key: &str) -> Value {
        if let Some(Entry {
            value: Some(value), ..
        }) = self.0.get(key)
        {
            return value.clone();
        }
        match field(key) {
            Some(field) => field.default_with(&|key| self.effective(key)),
            None => Value::Text(String::new()),
        }
    }

    /// What is not what would hold without it.
    pub fn differences(mut self) -> Self {
        let all = self.clone();
        self.0.retain(|key, entry| {
            let default = field(key).map(|field| field.default_with(&|key| all.effective(key)));
            entry.value != default
        });
        self
    }

    fn is_broken(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|entry| entry.value.is_none())
    }

    /// The condition that keeps this field from having a meaning. Conditions on unusable values are not
    /// judged: one slip should not be reported twice.
    pub fn failing_condition(&self, field: &Field) -> Option<Condition> {
        field
            .failing_condition(&|key| self.effective(key))
            .filter(|condition| !self.is_broken(condition.key()))
    }

    pub fn applies(&self, field: &Field) -> bool {
        self.failing_condition(field).is_none()
    }

    /// Why a key that was given has no meaning here.
    pub fn not_applicable(&self, condition: Condition) -> String {
        let key = condition.key();
        format!(
            "applies only where {} ({key} is {})",
            condition.text(),
            self.effective(key)
        )
    }

    /// Combinations that cannot be, leaving out those that involve a value already reported.
    pub fn clashes(&self) -> Vec<Clash> {
        let mut found = clashes(&|key| self.effective(key), &|key| {
            field(key).is_some_and(|field| self.applies(field))
        });
        found.retain(|clash| !clash.keys.iter().any(|key| self.is_broken(key)));
        found
    }

    /// A clash as a problem, at the place of that of its keys which was given: by `--set`, or else in the file.
    pub fn problem(&self, clash: Clash) -> Problem {
        let given = |key: &&&'static str| self.0.contains_key(**key);
        let by_set = |key: &&&'static str| {
            matches!(
                self.0.get(**key),
                Some(Entry {
                    place: Place::Set(_),
                    ..
                })
            )
        };
        let key = (clash.keys.iter().find(by_set))
            .or_else(|| clash.keys.iter().find(given))
            .unwrap_or(&clash.keys[0]);
        Problem {
            place: self
                .0
                .get(key)
                .map_or(Place::Default, |entry| entry.place.clone()),
            key: Some(key.to_string()),
            message: clash.message,
        }
    }

    /// The complete configuration; a value that cannot be used gives way to the default.
    pub fn build(&self) -> RunConfig {
        let mut root = serde_json::Map::new();
        for field in fields() {
            let exists = field
                .conditions
                .iter()
                .filter(|condition| condition.key() == "model.kind")
                .all(|condition| condition.holds(&self.effective("model.kind")));
            if !exists {
                continue;
            }
            let value = match field.failing_condition(&|key| self.effective(key)) {
                None => self.effective(field.key),
                Some(_) => inert(field, &|key| self.effective(key)),
            };
            let table = match field.section() {
                "" => &mut root,
                section => root
                    .entry(section)
                    .or_insert_with(|| serde_json::Value::Object(serde_json::Map::new()))
                    .as_object_mut()
                    .expect("sections hold tables only"),
            };
            table.insert(field.name().to_owned(), to_json(value));
        }
        serde_json::from_value(serde_json::Value::Object(root))
            .expect("the table of fields matches the types; a test builds every choice")
    }

    /// What a configuration gives, leaving out what has no meaning in it.
    pub fn of(config: &RunConfig, place: Place) -> Entries {
        let json = serde_json::to_value(config).expect("plain data serialises");
        let mut entries = Entries::default();
        for field in fields() {
            let table = match field.section() {
                "" => Some(&json),
                section => json.get(section),
            };
            if let Some(value) = table
                .and_then(|table| table.get(field.name()))
                .and_then(|value| from_json(&field.kind, value))
            {
                entries.0.insert(
                    field.key,
                    Entry {
                        value: Some(value),
                        place: place.clone(),
                    },
                );
            }
        }
        let meaningless: Vec<&str> = fields()
            .iter()
            .filter(|field| !entries.applies(field))
            .map(|field| field.key)
            .collect();
        entries.0.retain(|key, _| !meaningless.contains(key));
        entries
    }
}

/// What stands in the configuration for a key that has no meaning in it.
fn inert(field: &Field, get: &dyn Fn(&str) -> Value) -> Value {
    match field.key {
        "model.qkv_bias" | "model.head_bias" => Value::Bool(false),
        _ => field.default_with(get),
    }
}

fn to_json(value: Value) -> serde_json::Value {
    match value {
        Value::Bool(b) => b.into(),
        Value::Integer(n) => n.into(),
        Value::Float(x) => x.into(),
        Value::Text(text) => text.into(),
        Value::List(items) => items.into(),
    }
}

fn from_json(kind: &FieldKind, json: &serde_json::Value) -> Option<Value> {
    Some(match kind {
        FieldKind::Bool => Value::Bool(json.as_bool()?),
        // A seed set by a program may be above what TOML can hold.
        FieldKind::Integer { .. } => Value::Integer(json.as_i64().unwrap_or(i64::MAX)),
        FieldKind::Float { .. } => Value::Float(json.as_f64()?),
        FieldKind::Choice(_) | FieldKind::Text => Value::Text(json.as_str()?.to_owned()),
        FieldKind::TextList => Value::List(
            json.as_array()?
                .iter()
                .map(|item| item.as_str().unwrap_or_default().to_owned())
                .collect(),
        ),
    })
}

/// How strictly a value's type is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Typing {
    /// A file: types as TOML has them (a whole number may stand for a float).
    File,
    /// Typed by hand: `1e3` may stand for 1000.
    Hand,
}

/// Checks type and range. The error is what is allowed: `expected a whole number ≥ 1`.
pub(crate) fn read(
    field: &Field,
    given: &toml_edit::Value,
    typing: Typing,
) -> Result<Value, String> {
    let expected = || format!("expected {}", field.allowed());
    match field.kind {
        FieldKind::Bool => given.as_bool().map(Value::Bool).ok_or_else(expected),
        FieldKind::Integer { min, max } => {
            let whole = |x: f64| x.fract() == 0.0 && x.abs() < 9e15;
            given
                .as_integer()
                .or_else(|| match (typing, given.as_float()) {
                    (Typing::Hand, Some(x)) if whole(x) => Some(x as i64),
                    _ => None,
                })
                .filter(|n| (min..=max).contains(n))
                .map(Value::Integer)
                .ok_or_else(expected)
        }
        FieldKind::Float { min, max } => given
            .as_float()
            .or_else(|| given.as_integer().map(|n| n as f64))
            .filter(|x| within(*x, min, max))
            .map(Value::Float)
            .ok_or_else(expected),
        FieldKind::Choice(choices) => match given.as_str() {
            Some(text) if choices.contains(&text) => Ok(Value::Text(text.to_owned())),
            Some(text) => Err(
                match super::fields::closest(text, choices.iter().copied()) {
                    Some(guess) => format!("{} (did you mean `{guess}`?)", expected()),
                    None => expected(),
                },
            ),
            None => Err(expected()),
        },
        FieldKind::Text => match given.as_str() {
            Some(text) => {
                super::rules::check_text(field.key, text).map(|()| Value::Text(text.to_owned()))
            }
            None => Err(expected()),
        },
        FieldKind::TextList => {
            let items: Option<Vec<String>> = match given {
                toml_edit::Value::String(text) => Some(vec![text.value().clone()]),
                toml_edit::Value::Array(array) => array
                    .iter()
                    .map(|item| item.as_str().map(str::to_owned))
                    .collect(),
                _ => None,
            };
            let items = items.ok_or_else(expected)?;
            match items.iter().position(String::is_empty) {
                Some(i) => Err(format!("text {} of the list is empty", i + 1)),
                None => Ok(Value::List(items)),
            }
        }
    }
}

/// Reads text typed by hand: TOML, or bare words where text is wanted.
pub(crate) fn read_text(field: &Field, text: &str) -> Result<Value, String> {
    let trimmed = text.trim();
    let parsed = trimmed.parse::<toml_edit::Value>().ok();
    let wants_text = matches!(
        field.kind,
        FieldKind::Choice(_) | FieldKind::Text | FieldKind::TextList
    );
    let value = match parsed {
        Some(value) if !wants_text || value.is_str() || value.is_array() => value,
        _ => toml_edit::Value::from(trimmed),
    };
    // An emptied list field is an empty list.
    if field.kind == FieldKind::TextList && trimmed.is_empty() {
        return Ok(Value::List(Vec::new()));
    }
    read(field, &value, Typing::Hand)
}

fn within(x: f64, min: Limit, max: Limit) -> bool {
    let above = match min {
        Limit::Included(a) => x >= a,
        Limit::Excluded(a) => x > a,
    };
    let below = match max {
        Limit::Included(b) => x <= b,
        Limit::Excluded(b) => x < b,
    };
    above && below
}
