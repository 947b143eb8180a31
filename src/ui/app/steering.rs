//! Steering a run by its knobs and its moments: applying what is pending, taking it back, going back, forking, new
//! schedules, and what to do when the loss went wrong.

pub(super) mod moments;
pub(super) mod sheets;

use super::*;
use crate::config::{Changes, Draft, field};
use crate::protocol::{CheckpointReason, Edit, EditAuthor, EditRecord};
use crate::run::checkpoint::CheckpointEntry;
use crate::ui::screens::train::RunView;

use moments::{Moment, Moments, Purpose};
use sheets::{ForkSheet, ScheduleSheet};

/// A checkpoint on disk, and the config that it holds a copy of.
#[derive(Debug, Clone)]
pub struct Found {
    pub entry: CheckpointEntry,
    pub config: Option<Box<RunConfig>>,
}

/// How long a question that nobody asked for takes no answer.
const UNSEEN: Duration = Duration::from_millis(700);

/// What of steering lies over the screen.
#[derive(Debug)]
pub(super) enum Steer {
    Moments(Moments),
    Schedule(ScheduleSheet),
    Fork(Box<ForkSheet>),
}

impl Steer {
    pub fn context(&self) -> Context {
        match self {
            Steer::Moments(_) => Context::Checkpoints,
            Steer::Schedule(_) | Steer::Fork(_) => Context::Text,
        }
    }

    pub fn render(&self, theme: &Theme, screen: Rect, buffer: &mut ratatui::buffer::Buffer) {
        match self {
            Steer::Moments(moments) => moments.render(theme, screen, buffer),
            Steer::Schedule(schedule) => schedule.sheet.render(theme, screen, buffer),
            Steer::Fork(fork) => fork.sheet.render(theme, screen, buffer),
        }
    }
}

impl App {
    /// Sends everything that is pending, or says what is wrong and sends nothing.
    pub(super) fn apply_edits(&mut self, effects: &mut Vec<Effect>) {
        if !self
            .train
            .as_ref()
            .is_some_and(|t| t.view.knobs.is_pending())
        {
            return;
        }
        if !self.still_trains(effects) {
            return;
        }
        let Some(train) = &mut self.train else {
            return;
        };
        let view = &mut train.view;
        match view.knobs.take(&view.config, view.step) {
            Ok(edits) => {
                for edit in edits {
                    self.send_edit(edit, effects);
                }
            }
            Err(problems) => {
                if let Some(at) = view.knobs.first_problem() {
                    let key = view.knobs.rows()[at].key();
                    train.show_knob(key);
                }
                let text = format!("nothing was sent: {}", problems.join("; "));
                self.notify(NoticeLevel::Warning, text, effects);
            }
        }
    }

    pub(super) fn send_edit(&mut self, edit: Edit, effects: &mut Vec<Effect>) {
        let text = format!("{edit}: sent, not in force yet");
        self.sent.push((self.next_notice, edit.clone()));
        effects.push(Effect::Send(Command::Set { edit }));
        self.notify(NoticeLevel::Info, text, effects);
    }

    /// The training thread has made an edit. Of one that was sent from here it is said, in place of that it was sent.
    pub(super) fn edit_in_force(&mut self, record: &EditRecord, effects: &mut Vec<Effect>) {
        // A new schedule comes back with its first step filled in: its keys say that it is the same.
        let is_it = |sent: &Edit| match (sent, &record.edit) {
            (Edit::Set(sent), Edit::Set(made)) => sent.keys().eq(made.keys()),
            (sent, made) => sent == made,
        };
        let (answered, waiting) = std::mem::take(&mut self.sent)
            .into_iter()
            .partition::<Vec<_>, _>(|(_, edit)| record.by == EditAuthor::User && is_it(edit));
        self.sent = waiting;
        if !answered.is_empty() {
            self.take_back(&answered);
            let text = format!("{}: in force from step {} on", record.edit, record.step);
            self.notify(NoticeLevel::Info, text, effects);
        }
    }

    /// The training thread objects to something: that edits were sent is no longer worth saying beside it.
    pub(super) fn edits_answered(&mut self) {
        let sent = std::mem::take(&mut self.sent);
        self.take_back(&sent);
        self.sent = sent;
    }

    fn take_back(&mut self, sent: &[(u64, Edit)]) {
        self.notices
            .retain(|(id, _)| sent.iter().all(|(other, _)| other != id));
    }

    /// Whether there is a run to steer; says so where there is none.
    pub(super) fn still_trains(&mut self, effects: &mut Vec<Effect>) -> bool {
        let active = self.active().is_some();
        if !active {
            let text = "the run is over; H goes home to start another".to_string();
            self.notify(NoticeLevel::Info, text, effects);
        }
        active
    }

    /// Reads which checkpoints there are, for a question that is put when they are known.
    pub(super) fn look_for_checkpoints(&mut self, purpose: Purpose, effects: &mut Vec<Effect>) {
        // A run that is over can still be forked, and go back to go on from there.
        let of_any_run = matches!(
            purpose,
            Purpose::Fork | Purpose::Rewind | Purpose::RewindTo(_)
        );
        if !of_any_run && !self.still_trains(effects) {
            return;
        }
        let Some(train) = &self.train else {
            return;
        };
        if purpose == Purpose::Undo && train.view.last_edit().is_none() {
            let text = match train.view.edits.is_empty() {
                true => "nothing was edited yet",
                false => "every edit has been undone",
            };
            return self.notify(NoticeLevel::Info, text.to_string(), effects);
        }
        match &train.view.info {
            Some(info) => effects.push(Effect::LoadCheckpoints {
                run: train.view.run,
                dir: info.dir.clone(),
                purpose,
            }),
            None => {
                let text = "the run is still loading".to_string();
                self.notify(NoticeLevel::Info, text, effects);
            }
        }
    }

    /// Puts the question that waited for the checkpoints.
    pub(super) fn checkpoints_found(
        &mut self,
        purpose: Purpose,
        found: Vec<Found>,
        effects: &mut Vec<Effect>,
    ) {
        // Another process would have to save it first.
        let from_now = self.local().is_some();
        let Some(train) = &self.train else {
            return;
        };
        // Whoever types or answers something else meanwhile is not interrupted.
        if self.overlay.is_some() || train.is_typing() {
            if let Purpose::Spike { words } = purpose {
                self.notify(NoticeLevel::Warning, words, effects);
            }
            return;
        }
        let view = &train.view;
        let moments: Vec<Moment> = found
            .into_iter()
            .map(|found| Moment::new(view, found))
            .collect();
        let usable = |moment: &&Moment| !moment.left;
        let overlay = match purpose {
            Purpose::Undo => {
                let Some(record) = view.last_edit() else {
                    return;
                };
                // One made for it; or else the first of that step, which was there already.
                let of_step = |moment: &&Moment| moment.step + 1 == record.step;
                let made_for_it = |moment: &&Moment| moment.reason == CheckpointReason::Edit;
                let mut there = moments.iter().filter(usable).filter(of_step);
                let found = there.clone().find(made_for_it).or(there.next_back());
                let go_back = found.map(|moment| (moment.name.clone(), moment.step));
                if record.undo.is_none() && go_back.is_none() {
                    let text = format!("{}: how to take it back is not known", record.edit);
                    return self.notify(NoticeLevel::Warning, text, effects);
                }
                Overlay::Dialog(Dialog::undo(record, go_back, view.step))
            }
            Purpose::Spike { words } => {
                // A spike shows in the mean of four losses; weights that give no number do so again.
                let latest = match &view.phase {
                    Phase::Diverged { step, .. } => step.saturating_sub(2),
                    _ => {
                        let at = view.spikes.last().map_or(view.step, |spike| spike.step);
                        at.saturating_sub(5)
                    }
                };
                let before = moments
                    .iter()
                    .filter(usable)
                    .find(|moment| moment.step <= latest);
                let checkpoint = before.map(|moment| (moment.name.clone(), moment.step));
                let diverged = matches!(view.phase, Phase::Diverged { .. });
                // A key that was on its way to the dashboard answers nothing, least of all by stopping the run.
                self.unseen = true;
                effects.push(Effect::After(UNSEEN, Timer::Seen));
                Overlay::Dialog(Dialog::spike(words, checkpoint, view.step, diverged))
            }
            Purpose::RewindTo(step) => {
                // The run's own before one on a branch it has left.
                let of_step = |moment: &&Moment| moment.step == step;
                let own = moments.iter().filter(usable).find(of_step);
                let Some(moment) = own.or_else(|| moments.iter().find(of_step)) else {
                    let steps: Vec<u64> = moments.iter().map(|m| m.step).collect();
                    let text = match steps.is_empty() {
                        true => "there is no checkpoint to go back to yet; w saves one".to_string(),
                        false => {
                            format!("no checkpoint of step {step}; there are {}", listed(&steps))
                        }
                    };
                    return self.notify(NoticeLevel::Warning, text, effects);
                };
                Overlay::Dialog(ask_rewind(view, moment))
            }
            Purpose::Rewind | Purpose::Fork => {
                let forks = purpose == Purpose::Fork;
                let moments = Moments::new(forks, from_now, view.step, moments);
                if moments.is_empty() {
                    let text = "there is no checkpoint yet; w saves one".to_string();
                    return self.notify(NoticeLevel::Info, text, effects);
                }
                Overlay::Steer(Steer::Moments(moments))
            }
        };
        self.overlay = Some(overlay);
    }

    pub(super) fn steer_key(
        &mut self,
        key: KeyEvent,
        action: Option<Action>,
        effects: &mut Vec<Effect>,
    ) -> Handled {
        let Some(Overlay::Steer(steer)) = &mut self.overlay else {
            return Handled::No;
        };
        let changed = match (steer, action) {
            (steer, Some(Action::Close)) => {
                // A schedule that was only looked at is no longer pending.
                if let (Steer::Schedule(schedule), Some(train)) = (&*steer, &mut self.train) {
                    schedule.forget(&mut train.view);
                }
                self.overlay = None;
                false
            }
            (_, Some(Action::Accept)) => {
                self.accept_steer(effects);
                false
            }
            (Steer::Moments(moments), Some(action)) => return moments.act(action, self.size),
            (Steer::Moments(_), None) => return Handled::No,
            (Steer::Schedule(ScheduleSheet { sheet, .. }), Some(Action::Up)) => {
                sheet.step(-1);
                false
            }
            (Steer::Schedule(ScheduleSheet { sheet, .. }), Some(Action::Down)) => {
                sheet.step(1);
                false
            }
            (Steer::Fork(fork), Some(Action::Up)) => {
                fork.sheet.step(-1);
                false
            }
            (Steer::Fork(fork), Some(Action::Down)) => {
                fork.sheet.step(1);
                false
            }
            (Steer::Schedule(schedule), _) => schedule.sheet.key(key),
            (Steer::Fork(fork), _) => fork.sheet.key(key),
        };
        if changed {
            self.sheet_changed();
        }
        Handled::Yes
    }

    pub(super) fn steer_paste(&mut self, text: &str) {
        match &mut self.overlay {
            Some(Overlay::Steer(Steer::Schedule(schedule))) => schedule.sheet.paste(text),
            Some(Overlay::Steer(Steer::Fork(fork))) => fork.sheet.paste(text),
            _ => return,
        }
        self.sheet_changed();
    }

    pub(super) fn steer_wheel(&mut self, lines: isize) {
        if let Some(Overlay::Steer(Steer::Moments(moments))) = &mut self.overlay {
            moments.step(lines);
        }
    }

    pub(super) fn steer_click(&mut self, at: Position, effects: &mut Vec<Effect>) {
        let Some(Overlay::Steer(Steer::Moments(moments))) = &mut self.overlay else {
            return;
        };
        // The first click marks, the second takes.
        match moments.row_at(at, self.size) {
            Some(row) if row == moments.cursor => self.accept_steer(effects),
            Some(row) => moments.cursor = row,
            None => {}
        }
    }

    /// Holds what a sheet says against the run.
    fn sheet_changed(&mut self) {
        let Some(train) = &mut self.train else {
            return;
        };
        match &mut self.overlay {
            Some(Overlay::Steer(Steer::Schedule(schedule))) => schedule.check(&mut train.view),
            Some(Overlay::Steer(Steer::Fork(fork))) => {
                // Its problems are shown as it is typed.
                let _ = fork.check();
            }
            _ => {}
        }
    }

    fn accept_steer(&mut self, effects: &mut Vec<Effect>) {
        let (Some(Overlay::Steer(steer)), Some(train)) = (self.overlay.take(), &mut self.train)
        else {
            return;
        };
        match steer {
            Steer::Moments(moments) => {
                let forks = moments.forks;
                let Some(moment) = moments.take() else {
                    return;
                };
                self.overlay = match (forks, moment) {
                    (false, Some(moment)) => {
                        Some(Overlay::Dialog(ask_rewind(&train.view, &moment)))
                    }
                    (false, None) => None,
                    (true, moment) => {
                        let sheet = ForkSheet::new(&train.view, moment);
                        Some(Overlay::Steer(Steer::Fork(Box::new(sheet))))
                    }
                };
            }
            Steer::Schedule(mut schedule) => {
                schedule.check(&mut train.view);
                if schedule.is_wrong() {
                    self.overlay = Some(Overlay::Steer(Steer::Schedule(schedule)));
                } else {
                    self.apply_edits(effects);
                }
            }
            Steer::Fork(mut fork) => match fork.check() {
                Some(config) => self.fork(*fork, config, effects),
                None => self.overlay = Some(Overlay::Steer(Steer::Fork(fork))),
            },
        }
    }

    /// The run is saved and stopped, or goes on where another process trains it, and the fork takes the screen. From now means from
    /// what is saved then.
    fn fork(&mut self, fork: ForkSheet, config: RunConfig, effects: &mut Vec<Effect>) {
        if self.local().is_some() {
            effects.push(Effect::Send(Command::Stop));
        }
        let origin = Origin::Fork {
            dir: None,
            parent: fork.parent,
            checkpoint: fork.checkpoint,
        };
        self.start(config, origin, effects);
        if let Some(train) = &mut self.train {
            train.view.lineage = Some(fork.lineage);
        }
    }

    /// The form for a new schedule from the next step on, with what was given already.
    pub(super) fn open_schedule(&mut self, given: &[(String, String)], effects: &mut Vec<Effect>) {
        if !self.still_trains(effects) {
            return;
        }
        let Some(train) = &mut self.train else {
            return;
        };
        let schedule = ScheduleSheet::new(&mut train.view, given);
        self.overlay = Some(Overlay::Steer(Steer::Schedule(schedule)));
    }

    pub(super) fn go_back(&mut self, checkpoint: String, effects: &mut Vec<Effect>) {
        self.halve_after_rewind = None;
        if self.active().is_some() {
            effects.push(Effect::Send(Command::Rewind { checkpoint }));
        } else if let Some(info) = self.train.as_ref().and_then(|t| t.view.info.as_ref()) {
            let dir = info.dir.clone();
            effects.push(Effect::GoBack { dir, checkpoint });
        }
    }

    /// A run that was over is at a checkpoint again: it is taken up there, paused.
    pub(super) fn went_back(
        &mut self,
        dir: PathBuf,
        config: Result<Box<RunConfig>, String>,
        effects: &mut Vec<Effect>,
    ) {
        match config {
            Ok(_) if self.local().is_some() => {
                let text = "it went back; it can go on once the run here is over".to_string();
                self.notify(NoticeLevel::Info, text, effects);
            }
            Ok(config) => {
                self.start(*config, Origin::Resume { dir }, effects);
                effects.push(Effect::Send(Command::Pause));
            }
            Err(message) => self.notify(NoticeLevel::Warning, message, effects),
        }
    }

    /// Goes back to a checkpoint before the loss went wrong; the rest follows when the run is there.
    pub(super) fn go_back_and_halve(&mut self, checkpoint: String, effects: &mut Vec<Effect>) {
        // Half of what went wrong: the checkpoint's own may be of before an earlier halving.
        let multiplier = self
            .train
            .as_ref()
            .map_or(1.0, |train| train.view.multiplier)
            / 2.0;
        self.halve_after_rewind = Some((checkpoint.clone(), multiplier));
        effects.push(Effect::Send(Command::Rewind { checkpoint }));
    }

    /// What the run's own events ask of whoever sits in front of it. Call after the event was taken in.
    pub(super) fn after_event(&mut self, happened: Happened, effects: &mut Vec<Effect>) {
        let Some(train) = &self.train else {
            return;
        };
        match happened {
            Happened::Rewound => {
                // Not where that one was refused and the run went back to another since.
                let there = train.view.rewinds.last().map(|rewound| &rewound.checkpoint);
                if let Some((checkpoint, multiplier)) = self.halve_after_rewind.take()
                    && there == Some(&checkpoint)
                {
                    let edit = Edit::LearningRateMultiplier(multiplier);
                    self.send_edit(edit, effects);
                    effects.push(Effect::Send(Command::Resume));
                }
            }
            Happened::Paused => {
                if let Some(words) = train.view.open_spike() {
                    self.look_for_checkpoints(Purpose::Spike { words }, effects);
                }
            }
            Happened::Diverged => {
                if let Phase::Diverged { step, message, .. } = &train.view.phase {
                    let words = format!("Step {step}: {message}.");
                    self.look_for_checkpoints(Purpose::Spike { words }, effects);
                }
            }
        }
    }
}

/// What may lead to a question, or to the next command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happened {
    Rewound,
    Paused,
    Diverged,
}

impl Happened {
    pub fn of(event: &EventKind) -> Option<Self> {
        match event {
            EventKind::Rewound(_) => Some(Happened::Rewound),
            EventKind::Phase(Phase::Paused) => Some(Happened::Paused),
            EventKind::Phase(Phase::Diverged { .. }) => Some(Happened::Diverged),
            _ => None,
        }
    }
}

fn ask_rewind(view: &RunView, moment: &Moment) -> Dialog {
    Dialog::rewind(moment, view.step, view.knobs.count())
}

/// `100, 200 and 300`
fn listed(steps: &[u64]) -> String {
    let mut steps = steps.to_vec();
    steps.sort_unstable();
    steps.dedup();
    let words: Vec<String> = steps.iter().map(u64::to_string).collect();
    match words.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}
