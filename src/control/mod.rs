//! Watching and steering a run from another process, over a Unix domain socket in the run's folder
//! (`docs/control.md` has the protocol).
//!
//! - [`wire`]: what is said, as lines of JSON.
//! - `socket`: the socket file: only its owner may open it, a dead one is replaced, long paths are no obstacle.
//! - [`Server`]: the end of the process that trains; it never holds up the training.
//! - [`connect`]: the end of a process that watches or steers.
//!
//! On systems without Unix domain sockets nothing of this is compiled: runs train without a socket, and attaching to
//! one says why it cannot be done.

#[cfg(not(unix))]
mod absent;
#[cfg(unix)]
mod client;
#[cfg(unix)]
mod hub;
#[cfg(unix)]
mod peer;
#[cfg(unix)]
mod server;
#[cfg(unix)]
mod socket;
#[cfg(all(test, unix))]
mod tests;
pub mod wire;

use std::path::PathBuf;

use crate::protocol::Event;
pub use wire::{Role, RoleNow, Welcome};

#[cfg(not(unix))]
pub use absent::{Server, Tee, connect};
#[cfg(unix)]
pub use client::connect;
#[cfg(unix)]
pub use server::{Server, Tee};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    #[error("the control socket {} cannot be made: {source}", path.display())]
    Make {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("no process trains {}", run.display())]
    NotTrained { run: PathBuf },
    #[error(
        "the process that trains {} has no control socket (it may be of an older version, or could not make one): {source}",
        run.display()
    )]
    NoSocket {
        run: PathBuf,
        source: std::io::Error,
    },
    #[error("the process that trains {} does not answer: {reason}", run.display())]
    NoAnswer { run: PathBuf, reason: String },
    #[error("the process that trains {} refused: {reason}", run.display())]
    Refused { run: PathBuf, reason: String },
    #[error(
        "this system has no Unix domain sockets: a run can only be watched and steered by the process that trains it"
    )]
    Unsupported,
}

/// What a connection tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    Event(Event),
    /// Who holds the controls has changed.
    Role(RoleNow),
    /// Something asked for is not done, and why.
    Refused(String),
    /// Nothing follows.
    Ended(Ending),
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// By this side.
    Left,
    /// By the other, with a word.
    Bye(String),
    /// The run had said its last word.
    Over,
    /// The other side is gone, or cannot be understood.
    HungUp,
}

/// A connection to the process that trains a run.
#[derive(Debug)]
pub struct Link {
    pub welcome: Welcome,
    pub told: std::sync::mpsc::Receiver<Told>,
}
