//! Several runs over each other: one line a run, by step, tokens, time or compute, in loss or bits per byte.
//!
//! ```text
//! ┌ Overlay: bits/byte, train, smooth .9, by compute ────────────┐┌ 3 runs ───────────────┐
//! │  4 ┤⠱⡀                                                      ││▸a ─── gpt-001    2.513 │
//! │  3 ┤ ⠈⠒⠤⣀⣀                                                  ││ b ─── gpt-002    2.498 │
//! │  2 ┤      ⠉⠉⠒⠒⠤⠤⠤⠤⠤⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀b                      a      ││ c ─── rnn-001   hidden │
//! └──────────────────────────────────────────────────────────────┘└───────────────────────┘
//! ```
//!
//! Lines are told apart by colour, by pattern when the colours have run out, and by the letter at their end; the one under the
//! cursor lies on top. Curves come from the runs' overviews, so that a hundred thousand steps cost no more than a few thousand.

use std::path::PathBuf;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use super::{RunsRequest, RunsScreen};
use crate::protocol::NoticeLevel;
use crate::run::{Overview, RunEntry};
use crate::ui::keymap::Action;
use crate::ui::layout::{fit, pane, scroll_offset, write, write_line};
use crate::ui::panes::{Handled, look, symbols};
use crate::ui::screens::ScreenMouse;
use crate::ui::theme::{ColorDepth, Theme};
use crate::ui::widgets::chart::{
    Axis, Chart, Crosshair, Layer, Pattern, Sample, Scale, Unit, Viewport, clock,
    fit as fit_values, reading,
};

/// The weight of the past in smoothed lines, as `s` goes through them.
const SMOOTHING: [f64; 6] = [0.0, 0.6, 0.9, 0.97, 0.99, 0.999];
/// The legend beside the chart, where there is room.
const LEGEND: u16 = 40;
/// One a line, in order; more runs than these have none.
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum By {
    #[default]
    Step,
    Tokens,
    Time,
    /// Multiplications and additions of training, as `fireside bench train` counts them.
    Compute,
}

impl By {
    fn next(self) -> Self {
        match self {
            By::Step => By::Tokens,
            By::Tokens => By::Time,
            By::Time => By::Compute,
            By::Compute => By::Step,
        }
    }

    fn label(self) -> &'static str {
        match self {
            By::Step => "step",
            By::Tokens => "tokens",
            By::Time => "time",
            By::Compute => "compute (operations)",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum In {
    #[default]
    Loss,
    Perplexity,
    BitsPerByte,
}

impl In {
    fn next(self) -> Self {
        match self {
            In::Loss => In::Perplexity,
            In::Perplexity => In::BitsPerByte,
            In::BitsPerByte => In::Loss,
        }
    }

    fn label(self) -> &'static str {
        match self {
            In::Loss => "nats/token",
            In::Perplexity => "perplexity",
            In::BitsPerByte => "bits/byte",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Of {
    #[default]
    Train,
    Validation,
    Both,
}

impl Of {
    fn next(self) -> Self {
        match self {
            Of::Train => Of::Validation,
            Of::Validation => Of::Both,
            Of::Both => Of::Train,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Of::Train => "train",
            Of::Validation => "validation",
            Of::Both => "train and validation (o)",
        }
    }
}

#[derive(Debug)]
pub(super) struct OverlayView {
    /// The folders of the runs, and whether each is hidden.
    pub runs: Vec<(PathBuf, bool)>,
    cursor: usize,
    by: By,
    unit: In,
    of: Of,
    smoothing: f64,
    scale: Scale,
    viewport: Viewport,
    crosshair: Option<f64>,
}

/// A run as it is drawn: places and values, oldest first; NaN is a gap.
struct Curve {
    at: usize,
    train: Vec<(f64, f64)>,
    validation: Vec<(f64, f64)>,
}

impl OverlayView {
    /// In bits per byte where that is the only thing on which the runs compare.
    pub fn new(runs: &[std::sync::Arc<RunEntry>]) -> Self {
        let bytes = runs.iter().map(|run| run.bytes_per_token);
        let known = bytes.filter(|bytes| *bytes > 0.0);
        let (low, high) = known.fold((f64::INFINITY, 0f64), |(low, high), bytes| {
            (low.min(bytes), high.max(bytes))
        });
        OverlayView {
            runs: runs
                .iter()
                .map(|run| (run.summary.dir.clone(), false))
                .collect(),
            cursor: 0,
            by: By::default(),
            unit: if high > low * 1.001 {
                In::BitsPerByte
            } else {
                In::Loss
            },
            of: Of::default(),
            smoothing: 0.9,
            scale: Scale::default(),
            viewport: Viewport::default(),
            crosshair: None,
        }
    }

    fn place(&self, run: &RunEntry, step: u64, tokens: u64, seconds: f64) -> f64 {
        match self.by {
            By::Step => step as f64,
            By::Tokens => tokens as f64,
            By::Time => seconds,
            By::Compute if run.operations_per_token == 0 => f64::NAN,
            By::Compute => tokens as f64 * run.operations_per_token as f64,
        }
    }

    /// From nats per token.
    fn value(&self, run: &RunEntry, nats: f64) -> f64 {
        match self.unit {
            In::Loss => nats,
            In::Perplexity => nats.exp(),
            In::BitsPerByte if run.bytes_per_token > 0.0 => {
                nats / std::f64::consts::LN_2 / run.bytes_per_token
            }
            In::BitsPerByte => f64::NAN,
        }
    }

    /// The exact exponential average over steps, as the dashboard has it, taken where a bucket ends: within a bucket every step
    /// counts as its mean.
    fn train(&self, run: &RunEntry, overview: &Overview) -> Vec<(f64, f64)> {
        let (mut sum, mut norm) = (0.0, 0.0);
        let mut before = (u32::MAX, 0.0);
        let buckets = overview.buckets.iter();
        buckets
            .map(|bucket| {
                if before.0 != bucket.count {
                    before = (bucket.count, self.smoothing.powf(f64::from(bucket.count)));
                }
                let kept = before.1;
                if bucket.count > 0 {
                    sum = kept * sum + (1.0 - kept) * bucket.mean;
                    norm = kept * norm + (1.0 - kept);
                }
                let value = match bucket.count {
                    0 => f64::NAN,
                    _ => self.value(run, sum / norm),
                };
                let place = self.place(run, bucket.step, bucket.tokens, bucket.seconds);
                (place, value)
            })
            .filter(|(place, _)| place.is_finite())
            .collect()
    }

    fn validation(&self, run: &RunEntry, overview: &Overview) -> Vec<(f64, f64)> {
        let evaluations = overview.evaluations.iter();
        evaluations
            .map(|e| {
                let value = match self.unit {
                    In::BitsPerByte => e.bits_per_byte,
                    _ => self.value(run, e.val_loss),
                };
                (self.place(run, e.step, e.tokens, e.seconds), value)
            })
            .filter(|(place, _)| place.is_finite())
            .collect()
    }

    fn title(&self) -> String {
        let mut title = format!("Overlay: {}, {}", self.unit.label(), self.of.label());
        if self.smoothing > 0.0 && self.of != Of::Validation {
            title.push_str(&format!(", smooth {}", self.smoothing));
        }
        title.push_str(&format!(", by {}", self.by.label()));
        if self.scale == Scale::Log {
            title.push_str(", log");
        }
        if self.viewport.is_frozen() {
            title.push_str(", frozen");
        } else if !self.viewport.follows() {
            title.push_str(", zoomed");
        }
        title
    }
}

/// Where chart and legend are, with their borders.
fn places(area: Rect, runs: usize) -> (Rect, Rect) {
    if area.width >= 100 {
        let chart = Rect {
            width: area.width - LEGEND,
            ..area
        };
        let legend = Rect {
            x: chart.right(),
            width: LEGEND,
            ..area
        };
        return (chart, legend);
    }
    let rows = u16::try_from(runs)
        .unwrap_or(u16::MAX)
        .min(area.height / 4)
        .max(1)
        + 2;
    let chart = Rect {
        height: area.height.saturating_sub(rows),
        ..area
    };
    let legend = Rect {
        y: chart.bottom(),
        height: area.height - chart.height,
        ..area
    };
    (chart, legend)
}

fn inside(area: Rect) -> Rect {
    Rect {
        x: (area.x + 1).min(area.right()),
        y: (area.y + 1).min(area.bottom()),
        width: area.width.saturating_sub(2),
        height: area.height.saturating_sub(2),
    }
}

/// Colours go round first; then the pattern changes. Without colours the pattern changes at once.
fn style(at: usize, theme: &Theme) -> (Style, Pattern) {
    let patterns = [Pattern::Solid, Pattern::Dashed, Pattern::Dotted];
    let colours = theme.chart.series;
    if theme.depth == ColorDepth::None || colours.windows(2).all(|pair| pair[0] == pair[1]) {
        return (colours[0], patterns[at % patterns.len()]);
    }
    (
        colours[at % colours.len()],
        patterns[at / colours.len() % patterns.len()],
    )
}

fn letter(at: usize) -> char {
    LETTERS.get(at).map_or('*', |letter| char::from(*letter))
}

/// The values as columns of dots; the line goes to the edges where it goes on beyond them.
fn columns(values: &[(f64, f64)], axis: &Axis, count: usize) -> Vec<Sample> {
    let (low, high) = axis.range();
    let mut line = vec![Sample::Nothing; count];
    if count == 0 {
        return line;
    }
    let from = values.partition_point(|(x, _)| *x < low);
    let to = values.partition_point(|(x, _)| *x <= high);
    for (x, value) in &values[from..to] {
        let at = ((x - low) / (high - low) * count as f64) as usize;
        if let Some(sample) = line.get_mut(at.min(count - 1)) {
            *sample = match value.is_finite() {
                true => Sample::Value(*value),
                false => Sample::Gap,
            };
        }
    }
    let between = |at: f64, (x0, y0): (f64, f64), (x1, y1): (f64, f64)| {
        let share = (at - x0) / (x1 - x0).max(f64::MIN_POSITIVE);
        Some(y0 + (y1 - y0) * share).filter(|value| value.is_finite())
    };
    if line[0] == Sample::Nothing
        && let (Some(before), Some(after)) = (
            from.checked_sub(1).and_then(|at| values.get(at)),
            values.get(from),
        )
        && let Some(value) = between(low, *before, *after)
    {
        line[0] = Sample::Value(value);
    }
    if line[count - 1] == Sample::Nothing
        && let (Some(before), Some(after)) = (
            to.checked_sub(1).and_then(|at| values.get(at)),
            values.get(to),
        )
        && let Some(value) = between(high, *before, *after)
    {
        line[count - 1] = Sample::Value(value);
    }
    line
}

/// The value at a place: of the last point that is not after it.
fn at_place(values: &[(f64, f64)], x: f64) -> Option<f64> {
    let after = values.partition_point(|(place, _)| *place <= x);
    let (_, value) = values.get(after.checked_sub(1)?)?;
    // Beyond its end a run has no value.
    let ended = after == values.len() && values.last().is_some_and(|(last, _)| x > *last * 1.0001);
    (!ended && value.is_finite()).then_some(*value)
}

impl RunsScreen {
    fn curves(&self, view: &OverlayView) -> Vec<Curve> {
        let runs = view.runs.iter().enumerate();
        runs.filter(|(_, (_, hidden))| !hidden)
            .filter_map(|(at, (dir, _))| {
                let run = self.find(dir)?;
                let Some(Ok(overview)) = self.overview(dir) else {
                    return None;
                };
                Some(Curve {
                    at,
                    train: match view.of {
                        Of::Validation => Vec::new(),
                        Of::Train | Of::Both => view.train(run, overview),
                    },
                    validation: match view.of {
                        Of::Train => Vec::new(),
                        Of::Validation | Of::Both => view.validation(run, overview),
                    },
                })
            })
            .collect()
    }

    /// From the first point of any run to the last.
    fn extent(curves: &[Curve]) -> (f64, f64) {
        let ends = curves.iter().flat_map(|curve| {
            [&curve.train, &curve.validation]
                .into_iter()
                .flat_map(|values| values.first().into_iter().chain(values.last()))
        });
        fit_values(ends.map(|(x, _)| *x)).unwrap_or((0.0, 1.0))
    }

    pub(super) fn act_overlay(
        &self,
        view: &mut OverlayView,
        action: Action,
        requests: &mut Vec<RunsRequest>,
    ) -> Handled {
        let last = view.runs.len().saturating_sub(1);
        let extent = Self::extent(&self.curves(view));
        let (low, high) = view.viewport.range(extent);
        let finest = ((extent.1 - extent.0) / 1000.0).max(f64::MIN_POSITIVE);
        match action {
            Action::Up => view.cursor = view.cursor.saturating_sub(1),
            Action::Down => view.cursor = (view.cursor + 1).min(last),
            Action::Mark => {
                if let Some((_, hidden)) = view.runs.get_mut(view.cursor) {
                    *hidden = !*hidden;
                }
            }
            Action::CycleSource => view.of = view.of.next(),
            Action::CycleUnit => view.unit = view.unit.next(),
            Action::CycleSmoothing => {
                let at = SMOOTHING.iter().position(|s| *s == view.smoothing);
                view.smoothing = SMOOTHING[at.map_or(0, |at| (at + 1) % SMOOTHING.len())];
            }
            Action::ToggleLog => {
                view.scale = match view.scale {
                    Scale::Linear => Scale::Log,
                    Scale::Log => Scale::Linear,
                }
            }
            Action::CycleXAxis => {
                view.by = view.by.next();
                // Another axis has other places: the whole runs again.
                view.viewport.reset();
                view.crosshair = None;
                let unknown = |(dir, _): &(PathBuf, bool)| {
                    self.find(dir)
                        .is_some_and(|run| run.operations_per_token == 0)
                };
                let unknown = view.runs.iter().filter(|run| unknown(run)).count();
                if view.by == By::Compute && unknown > 0 {
                    let text = format!("of {unknown} runs the compute is not known: left out");
                    requests.push(RunsRequest::Notice(NoticeLevel::Info, text));
                }
            }
            Action::ZoomIn | Action::ZoomOut => {
                let factor = if action == Action::ZoomIn { 2.0 } else { 0.5 };
                let centre = match view.crosshair {
                    Some(x) => (x - low) / (high - low),
                    None if view.viewport.follows() => 1.0,
                    None => 0.5,
                };
                view.viewport.zoom(factor, centre, extent, finest);
            }
            Action::ZoomReset => view.viewport.reset(),
            Action::Left | Action::Right => {
                let direction = if action == Action::Left { -1.0 } else { 1.0 };
                match &mut view.crosshair {
                    Some(x) => *x = (*x + direction * (high - low) / 60.0).clamp(low, high),
                    None => view.viewport.pan(direction * 0.2, extent),
                }
            }
            Action::Top => match &mut view.crosshair {
                Some(x) => *x = low,
                None => view.viewport.pan(-1e9, extent),
            },
            Action::Bottom => {
                view.crosshair = view.crosshair.map(|_| extent.1);
                view.viewport.pan(1e9, extent);
            }
            Action::ToggleFreeze => view.viewport.toggle_freeze(extent),
            Action::ToggleCrosshair => {
                view.crosshair = match view.crosshair {
                    Some(_) => None,
                    None => Some(high.min(extent.1)),
                }
            }
            _ => return Handled::No,
        }
        Handled::Yes
    }

    pub(super) fn mouse_overlay(
        &self,
        view: &mut OverlayView,
        mouse: ScreenMouse,
        area: Rect,
    ) -> Handled {
        let (chart, legend) = places(area, view.runs.len());
        let plot = Chart::plot(inside(chart));
        let extent = Self::extent(&self.curves(view));
        let (low, high) = view.viewport.range(extent);
        let share =
            |x: u16| (f64::from(x.saturating_sub(plot.x)) + 0.5) / f64::from(plot.width.max(1));
        match mouse {
            ScreenMouse::Wheel { at, lines } if plot.contains(at) => {
                let finest = ((extent.1 - extent.0) / 1000.0).max(f64::MIN_POSITIVE);
                let factor = 1.25f64.powi(-lines.clamp(-20, 20));
                view.viewport.zoom(factor, share(at.x), extent, finest);
            }
            ScreenMouse::Click(at) | ScreenMouse::Drag(at) if plot.contains(at) => {
                view.crosshair = Some(low + (high - low) * share(at.x));
            }
            ScreenMouse::Click(at) if inside(legend).contains(at) => {
                let rows = usize::from(inside(legend).height);
                let offset = scroll_offset(view.cursor, view.runs.len(), rows);
                let row = offset + usize::from(at.y - inside(legend).y);
                if row >= view.runs.len() {
                    return Handled::No;
                }
                view.cursor = row;
            }
            _ => return Handled::No,
        }
        Handled::Yes
    }

    pub(super) fn render_overlay(
        &self,
        view: &OverlayView,
        theme: &Theme,
        area: Rect,
        buffer: &mut Buffer,
    ) {
        let (chart_area, legend_area) = places(area, view.runs.len());
        let curves = self.curves(view);
        let inner = pane(theme, &view.title(), 1, true, chart_area, buffer);
        self.chart(view, &curves, theme, Chart::plot(inner))
            .render(inner, buffer);
        let title = match view.crosshair {
            Some(x) => format!("at {}", place_text(view.by, x)),
            None => format!("{} runs", view.runs.len()),
        };
        let legend = pane(theme, &title, 0, false, legend_area, buffer);
        self.render_legend(view, &curves, theme, legend, buffer);
    }

    fn chart(&self, view: &OverlayView, curves: &[Curve], theme: &Theme, plot: Rect) -> Chart {
        let range = view.viewport.range(Self::extent(curves));
        let x = Axis::new(range, Scale::Linear);
        let count = Chart::columns(plot, symbols(theme));
        let mut lines: Vec<(usize, Vec<Sample>)> = curves
            .iter()
            .map(|curve| {
                let values = match view.of {
                    Of::Validation => &curve.validation,
                    Of::Train | Of::Both => &curve.train,
                };
                (curve.at, columns(values, &x, count))
            })
            .collect();
        // The line under the cursor lies on top.
        lines.sort_by_key(|(at, _)| *at == view.cursor);
        let shown = |values: &[(f64, f64)]| -> Vec<(f64, f64)> {
            let (low, high) = x.range();
            let inside =
                |(place, value): &&(f64, f64)| (low..=high).contains(place) && value.is_finite();
            values.iter().filter(inside).copied().collect()
        };
        let points: Vec<(usize, Vec<(f64, f64)>)> = match view.of {
            Of::Both => curves
                .iter()
                .map(|curve| (curve.at, shown(&curve.validation)))
                .collect(),
            _ => Vec::new(),
        };
        let of_lines = lines
            .iter()
            .flat_map(|(_, line)| line)
            .filter_map(|s| match s {
                Sample::Value(value) => Some(*value),
                _ => None,
            });
        let of_points = points
            .iter()
            .flat_map(|(_, points)| points)
            .map(|(_, y)| *y);
        let fitted = fit_values(of_lines.chain(of_points));
        let y = Axis::new(fitted.unwrap_or((0.0, 1.0)), view.scale).padded(0.03);
        let mut chart = Chart::new(x, y, look(theme));
        if view.by == By::Time {
            chart.x_unit = Unit::Seconds;
        }
        if fitted.is_none() {
            chart.message = Some(self.why_empty(view, theme));
            return chart;
        }
        let bold = |at: usize| match at == view.cursor {
            true => style(at, theme).0.add_modifier(Modifier::BOLD),
            false => style(at, theme).0,
        };
        let mut ends = Vec::new();
        for (at, line) in lines {
            let last = line.iter().rposition(|s| matches!(s, Sample::Value(_)));
            if let Some((place, Sample::Value(value))) = last.map(|at| (at, line[at])) {
                let place = x.value_at((place as f64 + 0.5) / count as f64);
                ends.push((at, (place, value)));
            }
            chart.layers.push(Layer::Line {
                columns: line,
                style: bold(at),
                pattern: style(at, theme).1,
            });
        }
        for (at, points) in points {
            chart.layers.push(Layer::Points {
                points,
                symbol: 'o',
                style: bold(at),
            });
        }
        for (at, end) in ends {
            chart.layers.push(Layer::Points {
                points: vec![end],
                symbol: letter(at),
                style: bold(at).add_modifier(Modifier::BOLD),
            });
        }
        chart.crosshair = view.crosshair.map(|x| {
            let mut rows: Vec<(f64, (String, Style))> = curves
                .iter()
                .filter_map(|curve| {
                    let value = value_at(view, curve, x)?;
                    let text = format!("{} {}", letter(curve.at), reading(value));
                    Some((value, (text, bold(curve.at))))
                })
                .collect();
            // As the lines lie: the highest first.
            rows.sort_by(|a, b| b.0.total_cmp(&a.0));
            let mut texts = vec![(place_text(view.by, x), theme.chart.crosshair)];
            texts.extend(rows.into_iter().map(|(_, row)| row));
            Crosshair {
                x,
                rows: texts,
                style: theme.chart.crosshair,
            }
        });
        chart
    }

    fn why_empty(&self, view: &OverlayView, theme: &Theme) -> String {
        let waiting = view
            .runs
            .iter()
            .any(|(dir, _)| self.overview(dir).is_none());
        match (waiting, view.of) {
            (true, _) => format!("reading the curves{}", theme.symbols.ellipsis),
            (false, Of::Validation) => "no evaluations here".to_string(),
            (false, _) => "nothing to draw: hidden, or no steps yet".to_string(),
        }
    }

    fn render_legend(
        &self,
        view: &OverlayView,
        curves: &[Curve],
        theme: &Theme,
        area: Rect,
        buffer: &mut Buffer,
    ) {
        let rows = usize::from(area.height);
        let offset = scroll_offset(view.cursor, view.runs.len(), rows);
        let (solid, dashed, dotted) = match theme.symbols.unicode {
            true => ("━━━", "╍╍╍", "┅┅┅"),
            false => ("---", "- -", ". ."),
        };
        for (at, (dir, hidden)) in view.runs.iter().enumerate().skip(offset).take(rows) {
            let row = (at - offset) as u16;
            let here = at == view.cursor;
            let base = if here { theme.selected } else { theme.text };
            let (colour, pattern) = style(at, theme);
            let swatch = match pattern {
                Pattern::Solid => solid,
                Pattern::Dashed => dashed,
                Pattern::Dotted => dotted,
            };
            let run = self.find(dir);
            let value = match (run, self.overview(dir)) {
                (None, _) => "gone".to_string(),
                _ if *hidden => "hidden".to_string(),
                (_, None) => theme.symbols.ellipsis.to_string(),
                (_, Some(Err(_))) => "unreadable".to_string(),
                (Some(_), Some(Ok(_))) => curves
                    .iter()
                    .find(|curve| curve.at == at)
                    .and_then(|curve| match view.crosshair {
                        Some(x) => value_at(view, curve, x),
                        None => newest(view, curve),
                    })
                    .map_or("-".to_string(), reading),
            };
            let name = match run {
                Some(run) => run.summary.name.clone(),
                None => dir.display().to_string(),
            };
            let alive = run.is_some_and(|run| run.process.is_some());
            let live = if alive { theme.symbols.bullet } else { " " };
            let room = usize::from(area.width).saturating_sub(10 + value.width());
            let name = fit(&name, room, theme.symbols.ellipsis);
            let pad = " ".repeat(room.saturating_sub(name.width()));
            let cursor = if here { theme.symbols.cursor } else { " " };
            let line = Line::from(vec![
                Span::styled(cursor.to_string(), base),
                Span::styled(format!("{} {swatch} ", letter(at)), colour),
                Span::styled(live.to_string(), theme.good),
                Span::styled(format!(" {name}{pad} {value}"), base),
            ]);
            write_line(buffer, area, row, &line);
        }
        if view.runs.is_empty() {
            write(buffer, area, 0, "no runs", theme.dim);
        }
    }
}

fn value_at(view: &OverlayView, curve: &Curve, x: f64) -> Option<f64> {
    match view.of {
        Of::Validation => at_place(&curve.validation, x),
        Of::Train | Of::Both => at_place(&curve.train, x),
    }
}

fn newest(view: &OverlayView, curve: &Curve) -> Option<f64> {
    let values = match view.of {
        Of::Validation => &curve.validation,
        Of::Train | Of::Both => &curve.train,
    };
    let last = values.iter().rev().find(|(_, value)| value.is_finite());
    last.map(|(_, value)| *value)
}

fn place_text(by: By, x: f64) -> String {
    match by {
        By::Step => format!("step {}", reading(x.round())),
        By::Tokens => format!("{} tokens", reading(x.round())),
        By::Time => clock(x),
        By::Compute => format!("{x:.2e} operations"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_to_the_edges_of_a_narrow_window() {
        let values = [(0.0, 4.0), (100.0, 3.0), (200.0, 2.0)];
        let axis = Axis::new((110.0, 190.0), Scale::Linear);
        let line = columns(&values, &axis, 10);
        let Sample::Value(left) = line[0] else {
            panic!("{line:?}")
        };
        let Sample::Value(right) = line[9] else {
            panic!("{line:?}")
        };
        assert!((left - 2.9).abs() < 1e-9 && (right - 2.1).abs() < 1e-9);
        // Where a run has ended nothing is made up.
        let axis = Axis::new((150.0, 400.0), Scale::Linear);
        assert_eq!(columns(&values, &axis, 10)[9], Sample::Nothing);
        assert_eq!(at_place(&values, 250.0), None);
        assert_eq!(at_place(&values, 150.0), Some(3.0));
        assert_eq!(at_place(&values, -1.0), None);
    }

    #[test]
    fn twenty_lines_are_told_apart() {
        for name in crate::ui::theme::NAMES {
            let theme = Theme::new(
                name,
                ColorDepth::TrueColor,
                crate::ui::theme::Symbols::unicode(),
            );
            let looks: Vec<(Style, Pattern, char)> = (0..20)
                .map(|at| {
                    let (style, pattern) = style(at, &theme);
                    (style, pattern, letter(at))
                })
                .collect();
            for (at, look) in looks.iter().enumerate() {
                assert!(!looks[..at].contains(look), "{name}: {at}");
            }
            // Neighbours differ by more than their letter.
            for pair in looks.windows(2) {
                assert_ne!((pair[0].0, pair[0].1), (pair[1].0, pair[1].1), "{name}");
            }
        }
    }
}
