//! The values that can change while a run goes on: the one in force, and the one that is pending, that is typed or
//! dialled and not yet applied. All pending values are held against the config in force together, with what
//! the training thread will hold them against ([`config::change`]), so that nothing is sent that it would refuse.

use std::collections::BTreeMap;

use crossterm::event::KeyEvent;

use crate::config::{
    self, Changes, Draft, Field, FieldKind, FieldProblem, RunConfig, difference, field, fields,
    is_live,
};
use crate::protocol::Edit;
use crate::ui::keymap::Action;
use crate::ui::panes::Handled;
use crate::ui::widgets::chart::short;
use crate::ui::widgets::text_input::TextInput;

/// Bounds of the learning-rate multiplier.
const MULTIPLIER: (f64, f64) = (1e-3, 1e3);
/// What one press does to it.
const MULTIPLIER_STEP: f64 = 1.25;

/// Groups of the pane, each with the beginnings of its keys; a key belongs to the first that takes it.
const GROUPS: &[(&str, &[&str])] = &[
    ("learning rate", &["optimizer.learning_rate", "schedule."]),
    ("optimizer", &["optimizer."]),
    (
        "regularisation",
        &["model.dropout", "train.label_smoothing"],
    ),
    (
        "batches",
        &["train.batch_size", "train.gradient_accumulation"],
    ),
    ("run", &["train."]),
    ("evaluation", &["eval."]),
    ("samples", &["sample."]),
    ("checkpoints", &["checkpoint."]),
    ("further", &[""]),
];

fn group(key: &str) -> usize {
    GROUPS
        .iter()
        .position(|(_, heads)| heads.iter().any(|head| key.starts_with(head)))
        .unwrap_or(GROUPS.len() - 1)
}

/// A line of the pane that the cursor can stand on.
#[derive(Debug, Clone, Copy)]
pub enum Knob {
    /// Multiplies whatever the schedule says; not a key of the config.
    Multiplier,
    Key(&'static Field),
}

impl Knob {
    /// The key; empty for the multiplier.
    pub fn key(self) -> &'static str {
        match self {
            Knob::Multiplier => "",
            Knob::Key(field) => field.key,
        }
    }

    /// The heading it stands under.
    pub fn group(self) -> &'static str {
        match self {
            Knob::Multiplier => GROUPS[0].0,
            Knob::Key(field) => GROUPS[group(field.key)].0,
        }
    }

    /// What may be given, in short.
    pub fn range(self) -> String {
        match self {
            Knob::Multiplier => format!("[{}, {}]", short(MULTIPLIER.0), short(MULTIPLIER.1)),
            Knob::Key(field) => field.kind.range_text(),
        }
    }

    pub fn description(self) -> &'static str {
        match self {
            Knob::Multiplier => "Multiplies whatever the schedule says, from the next step on.",
            Knob::Key(field) => field.description,
        }
    }
}

/// What is being typed, and the pending text that was there before.
#[derive(Debug)]
struct Typing {
    input: TextInput,
    before: Option<String>,
    before_multiplier: Option<f64>,
}

/// Values in force and pending, and where the cursor is.
#[derive(Debug)]
pub struct Knobs {
    force: Draft,
    /// Pending values as typed, by key.
    texts: BTreeMap<&'static str, String>,
    multiplier: Option<f64>,
    multiplier_problem: Option<String>,
    /// The config with the pending values, when there are any, or what is wrong with them.
    outcome: Option<Result<Box<RunConfig>, Vec<FieldProblem>>>,
    /// Shows what is pending where it can be used, else what is in force.
    shown: Draft,
    rows: Vec<Knob>,
    /// The key under the cursor; empty for the multiplier.
    cursor: &'static str,
    typing: Option<Typing>,
}

impl Knobs {
    pub fn new(config: &RunConfig) -> Self {
        let force = Draft::from_config(config);
        let mut knobs = Self {
            shown: force.clone(),
            force,
            texts: BTreeMap::new(),
            multiplier: None,
            multiplier_problem: None,
            outcome: None,
            rows: Vec::new(),
            cursor: "",
            typing: None,
        };
        knobs.refresh(config, 0);
        knobs
    }

    /// The config in force is now this one: pending values that it has already are no longer pending.
    pub fn follow(&mut self, config: &RunConfig, step: u64) {
        self.force = Draft::from_config(config);
        let force = &self.force;
        let typed = self.typing.is_some().then_some(self.cursor);
        self.texts
            .retain(|key, text| Some(*key) == typed || !same(force, key, text));
        self.refresh(config, step);
    }

    /// `now` is a later step than it was.
    pub fn step_on(&mut self, config: &RunConfig, step: u64) {
        if self.texts.get("schedule.start").is_some_and(|t| is_now(t)) {
            self.refresh(config, step);
        }
    }

    fn refresh(&mut self, config: &RunConfig, step: u64) {
        let owned = |(key, text): (&&'static str, &String)| (key.to_string(), text.clone());
        let changes: Changes = self.texts.iter().map(owned).collect();
        self.outcome =
            (!changes.is_empty()).then(|| config::change(config, &changes, step).map(Box::new));
        self.shown = match &self.outcome {
            Some(Ok(config)) => Draft::from_config(config),
            _ => self.force.clone(),
        };
        let visible = |field: &&'static Field| {
            self.shown.applies(field.key) || self.texts.contains_key(field.key)
        };
        let mut keys: Vec<&'static Field> = fields()
            .iter()
            .filter(|field| is_live(field.key))
            .filter(visible)
            .collect();
        keys.sort_by_key(|field| group(field.key));
        self.rows = std::iter::once(Knob::Multiplier)
            .chain(keys.into_iter().map(Knob::Key))
            .collect();
        if !self.rows.iter().any(|row| row.key() == self.cursor) {
            self.cursor = "";
        }
    }

    pub fn rows(&self) -> &[Knob] {
        &self.rows
    }

    /// The line under the cursor.
    pub fn at(&self) -> usize {
        let at = self.rows.iter().position(|row| row.key() == self.cursor);
        at.unwrap_or(0)
    }

    pub fn go_to(&mut self, at: usize) {
        if let Some(row) = self.rows.get(at).filter(|_| self.typing.is_none()) {
            self.cursor = row.key();
        }
    }

    pub fn go_to_key(&mut self, key: &'static str) {
        if self.rows.iter().any(|row| row.key() == key) {
            self.cursor = key;
        }
    }

    /// The field that is typed into, under the cursor.
    pub fn input(&self) -> Option<&TextInput> {
        self.typing.as_ref().map(|typing| &typing.input)
    }

    pub fn is_typing(&self) -> bool {
        self.typing.is_some()
    }

    /// The value in force.
    pub fn in_force(&self, key: &str) -> String {
        self.force.get(key)
    }

    /// Whether the key has a meaning beside the values in force.
    pub fn applies(&self, key: &str) -> bool {
        self.force.applies(key)
    }

    /// The value that is pending, or that would come with those that are; `None` where it stays as it is.
    pub fn pending(&self, key: &str) -> Option<String> {
        if let Some(text) = self.texts.get(key) {
            return Some(text.clone());
        }
        let would = self.shown.get(key);
        let new = !self.force.applies(key) || would != self.force.get(key);
        (self.outcome.is_some() && self.shown.applies(key) && new).then_some(would)
    }

    pub fn pending_multiplier(&self) -> Option<f64> {
        self.multiplier
    }

    /// The config as it would be; `None` when no key is pending or something is wrong.
    pub fn pending_config(&self) -> Option<&RunConfig> {
        match &self.outcome {
            Some(Ok(config)) => Some(config),
            _ => None,
        }
    }

    pub fn is_pending(&self) -> bool {
        self.multiplier.is_some() || self.multiplier_problem.is_some() || !self.texts.is_empty()
    }

    /// How many values wait.
    pub fn count(&self) -> usize {
        self.texts.len() + usize::from(self.multiplier.is_some())
    }

    /// What is wrong at a line.
    pub fn problem(&self, key: &str) -> Option<String> {
        if key.is_empty() {
            return self.multiplier_problem.clone();
        }
        match &self.outcome {
            Some(Err(problems)) => problems
                .iter()
                .find(|problem| problem.concerns(key))
                .map(|problem| problem.text_at(key)),
            _ => None,
        }
    }

    /// Everything that is wrong, with its keys.
    pub fn problems(&self) -> Vec<String> {
        let multiplier = self.multiplier_problem.iter();
        let multiplier = multiplier.map(|problem| format!("learning rate ×: {problem}"));
        let keys = match &self.outcome {
            Some(Err(problems)) => problems.iter().map(ToString::to_string).collect(),
            _ => Vec::new(),
        };
        multiplier.chain(keys).collect()
    }

    /// The first line that is wrong.
    pub fn first_problem(&self) -> Option<usize> {
        self.rows
            .iter()
            .position(|row| self.problem(row.key()).is_some())
    }

    /// What applying sends, and what is then no longer pending.
    ///
    /// # Errors
    /// What is wrong: nothing is sent and everything stays.
    pub fn take(&mut self, config: &RunConfig, step: u64) -> Result<Vec<Edit>, Vec<String>> {
        self.typing = None;
        self.refresh(config, step);
        let problems = self.problems();
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut edits = Vec::new();
        if let Some(multiplier) = self.multiplier.take() {
            edits.push(Edit::LearningRateMultiplier(multiplier));
        }
        let force = &self.force;
        let changes: Changes = std::mem::take(&mut self.texts)
            .into_iter()
            .filter(|(key, text)| !same(force, key, text))
            .map(|(key, text)| (key.to_string(), text.trim().to_string()))
            .collect();
        if !changes.is_empty() {
            edits.push(Edit::Set(changes));
        }
        self.refresh(config, step);
        Ok(edits)
    }

    pub fn discard(&mut self, config: &RunConfig, step: u64) {
        self.typing = None;
        self.texts.clear();
        self.multiplier = None;
        self.multiplier_problem = None;
        self.refresh(config, step);
    }

    /// Makes `text` the pending value of a key; the value in force is no longer pending.
    pub fn set(&mut self, key: &'static str, text: &str, config: &RunConfig, step: u64) {
        if same(&self.force, key, text) {
            self.texts.remove(key);
        } else {
            self.texts.insert(key, text.to_string());
        }
        self.refresh(config, step);
    }

    pub fn drop_pending(&mut self, key: &str, config: &RunConfig, step: u64) {
        if key.is_empty() {
            self.multiplier = None;
            self.multiplier_problem = None;
        }
        self.texts.remove(key);
        self.refresh(config, step);
    }

    /// Turns the multiplier by a factor.
    pub fn dial(&mut self, by: f64, in_force: f64) {
        let now = self.multiplier.unwrap_or(in_force);
        self.set_multiplier(now * by, in_force);
    }

    pub fn set_multiplier(&mut self, wanted: f64, in_force: f64) {
        let next = wanted.clamp(MULTIPLIER.0, MULTIPLIER.1);
        self.multiplier_problem = None;
        self.multiplier = ((next - in_force).abs() >= 1e-9).then_some(next);
    }

    /// What the keys do on the pane.
    pub fn act(&mut self, action: Action, run: InForce<'_>) -> Handled {
        let (at, last) = (self.at(), self.rows.len().saturating_sub(1));
        match action {
            Action::Up => self.go_to(at.saturating_sub(1)),
            Action::Down => self.go_to((at + 1).min(last)),
            Action::Top => self.go_to(0),
            Action::Bottom => self.go_to(last),
            Action::PageUp => self.go_to(self.group_edge(at, true)),
            Action::PageDown => self.go_to(self.group_edge(at, false)),
            Action::Increase => self.nudge(true, run),
            Action::Decrease => self.nudge(false, run),
            Action::Edit => self.edit(run),
            Action::ResetField => self.drop_pending(self.cursor, run.config, run.step),
            _ => return Handled::No,
        }
        Handled::Yes
    }

    /// The first line of the group before, or after, the one at `at`.
    fn group_edge(&self, at: usize, back: bool) -> usize {
        let group = |at: usize| self.rows[at].group();
        let starts: Vec<usize> = (0..self.rows.len())
            .filter(|at| *at == 0 || group(*at) != group(*at - 1))
            .collect();
        let found = match back {
            true => starts.iter().rev().find(|start| **start < at),
            false => starts.iter().find(|start| **start > at),
        };
        let end = if back { 0 } else { self.rows.len() - 1 };
        found.copied().unwrap_or(end)
    }

    fn nudge(&mut self, up: bool, run: InForce<'_>) {
        let Some(field) = field(self.cursor) else {
            let by = if up {
                MULTIPLIER_STEP
            } else {
                1.0 / MULTIPLIER_STEP
            };
            return self.dial(by, run.multiplier);
        };
        // From what is pending, as long as that can be read.
        let mut draft = self.shown.clone();
        if let Some(text) = self.texts.get(field.key).filter(|text| !is_now(text)) {
            // A problem of it is judged below, with everything that is pending.
            let _ = draft.set(field.key, text);
        }
        let _ = draft.nudge(field.key, up);
        self.set(field.key, &draft.get(field.key), run.config, run.step);
    }

    /// Begins to type; a choice or a switch goes to its next value.
    fn edit(&mut self, run: InForce<'_>) {
        let steps = field(self.cursor)
            .is_some_and(|f| matches!(f.kind, FieldKind::Bool | FieldKind::Choice(_)));
        if steps {
            return self.nudge(true, run);
        }
        let text = match self.cursor {
            "" => short(self.multiplier.unwrap_or(run.multiplier)),
            key => self.pending(key).unwrap_or_else(|| self.in_force(key)),
        };
        self.typing = Some(Typing {
            input: TextInput::new(text),
            before: self.texts.get(self.cursor).cloned(),
            before_multiplier: self.multiplier,
        });
    }

    /// A key while typing.
    pub fn type_key(&mut self, key: KeyEvent, action: Option<Action>, run: InForce<'_>) -> Handled {
        let Some(mut typing) = self.typing.take() else {
            return Handled::No;
        };
        match action {
            Some(Action::Accept) => {
                let text = typing.input.text().to_string();
                self.typed(&text, run);
            }
            Some(Action::Close) => match typing.before {
                _ if self.cursor.is_empty() => {
                    self.multiplier_problem = None;
                    self.multiplier = typing.before_multiplier;
                }
                Some(text) => {
                    self.texts.insert(self.cursor, text);
                    self.refresh(run.config, run.step);
                }
                None => self.drop_pending(self.cursor, run.config, run.step),
            },
            _ => {
                let handled = typing.input.key(key);
                let text = typing.input.text().to_string();
                self.typing = Some(typing);
                if !handled {
                    return Handled::No;
                }
                self.typed(&text, run);
            }
        }
        Handled::Yes
    }

    pub fn paste(&mut self, text: &str, run: InForce<'_>) {
        if let Some(typing) = &mut self.typing {
            typing.input.insert(text);
            let text = typing.input.text().to_string();
            self.typed(&text, run);
        }
    }

    fn typed(&mut self, text: &str, run: InForce<'_>) {
        if !self.cursor.is_empty() {
            return self.set(self.cursor, text, run.config, run.step);
        }
        match multiplier(text) {
            Ok(value) => self.set_multiplier(value, run.multiplier),
            Err(allowed) => self.multiplier_problem = Some(allowed),
        }
    }
}

/// What is in force while a key is taken.
#[derive(Debug, Clone, Copy)]
pub struct InForce<'a> {
    pub config: &'a RunConfig,
    pub multiplier: f64,
    pub step: u64,
}

/// A learning-rate multiplier as it is typed.
///
/// # Errors
/// What is allowed.
pub fn multiplier(text: &str) -> Result<f64, String> {
    let (low, high) = MULTIPLIER;
    let value = text.trim().parse::<f64>().ok();
    value
        .filter(|value| (low..=high).contains(value))
        .ok_or_else(|| format!("expected a number from {} to {}", short(low), short(high)))
}

fn is_now(text: &str) -> bool {
    text.trim() == "now"
}

/// Whether `text` reads as the value that a key has.
fn same(draft: &Draft, key: &str, text: &str) -> bool {
    if !draft.applies(key) {
        return false;
    }
    if draft.get(key) == text.trim() {
        return true;
    }
    // `1e-3` and `0.001` are one value: a draft that is set to it does not count as changed.
    let mut other = draft.clone();
    other.set(key, text).is_ok() && !other.changed(key)
}

/// The undo of an edit in words, for a question: `optimizer.weight_decay back to 0.01`.
pub fn put_back(undo: &Edit) -> String {
    match undo {
        Edit::LearningRateMultiplier(multiplier) => {
            format!(
                "the multiplier of the learning rate back to {}",
                short(*multiplier)
            )
        }
        Edit::Set(changes) => {
            let all: Vec<String> = changes
                .iter()
                .map(|(key, value)| format!("{key} back to {value}"))
                .collect();
            all.join(", ")
        }
    }
}

/// What `to` changes, as an edit; `None` when it changes nothing that may change.
pub fn edit_between(from: &RunConfig, to: &RunConfig) -> Option<Edit> {
    let mut changes = difference(from, to);
    changes.retain(|key, _| is_live(key));
    (!changes.is_empty()).then_some(Edit::Set(changes))
}
