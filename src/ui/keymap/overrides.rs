//! The table with the user's keys in it, and what of them cannot have the effect that was meant.

use std::collections::BTreeMap;

use crate::config::closest;

use super::{Action, Binding, Context, KeyMap, Sequence, overlaps, parse_sequence, sequence_text};

/// The user's keys: context → action → alternatives.
pub type Overrides = BTreeMap<String, BTreeMap<String, Vec<String>>>;

impl KeyMap {
    /// The table with `overrides`; what could not be used, or cannot work, comes back as sentences.
    pub fn with_overrides(overrides: &Overrides) -> (Self, Vec<String>) {
        let mut change = Change::default();
        for (context_name, actions) in overrides {
            let Some(context) = Context::from_name(context_name) else {
                let known = Context::ALL.iter().map(|c| c.name());
                change.problems.push(format!(
                    "keymap.{context_name}: no such context; {}",
                    suggestion(context_name, known)
                ));
                continue;
            };
            for (action_name, keys) in actions {
                change.apply(context, action_name, keys);
            }
        }
        change.report_bare();
        change.report_hidden();
        (change.map, change.problems)
    }
}

/// The table while it is changed.
#[derive(Default)]
struct Change {
    map: KeyMap,
    problems: Vec<String>,
    /// The keys that the user gave, by the index of their binding.
    given: Vec<(usize, Sequence)>,
}

/// The name that was meant, or where all names stand: a notice has no room for them.
fn suggestion<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    match closest(given, known) {
        Some(guess) => format!("did you mean `{guess}`?"),
        None => "`fireside config settings` prints all".to_string(),
    }
}

/// The place of a binding in the settings file.
fn place(binding: &Binding) -> String {
    format!(
        "keymap.{}.{}",
        binding.context.name(),
        binding.action.name()
    )
}

impl Change {
    fn apply(&mut self, context: Context, action_name: &str, keys: &[String]) {
        let place = format!("keymap.{}.{action_name}", context.name());
        let bindings = &self.map.bindings;
        let found = Action::from_name(action_name).and_then(|action| {
            let it = |b: &Binding| b.context == context && b.action == action;
            bindings.iter().position(it)
        });
        let Some(index) = found else {
            let here = bindings.iter().filter(|b| b.context == context);
            let known = here.map(|b| b.action.name());
            self.problems.push(format!(
                "{place}: no such action here; {}",
                suggestion(action_name, known)
            ));
            return;
        };
        let mut accepted: Vec<Sequence> = Vec::new();
        for text in keys {
            let sequence = match parse_sequence(text) {
                Ok(sequence) => sequence,
                Err(problem) => {
                    self.problems.push(format!("{place}: {problem}"));
                    continue;
                }
            };
            let clash = self.given.iter().find(|(other, key)| {
                let here = bindings[*other].context == context;
                here && *other != index && overlaps(key, &sequence)
            });
            if let Some((other, _)) = clash {
                self.problems.push(format!(
                    "{place}: `{text}` is already given to `{}`; not used",
                    bindings[*other].action.name()
                ));
                continue;
            }
            accepted.push(sequence);
        }
        if accepted.is_empty() && !keys.is_empty() {
            return; // Every key was refused: the default stays.
        }
        for (other_index, other) in self.map.bindings.iter_mut().enumerate() {
            if other.context == context && other_index != index {
                let left = |key: &Sequence| !accepted.iter().any(|a| overlaps(a, key));
                other.keys.retain(left);
            }
        }
        let given = accepted.iter().map(|key| (index, key.clone()));
        self.given.extend(given);
        self.map.bindings[index].keys = accepted;
    }

    /// Actions that were left without a key by what another one was given.
    fn report_bare(&mut self) {
        let default = KeyMap::default();
        let mut problems = Vec::new();
        for (binding, before) in self.map.bindings.iter().zip(&default.bindings) {
            if !binding.keys.is_empty() {
                continue;
            }
            let taken = self.given.iter().find(|(taker, key)| {
                let here = self.map.bindings[*taker].context == binding.context;
                here && before.keys.iter().any(|own| overlaps(own, key))
            });
            if let Some((taker, _)) = taken {
                problems.push(format!(
                    "{}: takes the only key of `{}`, which is now reached from the palette",
                    place(&self.map.bindings[*taker]),
                    binding.action.name()
                ));
            }
        }
        self.problems.append(&mut problems);
    }

    /// Keys that a context looked through earlier takes for itself, where that is the user's doing: the table hides some
    /// of its own on purpose.
    fn report_hidden(&mut self) {
        let mut problems = Vec::new();
        for (index, binding) in self.map.bindings.iter().enumerate() {
            let mut bare: Vec<&Binding> = Vec::new();
            let mut taken: Vec<(&Sequence, Vec<String>)> = Vec::new();
            for stack in Context::ALL.map(Context::stack) {
                let hides = |key: &Sequence| self.hides(stack, index, key);
                let free = binding.keys.iter().any(|key| hides(key).is_empty());
                for key in &binding.keys {
                    for (hider, by_choice) in hides(key) {
                        let given = self.is_given(index, key);
                        let hider = &self.map.bindings[hider];
                        if given && by_choice {
                            let name = place(hider);
                            match taken.iter_mut().find(|(known, _)| *known == key) {
                                Some((_, names)) if names.contains(&name) => {}
                                Some((_, names)) => names.push(name),
                                None => taken.push((key, vec![name])),
                            }
                        } else if by_choice && !free && !bare.iter().any(|known| same(known, hider))
                        {
                            bare.push(hider);
                        }
                    }
                }
            }
            for (key, names) in taken {
                let takes = if names.len() == 1 { "takes" } else { "take" };
                problems.push(format!(
                    "{}: `{}` does nothing where {} {takes} it first",
                    place(binding),
                    sequence_text(key),
                    names.join(", ")
                ));
            }
            for hider in bare {
                problems.push(format!(
                    "{}: where this holds, no key is left for {}",
                    place(hider),
                    place(binding)
                ));
            }
        }
        self.problems.append(&mut problems);
    }

    /// The bindings further in that take `key` of a binding for themselves, and whether the user has chosen one of the two.
    fn hides(&self, stack: &[Context], index: usize, key: &Sequence) -> Vec<(usize, bool)> {
        let bindings = &self.map.bindings;
        let inner = stack.iter().position(|c| *c == bindings[index].context);
        let inner = &stack[..inner.unwrap_or(0)];
        let mut found = Vec::new();
        for (at, other) in bindings.iter().enumerate() {
            if !inner.contains(&other.context) {
                continue;
            }
            // A longer one only makes the shorter one wait.
            if let Some(hider) = other.keys.iter().find(|own| key.starts_with(own)) {
                found.push((at, self.is_given(index, key) || self.is_given(at, hider)));
            }
        }
        found
    }

    /// The user gave it this key, and the table does not.
    fn is_given(&self, index: usize, key: &Sequence) -> bool {
        let given = self
            .given
            .iter()
            .any(|(at, own)| *at == index && own == key);
        let texts = super::rows()
            .nth(index)
            .map_or(&[] as &[&str], |row| row.keys);
        let own = texts
            .iter()
            .any(|text| parse_sequence(text).as_ref() == Ok(key));
        given && !own
    }
}

fn same(one: &Binding, other: &Binding) -> bool {
    (one.context, one.action) == (other.context, other.action)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::keymap::Lookup;

    fn problems(lines: &[(&str, &str, &[&str])]) -> (KeyMap, Vec<String>) {
        let mut overrides = Overrides::new();
        for (context, action, keys) in lines {
            let keys = keys.iter().map(ToString::to_string).collect();
            let section = overrides.entry(context.to_string()).or_default();
            section.insert(action.to_string(), keys);
        }
        KeyMap::with_overrides(&overrides)
    }

    #[test]
    fn a_slip_in_a_name_is_answered_with_the_name_that_was_meant() {
        let (_, said) = problems(&[
            ("trian", "pause", &["s"]),
            ("train", "evalute", &["E"]),
            ("train", "explode", &["x"]),
            ("train", "save", &["hyper-q"]),
            ("train", "pause", &["delte"]),
        ]);
        for wanted in [
            "keymap.trian: no such context; did you mean `train`?",
            "keymap.train.evalute: no such action here; did you mean `evaluate`?",
            "keymap.train.explode: no such action here; `fireside config settings` prints all",
            "keymap.train.pause: `delte` is not a key; did you mean `delete`?",
        ] {
            assert!(said.iter().any(|one| one == wanted), "{wanted}: {said:?}");
        }
        assert!(
            said.iter()
                .any(|one| one.contains("`hyper-q` is not a key"))
        );
    }

    #[test]
    fn a_key_that_a_pane_takes_first_is_reported_with_what_takes_it() {
        let (map, said) = problems(&[("train", "pause", &["s", "p"])]);
        assert_eq!(
            said,
            [
                "keymap.train.pause: `s` does nothing where keymap.chart.smoothing takes it first",
                "keymap.train.pause: `p` does nothing where keymap.samples.next-prompt takes it first",
            ]
        );
        // That is what happens.
        let press = parse_sequence("s").unwrap();
        let chart = map.lookup(Context::Chart.stack(), &press);
        assert_eq!(chart, Lookup::Action(Action::CycleSmoothing));
        let list = map.lookup(Context::List.stack(), &press);
        assert_eq!(list, Lookup::Action(Action::TogglePause));
    }

    #[test]
    fn all_that_take_it_are_named_once() {
        let (_, said) = problems(&[("global", "redraw", &["up"])]);
        let [one] = said.as_slice() else {
            panic!("{said:?}");
        };
        for name in [
            "keymap.ladder.up",
            "keymap.list.up",
            "keymap.overlay.up",
            "take it first",
        ] {
            assert_eq!(one.matches(name).count(), 1, "{name}: {one}");
        }
        // Contexts that are never looked through together take nothing from each other.
        assert!(!one.contains("sweep") && !one.contains("dialog"), "{one}");
    }

    #[test]
    fn a_sequence_is_hidden_by_a_key_that_begins_it() {
        let (_, said) = problems(&[("train", "save", &["x y"])]);
        assert_eq!(
            said,
            [
                "keymap.train.save: `xy` does nothing where keymap.chart.x-axis, keymap.knobs.reset-field take it first"
            ]
        );
        // The other way around the shorter one waits, and is not lost.
        assert_eq!(problems(&[("chart", "freeze", &["w w"])]).1, [""; 0]);
    }

    #[test]
    fn a_key_of_a_pane_that_leaves_nothing_further_out_is_reported() {
        let (_, said) = problems(&[("chart", "export", &["w"])]);
        assert_eq!(
            said,
            ["keymap.chart.export: where this holds, no key is left for keymap.train.save"]
        );
        // `a` still applies.
        assert_eq!(problems(&[("chart", "export", &["enter"])]).1, [""; 0]);
    }

    #[test]
    fn two_of_the_users_against_each_other_are_reported_too() {
        let (_, said) = problems(&[("chart", "export", &["f9"]), ("train", "save", &["f9"])]);
        assert_eq!(
            said,
            ["keymap.train.save: `f9` does nothing where keymap.chart.export takes it first"]
        );
    }

    #[test]
    fn keys_that_are_exchanged_leave_no_action_without_one() {
        let (map, said) = problems(&[
            ("train", "evaluate", &["g"]),
            ("train", "sample-now", &["v"]),
        ]);
        assert_eq!(said, [""; 0]);
        let key = |action| map.key_for(&[Context::Train], action);
        assert_eq!(key(Action::Evaluate).as_deref(), Some("g"));
        assert_eq!(key(Action::SampleNow).as_deref(), Some("v"));
    }

    #[test]
    fn what_the_table_hides_itself_is_not_reported() {
        // Enter types a value on the knobs.
        let lines: &[(&str, &str, &[&str])] = &[("train", "apply-edit", &["A", "enter"])];
        assert_eq!(problems(lines).1, [""; 0]);
    }
}
