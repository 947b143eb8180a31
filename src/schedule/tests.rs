use proptest::prelude::*;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::*;

const SCRIPT: &[u8] = include_bytes!("../../tests/reference/schedules.py");
const RECORDED: &str = include_str!("../../tests/reference/schedules.json");

const KINDS: [ScheduleKind; 8] = [
    ScheduleKind::Constant,
    ScheduleKind::Linear,
    ScheduleKind::Cosine,
    ScheduleKind::WarmupLinear,
    ScheduleKind::WarmupCosine,
    ScheduleKind::Exponential,
    ScheduleKind::Step,
    ScheduleKind::Plateau,
];

fn config(kind: ScheduleKind) -> ScheduleConfig {
    ScheduleConfig {
        kind,
        start: 0,
        warmup: 0,
        decay_steps: 40,
        final_ratio: 0.1,
        gamma: 0.97,
        step_size: 7,
        patience: 2,
    }
}

fn recorded() -> Value {
    serde_json::from_str(RECORDED).expect("the recorded file is JSON")
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().expect("a table");
    list.iter().map(|n| n.as_f64().expect("a number")).collect()
}

#[test]
fn recorded_tables_belong_to_the_script() {
    let digest: String = Sha256::digest(SCRIPT)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        recorded()["script_sha256"],
        digest,
        "run tests/reference/schedules.py"
    );
}

/// Tolerance: PyTorch updates the cosine and exponential rates step by step in float64, which drifts by less than
/// 1e-12 of the rate over 60 steps; ours are closed forms.
#[test]
fn tables_equal_torch() {
    let recorded = recorded();
    let peak = recorded["peak"].as_f64().expect("a number");
    let step = ScheduleConfig {
        gamma: 0.5,
        ..config(ScheduleKind::Step)
    };
    // The same after ten steps of warmup, the end as much later.
    let warm = |config: ScheduleConfig| ScheduleConfig {
        warmup: 10,
        decay_steps: 50,
        ..config
    };
    let cases = [
        ("constant", config(ScheduleKind::Constant)),
        ("cosine", config(ScheduleKind::Cosine)),
        ("linear", config(ScheduleKind::Linear)),
        ("exponential", config(ScheduleKind::Exponential)),
        ("step", step.clone()),
        ("warmup-constant", warm(config(ScheduleKind::Constant))),
        ("warmup-cosine", warm(config(ScheduleKind::WarmupCosine))),
        ("warmup-cosine", warm(config(ScheduleKind::Cosine))),
        ("warmup-linear", warm(config(ScheduleKind::WarmupLinear))),
        (
            "warmup-exponential",
            warm(config(ScheduleKind::Exponential)),
        ),
        ("warmup-step", warm(step)),
        (
            "warmup-cosine-nanogpt",
            warm(config(ScheduleKind::WarmupCosine)),
        ),
    ];
    for (name, config) in cases {
        let table = numbers(&recorded[name]);
        assert!(table.len() > 40, "{name}");
        for (step, expected) in table.into_iter().enumerate() {
            let rate = learning_rate(&config, peak, 1000, step as u64, &PlateauState::default());
            assert!(
                (rate - expected).abs() <= 1e-12 * peak,
                "{name} at step {step}: {rate} instead of {expected}"
            );
        }
    }
}

#[test]
fn plateau_equals_torch() {
    let recorded = recorded();
    let peak = recorded["peak"].as_f64().expect("a number");
    let config = ScheduleConfig {
        gamma: 0.5,
        ..config(ScheduleKind::Plateau)
    };
    let mut state = PlateauState::default();
    let losses = numbers(&recorded["plateau"]["losses"]);
    let rates = numbers(&recorded["plateau"]["rates"]);
    for (at, (loss, expected)) in losses.into_iter().zip(rates).enumerate() {
        state.observe(&config, loss);
        let rate = learning_rate(&config, peak, 100, 0, &state);
        assert!((rate - expected).abs() <= 1e-15, "after evaluation {at}");
    }
    assert!(state.cuts >= 4, "the table exercises cuts");
}

#[test]
fn plateau_state_survives_json() {
    let config = config(ScheduleKind::Plateau);
    let mut state = PlateauState::default();
    for loss in [3.1, 2.7, 2.8, 2.9, 3.0, f64::NAN] {
        state.observe(&config, loss);
    }
    let text = serde_json::to_string(&state).expect("plain data");
    let back: PlateauState = serde_json::from_str(&text).expect("its own text");
    assert_eq!(back, state);
}

#[test]
fn plateau_never_reaches_zero() {
    let config = config(ScheduleKind::Plateau);
    let mut state = PlateauState::default();
    for _ in 0..10_000 {
        state.observe(&config, f64::NAN);
    }
    assert!(state.share > 0.0);
}

#[test]
fn warmup_precedes_every_kind_and_meets_the_peak() {
    for kind in KINDS {
        let config = ScheduleConfig {
            warmup: 4,
            ..config(kind)
        };
        let rates: Vec<f64> = (0..5)
            .map(|step| learning_rate(&config, 1.0, 50, step, &PlateauState::default()))
            .collect();
        for (rate, expected) in rates.iter().zip([0.2, 0.4, 0.6, 0.8, 1.0]) {
            assert!((rate - expected).abs() < 1e-15, "{kind:?}: {rates:?}");
        }
    }
}

#[test]
fn decaying_kinds_end_where_they_are_told_and_stay() {
    let kinds = [
        ScheduleKind::Linear,
        ScheduleKind::Cosine,
        ScheduleKind::WarmupLinear,
        ScheduleKind::WarmupCosine,
    ];
    for kind in kinds {
        let config = ScheduleConfig {
            warmup: 3,
            decay_steps: 0,
            ..config(kind)
        };
        for step in [30, 31, 60, 61, u64::MAX] {
            let rate = learning_rate(&config, 2.0, 30, step, &PlateauState::default());
            assert!((rate - 0.2).abs() < 1e-15, "{kind:?} at {step}: {rate}");
        }
        let before = learning_rate(&config, 2.0, 30, 29, &PlateauState::default());
        assert!(before > 0.2, "{kind:?}");
    }
}

#[test]
fn points_span_the_run_and_hold_the_corner() {
    let config = ScheduleConfig {
        warmup: 37,
        decay_steps: 0,
        ..config(ScheduleKind::WarmupCosine)
    };
    let plateau = PlateauState::default();
    let points = points(&config, 1.0, 1000, 50, &plateau);
    assert_eq!(points.len(), 50);
    assert_eq!(points[0].step, 1);
    assert_eq!(points[49].step, 1000);
    assert!(points.windows(2).all(|pair| pair[0].step < pair[1].step));
    let top = points.iter().find(|point| point.learning_rate == 1.0);
    assert_eq!(top.map(|point| point.step), Some(38));
    for point in points {
        assert_eq!(
            point.learning_rate,
            learning_rate(&config, 1.0, 1000, point.step - 1, &plateau)
        );
    }
}

#[test]
fn points_of_short_runs() {
    let config = config(ScheduleKind::Linear);
    let count = |total, n| points(&config, 1.0, total, n, &PlateauState::default()).len();
    assert_eq!(count(0, 10), 0);
    assert_eq!(count(10, 0), 0);
    assert_eq!(count(1, 10), 1);
    assert_eq!(count(3, 10), 3);
    assert_eq!(count(u64::MAX, 10), 10);
}

proptest! {
    #[test]
    fn finite_and_bounded_for_every_step(
        kind in 0..KINDS.len(),
        warmup in prop_oneof![0u64..100, any::<u64>()],
        decay_steps in prop_oneof![0u64..1000, any::<u64>()],
        total in prop_oneof![0u64..1000, any::<u64>()],
        start in prop_oneof![Just(0u64), 0u64..1000, any::<u64>()],
        step in prop_oneof![0u64..2000, any::<u64>(), Just(u64::MAX)],
        final_ratio in 0.0f64..=1.0,
        gamma in 1e-9f64..=1.0,
        step_size in prop_oneof![0u64..10, any::<u64>()],
        peak in 1e-9f64..1e3,
    ) {
        let config = ScheduleConfig {
            kind: KINDS[kind],
            start,
            warmup,
            decay_steps,
            final_ratio,
            gamma,
            step_size,
            patience: 0,
        };
        let rate = learning_rate(&config, peak, total, step, &PlateauState::default());
        prop_assert!(rate.is_finite() && (0.0..=peak).contains(&rate), "{rate} of {peak}");
    }

    #[test]
    fn points_are_ordered(total in any::<u64>(), n in 0usize..300, warmup in any::<u64>()) {
        let config = ScheduleConfig { warmup, ..config(ScheduleKind::Cosine) };
        let points = points(&config, 1.0, total, n, &PlateauState::default());
        prop_assert!(points.len() <= n);
        prop_assert!(points.windows(2).all(|pair| pair[0].step < pair[1].step));
    }
}

#[test]
fn a_schedule_that_starts_later_is_the_same_moved() {
    for kind in KINDS {
        let first = ScheduleConfig {
            warmup: 5,
            decay_steps: 0,
            ..config(kind)
        };
        let later = ScheduleConfig {
            start: 30,
            ..first.clone()
        };
        let plateau = PlateauState::default();
        let at = |config: &ScheduleConfig, total, step| {
            learning_rate(config, 1.0, total, step, &plateau)
        };
        for step in 0..60 {
            assert_eq!(
                at(&later, 70, step + 30),
                at(&first, 40, step),
                "{kind:?} {step}"
            );
        }
        assert_eq!(at(&later, 70, 7), at(&first, 40, 0), "{kind:?}");
    }
}
