//! `exponential`: `gamma` per step after the warmup (`torch.optim.lr_scheduler.ExponentialLR`). It has no end; it
//! falls until it is 0 in floating point.

use super::Span;
use crate::config::ScheduleConfig;

/// Share of the peak.
pub(super) fn share(config: &ScheduleConfig, span: Span) -> f64 {
    config.gamma.powf(span.since_warmup as f64)
}
