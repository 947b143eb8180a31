//! What the screen of runs makes of what the disk said: notices, changes that can be undone, and views that were waiting.

use super::work::RunsAnswer;
use super::{RunsRequest, RunsScreen, Undo, View};
use crate::protocol::NoticeLevel;
use crate::run::counted;

impl RunsScreen {
    /// Takes in what the disk said.
    pub fn on_answer(&mut self, answer: RunsAnswer, requests: &mut Vec<RunsRequest>) {
        let mut say = |level, text: String| requests.push(RunsRequest::Notice(level, text));
        match answer {
            RunsAnswer::Deleted { runs, problems } => {
                if !runs.is_empty() {
                    let what = match runs.as_slice() {
                        [run] => run.name.clone(),
                        runs => counted(runs),
                    };
                    say(
                        NoticeLevel::Info,
                        format!("{what} in the bin; u brings back"),
                    );
                    self.undo.push(Undo::Restore(runs));
                }
                problems
                    .into_iter()
                    .for_each(|problem| say(NoticeLevel::Error, problem));
            }
            RunsAnswer::Restored { runs, problems } => {
                self.wanted = runs.first().cloned();
                for run in runs {
                    let name = run
                        .file_name()
                        .map(|name| name.to_string_lossy().into_owned());
                    let name = name.unwrap_or_default();
                    say(NoticeLevel::Info, format!("{name} is back"));
                }
                problems
                    .into_iter()
                    .for_each(|problem| say(NoticeLevel::Error, problem));
            }
            RunsAnswer::BinEmptied(result) => match result {
                Ok(gone) => {
                    self.undo.retain(|undo| !matches!(undo, Undo::Restore(_)));
                    say(NoticeLevel::Info, format!("{} taken away", counted(&gone)));
                }
                Err(problem) => say(NoticeLevel::Error, problem),
            },
            RunsAnswer::Renamed { from, to } => match to {
                Ok(to) => {
                    self.wanted = Some(to.clone());
                    if let Some(name) = from.file_name().filter(|_| from != to) {
                        let name = name.to_string_lossy().into_owned();
                        self.undo.push(Undo::Rename {
                            dir: to.clone(),
                            name,
                        });
                    }
                    if self.pinned.as_ref() == Some(&from) {
                        self.pinned = Some(to.clone());
                    }
                    if let Some(known) = self.courses.remove(&from) {
                        self.courses.insert(to.clone(), known);
                    }
                    let marked = self.marked.iter_mut();
                    let noted = self.undo.iter_mut().flat_map(|undo| match undo {
                        Undo::Notes(runs) => &mut runs[..],
                        Undo::Restore(_) | Undo::Rename { .. } => &mut [],
                    });
                    let elsewhere = noted.map(|said| &mut said.dir);
                    for dir in marked.chain(elsewhere).filter(|dir| **dir == from) {
                        dir.clone_from(&to);
                    }
                }
                Err(problem) => say(NoticeLevel::Error, problem),
            },
            RunsAnswer::Noted { before, problems } => {
                problems
                    .into_iter()
                    .for_each(|problem| say(NoticeLevel::Error, problem));
                if !before.is_empty() {
                    self.undo.push(Undo::Notes(before));
                }
            }
            RunsAnswer::PutBack { problems } if problems.is_empty() => {
                let text = "tags and notes are as they were before".to_string();
                say(NoticeLevel::Info, text);
            }
            RunsAnswer::PutBack { problems } => problems
                .into_iter()
                .for_each(|problem| say(NoticeLevel::Error, problem)),
            RunsAnswer::Courses(found) => {
                self.reading = false;
                for (dir, course) in found {
                    if let Some(known) = self.courses.get_mut(&dir) {
                        known.course = course;
                    }
                }
                return;
            }
            RunsAnswer::Compared(compared) => {
                if let View::Difference(view) = &mut self.view {
                    view.compared = Some(compared);
                }
                return;
            }
            RunsAnswer::Exported(Ok(words)) => say(NoticeLevel::Info, words),
            RunsAnswer::Exported(Err(problem)) => {
                say(
                    NoticeLevel::Error,
                    format!("nothing was written: {problem}"),
                );
            }
            RunsAnswer::Samples(samples) => {
                if let View::Samples(view) = &mut self.view {
                    view.set_samples(samples);
                }
                return;
            }
        }
        requests.push(RunsRequest::Reload);
    }
}
