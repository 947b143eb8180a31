//! What can be wrong with a configuration. Problems are collected, never thrown one by one.

use std::fmt;

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// A file, a preset or another named text; line and column count from 1.
    Line {
        name: String,
        line: usize,
        column: usize,
    },
    /// The whole file.
    File(String),
    /// A `--set`, as it was typed.
    Set(String),
    /// The form on screen.
    Form,
    /// Nowhere: the value is a default.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Line { name, line, column } => write!(f, "{name}:{line}:{column}"),
            Place::File(name) => f.write_str(name),
            Place::Set(text) => write!(f, "--set {text}"),
            Place::Form => f.write_str("form"),
            Place::Default => f.write_str("defaults"),
        }
    }
}

/// One thing that is wrong, with its place: `my.toml:3:1: train.steps = 0: expected …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub place: Place,
    /// Absent for problems of the file itself.
    pub key: Option<String>,
    /// Key, value given and what is allowed, in one line.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Every problem of a configuration, in the order of the file, then of the `--set`s. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.problems.as_slice() {
            return write!(f, "{only}");
        }
        write!(f, "{} problems in the configuration", self.problems.len())?;
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl ConfigErrors {
    pub(crate) fn one(place: Place, message: String) -> Self {
        Self {
            problems: vec![Problem {
                place,
                key: None,
                message,
            }],
        }
    }
}

/// A field of the form that cannot be used as it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct FieldProblem {
    /// The field to mark.
    pub key: String,
    /// Other fields that take part in the problem (for example `model.n_heads` beside `model.d_model`).
    pub also: Vec<&'static str>,
    /// What is wrong and what is allowed, without the key.
    pub message: String,
}

impl FieldProblem {
    /// Whether this problem should be shown at the field `key`.
    pub fn concerns(&self, key: &str) -> bool {
        self.key == key || self.also.contains(&key)
    }

    /// What to show at the field `key`: elsewhere than at its own field, the problem names that field.
    pub fn text_at(&self, key: &str) -> String {
        if self.key == key {
            self.message.clone()
        } else {
            self.to_string()
        }
    }
}
