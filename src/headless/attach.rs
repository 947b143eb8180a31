//! Following a run that another process trains: its events as lines, until it ends or the reader leaves.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;

use super::printer::Printer;
use super::{PATIENCE, Streams};
use crate::control::{Ending, Link, Told};
use crate::protocol::{EventKind, FinishReason, Notice, NoticeLevel, Phase};
use crate::run;

/// How following a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// The run ended, and how.
    Ended(FinishReason),
    /// This side left; the run goes on.
    Left,
}

/// Writes what the process at the other end of `link` tells. `interrupts` counts the signals that came: the first makes
/// this return.
///
/// # Errors
/// A sentence, when the run failed, or its process is gone.
pub fn attach(
    link: &Link,
    interrupts: &AtomicUsize,
    streams: Streams<'_>,
) -> Result<Followed, String> {
    let welcome = &link.welcome;
    let steps = welcome.info.as_ref().map_or(0, |info| info.total_steps);
    let mut follower = Follower {
        printer: Printer::new(streams, steps),
        failed: None,
        finished: None,
        step: 0,
    };
    if let Some(info) = &welcome.info {
        follower.event(&EventKind::Started(info.clone()));
    }
    if welcome.phase == Phase::Paused {
        follower.printer.say("the run is paused");
    }
    let ending = loop {
        if interrupts.load(Ordering::Relaxed) > 0 || follower.printer.closed {
            follower.printer.say(&format!(
                "left; process {} trains on in {}",
                welcome.pid,
                welcome.run.display()
            ));
            return Ok(Followed::Left);
        }
        match link.told.recv_timeout(PATIENCE) {
            Ok(Told::Event(event)) => follower.event(&event.kind),
            Ok(Told::Role(_)) => {}
            Ok(Told::Refused(message)) => follower.event(&EventKind::Notice(Notice {
                level: NoticeLevel::Warning,
                message,
            })),
            Ok(Told::Ended(ending)) => break ending,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break Ending::HungUp,
        }
    };
    if let Some(message) = follower.failed {
        return Err(message);
    }
    match (follower.finished, ending) {
        (Some(reason), _) => Ok(Followed::Ended(reason)),
        (None, Ending::Bye(reason)) => Err(format!(
            "process {} closed the connection: {reason}",
            welcome.pid
        )),
        (None, _) => Err(format!(
            "process {}, which trained this run, ended without a word after step {}. {}",
            welcome.pid,
            follower.step,
            run::what_is_saved(&welcome.run)
        )),
    }
}

struct Follower<'a> {
    printer: Printer<'a>,
    failed: Option<String>,
    finished: Option<FinishReason>,
    step: u64,
}

impl Follower<'_> {
    fn event(&mut self, kind: &EventKind) {
        self.printer.show(kind);
        match kind {
            EventKind::Started(info) => self.step = info.start_step,
            EventKind::Steps(steps) => {
                self.step = steps.last().map_or(self.step, |report| report.step);
            }
            EventKind::Finished(report) => self.finished = Some(report.reason),
            EventKind::Failed { message, .. } => self.failed = Some(message.clone()),
            EventKind::Phase(Phase::Paused) => self.printer.say("paused"),
            _ => {}
        }
    }
}
