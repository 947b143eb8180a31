//! What the files of a sweep say: its plan, its trials, and the results so far.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{FORMAT_VERSION, PLAN, RESULTS};
use crate::config;
use crate::run::RunError;

/// `sweep.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepPlan {
    pub format_version: u32,
    pub program_version: String,
    /// Seconds since 1970, UTC.
    pub created: u64,
    /// CONFIG, as it was given.
    pub config: String,
    pub sets: Vec<String>,
    /// `--vary`, as they were given.
    pub vary: Vec<String>,
    pub grid: bool,
    pub seed: u64,
    /// Of a trial that goes to the end.
    pub steps: u64,
    /// The rate of successive halving.
    pub halving: Option<u64>,
    /// Steps up to which the trials of each rung train.
    pub rungs: Vec<u64>,
    pub parallel: usize,
    pub metric: Metric,
    pub trials: Vec<Trial>,
}

/// What trials are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Validation loss, nats per token.
    ValLoss,
    /// Where trials differ in their tokens.
    BitsPerByte,
}

impl Metric {
    pub fn label(self) -> &'static str {
        match self {
            Metric::ValLoss => "val loss",
            Metric::BitsPerByte => "bits/byte",
        }
    }
}

/// One combination of values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// Key and value, as `--set` takes them, in the order of `vary`.
    pub values: Vec<(String, String)>,
}

impl Trial {
    /// `--set optimizer.learning_rate=0.001 --set model.dropout=0.1`; what a shell would take apart is quoted.
    pub fn sets(&self) -> String {
        config::as_arguments(self.values.iter().map(|(key, value)| (key, value)))
    }

    /// `learning_rate 0.001, dropout 0.1`.
    pub fn words(&self) -> String {
        let word = |(key, value): &(String, String)| {
            let name = key.rsplit('.').next().unwrap_or(key);
            format!("{name} {value}")
        };
        let words: Vec<String> = self.values.iter().map(word).collect();
        words.join(", ")
    }
}

/// How a trial came through a rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrialOutcome {
    Done,
    /// Its loss is no longer a number.
    Diverged,
    Failed,
}

/// A line of `results.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialResult {
    /// Counted from 0; the folder's number is one more.
    pub trial: usize,
    /// Counted from 0.
    pub rung: usize,
    pub outcome: TrialOutcome,
    pub step: u64,
    /// At the rung's end.
    pub val_loss: Option<f64>,
    pub bits_per_byte: Option<f64>,
    /// Why it failed or diverged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Reads `sweep.json`.
///
/// # Errors
/// [`RunError::Newer`], [`RunError::Damaged`]; I/O errors.
pub fn read_plan(dir: &Path) -> Result<SweepPlan, RunError> {
    let path = dir.join(PLAN);
    let bytes = std::fs::read(&path).map_err(RunError::io("read", &path))?;
    #[derive(Deserialize)]
    struct Version {
        format_version: u32,
    }
    if let Ok(Version { format_version }) = serde_json::from_slice(&bytes)
        && format_version > FORMAT_VERSION
    {
        return Err(RunError::Newer {
            path,
            found: format_version,
        });
    }
    let plan: SweepPlan = serde_json::from_slice(&bytes).map_err(|error| RunError::Damaged {
        path: path.clone(),
        reason: error.to_string(),
    })?;
    if plan.trials.is_empty() || plan.rungs.last() != Some(&plan.steps) {
        let reason = "it has no trials, or its rungs do not end at its steps".to_string();
        return Err(RunError::Damaged { path, reason });
    }
    Ok(plan)
}

/// Reads `results.jsonl`. A line that is torn, unreadable or of no trial is skipped: that rung is then looked at again.
pub(super) fn read_results(dir: &Path, plan: &SweepPlan) -> Result<Vec<TrialResult>, RunError> {
    let path = dir.join(RESULTS);
    let text = match std::fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(RunError::io("read", &path)(error)),
    };
    let results = text.lines();
    Ok(results
        .filter_map(|line| serde_json::from_str::<TrialResult>(line).ok())
        .filter(|result| result.trial < plan.trials.len() && result.rung < plan.rungs.len())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_to_repeat_a_trial_survives_a_shell() {
        let trial = Trial {
            values: vec![
                ("optimizer.learning_rate".into(), "1e-3".into()),
                ("corpus.path".into(), r#"["a b.txt"]"#.into()),
            ],
        };
        assert_eq!(
            trial.sets(),
            r#"--set optimizer.learning_rate=1e-3 --set 'corpus.path=["a b.txt"]'"#
        );
        assert_eq!(trial.words(), r#"learning_rate 1e-3, path ["a b.txt"]"#);
    }
}
