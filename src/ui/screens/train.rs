//! The dashboard of one run.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use crate::config::RunConfig;
use crate::protocol::{EventKind, Phase, RunId, RunInfo};

use super::super::keymap::{Action, Context, KeyMap};
use super::super::panes::{Handled, Pane, PaneSpec, REGISTRY};
use super::super::theme::Theme;

/// Everything a run told so far, as the panes read it.
#[derive(Debug)]
pub struct RunView {
    pub run: RunId,
    pub config: RunConfig,
    pub info: Option<Box<RunInfo>>,
    pub phase: Phase,
    /// The newest step that was reported.
    pub step: u64,
    /// The newest step of which a checkpoint is on disk.
    pub saved_step: Option<u64>,
    /// Multiplies the schedule's learning rate now.
    pub multiplier: f64,
    /// What the user dialled and has not applied yet.
    pub pending_multiplier: Option<f64>,
}

/// The dashboard: the run, and the panes with their own state.
#[derive(Debug)]
pub struct TrainScreen {
    pub view: RunView,
    panes: Vec<Box<dyn Pane>>,
    focus: usize,
    zoomed: bool,
}

impl TrainScreen {
    pub fn new(run: RunId, config: RunConfig) -> Self {
        Self {
            view: RunView {
                run,
                config,
                info: None,
                phase: Phase::Idle,
                step: 0,
                saved_step: None,
                multiplier: 1.0,
                pending_multiplier: None,
            },
            panes: REGISTRY.iter().map(|r| (r.new)()).collect(),
            focus: 0,
            zoomed: false,
        }
    }

    /// Takes in what the run reports. The caller has dropped events of other runs.
    pub fn on_event(&mut self, event: EventKind) {
        if let EventKind::Phase(phase) = event {
            self.view.phase = phase;
        }
    }

    /// Moving between panes, zooming, and whatever the focused pane makes of an action.
    /// Commands to the training thread are not sent from here: `app` does that.
    pub fn act(&mut self, action: Action) -> Handled {
        match action {
            Action::Zoom => {
                self.zoomed = !self.zoomed;
                Handled::Yes
            }
            _ => match self.panes.get_mut(self.focus) {
                Some(pane) => pane.act(action, &self.view),
                None => Handled::No,
            },
        }
    }

    /// A click, drag or wheel somewhere on the screen's `area`.
    pub fn mouse(&mut self, _mouse: super::ScreenMouse, _area: Rect) -> Handled {
        Handled::No
    }

    /// Innermost first; `app` adds the contexts of everything.
    pub fn contexts(&self) -> Vec<Context> {
        let mut contexts: Vec<Context> = self.focused().map(|s| s.context).into_iter().collect();
        contexts.push(Context::Train);
        contexts
    }

    /// The pane with the focus, for its help.
    pub fn focused(&self) -> Option<&'static PaneSpec> {
        self.panes.get(self.focus).map(|pane| pane.spec())
    }

    /// Everything but the footer, which `app` draws.
    pub fn render(&self, theme: &Theme, _keymap: &KeyMap, area: Rect, buffer: &mut Buffer) {
        if area.is_empty() {
            return;
        }
        let at = Position::new(area.x, area.y);
        buffer.set_stringn(
            at.x,
            at.y,
            &self.view.config.name,
            area.width.into(),
            theme.text,
        );
    }
}
