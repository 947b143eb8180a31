//! The learning-rate range test, through the thread.

use super::faults::{Fault, faulty};
use super::*;
use crate::protocol::{RatePoint, RateReport, RateSweep};

fn find(front: &Front, run: RunId, sweep: RateSweep, config: RunConfig) {
    front.send(Command::FindRate {
        run,
        config: Box::new(config),
        sweep,
    });
}

fn found(front: &mut Front, run: RunId) -> RateReport {
    let event = front.until("the end of the test", |event| {
        event.run == run && matches!(event.kind, EventKind::RateFound(_))
    });
    match event.kind {
        EventKind::RateFound(report) => report,
        _ => unreachable!(),
    }
}

/// Losses of the first steps of a run, bit for bit.
fn losses(front: &mut Front, run: RunId) -> Vec<u64> {
    front.start(run, config(&["train.steps=12"]));
    front.finish();
    let steps = front.seen.iter().filter(|event| event.run == run);
    let reports = steps.filter_map(|event| match &event.kind {
        EventKind::Steps(steps) => Some(steps.clone()),
        _ => None,
    });
    reports.flatten().map(|r| r.loss.to_bits()).collect()
}

#[test]
fn a_range_test_finds_a_rate_and_touches_nothing() {
    let mut front = Front::new();
    let alone = losses(&mut front, 1);
    let before = run::list(front.root.path()).len();
    let sweep = RateSweep {
        from: 1e-5,
        to: 10.0,
        steps: 120,
    };
    find(&front, 2, sweep, config(&["train.batch_size=16"]));
    let report = found(&mut front, 2);
    front.until_phase(Phase::Idle);
    assert!(report.complete);
    let rate = report
        .suggestion
        .unwrap_or_else(|| panic!("{}", report.reason));
    assert!((1e-4..1.0).contains(&rate), "{rate}: {}", report.reason);
    // Every point came as an event too, in order, with the rates that were asked for.
    let events: Vec<RatePoint> = front
        .seen
        .iter()
        .filter_map(|event| match event.kind {
            EventKind::RatePoint(point) => Some(point),
            _ => None,
        })
        .collect();
    assert_eq!(events, report.points);
    assert_eq!(events[0].learning_rate, 1e-5);
    for point in &events {
        assert_eq!(point.learning_rate, sweep.rate(point.step));
    }
    assert_eq!(run::list(front.root.path()).len(), before, "it left a run");
    // A run after it is the run that it would have been without.
    assert_eq!(losses(&mut front, 3), alone);
    front.end();
}

#[test]
fn a_range_test_is_stopped_and_keeps_others_away() {
    let mut front = Front::new();
    let sweep = RateSweep {
        steps: 10_000,
        ..RateSweep::default()
    };
    find(&front, 1, sweep, config(&[]));
    front.until("a point", |event| {
        matches!(event.kind, EventKind::RatePoint(_))
    });
    front.start(2, config(&[]));
    let refused = front.until("a refusal", |event| failure(event).is_some());
    assert_eq!(refused.run, 2);
    assert!(failure(&refused).unwrap().contains("range test"));
    front.send(Command::Stop);
    let report = found(&mut front, 1);
    assert!(!report.complete && report.points.len() < 10_000);
    front.until_phase(Phase::Idle);
    // And the other way round.
    front.start(3, config(&[]));
    front.until_step(2);
    find(&front, 4, RateSweep::default(), config(&[]));
    let refused = front.until("a refusal", |event| failure(event).is_some());
    assert_eq!(refused.run, 4);
    assert!(
        failure(&refused)
            .unwrap()
            .contains("another run is training")
    );
    front.send(Command::Stop);
    front.finish();
    front.end();
}

#[test]
fn a_range_test_says_why_it_cannot_be_made() {
    let mut front = Front::new();
    let sweep = RateSweep {
        from: 0.0,
        ..RateSweep::default()
    };
    find(&front, 1, sweep, config(&[]));
    let refused = front.until("a refusal", |event| failure(event).is_some());
    assert!(failure(&refused).unwrap().contains("from = 0"));
    let mut broken = config(&[]);
    broken.corpus.path = vec!["/nonexistent/text".into()];
    find(&front, 2, RateSweep::default(), broken);
    let failed = front.until("a failure", |event| failure(event).is_some());
    assert!(failure(&failed).unwrap().contains("/nonexistent/text"));
    let huge = config(&["model.hidden_size=8192", "model.n_layers=24"]);
    find(&front, 3, RateSweep::default(), huge);
    let failed = front.until("a failure", |event| failure(event).is_some());
    assert!(failure(&failed).unwrap().contains("of memory and"));
    front.end();
}

#[test]
fn a_step_that_diverges_ends_a_range_test_and_a_defect_only_fails_it() {
    let mut front = faulty(Fault::Diverge);
    find(&front, 1, RateSweep::default(), config(&[]));
    let report = found(&mut front, 1);
    assert_eq!((report.points.len(), report.suggestion), (3, None));
    assert!(report.points[2].loss.is_nan() && report.complete);
    front.end();

    let mut front = faulty(Fault::Panic);
    find(&front, 1, RateSweep::default(), config(&[]));
    let failed = front.until("a failure", |event| failure(event).is_some());
    assert!(failure(&failed).unwrap().contains("a defect on purpose"));
    find(&front, 2, RateSweep::default(), config(&[]));
    found(&mut front, 2);
    front.end();
}
