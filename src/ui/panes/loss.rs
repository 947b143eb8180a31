//! The loss: training as a line over its raw band, validation as points, and lines to measure it by.
//!
//! ```text
//! ┌ 1 Loss nats/token (train ━ val ● smooth .9) ─────────── train 2.13  val 2.20 ┐
//! │  8 ┤⡇┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈ uniform 8.3 │
//! │  4 ┤⠱⣀╎lr ×.5                                                                  │
//! │  2 ┤  ⠉●⠒⠤⠤⠤●⠤⣀⣀⣀●⣀⣀                                              ┈ source 1.9 │
//! │    └─────◆───────────◆                                                         │
//! └────────────────────────────────────────────────────────────────────────────────┘
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Span;

use super::frame::frame;
use super::plot::{Curve, PlotState, empty, left, left_layers, look, symbols, with_lines};
use super::{Handled, Pane, PaneContext, PaneMouse, PaneSpec};
use crate::chart::{Quantity, View};
use crate::protocol::{Edit, EditRecord, EvalReport, unknown_words};
use crate::ui::keymap::{Action, Context};
use crate::ui::screens::train::{Branch, EditState, RunView, edit_states};
use crate::ui::series::{Metric, XAxis};
use crate::ui::theme::Theme;
use crate::ui::widgets::chart::{
    Axis, Chart, Crosshair, Layer, Marker, MarkerKind, Reference, clock, reading, short,
};

pub const SPEC: PaneSpec = PaneSpec {
    id: "loss",
    title: "Loss",
    help: "How badly the model predicts the next token; lower is better. The line is the training loss, smoothed \
           (exact exponential average), over a faint band from the smallest to the largest raw value. The dots are \
           the validation loss, on text the model never trains on. Where the dots stop falling while the line goes \
           on, the model has begun to learn by heart. `uniform` is what guessing evenly costs, `unigram` what \
           knowing only word frequencies costs, `source` the entropy of the text itself: nothing gets below it; a line with the name of a run is \
           the best validation loss of the one pinned in the list of runs. \
           Vertical lines are edits, spikes, resumes and returns to a checkpoint; what was trained before such a return stays, faint. Diamonds on the axis are checkpoints. A cross at the bottom is a step whose \
           loss was not a number. An arrow at the edge points to values out of range.",
    context: Context::Chart,
    importance: 100,
};

/// What the loss is shown in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum LossUnit {
    #[default]
    Nats,
    Perplexity,
    BitsPerByte,
}

impl LossUnit {
    fn label(self) -> &'static str {
        match self {
            LossUnit::Nats => "nats/token",
            LossUnit::Perplexity => "perplexity",
            LossUnit::BitsPerByte => "bits/byte",
        }
    }

    fn next(self) -> Self {
        match self {
            LossUnit::Nats => LossUnit::Perplexity,
            LossUnit::Perplexity => LossUnit::BitsPerByte,
            LossUnit::BitsPerByte => LossUnit::Nats,
        }
    }

    /// From nats per token. A smoothed perplexity is the perplexity of the smoothed loss.
    fn show(self, nats: f64, run: &RunView) -> f64 {
        match self {
            LossUnit::Nats => nats,
            LossUnit::Perplexity => nats.exp(),
            LossUnit::BitsPerByte => nats / nats_per_bit_per_byte(run),
        }
    }

    fn validation(self, report: &EvalReport) -> f64 {
        match self {
            LossUnit::Nats => report.val_loss,
            LossUnit::Perplexity => report.perplexity,
            LossUnit::BitsPerByte => report.bits_per_byte,
        }
    }
}

/// How many nats per token one bit per byte is.
fn nats_per_bit_per_byte(run: &RunView) -> f64 {
    let bytes = run.info.as_ref().map_or(1.0, |info| info.bytes_per_token);
    std::f64::consts::LN_2 * if bytes > 0.0 { bytes } else { 1.0 }
}

#[derive(Debug, Default)]
pub struct Loss {
    plot: PlotState,
    unit: LossUnit,
}

pub fn new() -> Box<dyn Pane> {
    Box::new(Loss::default())
}

impl Loss {
    fn extent(&self, run: &RunView) -> (f64, f64) {
        run.extent(self.plot.axis).unwrap_or((0.0, 1.0))
    }

    fn chart(&self, run: &RunView, theme: &Theme, plot: Rect) -> Chart {
        if run.series.is_empty() {
            return empty(theme, "no steps yet");
        }
        let axis = self.plot.axis;
        let range = self.plot.viewport.range(self.extent(run));
        let x = Axis::new(range, Default::default());
        let columns = Chart::columns(plot, symbols(theme));
        let show = |nats| self.unit.show(nats, run);
        let curve = Curve::new(run, Metric::Loss, axis, x.range(), columns, show);
        let points = self.points(run, x);
        let branches = left(run, Metric::Loss, axis, x.range(), columns, show);
        let fitted = curve.range(self.unit == LossUnit::Perplexity);
        let mut fitted = with_lines(fitted, &branches);
        for (_, value) in &points {
            fitted = fitted.map(|(low, high)| (low.min(*value), high.max(*value)));
        }
        let references = self.references(run, theme);
        let y = Axis::new(
            with_near(fitted.unwrap_or((0.0, 1.0)), &references),
            self.plot.scale,
        );
        let mut chart = Chart::new(x, y.padded(0.03), look(theme));
        chart.x_unit = self.plot.x_unit();
        chart.layers = left_layers(branches, theme).collect();
        chart
            .layers
            .extend(curve.layers(run, theme.chart.train, theme));
        chart.layers.push(Layer::Points {
            points: self.left_points(run, x),
            symbol: validation_mark(theme),
            style: theme.chart.faint,
        });
        chart.layers.push(Layer::Points {
            points,
            symbol: validation_mark(theme),
            style: theme.chart.validation,
        });
        chart.references = references;
        chart.markers = markers(run, axis, theme);
        chart.crosshair = self.crosshair(run, theme);
        chart
    }

    /// Validation values in the window; of very many in one column, the last.
    fn points(&self, run: &RunView, x: Axis) -> Vec<(f64, f64)> {
        let (low, high) = x.range();
        let from = run
            .evaluations
            .partition_point(|e| run.place(self.plot.axis, e.step as f64) < low);
        let places = run.evaluations[from..].iter().map(|report| {
            let place = run.place(self.plot.axis, report.step as f64);
            (place, self.unit.validation(report))
        });
        places
            .take_while(|(place, _)| *place <= high)
            .filter(|(_, value)| value.is_finite())
            .collect()
    }

    /// Validation values of the branches that were left.
    fn left_points(&self, run: &RunView, x: Axis) -> Vec<(f64, f64)> {
        let (low, high) = x.range();
        let of = |branch: &'_ Branch, report: &EvalReport| {
            let series = &branch.series;
            let place = series.translate(XAxis::Step, self.plot.axis, report.step as f64);
            (place, self.unit.validation(report))
        };
        let all = run
            .branches
            .iter()
            .flat_map(|branch| branch.evaluations.iter().map(move |e| of(branch, e)));
        all.filter(|(place, value)| (low..=high).contains(place) && value.is_finite())
            .collect()
    }

    fn references(&self, run: &RunView, theme: &Theme) -> Vec<Reference> {
        let Some(info) = &run.info else {
            return Vec::new();
        };
        let mut all = vec![
            ("uniform", info.uniform_loss),
            ("unigram", info.unigram_loss),
        ];
        if let Some((bits, exact)) = info.source_entropy {
            let name = if exact { "source" } else { "source bound" };
            all.push((name, bits * nats_per_bit_per_byte(run)));
        }
        if let Some(pinned) = &run.pinned {
            all.push((
                &pinned.name,
                pinned.bits_per_byte * nats_per_bit_per_byte(run),
            ));
        }
        all.into_iter()
            .map(|(name, nats)| (name, self.unit.show(nats, run)))
            .filter(|(_, value)| value.is_finite())
            .map(|(name, value)| Reference {
                value,
                label: format!("{name} {}", short(value)),
                style: theme.chart.reference,
            })
            .collect()
    }

    fn crosshair(&self, run: &RunView, theme: &Theme) -> Option<Crosshair> {
        let index = self.plot.under_crosshair(run)?;
        let report = run.series.report(index)?;
        let show = |nats: f64| reading(self.unit.show(nats, run));
        let style = theme.chart.crosshair;
        let mut rows = vec![
            (format!("step {}", report.step), style),
            (
                format!(
                    "{} tokens, {}",
                    reading(report.tokens as f64),
                    clock(report.seconds)
                ),
                theme.dim,
            ),
            (format!("train {}", show(report.loss)), theme.chart.train),
        ];
        if run.smoothing > 0.0
            && let Some(smoothed) = run.series.smoothed(Metric::Loss, index)
        {
            rows.push((format!("smooth {}", show(smoothed)), theme.chart.train));
        }
        let after = run.evaluations.partition_point(|e| e.step <= report.step);
        if let Some(eval) = after.checked_sub(1).map(|at| &run.evaluations[at]) {
            let value = reading(self.unit.validation(eval));
            rows.push((
                format!("val {value} @{}", eval.step),
                theme.chart.validation,
            ));
            if let Some(words) = unknown_words(eval.unknown_fraction) {
                rows.push((words, theme.dim));
            }
        }
        Some(Crosshair {
            x: run.series.x(self.plot.axis, index),
            rows,
            style,
        })
    }

    /// What it comes to now, for the right of the title.
    fn now<'a>(&self, run: &RunView, theme: &Theme) -> Vec<Span<'a>> {
        let mut spans = Vec::new();
        if let Some(value) = run
            .series
            .len()
            .checked_sub(1)
            .and_then(|last| run.series.smoothed(Metric::Loss, last))
        {
            let text = format!("train {}", reading(self.unit.show(value, run)));
            spans.push(Span::styled(text, theme.chart.train));
        }
        if let Some(report) = run.evaluations.last() {
            let text = format!("  val {}", reading(self.unit.validation(report)));
            spans.push(Span::styled(text, theme.chart.validation));
        }
        spans
    }
}

/// Unlike anything that a curve of plain characters is drawn with.
fn validation_mark(theme: &Theme) -> char {
    if theme.symbols.unicode { '●' } else { 'o' }
}

/// The range, stretched to a reference that is less than a quarter of it away.
fn with_near(range: (f64, f64), references: &[Reference]) -> (f64, f64) {
    let (low, high) = range;
    let near = (high - low) * 0.25;
    let mut out = range;
    for reference in references {
        if reference.value > low - near && reference.value < high + near {
            out = (out.0.min(reference.value), out.1.max(reference.value));
        }
    }
    out
}

/// Edits, resumes, rewinds and spikes as lines, checkpoints as ticks: of very many, the newest.
pub fn markers(run: &RunView, axis: XAxis, theme: &Theme) -> Vec<Marker> {
    let place = |step: u64| run.place(axis, step as f64);
    let line = |step: u64, label: String, style| Marker {
        x: place(step),
        label,
        kind: MarkerKind::Line,
        style,
    };
    let chart = &theme.chart;
    let mut all: Vec<Marker> = Vec::new();
    for step in &run.resumed[newest(run.resumed.len())..] {
        all.push(line(*step, "resumed".into(), chart.mark_checkpoint));
    }
    for rewound in &run.rewinds[newest(run.rewinds.len())..] {
        let label = format!("back from {}", rewound.from);
        all.push(line(rewound.step, label, chart.mark_checkpoint));
    }
    for spike in &run.spikes[newest(run.spikes.len())..] {
        all.push(line(spike.step, "spike".into(), chart.mark_bad));
    }
    all.extend(edit_markers(&run.edits, theme, place));
    all.sort_by(|a, b| a.x.total_cmp(&b.x));
    let tick = if theme.symbols.unicode { '◆' } else { '#' };
    for checkpoint in &run.checkpoints[newest(run.checkpoints.len())..] {
        all.push(Marker {
            x: place(checkpoint.step),
            label: String::new(),
            kind: MarkerKind::Tick(tick),
            style: theme.chart.mark_checkpoint,
        });
    }
    all
}

/// The newest of very many are drawn.
fn newest(len: usize) -> usize {
    const MOST: usize = 500;
    len.saturating_sub(MOST)
}

/// Edits as lines. `place`: where on the horizontal axis a step lies.
pub fn edit_markers(
    edits: &[EditRecord],
    theme: &Theme,
    place: impl Fn(u64) -> f64,
) -> Vec<Marker> {
    let states = edit_states(edits);
    let shown = edits.iter().zip(states).skip(newest(edits.len()));
    let markers = shown.map(|(record, state)| {
        let words = edit_label(&record.edit, theme);
        let (label, style) = match state {
            EditState::InForce => (words, theme.chart.mark_edit),
            EditState::Undone => (format!("{words} (undone)"), theme.dim),
            EditState::Undoing => (format!("undo: {words}"), theme.dim),
        };
        Marker {
            x: place(record.step),
            label,
            kind: MarkerKind::Line,
            style,
        }
    });
    markers.collect()
}

/// An edit in few characters: `lr ×0.5`, `weight_decay 0.05`, `kind sgd +2`.
fn edit_label(edit: &Edit, theme: &Theme) -> String {
    match edit {
        Edit::LearningRateMultiplier(multiplier) => {
            format!("lr {}{}", theme.symbols.times, short(*multiplier))
        }
        Edit::Set(changes) => {
            let Some((key, value)) = changes.iter().next() else {
                return String::new();
            };
            let name = key.rsplit('.').next().unwrap_or(key);
            let value = crate::ui::layout::fit(value, 12, theme.symbols.ellipsis);
            match changes.len() {
                1 => format!("{name} {value}"),
                n => format!("{name} {value} +{}", n - 1),
            }
        }
    }
}

impl Pane for Loss {
    fn spec(&self) -> &'static PaneSpec {
        &SPEC
    }

    fn act(&mut self, action: Action, run: &RunView) -> Handled {
        if action == Action::CycleUnit {
            self.unit = self.unit.next();
            return Handled::Yes;
        }
        self.plot.act(action, run, self.extent(run))
    }

    fn mouse(&mut self, mouse: PaneMouse, area: Rect, run: &RunView) -> Handled {
        self.plot.mouse(mouse, area, run, self.extent(run))
    }

    fn chart(&self, run: &RunView) -> Option<View> {
        let quantity = match self.unit {
            LossUnit::Nats => Quantity::Loss,
            LossUnit::Perplexity => Quantity::Perplexity,
            LossUnit::BitsPerByte => Quantity::BitsPerByte,
        };
        Some(self.plot.view(quantity, run, self.extent(run)))
    }

    fn render(&self, run: &RunView, context: PaneContext<'_>, area: Rect, buffer: &mut Buffer) {
        let theme = context.theme;
        // Nats are what a loss is in; another unit must not be missed.
        let unit = format!("{} ", self.unit.label());
        let (words, unit) = match self.unit {
            LossUnit::Nats => (self.plot.words(), unit),
            _ => (format!("{unit}{}", self.plot.words()), String::new()),
        };
        let mut legend = vec![
            Span::styled(words, theme.info),
            Span::styled(unit, theme.dim),
            Span::styled(format!("train {} ", theme.symbols.dash), theme.chart.train),
            Span::styled(
                format!("val {} ", validation_mark(theme)),
                theme.chart.validation,
            ),
        ];
        if run.smoothing > 0.0 {
            legend.push(Span::styled(
                format!("smooth {} ", run.smoothing),
                theme.dim,
            ));
        }
        let inner = frame(
            &context,
            SPEC.title,
            legend,
            self.now(run, theme),
            area,
            buffer,
        );
        self.chart(run, theme, Chart::plot(inner))
            .render(inner, buffer);
    }
}
