//! A run without screens: the same events as readable lines, or as one JSON object a line (`docs/scripting.md`).

mod attach;
mod printer;
mod range_test;

pub use attach::{Followed, attach};
pub use range_test::find_rate;

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use crate::config::RunConfig;
use crate::protocol::{
    Command, Engine, Event, EventKind, FinishReason, Notice, NoticeLevel, Origin, Phase, RemoteAct,
    RunId, Until,
};
use printer::Printer;

const RUN: RunId = 1;
/// How often interruptions are looked at.
const PATIENCE: Duration = Duration::from_millis(50);

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

/// Why a run did not come to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub message: String,
    /// The keys of its configuration that are to blame; none where it is no matter of them.
    pub keys: Vec<String>,
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        let keys = Vec::new();
        Self { message, keys }
    }
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
pub fn run<'a>(
    engine: &'a Engine,
    config: RunConfig,
    origin: Origin,
    until: Option<u64>,
    interrupts: &AtomicUsize,
    streams: Streams<'a>,
) -> Result<Outcome, Failure> {
    let steps = config.train.steps;
    engine.commands.send(Command::Start {
        run: RUN,
        config: Box::new(config),
        origin,
    });
    Reader::new(engine, Printer::new(streams, steps), until).follow(interrupts)
}

/// Why a stop was asked for from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopping {
    Interrupted,
    /// At the step that was asked for.
    Until,
    Trouble,
}

/// What a run waits for that another process steers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    Spike,
    Diverged,
}

struct Reader<'a> {
    engine: &'a Engine,
    printer: Printer<'a>,
    until: Option<u64>,
    /// The last step that was reported, and the last that was evaluated.
    step: u64,
    evaluated: Option<u64>,
    stopping: Option<Stopping>,
    /// Another process asked for what ends in a pause: it is somebody's, who may go on with the run.
    paused_from_outside: bool,
    stopped_from_outside: bool,
    /// What went wrong, said last.
    trouble: Option<String>,
    /// The loss spiked, and no step was made since: a pause asks what to do about it.
    spiked: bool,
    /// Another process has the controls: it is asked, not this one.
    controlled: bool,
    /// What is done if it lets go of them without an answer.
    waits: Option<Waits>,
    ended: Option<Result<FinishReason, Failure>>,
}

impl<'a> Reader<'a> {
    fn new(engine: &'a Engine, printer: Printer<'a>, until: Option<u64>) -> Self {
        Reader {
            engine,
            printer,
            until,
            step: 0,
            evaluated: None,
            stopping: None,
            paused_from_outside: false,
            stopped_from_outside: false,
            trouble: None,
            spiked: false,
            controlled: false,
            waits: None,
            ended: None,
        }
    }

    fn follow(&mut self, interrupts: &AtomicUsize) -> Result<Outcome, Failure> {
        let mut seen = 0;
        loop {
            let count = interrupts.load(Ordering::Relaxed);
            if count > seen {
                seen = count;
                if count > 1 {
                    return Ok(Outcome::Hurried);
                }
                self.printer
                    .say("stopping: the run is saved first (once more to leave at once)");
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
            Some(Err(failure)) => Err(failure),
            Some(Ok(FinishReason::Stopped)) | None => match (self.stopping, self.trouble.take()) {
                (Some(Stopping::Trouble), Some(trouble)) => Err(trouble.into()),
                (Some(Stopping::Until), _) => Ok(Outcome::Finished),
                (None, _) if self.stopped_from_outside => Ok(Outcome::Interrupted),
                (None, _) => Err("the training thread ended without a last word"
                    .to_string()
                    .into()),
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

    /// Whoever has the controls sees the run stand still, and is asked there.
    fn wait(&mut self, waits: Waits) {
        self.waits = Some(waits);
        self.printer
            .say("the process that has the controls is asked what to do");
    }

    fn go_on_unasked(&mut self) {
        self.printer.say(
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

    fn event(&mut self, event: &Event) {
        if event.run != RUN {
            return;
        }
        self.printer.show(&event.kind);
        if self.printer.closed && self.stopping.is_none() && self.ended.is_none() {
            self.printer
                .say("nobody reads the output any more: the run is saved and ends");
            self.stop(Stopping::Interrupted);
        }
        match &event.kind {
            EventKind::Notice(Notice {
                level: NoticeLevel::Error,
                message,
            }) => self.trouble = Some(message.clone()),
            EventKind::Phase(Phase::Diverged { step, message, .. }) => {
                self.trouble = Some(format!("the run diverged at step {step}: {message}"));
                match self.controlled {
                    true => self.wait(Waits::Diverged),
                    false => self.stop(Stopping::Trouble),
                }
            }
            EventKind::Started(info) => self.step = info.start_step,
            EventKind::Steps(steps) => {
                self.step = steps.last().map_or(self.step, |r| r.step);
                self.spiked = false;
                // Whoever had the controls went on with it.
                if self.waits.take() == Some(Waits::Diverged) {
                    self.trouble = None;
                }
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
                match self.controlled {
                    true => self.wait(Waits::Spike),
                    false => self.go_on_unasked(),
                }
            }
            EventKind::Phase(Phase::Paused) if self.waits.is_some() => {}
            EventKind::Remote(remote) => {
                match &remote.act {
                    RemoteAct::TookControls => self.controlled = true,
                    RemoteAct::LeftControls => {
                        self.controlled = false;
                        match self.waits.take() {
                            Some(Waits::Spike) => self.go_on_unasked(),
                            Some(Waits::Diverged) => self.stop(Stopping::Trouble),
                            None => {}
                        }
                    }
                    RemoteAct::Asked(_) => {}
                }
                if let RemoteAct::Asked(command) = &remote.act {
                    self.paused_from_outside = matches!(
                        **command,
                        Command::Pause
                            | Command::StepOnce
                            | Command::RunUntil { .. }
                            | Command::Rewind { .. }
                    ) || (self.paused_from_outside
                        && **command != Command::Resume);
                    self.stopped_from_outside |= **command == Command::Stop;
                }
            }
            EventKind::Phase(Phase::Paused)
                if self.paused_from_outside && self.trouble.is_none() =>
            {
                self.printer
                    .say("paused from outside; `fireside attach` goes on with it");
            }
            // Nobody is there to go on with a paused run.
            EventKind::Phase(Phase::Paused) => self.stop(Stopping::Trouble),
            EventKind::Finished(report) => {
                self.ended = Some(Ok(report.reason));
                self.engine.commands.send(Command::Shutdown);
            }
            EventKind::Failed { message, keys } => {
                self.ended = Some(Err(Failure {
                    message: message.clone(),
                    keys: keys.clone(),
                }));
                self.engine.commands.send(Command::Shutdown);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{self, Receiver};

    use super::*;
    use crate::protocol::{CommandSender, EventKind as Kind, Remote, Spike};

    /// What is asked for after each of these events.
    fn asked(events: &[Kind]) -> (Vec<Vec<Command>>, String) {
        let (sender, commands) = mpsc::channel();
        let (_events, received) = mpsc::channel();
        let engine = Engine {
            commands: CommandSender::new(sender, Arc::default()),
            events: received,
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let streams = Streams {
            format: Format::Lines,
            out: &mut out,
            err: &mut err,
        };
        let mut reader = Reader::new(&engine, Printer::new(streams, 100), None);
        let taken = |commands: &Receiver<Command>| commands.try_iter().collect();
        let asked = events
            .iter()
            .map(|kind| {
                reader.event(&Event {
                    run: RUN,
                    kind: kind.clone(),
                });
                taken(&commands)
            })
            .collect();
        drop(reader);
        (asked, String::from_utf8(err).unwrap_or_default())
    }

    fn remote(act: RemoteAct) -> Kind {
        Kind::Remote(Remote { pid: 7, act })
    }

    fn spike() -> Kind {
        Kind::Spiked(Spike {
            step: 9,
            loss: 5.0,
            mean: 2.0,
        })
    }

    fn diverged() -> Kind {
        Kind::Phase(Phase::Diverged {
            step: 9,
            layer: None,
            message: "the loss is not a number".into(),
        })
    }

    #[test]
    fn with_nobody_to_ask_a_spike_is_passed_over_and_a_divergence_ends_the_run() {
        let (asked, said) = self::asked(&[spike(), Kind::Phase(Phase::Paused)]);
        assert_eq!(asked, [vec![], vec![Command::Resume]]);
        assert!(said.contains("nobody is here to ask"), "{said}");
        let (asked, _) = self::asked(&[diverged()]);
        assert_eq!(asked, [[Command::Stop]]);
    }

    #[test]
    fn whoever_has_the_controls_is_asked_and_waited_for() {
        let took = || remote(RemoteAct::TookControls);
        let left = || remote(RemoteAct::LeftControls);
        let paused = || Kind::Phase(Phase::Paused);
        let (asked, said) = self::asked(&[took(), spike(), paused(), paused(), left()]);
        assert!(asked[..4].iter().all(Vec::is_empty), "{asked:?}");
        assert_eq!(asked[4], [Command::Resume]);
        assert!(said.contains("has the controls is asked"), "{said}");
        let (asked, _) = self::asked(&[took(), diverged(), left()]);
        assert!(asked[..2].iter().all(Vec::is_empty), "{asked:?}");
        assert_eq!(asked[2], [Command::Stop]);
        // An answer from there is one: the run went on, and leaving changes nothing.
        let on = remote(RemoteAct::Asked(Box::new(Command::Resume)));
        let steps = Kind::Steps(vec![]);
        let (asked, _) = self::asked(&[took(), diverged(), on, steps, left()]);
        assert!(asked.iter().all(Vec::is_empty), "{asked:?}");
    }
}
