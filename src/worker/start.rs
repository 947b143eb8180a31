//! From a config and a folder to a run that is ready to train. Each stage shows as a phase of its own, and each
//! can be stopped. What fails before the first step takes a new folder away again.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::driver::{Driver, DriverSetup};
use super::memory::{self, Verdict};
use super::origin::{self, Beginning};
use super::replay::Replay;
use super::requests::Request;
use super::saver::Saver;
use super::session::{After, Mode, Session, SessionState, WhenEnding};
use super::{Context, fail, fail_for, panic_text};
use crate::config::RunConfig;
use crate::data::{self, Prepared};
use crate::device::{self, Chosen, DeviceError, Spec};
use crate::progress::{Flow, Update};
use crate::protocol::{
    Command, Edit, EditAuthor, EventKind, NoticeLevel, Origin, Phase, RunInfo, Until,
};
use crate::run::checkpoint::CheckpointEntry;
use crate::run::{EditRecord, Record, RunDir, RunFile};
use crate::tokenizer::Tokenizer;

/// Loading is shown at most this often.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(50);

/// Why a run did not begin.
pub(super) enum NoStart {
    Failed(String),
    /// One of these keys of the configuration has to be another.
    Refused(String, &'static [&'static str]),
    /// The user asked to stop while it loaded.
    Stopped(WhenEnding),
}

impl NoStart {
    pub(super) fn failed(error: impl ToString) -> Self {
        NoStart::Failed(error.to_string())
    }

    /// The fault of one of `keys`, if there are any.
    fn by_keys(error: impl ToString, keys: &'static [&'static str]) -> Self {
        match keys {
            [] => NoStart::failed(error),
            keys => NoStart::Refused(error.to_string(), keys),
        }
    }
}

/// Loads a run, trains it to its end and puts it away.
pub fn run(context: &mut Context, config: RunConfig, origin: Origin) -> After {
    loading(context, "opening the run folder", 0, None);
    // What a replay begins with the other run says.
    let (plan, config) = match &origin {
        Origin::Replay { parent, .. } => match Replay::plan(parent) {
            Ok(plan) => {
                let config = plan.config.clone();
                (Some(plan), config)
            }
            Err(message) => {
                fail(context, message);
                return After::Idle;
            }
        },
        _ => (None, config),
    };
    // The run may be taken up from another folder.
    let mut config = config;
    for path in &mut config.corpus.path {
        if path.as_os_str() != "-"
            && let Ok(absolute) = std::path::absolute(&*path)
        {
            *path = absolute;
        }
    }
    let opened = match &origin {
        Origin::New { dir }
        | Origin::From { dir, .. }
        | Origin::Fork { dir, .. }
        | Origin::Replay { dir, .. } => {
            RunDir::create(&context.options.runs_root, dir.as_deref(), &config)
        }
        Origin::Resume { dir } => RunDir::open(dir),
    };
    let mut dir = match opened {
        Ok(dir) => dir,
        Err(error) => {
            fail(context, error.to_string());
            return After::Idle;
        }
    };
    crate::logging::follow_run(Some(&dir.file(RunFile::Log)));
    tracing::info!(run = %dir.path().display(), version = env!("CARGO_PKG_VERSION"), "run opened");
    context.open_control(&dir);
    // A panic while loading must still take the new folder away.
    let loaded = catch_unwind(AssertUnwindSafe(|| {
        let mut beginning = origin::begin(context, &mut dir, config, &origin, plan)?;
        let parts = load(context, &mut dir, &origin, &mut beginning)?;
        Ok((parts, beginning))
    }))
    .unwrap_or_else(|panic| {
        Err(NoStart::Failed(format!(
            "loading ended by a defect: {}",
            panic_text(&*panic)
        )))
    });
    let (parts, beginning) = match loaded {
        Ok(loaded) => loaded,
        Err(no_start) => {
            context.withdraw_control();
            crate::logging::follow_run(None);
            dir.discard();
            return match no_start {
                NoStart::Failed(message) => {
                    fail(context, message);
                    After::Idle
                }
                NoStart::Refused(message, keys) => {
                    fail_for(context, message, keys);
                    After::Idle
                }
                NoStart::Stopped(when) => {
                    fail(context, "stopped while it was loading".to_string());
                    after(Some(when))
                }
            };
        }
    };
    let saves_its_beginning = beginning.saved;
    let mut session = match parts.into_session(context, dir, beginning) {
        Ok(session) => session,
        Err((context, message)) => {
            fail(context, message);
            return After::Idle;
        }
    };
    if saves_its_beginning {
        session.save_beginning();
    }
    // The session outlives a panic in it, so that the run's last word is written.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| session.run())) {
        session.panicked(panic_text(&*panic));
    }
    let (end, last_word) = session.close();
    match last_word {
        Some(Record::Finished(report)) => {
            context.outbox.emit(EventKind::Phase(Phase::Finished));
            context.outbox.emit(EventKind::Finished(report));
        }
        Some(Record::Failed { message }) => fail(context, message),
        _ => fail(context, "the run ended without a last word".to_string()),
    }
    after(end)
}

pub(super) fn after(end: Option<WhenEnding>) -> After {
    match end {
        Some(WhenEnding::Shutdown) => After::End,
        Some(WhenEnding::Idle) | None => After::Idle,
    }
}

impl Session<'_> {
    fn panicked(&mut self, text: String) {
        // The trainer may be half way through a step: what is on disk counts, nothing of it is saved.
        self.saver.wait();
        self.report_saves();
        self.conclude(Record::Failed {
            message: format!(
                "training ended by a defect at step {}: {text}. {}",
                self.step,
                self.what_is_left()
            ),
        });
    }
}

/// What loading makes.
struct Parts {
    driver: Box<dyn Driver>,
    prepared: Prepared,
    compiles: bool,
    device: Spec,
    main_memory: bool,
    state: SessionState,
    step: u64,
    seconds: f64,
}

impl Parts {
    fn into_session(
        self,
        context: &mut Context,
        dir: RunDir,
        beginning: Beginning,
    ) -> Result<Session<'_>, (&mut Context, String)> {
        let saver = match Saver::spawn(dir.path().to_path_buf()) {
            Ok(saver) => saver,
            Err(error) => return Err((context, format!("no thread to save with: {error}"))),
        };
        let mode = match context.until.take() {
            Some(step) => Mode::Until(Until::Step(step)),
            None => Mode::Running,
        };
        let changes = beginning.changes;
        let first_edit =
            (!changes.is_empty()).then_some(Request::Set(Edit::Set(changes), EditAuthor::Start));
        Ok(Session {
            context,
            dir,
            config: beginning.config,
            driver: self.driver,
            tokenizer: self.prepared.tokenizer,
            saver,
            mode,
            step: self.step,
            seconds: self.seconds,
            queue: first_edit.into_iter().collect(),
            end: None,
            diverged: None,
            edits_when_diverged: 0,
            leaves_out: false,
            shown: None,
            pause_heard: false,
            unfinished: false,
            dirty: false,
            trained: false,
            went_back_to: None,
            replay: beginning.replay,
            again: beginning.again.into(),
            device: self.device,
            main_memory: self.main_memory,
            edits: self.state.edits.clone(),
            prompts_warned: HashSet::new(),
            state: self.state,
            compiles: self.compiles,
            failed: None,
            last_word: None,
            log_failing: false,
            last_log: Instant::now(),
            last_health: Instant::now(),
        })
    }
}

pub(super) fn loading(context: &mut Context, what: &str, done: u64, total: Option<u64>) {
    context.outbox.emit(EventKind::Phase(Phase::Loading {
        what: what.to_string(),
        done,
        total,
    }));
}

/// Between two stages: whether the user wants to stop. Other commands make no sense yet.
pub(super) fn check_stop(context: &mut Context) -> Result<(), NoStart> {
    while let Some(command) = context.next_command(Duration::ZERO) {
        match command {
            Command::Stop => {
                context.stop.store(false, Ordering::Relaxed);
                return Err(NoStart::Stopped(WhenEnding::Idle));
            }
            Command::Shutdown => return Err(NoStart::Stopped(WhenEnding::Shutdown)),
            Command::Start { run, .. } | Command::FindRate { run, .. } => context.refuse_start(run),
            // Obeyed before the first step.
            Command::Pause => context.until = Some(0),
            Command::Resume => context.until = None,
            Command::RunUntil {
                until: Until::Step(step),
            } => context.until = Some(step),
            _ => context.notice(NoticeLevel::Info, "the run is still loading"),
        }
    }
    Ok(())
}

fn load(
    context: &mut Context,
    dir: &mut RunDir,
    origin: &Origin,
    beginning: &mut Beginning,
) -> Result<Parts, NoStart> {
    let config = beginning.config.clone();
    // Before anything is read or counted in parallel: the first use fixes the number for the process.
    set_threads(&config);
    let tokenizer = beginning
        .tokenizer
        .as_deref()
        .map(Tokenizer::load)
        .transpose()
        .map_err(NoStart::failed)?;
    // A device that is not there is said before a long text is read.
    let chosen = choose_device(context, &config)?;
    let resumes = matches!(origin, Origin::Resume { .. });
    let prepared = prepare(context, &config, tokenizer).map_err(|no_start| match no_start {
        NoStart::Failed(message) if resumes && message.starts_with("corpus.path: ") => {
            NoStart::Failed(format!(
                "{message}; where the text lies elsewhere now, `--set corpus.path=…` says so"
            ))
        }
        other => other,
    })?;
    if chosen.main_memory {
        check_memory(context, &config, &chosen, prepared.tokenizer.vocab_size())?;
    }
    loading(context, "building the model", 0, None);
    check_stop(context)?;
    let mut driver = (context.factory)(DriverSetup {
        config: config.clone(),
        dataset: prepared.dataset.clone(),
        vocab_size: prepared.tokenizer.vocab_size(),
        device: chosen.device.clone(),
    })
    .map_err(NoStart::failed)?;
    let taken_up = match (origin, &beginning.from) {
        (Origin::Resume { .. }, origin::From::Checkpoint(loaded)) => Some(loaded.entry.clone()),
        _ => None,
    };
    let state = beginning.restore(driver.as_mut())?;
    if let Some(parent) = beginning.parent.take() {
        dir.write_parent(parent).map_err(NoStart::failed)?;
    }
    if let Some(replay) = &beginning.replay {
        let of = replay.of.display().to_string();
        dir.write_replay_of(of).map_err(NoStart::failed)?;
    }
    let step = driver.steps_done();
    check_stop(context)?;
    let info = info(dir, &config, &prepared, &chosen, driver.as_ref());
    if let Some(theirs) = &beginning.info {
        warn_of_differences(context, theirs, &info, beginning.replay.is_some());
    }
    let resumed = taken_up.as_ref().map(|entry| Resumed {
        entry,
        edits: &state.edits,
        again: &beginning.again,
    });
    record_start(context, dir, &prepared, &info, resumed.as_ref()).map_err(NoStart::failed)?;
    // What the history that is read now leaves out.
    if resumed.is_some() {
        for edit in state.edits.iter().filter(|edit| edit.step > step) {
            context.outbox.emit(EventKind::Edited(edit.clone()));
        }
    }
    // The multiplier of the snapshot is in force; the screens learn it as they learn an edit.
    let multiplied = state
        .edits
        .iter()
        .rfind(|record| matches!(record.edit, Edit::LearningRateMultiplier(_)));
    if let Some(edit) = multiplied.filter(|edit| edit.step <= step || resumed.is_none()) {
        context.outbox.emit(EventKind::Edited(edit.clone()));
    }
    let schedule = driver.schedule();
    context.outbox.emit(EventKind::Schedule(schedule));
    let seconds = driver.seconds();
    context.outbox.logged(dir.logged());
    Ok(Parts {
        driver,
        compiles: chosen.compiles,
        device: chosen.spec,
        main_memory: chosen.main_memory,
        state,
        step,
        seconds,
        prepared,
    })
}

pub(super) fn prepare(
    context: &mut Context,
    config: &RunConfig,
    tokenizer: Option<Tokenizer>,
) -> Result<Prepared, NoStart> {
    loading(context, "reading the text", 0, None);
    check_stop(context)?;
    let stop = context.stop.clone();
    let outbox = &mut context.outbox;
    let mut last = Instant::now();
    let mut progress = |update: Update<'_>| {
        if last.elapsed() >= PROGRESS_INTERVAL {
            last = Instant::now();
            outbox.emit(EventKind::Phase(Phase::Loading {
                what: update.what.to_string(),
                done: update.done,
                total: update.total,
            }));
        }
        match stop.load(Ordering::Relaxed) {
            true => Flow::Stop,
            false => Flow::Continue,
        }
    };
    let prepared = data::prepare(config, tokenizer, &mut progress);
    // A stop makes an error of the work; the command says which kind of end was meant.
    check_stop(context)?;
    let prepared = prepared.map_err(|error| NoStart::by_keys(&error, error.keys()))?;
    for notice in &prepared.notices {
        context.notice(NoticeLevel::Warning, notice.clone());
    }
    Ok(prepared)
}

/// Reading and counting are shared out among the threads of the process, whose number its first run fixes. Training has threads of its
/// own, of the number that the run asks for.
pub(super) fn set_threads(config: &RunConfig) {
    if let Err(error) = device::set_threads(config.train.threads) {
        tracing::info!("reading the text: {error}");
    }
}

fn no_device(error: DeviceError) -> NoStart {
    NoStart::by_keys(&error, error.keys())
}

pub(super) fn choose_device(context: &mut Context, config: &RunConfig) -> Result<Chosen, NoStart> {
    loading(context, "opening the device", 0, None);
    let chosen = device::resolve(&config.device).map_err(no_device)?;
    if let Some(notice) = &chosen.notice {
        context.notice(NoticeLevel::Warning, notice.clone());
    }
    Ok(chosen)
}

pub(super) fn check_memory(
    context: &mut Context,
    config: &RunConfig,
    chosen: &Chosen,
    vocab: usize,
) -> Result<(), NoStart> {
    let Some(available) = memory::available() else {
        return Ok(());
    };
    match memory::judge(memory::estimate(config, chosen.spec, vocab), available) {
        Verdict::Fits => Ok(()),
        Verdict::Tight(message) => {
            context.notice(NoticeLevel::Warning, message);
            Ok(())
        }
        Verdict::TooLarge(message) => Err(NoStart::Failed(message)),
    }
}

fn info(
    dir: &RunDir,
    config: &RunConfig,
    prepared: &Prepared,
    chosen: &Chosen,
    driver: &dyn Driver,
) -> RunInfo {
    let dataset = &prepared.dataset;
    let vocab_size = prepared.tokenizer.vocab_size();
    let train_tokens = dataset.train.len() as u64;
    RunInfo {
        dir: dir.path().to_path_buf(),
        name: dir.name().to_string(),
        model: config.model.kind(),
        config: config.clone(),
        device: chosen.on_threads(device::threads(config.train.threads)),
        parameters: driver.parameters(),
        vocab_size,
        train_tokens,
        validation_tokens: dataset.validation.len() as u64,
        bytes_per_token: dataset.train_bytes as f64 / train_tokens.max(1) as f64,
        uniform_loss: (vocab_size as f64).ln(),
        unigram_loss: dataset.unigram_loss,
        source_entropy: dataset.source_entropy,
        tokens_per_step: tokens_per_step(config),
        start_step: driver.steps_done(),
        total_steps: config.train.steps,
        program_version: env!("CARGO_PKG_VERSION").to_string(),
    }
}

/// Tokens that one optimizer step learns from.
pub(crate) fn tokens_per_step(config: &RunConfig) -> u64 {
    let windows = config.train.batch_size * config.train.gradient_accumulation.max(1);
    (windows * config.model.context_length()) as u64
}

/// What a run is taken up with.
struct Resumed<'a> {
    entry: &'a CheckpointEntry,
    /// Those that the checkpoint knows.
    edits: &'a [EditRecord],
    /// Those of later that the run will make again.
    again: &'a [EditRecord],
}

/// Completes the folder and announces the run.
fn record_start(
    context: &mut Context,
    dir: &mut RunDir,
    prepared: &Prepared,
    info: &RunInfo,
    resumed: Option<&Resumed>,
) -> Result<(), crate::run::RunError> {
    if let Some(resumed) = resumed {
        dir.take_up(resumed.entry)?;
        // An edit made at the checkpoint's step takes effect one step later: the line above takes it back from
        // the log, the checkpoint has it. Those to be made again stay known, should the run end once more before it is there.
        let known = resumed
            .edits
            .iter()
            .filter(|edit| edit.step > info.start_step);
        for edit in known.chain(resumed.again) {
            dir.append(&Record::Edit(edit.clone()));
        }
        dir.rebuild_summary()?;
    } else {
        dir.write_tokenizer(&prepared.tokenizer.to_json())?;
    }
    dir.write_config(&info.config)?;
    dir.write_first_config(&info.config)?;
    dir.write_info(info)?;
    dir.append(&Record::Started(info.into()));
    dir.sync()?;
    context.outbox.logged(dir.logged());
    context
        .outbox
        .emit(EventKind::Started(Box::new(info.clone())));
    Ok(())
}

/// `before` is of the run that goes on, is forked or repeated.
fn warn_of_differences(context: &mut Context, before: &RunInfo, info: &RunInfo, replay: bool) {
    if (before.train_tokens, before.validation_tokens)
        != (info.train_tokens, info.validation_tokens)
    {
        context.notice(
            NoticeLevel::Warning,
            format!(
                "the text has changed since this run was started ({} training tokens then, {} now): losses before \
                 and after do not compare",
                before.train_tokens, info.train_tokens
            ),
        );
    }
    if replay && before.device != info.device {
        context.notice(
            NoticeLevel::Warning,
            format!(
                "the run was trained on {}, this is {}: the losses may differ in their last bits",
                before.device, info.device
            ),
        );
    }
}
