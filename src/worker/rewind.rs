//! Going back to a checkpoint, by the user or by `train.on_spike`, and what else is done about a loss that went wrong.

use super::origin::{config_of, session_state};
use super::publishing::event_of;
use super::session::{Mode, Session};
use super::spike;
use crate::config::OnSpike;
use crate::protocol::{Edit, EditAuthor, EventKind, NoticeLevel, Phase, Spike, StepReport};
use crate::run::Record;
use crate::run::branch::WayBack;
use crate::run::checkpoint::{self, CheckpointEntry};

/// Checkpoints named where one was asked for that is not there.
const MOST_NAMES: usize = 12;
/// How often the policy goes back to one checkpoint.
const MOST_RETREATS: usize = 3;

impl Session<'_> {
    /// Goes back to a checkpoint of this run: weights, optimizer, place in the data, configuration, multiplier and edits are what
    /// they were there. The screens hear of it by `Rewound`: edits after its step are taken back, newest first, by their undo;
    /// what happened on the way to a checkpoint of a branch that was left is told once more, those edits made at the checkpoint's
    /// own step that it holds as well, then the schedule.
    ///
    /// # Errors
    /// A sentence that says which checkpoints there are. Nothing has changed then.
    pub(super) fn rewind(&mut self, name: &str, by: EditAuthor) -> Result<(), String> {
        self.saver.wait();
        self.report_saves();
        let entries = checkpoint::entries(self.dir.path());
        let loaded = checkpoint::load(self.dir.path(), name)
            .map_err(|reason| format!("{reason}. {}", existing(&entries)))?;
        let mut checkpoint = loaded.checkpoint;
        let entry = loaded.entry;
        let state = session_state(&mut checkpoint, &entry)?;
        let config = config_of(&state, &entry, &self.config);
        let way = self.dir.way_back(&entry).map_err(|e| e.to_string())?;
        let from = self.step;
        self.driver
            .restore(&config, checkpoint)
            .map_err(|error| format!("{name} does not fit this run: {error}"))?;
        self.config = config;
        self.edits = state.edits.clone();
        self.state = state;
        self.step = self.driver.steps_done();
        self.seconds = self.driver.seconds();
        self.diverged = None;
        self.leaves_out = false;
        self.dirty = false;
        self.trained = false;
        self.again.clear();
        self.went_back_to = Some(entry.clone());
        // It may have been taken between a step and what its cadence asks for.
        self.unfinished = self.step > 0;
        let (rewound, written) = self.dir.go_back(&entry, way.as_ref(), from, by);
        self.context.outbox.emit(EventKind::Rewound(rewound));
        self.tell_again(way);
        if let Err(error) = written {
            self.notice(NoticeLevel::Error, error.to_string());
        }
        for edit in self.edits.clone() {
            if edit.step > self.step {
                self.publish(Record::Edit(edit));
            }
        }
        self.write_config();
        let schedule = self.driver.schedule();
        self.context.outbox.emit(EventKind::Schedule(schedule));
        Ok(())
    }

    /// Tells the screens what happened on a branch that is taken up again. The logs have it.
    fn tell_again(&mut self, way: Option<WayBack>) {
        for record in way.into_iter().flat_map(|way| way.records) {
            match record {
                Record::Step(report) => self.context.outbox.step(report),
                record => {
                    if let Some(event) = event_of(record) {
                        self.context.outbox.emit(event);
                    }
                }
            }
        }
    }

    /// Takes note of a loss.
    pub(super) fn watch(&mut self, report: &StepReport) -> Option<Spike> {
        let threshold = self.config.train.spike_threshold;
        let spike = self
            .state
            .spikes
            .observe(report.step, report.loss, threshold);
        // A replay repeats what was done about it.
        spike.filter(|_| self.replay.is_none())
    }

    /// Does what `train.on_spike` says.
    pub(super) fn spiked(&mut self, spike: Spike) {
        if self.ending() || self.failed.is_some() || self.diverged.is_some() {
            return;
        }
        self.publish(Record::Spike(spike));
        let what = format!(
            "the loss rose to {:.3} at step {}, from a mean of {:.3} before",
            spike.loss, spike.step, spike.mean
        );
        match self.config.train.on_spike {
            OnSpike::Pause => {
                self.mode = Mode::Paused;
                self.notice(NoticeLevel::Warning, format!("{what}. {CHOICES}"));
            }
            OnSpike::Continue => self.notice(
                NoticeLevel::Warning,
                format!("{what}; training goes on, as train.on_spike = \"continue\" says"),
            ),
            OnSpike::Rewind => {
                if let Err(why) = self.retreat(&what, spike::before(spike.step)) {
                    self.mode = Mode::Paused;
                    self.notice(NoticeLevel::Warning, format!("{what}. {why}. {CHOICES}"));
                }
            }
        }
    }

    /// The loss is no longer a number; the step was not applied.
    pub(super) fn no_number(&mut self, step: u64, layer: Option<String>, message: String) {
        let policy = match self.replay {
            Some(_) => OnSpike::Continue,
            None => self.config.train.on_spike,
        };
        let mut message = message;
        match policy {
            OnSpike::Pause => {}
            OnSpike::Rewind => {
                self.spiked_without_number(step);
                // The weights as they are give no number: only earlier ones can do better.
                let latest = self.step.saturating_sub(1);
                match self.retreat(&format!("step {step}: {message}"), latest) {
                    Ok(()) => return,
                    Err(why) => message = format!("{message}. {why}"),
                }
            }
            OnSpike::Continue => {
                if self.replay.is_none() {
                    self.spiked_without_number(step);
                    self.notice(NoticeLevel::Warning, format!("step {step}: {message}"));
                }
                if self.leave_out() {
                    return;
                }
            }
        }
        self.mode = Mode::Paused;
        self.publish(Record::Diverged {
            step,
            layer: layer.clone(),
            message: message.clone(),
        });
        self.edits_when_diverged = self.edits.len();
        self.diverged = Some(Phase::Diverged {
            step,
            layer,
            message,
        });
        self.flush_log();
    }

    /// Goes on without the step that has just diverged. False where none has.
    pub(super) fn leave_out(&mut self) -> bool {
        let Some(report) = self.driver.skip_step() else {
            return false;
        };
        if self.replay.is_none() {
            let words = format!(
                "step {} was left out: the weights are as before, training goes on",
                report.step
            );
            self.notice(NoticeLevel::Warning, words);
        }
        self.stepped(report);
        self.cadence();
        true
    }

    fn spiked_without_number(&mut self, step: u64) {
        let mean = self.state.spikes.mean().unwrap_or(f64::NAN);
        self.publish(Record::Spike(Spike {
            step,
            loss: f64::NAN,
            mean,
        }));
    }

    /// Goes back to the newest checkpoint that is not later than `latest`, and halves the learning rate.
    ///
    /// # Errors
    /// Why not. Nothing has changed then.
    fn retreat(&mut self, what: &str, latest: u64) -> Result<(), String> {
        self.saver.wait();
        self.report_saves();
        let entries = checkpoint::entries(self.dir.path());
        let target = entries
            .into_iter()
            .find(|entry| !entry.left && entry.step <= latest)
            .ok_or("There is no checkpoint from before it to go back to")?;
        let name = target.name();
        let before = self.dir.retreats(&name).map_err(|e| e.to_string())?;
        if before >= MOST_RETREATS {
            return Err(format!(
                "The run went back to step {} {before} times, which did not help",
                target.step
            ));
        }
        // The multiplier that went wrong: the checkpoint's own may be one of before an earlier retreat.
        let multiplier = self.driver.learning_rate_multiplier() / 2.0;
        self.rewind(&name, EditAuthor::Policy)?;
        self.notice(
            NoticeLevel::Warning,
            format!(
                "{what}; the run went back to step {} and goes on with half the learning rate (× {multiplier}), as \
                 train.on_spike = \"rewind\" says",
                target.step
            ),
        );
        self.edit(Edit::LearningRateMultiplier(multiplier), EditAuthor::Policy)
    }
}

const CHOICES: &str = "Training is paused: resume to go on as it is, go back to a checkpoint from before it, or change the \
                       learning rate first (train.on_spike says what is done by itself)";

/// A sentence about the checkpoints there are.
fn existing(entries: &[CheckpointEntry]) -> String {
    let names: Vec<String> = entries
        .iter()
        .map(CheckpointEntry::name)
        .take(MOST_NAMES)
        .collect();
    match names.is_empty() {
        true => "There is none yet".to_string(),
        false => format!("There are: {}", names.join(", ")),
    }
}
