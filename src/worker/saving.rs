//! Checkpoints of a run, as the session has them: when a snapshot is taken, and what is said once the saver is done with it.

use super::driver::DriveError;
use super::saver::{Job, Outcome};
use super::session::{Mode, Session};
use crate::protocol::{CheckpointReason, NoticeLevel};
use crate::run::Record;
use crate::run::checkpoint::{self, CheckpointMeta};

impl Session<'_> {
    /// Takes a snapshot and hands it to the saver. A state that is on disk already is not written twice: a save
    /// by the user then marks what is there.
    pub(super) fn save(&mut self, reason: CheckpointReason, best: bool) {
        if self.diverged.is_some() {
            self.notice(
                NoticeLevel::Warning,
                "not saved: the loss is no longer a number; the last good checkpoint is kept",
            );
            return;
        }
        if !self.dirty {
            self.saver.wait();
            self.report_saves();
            let here = match &self.went_back_to {
                Some(entry) => Some(entry.clone()),
                None => checkpoint::newest(self.dir.path()),
            };
            if let Some(entry) = here.filter(|entry| entry.step == self.step) {
                if reason == CheckpointReason::User {
                    match checkpoint::keep(&entry) {
                        Ok(()) => self.notice(
                            NoticeLevel::Info,
                            format!("the checkpoint of step {} will be kept", entry.step),
                        ),
                        Err(error) => self.notice(NoticeLevel::Error, error.to_string()),
                    }
                }
                return;
            }
        }
        if let Err(error) = self.submit(reason, best) {
            // What cannot be read off its device cannot be trained on either.
            self.trouble(error);
        }
    }

    /// Takes a snapshot and hands it to the saver.
    pub(super) fn submit(
        &mut self,
        reason: CheckpointReason,
        best: bool,
    ) -> Result<(), DriveError> {
        let job = self.job(reason, best)?;
        self.submitted(job);
        Ok(())
    }

    /// Saves what a run that diverged has learned before the step that was not made, beside all that was saved before: nothing
    /// is cleared away for it. Weights that are no numbers are worth nothing and left out; that is said.
    pub(super) fn save_diverged(&mut self) {
        let job = match self.job(CheckpointReason::Stop, false) {
            Ok(job) => job,
            Err(error) => return self.trouble(error),
        };
        let tensors = &job.checkpoint.model;
        if tensors
            .iter()
            .flat_map(|tensor| &tensor.data)
            .all(|x| x.is_finite())
        {
            self.submitted(Job {
                keep: usize::MAX,
                ..job
            });
        } else {
            let left = self.what_is_left();
            self.notice(
                NoticeLevel::Warning,
                format!("not saved: the weights are no longer numbers. {left}"),
            );
        }
    }

    fn submitted(&mut self, job: Job) {
        self.dirty = false;
        self.trained = false;
        self.went_back_to = None;
        self.saver.submit(job);
    }

    /// All of the run as it is now.
    fn job(&mut self, reason: CheckpointReason, best: bool) -> Result<Job, DriveError> {
        // The log must not be behind the checkpoint.
        self.flush_log();
        self.state.edits = self.edits.clone();
        self.state.config = Some(self.config.clone());
        let mut checkpoint = self.driver.snapshot()?;
        let state = serde_json::to_value(&self.state)
            .map_err(|error| DriveError::Failed(error.to_string()))?;
        checkpoint.state = serde_json::json!({ "trainer": checkpoint.state, "session": state });
        Ok(Job {
            config: self.config.to_toml(),
            meta: CheckpointMeta {
                step: self.step,
                reason,
                best: best || self.state.best_step == Some(self.step),
                val_loss: (self.state.last_val_step == self.step)
                    .then_some(self.state.last_val_loss)
                    .flatten(),
            },
            checkpoint,
            keep: self.config.checkpoint.keep,
        })
    }

    fn save_failed(&mut self, step: u64, message: &str) {
        // What is not on disk must be written again.
        self.dirty = true;
        self.mode = Mode::Paused;
        self.notice(
            NoticeLevel::Error,
            format!(
                "the checkpoint of step {step} was not written, and training is paused: {message}"
            ),
        );
    }

    /// What the saver has to say.
    pub(super) fn report_saves(&mut self) {
        for outcome in self.saver.outcomes() {
            match outcome {
                Outcome::Saved {
                    info,
                    prune_problem,
                } => {
                    self.publish(Record::Checkpoint(info));
                    if let Some(problem) = prune_problem {
                        self.notice(NoticeLevel::Warning, problem);
                    }
                }
                Outcome::Superseded { step } => self.notice(
                    NoticeLevel::Info,
                    format!("the checkpoint of step {step} was left out: the disk is behind, a newer one follows"),
                ),
                Outcome::Failed { step, message } => self.save_failed(step, &message),
            }
        }
    }
}
