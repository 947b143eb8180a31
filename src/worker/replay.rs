//! A run that repeats another: its edits at the same steps, its losses held against those it had.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use super::session::Session;
use crate::config::RunConfig;
use crate::protocol::{CheckpointReason, NoticeLevel, RunInfo, StepReport};
use crate::run::checkpoint::{self, Loaded};
use crate::run::{EditRecord, Parent, RunFile, read_header, read_history};

/// What is to be repeated, and how far it is.
#[derive(Debug)]
pub struct Replay {
    pub of: PathBuf,
    /// Those still to come.
    pub edits: VecDeque<EditRecord>,
    /// The last step.
    pub end: u64,
    /// Step and loss, in order, of the timeline that survived.
    losses: VecDeque<(u64, f64)>,
    compared: u64,
    /// Step, loss then, loss now.
    difference: Option<(u64, f64, f64)>,
}

/// How a replay begins.
#[derive(Debug)]
pub struct Plan {
    pub config: RunConfig,
    /// Where the run began that is repeated; `None` for fresh weights.
    pub loaded: Option<Loaded>,
    pub replay: Replay,
    pub parent: Option<Parent>,
    pub info: Option<RunInfo>,
    /// What may keep it from being the same.
    pub doubt: Option<String>,
}

impl Replay {
    /// Reads what there is to repeat.
    ///
    /// # Errors
    /// A sentence: the run has no steps, or its beginning is not known any more.
    pub fn plan(of: &Path) -> Result<Plan, String> {
        let header = read_header(of).map_err(|error| error.to_string())?;
        let history = read_history(of).map_err(|error| error.to_string())?;
        let shown = of.display();
        let losses: VecDeque<(u64, f64)> = history
            .steps
            .iter()
            .map(|report| (report.step, report.loss))
            .collect();
        let Some((end, _)) = losses.back().copied() else {
            return Err(format!("{shown} has no steps to repeat"));
        };
        let mut doubt = None;
        let config = match header.config {
            Some(config) => config,
            None => {
                doubt = Some(format!(
                    "{shown} was started by a version that did not keep its first configuration: its present one is taken"
                ));
                stored_config(of)?
            }
        };
        let loaded = match &header.parent {
            None => None,
            Some(_) => Some(beginning(of)?),
        };
        let start = loaded.as_ref().map_or(0, |loaded| loaded.entry.step);
        let mut edits: VecDeque<EditRecord> = history.edits.into();
        edits.retain(|edit| edit.step > start);
        Ok(Plan {
            config,
            loaded,
            parent: header.parent,
            info: header.info,
            doubt,
            replay: Replay {
                of: of.to_path_buf(),
                edits,
                end,
                losses,
                compared: 0,
                difference: None,
            },
        })
    }

    /// Holds a step against the one it repeats.
    pub fn compare(&mut self, report: &StepReport) {
        while let Some((step, loss)) = self.losses.front().copied() {
            if step > report.step {
                return;
            }
            self.losses.pop_front();
            if step < report.step {
                continue;
            }
            let same = loss.to_bits() == report.loss.to_bits()
                || !loss.is_finite() && !report.loss.is_finite();
            self.compared += 1;
            if !same && self.difference.is_none() {
                self.difference = Some((step, loss, report.loss));
            }
            return;
        }
    }
}

/// The checkpoint that a run with a parent began from.
fn beginning(of: &Path) -> Result<Loaded, String> {
    let first = checkpoint::entries(of)
        .into_iter()
        .rev()
        .find(|entry| entry.reason == CheckpointReason::Start || entry.step == 0)
        .ok_or_else(|| {
            format!(
                "{} began from the weights of another run and has no checkpoint of its beginning",
                of.display()
            )
        })?;
    checkpoint::load(of, &first.name())
}

pub(super) fn stored_config(run: &Path) -> Result<RunConfig, String> {
    let path = run.join(RunFile::Config.name());
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    RunConfig::from_toml(RunFile::Config.name(), &text).map_err(|error| error.to_string())
}

impl Session<'_> {
    /// The edits that took effect with the next step.
    pub(super) fn replayed_edits(&mut self) -> Vec<EditRecord> {
        let next = self.step + 1;
        let Some(replay) = &mut self.replay else {
            return Vec::new();
        };
        let due = replay
            .edits
            .iter()
            .take_while(|edit| edit.step <= next)
            .count();
        replay.edits.drain(..due).collect()
    }

    /// The edits that the run made before the next step when it was there for the first time.
    pub(super) fn edits_again(&mut self) -> Vec<EditRecord> {
        let next = self.step + 1;
        let due = self.again.iter().take_while(|edit| edit.step <= next);
        let due = due.count();
        self.again.drain(..due).collect()
    }

    /// Says how the replay came out. One that is not the same is a failed run.
    pub(super) fn judge_replay(&mut self) {
        let Some(replay) = self.replay.take() else {
            return;
        };
        let of = replay.of.display();
        let compared = replay.compared;
        match replay.difference {
            Some((step, then, now)) => {
                let message = format!(
                    "the replay differs from {of}: step {step} is the first, with a loss of {now} instead of {then}"
                );
                self.failed.get_or_insert(message);
            }
            None if self.failed.is_some() => {}
            None if self.step < replay.end => self.notice(
                NoticeLevel::Info,
                format!(
                    "the replay was ended at step {} of {}: the losses until there are those of {of}, bit for bit",
                    self.step, replay.end
                ),
            ),
            None => self.notice(
                NoticeLevel::Info,
                format!("the replay is the same: all {compared} losses are those of {of}, bit for bit"),
            ),
        }
    }
}
