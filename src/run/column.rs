//! What a list of runs can show, sort by and filter by: columns, and every key of the configuration.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::store::RunEntry;
use crate::config::{self, Value};

macro_rules! columns {
    ($($(#[$meta:meta])* $variant:ident $key:literal,)*) => {
        /// One fact about a run.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum RunColumn { $($(#[$meta])* $variant,)* }

        impl RunColumn {
            pub const ALL: &'static [RunColumn] = &[$(RunColumn::$variant,)*];

            /// Its name in filters and on the command line.
            pub fn key(self) -> &'static str {
                match self { $(RunColumn::$variant => $key,)* }
            }
        }
    };
}

columns! {
    Name "name",
    Status "status",
    Model "model",
    Corpus "corpus",
    Tokenizer "tokenizer",
    Parameters "parameters",
    Step "step",
    TotalSteps "total_steps",
    TrainLoss "train_loss",
    ValLoss "val_loss",
    BestValLoss "best_val_loss",
    BestStep "best_step",
    BitsPerByte "bits_per_byte",
    /// Seconds of training.
    Duration "duration",
    /// Seconds since it last changed.
    Age "age",
    /// Seconds since it was made.
    Created "created",
    Tags "tags",
    Note "note",
    Device "device",
    Parent "parent",
    Process "process",
}

/// A value to show, compare or search.
#[derive(Debug, Clone, PartialEq)]
pub enum Datum<'a> {
    Text(Cow<'a, str>),
    Number(f64),
    List(&'a [String]),
    Missing,
}

/// What kind of values a key has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    Text,
    Number,
    /// Seconds; a unit may follow: `10m`.
    Seconds,
    List,
}

/// A column, or a key of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    Column(RunColumn),
    Config(&'static str),
}

impl Key {
    /// By name: a column, a whole key of the configuration, or its last part where only one key has it.
    ///
    /// # Errors
    /// In words, with what was probably meant.
    pub fn find(name: &str) -> Result<Key, String> {
        let also = [
            ("loss", RunColumn::TrainLoss),
            ("best", RunColumn::BestValLoss),
            ("bits", RunColumn::BitsPerByte),
            ("steps", RunColumn::TotalSteps),
            ("total", RunColumn::TotalSteps),
            ("params", RunColumn::Parameters),
            ("seconds", RunColumn::Duration),
            ("tag", RunColumn::Tags),
            ("notes", RunColumn::Note),
            ("updated", RunColumn::Age),
            ("pid", RunColumn::Process),
        ];
        let columns = RunColumn::ALL.iter().map(|column| (column.key(), *column));
        if let Some((_, column)) = columns.chain(also).find(|(key, _)| *key == name) {
            return Ok(Key::Column(column));
        }
        if let Some(field) = config::field(name) {
            return Ok(Key::Config(field.key));
        }
        let tails: Vec<&'static str> = config::fields()
            .iter()
            .filter(|field| field.name() == name)
            .map(|field| field.key)
            .collect();
        match tails.as_slice() {
            [key] => Ok(Key::Config(key)),
            [] => {
                let all = RunColumn::ALL
                    .iter()
                    .map(|column| column.key())
                    .chain(config::fields().iter().map(|field| field.key));
                let guess = config::closest(name, all)
                    .map_or(String::new(), |key| format!(" (did you mean `{key}`?)"));
                Err(format!(
                    "unknown key `{name}`{guess}; columns and configuration keys are allowed"
                ))
            }
            several => Err(format!("`{name}` may be {}", several.join(" or "))),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Key::Column(column) => column.key(),
            Key::Config(key) => key,
        }
    }

    pub fn kind(self) -> KeyKind {
        use config::FieldKind as F;
        match self {
            Key::Column(column) => column.kind(),
            Key::Config(key) => match config::field(key).map(|field| field.kind) {
                Some(F::Integer { .. } | F::Float { .. }) => KeyKind::Number,
                Some(F::TextList) => KeyKind::List,
                _ => KeyKind::Text,
            },
        }
    }

    /// The words it may be, where only some are possible.
    pub fn choices(self) -> Option<Vec<&'static str>> {
        use config::FieldKind as F;
        match self {
            Key::Column(RunColumn::Status) => {
                Some(super::RunStatus::ALL.iter().map(|s| s.label()).collect())
            }
            Key::Column(RunColumn::Model) => {
                let kinds = config::ModelKind::ALL.iter();
                Some(kinds.map(|kind| kind.key()).collect())
            }
            Key::Config(key) => match config::field(key).map(|field| field.kind) {
                Some(F::Choice(choices)) => Some(choices.to_vec()),
                Some(F::Bool) => Some(vec!["true", "false"]),
                _ => None,
            },
            Key::Column(_) => None,
        }
    }

    /// `now` is in seconds since 1970.
    pub fn of<'a>(self, run: &'a RunEntry, now: u64) -> Datum<'a> {
        match self {
            Key::Column(column) => column.of(run, now),
            Key::Config(key) => match run.values.get(key) {
                None => Datum::Missing,
                Some(Value::List(items)) => Datum::List(items),
                Some(Value::Text(text)) => Datum::Text(Cow::Borrowed(text)),
                Some(value) => match value.as_number() {
                    Some(number) => Datum::Number(number),
                    None => Datum::Text(Cow::Owned(value.to_plain())),
                },
            },
        }
    }
}

impl RunColumn {
    pub fn kind(self) -> KeyKind {
        use RunColumn as C;
        match self {
            C::Name
            | C::Status
            | C::Model
            | C::Corpus
            | C::Tokenizer
            | C::Note
            | C::Device
            | C::Parent => KeyKind::Text,
            C::Tags => KeyKind::List,
            C::Duration | C::Age | C::Created => KeyKind::Seconds,
            C::Parameters
            | C::Step
            | C::TotalSteps
            | C::TrainLoss
            | C::ValLoss
            | C::BestValLoss
            | C::BestStep
            | C::BitsPerByte
            | C::Process => KeyKind::Number,
        }
    }

    pub fn of<'a>(self, run: &'a RunEntry, now: u64) -> Datum<'a> {
        let it = &run.summary;
        let text = |text: &'a str| match text {
            "" => Datum::Missing,
            text => Datum::Text(Cow::Borrowed(text)),
        };
        let whole = |n: u64| Datum::Number(n as f64);
        let maybe = |x: Option<f64>| x.map_or(Datum::Missing, Datum::Number);
        match self {
            RunColumn::Name => text(&it.name),
            RunColumn::Status => text(it.status.label()),
            RunColumn::Model => text(it.model.key()),
            RunColumn::Corpus => text(&it.corpus),
            RunColumn::Tokenizer => Key::Config("tokenizer.kind").of(run, now),
            RunColumn::Parameters if it.parameters == 0 => Datum::Missing,
            RunColumn::Parameters => whole(it.parameters),
            RunColumn::Step => whole(it.step),
            RunColumn::TotalSteps => whole(it.total_steps),
            RunColumn::TrainLoss => maybe(it.train_loss),
            RunColumn::ValLoss => maybe(it.val_loss),
            RunColumn::BestValLoss => maybe(it.best_val_loss),
            RunColumn::BestStep => maybe(it.best_step.map(|step| step as f64)),
            RunColumn::BitsPerByte => maybe(it.bits_per_byte),
            RunColumn::Duration => Datum::Number(it.seconds),
            RunColumn::Age => whole(now.saturating_sub(it.updated)),
            RunColumn::Created => whole(now.saturating_sub(it.created)),
            RunColumn::Tags if run.notes.tags.is_empty() => Datum::Missing,
            RunColumn::Tags => Datum::List(&run.notes.tags),
            RunColumn::Note => text(&run.notes.note),
            RunColumn::Device => text(&it.device),
            RunColumn::Parent => match &run.parent {
                Some(parent) => Datum::Text(Cow::Borrowed(&parent.run)),
                None => Datum::Missing,
            },
            RunColumn::Process => maybe(run.process.map(f64::from)),
        }
    }
}

/// An order of a list of runs: by a key, runs without a value for it last, equals by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortBy {
    pub key: Key,
    pub descending: bool,
}

impl Default for SortBy {
    /// The run changed last first.
    fn default() -> Self {
        SortBy {
            key: Key::Column(RunColumn::Age),
            descending: false,
        }
    }
}

impl SortBy {
    /// `val_loss`, or `-val_loss` for the largest first.
    ///
    /// # Errors
    /// As [`Key::find`].
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (descending, name) = match text.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, text),
        };
        Ok(SortBy {
            key: Key::find(name)?,
            descending,
        })
    }

    pub fn compare(&self, a: &RunEntry, b: &RunEntry, now: u64) -> Ordering {
        let (x, y) = (self.key.of(a, now), self.key.of(b, now));
        let by_key = match (&x, &y) {
            (Datum::Missing, Datum::Missing) => Ordering::Equal,
            (Datum::Missing, _) => Ordering::Greater,
            (_, Datum::Missing) => Ordering::Less,
            _ => {
                let order = match (&x, &y) {
                    (Datum::Number(x), Datum::Number(y)) => x.total_cmp(y),
                    (Datum::List(x), Datum::List(y)) => x.cmp(y),
                    (Datum::Text(x), Datum::Text(y)) => x.cmp(y),
                    _ => Ordering::Equal,
                };
                match self.descending {
                    true => order.reverse(),
                    false => order,
                }
            }
        };
        by_key.then_with(|| a.summary.name.cmp(&b.summary.name))
    }
}
