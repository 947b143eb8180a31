//! When the loss is told to have spiked: the mean of the latest few losses stands far above an exponential mean of those before
//! them. The short mean keeps the noise of single batches out; the latest losses are not in the long mean, so that a spike does
//! not raise what it is held against. Plain arithmetic on the losses alone: the same run sees the same spikes.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::protocol::Spike;

/// Losses in the short mean.
pub const LATEST: usize = 4;
/// Weight of the past in the long mean: about 50 steps.
const DECAY: f64 = 0.98;
/// Losses that the long mean must hold before anything is held against it.
const WARM_UP: u64 = 20;

/// What has been seen of the losses. Part of a checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpikeWatch {
    latest: VecDeque<f64>,
    /// Σ DECAYⁱ·loss over what left `latest`, and the sum of the weights.
    sum: f64,
    weight: f64,
    count: u64,
    /// A spike was told and is not over: half way down to the threshold ends it.
    high: bool,
}

impl SpikeWatch {
    /// Takes note of a step's loss; `Some` when a spike begins to show. A threshold of 0 tells of none. What is not a number is
    /// another matter and not looked at.
    pub fn observe(&mut self, step: u64, loss: f64, threshold: f64) -> Option<Spike> {
        if !loss.is_finite() {
            return None;
        }
        self.latest.push_back(loss);
        if self.latest.len() > LATEST
            && let Some(old) = self.latest.pop_front()
        {
            self.sum = self.sum * DECAY + old;
            self.weight = self.weight * DECAY + 1.0;
            self.count += 1;
        }
        let mean = self.mean()?;
        let latest = self.latest.iter().sum::<f64>() / self.latest.len() as f64;
        if self.high {
            self.high = latest - mean > threshold / 2.0;
            return None;
        }
        self.high = threshold > 0.0 && latest - mean > threshold;
        self.high.then_some(Spike {
            step,
            loss: latest,
            mean,
        })
    }

    /// The mean of earlier losses, once there are enough.
    pub fn mean(&self) -> Option<f64> {
        (self.count >= WARM_UP).then(|| self.sum / self.weight)
    }
}

/// The last step whose weights are not those that a spike at `step` shows: its first high loss may be the earliest in the short
/// mean, and what made that loss high is the step before it.
pub fn before(step: u64) -> u64 {
    step.saturating_sub(LATEST as u64 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(step: u64) -> f64 {
        (step * 7919 % 101) as f64 / 101.0 - 0.5
    }

    fn spikes(losses: impl Iterator<Item = f64>, threshold: f64) -> Vec<u64> {
        let mut watch = SpikeWatch::default();
        (1..)
            .zip(losses)
            .filter_map(|(step, loss)| watch.observe(step, loss, threshold))
            .map(|spike| spike.step)
            .collect()
    }

    #[test]
    fn noise_and_a_single_bad_batch_are_none() {
        let falling = |step: u64| 4.0 / (1.0 + step as f64 / 100.0) + noise(step);
        assert!(spikes((1..2000).map(falling), 1.0).is_empty());
        let once = (1..2000).map(|step| falling(step) + if step == 700 { 3.0 } else { 0.0 });
        assert!(spikes(once, 1.0).is_empty());
    }

    #[test]
    fn a_rise_is_told_once_and_again_after_it_was_over() {
        let rise = |step: u64| match step {
            300..320 | 600..610 => 5.0,
            _ => 2.0 + noise(step) / 4.0,
        };
        let told = spikes((1..1000).map(rise), 1.0);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(
            (300..304).contains(&told[0]) && (600..604).contains(&told[1]),
            "{told:?}"
        );
        assert!(before(told[0]) < 300);
        assert!(spikes((1..1000).map(rise), 0.0).is_empty());
        assert!(spikes((1..1000).map(rise), 5.0).is_empty());
    }

    #[test]
    fn it_goes_on_where_it_was_saved() {
        let mut watch = SpikeWatch::default();
        for step in 1..100 {
            watch.observe(step, 2.0 + noise(step), 1.0);
        }
        let text = serde_json::to_string(&watch).unwrap();
        assert_eq!(serde_json::from_str::<SpikeWatch>(&text).unwrap(), watch);
    }
}
