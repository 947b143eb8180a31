//! Successive halving: which trials of a sweep go on, and which are hopeless. Pure arithmetic on results.
//!
//! Jamieson and Talwalkar, *Non-stochastic Best Arm Identification and Hyperparameter Optimization* (2016),
//! <https://arxiv.org/abs/1502.07943>: every trial gets a few steps, the best share of them more, the best share of those more
//! again. With a rate of 3, nine trials and 900 steps: nine train to step 100, three go on to 300, one to 900.

use std::cmp::Ordering;

use super::{Metric, TrialOutcome, TrialResult};

/// The steps up to which the trials of each rung train, rising. The last one is `steps`. Without halving it is the only one.
pub fn rungs(steps: u64, trials: usize, rate: Option<u64>) -> Vec<u64> {
    let mut rungs = vec![steps];
    if let Some(rate) = rate.filter(|rate| *rate >= 2) {
        let (mut left, mut budget) = (trials as u64 / rate, steps);
        // Up to where one trial is left, and as long as the steps can be parted.
        while left >= 1 && budget.div_ceil(rate) < budget {
            budget = budget.div_ceil(rate);
            left /= rate;
            rungs.push(budget);
        }
    }
    rungs.reverse();
    rungs
}

/// How many trials may enter a rung, counted from 0.
pub fn places(trials: usize, rate: Option<u64>, rung: usize) -> usize {
    let Some(rate) = rate.filter(|rate| *rate >= 2) else {
        return trials;
    };
    (0..rung)
        .fold(trials, |left, _| (left as u64 / rate) as usize)
        .max(1)
}

/// The number that trials are compared by, the smaller the better; none for a trial that failed.
pub fn score(result: &TrialResult, metric: Metric) -> Option<f64> {
    let value = match metric {
        Metric::ValLoss => result.val_loss,
        Metric::BitsPerByte => result.bits_per_byte,
    };
    value.filter(|value| value.is_finite() && result.outcome == TrialOutcome::Done)
}

/// The trials that train in a rung, in the order in which they are started; `None` while the rung before it is not done.
/// The same results give the same trials, in whatever order they came.
pub fn entering(
    trials: usize,
    rate: Option<u64>,
    metric: Metric,
    results: &[TrialResult],
    rung: usize,
) -> Option<Vec<usize>> {
    let Some(before) = rung.checked_sub(1) else {
        return Some((0..trials).collect());
    };
    let entered = entering(trials, rate, metric, results, before)?;
    let mut done = Vec::new();
    for trial in &entered {
        let result = results
            .iter()
            .find(|result| result.trial == *trial && result.rung == before)?;
        done.extend(score(result, metric).map(|score| (score, *trial)));
    }
    done.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    done.truncate(places(trials, rate, rung));
    Some(done.into_iter().map(|(_, trial)| trial).collect())
}

/// The last result of each trial that has one, the best first: who came further stands before who was stopped earlier, then
/// the smaller score; who failed or diverged stands last.
pub fn ranking(results: &[TrialResult], metric: Metric) -> Vec<&TrialResult> {
    let mut last: Vec<&TrialResult> = Vec::new();
    for result in results {
        match last.iter_mut().find(|other| other.trial == result.trial) {
            Some(other) if other.rung <= result.rung => *other = result,
            Some(_) => {}
            None => last.push(result),
        }
    }
    last.sort_by(|a, b| {
        let (of_a, of_b) = (score(a, metric), score(b, metric));
        match (of_a, of_b) {
            (Some(x), Some(y)) => b.rung.cmp(&a.rung).then(x.total_cmp(&y)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => b.step.cmp(&a.step),
        }
        .then(a.trial.cmp(&b.trial))
    });
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(trial: usize, rung: usize, val_loss: Option<f64>) -> TrialResult {
        TrialResult {
            trial,
            rung,
            outcome: match val_loss {
                Some(_) => TrialOutcome::Done,
                None => TrialOutcome::Diverged,
            },
            step: 100,
            val_loss,
            bits_per_byte: val_loss,
            message: None,
        }
    }

    #[test]
    fn steps_are_parted_by_the_rate() {
        for (steps, trials, rate, expected) in [
            (900, 9, Some(3), vec![100, 300, 900]),
            (500, 8, Some(3), vec![167, 500]),
            (500, 8, Some(2), vec![63, 125, 250, 500]),
            (500, 27, Some(3), vec![19, 56, 167, 500]),
            (500, 8, None, vec![500]),
            (500, 1, Some(3), vec![500]),
            (500, 2, Some(3), vec![500]),
            // As long as they can be parted.
            (4, 1000, Some(2), vec![1, 2, 4]),
            (1, 9, Some(3), vec![1]),
        ] {
            assert_eq!(rungs(steps, trials, rate), expected, "{steps} {trials}");
        }
    }

    #[test]
    fn places_shrink_by_the_rate_and_one_is_always_left() {
        let places_of = |trials, rate| [0, 1, 2, 3].map(|rung| places(trials, rate, rung));
        assert_eq!(places_of(9, Some(3)), [9, 3, 1, 1]);
        assert_eq!(places_of(8, Some(3)), [8, 2, 1, 1]);
        assert_eq!(places_of(8, Some(2)), [8, 4, 2, 1]);
        assert_eq!(places_of(5, None), [5, 5, 5, 5]);
        // Each rung of a sweep has fewer trials than the one before, and the last one at least one.
        for trials in 1..60 {
            for rate in 2..5 {
                let n = rungs(10_000, trials, Some(rate)).len();
                let counts: Vec<usize> = (0..n).map(|r| places(trials, Some(rate), r)).collect();
                assert!(counts.windows(2).all(|two| two[1] < two[0]), "{counts:?}");
            }
        }
    }

    #[test]
    fn the_best_go_on_in_whatever_order_they_ended() {
        let losses = [3.0, 2.0, 2.5, 2.0, 4.0, 1.0];
        let mut results: Vec<TrialResult> = losses
            .iter()
            .enumerate()
            .map(|(trial, loss)| result(trial, 0, Some(*loss)))
            .collect();
        let enter =
            |results: &[TrialResult], rung| entering(6, Some(3), Metric::ValLoss, results, rung);
        // Trials 1 and 3 tie: the earlier one goes first.
        assert_eq!(enter(&results, 1), Some(vec![5, 1]));
        results.reverse();
        assert_eq!(enter(&results, 1), Some(vec![5, 1]));
        results.pop();
        assert_eq!(enter(&results, 1), None, "the rung is not done");
        assert_eq!(enter(&results, 0).map(|all| all.len()), Some(6));
    }

    #[test]
    fn who_failed_never_goes_on_and_ranks_last() {
        let results = [
            result(0, 0, None),
            result(1, 0, Some(2.0)),
            result(2, 0, Some(f64::NAN)),
            result(3, 0, Some(3.0)),
            result(1, 1, Some(1.5)),
        ];
        let enter = entering(4, Some(2), Metric::ValLoss, &results, 1);
        assert_eq!(enter, Some(vec![1, 3]));
        let order: Vec<usize> = ranking(&results, Metric::ValLoss)
            .iter()
            .map(|result| result.trial)
            .collect();
        assert_eq!(order, [1, 3, 0, 2]);
        let none = [result(0, 0, None), result(1, 0, None)];
        assert_eq!(
            entering(2, Some(2), Metric::ValLoss, &none, 1),
            Some(vec![])
        );
    }

    #[test]
    fn a_loss_does_not_help_who_failed_and_of_equals_the_earlier_trial_stands_first() {
        let failed = |trial, outcome| TrialResult {
            outcome,
            ..result(trial, 0, Some(0.5))
        };
        let mut results = vec![
            failed(0, TrialOutcome::Diverged),
            result(1, 0, Some(2.0)),
            result(2, 0, Some(1.0)),
            failed(3, TrialOutcome::Failed),
            result(4, 0, Some(2.0)),
            result(5, 0, Some(1.0)),
        ];
        for _ in 0..2 {
            let order: Vec<usize> = ranking(&results, Metric::ValLoss)
                .iter()
                .map(|result| result.trial)
                .collect();
            assert_eq!(order, [2, 5, 1, 4, 0, 3]);
            let enter = entering(6, Some(2), Metric::ValLoss, &results, 1);
            assert_eq!(enter, Some(vec![2, 5, 1]));
            results.reverse();
        }
    }

    #[test]
    fn who_came_further_ranks_before_a_lower_loss_of_an_earlier_rung() {
        let results = [
            result(0, 0, Some(1.0)),
            result(1, 0, Some(0.9)),
            result(1, 1, Some(1.2)),
        ];
        let order: Vec<usize> = ranking(&results, Metric::ValLoss)
            .iter()
            .map(|result| result.trial)
            .collect();
        assert_eq!(order, [1, 0]);
    }
}
