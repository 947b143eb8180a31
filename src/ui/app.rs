//! The state of the screens, and what every message changes in it. No I/O: what is to be done comes back as
//! [`Effect`]s, so that tests drive the whole application without a terminal or a training thread.

mod actions;
mod attached;
mod dialogs;
mod input;
mod message;
mod range;
mod render;
mod steering;
mod suspend;
#[cfg(test)]
mod tests;
mod training;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::Duration;

use crossterm::event::{
    Event as Input, KeyEvent, KeyEventKind, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::layout::{Position, Rect};

use crate::config::{OwnConfigs, RunConfig};
use crate::protocol::{
    Command, Event, EventKind, Notice, NoticeLevel, Origin, Phase, RunId, Until,
};
use crate::run::{History, RunSummary};
use crate::words::counted;

use super::Outcome;
use super::export::ChartExport;
use super::help::{Help, PaneHelp};
use super::keymap::{Action, Context, KeyMap, Lookup};
use super::palette::{self, Chosen, Palette};
use super::panes::Handled;
use super::picture::chart_look;
use super::range_test::RangeTest;
use super::screens::ScreenMouse;
use super::screens::home::{HomeScreen, Request};
use super::screens::runs::work::RunsTask;
use super::screens::runs::{RunsRequest, RunsScreen};
use super::screens::train::{RunView, TrainScreen};
use super::settings::{OnHangup, Settings};
use super::theme::{Environment, Theme};

pub use attached::{Attached, Unlinked};
use dialogs::Dialog;
use input::Keys;
pub use message::{Effect, Message, Timer};
use steering::Steer;
pub(crate) use steering::sheets::schedule_key;
pub use steering::{Found, moments::Purpose};

/// How long after the last change the preview is asked for.
const PREVIEW_DELAY: Duration = Duration::from_millis(150);
/// How often the runs folder is read while the list is shown.
const RUNS_TIME: Duration = Duration::from_secs(1);
const NOTICE_TIME: Duration = Duration::from_secs(6);

/// Which screen is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    Home,
    Train,
    Runs,
}

/// What lies over the screen and takes all keys.
#[derive(Debug)]
enum Overlay {
    Help(Help),
    Palette(Palette),
    RangeTest(Box<RangeTest>),
    Dialog(Dialog),
    Steer(Steer),
}

/// The program is on its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Leaving {
    outcome: Outcome,
}

/// The whole state.
#[derive(Debug)]
pub struct App {
    theme: Theme,
    keymap: KeyMap,
    size: Rect,
    screen: Screen,
    home: HomeScreen,
    /// What was wrong with files of the user's when they were read last.
    config_problems: Vec<String>,
    train: Option<TrainScreen>,
    runs: RunsScreen,
    /// The timer that reads the runs folder again is set.
    runs_timer: bool,
    overlay: Option<Overlay>,
    keys: Keys,
    notices: VecDeque<(u64, Notice)>,
    /// Edits that no word has come back of, each with the notice that says so.
    sent: Vec<(u64, crate::protocol::Edit)>,
    next_notice: u64,
    next_run: RunId,
    mouse: bool,
    leaving: Option<Leaving>,
    /// The run that another process trains and that this one is connected to.
    link: Option<RunId>,
    /// Quit when that run has ended.
    leave_at_end: bool,
    on_hangup: OnHangup,
    /// The terminal is gone, and the run has nothing yet that could go on without it.
    hung_up: bool,
    /// Waiting for the run to pause before the process stops.
    suspending: bool,
    /// Resume the run when the process goes on.
    resume_after: bool,
    /// A question came by itself just now: what is typed is not meant for it.
    unseen: bool,
    /// Halve the learning rate and go on once the run is back at a checkpoint.
    halve_after_rewind: Option<(String, f64)>,
    /// The step at which the run was told to pause.
    until: Option<u64>,
    engine_gone: bool,
}

/// What the application starts from.
#[derive(Debug, Default)]
pub struct Setup {
    pub settings: Settings,
    /// What could not be used of the settings, and whatever else there is to say at the start.
    pub problems: Vec<String>,
    pub environment: Environment,
    pub width: u16,
    pub height: u16,
    pub start: Option<(RunConfig, Origin)>,
    /// The step at which that was told to pause.
    pub until: Option<u64>,
    /// Show this run, which another process trains.
    pub attach: Option<PathBuf>,
}

impl App {
    /// The application as it stands before the first frame, and what to do then.
    pub fn new(setup: Setup) -> (Self, Vec<Effect>) {
        let (keymap, key_problems) = setup.settings.keymap();
        let mut app = Self {
            theme: Theme::for_terminal(
                &setup.settings.theme,
                setup.settings.colors.clone(),
                &setup.environment,
            ),
            keymap,
            size: Rect::new(0, 0, setup.width, setup.height),
            screen: Screen::Home,
            home: HomeScreen::new(),
            config_problems: Vec::new(),
            train: None,
            runs: RunsScreen::default(),
            runs_timer: false,
            overlay: None,
            keys: Keys::default(),
            notices: VecDeque::new(),
            sent: Vec::new(),
            next_notice: 1,
            next_run: 1,
            mouse: setup.settings.mouse,
            leaving: None,
            link: None,
            leave_at_end: false,
            on_hangup: setup.settings.on_hangup,
            hung_up: false,
            suspending: false,
            resume_after: false,
            halve_after_rewind: None,
            unseen: false,
            until: setup.until,
            engine_gone: false,
        };
        let mut effects = vec![Effect::LoadRuns, Effect::LoadConfigs];
        let mut problems: Vec<String> = setup.problems.into_iter().chain(key_problems).collect();
        if problems.len() > render::SHOWN_NOTICES {
            let shown = render::SHOWN_NOTICES - 1;
            let more = problems.len() - shown;
            problems.truncate(shown);
            problems.push(format!(
                "and {}: `fireside config settings` prints all of the settings file",
                counted(more, "more problem")
            ));
        }
        for problem in problems {
            app.notify(NoticeLevel::Warning, problem, &mut effects);
        }
        match setup.start {
            Some((config, origin)) => app.start(config, origin, &mut effects),
            None => {
                let request = app.home.first_request();
                app.carry_out(vec![request], &mut effects);
            }
        }
        if let Some(dir) = setup.attach {
            app.attach(dir, &mut effects);
        }
        (app, effects)
    }

    pub fn theme(&self) -> &Theme {
        &self.theme
    }

    pub fn set_theme(&mut self, theme: Theme) {
        self.theme = theme;
    }

    pub fn screen(&self) -> Screen {
        self.screen
    }

    /// The dashboard, when there is or was a run.
    pub fn train_screen(&self) -> Option<&TrainScreen> {
        self.train.as_ref()
    }

    /// Takes one message; returns what is to be done.
    pub fn update(&mut self, message: Message) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.take_in(message, &mut effects);
        if let Some(train) = &mut self.train {
            train.view.pinned = self.runs.pinned();
        }
        for effect in &effects {
            match effect {
                Effect::Send(Command::RunUntil {
                    until: Until::Step(step),
                }) => self.until = Some(*step),
                Effect::Send(
                    Command::RunUntil { .. }
                    | Command::Start { .. }
                    | Command::Resume
                    | Command::StepOnce
                    | Command::Rewind { .. },
                ) => self.until = None,
                _ => {}
            }
        }
        effects
    }

    fn take_in(&mut self, message: Message, effects: &mut Vec<Effect>) {
        match message {
            Message::Input(input) => self.input(input, effects),
            Message::Resumed => self.resumed(effects),
            Message::Engine(event) => self.engine(event, effects),
            Message::EngineGone => self.engine_gone(effects),
            Message::RunsLoaded { runs, now } => {
                if let Ok(listing) = &runs {
                    let summaries: Vec<RunSummary> =
                        listing.runs.iter().map(|run| run.summary.clone()).collect();
                    self.home.set_runs(&summaries, now);
                }
                self.runs.set_runs(runs, now);
                if self.screen == Screen::Runs && !self.runs_timer {
                    self.runs_timer = true;
                    effects.push(Effect::After(RUNS_TIME, Timer::Runs));
                }
            }
            Message::Runs(answer) => {
                let mut requests = Vec::new();
                self.runs.on_answer(answer, &mut requests);
                self.carry_out_runs(requests, effects);
            }
            Message::ConfigsLoaded(own) => self.take_configs(own, None, effects),
            Message::ConfigKept(Ok((name, own))) => {
                let text = format!("kept: `fireside train {name}` trains it too");
                self.notify(NoticeLevel::Info, text, effects);
                self.take_configs(own, Some(&name), effects);
            }
            Message::ConfigKept(Err(problem)) => {
                let text = format!("the config was not kept: {problem}");
                self.notify(NoticeLevel::Error, text, effects);
            }
            Message::RunOpened { dir, config } => self.opened(dir, config, effects),
            Message::WentBack { dir, config } => self.went_back(dir, config, effects),
            Message::HistoryLoaded { run, history } => match history {
                Ok(history) => {
                    if let Some(train) = self.train.as_mut().filter(|t| t.view.run == run) {
                        train.on_history(*history);
                    }
                }
                Err(message) => self.notify(
                    NoticeLevel::Warning,
                    format!("what this run did before cannot be shown: {message}"),
                    effects,
                ),
            },
            Message::ChartExported(written) => match written {
                Ok(words) => self.notify(NoticeLevel::Info, words, effects),
                Err(message) => self.notify(
                    NoticeLevel::Error,
                    format!("the chart was not written: {message}"),
                    effects,
                ),
            },
            Message::CheckpointsLoaded {
                run,
                purpose,
                found,
            } => {
                if self.train.as_ref().is_some_and(|t| t.view.run == run) {
                    self.checkpoints_found(purpose, found, effects);
                }
            }
            Message::Attached { run, attached } => self.attached(run, attached, effects),
            Message::Role { run, role } => self.role(run, role, effects),
            Message::Unlinked { run, how } => self.unlinked(run, how, effects),
            Message::Timer(Timer::Preview(request)) => {
                if let Some(config) = self.home.preview_config(request) {
                    effects.push(Effect::Send(Command::Preview { request, config }));
                }
            }
            Message::Timer(Timer::Notice(id)) => self.notices.retain(|(other, _)| *other != id),
            Message::Timer(Timer::Key(count)) => self.no_further_key(count, effects),
            Message::Timer(Timer::Suspend) => self.suspend_now(effects),
            Message::Timer(Timer::Seen) => self.unseen = false,
            Message::Timer(Timer::Runs) => {
                self.runs_timer = false;
                if self.screen == Screen::Runs {
                    effects.push(Effect::LoadRuns);
                }
            }
            Message::Terminate => self.leave(Outcome::Interrupted, effects),
            Message::HangUp => self.hang_up(effects),
            Message::Suspend => self.suspend(effects),
        }
        if self.screen == Screen::Runs {
            let mut requests = Vec::new();
            self.runs.tend(render::body(self.size), &mut requests);
            self.carry_out_runs(requests, effects);
        }
    }

    /// Where keys are looked up, innermost first.
    pub fn contexts(&self) -> &'static [Context] {
        let over = match &self.overlay {
            Some(Overlay::Help(_)) => Some(Context::Help),
            Some(Overlay::RangeTest(_)) => Some(Context::RangeTest),
            Some(Overlay::Palette(_)) => Some(Context::Palette),
            Some(Overlay::Dialog(dialog)) if dialog.has_text() => Some(Context::Text),
            Some(Overlay::Dialog(_)) => Some(Context::Dialog),
            Some(Overlay::Steer(steer)) => Some(steer.context()),
            None => None,
        };
        if let Some(over) = over {
            return over.stack();
        }
        let typing = match self.screen {
            Screen::Home => self.home.is_typing(),
            Screen::Train => self.train.as_ref().is_some_and(TrainScreen::is_typing),
            Screen::Runs => false,
        };
        if typing {
            return Context::Text.stack();
        }
        if self.screen == Screen::Runs
            && let Some(context) = self.runs.takes_keys()
        {
            return context.stack();
        }
        self.screen_contexts()
    }

    /// As if no overlay were open and nothing were typed.
    fn screen_contexts(&self) -> &'static [Context] {
        let focused = match self.screen {
            Screen::Home => self.home.context(),
            Screen::Train => match &self.train {
                Some(train) => train.context(),
                None => Context::Global,
            },
            Screen::Runs => self.runs.context(),
        };
        focused.stack()
    }

    fn pane_help(&self) -> Option<PaneHelp> {
        match self.screen {
            Screen::Home => Some(self.home.help()),
            Screen::Runs => Some(self.runs.help()),
            Screen::Train => self
                .train
                .as_ref()
                .and_then(TrainScreen::focused)
                .map(|spec| PaneHelp {
                    title: spec.title,
                    text: spec.help,
                }),
        }
    }

    /// Carries out what the home screen asked for.
    fn carry_out(&mut self, requests: Vec<Request>, effects: &mut Vec<Effect>) {
        for request in requests {
            match request {
                Request::PreviewSoon(number) => {
                    effects.push(Effect::After(PREVIEW_DELAY, Timer::Preview(number)));
                }
                Request::Start(config, origin) => self.ask_start(*config, origin, effects),
                Request::FindRate(config) => self.find_rate(*config, effects),
                Request::Keep { config, from } => {
                    self.overlay = Some(Overlay::Dialog(Dialog::keep_config(*config, &from)));
                }
                Request::Resume(run) => self.resume(&run, effects),
                Request::Notice(level, text) => self.notify(level, text, effects),
            }
        }
    }

    fn take_configs(&mut self, own: OwnConfigs, shown: Option<&str>, effects: &mut Vec<Effect>) {
        let OwnConfigs { configs, problems } = own;
        if problems != self.config_problems {
            if let Some(first) = problems.first() {
                let more = match problems.len() - 1 {
                    0 => String::new(),
                    n => format!("; and {n} more"),
                };
                let text = format!("not among your configs: {first}{more}");
                self.notify(NoticeLevel::Warning, text, effects);
            }
            self.config_problems = problems;
        }
        let mut requests = Vec::new();
        self.home.set_own(configs, shown, &mut requests);
        self.carry_out(requests, effects);
    }

    /// Carries out what the screen of runs asked for.
    fn carry_out_runs(&mut self, requests: Vec<RunsRequest>, effects: &mut Vec<Effect>) {
        for request in requests {
            match request {
                RunsRequest::Task(task) => effects.push(Effect::Runs(task)),
                RunsRequest::Reload => effects.push(Effect::LoadRuns),
                RunsRequest::Export(mut export) => {
                    export.look = chart_look(self.theme.name, 1600, 900);
                    effects.push(Effect::Runs(RunsTask::Export(export)));
                }
                RunsRequest::Notice(level, text) => self.notify(level, text, effects),
            }
        }
    }

    fn notify(&mut self, level: NoticeLevel, message: String, effects: &mut Vec<Effect>) {
        let id = self.next_notice;
        self.next_notice += 1;
        self.notices.push_back((id, Notice { level, message }));
        while self.notices.len() > 4 {
            self.notices.pop_front();
        }
        // Errors stay until Esc.
        if level != NoticeLevel::Error {
            effects.push(Effect::After(NOTICE_TIME, Timer::Notice(id)));
        }
    }
}
