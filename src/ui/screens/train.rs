//! The dashboard of one run.
//!
//! ```text
//!  gpt · stories · flex ── step 1 240/5 000 ── epoch 0.4 ── 31.2k tok/s ── ETA 1:52 ── training ●
//! ┌ 1 Loss ───────────────────────────────────┐┌ 2 Samples ────────────────────────────────────┐
//! └───────────────────────────────────────────┘└───────────────────────────────────────────────┘
//! ┌ 3 Learning rate ──────────────────────────┐┌ 6 Knobs ─────────┐┌ 7 Health ─────────────────┐
//! └───────────────────────────────────────────┘└──────────────────┘└───────────────────────────┘
//! ┌ 4 Gradient norm ────┐┌ 5 Tokens/s ────────┐┌ 8 Events ─────────────────────────────────────┐
//! └─────────────────────┘└────────────────────┘└───────────────────────────────────────────────┘
//! ```

mod header;
mod knobs;
mod layout;
mod timeline;
mod view;

pub use knobs::{InForce, Knob, Knobs, edit_between, multiplier as typed_multiplier, put_back};
pub use timeline::{Branch, EditState, author, edit_states};
pub use view::{LiveSample, LogLine, Pinned, RunView, Sampled, Trainer};

use crossterm::event::KeyEvent;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use unicode_width::UnicodeWidthStr;

use crate::chart::View;
use crate::config::RunConfig;
use crate::protocol::{EventKind, Phase, RunId};
use crate::run::History;

use super::super::keymap::{Action, Context, KeyMap};
use super::super::panes::knobs as knobs_pane;
use super::super::panes::{Handled, Pane, PaneContext, PaneMouse, PaneSpec, REGISTRY};
use super::super::theme::Theme;
use super::ScreenMouse;
use layout::{Layout, SMALLEST, Splits, share_at};

/// What a drag moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Splitter {
    Column,
    Row,
}

/// The dashboard: the run, and the panes with their own state.
#[derive(Debug)]
pub struct TrainScreen {
    pub view: RunView,
    panes: Vec<Box<dyn Pane>>,
    focus: usize,
    zoomed: bool,
    splits: Splits,
    dragging: Option<Splitter>,
}

impl TrainScreen {
    pub fn new(run: RunId, config: RunConfig) -> Self {
        Self {
            view: RunView::new(run, config),
            panes: REGISTRY.iter().map(|r| (r.new)()).collect(),
            focus: 0,
            zoomed: false,
            splits: Splits::default(),
            dragging: None,
        }
    }

    /// Takes in what the run reports. The caller has dropped events of other runs.
    pub fn on_event(&mut self, event: EventKind) {
        self.view.apply(event);
    }

    /// Takes in what the run wrote before it was taken up again, so that it shows without a seam.
    pub fn on_history(&mut self, history: History) {
        self.view.prepend(history);
    }

    /// Moving between panes, zooming, and whatever the focused pane makes of an action.
    /// Commands to the training thread are not sent from here: `app` does that.
    pub fn act(&mut self, action: Action) -> Handled {
        let count = self.panes.len().max(1);
        if let Some(index) = action.pane_index() {
            if index >= self.panes.len() {
                return Handled::No;
            }
            self.focus = index;
            return Handled::Yes;
        }
        match action {
            Action::NextPane => self.focus = (self.focus + 1) % count,
            Action::PreviousPane => self.focus = (self.focus + count - 1) % count,
            Action::Zoom => self.zoomed = !self.zoomed,
            Action::Close if self.zoomed => self.zoomed = false,
            // One strength of smoothing for all charts: they are read side by side.
            Action::CycleSmoothing => self.view.cycle_smoothing(),
            _ if self.knobs_focused() => return self.act_knobs(action),
            _ => {
                return match self.panes.get_mut(self.focus) {
                    Some(pane) => pane.act(action, &self.view),
                    None => Handled::No,
                };
            }
        }
        Handled::Yes
    }

    fn knobs_focused(&self) -> bool {
        self.focused()
            .is_some_and(|spec| spec.id == knobs_pane::SPEC.id)
    }

    /// What is pending belongs to the run, since the charts show it; the pane only draws it.
    fn act_knobs(&mut self, action: Action) -> Handled {
        let view = &mut self.view;
        let run = InForce {
            config: &view.config,
            multiplier: view.multiplier,
            step: view.step,
        };
        view.knobs.act(action, run)
    }

    /// Gives the focus to the knobs, with the cursor on this one.
    pub fn show_knob(&mut self, key: &'static str) {
        let at = self
            .panes
            .iter()
            .position(|pane| pane.spec().id == knobs_pane::SPEC.id);
        self.focus = at.unwrap_or(self.focus);
        self.view.knobs.go_to_key(key);
    }

    /// Whether a value is being typed.
    pub fn is_typing(&self) -> bool {
        self.view.knobs.is_typing()
    }

    /// A key while a value is being typed.
    pub fn type_key(&mut self, key: KeyEvent, action: Option<Action>) -> Handled {
        let view = &mut self.view;
        let run = InForce {
            config: &view.config,
            multiplier: view.multiplier,
            step: view.step,
        };
        view.knobs.type_key(key, action, run)
    }

    pub fn paste(&mut self, text: &str) {
        let view = &mut self.view;
        let run = InForce {
            config: &view.config,
            multiplier: view.multiplier,
            step: view.step,
        };
        view.knobs.paste(text, run);
    }

    /// A click, drag or wheel somewhere on the screen's `area`.
    pub fn mouse(&mut self, mouse: ScreenMouse, area: Rect) -> Handled {
        let body = self.body(area);
        let layout = self.layout(body);
        let at = match mouse {
            ScreenMouse::Click(at) | ScreenMouse::Drag(at) | ScreenMouse::Release(at) => at,
            ScreenMouse::Wheel { at, .. } => at,
        };
        match mouse {
            ScreenMouse::Release(_) => {
                return match self.dragging.take() {
                    Some(_) => Handled::Yes,
                    None => Handled::No,
                };
            }
            ScreenMouse::Click(_) => {
                self.dragging = self.splitter_at(&layout, at);
                if self.dragging.is_some() {
                    return Handled::Yes;
                }
            }
            ScreenMouse::Drag(_) => {
                if let Some(splitter) = self.dragging {
                    self.drag(splitter, layout.split, at);
                    return Handled::Yes;
                }
            }
            ScreenMouse::Wheel { .. } => {}
        }
        let Some((id, place)) = layout.places.iter().find(|(_, place)| place.contains(at)) else {
            return Handled::No;
        };
        let Some(index) = self.panes.iter().position(|pane| pane.spec().id == *id) else {
            return Handled::No;
        };
        let mouse = match mouse {
            ScreenMouse::Wheel { at, lines } => PaneMouse::Wheel { at, lines },
            ScreenMouse::Drag(at) => PaneMouse::Drag(at),
            _ => PaneMouse::Click(at),
        };
        if matches!(mouse, PaneMouse::Click(_)) {
            // The first click only gives the focus.
            if self.focus != index {
                self.focus = index;
                return Handled::Yes;
            }
        }
        if *id == knobs_pane::SPEC.id {
            return self.mouse_knobs(mouse, *place);
        }
        self.panes[index].mouse(mouse, *place, &self.view)
    }

    fn mouse_knobs(&mut self, mouse: PaneMouse, place: Rect) -> Handled {
        match mouse {
            PaneMouse::Wheel { lines, .. } => {
                let action = if lines < 0 { Action::Up } else { Action::Down };
                self.act_knobs(action)
            }
            PaneMouse::Click(at) => match knobs_pane::knob_at(&self.view, place, at) {
                Some(knob) => {
                    self.view.knobs.go_to(knob);
                    Handled::Yes
                }
                None => Handled::No,
            },
            PaneMouse::Drag(_) => Handled::No,
        }
    }

    fn splitter_at(&self, layout: &Layout, at: Position) -> Option<Splitter> {
        let near = |line: u16, place: u16| place == line || place + 1 == line;
        let column = layout.split_column?;
        if near(column, at.x) {
            return Some(Splitter::Column);
        }
        // Only on the border itself: the row above belongs to the axis of the loss.
        let row = layout.split_row?;
        (at.x < column && at.y == row).then_some(Splitter::Row)
    }

    /// Puts the border where the mouse is, within what it divides.
    fn drag(&mut self, splitter: Splitter, within: Rect, at: Position) {
        match splitter {
            Splitter::Column => {
                let left = share_at(at.x.saturating_sub(within.x), within.width);
                self.splits.left = Some(left);
            }
            Splitter::Row => {
                let loss = share_at(at.y.saturating_sub(within.y), within.height);
                self.splits.loss = Some(loss);
            }
        }
    }

    /// What has the focus.
    pub fn context(&self) -> Context {
        self.focused().map_or(Context::Train, |spec| spec.context)
    }

    /// The pane with the focus, for its help.
    pub fn focused(&self) -> Option<&'static PaneSpec> {
        self.panes.get(self.focus).map(|pane| pane.spec())
    }

    /// What the focused pane shows, if that is a chart.
    pub fn chart(&self) -> Option<View> {
        self.panes.get(self.focus)?.chart(&self.view)
    }

    /// The rows kept for saying why training stands still.
    fn trouble(&self, area: Rect) -> Rect {
        // As many cells as the longest sentences take, so that what to do next is never cut off.
        let cells = match &self.view.phase {
            Phase::Diverged { message, .. } => 180 + message.width(),
            Phase::Failed => 100 + self.view.failure.as_deref().map_or(0, str::width),
            Phase::Finished => 130,
            _ => 0,
        };
        let rows = cells.div_ceil(usize::from(area.width).max(1)).min(5) as u16;
        Rect {
            y: area.y + 1.min(area.height),
            height: rows.min(area.height.saturating_sub(1)),
            ..area
        }
    }

    /// The area of the panes, under the header.
    fn body(&self, area: Rect) -> Rect {
        let top = self.trouble(area).bottom();
        Rect {
            y: top,
            height: area.bottom().saturating_sub(top),
            ..area
        }
    }

    fn layout(&self, body: Rect) -> Layout {
        let focused = self.focused().map(|spec| spec.id);
        if self.zoomed
            && let Some(id) = focused
        {
            return Layout {
                places: vec![(id, body)],
                ..Layout::default()
            };
        }
        Layout::new(body, self.splits, focused)
    }

    /// Everything but the footer, which `app` draws.
    pub fn render(&self, theme: &Theme, keymap: &KeyMap, area: Rect, buffer: &mut Buffer) {
        let area = area.intersection(buffer.area);
        if area.is_empty() {
            return;
        }
        if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
            let (phase, style) = header::phase_words(&self.view, theme);
            let words = format!(
                "step {} {phase}: make this window at least 40 by 12",
                self.view.step
            );
            header::draw_trouble(&words, style, area, buffer);
            return;
        }
        header::draw(&self.view, theme, Rect { height: 1, ..area }, buffer);
        let body = self.body(area);
        let layout = self.layout(body);
        if let Some(row) = layout.gauges {
            header::draw_gauges(&self.view, theme, row, buffer);
        }
        for (id, place) in &layout.places {
            if let Some(index) = self.panes.iter().position(|pane| pane.spec().id == *id) {
                let context = PaneContext {
                    theme,
                    keymap,
                    focused: index == self.focus,
                    number: index + 1,
                };
                self.panes[index].render(&self.view, context, *place, buffer);
            }
        }
        if let Some((words, style)) = header::trouble(&self.view, keymap, theme) {
            header::draw_trouble(&words, style, self.trouble(area), buffer);
        }
    }
}

#[cfg(test)]
mod tests;
