//! What the screen of runs asks for that takes the disk: carried out by the event loop on a thread of its own, never by the
//! thread that draws.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::protocol::EditRecord;
use crate::run::{
    self, Binned, Compared, Listing, Notes, Overview, RunEntry, RunError, RunSamples, Store,
};
use crate::ui::export::OverlayExport;

/// Overviews kept in memory at most, besides those asked for last.
const KEPT: usize = 48;

/// Something to do. Runs are named by their folders.
#[derive(Debug, Clone, PartialEq)]
pub enum RunsTask {
    Delete(Vec<PathBuf>),
    Restore(Vec<Binned>),
    EmptyBin,
    Rename {
        dir: PathBuf,
        name: String,
    },
    /// Tags as [`Notes::change_tags`] takes them, to each of the runs.
    Tag {
        dirs: Vec<PathBuf>,
        words: String,
    },
    /// All tags of one run.
    SetTags {
        dir: PathBuf,
        words: String,
    },
    Note {
        dir: PathBuf,
        text: String,
    },
    /// Tags and notes as they were.
    PutBack(Vec<Said>),
    Courses(Vec<PathBuf>),
    Compare(Vec<Arc<RunEntry>>),
    Samples(Vec<PathBuf>),
    Export(Box<OverlayExport>),
}

/// What a run's chart is drawn from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Course {
    pub overview: Arc<Overview>,
    /// Those that were not taken back, oldest first.
    pub edits: Arc<[EditRecord]>,
}

/// The tags and the note that a run had.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    pub dir: PathBuf,
    pub tags: Vec<String>,
    pub note: String,
}

/// What came of it. Problems are sentences.
#[derive(Debug, Clone, PartialEq)]
pub enum RunsAnswer {
    Deleted {
        runs: Vec<Binned>,
        problems: Vec<String>,
    },
    Restored {
        runs: Vec<PathBuf>,
        problems: Vec<String>,
    },
    BinEmptied(Result<Vec<Binned>, String>),
    Renamed {
        from: PathBuf,
        to: Result<PathBuf, String>,
    },
    /// Tags or notes were written; what was said of the runs that were changed before.
    Noted {
        before: Vec<Said>,
        problems: Vec<String>,
    },
    PutBack {
        problems: Vec<String>,
    },
    Courses(Vec<(PathBuf, Result<Course, String>)>),
    Compared(Result<Compared, String>),
    Samples(Vec<(PathBuf, Result<RunSamples, String>)>),
    Exported(Result<String, String>),
}

/// The runs folder, and what is remembered of it between looks.
#[derive(Debug)]
pub struct RunsDesk {
    store: Mutex<Store>,
    root: PathBuf,
    overviews: Mutex<HashMap<PathBuf, Arc<Overview>>>,
}

impl RunsDesk {
    pub fn new(root: PathBuf) -> Self {
        RunsDesk {
            store: Mutex::new(Store::new(root.clone())),
            root,
            overviews: Mutex::default(),
        }
    }

    /// The list as it is now.
    pub fn list(&self) -> Listing {
        // A look that panicked leaves nothing half done that matters: the next look reads it again.
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.refresh()
    }

    pub fn work(&self, task: RunsTask) -> RunsAnswer {
        match task {
            RunsTask::Delete(dirs) => {
                let (runs, problems) = each(dirs, |dir| run::delete(&dir));
                RunsAnswer::Deleted { runs, problems }
            }
            RunsTask::Restore(runs) => {
                let (runs, problems) = each(runs, |binned| run::restore(&self.root, &binned));
                RunsAnswer::Restored { runs, problems }
            }
            RunsTask::EmptyBin => RunsAnswer::BinEmptied(words(run::empty_bin(&self.root))),
            RunsTask::Rename { dir, name } => RunsAnswer::Renamed {
                to: words(run::rename(&dir, &name)),
                from: dir,
            },
            RunsTask::Tag { dirs, words } => noted(dirs, |notes| notes.change_tags(&words)),
            RunsTask::SetTags { dir, words } => noted(vec![dir], |notes| notes.set_tags(&words)),
            RunsTask::Note { dir, text } => noted(vec![dir], |notes| notes.set_note(&text)),
            RunsTask::PutBack(runs) => {
                let put = runs.iter().map(|said| {
                    note(&said.dir, |notes| {
                        notes.tags.clone_from(&said.tags);
                        notes.note.clone_from(&said.note);
                        Ok(())
                    })
                });
                let problems = put.filter_map(Result::err).collect();
                RunsAnswer::PutBack { problems }
            }
            RunsTask::Courses(dirs) => RunsAnswer::Courses(self.courses(dirs)),
            RunsTask::Compare(runs) => RunsAnswer::Compared(words(run::compare(&runs))),
            RunsTask::Samples(dirs) => RunsAnswer::Samples(
                dirs.into_iter()
                    .map(|dir| {
                        let samples = words(run::read_samples(&dir));
                        (dir, samples)
                    })
                    .collect(),
            ),
            RunsTask::Export(export) => RunsAnswer::Exported(export.write(&self.root)),
        }
    }

    /// Each brought up to its log. Those that were never made are made here, two at a time.
    fn courses(&self, dirs: Vec<PathBuf>) -> Vec<(PathBuf, Result<Course, String>)> {
        let known = |dir: &PathBuf| {
            let known = self
                .overviews
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            known.get(dir).cloned()
        };
        let one = |dir: &PathBuf| -> Result<Course, String> {
            let overview = match known(dir) {
                Some(mut overview) => {
                    // Somebody else may still draw the one there is: what is added goes into a copy then.
                    words(Arc::make_mut(&mut overview).read_on(dir))?;
                    overview
                }
                None => Arc::new(words(Overview::of(dir))?),
            };
            let edits = words(run::edits(dir))?.into();
            Ok(Course { overview, edits })
        };
        let half = dirs.len().div_ceil(2).max(1);
        let found: Vec<_> = std::thread::scope(|scope| {
            let workers: Vec<_> = dirs
                .chunks(half)
                .map(|dirs| scope.spawn(move || dirs.iter().map(one).collect::<Vec<_>>()))
                .collect();
            let results = workers.into_iter().map(|worker| worker.join());
            results.flat_map(Result::unwrap_or_default).collect()
        });
        let found: Vec<(PathBuf, Result<Course, String>)> = dirs.into_iter().zip(found).collect();
        let mut known = self
            .overviews
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if known.len() > KEPT {
            known.retain(|dir, _| found.iter().any(|(other, _)| other == dir));
        }
        for (dir, course) in &found {
            match course {
                Ok(course) => known.insert(dir.clone(), course.overview.clone()),
                Err(_) => known.remove(dir),
            };
        }
        found
    }
}

fn words<T>(result: Result<T, RunError>) -> Result<T, String> {
    result.map_err(|error| error.to_string())
}

/// Every one is tried.
fn each<T, R, E: ToString>(
    items: Vec<T>,
    act: impl Fn(T) -> Result<R, E>,
) -> (Vec<R>, Vec<String>) {
    let (mut done, mut problems) = (Vec::new(), Vec::new());
    for item in items {
        match act(item) {
            Ok(result) => done.push(result),
            Err(error) => problems.push(error.to_string()),
        }
    }
    (done, problems)
}

fn noted(dirs: Vec<PathBuf>, change: impl Fn(&mut Notes) -> Result<(), String>) -> RunsAnswer {
    let (before, problems) = each(dirs, |dir| note(&dir, &change));
    RunsAnswer::Noted { before, problems }
}

/// Gives what was said before.
fn note(dir: &Path, change: impl Fn(&mut Notes) -> Result<(), String>) -> Result<Said, String> {
    let mut notes = words(Notes::read(dir))?;
    let before = Said {
        dir: dir.to_path_buf(),
        tags: notes.tags.clone(),
        note: notes.note.clone(),
    };
    change(&mut notes)?;
    words(notes.write(dir))?;
    Ok(before)
}
