//! Many small steps leave nothing behind: autodiff graphs, gradients and carried state are all let go. A process of its own,
//! so that no other test's memory is in the measure.

#![cfg(target_os = "linux")]

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use fireside::config::{Source, load};
use fireside::data::{Dataset, TokenIds};
use fireside::train::{Trainer, TrainerSetup};

/// Resident memory of this process, bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("linux");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("linux");
    let kilobytes: u64 = line
        .split_whitespace()
        .nth(1)
        .and_then(|number| number.parse().ok())
        .expect("a number of kB");
    kilobytes * 1024
}

fn run(trainer: &mut Trainer, steps: usize) {
    for step in 0..steps {
        if step % 10 == 0 {
            trainer.measure_health();
        }
        trainer.step().expect("a step");
        if step % 50 == 0 {
            trainer
                .evaluate(&AtomicBool::new(false), &mut |_, _| {})
                .expect("the device works");
        }
    }
}

#[test]
fn memory_stays_flat() {
    let ids: Vec<u32> = (0..5000u32).map(|i| (i * i / 7 + i) % 31).collect();
    let dataset = Arc::new(Dataset {
        train: TokenIds::from_ids(&ids),
        validation: TokenIds::from_ids(&ids[..500]),
        train_bytes: 5000,
        validation_bytes: 500,
        unknown_validation: 0,
        unigram_loss: 3.4,
        source_entropy: None,
    });
    let common = [
        "train.batch_size=4",
        "model.context_length=16",
        "model.dropout=0.1",
        "eval.batches=2",
    ];
    let cases: [(&str, &[&str]); 2] = [
        (
            "gpt",
            &["model.d_model=32", "model.n_heads=2", "model.n_layers=2"],
        ),
        (
            "lstm-attention",
            &["model.hidden_size=32", "train.batching=stream"],
        ),
    ];
    for (preset, sets) in cases {
        let sets: Vec<String> = common.iter().chain(sets).map(ToString::to_string).collect();
        let config = load(Source::Preset(preset.to_string()), &sets).expect("valid");
        let mut trainer = Trainer::new(TrainerSetup {
            config,
            dataset: dataset.clone(),
            vocab_size: 31,
            device: Device::flex(),
        })
        .expect("enough tokens");
        run(&mut trainer, 200);
        let before = resident();
        run(&mut trainer, 400);
        let growth = resident().saturating_sub(before);
        // A kept graph would hold more than 100 kB of activations a step, 40 MB in all.
        assert!(
            growth < 8 << 20,
            "{preset}: {growth} bytes more after 400 steps"
        );
    }
}
