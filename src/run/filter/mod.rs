//! The language that picks runs from a list: `val_loss<1.9 & model=gpt`.
//!
//! ```text
//! any      = all { "|" all }                       either
//! all      = not { [ "&" ] not }                   both; side by side is the same
//! not      = "!" not | "(" any ")" | term
//! term     = key op value | word                   a word alone is looked for in name, model, corpus, status, tags and note
//! op       = "=" | "!=" | "<" | "<=" | ">" | ">=" | "~"        ~ is "contains"
//! key      = a column (`name`, `val_loss`, `tags` …), or a key of the configuration, or its last part where that is one key's
//! value    = word | "quoted words"; numbers may end in k, M or G, times in s, m, h or d
//! ```
//!
//! Letters compare without regard to case. A run that has no value for a key (no evaluation yet, a key that its model does not
//! have) fits no comparison with it; `!` turns that around. `=` on a list (`tags`) asks whether it is among them.

mod parse;

use super::column::{Datum, Key};
use super::store::RunEntry;

/// A filter that can be applied. The empty text fits every run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filter {
    root: Option<Node>,
}

/// What is wrong with the text of a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {}: {message}", at + 1)]
pub struct FilterError {
    /// Characters before the place, from 0.
    pub at: usize,
    /// What is wrong, and what is allowed.
    pub message: String,
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    /// In lower case.
    Word(String),
    Compare {
        key: Key,
        op: Op,
        value: Wanted,
    },
}

#[derive(Debug, Clone, PartialEq)]
enum Wanted {
    Number(f64),
    /// In lower case.
    Text(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Contains,
}

impl Filter {
    /// # Errors
    /// Where the text cannot be understood, and what could stand there.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        parse::parse(text).map(|root| Filter { root })
    }

    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// `now` in seconds since 1970.
    pub fn fits(&self, run: &RunEntry, now: u64) -> bool {
        self.root.as_ref().is_none_or(|node| node.fits(run, now))
    }
}

impl Node {
    fn fits(&self, run: &RunEntry, now: u64) -> bool {
        match self {
            Node::All(nodes) => nodes.iter().all(|node| node.fits(run, now)),
            Node::Any(nodes) => nodes.iter().any(|node| node.fits(run, now)),
            Node::Not(node) => !node.fits(run, now),
            Node::Word(word) => {
                let has = |text: &str| text.to_lowercase().contains(word);
                has(&run.summary.name)
                    || has(run.summary.model.key())
                    || has(&run.summary.corpus)
                    || has(run.summary.status.label())
                    || run.notes.tags.iter().any(|tag| has(tag))
                    || has(&run.notes.note)
            }
            Node::Compare { key, op, value } => compare(&key.of(run, now), *op, value),
        }
    }
}

fn compare(found: &Datum<'_>, op: Op, wanted: &Wanted) -> bool {
    match (found, wanted) {
        (Datum::Missing, _) => false,
        (Datum::Number(found), Wanted::Number(wanted)) => match op {
            Op::Equal => found == wanted,
            Op::Unequal => found != wanted,
            Op::Less => found < wanted,
            Op::LessOrEqual => found <= wanted,
            Op::Greater => found > wanted,
            Op::GreaterOrEqual => found >= wanted,
            Op::Contains => false,
        },
        (Datum::Text(found), Wanted::Text(wanted)) => {
            let found = found.to_lowercase();
            match op {
                Op::Equal => found == *wanted,
                Op::Unequal => found != *wanted,
                Op::Contains => found.contains(wanted),
                _ => false,
            }
        }
        (Datum::List(items), Wanted::Text(wanted)) => {
            let mut items = items.iter().map(|item| item.to_lowercase());
            match op {
                Op::Equal => items.any(|item| item == *wanted),
                Op::Unequal => items.all(|item| item != *wanted),
                Op::Contains => items.any(|item| item.contains(wanted)),
                _ => false,
            }
        }
        // The parser gives a key values of its own kind only.
        _ => false,
    }
}

#[cfg(test)]
mod tests;
