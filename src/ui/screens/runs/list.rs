//! The list: moving, marking, sorting, filtering, and asking.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::ask::Question;
use super::table::{COLUMNS, Hit, RunsTable};
use super::work::RunsTask;
use super::{RunsRequest, RunsScreen, Typing, Undo};
use crate::protocol::NoticeLevel;
use crate::run::{Key, RunEntry};
use crate::ui::keymap::Action;
use crate::ui::layout::{pane, wrap, write};
use crate::ui::panes::Handled;
use crate::ui::screens::ScreenMouse;
use crate::ui::theme::Theme;
use crate::ui::widgets::text_input::TextInput;

/// What is where.
#[derive(Debug, Clone, Copy)]
pub struct Places {
    /// The pane of the list with its border.
    pub list: Rect,
    /// The pane beside it, on a wide screen.
    pub detail: Option<Rect>,
    /// Lines below the table, on a screen that is not wide and high enough.
    pub line: u16,
}

/// Wide enough for the list and a pane beside it.
const WIDE: u16 = 132;
const DETAIL: u16 = 46;

pub fn places(area: Rect) -> Places {
    if area.width >= WIDE {
        let list = Rect {
            width: area.width - DETAIL,
            ..area
        };
        return Places {
            list,
            detail: Some(Rect {
                x: list.right(),
                width: DETAIL,
                ..area
            }),
            line: 0,
        };
    }
    Places {
        list: area,
        detail: None,
        line: if area.height >= 18 { 3 } else { 0 },
    }
}

/// What stands before the name of a run in the tree: `│ └ `.
pub fn twigs(more: &[bool]) -> String {
    let mut text = String::new();
    for (at, more_follow) in more.iter().enumerate() {
        let last = at + 1 == more.len();
        text.push_str(match (last, more_follow) {
            (true, true) => "├ ",
            (true, false) => "└ ",
            (false, true) => "│ ",
            (false, false) => "  ",
        });
    }
    text
}

/// As above in plain characters.
fn plain_twigs(text: &str) -> String {
    text.replace(['├', '└'], "`").replace('│', "|")
}

impl RunsScreen {
    pub(super) fn act_list(&mut self, action: Action, requests: &mut Vec<RunsRequest>) -> Handled {
        let last = self.shown.len().saturating_sub(1);
        match action {
            Action::Up => self.cursor = self.cursor.saturating_sub(1),
            Action::Down => self.cursor = (self.cursor + 1).min(last),
            Action::PageUp => self.cursor = self.cursor.saturating_sub(10),
            Action::PageDown => self.cursor = (self.cursor + 10).min(last),
            Action::Top => self.cursor = 0,
            Action::Bottom => self.cursor = last,
            Action::Reload => requests.push(RunsRequest::Reload),
            Action::Filter => {
                self.typing = Some(Typing {
                    input: TextInput::new(self.filter_text.clone()),
                    before: self.filter_text.clone(),
                });
            }
            Action::SortNext => self.sort_along(1),
            Action::SortPrevious => self.sort_along(-1),
            Action::SortReverse => self.sort_by(self.sort.key),
            Action::Mark => {
                self.mark(self.cursor);
                self.cursor = (self.cursor + 1).min(last);
            }
            Action::MarkAll => self.mark_all(),
            Action::Pin => self.pin(requests),
            Action::Lineage => {
                self.tree = !self.tree;
                self.rearrange();
            }
            Action::UndoChange => match self.undo.pop() {
                Some(Undo::Restore(runs)) => {
                    requests.push(RunsRequest::Task(RunsTask::Restore(runs)));
                }
                Some(Undo::Rename { dir, name }) => {
                    requests.push(RunsRequest::Task(RunsTask::Rename { dir, name }));
                }
                Some(Undo::Notes(runs)) => {
                    requests.push(RunsRequest::Task(RunsTask::PutBack(runs)));
                }
                None => {
                    let text = "nothing to undo: no run was deleted, renamed, tagged or noted here"
                        .to_string();
                    requests.push(RunsRequest::Notice(NoticeLevel::Info, text));
                }
            },
            Action::EmptyBin => self.question = Some(Question::empty_bin()),
            Action::Tag | Action::Delete => {
                let runs = self.chosen();
                let runs: Vec<&RunEntry> = runs.iter().map(|run| &**run).collect();
                if runs.is_empty() {
                    return Handled::No;
                }
                self.question = Some(match action {
                    Action::Tag => Question::tag(&runs),
                    _ => Question::delete(&runs, self.all()),
                });
            }
            Action::Note | Action::Rename => {
                let Some(run) = self.selected_entry() else {
                    return Handled::No;
                };
                self.question = Some(match action {
                    Action::Note => Question::note(run),
                    _ => Question::rename(run),
                });
            }
            _ => return Handled::No,
        }
        Handled::Yes
    }

    fn sort_along(&mut self, by: isize) {
        let keys: Vec<Key> = COLUMNS
            .iter()
            .map(|column| Key::Column(column.of))
            .collect();
        let at = keys.iter().position(|key| *key == self.sort.key);
        let at = at.unwrap_or(0) as isize + by;
        let key = keys[at.rem_euclid(keys.len() as isize) as usize];
        self.sort_by(key);
    }

    fn mark(&mut self, row: usize) {
        let Some((at, _)) = self.shown.get(row) else {
            return;
        };
        let Some(dir) = self.all().get(*at).map(|run| run.summary.dir.clone()) else {
            return;
        };
        match self.marked.iter().position(|other| *other == dir) {
            Some(at) => drop(self.marked.remove(at)),
            None => self.marked.push(dir),
        }
    }

    /// All that are shown; when they are all marked, none.
    fn mark_all(&mut self) {
        let runs = self.all();
        let dirs: Vec<_> = self
            .shown
            .iter()
            .filter_map(|(at, _)| runs.get(*at).map(|run| run.summary.dir.clone()))
            .collect();
        if dirs.iter().all(|dir| self.marked.contains(dir)) {
            self.marked.retain(|dir| !dirs.contains(dir));
        } else {
            for dir in dirs {
                if !self.marked.contains(&dir) {
                    self.marked.push(dir);
                }
            }
        }
    }

    pub(super) fn mouse_list(
        &mut self,
        mouse: ScreenMouse,
        area: Rect,
        requests: &mut Vec<RunsRequest>,
    ) -> Handled {
        match mouse {
            ScreenMouse::Wheel { lines, .. } if lines < 0 => self.act_list(Action::Up, requests),
            ScreenMouse::Wheel { .. } => self.act_list(Action::Down, requests),
            ScreenMouse::Click(at) => {
                let place = self.table_area(area);
                let hit = self.with_table(|table| table.hit(place, at.x, at.y));
                match hit {
                    Some(Hit::Heading(column)) => self.sort_by(Key::Column(column)),
                    Some(Hit::Row(row)) => self.cursor = row,
                    Some(Hit::Mark(row)) => {
                        self.cursor = row;
                        self.mark(row);
                    }
                    None => return Handled::No,
                }
                Handled::Yes
            }
            ScreenMouse::Drag(_) | ScreenMouse::Release(_) => Handled::No,
        }
    }

    fn with_table<R>(&self, f: impl FnOnce(&RunsTable<'_>) -> R) -> R {
        f(&RunsTable {
            runs: self.all(),
            shown: &self.shown,
            cursor: self.cursor,
            marked: &self.marked,
            sort: self.sort,
            now: self.read,
        })
    }

    /// Rows that the filter takes below the table.
    fn filter_rows(&self) -> u16 {
        match (&self.typing, &self.problem) {
            (Some(_), Some(_)) => 4,
            (Some(_), None) => 1,
            (None, _) if !self.filter_text.is_empty() => 1,
            _ => 0,
        }
    }

    fn inside(list: Rect) -> Rect {
        Rect {
            x: (list.x + 1).min(list.right()),
            y: (list.y + 1).min(list.bottom()),
            width: list.width.saturating_sub(2),
            height: list.height.saturating_sub(2),
        }
    }

    fn table_area(&self, area: Rect) -> Rect {
        let places = places(area);
        let inner = Self::inside(places.list);
        let below = self.left_out(inner.width).len() as u16 + self.filter_rows() + places.line;
        Rect {
            height: inner.height.saturating_sub(below),
            ..inner
        }
    }

    fn pin(&mut self, requests: &mut Vec<RunsRequest>) {
        let Some(run) = self.selected_entry() else {
            return;
        };
        let (dir, name) = (run.summary.dir.clone(), run.summary.name.clone());
        let text = match self.pinned.as_ref() == Some(&dir) {
            true => {
                self.pinned = None;
                format!("{name} is no longer pinned")
            }
            false => {
                self.pinned = Some(dir);
                match self.pinned().is_some() {
                    true => format!(
                        "{name} is pinned: its best validation loss is a line on the loss of a run"
                    ),
                    false => format!("{name} is pinned, and has no validation loss to show yet"),
                }
            }
        };
        requests.push(RunsRequest::Notice(NoticeLevel::Info, text));
    }

    /// What is said below the table of folders that are not in it: two lines of a terminal at most.
    fn left_out(&self, width: u16) -> Vec<String> {
        let Some(Ok(listing)) = &self.runs else {
            return Vec::new();
        };
        let text = match &listing.left_out[..] {
            [] => return Vec::new(),
            [one] => format!("left out: {one}"),
            [first, more @ ..] => format!("left out: {first} (and {} more)", more.len()),
        };
        let mut lines = wrap(&text, width.into());
        lines.truncate(2);
        lines
    }

    fn title(&self, theme: &Theme) -> String {
        let (all, shown) = (self.all().len(), self.shown.len());
        let mut title = match (all, shown == all) {
            (0, _) => return "Runs".to_string(),
            (_, true) => format!("Runs: {all}"),
            (_, false) => format!("Runs: {shown} of {all}"),
        };
        let arrow = match self.sort.descending {
            true => theme.symbols.down,
            false => theme.symbols.up,
        };
        title.push_str(&format!(", by {} {arrow}", self.sort.key.name()));
        if self.tree {
            title.push_str(", as a tree");
        }
        if !self.marked.is_empty() {
            title.push_str(&format!(", {} marked", self.marked.len()));
        }
        if let Some(run) = self.pinned.as_deref().and_then(|dir| self.find(dir)) {
            title.push_str(&format!(", {} pinned", run.summary.name));
        }
        title
    }

    pub(super) fn render_list(&self, theme: &Theme, area: Rect, buffer: &mut Buffer) {
        let places = places(area);
        let inner = pane(theme, &self.title(theme), 1, true, places.list, buffer);
        let say = |text: &str, style, buffer: &mut Buffer| {
            for (row, line) in wrap(text, inner.width.into()).into_iter().enumerate() {
                write(buffer, inner, row as u16, &line, style);
            }
        };
        if let Some(detail) = places.detail {
            self.render_detail(theme, detail, buffer);
        }
        match &self.runs {
            None => {
                let text = format!("reading the runs folder{}", theme.symbols.ellipsis);
                return say(&text, theme.dim, buffer);
            }
            Some(Err(message)) => return say(message, theme.error, buffer),
            Some(Ok(listing)) if listing.runs.is_empty() && listing.left_out.is_empty() => {
                let text =
                    "No runs yet. Go home, pick a model and press Enter: its run will stand here.";
                return say(text, theme.dim, buffer);
            }
            Some(Ok(_)) => {}
        }
        let table = self.table_area(area);
        if self.all().is_empty() {
            say("No run here can be read.", theme.dim, buffer);
        } else if self.shown.is_empty() {
            say(
                "No run fits the filter; Esc takes it away.",
                theme.dim,
                buffer,
            );
        } else if theme.symbols.unicode {
            self.with_table(|it| it.render(theme, table, buffer));
        } else {
            let shown: Vec<(usize, String)> = self
                .shown
                .iter()
                .map(|(at, before)| (*at, plain_twigs(before)))
                .collect();
            self.with_table(|it| {
                let plain = RunsTable {
                    shown: &shown,
                    ..*it
                };
                plain.render(theme, table, buffer);
            });
        }
        let mut bottom = table.bottom();
        for line in self.left_out(inner.width) {
            if bottom < inner.bottom() {
                write(buffer, inner, bottom - inner.y, &line, theme.warning);
                bottom += 1;
            }
        }
        let filter = Rect {
            y: bottom,
            height: self
                .filter_rows()
                .min(inner.bottom().saturating_sub(bottom)),
            ..inner
        };
        self.render_filter(theme, filter, buffer);
        let line = Rect {
            y: filter.bottom(),
            height: inner.bottom().saturating_sub(filter.bottom()),
            ..inner
        };
        if places.line > 0 {
            self.render_detail_lines(theme, line, buffer);
        }
    }

    fn render_filter(&self, theme: &Theme, area: Rect, buffer: &mut Buffer) {
        if area.is_empty() {
            return;
        }
        write(buffer, area, 0, "/", theme.key);
        let field = Rect {
            x: (area.x + 2).min(area.right()),
            width: area.width.saturating_sub(2),
            height: 1,
            ..area
        };
        let Some(typing) = &self.typing else {
            let style = match self.problem {
                Some(_) => theme.error,
                None => theme.info,
            };
            return write(buffer, field, 0, &self.filter_text, style);
        };
        typing
            .input
            .render(theme.input, theme.cursor, field, buffer);
        if let Some(problem) = &self.problem {
            let below = Rect {
                y: area.y + 1,
                height: area.height.saturating_sub(1),
                ..field
            };
            let before = " ".repeat(problem.at.min(field.width.saturating_sub(1).into()));
            write(buffer, below, 0, &format!("{before}^"), theme.error);
            for (row, line) in wrap(&problem.message, below.width.into())
                .into_iter()
                .enumerate()
            {
                write(buffer, below, row as u16 + 1, &line, theme.error);
            }
        }
    }
}
