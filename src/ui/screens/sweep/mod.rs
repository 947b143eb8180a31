//! A sweep while it goes on: its trials as a table, their losses over each other, and what was varied as parallel coordinates.
//!
//! ```text
//!  sweep-gpt-001   rung 2 of 3, up to step 300   results of 5 of 9 trials   running
//! ┌ 1 Trials ───────────────────────────────────────────────────────────────────────────┐
//! │  rank trial      learning_rate dropout     step   val loss  bits/byte  status       │
//! │▸    1 trial-004        0.0021     0.1   300/900     1.8412     2.0311  running      │
//! └─────────────────────────────────────────────────────────────────────────────────────┘
//! ┌ 2 Losses ────────────────────────────────┐┌ 3 Values ───────────────────────────────┐
//! │ 4 ┤⢣                                     ││ learning_rate   dropout        val loss │
//! │ 2 ┤ ⠣⣀⡀⠉⠒⠤                               ││  ⡇⠑⢄         ⡠⠊⡇          ⢀⠤⠊⡇          │
//! └──────────────────────────────────────────┘└─────────────────────────────────────────┘
//! ```
//!
//! It shows what it is told: whoever drives it reads the folder ([`crate::run::sweep::read`]) on another thread.

mod coordinates;
mod view;

use std::sync::Arc;

use crate::run::sweep::{Curve, SweepState, TrialStatus};
use crate::ui::help::{Help, PaneHelp};
use crate::ui::keymap::{Action, Context, KeyMap};
use crate::ui::theme::Theme;
use crate::ui::widgets::modal::{Choice, Modal};
use ratatui::layout::Rect;

/// What is known at a moment. Curves are in the order of the trials.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub state: SweepState,
    pub curves: Arc<Vec<Curve>>,
}

/// How the sweep ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    Finished,
    Interrupted,
    Failed(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SweepPane {
    Trials,
    Losses,
    Values,
}

const PANES: [SweepPane; 3] = [SweepPane::Trials, SweepPane::Losses, SweepPane::Values];

#[derive(Debug)]
enum Overlay {
    Help(Help),
    Question(Modal),
}

/// What the screen wants from who drives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Tell the trials to save and end.
    Stop,
    /// Do not wait for them.
    Hurry,
    Leave,
    Redraw,
    Suspend,
}

#[derive(Debug)]
pub struct SweepScreen {
    snapshot: Option<Snapshot>,
    problem: Option<String>,
    /// Trials in the order of the table.
    order: Vec<usize>,
    /// The trial under the cursor, not its line: the order changes while one looks.
    selected: usize,
    /// Until it is moved, the cursor stays on the first line.
    moved: bool,
    by_rank: bool,
    focus: SweepPane,
    zoomed: bool,
    log: bool,
    ended: Option<Ended>,
    stopping: bool,
    overlay: Option<Overlay>,
    size: Rect,
}

impl SweepScreen {
    pub fn new(width: u16, height: u16) -> Self {
        Self {
            snapshot: None,
            problem: None,
            order: Vec::new(),
            selected: 0,
            moved: false,
            by_rank: true,
            focus: SweepPane::Trials,
            zoomed: false,
            log: false,
            ended: None,
            stopping: false,
            overlay: None,
            size: Rect::new(0, 0, width, height),
        }
    }

    pub fn resize(&mut self, width: u16, height: u16) {
        self.size = Rect::new(0, 0, width, height);
    }

    pub fn set(&mut self, snapshot: Result<Snapshot, String>) {
        match snapshot {
            Ok(snapshot) => {
                self.snapshot = Some(snapshot);
                self.problem = None;
                self.sort();
            }
            Err(problem) => self.problem = Some(problem),
        }
    }

    /// The conductor is done. One that was told to end takes the screen with it.
    pub fn on_end(&mut self, ended: Ended) -> Option<Wish> {
        let leaves = self.stopping || ended == Ended::Interrupted;
        self.ended = Some(ended);
        if let Some(Overlay::Question(_)) = self.overlay {
            self.overlay = None;
        }
        leaves.then_some(Wish::Leave)
    }

    fn sort(&mut self) {
        let Some(Snapshot { state, .. }) = &self.snapshot else {
            return;
        };
        self.order = (0..state.trials.len()).collect();
        if self.by_rank {
            self.order.sort_by_key(|trial| {
                let it = &state.trials[*trial];
                let failed = matches!(it.status, TrialStatus::Failed | TrialStatus::Diverged);
                // Without a result: what runs first, then what waits; what failed stays last.
                let place = match (failed, it.rank, it.status) {
                    (true, ..) => 3,
                    (_, Some(_), _) => 0,
                    (_, None, TrialStatus::Running) => 1,
                    _ => 2,
                };
                (place, it.rank, *trial)
            });
        }
        self.selected = match (self.moved, self.order.first()) {
            (false, Some(first)) => *first,
            _ => self.selected.min(state.trials.len().saturating_sub(1)),
        };
    }

    fn cursor(&self) -> usize {
        let at = self.order.iter().position(|trial| *trial == self.selected);
        at.unwrap_or(0)
    }

    pub fn contexts(&self) -> Vec<Context> {
        match &self.overlay {
            Some(Overlay::Help(_)) => vec![Context::Help],
            Some(Overlay::Question(_)) => vec![Context::Dialog],
            None => vec![Context::Sweep],
        }
    }

    fn help(&self) -> PaneHelp {
        match self.focus {
            SweepPane::Trials => PaneHelp {
                title: "Trials",
                text: "Every trial with its values and how far it is. Ranked are the trials that have a result: who came \
                       further stands before who was left behind, then the lower loss; who failed or diverged is last. The \
                       trial under the cursor is marked in the other two panes.",
            },
            SweepPane::Losses => PaneHelp {
                title: "Losses",
                text: "The smoothed training losses of all trials over each other, the points are validation losses. Bright: \
                       the trial under the cursor, and the best one so far.",
            },
            SweepPane::Values => PaneHelp {
                title: "Values",
                text: "Parallel coordinates: an axis for each key that is varied, and one for the result, with the best at the \
                       top. Each trial is a line; where the lines of good trials run together, a value matters.",
            },
        }
    }

    /// A key, as the table of keys has it; `letter` takes a choice of a question.
    pub fn act(
        &mut self,
        action: Option<Action>,
        letter: Option<char>,
        keymap: &KeyMap,
    ) -> Option<Wish> {
        match &mut self.overlay {
            Some(Overlay::Question(_)) => return self.answer(action, letter),
            Some(Overlay::Help(_)) => {
                self.act_help(action, keymap);
                return None;
            }
            None => {}
        }
        let last = self.order.len().saturating_sub(1);
        let cursor = self.cursor();
        let to = match action? {
            Action::Up => cursor.saturating_sub(1),
            Action::Down => (cursor + 1).min(last),
            Action::PageUp => cursor.saturating_sub(10),
            Action::PageDown => (cursor + 10).min(last),
            Action::Top => 0,
            Action::Bottom => last,
            other => return self.act_screen(other),
        };
        self.selected = self.order.get(to).copied().unwrap_or(0);
        self.moved = true;
        None
    }

    fn act_screen(&mut self, action: Action) -> Option<Wish> {
        if let Some(pane) = action.pane_index().and_then(|at| PANES.get(at)) {
            self.focus = *pane;
            return None;
        }
        let at = PANES.iter().position(|pane| *pane == self.focus);
        let at = at.unwrap_or(0);
        match action {
            Action::NextPane => self.focus = PANES[(at + 1) % PANES.len()],
            Action::PreviousPane => self.focus = PANES[(at + PANES.len() - 1) % PANES.len()],
            Action::Zoom => self.zoomed = !self.zoomed,
            Action::Close => self.zoomed = false,
            Action::ToggleLog => self.log = !self.log,
            Action::SortTrials => {
                self.by_rank = !self.by_rank;
                self.sort();
            }
            Action::Help => self.overlay = Some(Overlay::Help(Help::default())),
            Action::Redraw => return Some(Wish::Redraw),
            Action::Suspend => return Some(Wish::Suspend),
            Action::Quit | Action::StopRun if self.ended.is_some() => return Some(Wish::Leave),
            Action::Quit if self.stopping => return Some(Wish::Hurry),
            Action::Quit | Action::StopRun if !self.stopping => {
                self.overlay = Some(Overlay::Question(question()));
            }
            _ => {}
        }
        None
    }

    fn answer(&mut self, action: Option<Action>, letter: Option<char>) -> Option<Wish> {
        let Some(Overlay::Question(modal)) = &mut self.overlay else {
            return None;
        };
        let chosen = match (action, letter.and_then(|letter| modal.choice_of(letter))) {
            (Some(Action::Close), _) => {
                self.overlay = None;
                return None;
            }
            (Some(Action::Left), _) => {
                modal.next(-1);
                return None;
            }
            (Some(Action::Right), _) => {
                modal.next(1);
                return None;
            }
            (Some(Action::Accept), _) => modal.selected,
            // Ctrl-C over the question takes its first answer.
            (Some(Action::Quit), _) => 0,
            (_, Some(at)) => at,
            _ => return None,
        };
        self.overlay = None;
        match chosen {
            0 if self.ended.is_none() => {
                self.stopping = true;
                Some(Wish::Stop)
            }
            0 => Some(Wish::Leave),
            _ => None,
        }
    }

    fn act_help(&mut self, action: Option<Action>, keymap: &KeyMap) {
        let page = isize::try_from(self.size.height.saturating_sub(5)).unwrap_or(10);
        let by = match action {
            Some(Action::Up) => -1,
            Some(Action::Down) => 1,
            Some(Action::PageUp) => -page,
            Some(Action::PageDown) => page,
            Some(Action::Top) => isize::MIN,
            Some(Action::Bottom) => 1 << 20,
            Some(Action::Close | Action::Help | Action::Quit) => {
                self.overlay = None;
                return;
            }
            _ => return,
        };
        let (help, size) = (self.help(), self.size);
        if let Some(Overlay::Help(overlay)) = &mut self.overlay {
            overlay.scroll(by, keymap, &[Context::Sweep], Some(help), size);
        }
    }

    /// A signal asked the program to end: as the answer to the question does.
    pub fn terminate(&mut self) -> Wish {
        if self.ended.is_some() {
            return Wish::Leave;
        }
        self.overlay = None;
        self.stopping = true;
        Wish::Stop
    }
}

fn question() -> Modal {
    let choice = |letter, label: &str, detail: &str| Choice {
        letter,
        label: label.to_string(),
        detail: detail.to_string(),
    };
    Modal::question(
        "Stop the sweep",
        "Trials are still to be trained.".to_string(),
        vec![
            choice(
                's',
                "save the trials and stop",
                "The sweep can go on later, exactly where it is: fireside sweep --resume.",
            ),
            choice('t', "keep training", "Closes this dialog; nothing happens."),
        ],
    )
}

/// Draws the screen; reads only.
pub fn render(
    screen: &SweepScreen,
    theme: &Theme,
    keymap: &KeyMap,
    area: Rect,
    buffer: &mut ratatui::buffer::Buffer,
) {
    view::render(screen, theme, keymap, area, buffer);
}

#[cfg(test)]
mod tests;
