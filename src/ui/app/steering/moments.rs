//! A list of checkpoints to go back to, or to fork.

use ratatui::buffer::Buffer;
use ratatui::widgets::{Clear, Widget};

use super::*;
use crate::ui::format;
use crate::ui::layout::{centered, pane, write};
use crate::ui::series::XAxis;
use crate::ui::widgets::chart::short;
use crate::ui::widgets::table::{Column, Table};

/// Why the checkpoints of a run are asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Purpose {
    Rewind,
    RewindTo(u64),
    Fork,
    Undo,
    /// The loss went wrong; the sentence says how.
    Spike {
        words: String,
    },
}

/// A checkpoint, as it is chosen.
#[derive(Debug, Clone)]
pub struct Moment {
    pub name: String,
    pub step: u64,
    pub reason: CheckpointReason,
    /// On a branch that the run has left.
    pub left: bool,
    pub config: RunConfig,
    cells: Vec<String>,
}

impl Moment {
    pub fn new(view: &RunView, found: Found) -> Self {
        let Found { entry, config } = found;
        let mut why = match entry.reason {
            CheckpointReason::Cadence => "on schedule",
            CheckpointReason::Best => "best so far",
            CheckpointReason::User => "saved by you",
            CheckpointReason::Stop => "at a stop",
            CheckpointReason::Edit => "before an edit",
            CheckpointReason::Start => "beginning",
        }
        .to_string();
        if entry.best && entry.reason != CheckpointReason::Best {
            why.push_str(", best");
        }
        let left = entry.left;
        if left {
            why.insert_str(0, "left: ");
        }
        let trained = || {
            let series = &view.series;
            let at = series.index_at(XAxis::Step, entry.step as f64);
            let report = series.report(at).filter(|report| report.step == entry.step);
            let report = report.filter(|_| !entry.left)?;
            Some(format!("train {}", short(report.loss)))
        };
        let loss = match entry.val_loss {
            Some(loss) => format!("{loss:.4}"),
            None => trained().unwrap_or_else(|| "-".to_string()),
        };
        let sample = view
            .samples
            .iter()
            .rev()
            .find(|sample| !left && sample.record.step <= entry.step)
            .map(|sample| {
                // Without the prompt, which is the same everywhere.
                let mut lines = sample.record.text.lines().map(str::trim);
                let line = lines.find(|line| !line.is_empty());
                line.unwrap_or("").to_string()
            });
        let config = config.map_or_else(|| view.as_of(entry.step).0, |config| *config);
        let cells = vec![
            format::grouped(entry.step),
            loss,
            why,
            format::bytes(entry.bytes),
            sample.unwrap_or_default(),
        ];
        Self {
            name: entry.name(),
            step: entry.step,
            reason: entry.reason,
            left,
            config,
            cells,
        }
    }
}

const COLUMNS: &[Column] = &[
    Column {
        title: "step",
        width: 10,
        right: true,
        importance: 9,
    },
    Column {
        title: "val loss",
        width: 11,
        right: true,
        importance: 8,
    },
    Column {
        title: "why",
        width: 26,
        right: false,
        importance: 7,
    },
    Column {
        title: "size",
        width: 8,
        right: true,
        importance: 4,
    },
    Column {
        title: "what it wrote",
        width: 0,
        right: false,
        importance: 5,
    },
];

/// The list while it is open, newest first.
#[derive(Debug)]
pub struct Moments {
    pub forks: bool,
    /// `None` stands for now: the run is saved first.
    rows: Vec<Option<Moment>>,
    cells: Vec<Vec<String>>,
    pub cursor: usize,
}

impl Moments {
    /// `from_now`: a fork can begin from what is saved first.
    pub fn new(forks: bool, from_now: bool, step: u64, found: Vec<Moment>) -> Self {
        let mut rows: Vec<Option<Moment>> = Vec::new();
        if forks && from_now {
            rows.push(None);
        }
        rows.extend(found.into_iter().map(Some));
        let cells = rows.iter().map(|row| match row {
            Some(moment) => moment.cells.clone(),
            None => vec![
                format::grouped(step),
                "-".into(),
                "now; saved first".into(),
                "-".into(),
                String::new(),
            ],
        });
        Self {
            cells: cells.collect(),
            forks,
            rows,
            cursor: 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub fn step(&mut self, by: isize) {
        let last = self.rows.len().saturating_sub(1);
        self.cursor = self.cursor.saturating_add_signed(by).min(last);
    }

    /// Moves the mark. `screen` is what a page is measured by.
    pub fn act(&mut self, action: Action, screen: Rect) -> Handled {
        let page = usize::from(self.area(screen).height.saturating_sub(6)).max(1) as isize;
        match action {
            Action::Up => self.step(-1),
            Action::Down => self.step(1),
            Action::PageUp => self.step(-page),
            Action::PageDown => self.step(page),
            Action::Top => self.step(isize::MIN),
            Action::Bottom => self.step(isize::MAX),
            _ => return Handled::No,
        }
        Handled::Yes
    }

    /// What is marked: `Some(None)` is now.
    pub fn take(mut self) -> Option<Option<Moment>> {
        (self.cursor < self.rows.len()).then(|| self.rows.swap_remove(self.cursor))
    }

    fn area(&self, screen: Rect) -> Rect {
        let height = u16::try_from(self.rows.len() + 5).unwrap_or(u16::MAX);
        centered(screen, 110, height.min(24))
    }

    fn table(&self) -> Table<'_> {
        Table {
            columns: COLUMNS,
            rows: &self.cells,
            cursor: self.cursor,
            focused: true,
        }
    }

    pub fn row_at(&self, at: Position, screen: Rect) -> Option<usize> {
        let area = self.area(screen);
        let line = at.y.checked_sub(area.y + 1)?;
        let inside = area.contains(at) && area.height > 4;
        self.table()
            .row_at(line, area.height.saturating_sub(4))
            .filter(|_| inside)
    }

    pub fn render(&self, theme: &Theme, screen: Rect, buffer: &mut Buffer) {
        let area = self.area(screen);
        if area.is_empty() {
            return;
        }
        Clear.render(area, buffer);
        let title = match self.forks {
            true => "Fork: from which moment?",
            false => "Go back to a checkpoint",
        };
        let inner = pane(theme, title, 0, true, area, buffer);
        let foot = u16::from(inner.height > 2) * 2;
        let list = Rect {
            height: inner.height - foot,
            ..inner
        };
        self.table().render(theme, list, buffer);
        let words = match self.forks {
            true => " Enter takes it and asks for a name and edits; Esc closes.",
            false => " Enter asks once more; Esc closes. What came after it stays in the logs.",
        };
        if foot > 0 {
            write(buffer, inner, inner.height - 1, words, theme.dim);
        }
    }
}
