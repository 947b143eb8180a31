use super::*;
use proptest::prelude::*;

fn report(step: u64, loss: f64) -> StepReport {
    StepReport {
        step,
        epoch: 0.0,
        tokens: step * 512,
        loss,
        learning_rate: 1e-3,
        grad_norm: 1.0,
        tokens_per_second: 30_000.0,
        ms: 17.0,
        forward_ms: 5.0,
        backward_ms: 10.0,
        optimizer_ms: 2.0,
        seconds: step as f64 * 0.017,
    }
}

fn filled(losses: &[f64]) -> RunSeries {
    let mut series = RunSeries::default();
    for (index, &loss) in losses.iter().enumerate() {
        series.push(&report(index as u64 + 1, loss));
    }
    series
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn every_point_falls_in_exactly_one_column(
        losses in prop::collection::vec(0.0f64..10.0, 1..2000),
        columns in 1usize..300,
        axis in prop_oneof![Just(XAxis::Step), Just(XAxis::Tokens), Just(XAxis::Seconds)],
    ) {
        let series = filled(&losses);
        let view = series.view(Metric::Loss, axis, series.extent(axis).unwrap(), columns);
        prop_assert_eq!(view.len(), columns);
        prop_assert_eq!(view.iter().map(|column| column.summary.finite).sum::<usize>(), losses.len());
        let top = view.iter().map(|column| column.summary.max).fold(f32::MIN, f32::max);
        let bottom = view.iter().map(|column| column.summary.min).fold(f32::MAX, f32::min);
        prop_assert_eq!(top, losses.iter().map(|&loss| loss as f32).fold(f32::MIN, f32::max));
        prop_assert_eq!(bottom, losses.iter().map(|&loss| loss as f32).fold(f32::MAX, f32::min));
    }

    #[test]
    fn zooming_in_regains_each_step(losses in prop::collection::vec(0.0f64..10.0, 50..500), at in 0usize..450) {
        let series = filled(&losses);
        let at = at.min(losses.len() - 1);
        let step = at as f64 + 1.0;
        let view = series.view(Metric::Loss, XAxis::Step, (step - 0.4, step + 0.4), 4);
        let found: Vec<_> = view.iter().filter(|column| column.summary.finite > 0).collect();
        prop_assert_eq!(found.len(), 1);
        prop_assert_eq!(found[0].summary.min, losses[at] as f32);
        prop_assert_eq!(found[0].summary.max, losses[at] as f32);
    }
}

#[test]
fn a_repeated_step_replaces_what_came_after_it() {
    let mut series = filled(&[5.0, 4.0, 3.0, 2.0, 1.0]);
    series.push(&report(3, 9.0));
    assert_eq!(series.len(), 3);
    assert_eq!(series.value(Metric::Loss, 2), Some(9.0));
    assert_eq!(series.last().unwrap().step, 3);
    assert_eq!(series.extent(XAxis::Tokens), Some((512.0, 3.0 * 512.0)));
    series.forget_from(1);
    assert!(series.is_empty() && series.last().is_none());
}

#[test]
fn non_finite_values_are_gaps_not_losses() {
    let series = filled(&[2.0, f64::NAN, f64::INFINITY, 4.0]);
    let view = series.view(Metric::Loss, XAxis::Step, (1.0, 4.0), 1);
    assert_eq!(view[0].summary.gaps, 2);
    assert_eq!(view[0].summary.finite, 2);
    assert_eq!((view[0].summary.min, view[0].summary.max), (2.0, 4.0));
}

#[test]
fn an_empty_series_answers_everything() {
    let series = RunSeries::default();
    assert_eq!(series.extent(XAxis::Step), None);
    assert_eq!(series.nearest(XAxis::Step, 3.0), None);
    assert_eq!(
        series.view(Metric::Loss, XAxis::Step, (0.0, 1.0), 3).len(),
        3
    );
    assert_eq!(series.smoothed(Metric::Loss, 0), None);
}

#[test]
fn phases_of_a_step_come_back_and_are_averaged() {
    let mut series = RunSeries::default();
    assert_eq!(series.phases(100), [0.0; 3]);
    for step in 1..=3000 {
        series.push(&StepReport {
            forward_ms: step as f64,
            backward_ms: 2.0 * step as f64,
            optimizer_ms: 0.5,
            ..report(step, 3.0)
        });
    }
    series.push(&StepReport {
        forward_ms: 0.0,
        backward_ms: 0.0,
        optimizer_ms: 0.0,
        ..report(3001, 3.0)
    });
    let near = |found: [f64; 3], wanted: [f64; 3]| {
        let whole: f64 = wanted.iter().sum();
        for (found, wanted) in found.into_iter().zip(wanted) {
            assert!((found - wanted).abs() <= 2e-5 * whole, "{found} {wanted}");
        }
    };
    let told = series.report(1999).unwrap();
    near(
        [told.forward_ms, told.backward_ms, told.optimizer_ms],
        [2000.0, 4000.0, 0.5],
    );
    assert_eq!(series.report(3000).unwrap().ms, 0.0);
    series.forget_from(3001);
    near(series.phases(3), [2999.0, 5998.0, 0.5]);
}

#[test]
fn a_hundred_thousand_steps_stay_small() {
    let mut series = RunSeries::default();
    for metric in Metric::ALL {
        series.set_smoothing(metric, 0.9);
    }
    for step in 1..=100_000 {
        series.push(&report(step, 3.0));
    }
    assert!(series.bytes() < 4_000_000, "{}", series.bytes());
}
