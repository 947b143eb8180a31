//! The preview: what the config would train, before anything burns.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use crate::config::{FieldProblem, RunConfig};
use crate::protocol::{Preview, SchedulePoint, StepTime};
use crate::schedule::{self, PlateauState};
use crate::ui::format;
use crate::ui::layout::{wrap, write_line};
use crate::ui::panes::Scroll;
use crate::ui::theme::Theme;

/// What is known about the config on screen.
#[derive(Debug, Clone, Default)]
pub struct PreviewState {
    /// Number of the newest request; older answers are dropped.
    pub request: u64,
    /// An answer is under way.
    pub pending: bool,
    pub shown: Option<Result<Box<Preview>, String>>,
    pub scroll: Scroll,
}

/// Everything the pane shows.
#[derive(Debug)]
pub struct PreviewPane<'a> {
    pub state: &'a PreviewState,
    pub steps: u64,
    pub config: Option<&'a RunConfig>,
    /// Problems of the config: while there are any, nothing is asked.
    pub problems: &'a [FieldProblem],
}

/// Points of the schedule of a text that is not there.
const SCHEDULE_POINTS: usize = 200;

type Lines = Vec<Line<'static>>;

impl PreviewPane<'_> {
    pub fn render(&self, theme: &Theme, area: Rect, buffer: &mut Buffer) {
        let lines = self.lines(theme, area.width, area.height);
        let window = self
            .state
            .scroll
            .window(lines.len(), area.height.into(), false);
        for (row, line) in lines[window].iter().enumerate() {
            write_line(buffer, area, row as u16, line);
        }
    }

    fn lines(&self, theme: &Theme, width: u16, height: u16) -> Lines {
        let mut lines = Lines::new();
        let cells = usize::from(width);
        if !self.problems.is_empty() {
            let n = self.problems.len();
            let heading = if n == 1 {
                "1 problem to fix:".into()
            } else {
                format!("{n} problems to fix:")
            };
            lines.push(Line::styled(heading, theme.error));
            for problem in self.problems {
                for line in wrap(&format!("{}: {}", problem.key, problem.message), cells) {
                    lines.push(Line::styled(line, theme.text));
                }
            }
            return lines;
        }
        match &self.state.shown {
            Some(Ok(preview)) => self.facts(theme, preview, width, height, &mut lines),
            Some(Err(message)) => {
                if self.state.pending {
                    lines.push(Line::styled(
                        format!("measuring{}", theme.symbols.ellipsis),
                        theme.warning,
                    ));
                }
                for line in wrap(message, cells) {
                    lines.push(Line::styled(line, theme.error));
                }
                // The schedule needs no text.
                if let Some(config) = self.config {
                    let points = schedule::points(
                        &config.schedule,
                        config.optimizer.learning_rate,
                        config.train.steps,
                        SCHEDULE_POINTS,
                        &PlateauState::default(),
                    );
                    lines.push(Line::default());
                    draw_schedule(theme, &points, width, 3, &mut lines);
                }
            }
            None => {
                let text = format!(
                    "reading the text, building the vocabulary and timing one step{}",
                    theme.symbols.ellipsis
                );
                lines.extend(
                    wrap(&text, cells)
                        .into_iter()
                        .map(|l| Line::styled(l, theme.dim)),
                );
            }
        }
        lines
    }

    fn facts(&self, theme: &Theme, preview: &Preview, width: u16, height: u16, lines: &mut Lines) {
        let cells = usize::from(width);
        let measuring = format!("measuring{}", theme.symbols.ellipsis);
        let (time, rate) = match &preview.step_time {
            StepTime::Seconds(seconds) => (
                format!("about {}", format::duration(seconds * self.steps as f64)),
                format!("{:.0} ms", seconds * 1e3),
            ),
            StepTime::Measuring => (measuring.clone(), measuring.clone()),
            StepTime::Unknown(_) => ("not timed".to_string(), "not timed".to_string()),
        };
        let epochs =
            (preview.tokens_per_step * self.steps) as f64 / preview.tokens_per_epoch.max(1) as f64;
        let facts = [
            ("parameters", format::count(preview.parameters)),
            ("memory", format::bytes(preview.memory_bytes)),
            ("tokens/epoch", format::count(preview.tokens_per_epoch)),
            ("vocabulary", format::grouped(preview.vocab_size as u64)),
            ("tokens/step", format::count(preview.tokens_per_step)),
            ("epochs", format!("{epochs:.1}")),
            ("all steps", time),
            ("one step", rate),
        ];
        let columns = if cells >= 44 { 2 } else { 1 };
        let column = cells / columns;
        for pair in facts.chunks(columns) {
            let mut spans = Vec::new();
            for (label, value) in pair {
                let used = 13 + value.width();
                spans.push(Span::styled(format!("{label:<13}"), theme.dim));
                spans.push(Span::styled(value.clone(), theme.strong));
                spans.push(Span::raw(" ".repeat(column.saturating_sub(used).max(1))));
            }
            lines.push(Line::from(spans));
        }
        if self.state.pending {
            lines.push(Line::styled(
                format!("the config changed: {measuring}"),
                theme.warning,
            ));
        }
        if let StepTime::Unknown(why) = &preview.step_time {
            for line in wrap(&format!("not timed: {why}"), cells) {
                lines.push(Line::styled(line, theme.dim));
            }
        }
        for notice in &preview.notices {
            for line in wrap(notice, cells) {
                lines.push(Line::styled(line, theme.warning));
            }
        }
        let curve_height = if height >= 26 {
            5
        } else if height >= 14 {
            3
        } else {
            1
        };
        if height >= 18 {
            lines.push(Line::default());
        }
        draw_schedule(theme, &preview.schedule, width, curve_height, lines);
        if height >= 18 {
            lines.push(Line::default());
        }
        lines.push(Line::styled("text, as this tokenizer sees it", theme.dim));
        lines.extend(tokens(theme, &preview.tokens, cells));
    }
}

fn draw_schedule(
    theme: &Theme,
    points: &[SchedulePoint],
    width: u16,
    height: u16,
    lines: &mut Lines,
) {
    let peak = points.iter().map(|p| p.learning_rate).fold(0.0, f64::max);
    let end = points.last().map_or(0.0, |p| p.learning_rate);
    let label = format!("learning rate  peak {peak:.1e}, end {end:.1e}");
    if height == 1 {
        let text = format!("{label}  ");
        let room = width.saturating_sub(u16::try_from(text.width()).unwrap_or(width));
        let mut spans = vec![Span::styled(text, theme.dim)];
        if room >= 4 {
            let curve = curve(theme, points, room.min(30), 1);
            spans.push(Span::styled(curve.concat(), theme.chart.learning_rate));
        }
        lines.push(Line::from(spans));
        return;
    }
    lines.push(Line::styled(label, theme.dim));
    for row in curve(theme, points, width.min(72), height) {
        lines.push(Line::styled(row, theme.chart.learning_rate));
    }
}

/// The schedule as rows of text, top first: braille dots, or ASCII bars where braille may not be written.
fn curve(theme: &Theme, points: &[SchedulePoint], width: u16, height: u16) -> Vec<String> {
    let (width, height) = (usize::from(width), usize::from(height));
    let peak = points.iter().map(|p| p.learning_rate).fold(0.0, f64::max);
    if points.is_empty() || width == 0 || height == 0 || peak <= 0.0 || !peak.is_finite() {
        return vec![String::new(); height];
    }
    let share = |column: usize, columns: usize| {
        let at = column * (points.len() - 1) / (columns - 1).max(1);
        (points[at.min(points.len() - 1)].learning_rate / peak).clamp(0.0, 1.0)
    };
    if !theme.symbols.unicode {
        return (0..height)
            .map(|row| {
                let cell = |column| {
                    let level = share(column, width) * height as f64 - (height - 1 - row) as f64;
                    let bars = theme.symbols.bars;
                    let at = (level.clamp(0.0, 1.0) * (bars.len() - 1) as f64).round() as usize;
                    bars[at]
                };
                (0..width).map(cell).collect()
            })
            .collect();
    }
    // Braille dots of one cell, by column and row: https://www.unicode.org/charts/PDF/U2800.pdf
    const DOTS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
    let mut cells = vec![vec![0u8; width]; height];
    let rows = height * 4;
    let mut previous: Option<usize> = None;
    for column in 0..width * 2 {
        let row = ((1.0 - share(column, width * 2)) * (rows - 1) as f64).round() as usize;
        let (low, high) = match previous {
            // Steep parts are joined, so that the curve has no gaps.
            Some(last) if last < row => (last + 1, row),
            Some(last) if last > row => (row, last - 1),
            _ => (row, row),
        };
        for dot in low..=high {
            cells[dot / 4][column / 2] |= DOTS[column % 2][dot % 4];
        }
        previous = Some(row);
    }
    cells
        .iter()
        .map(|row| {
            row.iter()
                .map(|dots| char::from_u32(0x2800 + u32::from(*dots)).unwrap_or(' '))
                .collect()
        })
        .collect()
}

/// Tokens in alternating styles, broken between tokens.
fn tokens(theme: &Theme, tokens: &[String], width: usize) -> Lines {
    let mut lines = Lines::new();
    let mut spans: Vec<Span<'static>> = Vec::new();
    let mut used = 0;
    for (at, token) in tokens.iter().enumerate() {
        let breaks = token.contains('\n');
        let text = token
            .replace('\n', theme.symbols.newline)
            .replace('\t', " ");
        let text = if theme.symbols.unicode {
            text
        } else {
            ascii(&text)
        };
        let w = text.width();
        if used > 0 && used + w > width {
            lines.push(Line::from(std::mem::take(&mut spans)));
            used = 0;
        }
        let style: Style = theme.tokens[at % theme.tokens.len()];
        spans.push(Span::styled(text, style));
        used += w;
        if breaks {
            lines.push(Line::from(std::mem::take(&mut spans)));
            used = 0;
        }
    }
    lines.push(Line::from(spans));
    lines
}

fn ascii(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_ascii() { c } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::theme::{ColorDepth, Symbols};

    fn points() -> Vec<SchedulePoint> {
        (0..100)
            .map(|step| SchedulePoint {
                step,
                learning_rate: 1e-3 * (step.min(10) as f64 / 10.0),
            })
            .collect()
    }

    #[test]
    fn the_curve_fills_its_cells_and_rises() {
        let rows = curve(&Theme::default(), &points(), 20, 3);
        assert_eq!(rows.len(), 3);
        assert!(rows.iter().all(|r| r.chars().count() == 20), "{rows:?}");
        let blank = '\u{2800}';
        assert_ne!(rows[2].chars().next(), Some(blank), "starts at the bottom");
        assert_ne!(rows[0].chars().last(), Some(blank), "ends at the top");
        assert_eq!(rows[2].chars().last(), Some(blank));
    }

    #[test]
    fn without_unicode_the_curve_and_the_text_are_ascii() {
        let theme = Theme::new("dark", ColorDepth::Ansi16, Symbols::ascii());
        for row in curve(&theme, &points(), 20, 3) {
            assert!(row.is_ascii(), "{row}");
        }
        let lines = tokens(&theme, &["é\n".to_string(), "a".to_string()], 10);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].spans[0].content, "?\\n");
    }

    #[test]
    fn odd_schedules_do_not_panic() {
        for points in [
            vec![],
            vec![SchedulePoint {
                step: 0,
                learning_rate: f64::NAN,
            }],
            points()[..1].to_vec(),
        ] {
            for (w, h) in [(0, 0), (1, 1), (30, 4)] {
                curve(&Theme::default(), &points, w, h);
            }
        }
    }
}
