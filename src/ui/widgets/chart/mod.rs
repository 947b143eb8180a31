//! A line chart in a terminal: faint band of extremes, lines on top, points, reference lines, markers, a
//! crosshair. It draws what it is given, already cut to the columns of the plot, and knows nothing of runs.
//!
//! ```text
//!   5 ┤⡆uniform 5.01┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈┈     reference line with its label
//!     │⢣     ╎lr ×.5                     marker with its label
//!   4 ┤ ⠣⢄⡀  ╎                            line; the band of extremes is fainter
//!     │   ⠈⠑⠒╎⠤⢄⣀●⣀⣀⡀                     ● a point
//!   3 ┤      ╎      ⠈⠉×⠒⠒                 × a value that was not a number
//!     └┴─────────◆─────────┴              ◆ a tick mark; axis
//!      0        200       400
//! ```
//!
//! Nothing is hidden in silence: what leaves the range upwards or downwards leaves `▲` or `▼` at the edge, and
//! where a value is not a number there is a mark at the bottom.

mod canvas;
mod labels;
mod viewport;

pub use crate::chart::scale::{Axis, Scale, Unit, clock, label, reading, short};
pub use canvas::{Canvas, Symbols};
pub use viewport::Viewport;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

/// Columns left of the plot: six for a label, one for the axis.
const GUTTER: u16 = 7;

/// What a column of dots has of a line.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Sample {
    /// No point falls here; the line goes on across.
    #[default]
    Nothing,
    /// Points fall here, and none is a number: the line breaks and a mark is left.
    Gap,
    Value(f64),
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pattern {
    #[default]
    Solid,
    Dashed,
    Dotted,
}

impl Pattern {
    fn shows(self, x: i64) -> bool {
        match self {
            Pattern::Solid => true,
            Pattern::Dashed => x.rem_euclid(6) < 4,
            Pattern::Dotted => x.rem_euclid(3) == 0,
        }
    }
}

/// One thing drawn from data. Columns are columns of dots, left to right (see [`Chart::columns`]).
#[derive(Debug, Clone)]
pub enum Layer {
    /// From the smallest to the largest value of each column.
    Band {
        columns: Vec<Option<(f64, f64)>>,
        style: Style,
    },
    Line {
        columns: Vec<Sample>,
        style: Style,
        pattern: Pattern,
    },
    /// Single values at their own places, in units of the axes.
    Points {
        points: Vec<(f64, f64)>,
        symbol: char,
        style: Style,
    },
    /// A mark at the bottom of each column that is true: here something was not a number.
    Gaps {
        columns: Vec<bool>,
        symbol: char,
        style: Style,
    },
}

/// A horizontal line at a value that means something.
#[derive(Debug, Clone)]
pub struct Reference {
    pub value: f64,
    pub label: String,
    pub style: Style,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub struct Marker {
    pub x: f64,
    /// Beside the top of the line; empty for none.
    pub label: String,
    pub kind: MarkerKind,
    pub style: Style,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkerKind {
    /// A line over the whole height.
    Line,
    /// A symbol on the axis.
    Tick(char),
}

/// A vertical line at `x` and the values there, one a row.
#[derive(Debug, Clone)]
pub struct Crosshair {
    pub x: f64,
    pub rows: Vec<(String, Style)>,
    pub style: Style,
}

/// The characters and styles that do not come with a layer.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub symbols: Symbols,
    /// Axes and ticks.
    pub axis: Style,
    /// Numbers beside the axes.
    pub labels: Style,
    /// Marks at the edge where a curve leaves the range.
    pub clipped: Style,
}

/// Everything a chart shows. See the module's drawing.
#[derive(Debug, Clone)]
pub struct Chart {
    pub x: Axis,
    pub x_unit: Unit,
    pub y: Axis,
    pub y_unit: Unit,
    pub look: Look,
    pub layers: Vec<Layer>,
    pub references: Vec<Reference>,
    pub markers: Vec<Marker>,
    pub crosshair: Option<Crosshair>,
    /// Said in the middle, in place of data that is not there yet.
    pub message: Option<String>,
}

impl Chart {
    pub fn new(x: Axis, y: Axis, look: Look) -> Self {
        Self {
            x,
            x_unit: Unit::Number,
            y,
            y_unit: Unit::Number,
            look,
            layers: Vec::new(),
            references: Vec::new(),
            markers: Vec::new(),
            crosshair: None,
            message: None,
        }
    }

    /// The part of `area` that data is drawn on; labels and axes take the rest as long as there is room.
    pub fn plot(area: Rect) -> Rect {
        let gutter = if area.width >= 20 { GUTTER } else { 0 };
        let bottom = match area.height {
            0..4 => 0,
            4..8 => 1,
            _ => 2,
        };
        Rect {
            x: area.x + gutter,
            y: area.y,
            width: area.width - gutter,
            height: area.height - bottom,
        }
    }

    /// How many columns of dots a plot has: what [`Layer`]s are cut to.
    pub fn columns(plot: Rect, symbols: Symbols) -> usize {
        plot.width as usize * symbols.dots().0
    }

    /// The place on the horizontal axis under a column of the terminal.
    pub fn x_at(&self, plot: Rect, column: u16) -> f64 {
        let within = f64::from(column.saturating_sub(plot.x)) + 0.5;
        self.x.value_at(within / f64::from(plot.width.max(1)))
    }

    pub fn render(&self, area: Rect, buffer: &mut Buffer) {
        let area = area.intersection(buffer.area);
        let plot = Self::plot(area);
        if plot.width == 0 || plot.height == 0 {
            return;
        }
        self.draw_axes(area, plot, buffer);
        if let Some(message) = &self.message {
            let row = Rect {
                y: plot.y + plot.height / 2,
                height: 1,
                ..plot
            };
            let line = Line::from(Span::styled(message.as_str(), self.look.labels)).centered();
            ratatui::widgets::Widget::render(line, row, buffer);
            return;
        }
        self.draw_references(plot, buffer);
        let mut canvas = Canvas::new(plot, self.look.symbols);
        for (index, layer) in self.layers.iter().enumerate() {
            let index = u8::try_from(index + 1).unwrap_or(u8::MAX);
            self.draw_layer(layer, index, &mut canvas);
        }
        self.draw_marker_lines(plot, buffer);
        canvas.render(buffer);
        self.draw_symbols(plot, buffer);
        self.draw_clipped(plot, buffer);
        let taken = labels::markers(self, plot, buffer);
        labels::references(self, taken, plot, buffer);
        self.draw_ticks(area, plot, buffer);
        self.draw_crosshair(plot, buffer);
    }

    fn ascii(&self) -> bool {
        self.look.symbols == Symbols::Ascii
    }

    /// The row of dots of a value, 0 at the top; off the canvas when it is out of range.
    fn dot_row(&self, value: f64, canvas: &Canvas) -> Option<i64> {
        let height = canvas.height() as f64;
        let place = self.y.place(value)?;
        Some(((1.0 - place) * (height - 1.0)).round() as i64)
    }

    /// The column of cells of a place on the horizontal axis.
    fn column_of(&self, x: f64, plot: Rect) -> Option<u16> {
        let place = self.x.place(x)?;
        if !(0.0..=1.0).contains(&place) {
            return None;
        }
        let column = (place * f64::from(plot.width)) as u16;
        Some(plot.x + column.min(plot.width - 1))
    }

    /// The row of cells of a value.
    fn row_of(&self, value: f64, plot: Rect) -> Option<u16> {
        let place = self.y.place(value)?;
        if !(0.0..=1.0).contains(&place) {
            return None;
        }
        let row = ((1.0 - place) * f64::from(plot.height)) as u16;
        Some(plot.y + row.min(plot.height - 1))
    }

    fn draw_layer(&self, layer: &Layer, at: u8, canvas: &mut Canvas) {
        match layer {
            Layer::Band { columns, style } => self.draw_band(columns, *style, at, canvas),
            Layer::Line {
                columns,
                style,
                pattern,
            } => {
                let mut before: Option<(i64, i64)> = None;
                for (x, sample) in columns.iter().enumerate() {
                    match sample {
                        Sample::Nothing => {}
                        Sample::Gap => before = None,
                        Sample::Value(value) => {
                            let Some(row) = self.dot_row(*value, canvas) else {
                                before = None;
                                continue;
                            };
                            let here = (x as i64, row);
                            stroke(canvas, before.unwrap_or(here), here, *pattern, at, *style);
                            before = Some(here);
                        }
                    }
                }
            }
            Layer::Points { .. } | Layer::Gaps { .. } => {}
        }
    }

    /// A bar a column; neighbours touch, and sparse columns are joined by a line.
    fn draw_band(&self, columns: &[Option<(f64, f64)>], style: Style, at: u8, canvas: &mut Canvas) {
        let mut before: Option<(i64, i64, i64)> = None;
        for (x, column) in columns.iter().enumerate() {
            let Some((low, high)) = column else { continue };
            let (Some(bottom), Some(top)) =
                (self.dot_row(*low, canvas), self.dot_row(*high, canvas))
            else {
                continue;
            };
            let x = x as i64;
            let height = canvas.height() as i64;
            if let Some((last, last_top, last_bottom)) = before {
                let (from, to) = if last_top > bottom {
                    (last_top, bottom)
                } else if last_bottom < top {
                    (last_bottom, top)
                } else {
                    (last_bottom.min(bottom), last_bottom.min(bottom))
                };
                if from != to || x - last > 1 {
                    stroke(canvas, (last, from), (x, to), Pattern::Solid, at, style);
                }
            }
            for y in top.clamp(0, height)..=bottom.clamp(-1, height - 1) {
                canvas.dot(x, y, at, style);
            }
            before = Some((x, top, bottom));
        }
    }

    fn draw_symbols(&self, plot: Rect, buffer: &mut Buffer) {
        for layer in &self.layers {
            match layer {
                Layer::Points {
                    points,
                    symbol,
                    style,
                } => {
                    for (x, y) in points {
                        if let (Some(column), Some(row)) =
                            (self.column_of(*x, plot), self.row_of(*y, plot))
                        {
                            put(buffer, column, row, *symbol, *style);
                        }
                    }
                }
                Layer::Gaps {
                    columns,
                    symbol,
                    style,
                } => {
                    let across = self.look.symbols.dots().0;
                    for (x, gap) in columns.iter().enumerate() {
                        let column = plot.x + (x / across) as u16;
                        if *gap && column < plot.right() {
                            put(buffer, column, plot.bottom() - 1, *symbol, *style);
                        }
                    }
                }
                Layer::Band { .. } | Layer::Line { .. } => {}
            }
        }
    }

    /// Marks the columns whose values leave the range.
    fn draw_clipped(&self, plot: Rect, buffer: &mut Buffer) {
        let (up, down) = if self.ascii() {
            ('^', 'v')
        } else {
            ('▲', '▼')
        };
        let (low, high) = self.y.range();
        let slack = (high - low) * 1e-6;
        let across = self.look.symbols.dots().0;
        let mut mark = |column: u16, least: f64, most: f64| {
            if column >= plot.right() {
                return;
            }
            if most > high + slack {
                put(buffer, column, plot.y, up, self.look.clipped);
            }
            if least < low - slack {
                put(buffer, column, plot.bottom() - 1, down, self.look.clipped);
            }
        };
        for layer in &self.layers {
            match layer {
                Layer::Band { columns, .. } => {
                    for (x, column) in columns.iter().enumerate() {
                        if let Some((least, most)) = column {
                            mark(plot.x + (x / across) as u16, *least, *most);
                        }
                    }
                }
                Layer::Points { points, .. } => {
                    for (x, y) in points {
                        if let Some(column) = self.column_of(*x, plot) {
                            mark(column, *y, *y);
                        }
                    }
                }
                Layer::Line { .. } | Layer::Gaps { .. } => {}
            }
        }
    }

    fn draw_references(&self, plot: Rect, buffer: &mut Buffer) {
        let symbol = if self.ascii() { '-' } else { '┈' };
        for reference in &self.references {
            if let Some(row) = self.row_of(reference.value, plot) {
                for column in plot.x..plot.right() {
                    put(buffer, column, row, symbol, reference.style);
                }
            }
        }
    }

    fn draw_marker_lines(&self, plot: Rect, buffer: &mut Buffer) {
        let symbol = if self.ascii() { '|' } else { '╎' };
        for marker in self
            .markers
            .iter()
            .filter(|marker| marker.kind == MarkerKind::Line)
        {
            if let Some(column) = self.column_of(marker.x, plot) {
                for row in plot.y..plot.bottom() {
                    put(buffer, column, row, symbol, marker.style);
                }
            }
        }
    }

    fn draw_axes(&self, area: Rect, plot: Rect, buffer: &mut Buffer) {
        let ascii = self.ascii();
        let (vertical, tick, corner, horizontal) = if ascii {
            ('|', '+', '+', '-')
        } else {
            ('│', '┤', '└', '─')
        };
        let gutter = plot.x - area.x;
        if gutter > 0 {
            for row in plot.y..plot.bottom() {
                put(buffer, plot.x - 1, row, vertical, self.look.axis);
            }
            let mut free_below = plot.bottom();
            for (value, text) in self.y.ticks((plot.height as usize / 3).max(2), self.y_unit) {
                let Some(row) = self.row_of(value, plot) else {
                    continue;
                };
                // Ticks come from low to high: rows from the bottom to the top, one label a row.
                if row >= free_below || self.message.is_some() {
                    continue;
                }
                free_below = row;
                put(buffer, plot.x - 1, row, tick, self.look.axis);
                let width = gutter - 1;
                let text = format!("{text:>0$}", width as usize);
                buffer.set_stringn(area.x, row, text, width as usize, self.look.labels);
            }
        }
        if area.bottom() - plot.bottom() == 2 {
            let row = plot.bottom();
            if gutter > 0 {
                put(buffer, plot.x - 1, row, corner, self.look.axis);
            }
            for column in plot.x..plot.right() {
                put(buffer, column, row, horizontal, self.look.axis);
            }
        }
        if area.bottom() > plot.bottom() && self.message.is_none() {
            self.draw_x_labels(area, plot, buffer);
        }
    }

    fn draw_x_labels(&self, area: Rect, plot: Rect, buffer: &mut Buffer) {
        let row = area.bottom() - 1;
        let tick = if self.ascii() { '+' } else { '┴' };
        let mut free_from = area.x;
        for (value, text) in self.x.ticks((plot.width as usize / 9).max(1), self.x_unit) {
            let Some(column) = self.column_of(value, plot) else {
                continue;
            };
            let width = text.width() as u16;
            let start = column
                .saturating_sub(width / 2)
                .min(area.right().saturating_sub(width));
            if start < free_from || start + width > area.right() {
                continue;
            }
            buffer.set_stringn(start, row, &text, width as usize, self.look.labels);
            free_from = start + width + 2;
            if row > plot.bottom() {
                put(buffer, column, plot.bottom(), tick, self.look.axis);
            }
        }
    }

    fn draw_ticks(&self, area: Rect, plot: Rect, buffer: &mut Buffer) {
        let row = if area.bottom() - plot.bottom() == 2 {
            plot.bottom()
        } else {
            plot.bottom() - 1
        };
        for marker in &self.markers {
            if let MarkerKind::Tick(symbol) = marker.kind
                && let Some(column) = self.column_of(marker.x, plot)
            {
                put(buffer, column, row, symbol, marker.style);
            }
        }
    }

    fn draw_crosshair(&self, plot: Rect, buffer: &mut Buffer) {
        let Some(crosshair) = &self.crosshair else {
            return;
        };
        let Some(column) = self.column_of(crosshair.x, plot) else {
            return;
        };
        let symbol = if self.ascii() { '|' } else { '│' };
        for row in plot.y..plot.bottom() {
            put(buffer, column, row, symbol, crosshair.style);
        }
        let width = crosshair.rows.iter().map(|row| row.0.width()).max();
        let width = (width.unwrap_or(0) as u16 + 2).min(plot.width);
        // Beside the line, on the side that has room.
        let start = if column + 1 + width <= plot.right() {
            column + 1
        } else {
            column.saturating_sub(width).max(plot.x)
        };
        for (index, (text, style)) in crosshair.rows.iter().enumerate() {
            let row = plot.y + index as u16;
            if row >= plot.bottom() {
                break;
            }
            let text = format!(" {text:<0$}", width as usize - 1);
            buffer.set_stringn(start, row, text, width as usize, *style);
        }
    }
}

/// The range that shows all values; `None` where there is none.
pub fn fit(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values
        .into_iter()
        .filter(|value| value.is_finite())
        .fold(None, |range, value| match range {
            None => Some((value, value)),
            Some((low, high)) => Some((value.min(low), value.max(high))),
        })
}

/// As [`fit`], but the largest twentieth of the values, when they lie far above the rest, is left to the marks
/// at the edge.
pub fn fit_robust(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let mut sorted: Vec<f64> = values
        .into_iter()
        .filter(|value| value.is_finite())
        .collect();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (*sorted.first()?, *sorted.last()?);
    let most = sorted[(sorted.len() - 1) * 19 / 20];
    let roomy = most + (most - low).max(most.abs() * 0.1);
    Some((low, high.min(roomy)))
}

/// A straight run of dots between two places, both included; its first dot is left out when it continues.
fn stroke(
    canvas: &mut Canvas,
    from: (i64, i64),
    to: (i64, i64),
    pattern: Pattern,
    layer: u8,
    style: Style,
) {
    // What is far out is cut first, so that a stroke costs no more than the screen is large.
    let height = canvas.height() as i64;
    let cut = |y: i64| y.clamp(-height, 2 * height);
    let (from, to) = ((from.0, cut(from.1)), (to.0, cut(to.1)));
    let (across, down) = (to.0 - from.0, to.1 - from.1);
    let dots = across.abs().max(down.abs()).max(1);
    for dot in 0..=dots {
        let x = from.0 + (across * dot * 2 + dots * across.signum()) / (dots * 2);
        let y = from.1 + (down * dot * 2 + dots * down.signum()) / (dots * 2);
        if pattern.shows(x) {
            canvas.dot(x, y, layer, style);
        }
    }
}

fn put(buffer: &mut Buffer, column: u16, row: u16, symbol: char, style: Style) {
    if let Some(cell) = buffer.cell_mut((column, row)) {
        cell.set_char(symbol).set_style(style);
    }
}

#[cfg(test)]
mod tests;
