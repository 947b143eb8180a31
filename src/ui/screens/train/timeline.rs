//! What edits, rewinds and resumes make of what is known of a run: the config in force, the branches that were left,
//! and which edits were taken back.

use super::RunView;
use super::knobs::InForce;
use crate::config::{self, RunConfig};
use crate::protocol::{Edit, EditAuthor, EditRecord, EvalReport, NoticeLevel, Rewound, StepReport};
use crate::run::{LeftBranch, Record};
use crate::ui::series::{Metric, RunSeries, XAxis};
use crate::ui::widgets::chart::short;
use crate::words::counted;

/// Branches kept for the charts: of more, the newest.
const BRANCHES: usize = 8;
/// Steps before the fork that a branch also holds, so that its smoothed line begins where the other's was.
const LEAD: usize = 200;

/// What was trained and then left by a rewind.
#[derive(Debug)]
pub struct Branch {
    /// The step that the run went back to, and the last that had been trained.
    pub at: u64,
    pub from: u64,
    /// Begins some steps before `at`.
    pub series: RunSeries,
    pub evaluations: Vec<EvalReport>,
}

impl Branch {
    fn new(
        rewound: &Rewound,
        smoothing: f64,
        steps: impl Iterator<Item = StepReport>,
        evaluations: Vec<EvalReport>,
    ) -> Self {
        let mut series = RunSeries::default();
        for report in steps {
            series.push(&report);
        }
        for metric in Metric::ALL {
            series.set_smoothing(metric, smoothing);
        }
        Self {
            at: rewound.step,
            from: rewound.from,
            series,
            evaluations,
        }
    }

    /// The first point that lies on the branch proper.
    pub fn start(&self) -> usize {
        self.series.index_at(XAxis::Step, self.at as f64)
    }
}

/// What became of an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EditState {
    InForce,
    /// A later edit put back what was there before.
    Undone,
    /// It put back what was there before another.
    Undoing,
}

/// Which of the edits were taken back by later ones: an edit that is exactly the undo of the newest before it that still
/// stands.
pub fn edit_states(edits: &[EditRecord]) -> Vec<EditState> {
    let mut states = vec![EditState::InForce; edits.len()];
    let mut standing: Vec<usize> = Vec::new();
    for (at, record) in edits.iter().enumerate() {
        match standing.last() {
            Some(&last) if edits[last].undo.as_ref() == Some(&record.edit) => {
                states[last] = EditState::Undone;
                states[at] = EditState::Undoing;
                standing.pop();
            }
            _ => standing.push(at),
        }
    }
    states
}

/// Who made an edit, for the end of a sentence.
pub fn author(by: EditAuthor) -> &'static str {
    match by {
        EditAuthor::User => "by you",
        EditAuthor::Policy => "by train.on_spike",
        EditAuthor::Start => "given at the start",
        EditAuthor::Replay => "from the run that is replayed",
    }
}

impl RunView {
    /// What the knobs are held against.
    pub fn in_force(&self) -> InForce<'_> {
        InForce {
            config: &self.config,
            multiplier: self.multiplier,
            step: self.step,
        }
    }

    /// What is told of this step is of a branch that is taken up again, and was said when it happened.
    pub fn is_told_again(&self, step: u64) -> bool {
        let again = self.rewinds.last().and_then(|rewound| rewound.onto);
        again.is_some_and(|onto| step <= onto)
    }

    /// The newest edit that nothing has taken back.
    pub fn last_edit(&self) -> Option<&EditRecord> {
        let states = edit_states(&self.edits);
        let newest = states.iter().rposition(|s| *s == EditState::InForce)?;
        self.edits.get(newest)
    }

    /// `config` is in force from now on.
    pub fn adopt(&mut self, config: RunConfig) {
        if let Some(info) = &mut self.info {
            let windows = |config: &RunConfig| {
                let train = &config.train;
                (train.batch_size * train.gradient_accumulation) as u64
            };
            let (before, after) = (windows(&self.config).max(1), windows(&config));
            if before != after {
                info.tokens_per_step = info.tokens_per_step / before * after;
            }
            if self.config.train.steps != config.train.steps {
                info.total_steps = config.train.steps;
            }
        }
        self.config = config;
        self.knobs.follow(&self.config, self.step);
    }

    pub(super) fn edited(&mut self, record: EditRecord) {
        self.force(&record);
        // A run that is taken up says its multiplier once more: the history has that edit.
        let start = self.info.as_ref().map_or(0, |info| info.start_step);
        if record.step <= start {
            return;
        }
        self.edits.push(record);
        let states = edit_states(&self.edits);
        if let (Some(record), Some(state)) = (self.edits.last(), states.last()) {
            let how = match state {
                EditState::Undoing => "undone: ",
                _ => "",
            };
            let text = format!(
                "{how}{} from step {}, {}",
                record.edit,
                record.step,
                author(record.by)
            );
            self.say(NoticeLevel::Info, text);
        }
    }

    /// Puts what an edit says in force.
    fn force(&mut self, record: &EditRecord) {
        match &record.edit {
            Edit::LearningRateMultiplier(multiplier) => self.multiplier = *multiplier,
            Edit::Set(_) => match changed(&self.config, &record.edit, record.step) {
                Some(config) => self.adopt(config),
                None => self.say(
                    NoticeLevel::Warning,
                    format!("the edit of step {} cannot be shown here", record.step),
                ),
            },
        }
    }

    /// The config and the multiplier as they were before the edits after `step`.
    pub fn as_of(&self, step: u64) -> (RunConfig, f64) {
        let mut config = self.config.clone();
        let mut multiplier = self.multiplier;
        let kept = self.edits.iter().take_while(|e| e.step <= step).count();
        for record in self.edits[kept..].iter().rev() {
            match (&record.edit, &record.undo) {
                (_, Some(Edit::LearningRateMultiplier(before))) => multiplier = *before,
                // Written before edits carried their undo.
                (Edit::LearningRateMultiplier(_), _) => {
                    let before = |record: &EditRecord| match record.edit {
                        Edit::LearningRateMultiplier(multiplier) => Some(multiplier),
                        Edit::Set(_) => None,
                    };
                    let earlier = self.edits.iter().take_while(|other| *other != record);
                    multiplier = earlier.filter_map(before).last().unwrap_or(1.0);
                }
                (_, Some(undo)) => {
                    if let Some(before) = changed(&config, undo, record.step) {
                        config = before;
                    }
                }
                (Edit::Set(_), None) => {}
            }
        }
        (config, multiplier)
    }

    /// Keeps what survives a rewind, and what was left as a branch of its own.
    pub(super) fn rewound(&mut self, rewound: Rewound) {
        let step = rewound.step;
        let (config, multiplier) = self.as_of(step);
        let first = self.series.index_at(XAxis::Step, step as f64);
        let steps = (first.saturating_sub(LEAD)..self.series.len())
            .filter_map(|index| self.series.report(index));
        let kept = self.evaluations.partition_point(|e| e.step <= step);
        let left = self.evaluations.split_off(kept);
        if self.series.last().is_some_and(|last| last.step > step) {
            let branch = Branch::new(&rewound, self.smoothing, steps, left);
            self.keep_branch(branch);
        }
        self.series.forget_from(step + 1);
        self.step = step;
        self.multiplier = multiplier;
        self.samples.retain(|sample| sample.record.step <= step);
        self.live = None;
        self.checkpoints
            .retain(|checkpoint| checkpoint.step <= step);
        self.saved_step = Some(step);
        self.edits.retain(|edit| edit.step <= step);
        self.spikes.retain(|spike| spike.step <= step);
        self.resumed.retain(|resumed| *resumed <= step);
        self.rewinds.retain(|earlier| earlier.step <= step);
        self.adopt(config);
        let left = rewound.from.saturating_sub(step);
        let who = match rewound.by {
            EditAuthor::User => "",
            by => &format!(", {}", author(by)),
        };
        let onto = match rewound.onto {
            Some(onto) => format!(", then on to step {onto} of a branch left there before"),
            None => String::new(),
        };
        self.say(
            NoticeLevel::Info,
            format!(
                "went back from step {} to {step}{onto}{who}; {} left behind",
                rewound.from,
                counted(left, "step")
            ),
        );
        self.rewinds.push(rewound);
    }

    fn keep_branch(&mut self, branch: Branch) {
        if self.branches.len() == BRANCHES {
            self.branches.remove(0);
        }
        self.branches.push(branch);
    }

    /// The branches of a run that was read from disk, in front of those left since.
    pub(super) fn prepend_branches(&mut self, left: Vec<LeftBranch>, steps: &[StepReport]) {
        let since = std::mem::take(&mut self.branches);
        for branch in left {
            let rewound = branch.rewound;
            let end = steps.partition_point(|report| report.step <= rewound.step);
            let lead = steps[end.saturating_sub(LEAD)..end].iter().copied();
            let mut evaluations = Vec::new();
            let mut reports = Vec::new();
            for record in branch.records {
                match record {
                    Record::Step(report) => reports.push(report),
                    Record::Eval(report) => evaluations.push(report),
                    _ => {}
                }
            }
            if !reports.is_empty() {
                let all = lead.chain(reports);
                let branch = Branch::new(&rewound, self.smoothing, all, evaluations);
                self.keep_branch(branch);
            }
        }
        for branch in since {
            self.keep_branch(branch);
        }
    }

    /// From the first step to the last, branches included.
    pub fn extent(&self, axis: XAxis) -> Option<(f64, f64)> {
        let branches = self.branches.iter().filter_map(|b| b.series.extent(axis));
        let ends = self.series.extent(axis).into_iter().chain(branches);
        ends.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// The question that a spike has left open: it was not passed by training on.
    pub fn open_spike(&self) -> Option<String> {
        let spike = self.spikes.last().filter(|spike| spike.step >= self.step)?;
        Some(format!(
            "At step {} the loss rose to {}, from a mean of {} before it.",
            spike.step,
            short(spike.loss),
            short(spike.mean)
        ))
    }
}

/// `config` with an edit that took effect at `step`.
fn changed(config: &RunConfig, edit: &Edit, step: u64) -> Option<RunConfig> {
    match edit {
        Edit::LearningRateMultiplier(_) => Some(config.clone()),
        Edit::Set(changes) => config::change(config, changes, step.saturating_sub(1)).ok(),
    }
}
