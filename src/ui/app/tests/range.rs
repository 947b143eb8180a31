//! The learning-rate range test over the home screen.

use super::*;
use crate::protocol::{RatePoint, RateReport, RateSweep};

fn points(n: u64) -> Vec<RatePoint> {
    (1..=n)
        .map(|step| RatePoint {
            step,
            learning_rate: RateSweep::default().rate(step),
            loss: 6.0 - 0.03 * step as f64,
            smoothed: 6.0 - 0.03 * step as f64,
        })
        .collect()
}

pub(super) fn report(suggestion: Option<f64>) -> EventKind {
    EventKind::RateFound(RateReport {
        points: points(100),
        suggestion,
        reason: "the smoothed loss falls fastest there".to_string(),
        complete: true,
    })
}

#[test]
fn a_rate_is_looked_for_and_taken_into_the_form() {
    let mut journey = Journey::new();
    journey.sent();
    journey.keys("f");
    let sent = journey.sent();
    let [Command::FindRate { run, config, sweep }] = sent.as_slice() else {
        panic!("{sent:?}");
    };
    assert_eq!((*run, *sweep), (1, RateSweep::default()));
    assert_eq!(config.model.kind(), ModelKind::Gpt);
    journey.sees("Learning-rate range test: gpt");
    for point in points(60) {
        journey.event(EventKind::RatePoint(point));
    }
    for wanted in ["step 60/150", "testing", "1e-4", "esc stop "] {
        journey.sees(wanted);
    }
    journey.does_not_see("take it");
    // Nothing can be taken yet, and what lies below hears no keys.
    journey.keys("enter r c +");
    assert_eq!(journey.sent(), []);
    assert_eq!(journey.app.screen(), Screen::Home);
    journey.event(report(Some(2.3e-3)));
    journey.sees("enter takes 0.0023 as optimizer.learning_rate");
    journey.sees("take it  esc close");
    for (width, height) in [(80, 24), (200, 60), (40, 12), (39, 5)] {
        journey.size(width, height);
        journey.screen();
    }
    journey.size(120, 40);
    journey.keys("enter");
    journey.does_not_see("Learning-rate range test");
    journey.sees("optimizer.learning_rate is now 2.3e-3");
    journey.keys("enter");
    let sent = journey.sent();
    let [Command::Start { run: 2, config, .. }] = sent.as_slice() else {
        panic!("{sent:?}");
    };
    assert_eq!(config.optimizer.learning_rate, 2.3e-3);
}

#[test]
fn a_range_test_is_stopped_then_closed() {
    let mut journey = Journey::new();
    journey.sent();
    journey.keys("f esc");
    assert!(matches!(
        journey.sent().as_slice(),
        [Command::FindRate { .. }, Command::Stop]
    ));
    journey.sees("Learning-rate range test");
    journey.event(report(None));
    journey.keys("enter");
    journey.sees("nothing to take");
    journey.keys("esc");
    journey.does_not_see("Learning-rate range test: gpt");
    // One that does not answer is left behind; what it says later is of no interest.
    journey.keys("f esc esc");
    journey.does_not_see("Learning-rate range test: gpt");
    journey.event(report(Some(1e-3)));
    journey.does_not_see("takes 1e-3");
    // A test is nothing to be saved: the program ends at once.
    journey.keys("f ctrl-c");
    assert_eq!(journey.quit(), Some(&Outcome::Done));
}

#[test]
fn no_range_test_while_a_run_trains_or_a_value_is_bad() {
    let mut journey = Journey::training();
    journey.keys("H f");
    assert_eq!(journey.sent(), []);
    journey.sees("is training: a range test needs the machine for itself");

    let mut journey = Journey::new();
    journey.sent();
    journey.keys("/");
    journey.text("n_layers");
    journey.keys("enter e ctrl-u");
    journey.text("9999");
    journey.keys("enter f");
    assert_eq!(journey.sent(), []);
    journey.does_not_see("Learning-rate range test: gpt");
    journey.sees("model.n_layers");
}

#[test]
fn a_range_test_that_fails_says_why() {
    let mut journey = Journey::new();
    journey.keys("f");
    journey.event(EventKind::failed("the corpus cannot be read".to_string()));
    journey.sees("the corpus cannot be read");
    journey.sent();
    journey.keys("esc");
    assert_eq!(journey.sent(), [], "nothing is left to be stopped");
    journey.does_not_see("the corpus cannot be read");
    journey.keys("f");
    journey.tell(Message::EngineGone);
    journey.sees("ended unexpectedly");
}
