//! The list of runs, kept up to date: what did not change on disk since the last look is not read again.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;

use super::dir::read_header;
use super::list::summarize_with;
use super::{Notes, Parent, RunError, RunFile, RunHeader, RunStatus, RunSummary, lock, sweep};
use crate::config::{self, RunConfig, Value};
use crate::model::training_operations;

/// Everything that a list of runs shows of one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunEntry {
    #[serde(flatten)]
    pub summary: RunSummary,
    #[serde(flatten)]
    pub notes: Notes,
    /// The id of the process that trains it.
    pub process: Option<u32>,
    pub parent: Option<Parent>,
    /// The configuration it began with, by key: what has a meaning in it.
    #[serde(skip)]
    pub values: BTreeMap<&'static str, Value>,
    pub tokenizer: Option<String>,
    pub vocab_size: usize,
    /// Bytes of text per token; 0 where it is not known.
    pub bytes_per_token: f64,
    /// Multiplications and additions of training on a token, as `fireside bench train` counts them; 0 where it is not known.
    pub operations_per_token: u64,
    /// What of the run could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl From<RunSummary> for RunEntry {
    fn from(summary: RunSummary) -> Self {
        RunEntry {
            summary,
            notes: Notes::default(),
            process: None,
            parent: None,
            values: BTreeMap::new(),
            tokenizer: None,
            vocab_size: 0,
            bytes_per_token: 0.0,
            operations_per_token: 0,
            trouble: None,
        }
    }
}

impl RunEntry {
    pub fn set_config(&mut self, config: &RunConfig) {
        self.values = config::values(config);
        self.tokenizer = self.values.get("tokenizer.kind").map(Value::to_plain);
    }

    fn set_header(&mut self, header: &RunHeader) {
        self.parent.clone_from(&header.parent);
        // What it began with; runs of older versions only know what they were taken up with last.
        let first = header.info.as_ref().map(|info| &info.config);
        if let Some(config) = header.config.as_ref().or(first) {
            self.set_config(config);
        }
        if let Some(info) = &header.info {
            self.vocab_size = info.vocab_size;
            self.bytes_per_token = info.bytes_per_token;
            self.operations_per_token = training_operations(&info.config.model, info.vocab_size);
        }
    }

    fn set_notes(&mut self, dir: &Path) {
        match Notes::read(dir) {
            Ok(notes) => self.notes = notes,
            Err(error) => self.trouble = Some(error.to_string()),
        }
    }
}

/// One run, as a list shows it.
///
/// # Errors
/// [`RunError::NotARun`], [`RunError::Newer`], [`RunError::Damaged`] and I/O errors, all about `run.json`.
pub fn entry(dir: &Path) -> Result<RunEntry, RunError> {
    let header = read_header(dir)?;
    let running = lock::is_held(&dir.join(RunFile::Lock.name()));
    let mut entry = RunEntry::from(summarize_with(dir, &header, running));
    if let Some(label) = sweep::trial_label(dir) {
        entry.summary.name = label;
    }
    entry.set_header(&header);
    entry.set_notes(dir);
    if running {
        entry.process = lock::owner(&dir.join(RunFile::Lock.name()));
    }
    Ok(entry)
}

/// When a file was last written, and how long it is; nothing where it is not there.
type Stamp = Option<(SystemTime, u64)>;

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// All that an entry is made from.
#[derive(Debug, Clone, PartialEq)]
struct Stamps {
    files: [Stamp; 5],
    running: bool,
}

impl Stamps {
    fn of(dir: &Path) -> Self {
        let files = [
            RunFile::Run,
            RunFile::Summary,
            RunFile::Metrics,
            RunFile::Notes,
            RunFile::Checkpoints,
        ];
        Stamps {
            files: files.map(|file| stamp(&dir.join(file.name()))),
            running: lock::is_held(&dir.join(RunFile::Lock.name())),
        }
    }
}

/// What a look at the runs folder finds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listing {
    /// The one changed last first.
    pub runs: Vec<Arc<RunEntry>>,
    /// Why a folder with a `run.json` is not among them: a sentence each, in order of the folders' names.
    pub left_out: Vec<String>,
}

impl From<Vec<Arc<RunEntry>>> for Listing {
    fn from(runs: Vec<Arc<RunEntry>>) -> Self {
        Listing {
            runs,
            left_out: Vec::new(),
        }
    }
}

/// The runs below a folder, remembered from one look to the next.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    known: HashMap<PathBuf, (Stamps, Looked)>,
}

/// A run, or why it is none that can be shown.
type Looked = Result<Arc<RunEntry>, String>;

impl Store {
    pub fn new(root: PathBuf) -> Self {
        Store {
            root,
            known: HashMap::new(),
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Looks again. Folders that are no runs are passed over; where a `run.json` cannot be read, that is said. No folder is an
    /// empty list.
    pub fn refresh(&mut self) -> Listing {
        let dirs: Vec<PathBuf> = match std::fs::read_dir(&self.root) {
            Ok(entries) => entries
                .flatten()
                .flat_map(|entry| sweep::with_trials(entry.path()))
                .collect(),
            Err(_) => Vec::new(),
        };
        let known = std::mem::take(&mut self.known);
        // Nearly all the time of a first look is reading and parsing small files: as many at once as there are processors.
        let workers = std::thread::available_parallelism().map_or(1, |n| n.get().min(4));
        let share = dirs.len().div_ceil(workers).max(1);
        let looked: Vec<(PathBuf, (Stamps, Looked))> = if dirs.len() < 32 {
            look(&known, &dirs)
        } else {
            let known = &known;
            std::thread::scope(|scope| {
                let workers: Vec<_> = dirs
                    .chunks(share)
                    .map(|dirs| scope.spawn(move || look(known, dirs)))
                    .collect();
                let results = workers.into_iter().map(|worker| worker.join());
                results.flat_map(Result::unwrap_or_default).collect()
            })
        };
        self.known = looked.into_iter().collect();
        let mut runs = Vec::with_capacity(self.known.len());
        let mut left_out = Vec::new();
        for (_, looked) in self.known.values() {
            match looked {
                Ok(entry) => runs.push(entry.clone()),
                Err(words) => left_out.push(words.clone()),
            }
        }
        left_out.sort();
        runs.sort_by(|a, b| {
            let (a, b) = (&a.summary, &b.summary);
            b.updated.cmp(&a.updated).then_with(|| b.name.cmp(&a.name))
        });
        Listing { runs, left_out }
    }
}

fn look(
    known: &HashMap<PathBuf, (Stamps, Looked)>,
    dirs: &[PathBuf],
) -> Vec<(PathBuf, (Stamps, Looked))> {
    dirs.iter()
        .filter_map(|dir| {
            let stamps = Stamps::of(dir);
            if let Some((before, looked)) = known.get(dir)
                && *before == stamps
            {
                return Some((dir.clone(), (stamps, looked.clone())));
            }
            stamps.files[0]?;
            match entry(dir) {
                Ok(mut entry) => {
                    // Between the two looks the process may have ended.
                    if !stamps.running && entry.summary.status != RunStatus::Running {
                        entry.process = None;
                    }
                    Some((dir.clone(), (stamps, Ok(Arc::new(entry)))))
                }
                Err(RunError::NotARun { .. }) => None,
                Err(error) => {
                    tracing::warn!(%error, "run left out of the list");
                    Some((dir.clone(), (stamps, Err(error.to_string()))))
                }
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, load};
    use crate::run::RunDir;

    #[test]
    fn a_run_is_found_by_what_it_began_with() {
        let root = tempfile::tempdir().unwrap();
        let rate = |value: &str| {
            let set = format!("optimizer.learning_rate={value}");
            load(Source::Defaults, &[set]).unwrap()
        };
        let mut dir = RunDir::create(root.path(), None, &rate("0.01")).unwrap();
        dir.write_first_config(&rate("0.01")).unwrap();
        // An edit leaves another value in force; taken up again, the first stays the first.
        dir.write_config(&rate("0.5")).unwrap();
        dir.write_first_config(&rate("0.5")).unwrap();
        let entry = entry(dir.path()).unwrap();
        for (text, fits) in [("learning_rate=0.01", true), ("learning_rate>0.1", false)] {
            let filter = crate::run::filter::Filter::parse(text).unwrap();
            assert_eq!(filter.fits(&entry, 0), fits, "{text}");
        }
    }

    #[test]
    fn what_changes_on_disk_changes_in_the_list_and_the_rest_is_kept() {
        let root = tempfile::tempdir().unwrap();
        let config = load(Source::Defaults, &[]).unwrap();
        let make = |name: &str| {
            RunDir::create(root.path(), Some(&root.path().join(name)), &config).unwrap()
        };
        let mut dirs: Vec<PathBuf> = Vec::new();
        for n in 0..40 {
            dirs.push(make(&format!("run-{n:02}")).path().to_path_buf());
        }
        std::fs::create_dir(root.path().join("empty")).unwrap();
        let mut store = Store::new(root.path().to_path_buf());
        let find = |listing: &Listing, name: &str| {
            let found = listing.runs.iter().find(|run| run.summary.name == name);
            found.unwrap().clone()
        };
        let first = store.refresh();
        assert_eq!(first.runs.len(), 40);
        let again = store.refresh();
        for run in &first.runs {
            assert!(Arc::ptr_eq(run, &find(&again, &run.summary.name)));
        }
        // A process takes one up, another is tagged, a third goes to the bin.
        let open = RunDir::open(&dirs[0]).unwrap();
        let mut notes = Notes::default();
        notes.change_tags("good").unwrap();
        notes.write(&dirs[1]).unwrap();
        super::super::delete(&dirs[2]).unwrap();
        let now = store.refresh();
        assert_eq!(now.runs.len(), 39);
        let running = find(&now, "run-00");
        assert_eq!(running.summary.status, RunStatus::Running);
        assert_eq!(running.process, Some(std::process::id()));
        assert_eq!(find(&now, "run-01").notes.tags, ["good"]);
        let kept = (&find(&first, "run-03"), &find(&now, "run-03"));
        assert!(Arc::ptr_eq(kept.0, kept.1));
        drop(open);
        let ended = find(&store.refresh(), "run-00");
        assert_eq!(
            (ended.summary.status, ended.process),
            (RunStatus::Interrupted, None)
        );
        // Notes that cannot be read are said, and the run is still there.
        std::fs::write(dirs[1].join("notes.json"), "{").unwrap();
        let damaged = find(&store.refresh(), "run-01");
        assert!(damaged.trouble.as_ref().unwrap().contains("notes.json"));
        // A run of a newer version, and one whose file is damaged, are not passed over in silence.
        assert!(store.refresh().left_out.is_empty());
        let text = std::fs::read_to_string(dirs[4].join("run.json")).unwrap();
        let newer = text.replacen("\"format_version\": 1", "\"format_version\": 99", 1);
        assert_ne!(newer, text);
        std::fs::write(dirs[4].join("run.json"), newer).unwrap();
        std::fs::write(dirs[5].join("run.json"), "{").unwrap();
        for _ in 0..2 {
            let listing = store.refresh();
            assert_eq!(listing.runs.len(), 37);
            let [newer, damaged] = &listing.left_out[..] else {
                panic!("{:?}", listing.left_out)
            };
            assert!(newer.contains("run-04") && newer.contains("newer fireside (format 99"));
            assert!(damaged.contains("run-05") && damaged.contains("damaged"));
        }
        std::fs::write(dirs[4].join("run.json"), text).unwrap();
        assert_eq!(store.refresh().left_out.len(), 1);
    }
}
