//! A run without screens: the same events as readable lines, or as one JSON object a line (`docs/scripting.md`).

mod range_test;

pub use range_test::find_rate;

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use crate::config::RunConfig;
use crate::protocol::{
    Command, Engine, Event, EventKind, FinishReason, Notice, NoticeLevel, Origin, Phase, RunId,
    RunInfo, SampleRecord, StepReport, Until,
};
use crate::run::Record;
use crate::run::record::reason_text;

const RUN: RunId = 1;
/// How often interruptions are looked at.
const PATIENCE: Duration = Duration::from_millis(50);
/// Readable step lines come at most this often.
const STEP_LINE_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Lines,
    Json,
}

/// How the run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Finished,
    /// By a signal, or because nobody reads the output any more; saved.
    Interrupted,
    /// A second signal: the caller should leave at once, without waiting for the save.
    Hurried,
}

/// Where the lines go.
pub struct Streams<'a> {
    pub format: Format,
    pub out: &'a mut dyn Write,
    /// Sentences for people: what is going on, and what went wrong.
    pub err: &'a mut dyn Write,
}

/// Trains, writing to `streams`. `until` is the step at which the run was told to pause ([`crate::protocol::Until::Step`]):
/// it is evaluated there, saved and ended. `interrupts` counts the signals that came: the
/// first stops the run after saving, the second makes this return at once.
///
/// # Errors
/// A sentence, when the run failed, diverged, or could not go on.
pub fn run(
    engine: &Engine,
    config: RunConfig,
    origin: Origin,
    until: Option<u64>,
    interrupts: &AtomicUsize,
    streams: Streams<'_>,
) -> Result<Outcome, String> {
    let steps = config.train.steps;
    engine.commands.send(Command::Start {
        run: RUN,
        config: Box::new(config),
        origin,
    });
    let Streams { format, out, err } = streams;
    let mut reader = Reader {
        engine,
        format,
        out,
        err,
        closed: false,
        steps,
        until,
        step: 0,
        evaluated: None,
        stopping: None,
        trouble: None,
        spiked: false,
        ended: None,
        last_step_line: None,
        last_loading: String::new(),
    };
    reader.follow(interrupts)
}

/// Why a stop was asked for from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopping {
    Interrupted,
    /// At the step that was asked for.
    Until,
    Trouble,
}

struct Reader<'a> {
    engine: &'a Engine,
    format: Format,
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    /// Nobody reads `out` any more.
    closed: bool,
    steps: u64,
    until: Option<u64>,
    /// The last step that was reported, and the last that was evaluated.
    step: u64,
    evaluated: Option<u64>,
    stopping: Option<Stopping>,
    /// What went wrong, said last.
    trouble: Option<String>,
    /// The loss spiked, and no step was made since: a pause asks what to do about it.
    spiked: bool,
    ended: Option<Result<FinishReason, String>>,
    last_step_line: Option<Instant>,
    last_loading: String,
}

impl Reader<'_> {
    fn follow(&mut self, interrupts: &AtomicUsize) -> Result<Outcome, String> {
        let mut seen = 0;
        loop {
            let count = interrupts.load(Ordering::Relaxed);
            if count > seen {
                seen = count;
                if count > 1 {
                    return Ok(Outcome::Hurried);
                }
                self.say("stopping: the run is saved first (once more to leave at once)");
                self.stop(Stopping::Interrupted);
            }
            match self.engine.events.recv_timeout(PATIENCE) {
                Ok(event) => self.event(&event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        match self.ended.take() {
            // A signal that comes while a run fails, or loads, asks for no more than its end.
            Some(Err(_)) if self.stopping == Some(Stopping::Interrupted) => {
                Ok(Outcome::Interrupted)
            }
            Some(Err(message)) => Err(message),
            Some(Ok(FinishReason::Stopped)) | None => match (self.stopping, self.trouble.take()) {
                (Some(Stopping::Trouble), Some(trouble)) => Err(trouble),
                (Some(Stopping::Until), _) => Ok(Outcome::Finished),
                (None, _) => Err("the training thread ended without a last word".to_string()),
                _ => Ok(Outcome::Interrupted),
            },
            Some(Ok(_)) => Ok(Outcome::Finished),
        }
    }

    fn stop(&mut self, reason: Stopping) {
        if self.stopping.is_none() {
            self.stopping = Some(reason);
            self.engine.commands.send(Command::Stop);
        }
    }

    fn event(&mut self, event: &Event) {
        if event.run != RUN {
            return;
        }
        match self.format {
            Format::Json => {
                for record in Record::from_event(&event.kind) {
                    self.print(&record.to_line());
                }
            }
            Format::Lines => self.lines(&event.kind),
        }
        if self.out.flush().is_err() {
            self.hang_up();
        }
        match &event.kind {
            EventKind::Notice(Notice {
                level: NoticeLevel::Error,
                message,
            }) => self.trouble = Some(message.clone()),
            EventKind::Phase(Phase::Diverged { step, message, .. }) => {
                self.trouble = Some(format!("the run diverged at step {step}: {message}"));
                self.stop(Stopping::Trouble);
            }
            EventKind::Started(info) => self.step = info.start_step,
            EventKind::Steps(steps) => {
                self.step = steps.last().map_or(self.step, |r| r.step);
                self.spiked = false;
            }
            EventKind::Evaluated(report) => self.evaluated = Some(report.step),
            EventKind::Phase(Phase::Paused)
                if self.trouble.is_none() && self.until.is_some_and(|until| self.step >= until) =>
            {
                // A stop would cut the evaluation short: it comes with the pause after it.
                match self.evaluated == Some(self.step) {
                    true => self.stop(Stopping::Until),
                    false => drop(self.engine.commands.send(Command::Evaluate)),
                }
            }
            EventKind::Spiked(_) => self.spiked = true,
            EventKind::Phase(Phase::Paused)
                if self.spiked && self.trouble.is_none() && self.stopping.is_none() =>
            {
                self.spiked = false;
                self.say(
                    "nobody is here to ask: training goes on (--set train.on_spike=continue or rewind decides beforehand)",
                );
                // A run that is to stop at a step keeps that in mind.
                self.engine.commands.send(match self.until {
                    Some(step) => Command::RunUntil {
                        until: Until::Step(step),
                    },
                    None => Command::Resume,
                });
            }
            // Nobody is there to go on with a paused run.
            EventKind::Phase(Phase::Paused) => self.stop(Stopping::Trouble),
            EventKind::Finished(report) => {
                self.ended = Some(Ok(report.reason));
                self.engine.commands.send(Command::Shutdown);
            }
            EventKind::Failed { message } => {
                self.ended = Some(Err(message.clone()));
                self.engine.commands.send(Command::Shutdown);
            }
            _ => {}
        }
    }

    /// The output has been closed: save and end.
    fn hang_up(&mut self) {
        if !self.closed {
            self.closed = true;
            self.stop(Stopping::Interrupted);
        }
    }

    fn print(&mut self, line: &str) {
        if !self.closed && writeln!(self.out, "{line}").is_err() {
            self.hang_up();
        }
    }

    fn say(&mut self, line: &str) {
        // With nobody to read it, there is nothing to do about it.
        let _ = writeln!(self.err, "{line}");
    }

    fn lines(&mut self, kind: &EventKind) {
        match kind {
            EventKind::Phase(Phase::Loading { what, .. }) if *what != self.last_loading => {
                self.last_loading.clone_from(what);
                self.say(&format!("{what}…"));
            }
            EventKind::Phase(Phase::Compiling) => self.say("compiling kernels…"),
            EventKind::Started(info) => self.print(&started_line(info)),
            EventKind::Steps(steps) => {
                if let Some(report) = steps.last() {
                    let due = self
                        .last_step_line
                        .is_none_or(|last| last.elapsed() >= STEP_LINE_INTERVAL);
                    if due || report.step == self.steps {
                        self.last_step_line = Some(Instant::now());
                        self.print(&step_line(report, self.steps));
                    }
                }
            }
            EventKind::Evaluated(report) => self.print(&format!(
                "eval  {:>7}  train {:.4}  validation {:.4}  perplexity {:.2}  {:.3} bits/byte{}",
                report.step,
                report.train_loss,
                report.val_loss,
                report.perplexity,
                report.bits_per_byte,
                if report.best { "  (best)" } else { "" }
            )),
            EventKind::SampleDone(sample) => self.print(&sample_text(sample)),
            EventKind::Checkpointed(info) => self.print(&format!(
                "saved {:>7}  {:.1} MB",
                info.step,
                info.bytes as f64 / 1e6
            )),
            EventKind::Edited(record) => {
                self.print(&format!("edit  {:>7}  {}", record.step, record.edit))
            }
            EventKind::Rewound(rewound) => self.print(&format!(
                "back  {:>7}  from step {}",
                rewound.step, rewound.from
            )),
            EventKind::Notice(notice) => {
                let level = match notice.level {
                    NoticeLevel::Info => "note",
                    NoticeLevel::Warning => "warning",
                    NoticeLevel::Error => "error",
                };
                self.say(&format!("{level}: {}", notice.message));
            }
            EventKind::Finished(report) => {
                let loss =
                    |loss: Option<f64>| loss.map_or("–".to_string(), |l| format!("{l:.4}"));
                self.print(&format!(
                    "{} at step {} after {}: validation {}, best {}",
                    reason_text(report.reason),
                    report.step,
                    clock(report.seconds),
                    loss(report.val_loss),
                    loss(report.best_val_loss)
                ));
            }
            _ => {}
        }
    }
}

fn started_line(info: &RunInfo) -> String {
    let from = match info.start_step {
        0 => String::new(),
        step => format!(", from step {step}"),
    };
    format!(
        "{}: {}, {} parameters, vocabulary {}, {}{from}\n{}",
        info.name,
        info.model.key(),
        info.parameters,
        info.vocab_size,
        info.device,
        info.dir.display()
    )
}

fn step_line(report: &StepReport, steps: u64) -> String {
    let left = steps.saturating_sub(report.step) as f64;
    let eta = left * report.seconds / report.step.max(1) as f64;
    format!(
        "step  {:>7}/{steps}  loss {:.4}  lr {:.2e}  grad {:.3}  {:.0} tok/s  {} left",
        report.step,
        report.loss,
        report.learning_rate,
        report.grad_norm,
        report.tokens_per_second,
        clock(eta)
    )
}

fn sample_text(sample: &SampleRecord) -> String {
    format!(
        "sample {:>6}  {}\u{2502}{}",
        sample.step, sample.prompt, sample.text
    )
}

/// `1:02:03` or `02:03`.
fn clock(seconds: f64) -> String {
    let seconds = if seconds.is_finite() {
        seconds.max(0.0) as u64
    } else {
        0
    };
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes:02}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}
