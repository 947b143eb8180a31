//! What a config would train, before it is started: answered by a thread of its own, so that a run is never
//! disturbed. Only the newest request counts; one that a newer overtakes gets no answer.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::time::{Duration, Instant};

use crate::config::{CorpusConfig, RunConfig, TokenizerConfig};
use crate::data::{self, DataError, Prepared};
use crate::progress::{Flow, Update};
use crate::protocol::{Command, Event, EventKind, Preview, StepTime};
use crate::worker::{DriverFactory, DriverSetup, Machine, tokens_per_step};
use crate::{device, model, schedule};

/// Bytes of text shown as tokens.
const SAMPLE_BYTES: usize = 400;
/// Points of the schedule's curve.
const SCHEDULE_POINTS: usize = 200;
/// How long steps are measured.
const MEASURE: Duration = Duration::from_millis(500);
/// Steps left out of the measurement: the first ones touch fresh memory.
const WARM_UP_STEPS: u32 = 1;
/// Models above this many bytes are not built only to be measured.
const LARGEST_MEASURED: u64 = 2 << 30;

/// Starts the helper. It answers [`Command::Preview`] through `events` and ends with [`Command::Shutdown`] or
/// when nobody can send to it any more.
pub(crate) fn spawn(
    events: SyncSender<Event>,
    machine: Arc<Machine>,
    factory: DriverFactory,
) -> std::io::Result<Sender<Command>> {
    let (sender, commands) = channel();
    std::thread::Builder::new()
        .name("fireside-preview".to_string())
        .spawn(move || {
            Helper {
                requests: Requests {
                    commands,
                    next: RefCell::new(None),
                },
                events,
                machine,
                factory,
                cache: None,
            }
            .work();
        })?;
    Ok(sender)
}

/// The requests that come in, the newest of which is the only one of interest.
struct Requests {
    commands: Receiver<Command>,
    next: RefCell<Option<Command>>,
}

impl Requests {
    fn take(&self) -> Option<Command> {
        self.overtaken();
        self.next.take().or_else(|| self.commands.recv().ok())
    }

    /// Whether something newer has come than what is being answered.
    fn overtaken(&self) -> bool {
        let mut next = self.next.borrow_mut();
        for command in self.commands.try_iter() {
            // The end stays the end, whatever is asked after it.
            if !matches!(*next, Some(Command::Shutdown)) {
                *next = Some(command);
            }
        }
        next.is_some()
    }
}

struct Helper {
    requests: Requests,
    events: SyncSender<Event>,
    machine: Arc<Machine>,
    factory: DriverFactory,
    /// The text as ids, kept while corpus and tokenizer stay the same.
    cache: Option<(CorpusConfig, TokenizerConfig, Prepared)>,
}

impl Helper {
    fn work(mut self) {
        loop {
            let Some(Command::Preview { request, config }) = self.requests.take() else {
                return;
            };
            let answer = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                self.answer(request, &config)
            }))
            .unwrap_or_else(|_| Some(Err("the preview ended by a defect; see the log".into())));
            let sent = answer.is_none_or(|preview| self.send(request, preview));
            if !sent {
                return;
            }
        }
    }

    /// False when nobody listens any more.
    fn send(&self, request: u64, preview: Result<Preview, String>) -> bool {
        let kind = EventKind::Previewed {
            request,
            preview: preview.map(Box::new),
        };
        self.events.send(Event { run: 0, kind }).is_ok()
    }

    /// What is known at once is sent before steps are measured. `None` when a newer request has come meanwhile.
    fn answer(&mut self, request: u64, config: &RunConfig) -> Option<Result<Preview, String>> {
        let prepared = match self.prepare(config) {
            Ok(prepared) => prepared,
            Err(DataError::Stopped) => return None,
            Err(_) if self.requests.overtaken() => return None,
            Err(error) => return Some(Err(error.to_string())),
        };
        let vocab_size = prepared.tokenizer.vocab_size();
        let memory_bytes = model::memory_estimate(config, vocab_size);
        let mut preview = Preview {
            parameters: model::parameter_count(&config.model, vocab_size),
            memory_bytes,
            tokens_per_epoch: prepared.dataset.train.len() as u64,
            vocab_size,
            tokens_per_step: tokens_per_step(config),
            schedule: schedule::points(
                &config.schedule,
                config.optimizer.learning_rate,
                config.train.steps,
                SCHEDULE_POINTS,
                &schedule::PlateauState::default(),
            ),
            tokens: first_tokens(&prepared),
            step_time: StepTime::Measuring,
            notices: prepared.notices.clone(),
        };
        if self.requests.overtaken() {
            return None;
        }
        if memory_bytes > LARGEST_MEASURED {
            let why = "it is too large to be built only for that".to_string();
            preview.step_time = StepTime::Unknown(why);
            return Some(Ok(preview));
        }
        if !self.send(request, Ok(preview.clone())) {
            return None;
        }
        preview.step_time = match self.time_steps(config, &prepared) {
            Ok(seconds) => StepTime::Seconds(seconds),
            Err(Untimed::Overtaken) => return None,
            Err(Untimed::Why(why)) => StepTime::Unknown(why.to_string()),
            Err(Untimed::Failed(problem)) => {
                preview.notices.push(problem);
                StepTime::Unknown("no step could be made".to_string())
            }
        };
        Some(Ok(preview))
    }

    fn prepare(&mut self, config: &RunConfig) -> Result<Prepared, DataError> {
        if let Some((corpus, tokenizer, prepared)) = &self.cache
            && *corpus == config.corpus
            && *tokenizer == config.tokenizer
        {
            return Ok(prepared.clone());
        }
        let requests = &self.requests;
        let mut progress = |_: Update<'_>| match requests.overtaken() {
            true => Flow::Stop,
            false => Flow::Continue,
        };
        let prepared = data::prepare(config, None, &mut progress)?;
        self.cache = Some((
            config.corpus.clone(),
            config.tokenizer.clone(),
            prepared.clone(),
        ));
        Ok(prepared)
    }

    /// Mean seconds of a step over half a second of real steps.
    fn time_steps(&self, config: &RunConfig, prepared: &Prepared) -> Result<f64, Untimed> {
        let busy = || Untimed::Why("a run is using the machine");
        let _machine = self.machine.measure().ok_or_else(busy)?;
        let chosen = device::resolve(&config.device)?;
        if chosen.compiles {
            return Err(Untimed::Why("its first steps compile kernels"));
        }
        let mut driver = (self.factory)(DriverSetup {
            config: config.clone(),
            dataset: prepared.dataset.clone(),
            vocab_size: prepared.tokenizer.vocab_size(),
            device: chosen.device,
        })?;
        let goes_on = || match (self.requests.overtaken(), self.machine.is_training()) {
            (true, _) => Err(Untimed::Overtaken),
            (false, true) => Err(busy()),
            (false, false) => Ok(()),
        };
        for _ in 0..WARM_UP_STEPS {
            goes_on()?;
            driver.step()?;
        }
        let began = Instant::now();
        let mut steps = 0;
        while began.elapsed() < MEASURE {
            goes_on()?;
            driver.step()?;
            steps += 1;
        }
        Ok(began.elapsed().as_secs_f64() / f64::from(steps.max(1)))
    }
}

/// Why steps were not timed.
enum Untimed {
    /// A newer request has come.
    Overtaken,
    Why(&'static str),
    /// What would fail a run as well.
    Failed(String),
}

impl<E: std::error::Error> From<E> for Untimed {
    fn from(error: E) -> Self {
        Untimed::Failed(error.to_string())
    }
}

/// The beginning of the training text, cut as the tokenizer cuts it.
fn first_tokens(prepared: &Prepared) -> Vec<String> {
    let train = &prepared.dataset.train;
    let mut ids = Vec::new();
    train.window(0, train.len().min(SAMPLE_BYTES), &mut ids);
    let mut bytes = 0;
    let mut decoder = prepared.tokenizer.stream_decoder();
    ids.into_iter()
        .map(|id| {
            let token = prepared.tokenizer.token_text(id);
            // Words come with the space that sets them apart.
            let added = decoder.push(id);
            match added.trim_start_matches(' ') == token {
                true => added,
                false => token,
            }
        })
        .take_while(|token| {
            let fits = bytes < SAMPLE_BYTES;
            bytes += token.len();
            fits
        })
        .collect()
}
