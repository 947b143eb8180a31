//! `fireside train`: Train a model, with or without screens

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::open::parse_which;
use super::{CliError, Exit, detach};
use crate::config::{Given, RunConfig, Source, load_looking, load_with_notes};
use crate::headless::{self, Format, Streams};
use crate::protocol::Origin;
use crate::run::checkpoint::{self, CheckpointEntry, Which};
use crate::run::{self, Back, RunFile};
use crate::ui::UiOptions;
use crate::worker::{self, WorkerOptions};

/// Train a model, with or without screens
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 finished, 1 failed, 2 bad usage or configuration, 130 interrupted after saving."
)]
pub struct Args {
    /// A preset (see `fireside config list`), or a TOML file
    #[arg(required_unless_present_any = ["resume", "from", "fork", "replay"], conflicts_with_all = ["resume", "from", "fork", "replay"])]
    config: Option<String>,
    /// Override a key; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Folder of the new run (default: a numbered one in ./runs or FIRESIDE_RUNS)
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    run: Option<PathBuf>,
    /// Go on with a run from its newest whole checkpoint: its folder, its name, or `last`
    #[arg(long, value_name = "RUN")]
    resume: Option<String>,
    /// Start a new run from the weights of another (or an imported one), with its tokenizer and, but for --set, its
    /// configuration: its folder, its name, or `last`
    #[arg(long, value_name = "RUN", conflicts_with = "resume")]
    from: Option<String>,
    /// Start a new run that goes on from a checkpoint of another with all of its state; what --set changes is its first edit
    #[arg(long, value_name = "RUN", conflicts_with_all = ["resume", "from"])]
    fork: Option<String>,
    /// Repeat a run from its beginning, with its edits at the same steps, in a new folder; exit code 1 if a loss differs
    #[arg(long, value_name = "RUN", conflicts_with_all = ["resume", "from", "fork", "sets", "steps", "device"])]
    replay: Option<String>,
    /// The checkpoint that --fork begins from, or that --resume goes back to first: its step, or its name
    #[arg(long, value_name = "CHECKPOINT", conflicts_with_all = ["from", "replay", "config"])]
    at: Option<String>,
    /// Which weights --from takes: `newest`, `best` or a step
    #[arg(long, value_name = "WHICH", default_value = "newest", value_parser = parse_which, requires = "from")]
    checkpoint: Which,
    /// Plain lines instead of screens; also what happens when there is no terminal
    #[arg(long)]
    headless: bool,
    /// One JSON object a line; implies --headless
    #[arg(long)]
    json: bool,
    /// Train up to this step, evaluate, save, and end; `--resume` goes on from there. The schedule stays that of train.steps. With
    /// screens the run pauses there
    #[arg(long, value_name = "STEP", value_parser = clap::value_parser!(u64).range(1..))]
    until: Option<u64>,
    /// Train in a process of its own, which no terminal ends: returns when its first step is done; `fireside attach` shows it
    #[arg(long)]
    detach: bool,
    /// This is that process
    #[arg(long, hide = true, conflicts_with = "detach")]
    detached: bool,
    /// Short for --set train.steps=N
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// Take a text that is not valid UTF-8, and replace what cannot be read; short for --set corpus.lossy=true
    #[arg(long, conflicts_with_all = ["resume", "replay"])]
    lossy: bool,
    /// Short for --set device=DEVICE
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
}

pub fn run(args: Args) -> Result<Exit, CliError> {
    let (root, problems) = super::tui::find_runs_root();
    let Plan {
        config,
        origin,
        notes,
        given,
        back,
    } = plan(&args, &root)?;
    if args.detach {
        return start_detached(&root, &config);
    }
    if let Some(back) = back {
        back.go().map_err(CliError::failed)?;
    }
    let mut lines = args.detached.then(detach::Lines::detached);
    let screens = lines.is_none() && !args.headless && !args.json && super::tui::can_show().is_ok();
    let options = WorkerOptions {
        runs_root: root.clone(),
    };
    let engine = worker::spawn_until(options, args.until)
        .map_err(|error| CliError::failed(format!("no thread to train with: {error}")))?;
    if screens {
        return super::tui::show(
            engine,
            UiOptions {
                start: Some((config, origin)),
                until: args.until,
                runs_root: root,
                problems: notes,
                ..UiOptions::default()
            },
        );
    }
    for note in problems.into_iter().chain(notes) {
        let note = format!("note: {note}");
        match &mut lines {
            // Nothing to do about one that cannot be told.
            Some(lines) => drop(writeln!(lines, "{note}")),
            None => super::complain(&note),
        }
    }
    let engine = match &lines {
        Some(lines) => lines.watch(engine),
        None => Ok(engine),
    }
    .map_err(|error| CliError::failed(format!("no thread to train with: {error}")))?;
    let format = match args.json {
        true => Format::Json,
        false => Format::Lines,
    };
    let interrupts = count_interrupts()?;
    let (mut out, mut err): (Box<dyn Write>, Box<dyn Write>) = match lines {
        Some(lines) => (Box::new(lines.clone()), Box::new(lines)),
        None => (Box::new(std::io::stdout()), Box::new(std::io::stderr())),
    };
    let streams = Streams {
        format,
        out: &mut out,
        err: &mut err,
    };
    let outcome = headless::run(&engine, config, origin, args.until, &interrupts, streams);
    match outcome {
        Ok(headless::Outcome::Finished) => Ok(Exit::Success),
        Ok(headless::Outcome::Interrupted) => Ok(Exit::Interrupted),
        // The training thread may be in the middle of saving: what it writes is whole or not there.
        Ok(headless::Outcome::Hurried) => std::process::exit(130),
        Err(failure) => Err(super::failure(&given, failure)),
    }
}

/// The same command in a process of its own.
fn start_detached(root: &Path, config: &RunConfig) -> Result<Exit, CliError> {
    if config.corpus.path.iter().any(|path| path == Path::new("-")) {
        return Err(CliError::usage(
            "corpus.path = \"-\": a detached run has no standard input; put the text in a file",
        ));
    }
    let arguments: Vec<_> = std::env::args_os()
        .skip(1)
        .filter(|argument| argument != "--detach")
        .collect();
    let interrupts = count_interrupts()?;
    let wait_for = detach::WaitFor::FirstStep(detach::FIRST_STEP);
    let started = detach::start(&arguments, wait_for, Some(&interrupts))?;
    print(&started.text(root))?;
    Ok(Exit::Success)
}

/// What to train, and where.
struct Plan {
    config: RunConfig,
    origin: Origin,
    /// What the user should know about how the values came together.
    notes: Vec<String>,
    given: Given,
    /// The way that the run goes before it goes on.
    back: Option<Back>,
}

/// Nothing of a run changes here.
fn plan(args: &Args, root: &Path) -> Result<Plan, CliError> {
    let mut sets = args.sets.clone();
    sets.extend(args.steps.map(|steps| format!("train.steps={steps}")));
    sets.extend(
        args.device
            .as_ref()
            .map(|device| format!("device=\"{device}\"")),
    );
    sets.extend(args.lossy.then(|| "corpus.lossy=true".to_string()));
    if let Some(name) = &args.replay {
        return plan_replay(args, root, name);
    }
    let mut back = None;
    let (source, origin) = match (&args.resume, &args.from, &args.config) {
        (Some(name), _, _) => {
            let dir = run::find(root, name).map_err(CliError::failed)?;
            let file = dir.join(RunFile::Config.name());
            let source = match &args.at {
                Some(at) => {
                    let way = Back::new(&dir, checkpoint_at(&dir, at)?).map_err(CliError::usage)?;
                    let text = way.config().to_toml();
                    let name = way.entry().path.join(RunFile::Config.name());
                    back = Some(way);
                    Source::Text {
                        name: name.display().to_string(),
                        text,
                    }
                }
                None => Source::File(file),
            };
            (source, Origin::Resume { dir })
        }
        (None, Some(name), _) => {
            let parent = run::find(root, name).map_err(CliError::failed)?;
            // An absolute path stays right wherever the lineage is read from.
            let parent = std::path::absolute(&parent).unwrap_or(parent);
            let source = Source::File(parent.join(RunFile::Config.name()));
            let origin = Origin::From {
                dir: args.run.clone(),
                step: step_of(&parent, args.checkpoint)?,
                parent,
            };
            (source, origin)
        }
        (None, None, None) if args.fork.is_some() => {
            let name = args.fork.as_deref().unwrap_or_default();
            let parent = run::find(root, name).map_err(CliError::failed)?;
            let parent = std::path::absolute(&parent).unwrap_or(parent);
            let entry = match &args.at {
                Some(at) => Some(checkpoint_at(&parent, at)?),
                None => checkpoint::newest(&parent),
            };
            // What was in force at the checkpoint; those of older versions have no copy.
            let copy = entry
                .as_ref()
                .map(|entry| entry.path.join(RunFile::Config.name()));
            let source = copy
                .filter(|copy| copy.is_file())
                .unwrap_or_else(|| parent.join(RunFile::Config.name()));
            let source = Source::File(source);
            let named = args.at.is_some();
            let origin = Origin::Fork {
                dir: args.run.clone(),
                checkpoint: entry.filter(|_| named).map(|entry| entry.name()),
                parent,
            };
            (source, origin)
        }
        (None, None, Some(config)) => (
            Source::from_argument(config),
            Origin::New {
                dir: args.run.clone(),
            },
        ),
        (None, None, None) => {
            return Err(CliError::usage(
                "a CONFIG, --resume, --from, --fork or --replay is needed",
            ));
        }
    };
    let loaded = match origin {
        // Its text was read before; one that is gone since is told when it is missed.
        Origin::Resume { .. } => load_with_notes(source, &sets),
        _ => load_looking(source, &sets, &crate::data::foresee),
    }
    .map_err(CliError::usage)?;
    if let Some(back) = &back
        && loaded.config.train.steps < back.entry().step
        && loaded.config.train.steps != back.config().train.steps
    {
        return Err(CliError::usage(format!(
            "train.steps = {}: {} is of step {}; expected at least that",
            loaded.config.train.steps,
            back.entry().name(),
            back.entry().step
        )));
    }
    if let (Some(until), Origin::Resume { dir }) = (args.until, &origin) {
        let from = back.as_ref().map(|back| back.entry().clone());
        let from = from.or_else(|| checkpoint::newest(dir));
        if let Some(entry) = from.filter(|entry| entry.step >= until) {
            return Err(CliError::usage(format!(
                "--until {until}: {} is at step {} already",
                dir.display(),
                entry.step
            )));
        }
    }
    if let Origin::From { parent, .. } = &origin {
        check_tokenizer(parent, &loaded.config)?;
    }
    Ok(Plan {
        config: loaded.config,
        origin,
        notes: loaded.notes,
        given: loaded.given,
        back,
    })
}

/// The run that is repeated says what it is made of.
fn plan_replay(args: &Args, root: &Path, name: &str) -> Result<Plan, CliError> {
    let parent = run::find(root, name).map_err(CliError::failed)?;
    let parent = std::path::absolute(&parent).unwrap_or(parent);
    let file = parent.join(RunFile::Config.name());
    let loaded = load_with_notes(Source::File(file), &[]).map_err(CliError::usage)?;
    let dir = args.run.clone();
    Ok(Plan {
        config: loaded.config,
        origin: Origin::Replay { dir, parent },
        notes: loaded.notes,
        given: loaded.given,
        back: None,
    })
}

/// The checkpoint that is meant by a step (the newest of it) or a name.
fn checkpoint_at(run: &Path, at: &str) -> Result<CheckpointEntry, CliError> {
    let entries = checkpoint::entries(run);
    let step = at.parse::<u64>().ok();
    let found = entries
        .iter()
        .filter(|entry| entry.name() == at || Some(entry.step) == step)
        .min_by_key(|entry| entry.left);
    found.cloned().ok_or_else(|| {
        let names: Vec<String> = entries.iter().map(CheckpointEntry::name).collect();
        CliError::failed(format!(
            "{} has no checkpoint {at}; there are: {}",
            run.display(),
            match names.is_empty() {
                true => "none".to_string(),
                false => names.join(", "),
            }
        ))
    })
}

/// Weights mean nothing without the tokenizer that they were trained with.
fn check_tokenizer(parent: &Path, config: &RunConfig) -> Result<(), CliError> {
    let file = parent.join(RunFile::Config.name());
    let theirs = load_with_notes(Source::File(file), &[]).map_err(CliError::usage)?;
    match theirs.config.tokenizer == config.tokenizer {
        true => Ok(()),
        false => Err(CliError::usage(format!(
            "the tokenizer comes with the weights of {}: no key of [tokenizer] can be set with --from",
            parent.display()
        ))),
    }
}

/// The step of the checkpoint that is meant; none for the newest.
fn step_of(run: &Path, which: Which) -> Result<Option<u64>, CliError> {
    match which {
        Which::Newest => Ok(None),
        Which::Step(step) => Ok(Some(step)),
        Which::Best => {
            let (_, entry, _) = checkpoint::load_model(run, which).map_err(CliError::failed)?;
            Ok(Some(entry.step))
        }
    }
}

/// Counts Ctrl-C, termination and the closing of the terminal from now on.
pub(super) fn count_interrupts() -> Result<Arc<AtomicUsize>, CliError> {
    let count = Arc::new(AtomicUsize::new(0));
    #[cfg(unix)]
    {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])
            .map_err(|error| CliError::failed(format!("signals cannot be heard: {error}")))?;
        let counter = Arc::clone(&count);
        std::thread::Builder::new()
            .name("fireside-signals".to_string())
            .spawn(move || {
                for _ in signals.forever() {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            })
            .map_err(|error| {
                CliError::failed(format!("no thread to hear signals with: {error}"))
            })?;
    }
    Ok(count)
}

/// Prints to standard output; a reader that went away is no error (`println!` would panic).
pub(super) fn print(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(CliError::failed(
            format!("standard output cannot be written: {error}"),
        )),
        _ => Ok(()),
    }
}
