//! Keys that follow each other, and what `g` is on the dashboard: a sample, or the beginning of `gg`.

use super::*;

const EVENTS: &str = "8";
const KNOBS: &str = "6";

impl Journey {
    /// How many samples were asked for since the last call; nothing else was sent.
    #[track_caller]
    fn samples(&mut self) -> usize {
        let sent = self.sent();
        let other = |command: &&Command| !matches!(command, Command::Sample { .. });
        assert_eq!(sent.iter().find(other), None);
        sent.len()
    }
}

#[test]
fn g_twice_goes_to_the_top_of_a_list_and_samples_nothing() {
    let mut journey = Journey::training();
    journey.keys(KNOBS);
    let top = journey.screen();
    journey.keys("G");
    assert_ne!(journey.screen(), top);
    journey.keys("g g");
    journey.wait();
    assert_eq!(journey.screen(), top);
    assert_eq!(journey.samples(), 0);
    journey.keys(EVENTS);
    for step in 0..60 {
        journey.event(EventKind::Checkpointed(CheckpointInfo {
            sequence: None,
            step,
            path: "c".into(),
            bytes: 1,
            total_bytes: 1,
            reason: CheckpointReason::Cadence,
            val_loss: None,
        }));
    }
    journey.does_not_see("checkpoint of step 0 ");
    journey.keys("g g");
    journey.wait();
    journey.sees("checkpoint of step 0 ");
    assert_eq!(journey.samples(), 0);
}

#[test]
fn g_alone_on_a_list_samples_a_moment_later_or_before_the_next_key() {
    let mut journey = Journey::training();
    journey.keys(EVENTS);
    journey.sent();
    journey.keys("g");
    assert_eq!(journey.samples(), 0);
    journey.keys("w");
    assert!(matches!(
        journey.sent().as_slice(),
        [Command::Sample { .. }, Command::Save]
    ));
    journey.keys("g");
    journey.wait();
    journey.wait();
    journey.sees("sampling after this step");
    assert_eq!(journey.samples(), 1, "and once only");
    // What waited belongs to its own moment: a timer of before does not take the next `g`.
    journey.keys("g g g");
    let early = journey.effects.iter().find_map(|effect| match effect {
        Effect::After(_, timer @ Timer::Key(_)) => Some(*timer),
        _ => None,
    });
    journey.tell(Message::Timer(early.expect("a timer")));
    let sampled = |effect: &Effect| matches!(effect, Effect::Send(_));
    assert!(!journey.effects.iter().any(sampled));
    journey.wait();
    assert_eq!(journey.samples(), 1);
}

#[test]
fn g_on_a_chart_samples_at_once_and_twice_or_held_down_only_once() {
    let mut journey = Journey::training();
    for pane in ["1", "2"] {
        journey.keys(pane);
        journey.keys("g g g g");
        assert_eq!(journey.samples(), 1, "pane {pane}");
        // After a moment, or after something else, it is another wish.
        journey.keys("g");
        journey.wait();
        assert_eq!(journey.samples(), 0, "still the same one");
        journey.keys("g");
        assert_eq!(journey.samples(), 1);
        journey.keys("+ g");
        assert_eq!(journey.samples(), 1);
        journey.wait();
        journey.keys("esc");
    }
}

#[test]
fn a_sequence_of_the_users_lets_the_key_that_begins_it_wait() {
    let (settings, _) = Settings::parse("[keymap.chart]\nfreeze = \"w w\"\n");
    let mut journey = Journey::with(Setup {
        settings,
        width: 120,
        height: 40,
        ..Setup::default()
    });
    journey.keys("enter");
    journey.event(EventKind::Phase(Phase::Training));
    journey.event(EventKind::Steps(vec![step(12)]));
    journey.sent();
    journey.keys("w w");
    journey.sees("frozen");
    assert_eq!(journey.sent(), []);
    journey.keys("w");
    journey.wait();
    assert_eq!(journey.sent(), [Command::Save]);
}
