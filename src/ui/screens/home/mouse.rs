//! Clicks, the wheel and dragged splitters on the home screen.

use ratatui::layout::Rect;

use super::ladder::{Entry, Target};
use super::{HomePane, HomeScreen, Request, places};
use crate::ui::keymap::Action;
use crate::ui::panes::Handled;
use crate::ui::screens::ScreenMouse;
use crate::ui::theme::Theme;

impl HomeScreen {
    pub fn mouse(
        &mut self,
        mouse: ScreenMouse,
        theme: &Theme,
        area: Rect,
        requests: &mut Vec<Request>,
    ) -> Handled {
        let panes = self.places(area);
        let at = match mouse {
            ScreenMouse::Click(at) => {
                self.dragging = panes.splitter_at(at);
                if self.dragging.is_some() {
                    return Handled::Yes;
                }
                at
            }
            ScreenMouse::Drag(at) => {
                let Some(splitter) = self.dragging else {
                    return Handled::No;
                };
                self.splits.drag(splitter, area, at);
                return Handled::Yes;
            }
            ScreenMouse::Release(_) => {
                return match self.dragging.take() {
                    Some(_) => Handled::Yes,
                    None => Handled::No,
                };
            }
            ScreenMouse::Wheel { at, .. } => at,
        };
        let Some(pane) = panes.pane_at(at) else {
            return Handled::No;
        };
        if let ScreenMouse::Wheel { lines, .. } = mouse {
            let action = if lines < 0 { Action::Up } else { Action::Down };
            return match pane {
                HomePane::Ladder => self.act_ladder(action, requests),
                HomePane::Form => self.act_form(action, requests),
                HomePane::Preview => self.act_preview(action),
            };
        }
        self.focus = pane;
        let inner = places::inside(panes.of(pane));
        let line = at.y.checked_sub(inner.y);
        match (pane, line) {
            (HomePane::Ladder, Some(line)) => match self.ladder().target_at(theme, line, inner) {
                Some(Target::Entry(entry)) => self.go_to(entry, requests),
                Some(Target::Config(at)) => self.choose_config(at, requests),
                None => {}
            },
            (HomePane::Form, Some(line)) if matches!(self.cursor, Entry::Rung(_)) => {
                let fields = self.form_fields();
                let inner = self.form_body(inner);
                let line = line.checked_sub(inner.y - places::inside(panes.of(pane)).y);
                let hit = line.and_then(|line| self.form(&fields).field_at(line, inner));
                if let Some(at) = hit {
                    self.field = fields[at].key;
                    self.typing = None;
                }
            }
            _ => {}
        }
        Handled::Yes
    }
}
