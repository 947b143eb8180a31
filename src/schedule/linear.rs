//! `linear`: a straight line from the peak to `final_ratio` of it (`torch.optim.lr_scheduler.LinearLR` with
//! `start_factor = 1`).

use super::Span;
use crate::config::ScheduleConfig;

/// Share of the peak.
pub(super) fn share(config: &ScheduleConfig, span: Span) -> f64 {
    1.0 + (config.final_ratio - 1.0) * span.progress()
}
