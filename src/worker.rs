//! The training thread: drains commands at step boundaries, drives the trainer, publishes events.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;

use crate::protocol::{CommandSender, Engine};

/// What the training thread needs to know before its first command.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// Where new runs go that are given no folder of their own.
    pub runs_root: PathBuf,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            runs_root: crate::run::runs_root(),
        }
    }
}

/// Starts the training thread and hands over its two ends.
///
/// # Errors
/// The system has no thread left to give.
pub fn spawn(_options: WorkerOptions) -> std::io::Result<Engine> {
    let (sender, _commands) = mpsc::channel();
    let (_events, events) = mpsc::channel();
    let stop = Arc::new(AtomicBool::new(false));
    Ok(Engine {
        commands: CommandSender::new(sender, stop),
        events,
    })
}
