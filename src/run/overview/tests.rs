//! An overview says what the log says, however it was come by.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::protocol::{EditAuthor, EvalReport, Rewound, StepReport};
use crate::run::{Record, log};

fn step(step: u64, loss: f64) -> Record {
    Record::Step(StepReport {
        step,
        epoch: 0.0,
        tokens: step * 10,
        loss,
        learning_rate: 0.1,
        grad_norm: 1.0,
        tokens_per_second: 1.0,
        ms: 1.0,
        forward_ms: 0.5,
        backward_ms: 0.4,
        optimizer_ms: 0.1,
        seconds: step as f64 / 8.0,
    })
}

fn eval(step: u64, val_loss: f64) -> Record {
    Record::Eval(EvalReport {
        step,
        tokens: step * 10,
        seconds: step as f64 / 8.0,
        train_loss: val_loss,
        val_loss,
        perplexity: val_loss.exp(),
        bits_per_byte: val_loss / 2.0,
        unknown_fraction: 0.0,
        best: false,
    })
}

fn rewound(from: u64, step: u64) -> Record {
    Record::Rewound(Rewound {
        from,
        step,
        checkpoint: format!("step-{step:08}"),
        by: EditAuthor::User,
        onto: None,
    })
}

/// Steps, and what was measured there.
type Values = Vec<(u64, f64)>;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn log(&self) -> PathBuf {
        self.path().join("metrics.jsonl")
    }

    fn append(&self, text: &str) {
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log())
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn add(&self, records: &[Record]) {
        for record in records {
            self.append(&format!("{}\n", record.to_line()));
        }
    }

    fn fresh(&self) -> Overview {
        let mut overview = Overview::default();
        overview.read_on(self.path()).unwrap();
        overview
    }

    /// What the log itself says: steps with their loss, and the last evaluation of each step.
    fn truth(&self) -> (Values, Values) {
        let (mut steps, mut evaluations) = (Vec::new(), Vec::<(u64, f64)>::new());
        for record in log::read(&self.log()).unwrap().records {
            match record {
                Record::Step(report) => steps.push((report.step, report.loss)),
                Record::Eval(report) => {
                    evaluations.retain(|(step, _)| *step != report.step);
                    evaluations.push((report.step, report.val_loss));
                }
                _ => {}
            }
        }
        (steps, evaluations)
    }

    #[track_caller]
    fn assert_true(&self, overview: &Overview) {
        let (steps, evaluations) = self.truth();
        let (mut count, mut sum) = (0, 0.0);
        for bucket in &overview.buckets {
            count += bucket.count + bucket.gaps;
            if bucket.count > 0 {
                sum += bucket.mean * f64::from(bucket.count);
            }
        }
        let finite = steps.iter().filter(|(_, loss)| loss.is_finite());
        let expected: f64 = finite.map(|(_, loss)| loss).sum();
        assert_eq!(count as usize, steps.len());
        assert!((sum - expected).abs() < 1e-6 * expected.abs().max(1.0));
        assert_eq!(overview.last_step(), steps.last().map_or(0, |s| s.0));
        let found: Vec<(u64, f64)> = overview
            .evaluations
            .iter()
            .map(|e| (e.step, e.val_loss))
            .collect();
        assert_eq!(found, evaluations);
    }
}

#[test]
fn many_steps_become_few_buckets_that_keep_the_extremes() {
    let folder = Folder::new();
    let mut text = String::new();
    for n in 1..=20_000u64 {
        let loss = match n {
            777 => 99.0,
            15_001 => -3.0,
            9_000 => f64::NAN,
            _ => 2.0,
        };
        text.push_str(&step(n, loss).to_line());
        text.push('\n');
    }
    folder.append(&text);
    let overview = folder.fresh();
    folder.assert_true(&overview);
    assert!((MOST_BUCKETS / 2..=MOST_BUCKETS).contains(&overview.buckets.len()));
    assert!(overview.buckets.iter().any(|b| b.max == 99.0));
    assert!(overview.buckets.iter().any(|b| b.min == -3.0));
    assert_eq!(overview.buckets.iter().map(|b| b.gaps).sum::<u32>(), 1);
    let last = overview.buckets.last().unwrap();
    assert_eq!(
        (last.step, last.tokens, last.seconds),
        (20_000, 200_000, 2500.0)
    );
}

#[test]
fn it_reads_on_where_another_process_appends_and_keeps_a_file() {
    let folder = Folder::new();
    folder.add(&[step(1, 3.0), step(2, 2.5), eval(2, 2.6)]);
    Overview::renew(folder.path()).unwrap();
    let file = folder.path().join("overview.bin");
    assert!(file.is_file());
    // Half a line: not there yet.
    let line = step(3, 2.0).to_line();
    folder.append(&line[..40]);
    let mut live = Overview::of(folder.path()).unwrap();
    assert_eq!(live.last_step(), 2);
    assert!(!live.read_on(folder.path()).unwrap());
    folder.append(&line[40..]);
    folder.append("\n");
    assert!(live.read_on(folder.path()).unwrap());
    folder.assert_true(&live);
    assert_eq!(live, folder.fresh());
    // The process was killed in the middle of a line, and another one went on.
    folder.append("{\"event\":\"step\",\"step\":4,\"tok");
    live.read_on(folder.path()).unwrap();
    folder.append("\n");
    folder.add(&[Record::Resumed { step: 2 }, step(3, 1.9), step(4, 1.8)]);
    live.read_on(folder.path()).unwrap();
    folder.assert_true(&live);
    assert_eq!(live, folder.fresh());
}

#[test]
fn a_file_that_is_not_of_this_log_is_made_again() {
    let folder = Folder::new();
    let file = folder.path().join("overview.bin");
    let records: Vec<Record> = (1..=50).map(|n| step(n, 3.0)).collect();
    folder.add(&records);
    Overview::renew(folder.path()).unwrap();
    let whole = std::fs::read(&file).unwrap();
    let expected = folder.fresh();
    for damage in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[damage] ^= 0x40;
        std::fs::write(&file, &bytes).unwrap();
        assert_eq!(
            Overview::of(folder.path()).unwrap(),
            expected,
            "byte {damage}"
        );
        std::fs::write(&file, &whole[..damage]).unwrap();
        assert_eq!(
            Overview::of(folder.path()).unwrap(),
            expected,
            "cut at {damage}"
        );
    }
    std::fs::write(&file, &whole).unwrap();
    // Another log of the same length or longer.
    let others: Vec<Record> = (1..=60).map(|n| step(n, 4.0)).collect();
    std::fs::remove_file(folder.log()).unwrap();
    folder.add(&others);
    folder.assert_true(&Overview::of(folder.path()).unwrap());
    std::fs::remove_file(folder.log()).unwrap();
    assert!(Overview::of(folder.path()).unwrap().is_empty());
}

#[test]
fn evaluations_are_bounded_and_keep_the_best_and_the_last() {
    let mut overview = Overview::default();
    for n in 1..=20_001u64 {
        overview.add_evaluation(Evaluation {
            step: n,
            tokens: n,
            seconds: 0.0,
            val_loss: if n == 4_001 { 0.5 } else { 2.0 },
            bits_per_byte: 1.0,
        });
        assert!(overview.evaluations.len() <= MOST_EVALUATIONS);
    }
    assert!(overview.evaluations.iter().any(|e| e.step == 4_001));
    assert_eq!(overview.evaluations.last().map(|e| e.step), Some(20_001));
}

/// What a run may write next.
#[derive(Debug, Clone)]
enum Next {
    Steps(u64),
    Eval,
    Back(u64),
    Resume(u64),
    Torn,
    /// A reader looks.
    Look,
    /// The writer keeps the file.
    Keep,
}

fn next() -> impl Strategy<Value = Next> {
    prop_oneof![
        4 => (1u64..40).prop_map(Next::Steps),
        2 => Just(Next::Eval),
        1 => (0u64..60).prop_map(Next::Back),
        1 => (0u64..60).prop_map(Next::Resume),
        1 => Just(Next::Torn),
        2 => Just(Next::Look),
        1 => Just(Next::Keep),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_a_run_goes_through_the_overview_agrees_with_the_log(
        events in proptest::collection::vec(next(), 1..40)
    ) {
        let folder = Folder::new();
        let mut live = Overview::default();
        let mut at = 0u64;
        for event in events {
            match event {
                Next::Steps(n) => {
                    let records: Vec<Record> =
                        (at + 1..=at + n).map(|s| step(s, 1.0 + (s % 7) as f64)).collect();
                    folder.add(&records);
                    at += n;
                }
                Next::Eval => folder.add(&[eval(at, 1.0 + at as f64)]),
                Next::Back(n) => {
                    let to = at.saturating_sub(n);
                    folder.add(&[rewound(at, to)]);
                    at = to;
                }
                Next::Resume(n) => {
                    at = at.saturating_sub(n);
                    folder.add(&[Record::Resumed { step: at }]);
                }
                Next::Torn => folder.append("{\"event\":\"step\",\"st\n"),
                Next::Look => {
                    live.read_on(folder.path()).unwrap();
                    folder.assert_true(&live);
                }
                Next::Keep => Overview::renew(folder.path()).unwrap(),
            }
        }
        live.read_on(folder.path()).unwrap();
        folder.assert_true(&live);
        folder.assert_true(&Overview::of(folder.path()).unwrap());
        prop_assert_eq!(live, folder.fresh());
    }
}
