//! The runs on disk, newest first. Enter goes on with one.
//!
//! Sorting, tags, comparing and deleting come with the full screen; this one only reads.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::run::RunSummary;
use crate::ui::format;
use crate::ui::help::PaneHelp;
use crate::ui::keymap::Action;
use crate::ui::layout::{pane, wrap, write};
use crate::ui::panes::Handled;
use crate::ui::screens::ScreenMouse;
use crate::ui::theme::Theme;
use crate::ui::widgets::table::{Column, Table};

#[derive(Debug, Default)]
pub struct RunsScreen {
    /// `None` until the folder was read.
    runs: Option<Result<Vec<RunSummary>, String>>,
    /// Seconds since 1970 when it was read.
    read: u64,
    cursor: usize,
}

const COLUMNS: &[Column] = &[
    Column {
        title: "run",
        width: 0,
        right: false,
        importance: 9,
    },
    Column {
        title: "model",
        width: 14,
        right: false,
        importance: 4,
    },
    Column {
        title: "corpus",
        width: 12,
        right: false,
        importance: 2,
    },
    Column {
        title: "status",
        width: 11,
        right: false,
        importance: 8,
    },
    Column {
        title: "step",
        width: 15,
        right: true,
        importance: 7,
    },
    Column {
        title: "val loss",
        width: 9,
        right: true,
        importance: 6,
    },
    Column {
        title: "bits/byte",
        width: 9,
        right: true,
        importance: 3,
    },
    Column {
        title: "parameters",
        width: 10,
        right: true,
        importance: 1,
    },
    Column {
        title: "changed",
        width: 12,
        right: true,
        importance: 5,
    },
];

impl RunsScreen {
    pub fn set_runs(&mut self, runs: Result<Vec<RunSummary>, String>, now: u64) {
        self.runs = Some(runs);
        self.read = now;
        self.cursor = self.cursor.min(self.all().len().saturating_sub(1));
    }

    fn all(&self) -> &[RunSummary] {
        match &self.runs {
            Some(Ok(runs)) => runs,
            _ => &[],
        }
    }

    pub fn selected(&self) -> Option<&RunSummary> {
        self.all().get(self.cursor)
    }

    pub fn help(&self) -> PaneHelp {
        PaneHelp {
            title: "Runs",
            text: "Every run in the runs folder, newest first, with its last validation loss in nats per token. \
                   Losses of models with different tokenizers compare only in bits per byte.",
        }
    }

    pub fn act(&mut self, action: Action) -> Handled {
        let last = self.all().len().saturating_sub(1);
        self.cursor = match action {
            Action::Up => self.cursor.saturating_sub(1),
            Action::Down => (self.cursor + 1).min(last),
            Action::PageUp => self.cursor.saturating_sub(10),
            Action::PageDown => (self.cursor + 10).min(last),
            Action::Top => 0,
            Action::Bottom => last,
            _ => return Handled::No,
        };
        Handled::Yes
    }

    pub fn mouse(&mut self, mouse: ScreenMouse, area: Rect) -> Handled {
        match mouse {
            ScreenMouse::Wheel { lines, .. } if lines < 0 => self.act(Action::Up),
            ScreenMouse::Wheel { .. } => self.act(Action::Down),
            ScreenMouse::Click(at) => {
                let rows = vec![Vec::new(); self.all().len()];
                let table = self.table(&rows);
                let line = at.y.checked_sub(area.y + 1);
                let height = area.height.saturating_sub(2);
                match line.and_then(|line| table.row_at(line, height)) {
                    Some(row) => {
                        self.cursor = row;
                        Handled::Yes
                    }
                    None => Handled::No,
                }
            }
            ScreenMouse::Drag(_) | ScreenMouse::Release(_) => Handled::No,
        }
    }

    fn table<'a>(&self, rows: &'a [Vec<String>]) -> Table<'a> {
        Table {
            columns: COLUMNS,
            rows,
            cursor: self.cursor,
            focused: true,
        }
    }

    pub fn render(&self, theme: &Theme, area: Rect, buffer: &mut Buffer) {
        if area.is_empty() {
            return;
        }
        let title = match self.all().len() {
            0 => "Runs".to_string(),
            n => format!("Runs: {n}"),
        };
        let inner = pane(theme, &title, 1, true, area, buffer);
        let say = |text: &str, style, buffer: &mut Buffer| {
            for (row, line) in wrap(text, inner.width.into()).into_iter().enumerate() {
                write(buffer, inner, row as u16, &line, style);
            }
        };
        match &self.runs {
            None => say(
                &format!("reading the runs folder{}", theme.symbols.ellipsis),
                theme.dim,
                buffer,
            ),
            Some(Err(message)) => say(message, theme.error, buffer),
            Some(Ok(runs)) if runs.is_empty() => {
                say(
                    "No runs yet. Go home, pick a model and press Enter: its run will stand here.",
                    theme.dim,
                    buffer,
                );
            }
            Some(Ok(runs)) => {
                let rows: Vec<Vec<String>> = runs.iter().map(|run| cells(run, self.read)).collect();
                self.table(&rows).render(theme, inner, buffer);
            }
        }
    }
}

fn cells(run: &RunSummary, now: u64) -> Vec<String> {
    let number = |value: Option<f64>| value.map_or("-".to_string(), |v| format!("{v:.3}"));
    vec![
        run.name.clone(),
        run.model.key().to_string(),
        run.corpus.clone(),
        run.status.label().to_string(),
        format!(
            "{}/{}",
            format::grouped(run.step),
            format::grouped(run.total_steps)
        ),
        number(run.val_loss),
        number(run.bits_per_byte),
        format::count(run.parameters),
        format::ago(now.saturating_sub(run.updated)),
    ]
}
