//! What stands over the plot: the title, what the curves come to, the legend.

use super::words::{cut, wide};
use super::{Anchor, Canvas, Symbol};
use crate::chart::scale::{Scale, reading};
use crate::chart::{CurveKind, Figure, MarkKind, Point, Quantity, RunFigure};

/// One entry of the legend.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub symbol: Symbol,
    pub color: u32,
    pub text: String,
}

impl Canvas<'_> {
    pub(super) fn heading(&mut self) {
        let (look, unit) = (self.look, self.unit);
        let title = self.figure.quantity.title();
        let edge = 24.0 * unit;
        let whole = f64::from(look.width) - 2.0 * edge;
        let mut now = String::new();
        let (heading, mut about) = match self.figure.runs.as_slice() {
            [run] => {
                now = newest(self.figure, run);
                (format!("{}: {title}", run.name), run.about.clone())
            }
            runs => {
                let mut title = title.to_string();
                if let Some(first) = title.get_mut(0..1) {
                    first.make_ascii_uppercase();
                }
                (format!("{title} of {} runs", runs.len()), String::new())
            }
        };
        let mut add = |words: String| {
            if !about.is_empty() {
                about.push_str(" · ");
            }
            about.push_str(&words);
        };
        if self.figure.smoothing > 0.0 {
            add(format!("smoothing {}", self.figure.smoothing));
        }
        if self.figure.scale == Scale::Log {
            add("logarithmic".to_string());
        }
        let place = (edge, 42.0 * unit);
        let bold = " font-weight='bold'";
        let heading = cut(&heading, 26.0 * unit * 1.1, whole);
        self.styled_text(place, 26.0, look.foreground, Anchor::Start, bold, &heading);
        let now_wide = wide(&now, 18.0 * unit);
        if wide(&heading, 26.0 * unit * 1.1) + now_wide + 2.0 * edge < whole {
            let right = (f64::from(look.width) - 40.0 * unit, 42.0 * unit);
            self.text(right, 18.0, look.foreground, Anchor::End, &now);
        }
        let about = cut(&about, 16.0 * unit, whole);
        self.text((edge, 70.0 * unit), 16.0, look.dim, Anchor::Start, &about);
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        let figure = self.figure;
        let single = figure.runs.len() == 1;
        let mut entries = Vec::new();
        for (index, run) in figure.runs.iter().enumerate() {
            if !single {
                let (color, dashes) = self.curve(index, CurveKind::Train);
                entries.push(Entry {
                    symbol: Symbol::Line { dashes },
                    color,
                    text: run.name.clone(),
                });
                continue;
            }
            let mut left = false;
            for curve in &run.curves {
                let (color, dashes) = self.curve(index, curve.kind);
                let (symbol, text) = match curve.kind {
                    CurveKind::Validation => (Symbol::Dot, curve.kind.label()),
                    CurveKind::Left { .. } if left => continue,
                    CurveKind::Left { .. } => {
                        left = true;
                        (Symbol::Line { dashes }, "left".to_string())
                    }
                    CurveKind::Train if !figure.quantity.is_loss() => {
                        (Symbol::Line { dashes }, figure.quantity.title().to_string())
                    }
                    _ => (Symbol::Line { dashes }, curve.kind.label()),
                };
                entries.push(Entry {
                    symbol,
                    color,
                    text,
                });
            }
        }
        let kinds = |kind: CurveKind| {
            let all = figure.runs.iter().flat_map(|run| &run.curves);
            all.filter(move |curve| curve.kind == kind)
        };
        let other = figure.quantity != Quantity::ValidationLoss;
        if !single && other && kinds(CurveKind::Validation).next().is_some() {
            entries.push(Entry {
                symbol: Symbol::Dot,
                color: self.look.foreground,
                text: "validation".to_string(),
            });
        }
        let mut mark = |is: &dyn Fn(MarkKind) -> bool, symbol, color, text: &str| {
            let mut all = figure.runs.iter().flat_map(|run| &run.marks);
            if all.any(|mark| is(mark.kind)) {
                entries.push(Entry {
                    symbol,
                    color,
                    text: text.to_string(),
                });
            }
        };
        let look = self.look;
        let edit = |kind| kind == MarkKind::Edit;
        mark(&edit, Symbol::Upright, look.edit, "edit");
        let again = |kind| matches!(kind, MarkKind::Resumed | MarkKind::Rewound);
        mark(
            &again,
            Symbol::Upright,
            look.checkpoint,
            "resumed or rewound",
        );
        let bad = |kind| matches!(kind, MarkKind::Spike | MarkKind::Diverged);
        mark(&bad, Symbol::Upright, look.bad, "spike");
        let saved = |kind| kind == MarkKind::Checkpoint;
        mark(&saved, Symbol::Diamond, look.checkpoint, "checkpoint");
        let mut values = figure.runs.iter().flat_map(|run| &run.curves);
        let gap = |point: &Point| !point.value.is_finite();
        if values.clone().any(|curve| curve.points.iter().any(gap)) {
            entries.push(Entry {
                symbol: Symbol::Cross,
                color: look.bad,
                text: "not a number".to_string(),
            });
        }
        let (low, high) = self.y.range();
        let outside =
            |point: &Point| point.value.is_finite() && (point.value < low || point.value > high);
        if values.any(|curve| curve.points.iter().any(outside)) {
            entries.push(Entry {
                symbol: Symbol::Triangle,
                color: look.bad,
                text: "out of range".to_string(),
            });
        }
        entries
    }

    /// Entries in rows that fit the width.
    pub(super) fn rows(&self, entries: Vec<Entry>) -> Vec<Vec<Entry>> {
        let room = self.plot.width();
        let mut rows: Vec<Vec<Entry>> = Vec::new();
        let mut used = f64::INFINITY;
        for mut entry in entries {
            entry.text = cut(&entry.text, 16.0 * self.unit, room * 0.6);
            let wanted = self.entry_width(&entry);
            if used + wanted > room {
                rows.push(Vec::new());
                used = 0.0;
            }
            used += wanted;
            if let Some(row) = rows.last_mut() {
                row.push(entry);
            }
        }
        rows
    }

    fn entry_width(&self, entry: &Entry) -> f64 {
        wide(&entry.text, 16.0 * self.unit) + 66.0 * self.unit
    }

    pub(super) fn legend(&mut self) {
        let unit = self.unit;
        let rows = std::mem::take(&mut self.legend);
        for (index, row) in rows.iter().enumerate() {
            let y = (98.0 + index as f64 * 26.0) * unit;
            if y > self.plot.top {
                break;
            }
            let mut x = 24.0 * unit;
            for entry in row {
                let middle = (x + 15.0 * unit, y - 5.0 * unit);
                match entry.symbol {
                    Symbol::Line { dashes } => {
                        let path = format!("M{:.1},{:.1}h{:.1}", x, middle.1, 30.0 * unit);
                        self.stroke(&path, entry.color, 3.0, dashes, 1.0);
                    }
                    symbol => self.symbol(symbol, middle, entry.color),
                }
                let place = (x + 40.0 * unit, y);
                self.text(
                    place,
                    16.0,
                    self.look.foreground,
                    Anchor::Start,
                    &entry.text,
                );
                x += self.entry_width(entry);
            }
        }
    }
}

/// What the curves of a run come to at the right end.
fn newest(figure: &Figure, run: &RunFigure) -> String {
    let mut words = Vec::new();
    for curve in &run.curves {
        let Some(last) = curve.points.last() else {
            continue;
        };
        let value = match last.smoothed.is_finite() {
            true => last.smoothed,
            false => last.value,
        };
        match curve.kind {
            CurveKind::Train if figure.quantity.is_loss() => {
                words.push(format!("train {}", reading(value)));
            }
            CurveKind::Train => words.push(reading(value)),
            CurveKind::Validation => words.push(format!("validation {}", reading(value))),
            _ => {}
        }
    }
    words.join(" · ")
}
