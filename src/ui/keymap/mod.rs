//! Keys: one table, from which everything that concerns keys is made.

mod action;
mod key;
mod overrides;
mod table;

pub use action::Action;
pub use key::{KeyPress, KeyProblem};
pub use overrides::Overrides;
pub use table::{Row, rows};

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
    Checkpoints,
    Text,
    Palette,
    Global,
}

impl Context {
    pub const ALL: [Context; 21] = [
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
        Context::Checkpoints,
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
            Context::Checkpoints => "checkpoints",
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
            Context::Checkpoints => "Checkpoints to choose from",
            Context::Text => "Text fields",
            Context::Palette => "Palette",
            Context::Global => "Everywhere",
        }
    }

    pub fn from_name(name: &str) -> Option<Context> {
        Context::ALL.into_iter().find(|c| c.name() == name)
    }

    /// Where keys are looked up while this has the focus, innermost first.
    pub fn stack(self) -> &'static [Context] {
        use Context::*;
        match self {
            Ladder => &[Ladder, Home, Global],
            Form => &[Form, Home, Global],
            Preview => &[Preview, Home, Global],
            Home => &[Home, Global],
            Chart => &[Chart, Train, Global],
            Samples => &[Samples, Train, Global],
            List => &[List, Train, Global],
            Knobs => &[Knobs, Train, Global],
            Train => &[Train, Global],
            Runs => &[Runs, Global],
            Overlay => &[Overlay, Chart, Global],
            Difference => &[Difference, Global],
            SideBySide => &[SideBySide, Global],
            Help => &[Help, Global],
            Global => &[Global],
            Sweep => &[Sweep],
            RangeTest => &[RangeTest],
            Dialog => &[Dialog],
            Checkpoints => &[Checkpoints],
            Text => &[Text],
            Palette => &[Palette],
        }
    }

    /// There are several panes, so that the keys to go between them and to zoom one mean something.
    pub fn has_panes(self) -> bool {
        use Context::*;
        !matches!(self, Runs | Overlay | Difference | SideBySide)
    }

    /// Lies over a screen, whose keys mean nothing meanwhile; only control keys that hold everywhere do.
    pub fn holds_back_others(self) -> bool {
        matches!(self, Context::Dialog | Context::Checkpoints) || self.is_text_entry()
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
    /// Means something while keys are looked up in `contexts`: those of every screen that go between panes do not where there is one.
    pub fn holds_in(&self, contexts: &[Context]) -> bool {
        let of_panes = match self.action {
            Action::NextPane | Action::PreviousPane | Action::Zoom => true,
            action => action.pane_index().is_some(),
        };
        let panes = contexts.first().is_none_or(|context| context.has_panes());
        panes || self.context != Context::Global || !of_panes
    }

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
    /// The beginning of a longer sequence: wait for the next key. `alone` is what these keys mean by themselves further
    /// out, when none comes.
    Pending {
        alone: Option<Action>,
    },
    None,
}

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
        let mut pending = false;
        for context in contexts {
            for binding in self.bindings.iter().filter(|b| b.context == *context) {
                for sequence in &binding.keys {
                    if sequence.as_slice() == keys {
                        let action = binding.action;
                        return match pending {
                            true => Lookup::Pending {
                                alone: Some(action),
                            },
                            false => Lookup::Action(action),
                        };
                    }
                }
            }
            // Not before all of a context was looked at: there a key and a sequence that begins with it exclude each other.
            let begins = |sequence: &Sequence| sequence.starts_with(keys);
            let here = self.bindings.iter().filter(|b| b.context == *context);
            pending |= here.flat_map(|b| &b.keys).any(begins);
        }
        match pending {
            true => Lookup::Pending { alone: None },
            false => Lookup::None,
        }
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
        for stack in Context::ALL.map(Context::stack) {
            for context in stack {
                for binding in map.bindings().iter().filter(|b| b.context == *context) {
                    for sequence in binding.keys.iter().filter(|s| s.len() > 1) {
                        for end in 1..sequence.len() {
                            let lookup = map.lookup(stack, &sequence[..end]);
                            assert!(
                                matches!(lookup, Lookup::Pending { .. }),
                                "{stack:?} {}: {lookup:?}",
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
                    let waits = Lookup::Pending {
                        alone: Some(row.action),
                    };
                    let wanted = match (pane, *key) {
                        (Context::List, "g") => waits,
                        _ => Lookup::Action(row.action),
                    };
                    assert_eq!(found, wanted, "{key} in {pane:?}");
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
        assert_eq!(at(&form, "g"), Lookup::Pending { alone: None });
        assert_eq!(at(&form, "g g"), Lookup::Action(Action::Top));
    }

    #[test]
    fn gg_and_home_go_to_the_top_of_every_list() {
        let map = KeyMap::default();
        let lists = map.bindings().iter().filter(|b| b.action == Action::Top);
        // The charts and the samples of the dashboard are none: `g` samples there at once.
        let lists = lists.filter(|b| !matches!(b.context, Context::Chart | Context::Samples));
        let mut count = 0;
        for list in lists {
            assert_eq!(list.keys_text(), "gg, home", "{:?}", list.context);
            for keys in ["G", "end"] {
                let found = map.lookup(&[list.context], &parse_sequence(keys).unwrap());
                assert_eq!(found, Lookup::Action(Action::Bottom), "{:?}", list.context);
            }
            count += 1;
        }
        assert!(count >= 9, "{count}");
    }
}
