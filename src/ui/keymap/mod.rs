//! Keys: one table, from which everything that concerns keys is made.

mod action;
mod key;
mod table;

pub use action::Action;
pub use key::{KeyPress, KeyProblem};
pub use table::{Row, rows};

use std::collections::BTreeMap;

/// Where a binding holds. Dispatch looks through the contexts of the moment, innermost first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Context {
    Ladder,
    Form,
    Preview,
    Home,
    Chart,
    Samples,
    List,
    Knobs,
    Train,
    Runs,
    Sweep,
    Overlay,
    Difference,
    SideBySide,
    Help,
    RangeTest,
    Dialog,
    Text,
    Palette,
    Global,
}

impl Context {
    pub const ALL: [Context; 20] = [
        Context::Ladder,
        Context::Form,
        Context::Preview,
        Context::Home,
        Context::Chart,
        Context::Samples,
        Context::List,
        Context::Knobs,
        Context::Train,
        Context::Runs,
        Context::Sweep,
        Context::Overlay,
        Context::Difference,
        Context::SideBySide,
        Context::Help,
        Context::RangeTest,
        Context::Dialog,
        Context::Text,
        Context::Palette,
        Context::Global,
    ];

    /// The section name in the settings file: `[keymap.train]`.
    pub fn name(self) -> &'static str {
        match self {
            Context::Ladder => "ladder",
            Context::Form => "form",
            Context::Preview => "preview",
            Context::Home => "home",
            Context::Chart => "chart",
            Context::Samples => "samples",
            Context::List => "list",
            Context::Knobs => "knobs",
            Context::Train => "train",
            Context::Runs => "runs",
            Context::Sweep => "sweep",
            Context::Overlay => "overlay",
            Context::Difference => "difference",
            Context::SideBySide => "side-by-side",
            Context::Help => "help",
            Context::RangeTest => "range-test",
            Context::Dialog => "dialog",
            Context::Text => "text",
            Context::Palette => "palette",
            Context::Global => "global",
        }
    }

    /// The heading in the help overlay.
    pub fn title(self) -> &'static str {
        match self {
            Context::Ladder => "Ladder",
            Context::Form => "Config form",
            Context::Preview => "Preview",
            Context::Home => "Home",
            Context::Chart => "Charts",
            Context::Samples => "Samples",
            Context::List => "Lists of the dashboard",
            Context::Knobs => "Knobs",
            Context::Train => "Training",
            Context::Runs => "Runs",
            Context::Sweep => "Sweep",
            Context::Overlay => "Runs over each other",
            Context::Difference => "Difference of runs",
            Context::SideBySide => "Samples side by side",
            Context::Help => "This help",
            Context::RangeTest => "Learning-rate range test",
            Context::Dialog => "Dialogs",
            Context::Text => "Text fields",
            Context::Palette => "Palette",
            Context::Global => "Everywhere",
        }
    }

    pub fn from_name(name: &str) -> Option<Context> {
        Context::ALL.into_iter().find(|c| c.name() == name)
    }

    /// Every key types here, except those bound in this very context.
    pub fn is_text_entry(self) -> bool {
        matches!(self, Context::Text | Context::Palette)
    }
}

/// Keys that follow each other; nearly always one.
pub type Sequence = Vec<KeyPress>;

/// A row of the table with the keys that hold now, defaults or the user's.
#[derive(Debug, Clone)]
pub struct Binding {
    pub context: Context,
    pub keys: Vec<Sequence>,
    pub action: Action,
    pub description: &'static str,
    pub hint: Option<&'static str>,
}

impl Binding {
    /// `q, ctrl-c`.
    pub fn keys_text(&self) -> String {
        let keys: Vec<String> = self.keys.iter().map(|s| sequence_text(s)).collect();
        keys.join(", ")
    }
}

/// What a key led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    Action(Action),
    /// The beginning of a longer sequence: wait for the next key.
    Pending,
    None,
}

/// The user's keys: context → action → alternatives.
pub type Overrides = BTreeMap<String, BTreeMap<String, Vec<String>>>;

/// The table with the user's changes.
#[derive(Debug, Clone)]
pub struct KeyMap {
    bindings: Vec<Binding>,
}

impl Default for KeyMap {
    fn default() -> Self {
        Self {
            bindings: rows().map(default_binding).collect(),
        }
    }
}

impl KeyMap {
    pub fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    /// Looks `keys` up in `contexts`, innermost first.
    pub fn lookup(&self, contexts: &[Context], keys: &[KeyPress]) -> Lookup {
        for context in contexts {
            let mut pending = false;
            for binding in self.bindings.iter().filter(|b| b.context == *context) {
                for sequence in &binding.keys {
                    if sequence.as_slice() == keys {
                        return Lookup::Action(binding.action);
                    }
                    pending |= sequence.starts_with(keys);
                }
            }
            if pending {
                return Lookup::Pending;
            }
        }
        Lookup::None
    }

    /// The first key of `action` in the innermost of `contexts` that has one, as text.
    pub fn key_for(&self, contexts: &[Context], action: Action) -> Option<String> {
        contexts.iter().find_map(|context| {
            self.bindings
                .iter()
                .find(|b| b.context == *context && b.action == action)
                .and_then(|b| b.keys.first())
                .map(|s| sequence_text(s))
        })
    }

    /// The table with `overrides`; what could not be used comes back as sentences.
    pub fn with_overrides(overrides: &Overrides) -> (Self, Vec<String>) {
        let mut map = Self::default();
        let mut problems = Vec::new();
        let mut taken: Vec<(Context, Sequence, Action)> = Vec::new();
        for (context_name, actions) in overrides {
            let Some(context) = Context::from_name(context_name) else {
                let known: Vec<&str> = Context::ALL.iter().map(|c| c.name()).collect();
                problems.push(format!(
                    "keymap.{context_name}: no such context; known are {}",
                    known.join(", ")
                ));
                continue;
            };
            for (action_name, keys) in actions {
                map.apply(context, action_name, keys, &mut taken, &mut problems);
            }
        }
        (map, problems)
    }

    fn apply(
        &mut self,
        context: Context,
        action_name: &str,
        keys: &[String],
        taken: &mut Vec<(Context, Sequence, Action)>,
        problems: &mut Vec<String>,
    ) {
        let place = format!("keymap.{}.{action_name}", context.name());
        let found = Action::from_name(action_name).and_then(|action| {
            self.bindings
                .iter()
                .position(|b| b.context == context && b.action == action)
        });
        let Some(index) = found else {
            let known: Vec<&str> = self
                .bindings
                .iter()
                .filter(|b| b.context == context)
                .map(|b| b.action.name())
                .collect();
            problems.push(format!(
                "{place}: no such action here; known are {}",
                known.join(", ")
            ));
            return;
        };
        let action = self.bindings[index].action;
        let mut accepted: Vec<Sequence> = Vec::new();
        for text in keys {
            let sequence = match parse_sequence(text) {
                Ok(sequence) => sequence,
                Err(problem) => {
                    problems.push(format!("{place}: {problem}"));
                    continue;
                }
            };
            let clash = taken
                .iter()
                .find(|(c, s, a)| *c == context && *a != action && overlaps(s, &sequence));
            if let Some((_, _, other)) = clash {
                problems.push(format!(
                    "{place}: `{text}` is already given to `{}`; not used",
                    other.name()
                ));
                continue;
            }
            taken.push((context, sequence.clone(), action));
            accepted.push(sequence);
        }
        if accepted.is_empty() && !keys.is_empty() {
            return; // Every key was refused: the default stays.
        }
        for (other_index, other) in self.bindings.iter_mut().enumerate() {
            if other.context != context || other_index == index {
                continue;
            }
            let before = other.keys.len();
            other
                .keys
                .retain(|key| !accepted.iter().any(|a| overlaps(a, key)));
            if other.keys.len() < before && other.keys.is_empty() {
                problems.push(format!(
                    "{place}: takes the only key of `{}`, which is now reached from the palette",
                    other.action.name()
                ));
            }
        }
        self.bindings[index].keys = accepted;
    }
}

/// One is the beginning of the other, so that both cannot be typed.
fn overlaps(a: &[KeyPress], b: &[KeyPress]) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

fn default_binding(row: &Row) -> Binding {
    let keys = row
        .keys
        .iter()
        // The table is checked by a test: a key that cannot be read does not pass it.
        .filter_map(|text| parse_sequence(text).ok())
        .collect();
    Binding {
        context: row.context,
        keys,
        action: row.action,
        description: row.description,
        hint: row.hint,
    }
}

/// Reads `g g`.
pub fn parse_sequence(text: &str) -> Result<Sequence, KeyProblem> {
    let keys: Sequence = text
        .split_whitespace()
        .map(KeyPress::parse)
        .collect::<Result<_, _>>()?;
    if keys.is_empty() {
        return Err(KeyProblem(text.to_string()));
    }
    Ok(keys)
}

/// `g g` is shown as `gg`, `ctrl-c` as it is.
pub fn sequence_text(sequence: &[KeyPress]) -> String {
    sequence.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contexts that are looked through together, innermost first.
    fn stacks() -> Vec<Vec<Context>> {
        let home = [Context::Ladder, Context::Form, Context::Preview];
        let train = [
            Context::Chart,
            Context::Samples,
            Context::List,
            Context::Knobs,
        ];
        let mut stacks: Vec<Vec<Context>> = Vec::new();
        stacks.extend(home.map(|c| vec![c, Context::Home, Context::Global]));
        stacks.extend(train.map(|c| vec![c, Context::Train, Context::Global]));
        stacks.push(vec![Context::Runs, Context::Global]);
        stacks.push(vec![Context::Sweep]);
        stacks.push(vec![Context::Overlay, Context::Chart, Context::Global]);
        stacks.push(vec![Context::Difference, Context::Global]);
        stacks.push(vec![Context::SideBySide, Context::Global]);
        stacks.push(vec![Context::Help, Context::Global]);
        stacks.push(vec![Context::RangeTest]);
        stacks.push(vec![Context::Dialog]);
        stacks.push(vec![Context::Text]);
        stacks.push(vec![Context::Palette]);
        stacks
    }

    #[test]
    fn every_key_of_the_table_can_be_read() {
        for row in rows() {
            for key in row.keys {
                let sequence = parse_sequence(key).unwrap_or_else(|e| panic!("{e}"));
                assert_eq!(
                    sequence
                        .iter()
                        .map(ToString::to_string)
                        .collect::<Vec<_>>()
                        .join(" "),
                    *key
                );
            }
        }
    }

    #[test]
    fn no_key_is_given_twice_in_one_context() {
        let map = KeyMap::default();
        for context in Context::ALL {
            let mut seen: Vec<(Sequence, Action)> = Vec::new();
            for binding in map.bindings().iter().filter(|b| b.context == context) {
                for key in &binding.keys {
                    let clash = seen.iter().find(|(other, _)| overlaps(other, key));
                    assert!(
                        clash.is_none(),
                        "{context:?}: {} and {clash:?}",
                        sequence_text(key)
                    );
                    seen.push((key.clone(), binding.action));
                }
            }
        }
    }

    #[test]
    fn no_sequence_hides_behind_a_key_of_an_outer_context() {
        let map = KeyMap::default();
        for stack in stacks() {
            for context in &stack {
                for binding in map.bindings().iter().filter(|b| b.context == *context) {
                    for sequence in binding.keys.iter().filter(|s| s.len() > 1) {
                        for end in 1..sequence.len() {
                            let lookup = map.lookup(&stack, &sequence[..end]);
                            assert_eq!(
                                lookup,
                                Lookup::Pending,
                                "{stack:?} {}",
                                sequence_text(sequence)
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn every_action_is_reached_by_a_key_or_the_palette() {
        for action in Action::ALL {
            assert!(
                rows().any(|row| row.action == *action),
                "{} is nowhere",
                action.name()
            );
            assert_eq!(Action::from_name(action.name()), Some(*action));
        }
    }

    #[test]
    fn training_keys_work_in_every_pane_of_the_dashboard() {
        let map = KeyMap::default();
        for pane in [Context::Chart, Context::Samples, Context::List] {
            let stack = [pane, Context::Train, Context::Global];
            for row in rows().filter(|r| r.context == Context::Train) {
                for key in row.keys {
                    let sequence = parse_sequence(key).unwrap_or_else(|e| panic!("{e}"));
                    let found = map.lookup(&stack, &sequence);
                    assert_eq!(found, Lookup::Action(row.action), "{key} in {pane:?}");
                }
            }
        }
    }

    #[test]
    fn the_documented_keys_hold() {
        let map = KeyMap::default();
        let at = |contexts: &[Context], key: &str| {
            map.lookup(
                contexts,
                &parse_sequence(key).unwrap_or_else(|e| panic!("{e}")),
            )
        };
        let train = [Context::Chart, Context::Train, Context::Global];
        for (key, action) in [
            ("space", Action::TogglePause),
            (".", Action::StepOnce),
            ("n", Action::RunSteps),
            ("w", Action::Save),
            ("v", Action::Evaluate),
            ("g", Action::SampleNow),
            ("s", Action::CycleSmoothing),
            ("y", Action::ToggleLog),
            ("x", Action::CycleXAxis),
            ("f", Action::ToggleFreeze),
            ("+", Action::ZoomIn),
            ("-", Action::ZoomOut),
            ("=", Action::ZoomReset),
            ("z", Action::Zoom),
            ("q", Action::Quit),
            ("ctrl-c", Action::Quit),
            ("?", Action::Help),
            (":", Action::Palette),
            ("shift-tab", Action::PreviousPane),
            ("9", Action::Focus9),
        ] {
            assert_eq!(at(&train, key), Lookup::Action(action), "{key}");
        }
        let form = [Context::Form, Context::Home, Context::Global];
        assert_eq!(at(&form, "g"), Lookup::Pending);
        assert_eq!(at(&form, "g g"), Lookup::Action(Action::Top));
    }
}
