//! The ladder: runs that can be taken up again, the five rungs, and the configurations of the rung with the cursor: its
//! presets, and those that the user keeps.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use crate::config::{ModelKind, OwnConfig, Preset, presets};
use crate::run::{RunStatus, RunSummary};
use crate::ui::format;
use crate::ui::layout::{fit, scroll_offset, wrap, write_line};
use crate::ui::theme::Theme;

/// How many resumable runs stand above the ladder; the list of runs has them all.
pub const SHOWN_RUNS: usize = 3;
/// How many configurations of a rung stand below it at a time.
const SHOWN_CHOICES: usize = 8;

/// What the cursor is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Index in the resumable runs.
    Run(usize),
    /// Index in [`ModelKind::ALL`].
    Rung(usize),
}

/// A line of the pane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Entry(Entry),
    /// Index in the configurations of the rung with the cursor.
    Config(usize),
}

/// The ladder ready to be drawn.
#[derive(Debug)]
pub struct Ladder<'a> {
    pub runs: &'a [RunSummary],
    pub own: &'a [OwnConfig],
    pub cursor: Entry,
    /// Index in the configurations of each rung.
    pub chosen: [usize; 5],
    pub focused: bool,
}

struct Row {
    line: Line<'static>,
    target: Option<Target>,
}

/// A configuration that can be chosen.
#[derive(Debug, Clone, Copy)]
pub enum Choice<'a> {
    Preset(&'static Preset),
    Own(&'a OwnConfig),
}

impl<'a> Choice<'a> {
    pub fn name(self) -> &'a str {
        match self {
            Choice::Preset(preset) => preset.name,
            Choice::Own(own) => &own.name,
        }
    }
}

/// The configurations of a rung: its default, its other presets, then the user's own.
pub fn choices<'a>(kind: ModelKind, own: &'a [OwnConfig]) -> Vec<Choice<'a>> {
    let mut presets: Vec<&'static Preset> = presets().iter().filter(|p| p.kind == kind).collect();
    presets.sort_by_key(|p| p.name != kind.key());
    let own = own.iter().filter(|own| own.config.model.kind() == kind);
    let presets = presets.into_iter().map(Choice::Preset);
    presets.chain(own.map(Choice::Own)).collect()
}

pub fn name(kind: ModelKind) -> &'static str {
    match kind {
        ModelKind::CharRnn => "char RNN",
        ModelKind::WordGru => "word GRU",
        ModelKind::LstmAttention => "LSTM + attention",
        ModelKind::Transformer => "Transformer",
        ModelKind::Gpt => "GPT",
    }
}

/// Two sentences on what a rung teaches.
pub fn teaches(kind: ModelKind) -> &'static str {
    match kind {
        ModelKind::CharRnn => {
            "Reads one letter at a time and carries what it has read in a hidden state. Shows how a sequence is \
             learned at all, and how gradients fade on their way back in time."
        }
        ModelKind::WordGru => {
            "Turns words into dense vectors, and lets gates decide what the state keeps and what it forgets. Shows \
             why embeddings and gates remember for longer."
        }
        ModelKind::LstmAttention => {
            "Adds a cell state that carries memory past the gates, and looks back over all earlier states. Shows \
             attention as the way around a narrow memory."
        }
        ModelKind::Transformer => {
            "Drops recurrence: every position attends to all before it, with several heads at once. Shows positions, \
             residual paths and layer norm at work."
        }
        ModelKind::Gpt => {
            "The recipe that large models grew from: pre-norm blocks, GELU, a tied head, warmup and cosine decay. \
             Shows in small how they are built and trained."
        }
    }
}

impl Ladder<'_> {
    /// `roomy`: every rung is followed by what it teaches, not only the one with the cursor.
    fn rows(&self, theme: &Theme, area: Rect) -> Vec<Row> {
        let width = usize::from(area.width);
        let compact = self.build(theme, width, false);
        let roomy = self.build(theme, width, true);
        if roomy.len() <= usize::from(area.height) {
            roomy
        } else {
            compact
        }
    }

    fn build(&self, theme: &Theme, width: usize, roomy: bool) -> Vec<Row> {
        let plain = |text: String, style: Style| Row {
            line: Line::styled(text, style),
            target: None,
        };
        let mut rows = Vec::new();
        if !self.runs.is_empty() {
            rows.push(plain("Go on with a run".into(), theme.heading));
            for (at, run) in self.runs.iter().take(SHOWN_RUNS).enumerate() {
                rows.push(self.run_row(theme, at, run, width));
            }
            rows.push(plain("Start a new one".into(), theme.heading));
        }
        for (at, kind) in ModelKind::ALL.into_iter().enumerate() {
            let entry = Entry::Rung(at);
            let here = self.cursor == entry;
            rows.push(Row {
                line: self.entry_line(
                    theme,
                    entry,
                    format!("{} {}", at + 1, name(kind)),
                    String::new(),
                    width,
                ),
                target: Some(Target::Entry(entry)),
            });
            if here {
                self.choice_rows(theme, at, kind, width, &mut rows);
            }
            if roomy {
                for line in wrap(teaches(kind), width.saturating_sub(5)) {
                    rows.push(plain(format!("    {line}"), theme.dim));
                }
                rows.push(plain(String::new(), theme.dim));
            }
        }
        if !roomy && let Entry::Rung(at) = self.cursor {
            rows.push(plain(String::new(), theme.dim));
            for line in wrap(teaches(ModelKind::ALL[at]), width) {
                rows.push(plain(line, theme.dim));
            }
        }
        rows
    }

    fn entry_line(
        &self,
        theme: &Theme,
        entry: Entry,
        text: String,
        right: String,
        width: usize,
    ) -> Line<'static> {
        let (mark, style) = match (self.cursor == entry, self.focused) {
            (true, true) => (theme.symbols.cursor, theme.selected),
            (true, false) => (theme.symbols.cursor, theme.selected_unfocused),
            _ => (" ", theme.text),
        };
        let room = width.saturating_sub(right.width() + 3);
        let text = fit(&text, room, theme.symbols.ellipsis);
        let pad = " ".repeat(room.saturating_sub(text.width()));
        Line::from(vec![
            Span::styled(format!("{mark} {text}{pad}"), style),
            Span::styled(
                format!(" {right}"),
                if self.cursor == entry {
                    style
                } else {
                    theme.dim
                },
            ),
        ])
    }

    fn run_row(&self, theme: &Theme, at: usize, run: &RunSummary, width: usize) -> Row {
        let share = 100.0 * run.step as f64 / run.total_steps.max(1) as f64;
        let entry = Entry::Run(at);
        Row {
            line: self.entry_line(
                theme,
                entry,
                run.name.clone(),
                match run.status {
                    RunStatus::Running => format!("running {:.0}%", share.min(100.0)),
                    _ => format!("{:.0}%", share.min(100.0)),
                },
                width,
            ),
            target: Some(Target::Entry(entry)),
        }
    }

    fn choice_rows(
        &self,
        theme: &Theme,
        at: usize,
        kind: ModelKind,
        width: usize,
        rows: &mut Vec<Row>,
    ) {
        let (mut list, chosen) = (choices(kind, self.own), self.chosen[at]);
        // A long list stands in a window, so that the rungs below it stay in sight.
        let first = scroll_offset(chosen, list.len(), SHOWN_CHOICES);
        let below = list.len().saturating_sub(first + SHOWN_CHOICES);
        list.truncate(first + SHOWN_CHOICES);
        for (index, choice) in list.into_iter().enumerate().skip(first) {
            let (mark, style) = if index == chosen {
                (theme.symbols.bullet, theme.strong)
            } else {
                (theme.symbols.empty_bullet, theme.dim)
            };
            let yours = match choice {
                Choice::Preset(_) => "",
                Choice::Own(_) => " yours",
            };
            let room = width.saturating_sub(yours.len());
            let name = format!("    {mark} {}", choice.name());
            let name = fit(&name, room, theme.symbols.ellipsis);
            rows.push(Row {
                line: Line::from(vec![
                    Span::styled(name, style),
                    Span::styled(yours, theme.info),
                ]),
                target: Some(Target::Config(index)),
            });
        }
        if below > 0 {
            let more = format!("      {below} more");
            rows.push(Row {
                line: Line::styled(more, theme.dim),
                target: None,
            });
        }
    }

    fn offset(&self, rows: &[Row], height: usize) -> usize {
        let at = rows
            .iter()
            .position(|row| row.target == Some(Target::Entry(self.cursor)))
            .unwrap_or(0);
        if rows.len() <= height {
            0
        } else {
            scroll_offset(at + 3, rows.len(), height).min(at)
        }
    }

    /// What is drawn at this line of the pane's inside.
    pub fn target_at(&self, theme: &Theme, line: u16, area: Rect) -> Option<Target> {
        let rows = self.rows(theme, area);
        let offset = self.offset(&rows, area.height.into());
        rows.get(offset + usize::from(line))?.target
    }

    pub fn render(&self, theme: &Theme, area: Rect, buffer: &mut Buffer) {
        if area.is_empty() {
            return;
        }
        let rows = self.rows(theme, area);
        let offset = self.offset(&rows, area.height.into());
        for (at, row) in rows
            .iter()
            .skip(offset)
            .take(area.height.into())
            .enumerate()
        {
            write_line(buffer, area, at as u16, &row.line);
        }
    }
}

/// What the preview pane says about a run that can be taken up again.
pub fn run_lines(run: &RunSummary, now: u64) -> Vec<(String, String)> {
    let loss =
        |loss: Option<f64>| loss.map_or("not evaluated yet".to_string(), |l| format!("{l:.3}"));
    let mut lines = vec![
        ("run".to_string(), run.name.clone()),
        ("model".to_string(), name(run.model).to_string()),
        ("corpus".to_string(), run.corpus.clone()),
        ("status".to_string(), run.status.label().to_string()),
        (
            "step".to_string(),
            format!(
                "{} of {}",
                format::grouped(run.step),
                format::grouped(run.total_steps)
            ),
        ),
        ("validation loss".to_string(), loss(run.val_loss)),
        ("best".to_string(), loss(run.best_val_loss)),
        ("parameters".to_string(), format::count(run.parameters)),
        ("trained for".to_string(), format::duration(run.seconds)),
        (
            "last change".to_string(),
            format::ago(now.saturating_sub(run.updated)),
        ),
        ("folder".to_string(), run.dir.display().to_string()),
    ];
    if let Some(problem) = &run.problem {
        lines.push(("problem".to_string(), problem.clone()));
    }
    lines
}
