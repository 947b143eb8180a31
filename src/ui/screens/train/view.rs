//! Everything a run told so far, as the panes read it. Grows only by its series, and by lists with a limit.

mod samples;

use std::collections::VecDeque;
use std::path::PathBuf;

pub use samples::{LiveSample, Sampled};

use super::knobs::Knobs;
use super::timeline::{Branch, author};
use crate::config::RunConfig;
use crate::control::RoleNow;
use crate::protocol::{
    CheckpointInfo, Edit, EditRecord, EvalReport, EventKind, FinishReason, FinishReport,
    LayerHealth, NoticeLevel, Phase, RemoteAct, Rewound, RunId, RunInfo, SchedulePoint, Spike,
    unknown_words,
};
use crate::run::History;
use crate::ui::format;
use crate::ui::keymap::Action;
use crate::ui::layout::Hint;
use crate::ui::series::{Metric, RunSeries, XAxis};
use crate::ui::widgets::chart::{clock, reading, short};

/// Lines kept by the event log.
const LOG_LINES: usize = 1000;
/// The weight of the past in smoothed lines, as `s` goes through them.
const SMOOTHING: [f64; 6] = [0.0, 0.6, 0.9, 0.97, 0.99, 0.999];

/// One line of the event log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    pub step: u64,
    /// Seconds of training.
    pub seconds: f64,
    pub level: NoticeLevel,
    pub text: String,
}

/// The process that trains a run on screen, where that is not this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trainer {
    /// Folder of the run.
    pub dir: PathBuf,
    pub pid: u32,
    /// Whether this process may steer, and who may.
    pub role: RoleNow,
    /// The process ended without a word.
    pub gone: bool,
}

/// The run as far as it is known.
#[derive(Debug)]
pub struct RunView {
    pub run: RunId,
    /// The process that trains the run, where that is another one.
    pub trainer: Option<Trainer>,
    /// The process that steers the run from outside, where it is trained here.
    pub steered_by: Option<u32>,
    /// The one in force now.
    pub config: RunConfig,
    /// What can be changed, and what is about to be.
    pub knobs: Knobs,
    pub info: Option<Box<RunInfo>>,
    pub phase: Phase,
    /// The newest step that was reported.
    pub step: u64,
    /// The newest step of which a checkpoint is on disk.
    pub saved_step: Option<u64>,
    /// It was paused, and nothing was trained since.
    stood: bool,
    /// The loss was no number when training stood last, and nothing was trained since.
    pub diverged: bool,
    /// Multiplies the schedule's learning rate now.
    pub multiplier: f64,
    pub series: RunSeries,
    /// The weight of the past in smoothed lines.
    pub smoothing: f64,
    pub evaluations: Vec<EvalReport>,
    pub samples: Vec<Sampled>,
    pub live: Option<LiveSample>,
    pub checkpoints: Vec<CheckpointInfo>,
    pub edits: Vec<EditRecord>,
    /// Steps at which the run was taken up again.
    pub resumed: Vec<u64>,
    pub spikes: Vec<Spike>,
    /// Rewinds of the surviving timeline, and what each rewind left.
    pub rewinds: Vec<Rewound>,
    pub branches: Vec<Branch>,
    /// The run that this one is held against.
    pub pinned: Option<Pinned>,
    /// What it is a fork of: `gpt-stories-001 @400`.
    pub lineage: Option<String>,
    /// The folder of the run it is a fork of, until what that went through is asked for.
    pub parent: Option<std::path::PathBuf>,
    pub schedule: Vec<SchedulePoint>,
    pub health: Vec<LayerHealth>,
    pub log: VecDeque<LogLine>,
    pub finish: Option<FinishReport>,
    pub failure: Option<String>,
}

/// A run whose best validation loss is a line on the loss of every other.
#[derive(Debug, Clone, PartialEq)]
pub struct Pinned {
    pub name: String,
    /// Its best: the one measure in which runs with different tokenizers compare.
    pub bits_per_byte: f64,
}

impl RunView {
    pub fn new(run: RunId, config: RunConfig) -> Self {
        let mut view = Self {
            run,
            knobs: Knobs::new(&config),
            trainer: None,
            steered_by: None,
            config,
            info: None,
            phase: Phase::Idle,
            step: 0,
            saved_step: None,
            stood: false,
            diverged: false,
            multiplier: 1.0,
            series: RunSeries::default(),
            smoothing: 0.0,
            evaluations: Vec::new(),
            pinned: None,
            samples: Vec::new(),
            live: None,
            checkpoints: Vec::new(),
            edits: Vec::new(),
            resumed: Vec::new(),
            spikes: Vec::new(),
            rewinds: Vec::new(),
            branches: Vec::new(),
            lineage: None,
            parent: None,
            schedule: Vec::new(),
            health: Vec::new(),
            log: VecDeque::new(),
            finish: None,
            failure: None,
        };
        view.set_smoothing(0.9);
        view
    }

    /// Takes in one event of this run.
    pub fn apply(&mut self, event: EventKind) {
        match event {
            EventKind::Phase(phase) => self.enter(phase),
            EventKind::Started(info) => {
                self.step = self.step.max(info.start_step);
                let parameters = reading(info.parameters as f64);
                self.say(
                    NoticeLevel::Info,
                    format!("{parameters} parameters on {}", info.device),
                );
                if info.start_step > 0 {
                    self.saved_step = self.saved_step.max(Some(info.start_step));
                    self.resumed.push(info.start_step);
                    let text = match &self.lineage {
                        Some(lineage) => format!("forked from {lineage}"),
                        None => format!("resumed from step {}", info.start_step),
                    };
                    self.say(NoticeLevel::Info, text);
                }
                let config = info.config.clone();
                self.info = Some(info);
                // Nothing of the info follows from the config that was shown until now.
                self.config = config.clone();
                self.adopt(config);
            }
            EventKind::Steps(reports) => {
                for report in &reports {
                    self.series.push(report);
                    self.step = report.step;
                }
                self.knobs.step_on(&self.config, self.step);
            }
            EventKind::Evaluated(report) => self.evaluated(report),
            EventKind::SamplePiece {
                step,
                prompt,
                piece,
            } => self.piece(step, prompt, piece),
            EventKind::SampleDone(record) => self.sampled(record),
            EventKind::Checkpointed(info) => {
                self.saved_step = self.saved_step.max(Some(info.step));
                if !self.is_told_again(info.step) {
                    let size = format::bytes(info.bytes);
                    self.say(
                        NoticeLevel::Info,
                        format!("checkpoint of step {} ({size})", info.step),
                    );
                }
                self.checkpoints.push(info);
            }
            EventKind::Edited(record) => self.edited(record),
            EventKind::Rewound(rewound) => self.rewound(rewound),
            EventKind::Spiked(spike) => {
                self.say(NoticeLevel::Warning, spike_words(&spike));
                self.spikes.push(spike);
            }
            EventKind::Remote(remote) => {
                self.say(NoticeLevel::Info, remote.to_string());
                match remote.act {
                    RemoteAct::TookControls => self.steered_by = Some(remote.pid),
                    RemoteAct::LeftControls => self.steered_by = None,
                    RemoteAct::Asked(_) => {}
                }
            }
            EventKind::RatePoint(_) | EventKind::RateFound(_) => {}
            EventKind::Health { layers, .. } => self.health = layers,
            EventKind::Schedule(points) => self.schedule = points,
            EventKind::Notice(notice) => self.say(notice.level, notice.message),
            EventKind::Finished(report) => {
                let why = match report.reason {
                    FinishReason::Completed => "finished: all steps are done",
                    FinishReason::EarlyStopped => "finished early: no improvement any more",
                    FinishReason::Stopped => "stopped",
                };
                self.say(NoticeLevel::Info, why.into());
                self.live = None;
                self.finish = Some(report);
                self.phase = Phase::Finished;
            }
            EventKind::Failed { message, .. } => {
                self.say(NoticeLevel::Error, message.clone());
                self.live = None;
                self.failure = Some(message);
                self.phase = Phase::Failed;
            }
            EventKind::Previewed { .. } => {}
        }
    }

    /// Puts what the run wrote before it was taken up again in front of what came since.
    pub fn prepend(&mut self, history: History) {
        let start = self.info.as_ref().map_or(u64::MAX, |info| info.start_step);
        if self.lineage.is_none()
            && let Some(parent) = &history.parent
        {
            let name = std::path::Path::new(&parent.run).file_name();
            let name =
                name.map_or_else(|| parent.run.clone(), |n| n.to_string_lossy().into_owned());
            self.lineage = Some(format!("{name} @{}", parent.step));
        }
        self.recall(&history, start);
        let steps = &history.steps;
        let common = steps.partition_point(|report| report.step <= start);
        self.prepend_branches(history.left, &steps[..common]);
        let since = std::mem::take(&mut self.series);
        for metric in Metric::ALL {
            self.series.set_smoothing(metric, self.smoothing);
        }
        for report in history.steps.iter().filter(|report| report.step <= start) {
            self.series.push(report);
        }
        for report in (0..since.len()).filter_map(|index| since.report(index)) {
            self.series.push(&report);
        }
        self.step = self
            .step
            .max(self.series.last().map_or(0, |report| report.step));

        prepend(
            &mut self.evaluations,
            history.evaluations,
            |e| e.step,
            start,
        );
        let before = history.samples.into_iter().map(|record| Sampled {
            record,
            pieces: Vec::new(),
        });
        prepend(
            &mut self.samples,
            before.collect(),
            |s| s.record.step,
            start,
        );
        self.thin_samples();
        prepend(
            &mut self.checkpoints,
            history.checkpoints,
            |c| c.step,
            start,
        );
        prepend(&mut self.edits, history.edits, |edit| edit.step, start);
        let multiplier = |record: &EditRecord| match record.edit {
            Edit::LearningRateMultiplier(multiplier) => Some(multiplier),
            Edit::Set(_) => None,
        };
        if let Some(multiplier) = self.edits.iter().rev().find_map(multiplier) {
            self.multiplier = multiplier;
        }
        prepend(&mut self.spikes, history.spikes, |s| s.step, start);
        prepend(&mut self.resumed, history.resumed, |step| *step, start);
        self.resumed.dedup();
    }

    /// The edits and spikes of before, as lines of the log in front of those since.
    fn recall(&mut self, history: &History, start: u64) {
        let line = |step: u64, level, text| {
            let at = history.steps.partition_point(|report| report.step < step);
            let seconds = history.steps.get(at).or(history.steps.last());
            LogLine {
                step,
                seconds: seconds.map_or(0.0, |report| report.seconds),
                level,
                text,
            }
        };
        let edits = history.edits.iter().map(|record| {
            let (step, by) = (record.step, author(record.by));
            let text = format!("{} from step {step}, {by}", record.edit);
            line(step, NoticeLevel::Info, text)
        });
        let spikes = history
            .spikes
            .iter()
            .map(|spike| line(spike.step, NoticeLevel::Warning, spike_words(spike)));
        let rewinds = history.left.iter().map(|left| {
            let (from, step) = (left.rewound.from, left.rewound.step);
            let text = format!("went back from step {from} to {step}");
            line(step, NoticeLevel::Info, text)
        });
        // What was said since the run was taken up did not know its step and its time yet.
        let known = history.steps.partition_point(|report| report.step <= start);
        if let Some(newest) = history.steps[..known].last() {
            for since in &mut self.log {
                since.step = since.step.max(newest.step);
                since.seconds = since.seconds.max(newest.seconds);
            }
        }
        let mut before: Vec<LogLine> = edits.chain(spikes).chain(rewinds).collect();
        before.retain(|line| line.step <= start);
        before.sort_by_key(|line| line.step);
        for line in before.into_iter().rev() {
            if self.log.len() < LOG_LINES {
                self.log.push_front(line);
            }
        }
    }

    /// Seconds and tokens of the newest step, for the log and the header.
    pub fn seconds(&self) -> f64 {
        self.series.last().map_or(0.0, |report| report.seconds)
    }

    /// Where `step` lies on an axis; beyond the newest step as it would be at the present pace.
    pub fn place(&self, axis: XAxis, step: f64) -> f64 {
        let Some(last) = self.series.last() else {
            return match axis {
                XAxis::Step => step,
                _ => 0.0,
            };
        };
        let ahead = step - last.step as f64;
        match axis {
            XAxis::Step => step,
            _ if ahead <= 0.0 => self.series.translate(XAxis::Step, axis, step),
            XAxis::Tokens => {
                let each = self.info.as_ref().map_or(0, |info| info.tokens_per_step);
                last.tokens as f64 + ahead * each as f64
            }
            XAxis::Seconds => last.seconds + ahead * self.seconds_per_step(),
        }
    }

    /// Over the last few hundred steps.
    pub fn seconds_per_step(&self) -> f64 {
        let Some(last) = self.series.len().checked_sub(1) else {
            return 0.0;
        };
        let first = last.saturating_sub(200);
        let axis = XAxis::Seconds;
        let span = self.series.x(axis, last) - self.series.x(axis, first);
        if last > first {
            span / (last - first) as f64
        } else {
            self.series.last().map_or(0.0, |report| report.ms / 1e3)
        }
    }

    pub fn total_steps(&self) -> u64 {
        self.info
            .as_ref()
            .map_or(self.config.train.steps, |info| info.total_steps)
    }

    /// The next weight of smoothing, around the circle.
    pub fn cycle_smoothing(&mut self) {
        let at = SMOOTHING
            .iter()
            .position(|weight| *weight == self.smoothing);
        self.set_smoothing(SMOOTHING[at.map_or(0, |at| at + 1) % SMOOTHING.len()]);
    }

    pub fn set_smoothing(&mut self, weight: f64) {
        self.smoothing = weight;
        let branches = self.branches.iter_mut().map(|branch| &mut branch.series);
        for series in branches.chain([&mut self.series]) {
            for metric in Metric::ALL {
                series.set_smoothing(metric, weight);
            }
        }
    }

    /// What a key does at this moment, in the footer's words; nothing where it does nothing.
    pub fn key_now(&self, action: Action, hint: &'static str) -> Option<Hint> {
        let over = matches!(
            self.phase,
            Phase::Finished | Phase::Failed | Phase::Idle | Phase::Stopping
        );
        let gone = self.trainer.as_ref().is_some_and(|trainer| trainer.gone);
        match action {
            Action::ApplyEdit if over => gone.then(|| Hint::first("take up")),
            Action::ApplyEdit | Action::DiscardEdit => {
                (!over && self.knobs.is_pending()).then(|| Hint::first(hint))
            }
            Action::Undo => (!over && !self.edits.is_empty()).then(|| Hint::usual(hint)),
            Action::TogglePause
            | Action::StepOnce
            | Action::RunSteps
            | Action::Save
            | Action::Evaluate
            | Action::SampleNow
            | Action::LearningRateDown
            | Action::LearningRateUp
                if over =>
            {
                None
            }
            Action::TogglePause if self.stands() => Some(Hint::usual("resume")),
            _ => Some(Hint::usual(hint)),
        }
    }

    /// Whether training stands still, also while it does something else that was asked for.
    pub fn stands(&self) -> bool {
        match self.phase {
            Phase::Paused | Phase::Diverged { .. } => true,
            Phase::Evaluating { .. } | Phase::Sampling => self.stood || self.diverged,
            _ => false,
        }
    }

    /// The run was told to go on: what it does yet it does on the way.
    pub fn goes_on(&mut self) {
        self.stood = false;
    }

    pub(super) fn say(&mut self, level: NoticeLevel, text: String) {
        if self.log.len() == LOG_LINES {
            self.log.pop_front();
        }
        self.log.push_back(LogLine {
            step: self.step,
            seconds: self.seconds(),
            level,
            text,
        });
    }

    fn enter(&mut self, phase: Phase) {
        use NoticeLevel::{Error, Info};
        // The training thread is free again; how the run ended is what there is to say.
        if phase == Phase::Idle && (self.finish.is_some() || self.failure.is_some()) {
            return;
        }
        let line = match (&self.phase, &phase) {
            (Phase::Loading { .. }, Phase::Loading { .. }) => None,
            (_, Phase::Loading { what, .. }) => Some((Info, format!("loading: {what}"))),
            (Phase::Evaluating { .. } | Phase::Sampling | Phase::Training, Phase::Training) => None,
            (_, Phase::Training) => Some((Info, "training".to_string())),
            (_, Phase::Compiling) => Some((Info, "compiling kernels".to_string())),
            // What was asked for while it stood still is done.
            (Phase::Paused | Phase::Evaluating { .. } | Phase::Sampling, Phase::Paused)
                if self.stood =>
            {
                None
            }
            (_, Phase::Paused) => Some((Info, "paused".to_string())),
            (_, Phase::Stopping) => Some((Info, "saving before the end".to_string())),
            (_, Phase::Diverged { message, .. }) => Some((Error, message.clone())),
            _ => None,
        };
        self.stood = match phase {
            Phase::Paused => true,
            Phase::Evaluating { .. } | Phase::Sampling => self.stood,
            _ => false,
        };
        match phase {
            Phase::Diverged { .. } => self.diverged = true,
            Phase::Training | Phase::Paused | Phase::Loading { .. } => self.diverged = false,
            _ => {}
        }
        self.phase = phase;
        if let Some((level, text)) = line {
            self.say(level, text);
        }
    }

    fn evaluated(&mut self, report: EvalReport) {
        let best = if report.best { ", best" } else { "" };
        let unknown = unknown_words(report.unknown_fraction);
        let unknown = unknown.map_or(String::new(), |words| format!(", {words}"));
        self.say(
            NoticeLevel::Info,
            format!(
                "val {}, perplexity {}{unknown}{best}",
                reading(report.val_loss),
                reading(report.perplexity)
            ),
        );
        let keep = self.evaluations.partition_point(|e| e.step < report.step);
        self.evaluations.truncate(keep);
        self.evaluations.push(report);
    }

    /// `12:30  step 1200` for a line of the log.
    pub fn stamp(line: &LogLine) -> String {
        format!("{:>6} {:>6}", clock(line.seconds.floor()), line.step)
    }
}

/// `before`, up to step `start`, then what `list` has beyond its end.
fn prepend<T>(list: &mut Vec<T>, mut before: Vec<T>, step: impl Fn(&T) -> u64, start: u64) {
    before.retain(|item| step(item) <= start);
    let known = before.last().map(&step);
    let since = std::mem::take(list);
    before.extend(
        since
            .into_iter()
            .filter(|item| known.is_none_or(|known| step(item) > known)),
    );
    *list = before;
}

pub(super) fn spike_words(spike: &Spike) -> String {
    format!(
        "the loss rose to {} at step {} from a mean of {}",
        short(spike.loss),
        spike.step,
        short(spike.mean)
    )
}
