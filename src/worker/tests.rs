//! The real thread, with real runs in a temporary folder; some with a trainer that misbehaves.

mod faults;
mod range_test;

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use super::*;
use crate::config::{RunConfig, Source, load};
use crate::model::LanguageModel;
use crate::protocol::{
    CheckpointReason, Edit, EditRecord, EvalReport, Event, FinishReason, LayerHealth, Origin,
    SchedulePoint, StepReport, StepTime, Until,
};
use crate::run::checkpoint::Checkpoint;
use crate::run::{self, RunStatus};
use crate::train::{Counts, Reconfigured};

/// Longest wait for anything; machines under load are slow.
const PATIENCE: Duration = Duration::from_secs(180);

pub(super) fn config(sets: &[&str]) -> RunConfig {
    let base = [
        "device=flex",
        "corpus.bytes=20000",
        "tokenizer.kind=char",
        "model.kind=char-rnn",
        "model.context_length=8",
        "model.hidden_size=8",
        "model.n_layers=1",
        "train.batch_size=2",
        "train.steps=100000",
        "eval.every=0",
        "eval.batches=1",
        "sample.every=0",
        "checkpoint.every=0",
    ];
    let sets: Vec<String> = base.iter().chain(sets).map(|set| set.to_string()).collect();
    load(Source::Defaults, &sets).unwrap()
}

/// A front end that remembers what it saw.
pub(super) struct Front {
    pub(super) engine: Engine,
    pub(super) root: tempfile::TempDir,
    pub(super) seen: Vec<Event>,
}

impl Front {
    pub(super) fn new() -> Self {
        Self::with(trainer_factory())
    }

    pub(super) fn with(factory: DriverFactory) -> Self {
        let root = tempfile::tempdir().unwrap();
        let options = WorkerOptions {
            runs_root: root.path().to_path_buf(),
        };
        Front {
            engine: spawn_with(options, factory).unwrap(),
            root,
            seen: Vec::new(),
        }
    }

    pub(super) fn send(&self, command: Command) {
        assert!(self.engine.commands.send(command));
    }

    pub(super) fn start(&self, run: RunId, config: RunConfig) {
        self.send(Command::Start {
            run,
            config: Box::new(config),
            origin: Origin::New { dir: None },
        });
    }

    /// Reads until an event is as wanted, and returns it.
    pub(super) fn until(&mut self, what: &str, wanted: impl Fn(&Event) -> bool) -> Event {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.engine.events.recv_timeout(left) {
                Ok(event) => {
                    self.seen.push(event.clone());
                    if wanted(&event) {
                        return event;
                    }
                }
                Err(error) => panic!("waiting for {what}: {error}; saw {:?}", self.tail()),
            }
        }
    }

    fn tail(&self) -> &[Event] {
        &self.seen[self.seen.len().saturating_sub(12)..]
    }

    pub(super) fn until_phase(&mut self, phase: Phase) {
        self.until(&format!("{phase:?}"), |event| {
            event.kind == EventKind::Phase(phase.clone())
        });
    }

    pub(super) fn until_step(&mut self, step: u64) {
        self.until("a step", |event| {
            last_step(event).is_some_and(|last| last >= step)
        });
    }

    fn last_step(&self) -> u64 {
        self.seen.iter().rev().find_map(last_step).unwrap_or(0)
    }

    pub(super) fn finish(&mut self) -> crate::protocol::FinishReport {
        let event = self.until("the end", |event| {
            matches!(event.kind, EventKind::Finished(_))
        });
        match event.kind {
            EventKind::Finished(report) => report,
            _ => unreachable!(),
        }
    }

    /// Ends the thread, and sees that it ends.
    pub(super) fn end(self) {
        self.send(Command::Shutdown);
        let deadline = Instant::now() + PATIENCE;
        while self.engine.events.recv_timeout(PATIENCE).is_ok() {
            assert!(Instant::now() < deadline);
        }
    }
}

pub(super) fn last_step(event: &Event) -> Option<u64> {
    match &event.kind {
        EventKind::Steps(steps) => steps.last().map(|report| report.step),
        _ => None,
    }
}

pub(super) fn failure(event: &Event) -> Option<&str> {
    match &event.kind {
        EventKind::Failed { message, .. } => Some(message),
        _ => None,
    }
}

#[test]
fn commands_are_obeyed_and_acknowledged() {
    let mut front = Front::new();
    front.start(7, config(&[]));
    front.until("the start", |event| {
        matches!(event.kind, EventKind::Started(_))
    });
    front.until_step(3);
    front.send(Command::Pause);
    front.until_phase(Phase::Paused);
    let paused = front.last_step();
    front.send(Command::StepOnce);
    front.until_phase(Phase::Paused);
    assert_eq!(front.last_step(), paused + 1);
    front.send(Command::RunUntil {
        until: Until::Step(paused + 10),
    });
    front.until_phase(Phase::Paused);
    assert_eq!(front.last_step(), paused + 10);
    front.send(Command::Set {
        edit: Edit::LearningRateMultiplier(0.5),
    });
    let edited = front.until("the edit", |event| {
        matches!(event.kind, EventKind::Edited(_))
    });
    assert!(
        matches!(edited.kind, EventKind::Edited(EditRecord { step, .. }) if step == paused + 11)
    );
    front.until("the schedule", |event| {
        matches!(event.kind, EventKind::Schedule(_))
    });
    front.send(Command::Set {
        edit: Edit::LearningRateMultiplier(f64::NAN),
    });
    front.until("a refusal", |event| {
        matches!(&event.kind, EventKind::Notice(notice) if notice.message.contains("must be between"))
    });
    front.send(Command::Evaluate);
    front.until("an evaluation", |event| {
        matches!(event.kind, EventKind::Evaluated(_))
    });
    let mut settings = config(&["sample.length=5"]).sample;
    settings.prompts = vec!["The".into(), "\u{4e16}".into()];
    front.send(Command::Sample { settings });
    for _ in 0..2 {
        front.until("a sample", |event| {
            matches!(event.kind, EventKind::SampleDone(_))
        });
    }
    front.send(Command::Save);
    front.until("a checkpoint", |event| {
        matches!(&event.kind, EventKind::Checkpointed(info) if info.reason == CheckpointReason::User)
    });
    // Nothing changed: the one that is there is kept, no second one is written.
    front.send(Command::Save);
    front.until("the same", |event| {
        matches!(&event.kind, EventKind::Notice(notice) if notice.message.contains("will be kept"))
    });
    // A second start is refused, and the run goes on.
    front.start(8, config(&[]));
    let refused = front.until("a refusal", |event| failure(event).is_some());
    assert_eq!(refused.run, 8);
    front.send(Command::Resume);
    front.until_step(paused + 15);
    front.send(Command::Stop);
    let report = front.finish();
    assert_eq!(report.reason, FinishReason::Stopped);
    front.until_phase(Phase::Idle);
    let runs = run::list(front.root.path());
    assert_eq!(runs.len(), 1);
    assert_eq!(
        (runs[0].status, runs[0].step),
        (RunStatus::Stopped, report.step)
    );
    let history = run::read_history(&runs[0].dir).unwrap();
    assert_eq!(history.steps.len() as u64, report.step);
    assert_eq!(
        (
            history.samples.len(),
            history.edits.len(),
            history.evaluations.len()
        ),
        (2, 1, 1)
    );
    let events = front.seen.iter().filter(|event| event.run == 7).count();
    assert!(events > 10);
    front.end();
}

/// Whoever starts another run, or forks this one, stops it and starts the other in one breath.
#[test]
fn a_start_right_after_a_stop_waits_for_the_end() {
    let mut front = Front::new();
    front.start(0, config(&[]));
    front.until_step(2);
    for run in 1..6 {
        // Paused, it hears them one by one; in an evaluation, both at once.
        front.send(Command::Pause);
        front.until_phase(Phase::Paused);
        if run % 2 == 0 {
            front.send(Command::Evaluate);
        }
        front.send(Command::Stop);
        front.start(run, config(&[]));
        front.send(Command::Pause);
        front.finish();
        let started = front.until("the start, or a refusal", |event| {
            matches!(event.kind, EventKind::Started(_)) || failure(event).is_some()
        });
        assert_eq!((started.run, failure(&started)), (run, None));
        front.until_phase(Phase::Paused);
        front.send(Command::StepOnce);
        front.until_step(1);
    }
    front.end();
}

#[test]
fn a_resume_keeps_the_edits() {
    let mut front = Front::new();
    front.start(1, config(&["schedule.kind=constant"]));
    front.until_step(2);
    front.send(Command::Pause);
    front.until_phase(Phase::Paused);
    front.send(Command::Set {
        edit: Edit::LearningRateMultiplier(0.25),
    });
    front.until("the edit", |event| {
        matches!(event.kind, EventKind::Edited(_))
    });
    front.send(Command::Stop);
    front.finish();
    let dir = run::list(front.root.path()).remove(0).dir;
    let before = run::read_history(&dir).unwrap();
    front.send(Command::Start {
        run: 2,
        config: Box::new(config(&["schedule.kind=constant"])),
        origin: Origin::Resume { dir: dir.clone() },
    });
    front.until_step(before.steps.len() as u64 + 2);
    front.send(Command::Stop);
    front.finish();
    let after = run::read_history(&dir).unwrap();
    assert_eq!(after.edits, before.edits);
    assert_eq!(after.resumed, [before.steps.len() as u64]);
    let rates: Vec<f64> = after
        .steps
        .iter()
        .map(|report| report.learning_rate)
        .collect();
    let (first, last) = (rates[0], rates[rates.len() - 1]);
    assert!((last / first - 0.25).abs() < 1e-12, "{first} {last}");
    // Another model is another run.
    front.send(Command::Start {
        run: 3,
        config: Box::new(config(&["schedule.kind=constant", "model.hidden_size=9"])),
        origin: Origin::Resume { dir },
    });
    let refused = front.until("a refusal", |event| failure(event).is_some());
    assert!(
        failure(&refused).unwrap().contains("another model"),
        "{refused:?}"
    );
    front.end();
}

#[test]
fn a_stop_cuts_a_sample_and_a_load() {
    let mut front = Front::new();
    let mut endless = config(&["sample.every=1"]);
    endless.sample.length = 10_000_000;
    front.start(1, endless);
    front.until("text", |event| {
        matches!(event.kind, EventKind::SamplePiece { .. })
    });
    front.send(Command::Stop);
    front.finish();
    assert!(
        front.seen.iter().any(|event| {
            matches!(&event.kind, EventKind::SampleDone(sample) if !sample.complete)
        })
    );
    front.start(2, config(&["corpus.bytes=30000000"]));
    front.until("loading", |event| {
        event.run == 2 && matches!(event.kind, EventKind::Phase(Phase::Loading { .. }))
    });
    front.send(Command::Stop);
    let failed = front.until("the end", |event| {
        event.run == 2 && failure(event).is_some()
    });
    assert!(failure(&failed).unwrap().contains("loading"));
    assert_eq!(run::list(front.root.path()).len(), 1);
    front.end();
}

#[test]
fn a_pause_cuts_an_evaluation_and_a_sample_which_are_done_when_training_goes_on() {
    let mut front = Front::new();
    front.start(
        1,
        config(&[
            "corpus.bytes=200000",
            "train.steps=10",
            "eval.every=10",
            "eval.batches=4000",
            "sample.every=10",
            "sample.length=3000",
            "sample.prompts=[\"Once\"]",
        ]),
    );
    front.until(
        "half an evaluation",
        |event| matches!(event.kind, EventKind::Phase(Phase::Evaluating { done, .. }) if done > 0),
    );
    front.send(Command::Pause);
    front.until_phase(Phase::Paused);
    let evaluated = |event: &Event| matches!(event.kind, EventKind::Evaluated(_));
    assert!(!front.seen.iter().any(evaluated), "the pause waited");
    // The last step: the run must not end before its evaluation and its sample are there.
    front.send(Command::Resume);
    let paused = front.seen.len();
    front.until("the evaluation", evaluated);
    let first = front.seen[paused..]
        .iter()
        .find_map(|event| match &event.kind {
            EventKind::Phase(phase) => Some(phase.clone()),
            _ => None,
        });
    assert_eq!(
        first,
        Some(Phase::Training),
        "it is no evaluation of a paused run"
    );
    front.until("some words", |event| {
        matches!(event.kind, EventKind::SamplePiece { .. })
    });
    front.send(Command::Pause);
    front.until_phase(Phase::Paused);
    let texts = |front: &Front| -> Vec<bool> {
        let done = front.seen.iter().filter_map(|event| match &event.kind {
            EventKind::SampleDone(record) => Some(record.complete),
            _ => None,
        });
        done.collect()
    };
    assert_eq!(texts(&front), [false]);
    front.send(Command::Resume);
    let report = front.finish();
    assert_eq!(report.reason, FinishReason::Completed);
    assert_eq!(texts(&front), [false, true]);
    assert_eq!(front.seen.iter().filter(|e| evaluated(e)).count(), 1);
    front.end();
}

#[test]
fn a_paused_run_that_samples_goes_on_when_told_to() {
    let mut front = Front::new();
    let config = config(&["train.steps=300", "sample.length=2000"]);
    let settings = config.sample.clone();
    front.start(1, config);
    front.until("a step", |event| matches!(event.kind, EventKind::Steps(_)));
    front.send(Command::Pause);
    front.until_phase(Phase::Paused);
    front.send(Command::Sample { settings });
    front.until_phase(Phase::Sampling);
    front.send(Command::Resume);
    let report = front.finish();
    assert_eq!(report.reason, FinishReason::Completed);
    let complete =
        |event: &Event| matches!(&event.kind, EventKind::SampleDone(record) if record.complete);
    assert!(front.seen.iter().any(complete), "the text was not cut");
    front.end();
}

#[test]
fn a_preview_describes_and_the_latest_wins() {
    let mut front = Front::new();
    for request in 1..=20 {
        let steps = format!("train.steps={}", 100 + request);
        front.send(Command::Preview {
            request,
            config: Box::new(config(&[&steps])),
        });
    }
    // What is known at once comes before what is measured.
    let answered = front.until("the last preview", |event| {
        matches!(event.kind, EventKind::Previewed { request: 20, .. })
    });
    let EventKind::Previewed { preview: early, .. } = answered.kind else {
        unreachable!();
    };
    let early = early.unwrap();
    assert_eq!(early.step_time, StepTime::Measuring);
    let answered = front.until("the time of a step", |event| {
        matches!(event.kind, EventKind::Previewed { request: 20, .. })
    });
    let EventKind::Previewed { preview, .. } = answered.kind else {
        unreachable!();
    };
    let preview = preview.unwrap();
    assert_eq!(preview.tokens_per_step, 16);
    assert!(preview.parameters > 0 && preview.vocab_size > 10 && preview.memory_bytes > 0);
    assert_eq!(preview.schedule.last().unwrap().step, 120);
    assert!(!preview.tokens.is_empty());
    assert_eq!(early.parameters, preview.parameters);
    assert!(matches!(preview.step_time, StepTime::Seconds(seconds) if seconds > 0.0));
    assert!(front.seen.len() < 20);
    // While a run trains there is no measurement, and the run goes on.
    front.start(1, config(&[]));
    front.until_step(2);
    front.send(Command::Preview {
        request: 21,
        config: Box::new(config(&[])),
    });
    let answered = front.until("a preview", |event| {
        matches!(event.kind, EventKind::Previewed { request: 21, .. })
    });
    let untimed = |event: &Event| {
        matches!(
            &event.kind,
            EventKind::Previewed { preview: Ok(preview), .. }
                if matches!(&preview.step_time, StepTime::Unknown(why) if why.contains("a run is using"))
        )
    };
    assert!(!untimed(&answered));
    front.until("why it is not timed", untimed);
    let mut broken = config(&[]);
    broken.corpus.path = vec!["/nonexistent/text".into()];
    front.send(Command::Preview {
        request: 22,
        config: Box::new(broken),
    });
    let answered = front.until("an answer", |event| {
        matches!(event.kind, EventKind::Previewed { request: 22, .. })
    });
    assert!(matches!(
        answered.kind,
        EventKind::Previewed { preview: Err(message), .. } if message.contains("/nonexistent/text")
    ));
    front.end();
}

#[test]
fn what_cannot_fit_is_refused_before_it_starts() {
    let mut front = Front::new();
    let huge = config(&["model.hidden_size=8192", "model.n_layers=24"]);
    front.start(1, huge);
    let failed = front.until("a refusal", |event| failure(event).is_some());
    let message = failure(&failed).unwrap();
    assert!(
        message.contains("of memory and") && message.contains("train.batch_size"),
        "{message}"
    );
    assert!(run::list(front.root.path()).is_empty());
    front.end();
}

#[test]
fn a_front_end_that_goes_away_ends_the_thread_after_saving() {
    let mut front = Front::new();
    front.start(1, config(&[]));
    front.until_step(2);
    let Front { engine, root, .. } = front;
    drop(engine.commands);
    let began = Instant::now();
    while engine.events.recv_timeout(PATIENCE).is_ok() {
        assert!(began.elapsed() < PATIENCE);
    }
    let summary = run::list(root.path()).remove(0);
    assert_eq!(summary.status, RunStatus::Stopped);
    assert!(summary.resumable);
}

#[test]
fn early_stopping_stops() {
    let mut front = Front::new();
    front.start(
        1,
        config(&[
            "eval.every=1",
            "train.early_stopping=2",
            "optimizer.learning_rate=1e-12",
            "schedule.kind=constant",
        ]),
    );
    let report = front.finish();
    assert_eq!(report.reason, FinishReason::EarlyStopped);
    front.end();
}
