//! `--vary KEY=VALUES`: which values of a key a sweep tries.
//!
//! ```text
//! model.dropout=0,0.1,0.2                  these values
//! optimizer.learning_rate=1e-4..1e-2       anything between, both ends included
//! optimizer.learning_rate=1e-4..1e-2:log   the same, equal ratios equally likely
//! model.n_layers=2..6                      whole numbers between
//! optimizer.learning_rate=1e-4..1e-2:log:5 five values between, for a grid
//! ```
//!
//! Keys and values are those of the table of fields; whatever is wrong is told at once.

use crate::config::{Field, FieldKind, Value, did_you_mean, field, read_value};

/// Keys that a sweep sets itself, or that are no matter of trials, with the reason.
const TAKEN: [(&str, &str); 3] = [
    ("train.steps", "give the steps of a trial by --steps"),
    (
        "train.threads",
        "the sweep parts the cores among its trials",
    ),
    ("name", "trials are named by their number"),
];
/// Points of one range of a grid, and values of a list, at most.
const MOST: usize = 1000;

/// One key and what it may be.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    pub key: &'static str,
    domain: Domain,
}

#[derive(Debug, Clone, PartialEq)]
enum Domain {
    /// As `--set` takes them.
    List(Vec<String>),
    Range {
        low: f64,
        high: f64,
        log: bool,
        /// Whole numbers only.
        whole: bool,
        /// For a grid.
        points: Option<usize>,
    },
}

/// Reads one `--vary`.
///
/// # Errors
/// A sentence for everything that is wrong with it.
pub fn parse(text: &str) -> Result<Axis, Vec<String>> {
    let Some((key, values)) = text.split_once('=') else {
        return Err(vec![format!(
            "--vary {text}: expected KEY=VALUES, for example model.dropout=0,0.1 or optimizer.learning_rate=1e-4..1e-2:log"
        )]);
    };
    let key = key.trim();
    let Some(field) = field(key) else {
        let guess = match did_you_mean(key) {
            Some(guess) => format!("; did you mean `{guess}`?"),
            None => "; `fireside config describe` lists all keys".to_string(),
        };
        return Err(vec![format!("--vary {text}: unknown key {key}{guess}")]);
    };
    if let Some((_, why)) = TAKEN.iter().find(|(taken, _)| *taken == key) {
        return Err(vec![format!(
            "--vary {text}: {key} cannot be varied: {why}"
        )]);
    }
    let told = |problems: Vec<String>| {
        let told = problems.into_iter();
        told.map(|problem| format!("--vary {text}: {problem}"))
            .collect::<Vec<_>>()
    };
    let domain = match range_parts(values) {
        Some(parts) => range(field, parts),
        None => list(field, values),
    };
    domain
        .map(|domain| Axis {
            key: field.key,
            domain,
        })
        .map_err(told)
}

/// The parts of `a..b:more`; none where the text is no range.
fn range_parts(text: &str) -> Option<(&str, &str, Vec<&str>)> {
    if text.contains(['"', '\'', '[']) {
        return None;
    }
    let (low, rest) = text.split_once("..")?;
    let mut rest = rest.split(':');
    let high = rest.next()?;
    Some((low.trim(), high.trim(), rest.map(str::trim).collect()))
}

fn range(field: &Field, (low, high, more): (&str, &str, Vec<&str>)) -> Result<Domain, Vec<String>> {
    let whole = match field.kind {
        FieldKind::Integer { .. } => true,
        FieldKind::Float { .. } => false,
        _ => {
            // A path may hold two dots, and be meant as it stands.
            return Err(vec![format!(
                "{low}..{high} is a range, and {} is no number (expected {}); list the values, with commas between and quotes \
                 around what has two dots",
                field.key,
                field.allowed()
            )]);
        }
    };
    let mut problems = Vec::new();
    let mut end = |text: &str| match read_value(field, text) {
        Ok(value) => value.as_number(),
        Err(expected) => {
            problems.push(format!("{text}: {expected}"));
            None
        }
    };
    let ends = (end(low), end(high));
    let mut log = false;
    let mut points = None;
    for part in more {
        match part.parse::<usize>() {
            _ if part == "log" => log = true,
            Ok(n) if (2..=MOST).contains(&n) => points = Some(n),
            Ok(n) => problems.push(format!("{n} points: expected 2 to {MOST}")),
            Err(_) => problems.push(format!(
                "`:{part}`: expected `:log`, or the number of points of a grid"
            )),
        }
    }
    if let (Some(a), Some(b)) = ends {
        if a >= b {
            problems.push(format!(
                "{low}..{high}: the end must be above the beginning"
            ));
        }
        if log && a <= 0.0 {
            problems.push(format!(
                "{low}..{high}:log: a range of equal ratios begins above 0"
            ));
        }
    }
    match (ends, problems.is_empty()) {
        ((Some(low), Some(high)), true) => Ok(Domain::Range {
            low,
            high,
            log,
            whole,
            points,
        }),
        _ => Err(problems),
    }
}

fn list(field: &Field, text: &str) -> Result<Domain, Vec<String>> {
    let mut values: Vec<String> = Vec::new();
    let mut problems = Vec::new();
    for item in split(text) {
        match read_value(field, item) {
            _ if item.trim().is_empty() => {
                problems.push("an empty value; values stand between commas".to_string());
            }
            Ok(value) => {
                let value = value.to_plain();
                match values.contains(&value) {
                    true => problems.push(format!("{value} stands there twice")),
                    false => values.push(value),
                }
            }
            Err(expected) => problems.push(format!("{}: {expected}", item.trim())),
        }
    }
    if values.len() > MOST {
        problems.push(format!("{} values: expected at most {MOST}", values.len()));
    }
    match problems.is_empty() {
        true => Ok(Domain::List(values)),
        false => Err(problems),
    }
}

/// At commas that are neither in quotes nor in brackets.
fn split(text: &str) -> Vec<&str> {
    let mut items = Vec::new();
    let (mut from, mut depth, mut quote) = (0, 0usize, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                items.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    items.push(&text[from..]);
    items
}

impl Axis {
    /// How many different values there are; `None` for the points of a range of numbers.
    pub fn size(&self) -> Option<usize> {
        match &self.domain {
            Domain::List(values) => Some(values.len()),
            Domain::Range {
                low, high, whole, ..
            } => whole.then_some((high - low) as usize + 1),
        }
    }

    /// The value at `share` of the way, from 0 to just below 1.
    pub fn draw(&self, share: f64) -> String {
        match &self.domain {
            Domain::List(values) => {
                let at = (share * values.len() as f64) as usize;
                values[at.min(values.len() - 1)].clone()
            }
            Domain::Range {
                low,
                high,
                log,
                whole: true,
                ..
            } => {
                // Each whole number has as much room as the others, or as its ratio to the next.
                let value = match log {
                    true => low * ((high + 1.0) / low).powf(share),
                    false => low + (high + 1.0 - low) * share,
                };
                whole_number(value.floor().clamp(*low, *high))
            }
            Domain::Range { low, high, log, .. } => {
                number(between(*low, *high, *log, share), *low, *high)
            }
        }
    }

    /// The values of a grid.
    ///
    /// # Errors
    /// A range says nothing about its points.
    pub fn grid(&self) -> Result<Vec<String>, String> {
        match &self.domain {
            Domain::List(values) => Ok(values.clone()),
            Domain::Range {
                low,
                high,
                log,
                whole,
                points: Some(points),
            } => {
                let mut values: Vec<String> = Vec::new();
                for at in 0..*points {
                    let value = between(*low, *high, *log, at as f64 / (points - 1) as f64);
                    let text = match whole {
                        true => whole_number(value.round().clamp(*low, *high)),
                        false => number(value, *low, *high),
                    };
                    // Whole numbers may lie closer than the points.
                    if !values.contains(&text) {
                        values.push(text);
                    }
                }
                Ok(values)
            }
            Domain::Range {
                low,
                high,
                log,
                whole: true,
                points: None,
            } if !log && high - low < 32.0 => Ok((*low as i64..=*high as i64)
                .map(|n| n.to_string())
                .collect()),
            Domain::Range { .. } => Err(format!(
                "--vary {}: a grid needs to know how many points a range has: end it with `:5`, or list the values",
                self.key
            )),
        }
    }
}

fn between(low: f64, high: f64, log: bool, share: f64) -> f64 {
    match log {
        true => low * (high / low).powf(share),
        false => low + (high - low) * share,
    }
}

/// Three digits, which is as exactly as a value of a sweep matters, and within the range.
fn number(value: f64, low: f64, high: f64) -> String {
    let short: f64 = format!("{value:.2e}").parse().unwrap_or(value);
    Value::Float(short.clamp(low, high)).to_plain()
}

fn whole_number(value: f64) -> String {
    Value::Integer(value as i64).to_plain()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grid(text: &str) -> Vec<String> {
        parse(text).unwrap().grid().unwrap()
    }

    #[test]
    fn lists_and_ranges_are_read() {
        for (text, expected) in [
            ("model.dropout=0,0.1,0.2", &["0.0", "0.1", "0.2"][..]),
            (" model.dropout = 0 , 0.5 ", &["0.0", "0.5"]),
            ("optimizer.kind=adamw,sgd", &["adamw", "sgd"]),
            ("model.bias=true,false", &["true", "false"]),
            ("model.n_layers=1e0,3", &["1", "3"]),
            ("model.n_layers=2..4", &["2", "3", "4"]),
            ("model.n_layers=1..9:3", &["1", "5", "9"]),
            ("model.n_layers=1..3:9", &["1", "2", "3"]),
            ("model.n_layers=1..8:log:4", &["1", "2", "4", "8"]),
            (
                "optimizer.learning_rate=1e-4..1e-2:log:3",
                &["0.0001", "0.001", "0.01"],
            ),
            ("model.dropout=0..0.5:3", &["0.0", "0.25", "0.5"]),
            ("model.dropout=0.1...5:2", &["0.1", "0.5"]),
            (
                r#"sample.prompts=["a, b", "c"],"d, e""#,
                &[r#"["a, b", "c"]"#, r#"["d, e"]"#],
            ),
        ] {
            if text.contains("...") {
                assert!(parse(text).is_err(), "{text}");
            } else {
                assert_eq!(grid(text), expected, "{text}");
            }
        }
        assert_eq!(parse("model.dropout=0..0.5").unwrap().size(), None);
        assert_eq!(parse("model.n_layers=2..6").unwrap().size(), Some(5));
        assert_eq!(parse("model.dropout=0,0.1").unwrap().size(), Some(2));
    }

    #[test]
    fn what_is_wrong_is_told_with_what_is_allowed() {
        for (text, words) in [
            ("model.dropout", "expected KEY=VALUES"),
            ("", "expected KEY=VALUES"),
            ("model.dropuot=0,0.1", "did you mean `model.dropout`?"),
            ("zzz=1", "`fireside config describe`"),
            ("model.dropout=", "an empty value"),
            ("model.dropout=0,,0.1", "an empty value"),
            ("model.dropout=0,2", "2: expected a number ≥ 0 and < 1"),
            ("model.dropout=0,0.1,0.10", "0.1 stands there twice"),
            ("model.dropout=0..1", "1: expected a number"),
            ("model.dropout=0.5..0.1", "the end must be above"),
            ("model.dropout=0..0.5:log", "begins above 0"),
            ("model.dropout=0..0.5:lin", "expected `:log`"),
            ("model.dropout=0..0.5:1", "expected 2 to 1000"),
            ("model.n_layers=2.5..4", "expected a whole number"),
            ("model.n_layers=a,b", "a: expected a whole number"),
            ("optimizer.kind=adamw..sgd", "is a range"),
            ("optimizer.kind=adamx", "did you mean `adam"),
            ("train.steps=100,200", "by --steps"),
            ("train.threads=1,2", "parts the cores"),
        ] {
            let problems = parse(text).unwrap_err().join("\n");
            assert!(problems.contains(words), "{text}: {problems}");
            assert!(problems.starts_with("--vary"), "{problems}");
        }
        // All of one text at once.
        assert_eq!(parse("model.dropout=1..2:x:0").unwrap_err().len(), 4);
        assert!(parse("model.dropout=0..0.5").unwrap().grid().is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let _ = parse(&text);
            let _ = parse(&format!("model.dropout={text}"));
            let _ = parse(&format!("model.n_layers={text}"));
        }

        #[test]
        fn what_is_drawn_lies_within_and_is_allowed(
            low in 1e-6f64..1e-2,
            factor in 1.001f64..1e4,
            share in 0.0f64..1.0,
            log in any::<bool>(),
        ) {
            let high = (low * factor).min(9.0);
            let log = if log { ":log" } else { "" };
            let axis = parse(&format!("optimizer.learning_rate={low:e}..{high:e}{log}")).unwrap();
            let text = axis.draw(share);
            let value: f64 = text.parse().unwrap();
            prop_assert!((low..=high).contains(&value), "{} of {}..{}", value, low, high);
            let field = field("optimizer.learning_rate").unwrap();
            prop_assert!(read_value(field, &text).is_ok());
        }

        #[test]
        fn whole_numbers_stay_within(low in 1i64..20, more in 1i64..20, share in 0.0f64..1.0, log in any::<bool>()) {
            let high = (low + more).min(24);
            prop_assume!(low < high);
            let log = if log { ":log" } else { "" };
            let axis = parse(&format!("model.n_layers={low}..{high}{log}")).unwrap();
            let n: i64 = axis.draw(share).parse().unwrap();
            prop_assert!((low..=high).contains(&n));
            let last: i64 = axis.draw(1.0 - 1e-12).parse().unwrap();
            prop_assert_eq!(last, high);
        }
    }
}
