//! The two ends of a training thread: where commands go in, and where events come out.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Weak};

use super::{Command, Event};

/// The two ends a front end holds.
#[derive(Debug)]
pub struct Engine {
    pub commands: CommandSender,
    pub events: Receiver<Event>,
}

/// Sends commands. `Stop` and `Shutdown` also raise a flag that evaluation and generation look at, so that
/// they end before the next step boundary.
#[derive(Debug, Clone)]
pub struct CommandSender {
    /// Shared, so that [`CommandSender::downgrade`] can give an end away that does not keep the training thread.
    sender: Arc<Sender<Command>>,
    /// Previews take their own way, so that a long step or a load never delays them.
    previews: Option<Sender<Command>>,
    stop: Arc<AtomicBool>,
}

impl CommandSender {
    /// The flag is cleared by the training thread when it takes the command.
    pub fn new(sender: Sender<Command>, stop: Arc<AtomicBool>) -> Self {
        Self {
            sender: Arc::new(sender),
            previews: None,
            stop,
        }
    }

    /// An end for those who may steer but are not the front end: when that goes away, the training thread ends.
    pub fn downgrade(&self) -> WeakCommandSender {
        WeakCommandSender {
            sender: Arc::downgrade(&self.sender),
            stop: Arc::clone(&self.stop),
        }
    }

    /// Sends [`Command::Preview`] to `previews` instead of the training thread.
    pub fn with_previews(mut self, previews: Sender<Command>) -> Self {
        self.previews = Some(previews);
        self
    }

    /// Returns false when the training thread is gone.
    pub fn send(&self, command: Command) -> bool {
        if matches!(command, Command::Stop | Command::Shutdown) {
            self.stop.store(true, Ordering::Relaxed);
        }
        match (&self.previews, &command) {
            (Some(previews), Command::Preview { .. }) => previews.send(command).is_ok(),
            _ => self.sender.send(command).is_ok(),
        }
    }
}

/// Sends commands for as long as somebody holds a [`CommandSender`].
#[derive(Debug, Clone)]
pub struct WeakCommandSender {
    sender: Weak<Sender<Command>>,
    stop: Arc<AtomicBool>,
}

impl WeakCommandSender {
    /// Returns false when the training thread, or its front end, is gone.
    pub fn send(&self, command: Command) -> bool {
        let Some(sender) = self.sender.upgrade() else {
            return false;
        };
        if matches!(command, Command::Stop | Command::Shutdown) {
            self.stop.store(true, Ordering::Relaxed);
        }
        sender.send(command).is_ok()
    }
}
