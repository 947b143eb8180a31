mod health;
mod windows;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Device;

use super::*;
use crate::config::{BatchingKind, RunConfig, Source, load};
use crate::data::{Dataset, TokenIds};
use crate::state::NamedTensor;

const VOCAB: usize = 13;

/// The preset `gpt` in small, without dropout.
fn config(sets: &[&str]) -> RunConfig {
    let mut all: Vec<String> = [
        "model.d_model=16",
        "model.n_heads=2",
        "model.n_layers=1",
        "model.context_length=8",
        "model.dropout=0",
        "train.batch_size=4",
        "train.steps=40",
        "train.gradient_accumulation=1",
        "eval.batches=2",
    ]
    .map(String::from)
    .to_vec();
    all.extend(sets.iter().map(ToString::to_string));
    load(Source::Preset("gpt".to_string()), &all).expect("a valid configuration")
}

/// Ids that follow a rule, so that there is something to learn.
fn ids(count: usize) -> Vec<u32> {
    (0..count as u32)
        .map(|i| (i.wrapping_mul(i) / 3 + i) % 13)
        .collect()
}

fn dataset(train: usize, validation: usize) -> Arc<Dataset> {
    Arc::new(Dataset {
        train: TokenIds::from_ids(&ids(train)),
        validation: TokenIds::from_ids(&ids(validation)),
        train_bytes: 2 * train as u64,
        validation_bytes: 2 * validation as u64,
        unknown_validation: validation as u64 / 4,
        unigram_loss: 2.5,
        source_entropy: None,
    })
}

fn trainer(config: RunConfig) -> Trainer {
    try_trainer(config, dataset(600, 200)).expect("enough tokens")
}

fn try_trainer(config: RunConfig, dataset: Arc<Dataset>) -> Result<Trainer, TrainError> {
    Trainer::new(TrainerSetup {
        config,
        dataset,
        vocab_size: VOCAB,
        device: Device::flex(),
    })
}

fn evaluate(trainer: &mut Trainer) -> crate::protocol::EvalReport {
    trainer
        .evaluate(&AtomicBool::new(false), &mut |_, _| {})
        .expect("the device works")
        .expect("nobody stops it")
}

#[test]
fn perplexity_and_bits_per_byte() {
    // A model that gives each of four equally likely tokens a quarter hesitates between four; with tokens of two bytes that
    // is two bits for two bytes.
    let loss = 4f64.ln();
    assert!((perplexity(loss) - 4.0).abs() < 1e-12);
    assert!((bits_per_byte(loss, 100, 200) - 1.0).abs() < 1e-12);
}

/// A model that says 1/2, 1/4, 1/8, 1/8 wherever it is, on a text of just that: 1.75 bits a token, worked out by hand.
#[test]
fn an_evaluation_by_hand() {
    let config = config(&[
        "model.tied_head=false",
        "model.head_bias=true",
        "eval.batches=0",
        "optimizer.kind=sgd",
    ]);
    // The first token is not predicted, the sixteen after it are: 8, 4, 2 and 2 of them.
    let validation = [3, 0, 1, 0, 2, 0, 1, 0, 3, 0, 1, 0, 2, 0, 1, 0, 3];
    let mut trainer = Trainer::new(TrainerSetup {
        config,
        dataset: Arc::new(Dataset {
            train: TokenIds::from_ids(&[0; 40]),
            validation: TokenIds::from_ids(&validation),
            train_bytes: 40,
            // Three bytes a token.
            validation_bytes: 51,
            unknown_validation: 0,
            unigram_loss: 1.0,
            source_entropy: None,
        }),
        vocab_size: 4,
        device: Device::flex(),
    })
    .expect("enough tokens");
    let mut snapshot = trainer.snapshot().unwrap();
    for tensor in &mut snapshot.model {
        tensor.data.fill(0.0);
        if tensor.name == "head.bias" {
            tensor.data = [0.5f32, 0.25, 0.125, 0.125].map(f32::ln).to_vec();
        }
    }
    trainer.restore(&snapshot).expect("the same shapes");
    let report = evaluate(&mut trainer);
    assert!((report.val_loss / std::f64::consts::LN_2 - 1.75).abs() < 1e-6);
    assert!((report.perplexity - 2f64.powf(1.75)).abs() < 1e-5);
    assert!((report.bits_per_byte - 1.75 / 3.0).abs() < 1e-6);
    // The training text is all zeros: one bit each.
    assert!((report.train_loss / std::f64::consts::LN_2 - 1.0).abs() < 1e-6);
}

#[test]
fn a_report_adds_up() {
    let mut trainer = trainer(config(&["train.gradient_accumulation=2"]));
    let first = trainer.step().expect("a step");
    let second = trainer.step().expect("a step");
    assert_eq!((first.step, second.step), (1, 2));
    assert_eq!((first.tokens, second.tokens), (64, 128));
    assert!((second.epoch - 128.0 / 600.0).abs() < 1e-12);
    assert!(first.loss > 0.0 && (first.loss - (VOCAB as f64).ln()).abs() < 0.3);
    assert!(first.grad_norm > 0.0);
    let parts = first.forward_ms + first.backward_ms + first.optimizer_ms;
    assert!(parts <= first.ms);
    assert!(second.seconds > first.seconds);
    assert_eq!(trainer.step_count(), 2);
}

#[test]
fn training_lowers_the_loss() {
    let mut trainer = trainer(config(&["optimizer.learning_rate=0.01"]));
    let before = evaluate(&mut trainer);
    for _ in 0..40 {
        trainer.step().expect("a step");
    }
    let after = evaluate(&mut trainer);
    assert!(trainer.is_finished());
    assert!(after.val_loss < before.val_loss - 0.2);
    assert!(after.best);
    assert!((after.perplexity - after.val_loss.exp()).abs() < 1e-9);
    let bits = after.val_loss / std::f64::consts::LN_2 / 2.0;
    assert!((after.bits_per_byte - bits).abs() < 1e-9);
    assert!((after.unknown_fraction - 0.25).abs() < 1e-9);
}

/// A training part of one window: every batch is that window, however it is cut.
#[test]
fn accumulation_equals_a_bigger_batch() {
    let run = |batch: &str, accumulation: &str| {
        let config = config(&[
            "optimizer.kind=sgd",
            "optimizer.momentum=0.9",
            "optimizer.grad_clip=0.5",
            batch,
            accumulation,
        ]);
        let mut trainer = try_trainer(config, dataset(9, 20)).expect("one window");
        let reports: Vec<_> = (0..5).map(|_| trainer.step().expect("a step")).collect();
        (reports, trainer.snapshot().unwrap())
    };
    let (big, big_end) = run("train.batch_size=12", "train.gradient_accumulation=1");
    let (small, small_end) = run("train.batch_size=4", "train.gradient_accumulation=3");
    for (big, small) in big.iter().zip(&small) {
        assert_eq!(big.tokens, small.tokens);
        assert!((big.loss - small.loss).abs() < 1e-5, "{big:?} {small:?}");
        assert!((big.grad_norm - small.grad_norm).abs() < 1e-5 * big.grad_norm.max(1.0));
    }
    for (big, small) in big_end.model.iter().zip(&small_end.model) {
        for (a, b) in big.data.iter().zip(&small.data) {
            assert!((a - b).abs() < 1e-5, "{}: {a} {b}", big.name);
        }
    }
}

/// The gradient of a batch is the mean of the gradients of its rows.
#[test]
fn the_gradient_of_a_batch_is_the_mean_over_its_rows() {
    let once = config(&["optimizer.kind=sgd", "optimizer.momentum=0"]);
    let mut big = trainer(once.clone());
    let before = big.snapshot().unwrap();
    let report = big.step().expect("a step");

    // The same windows, cut into four batches of one row, through the trainer's own arithmetic.
    let source = BatchSource::new(
        dataset(600, 200),
        BatchingKind::Random,
        4,
        8,
        once.train.seed,
    )
    .expect("enough tokens");
    let (starts, _, _) = source.starts(0, 0, Position::default());
    let mut small = trainer(once);
    small.restore(&before).expect("its own snapshot");
    let device = Device::flex().autodiff();
    let mut sum = None;
    for start in starts {
        let (tokens, targets) =
            super::batch::gather(&dataset(600, 200).train, &[start], 8, &device);
        let (loss, _) = small.model().loss(tokens, targets, None);
        let gradients = crate::optim::ParameterGradients::collect(small.model(), loss.backward());
        sum = Some(match sum {
            None => gradients,
            Some(sum) => crate::optim::ParameterGradients::accumulate(sum, gradients),
        });
    }
    let sum = sum.expect("four rows");
    let squares: Vec<f32> = sum
        .square_sums()
        .expect("gradients")
        .into_data()
        .try_into_vec()
        .expect("float32");
    let norm = sum.norms(&squares, 0.25).global;
    assert!(
        (norm - report.grad_norm).abs() < 1e-5 * norm,
        "{norm} {report:?}"
    );
}

#[test]
fn accumulated_loss_is_the_mean_over_batches() {
    let mut two = trainer(config(&["train.gradient_accumulation=2"]));
    let mut one = trainer(config(&[]));
    let both = two.step().expect("a step").loss;
    let first = one.step().expect("a step").loss;
    // Untrained: every batch is near ln(vocab), and the two differ.
    assert!((both - first).abs() < 0.3 && both != first);
}

#[test]
fn evaluation_is_repeatable_and_leaves_training_alone() {
    let mut plain = trainer(config(&[]));
    let mut evaluated = trainer(config(&[]));
    for _ in 0..3 {
        let first = evaluate(&mut evaluated);
        let again = evaluate(&mut evaluated);
        assert_eq!(first.val_loss, again.val_loss);
        assert_eq!(first.train_loss, again.train_loss);
        let (a, b) = (
            plain.step().expect("a step"),
            evaluated.step().expect("a step"),
        );
        assert_eq!(a.loss, b.loss);
    }
}

#[test]
fn evaluation_stops_when_told_to() {
    let mut trainer = trainer(config(&["eval.batches=0"]));
    let stop = AtomicBool::new(false);
    let mut last = (0, 0);
    let report = trainer
        .evaluate(&stop, &mut |done, total| {
            last = (done, total);
            stop.store(done == 2, Ordering::Relaxed);
        })
        .expect("the device works");
    assert!(report.is_none());
    assert_eq!(last.0, 2);
    assert!(last.1 > 2);
    assert_eq!(trainer.progress().val_loss, None);
}

#[test]
fn plateau_and_early_stopping_hear_of_evaluations() {
    let mut trainer = trainer(config(&[
        "schedule.kind=plateau",
        "schedule.patience=1",
        "schedule.gamma=0.5",
        "train.early_stopping=3",
    ]));
    let rate = trainer.learning_rate();
    evaluate(&mut trainer);
    assert!(!trainer.stops_early());
    // Nothing is trained, so nothing improves.
    for _ in 0..2 {
        let report = evaluate(&mut trainer);
        assert!(!report.best);
    }
    assert_eq!(trainer.learning_rate(), rate / 2.0);
    assert!(!trainer.stops_early());
    evaluate(&mut trainer);
    assert!(trainer.stops_early());
    assert_eq!(trainer.progress().best_step, Some(0));
}

#[test]
fn the_multiplier_multiplies() {
    let mut trainer = trainer(config(&[]));
    let rate = trainer.learning_rate();
    let points = trainer.schedule_points(5);
    trainer.set_learning_rate_multiplier(0.25);
    assert_eq!(trainer.learning_rate(), rate * 0.25);
    assert_eq!(
        trainer.schedule_points(5)[1].learning_rate,
        points[1].learning_rate * 0.25
    );
    assert_eq!(trainer.step().expect("a step").learning_rate, rate * 0.25);
}

#[test]
fn a_weight_that_is_not_finite_is_reported_and_nothing_changes() {
    let mut trainer = trainer(config(&[]));
    trainer.step().expect("a step");
    let mut snapshot = trainer.snapshot().unwrap();
    let poisoned = snapshot
        .model
        .iter_mut()
        .find(|tensor| tensor.name.starts_with("blocks.0."))
        .expect("a block");
    poisoned.data[0] = f32::NAN;
    trainer.restore(&snapshot).expect("it fits");
    let error = trainer.step().expect_err("the loss is NaN");
    let TrainError::Diverged {
        step,
        layer,
        message,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!(step, 2);
    assert_eq!(layer.as_deref(), Some("blocks.0"));
    assert!(message.contains("loss is NaN"), "{message}");
    let after = trainer.snapshot().unwrap();
    assert_eq!(after.progress, snapshot.progress);
    assert_eq!(after.optimizer, snapshot.optimizer);
}

#[test]
fn a_rate_too_high_diverges_and_keeps_the_last_weights() {
    let mut trainer = trainer(config(&["optimizer.kind=sgd", "optimizer.momentum=0"]));
    trainer.set_learning_rate_multiplier(1e30);
    let mut before = trainer.snapshot().unwrap();
    for _ in 0..10 {
        match trainer.step() {
            Ok(report) => {
                assert!(report.loss.is_finite() && report.grad_norm.is_finite());
                before = trainer.snapshot().unwrap();
            }
            Err(error) => {
                assert!(matches!(error, TrainError::Diverged { .. }), "{error}");
                assert_eq!(trainer.snapshot().unwrap(), before);
                return;
            }
        }
    }
    panic!("weights of 1e27 still train");
}

#[test]
fn a_snapshot_of_another_model_is_refused() {
    let small = trainer(config(&[])).snapshot().unwrap();
    let mut other = trainer(config(&["model.d_model=32"]));
    let before = other.snapshot().unwrap();
    assert!(matches!(other.restore(&small), Err(TrainError::State(_))));
    assert_eq!(other.snapshot().unwrap(), before);
}

#[test]
fn progress_survives_json() {
    let mut trainer = trainer(config(&[]));
    trainer.step().expect("a step");
    evaluate(&mut trainer);
    let progress = trainer.progress();
    let text = serde_json::to_string(progress).expect("plain data");
    let back: Progress = serde_json::from_str(&text).expect("its own text");
    assert_eq!(&back, progress);
}

#[test]
fn names_of_optimizer_state_are_names_of_parameters() {
    let mut trainer = trainer(config(&[]));
    trainer.step().expect("a step");
    let snapshot = trainer.snapshot().unwrap();
    let has = |name: String, tensors: &[NamedTensor]| tensors.iter().any(|t| t.name == name);
    for tensor in &snapshot.model {
        assert!(has(format!("{}/first", tensor.name), &snapshot.optimizer));
        assert!(has(format!("{}/second", tensor.name), &snapshot.optimizer));
    }
    assert_eq!(snapshot.optimizer.len(), 2 * snapshot.model.len() + 1);
}
