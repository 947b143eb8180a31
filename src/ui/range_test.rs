//! The learning-rate range test over the home screen: its curve as it grows, and the rate that it speaks for.
//!
//! ```text
//! ┌ Learning-rate range test: gpt ───────────────────────────────────┐
//! │ step 83/150   rate 1.2e-3   loss 3.21                            │
//! │  6 ┤⠒⠒⠒⠒⠤⣀              ╎2e-3                                  │
//! │  4 ┤       ⠉⠢⣀          ╎          ⡰                           │
//! │    └─────────────────────────────────                          │
//! │     1e-6      1e-4      1e-2        1                           │
//! │ the smoothed loss falls from 6.2 to 3.1 …, which is suggested    │
//! │ enter takes 2e-3 as optimizer.learning_rate   esc closes         │
//! └──────────────────────────────────────────────────────────────────┘
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};

use super::keymap::{Action, Context, KeyMap};
use super::layout::{Hint, centered, fit as cut, pane, wrap, write, write_line};
use super::panes::plot::{empty, look, symbols};
use super::theme::Theme;
use super::widgets::chart::{
    Axis, Chart, Layer, Marker, MarkerKind, Pattern, Sample, Scale, fit, reading, short,
};
use crate::protocol::{EventKind, NoticeLevel, Phase, RatePoint, RateReport, RateSweep, RunId};

/// Lines that are kept for sentences below the chart.
const SENTENCES: u16 = 4;

/// A test that is made, or was.
#[derive(Debug, Clone)]
pub struct RangeTest {
    pub run: RunId,
    /// The model, for the title.
    name: String,
    sweep: RateSweep,
    /// What happens before the first step.
    loading: String,
    points: Vec<RatePoint>,
    report: Option<RateReport>,
    failed: Option<String>,
    /// The last warning of the training thread.
    warning: Option<String>,
    /// The end was asked for and has not come yet.
    pub stopping: bool,
}

impl RangeTest {
    pub fn new(run: RunId, name: String, sweep: RateSweep) -> Self {
        Self {
            run,
            name,
            sweep,
            loading: "starting".to_string(),
            points: Vec::new(),
            report: None,
            failed: None,
            warning: None,
            stopping: false,
        }
    }

    pub fn on_event(&mut self, kind: EventKind) {
        match kind {
            EventKind::Phase(Phase::Loading { what, .. }) => self.loading = what,
            EventKind::Phase(Phase::Compiling) => self.loading = "compiling kernels".to_string(),
            EventKind::Phase(Phase::Training) => self.loading = "the first step".to_string(),
            EventKind::RatePoint(point) => self.points.push(point),
            EventKind::RateFound(report) => {
                self.points.clone_from(&report.points);
                self.report = Some(report);
            }
            EventKind::Failed { message, .. } => self.failed = Some(message),
            EventKind::Notice(notice) if notice.level != NoticeLevel::Info => {
                self.warning = Some(notice.message);
            }
            _ => {}
        }
    }

    /// The training thread is done with it.
    pub fn is_over(&self) -> bool {
        self.report.is_some() || self.failed.is_some()
    }

    pub fn suggestion(&self) -> Option<f64> {
        self.report.as_ref().and_then(|report| report.suggestion)
    }

    /// What a key of the footer does now, in a word: nothing is taken before there is something to take.
    pub fn key_now(&self, action: Action, hint: &'static str) -> Option<Hint> {
        match action {
            Action::Accept => self.suggestion().map(|_| Hint::usual(hint)),
            Action::Close if self.is_over() || self.stopping => Some(Hint::usual("close")),
            Action::Close => Some(Hint::usual("stop")),
            _ => Some(Hint::usual(hint)),
        }
    }

    pub fn area(screen: Rect) -> Rect {
        let body = Rect {
            height: screen.height.saturating_sub(1),
            ..screen
        };
        centered(body, 110, 32)
    }

    pub fn render(&self, theme: &Theme, keymap: &KeyMap, screen: Rect, buffer: &mut Buffer) {
        let area = Self::area(screen);
        if area.is_empty() {
            return;
        }
        Clear.render(area, buffer);
        let title = format!("Learning-rate range test: {}", self.name);
        let inner = pane(theme, &title, 0, true, area, buffer);
        let inner = Rect {
            x: inner.x + 1,
            width: inner.width.saturating_sub(2),
            ..inner
        };
        write_line(buffer, inner, 0, &self.status(theme));
        let below = SENTENCES.min(inner.height / 3);
        let chart = Rect {
            y: inner.y + 1,
            height: inner.height.saturating_sub(1 + below),
            ..inner
        };
        self.chart(theme, Chart::plot(chart)).render(chart, buffer);
        let foot = Rect {
            y: chart.bottom(),
            height: inner.bottom().saturating_sub(chart.bottom()),
            ..inner
        };
        self.sentences(theme, keymap, foot, buffer);
    }

    fn status(&self, theme: &Theme) -> Line<'static> {
        let dots = theme.symbols.ellipsis;
        let Some(last) = self.points.last() else {
            return match &self.failed {
                Some(_) => Line::styled("the test could not be made", theme.error),
                None => Line::styled(format!("{}{dots}", self.loading), theme.dim),
            };
        };
        let state = match &self.report {
            Some(report) if !report.complete => ("stopped early", theme.warning),
            Some(_) => ("done", theme.good),
            None if self.stopping => ("stopping", theme.warning),
            None => ("testing", theme.info),
        };
        Line::from(vec![
            Span::styled(
                format!("step {}/{}   ", last.step, self.sweep.steps),
                theme.text,
            ),
            Span::styled(
                format!("rate {}   ", reading(last.learning_rate)),
                theme.chart.learning_rate,
            ),
            Span::styled(
                format!("loss {}   ", reading(last.smoothed)),
                theme.chart.train,
            ),
            Span::styled(state.0, state.1),
        ])
    }

    fn chart(&self, theme: &Theme, plot: Rect) -> Chart {
        let columns = Chart::columns(plot, symbols(theme));
        let finite = |value: &f64| value.is_finite();
        let Some(first) = self.points.iter().map(|p| p.smoothed).find(finite) else {
            return empty(theme, "no steps yet");
        };
        if columns == 0 {
            return empty(theme, "");
        }
        let x = Axis::new((self.sweep.from, self.sweep.to), Scale::Log);
        let lowest = self.points.iter().map(|p| p.smoothed).fold(first, f64::min);
        // Where the loss explodes, how far says nothing; where it falls is what the chart is for.
        let highest = first + 0.4 * (first - lowest).max(0.05 * first.abs());
        let shown = self.points.iter().flat_map(|p| [p.smoothed, p.loss]);
        let range = fit(shown.filter(|v| v.is_finite() && *v <= highest));
        let y = Axis::new(range.unwrap_or((lowest, highest)), Scale::Linear).padded(0.05);

        let mut line = vec![Sample::Nothing; columns];
        let mut band: Vec<Option<(f64, f64)>> = vec![None; columns];
        let mut gaps = vec![false; columns];
        for point in &self.points {
            let place = x.place(point.learning_rate).unwrap_or(0.0);
            let at = ((place.max(0.0) * columns as f64) as usize).min(columns - 1);
            if point.smoothed.is_finite() && point.loss.is_finite() {
                line[at] = Sample::Value(point.smoothed);
                let (low, high) = band[at].unwrap_or((point.loss, point.loss));
                band[at] = Some((low.min(point.loss), high.max(point.loss)));
            } else {
                line[at] = Sample::Gap;
                gaps[at] = true;
            }
        }
        let mut chart = Chart::new(x, y, look(theme));
        chart.layers = vec![
            Layer::Band {
                columns: band,
                style: theme.chart.faint,
            },
            Layer::Line {
                columns: line,
                style: theme.chart.train,
                pattern: Pattern::Solid,
            },
            Layer::Gaps {
                columns: gaps,
                symbol: theme.symbols.cross.chars().next().unwrap_or('x'),
                style: theme.chart.mark_bad,
            },
        ];
        chart.markers = self
            .suggestion()
            .map(|rate| Marker {
                x: rate,
                label: short(rate),
                kind: MarkerKind::Line,
                style: theme.good,
            })
            .into_iter()
            .collect();
        chart
    }

    fn sentences(&self, theme: &Theme, keymap: &KeyMap, area: Rect, buffer: &mut Buffer) {
        let key = |action| {
            let found = keymap.key_for(&[Context::RangeTest], action);
            found.unwrap_or_else(|| action.name().to_string())
        };
        let (text, style) = match (&self.failed, &self.report, &self.warning) {
            (Some(message), _, _) => (message.clone(), theme.error),
            (_, Some(report), _) => (report.reason.clone(), theme.text),
            (_, None, Some(warning)) => (warning.clone(), theme.warning),
            (_, None, None) => (
                "A model of this config is trained with a rate that rises at every step, and thrown away. The loss \
                 falls fastest where the rate is best."
                    .to_string(),
                theme.dim,
            ),
        };
        let width = usize::from(area.width);
        let room = usize::from(area.height).saturating_sub(1);
        let mut lines = wrap(&text, width);
        if lines.len() > room {
            lines.truncate(room);
            if let Some(last) = lines.last_mut() {
                *last = cut(
                    &format!("{last} {}", theme.symbols.ellipsis),
                    width,
                    theme.symbols.ellipsis,
                );
            }
        }
        for (row, line) in lines.iter().enumerate() {
            write(buffer, area, row as u16, line, style);
        }
        let close = key(Action::Close);
        let hint = match (self.suggestion(), self.is_over()) {
            (Some(rate), _) => vec![
                Span::styled(key(Action::Accept), theme.key),
                Span::styled(
                    format!(" takes {} as optimizer.learning_rate   ", short(rate)),
                    theme.strong,
                ),
                Span::styled(close, theme.key),
                Span::styled(" closes", theme.dim),
            ],
            (None, true) => vec![
                Span::styled(close, theme.key),
                Span::styled(" closes", theme.dim),
            ],
            (None, false) => vec![
                Span::styled(close, theme.key),
                Span::styled(" stops it, with what it has until then", theme.dim),
            ],
        };
        let last = area.height.saturating_sub(1);
        write_line(buffer, area, last, &Line::from(hint));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Notice;
    use crate::ui::theme::{ColorDepth, Symbols};

    fn point(step: u64, smoothed: f64) -> RatePoint {
        RatePoint {
            step,
            learning_rate: RateSweep::default().rate(step),
            loss: smoothed,
            smoothed,
        }
    }

    /// In every state that it can be in.
    fn states() -> Vec<RangeTest> {
        let fresh = RangeTest::new(1, "gpt".into(), RateSweep::default());
        let mut loading = fresh.clone();
        loading.on_event(EventKind::Phase(Phase::Loading {
            what: "reading the text".into(),
            done: 0,
            total: None,
        }));
        let mut going = fresh.clone();
        for step in 1..60 {
            going.on_event(EventKind::RatePoint(point(step, 6.0 - step as f64 * 0.04)));
        }
        let mut warned = going.clone();
        warned.on_event(EventKind::Notice(Notice {
            level: NoticeLevel::Warning,
            message: "memory is tight".into(),
        }));
        let mut points = going.points.clone();
        points.push(point(60, f64::NAN));
        let report = |suggestion, complete| RateReport {
            points: points.clone(),
            suggestion,
            reason: "the smoothed loss falls fastest there ".repeat(9),
            complete,
        };
        let mut found = going.clone();
        found.on_event(EventKind::RateFound(report(Some(2e-4), true)));
        let mut none = going.clone();
        none.stopping = true;
        none.on_event(EventKind::RateFound(report(None, false)));
        let mut failed = fresh.clone();
        failed.on_event(EventKind::failed("the corpus cannot be read"));
        vec![fresh, loading, going, warned, found, none, failed]
    }

    fn drawn(test: &RangeTest, theme: &Theme, width: u16, height: u16) -> String {
        let area = Rect::new(0, 0, width, height);
        let mut buffer = Buffer::empty(area);
        test.render(theme, &KeyMap::default(), area, &mut buffer);
        let mut text = String::new();
        for row in buffer.content.chunks(usize::from(width.max(1))) {
            text.extend(row.iter().map(|cell| cell.symbol()));
            text.push('\n');
        }
        text
    }

    #[test]
    fn every_state_is_drawn_at_every_size() {
        let ascii = Theme::new("dark", ColorDepth::Ansi16, Symbols::ascii());
        for test in states() {
            for (width, height) in [(0, 0), (1, 1), (40, 12), (80, 24), (200, 60)] {
                drawn(&test, &Theme::default(), width, height);
                drawn(&test, &ascii, width, height);
            }
        }
    }

    #[test]
    fn each_state_says_what_it_is() {
        let wanted: [&[&str]; 7] = [
            &["starting", "esc stops it"],
            &["reading the text"],
            &["step 59/150", "testing", "esc stops it"],
            &["memory is tight"],
            &[
                "enter takes 2e-4 as optimizer.learning_rate",
                "done",
                "falls fastest",
                "2e-4",
            ],
            &["stopped early", "esc closes"],
            &[
                "could not be made",
                "the corpus cannot be read",
                "esc closes",
            ],
        ];
        for (test, wanted) in states().iter().zip(wanted) {
            for (width, height) in [(80, 24), (200, 60)] {
                let screen = drawn(test, &Theme::default(), width, height);
                for words in wanted {
                    assert!(screen.contains(words), "`{words}` is not on\n{screen}");
                }
            }
        }
    }
}
