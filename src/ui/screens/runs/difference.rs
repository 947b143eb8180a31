//! What differs between runs: keys of the configuration, then what was changed while they went on; one column a run.
//!
//! ```text
//! ┌ Difference of 3 runs: 4 keys, 61 the same ────────────────────────┐
//! │ key                      gpt-001        gpt-002        rnn-001    │
//! │ model.kind               gpt            gpt            char-rnn   │
//! │ optimizer.learning_rate  1e-3           2e-3           2e-3       │
//! │ edits                                                             │
//! │ step 120                 gpt-001: learning rate × 0.5             │
//! └───────────────────────────────────────────────────────────────────┘
//! ```

use std::sync::Arc;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use crate::protocol::EditAuthor;
use crate::run::{Compared, RunEntry};
use crate::ui::format;
use crate::ui::keymap::Action;
use crate::ui::layout::{fit, fit_end, pane, wrap, write, write_line};
use crate::ui::panes::{Handled, Scroll};
use crate::ui::theme::Theme;
use crate::words::counted;

/// A column is at least so wide; more runs than fit are reached with the arrows.
const LEAST: usize = 14;

/// And at most so wide, unless a name needs more.
const WIDE: usize = 40;

#[derive(Debug)]
pub(super) struct DifferenceView {
    pub runs: Vec<Arc<RunEntry>>,
    /// `None` until the edits were read.
    pub compared: Option<Result<Compared, String>>,
    top: Scroll,
    /// The first run shown.
    left: usize,
}

/// A row: what stands at its left, and a cell a run.
struct Row {
    head: String,
    cells: Vec<String>,
    /// In place of the cells, over all columns.
    text: Option<String>,
    heading: bool,
}

impl DifferenceView {
    pub fn new(runs: Vec<Arc<RunEntry>>) -> Self {
        DifferenceView {
            runs,
            compared: None,
            top: Scroll::default(),
            left: 0,
        }
    }

    pub fn act(&mut self, action: Action) -> Handled {
        match action {
            Action::Left => self.left = self.left.saturating_sub(1),
            Action::Right => self.left = (self.left + 1).min(self.runs.len().saturating_sub(1)),
            _ => return self.top.act(action, self.rows().len(), false),
        }
        Handled::Yes
    }

    fn rows(&self) -> Vec<Row> {
        let Some(Ok(compared)) = &self.compared else {
            return Vec::new();
        };
        let row = |head: &str, cells: Vec<String>| Row {
            head: head.to_string(),
            cells,
            text: None,
            heading: false,
        };
        let heading = |head: &str| Row {
            head: head.to_string(),
            cells: Vec::new(),
            text: None,
            heading: true,
        };
        let each = |f: &dyn Fn(&RunEntry) -> String| self.runs.iter().map(|run| f(run)).collect();
        let mut rows = vec![
            row(
                "status",
                each(&|run| run.summary.status.label().to_string()),
            ),
            row("step", each(&|run| format::grouped(run.summary.step))),
            row(
                "best validation loss",
                each(&|run| number(run.summary.best_val_loss)),
            ),
            row(
                "bits per byte",
                each(&|run| number(run.summary.bits_per_byte)),
            ),
            row(
                "parameters",
                each(&|run| format::count(run.summary.parameters)),
            ),
        ];
        if self.runs.iter().any(|run| run.parent.is_some()) {
            rows.push(row(
                "from",
                each(&|run| match &run.parent {
                    Some(parent) => {
                        let name = parent.run.rsplit('/').next().unwrap_or(&parent.run);
                        format!("{name} @{}", parent.step)
                    }
                    None => String::new(),
                }),
            ));
        }
        rows.push(heading("configuration"));
        if compared.keys.is_empty() {
            rows.push(row("no key differs", Vec::new()));
        }
        for (key, values) in &compared.keys {
            let cells = values
                .iter()
                .map(|value| value.clone().unwrap_or_else(|| "-".into()));
            rows.push(row(key, cells.collect()));
        }
        rows.push(heading("changed while they went on"));
        if compared.edits.is_empty() {
            rows.push(row("nothing", Vec::new()));
        }
        for edit in &compared.edits {
            let by = match edit.by {
                EditAuthor::User => "",
                EditAuthor::Policy => " (by train.on_spike)",
                EditAuthor::Start => " (at the start)",
                EditAuthor::Replay => " (replayed)",
            };
            let run = self.runs.get(edit.run);
            let name = run.map_or("", |run| &run.summary.name);
            rows.push(Row {
                text: Some(format!("{name}: {}{by}", edit.text)),
                ..row(&format!("step {}", format::grouped(edit.step)), Vec::new())
            });
        }
        rows
    }

    pub fn render(&self, theme: &Theme, area: Rect, buffer: &mut Buffer) {
        let title = match &self.compared {
            Some(Ok(compared)) => format!(
                "Difference of {} runs: {} {}, {} the same",
                self.runs.len(),
                counted(compared.keys.len(), "key"),
                match compared.keys.len() {
                    1 => "differs",
                    _ => "differ",
                },
                match compared.same {
                    1 => "1 is".to_string(),
                    same => format!("{same} are"),
                }
            ),
            _ => format!("Difference of {} runs", self.runs.len()),
        };
        let inner = pane(theme, &title, 1, true, area, buffer);
        match &self.compared {
            None => {
                let text = format!("reading{}", theme.symbols.ellipsis);
                return write(buffer, inner, 0, &text, theme.dim);
            }
            Some(Err(problem)) => {
                for (row, line) in wrap(problem, inner.width.into()).into_iter().enumerate() {
                    write(buffer, inner, row as u16, &line, theme.error);
                }
                return;
            }
            Some(Ok(_)) => {}
        }
        let rows = self.rows();
        let widest = rows
            .iter()
            .filter(|row| !row.heading)
            .map(|row| row.head.width());
        let width = usize::from(inner.width);
        let head = widest.max().unwrap_or(0).clamp(8, (width / 3).max(8)) + 2;
        let room = width.saturating_sub(head);
        let fits = (room / LEAST).max(1);
        let left = self.left.min(self.runs.len().saturating_sub(fits));
        let shown = self.runs.len().saturating_sub(left).min(fits).max(1);
        let named = self.runs.iter().map(|run| run.summary.name.width() + 2);
        let column = (room / shown).min(named.max().unwrap_or(0).max(WIDE));
        let place = |text: &str, width: usize| {
            let cell = fit(text, width.saturating_sub(1), theme.symbols.ellipsis);
            format!("{cell}{}", " ".repeat(width.saturating_sub(cell.width())))
        };
        let mut names = match left {
            0 => " ".repeat(head),
            _ => format!("{:>1$} ", theme.symbols.left, head - 1),
        };
        for run in self.runs.iter().skip(left).take(shown) {
            // Names of runs differ at their ends.
            let room = column.saturating_sub(1);
            let name = fit_end(&run.summary.name, room, theme.symbols.ellipsis);
            names.push_str(&place(&name, column));
        }
        if left + shown < self.runs.len() {
            names.push_str(theme.symbols.right);
        }
        write(buffer, inner, 0, &names, theme.heading);
        let height = usize::from(inner.height.saturating_sub(1));
        let window = self.top.window(rows.len(), height, false);
        for (at, row) in rows[window].iter().enumerate() {
            let at = at as u16 + 1;
            if row.heading {
                write(buffer, inner, at, &row.head, theme.heading);
                continue;
            }
            let mut spans = vec![Span::styled(place(&row.head, head), theme.dim)];
            if let Some(text) = &row.text {
                let text = fit(text, room, theme.symbols.ellipsis);
                spans.push(Span::styled(text, theme.changed));
            }
            let first = row.cells.first();
            for cell in row.cells.iter().skip(left).take(shown) {
                // What is not as in the first run stands out.
                let style = match Some(cell) == first {
                    true => theme.text,
                    false => theme.changed,
                };
                spans.push(Span::styled(place(cell, column), style));
            }
            write_line(buffer, inner, at, &Line::from(spans));
        }
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or("-".to_string(), |value| format!("{value:.4}"))
}
