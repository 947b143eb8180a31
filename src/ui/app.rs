//! The state of the screens, and what every message changes in it.

use std::path::PathBuf;
use std::time::Duration;

use crossterm::event::{KeyEvent, MouseEvent};

use crate::protocol::{Command, Event};

use super::Outcome;

/// Everything that can happen.
#[derive(Debug)]
pub enum Message {
    Key(KeyEvent),
    Mouse(MouseEvent),
    Paste(String),
    Resize {
        width: u16,
        height: u16,
    },
    /// The program came back from the shell (`fg`).
    Resumed,
    Engine(Event),
    /// The training thread is gone; no event will follow.
    EngineGone,
    /// A timer that was set by [`Effect::After`].
    Timer(Timer),
    /// A signal asked the program to end (SIGTERM, SIGHUP).
    Terminate,
}

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// Ask for the preview with this number, if no newer one was asked for.
    Preview(u64),
    /// Take this notice from the screen.
    Notice(u64),
    /// Forget the keys typed so far.
    Keys(u64),
}

/// What the loop has to do after a message.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    Send(Command),
    /// Read the runs folder off this thread.
    LoadRuns,
    /// Read what a run wrote so far off this thread.
    LoadHistory(PathBuf),
    /// Send back [`Message::Timer`] after this long.
    After(Duration, Timer),
    /// Clear the terminal before the next frame.
    Redraw,
    SetMouse(bool),
    Suspend,
    Quit(Outcome),
}
