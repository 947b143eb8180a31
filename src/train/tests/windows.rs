//! Which tokens a batch holds, in training and in an evaluation.

use super::*;

/// Which tokens are predicted, and how often.
fn coverage(tokens: usize, windows: &[Window]) -> Vec<usize> {
    let mut seen = vec![0; tokens];
    for window in windows {
        for start in &window.starts {
            for count in &mut seen[start + 1..=start + window.length] {
                *count += 1;
            }
        }
    }
    seen
}

#[test]
fn random_windows_depend_on_seed_step_and_batch_alone() {
    let source = |seed| {
        BatchSource::new(dataset(600, 200), BatchingKind::Random, 16, 8, seed).expect("enough")
    };
    let starts = |seed, step, micro| source(seed).starts(step, micro, Position::default()).0;
    assert_eq!(starts(1, 5, 0), starts(1, 5, 0));
    assert_ne!(starts(1, 5, 0), starts(2, 5, 0));
    assert_ne!(starts(1, 5, 0), starts(1, 6, 0));
    assert_ne!(starts(1, 5, 0), starts(1, 5, 1));
    let mut seen = std::collections::BTreeSet::new();
    for step in 0..2000 {
        let starts = starts(3, step, 0);
        assert!(starts.iter().all(|start| start + 8 < 600));
        seen.extend(starts);
    }
    // Every offset comes up: 32,000 draws over 592.
    assert_eq!(seen.len(), 592);
}

#[test]
fn streams_are_contiguous_and_start_anew() {
    let source = BatchSource::new(dataset(101, 20), BatchingKind::Stream, 4, 8, 0).expect("enough");
    // Rows of 25 tokens hold 3 windows of 8.
    let mut position = Position::default();
    let mut seen = Vec::new();
    for _ in 0..4 {
        let (starts, fresh, next) = source.starts(9, 9, position);
        seen.push((starts, fresh));
        position = next;
    }
    assert_eq!(
        seen,
        vec![
            (vec![0, 25, 50, 75], true),
            (vec![8, 33, 58, 83], false),
            (vec![16, 41, 66, 91], false),
            (vec![0, 25, 50, 75], true),
        ]
    );
    assert_eq!(position, Position { pass: 1, window: 1 });
}

#[test]
fn a_text_too_short_is_refused() {
    let problem = |sets: &[&str], train, validation| {
        try_trainer(config(sets), dataset(train, validation))
            .expect_err("too short")
            .to_string()
    };
    assert!(problem(&[], 8, 20).contains("8 tokens, but 9 are needed"));
    assert!(problem(&["train.batching=stream"], 32, 20).contains("33 are needed"));
    assert!(problem(&[], 100, 1).starts_with("the validation part"));
}

#[test]
fn the_whole_split_is_every_token_once() {
    for carry in [false, true] {
        for tokens in [2, 3, 8, 9, 10, 33, 64, 65, 66, 200, 1001] {
            for batch_size in [1, 3, 4, 50] {
                let windows = windows(
                    tokens,
                    Evaluation {
                        batch_size,
                        context_length: 8,
                        batches: 0,
                        carry,
                    },
                );
                let seen = coverage(tokens, &windows);
                assert_eq!(seen[0], 0);
                assert!(
                    seen[1..].iter().all(|count| *count == 1),
                    "{carry} {tokens} {batch_size}"
                );
                assert!(
                    windows
                        .iter()
                        .all(|w| w.length <= 8 && w.starts.len() <= batch_size)
                );
            }
        }
    }
    assert!(
        windows(
            1,
            Evaluation {
                batch_size: 1,
                context_length: 8,
                batches: 0,
                carry: false
            }
        )
        .is_empty()
    );
}

#[test]
fn some_batches_are_spread_over_the_split() {
    let evaluation = Evaluation {
        batch_size: 4,
        context_length: 8,
        batches: 3,
        carry: false,
    };
    let spread = windows(1000, evaluation);
    assert_eq!(spread.len(), 3);
    assert_eq!(spread[0].starts[0], 0);
    assert_eq!(spread[2].starts[3], 1000 - 1 - 8);
    // More batches than the split holds: the split, once.
    assert_eq!(coverage(40, &windows(40, evaluation))[1..], vec![1; 39]);
    let carried = windows(
        1000,
        Evaluation {
            carry: true,
            ..evaluation
        },
    );
    assert_eq!(carried.len(), 3);
    assert_eq!(carried[1].starts, vec![8, 257, 506, 755]);
    assert_eq!(
        carried.iter().map(|w| w.fresh).collect::<Vec<_>>(),
        [true, false, false]
    );
}
