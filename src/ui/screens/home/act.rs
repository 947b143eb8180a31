//! What the keys do inside the three panes.

use super::ladder::{self, Entry};
use super::{HomePane, HomeScreen, Request, Typing, field_text};
use crate::config::{FieldKind, ModelKind};
use crate::ui::keymap::Action;
use crate::ui::panes::{Handled, Scroll};
use crate::ui::widgets::text_input::TextInput;

impl HomeScreen {
    pub(super) fn go_to(&mut self, entry: Entry, requests: &mut Vec<Request>) {
        if self.cursor != entry {
            self.cursor = entry;
            self.prepare_draft();
            self.preview.shown = None;
            self.preview.scroll = Scroll::default();
            requests.push(self.changed());
        }
    }

    pub(super) fn choose_config(&mut self, at: usize, requests: &mut Vec<Request>) {
        if let Entry::Rung(rung) = self.cursor
            && self.chosen[rung] != at
        {
            self.chosen[rung] = at;
            self.prepare_draft();
            self.preview.shown = None;
            requests.push(self.changed());
        }
    }

    pub(super) fn act_ladder(&mut self, action: Action, requests: &mut Vec<Request>) -> Handled {
        let runs = self.runs.len();
        let all = runs + ModelKind::ALL.len();
        let at = match self.cursor {
            Entry::Run(at) => at,
            Entry::Rung(at) => runs + at,
        };
        let to = match action {
            Action::Edit => {
                self.leave_the_runs(requests);
                self.focus = HomePane::Form;
                return Handled::Yes;
            }
            Action::Up => at.saturating_sub(1),
            Action::Down => (at + 1).min(all - 1),
            Action::Top => 0,
            Action::Bottom => all - 1,
            Action::Left | Action::Right => {
                if let Entry::Rung(rung) = self.cursor {
                    let n = ladder::choices(self.kind(), &self.own).len().max(1);
                    let by = if action == Action::Right { 1 } else { n - 1 };
                    self.choose_config((self.chosen[rung] + by) % n, requests);
                }
                return Handled::Yes;
            }
            _ => return Handled::No,
        };
        let entry = if to < runs {
            Entry::Run(to)
        } else {
            Entry::Rung(to - runs)
        };
        self.go_to(entry, requests);
        Handled::Yes
    }

    pub(super) fn act_form(&mut self, action: Action, requests: &mut Vec<Request>) -> Handled {
        if matches!(self.cursor, Entry::Run(_)) {
            return Handled::No;
        }
        let fields = self.form_fields();
        let Some(at) = fields.iter().position(|field| field.key == self.field) else {
            return Handled::No;
        };
        let last = fields.len() - 1;
        let section_end = |at: usize, back: bool| {
            let section = fields[at].section;
            if back {
                let start = fields
                    .iter()
                    .position(|f| f.section == section)
                    .unwrap_or(0);
                let before = if start == at {
                    start.saturating_sub(1)
                } else {
                    start
                };
                fields
                    .iter()
                    .position(|f| f.section == fields[before].section)
                    .unwrap_or(0)
            } else {
                fields
                    .iter()
                    .skip(at)
                    .position(|f| f.section != section)
                    .map_or(last, |n| at + n)
            }
        };
        match action {
            Action::Up => self.field = fields[at.saturating_sub(1)].key,
            Action::Down => self.field = fields[(at + 1).min(last)].key,
            Action::Top => self.field = fields[0].key,
            Action::Bottom => self.field = fields[last].key,
            Action::PageUp => self.field = fields[section_end(at, true)].key,
            Action::PageDown => self.field = fields[section_end(at, false)].key,
            Action::Increase | Action::Decrease => {
                let key = self.field;
                if let Some(draft) = self.draft_mut() {
                    // A problem is kept by the draft and shown at the field.
                    let _ = draft.nudge(key, action == Action::Increase);
                }
                requests.push(self.changed());
            }
            Action::Edit => return self.edit(requests),
            Action::ResetField => {
                let key = self.field;
                if let Some(draft) = self.draft_mut() {
                    draft.reset(key);
                }
                requests.push(self.changed());
            }
            Action::ResetAll => {
                if let Some(name) = self.config_name().map(str::to_string) {
                    self.drafts.remove(&name);
                }
                self.prepare_draft();
                requests.push(self.changed());
            }
            _ => return Handled::No,
        }
        self.keep_field_visible();
        Handled::Yes
    }

    fn edit(&mut self, requests: &mut Vec<Request>) -> Handled {
        let key = self.field;
        let steps = crate::config::field(key)
            .is_some_and(|field| matches!(field.kind, FieldKind::Bool | FieldKind::Choice(_)));
        if steps {
            return self.act_form(Action::Increase, requests);
        }
        let Some(draft) = self.draft() else {
            return Handled::No;
        };
        let text = field_text(draft, key);
        let before = (draft.changed(key) || draft.problem(key).is_some()).then(|| text.clone());
        self.typing = Some(Typing::Field {
            key,
            input: TextInput::new(text),
            before,
        });
        Handled::Yes
    }

    pub(super) fn act_preview(&mut self, action: Action) -> Handled {
        // How many lines there are is known when they are drawn.
        self.preview.scroll.act(action, usize::MAX, false)
    }

    /// A run keeps the config it was started with: whoever turns to the form wants a new one, of the same model.
    pub(super) fn leave_the_runs(&mut self, requests: &mut Vec<Request>) {
        if matches!(self.cursor, Entry::Run(_)) {
            let kind = self.kind();
            let rung = ModelKind::ALL.iter().position(|other| *other == kind);
            self.go_to(Entry::Rung(rung.unwrap_or(0)), requests);
        }
    }
}
