//! The learning-rate range test: which rate a short run with a rising rate speaks for. Pure arithmetic on losses.
//!
//! Smith, *Cyclical Learning Rates for Training Neural Networks* (2015), <https://arxiv.org/abs/1506.01186>, section 3.3:
//! train for a short while, raising the rate at every step, and see where the loss falls and where it begins to rise. As
//! in the fastai library's `lr_find` the rate rises by equal ratios, the losses are smoothed by an exponential average with
//! bias correction, and the test ends when the average is above four times its lowest value.
//!
//! # The rule
//! Two of fastai's conventions, and of the two the smaller rate:
//! - `steep`: where the smoothed loss falls fastest over the logarithm of the rate. The slope is that of the line of least
//!   squares through the points within [`REACH`] of all steps to either side, so that the noise of one batch does not decide.
//! - `minimum`: a tenth of the rate at the lowest smoothed loss; at the lowest itself training is about to break.
//!
//! There is a suggestion only where the curve really falls: by [`LEAST_FALL`] of the loss at the start and by
//! [`NOISES`] times the spread of single losses about the average.
//!
//! Simplification: a step's loss is taken before its update, so that what a rate does shows one point further on. With
//! 150 steps over eight decades that is an eighth of a decade.

use crate::protocol::{RatePoint, RateReport, RateSweep};
use crate::words::counted;

/// Share of the old average that stays at each step. The average looks back over ten steps: less than the fall is long.
const SMOOTHING: f64 = 0.9;
/// The test ends when the average is above this multiple of its lowest value.
const DIVERGED_ABOVE: f64 = 4.0;
/// Points to either side that a slope is taken over, as a share of all steps.
const REACH: f64 = 0.04;
/// Share of the first points that say where the loss began.
const BEGINNING: f64 = 0.1;
/// The fall must be at least this share of the loss at the beginning …
const LEAST_FALL: f64 = 0.02;
/// … and this many standard deviations of the average's noise.
const NOISES: f64 = 6.0;

/// Why a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The last rate was reached.
    Reached,
    /// The loss went up for good, or is no number any more.
    Diverged,
    /// By the user.
    Stopped,
}

/// A test in progress: takes losses, gives points.
#[derive(Debug, Clone)]
pub struct RangeTest {
    sweep: RateSweep,
    /// The average without its bias correction.
    average: f64,
    lowest: f64,
    points: Vec<RatePoint>,
}

impl RangeTest {
    pub fn new(sweep: RateSweep) -> Self {
        Self {
            sweep,
            average: 0.0,
            lowest: f64::INFINITY,
            points: Vec::new(),
        }
    }

    /// The rate of the next step; `None` when all are done.
    pub fn next_rate(&self) -> Option<f64> {
        let step = self.points.len() as u64 + 1;
        (step <= self.sweep.steps).then(|| self.sweep.rate(step))
    }

    /// Takes the loss of the step made with [`RangeTest::next_rate`], NaN where it could not be made. `false` beside the
    /// point means that the loss went up for good: more steps would say nothing.
    pub fn note(&mut self, loss: f64) -> (RatePoint, bool) {
        let step = self.points.len() as u64 + 1;
        self.average = SMOOTHING * self.average + (1.0 - SMOOTHING) * loss;
        let smoothed = self.average / (1.0 - SMOOTHING.powf(step as f64));
        let point = RatePoint {
            step,
            learning_rate: self.sweep.rate(step),
            loss,
            smoothed,
        };
        self.points.push(point);
        self.lowest = self.lowest.min(smoothed);
        let goes_on = smoothed.is_finite() && smoothed <= DIVERGED_ABOVE * self.lowest;
        (point, goes_on)
    }

    /// What the test came to.
    pub fn report(self, ending: Ending) -> RateReport {
        let (suggestion, reason) = judge(&self.points, ending);
        RateReport {
            points: self.points,
            suggestion,
            reason,
            complete: ending != Ending::Stopped,
        }
    }
}

/// A rate, if the curve gives reason for one, and a sentence about it.
fn judge(points: &[RatePoint], ending: Ending) -> (Option<f64>, String) {
    let usable = points.iter().take_while(|p| p.smoothed.is_finite()).count();
    let points = &points[..usable];
    let (first, last) = match (points.first(), points.last()) {
        (Some(first), Some(last)) if points.len() >= 5 => (first, last),
        _ => {
            let how = match ending {
                Ending::Stopped => "it was stopped",
                _ => "the loss was no number any more",
            };
            let text = format!(
                "after {} {how}: too few to see a curve",
                counted(usable, "step")
            );
            return (None, text);
        }
    };
    let beginning = ((points.len() as f64 * BEGINNING) as usize).max(3);
    let start = mean(points[..beginning].iter().map(|p| p.loss));
    let at_lowest = lowest(points);
    let bottom = &points[at_lowest];
    let fall = start - bottom.smoothed;
    if fall < LEAST_FALL * start.abs() || fall < NOISES * noise(&points[..=at_lowest]) {
        let range = format!("{:.1e} to {:.1e}", first.learning_rate, last.learning_rate);
        let text = if last.smoothed > start * (1.0 + LEAST_FALL) {
            format!(
                "from {range} the loss only rises ({start:.3} at first): every rate tried is too high, or the model does \
                 not learn; begin lower"
            )
        } else {
            let advice = match ending {
                Ending::Stopped => "it was stopped too early to tell",
                _ => "end higher, or take more steps",
            };
            format!(
                "from {range} the loss hardly moves ({start:.3} at first, {:.3} at its lowest): {advice}",
                bottom.smoothed
            )
        };
        return (None, text);
    }
    let steepest = &points[steepest(points, at_lowest)];
    let bound = bottom.learning_rate / 10.0;
    let fell = format!(
        "the smoothed loss falls from {start:.3} to {:.3} at a rate of {:.1e}",
        bottom.smoothed, bottom.learning_rate
    );
    let mut reason = if steepest.learning_rate <= bound {
        format!(
            "{fell}, and fastest at {:.1e}, which is suggested",
            steepest.learning_rate
        )
    } else {
        format!(
            "{fell}, and fastest at {:.1e}; a tenth of the rate at the lowest loss, {bound:.1e}, is smaller and is \
             suggested",
            steepest.learning_rate
        )
    };
    if at_lowest + 1 == points.len() {
        reason.push_str(match ending {
            Ending::Stopped => "; it was still falling when the test was stopped",
            _ => "; it was still falling at the end, so a test that ends higher may find a higher rate",
        });
    }
    (Some(rounded(steepest.learning_rate.min(bound))), reason)
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len().max(1) as f64;
    values.sum::<f64>() / count
}

/// The index of the lowest smoothed loss. The first averages are of a few batches and scatter most: they do not count.
fn lowest(points: &[RatePoint]) -> usize {
    let from = 10.min(points.len() / 2);
    (from..points.len())
        .min_by(|a, b| points[*a].smoothed.total_cmp(&points[*b].smoothed))
        .unwrap_or(from)
}

/// Standard deviation of the average, if the losses only scattered about it. A trend, behind which the average stays, adds to
/// it: that errs on the careful side.
fn noise(points: &[RatePoint]) -> f64 {
    let squares = points.iter().map(|p| (p.loss - p.smoothed).powi(2));
    // Of an exponential average of independent values.
    (mean(squares) * (1.0 - SMOOTHING) / (1.0 + SMOOTHING)).sqrt()
}

/// The index, not after the lowest, where a line through the neighbours falls fastest over the logarithm of the rate.
fn steepest(points: &[RatePoint], at_lowest: usize) -> usize {
    let reach = ((points.len() as f64 * REACH).round() as usize).max(2);
    let slope = |at: usize| {
        let near = &points[at.saturating_sub(reach)..(at + reach + 1).min(points.len())];
        let n = near.len() as f64;
        let x = |p: &RatePoint| p.learning_rate.ln();
        let (mean_x, mean_y) = (
            near.iter().map(x).sum::<f64>() / n,
            near.iter().map(|p| p.smoothed).sum::<f64>() / n,
        );
        let over: f64 = near
            .iter()
            .map(|p| (x(p) - mean_x) * (p.smoothed - mean_y))
            .sum();
        over / near.iter().map(|p| (x(p) - mean_x).powi(2)).sum::<f64>()
    };
    // The first averages are of a few batches each and scatter most.
    let from = reach.min(at_lowest);
    (from..=at_lowest)
        .min_by(|a, b| slope(*a).total_cmp(&slope(*b)))
        .unwrap_or(at_lowest)
}

/// Two digits: a test of this kind knows no more.
fn rounded(rate: f64) -> f64 {
    format!("{rate:.1e}").parse().unwrap_or(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A test over a curve: the loss as a function of log10 of the rate and of the step.
    fn run(sweep: RateSweep, curve: impl Fn(f64, u64) -> f64) -> RateReport {
        let mut test = RangeTest::new(sweep);
        let mut ending = Ending::Reached;
        while let Some(rate) = test.next_rate() {
            let step = test.points.len() as u64 + 1;
            if !test.note(curve(rate.log10(), step)).1 {
                ending = Ending::Diverged;
                break;
            }
        }
        test.report(ending)
    }

    /// Between -1 and 1, the same at every call.
    fn scatter(step: u64) -> f64 {
        (step as f64 * 12.9898).sin() * 43_758.547 % 1.0
    }

    /// Falls by 3 around 1e-3, is lowest near 1e-1.5, and rises steeply after it.
    fn typical(log: f64, step: u64) -> f64 {
        let fall = 3.0 / (1.0 + (-(log + 3.0) * 3.0).exp());
        let rise = (2.5 * (log + 0.8)).exp();
        6.0 - fall + rise + 0.05 * scatter(step)
    }

    #[test]
    fn the_rates_rise_by_equal_ratios_and_reach_the_end() {
        let sweep = RateSweep::default();
        let mut test = RangeTest::new(sweep);
        let mut rates = Vec::new();
        while let Some(rate) = test.next_rate() {
            rates.push(rate);
            test.note(1.0);
        }
        assert_eq!(rates.len(), 150);
        assert!((rates[0] - 1e-7).abs() < 1e-18 && (rates[149] - 10.0).abs() < 1e-9);
        for three in rates.windows(3) {
            assert!((three[1] / three[0] - three[2] / three[1]).abs() < 1e-9);
        }
    }

    #[test]
    fn the_average_has_no_bias() {
        let mut test = RangeTest::new(RateSweep::default());
        for _ in 0..20 {
            let (point, goes_on) = test.note(5.0);
            assert!((point.smoothed - 5.0).abs() < 1e-12 && goes_on);
        }
    }

    #[test]
    fn a_known_curve_gives_a_rate_on_its_slope() {
        let report = run(RateSweep::default(), typical);
        let rate = report.suggestion.unwrap();
        assert!((3e-4..6e-3).contains(&rate), "{rate}: {}", report.reason);
        assert!(report.complete && report.reason.contains("suggested"));
        // It ended before the last rate, and not before the loss had gone up.
        assert!(report.points.len() < 150);
        let last = report.points.last().unwrap();
        assert!(last.smoothed > 4.0 * 3.0 && last.learning_rate > 0.1);
    }

    #[test]
    fn near_the_edge_a_tenth_of_the_lowest_is_taken() {
        // A cliff: the steepest fall and the lowest loss lie together.
        let report = run(RateSweep::default(), |log, _| match log {
            log if log < -2.0 => 6.0,
            log if log < -1.7 => 3.0,
            _ => 100.0,
        });
        let lowest = report.points[lowest(&report.points)].learning_rate;
        let rate = report.suggestion.unwrap();
        assert!(
            (rate / (lowest / 10.0) - 1.0).abs() < 0.06,
            "{rate} {lowest}"
        );
        assert!(report.reason.contains("a tenth"), "{}", report.reason);
    }

    #[test]
    fn flat_and_rising_curves_give_none() {
        let flat = run(RateSweep::default(), |_, step| 6.0 + 0.3 * scatter(step));
        assert_eq!(flat.suggestion, None);
        assert!(flat.reason.contains("hardly moves"), "{}", flat.reason);
        let rising = run(RateSweep::default(), |log, _| 4.0 + (log + 7.0) * 0.5);
        assert_eq!(rising.suggestion, None);
        assert!(rising.reason.contains("only rises"), "{}", rising.reason);
    }

    #[test]
    fn a_fall_that_noise_explains_is_none() {
        // One percent of fall in noise of ten percent.
        let report = run(RateSweep::default(), |log, step| {
            6.0 - 0.01 * (log + 7.0) + 0.6 * scatter(step)
        });
        assert_eq!(report.suggestion, None, "{}", report.reason);
    }

    #[test]
    fn what_is_no_number_ends_the_test_and_is_kept_as_a_point() {
        let report = run(RateSweep::default(), |log, step| match log {
            log if log < -1.0 => typical(log, step),
            _ => f64::NAN,
        });
        let (last, rest) = report.points.split_last().unwrap();
        assert!(last.loss.is_nan() && last.smoothed.is_nan());
        assert!(rest.iter().all(|p| p.smoothed.is_finite()));
        let rate = report.suggestion.unwrap();
        assert!((3e-4..6e-3).contains(&rate), "{rate}");

        let at_once = run(RateSweep::default(), |_, _| f64::NAN);
        assert_eq!((at_once.suggestion, at_once.points.len()), (None, 1));
        assert!(at_once.reason.contains("too few"), "{}", at_once.reason);
        let infinite = run(RateSweep::default(), |_, step| match step {
            0..20 => 5.0,
            _ => f64::INFINITY,
        });
        assert_eq!((infinite.suggestion, infinite.points.len()), (None, 20));
    }

    #[test]
    fn a_curve_that_still_falls_says_so() {
        let sweep = RateSweep {
            to: 1e-3,
            ..RateSweep::default()
        };
        let report = run(sweep, typical);
        assert!(report.suggestion.is_some());
        assert!(report.reason.contains("still falling"), "{}", report.reason);
    }

    #[test]
    fn a_test_that_was_stopped_says_what_it_has() {
        let mut test = RangeTest::new(RateSweep::default());
        test.note(3.0);
        let report = test.report(Ending::Stopped);
        assert_eq!((report.suggestion, report.complete), (None, false));
        assert!(report.reason.contains("stopped"), "{}", report.reason);
        // What the user did is no reason to do it otherwise.
        let mut test = RangeTest::new(RateSweep::default());
        for step in 1..40 {
            test.note(6.0 + 0.3 * scatter(step));
        }
        let report = test.report(Ending::Stopped);
        assert!(report.reason.contains("too early"), "{}", report.reason);
        assert!(!report.reason.contains("higher"), "{}", report.reason);
    }

    #[test]
    fn sweeps_that_make_no_sense_are_refused_with_every_reason() {
        assert_eq!(RateSweep::default().check(), Ok(()));
        for (from, to, steps, words) in [
            (0.0, 1.0, 100, "from = 0"),
            (-1.0, 1.0, 100, "from = -1"),
            (f64::NAN, 1.0, 100, "from = NaN"),
            (1e-3, f64::INFINITY, 100, "to = inf"),
            (1e-3, 1e-3, 100, "to = 0.001"),
            (1e-3, 1.0, 3, "steps = 3"),
            (1e-3, 1.0, 1_000_000, "steps = 1000000"),
        ] {
            let message = RateSweep { from, to, steps }.check().unwrap_err();
            assert!(message.contains(words), "{message}");
        }
        let all = RateSweep {
            from: 0.0,
            to: -1.0,
            steps: 0,
        };
        assert_eq!(all.check().unwrap_err().matches("expected").count(), 3);
    }
}
