//! The questions of the screen of runs, and what follows from the answers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent};

use super::work::RunsTask;
use crate::run::{RunEntry, check_name};
use crate::ui::keymap::Action;
use crate::ui::widgets::modal::{Choice, Modal};

/// A question that is open.
#[derive(Debug)]
pub struct Question {
    pub modal: Modal,
    about: About,
}

#[derive(Debug)]
enum About {
    Delete(Vec<PathBuf>),
    EmptyBin,
    Rename(PathBuf),
    /// All tags of one run.
    SetTags(PathBuf),
    /// Tags given to, or taken from, several.
    Tag(Vec<PathBuf>),
    Note(PathBuf),
}

/// What became of a question.
#[derive(Debug)]
pub enum Answer {
    /// It stays open.
    Open,
    /// Closed without doing anything.
    Closed,
    Do(RunsTask),
    /// The key means nothing to it.
    Unheard,
}

fn choice(letter: char, label: &str, detail: &str) -> Choice {
    Choice {
        letter,
        label: label.to_string(),
        detail: detail.to_string(),
    }
}

impl Question {
    /// `all` is the list that `runs` are of. In the place of a trial stands its sweep, which is deleted whole.
    pub fn delete(runs: &[&RunEntry], all: &[Arc<RunEntry>]) -> Self {
        let mut sweeps: Vec<&Path> = Vec::new();
        let mut alone: Vec<&RunEntry> = Vec::new();
        for run in runs {
            match run.summary.sweep() {
                Some(sweep) if sweeps.contains(&sweep) => {}
                Some(sweep) => sweeps.push(sweep),
                None => alone.push(run),
            }
        }
        let mut what: Vec<String> = match alone.as_slice() {
            [] => Vec::new(),
            [run] => vec![run.summary.name.clone()],
            runs => vec![format!("{} runs", runs.len())],
        };
        what.extend(sweeps.iter().map(|sweep| {
            let its_own = |run: &&Arc<RunEntry>| run.summary.sweep() == Some(*sweep);
            let name = sweep.file_name().unwrap_or_default().display();
            match all.iter().filter(its_own).count() {
                1 => format!("the sweep {name} with its run"),
                count => format!("the sweep {name} with all of its {count} runs"),
            }
        }));
        let message = format!("Move {} to the bin?", what.join(" and "));
        let choices = vec![
            choice(
                'd',
                "delete",
                "It waits in .bin below the runs folder; u brings it back.",
            ),
            choice('n', "no, keep", "Closes this dialog; nothing happens."),
        ];
        let alone = alone.iter().map(|run| run.summary.dir.as_path());
        let dirs = alone.chain(sweeps).map(Path::to_path_buf).collect();
        Question {
            modal: Modal::question("Delete", message, choices),
            about: About::Delete(dirs),
        }
    }

    pub fn empty_bin() -> Self {
        let choices = vec![
            choice('n', "no, keep", "Closes this dialog; nothing happens."),
            choice(
                'e',
                "empty the bin",
                "Takes away for good, with all checkpoints, every run and sweep that was deleted.",
            ),
        ];
        Question {
            modal: Modal::question(
                "Empty the bin",
                "Deleted runs cannot come back after this.".to_string(),
                choices,
            ),
            about: About::EmptyBin,
        }
    }

    pub fn rename(run: &RunEntry) -> Self {
        let message = format!("Another name for {}", run.summary.name);
        Question {
            modal: Modal::field("Rename", message, &run.summary.name),
            about: About::Rename(run.summary.dir.clone()),
        }
    }

    pub fn tag(runs: &[&RunEntry]) -> Self {
        match runs {
            [run] => Question {
                modal: Modal::field(
                    "Tags",
                    format!("Tags of {}, with blanks between them", run.summary.name),
                    &run.notes.tags.join(" "),
                ),
                about: About::SetTags(run.summary.dir.clone()),
            },
            runs => Question {
                modal: Modal::field(
                    "Tags",
                    format!("Tags for {} runs; -tag takes one away", runs.len()),
                    "",
                ),
                about: About::Tag(runs.iter().map(|run| run.summary.dir.clone()).collect()),
            },
        }
    }

    pub fn note(run: &RunEntry) -> Self {
        Question {
            modal: Modal::field(
                "Note",
                format!("What is to be said about {}", run.summary.name),
                &run.notes.note.replace('\n', " "),
            ),
            about: About::Note(run.summary.dir.clone()),
        }
    }

    /// Every key types.
    pub fn has_text(&self) -> bool {
        self.modal.input.is_some()
    }

    pub fn key(&mut self, key: KeyEvent, action: Option<Action>) -> Answer {
        match action {
            Some(Action::Close) => return Answer::Closed,
            Some(Action::Accept) => return self.answer(),
            Some(Action::Left) => self.modal.next(-1),
            Some(Action::Right) => self.modal.next(1),
            _ => {
                if let Some(input) = &mut self.modal.input {
                    if !input.key(key) {
                        return Answer::Unheard;
                    }
                    self.modal.problem = None;
                } else if let KeyCode::Char(letter) = key.code
                    && let Some(at) = self.modal.choice_of(letter)
                {
                    self.modal.selected = at;
                    return self.answer();
                } else {
                    return Answer::Unheard;
                }
            }
        }
        Answer::Open
    }

    pub fn paste(&mut self, text: &str) {
        if let Some(input) = &mut self.modal.input {
            input.insert(text);
            self.modal.problem = None;
        }
    }

    /// Takes the marked choice or the text.
    pub fn answer(&mut self) -> Answer {
        let text = self.modal.input.as_ref().map_or("", |input| input.text());
        let text = text.trim().to_string();
        let refuse = |modal: &mut Modal, problem: String| {
            modal.problem = Some(problem);
            Answer::Open
        };
        match (&self.about, self.modal.selected) {
            (About::Delete(dirs), 0) => Answer::Do(RunsTask::Delete(dirs.clone())),
            (About::EmptyBin, 1) => Answer::Do(RunsTask::EmptyBin),
            (About::Delete(_) | About::EmptyBin, _) => Answer::Closed,
            (About::Rename(dir), _) => match check_name(&text) {
                Ok(()) => Answer::Do(RunsTask::Rename {
                    dir: dir.clone(),
                    name: text,
                }),
                Err(problem) => refuse(&mut self.modal, problem),
            },
            (About::SetTags(dir), _) => match crate::run::Notes::default().set_tags(&text) {
                Ok(()) => Answer::Do(RunsTask::SetTags {
                    dir: dir.clone(),
                    words: text,
                }),
                Err(problem) => refuse(&mut self.modal, problem),
            },
            (About::Tag(dirs), _) => match crate::run::Notes::default().change_tags(&text) {
                Ok(()) => Answer::Do(RunsTask::Tag {
                    dirs: dirs.clone(),
                    words: text,
                }),
                Err(problem) => refuse(&mut self.modal, problem),
            },
            (About::Note(dir), _) => Answer::Do(RunsTask::Note {
                dir: dir.clone(),
                text,
            }),
        }
    }
}
