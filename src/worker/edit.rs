//! Changes to a run while it goes on: checked, preceded by a checkpoint, applied at a step boundary, written down.

use super::memory::{self, Verdict};
use super::session::Session;
use crate::config::{self, Changes, FieldProblem, RunConfig};
use crate::protocol::{CheckpointReason, Edit, EditAuthor, EventKind, NoticeLevel};
use crate::run::{EditRecord, Record, checkpoint};
use crate::train::Counts;

/// Learning-rate multipliers that make sense; 0 freezes the weights.
const MULTIPLIERS: std::ops::RangeInclusive<f64> = 0.0..=1000.0;

/// Who makes an edit, and whether the log has it already.
#[derive(Debug, Clone, Copy)]
pub(super) struct By {
    author: EditAuthor,
    logged: bool,
}

impl By {
    /// As the log has it, by a run that ended before a checkpoint knew of it.
    pub fn again(author: EditAuthor) -> Self {
        let logged = true;
        By { author, logged }
    }
}

impl From<EditAuthor> for By {
    fn from(author: EditAuthor) -> Self {
        let logged = false;
        By { author, logged }
    }
}

impl Session<'_> {
    /// An evaluation that the present step asks for, and that a pause cut short, belongs before a change of the configuration:
    /// otherwise a replay, which is never paused, could not do the same. False when it was cut short again.
    pub(super) fn evaluated_before_edit(&mut self) -> bool {
        !self.unfinished
            || self.diverged.is_some()
            || !self.evaluation_is_due()
            || self.evaluate(Counts::Yes)
    }

    /// Applies an edit, with all that belongs to it.
    ///
    /// # Errors
    /// Sentences about why not, with what is allowed. Nothing has changed then.
    pub(super) fn edit(&mut self, edit: Edit, by: impl Into<By>) -> Result<(), String> {
        let by = by.into();
        match edit {
            Edit::LearningRateMultiplier(multiplier) => self.multiply(multiplier, by),
            Edit::Set(changes) => self.change(changes, by),
        }
    }

    fn multiply(&mut self, multiplier: f64, by: By) -> Result<(), String> {
        if !MULTIPLIERS.contains(&multiplier) {
            return Err(format!(
                "learning-rate multiplier {multiplier} was refused: it must be between {} and {}",
                MULTIPLIERS.start(),
                MULTIPLIERS.end()
            ));
        }
        self.save_before_edit();
        let before = self.driver.learning_rate_multiplier();
        self.driver.set_learning_rate_multiplier(multiplier);
        let record = EditRecord {
            step: self.step + 1,
            edit: Edit::LearningRateMultiplier(multiplier),
            undo: Some(Edit::LearningRateMultiplier(before)),
            by: by.author,
        };
        self.note(record, by);
        Ok(())
    }

    fn change(&mut self, mut changes: Changes, by: By) -> Result<(), String> {
        let new = config::change(&self.config, &changes, self.step)
            .map_err(|problems| in_words(&problems))?;
        if new == self.config {
            if by.author == EditAuthor::User && !by.logged {
                let words = format!("{} is in force already", Edit::Set(changes));
                self.notice(NoticeLevel::Warning, words);
            }
            return Ok(());
        }
        let steps = new.train.steps;
        if steps != self.config.train.steps && steps < self.step {
            return Err(format!(
                "train.steps: the run is at step {}; expected at least that",
                self.step
            ));
        }
        self.check_memory(&new)?;
        self.save_before_edit();
        if self.failed.is_some() {
            return Ok(());
        }
        let done = self
            .driver
            .reconfigure(&new)
            .map_err(|error| error.to_string())?;
        let old = std::mem::replace(&mut self.config, new);
        // Whatever the new cadence says of this step: its evaluation is done, or was not asked for.
        self.state.evaluated_at = self.step;
        if self.step > 0 && self.step == self.config.train.steps {
            // This has become the last step, which ends with an evaluation and a sample.
            self.state.evaluated_at = self.step - 1;
            self.unfinished = true;
        }
        self.write_config();
        if let Some(start) = changes.get_mut("schedule.start") {
            *start = self.config.schedule.start.to_string();
        }
        let record = EditRecord {
            step: self.step + 1,
            edit: Edit::Set(changes),
            undo: Some(Edit::Set(config::difference(&self.config, &old))),
            by: by.author,
        };
        self.note(record, by);
        if !done.moments_kept {
            self.notice(
                NoticeLevel::Info,
                format!(
                    "the optimizer starts without moments: those of {} mean nothing to {}",
                    kind(&old),
                    kind(&self.config)
                ),
            );
        }
        if done.streams_restarted {
            self.notice(
                NoticeLevel::Info,
                format!(
                    "the text is cut into {} streams from now on, which begin at their start, from empty states",
                    self.config.train.batch_size
                ),
            );
        }
        Ok(())
    }

    /// Into the log, out as an event, and the schedule as it now is.
    fn note(&mut self, record: EditRecord, by: By) {
        self.dirty = true;
        self.went_back_to = None;
        self.edits.push(record.clone());
        match by.logged {
            false => self.publish(Record::Edit(record)),
            true => self.context.outbox.emit(EventKind::Edited(record)),
        }
        let schedule = self.driver.schedule();
        self.context.outbox.emit(EventKind::Schedule(schedule));
    }

    /// So that an edit can be undone by going back. Edits of one step share one checkpoint.
    fn save_before_edit(&mut self) {
        // The beginning can be gone back to as well.
        let none = self.edits.is_empty() && !checkpoint::any(self.dir.path());
        let first = self.step == 0 && none;
        if (self.trained || first) && self.diverged.is_none() && self.failed.is_none() {
            self.save(CheckpointReason::Edit, false);
        }
    }

    /// `config.toml` says what is in force.
    pub(super) fn write_config(&mut self) {
        let steps = self.config.train.steps;
        let written = self.dir.write_config(&self.config);
        if let Err(error) = written.and_then(|()| self.dir.write_total_steps(steps)) {
            self.notice(
                NoticeLevel::Warning,
                format!("{error}; the change is in force, and in the run's edits and checkpoints"),
            );
        }
    }

    /// A device that fails in the first step after an edit may have failed of it: a larger batch, say, that its memory has no room for.
    /// What it failed of, with the edit, and how the run goes on without it.
    pub(super) fn failed_of(&self, message: String) -> String {
        let mut edits = Vec::new();
        let mut undo = Changes::new();
        // Two edits of one key are both undone by the first one's undo.
        for record in self.edits.iter().filter(|edit| edit.step > self.step) {
            if let (Edit::Set(_), Some(Edit::Set(before))) = (&record.edit, &record.undo) {
                edits.push(record.edit.to_string());
                for (key, value) in before {
                    undo.entry(key.clone()).or_insert_with(|| value.clone());
                }
            }
        }
        if undo.is_empty() || self.replay.is_some() {
            return message;
        }
        format!(
            "{message}, in the first step with {}; if the run is to go on without that, resume it with {}",
            edits.join(", "),
            config::as_arguments(&undo)
        )
    }

    /// Whether the machine has room for what the new configuration takes beyond the present one. The memory that a GPU has of its own
    /// is not known: burn 0.22 does not say it, and one that runs out of it ends the run with a sentence.
    fn check_memory(&mut self, new: &RunConfig) -> Result<(), String> {
        if !self.main_memory {
            return Ok(());
        }
        let vocab = self.tokenizer.vocab_size();
        let (before, after) = (
            memory::estimate(&self.config, self.device, vocab),
            memory::estimate(new, self.device, vocab),
        );
        let Some(available) = memory::available().filter(|_| after > before) else {
            return Ok(());
        };
        // What the run takes already is not free any more, but it is the run's.
        match memory::judge(after, available.saturating_add(before)) {
            Verdict::Fits => Ok(()),
            Verdict::Tight(message) => {
                self.notice(NoticeLevel::Warning, message);
                Ok(())
            }
            Verdict::TooLarge(message) => Err(format!("not changed: with the edit {message}")),
        }
    }
}

/// Every problem, with what is allowed.
pub(super) fn in_words(problems: &[FieldProblem]) -> String {
    let sentences: Vec<String> = problems
        .iter()
        .map(|problem| format!("{}: {}", problem.key, problem.message))
        .collect();
    format!("not changed: {}", sentences.join("; "))
}

fn kind(config: &RunConfig) -> &'static str {
    match config.optimizer.kind {
        config::OptimizerKind::Sgd => "sgd",
        config::OptimizerKind::Adam => "adam",
        config::OptimizerKind::AdamW => "adamw",
    }
}
