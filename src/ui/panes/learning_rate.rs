//! The learning rate: what was, what will be, and what a pending edit would make of it.
//!
//! ```text
//! ┌ 3 Learning rate past ─ ahead ┄ pending · ──────────── now 2.4e-4 ┐
//! │ 3e-4 ┤  ⢀⠤⠒⠒⠒⠢⢄⡀                                              │
//! │ 1e-4 ┤⡠⠊         ⠈⠉ ⠒ ⠤ ⣀ ⣀                                     │
//! │      └──────────────────────────                                │
//! └─────────────────────────────────────────────────────────────────┘
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::frame::frame;
use super::loss::markers;
use super::plot::{Curve, PlotState, empty, left, left_layers, look, symbols};
use super::{Handled, Pane, PaneContext, PaneMouse, PaneSpec};
use crate::chart::{Curve as ChartCurve, CurveKind, Point, Quantity, View};
use crate::config::{RunConfig, ScheduleKind};
use crate::protocol::SchedulePoint;
use crate::schedule::{self, PlateauState};
use crate::ui::keymap::{Action, Context};
use crate::ui::screens::train::RunView;
use crate::ui::series::{Metric, XAxis};
use crate::ui::theme::Theme;
use crate::ui::widgets::chart::{Axis, Chart, Crosshair, Layer, Pattern, Sample, fit, reading};

pub const SPEC: PaneSpec = PaneSpec {
    id: "learning-rate",
    title: "Learning rate",
    help: "How far each step moves the weights. Solid: what was used. Dashed: what the schedule has ahead. Dotted: \
           what the pending edits (multiplier, schedule, peak, total steps) would make of it, until they are applied or \
           discarded. Faint: what was used on branches that were left by going back. A short climb at the \
           start (warmup) keeps the first, wild gradients from doing harm; the fall at the end lets the model settle.",
    context: Context::Chart,
    importance: 80,
};

/// Places at which a pending schedule is asked for.
const POINTS: usize = 400;

#[derive(Debug, Default)]
pub struct LearningRate {
    plot: PlotState,
}

pub fn new() -> Box<dyn Pane> {
    Box::new(LearningRate::default())
}

impl LearningRate {
    /// From the first step to the last that is planned.
    fn extent(&self, run: &RunView) -> (f64, f64) {
        let axis = self.plot.axis;
        let pending = run.knobs.pending_config().map_or(0, |c| c.train.steps);
        let last = run.total_steps().max(run.step).max(pending);
        let (start, known) = run.extent(axis).unwrap_or((0.0, 0.0));
        let end = run.place(axis, last as f64).max(known);
        (start.min(end), end.max(start))
    }

    /// A schedule from the newest step on, by columns.
    fn ahead(
        &self,
        run: &RunView,
        x: Axis,
        columns: usize,
        schedule: &[SchedulePoint],
    ) -> Vec<Sample> {
        let mut out = vec![Sample::Nothing; columns];
        let future = schedule.iter().filter(|point| point.step > run.step);
        let now = run.series.last().map(|last| {
            let rate = interpolate(schedule, last.step as f64).unwrap_or(last.learning_rate);
            (last.step, rate)
        });
        let points = now
            .into_iter()
            .chain(future.map(|p| (p.step, p.learning_rate)));
        for (step, rate) in points {
            let place = x.place(run.place(self.plot.axis, step as f64));
            if let Some(place) = place.filter(|place| (0.0..=1.0).contains(place)) {
                let column = (place * columns as f64) as usize;
                out[column.min(columns - 1)] = Sample::Value(rate);
            }
        }
        out
    }

    fn chart(&self, run: &RunView, theme: &Theme, plot: Rect) -> Chart {
        let columns = Chart::columns(plot, symbols(theme));
        if (run.series.is_empty() && run.schedule.is_empty()) || columns == 0 {
            return empty(theme, "no steps yet");
        }
        let axis = self.plot.axis;
        let x = Axis::new(
            self.plot.viewport.range(self.extent(run)),
            Default::default(),
        );
        let past = Curve::new(
            run,
            Metric::LearningRate,
            axis,
            x.range(),
            columns,
            |rate| rate,
        );
        let ahead = self.ahead(run, x, columns, &run.schedule);
        let pending = pending_schedule(run).map(|schedule| self.ahead(run, x, columns, &schedule));
        let branches = left(
            run,
            Metric::LearningRate,
            axis,
            x.range(),
            columns,
            |rate| rate,
        );
        let drawn = |line: &[Sample]| {
            let values = line.iter().filter_map(|sample| match sample {
                Sample::Value(value) => Some(*value),
                _ => None,
            });
            values.collect::<Vec<_>>()
        };
        let all = past
            .values()
            .chain(drawn(&ahead))
            .chain(pending.iter().flat_map(|line| drawn(line)))
            .chain(branches.iter().flat_map(|line| drawn(line)))
            .chain((self.plot.scale == Default::default()).then_some(0.0));
        let y = Axis::new(fit(all).unwrap_or((0.0, 1.0)), self.plot.scale).padded(0.04);
        let mut chart = Chart::new(x, y, look(theme));
        chart.x_unit = self.plot.x_unit();
        let line = |columns, style, pattern| Layer::Line {
            columns,
            style,
            pattern,
        };
        chart.layers.extend(left_layers(branches, theme));
        chart
            .layers
            .push(line(ahead, theme.chart.ahead, Pattern::Dashed));
        if let Some(pending) = pending {
            chart
                .layers
                .push(line(pending, theme.chart.pending, Pattern::Dotted));
        }
        chart
            .layers
            .push(line(past.line, theme.chart.learning_rate, Pattern::Solid));
        chart.markers = markers(run, axis, theme);
        chart.crosshair = self.plot.crosshair.map(|x| {
            let index = run.series.nearest(axis, x);
            let report = index.and_then(|index| run.series.report(index));
            let rows = report.map(|report| {
                let text = format!("step {} lr {}", report.step, reading(report.learning_rate));
                (text, theme.chart.learning_rate)
            });
            Crosshair {
                x: index.map_or(x, |index| run.series.x(axis, index)),
                rows: rows.into_iter().collect(),
                style: theme.chart.crosshair,
            }
        });
        chart
    }
}

/// A schedule from the newest step on, for a chart that leaves the screen.
fn curve_ahead(run: &RunView, kind: CurveKind, schedule: &[SchedulePoint]) -> ChartCurve {
    let future = schedule.iter().filter(|point| point.step > run.step);
    let points = future.map(|point| {
        let step = point.step as f64;
        Point {
            step: point.step,
            tokens: run.place(XAxis::Tokens, step) as u64,
            seconds: run.place(XAxis::Seconds, step),
            operations: f64::NAN, // the dashboard has no such axis
            value: point.learning_rate,
            smoothed: f64::NAN,
        }
    });
    ChartCurve {
        kind,
        points: points.collect(),
    }
}

/// The schedule as the pending edits would have it; `None` where they do not touch it.
fn pending_schedule(run: &RunView) -> Option<Vec<SchedulePoint>> {
    let multiplier = run.knobs.pending_multiplier();
    let shape = |config: &RunConfig| {
        let rate = config.optimizer.learning_rate;
        (config.schedule.clone(), rate, config.train.steps)
    };
    let config = run.knobs.pending_config().unwrap_or(&run.config);
    if multiplier.is_none() && shape(config) == shape(&run.config) {
        return None;
    }
    let multiplier = multiplier.unwrap_or(run.multiplier);
    // What `plateau` has cut until now can be read off the rate in use.
    let peak = run.config.optimizer.learning_rate * run.multiplier;
    let mut plateau = PlateauState::default();
    if run.config.schedule.kind == ScheduleKind::Plateau
        // One from another step on begins without cuts.
        && run.config.schedule.start == config.schedule.start
        && let Some(last) = run.series.last()
        && peak > 0.0
    {
        plateau.share = (last.learning_rate / peak).clamp(0.0, 1.0);
    }
    let peak = config.optimizer.learning_rate;
    let mut points = schedule::points(&config.schedule, peak, config.train.steps, POINTS, &plateau);
    for point in &mut points {
        point.learning_rate *= multiplier;
    }
    Some(points)
}

/// A schedule at `step`, between the points it was sampled at.
fn interpolate(schedule: &[SchedulePoint], step: f64) -> Option<f64> {
    let after = schedule.partition_point(|point| (point.step as f64) < step);
    let right = schedule.get(after)?;
    let Some(left) = after.checked_sub(1).map(|at| schedule[at]) else {
        return Some(right.learning_rate);
    };
    let share = (step - left.step as f64) / (right.step - left.step).max(1) as f64;
    Some(left.learning_rate + (right.learning_rate - left.learning_rate) * share)
}

impl Pane for LearningRate {
    fn spec(&self) -> &'static PaneSpec {
        &SPEC
    }

    fn act(&mut self, action: Action, run: &RunView) -> Handled {
        self.plot.act(action, run, self.extent(run))
    }

    fn mouse(&mut self, mouse: PaneMouse, area: Rect, run: &RunView) -> Handled {
        self.plot.mouse(mouse, area, run, self.extent(run))
    }

    fn chart(&self, run: &RunView) -> Option<View> {
        let quantity = Quantity::LearningRate;
        let mut view = self.plot.view(quantity, run, self.extent(run));
        view.ahead
            .push(curve_ahead(run, CurveKind::Ahead, &run.schedule));
        if let Some(pending) = pending_schedule(run) {
            view.ahead
                .push(curve_ahead(run, CurveKind::Pending, &pending));
        }
        Some(view)
    }

    fn render(&self, run: &RunView, context: PaneContext<'_>, area: Rect, buffer: &mut Buffer) {
        let theme = context.theme;
        let (dotted, dot) = if theme.symbols.unicode {
            ("┄", "·")
        } else {
            ("- -", ".")
        };
        let mut legend = vec![
            Span::styled(self.plot.words(), theme.info),
            Span::styled(
                format!("past {} ", theme.symbols.dash),
                theme.chart.learning_rate,
            ),
            Span::styled(format!("ahead {dotted} "), theme.chart.ahead),
        ];
        if pending_schedule(run).is_some() {
            legend.push(Span::styled(format!("pending {dot} "), theme.chart.pending));
        }
        let now = run.series.last().map(|last| {
            let text = format!("now {}", reading(last.learning_rate));
            Span::styled(text, theme.chart.learning_rate)
        });
        let inner = frame(
            &context,
            SPEC.title,
            legend,
            now.into_iter().collect(),
            area,
            buffer,
        );
        self.chart(run, theme, Chart::plot(inner))
            .render(inner, buffer);
    }
}
