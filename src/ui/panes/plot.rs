//! What the panes with a chart share: window, axis, crosshair, and turning a metric into layers.

use ratatui::layout::{Position, Rect};
use ratatui::style::Style;

use super::frame::inside;
use super::{Handled, PaneMouse};
use crate::chart::{Across, Quantity, View};
use crate::ui::keymap::Action;
use crate::ui::screens::train::{Branch, RunView};
use crate::ui::series::{Column, Metric, XAxis};
use crate::ui::theme::Theme;
use crate::ui::widgets::chart::{
    Axis, Chart, Layer, Look, Pattern, Sample, Scale, Symbols, Unit, Viewport, fit, fit_robust,
};

/// The state of one chart.
#[derive(Debug, Clone, Default)]
pub struct PlotState {
    pub viewport: Viewport,
    pub axis: XAxis,
    pub scale: Scale,
    /// In units of the axis.
    pub crosshair: Option<f64>,
}

impl PlotState {
    pub fn with_scale(scale: Scale) -> Self {
        Self {
            scale,
            ..Self::default()
        }
    }

    /// Zoom, pan, freeze, axes and crosshair. `extent` is where the data lies.
    pub fn act(&mut self, action: Action, run: &RunView, extent: (f64, f64)) -> Handled {
        let (low, high) = self.viewport.range(extent);
        match action {
            Action::ZoomIn | Action::ZoomOut => {
                let factor = if action == Action::ZoomIn { 2.0 } else { 0.5 };
                let centre = match self.crosshair {
                    Some(x) => (x - low) / (high - low),
                    None if self.viewport.follows() => 1.0,
                    None => 0.5,
                };
                self.viewport.zoom(factor, centre, extent, self.finest(run));
            }
            Action::ZoomReset => self.viewport.reset(),
            Action::Left => self.shift(-1.0, extent),
            Action::Right => self.shift(1.0, extent),
            Action::Top => match &mut self.crosshair {
                Some(x) => *x = low,
                None => self.viewport.to_start(extent),
            },
            Action::Bottom => {
                self.crosshair = self.crosshair.map(|_| extent.1);
                self.viewport.follow(extent);
            }
            Action::ToggleLog => {
                self.scale = match self.scale {
                    Scale::Linear => Scale::Log,
                    Scale::Log => Scale::Linear,
                }
            }
            Action::CycleXAxis => {
                let (from, to) = (self.axis, self.axis.next());
                let carry = |x: f64| run.series.translate(from, to, x);
                self.viewport = self.viewport.translated(carry, extent);
                self.crosshair = self.crosshair.map(carry);
                self.axis = to;
            }
            Action::ToggleFreeze => self.viewport.toggle_freeze(extent),
            Action::ToggleCrosshair => {
                self.crosshair = match self.crosshair {
                    Some(_) => None,
                    None => Some(high.min(extent.1)),
                }
            }
            Action::Close if self.crosshair.is_some() => self.crosshair = None,
            _ => return Handled::No,
        }
        Handled::Yes
    }

    fn shift(&mut self, direction: f64, extent: (f64, f64)) {
        let (low, high) = self.viewport.range(extent);
        match &mut self.crosshair {
            Some(x) => *x = (*x + direction * (high - low) / 60.0).clamp(low, high),
            None => self.viewport.pan(direction * 0.2, extent),
        }
    }

    /// A window of about four steps.
    fn finest(&self, run: &RunView) -> f64 {
        let whole = run
            .series
            .extent(self.axis)
            .map_or(1.0, |(low, high)| high - low);
        (4.0 * whole / run.series.len().max(1) as f64).max(f64::MIN_POSITIVE)
    }

    /// The wheel zooms around the pointer; a click or drag places the crosshair.
    pub fn mouse(
        &mut self,
        mouse: PaneMouse,
        area: Rect,
        run: &RunView,
        extent: (f64, f64),
    ) -> Handled {
        let plot = Chart::plot(inside(area));
        let share =
            |at: Position| f64::from(at.x.saturating_sub(plot.x)) / f64::from(plot.width.max(1));
        match mouse {
            PaneMouse::Wheel { at, lines } => {
                let factor = 1.25f64.powi(-lines.clamp(-20, 20));
                self.viewport
                    .zoom(factor, share(at), extent, self.finest(run));
            }
            PaneMouse::Click(at) | PaneMouse::Drag(at) if plot.contains(at) => {
                let (low, high) = self.viewport.range(extent);
                let width = f64::from(plot.width.max(1));
                self.crosshair = Some(low + (high - low) * (share(at) + 0.5 / width));
            }
            PaneMouse::Click(_) | PaneMouse::Drag(_) => return Handled::No,
        }
        Handled::Yes
    }

    pub fn x_unit(&self) -> Unit {
        match self.axis {
            XAxis::Seconds => Unit::Seconds,
            XAxis::Step | XAxis::Tokens => Unit::Count,
        }
    }

    /// ` · frozen` and such, for a title.
    pub fn words(&self) -> String {
        let mut words = String::new();
        if self.axis != XAxis::Step {
            words.push_str(&format!("by {} ", self.axis.label()));
        }
        if self.scale == Scale::Log {
            words.push_str("log ");
        }
        if self.viewport.is_frozen() {
            words.push_str("frozen ");
        } else if !self.viewport.follows() {
            words.push_str("zoomed ");
        }
        words
    }

    /// What a chart of `quantity` shows with this window, these axes and the run's smoothing.
    pub fn view(&self, quantity: Quantity, run: &RunView, extent: (f64, f64)) -> View {
        let range = match self.viewport {
            Viewport::Everything => None,
            // The series keeps places as `f32`; less than a pixel of room lets the ends in.
            _ => {
                let (low, high) = self.viewport.range(extent);
                let room = (high - low) * 1e-4;
                Some((low - room, high + room))
            }
        };
        View {
            quantity,
            across: match self.axis {
                XAxis::Step => Across::Step,
                XAxis::Tokens => Across::Tokens,
                XAxis::Seconds => Across::Time,
            },
            range,
            smoothing: run.smoothing,
            scale: self.scale,
            ahead: Vec::new(),
        }
    }

    /// The point under the crosshair.
    pub fn under_crosshair(&self, run: &RunView) -> Option<usize> {
        self.crosshair
            .and_then(|x| run.series.nearest(self.axis, x))
    }
}

pub fn symbols(theme: &Theme) -> Symbols {
    if theme.symbols.unicode {
        Symbols::Braille
    } else {
        Symbols::Ascii
    }
}

pub fn look(theme: &Theme) -> Look {
    Look {
        symbols: symbols(theme),
        axis: theme.chart.axis,
        labels: theme.dim,
        clipped: theme.warning,
    }
}

/// One metric, cut to the columns of a plot, in the unit it is shown in.
#[derive(Debug)]
pub struct Curve {
    pub band: Vec<Option<(f64, f64)>>,
    pub line: Vec<Sample>,
    pub gaps: Vec<bool>,
}

impl Curve {
    /// `show` turns a stored value into what is shown; it must not fall as the value rises.
    pub fn new(
        run: &RunView,
        metric: Metric,
        axis: XAxis,
        range: (f64, f64),
        columns: usize,
        show: impl Fn(f64) -> f64,
    ) -> Self {
        let view = run.series.view(metric, axis, range, columns);
        let line = |column: &Column| {
            if column.summary.finite > 0 {
                let shown = run
                    .series
                    .smoothed(metric, column.end - 1)
                    .map(&show)
                    .filter(|value| value.is_finite());
                shown.map_or(Sample::Gap, Sample::Value)
            } else if column.summary.gaps > 0 {
                Sample::Gap
            } else {
                Sample::Nothing
            }
        };
        Self {
            band: view
                .iter()
                .map(|column| {
                    let (low, high) = (column.summary.min, column.summary.max);
                    (column.summary.finite > 0).then(|| (show(low.into()), show(high.into())))
                })
                .collect(),
            line: view.iter().map(line).collect(),
            gaps: view.iter().map(|column| column.summary.gaps > 0).collect(),
        }
    }

    /// Every value drawn.
    pub fn values(&self) -> impl Iterator<Item = f64> + '_ {
        self.band
            .iter()
            .flatten()
            .flat_map(|(low, high)| [*low, *high])
    }

    /// The range of values, without the far outliers when `robust`.
    pub fn range(&self, robust: bool) -> Option<(f64, f64)> {
        if robust {
            fit_robust(self.values())
        } else {
            fit(self.values())
        }
    }

    /// The raw values as a band, the smoothed line on top (only the band, in full strength, where nothing is
    /// smoothed), and a mark for each gap.
    pub fn layers(self, run: &RunView, style: Style, theme: &Theme) -> Vec<Layer> {
        let mut layers = vec![Layer::Band {
            columns: self.band,
            style: if run.smoothing > 0.0 {
                theme.chart.faint
            } else {
                style
            },
        }];
        if run.smoothing > 0.0 {
            layers.push(Layer::Line {
                columns: self.line,
                style,
                pattern: Pattern::Solid,
            });
        }
        layers.push(Layer::Gaps {
            columns: self.gaps,
            symbol: theme.symbols.cross.chars().next().unwrap_or('x'),
            style: theme.chart.mark_bad,
        });
        layers
    }
}

/// One metric on the branches that were left by going back, each as a line of columns.
pub fn left(
    run: &RunView,
    metric: Metric,
    axis: XAxis,
    range: (f64, f64),
    columns: usize,
    show: impl Fn(f64) -> f64,
) -> Vec<Vec<Sample>> {
    let line = |branch: &Branch| -> Vec<Sample> {
        let start = branch.start();
        let view = branch.series.view(metric, axis, range, columns);
        let sample = |column: &Column| {
            let shown = (column.end > start && column.end > column.start)
                .then(|| branch.series.smoothed(metric, column.end - 1))
                .flatten()
                .map(&show)
                .filter(|value| value.is_finite());
            shown.map_or(Sample::Nothing, Sample::Value)
        };
        view.iter().map(sample).collect()
    };
    run.branches.iter().map(line).collect()
}

/// The branches as faint lines, behind everything else.
pub fn left_layers(branches: Vec<Vec<Sample>>, theme: &Theme) -> impl Iterator<Item = Layer> {
    let style = theme.chart.faint;
    branches.into_iter().map(move |columns| Layer::Line {
        columns,
        style,
        pattern: Pattern::Solid,
    })
}

/// The range, widened to the lines.
pub fn with_lines(range: Option<(f64, f64)>, lines: &[Vec<Sample>]) -> Option<(f64, f64)> {
    let values = lines.iter().flatten().filter_map(|sample| match sample {
        Sample::Value(value) => Some(*value),
        _ => None,
    });
    let (low, high) = range?;
    Some(values.fold((low, high), |(low, high), v| (low.min(v), high.max(v))))
}

/// An empty chart that says what will come.
pub fn empty(theme: &Theme, message: &str) -> Chart {
    let axis = Axis::new((0.0, 1.0), Scale::Linear);
    let mut chart = Chart::new(axis, axis, look(theme));
    chart.message = Some(message.to_string());
    chart
}
