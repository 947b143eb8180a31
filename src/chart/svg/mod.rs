//! A chart as an SVG picture.
//!
//! ```text
//!  gpt-stories-001: loss                                     train 2.131   validation 2.204
//!  gpt · 809k parameters · flex (CPU, 2 threads) · smoothing 0.9
//!  ━ train   ● validation   ╎ edit   ◆ checkpoint
//!      │               ╎lr ×0.5
//!    4 ┤╲ ┈┈┈┈┈┈┈┈┈┈┈┈┈╎┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈ unigram 3.31
//!    2 ┤ ╲╲●───●───────●────●───────────────────
//!      └────────◆───────────◆──────────────────
//!      0       500        1000                   step
//! ```
//!
//! Lines are thinned out to what a pixel can show: of each column the first, the lowest, the highest and the last value,
//! so that no spike is lost. What leaves the range upwards or downwards leaves a triangle at the edge, and what is not a number
//! a cross at the bottom.

mod heading;
mod labels;
mod pen;
mod words;

use std::fmt::Write;

use super::scale::{Axis, Scale, Unit};
use super::{Across, Curve, CurveKind, Figure, Look, MarkKind, Point, Quantity, RunFigure};
use heading::Entry;
use labels::Taken;
use pen::Pen;
use words::{color, escaped};

const FONTS: &str = "'DejaVu Sans','Noto Sans','Liberation Sans',Helvetica,Arial,sans-serif";
/// Sizes below are for a picture of this size, and grow and shrink with it.
const MADE_FOR: (f64, f64) = (1600.0, 900.0);
/// More evaluations than this are a line without dots.
const MOST_DOTS: usize = 240;

/// The picture.
pub(super) fn draw(figure: &Figure, look: &Look) -> String {
    let mut canvas = Canvas::new(figure, look);
    canvas.heading();
    canvas.legend();
    canvas.grid();
    canvas.references();
    canvas.mark_lines();
    for (index, run) in figure.runs.iter().enumerate() {
        canvas.run(index, run);
    }
    canvas.reference_labels();
    canvas.mark_labels();
    canvas.checkpoints();
    canvas.finish()
}

/// The part of the picture that data is drawn on.
#[derive(Debug, Clone, Copy)]
struct Plot {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

impl Plot {
    fn width(&self) -> f64 {
        self.right - self.left
    }

    fn height(&self) -> f64 {
        self.bottom - self.top
    }
}

struct Canvas<'a> {
    figure: &'a Figure,
    look: &'a Look,
    /// 1 for a picture of the usual size.
    unit: f64,
    plot: Plot,
    x: Axis,
    y: Axis,
    legend: Vec<Vec<Entry>>,
    taken: Vec<Taken>,
    out: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Symbol {
    Line { dashes: &'static str },
    Dot,
    Upright,
    Diamond,
    Cross,
    Triangle,
}

#[derive(Debug, Clone, Copy)]
enum Anchor {
    Start,
    Middle,
    End,
}

impl<'a> Canvas<'a> {
    fn new(figure: &'a Figure, look: &'a Look) -> Self {
        let (width, height) = (f64::from(look.width), f64::from(look.height));
        let unit = (width / MADE_FOR.0).min(height / MADE_FOR.1).max(0.35);
        let mut canvas = Canvas {
            figure,
            look,
            unit,
            plot: Plot {
                left: 104.0 * unit,
                top: 0.0,
                right: width - 40.0 * unit,
                bottom: height - 84.0 * unit,
            },
            x: Axis::new(figure.range, Scale::Linear),
            y: Axis::new(vertical(figure), figure.scale).padded(0.03),
            legend: Vec::new(),
            taken: Vec::new(),
            out: String::new(),
        };
        canvas.legend = canvas.rows(canvas.entries());
        let rows = canvas.legend.len() as f64;
        // However many runs there are, half of the picture is left to the curves.
        canvas.plot.top = ((98.0 + rows * 26.0) * unit).min(height * 0.5);
        let _ = write!(
            canvas.out,
            "<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' viewBox='0 0 {width} {height}' \
             font-family=\"{FONTS}\">\n<rect width='100%' height='100%' fill='{}'/>\n\
             <clipPath id='plot'><rect x='{:.1}' y='{:.1}' width='{:.1}' height='{:.1}'/></clipPath>\n",
            color(look.background),
            canvas.plot.left,
            canvas.plot.top,
            canvas.plot.width(),
            canvas.plot.height(),
        );
        canvas
    }

    fn finish(mut self) -> String {
        self.out.push_str("</svg>\n");
        self.out
    }

    fn text(&mut self, (x, y): (f64, f64), size: f64, fill: u32, anchor: Anchor, text: &str) {
        self.styled_text((x, y), size, fill, anchor, "", text);
    }

    /// `extra` are attributes, each with a space before it.
    fn styled_text(
        &mut self,
        (x, y): (f64, f64),
        size: f64,
        fill: u32,
        anchor: Anchor,
        extra: &str,
        text: &str,
    ) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor='middle'",
            Anchor::End => " text-anchor='end'",
        };
        let _ = writeln!(
            self.out,
            "<text x='{x:.1}' y='{y:.1}' font-size='{:.1}' fill='{}'{anchor}{extra}>{}</text>",
            size * self.unit,
            color(fill),
            escaped(text)
        );
    }

    /// Text over curves, with a rim of the background.
    fn label(&mut self, place: (f64, f64), size: f64, fill: u32, anchor: Anchor, text: &str) {
        let rim = format!(
            " paint-order='stroke' stroke='{}' stroke-width='{:.1}' stroke-linejoin='round'",
            color(self.look.background),
            4.0 * self.unit
        );
        self.styled_text(place, size, fill, anchor, &rim, text);
    }

    fn symbol(&mut self, symbol: Symbol, (x, y): (f64, f64), fill: u32) {
        let s = self.unit;
        match symbol {
            Symbol::Line { .. } => {}
            Symbol::Dot => {
                let _ = writeln!(
                    self.out,
                    "<circle cx='{x:.1}' cy='{y:.1}' r='{:.1}' fill='{}' stroke='{}' stroke-width='{:.1}'/>",
                    5.0 * s,
                    color(fill),
                    color(self.look.background),
                    1.5 * s
                );
            }
            Symbol::Upright => {
                let path = format!("M{x:.1},{:.1}v{:.1}", y - 9.0 * s, 18.0 * s);
                self.stroke(&path, fill, 2.0, "5 4", 1.0);
            }
            Symbol::Diamond => {
                let r = 6.0 * s;
                let path = format!(
                    "M{:.1},{y:.1}l{r:.1},-{r:.1}l{r:.1},{r:.1}l-{r:.1},{r:.1}z",
                    x - r
                );
                self.fill(&path, fill);
            }
            Symbol::Cross => {
                let r = 5.0 * s;
                let path = format!(
                    "M{:.1},{:.1}l{d:.1},{d:.1}m-{d:.1},0l{d:.1},-{d:.1}",
                    x - r,
                    y - r,
                    d = 2.0 * r
                );
                self.stroke(&path, fill, 2.5, "", 1.0);
            }
            Symbol::Triangle => {
                let r = 5.0 * s;
                let path = format!(
                    "M{:.1},{:.1}h{:.1}l-{r:.1},-{:.1}z",
                    x - r,
                    y + r,
                    2.0 * r,
                    2.0 * r
                );
                self.fill(&path, fill);
            }
        }
    }

    fn fill(&mut self, path: &str, fill: u32) {
        let _ = writeln!(
            self.out,
            "<path d='{path}' fill='{}' stroke='{}' stroke-width='{:.1}'/>",
            color(fill),
            color(self.look.background),
            self.unit
        );
    }

    fn stroke(&mut self, path: &str, stroke: u32, width: f64, dashes: &str, opacity: f64) {
        if path.is_empty() {
            return;
        }
        let dashes: Vec<String> = dashes
            .split_whitespace()
            .filter_map(|length| length.parse::<f64>().ok())
            .map(|length| format!("{:.1}", length * self.unit))
            .collect();
        let dashes = match dashes.is_empty() {
            true => String::new(),
            false => format!(" stroke-dasharray='{}'", dashes.join(" ")),
        };
        let opacity = match opacity {
            1.0 => String::new(),
            opacity => format!(" stroke-opacity='{opacity}'"),
        };
        let _ = writeln!(
            self.out,
            "<path d='{path}' fill='none' stroke='{}' stroke-width='{:.1}' stroke-linejoin='round' \
             stroke-linecap='round'{dashes}{opacity}/>",
            color(stroke),
            width * self.unit
        );
    }

    fn across(&self, x: f64) -> Option<f64> {
        let place = self.x.place(x)?;
        (0.0..=1.0)
            .contains(&place)
            .then(|| self.plot.left + place * self.plot.width())
    }

    /// May lie above or below the plot.
    fn up(&self, value: f64) -> Option<f64> {
        let place = self.y.place(value).filter(|_| value.is_finite())?;
        Some(self.plot.bottom - place * self.plot.height())
    }

    fn grid(&mut self) {
        let (look, unit, plot) = (self.look, self.unit, self.plot);
        let rows = ((plot.height() / (80.0 * unit)) as usize).max(2);
        let mut path = String::new();
        for (value, text) in self.y.ticks(rows, Unit::Number) {
            let Some(y) = self.up(value) else { continue };
            let _ = write!(path, "M{:.1},{y:.1}H{:.1}", plot.left, plot.right);
            let place = (plot.left - 10.0 * unit, y + 5.5 * unit);
            self.text(place, 16.0, look.dim, Anchor::End, &text);
        }
        let columns = ((plot.width() / (130.0 * unit)) as usize).max(2);
        let x_unit = match self.figure.across {
            Across::Time => Unit::Seconds,
            Across::Step | Across::Tokens => Unit::Count,
            Across::Compute => Unit::Number,
        };
        for (value, text) in self.x.ticks(columns, x_unit) {
            let Some(x) = self.across(value) else {
                continue;
            };
            let _ = write!(path, "M{x:.1},{:.1}V{:.1}", plot.top, plot.bottom);
            let place = (x, plot.bottom + 30.0 * unit);
            self.text(place, 16.0, look.dim, Anchor::Middle, &text);
        }
        self.stroke(&path, look.grid, 1.0, "", 1.0);
        let frame = format!(
            "M{:.1},{:.1}V{:.1}H{:.1}",
            plot.left, plot.top, plot.bottom, plot.right
        );
        self.stroke(&frame, look.dim, 1.5, "", 1.0);
        let words = match self.figure.across {
            Across::Step => "step",
            Across::Tokens => "tokens seen",
            Across::Time => "time of training",
            Across::Compute => "operations of training",
        };
        let place = (plot.left + plot.width() / 2.0, plot.bottom + 62.0 * unit);
        self.text(place, 17.0, look.foreground, Anchor::Middle, words);
        let (x, y) = (28.0 * unit, plot.top + plot.height() / 2.0);
        let turned = format!(" transform='rotate(-90 {x:.1} {y:.1})'");
        let words = self.figure.quantity.unit();
        self.styled_text(
            (x, y),
            17.0,
            look.foreground,
            Anchor::Middle,
            &turned,
            words,
        );
    }

    /// They are the same for all runs.
    fn references(&mut self) {
        let Some(run) = self.figure.runs.first() else {
            return;
        };
        let mut path = String::new();
        for reference in &run.references {
            let (low, high) = self.y.range();
            if reference.value >= low
                && reference.value <= high
                && let Some(y) = self.up(reference.value)
            {
                let _ = write!(path, "M{:.1},{y:.1}H{:.1}", self.plot.left, self.plot.right);
            }
        }
        self.stroke(&path, self.look.dim, 1.5, "2 5", 1.0);
    }

    fn mark_color(&self, kind: MarkKind) -> u32 {
        match kind {
            MarkKind::Edit => self.look.edit,
            MarkKind::Checkpoint | MarkKind::Resumed | MarkKind::Rewound => self.look.checkpoint,
            MarkKind::Spike | MarkKind::Diverged => self.look.bad,
        }
    }

    fn mark_lines(&mut self) {
        for run in &self.figure.runs {
            for mark in run
                .marks
                .iter()
                .filter(|mark| mark.kind != MarkKind::Checkpoint)
            {
                if let Some(x) = self.across(mark.x(self.figure.across)) {
                    let path = format!("M{x:.1},{:.1}V{:.1}", self.plot.top, self.plot.bottom);
                    self.stroke(&path, self.mark_color(mark.kind), 1.5, "5 5", 0.9);
                }
            }
        }
    }

    /// On the axis, in the colour of their run where there are several.
    fn checkpoints(&mut self) {
        let several = self.figure.runs.len() > 1;
        for (index, run) in self.figure.runs.iter().enumerate() {
            let color = match several {
                true => self.curve(index, CurveKind::Train).0,
                false => self.look.checkpoint,
            };
            let mut last = f64::NEG_INFINITY;
            for mark in &run.marks {
                if mark.kind == MarkKind::Checkpoint
                    && let Some(x) = self.across(mark.x(self.figure.across))
                    // One a place: of hundreds there would be a wall.
                    && x - last >= 3.0 * self.unit
                {
                    last = x;
                    self.symbol(Symbol::Diamond, (x, self.plot.bottom), color);
                }
            }
        }
    }

    /// Colour and dashes of a curve.
    fn curve(&self, run: usize, kind: CurveKind) -> (u32, &'static str) {
        const DASHES: [&str; 4] = ["", "9 5", "2 5", "12 5 2 5"];
        let look = self.look;
        let single = self.figure.runs.len() == 1;
        let plain = match self.figure.quantity {
            _ if !single => look.series[run % 6],
            Quantity::LearningRate => look.series[2],
            Quantity::GradNorm => look.series[3],
            Quantity::TokensPerSecond => look.series[4],
            _ => look.series[0],
        };
        let dashes = match (single, look.monochrome) {
            (true, _) => "",
            (false, true) => DASHES[run % 4],
            (false, false) => DASHES[run / 6 % 4],
        };
        match kind {
            CurveKind::Train => (plain, dashes),
            CurveKind::Validation if single => (look.series[1], ""),
            CurveKind::Validation => (plain, dashes),
            CurveKind::Left { .. } => (if single { look.dim } else { plain }, "4 5"),
            CurveKind::Ahead => (look.dim, "9 6"),
            CurveKind::Pending => (look.edit, "2 5"),
        }
    }

    fn run(&mut self, index: usize, run: &RunFigure) {
        self.out.push_str("<g clip-path='url(#plot)'>\n");
        let smoothed = self.figure.smoothing > 0.0;
        for curve in &run.curves {
            let (color, dashes) = self.curve(index, curve.kind);
            let raw = |point: &Point| point.value;
            let even = |point: &Point| {
                if point.value.is_finite() {
                    point.smoothed
                } else {
                    f64::NAN
                }
            };
            match curve.kind {
                CurveKind::Train if smoothed => {
                    // Behind the line of several runs, the raw values would be a fog.
                    let opacity = if self.figure.runs.len() > 1 {
                        0.18
                    } else {
                        0.35
                    };
                    let path = self.path(curve, raw);
                    self.stroke(&path, color, 1.2, "", opacity);
                    let path = self.path(curve, even);
                    self.stroke(&path, color, 2.8, dashes, 1.0);
                }
                CurveKind::Left { .. } => {
                    let path = match smoothed {
                        true => self.path(curve, even),
                        false => self.path(curve, raw),
                    };
                    self.stroke(&path, color, 1.8, dashes, 0.8);
                }
                CurveKind::Validation => {
                    let path = self.path(curve, raw);
                    let only = self.figure.quantity == Quantity::ValidationLoss;
                    self.stroke(&path, color, if only { 2.6 } else { 1.6 }, dashes, 0.9);
                }
                _ => {
                    let path = self.path(curve, raw);
                    self.stroke(&path, color, 2.2, dashes, 1.0);
                }
            }
        }
        self.out.push_str("</g>\n");
        for curve in &run.curves {
            if curve.kind == CurveKind::Validation && curve.points.len() <= MOST_DOTS {
                let (color, _) = self.curve(index, curve.kind);
                for point in &curve.points {
                    if let (Some(x), Some(y)) = (
                        self.across(point.x(self.figure.across)),
                        self.up(point.value),
                    ) && y >= self.plot.top
                        && y <= self.plot.bottom
                    {
                        self.symbol(Symbol::Dot, (x, y), color);
                    }
                }
            }
            self.edges(curve);
        }
    }

    /// Crosses where values are no numbers, triangles where they leave the range.
    fn edges(&mut self, curve: &Curve) {
        let (low, high) = self.y.range();
        let apart = 10.0 * self.unit;
        let mut last = [f64::NEG_INFINITY; 3];
        for point in &curve.points {
            let which = match point.value {
                value if !value.is_finite() => 0,
                value if value > high => 1,
                value if value < low => 2,
                _ => continue,
            };
            let Some(x) = self.across(point.x(self.figure.across)) else {
                continue;
            };
            if x - last[which] < apart {
                continue;
            }
            last[which] = x;
            let (top, bottom) = (self.plot.top, self.plot.bottom);
            match which {
                0 => self.symbol(Symbol::Cross, (x, bottom - apart), self.look.bad),
                1 => self.symbol(Symbol::Triangle, (x, top + apart * 0.6), self.look.bad),
                _ => {
                    let r = 5.0 * self.unit;
                    let y = bottom - apart;
                    let path = format!(
                        "M{:.1},{y:.1}h{:.1}l-{r:.1},{:.1}z",
                        x - r,
                        2.0 * r,
                        2.0 * r
                    );
                    self.fill(&path, self.look.bad);
                }
            }
        }
    }

    /// A line through the values that `of` finds, broken where there is none; of each column of pixels the first, the
    /// lowest, the highest and the last.
    fn path(&self, curve: &Curve, of: impl Fn(&Point) -> f64) -> String {
        let mut pen = Pen::default();
        for point in &curve.points {
            let Some(x) = self.across(point.x(self.figure.across)) else {
                continue;
            };
            match self.up(of(point)) {
                Some(y) => pen.go(x, y),
                None => pen.lift(),
            }
        }
        pen.lift();
        pen.path
    }
}

/// The range of the vertical axis.
fn vertical(figure: &Figure) -> (f64, f64) {
    let mut values: Vec<f64> = Vec::new();
    let mut points: Vec<f64> = Vec::new();
    for curve in figure.runs.iter().flat_map(|run| &run.curves) {
        let into = match curve.kind {
            CurveKind::Validation => &mut points,
            _ => &mut values,
        };
        let all = curve.points.iter().flat_map(|p| [p.value, p.smoothed]);
        into.extend(all.filter(|value| value.is_finite()));
    }
    if figure.scale == Scale::Log {
        values.retain(|value| *value > 0.0);
        points.retain(|value| *value > 0.0);
    }
    values.sort_by(f64::total_cmp);
    // A few values far above the rest are left to the triangles at the edge.
    let robust = figure.scale == Scale::Linear
        && matches!(
            figure.quantity,
            Quantity::Perplexity | Quantity::GradNorm | Quantity::TokensPerSecond
        );
    let mut range = match (values.first(), values.last()) {
        (Some(low), Some(high)) if robust => {
            let most = values[(values.len() - 1) * 19 / 20];
            (*low, high.min(most + (most - low).max(most.abs() * 0.1)))
        }
        (Some(low), Some(high)) => (*low, *high),
        _ => (f64::INFINITY, f64::NEG_INFINITY),
    };
    for value in points {
        range = (range.0.min(value), range.1.max(value));
    }
    if range.0 > range.1 {
        return (0.0, 1.0);
    }
    if figure.scale == Scale::Linear
        && matches!(
            figure.quantity,
            Quantity::LearningRate | Quantity::TokensPerSecond
        )
    {
        range.0 = range.0.min(0.0);
    }
    // Lines to measure by that are not far away.
    let near = (range.1 - range.0) * 0.25;
    let (low, high) = range;
    let references = figure.runs.first().map(|run| run.references.as_slice());
    for reference in references.unwrap_or_default() {
        if reference.value > low - near && reference.value < high + near {
            range = (range.0.min(reference.value), range.1.max(reference.value));
        }
    }
    range
}
