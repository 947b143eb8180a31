//! The learning-rate range test: what is asked for, and what came of it.

use serde::{Deserialize, Serialize};

use super::finite;

/// A learning-rate range test (Smith 2015, <https://arxiv.org/abs/1506.01186>).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RateSweep {
    pub from: f64,
    pub to: f64,
    pub steps: u64,
}

impl Default for RateSweep {
    fn default() -> Self {
        Self {
            from: 1e-7,
            to: 10.0,
            steps: 150,
        }
    }
}

impl RateSweep {
    /// Steps that a test may take: fewer are no curve, more are a run.
    pub const STEPS: std::ops::RangeInclusive<u64> = 10..=10_000;

    /// # Errors
    /// A sentence about each value that cannot be used.
    pub fn check(&self) -> Result<(), String> {
        let mut problems = Vec::new();
        for (name, rate) in [("from", self.from), ("to", self.to)] {
            if !(rate.is_finite() && rate > 0.0) {
                problems.push(format!("{name} = {rate}: expected a learning rate above 0"));
            }
        }
        if problems.is_empty() && self.to <= self.from {
            problems.push(format!(
                "to = {}: expected a rate above from = {}",
                self.to, self.from
            ));
        }
        if !Self::STEPS.contains(&self.steps) {
            let (least, most) = (Self::STEPS.start(), Self::STEPS.end());
            problems.push(format!(
                "steps = {}: expected a whole number from {least} to {most}",
                self.steps
            ));
        }
        match problems.is_empty() {
            true => Ok(()),
            false => Err(problems.join("; ")),
        }
    }

    /// The rate of a step, counted from 1: `from` at the first, `to` at the last, equal ratios between.
    pub fn rate(&self, step: u64) -> f64 {
        let share = step.saturating_sub(1) as f64 / (self.steps.max(2) - 1) as f64;
        self.from * (self.to / self.from).powf(share)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RatePoint {
    pub step: u64,
    #[serde(with = "finite")]
    pub learning_rate: f64,
    #[serde(with = "finite")]
    pub loss: f64,
    /// Exponential moving average with bias correction.
    #[serde(with = "finite")]
    pub smoothed: f64,
}

/// What a range test came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RateReport {
    pub points: Vec<RatePoint>,
    /// `None` where the curve gives no reason for one.
    pub suggestion: Option<f64>,
    /// A sentence.
    pub reason: String,
    /// False when it was stopped.
    pub complete: bool,
}
