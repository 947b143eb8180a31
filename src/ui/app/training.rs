//! Everything between the screens and the training thread: starting, steering, ending a run.

use super::*;
use crate::config::SampleConfig;
use crate::control::Role;
use crate::protocol::{CheckpointReason, FinishReason};
use crate::ui::picture::chart_look;

use steering::Happened;

impl App {
    /// A run that still holds the training thread.
    pub(super) fn active(&self) -> Option<&TrainScreen> {
        self.train.as_ref().filter(|train| {
            !self.engine_gone
                && !matches!(
                    train.view.phase,
                    Phase::Idle | Phase::Finished | Phase::Failed
                )
        })
    }

    /// A run that the training thread of this process has.
    pub(super) fn local(&self) -> Option<&TrainScreen> {
        self.active().filter(|train| train.view.trainer.is_none())
    }

    /// Starts at once when nothing trains, else asks.
    pub(super) fn ask_start(
        &mut self,
        config: RunConfig,
        origin: Origin,
        effects: &mut Vec<Effect>,
    ) {
        match self.local() {
            Some(train) => {
                let name = run_name(train);
                self.overlay = Some(Overlay::Dialog(Dialog::replace(name, config, origin)));
            }
            None => self.start(config, origin, effects),
        }
    }

    pub(super) fn start(&mut self, config: RunConfig, origin: Origin, effects: &mut Vec<Effect>) {
        if self.engine_gone {
            let text = "the training thread has ended; start fireside again".to_string();
            return self.notify(NoticeLevel::Error, text, effects);
        }
        self.detach(effects);
        let run = self.next_run;
        self.next_run += 1;
        self.sent.clear();
        let mut train = TrainScreen::new(run, config.clone());
        // Until the training thread says what it does.
        train.on_event(EventKind::Phase(Phase::Loading {
            what: "starting".to_string(),
            done: 0,
            total: None,
        }));
        if let Origin::Fork { parent, .. } = &origin {
            train.view.parent = Some(parent.clone());
        }
        self.train = Some(train);
        self.screen = Screen::Train;
        effects.push(Effect::Send(Command::Start {
            run,
            config: Box::new(config),
            origin,
        }));
    }

    /// Goes on with a run, or shows it where it is being trained.
    pub(super) fn resume(&mut self, run: &RunSummary, effects: &mut Vec<Effect>) {
        if run.status == crate::run::RunStatus::Running {
            let shown = self.active().is_some_and(|train| {
                let dir = |dir: &PathBuf| std::path::absolute(dir).ok();
                let here = train.view.info.as_ref().map(|info| &info.dir);
                here.and_then(dir) == dir(&run.dir)
            });
            if shown {
                self.screen = Screen::Train;
            } else {
                self.detach(effects);
                self.attach(run.dir.clone(), effects);
            }
            return;
        }
        if !run.resumable {
            let why = match &run.problem {
                Some(problem) => format!("it cannot go on ({problem})"),
                None => "it has no checkpoint to go on from".to_string(),
            };
            return self.notify(
                NoticeLevel::Warning,
                format!("{}: {why}", run.name),
                effects,
            );
        }
        if run.step >= run.total_steps {
            let text = format!("{} has done all its {} steps", run.name, run.total_steps);
            return self.notify(NoticeLevel::Info, text, effects);
        }
        effects.push(Effect::OpenRun {
            dir: run.dir.clone(),
        });
    }

    pub(super) fn opened(
        &mut self,
        dir: PathBuf,
        config: Result<Box<RunConfig>, String>,
        effects: &mut Vec<Effect>,
    ) {
        match config {
            Ok(config) => self.ask_start(*config, Origin::Resume { dir }, effects),
            Err(message) => self.notify(NoticeLevel::Error, message, effects),
        }
    }

    pub(super) fn engine(&mut self, event: Event, effects: &mut Vec<Effect>) {
        if let EventKind::Previewed { request, preview } = event.kind {
            return self.home.on_preview(request, preview);
        }
        if let Some(Overlay::RangeTest(test)) = &mut self.overlay
            && test.run == event.run
        {
            return test.on_event(event.kind);
        }
        let Some(train) = self.train.as_mut().filter(|t| t.view.run == event.run) else {
            return; // Of a run that is no longer shown.
        };
        let happened = Happened::of(&event.kind);
        match &event.kind {
            EventKind::Notice(notice) => {
                let notice = notice.clone();
                train.on_event(event.kind);
                // Whatever answers an edit that is not made is a warning.
                if notice.level != NoticeLevel::Info {
                    self.edits_answered();
                }
                return self.notify(notice.level, notice.message, effects);
            }
            EventKind::Remote(remote) => {
                // What this process did itself is in the events; what others do is said.
                let others = remote.pid != std::process::id();
                let text = remote.to_string();
                train.on_event(event.kind);
                if others {
                    self.notify(NoticeLevel::Info, text, effects);
                }
                return;
            }
            EventKind::Edited(record) => {
                let record = record.clone();
                train.on_event(event.kind);
                self.edit_in_force(&record, effects);
                if let Some(happened) = happened {
                    self.after_event(happened, effects);
                }
                return;
            }
            EventKind::Checkpointed(info)
                if info.reason == CheckpointReason::User
                    && !train.view.is_told_again(info.step) =>
            {
                let text = format!("the checkpoint of step {} is saved", info.step);
                train.on_event(event.kind);
                return self.notify(NoticeLevel::Info, text, effects);
            }
            EventKind::Phase(Phase::Paused) if self.suspending => {
                train.on_event(event.kind);
                return self.suspend_now(effects);
            }
            _ => {}
        }
        let ended = match &event.kind {
            EventKind::Failed { message, .. } => {
                Some((NoticeLevel::Error, format!("the run failed: {message}")))
            }
            EventKind::Finished(report) => {
                let how = match report.reason {
                    FinishReason::Completed => "all steps are done",
                    FinishReason::EarlyStopped => "stopped early: no improvement",
                    FinishReason::Stopped if train.view.saved_step < Some(report.step) => "stopped",
                    FinishReason::Stopped => "stopped and saved",
                };
                let loss = report
                    .val_loss
                    .map_or(String::new(), |l| format!(", validation loss {l:.3}"));
                Some((
                    NoticeLevel::Info,
                    format!("{how} at step {}{loss}", report.step),
                ))
            }
            _ => None,
        };
        let loaded = match &event.kind {
            EventKind::Started(info) => Some(info.start_step),
            _ => None,
        };
        let told = matches!(
            event.kind,
            EventKind::Steps(_)
                | EventKind::Finished(_)
                | EventKind::Failed { .. }
                | EventKind::Phase(Phase::Paused)
        );
        let over = match &event.kind {
            EventKind::Failed { .. } => Some(Phase::Failed),
            EventKind::Finished(_) => Some(Phase::Finished),
            _ => None,
        };
        // What the run went through up to there, or its parent did. The logs say it from now on: a run that is taken up first
        // writes into them what it goes on from.
        if let EventKind::Started(info) = &event.kind
            && train.view.trainer.is_none()
        {
            let own = (info.start_step > 0).then(|| info.dir.clone());
            if let Some(dir) = train.view.parent.take().or(own) {
                effects.push(Effect::LoadHistory {
                    run: event.run,
                    dir,
                });
            }
        }
        train.on_event(event.kind);
        if let Some(happened) = happened {
            self.after_event(happened, effects);
        }
        let Some(train) = self.train.as_mut() else {
            return;
        };
        if let Some(phase) = over {
            train.on_event(EventKind::Phase(phase));
            effects.push(Effect::LoadRuns);
        }
        if let Some(start_step) = loaded {
            self.connect_again_once_loaded(start_step, effects);
        }
        if told && self.hung_up {
            self.hang_up(effects);
        }
        if let Some((level, text)) = ended {
            self.notify(level, text, effects);
            let elsewhere = self
                .train
                .as_ref()
                .is_some_and(|t| t.view.trainer.is_some());
            if elsewhere {
                self.detach(effects);
                if self.leave_at_end {
                    self.leave(Outcome::Done, effects);
                }
            }
        }
    }

    pub(super) fn engine_gone(&mut self, effects: &mut Vec<Effect>) {
        let was_active = self.local().is_some();
        self.engine_gone = true;
        if let Some(Overlay::RangeTest(test)) = &mut self.overlay {
            test.on_event(EventKind::failed("the training thread ended unexpectedly"));
        }
        if let Some(leaving) = self.leaving.take() {
            effects.push(Effect::Quit(leaving.outcome));
        } else {
            if was_active && let Some(train) = &mut self.train {
                train.on_event(EventKind::failed("the training thread ended unexpectedly"));
                train.on_event(EventKind::Phase(Phase::Failed));
            }
            let text =
                "the training thread has ended; the last checkpoint is on disk, the log says why";
            self.notify(NoticeLevel::Error, text.to_string(), effects);
        }
    }

    pub(super) fn act_train(&mut self, action: Action, effects: &mut Vec<Effect>) -> Handled {
        if action == Action::ApplyEdit
            && let Some(dir) = self.orphan()
        {
            effects.push(Effect::OpenRun { dir });
            return Handled::Yes;
        }
        let Some(train) = &mut self.train else {
            return Handled::No;
        };
        if action == Action::ExportChart {
            self.export_chart(effects);
            return Handled::Yes;
        }
        let stands = train.view.stands();
        let command = match action {
            Action::TogglePause if stands => Some(Command::Resume),
            Action::TogglePause => Some(Command::Pause),
            Action::StepOnce => Some(Command::StepOnce),
            Action::Save => Some(Command::Save),
            Action::Evaluate => Some(Command::Evaluate),
            Action::SampleNow => {
                let sample: &SampleConfig = &train.view.config.sample;
                Some(Command::Sample {
                    settings: sample.clone(),
                })
            }
            _ => None,
        };
        if let Some(command) = command {
            let text = acknowledgement(&command, stands);
            if self.active().is_none() {
                let text = "the run is over; H goes home to start another".to_string();
                self.notify(NoticeLevel::Info, text, effects);
                return Handled::Yes;
            }
            if command == Command::Resume
                && let Some(train) = &mut self.train
            {
                train.view.goes_on();
            }
            effects.push(Effect::Send(command));
            if let Some(text) = text {
                self.notify(NoticeLevel::Info, text, effects);
            }
            return Handled::Yes;
        }
        let view = &mut train.view;
        match action {
            Action::LearningRateUp => view.knobs.dial(1.25, view.multiplier),
            Action::LearningRateDown => view.knobs.dial(0.8, view.multiplier),
            Action::LearningRateDouble => view.knobs.dial(2.0, view.multiplier),
            Action::LearningRateHalve => view.knobs.dial(0.5, view.multiplier),
            Action::LearningRateReset => view.knobs.set_multiplier(1.0, view.multiplier),
            Action::ApplyEdit => self.apply_edits(effects),
            Action::DiscardEdit => view.knobs.discard(&view.config, view.step),
            Action::Close if view.knobs.is_pending() => {
                view.knobs.discard(&view.config, view.step);
            }
            Action::RunSteps => {
                if let Some(train) = self.active() {
                    let loss = train.view.series.last().map(|report| report.loss);
                    let loss = loss.filter(|loss| loss.is_finite());
                    self.overlay = Some(Overlay::Dialog(Dialog::run_until(loss)));
                }
            }
            Action::Undo => self.look_for_checkpoints(Purpose::Undo, effects),
            Action::Rewind => self.look_for_checkpoints(Purpose::Rewind, effects),
            Action::Fork => self.look_for_checkpoints(Purpose::Fork, effects),
            Action::NewSchedule => self.open_schedule(&[], effects),
            Action::StopRun => {
                if let Some(train) = self.active() {
                    let name = run_name(train);
                    self.overlay = Some(Overlay::Dialog(Dialog::stop(name)));
                }
            }
            _ => return train.act(action),
        }
        Handled::Yes
    }

    /// Has what the focused chart shows written into the run's folder.
    fn export_chart(&mut self, effects: &mut Vec<Effect>) {
        let Some(train) = &self.train else { return };
        let problem = match (&train.view.info, train.chart()) {
            (_, None) => {
                "this pane is no chart: focus the loss, the learning rate, the gradient norm or the speed"
            }
            (None, _) => "nothing to write yet: the run is still loading",
            (Some(_), Some(_)) if train.view.series.is_empty() => {
                "nothing to write yet: the run has not done a step"
            }
            (Some(info), Some(view)) => {
                effects.push(Effect::ExportChart(Box::new(ChartExport {
                    dir: info.dir.clone(),
                    name: info.name.clone(),
                    newest: train.view.step,
                    view,
                    look: chart_look(self.theme.name, 1600, 900),
                })));
                return;
            }
        };
        self.notify(NoticeLevel::Info, problem.to_string(), effects);
    }

    /// Quits at once when nothing trains, else asks.
    pub(super) fn ask_quit(&mut self, effects: &mut Vec<Effect>) {
        if self.leaving.is_some() {
            // A second time: do not wait any longer.
            effects.push(Effect::Quit(Outcome::Abandoned));
            return;
        }
        match self.active() {
            Some(train) if let Some(trainer) = &train.view.trainer => {
                // Who only watches has nothing to decide.
                if trainer.role.role == Role::Watch {
                    return self.leave(Outcome::Done, effects);
                }
                let dialog = Dialog::quit_attached(run_name(train), trainer.pid);
                self.overlay = Some(Overlay::Dialog(dialog));
            }
            Some(train) => {
                let dialog = Dialog::quit(run_name(train), train.view.step, train.view.saved_step);
                self.overlay = Some(Overlay::Dialog(dialog));
            }
            None => self.leave(Outcome::Done, effects),
        }
    }

    /// The terminal is gone. A run that was training goes on in the background, unless the user's settings say that it is
    /// only to be saved; one that was paused is saved.
    pub(super) fn hang_up(&mut self, effects: &mut Vec<Effect>) {
        let continues = self.on_hangup == OnHangup::Continue;
        let begins = self.local().is_some_and(|train| {
            matches!(
                train.view.phase,
                Phase::Loading { .. } | Phase::Compiling | Phase::Training
            ) && (train.view.info.is_none() || train.view.step == 0)
        });
        // Before the first step there is nothing that a process could go on from.
        self.hung_up = continues && begins;
        if self.hung_up {
            return;
        }
        let trains = self.local().is_some_and(|train| {
            train.view.info.is_some()
                && matches!(
                    train.view.phase,
                    Phase::Compiling | Phase::Training | Phase::Evaluating { .. } | Phase::Sampling
                )
        });
        match trains && continues {
            true => self.leave_for_the_background(effects),
            false => self.leave(Outcome::Interrupted, effects),
        }
    }

    /// Saves and ends the run here; whoever shows the screens starts it again without them.
    pub(super) fn leave_for_the_background(&mut self, effects: &mut Vec<Effect>) {
        let info = self.local().and_then(|train| train.view.info.as_ref());
        let step = self.local().map_or(0, |train| train.view.step);
        // Before the first step there is nothing to go on from.
        match info.map(|info| info.dir.clone()).filter(|_| step > 0) {
            Some(dir) => {
                let until = self.until.filter(|until| *until > step);
                self.leave(Outcome::Background { dir, until }, effects);
            }
            None => {
                let text = "the run is still loading; ask again when it trains".to_string();
                self.notify(NoticeLevel::Warning, text, effects);
            }
        }
    }

    /// Ends the run after saving, then the program.
    pub(super) fn leave(&mut self, outcome: Outcome, effects: &mut Vec<Effect>) {
        if self.leaving.is_some() {
            return;
        }
        let wait = self.local().is_some();
        self.detach(effects);
        if !self.engine_gone {
            effects.push(Effect::Send(Command::Shutdown));
        }
        if wait {
            self.overlay = None;
            self.leaving = Some(Leaving { outcome });
        } else {
            effects.push(Effect::Quit(outcome));
        }
    }
}

pub(super) fn run_name(train: &TrainScreen) -> String {
    match &train.view.info {
        Some(info) => info.name.clone(),
        None if train.view.config.name.is_empty() => {
            train.view.config.model.kind().key().to_string()
        }
        None => train.view.config.name.clone(),
    }
}

/// What is said at once for commands whose effect may take a while to show. A run that stands `still` does them at once.
fn acknowledgement(command: &Command, still: bool) -> Option<String> {
    let what = match command {
        Command::Save => "saving a checkpoint",
        Command::Evaluate => "evaluating",
        Command::Sample { .. } => "sampling",
        _ => return None,
    };
    let when = if still { "" } else { " after this step" };
    Some(format!("{what}{when}"))
}
