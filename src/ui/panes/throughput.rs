//! Tokens per second, and where the time of a step goes.
//!
//! ```text
//! ┌ 5 Tokens/s ───────────────── 31.2k ┐
//! │ 30k ┤⡠⠔⠒⠒⠒⠒⠒⠢⠤⠒⠒                  │
//! │     └──────────────                │
//! │ forward 5.1 ███ backward 10.2 ████ │  ms of the last steps
//! └────────────────────────────────────┘
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Span;

use super::frame::{frame, write};
use super::loss::markers;
use super::plot::{Curve, PlotState, empty, left, left_layers, look, symbols};
use super::{Handled, Pane, PaneContext, PaneMouse, PaneSpec};
use crate::chart::{Quantity, View};
use crate::ui::keymap::{Action, Context};
use crate::ui::screens::train::RunView;
use crate::ui::series::Metric;
use crate::ui::theme::Theme;
use crate::ui::widgets::chart::{Axis, Chart, Crosshair, Scale, reading, short};

pub const SPEC: PaneSpec = PaneSpec {
    id: "throughput",
    title: "Tokens/s",
    help: "How many tokens are trained on a second. The bar below splits the time of a step, in milliseconds, into \
           the forward pass (computing the loss), the backward pass (computing the gradient, usually twice as long) and the \
           optimizer (changing the weights). Dips are other work on the machine, evaluations or samples.",
    context: Context::Chart,
    importance: 40,
};

#[derive(Debug, Default)]
pub struct Throughput {
    plot: PlotState,
}

pub fn new() -> Box<dyn Pane> {
    Box::new(Throughput::default())
}

impl Throughput {
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
        let metric = Metric::TokensPerSecond;
        let curve = Curve::new(run, metric, axis, x.range(), columns, |rate| rate);
        let (low, high) = curve.range(true).unwrap_or((0.0, 1.0));
        let low = if self.plot.scale == Scale::Linear {
            0.0
        } else {
            low
        };
        let y = Axis::new((low, high), self.plot.scale).padded(0.04);
        let mut chart = Chart::new(x, y, look(theme));
        chart.x_unit = self.plot.x_unit();
        let branches = left(run, metric, axis, x.range(), columns, |rate| rate);
        chart.layers = left_layers(branches, theme).collect();
        chart
            .layers
            .extend(curve.layers(run, theme.chart.throughput, theme));
        chart.markers = markers(run, axis, theme);
        chart.crosshair = self.plot.under_crosshair(run).and_then(|index| {
            let report = run.series.report(index)?;
            let rate = reading(report.tokens_per_second);
            Some(Crosshair {
                x: run.series.x(axis, index),
                rows: vec![
                    (
                        format!("step {}: {rate}", report.step),
                        theme.chart.throughput,
                    ),
                    (format!("{} ms", reading(report.ms)), theme.dim),
                ],
                style: theme.chart.crosshair,
            })
        });
        chart
    }
}

/// Mean ms of forward, backward and optimizer over the last hundred steps.
fn split(run: &RunView) -> [f64; 3] {
    run.series.phases(100)
}

/// `forward 5.1 ███ backward 10.2 ██████ optimizer 2 █`, as long as there is room for the words.
fn draw_split(run: &RunView, theme: &Theme, area: Rect, buffer: &mut Buffer) {
    let parts = split(run);
    let total: f64 = parts.iter().sum();
    if area.height == 0 || total.is_nan() || total <= 0.0 {
        return;
    }
    let [first, second, third, ..] = theme.chart.series;
    let styles: [Style; 3] = [first, second, third];
    let names = if area.width >= 60 {
        ["forward", "backward", "optimizer"]
    } else {
        ["fwd", "bwd", "opt"]
    };
    let texts: Vec<String> = (0..3)
        .map(|at| {
            format!(
                "{} {} ",
                names[at],
                short((parts[at] * 10.0).round() / 10.0)
            )
        })
        .collect();
    let words: usize = texts.iter().map(String::len).sum();
    let unit = " ms";
    let room = (area.width as usize).saturating_sub(words + 3 + unit.len());
    let block = if theme.symbols.unicode { "█" } else { "#" };
    let mut x = area.x;
    for at in 0..3 {
        let bar = ((parts[at] / total * room as f64).round() as usize).min(room);
        for (text, style) in [
            (texts[at].clone(), theme.dim),
            (block.repeat(bar), styles[at]),
            (" ".to_string(), theme.dim),
        ] {
            if x >= area.right() {
                return;
            }
            let rest = Rect {
                x,
                width: area.right() - x,
                ..area
            };
            write(buffer, rest, area.y, &text, style);
            x = x.saturating_add(text.chars().count() as u16);
        }
    }
    if x < area.right() {
        let rest = Rect {
            x,
            width: area.right() - x,
            ..area
        };
        write(buffer, rest, area.y, "ms", theme.dim);
    }
}

impl Pane for Throughput {
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
        Some(
            self.plot
                .view(Quantity::TokensPerSecond, run, self.extent(run)),
        )
    }

    fn render(&self, run: &RunView, context: PaneContext<'_>, area: Rect, buffer: &mut Buffer) {
        let theme = context.theme;
        let legend = vec![Span::styled(self.plot.words(), theme.info)];
        let now = run
            .series
            .last()
            .map(|last| Span::styled(reading(last.tokens_per_second), theme.chart.throughput));
        let inner = frame(
            &context,
            SPEC.title,
            legend,
            now.into_iter().collect(),
            area,
            buffer,
        );
        let bar = u16::from(inner.height >= 6);
        let upper = Rect {
            height: inner.height - bar,
            ..inner
        };
        let lower = Rect {
            y: upper.bottom(),
            height: bar,
            ..inner
        };
        self.chart(run, theme, Chart::plot(upper))
            .render(upper, buffer);
        draw_split(run, theme, lower, buffer);
    }
}
