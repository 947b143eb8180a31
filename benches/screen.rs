//! `cargo bench --bench screen`: the screens as a real process on a pseudo-terminal.
//!
//! - from the start of the process to the first frame;
//! - from a key to its frame, while training has every core;
//! - from the Enter of an edit to the frame that says since which step it holds, beyond one step;
//! - bytes a second to the terminal meanwhile (what an ssh line carries), and the time that the threads of the
//!   screens computed, which tells their cost on a busy machine too (Linux);
//! - tokens a second with the screens, beside the same run without: pairs that take turns, so that whatever else
//!   the machine does falls on both.
//!
//! `FIRESIDE_PROGRAM` names another binary to measure; `FIRESIDE_PAIRS` how many pairs (7).

#[path = "../tests/terminal/mod.rs"]
mod terminal;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use terminal::Terminal;

/// Steps of a run of a pair, and how many of them do not count.
const STEPS: u64 = 150;
const WARM_UP: u64 = 20;
const KEYS: usize = 100;
const STARTS: usize = 15;
const EDITS: usize = 40;
const QUIET: Duration = Duration::from_secs(20);
/// Nothing between the steps: what is compared is the steps.
const SETS: [&str; 6] = [
    "--set",
    "eval.every=0",
    "--set",
    "sample.every=0",
    "--set",
    "checkpoint.every=0",
];

fn main() {
    let program = std::env::var("FIRESIDE_PROGRAM")
        .unwrap_or_else(|_| env!("CARGO_BIN_EXE_fireside").to_string());
    let pairs = std::env::var("FIRESIDE_PAIRS").ok();
    let pairs: usize = pairs.and_then(|text| text.parse().ok()).unwrap_or(7);
    let dir = tempfile::tempdir().unwrap();
    println!("{program}");
    let mut good = first_frame(&program, dir.path());
    good &= keys_and_bytes(&program, dir.path());
    good &= edits(&program, dir.path());
    good &= speed(&program, dir.path(), pairs);
    if !good {
        std::process::exit(1);
    }
}

/// Prints one line; whether it is as wanted.
fn say(name: &str, value: f64, unit: &str, wanted: &str, good: bool) -> bool {
    let verdict = if good { "ok" } else { "MISSED" };
    println!("{name:44} {value:9.1} {unit:5} (wanted {wanted}) {verdict}");
    good
}

fn at(share: f64, values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

fn first_frame(program: &str, dir: &Path) -> bool {
    let times: Vec<f64> = (0..STARTS)
        .map(|_| {
            let began = Instant::now();
            let command = terminal::command(program, &[], dir);
            let mut terminal = Terminal::start(command, 120, 40);
            terminal.wait_until("a frame", |shown| shown.has("q quit"));
            let time = began.elapsed().as_secs_f64() * 1e3;
            terminal.press("q");
            terminal.exit();
            time
        })
        .collect();
    let median = at(0.5, &times);
    say(
        "first frame, median",
        median,
        "ms",
        "≤ 150",
        median <= 150.0,
    )
}

fn train(program: &str, dir: &Path, more: &[&str]) -> Terminal {
    let mut arguments = vec!["train", "gpt"];
    arguments.extend(SETS);
    arguments.extend(more);
    Terminal::start(terminal::command(program, &arguments, dir), 120, 40)
}

fn keys_and_bytes(program: &str, dir: &Path) -> bool {
    let mut terminal = train(program, dir, &[]);
    terminal.wait_for("tok/s ──");

    let before = terminal.shown().bytes.len();
    let process = terminal.id().as_raw_nonzero().get();
    let computed_before = screens_computed(process);
    std::thread::sleep(QUIET);
    let computed = screens_computed(process).zip(computed_before);
    let computed = computed.map(|(after, before)| 100.0 * (after - before) / QUIET.as_secs_f64());
    let shown = terminal.shown();
    let written = &shown.bytes[before..];
    let a_second = written.len() as f64 / QUIET.as_secs_f64() / 1e3;
    let begin = b"\x1b[?2026h";
    let frames = written.windows(begin.len()).filter(|w| w == begin).count();
    drop(shown);
    let frames = frames as f64 / QUIET.as_secs_f64();
    println!(
        "{:44} {frames:9.1}",
        "frames a second while training, 120×40"
    );
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as f64;
    let frugal = computed.is_none_or(|share| {
        let share = share / cores;
        say(
            "computed by the screens, of all cores",
            share,
            "%",
            "≤ 3",
            share <= 3.0,
        )
    });

    let mut times = Vec::new();
    for _ in 0..KEYS {
        for open in [true, false] {
            let began = Instant::now();
            terminal.press("?");
            terminal.wait_until("the help to come or go", |shown| {
                shown.has("Help: scroll") == open
            });
            times.push(began.elapsed().as_secs_f64() * 1e3);
            // Not in step with the frames.
            std::thread::sleep(Duration::from_millis(17 + times.len() as u64 % 40));
        }
    }
    terminal.press("q");
    terminal.wait_for("quit without saving");
    terminal.press("x");
    terminal.exit();
    let (median, p95) = (at(0.5, &times), at(0.95, &times));
    println!(
        "{:44} {median:9.1} ms",
        "key to frame while training, median"
    );
    let good = say(
        "key to frame while training, p95",
        p95,
        "ms",
        "≤ 50",
        p95 <= 50.0,
    );
    say(
        "written while training, 120×40",
        a_second,
        "kB/s",
        "≤ 100",
        a_second <= 100.0,
    ) && good
        && frugal
}

/// A frame can say that an edit took effect only after it did, so this is an upper bound.
fn edits(program: &str, dir: &Path) -> bool {
    let run = dir.join("edits");
    let mut terminal = train(program, dir, &["--run", run.to_str().unwrap()]);
    terminal.wait_for("tok/s ──");
    // The event log, on the whole screen.
    terminal.press("8z");
    let mut times = Vec::new();
    for edit in 1..=EDITS {
        let value = format!("0.{:03}", 100 + edit);
        terminal.press(&format!(":set optimizer.weight_decay {value}"));
        terminal.wait_for("from the next step on");
        let began = Instant::now();
        terminal.press("\r");
        terminal.wait_for(&format!("weight_decay {value} from step"));
        times.push(began.elapsed().as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_millis(150 + edit as u64 * 37 % 100));
    }
    terminal.press("q");
    terminal.wait_for("quit without saving");
    terminal.press("x");
    terminal.exit();
    let history = fireside::run::read_history(&run).unwrap();
    assert_eq!(history.edits.len(), EDITS);
    let steps: Vec<f64> = history.steps.iter().map(|step| step.ms).collect();
    let (median, p95, step) = (at(0.5, &times), at(0.95, &times), at(0.5, &steps));
    println!("{:44} {step:9.1} ms", "one step, median");
    println!(
        "{:44} {median:9.1} ms",
        "edit to the frame that tells it, median"
    );
    let beyond = p95 - step;
    say(
        "edit to its frame beyond one step, p95",
        beyond,
        "ms",
        "≤ 50",
        beyond <= 50.0,
    )
}

/// Seconds that the main thread and those named `ui-…` have computed, in hundredths; `None` without `/proc`.
fn screens_computed(process: i32) -> Option<f64> {
    let mut ticks = 0;
    for task in std::fs::read_dir(format!("/proc/{process}/task")).ok()? {
        let task = task.ok()?;
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        // `id (name) state …`; user and system time are the 12th and 13th after the name.
        let (head, rest) = stat.rsplit_once(')')?;
        let (id, name) = head.split_once(" (")?;
        if id == process.to_string() || name.starts_with("ui-") {
            let mut fields = rest.split_whitespace().skip(11);
            for _ in 0..2 {
                ticks += fields.next()?.parse::<u64>().ok()?;
            }
        }
    }
    Some(ticks as f64 / 100.0)
}

fn speed(program: &str, dir: &Path, pairs: usize) -> bool {
    let steps = format!("train.steps={STEPS}");
    let mut ratios = Vec::new();
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        let measure = |screens: bool| {
            let run = dir.join(format!("pair-{pair}-{screens}"));
            let name = run.to_str().unwrap();
            let more = ["--set", &steps, "--run", name];
            if screens {
                let mut terminal = train(program, dir, &more);
                terminal.wait_for("All steps are done");
                terminal.press("q");
                terminal.exit();
            } else {
                let status = Command::new(program)
                    .args(["train", "gpt", "--headless", "--json"])
                    .args(SETS)
                    .args(more)
                    .current_dir(dir)
                    .stdout(Stdio::null())
                    .status();
                assert!(status.unwrap().success());
            }
            tokens_per_second(&run)
        };
        // Who goes first takes turns too.
        let (screen, headless) = if pair % 2 == 0 {
            let screen = measure(true);
            (screen, measure(false))
        } else {
            let headless = measure(false);
            (measure(true), headless)
        };
        println!("  pair {pair}: screens {screen:.0}, headless {headless:.0} tokens/s");
        ratios.push(screen / headless);
        with.push(screen);
        without.push(headless);
    }
    println!(
        "{:44} {:9.0} and {:.0}",
        "tokens/s with screens and without, medians",
        at(0.5, &with),
        at(0.5, &without)
    );
    let ratio = 100.0 * at(0.5, &ratios);
    say(
        "with screens of without, median of pairs",
        ratio,
        "%",
        "≥ 97",
        ratio >= 97.0,
    )
}

/// Over the steps that count, by the run's own log.
fn tokens_per_second(run: &Path) -> f64 {
    let history = fireside::run::read_history(run).unwrap();
    let first = &history.steps[WARM_UP as usize];
    let last = history.steps.last().unwrap();
    (last.tokens - first.tokens) as f64 / (last.seconds - first.seconds)
}
