//! The screens: state, `update(message) → effects`, and rendering that only reads.
//!
//! - [`app`]: the state, and what every message changes in it. No I/O.
//! - `event_loop`: threads for keys and events, pacing of frames, carrying out effects.
//! - [`keymap`]: the one table of keys. [`theme`]: colours and symbols by role. [`settings`]: the user's file.
//! - [`range_test`]: the learning-rate range test over the home screen.
//! - [`screens`], [`panes`], [`widgets`]: what is drawn. [`series`]: the numbers of a run, ready to be drawn.

pub mod app;
pub mod bench;
mod event_loop;
pub mod export;
pub mod format;
pub mod help;
pub mod keymap;
pub mod layout;
mod link;
pub mod palette;
pub mod panes;
pub mod picture;
pub mod range_test;
pub mod screens;
pub mod series;
pub mod settings;
pub mod sweep;
pub mod terminal;
pub mod theme;
pub mod widgets;

use std::path::PathBuf;

use crate::config::RunConfig;
use crate::protocol::{Engine, Origin};

/// How the screens start.
#[derive(Debug, Clone, Default)]
pub struct UiOptions {
    /// Train this at once instead of opening the home screen.
    pub start: Option<(RunConfig, Origin)>,
    /// The step at which that was told to pause.
    pub until: Option<u64>,
    /// Show this run, which another process trains.
    pub attach: Option<PathBuf>,
    /// Folder of all runs.
    pub runs_root: PathBuf,
    /// The user's settings, see [`settings::Settings::load`].
    pub settings: settings::Settings,
    /// Shown as notices at the start: what could not be used of the settings, for example.
    pub problems: Vec<String>,
}

/// How the screens ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was training, or it was saved before the end.
    Done,
    /// The user chose to quit without saving: do not wait for the training thread.
    Abandoned,
    /// The run in this folder was saved and is to go on without screens, in a process of its own: to the step that it was told to
    /// pause at, if there is one.
    Background { dir: PathBuf, until: Option<u64> },
    /// A signal or Ctrl-C ended a run, after saving.
    Interrupted,
}

/// Why the screens could not be shown, or ended.
#[derive(Debug, thiserror::Error)]
pub enum UiError {
    #[error("the terminal could not be used: {0}")]
    Terminal(#[from] std::io::Error),
    /// A panic on the thread of the screens; it was printed, and a run in progress was saved.
    #[error("the screens ended by a defect: {0}")]
    Defect(String),
}

/// Shows the screens until the user quits.
///
/// But for [`Outcome::Abandoned`], the training thread was told to shut down (and, where a
/// run was in progress, has saved it and ended).
///
/// # Errors
/// The terminal cannot be used, went away, or a defect ended the screens. The terminal is given back in every case,
/// and a run in progress is saved before this returns.
pub fn run(engine: Engine, options: UiOptions) -> Result<Outcome, UiError> {
    event_loop::run(engine, options)
}
