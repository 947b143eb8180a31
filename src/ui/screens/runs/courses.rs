//! The curves that the screen of runs needs: which are asked for, and which are still true of their runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ratatui::layout::Rect;

use super::list;
use super::work::{Course, RunsTask};
use super::{RunsRequest, RunsScreen, View};
use crate::run::RunEntry;

/// A course that was read, and what its run looked like then.
#[derive(Debug)]
pub struct Known {
    pub course: Result<Course, String>,
    seen: Seen,
}

/// When these are the same, nothing was added to a run's log.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Seen {
    step: u64,
    updated: u64,
    val_loss: Option<f64>,
}

impl Seen {
    fn of(run: &RunEntry) -> Self {
        Seen {
            step: run.summary.step,
            updated: run.summary.updated,
            val_loss: run.summary.val_loss,
        }
    }
}

impl RunsScreen {
    /// Asks for what is shown and not there yet. `body` is the whole area of the screen. Called after every message.
    pub fn tend(&mut self, body: Rect, requests: &mut Vec<RunsRequest>) {
        if self.reading {
            return;
        }
        let wanted = self.wanted(body);
        let stale: Vec<PathBuf> = wanted
            .iter()
            .filter(|run| {
                let known = self.courses.get(&run.summary.dir);
                known.is_none_or(|known| known.seen != Seen::of(run))
            })
            .map(|run| run.summary.dir.clone())
            .collect();
        if stale.is_empty() {
            return;
        }
        // What nobody looks at any more goes.
        if self.courses.len() > 64 {
            let kept: Vec<&PathBuf> = wanted.iter().map(|run| &run.summary.dir).collect();
            self.courses.retain(|dir, _| kept.contains(&dir));
        }
        for run in wanted {
            let seen = Seen::of(&run);
            self.courses
                .entry(run.summary.dir.clone())
                .and_modify(|known| known.seen = seen)
                .or_insert(Known {
                    course: Err(String::new()),
                    seen,
                });
        }
        self.reading = true;
        requests.push(RunsRequest::Task(RunsTask::Courses(stale)));
    }

    /// The runs whose curves are on the screen.
    fn wanted(&self, body: Rect) -> Vec<Arc<RunEntry>> {
        match (&self.view, list::places(body).detail) {
            (View::Overlay(overlay), _) => {
                let dirs = overlay.runs.iter();
                dirs.filter_map(|(dir, _)| self.find(dir).cloned())
                    .collect()
            }
            (View::List, Some(_)) => self.selected_entry().cloned().into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// `None` while it is being read.
    pub(super) fn course(&self, dir: &Path) -> Option<&Result<Course, String>> {
        let known = &self.courses.get(dir)?.course;
        match known {
            Err(words) if words.is_empty() => None,
            known => Some(known),
        }
    }
}
