//! Learning rate over steps: pure functions, one file per kind.
//!
//! `step` counts from 0 and names the optimizer step about to be made, so that the first step of a run asks for
//! `learning_rate(…, 0, …)`. Before any kind comes a linear warmup of `warmup` steps, in nanoGPT's form:
//!
//! `peak · (step + 1) / (warmup + 1)` for `step < warmup`
//!
//! (never 0, and the peak itself is reached at `step = warmup`). After the last step every kind stays where it
//! ended. The result is finite and lies in `[0, peak]` for every step.
//!
//! Only [`ScheduleKind::Plateau`] looks at the run, through [`PlateauState`], which is plain data.

mod constant;
mod cosine;
mod exponential;
mod linear;
mod plateau;
mod step;
mod warmup_cosine;
mod warmup_linear;

pub use plateau::PlateauState;

use crate::config::{ScheduleConfig, ScheduleKind};
use crate::protocol::SchedulePoint;

/// The learning rate of optimizer step `step` (counted from 0).
///
/// `total_steps` is where `linear` and `cosine` end when `schedule.decay_steps` is 0. Steps before `schedule.start` have the rate
/// of its first.
pub fn learning_rate(
    config: &ScheduleConfig,
    peak: f64,
    total_steps: u64,
    step: u64,
    plateau: &PlateauState,
) -> f64 {
    let step = step.saturating_sub(config.start);
    if step < config.warmup {
        return peak * (step as f64 + 1.0) / (config.warmup as f64 + 1.0);
    }
    let span = Span {
        since_warmup: step - config.warmup,
        length: decay_end(config, total_steps).saturating_sub(config.warmup),
    };
    let share = match config.kind {
        ScheduleKind::Constant => constant::share(),
        ScheduleKind::Linear => linear::share(config, span),
        ScheduleKind::Cosine => cosine::share(config, span),
        ScheduleKind::WarmupLinear => warmup_linear::share(config, span),
        ScheduleKind::WarmupCosine => warmup_cosine::share(config, span),
        ScheduleKind::Exponential => exponential::share(config, span),
        ScheduleKind::Step => step::share(config, span),
        ScheduleKind::Plateau => plateau::share(plateau),
    };
    // A share that is no number can only come from a configuration that was never checked.
    peak * if share.is_nan() {
        0.0
    } else {
        share.clamp(0.0, 1.0)
    }
}

/// At most `n` points of the schedule, evenly spread over the run, with its first step, its last step and the end
/// of its warmup among them.
///
/// [`SchedulePoint::step`] counts as reports do: the point of step `k` is the rate that the `k`-th optimizer step
/// is made with, `learning_rate(…, k - 1, …)`.
pub fn points(
    config: &ScheduleConfig,
    peak: f64,
    total_steps: u64,
    n: usize,
    plateau: &PlateauState,
) -> Vec<SchedulePoint> {
    if total_steps == 0 || n == 0 {
        return Vec::new();
    }
    let last = total_steps - 1;
    let gaps = (n as u64 - 1).max(1);
    let mut steps: Vec<u64> = (0..n as u64)
        .map(|i| (u128::from(last) * u128::from(i) / u128::from(gaps)) as u64)
        .collect();
    let corner = config.start.saturating_add(config.warmup);
    if (1..last).contains(&corner)
        && n > 2
        && let Some(nearest) = steps[1..n - 1]
            .iter_mut()
            .min_by_key(|step| step.abs_diff(corner))
    {
        *nearest = corner;
    }
    steps.dedup();
    steps
        .into_iter()
        .map(|step| SchedulePoint {
            step: step + 1,
            learning_rate: learning_rate(config, peak, total_steps, step, plateau),
        })
        .collect()
}

/// Where a step lies in the part of a schedule that follows the warmup.
#[derive(Debug, Clone, Copy)]
struct Span {
    /// Steps since the end of the warmup.
    since_warmup: u64,
    /// Steps from the end of the warmup to the end of the decay. 0 means that the decay is already over.
    length: u64,
}

impl Span {
    /// 0 at the end of the warmup, 1 at the end of the decay and after it.
    fn progress(self) -> f64 {
        if self.since_warmup >= self.length {
            1.0
        } else {
            self.since_warmup as f64 / self.length as f64
        }
    }
}

fn decay_end(config: &ScheduleConfig, total_steps: u64) -> u64 {
    match config.decay_steps {
        0 => total_steps.saturating_sub(config.start),
        steps => steps,
    }
}

#[cfg(test)]
mod tests;
