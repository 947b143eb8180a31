//! The table of runs: which columns fit, what stands in them, and what a click hits.
//!
//! ```text
//!     run               status        step           val loss bits/byte age    tags
//! ▸●  gpt-stories-002   running 4711  1 200/2 000       1.913     2.512 now    baseline
//!     └ gpt-stories-003 stopped       700/2 000         2.013     2.712 3 h
//! ```

use std::path::PathBuf;
use std::sync::Arc;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use crate::run::{Key, RunColumn, RunEntry, RunStatus, SortBy};
use crate::ui::format;
use crate::ui::layout::{fit, fit_end, scroll_offset, write, write_line};
use crate::ui::theme::Theme;

/// One column of the table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub of: RunColumn,
    title: &'static str,
    /// Cells; 0 takes what is left.
    width: u16,
    right: bool,
    /// Columns with a higher number are given room first.
    importance: u8,
}

const fn column(
    of: RunColumn,
    title: &'static str,
    width: u16,
    right: bool,
    importance: u8,
) -> Column {
    Column {
        of,
        title,
        width,
        right,
        importance,
    }
}

/// From left to right.
pub const COLUMNS: &[Column] = &[
    column(RunColumn::Name, "run", 0, false, 100),
    column(RunColumn::Status, "status", 13, false, 90),
    column(RunColumn::Model, "model", 14, false, 48),
    column(RunColumn::Corpus, "corpus", 12, false, 30),
    column(RunColumn::Tokenizer, "tokens", 7, false, 20),
    column(RunColumn::Parameters, "params", 8, true, 35),
    column(RunColumn::Step, "step", 15, true, 80),
    column(RunColumn::ValLoss, "val loss", 9, true, 75),
    column(RunColumn::BestValLoss, "best", 7, true, 50),
    column(RunColumn::BitsPerByte, "bits/byte", 9, true, 70),
    column(RunColumn::Duration, "time", 9, true, 25),
    column(RunColumn::Age, "age", 6, true, 60),
    column(RunColumn::Tags, "tags", 16, false, 45),
    column(RunColumn::Note, "note", 5, false, 40),
];

/// The least of the column with the name, and the most.
const NAME: u16 = 16;
/// Names up to this length, such as those that most runs are given by themselves (`char-rnn-stories-001`), are not cut for another column.
const USUAL_NAME: u16 = 24;
const LONGEST_NAME: u16 = 46;
/// Columns of at least this importance come before a long name.
const NEEDED: u8 = 60;
/// The cursor and the mark.
const MARGIN: u16 = 4;

/// What the table is drawn from.
#[derive(Debug, Clone, Copy)]
pub struct RunsTable<'a> {
    pub runs: &'a [Arc<RunEntry>],
    /// Indices of the runs shown, each with what stands before its name.
    pub shown: &'a [(usize, String)],
    pub cursor: usize,
    /// Folders.
    pub marked: &'a [PathBuf],
    pub sort: SortBy,
    pub now: u64,
}

/// What the columns need for what stands in them.
#[derive(Debug, Clone, Copy)]
struct Needs {
    /// The longest name, with what stands before it.
    name: u16,
    status: u16,
    step: u16,
}

/// The columns that fit into this width, with theirs, from left to right. Before a column of less importance than these comes, names
/// are given the room that they need.
fn fitting(width: u16, needs: Needs) -> Vec<(usize, u16)> {
    let own = |at: usize| match COLUMNS[at].of {
        RunColumn::Status => needs.status,
        RunColumn::Step => needs.step,
        _ => COLUMNS[at].width,
    };
    let mut by_importance: Vec<usize> = (0..COLUMNS.len()).collect();
    by_importance.sort_by_key(|at| std::cmp::Reverse(COLUMNS[*at].importance));
    let room = width.saturating_sub(MARGIN);
    let mut used = 0;
    let least = needs.name.clamp(NAME, USUAL_NAME);
    let mut name = least;
    let mut kept: Vec<usize> = Vec::new();
    for at in by_importance {
        if COLUMNS[at].importance < NEEDED && name == least {
            let wanted = needs.name.clamp(least, LONGEST_NAME) - least;
            let more = wanted.min(room.saturating_sub(used));
            name += more;
            used += more;
        }
        let needed = match own(at) {
            0 => least,
            width => width,
        } + 1;
        if used + needed <= room || kept.is_empty() {
            used += needed;
            kept.push(at);
        }
    }
    kept.sort_unstable();
    // Names are not made longer than they help.
    let spare = room.saturating_sub(used).min(LONGEST_NAME - name);
    kept.into_iter()
        .map(|at| match own(at) {
            0 => (at, (name + spare).min(room)),
            width => (at, width),
        })
        .collect()
}

/// Cells of [`format::grouped`].
fn grouped_width(n: u64) -> u16 {
    let digits = n.checked_ilog10().unwrap_or(0) as u16 + 1;
    digits + (digits - 1) / 3
}

/// What a click hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hit {
    Heading(RunColumn),
    Row(usize),
    /// The place of the mark, left of the row.
    Mark(usize),
}

impl RunsTable<'_> {
    fn fitting(&self, width: u16) -> Vec<(usize, u16)> {
        let cells = |text: &str| u16::try_from(text.width()).unwrap_or(u16::MAX);
        // Room for the headings with the arrow of the order.
        let mut needs = Needs {
            name: 0,
            status: 8,
            step: 7,
        };
        for (at, before) in self.shown {
            let Some(run) = self.runs.get(*at) else {
                continue;
            };
            let it = &run.summary;
            needs.name = needs
                .name
                .max(cells(&it.name).saturating_add(cells(before)));
            let process = run
                .process
                .map_or(0, |process| process.to_string().len() as u16 + 1);
            needs.status = needs.status.max(cells(it.status.label()) + process);
            // As wide as at the last step, so that the columns stay where they are.
            let most = grouped_width(it.step.max(it.total_steps));
            needs.step = needs.step.max(most + 1 + grouped_width(it.total_steps));
        }
        fitting(width, needs)
    }

    fn offset(&self, area: Rect) -> usize {
        let body = usize::from(area.height.saturating_sub(1));
        scroll_offset(self.cursor, self.shown.len(), body)
    }

    pub fn hit(&self, area: Rect, x: u16, y: u16) -> Option<Hit> {
        if x < area.x || y < area.y || x >= area.right() || y >= area.bottom() {
            return None;
        }
        if y == area.y {
            let mut left = area.x + MARGIN;
            for (at, width) in self.fitting(area.width) {
                if (left..left + width + 1).contains(&x) {
                    return Some(Hit::Heading(COLUMNS[at].of));
                }
                left += width + 1;
            }
            return None;
        }
        let row = self.offset(area) + usize::from(y - area.y - 1);
        if row >= self.shown.len() {
            return None;
        }
        Some(match x < area.x + MARGIN {
            true => Hit::Mark(row),
            false => Hit::Row(row),
        })
    }

    pub fn render(&self, theme: &Theme, area: Rect, buffer: &mut Buffer) {
        if area.is_empty() {
            return;
        }
        let columns = self.fitting(area.width);
        let mut heading = " ".repeat(MARGIN.into());
        for (at, width) in &columns {
            let column = &COLUMNS[*at];
            let arrow = match (
                self.sort.key == Key::Column(column.of),
                self.sort.descending,
            ) {
                (false, _) => "",
                (true, false) => theme.symbols.up,
                (true, true) => theme.symbols.down,
            };
            let room = usize::from(*width).saturating_sub(arrow.width());
            let title = format!("{}{arrow}", fit(column.title, room, ""));
            heading.push_str(&placed(&title, *width, column.right, theme));
            heading.push(' ');
        }
        write(buffer, area, 0, &heading, theme.dim);
        let body = usize::from(area.height.saturating_sub(1));
        let offset = self.offset(area);
        for (row, (run, before)) in self.shown.iter().enumerate().skip(offset).take(body) {
            let Some(run) = self.runs.get(*run) else {
                continue;
            };
            let here = row == self.cursor;
            let base = if here { theme.selected } else { theme.text };
            let cursor = if here { theme.symbols.cursor } else { " " };
            let marked = self.marked.contains(&run.summary.dir);
            let mark = if marked { theme.symbols.bullet } else { " " };
            let mark_style = if marked { theme.info.patch(base) } else { base };
            let mut spans = vec![
                Span::styled(cursor.to_string(), base),
                Span::styled(format!("{mark}  "), mark_style),
            ];
            for (at, width) in &columns {
                let column = &COLUMNS[*at];
                let (mut text, style) = self.cell(column.of, run, theme);
                if column.of == RunColumn::Name {
                    // The end tells the trials of a sweep apart.
                    let room = usize::from(*width).saturating_sub(before.width());
                    let name = fit_end(&text, room, theme.symbols.ellipsis);
                    text = format!("{before}{name}");
                }
                let style = if here { base } else { style };
                let text = placed(&text, *width, column.right, theme);
                spans.push(Span::styled(format!("{text} "), style));
            }
            let line = Line::from(spans);
            write_line(buffer, area, (row - offset + 1) as u16, &line);
        }
    }

    fn cell(&self, column: RunColumn, run: &RunEntry, theme: &Theme) -> (String, Style) {
        let it = &run.summary;
        let number = |value: Option<f64>| value.map_or("-".to_string(), |v| format!("{v:.3}"));
        let text = match column {
            RunColumn::Name => it.name.clone(),
            RunColumn::Status => {
                let text = match run.process {
                    Some(process) => format!("{} {process}", it.status.label()),
                    None => it.status.label().to_string(),
                };
                return (text, status_style(it.status, theme));
            }
            RunColumn::Model => it.model.key().to_string(),
            RunColumn::Corpus => it.corpus.clone(),
            RunColumn::Tokenizer => run.tokenizer.clone().unwrap_or_else(|| "-".into()),
            RunColumn::Parameters if it.parameters == 0 => "-".to_string(),
            RunColumn::Parameters => format::count(it.parameters),
            RunColumn::Step => format!(
                "{}/{}",
                format::grouped(it.step),
                format::grouped(it.total_steps)
            ),
            RunColumn::ValLoss => number(it.val_loss),
            RunColumn::BestValLoss => number(it.best_val_loss),
            RunColumn::BitsPerByte => number(it.bits_per_byte),
            RunColumn::Duration => format::duration(it.seconds),
            RunColumn::Age => short_age(self.now.saturating_sub(it.updated)),
            RunColumn::Tags => return (run.notes.tags.join(" "), theme.info),
            RunColumn::Note => match (run.notes.note.is_empty(), &run.trouble) {
                (_, Some(_)) => return (theme.symbols.warning.to_string(), theme.warning),
                (false, None) => theme.symbols.check.to_string(),
                (true, None) => String::new(),
            },
            RunColumn::TotalSteps
            | RunColumn::TrainLoss
            | RunColumn::BestStep
            | RunColumn::Created
            | RunColumn::Device
            | RunColumn::Parent
            | RunColumn::Process => String::new(),
        };
        (text, theme.text)
    }
}

pub fn status_style(status: RunStatus, theme: &Theme) -> Style {
    match status {
        RunStatus::Running => theme.good,
        RunStatus::Failed | RunStatus::Diverged => theme.error,
        RunStatus::Interrupted => theme.warning,
        RunStatus::Finished | RunStatus::Stopped => theme.text,
    }
}

/// `now`, `5 min`, `3 h`, `12 d`.
fn short_age(seconds: u64) -> String {
    let text = format::ago(seconds);
    match text.strip_suffix(" ago") {
        Some(short) => short.to_string(),
        None => "now".to_string(),
    }
}

/// Cut and filled to the width.
fn placed(text: &str, width: u16, right: bool, theme: &Theme) -> String {
    let cell = fit(text, width.into(), theme.symbols.ellipsis);
    let pad = " ".repeat(usize::from(width).saturating_sub(cell.width()));
    match right {
        true => format!("{pad}{cell}"),
        false => format!("{cell}{pad}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_shed_in_a_set_order() {
        let needs = Needs {
            name: 12,
            status: 13,
            step: 15,
        };
        let shown = |width: u16| -> Vec<&str> {
            let columns = fitting(width, needs);
            let used: u16 = columns.iter().map(|(_, width)| width + 1).sum();
            assert!(used + MARGIN <= width || columns.len() == 1, "{width}");
            columns.iter().map(|(at, _)| COLUMNS[*at].title).collect()
        };
        assert_eq!(
            shown(78),
            ["run", "status", "step", "val loss", "bits/byte", "age"]
        );
        assert_eq!(
            shown(120),
            [
                "run",
                "status",
                "model",
                "step",
                "val loss",
                "best",
                "bits/byte",
                "age",
                "tags"
            ]
        );
        assert_eq!(shown(200).len(), COLUMNS.len());
        assert_eq!(shown(38), ["run", "status"]);
        assert_eq!(shown(0), ["run"]);
        // A wider table never shows less of what matters most.
        for width in 30..200 {
            assert!(shown(width).len() <= shown(width + 1).len() + 1, "{width}");
        }
    }

    #[test]
    fn long_names_are_given_room_before_columns_of_less_importance() {
        let needs = Needs {
            name: 28,
            status: 8,
            step: 11,
        };
        let names = |width: u16| {
            let columns = fitting(width, needs);
            let titles: Vec<&str> = columns.iter().map(|(at, _)| COLUMNS[*at].title).collect();
            (columns[0].1, titles)
        };
        let (name, titles) = names(78);
        assert_eq!(name, 25);
        assert_eq!(
            titles,
            ["run", "status", "step", "val loss", "bits/byte", "age"]
        );
        let (name, titles) = names(152);
        assert!(name >= 28 && titles.contains(&"tags"), "{name} {titles:?}");
    }

    #[test]
    fn the_width_of_a_grouped_number_is_known_without_writing_it() {
        for n in [0, 9, 10, 999, 1_000, 99_999, 100_000, 1_000_000, u64::MAX] {
            assert_eq!(usize::from(grouped_width(n)), format::grouped(n).width());
        }
    }
}
