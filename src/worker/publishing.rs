//! What a run says: facts into its log and out as events, phases and notices, and the log on its way to the disk.

use std::time::Instant;

use super::session::{Mode, Session};
use crate::protocol::{EventKind, Notice, NoticeLevel, Phase};
use crate::run::Record;

impl Session<'_> {
    /// Publishes a phase that is not the present one.
    pub(super) fn show(&mut self, phase: Phase) {
        if self.shown.as_ref() != Some(&phase) {
            self.shown = Some(phase.clone());
            self.context.outbox.emit(EventKind::Phase(phase));
        }
    }

    pub(super) fn notice(&mut self, level: NoticeLevel, message: impl Into<String>) {
        let message = message.into();
        self.publish(Record::Notice { level, message });
    }

    /// A fact of the run: into its log and out as an event.
    pub(super) fn publish(&mut self, record: Record) {
        self.dir.append(&record);
        let Some(event) = event_of(record) else {
            return;
        };
        if let EventKind::Notice(Notice { level, message }) = &event {
            tracing::info!(?level, "{message}");
        }
        if let EventKind::Phase(phase) = &event {
            self.shown = Some(phase.clone());
        }
        self.context.outbox.emit(event);
    }

    /// What other processes did.
    pub(super) fn report_remote(&mut self) {
        while let Some(remote) = self.context.control.as_ref().and_then(|c| c.heard()) {
            let message = remote.to_string();
            tracing::info!("{message}");
            self.dir.append(&Record::Notice {
                level: NoticeLevel::Info,
                message,
            });
            self.context.outbox.emit(EventKind::Remote(remote));
        }
    }

    /// Hands the log to the system. A disk that refuses it pauses the run, once.
    pub(super) fn flush_log(&mut self) {
        self.last_log = Instant::now();
        // What is in the logs has been published: that is what a watcher relies on that comes now.
        self.context.outbox.flush();
        match self.dir.flush() {
            Ok(()) => {
                self.log_failing = false;
                self.context.outbox.logged(self.dir.logged());
            }
            Err(error) if !self.log_failing => {
                self.log_failing = true;
                self.mode = Mode::Paused;
                self.notice(
                    NoticeLevel::Error,
                    format!("training is paused: {error}; the lines are kept in memory until it can be written"),
                );
            }
            Err(_) => {}
        }
    }
}

/// How a fact is told, where it is not told otherwise: beginnings, steps and last words are.
pub(super) fn event_of(record: Record) -> Option<EventKind> {
    Some(match record {
        Record::Eval(report) => EventKind::Evaluated(report),
        Record::Sample(sample) => EventKind::SampleDone(sample),
        Record::Checkpoint(info) => EventKind::Checkpointed(info),
        Record::Edit(edit) => EventKind::Edited(edit),
        Record::Rewound(rewound) => EventKind::Rewound(rewound),
        Record::Spike(spike) => EventKind::Spiked(spike),
        Record::Notice { level, message } => EventKind::Notice(Notice { level, message }),
        Record::Diverged {
            step,
            layer,
            message,
        } => EventKind::Phase(Phase::Diverged {
            step,
            layer,
            message,
        }),
        Record::Started(_)
        | Record::Resumed { .. }
        | Record::Step(_)
        | Record::Finished(_)
        | Record::Failed { .. } => return None,
    })
}
