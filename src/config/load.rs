//! Reading a configuration: a preset, a file or a text, with `--set` overrides on top.

use std::path::PathBuf;

use toml_edit::{Document, Item, TableLike};

use super::error::{ConfigErrors, Place, Problem};
use super::fields::{did_you_mean, field, fields, sections};
use super::own::own_file;
use super::presets::{preset, presets};
use super::resolve::{Entries, Entry, Typing, read, read_text};
use super::rules::Clash;
use super::types::RunConfig;

/// Where a configuration comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The documented defaults.
    Defaults,
    /// By name, from the presets that are part of the program.
    Preset(String),
    File(PathBuf),
    /// `name` stands in messages where a file would.
    Text {
        name: String,
        text: String,
    },
}

impl Source {
    /// What a CONFIG argument means: a file where one exists (or a run's folder, for its config.toml), else a
    /// preset, by name or by its path in the source tree (`configs/gpt.toml`), or the name of a file in one of the
    /// folders of [`own_folders`](super::own_folders).
    pub fn from_argument(argument: &str) -> Source {
        let path = PathBuf::from(argument);
        if path.is_dir() && path.join("config.toml").is_file() {
            return Source::File(path.join("config.toml"));
        }
        if path.exists() && !path.is_dir() {
            return Source::File(path);
        }
        let name = argument.strip_prefix("configs/").unwrap_or(argument);
        let name = name.strip_suffix(".toml").unwrap_or(name);
        if preset(name).is_some() {
            return Source::Preset(name.to_owned());
        }
        let kept = match argument.contains(['/', '\\']) {
            true => None,
            false => own_file(name),
        };
        match kept {
            Some(kept) => Source::File(kept),
            // A path that names nothing is reported as a file, a bare word as a preset.
            None if argument.contains(['/', '\\', '.']) => Source::File(path),
            None => Source::Preset(argument.to_owned()),
        }
    }
}

/// A configuration, and what happened to the values it was made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    pub config: RunConfig,
    /// Sentences for the user: values of the file that an override left without a meaning.
    pub notes: Vec<String>,
    /// Where each value was given.
    pub given: Given,
}

/// Where the values of a configuration were given, for what only shows while it is used.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Given(Entries);

impl Given {
    /// A problem that these keys have, at the place where one of them was given. `None` where no key is known.
    pub fn problem(&self, keys: &[String], message: String) -> Option<Problem> {
        let known = keys.iter().filter_map(|key| Some(field(key)?.key));
        let keys: Vec<_> = known.collect();
        (!keys.is_empty()).then(|| self.0.problem(Clash { keys, message }))
    }
}

/// Something about these keys that only shows outside the configuration: a file that is not there. The first key is the one to
/// change.
pub type Finding = (Vec<&'static str>, String);

/// Looks outside a configuration. It may have problems of its own: what hangs on a key for which `sound` is false is not judged.
pub type Look<'a> = &'a dyn Fn(&RunConfig, &dyn Fn(&str) -> bool) -> Vec<Finding>;

/// Loads, merges and checks. All problems are reported at once.
///
/// # Errors
/// Unreadable files, syntax, unknown keys, wrong types, values out of range, keys that do not apply and
/// combinations that cannot be.
pub fn load(source: Source, sets: &[String]) -> Result<RunConfig, ConfigErrors> {
    load_with_notes(source, sets).map(|loaded| loaded.config)
}

/// As [`load`], with notes about values that were dropped.
///
/// A value of the file that has a meaning in the file alone, but not after the overrides (`model.n_heads`
/// after `--set model.kind=word-gru`), is dropped with a note; one that never had a meaning, or that a `--set`
/// gives, is an error.
pub fn load_with_notes(source: Source, sets: &[String]) -> Result<Loaded, ConfigErrors> {
    load_looking(source, sets, &|_, _| Vec::new())
}

/// As [`load_with_notes`]; what `look` finds is reported with the rest, at the place where one of its keys was given.
///
/// # Errors
/// As [`load`], and what `look` finds.
pub fn load_looking(
    source: Source,
    sets: &[String],
    look: Look<'_>,
) -> Result<Loaded, ConfigErrors> {
    let (name, text) = read_source(source)?;
    let mut problems = Vec::new();
    match parse(&name, &text, "", &mut problems) {
        Ok(base) => merge(base, sets, problems, look),
        // What is wrong with an override alone does not wait for the file.
        Err(mut errors) => {
            let wrong = sets.iter().filter_map(|set| match parse_set(set) {
                Ok((key, Err(message))) => Some(Problem {
                    place: Place::Set(set.clone()),
                    key: Some(key.to_owned()),
                    message,
                }),
                Ok(_) => None,
                Err(problem) => Some(problem),
            });
            errors.problems.extend(wrong);
            Err(errors)
        }
    }
}

impl RunConfig {
    /// Reads the resolved configuration of a run's folder. Keys that are newer than the folder take their
    /// defaults. `name` stands in messages.
    ///
    /// # Errors
    /// As [`load`]; an unknown key also names this program's version, since a newer one may have written it.
    pub fn from_toml(name: &str, text: &str) -> Result<RunConfig, ConfigErrors> {
        let hint = concat!(
            " (this is fireside ",
            env!("CARGO_PKG_VERSION"),
            "; another version may have written it)"
        );
        let mut problems = Vec::new();
        let base = parse(name, text, hint, &mut problems)?;
        merge(base, &[], problems, &|_, _| Vec::new()).map(|loaded| loaded.config)
    }

    /// The complete configuration as TOML, in the order of the table; keys that have no meaning in it (for
    /// example `schedule.gamma` with a cosine) are left out. [`RunConfig::from_toml`] reads it back exactly.
    pub fn to_toml(&self) -> String {
        toml_of(&Entries::of(self, Place::Default))
    }

    /// As [`RunConfig::to_toml`], only what differs from the documented defaults: how a person would write it.
    pub fn to_toml_differences(&self) -> String {
        toml_of(&Entries::of(self, Place::Default).differences())
    }

    /// The documented defaults: a small GPT on the generated stories.
    pub fn defaults() -> RunConfig {
        Entries::default().build()
    }
}

/// TOML in the order of the table.
fn toml_of(entries: &Entries) -> String {
    let mut text = String::new();
    for section in sections() {
        let keys: Vec<_> = fields()
            .iter()
            .filter(|field| field.section() == section)
            .filter_map(|field| Some((field.name(), entries.0.get(field.key)?.value.as_ref()?)))
            .collect();
        if keys.is_empty() {
            continue;
        }
        if !section.is_empty() {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&format!("[{section}]\n"));
        }
        for (name, value) in keys {
            text.push_str(&format!("{name} = {value}\n"));
        }
    }
    text
}

fn read_source(source: Source) -> Result<(String, String), ConfigErrors> {
    match source {
        Source::Defaults => Ok(("defaults".to_owned(), String::new())),
        Source::Text { name, text } => Ok((name, text)),
        Source::Preset(name) => match preset(&name) {
            Some(preset) => Ok((
                format!("configs/{}.toml", preset.name),
                preset.toml.to_owned(),
            )),
            None => {
                let names: Vec<&str> = presets().iter().map(|preset| preset.name).collect();
                let guess = super::fields::closest(&name, names.iter().copied());
                let guess =
                    guess.map_or(String::new(), |guess| format!("; did you mean `{guess}`?"));
                Err(ConfigErrors::one(
                    Place::File(name),
                    format!(
                        "no such file or preset{guess} (presets: {})",
                        names.join(", ")
                    ),
                ))
            }
        },
        Source::File(path) => {
            let name = path.display().to_string();
            let failed = |message: String| ConfigErrors::one(Place::File(name.clone()), message);
            let bytes =
                std::fs::read(&path).map_err(|error| failed(format!("cannot be read: {error}")))?;
            let text = String::from_utf8(bytes).map_err(|error| {
                let at = error.utf8_error().valid_up_to();
                failed(format!(
                    "is not UTF-8 text (byte {at}); expected a TOML file"
                ))
            })?;
            Ok((name, text))
        }
    }
}

/// Puts the overrides on the file's values, checks everything together and builds.
fn merge(
    base: Entries,
    sets: &[String],
    mut problems: Vec<Problem>,
    look: Look<'_>,
) -> Result<Loaded, ConfigErrors> {
    let mut merged = base.clone();
    let mut notes = Vec::new();
    for set in sets {
        match parse_set(set) {
            Ok((key, value)) => {
                let place = Place::Set(set.clone());
                let value = value.map_err(|message| {
                    problems.push(Problem {
                        place: place.clone(),
                        key: Some(key.to_owned()),
                        message,
                    })
                });
                let entry = Entry {
                    value: value.ok(),
                    place,
                };
                if let Some(Entry {
                    place: Place::Set(earlier),
                    ..
                }) = merged.0.insert(key, entry)
                {
                    notes.push(format!("--set {earlier}: overridden by --set {set}"));
                }
            }
            Err(problem) => problems.push(problem),
        }
    }
    let mut meaningless = Vec::new();
    for field in fields() {
        let Some(entry) = merged.0.get(field.key) else {
            continue;
        };
        let Some(condition) = merged.failing_condition(field) else {
            continue;
        };
        let reason = merged.not_applicable(condition);
        meaningless.push(field.key);
        let from_set = matches!(entry.place, Place::Set(_));
        if !from_set && base.applies(field) {
            notes.push(format!("{}: {} dropped: {reason}", entry.place, field.key));
            continue;
        }
        if let Some(value) = &entry.value {
            problems.push(Problem {
                place: entry.place.clone(),
                key: Some(field.key.to_owned()),
                message: format!("{} = {value}: {reason}", field.key),
            });
        }
    }
    merged.0.retain(|key, _| !meaningless.contains(key));
    let clashes = merged.clashes();
    let clashing = clashes.iter().flat_map(|clash| clash.keys.iter().copied());
    let named = problems.iter().filter_map(|problem| problem.key.as_deref());
    let unsound: Vec<String> = named.chain(clashing).map(str::to_owned).collect();
    problems.extend(clashes.into_iter().map(|clash| merged.problem(clash)));
    let config = merged.build();
    let found = look(&config, &|key| !unsound.iter().any(|other| other == key));
    problems.extend(
        found
            .into_iter()
            .map(|(keys, message)| merged.problem(Clash { keys, message })),
    );
    if problems.is_empty() {
        return Ok(Loaded {
            config,
            notes,
            given: Given(merged),
        });
    }
    problems.sort_by_key(|problem| match &problem.place {
        Place::Line { line, column, .. } => (0, *line, *column),
        Place::Set(text) => {
            let at = sets.iter().position(|set| set == text).unwrap_or(0);
            (1, at, 0)
        }
        _ => (2, 0, 0),
    });
    Err(ConfigErrors { problems })
}

/// A `--set`: its key, and its value or what is wrong with the value.
type ParsedSet = (&'static str, Result<super::value::Value, String>);

fn parse_set(set: &str) -> Result<ParsedSet, Problem> {
    let problem = |key: Option<&str>, message: String| Problem {
        place: Place::Set(set.to_owned()),
        key: key.map(str::to_owned),
        message,
    };
    let Some((key, text)) = set.split_once('=') else {
        return Err(problem(
            None,
            "expected key=value, for example optimizer.learning_rate=3e-4".to_owned(),
        ));
    };
    let key = key.trim();
    let Some(field) = field(key) else {
        return Err(problem(Some(key), unknown(key)));
    };
    let value = read_text(field, text)
        .map_err(|message| format!("{key} = {}: {message}", shorten(text.trim())));
    Ok((field.key, value))
}

/// Message about a key that is not in the table.
fn unknown(key: &str) -> String {
    if !key.is_empty() && sections().contains(&key) {
        return format!("{key} is a section; give one of its keys ({key}.…)");
    }
    match did_you_mean(key) {
        Some(guess) => format!("unknown key {key}; did you mean `{guess}`?"),
        None => format!("unknown key {key}; `fireside config describe` lists all keys"),
    }
}

/// Reads a TOML text. Values that cannot be used become problems; a syntax error ends the reading.
fn parse(
    name: &str,
    text: &str,
    unknown_hint: &str,
    problems: &mut Vec<Problem>,
) -> Result<Entries, ConfigErrors> {
    let document = Document::parse(text).map_err(|error| {
        let place = place_at(
            name,
            text,
            error.span().map_or(text.len(), |span| span.start),
        );
        ConfigErrors::one(place, format!("syntax: {}", error.message().trim()))
    })?;
    let mut reader = Reader {
        name,
        text,
        unknown_hint,
        problems,
        entries: Entries::default(),
    };
    reader.table("", document.as_table());
    Ok(reader.entries)
}

struct Reader<'a> {
    name: &'a str,
    text: &'a str,
    unknown_hint: &'a str,
    problems: &'a mut Vec<Problem>,
    entries: Entries,
}

impl Reader<'_> {
    fn table(&mut self, prefix: &str, table: &dyn TableLike) {
        for (name, item) in table.iter() {
            let key = if prefix.is_empty() {
                name.to_owned()
            } else {
                format!("{prefix}.{name}")
            };
            let span = table.key(name).and_then(|key| key.span()).or(item.span());
            let place = place_at(self.name, self.text, span.map_or(0, |span| span.start));
            self.item(key, place, item);
        }
    }

    fn item(&mut self, key: String, place: Place, item: &Item) {
        if let (None, Some(table)) = (field(&key), item.as_table_like()) {
            let known = sections().contains(&key.as_str());
            if known || !table.is_empty() {
                return self.table(&key, table);
            }
        }
        let Some(field) = field(&key) else {
            let message = if sections().contains(&key.as_str()) {
                format!("{key}: expected a section, [{key}]")
            } else {
                unknown(&key) + self.unknown_hint
            };
            return self.problem(place, key, message);
        };
        let value = match item.as_value() {
            Some(value) => read(field, value, Typing::File).map_err(|expected| {
                let given = value.clone().decorated("", "").to_string();
                format!("{key} = {}: {expected}", shorten(&given))
            }),
            None => Err(format!(
                "{key}: expected {}, not a section",
                field.allowed()
            )),
        };
        let value = value.map_err(|message| self.problem(place.clone(), key, message));
        let entry = Entry {
            value: value.ok(),
            place,
        };
        self.entries.0.insert(field.key, entry);
    }

    fn problem(&mut self, place: Place, key: String, message: String) {
        self.problems.push(Problem {
            place,
            key: Some(key),
            message,
        });
    }
}

/// Line and column (in characters) of a byte offset, counted from 1.
fn place_at(name: &str, text: &str, offset: usize) -> Place {
    let before: Vec<char> = text
        .char_indices()
        .take_while(|(at, _)| *at < offset)
        .map(|(_, c)| c)
        .collect();
    let line_start = before
        .iter()
        .rposition(|c| *c == '\n')
        .map_or(0, |at| at + 1);
    Place::Line {
        name: name.to_owned(),
        line: before.iter().filter(|c| **c == '\n').count() + 1,
        column: before.len() - line_start + 1,
    }
}

/// A value as it was given, cut to what fits a message.
fn shorten(given: &str) -> String {
    let one_line: String = given.split_whitespace().collect::<Vec<_>>().join(" ");
    if one_line.chars().count() <= 60 {
        return one_line;
    }
    one_line.chars().take(57).chain("…".chars()).collect()
}
