//! `warmup-cosine`: nanoGPT's schedule, a warmup followed by [`super::cosine`]. The same function as `cosine` with
//! the same `warmup`; it has a name of its own because its warmup is part of the recipe.

use super::{Span, cosine};
use crate::config::ScheduleConfig;

/// Share of the peak.
pub(super) fn share(config: &ScheduleConfig, span: Span) -> f64 {
    cosine::share(config, span)
}
