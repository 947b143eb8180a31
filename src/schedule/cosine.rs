//! `cosine`: half a cosine wave from the peak to `final_ratio` of it (SGDR without restarts,
//! <https://arxiv.org/abs/1608.03983>; `torch.optim.lr_scheduler.CosineAnnealingLR`), and flat from there.

use std::f64::consts::PI;

use super::Span;
use crate::config::ScheduleConfig;

/// Share of the peak.
pub(super) fn share(config: &ScheduleConfig, span: Span) -> f64 {
    let coefficient = 0.5 * (1.0 + (PI * span.progress()).cos());
    config.final_ratio + coefficient * (1.0 - config.final_ratio)
}
