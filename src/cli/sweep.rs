//! `fireside sweep`: Try many values, and find the best

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::{CliError, Exit};
use crate::config::{RunConfig, TokenizerKind};
use crate::model;
use crate::run::sweep::{self as store, SweepDir, SweepPlan};
use crate::sweep::{self, Conductor, End, Reporter, Threads, Wish};
use crate::ui::screens::sweep::Ended;
use crate::ui::settings::Settings;
use crate::ui::sweep::SweepOptions;
use crate::words::counted;
use crate::{ui, worker};

/// Share of the available memory that the trials may take together.
const MEMORY_SHARE: f64 = 0.8;
/// A guess at the vocabulary of a text in characters, for its memory.
const CHARACTERS: usize = 512;

/// Try many values of some keys, each in a run of its own, and find the best
#[derive(Debug, clap::Args)]
#[command(
    after_help = "VALUES: `0,0.1,0.2` (these), `1e-4..1e-2` (between), `1e-4..1e-2:log` (equal ratios equally likely), `1e-4..1e-2:log:5` (five of \
                  them, for --grid). A sweep is a folder of ordinary runs in the runs folder; docs/sweep.md says more.\n\
                  Exit codes: 0 finished, 1 failed (also where no trial came through), 2 bad usage or configuration, 130 interrupted after saving."
)]
pub struct Args {
    /// A preset (see `fireside config list`), a TOML file, or a run's folder
    #[arg(required_unless_present = "resume", conflicts_with = "resume")]
    config: Option<String>,
    /// A key and what it may be; may be given several times
    #[arg(long, value_name = "KEY=VALUES", conflicts_with = "resume")]
    vary: Vec<String>,
    /// Override a key in every trial; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", conflicts_with = "resume")]
    sets: Vec<String>,
    /// Steps of a trial that goes to the end
    #[arg(
        long,
        value_name = "N",
        required_unless_present = "resume",
        conflicts_with = "resume"
    )]
    steps: Option<u64>,
    /// Random trials (default: 8)
    #[arg(long, value_name = "N", conflicts_with_all = ["resume", "grid"])]
    runs: Option<usize>,
    /// Every combination instead of random ones
    #[arg(long, conflicts_with = "resume")]
    grid: bool,
    /// Successive halving: one in RATE trials goes on after each rung
    #[arg(long, value_name = "RATE", num_args = 0..=1, default_missing_value = "3", conflicts_with = "resume")]
    halving: Option<u64>,
    /// Trials at a time, within the cores and the memory (default: 1; with --resume: as before)
    #[arg(long, value_name = "N")]
    parallel: Option<usize>,
    /// Seed of the random values
    #[arg(
        long,
        value_name = "SEED",
        default_value_t = 1,
        conflicts_with = "resume"
    )]
    seed: u64,
    /// Label of the sweep's folder (default: made from CONFIG)
    #[arg(long, value_name = "NAME", conflicts_with = "resume")]
    name: Option<String>,
    /// Go on with a sweep that was interrupted: its folder, or its name below the runs folder
    #[arg(long, value_name = "SWEEP")]
    resume: Option<String>,
    /// Plain lines instead of a screen; also what happens when there is no terminal
    #[arg(long)]
    headless: bool,
    /// One JSON object a line (see docs/scripting.md); implies --headless
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<Exit, CliError> {
    let root = super::tui::runs_root();
    let (dir, configs, wanted) = match &args.resume {
        Some(name) => reopen(&root, name, args.parallel)?,
        None => create(&root, &args)?,
    };
    let (threads, notes) = part_the_machine(wanted, &configs);
    for note in notes {
        super::complain(&format!("note: {note}"));
    }
    let program = std::env::current_exe()
        .map_err(|error| CliError::failed(format!("this program cannot find itself: {error}")))?;
    let conductor = Conductor::new(dir, program, threads);
    let interrupts = super::train::count_interrupts()?;
    let screens = !args.headless && !args.json && super::tui::can_show().is_ok();
    let (conductor, end) = match screens {
        true => on_screen(conductor, &interrupts)?,
        false => headless(conductor, &interrupts, args.json)?,
    };
    finish(&conductor, end)
}

fn headless(
    mut conductor: Conductor,
    interrupts: &Arc<AtomicUsize>,
    json: bool,
) -> Result<(Conductor, End), CliError> {
    let mut reporter = Reporter {
        json,
        plan: conductor.dir().plan().clone(),
        out: &mut std::io::stdout().lock(),
        closed: false,
    };
    let path = conductor.dir().path().to_path_buf();
    let end = conductor
        .run(interrupts, &mut |event| {
            reporter.event(&path, event);
            // With nobody left to read, it ends as after a signal.
            if reporter.closed && interrupts.load(Ordering::Relaxed) == 0 {
                interrupts.store(1, Ordering::Relaxed);
            }
        })
        .map_err(CliError::failed)?;
    reporter.end(&path, conductor.dir().results(), end);
    Ok((conductor, end))
}

/// The conductor on a thread of its own, and the screen on this one; the ranking is printed when the screen is gone.
fn on_screen(
    mut conductor: Conductor,
    interrupts: &Arc<AtomicUsize>,
) -> Result<(Conductor, End), CliError> {
    let path = conductor.dir().path().to_path_buf();
    // What is wrong with the rest of the file was said when the folder of the runs was looked for.
    let (settings, _) = Settings::load();
    for problem in settings.keymap().1 {
        super::complain(&format!("note: {problem}"));
    }
    let (sender, ended) = mpsc::channel();
    let counter = Arc::clone(interrupts);
    let work = std::thread::Builder::new()
        .name("fireside-sweep".to_string())
        .spawn(move || {
            let result = conductor.run(&counter, &mut |_| {});
            // The screen may be gone already.
            let _ = sender.send(match &result {
                Ok(End::Finished) => Ended::Finished,
                Ok(End::Interrupted) => Ended::Interrupted,
                Err(error) => Ended::Failed(error.to_string()),
            });
            (conductor, result)
        })
        .map_err(|error| CliError::failed(format!("no thread to conduct with: {error}")))?;
    let shown = ui::sweep::run(SweepOptions {
        dir: path.clone(),
        settings,
        interrupts: Arc::clone(interrupts),
        ended,
    });
    if shown.is_err() {
        interrupts.fetch_max(1, Ordering::Relaxed);
    }
    let (conductor, result) = work
        .join()
        .map_err(|_| CliError::failed("the sweep ended by a defect; see the log"))?;
    shown.map_err(CliError::failed)?;
    let end = result.map_err(CliError::failed)?;
    let mut reporter = Reporter {
        json: false,
        plan: conductor.dir().plan().clone(),
        out: &mut std::io::stdout().lock(),
        closed: false,
    };
    reporter.end(&path, conductor.dir().results(), end);
    Ok((conductor, end))
}

fn finish(conductor: &Conductor, end: End) -> Result<Exit, CliError> {
    let dir = conductor.dir();
    let plan = dir.plan();
    let through = dir
        .results()
        .iter()
        .any(|result| store::halving::score(result, plan.metric).is_some());
    match end {
        End::Interrupted => Ok(Exit::Interrupted),
        End::Finished if through => Ok(Exit::Success),
        End::Finished => {
            let first = dir.results().first().and_then(|r| r.message.clone());
            Err(CliError::failed(format!(
                "no trial came through; the first said: {}",
                first.unwrap_or_else(|| "nothing".to_string())
            )))
        }
    }
}

type Opened = (SweepDir, Vec<RunConfig>, usize);

fn create(root: &Path, args: &Args) -> Result<Opened, CliError> {
    let config = args.config.clone().unwrap_or_default();
    let wish = Wish {
        config: config.clone(),
        sets: args.sets.clone(),
        vary: args.vary.clone(),
        runs: args.runs,
        grid: args.grid,
        steps: args.steps.unwrap_or_default(),
        halving: args.halving,
        parallel: args.parallel.unwrap_or(1),
        seed: args.seed,
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let planned = sweep::plan(&wish, now.map_or(0, |elapsed| elapsed.as_secs()))
        .map_err(|problems| CliError::usage(told(&problems)))?;
    for note in &planned.notes {
        super::complain(&format!("note: {note}"));
    }
    let label = args.name.clone().unwrap_or_else(|| label(&config));
    let texts: Vec<String> = planned.configs.iter().map(RunConfig::to_toml).collect();
    let dir = SweepDir::create(root, &label, planned.plan, &texts).map_err(CliError::failed)?;
    Ok((dir, planned.configs, wish.parallel))
}

fn reopen(root: &Path, name: &str, parallel: Option<usize>) -> Result<Opened, CliError> {
    if parallel == Some(0) {
        return Err(CliError::usage("--parallel 0: expected a whole number ≥ 1"));
    }
    let path = store::find(root, name).map_err(CliError::failed)?;
    let dir = SweepDir::open(&path).map_err(CliError::failed)?;
    let configs = configs(&dir)?;
    let wanted = parallel.unwrap_or(dir.plan().parallel);
    Ok((dir, configs, wanted))
}

/// The configurations of the trials, which are whole or the sweep cannot go on.
fn configs(dir: &SweepDir) -> Result<Vec<RunConfig>, CliError> {
    let plan: &SweepPlan = dir.plan();
    (0..plan.trials.len())
        .map(|trial| {
            let path = dir.config_path(trial);
            let name = path.display().to_string();
            let text = std::fs::read_to_string(&path)
                .map_err(|error| CliError::failed(format!("{name} cannot be read: {error}")))?;
            RunConfig::from_toml(&name, &text).map_err(CliError::failed)
        })
        .collect()
}

fn told(problems: &[String]) -> String {
    match problems {
        [only] => only.clone(),
        all => format!("{} problems\n  {}", all.len(), all.join("\n  ")),
    }
}

/// `gpt` of `configs/gpt.toml`, `my` of `my.toml`.
fn label(config: &str) -> String {
    let stem = Path::new(config).file_stem();
    stem.map_or_else(
        || config.to_string(),
        |stem| stem.to_string_lossy().into_owned(),
    )
}

/// How many trials at a time, within the cores and the memory, and what there is to say about it.
fn part_the_machine(wanted: usize, configs: &[RunConfig]) -> (Threads, Vec<String>) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let needed = configs.iter().map(memory_of).max().unwrap_or(0);
    let asked = configs.iter().map(|config| config.train.threads).max();
    let (mut threads, mut notes) = part(wanted, cores, needed, worker::available_memory());
    if let Some(asked) = asked.filter(|asked| *asked > 0) {
        notes.extend(ask_for(&mut threads, asked, cores));
    }
    (threads, notes)
}

/// The trials of a configuration that says how many threads it computes on have as many.
fn ask_for(threads: &mut Threads, asked: usize, cores: usize) -> Option<String> {
    threads.each = asked;
    let most = (cores / asked).max(1);
    if threads.parallel <= most {
        return None;
    }
    let note = format!(
        "train.threads = {asked}: of {} trials at a time, {most} fit on {}",
        threads.parallel,
        counted(cores, "core")
    );
    threads.parallel = most;
    Some(note)
}

fn part(
    wanted: usize,
    cores: usize,
    needed: u64,
    available: Option<u64>,
) -> (Threads, Vec<String>) {
    let mut notes = Vec::new();
    let mut parallel = wanted.max(1);
    if parallel > cores {
        notes.push(format!(
            "--parallel {wanted}: this machine has {}; {} at a time",
            counted(cores, "core"),
            counted(cores, "trial")
        ));
        parallel = cores;
    }
    if let Some(available) = available.filter(|_| needed > 0) {
        let fit = ((available as f64 * MEMORY_SHARE / needed as f64) as usize).max(1);
        if fit < parallel {
            notes.push(format!(
                "--parallel {wanted}: a trial needs about {:.0} MB of memory and {:.0} MB are available; {fit} at a time",
                needed as f64 / 1e6,
                available as f64 / 1e6
            ));
            parallel = fit;
        }
    }
    let threads = Threads {
        parallel,
        each: (cores / parallel).max(1),
    };
    (threads, notes)
}

/// What a trial takes, as far as it can be told before its vocabulary is known.
fn memory_of(config: &RunConfig) -> u64 {
    let vocabulary = match config.tokenizer.kind {
        TokenizerKind::Char => CHARACTERS,
        TokenizerKind::Word | TokenizerKind::Bpe => config.tokenizer.vocab_size,
    };
    model::memory_estimate(config, vocabulary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_at_a_time_stay_within_cores_and_memory() {
        let of = |wanted, cores, needed, available| {
            let (threads, notes) = part(wanted, cores, needed, available);
            (threads.parallel, threads.each, notes.len())
        };
        assert_eq!(of(1, 8, 100, Some(1000)), (1, 8, 0));
        assert_eq!(of(4, 8, 100, Some(1000)), (4, 2, 0));
        assert_eq!(of(3, 8, 100, Some(1000)), (3, 2, 0));
        assert_eq!(of(9, 8, 10, Some(1000)), (8, 1, 1));
        assert_eq!(of(8, 8, 300, Some(1000)), (2, 4, 1));
        // One is always tried: the run itself says whether it fits.
        assert_eq!(of(2, 2, 5000, Some(1000)), (1, 2, 1));
        assert_eq!(of(4, 8, 100, None), (4, 2, 0));
    }

    #[test]
    fn trials_have_the_threads_that_their_configuration_asks_for() {
        let of = |parallel, each, asked| {
            let mut threads = Threads { parallel, each };
            let note = ask_for(&mut threads, asked, 8);
            (threads.parallel, threads.each, note.is_some())
        };
        assert_eq!(of(1, 8, 1), (1, 1, false));
        assert_eq!(of(4, 2, 2), (4, 2, false));
        assert_eq!(of(4, 2, 4), (2, 4, true));
        assert_eq!(of(2, 4, 16), (1, 16, true));
    }
}
