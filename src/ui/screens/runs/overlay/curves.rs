//! The curves of an overlay, out of the courses of its runs.

use std::sync::Arc;

use super::{By, In, Of, OverlayView};
use crate::protocol::EditRecord;
use crate::run::{Overview, RunEntry};
use crate::ui::screens::runs::RunsScreen;
use crate::ui::widgets::chart::{Axis, Sample, fit as fit_values};

/// A run as it is drawn: places and values, oldest first; NaN is a gap.
pub(super) struct Curve {
    pub at: usize,
    pub train: Vec<(f64, f64)>,
    pub validation: Vec<(f64, f64)>,
    /// Where it was edited, beside the edits: in order, as many.
    pub edited: Vec<f64>,
    pub edits: Arc<[EditRecord]>,
}

impl OverlayView {
    fn place(&self, run: &RunEntry, step: u64, tokens: u64, seconds: f64) -> f64 {
        match self.by {
            By::Step => step as f64,
            By::Tokens => tokens as f64,
            By::Time => seconds,
            By::Compute if run.operations_per_token == 0 => f64::NAN,
            By::Compute => tokens as f64 * run.operations_per_token as f64,
        }
    }

    /// Where a step lies that a bucket may end after: between the ends of the buckets beside it.
    fn place_of_step(&self, run: &RunEntry, overview: &Overview, step: u64) -> f64 {
        let buckets = &overview.buckets;
        let after = buckets.partition_point(|bucket| bucket.step < step);
        let end = |at: usize| {
            let bucket = buckets.get(at)?;
            let place = self.place(run, bucket.step, bucket.tokens, bucket.seconds);
            Some((bucket.step, place))
        };
        let before = after.checked_sub(1).and_then(end).unwrap_or((0, 0.0));
        match end(after) {
            Some((last, place)) if last > before.0 => {
                let share = (step.saturating_sub(before.0)) as f64 / (last - before.0) as f64;
                before.1 + (place - before.1) * share
            }
            _ => before.1,
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
}

/// The values as columns of dots; the line goes to the edges where it goes on beyond them.
pub(super) fn columns(values: &[(f64, f64)], axis: &Axis, count: usize) -> Vec<Sample> {
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
pub(super) fn at_place(values: &[(f64, f64)], x: f64) -> Option<f64> {
    let after = values.partition_point(|(place, _)| *place <= x);
    let (_, value) = values.get(after.checked_sub(1)?)?;
    // Beyond its end a run has no value.
    let ended = after == values.len() && values.last().is_some_and(|(last, _)| x > *last * 1.0001);
    (!ended && value.is_finite()).then_some(*value)
}

pub(super) fn value_at(view: &OverlayView, curve: &Curve, x: f64) -> Option<f64> {
    match view.of {
        Of::Validation => at_place(&curve.validation, x),
        Of::Train | Of::Both => at_place(&curve.train, x),
    }
}

pub(super) fn newest(view: &OverlayView, curve: &Curve) -> Option<f64> {
    let values = match view.of {
        Of::Validation => &curve.validation,
        Of::Train | Of::Both => &curve.train,
    };
    let last = values.iter().rev().find(|(_, value)| value.is_finite());
    last.map(|(_, value)| *value)
}

impl RunsScreen {
    pub(super) fn curves(&self, view: &OverlayView) -> Vec<Curve> {
        let runs = view.runs.iter().enumerate();
        runs.filter(|(_, (_, hidden))| !hidden)
            .filter_map(|(at, (dir, _))| {
                let run = self.find(dir)?;
                let Some(Ok(course)) = self.course(dir) else {
                    return None;
                };
                let overview = &course.overview;
                let edits = course.edits.iter();
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
                    edited: edits
                        .map(|edit| view.place_of_step(run, overview, edit.step))
                        .collect(),
                    edits: course.edits.clone(),
                })
            })
            .collect()
    }

    /// From the first point of any run to the last.
    pub(super) fn extent(curves: &[Curve]) -> (f64, f64) {
        let ends = curves.iter().flat_map(|curve| {
            [&curve.train, &curve.validation]
                .into_iter()
                .flat_map(|values| values.first().into_iter().chain(values.last()))
        });
        fit_values(ends.map(|(x, _)| *x)).unwrap_or((0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::widgets::chart::Scale;

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
}
