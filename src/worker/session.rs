//! One run, step by step.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Context;
use super::driver::{DriveError, Driver};
use super::replay::Replay;
use super::requests::Request;
use super::saver::Saver;
use super::spike::SpikeWatch;
use crate::config::RunConfig;
use crate::device::Spec;
use crate::protocol::{
    CheckpointReason, Command, EvalReport, EventKind, FinishReason, FinishReport, NoticeLevel,
    Phase, StepReport, Until,
};
use crate::run::checkpoint::{self, CheckpointEntry};
use crate::run::{EditRecord, Record, RunDir};
use crate::tokenizer::Tokenizer;
use crate::train::Counts;
use crate::words::counted;

/// How often the log is handed to the system.
const LOG_INTERVAL: Duration = Duration::from_millis(200);
/// How often norms by layer are published.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    Running,
    Paused,
    /// Train until this is the case, then pause.
    Until(Until),
}

/// What the user wants after the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenEnding {
    Idle,
    Shutdown,
}

/// What the thread does after a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    Idle,
    End,
}

/// The session's own part of a checkpoint, beside the trainer's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionState {
    /// The last step whose evaluation, and whose samples, are done: a run stopped in between does them first
    /// when it goes on.
    pub evaluated_at: u64,
    pub sampled_at: u64,
    pub last_val_loss: Option<f64>,
    pub best_val_loss: Option<f64>,
    pub best_step: Option<u64>,
    /// The step at which `last_val_loss` was measured.
    pub last_val_step: u64,
    /// The best of the evaluations that count, which are those that the configuration asks for.
    pub best_counted: Option<f64>,
    /// Evaluations that count since that one.
    pub stale_evaluations: u64,
    pub edits: Vec<EditRecord>,
    /// The configuration in force.
    pub config: Option<RunConfig>,
    pub spikes: SpikeWatch,
    /// 0: written before there was a `best_counted`.
    pub version: u32,
}

impl SessionState {
    pub const VERSION: u32 = 1;

    /// Makes of the state of an older version what this one would have written.
    pub fn brought_up_to_date(mut self) -> Self {
        if self.version == 0 {
            self.best_counted = self.best_val_loss;
            self.last_val_step = self.evaluated_at;
            self.version = Self::VERSION;
        }
        self
    }
}

pub struct Session<'a> {
    pub(super) context: &'a mut Context,
    pub(super) dir: RunDir,
    pub(super) config: RunConfig,
    pub(super) driver: Box<dyn Driver>,
    pub(super) tokenizer: Arc<Tokenizer>,
    pub(super) saver: Saver,
    pub(super) mode: Mode,
    pub(super) step: u64,
    /// Seconds of training, as the last step told.
    pub(super) seconds: f64,
    pub(super) queue: VecDeque<Request>,
    pub(super) end: Option<WhenEnding>,
    pub(super) diverged: Option<Phase>,
    /// How many edits there were when the run diverged.
    pub(super) edits_when_diverged: usize,
    /// The step that went wrong is left out.
    pub(super) leaves_out: bool,
    /// The phase last published.
    pub(super) shown: Option<Phase>,
    /// A pause was heard since the evaluation or the sample in progress began, and cuts it short.
    pub(super) pause_heard: bool,
    /// What the present step asks for was cut short by a pause, and is done when training goes on.
    pub(super) unfinished: bool,
    /// Something changed since the last snapshot.
    pub(super) dirty: bool,
    /// A step was made since the last snapshot.
    pub(super) trained: bool,
    /// The checkpoint that the run went back to, until something changes.
    pub(super) went_back_to: Option<CheckpointEntry>,
    pub(super) replay: Option<Replay>,
    /// What the log says of steps beyond the checkpoint that the run was taken up from: edits to be made there again.
    pub(super) again: VecDeque<EditRecord>,
    /// What the run is computed on: never `auto`.
    pub(super) device: Spec,
    /// The run lives in the machine's main memory.
    pub(super) main_memory: bool,
    pub(super) edits: Vec<EditRecord>,
    pub(super) prompts_warned: HashSet<String>,
    pub(super) state: SessionState,
    /// The device compiles its kernels in the first step.
    pub(super) compiles: bool,
    pub(super) failed: Option<String>,
    pub(super) last_word: Option<Record>,
    pub(super) log_failing: bool,
    pub(super) last_log: Instant,
    pub(super) last_health: Instant,
}

impl Session<'_> {
    /// Trains until the run ends, one way or another, and puts it away.
    pub fn run(&mut self) {
        let reason = self.train();
        self.put_away(reason);
    }

    fn train(&mut self) -> FinishReason {
        // A checkpoint taken between a step and what its cadence asks for.
        if self.step > 0 && !self.ending() {
            self.cadence();
        }
        loop {
            self.hear_commands();
            self.look_after();
            if self.ending() || self.failed.is_some() {
                return FinishReason::Stopped;
            }
            self.obey_requests();
            if self.ending() || self.failed.is_some() {
                continue;
            }
            if self.diverged.is_none() && !self.unfinished {
                if self.step >= self.last_step() {
                    return FinishReason::Completed;
                }
                let patience = match self.replay {
                    // It ends where the other ended.
                    Some(_) => 0,
                    None => self.config.train.early_stopping,
                };
                if patience > 0 && self.state.stale_evaluations >= patience {
                    self.notice(
                        NoticeLevel::Info,
                        format!(
                            "stopped early: {} without improvement",
                            counted(patience, "evaluation")
                        ),
                    );
                    return FinishReason::EarlyStopped;
                }
            }
            if let Mode::Until(Until::Step(step)) = self.mode
                && self.step >= step
            {
                self.mode = Mode::Paused;
            }
            match (&self.diverged, self.mode) {
                (Some(phase), _) => {
                    self.show(phase.clone());
                    self.wait_for_command();
                }
                (None, Mode::Paused) => {
                    // Whoever hears of the pause finds everything in the log.
                    self.flush_log();
                    self.show(Phase::Paused);
                    self.wait_for_command();
                }
                (None, _) if std::mem::take(&mut self.unfinished) => {
                    // Before an evaluation, so that nobody takes it for one that a paused run was asked for.
                    self.show_training();
                    self.cadence();
                }
                (None, Mode::Running | Mode::Until(_)) => self.train_step(),
            }
        }
    }

    fn train_step(&mut self) {
        if std::mem::take(&mut self.leaves_out) && self.leave_out() {
            return;
        }
        self.show_training();
        let measured = self.last_health.elapsed() >= HEALTH_INTERVAL;
        if measured {
            self.last_health = Instant::now();
            self.driver.measure_health();
        }
        match self.driver.step() {
            Ok(report) => {
                self.compiles = false;
                self.stepped(report);
                if measured && let Some((step, layers)) = self.driver.health() {
                    self.context.outbox.emit(EventKind::Health { step, layers });
                }
                let spiked = self.watch(&report);
                if let Mode::Until(Until::Loss(loss)) = self.mode
                    && report.loss < loss
                {
                    self.mode = Mode::Paused;
                }
                self.cadence();
                if let Some(spike) = spiked {
                    self.spiked(spike);
                }
            }
            Err(error) => self.trouble(error),
        }
    }

    fn show_training(&mut self) {
        self.show(match self.compiles {
            true => Phase::Compiling,
            false => Phase::Training,
        });
        if self.compiles {
            self.context.outbox.flush();
        }
    }

    /// A step was made, or left out.
    pub(super) fn stepped(&mut self, report: StepReport) {
        self.step = report.step;
        self.seconds = report.seconds;
        self.dirty = true;
        self.trained = true;
        self.went_back_to = None;
        self.dir.append(&Record::Step(report));
        self.context.outbox.step(report);
        if let Some(replay) = &mut self.replay {
            replay.compare(&report);
        }
    }

    /// Where the run ends.
    fn last_step(&self) -> u64 {
        match &self.replay {
            Some(replay) => replay.end,
            None => self.config.train.steps,
        }
    }

    /// What the present step asks for and is not done yet: evaluation, samples, checkpoint, in this order, so
    /// that a checkpoint holds what the evaluation changed.
    pub(super) fn cadence(&mut self) {
        let step = self.step;
        let last = step >= self.config.train.steps;
        let due = |every: u64| every > 0 && step.is_multiple_of(every);
        if self.evaluation_is_due() && !self.evaluate(Counts::Yes) {
            self.unfinished = true;
            return;
        }
        if self.ending() || self.diverged.is_some() || self.failed.is_some() {
            return;
        }
        let sample = self.config.sample.clone();
        if (due(sample.every) || (last && sample.every > 0)) && self.state.sampled_at != step {
            if !self.sample(&sample) {
                self.unfinished = true;
                return;
            }
            self.state.sampled_at = step;
            self.dirty = true;
        }
        let best = self.state.best_step == Some(step);
        if due(self.config.checkpoint.every) && !last {
            self.save(CheckpointReason::Cadence, best);
        } else if best && !last {
            self.save(CheckpointReason::Best, true);
        }
    }

    /// Whether the configuration asks for an evaluation of the present step that is not done yet.
    pub(super) fn evaluation_is_due(&self) -> bool {
        let every = self.config.eval.every;
        let asked = every > 0 && self.step.is_multiple_of(every);
        let last = self.step >= self.config.train.steps;
        (asked || last) && self.state.evaluated_at != self.step
    }

    /// False when a stop or a pause cut it short; nothing is known then.
    pub(super) fn evaluate(&mut self, counts: Counts) -> bool {
        self.show(Phase::Evaluating { done: 0, total: 0 });
        self.pause_heard = false;
        let Context {
            commands,
            stop,
            outbox,
            ..
        } = &mut *self.context;
        let cut = AtomicBool::new(false);
        let mut heard = Vec::new();
        let result = self.driver.evaluate(counts, &cut, &mut |done, total| {
            heard.extend(commands.try_iter());
            if stop.load(Ordering::Relaxed) || heard.contains(&Command::Pause) {
                cut.store(true, Ordering::Relaxed);
            }
            outbox.emit(EventKind::Phase(Phase::Evaluating { done, total }));
        });
        for command in heard {
            self.hear(command);
        }
        match result {
            Ok(None) => return false,
            Ok(Some(report)) => self.evaluated(report, counts),
            Err(error) => self.trouble(error),
        }
        true
    }

    fn evaluated(&mut self, mut report: EvalReport, counts: Counts) {
        let finite = report.val_loss.is_finite();
        let better = |best: Option<f64>| finite && best.is_none_or(|best| report.val_loss < best);
        // The best is the best, whoever asked for it; only what the configuration asks for ends a run.
        let best = better(self.state.best_val_loss);
        if counts == Counts::Yes {
            if better(self.state.best_counted) {
                self.state.best_counted = Some(report.val_loss);
                self.state.stale_evaluations = 0;
            } else {
                self.state.stale_evaluations += 1;
            }
            self.state.evaluated_at = self.step;
        }
        report.best = best;
        if best {
            self.state.best_val_loss = Some(report.val_loss);
            self.state.best_step = Some(self.step);
        }
        self.state.last_val_loss = finite.then_some(report.val_loss);
        self.state.last_val_step = self.step;
        if self.mode == Mode::Until(Until::Evaluation) {
            self.mode = Mode::Paused;
        }
        self.dirty = true;
        self.publish(Record::Eval(report));
        if let Err(error) = self.dir.write_summary() {
            tracing::warn!(%error, "summary not written");
        }
        let schedule = self.driver.schedule();
        self.context.outbox.emit(EventKind::Schedule(schedule));
    }

    /// What has to be done now and then.
    fn look_after(&mut self) {
        self.report_saves();
        self.report_remote();
        if self.last_log.elapsed() >= LOG_INTERVAL {
            self.flush_log();
        }
    }

    pub(super) fn trouble(&mut self, error: DriveError) {
        match error {
            DriveError::Diverged {
                step,
                layer,
                message,
            } => self.no_number(step, layer, message),
            DriveError::Failed(message) => self.failed = Some(self.failed_of(message)),
        }
    }

    pub(super) fn ending(&self) -> bool {
        self.end.is_some() || self.context.stop.load(Ordering::Relaxed)
    }

    /// The last checkpoint, the last word, and everything on disk.
    fn put_away(&mut self, reason: FinishReason) {
        self.show(Phase::Stopping);
        self.context.outbox.flush();
        let unchanged = !self.dirty || self.step == 0;
        if self.diverged.is_some() && !unchanged {
            self.save_diverged();
        } else if !unchanged {
            if self.failed.is_none() {
                self.save(CheckpointReason::Stop, false);
            } else if let Err(error) = self.submit(CheckpointReason::Stop, false) {
                // A device that ran out of memory may still give the weights; one that is lost does not.
                tracing::warn!(%error, "nothing could be read after the failure");
            }
        }
        self.saver.wait();
        self.report_saves();
        self.judge_replay();
        let last_word = match self.failed.take() {
            Some(message) => Record::Failed {
                message: format!("{message}. {}", self.what_is_left()),
            },
            None => Record::Finished(FinishReport {
                step: self.step,
                reason,
                val_loss: self.state.last_val_loss,
                best_val_loss: self.state.best_val_loss,
                best_step: self.state.best_step,
                seconds: self.seconds,
            }),
        };
        self.conclude(last_word);
    }

    /// A sentence about what of the run is on disk.
    pub(super) fn what_is_left(&self) -> String {
        match self.step {
            0 if checkpoint::newest(self.dir.path()).is_none() => "No step was made".to_string(),
            _ => crate::run::what_is_saved(self.dir.path()),
        }
    }

    /// Writes the last word. It is published once the folder has been let go of, so that whoever hears it may
    /// open the run at once.
    pub(super) fn conclude(&mut self, last_word: Record) {
        self.dir.append(&last_word);
        if let Err(error) = self.dir.sync() {
            self.notice(NoticeLevel::Error, error.to_string());
        }
        self.last_word = Some(last_word);
    }

    /// Lets go of the run's folder.
    pub fn close(self) -> (Option<WhenEnding>, Option<Record>) {
        self.context.withdraw_control();
        (self.end, self.last_word)
    }
}
