//! The screens.

pub mod home;
pub mod runs;
pub mod sweep;
pub mod train;

use ratatui::layout::Position;

/// What the mouse did, in screen cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScreenMouse {
    Click(Position),
    Drag(Position),
    Release(Position),
    /// Negative is up.
    Wheel {
        at: Position,
        lines: i32,
    },
}
