//! What a sweep says: as lines for people, as one JSON object a line (`docs/scripting.md`), and as the table at its end.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use super::{End, SweepEvent};
use crate::run::sweep::{SweepPlan, TrialOutcome, TrialResult, halving, trial_name};
use crate::words::counted;

/// Writes what happens.
pub struct Reporter<'a> {
    pub json: bool,
    pub plan: SweepPlan,
    pub out: &'a mut dyn Write,
    /// Nobody reads any more.
    pub closed: bool,
}

/// A line of `fireside sweep --json`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Line<'a> {
    SweepStarted {
        sweep: &'a Path,
        trials: usize,
        rungs: &'a [u64],
        parallel: usize,
        threads: usize,
        metric: crate::run::sweep::Metric,
        known_results: usize,
    },
    TrialStarted {
        trial: usize,
        run: String,
        values: Values<'a>,
        rung: usize,
        from: u64,
        until: u64,
    },
    TrialDone {
        trial: usize,
        run: String,
        rung: usize,
        outcome: TrialOutcome,
        step: u64,
        val_loss: Option<f64>,
        bits_per_byte: Option<f64>,
        message: Option<&'a str>,
    },
    RungDone {
        rung: usize,
        on: Vec<usize>,
        left: Vec<usize>,
    },
    Ranked {
        rank: usize,
        trial: usize,
        run: String,
        values: Values<'a>,
        set: String,
        outcome: TrialOutcome,
        step: u64,
        val_loss: Option<f64>,
        bits_per_byte: Option<f64>,
    },
    SweepFinished {
        complete: bool,
        best: Option<usize>,
        set: Option<String>,
    },
}

/// Pairs as an object, in their order.
struct Values<'a>(&'a [(String, String)]);

impl Serialize for Values<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl Reporter<'_> {
    fn line(&mut self, line: &Line<'_>) {
        match serde_json::to_string(line) {
            Ok(text) => self.print(&text),
            Err(error) => tracing::error!(%error, "a line of a sweep could not be written"),
        }
    }

    fn print(&mut self, text: &str) {
        let written = writeln!(self.out, "{text}").and_then(|()| self.out.flush());
        self.closed |= written.is_err();
    }

    pub fn event(&mut self, sweep: &Path, event: &SweepEvent) {
        match self.json {
            true => self.json_event(sweep, event),
            false => {
                if let Some(text) = words(&self.plan, sweep, event) {
                    self.print(&text);
                }
            }
        }
    }

    fn json_event(&mut self, sweep: &Path, event: &SweepEvent) {
        let plan = self.plan.clone();
        match event {
            SweepEvent::Started { threads, known } => self.line(&Line::SweepStarted {
                sweep,
                trials: plan.trials.len(),
                rungs: &plan.rungs,
                parallel: threads.parallel,
                threads: threads.each,
                metric: plan.metric,
                known_results: *known,
            }),
            SweepEvent::TrialStarted {
                trial,
                rung,
                from,
                until,
            } => self.line(&Line::TrialStarted {
                trial: trial + 1,
                run: trial_name(*trial),
                values: Values(&plan.trials[*trial].values),
                rung: rung + 1,
                from: *from,
                until: *until,
            }),
            SweepEvent::TrialDone(result) => self.line(&Line::TrialDone {
                trial: result.trial + 1,
                run: trial_name(result.trial),
                rung: result.rung + 1,
                outcome: result.outcome,
                step: result.step,
                val_loss: result.val_loss,
                bits_per_byte: result.bits_per_byte,
                message: result.message.as_deref(),
            }),
            SweepEvent::RungDone { rung, on, left } => self.line(&Line::RungDone {
                rung: rung + 1,
                on: on.iter().map(|trial| trial + 1).collect(),
                left: left.iter().map(|trial| trial + 1).collect(),
            }),
            SweepEvent::Waiting { .. } | SweepEvent::Stopping => {}
        }
    }

    /// The ranking, and the best.
    pub fn end(&mut self, sweep: &Path, results: &[TrialResult], end: End) {
        let plan = self.plan.clone();
        if !self.json {
            let text = format!(
                "\n{}\n{}",
                table(&plan, results),
                best_lines(&plan, sweep, results, end)
            );
            return self.print(text.trim_end());
        }
        let ranking = halving::ranking(results, plan.metric);
        for (at, result) in ranking.iter().enumerate() {
            let trial = &plan.trials[result.trial];
            self.line(&Line::Ranked {
                rank: at + 1,
                trial: result.trial + 1,
                run: trial_name(result.trial),
                values: Values(&trial.values),
                set: trial.sets(),
                outcome: result.outcome,
                step: result.step,
                val_loss: result.val_loss,
                bits_per_byte: result.bits_per_byte,
            });
        }
        let best = best(&plan, results);
        self.line(&Line::SweepFinished {
            complete: end == End::Finished,
            best: best.map(|result| result.trial + 1),
            set: best.map(|result| plan.trials[result.trial].sets()),
        });
    }
}

fn words(plan: &SweepPlan, sweep: &Path, event: &SweepEvent) -> Option<String> {
    let name = |trial: &usize| trial_name(*trial);
    let names = |trials: &[usize]| trials.iter().map(name).collect::<Vec<_>>().join(", ");
    Some(match event {
        SweepEvent::Started { threads, known } => {
            let steps: Vec<String> = plan.rungs.iter().map(ToString::to_string).collect();
            let known = match known {
                0 => String::new(),
                1 => "\n1 result is there already".to_string(),
                n => format!("\n{n} results are there already"),
            };
            format!(
                "{}\n{} up to step {}, {} at a time with {} each{known}",
                sweep.display(),
                counted(plan.trials.len(), "trial"),
                steps.join(", the best up to "),
                threads.parallel,
                counted(threads.each, "thread")
            )
        }
        SweepEvent::TrialStarted {
            trial, from, until, ..
        } => {
            let from = match from {
                0 => String::new(),
                step => format!("from step {step} "),
            };
            format!(
                "start  {}  {from}to step {until}: {}",
                name(trial),
                plan.trials[*trial].words()
            )
        }
        SweepEvent::Waiting { trial } => {
            format!("wait   {}: its process is still saving", name(trial))
        }
        SweepEvent::TrialDone(result) => match result.outcome {
            TrialOutcome::Done => format!(
                "done   {}  step {}  validation {}  {} bits/byte",
                name(&result.trial),
                result.step,
                number(result.val_loss),
                number(result.bits_per_byte)
            ),
            TrialOutcome::Diverged | TrialOutcome::Failed => format!(
                "{}  {}  step {}: {}",
                match result.outcome {
                    TrialOutcome::Diverged => "diverged",
                    _ => "failed",
                },
                name(&result.trial),
                result.step,
                result.message.as_deref().unwrap_or("no reason is known")
            ),
        },
        SweepEvent::RungDone { on, left, .. } if !on.is_empty() => {
            format!("go on: {}; left behind: {}", names(on), names(left))
        }
        SweepEvent::RungDone { .. } => return None,
        SweepEvent::Stopping => {
            "stopping: the trials are saved first (once more to leave at once)".to_string()
        }
    })
}

fn number(value: Option<f64>) -> String {
    value.map_or("–".to_string(), |value| format!("{value:.4}"))
}

/// The best trial, where one came through.
fn best<'a>(plan: &SweepPlan, results: &'a [TrialResult]) -> Option<&'a TrialResult> {
    let ranking = halving::ranking(results, plan.metric);
    let first = ranking.first().copied()?;
    halving::score(first, plan.metric).map(|_| first)
}

/// Whether a trial has more rungs before it, or may have: the present one is not done.
fn goes_on(plan: &SweepPlan, results: &[TrialResult], result: &TrialResult) -> bool {
    halving::entering(
        plan.trials.len(),
        plan.halving,
        plan.metric,
        results,
        result.rung + 1,
    )
    .is_none_or(|next| next.contains(&result.trial))
}

/// The trials that have results, the best first; what was varied, a column each.
pub fn table(plan: &SweepPlan, results: &[TrialResult]) -> String {
    let ranking = halving::ranking(results, plan.metric);
    let mut header = vec!["rank".to_string(), "trial".to_string()];
    if let Some(trial) = plan.trials.first() {
        header.extend(trial.values.iter().map(|(key, _)| key.clone()));
    }
    header.extend(["step", "validation", "bits/byte", "outcome"].map(str::to_string));
    let mut rows = vec![header];
    for (at, result) in ranking.iter().enumerate() {
        let mut row = vec![(at + 1).to_string(), trial_name(result.trial)];
        let trial = &plan.trials[result.trial];
        row.extend(trial.values.iter().map(|(_, value)| value.clone()));
        row.extend([
            result.step.to_string(),
            number(result.val_loss),
            number(result.bits_per_byte),
            match (result.outcome, &result.message) {
                (TrialOutcome::Done, _) if result.rung + 1 == plan.rungs.len() => {
                    "finished".to_string()
                }
                (TrialOutcome::Done, _) if goes_on(plan, results, result) => "to go on".to_string(),
                (TrialOutcome::Done, _) => "left behind".to_string(),
                (TrialOutcome::Diverged, _) => "diverged".to_string(),
                (TrialOutcome::Failed, message) => {
                    let first = message.as_deref().and_then(|text| text.lines().next());
                    format!("failed: {}", first.unwrap_or("no reason is known"))
                }
            },
        ]);
        rows.push(row);
    }
    let columns = rows[0].len();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|c| width(c).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// What to do with the best trial, and how a sweep that was interrupted goes on.
pub fn best_lines(plan: &SweepPlan, sweep: &Path, results: &[TrialResult], end: End) -> String {
    let mut text = String::new();
    match best(plan, results) {
        Some(result) => {
            let trial = &plan.trials[result.trial];
            text.push_str(&format!(
                "{}: {} ({})\n",
                match end {
                    End::Finished => "best",
                    End::Interrupted => "best so far",
                },
                trial_name(result.trial),
                trial.words()
            ));
            let sets: Vec<String> = plan
                .sets
                .iter()
                .map(|set| format!("--set '{set}'"))
                .collect();
            let given = match sets.is_empty() {
                true => String::new(),
                false => format!(" {}", sets.join(" ")),
            };
            text.push_str(&format!(
                "fireside train {}{given} --steps {} {}\n",
                plan.config,
                plan.steps,
                trial.sets()
            ));
        }
        None => text.push_str("no trial has come through\n"),
    }
    if end == End::Interrupted {
        text.push_str(&format!(
            "interrupted: `fireside sweep --resume {}` goes on\n",
            sweep.display()
        ));
    }
    text
}
