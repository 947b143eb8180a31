//! What an [`Action`] does: on every screen first, then on the one that is shown.

use super::super::help::Help;
use super::super::keymap::Action;
use super::super::palette::Palette;
use super::super::panes::Handled;
use super::{App, Effect, Overlay, Screen};
use crate::protocol::{Notice, NoticeLevel};

impl App {
    /// Does what a key, the palette or a dialog asked for.
    pub fn act(&mut self, action: Action, effects: &mut Vec<Effect>) {
        if let Some(Overlay::Help(_)) = self.overlay
            && self.act_help(action) == Handled::Yes
        {
            return;
        }
        if let Some(Overlay::RangeTest(_)) = self.overlay
            && self.act_range_test(action, effects) == Handled::Yes
        {
            return;
        }
        match action {
            Action::Quit => self.ask_quit(effects),
            Action::Help => self.overlay = Some(Overlay::Help(Help::default())),
            Action::Palette => self.overlay = Some(Overlay::Palette(Palette::default())),
            Action::Suspend => self.suspend(effects),
            Action::Redraw => effects.push(Effect::Redraw),
            Action::NextTheme => {
                self.theme = self.theme.next();
                let text = format!("theme: {}", self.theme.name);
                self.notify(NoticeLevel::Info, text, effects);
            }
            Action::ToggleMouse => {
                self.mouse = !self.mouse;
                effects.push(Effect::SetMouse(self.mouse));
                let text = if self.mouse { "mouse on" } else { "mouse off" };
                self.notify(NoticeLevel::Info, text.to_string(), effects);
            }
            Action::GoHome => {
                self.screen = Screen::Home;
                effects.push(Effect::LoadConfigs);
            }
            Action::GoRuns => {
                self.screen = Screen::Runs;
                effects.push(Effect::LoadRuns);
            }
            Action::GoTrain => {
                if self.train.is_some() {
                    self.screen = Screen::Train;
                } else {
                    let text = "no run yet: Enter starts one".to_string();
                    self.notify(NoticeLevel::Info, text, effects);
                }
            }
            Action::Close => self.close(effects),
            _ => self.act_screen(action, effects),
        }
    }

    fn act_screen(&mut self, action: Action, effects: &mut Vec<Effect>) {
        let handled = match self.screen {
            Screen::Home => {
                let mut requests = Vec::new();
                let handled = self.home.act(action, &mut requests);
                self.carry_out(requests, effects);
                handled
            }
            Screen::Train => self.act_train(action, effects),
            Screen::Runs => match action {
                Action::Accept if self.runs.is_list() => {
                    if let Some(run) = self.runs.selected().cloned() {
                        self.resume(&run, effects);
                    }
                    Handled::Yes
                }
                _ => {
                    let mut requests = Vec::new();
                    let handled = self.runs.act(action, &mut requests);
                    self.carry_out_runs(requests, effects);
                    handled
                }
            },
        };
        if handled == Handled::No {
            self.say_nothing_happens(action, effects);
        }
    }

    /// The help names keys that hold on every screen or for every chart: one that means nothing here says so.
    fn say_nothing_happens(&mut self, action: Action, effects: &mut Vec<Effect>) {
        let text = match (action, action.pane_index()) {
            (_, Some(at)) => format!("there is no pane {} here", at + 1),
            (Action::NextPane | Action::PreviousPane | Action::Zoom, _) => {
                "there is only one pane here".to_string()
            }
            (Action::CycleUnit, _) => "only the loss has other units".to_string(),
            _ => format!("`{}` does nothing here", action.name()),
        };
        self.notify(NoticeLevel::Info, text, effects);
    }

    pub(super) fn act_help(&mut self, action: Action) -> Handled {
        let contexts = self.screen_contexts();
        let pane_help = self.pane_help();
        let page = isize::try_from(self.size.height.saturating_sub(5)).unwrap_or(10);
        let Some(Overlay::Help(help)) = &mut self.overlay else {
            return Handled::No;
        };
        let by = match action {
            Action::Up => -1,
            Action::Down => 1,
            Action::PageUp => -page,
            Action::PageDown => page,
            Action::Top => isize::MIN,
            Action::Bottom => 1 << 20,
            Action::Close | Action::Help => {
                self.overlay = None;
                return Handled::Yes;
            }
            // Leaving, suspending and colours work over the help too; the rest waits until it is closed.
            Action::Quit | Action::Suspend | Action::Redraw | Action::NextTheme => {
                return Handled::No;
            }
            _ => return Handled::Yes,
        };
        help.scroll(by, &self.keymap, contexts, pane_help, self.size);
        Handled::Yes
    }

    /// Esc: never more than one thing at a time, and never the program.
    fn close(&mut self, effects: &mut Vec<Effect>) {
        // An error stays until it is closed; what else is said goes by itself and must not stand in the way.
        let error = |(_, notice): &(u64, Notice)| notice.level == NoticeLevel::Error;
        let closed = self.notices.iter().any(error);
        self.notices.clear();
        if closed {
            return;
        }
        match self.screen {
            Screen::Home => {
                self.home.act(Action::Close, &mut Vec::new());
            }
            Screen::Train => {
                self.act_train(Action::Close, effects);
            }
            Screen::Runs => {
                if self.runs.close() {
                    return;
                }
                self.screen = match self.train {
                    Some(_) => Screen::Train,
                    None => Screen::Home,
                };
            }
        }
    }
}
