//! `step`: `gamma` every `step_size` steps after the warmup (`torch.optim.lr_scheduler.StepLR`).

use super::Span;
use crate::config::ScheduleConfig;

/// Share of the peak. A `step_size` of 0 never cuts.
pub(super) fn share(config: &ScheduleConfig, span: Span) -> f64 {
    let cuts = span.since_warmup.checked_div(config.step_size).unwrap_or(0);
    config.gamma.powf(cuts as f64)
}
