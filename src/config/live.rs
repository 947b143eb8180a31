//! Changes to a configuration while its run goes on, and the difference of two configurations.

use std::collections::BTreeMap;

use super::error::{FieldProblem, Place};
use super::fields::{did_you_mean, field, fields};
use super::resolve::{Entries, Entry, read_text};
use super::types::RunConfig;
use super::value::Value;

/// Keys and values, as `--set` takes them.
pub type Changes = BTreeMap<String, String>;

/// The value of `schedule.start` that stands for the next step.
const NOW: &str = "now";

/// Sections whose keys may all change while a run goes on.
const LIVE_SECTIONS: [&str; 5] = ["optimizer", "schedule", "eval", "sample", "checkpoint"];
/// Further keys that may.
const LIVE_KEYS: [&str; 8] = [
    "model.dropout",
    "train.steps",
    "train.batch_size",
    "train.gradient_accumulation",
    "train.label_smoothing",
    "train.early_stopping",
    "train.on_spike",
    "train.spike_threshold",
];

/// Whether a key may change while a run goes on.
pub fn is_live(key: &str) -> bool {
    let section = key.split_once('.').map_or("", |(section, _)| section);
    field(key).is_some() && (LIVE_SECTIONS.contains(&section) || LIVE_KEYS.contains(&key))
}

/// The keys that apply to `to` and have another value in `from`, or none. Applied to `from` they give `to`, so far as they
/// are live.
pub fn difference(from: &RunConfig, to: &RunConfig) -> Changes {
    let from = Entries::of(from, Place::Form);
    let to = Entries::of(to, Place::Form);
    let before = |key: &str| from.0.get(key).and_then(|entry| entry.value.as_ref());
    to.0.iter()
        .filter_map(|(key, entry)| {
            let value = entry.value.as_ref()?;
            (before(key) != Some(value)).then(|| (key.to_string(), value.to_plain()))
        })
        .collect()
}

/// `--set optimizer.learning_rate=0.001 --set model.dropout=0.1`; what a shell would take apart is quoted.
pub fn as_arguments<'a>(values: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    let set = |(key, value): (&String, &String)| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-+/:".contains(c);
        match value.chars().all(plain) {
            true => format!("--set {key}={value}"),
            false => format!("--set '{key}={}'", value.replace('\'', r"'\''")),
        }
    };
    let sets: Vec<String> = values.into_iter().map(set).collect();
    sets.join(" ")
}

/// Every key that has a meaning in the configuration, with its value.
pub fn values(config: &RunConfig) -> BTreeMap<&'static str, Value> {
    let entries = Entries::of(config, Place::Form).0.into_iter();
    entries
        .filter_map(|(key, entry)| Some((key, entry.value?)))
        .collect()
}

/// The configuration with these changes, taken together. Keys that come to have a meaning by them stand at their defaults.
/// `next_step` is what `schedule.start = now` stands for, counted from 0.
///
/// # Errors
/// Every problem: keys that are unknown, have no meaning here or cannot change while a run goes on, values that are not
/// allowed, values that contradict each other.
pub fn change(
    config: &RunConfig,
    changes: &Changes,
    next_step: u64,
) -> Result<RunConfig, Vec<FieldProblem>> {
    let mut entries = Entries::of(config, Place::Form);
    let mut problems = Vec::new();
    let mut problem = |key: &str, message: String| {
        problems.push(FieldProblem {
            key: key.to_owned(),
            also: Vec::new(),
            message,
        });
    };
    for (key, text) in changes {
        let Some(field) = field(key) else {
            let guess = did_you_mean(key)
                .map_or(String::new(), |guess| format!(" (did you mean `{guess}`?)"));
            problem(key, format!("unknown key{guess}"));
            continue;
        };
        if !is_live(key) {
            problem(key, "cannot change while a run goes on".to_owned());
            continue;
        }
        let text = match field.key == "schedule.start" && text.trim() == NOW {
            true => next_step.to_string(),
            false => text.clone(),
        };
        match read_text(field, &text) {
            Ok(value) => {
                let entry = Entry {
                    value: Some(value),
                    place: Place::Form,
                };
                entries.0.insert(field.key, entry);
            }
            Err(message) => problem(key, message),
        }
    }
    for key in changes.keys().filter_map(|key| field(key)) {
        if let Some(condition) = entries.failing_condition(key) {
            problem(key.key, entries.not_applicable(condition));
        }
    }
    let meaningless: Vec<&str> = fields()
        .iter()
        .filter(|field| !entries.applies(field))
        .map(|field| field.key)
        .collect();
    entries.0.retain(|key, _| !meaningless.contains(key));
    for clash in entries.clashes() {
        problem(clash.keys[0], clash.message);
    }
    if problems.is_empty() {
        Ok(entries.build())
    } else {
        Err(problems)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{OptimizerKind, Source, load};

    fn config(sets: &[&str]) -> RunConfig {
        let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
        load(Source::Defaults, &sets).unwrap()
    }

    fn changes(pairs: &[(&str, &str)]) -> Changes {
        let owned = |(key, value): &(&str, &str)| (key.to_string(), value.to_string());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn what_was_changed_can_be_put_back() {
        let before = config(&["optimizer.kind=adamw", "optimizer.beta1=0.8"]);
        let given = changes(&[("optimizer.kind", "sgd"), ("optimizer.momentum", "0.5")]);
        let after = change(&before, &given, 0).unwrap();
        assert_eq!(after.optimizer.kind, OptimizerKind::Sgd);
        assert_eq!(after.optimizer.momentum, 0.5);
        let back = change(&after, &difference(&after, &before), 0).unwrap();
        assert_eq!(back, before);
    }

    #[test]
    fn a_schedule_may_begin_now() {
        let before = config(&[]);
        let given = changes(&[("schedule.kind", "cosine"), ("schedule.start", "now")]);
        assert_eq!(change(&before, &given, 41).unwrap().schedule.start, 41);
    }

    #[test]
    fn every_problem_is_told() {
        let given = changes(&[
            ("optimizer.weight_decay", "-1"),
            ("optimizer.weight_deca", "0"),
            ("model.n_layers", "3"),
            ("schedule.patience", "3"),
        ]);
        let problems = change(&config(&[]), &given, 0).unwrap_err();
        let texts: Vec<String> = problems
            .iter()
            .map(|problem| format!("{}: {}", problem.key, problem.message))
            .collect();
        assert_eq!(
            texts,
            [
                "model.n_layers: cannot change while a run goes on",
                "optimizer.weight_deca: unknown key (did you mean `optimizer.weight_decay`?)",
                "optimizer.weight_decay: expected a number from 0 to 10",
                "schedule.patience: applies only where schedule.kind is plateau (schedule.kind is \"constant\")",
            ]
        );
    }
}
