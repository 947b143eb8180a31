//! The commands a run obeys. What only steers is obeyed when it is heard, also in the middle of an evaluation or
//! a sample, which a pause cuts short; what needs the trainer waits for the next step boundary.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::edit::By;
use super::session::{Mode, Session, WhenEnding};
use crate::config::SampleConfig;
use crate::protocol::{CheckpointReason, Command, Edit, EditAuthor, EventKind, NoticeLevel, Until};
use crate::run::EditRecord;
use crate::train::Counts;

/// What waits for the next step boundary.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    Set(Edit, EditAuthor),
    /// What the log says that the run did here already, before it ended without a last word.
    Again(EditRecord),
    Rewind(String),
    Evaluate,
    Sample(SampleConfig),
    Save,
}

impl Session<'_> {
    /// Takes the commands that have come, without waiting.
    pub(super) fn hear_commands(&mut self) {
        while self.end.is_none()
            && let Some(command) = self.context.next_command(Duration::ZERO)
        {
            self.hear(command);
            if self.ending() {
                return;
            }
        }
    }

    /// Waits for a command, for as long as a paused run has nothing else to look after.
    pub(super) fn wait_for_command(&mut self) {
        let patience = match self.context.outbox.is_empty() && self.saver.is_idle() {
            true => Duration::from_millis(500),
            false => Duration::from_millis(20),
        };
        if let Some(command) = self.context.next_command(patience) {
            self.hear(command);
        }
    }

    pub(super) fn hear(&mut self, command: Command) {
        // Whose it is stands in the log before what it does.
        self.report_remote();
        if self.end.is_some() {
            self.context.postponed.push_back(command);
            return;
        }
        match command {
            Command::Start { run, .. } => self.context.refuse_start(run),
            Command::Stop => {
                self.context.stop.store(false, Ordering::Relaxed);
                self.end = Some(WhenEnding::Idle);
            }
            Command::Shutdown => {
                self.context.stop.store(false, Ordering::Relaxed);
                self.end = Some(WhenEnding::Shutdown);
            }
            Command::Pause => self.set_mode(Mode::Paused),
            Command::Resume => self.set_mode(Mode::Running),
            Command::StepOnce => self.set_mode(Mode::Until(Until::Step(self.step + 1))),
            Command::RunUntil {
                until: Until::Step(step),
            } if step <= self.step => self.notice(
                NoticeLevel::Warning,
                format!("step {step} is past; the run is at step {}", self.step),
            ),
            Command::RunUntil {
                until: Until::Loss(loss),
            } if !loss.is_finite() => self.notice(
                NoticeLevel::Warning,
                "a loss to run until must be a number, in nats per token",
            ),
            Command::RunUntil { until } => self.set_mode(Mode::Until(until)),
            Command::Set { .. } | Command::Rewind { .. } if self.replay.is_some() => self.notice(
                NoticeLevel::Warning,
                "this run repeats another, which an edit would make impossible: fork it, or edit it once it has ended and is \
                 taken up again",
            ),
            Command::Set { edit } => self
                .queue
                .push_back(Request::Set(edit, EditAuthor::User)),
            Command::Evaluate => self.queue.push_back(Request::Evaluate),
            Command::Sample { settings } => self.queue.push_back(Request::Sample(settings)),
            Command::Save => self.queue.push_back(Request::Save),
            Command::Rewind { checkpoint } => self.queue.push_back(Request::Rewind(checkpoint)),
            Command::FindRate { run, .. } => self.context.refuse_start(run),
            Command::Preview { request, .. } => {
                let preview = Err("previews are answered by their own helper".to_string());
                self.context
                    .outbox
                    .emit(EventKind::Previewed { request, preview });
            }
        }
    }

    fn set_mode(&mut self, mode: Mode) {
        // The step that went wrong was not applied: with another learning rate it may go well, as it is it would not.
        if mode != Mode::Paused && self.diverged.take().is_some() {
            match self.edits.len() == self.edits_when_diverged {
                true => self.leaves_out = true,
                false => {
                    self.notice(NoticeLevel::Info, "trying the step again that went wrong");
                }
            }
        }
        self.pause_heard |= mode == Mode::Paused;
        self.mode = mode;
    }

    /// Does what waited for a step boundary.
    pub(super) fn obey_requests(&mut self) {
        let replayed = self.replayed_edits().into_iter();
        let replayed = replayed.map(|record| Request::Set(record.edit, EditAuthor::Replay));
        let again = self.edits_again().into_iter().map(Request::Again);
        for request in replayed.chain(again).rev() {
            self.queue.push_front(request);
        }
        while let Some(request) = self.queue.pop_front() {
            if self.ending() || self.failed.is_some() {
                return;
            }
            match request {
                Request::Set(Edit::Set(changes), by) if !self.evaluated_before_edit() => {
                    self.queue.push_front(Request::Set(Edit::Set(changes), by));
                    return;
                }
                Request::Again(record) if !self.evaluated_before_edit() => {
                    self.queue.push_front(Request::Again(record));
                    return;
                }
                Request::Again(EditRecord { edit, by, .. }) => {
                    let words = edit.to_string();
                    if let Err(reason) = self.edit(edit, By::again(by)) {
                        self.notice(
                            NoticeLevel::Warning,
                            format!("{words} was not made again: {reason}"),
                        );
                    }
                }
                Request::Set(edit, by) => {
                    if let Err(reason) = self.edit(edit, by) {
                        match by {
                            EditAuthor::User | EditAuthor::Policy => {
                                self.notice(NoticeLevel::Warning, reason);
                            }
                            // What the run was to begin with, or to repeat, cannot be had.
                            EditAuthor::Start | EditAuthor::Replay => self.failed = Some(reason),
                        }
                    }
                }
                Request::Rewind(name) => match self.rewind(&name, EditAuthor::User) {
                    Ok(()) => {
                        self.mode = Mode::Paused;
                        self.notice(
                            NoticeLevel::Info,
                            format!("went back to step {}; training is paused", self.step),
                        );
                    }
                    Err(reason) => self.notice(NoticeLevel::Warning, reason),
                },
                Request::Evaluate => {
                    if !self.evaluate(Counts::No) && !self.ending() {
                        self.notice(NoticeLevel::Info, "the evaluation was cut short");
                    }
                }
                Request::Sample(settings) => {
                    // What was said until then is recorded.
                    self.sample(&settings);
                }
                Request::Save => self.save(CheckpointReason::User, false),
            }
        }
    }
}
