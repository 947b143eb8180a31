//! A run that another process trains, on the same dashboard: taking it up, and how it goes away.

use super::*;
use crate::control::{Role, RoleNow, Welcome};
use crate::ui::screens::train::{TrainScreen, Trainer};

/// A run as it stood when the connection was made.
#[derive(Debug)]
pub struct Attached {
    pub dir: PathBuf,
    pub welcome: Welcome,
    pub config: RunConfig,
    pub history: History,
}

/// How a connection ended of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unlinked {
    /// The process that trained the run is gone, without a word; the newest checkpoint is of that step.
    Gone { saved: Option<u64> },
    /// Only the connection is gone, and why.
    Lost(String),
}

impl App {
    /// Connects to the process that trains the run in `dir`.
    pub(super) fn attach(&mut self, dir: PathBuf, effects: &mut Vec<Effect>) {
        if let Some(train) = self.local() {
            let text = format!(
                "{} is training here; stop it first, or quit and let it go on in the background",
                training::run_name(train)
            );
            return self.notify(NoticeLevel::Warning, text, effects);
        }
        let run = self.next_run;
        self.next_run += 1;
        self.link = Some(run);
        effects.push(Effect::Attach { run, dir });
    }

    /// Lets go of a run that another process trains; it goes on.
    pub(super) fn detach(&mut self, effects: &mut Vec<Effect>) {
        if self.link.take().is_some() {
            effects.push(Effect::Detach);
        }
    }

    pub(super) fn attached(
        &mut self,
        run: RunId,
        attached: Result<Box<Attached>, String>,
        effects: &mut Vec<Effect>,
    ) {
        if self.link != Some(run) {
            return; // Let go of meanwhile.
        }
        let attached = match attached {
            Ok(attached) => *attached,
            Err(message) => {
                self.detach(effects);
                if let Some(train) = self.train.as_mut().filter(|t| t.view.trainer.is_some()) {
                    train.on_event(EventKind::failed(format!(
                        "the connection is lost: {message}"
                    )));
                }
                effects.push(Effect::LoadRuns);
                return self.notify(NoticeLevel::Error, message, effects);
            }
        };
        let Attached {
            dir,
            welcome,
            config,
            history,
        } = attached;
        let first = welcome.info.as_ref().map(|info| info.config.clone());
        let mut view = RunView::new(run, first.unwrap_or_else(|| config.clone()));
        view.prepend(history);
        view.step = view
            .step
            .max(welcome.info.as_ref().map_or(0, |i| i.start_step));
        view.saved_step = view.checkpoints.iter().map(|saved| saved.step).max();
        view.schedule = welcome.schedule;
        view.health = welcome.health;
        view.trainer = Some(Trainer {
            dir: dir.clone(),
            pid: welcome.pid,
            role: welcome.role.clone(),
            gone: false,
        });
        let name = match welcome.info {
            Some(info) => {
                let name = info.name.clone();
                view.info = Some(info);
                name
            }
            None => dir
                .file_name()
                .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
        };
        // What was edited since the run started.
        view.adopt(config);
        view.apply(EventKind::Phase(welcome.phase));
        // Connected anew, the panes stay as they are.
        let same = |train: &&mut TrainScreen| {
            let trainer = train.view.trainer.as_ref();
            trainer.is_some_and(|trainer| trainer.dir == dir)
        };
        match self.train.as_mut().filter(same) {
            Some(train) => train.view = view,
            None => {
                let mut train = TrainScreen::new(run, view.config.clone());
                train.view = view;
                self.train = Some(train);
                self.screen = Screen::Train;
                let text = format!("{name} is trained by process {}", welcome.pid);
                self.notify(NoticeLevel::Info, text, effects);
            }
        }
    }

    pub(super) fn role(&mut self, run: RunId, role: RoleNow, effects: &mut Vec<Effect>) {
        let Some(train) = self.train.as_mut().filter(|t| t.view.run == run) else {
            return;
        };
        let Some(trainer) = &mut train.view.trainer else {
            return;
        };
        let text = match (role.role, role.controller) {
            (Role::Control, _) => "the controls are yours".to_string(),
            (Role::Watch, Some(pid)) => format!("process {pid} controls this run"),
            (Role::Watch, None) => "the controls are free: the next command takes them".to_string(),
        };
        trainer.role = role;
        self.notify(NoticeLevel::Info, text, effects);
    }

    pub(super) fn unlinked(&mut self, run: RunId, how: Unlinked, effects: &mut Vec<Effect>) {
        let Some(train) = self.train.as_mut().filter(|t| t.view.run == run) else {
            return;
        };
        let Some(trainer) = &mut train.view.trainer else {
            return;
        };
        match how {
            Unlinked::Gone { saved } => {
                trainer.gone = true;
                train.view.saved_step = saved;
                let message = format!(
                    "the process that trained this run ended without a word at step {}",
                    train.view.step
                );
                train.on_event(EventKind::failed(message));
                self.detach(effects);
                effects.push(Effect::LoadRuns);
                if self.leave_at_end {
                    self.leave(Outcome::Done, effects);
                }
            }
            Unlinked::Lost(reason) => {
                let dir = trainer.dir.clone();
                let text = format!("the connection is lost: {reason}; connecting again");
                self.notify(NoticeLevel::Warning, text, effects);
                self.detach(effects);
                self.attach(dir, effects);
            }
        }
    }

    /// A run whose process went away, and which has something to go on from: its folder.
    pub(super) fn orphan(&self) -> Option<PathBuf> {
        let view = &self.train.as_ref()?.view;
        let trainer = view.trainer.as_ref().filter(|trainer| trainer.gone)?;
        view.saved_step.map(|_| trainer.dir.clone())
    }

    /// A run that was still loading when the connection was made has loaded. If it went on from a checkpoint, its logs
    /// say something else now than what is shown.
    pub(super) fn connect_again_once_loaded(&mut self, start_step: u64, effects: &mut Vec<Effect>) {
        let trainer = self
            .train
            .as_ref()
            .and_then(|train| train.view.trainer.as_ref());
        if start_step > 0
            && let Some(dir) = trainer.map(|trainer| trainer.dir.clone())
        {
            self.detach(effects);
            self.attach(dir, effects);
        }
    }
}
