//! Edits, going back, forks and replays, on the real thread with real runs in a temporary folder.

mod edits;
mod going_back;
mod origins;
mod replays;

use std::path::{Path, PathBuf};

use super::tests::{Front, config, failure};
use super::*;
use crate::config::RunConfig;
use crate::protocol::{CheckpointReason, Edit, EditRecord, Event, Origin, Rewound, Until};
use crate::run::read_history;

fn set(pairs: &[(&str, &str)]) -> Edit {
    Edit::Set(
        pairs
            .iter()
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect(),
    )
}

fn edited(event: &Event) -> Option<&EditRecord> {
    match &event.kind {
        EventKind::Edited(record) => Some(record),
        _ => None,
    }
}

fn rewound(event: &Event) -> Option<&Rewound> {
    match &event.kind {
        EventKind::Rewound(rewound) => Some(rewound),
        _ => None,
    }
}

fn says(event: &Event, words: &str) -> bool {
    matches!(&event.kind, EventKind::Notice(notice) if notice.message.contains(words))
}

/// What the run trained, as far as a replay must repeat it.
fn traced(dir: &Path) -> Vec<(u64, [u64; 3])> {
    let history = read_history(dir).unwrap();
    let bits = |report: &crate::protocol::StepReport| {
        [report.loss, report.grad_norm, report.learning_rate].map(f64::to_bits)
    };
    history
        .steps
        .iter()
        .map(|report| (report.step, bits(report)))
        .collect()
}

impl Front {
    fn started(&mut self, run: RunId) -> Box<crate::protocol::RunInfo> {
        let event = self.until("the start", |event| {
            event.run == run
                && matches!(event.kind, EventKind::Started(_) | EventKind::Failed { .. })
        });
        match event.kind {
            EventKind::Started(info) => info,
            other => panic!("{other:?}"),
        }
    }

    fn begin(&self, run: RunId, config: RunConfig, origin: Origin) {
        self.send(Command::Start {
            run,
            config: Box::new(config),
            origin,
        });
    }

    fn pause(&mut self) {
        self.send(Command::Pause);
        self.paused();
    }

    fn paused(&mut self) {
        self.until_phase(Phase::Paused);
    }

    fn run_to(&mut self, step: u64) {
        self.send(Command::RunUntil {
            until: Until::Step(step),
        });
        self.paused();
    }

    /// A checkpoint that no later one takes the place of, on disk.
    fn save(&mut self) {
        self.send(Command::Save);
        self.until("a checkpoint", |event| {
            says(event, "will be kept")
                || matches!(&event.kind, EventKind::Checkpointed(info) if info.reason == CheckpointReason::User)
        });
    }

    fn edit(&mut self, edit: Edit) -> EditRecord {
        self.send(Command::Set { edit });
        let event = self.until("an edit", |event| {
            edited(event).is_some() || says(event, "not changed")
        });
        edited(&event)
            .cloned()
            .unwrap_or_else(|| panic!("{event:?}"))
    }

    fn refused(&mut self, edit: Edit) -> String {
        self.send(Command::Set { edit });
        let event = self.until("a refusal", |event| {
            edited(event).is_some()
                || matches!(&event.kind, EventKind::Notice(notice) if notice.level == NoticeLevel::Warning)
        });
        match event.kind {
            EventKind::Notice(notice) => notice.message,
            other => panic!("{other:?}"),
        }
    }

    fn stop(&mut self, run: RunId) {
        self.send(Command::Stop);
        self.until("the end", |event| {
            event.run == run && matches!(event.kind, EventKind::Finished(_))
        });
        self.until_phase(Phase::Idle);
    }

    /// Repeats a run, and wants it to be the same.
    fn replay(&mut self, run: RunId, parent: &Path, label: &str) -> PathBuf {
        self.begin(
            run,
            config(&[]),
            Origin::Replay {
                dir: None,
                parent: parent.to_path_buf(),
            },
        );
        let dir = self.started(run).dir;
        let end = self.until("the end of the replay", |event| {
            event.run == run
                && (failure(event).is_some() || matches!(event.kind, EventKind::Finished(_)))
        });
        assert!(failure(&end).is_none(), "{label}: {end:?}");
        self.until_phase(Phase::Idle);
        assert_eq!(traced(&dir), traced(parent), "{label}");
        dir
    }

    /// The folder of a run that has started already.
    fn started_dir(&self, run: RunId) -> PathBuf {
        let started = self.seen.iter().find_map(|event| match &event.kind {
            EventKind::Started(info) if event.run == run => Some(info.dir.clone()),
            _ => None,
        });
        started.expect("it has started")
    }

    fn step_of(&self, run: RunId) -> u64 {
        let steps = self.seen.iter().rev().filter(|event| event.run == run);
        let known = steps.filter_map(|event| match &event.kind {
            EventKind::Steps(steps) => steps.last().map(|report| report.step),
            EventKind::Rewound(rewound) => Some(rewound.to()),
            EventKind::Started(info) => Some(info.start_step),
            _ => None,
        });
        known.into_iter().next().unwrap_or(0)
    }
}
