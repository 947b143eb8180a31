use std::fs::File;

use super::*;
use crate::config::{RunConfig, Source, load};
use crate::run::RunError;

fn tensor(name: &str, values: &[f32]) -> NamedTensor {
    NamedTensor {
        name: name.into(),
        shape: vec![values.len()],
        data: values.to_vec(),
    }
}

fn sample(value: f32) -> Checkpoint {
    Checkpoint {
        model: vec![
            tensor("b.weight", &[value, f32::MIN_POSITIVE, -0.0]),
            tensor("a.weight", &[1.5]),
        ],
        optimizer: vec![tensor("a.moment", &[f32::MAX])],
        carried: Vec::new(),
        state: serde_json::json!({ "step": value }),
    }
}

fn meta(step: u64) -> CheckpointMeta {
    CheckpointMeta {
        step,
        reason: CheckpointReason::Cadence,
        best: false,
        val_loss: None,
    }
}

fn save(run: &Path, step: u64) -> CheckpointEntry {
    write(run, &meta(step), &sample(step as f32)).unwrap()
}

fn sorted(mut tensors: Vec<NamedTensor>) -> Vec<NamedTensor> {
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    tensors
}

#[test]
fn comes_back_bit_for_bit() {
    let run = tempfile::tempdir().unwrap();
    save(run.path(), 7);
    let loaded = load_newest(run.path()).unwrap();
    let expected = sample(7.0);
    assert_eq!(sorted(loaded.checkpoint.model), sorted(expected.model));
    assert_eq!(loaded.checkpoint.optimizer, expected.optimizer);
    assert_eq!(loaded.checkpoint.state, expected.state);
    assert!(loaded.checkpoint.carried.is_empty() && loaded.skipped.is_empty());
    assert_eq!(loaded.entry.path.file_name().unwrap(), "step-00000007");
}

#[test]
fn damaged_ones_are_passed_over_and_named() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 5] = [
        ("does not match its checksum", |path| {
            let mut bytes = std::fs::read(path.join(OPTIMIZER)).unwrap();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            std::fs::write(path.join(OPTIMIZER), bytes).unwrap();
        }),
        ("bytes instead of", |path| {
            let file = File::options().write(true).open(path.join(MODEL)).unwrap();
            file.set_len(10).unwrap();
        }),
        ("is missing", |path| {
            std::fs::remove_file(path.join(STATE)).unwrap()
        }),
        ("manifest.json is damaged", |path| {
            std::fs::write(path.join(MANIFEST), "").unwrap();
        }),
        ("newer fireside", |path| {
            std::fs::write(path.join(MANIFEST), r#"{"format_version":99}"#).unwrap();
        }),
    ];
    for (sentence, damage) in damages {
        let run = tempfile::tempdir().unwrap();
        save(run.path(), 100);
        let newest = save(run.path(), 200);
        damage(&newest.path);
        let loaded = load_newest(run.path()).unwrap();
        assert_eq!(loaded.entry.step, 100);
        assert_eq!(loaded.skipped.len(), 1, "{:?}", loaded.skipped);
        assert!(
            loaded.skipped[0].starts_with("step-00000200 was skipped")
                && loaded.skipped[0].contains(sentence),
            "{:?}",
            loaded.skipped
        );
        for (path, reason) in loaded.damaged {
            mark_damaged(&path, &reason).unwrap();
        }
        // Still named, not among the newest, and not cleared away.
        save(run.path(), 300);
        assert_eq!(prune(run.path(), 1).unwrap(), [100]);
        assert!(newest.path.exists());
        assert_eq!(load_newest(run.path()).unwrap().skipped, loaded.skipped);
    }
}

#[test]
fn nothing_whole_is_an_error_that_says_why() {
    let run = tempfile::tempdir().unwrap();
    assert!(matches!(
        load_newest(run.path()),
        Err(RunError::NoCheckpoint { .. })
    ));
    let entry = save(run.path(), 1);
    std::fs::write(entry.path.join(MODEL), "").unwrap();
    let message = load_newest(run.path()).unwrap_err().to_string();
    assert!(
        message.contains("model.safetensors has 0 bytes"),
        "{message}"
    );
}

#[test]
fn the_same_step_twice_keeps_both_and_the_later_is_newer() {
    let run = tempfile::tempdir().unwrap();
    save(run.path(), 5);
    let second = write(run.path(), &meta(5), &sample(9.0)).unwrap();
    assert_eq!(second.path.file_name().unwrap(), "step-00000005-2");
    assert_eq!(load_newest(run.path()).unwrap().entry, second);
    // Back in time: a smaller step, written later, is what the run goes on from.
    let third = save(run.path(), 3);
    assert_eq!(load_newest(run.path()).unwrap().entry, third);
}

#[test]
fn prune_keeps_the_newest_the_best_and_the_users() {
    let run = tempfile::tempdir().unwrap();
    for step in 1..=8 {
        let loss = [9.0, 5.0, 2.0, 3.0, 8.0, 8.0, 8.0, 8.0][step as usize - 1];
        let meta = CheckpointMeta {
            step,
            reason: if step == 1 {
                CheckpointReason::User
            } else {
                CheckpointReason::Best
            },
            best: step <= 3,
            val_loss: Some(loss),
        };
        write(run.path(), &meta, &sample(0.0)).unwrap();
    }
    let marked = entries(run.path())
        .into_iter()
        .find(|e| e.step == 4)
        .unwrap();
    keep(&marked).unwrap();
    let damaged = entries(run.path())
        .into_iter()
        .find(|e| e.step == 2)
        .unwrap();
    std::fs::write(damaged.path.join(MANIFEST), "x").unwrap();
    assert_eq!(prune(run.path(), 2).unwrap(), [6, 5]);
    let left: Vec<u64> = entries(run.path()).iter().map(|e| e.step).collect();
    assert_eq!(left, [8, 7, 4, 3, 1]);
    assert!(damaged.path.exists());
    let (_, entry, _) = load_model(run.path(), Which::Best).unwrap();
    assert_eq!(entry.step, 3);
}

#[test]
fn prune_counts_branches_that_were_left_apart() {
    let run = tempfile::tempdir().unwrap();
    for step in 1..=6 {
        save(run.path(), step);
    }
    // Back to step 3 and on: what lies beyond is newer than where the run went back to, and pushes nothing of its way out.
    let back = entries(run.path()).into_iter().find(|e| e.step == 3);
    return_to(run.path(), &back.unwrap(), None).unwrap();
    save(run.path(), 7);
    assert_eq!(prune(run.path(), 2).unwrap(), [4, 2, 1]);
    let kept: Vec<(u64, bool)> = entries(run.path())
        .iter()
        .map(|e| (e.step, e.left))
        .collect();
    assert_eq!(kept, [(7, false), (6, true), (5, true), (3, false)]);
}

#[test]
fn a_failed_write_leaves_nothing_behind() {
    let run = tempfile::tempdir().unwrap();
    save(run.path(), 1);
    std::fs::create_dir(folder(run.path()).join(format!("{TEMPORARY}{}-2", std::process::id())))
        .unwrap();
    assert!(write(run.path(), &meta(2), &sample(2.0)).is_err());
    assert_eq!(entries(run.path()).len(), 1);
    save(run.path(), 2);
    std::fs::create_dir(folder(run.path()).join(".tmp-1-9")).unwrap();
    assert_eq!(sweep(run.path()), 1);
    assert_eq!(std::fs::read_dir(folder(run.path())).unwrap().count(), 2);
}

/// A run folder with a configuration and a tokenizer, as far as a checkpoint looks at them.
fn run_of(sets: &[&str], tokenizer: &str) -> tempfile::TempDir {
    let run = tempfile::tempdir().unwrap();
    let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
    let config: RunConfig = load(Source::Defaults, &sets).unwrap();
    std::fs::write(run.path().join("config.toml"), config.to_toml()).unwrap();
    std::fs::write(run.path().join("tokenizer.json"), tokenizer).unwrap();
    run
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for item in std::fs::read_dir(from).unwrap().flatten() {
        std::fs::copy(item.path(), to.join(item.file_name())).unwrap();
    }
}

#[test]
fn a_checkpoint_stands_alone() {
    let run = run_of(&[], "{}");
    let entry = save(run.path(), 7);
    for name in ["config.toml", "tokenizer.json"] {
        let copy = std::fs::read(entry.path.join(name)).unwrap();
        assert_eq!(copy, std::fs::read(run.path().join(name)).unwrap());
    }
    let manifest = Manifest::read(&entry.path).unwrap();
    assert_eq!(manifest.files.len(), 6);
    assert_eq!(manifest.program_version, env!("CARGO_PKG_VERSION"));
    // Also where the run has lost its own.
    std::fs::remove_file(run.path().join("tokenizer.json")).unwrap();
    assert_eq!(load_newest(run.path()).unwrap().entry, entry);
    assert_eq!(save(run.path(), 8).step, 8);
}

#[test]
fn a_checkpoint_of_another_run_is_passed_over() {
    let cases: [(&[&str], &str, &str); 3] = [
        (
            &["train.seed=5"],
            "{}",
            "its config.toml has another train.seed",
        ),
        (
            &["model.n_layers=3"],
            "{}",
            "its config.toml has another model",
        ),
        (&[], "[]", "its tokenizer.json has another tokenizer"),
    ];
    for (sets, tokenizer, sentence) in cases {
        let run = run_of(&[], "{}");
        save(run.path(), 100);
        let other = run_of(sets, tokenizer);
        save(other.path(), 1);
        let foreign = save(other.path(), 900);
        let place = folder(run.path()).join("step-00000900");
        copy_folder(&foreign.path, &place);
        let loaded = load_newest(run.path()).unwrap();
        assert_eq!(loaded.entry.step, 100);
        assert!(loaded.skipped[0].contains(sentence), "{:?}", loaded.skipped);
        let (_, entry, skipped) = load_model(run.path(), Which::Newest).unwrap();
        assert_eq!((entry.step, skipped.len()), (100, 1));
        assert!(place.exists());
    }
    // What may change while a run lives makes no other run.
    let run = run_of(&[], "{}");
    let entry = save(run.path(), 3);
    let now = run_of(&["train.steps=77", "sample.every=5"], "{}");
    std::fs::copy(
        now.path().join("config.toml"),
        run.path().join("config.toml"),
    )
    .unwrap();
    assert_eq!(load_newest(run.path()).unwrap().entry, entry);
}

/// Wherever a bit flips, in whichever file: the checkpoint is either passed over or, where the flip changes nothing that
/// is read, the same.
#[test]
fn no_flipped_bit_goes_unnoticed() {
    let run = run_of(&[], "{}");
    save(run.path(), 100);
    let newest = save(run.path(), 200);
    let whole = load_newest(run.path()).unwrap();
    let mut noticed = 0;
    let mut generator = crate::model::random::Generator::new(11);
    for item in std::fs::read_dir(&newest.path).unwrap().flatten() {
        let bytes = std::fs::read(item.path()).unwrap();
        for _ in 0..40 {
            let at = (generator.next_f64() * 8.0 * bytes.len() as f64) as usize;
            let mut flipped = bytes.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            std::fs::write(item.path(), flipped).unwrap();
            let loaded = load_newest(run.path()).unwrap();
            match loaded.entry.step {
                100 => noticed += 1,
                _ => assert_eq!(
                    (loaded.entry, loaded.checkpoint),
                    (whole.entry.clone(), whole.checkpoint.clone()),
                    "{:?} at bit {at}",
                    item.file_name()
                ),
            }
        }
        std::fs::write(item.path(), bytes).unwrap();
    }
    assert!(noticed > 250, "{noticed} of 280");
}
