//! `warmup-linear`: BERT's schedule, a warmup followed by [`super::linear`]. The same function as `linear` with
//! the same `warmup`; it has a name of its own because its warmup is part of the recipe.

use super::{Span, linear};
use crate::config::ScheduleConfig;

/// Share of the peak.
pub(super) fn share(config: &ScheduleConfig, span: Span) -> f64 {
    linear::share(config, span)
}
