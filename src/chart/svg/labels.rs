//! Labels in the plot, where they cover neither each other nor leave it.

use super::words::{cut, wide};
use super::{Anchor, Canvas};
use crate::chart::scale::short;

/// A box that a label takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taken {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Taken {
    fn meets(&self, other: &Taken) -> bool {
        self.left < other.right
            && other.left < self.right
            && self.top < other.bottom
            && other.top < self.bottom
    }
}

impl Canvas<'_> {
    /// At the right end of their lines; those out of range at the edge, with a word that says where they are.
    pub(super) fn reference_labels(&mut self) {
        let Some(run) = self.figure.runs.first() else {
            return;
        };
        let (unit, plot) = (self.unit, self.plot);
        let (low, high) = self.y.range();
        let mut references: Vec<_> = run.references.iter().collect();
        references.sort_by(|a, b| b.value.total_cmp(&a.value));
        for reference in references {
            let value = short(reference.value);
            let (y, text) = match self.up(reference.value) {
                Some(_) if reference.value > high => (
                    plot.top + 18.0 * unit,
                    format!("↑ {} {value}", reference.name),
                ),
                Some(_) if reference.value < low => (
                    plot.bottom - 10.0 * unit,
                    format!("↓ {} {value}", reference.name),
                ),
                Some(y) => (y - 6.0 * unit, format!("{} {value}", reference.name)),
                None => continue,
            };
            let width = wide(&text, 15.0 * unit);
            let right = plot.right - 4.0 * unit;
            // Beside one that is in the way.
            let free = (0..4)
                .map(|at| right - f64::from(at) * (width + 20.0 * unit))
                .find(|right| self.free(right - width, *right, y));
            if let Some(right) = free.filter(|right| right - width > plot.left) {
                self.take(right - width, right, y);
                self.label((right, y), 15.0, self.look.dim, Anchor::End, &text);
            }
        }
    }

    fn area(&self, left: f64, right: f64, baseline: f64) -> Taken {
        Taken {
            left,
            right,
            top: baseline - 16.0 * self.unit,
            bottom: baseline + 4.0 * self.unit,
        }
    }

    fn free(&self, left: f64, right: f64, baseline: f64) -> bool {
        let place = self.area(left, right, baseline);
        !self.taken.iter().any(|other| other.meets(&place))
    }

    fn take(&mut self, left: f64, right: f64, baseline: f64) {
        self.taken.push(self.area(left, right, baseline));
    }

    /// Beside the top of the lines, on the first of four rows that is free; else left out.
    pub(super) fn mark_labels(&mut self) {
        let unit = self.unit;
        let several = self.figure.runs.len() > 1;
        for run in &self.figure.runs {
            for mark in &run.marks {
                if mark.text.is_empty() {
                    continue;
                }
                let Some(x) = self.across(mark.x(self.figure.across)) else {
                    continue;
                };
                let text = match several {
                    true => format!("{}: {}", run.name, mark.text),
                    false => mark.text.clone(),
                };
                let text = cut(&text, 14.0 * unit, 420.0 * unit);
                let width = wide(&text, 14.0 * unit);
                let left = match x + 6.0 * unit + width < self.plot.right {
                    true => x + 6.0 * unit,
                    false => x - 6.0 * unit - width,
                };
                let free = (0..4)
                    .map(|row| self.plot.top + (18.0 + 20.0 * f64::from(row)) * unit)
                    .find(|y| self.free(left, left + width, *y));
                if let Some(y) = free.filter(|_| left > self.plot.left) {
                    self.take(left, left + width, y);
                    let color = self.mark_color(mark.kind);
                    self.label((left, y), 14.0, color, Anchor::Start, &text);
                }
            }
        }
    }
}
