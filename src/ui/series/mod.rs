//! The metrics of a run, step by step, for drawing: a million steps fit in about 35 MB and any stretch of
//! them is summarised in microseconds.
//!
//! - [`Pyramid`]: one metric, with smallest, largest and mean of 16, 256, 4096 … values.
//! - [`RunSeries`]: all metrics of a run over three axes (steps, tokens, seconds).
//!
//! A NaN or an infinity is kept as a gap that the chart marks. When training goes back (a resumed run
//! repeats steps that were trained after its checkpoint), what the new steps replace is forgotten.

mod chunked;
mod ema;
mod phases;
mod progression;
mod pyramid;

use crate::protocol::StepReport;
use ema::Ema;
use phases::Phases;
use progression::{Progression, Seconds};
pub use pyramid::{Pyramid, Summary};

/// A number that every step reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Nats per token.
    Loss,
    LearningRate,
    /// Global norm before clipping.
    GradNorm,
    TokensPerSecond,
}

impl Metric {
    pub const ALL: [Metric; 4] = [
        Metric::Loss,
        Metric::LearningRate,
        Metric::GradNorm,
        Metric::TokensPerSecond,
    ];

    fn of(self, report: &StepReport) -> f64 {
        match self {
            Metric::Loss => report.loss,
            Metric::LearningRate => report.learning_rate,
            Metric::GradNorm => report.grad_norm,
            Metric::TokensPerSecond => report.tokens_per_second,
        }
    }

    /// Which smoothed companion the metric has, if any.
    fn smoothed(self) -> Option<usize> {
        match self {
            Metric::Loss => Some(0),
            Metric::GradNorm => Some(1),
            Metric::TokensPerSecond => Some(2),
            _ => None,
        }
    }
}

/// What lies on the horizontal axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum XAxis {
    #[default]
    Step,
    Tokens,
    /// Seconds of training, pauses left out.
    Seconds,
}

impl XAxis {
    pub const ALL: [XAxis; 3] = [XAxis::Step, XAxis::Tokens, XAxis::Seconds];

    /// The word on screen.
    pub fn label(self) -> &'static str {
        match self {
            XAxis::Step => "step",
            XAxis::Tokens => "tokens",
            XAxis::Seconds => "time",
        }
    }

    /// The next one, around the circle.
    pub fn next(self) -> Self {
        match self {
            XAxis::Step => XAxis::Tokens,
            XAxis::Tokens => XAxis::Seconds,
            XAxis::Seconds => XAxis::Step,
        }
    }
}

/// One drawn column: the points from `start` up to `end`, and what they come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Column {
    pub start: usize,
    pub end: usize,
    pub summary: Summary,
}

/// Every step of one run.
#[derive(Debug, Clone, Default)]
pub struct RunSeries {
    steps: Progression,
    tokens: Progression,
    seconds: Seconds,
    phases: Phases,
    metrics: [Pyramid; Metric::ALL.len()],
    smoothed: [Ema; 3],
    last: Option<StepReport>,
}

impl RunSeries {
    pub fn len(&self) -> usize {
        self.metrics[0].len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The newest step, in full.
    pub fn last(&self) -> Option<&StepReport> {
        self.last.as_ref()
    }

    /// Adds a step. One that is not after the last replaces everything from itself on.
    pub fn push(&mut self, report: &StepReport) {
        if self.steps.last().is_some_and(|last| report.step <= last) {
            self.forget_from(report.step);
        }
        self.steps.push(report.step);
        self.tokens.push(report.tokens);
        self.seconds.push(report.seconds);
        self.phases.push(report);
        for metric in Metric::ALL {
            let value = metric.of(report) as f32;
            self.metrics[metric as usize].push(value);
            if let Some(at) = metric.smoothed() {
                self.smoothed[at].push(value);
            }
        }
        self.last = Some(*report);
    }

    /// Forgets `step` and all after it.
    pub fn forget_from(&mut self, step: u64) {
        let keep = self.index_at(XAxis::Step, step as f64);
        if keep >= self.len() {
            return;
        }
        self.steps.truncate(keep);
        self.tokens.truncate(keep);
        self.seconds.truncate(keep);
        self.phases.truncate(keep);
        for metric in Metric::ALL {
            let pyramid = &mut self.metrics[metric as usize];
            pyramid.truncate(keep);
            if let Some(at) = metric.smoothed() {
                self.smoothed[at].truncate(keep, pyramid);
            }
        }
        self.last = keep.checked_sub(1).and_then(|index| self.report(index));
    }

    /// The step at `index`, as far as it is kept (`f32` values; `epoch` is not kept and is 0).
    pub fn report(&self, index: usize) -> Option<StepReport> {
        let value = |metric| self.value(metric, index).map(f64::from);
        let loss = value(Metric::Loss)?;
        let [forward_ms, backward_ms, optimizer_ms] = self.phases.get(index);
        Some(StepReport {
            step: self.steps.get(index),
            epoch: 0.0,
            tokens: self.tokens.get(index),
            loss,
            learning_rate: value(Metric::LearningRate)?,
            grad_norm: value(Metric::GradNorm)?,
            tokens_per_second: value(Metric::TokensPerSecond)?,
            ms: forward_ms + backward_ms + optimizer_ms,
            forward_ms,
            backward_ms,
            optimizer_ms,
            seconds: self.seconds.get(index),
        })
    }

    /// Mean milliseconds of forward, backward and optimizer over the last `count` steps; 0 without any.
    pub fn phases(&self, count: usize) -> [f64; 3] {
        let end = self.len();
        let start = end.saturating_sub(count);
        let mut sums = [0.0; 3];
        for index in start..end {
            for (sum, ms) in sums.iter_mut().zip(self.phases.get(index)) {
                *sum += ms;
            }
        }
        sums.map(|sum| sum / (end - start).max(1) as f64)
    }

    pub fn value(&self, metric: Metric, index: usize) -> Option<f32> {
        self.metrics[metric as usize].value(index)
    }

    /// Where the point at `index` lies on `axis`. Past the end: where the last lies.
    pub fn x(&self, axis: XAxis, index: usize) -> f64 {
        let Some(last) = self.len().checked_sub(1) else {
            return 0.0;
        };
        let index = index.min(last);
        match axis {
            XAxis::Step => self.steps.get(index) as f64,
            XAxis::Tokens => self.tokens.get(index) as f64,
            XAxis::Seconds => self.seconds.get(index),
        }
    }

    /// The first point at or after `x`; the length where there is none.
    pub fn index_at(&self, axis: XAxis, x: f64) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.x(axis, middle) < x {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The point nearest to `x`.
    pub fn nearest(&self, axis: XAxis, x: f64) -> Option<usize> {
        let last = self.len().checked_sub(1)?;
        let after = self.index_at(axis, x).min(last);
        let before = after.saturating_sub(1);
        let nearer_before = (x - self.x(axis, before)).abs() < (self.x(axis, after) - x).abs();
        Some(if nearer_before { before } else { after })
    }

    /// First and last place on `axis`; `None` without points.
    pub fn extent(&self, axis: XAxis) -> Option<(f64, f64)> {
        let last = self.len().checked_sub(1)?;
        Some((self.x(axis, 0), self.x(axis, last)))
    }

    /// Where `x` on one axis lies on another, by the nearest point.
    pub fn translate(&self, from: XAxis, to: XAxis, x: f64) -> f64 {
        self.nearest(from, x).map_or(x, |index| self.x(to, index))
    }

    /// What `metric` comes to in each of `columns` equal stretches of `range` (both ends included), in time
    /// proportional to the columns and the logarithm of the steps.
    pub fn view(
        &self,
        metric: Metric,
        axis: XAxis,
        range: (f64, f64),
        columns: usize,
    ) -> Vec<Column> {
        let pyramid = &self.metrics[metric as usize];
        let width = (range.1 - range.0) / columns.max(1) as f64;
        let mut start = self.index_at(axis, range.0);
        (1..=columns)
            .map(|column| {
                let end = if column == columns {
                    self.end_of(axis, range.1)
                } else {
                    self.index_at(axis, range.0 + width * column as f64)
                };
                let end = end.max(start);
                let out = Column {
                    start,
                    end,
                    summary: pyramid.summarise(start, end),
                };
                start = end;
                out
            })
            .collect()
    }

    /// One past the last point at or before `x`.
    fn end_of(&self, axis: XAxis, x: f64) -> usize {
        let mut end = self.index_at(axis, x);
        while end < self.len() && self.x(axis, end) <= x {
            end += 1;
        }
        end
    }

    /// What `metric` comes to over a stretch of points.
    pub fn summarise(&self, metric: Metric, start: usize, end: usize) -> Summary {
        self.metrics[metric as usize].summarise(start, end)
    }

    /// The smoothed value at `index`; for a metric that is not smoothed, and with weight 0, the value itself.
    pub fn smoothed(&self, metric: Metric, index: usize) -> Option<f64> {
        let pyramid = &self.metrics[metric as usize];
        match metric.smoothed() {
            Some(at) => self.smoothed[at].value(index, pyramid),
            None => pyramid
                .value(index)
                .filter(|value| value.is_finite())
                .map(f64::from),
        }
    }

    /// The weight of the past in the smoothed values of `metric`, 0 ..= 0.9999.
    pub fn smoothing(&self, metric: Metric) -> f64 {
        metric
            .smoothed()
            .map_or(0.0, |at| self.smoothed[at].weight())
    }

    /// Sets that weight; one pass over the series when it differs.
    pub fn set_smoothing(&mut self, metric: Metric, weight: f64) {
        if let Some(at) = metric.smoothed()
            && self.smoothed[at].weight() != weight
        {
            self.smoothed[at].rebuild(weight, &self.metrics[metric as usize]);
        }
    }

    /// Bytes held on the heap.
    pub fn bytes(&self) -> usize {
        self.steps.bytes()
            + self.tokens.bytes()
            + self.seconds.bytes()
            + self.phases.bytes()
            + self.metrics.iter().map(Pyramid::bytes).sum::<usize>()
            + self.smoothed.iter().map(Ema::bytes).sum::<usize>()
    }
}

#[cfg(test)]
mod tests;
