//! The panes of the dashboard: what a pane is, and the list of all of them.
//!
//! A pane keeps its own scroll, cursor and zoom; what the run did comes in by reference ([`RunView`]).
//! To add one: a new file with a type that implements [`Pane`], and one line in [`REGISTRY`].

mod events;
mod frame;
mod grad_norm;
mod health;
pub(crate) mod knobs;
mod learning_rate;
mod list;
mod loss;
pub(in crate::ui) mod plot;
mod samples;
mod throughput;

pub(crate) use frame::{grouped, wrap};
pub(in crate::ui) use list::Scroll;
pub(in crate::ui) use loss::edit_markers;
pub(crate) use plot::{look, symbols};

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use crate::chart::View;

use super::keymap::{Action, Context, KeyMap};
use super::screens::train::RunView;
use super::theme::Theme;

/// What stays the same about a pane.
#[derive(Debug, Clone, Copy)]
pub struct PaneSpec {
    /// Stable name: `loss`.
    pub id: &'static str,
    pub title: &'static str,
    /// What it shows and how to read it, for the help overlay.
    pub help: &'static str,
    /// Where its keys are looked up first.
    pub context: Context,
    /// On a small screen, panes with a lower number give way first.
    pub importance: u8,
}

/// Everything a pane needs besides the run, to draw itself.
#[derive(Debug, Clone, Copy)]
pub struct PaneContext<'a> {
    pub theme: &'a Theme,
    pub keymap: &'a KeyMap,
    pub focused: bool,
    /// Number key that focuses it, from 1; 0 when it has none.
    pub number: usize,
}

/// What the mouse did inside a pane, in screen cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaneMouse {
    Click(Position),
    Drag(Position),
    /// Negative is up.
    Wheel {
        at: Position,
        lines: i32,
    },
}

/// Whether a key or the mouse meant something to a pane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    Yes,
    No,
}

/// One pane. `area` is always the whole area with its border; it may be empty.
pub trait Pane: std::fmt::Debug + Send {
    fn spec(&self) -> &'static PaneSpec;

    fn act(&mut self, action: Action, run: &RunView) -> Handled;

    fn mouse(&mut self, mouse: PaneMouse, area: Rect, run: &RunView) -> Handled;

    /// What it shows now, for a pane with a chart.
    fn chart(&self, _run: &RunView) -> Option<View> {
        None
    }

    /// Reads only; must take any area, down to 0×0.
    fn render(&self, run: &RunView, context: PaneContext<'_>, area: Rect, buffer: &mut Buffer);
}

/// A line of the registry.
#[derive(Debug, Clone, Copy)]
pub struct Registration {
    pub spec: &'static PaneSpec,
    pub new: fn() -> Box<dyn Pane>,
}

/// All panes, in the order of their number keys.
pub const REGISTRY: &[Registration] = &[
    Registration {
        spec: &loss::SPEC,
        new: loss::new,
    },
    Registration {
        spec: &samples::SPEC,
        new: samples::new,
    },
    Registration {
        spec: &learning_rate::SPEC,
        new: learning_rate::new,
    },
    Registration {
        spec: &grad_norm::SPEC,
        new: grad_norm::new,
    },
    Registration {
        spec: &throughput::SPEC,
        new: throughput::new,
    },
    Registration {
        spec: &knobs::SPEC,
        new: knobs::new,
    },
    Registration {
        spec: &health::SPEC,
        new: health::new,
    },
    Registration {
        spec: &events::SPEC,
        new: events::new,
    },
];
