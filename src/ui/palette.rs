//! The `:` palette: every command by name, found by a few of its letters.

mod commands;

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Margin, Position, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};
use unicode_width::UnicodeWidthStr;

use crate::protocol::{Edit, Until};

use super::keymap::{Action, Context, KeyMap};
use super::layout::{centered, fit, pane, scroll_offset, wrap, write, write_line, write_right};
use super::screens::train::RunView;
use super::theme::{self, Theme};
use super::widgets::text_input::TextInput;

/// The palette while it is open.
#[derive(Debug, Clone, Default)]
pub struct Palette {
    pub input: TextInput,
    pub cursor: usize,
}

/// What was chosen.
#[derive(Debug, Clone, PartialEq)]
pub enum Chosen {
    Action(Action),
    /// `set KEY VALUE`: a field of the config form.
    Set {
        key: String,
        value: String,
    },
    Theme(&'static str),
    /// Values of the run in progress.
    Edit(Edit),
    Until(Until),
    /// To the checkpoint of this step.
    RewindTo(u64),
    /// The form for a new schedule, with these words and values.
    Schedule(Vec<(String, String)>),
    /// There is more to type: this is how it goes on.
    Complete(String),
    /// It cannot be done as it stands; the description says why.
    Problem,
}

/// One line of the palette.
#[derive(Debug, Clone)]
pub struct Entry {
    pub chosen: Chosen,
    pub name: String,
    pub description: String,
    pub keys: String,
    pub place: &'static str,
    /// Whether it means something on this screen.
    pub here: bool,
}

/// What matches `query` best, first; commands of this place before those of other screens. `run` is the one on the
/// dashboard, when that is shown.
pub fn entries(
    query: &str,
    keymap: &KeyMap,
    contexts: &[Context],
    run: Option<&RunView>,
) -> Vec<Entry> {
    let query = query.trim_start();
    if let Some(found) = run.and_then(|run| commands::entries(query, run)) {
        return found;
    }
    if let Some(rest) = query.strip_prefix("set ") {
        let (key, value) = rest
            .trim_start()
            .split_once([' ', '='])
            .unwrap_or((rest.trim(), ""));
        return vec![Entry {
            name: format!("set {key} {value}"),
            description: "change this field of the config".to_string(),
            keys: String::new(),
            place: Context::Form.title(),
            here: contexts.contains(&Context::Home),
            chosen: Chosen::Set {
                key: key.to_string(),
                value: value.trim().to_string(),
            },
        }];
    }
    let mut all: Vec<Entry> = Vec::new();
    for binding in keymap.bindings() {
        let movable = !matches!(
            binding.context,
            Context::Sweep
                | Context::Help
                | Context::RangeTest
                | Context::Dialog
                | Context::Checkpoints
                | Context::Text
                | Context::Palette
        );
        let known = all.iter().any(|e| {
            e.chosen == Chosen::Action(binding.action) && e.description == binding.description
        });
        if movable && !known {
            all.push(Entry {
                chosen: Chosen::Action(binding.action),
                name: binding.action.name().to_string(),
                description: binding.description.to_string(),
                keys: binding.keys_text(),
                place: binding.context.title(),
                here: contexts.contains(&binding.context),
            });
        }
    }
    for name in theme::NAMES {
        all.push(Entry {
            chosen: Chosen::Theme(name),
            name: format!("theme {name}"),
            description: "colour theme".to_string(),
            keys: String::new(),
            place: Context::Global.title(),
            here: true,
        });
    }
    let with_words = commands::with_words(run.is_some(), contexts.contains(&Context::Home));
    // They are found by reading, not by their letters: nobody guesses that they are there.
    let first = if query.is_empty() { 0 } else { all.len() };
    all.splice(first..first, with_words);
    let mut scored: Vec<(i32, Entry)> = all
        .into_iter()
        .filter_map(|entry| {
            let name = score(query, &entry.name).map(|s| s + 20);
            let words = score(query, &entry.description);
            let best = name.max(words)?;
            Some((best + if entry.here { 30 } else { 0 }, entry))
        })
        .collect();
    scored.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    scored.into_iter().map(|(_, entry)| entry).collect()
}

/// How well the letters of `query` are found, in order, in `text`; `None` when they are not.
/// Letters in a row and at the start of words count more.
pub fn score(query: &str, text: &str) -> Option<i32> {
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let mut at = 0;
    let mut total = 0;
    let mut last: Option<usize> = None;
    let mut letters = 0;
    for letter in query.to_lowercase().chars().filter(|c| !c.is_whitespace()) {
        let found = at + text[at..].iter().position(|c| *c == letter)?;
        let in_a_row = last.is_some_and(|last| found == last + 1);
        let starts_word = found == 0 || !text[found - 1].is_alphanumeric();
        total += match (in_a_row, starts_word) {
            (true, _) => 8,
            (false, true) => 6,
            _ => 1 - (found - at).min(5) as i32,
        };
        letters += 1;
        last = Some(found);
        at = found + 1;
    }
    // Letters strewn all over are no match.
    (total >= 2 * letters).then_some(total)
}

/// Rows for a description in full.
const FOOT: u16 = 2;

impl Palette {
    pub fn render(
        &self,
        theme: &Theme,
        keymap: &KeyMap,
        contexts: &[Context],
        run: Option<&RunView>,
        screen: Rect,
        buffer: &mut Buffer,
    ) {
        let area = Self::area(screen);
        if area.is_empty() {
            return;
        }
        Clear.render(area, buffer);
        let inner = pane(theme, "Palette: type a few letters", 0, true, area, buffer);
        if inner.is_empty() {
            return;
        }
        write(buffer, inner, 0, ":", theme.key);
        let field =
            Rect::new(inner.x + 1, inner.y, inner.width.saturating_sub(1), 1).intersection(inner);
        self.input.render(theme.input, theme.cursor, field, buffer);
        let entries = entries(self.input.text(), keymap, contexts, run);
        let (list, foot) = Self::parts(inner);
        if entries.is_empty() {
            write(buffer, list, 0, "nothing matches; Esc closes", theme.dim);
        }
        if let [only] = entries.as_slice()
            && only.chosen == Chosen::Problem
        {
            // What is allowed must be read in full.
            let cross = format!("{} {}", theme.symbols.cross, only.description);
            for (row, line) in wrap(&cross, list.width.into()).iter().enumerate() {
                write(buffer, list, row as u16, line, theme.error);
            }
            return;
        }
        let cursor = self.cursor.min(entries.len().saturating_sub(1));
        let offset = scroll_offset(cursor, entries.len(), list.height.into());
        let widest = entries.iter().map(|entry| entry.name.width()).max();
        let name_width = widest.unwrap_or(0).clamp(22, 34);
        for (at, entry) in entries
            .iter()
            .enumerate()
            .skip(offset)
            .take(list.height.into())
        {
            let row = (at - offset) as u16;
            let marked = at == cursor;
            let base = match (marked, entry.here) {
                (true, _) => theme.selected,
                (false, true) => theme.text,
                (false, false) => theme.dim,
            };
            let mark = if marked { theme.symbols.cursor } else { " " };
            let name = fit(&entry.name, name_width, theme.symbols.ellipsis);
            let pad = " ".repeat((name_width + 1).saturating_sub(name.width()));
            let right = if entry.here {
                entry.keys.as_str()
            } else {
                entry.place
            };
            let room = usize::from(list.width).saturating_sub(name_width + 4 + right.width() + 2);
            let words = fit(&entry.description, room, theme.symbols.ellipsis);
            let detail = if marked { base } else { theme.dim };
            write_line(
                buffer,
                list,
                row,
                &Line::from(vec![
                    Span::styled(format!("{mark} {name}{pad}"), base),
                    Span::styled(words, detail),
                ]),
            );
            write_right(
                buffer,
                list,
                row,
                right,
                if entry.here { theme.key } else { theme.dim },
            );
        }
        // Beside its name there may not be room for all of it.
        let marked = entries.get(cursor).map(|entry| entry.description.as_str());
        let lines = wrap(marked.unwrap_or(""), foot.width.saturating_sub(2).into());
        for (row, line) in lines.iter().take(foot.height.into()).enumerate() {
            write(buffer, foot, row as u16, &format!("  {line}"), theme.dim);
        }
    }

    /// The list below the field, and the rows for what the marked line says in full, where they leave enough of it.
    fn parts(inner: Rect) -> (Rect, Rect) {
        let below = inner.height.saturating_sub(1);
        let said = if below < 4 * FOOT { 0 } else { FOOT };
        let [_, list, foot] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Min(0),
            Constraint::Length(said),
        ])
        .areas(inner);
        (list, foot)
    }

    /// The line of the list, of so many, that stands at a place.
    pub fn line_at(&self, count: usize, screen: Rect, at: Position) -> Option<usize> {
        let area = Self::area(screen);
        let (list, _) = Self::parts(area.inner(Margin::new(1, 1)));
        if !list.contains(at) {
            return None;
        }
        let cursor = self.cursor.min(count.saturating_sub(1));
        let offset = scroll_offset(cursor, count, list.height.into());
        Some(offset + usize::from(at.y - list.y)).filter(|line| *line < count)
    }

    pub fn area(screen: Rect) -> Rect {
        let mut area = centered(screen, 92, 22);
        area.y = screen.y + (screen.height - area.height) / 3;
        area
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(query: &str, contexts: &[Context]) -> Entry {
        let found = entries(query, &KeyMap::default(), contexts, None);
        found
            .into_iter()
            .next()
            .unwrap_or_else(|| panic!("nothing for {query}"))
    }

    #[test]
    fn a_few_letters_find_the_command() {
        let train = [Context::Chart, Context::Train, Context::Global];
        assert_eq!(
            best("samp", &train).chosen,
            Chosen::Action(Action::SampleNow)
        );
        assert_eq!(
            best("pau", &train).chosen,
            Chosen::Action(Action::TogglePause)
        );
        assert_eq!(best("theme oka", &train).chosen, Chosen::Theme("okabe-ito"));
        assert!(entries("qqqq", &KeyMap::default(), &train, None).is_empty());
    }

    #[test]
    fn what_takes_words_is_on_the_list_where_it_means_something() {
        let home = [Context::Ladder, Context::Home, Context::Global];
        let begins = |query, contexts: &[Context]| best(query, contexts).chosen;
        let set = Chosen::Complete("set ".to_string());
        assert_eq!(begins("", &home), set);
        assert_eq!(begins("set", &home), set);
        let runs = [Context::Runs, Context::Global];
        let found = entries("", &KeyMap::default(), &runs, None);
        assert!(found.iter().all(|entry| entry.chosen != set));
    }

    #[test]
    fn what_belongs_elsewhere_is_still_found_and_named() {
        let home = [Context::Ladder, Context::Home, Context::Global];
        let entry = best("freeze", &home);
        assert!(!entry.here);
        assert_eq!(entry.place, "Charts");
    }

    #[test]
    fn set_takes_a_key_and_a_value() {
        let chosen = best("set optimizer.learning_rate 3e-4", &[Context::Home]).chosen;
        assert_eq!(
            chosen,
            Chosen::Set {
                key: "optimizer.learning_rate".into(),
                value: "3e-4".into()
            }
        );
    }

    #[test]
    fn any_size_draws() {
        let palette = Palette::default();
        for (w, h) in [(0, 0), (1, 1), (2, 3), (30, 5), (200, 60)] {
            let area = Rect::new(0, 0, w, h);
            let mut buffer = Buffer::empty(area);
            palette.render(
                &Theme::default(),
                &KeyMap::default(),
                &[Context::Global],
                None,
                area,
                &mut buffer,
            );
        }
    }
}
