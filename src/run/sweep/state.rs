//! A sweep at a moment, for a screen: where each of its trials stands.

use std::path::{Path, PathBuf};

use super::halving;
use super::plan::{SweepPlan, TrialOutcome, TrialResult, read_plan, read_results};
use super::trial_name;
use crate::run::{RunError, RunStatus, summarize};

/// Where a trial stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrialStatus {
    /// Not started, or between two rungs.
    Waiting,
    Running,
    /// All steps done, or stopped early for want of improvement.
    Finished,
    /// Left behind by successive halving.
    Stopped,
    Diverged,
    Failed,
}

impl TrialStatus {
    pub fn label(self) -> &'static str {
        match self {
            TrialStatus::Waiting => "waiting",
            TrialStatus::Running => "running",
            TrialStatus::Finished => "finished",
            TrialStatus::Stopped => "left behind",
            TrialStatus::Diverged => "diverged",
            TrialStatus::Failed => "failed",
        }
    }
}

/// One trial, as its folder and the results have it.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialState {
    pub status: TrialStatus,
    pub step: u64,
    pub train_loss: Option<f64>,
    pub val_loss: Option<f64>,
    pub bits_per_byte: Option<f64>,
    /// Among the trials that have a result, from 1.
    pub rank: Option<usize>,
    pub message: Option<String>,
}

/// A sweep at a moment, for a screen.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepState {
    pub dir: PathBuf,
    pub plan: SweepPlan,
    pub results: Vec<TrialResult>,
    pub trials: Vec<TrialState>,
}

/// Reads where a sweep stands; another process may be conducting it.
///
/// # Errors
/// As [`read_plan`].
pub fn read(dir: &Path) -> Result<SweepState, RunError> {
    let plan = read_plan(dir)?;
    let results = read_results(dir, &plan)?;
    let trials = states(dir, &plan, &results);
    Ok(SweepState {
        dir: dir.to_path_buf(),
        plan,
        results,
        trials,
    })
}

fn states(dir: &Path, plan: &SweepPlan, results: &[TrialResult]) -> Vec<TrialState> {
    let ranking = halving::ranking(results, plan.metric);
    let last_rung = plan.rungs.len() - 1;
    // Who entered the latest rung whose trials are known.
    let (rung, entered) = (0..=last_rung)
        .rev()
        .find_map(|rung| {
            let n = plan.trials.len();
            halving::entering(n, plan.halving, plan.metric, results, rung).map(|e| (rung, e))
        })
        .unwrap_or_default();
    let state = |trial: usize| {
        let run = summarize(&dir.join(trial_name(trial))).ok();
        let last = ranking.iter().find(|result| result.trial == trial);
        let running = run
            .as_ref()
            .is_some_and(|run| run.status == RunStatus::Running);
        let status = match last.map(|result| (result.outcome, result.rung)) {
            Some((TrialOutcome::Diverged, _)) => TrialStatus::Diverged,
            Some((TrialOutcome::Failed, _)) => TrialStatus::Failed,
            Some((TrialOutcome::Done, at)) if at == last_rung => TrialStatus::Finished,
            Some((TrialOutcome::Done, at)) if at < rung && !entered.contains(&trial) => {
                TrialStatus::Stopped
            }
            _ if running => TrialStatus::Running,
            _ => TrialStatus::Waiting,
        };
        TrialState {
            status,
            step: run.as_ref().map_or(0, |run| run.step),
            train_loss: run.as_ref().and_then(|run| run.train_loss),
            val_loss: run
                .as_ref()
                .and_then(|run| run.val_loss)
                .or(last.and_then(|result| result.val_loss)),
            bits_per_byte: run
                .as_ref()
                .and_then(|run| run.bits_per_byte)
                .or(last.and_then(|result| result.bits_per_byte)),
            rank: ranking
                .iter()
                .position(|result| result.trial == trial)
                .map(|at| at + 1),
            message: last.and_then(|result| result.message.clone()),
        }
    };
    (0..plan.trials.len()).map(state).collect()
}
