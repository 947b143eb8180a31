//! Commands of the palette that take words, while a run is on: `set key value`, `until loss 1.5`, `rewind 400`,
//! `schedule cosine peak=3e-4`. They are held against the run while they are typed.

use super::{Chosen, Entry, score};
use crate::config::{Changes, FieldKind, change, did_you_mean, field, is_live};
use crate::protocol::{Edit, Until};
use crate::ui::app::schedule_key;
use crate::ui::keymap::Context;
use crate::ui::screens::train::{Knob, RunView, typed_multiplier};
use crate::ui::widgets::chart::short;

fn entry(name: String, description: String, chosen: Chosen) -> Entry {
    Entry {
        chosen,
        name,
        description,
        keys: String::new(),
        place: Context::Train.title(),
        here: true,
    }
}

fn problem(name: String, words: String) -> Vec<Entry> {
    vec![entry(name, words, Chosen::Problem)]
}

/// How the commands with words begin that mean something while a `run` is on the dashboard, or at `home`.
pub fn with_words(run: bool, home: bool) -> Vec<Entry> {
    let all: &[(&str, &str)] = match (run, home) {
        (true, _) => &[
            ("set KEY VALUE", "change a value: set dropout 0.1"),
            (
                "until …",
                "train until a step, a loss or an evaluation, then pause: until loss 1.5",
            ),
            ("rewind STEP", "go back to the checkpoint of a step"),
            (
                "schedule KIND …",
                "a new schedule: schedule cosine peak=3e-4",
            ),
        ],
        (false, true) => &[(
            "set KEY VALUE",
            "change a field: set optimizer.learning_rate 3e-4",
        )],
        (false, false) => &[],
    };
    let begins = |name: &str| format!("{} ", name.split(' ').next().unwrap_or(name));
    all.iter()
        .map(|(name, words)| {
            entry(
                name.to_string(),
                words.to_string(),
                Chosen::Complete(begins(name)),
            )
        })
        .collect()
}

/// What `query` means as a command with words; `None` where it is none.
pub fn entries(query: &str, run: &RunView) -> Option<Vec<Entry>> {
    let query = query.trim_start();
    let (word, rest) = query.split_once(' ').unwrap_or((query, ""));
    match word {
        "set" if query.contains(' ') => Some(set(rest, run)),
        "until" => Some(until(rest.trim())),
        "rewind" if !rest.trim().is_empty() => Some(rewind(rest.trim())),
        "schedule" => Some(schedule(rest)),
        _ if word.contains('=') && word.contains('.') => Some(set(query, run)),
        _ => None,
    }
}

/// `key value` or `key=value`; the keys that begin so while there is no value yet.
fn set(rest: &str, run: &RunView) -> Vec<Entry> {
    let rest = rest.trim_start();
    let (key, value) = rest.split_once([' ', '=']).unwrap_or((rest, ""));
    let value = value.trim_start_matches([' ', '=']).trim_end();
    if value.is_empty() {
        return keys(key, run);
    }
    let name = format!("set {key} {value}");
    if key == MULTIPLIER {
        return multiplier(name, value, run);
    }
    let key = match full_key(key, run) {
        Ok(key) => key,
        Err(words) => return problem(name, words),
    };
    let changes = Changes::from([(key.to_string(), value.to_string())]);
    match change(&run.config, &changes, run.step) {
        Ok(_) => {
            let now = run.knobs.in_force(key);
            let now = match run.knobs.applies(key) {
                true => format!("from the next step on; now {now}"),
                false => "from the next step on".to_string(),
            };
            // The name may have been a short one.
            let now = match name.contains(key) {
                true => now,
                false => format!("{key}: {now}"),
            };
            vec![entry(name, now, Chosen::Edit(Edit::Set(changes)))]
        }
        Err(problems) => {
            let words: Vec<&str> = problems.iter().map(|p| p.message.as_str()).collect();
            problem(name, format!("{key}: {}", words.join("; ")))
        }
    }
}

/// What the learning-rate multiplier is called here; it is no key of the configuration.
const MULTIPLIER: &str = "multiplier";

fn multiplier(name: String, value: &str, run: &RunView) -> Vec<Entry> {
    match typed_multiplier(value) {
        Ok(multiplier) => {
            let words = format!(
                "whatever the schedule says times this, from the next step on; now {}",
                short(run.multiplier)
            );
            let edit = Edit::LearningRateMultiplier(multiplier);
            vec![entry(name, words, Chosen::Edit(edit))]
        }
        Err(words) => problem(name, format!("{MULTIPLIER}: {words}")),
    }
}

/// The key that is meant: in full, or its last part where only one may change that ends so.
fn full_key(given: &str, run: &RunView) -> Result<&'static str, String> {
    if let Some(field) = field(given) {
        return match is_live(field.key) {
            true => Ok(field.key),
            false => Err(format!("{given} cannot change while a run goes on")),
        };
    }
    let rows = run.knobs.rows().iter();
    let matching: Vec<&'static str> = rows
        .map(|row| row.key())
        .filter(|key| key.rsplit('.').next() == Some(given))
        .collect();
    match matching.as_slice() {
        [only] => Ok(only),
        [] => {
            let hint = did_you_mean(given)
                .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
            Err(format!("no setting `{given}`{hint}"))
        }
        several => Err(format!("`{given}` may be {}", several.join(" or "))),
    }
}

/// Keys that may change and look like what was typed.
fn keys(typed: &str, run: &RunView) -> Vec<Entry> {
    let fields = run.knobs.rows().iter().filter_map(|knob| match knob {
        Knob::Key(field) => Some(*field),
        Knob::Multiplier => None,
    });
    let of_multiplier = score(typed, MULTIPLIER).map(|score| {
        let words = format!(
            "now {}  {}  {}",
            short(run.multiplier),
            Knob::Multiplier.range(),
            Knob::Multiplier.description()
        );
        let text = format!("set {MULTIPLIER} ");
        (score, entry(text.clone(), words, Chosen::Complete(text)))
    });
    let mut found: Vec<(i32, Entry)> = fields
        .filter_map(|field| {
            let score = match typed {
                typed if typed == field.key => i32::MAX,
                typed => score(typed, field.key)?,
            };
            let range = match field.kind {
                FieldKind::Text | FieldKind::TextList => String::new(),
                kind => format!("  {}", kind.range_text()),
            };
            let now = run.knobs.in_force(field.key);
            let words = format!("now {now}{range}  {}", field.description);
            let text = format!("set {} ", field.key);
            Some((score, entry(text.clone(), words, Chosen::Complete(text))))
        })
        .chain(of_multiplier)
        .collect();
    found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    let found: Vec<Entry> = found.into_iter().map(|(_, entry)| entry).collect();
    if found.is_empty() {
        let words = full_key(typed, run).err().unwrap_or_default();
        return problem(format!("set {typed}"), words);
    }
    found
}

fn until(rest: &str) -> Vec<Entry> {
    let (what, value) = rest.split_once(' ').unwrap_or((rest, ""));
    let value = value.trim();
    let name = format!("until {rest}");
    match what {
        "eval" | "evaluation" => {
            let words = "train until the next evaluation is done, then pause";
            vec![entry(name, words.into(), Chosen::Until(Until::Evaluation))]
        }
        "loss" if !value.is_empty() => match value.parse::<f64>() {
            Ok(loss) if loss.is_finite() && loss > 0.0 => {
                let words = format!("train until the loss is below {}, then pause", short(loss));
                vec![entry(name, words, Chosen::Until(Until::Loss(loss)))]
            }
            _ => problem(name, format!("`{value}` is not a loss: a number above 0")),
        },
        "step" if !value.is_empty() => match value.replace('_', "").parse::<u64>() {
            Ok(step) => {
                let words = format!("train until step {step} is done, then pause");
                vec![entry(name, words, Chosen::Until(Until::Step(step)))]
            }
            Err(_) => problem(name, format!("`{value}` is not a whole number")),
        },
        _ => {
            let all = [
                ("until step ", "train until this step is done, then pause"),
                (
                    "until loss ",
                    "train until the loss is below this, then pause",
                ),
                (
                    "until eval",
                    "train until the next evaluation is done, then pause",
                ),
            ];
            let wanted = |text: &str| text["until ".len()..].starts_with(what);
            let found: Vec<Entry> = all
                .into_iter()
                .filter(|(text, _)| wanted(text))
                .map(|(text, words)| {
                    let chosen = match text {
                        "until eval" => Chosen::Until(Until::Evaluation),
                        text => Chosen::Complete(text.to_string()),
                    };
                    entry(text.to_string(), words.to_string(), chosen)
                })
                .collect();
            match found.is_empty() {
                true => problem(name, "expected `step`, `loss` or `eval`".to_string()),
                false => found,
            }
        }
    }
}

fn rewind(rest: &str) -> Vec<Entry> {
    let name = format!("rewind {rest}");
    match rest.replace('_', "").parse::<u64>() {
        Ok(step) => {
            let words = format!("go back to the checkpoint of step {step}; asks once more");
            vec![entry(name, words, Chosen::RewindTo(step))]
        }
        Err(_) => problem(name, format!("`{rest}` is not the step of a checkpoint")),
    }
}

/// `schedule cosine peak=3e-4 end=0.1 length=2000 warmup=100`
fn schedule(rest: &str) -> Vec<Entry> {
    let name = format!("schedule {rest}");
    let kinds = match field("schedule.kind").map(|field| field.kind) {
        Some(FieldKind::Choice(kinds)) => kinds,
        _ => &[],
    };
    let mut words = rest.split_whitespace();
    let kind = words.next().unwrap_or("");
    if !kinds.contains(&kind) {
        let found: Vec<Entry> = kinds
            .iter()
            .filter(|other| other.starts_with(kind))
            .map(|kind| {
                let words = "a new schedule from the next step on: peak= end= length= warmup=";
                let text = format!("schedule {kind} ");
                entry(text.clone(), words.to_string(), Chosen::Complete(text))
            })
            .collect();
        return match found.is_empty() {
            true => problem(name, format!("expected {}", kinds.join(", "))),
            false => found,
        };
    }
    let mut given = vec![("kind".to_string(), kind.to_string())];
    for word in words {
        match word.split_once('=') {
            Some((key, value)) if schedule_key(key).is_some() => {
                given.push((key.to_string(), value.to_string()));
            }
            _ => {
                let words = format!("`{word}`: expected peak=, end=, length=, warmup=, gamma= …");
                return problem(name, words);
            }
        }
    }
    let words = "a new schedule from the next step on: opens its form, with the curve".to_string();
    vec![entry(name, words, Chosen::Schedule(given))]
}
