//! The milliseconds of every step by phase, in eight bytes: they are looked up, and averaged over a few steps, but never drawn
//! over the whole run, so that nothing lies above them.

use super::chunked::Chunked;
use crate::protocol::StepReport;

/// Parts of a whole that a `u16` tells apart.
const PARTS: f64 = u16::MAX as f64;

#[derive(Debug, Clone, Copy)]
struct Split {
    ms: f32,
    /// Of the whole; the rest is the optimizer's.
    forward: u16,
    backward: u16,
}

/// Forward, backward and optimizer of every step, to 1/65535 of the step.
#[derive(Debug, Clone, Default)]
pub(super) struct Phases {
    splits: Chunked<Split>,
}

impl Phases {
    pub fn push(&mut self, report: &StepReport) {
        let whole = report.forward_ms + report.backward_ms + report.optimizer_ms;
        // A whole of 0, or none, has no parts: the conversion makes 0 of what is no number.
        let part = |ms: f64| (ms / whole * PARTS).round() as u16;
        self.splits.push(Split {
            ms: whole as f32,
            forward: part(report.forward_ms),
            backward: part(report.backward_ms),
        });
    }

    pub fn truncate(&mut self, len: usize) {
        self.splits.truncate(len);
    }

    /// Milliseconds of forward, backward and optimizer.
    pub fn get(&self, index: usize) -> [f64; 3] {
        let Split {
            ms,
            forward,
            backward,
        } = self.splits.get(index);
        let part = |share: u16| f64::from(ms) * f64::from(share) / PARTS;
        let (forward, backward) = (part(forward), part(backward));
        [forward, backward, f64::from(ms) - forward - backward]
    }

    pub fn bytes(&self) -> usize {
        self.splits.bytes()
    }
}
