//! The norm of the gradient over all parameters, before clipping.
//!
//! ```text
//! ┌ 4 Gradient norm log ─────── now 0.84 ┐
//! │  10 ┤⡇                                │
//! │   1 ┤┈⠢⢄⡠⠤⣀⡠⠤┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈ clip 1 │
//! │     └──────────────────               │
//! └───────────────────────────────────────┘
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::frame::frame;
use super::loss::markers;
use super::plot::{Curve, PlotState, empty, left, left_layers, look, symbols, with_lines};
use super::{Handled, Pane, PaneContext, PaneMouse, PaneSpec};
use crate::chart::{Quantity, View};
use crate::ui::keymap::{Action, Context};
use crate::ui::screens::train::RunView;
use crate::ui::series::Metric;
use crate::ui::theme::Theme;
use crate::ui::widgets::chart::{Axis, Chart, Crosshair, Reference, Scale, reading, short};

pub const SPEC: PaneSpec = PaneSpec {
    id: "grad-norm",
    title: "Gradient norm",
    help: "The length of the gradient over all parameters, before clipping. Steady or slowly falling is healthy. \
           Spikes are unusual batches: above the line `clip` they are cut down to it. A norm that keeps climbing \
           means that the learning rate is too high; one near zero, that nothing is learned any more.",
    context: Context::Chart,
    importance: 50,
};

#[derive(Debug)]
pub struct GradNorm {
    plot: PlotState,
}

pub fn new() -> Box<dyn Pane> {
    Box::new(GradNorm {
        plot: PlotState::with_scale(Scale::Log),
    })
}

impl GradNorm {
    fn extent(&self, run: &RunView) -> (f64, f64) {
        run.extent(self.plot.axis).unwrap_or((0.0, 1.0))
    }

    fn chart(&self, run: &RunView, theme: &Theme, plot: Rect) -> Chart {
        if run.series.is_empty() {
            return empty(theme, "no steps yet");
        }
        let axis = self.plot.axis;
        let x = Axis::new(self.plot.viewport.range(self.extent(run)), Scale::Linear);
        let columns = Chart::columns(plot, symbols(theme));
        let curve = Curve::new(run, Metric::GradNorm, axis, x.range(), columns, |norm| norm);
        let branches = left(run, Metric::GradNorm, axis, x.range(), columns, |norm| norm);
        let fitted = curve.range(self.plot.scale == Scale::Linear);
        let (mut low, mut high) = with_lines(fitted, &branches).unwrap_or((0.1, 1.0));
        let clip = run.config.optimizer.grad_clip;
        if clip > low / 3.0 && clip < high * 3.0 {
            (low, high) = (low.min(clip), high.max(clip));
        }
        let mut chart = Chart::new(
            x,
            Axis::new((low, high), self.plot.scale).padded(0.04),
            look(theme),
        );
        chart.x_unit = self.plot.x_unit();
        chart.layers = left_layers(branches, theme).collect();
        chart
            .layers
            .extend(curve.layers(run, theme.chart.grad_norm, theme));
        if clip > 0.0 {
            chart.references.push(Reference {
                value: clip,
                label: format!("clip {}", short(clip)),
                style: theme.chart.reference,
            });
        }
        chart.markers = markers(run, axis, theme);
        chart.crosshair = self.plot.under_crosshair(run).and_then(|index| {
            let report = run.series.report(index)?;
            let text = format!("step {}: {}", report.step, reading(report.grad_norm));
            Some(Crosshair {
                x: run.series.x(axis, index),
                rows: vec![(text, theme.chart.grad_norm)],
                style: theme.chart.crosshair,
            })
        });
        chart
    }
}

impl Pane for GradNorm {
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
        Some(self.plot.view(Quantity::GradNorm, run, self.extent(run)))
    }

    fn render(&self, run: &RunView, context: PaneContext<'_>, area: Rect, buffer: &mut Buffer) {
        let theme = context.theme;
        let legend = vec![Span::styled(self.plot.words(), theme.info)];
        let now = run
            .series
            .last()
            .map(|last| Span::styled(reading(last.grad_norm), theme.chart.grad_norm));
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
