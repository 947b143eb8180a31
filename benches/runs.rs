//! `cargo bench --bench runs`: a folder of 500 runs of 100,000 steps each: the list, an overlay of 20, and the memory it takes.
//!
//! Twenty runs are written step by step by the writing end of the program, so that their logs are as long as real ones (some
//! 30 MB each). The others have a run.json, a summary and notes of their own and share one of the twenty logs by a hard link: a
//! list looks at the end of every log, and what it looks at is the same. The folder is made by a process of its own, so that its
//! memory is not counted, in a temporary place (`TMPDIR`), and taken away again. Times are medians; processor time of all threads
//! stands beside them, because a busy machine stretches the others.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use crossterm::event::{Event as Input, KeyCode, KeyEvent};
use fireside::config::{Source, load};
use fireside::protocol::{CheckpointInfo, CheckpointReason, EvalReport, RunInfo};
use fireside::run::{self, Notes, Overview, Record, RunDir};
use fireside::ui::app::{App, Effect, Message, Setup};
use fireside::ui::bench::step_report;
use fireside::ui::screens::runs::work::{RunsAnswer, RunsDesk, RunsTask};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

const RUNS: usize = 500;
const STEPS: u64 = 100_000;
const OVERLAID: usize = 20;
const ROUNDS: usize = 5;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--make") {
        return make(Path::new(&arguments[at + 1]));
    }
    let folder = tempfile::tempdir().expect("a temporary place");
    let root = folder.path().join("runs");
    let began = Instant::now();
    let this = std::env::current_exe().expect("this program");
    let made = Command::new(this).arg("--make").arg(&root).status();
    assert!(made.expect("a process").success(), "the folder of runs");
    println!(
        "{RUNS} runs of {STEPS} steps, made in {:.0} s",
        began.elapsed().as_secs_f64()
    );
    let failed = measure(&root);
    drop(folder);
    if failed {
        std::process::exit(1);
    }
}

/// The folder of runs.
fn make(root: &Path) {
    for number in 0..OVERLAID {
        write_run(root, number);
    }
    for number in OVERLAID..RUNS {
        let like = root.join(name(number % OVERLAID));
        let dir = root.join(name(number));
        std::fs::create_dir(&dir).expect("a folder");
        for file in ["summary.json", "overview.bin", "config.toml", "lock"] {
            std::fs::copy(like.join(file), dir.join(file)).expect("a small file");
        }
        let header = std::fs::read_to_string(like.join("run.json")).expect("run.json");
        let header = header.replace(&name(number % OVERLAID), &name(number));
        std::fs::write(dir.join("run.json"), header).expect("run.json");
        std::fs::hard_link(like.join("metrics.jsonl"), dir.join("metrics.jsonl")).expect("a link");
        let mut notes = Notes::default();
        notes
            .change_tags(&format!("group-{}", number % 7))
            .expect("a tag");
        notes.write(&dir).expect("notes");
    }
}

fn name(number: usize) -> String {
    format!("gpt-stories-{number:03}")
}

fn write_run(root: &Path, number: usize) {
    let rate = format!("optimizer.learning_rate={}", 1e-4 * (number + 1) as f64);
    let config = load(Source::Preset("gpt".into()), &[rate]).expect("a preset");
    let dir = root.join(name(number));
    let mut run = RunDir::create(root, Some(&dir), &config).expect("a run");
    run.write_info(&RunInfo {
        dir: dir.clone(),
        name: name(number),
        model: config.model.kind(),
        config,
        device: "flex (CPU, 2 threads)".into(),
        parameters: 809_729,
        vocab_size: 2_048,
        train_tokens: 1_000_000,
        validation_tokens: 100_000,
        bytes_per_token: 3.1,
        uniform_loss: 7.6,
        unigram_loss: 6.1,
        source_entropy: None,
        tokens_per_step: 768,
        start_step: 0,
        total_steps: STEPS,
        program_version: "0".into(),
    })
    .expect("run.json");
    for step in 1..=STEPS {
        let mut report = step_report(step);
        report.loss += 0.01 * number as f64;
        run.append(&Record::Step(report));
        if step % 500 == 0 {
            run.append(&Record::Eval(EvalReport {
                step,
                tokens: report.tokens,
                seconds: report.seconds,
                train_loss: report.loss,
                val_loss: report.loss + 0.05,
                perplexity: (report.loss + 0.05).exp(),
                bits_per_byte: report.loss / 2.1,
                unknown_fraction: 0.0,
                best: false,
            }));
        }
        if step % 10_000 == 0 {
            run.append(&Record::Checkpoint(CheckpointInfo {
                sequence: None,
                step,
                path: dir.join(format!("checkpoints/step-{step:08}")),
                bytes: 9_000_000,
                total_bytes: 27_000_000,
                reason: CheckpointReason::Cadence,
                val_loss: None,
            }));
            run.flush().expect("the log");
        }
    }
    run.sync().expect("the log");
}

struct Measured {
    failed: bool,
}

impl Measured {
    fn say(&mut self, what: &str, value: f64, unit: &str, limit: Option<f64>) {
        let verdict = match limit {
            None => String::new(),
            Some(limit) if value <= limit => format!("(at most {limit:.0}) ok"),
            Some(limit) => {
                self.failed = true;
                format!("(at most {limit:.0}) TOO MUCH")
            }
        };
        println!("{what:52} {value:9.2} {unit:3} {verdict}");
    }

    /// The median time of an action, and the processor time of one.
    fn time(&mut self, what: &str, limit: Option<f64>, mut act: impl FnMut()) {
        let mut times = Vec::new();
        let busy = processor_seconds();
        for _ in 0..ROUNDS {
            let began = Instant::now();
            act();
            times.push(began.elapsed().as_secs_f64() * 1e3);
        }
        let busy = (processor_seconds() - busy) * 1e3 / ROUNDS as f64;
        times.sort_by(f64::total_cmp);
        self.say(what, times[ROUNDS / 2], "ms", limit);
        self.say("  of processor time", busy, "ms", None);
    }
}

/// True where something took too much.
fn measure(root: &Path) -> bool {
    let mut measured = Measured { failed: false };
    let area = Rect::new(0, 0, 200, 60);
    let mut buffer = Buffer::empty(area);
    let mut app = fresh();
    measured.time("list: first look, and its frame", Some(300.0), || {
        let desk = RunsDesk::new(root.to_path_buf());
        app.update(Message::RunsLoaded {
            runs: Ok(desk.list()),
            now: run::now(),
        });
        app.render(area, &mut buffer);
    });
    let desk = RunsDesk::new(root.to_path_buf());
    let runs = desk.list().runs;
    assert_eq!(runs.len(), RUNS);
    measured.time("list: a look when nothing changed", None, || {
        assert_eq!(desk.list().runs.len(), RUNS);
    });
    keys(&mut app, "/group-3 & learning_rate<1e-3");
    measured.time("list: a key in the filter, and its frame", None, || {
        keys(&mut app, "\u{8}3");
        app.render(area, &mut buffer);
    });
    let distinct: Vec<_> = runs
        .iter()
        .filter(|run| run.notes.tags.is_empty())
        .cloned()
        .collect();
    assert_eq!(distinct.len(), OVERLAID);
    let dirs: Vec<PathBuf> = distinct.iter().map(|run| run.summary.dir.clone()).collect();
    measured.time("overlay of 20: read, and its frame", Some(100.0), || {
        let desk = RunsDesk::new(root.to_path_buf());
        let mut app = overlay(&distinct);
        let answer = desk.work(RunsTask::Courses(dirs.clone()));
        check(&answer);
        app.update(Message::Runs(answer));
        app.render(area, &mut buffer);
    });
    let mut app = overlay(&distinct);
    app.update(Message::Runs(desk.work(RunsTask::Courses(dirs.clone()))));
    measured.time("overlay of 20: a frame", None, || {
        app.render(area, &mut buffer)
    });
    measured.time(
        "overlay of 20: brought up to date, nothing new",
        None,
        || {
            check(&desk.work(RunsTask::Courses(dirs.clone())));
        },
    );
    measured.say(
        "memory, at most until here",
        peak_megabytes(),
        "MB",
        Some(200.0),
    );
    measured.time("overview of one run from its log alone", None, || {
        let mut overview = Overview::default();
        overview.read_on(&dirs[0]).expect("the log");
        assert_eq!(overview.last_step(), STEPS);
    });
    measured.say("memory, at most", peak_megabytes(), "MB", Some(200.0));
    measured.failed
}

fn check(answer: &RunsAnswer) {
    let RunsAnswer::Courses(found) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(found.len(), OVERLAID);
    for (_, overview) in found {
        assert_eq!(overview.as_ref().map(|o| o.overview.last_step()), Ok(STEPS));
    }
}

fn fresh() -> App {
    let (mut app, _) = App::new(Setup {
        width: 200,
        height: 60,
        ..Setup::default()
    });
    keys(&mut app, "r");
    app
}

/// The screen of runs with these marked and laid over each other.
fn overlay(runs: &[Arc<run::RunEntry>]) -> App {
    let mut app = fresh();
    app.update(Message::RunsLoaded {
        runs: Ok(runs.to_vec().into()),
        now: run::now(),
    });
    // The list has asked for the curve of the run under its cursor: here is one, and the overlay asks for all.
    app.update(Message::Runs(RunsAnswer::Courses(Vec::new())));
    let effects = keys(&mut app, "ao");
    let asked = effects.iter().any(|effect| {
        matches!(effect, Effect::Runs(RunsTask::Courses(dirs)) if dirs.len() >= OVERLAID - 1)
    });
    assert!(asked, "{effects:?}");
    app
}

fn keys(app: &mut App, text: &str) -> Vec<Effect> {
    let mut effects = Vec::new();
    for c in text.chars() {
        let code = match c {
            '\u{8}' => KeyCode::Backspace,
            c => KeyCode::Char(c),
        };
        effects.extend(app.update(Message::Input(Input::Key(KeyEvent::from(code)))));
    }
    effects
}

fn status(key: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The most that was resident at once; 0 where the system does not say.
fn peak_megabytes() -> f64 {
    status("VmHWM:").map_or(0.0, |kilobytes| kilobytes / 1e3)
}

/// Of all threads; 0 where the system does not say.
fn processor_seconds() -> f64 {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else {
        return 0.0;
    };
    // After the name, which may hold blanks: user and system time are the 12th and 13th, in hundredths of a second.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|f| f.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    (ticks(11) + ticks(12)) / 100.0
}
