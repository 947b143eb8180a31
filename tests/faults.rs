//! What can go wrong with a run on disk, done to real processes: kills at any moment, full disks, damaged and foreign
//! checkpoints, torn logs, two processes on one run.
//!
//! Always: the newest whole checkpoint is used, what is lost is at most the steps since it, the message says what happened,
//! and nothing is deleted.

#![cfg(unix)]

mod process;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use fireside::model::random::Generator;
use fireside::run::{RunStatus, checkpoint, read_history, summarize};
use process::*;
use rustix::process::Signal;
use serde_json::Value;

const TINY: &str = r#"
device = "flex"
[corpus]
bytes = 20000
[tokenizer]
kind = "char"
[model]
kind = "gpt"
context_length = 8
d_model = 16
n_heads = 2
n_layers = 1
dropout = 0.2
[train]
steps = 60
batch_size = 2
[eval]
every = 20
batches = 1
[sample]
every = 30
length = 4
prompts = ["Once"]
[checkpoint]
every = 20
keep = 3
[schedule]
kind = "constant"
"#;

/// The folders of a run's checkpoints, by name.
fn folders(run: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(run.join("checkpoints"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|item| item.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Checkpoints that were begun and not ended.
fn half_written(run: &Path) -> Vec<String> {
    let mut names = folders(run);
    names.retain(|name| name.starts_with(".tmp-") && !name.contains("-old-"));
    names
}

/// Half-written ones that were not there before.
fn newly_half_written(run: &Path, before: &[String]) -> bool {
    half_written(run).iter().any(|name| !before.contains(name))
}

/// One run, killed at least a hundred times at seeded random moments after its start, every fourth time in the middle of
/// writing a checkpoint, and taken up again each time. It ends like a run that nobody killed.
#[test]
fn a_hundred_kills() {
    let place = Place::new(TINY);
    let run = place.path("r");
    let often = ["--set", "checkpoint.every=3", "--set", "model.d_model=48"];
    let endless = ["--steps", "1000000"];
    let first = [
        &["train", "tiny.toml", "--headless", "--run", "r"][..],
        &often,
        &endless,
    ]
    .concat();
    let again = ["train", "--resume", "r", "--headless"];

    let child = place.spawn(&first);
    wait_for("the first checkpoint", || checkpoint::any(&run));
    kill(child);
    let mut generator = Generator::new(100);
    let (mut newest, mut reached_before) = (checkpoint::entries(&run)[0].step, 0);
    let mut resumed = 0;
    let (mut while_writing, mut gone_on) = (0, 0);
    let mut moment = 0;
    // A kill that is meant for the middle of a checkpoint may come too late: as many more as it takes.
    while moment < 100 || while_writing < 25 {
        assert!(
            moment < 400,
            "{while_writing} kills while a checkpoint was written"
        );
        // Also as early as while it loads, and as late as after dozens of checkpoints.
        let delay = Duration::from_micros((generator.next_f64() * 400_000.0) as u64);
        let left = half_written(&run);
        let child = place.spawn(&again);
        std::thread::sleep(delay);
        if moment % 4 == 0 {
            wait_for(
                "a checkpoint on its way, beyond where the one before ended",
                || newly_half_written(&run, &left) && reached(&run) > reached_before,
            );
        }
        kill(child);
        while_writing += usize::from(newly_half_written(&run, &left));

        let loaded = checkpoint::load_newest(&run).unwrap();
        assert!(loaded.skipped.is_empty(), "{:?}", loaded.skipped);
        assert!(
            loaded.entry.step >= newest,
            "kill {moment}: {} after {newest}",
            loaded.entry.step
        );
        let history = read_history(&run).unwrap();
        let steps: Vec<u64> = history.steps.iter().map(|report| report.step).collect();
        let expected: Vec<u64> = (1..=steps.len() as u64).collect();
        assert_eq!(steps, expected, "kill {moment}: every step once");
        // The log is never behind a checkpoint.
        assert!(steps.len() as u64 >= loaded.entry.step, "kill {moment}");
        // What it went on from was the newest whole checkpoint there was; a process may also end before it gets there.
        if history.resumed.len() > resumed {
            assert_eq!(history.resumed.last(), Some(&newest), "kill {moment}");
        }
        resumed = history.resumed.len();
        gone_on += usize::from(steps.len() as u64 > reached_before);
        newest = loaded.entry.step;
        reached_before = steps.len() as u64;
        assert_eq!(summarize(&run).unwrap().status, RunStatus::Interrupted);
        moment += 1;
    }
    assert!(
        gone_on >= 20,
        "only {gone_on} processes got beyond the one before"
    );

    let steps = (reached_before + 10).to_string();
    let events = place.succeed(&["train", "--resume", "r", "--json", "--steps", &steps]);
    assert_eq!(start_step(&events), newest);
    let said = notices(&events).join("\n");
    if reached_before > newest {
        assert!(
            said.contains(&format!("had reached step {reached_before}")),
            "{said}"
        );
    }
    assert_eq!(half_written(&run), [""; 0]);
    let whole = [
        &["train", "tiny.toml", "--json", "--run", "whole"][..],
        &often,
        &["--steps", &steps],
    ];
    place.succeed(&whole.concat());
    assert_same("after a hundred kills", &place.path("whole"), &run);
}

/// A small disk of its own, unmounted when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, said aloud, where mounting is not allowed.
    fn mount(path: PathBuf, kilobytes: u32) -> Option<Self> {
        std::fs::create_dir(&path).unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kilobytes}k"), "tmpfs"])
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if status.is_ok_and(|status| status.success()) {
            return Some(SmallDisk(path));
        }
        eprintln!(
            "NOT RUN: no small disk can be mounted here; the limit on file sizes is tested all the same"
        );
        None
    }

    /// Fills what is left.
    fn fill(&self) -> PathBuf {
        use std::io::Write;
        let path = self.0.join("filler");
        let mut file = std::fs::File::create(&path).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            let block = vec![7; size];
            while file.write_all(&block).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_stops_the_run_and_loses_nothing() {
    let place = Place::new(TINY);
    let Some(disk) = SmallDisk::mount(place.path("disk"), 4000) else {
        return;
    };
    let run = disk.0.join("r");
    let path = run.to_str().unwrap();
    let child = place
        .command(&to_train(path, &["--steps", "1000000"]))
        .spawn()
        .unwrap();
    wait_for("a second checkpoint", || {
        checkpoint::entries(&run).len() >= 2
    });
    let filler = disk.fill();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 1);
    assert!(
        errors(&output).contains("No space left on device"),
        "{}",
        errors(&output)
    );
    let said = notices(&lines(&output));
    assert!(
        said.iter().any(|line| line.contains("training is paused")),
        "{said:?}"
    );
    let before = checkpoint::load_newest(&run).unwrap();
    assert!(
        before.skipped.is_empty() && before.entry.step >= 40,
        "{before:?}"
    );
    assert_eq!(half_written(&run), [""; 0]);

    // Still full: it says so and leaves everything as it is.
    let output = place.run(&["train", "--resume", path, "--json"]);
    assert_eq!(code(&output), 1);
    assert!(
        errors(&output).contains("No space left on device"),
        "{}",
        errors(&output)
    );
    assert_eq!(checkpoint::load_newest(&run).unwrap().entry, before.entry);

    std::fs::remove_file(filler).unwrap();
    let steps = (before.entry.step + 30).to_string();
    let events = place.succeed(&["train", "--resume", path, "--json", "--steps", &steps]);
    assert_eq!(start_step(&events), before.entry.step);
    place.trained("whole", &["--steps", &steps]);
    assert_same("after a full disk", &place.path("whole"), &run);
}

/// A limit on the size of a file, which any user may set: every write beyond it fails, as on a full disk.
#[test]
fn a_checkpoint_that_does_not_fit_stops_the_run() {
    let place = Place::new(TINY);
    let run = place.path("r");
    place.trained("r", &["--steps", "60"]);
    let before = checkpoint::load_newest(&run).unwrap();
    // 16 blocks of 512 bytes: enough for the logs of some steps, not for the weights.
    let limited = "trap '' XFSZ; ulimit -f 16; exec \"$@\"";
    let output = place
        .through_shell(
            limited,
            &["train", "--resume", "r", "--json", "--steps", "105"],
        )
        .output()
        .unwrap();
    assert_eq!(code(&output), 1);
    assert!(
        errors(&output).contains("File too large"),
        "{}",
        errors(&output)
    );
    assert_eq!(checkpoint::load_newest(&run).unwrap().entry, before.entry);
    assert_eq!(half_written(&run), [""; 0]);
    let events = place.succeed(&["train", "--resume", "r", "--json", "--steps", "105"]);
    assert_eq!(start_step(&events), 60);
    place.trained("whole", &["--steps", "105"]);
    assert_same("after a limit", &place.path("whole"), &run);
}

/// `/dev/full` takes nothing, like a full disk.
#[cfg(target_os = "linux")]
#[test]
fn a_log_that_takes_nothing() {
    let place = Place::new(TINY);
    let run = place.path("r");
    place.trained("r", &["--steps", "60"]);
    for log in ["metrics.jsonl", "samples.jsonl", "edits.jsonl"] {
        let (log, aside) = (run.join(log), run.join("aside"));
        std::fs::rename(&log, &aside).unwrap();
        std::os::unix::fs::symlink("/dev/full", &log).unwrap();
        let output = place.run(&["train", "--resume", "r", "--json", "--steps", "90"]);
        assert_eq!(code(&output), 1);
        let said = errors(&output);
        assert!(
            said.contains("No space left on device") && said.contains(log.to_str().unwrap()),
            "{said}"
        );
        std::fs::remove_file(&log).unwrap();
        std::fs::rename(&aside, &log).unwrap();
    }
    // An output that takes nothing is as good as a closed one: the run is saved.
    let status = place
        .command(&["train", "--resume", "r", "--json", "--steps", "1000000"])
        .stdout(
            std::fs::File::options()
                .write(true)
                .open("/dev/full")
                .unwrap(),
        )
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(130));
    let steps = (reached(&run) + 10).to_string();
    place.succeed(&["train", "--resume", "r", "--json", "--steps", &steps]);
    place.trained("whole", &["--steps", &steps]);
    assert_same("after /dev/full", &place.path("whole"), &run);
}

fn flip(file: &Path, bit: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[bit / 8] ^= 1 << (bit % 8);
    std::fs::write(file, bytes).unwrap();
}

fn cut(file: &Path, length: u64) {
    let file = std::fs::File::options().write(true).open(file).unwrap();
    file.set_len(length).unwrap();
}

/// Content of every file below, to see that nothing was deleted or changed.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|item| (item.path(), std::fs::read(item.path()).unwrap()))
        .collect();
    all.sort();
    all
}

#[test]
fn damaged_and_foreign_checkpoints_are_passed_over() {
    let place = Place::new(TINY);
    place.trained("whole", &[]);
    // Taken up so often that its checkpoints have larger numbers than those of the run they end up in.
    let other = [
        "train",
        "tiny.toml",
        "--json",
        "--run",
        "other",
        "--steps",
        "20",
    ];
    place.succeed(&[&other[..], &["--set", "model.d_model=20"]].concat());
    for steps in ["40", "60", "80"] {
        place.succeed(&["train", "--resume", "other", "--json", "--steps", steps]);
    }
    let foreign = place.path("other/checkpoints/step-00000080");

    type Damage<'a> = (&'a str, Box<dyn Fn(&Path) + 'a>);
    let damages: Vec<Damage> = vec![
        (
            "model.safetensors has 100 bytes",
            Box::new(|at| cut(&at.join("model.safetensors"), 100)),
        ),
        (
            "optimizer.safetensors has 0 bytes",
            Box::new(|at| cut(&at.join("optimizer.safetensors"), 0)),
        ),
        (
            "model.safetensors does not match its checksum",
            Box::new(|at| flip(&at.join("model.safetensors"), 40_007)),
        ),
        (
            "state.json does not match its checksum",
            Box::new(|at| flip(&at.join("state.json"), 333)),
        ),
        (
            "manifest.json",
            Box::new(|at| flip(&at.join("manifest.json"), 1000)),
        ),
        (
            "manifest.json is damaged",
            Box::new(|at| cut(&at.join("manifest.json"), 0)),
        ),
        (
            "tokenizer.json is missing",
            Box::new(|at| std::fs::remove_file(at.join("tokenizer.json")).unwrap()),
        ),
        (
            "manifest.json is missing",
            Box::new(|at| {
                std::fs::remove_dir_all(at).unwrap();
                std::fs::create_dir(at).unwrap();
            }),
        ),
        (
            "it is of another run: its config.toml has another model",
            Box::new(|at| {
                std::fs::remove_dir_all(at).unwrap();
                copy_folder(&foreign, at);
            }),
        ),
        (
            "written by a newer fireside (format 2",
            Box::new(|at| {
                let path = at.join("manifest.json");
                let mut manifest: Value =
                    serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
                manifest["format_version"] = 2.into();
                std::fs::write(&path, manifest.to_string()).unwrap();
            }),
        ),
    ];
    for (sentence, damage) in damages {
        let run = place.path("r");
        copy_folder(&place.path("whole"), &run);
        let newest = run.join("checkpoints/step-00000060");
        // A tiny run outpaces the disk, and a checkpoint may have been left out for a newer one.
        let before = checkpoint::entries(&run)[1].step;
        damage(&newest);
        let left = contents(&newest);
        let events = place.succeed(&["train", "--resume", "r", "--json"]);
        assert_eq!(start_step(&events), before, "{sentence}");
        let said = notices(&events);
        assert!(
            said.iter()
                .any(|line| line.starts_with("step-00000060 was skipped")
                    && line.contains(sentence)
                    && line.ends_with(&format!("going on from step {before}"))),
            "{sentence}: {said:?}"
        );
        // All that was there is there still; at most a note why it is not used has been added.
        let now = contents(&newest);
        assert!(left.iter().all(|file| now.contains(file)), "{sentence}");
        assert_same(sentence, &place.path("whole"), &run);
        std::fs::remove_dir_all(&run).unwrap();
    }

    // Nothing whole is left: it says why of each, and touches none.
    let run = place.path("r");
    copy_folder(&place.path("whole"), &run);
    for name in folders(&run) {
        cut(
            &run.join("checkpoints").join(name).join("model.safetensors"),
            9,
        );
    }
    let before = folders(&run);
    let output = place.run(&["train", "--resume", "r", "--json"]);
    assert_eq!(code(&output), 1);
    for name in &before {
        let sentence = format!("{name} was skipped: model.safetensors has 9 bytes");
        assert!(errors(&output).contains(&sentence), "{}", errors(&output));
    }
    assert_eq!(folders(&run), before);

    // A run folder of a newer format is not touched at all.
    let header = run.join("run.json");
    let mut value: Value = serde_json::from_slice(&std::fs::read(&header).unwrap()).unwrap();
    value["format_version"] = 2.into();
    std::fs::write(&header, value.to_string()).unwrap();
    let before = contents_of_files(&run);
    let output = place.run(&["train", "--resume", "r", "--json"]);
    assert_eq!(code(&output), 1);
    assert!(
        errors(&output).contains("written by a newer fireside"),
        "{}",
        errors(&output)
    );
    assert_eq!(contents_of_files(&run), before);
}

/// As [`contents`], of a run folder: the folder of checkpoints left out.
fn contents_of_files(run: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all: Vec<_> = std::fs::read_dir(run)
        .unwrap()
        .flatten()
        .filter(|item| item.file_type().unwrap().is_file())
        .map(|item| (item.path(), std::fs::read(item.path()).unwrap()))
        .collect();
    all.sort();
    all
}

#[test]
fn logs_with_a_torn_last_line_are_read_and_gone_on_with() {
    let place = Place::new(TINY);
    place.trained("whole", &[]);
    let torn: [(&str, &[u8]); 4] = [
        ("metrics.jsonl", b"{\"event\":\"step\",\"step\":61,\"lo"),
        // In the middle of a character of two bytes.
        ("samples.jsonl", b"{\"event\":\"sample\",\"text\":\"na\xc3"),
        ("edits.jsonl", b"{"),
        // What a file system may leave of a block that was never written.
        ("notices.jsonl", &[0; 700]),
    ];
    let run = place.path("r");
    copy_folder(&place.path("whole"), &run);
    for (log, tail) in torn {
        let mut bytes = std::fs::read(run.join(log)).unwrap();
        bytes.extend_from_slice(tail);
        std::fs::write(run.join(log), bytes).unwrap();
    }
    assert_eq!(trace(&run), trace(&place.path("whole")));
    assert_eq!(read_history(&run).unwrap().skipped_lines, 4);
    place.succeed(&["train", "--resume", "r", "--json", "--steps", "90"]);
    place.trained("longer", &["--steps", "90"]);
    let (found, expected) = (trace(&run), trace(&place.path("longer")));
    assert_eq!(found.steps, expected.steps);
    for (log, tail) in torn {
        let bytes = std::fs::read(run.join(log)).unwrap();
        assert!(
            bytes.windows(tail.len()).any(|part| part == tail),
            "{log}: nothing is deleted"
        );
    }
}

#[test]
fn of_two_processes_on_one_run_one_trains() {
    let place = Place::new(TINY);
    let run = place.path("r");
    place.trained("r", &[]);
    for _ in 0..3 {
        let from = reached(&run);
        let mut both: Vec<_> = (0..2)
            .map(|_| {
                let arguments = ["train", "--resume", "r", "--headless", "--steps", "1000000"];
                place
                    .command(&arguments)
                    .stdout(Stdio::null())
                    .spawn()
                    .unwrap()
            })
            .collect();
        let mut loser = None;
        wait_for("one of them to give up", || {
            loser = (0..2).find(|at| both[*at].try_wait().unwrap().is_some());
            loser.is_some()
        });
        let loser = both.remove(loser.unwrap());
        let winner = both.remove(0);
        let owner = winner.id().to_string();
        let output = loser.wait_with_output().unwrap();
        assert_eq!(code(&output), 1);
        let said = errors(&output);
        assert!(
            said.contains("in use by another process") && said.contains(&owner),
            "{said}"
        );
        wait_for_step(&run, from + 5);
        signal(&winner, Signal::INT);
        assert_eq!(ended(winner), Some(130));
    }
    let steps: Vec<u64> = trace(&run).steps.iter().map(|step| step.0).collect();
    assert_eq!(steps, (1..=steps.len() as u64).collect::<Vec<_>>());
}
