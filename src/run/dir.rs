//! The writing end of a run folder, held by the process that trains the run.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::branch::{self, Place, WayBack};
use super::checkpoint::CheckpointEntry;
use super::list::Summary;
use super::lock::{self, Lock};
use super::log::JsonLog;
use super::record::Rewound;
use super::{FORMAT_VERSION, Record, RunError, checkpoint, naming, sweep};
use crate::config::{ModelKind, RunConfig};
use crate::protocol::{EditAuthor, RunInfo};

/// The files of a run folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunFile {
    Run,
    Config,
    Tokenizer,
    Metrics,
    Samples,
    Edits,
    Notices,
    Log,
    Summary,
    /// What a person says about the run: tags, a note.
    Notes,
    /// The curves in few numbers; a cache.
    Overview,
    Lock,
    Checkpoints,
    /// The socket of the process that trains the run.
    Control,
}

impl RunFile {
    pub fn name(self) -> &'static str {
        match self {
            RunFile::Run => "run.json",
            RunFile::Config => "config.toml",
            RunFile::Tokenizer => "tokenizer.json",
            RunFile::Metrics => "metrics.jsonl",
            RunFile::Samples => "samples.jsonl",
            RunFile::Edits => "edits.jsonl",
            RunFile::Notices => "notices.jsonl",
            RunFile::Log => "run.log",
            RunFile::Summary => "summary.json",
            RunFile::Notes => "notes.json",
            RunFile::Overview => "overview.bin",
            RunFile::Lock => "lock",
            RunFile::Checkpoints => "checkpoints",
            RunFile::Control => "control.sock",
        }
    }
}

/// `run.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunHeader {
    pub format_version: u32,
    pub program_version: String,
    pub name: String,
    pub model: ModelKind,
    /// The corpus in a word.
    pub corpus: String,
    /// Seconds since 1970, UTC.
    pub created: u64,
    /// What this run's first weights were, if they were not drawn.
    #[serde(default)]
    pub parent: Option<Parent>,
    /// The run whose edits this one repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<String>,
    /// The configuration that the first step was trained with. Folders of before edits were repeated do without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<RunConfig>,
    /// Unknown until the text has been read and the model built.
    #[serde(default)]
    pub info: Option<RunInfo>,
}

/// Where the weights came from that a run started with: a run, or the folder that it was imported from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parent {
    pub run: String,
    pub step: u64,
}

/// How far the logs of a run have been handed to the system, in bytes: what a reader finds there up to here, and no
/// more, is what the run had said at that moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logged {
    pub metrics: u64,
    pub samples: u64,
    pub edits: u64,
    pub notices: u64,
}

/// A run folder that this process owns. The lock is let go of when it is dropped.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    header: RunHeader,
    summary: Summary,
    metrics: JsonLog,
    samples: JsonLog,
    edits: JsonLog,
    notices: JsonLog,
    /// Made by [`RunDir::create`] in this process: may be taken away again if nothing comes of the run.
    fresh: bool,
    /// Half-written checkpoints that [`RunDir::open`] cleared away.
    swept: usize,
    /// A checkpoint was written since the overview was.
    overview_due: bool,
    _lock: Lock,
}

impl RunDir {
    /// Makes a new run in `dir`, or in a folder named after the config below `root`.
    ///
    /// # Errors
    /// [`RunError::Exists`] and [`RunError::Occupied`] where `dir` holds something already; I/O errors.
    pub fn create(root: &Path, dir: Option<&Path>, config: &RunConfig) -> Result<Self, RunError> {
        let _in_place = dir.map(sweep::keep_in_place).transpose()?;
        let path = match dir {
            Some(dir) => {
                if dir.join(RunFile::Run.name()).exists() {
                    return Err(RunError::Exists {
                        path: dir.to_path_buf(),
                    });
                }
                std::fs::create_dir_all(dir).map_err(RunError::io("make the run folder", dir))?;
                let occupied = std::fs::read_dir(dir)
                    .map_err(RunError::io("read", dir))?
                    .next()
                    .is_some();
                if occupied {
                    return Err(RunError::Occupied {
                        path: dir.to_path_buf(),
                    });
                }
                dir.to_path_buf()
            }
            None => naming::claim(root, &naming::base_name(config))?,
        };
        // An absolute path stays right when the log, or a second process, reads it from elsewhere.
        let path = std::path::absolute(&path).unwrap_or(path);
        let lock = lock::acquire(&path, &path.join(RunFile::Lock.name()))?;
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_else(|| "run".to_string());
        let header = RunHeader {
            format_version: FORMAT_VERSION,
            program_version: env!("CARGO_PKG_VERSION").to_string(),
            name,
            model: config.model.kind(),
            corpus: naming::corpus_name(config),
            created: now(),
            parent: None,
            replay_of: None,
            config: None,
            info: None,
        };
        let mut run = Self::with_lock(path, header, Summary::default(), lock)?;
        run.fresh = true;
        run.write_config(config)?;
        run.write_header()?;
        Ok(run)
    }

    /// Opens a run to go on with it.
    ///
    /// # Errors
    /// [`RunError::NotARun`], [`RunError::Locked`], [`RunError::Newer`], [`RunError::Damaged`]; I/O errors.
    pub fn open(path: &Path) -> Result<Self, RunError> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let _in_place = sweep::keep_in_place(&path)?;
        let header = read_header(&path)?;
        let lock = lock::acquire(&path, &path.join(RunFile::Lock.name()))?;
        let swept = super::checkpoint::sweep(&path);
        let summary = Summary::read(&path).unwrap_or_default();
        let mut run = Self::with_lock(path, header, summary, lock)?;
        run.swept = swept;
        Ok(run)
    }

    fn with_lock(
        path: PathBuf,
        header: RunHeader,
        summary: Summary,
        lock: Lock,
    ) -> Result<Self, RunError> {
        let log = |file: RunFile| JsonLog::open(path.join(file.name()));
        Ok(Self {
            metrics: log(RunFile::Metrics)?,
            samples: log(RunFile::Samples)?,
            edits: log(RunFile::Edits)?,
            notices: log(RunFile::Notices)?,
            path,
            header,
            summary,
            fresh: false,
            swept: 0,
            overview_due: false,
            _lock: lock,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Half-written checkpoints that were cleared away when the run was opened.
    pub fn swept(&self) -> usize {
        self.swept
    }

    pub fn file(&self, file: RunFile) -> PathBuf {
        self.path.join(file.name())
    }

    pub fn header(&self) -> &RunHeader {
        &self.header
    }

    pub fn name(&self) -> &str {
        &self.header.name
    }

    pub fn write_config(&self, config: &RunConfig) -> Result<(), RunError> {
        write_whole(&self.file(RunFile::Config), config.to_toml().as_bytes())
    }

    pub fn write_tokenizer(&self, json: &str) -> Result<(), RunError> {
        write_whole(&self.file(RunFile::Tokenizer), json.as_bytes())
    }

    /// Completes `run.json` with what is known once everything is loaded.
    pub fn write_info(&mut self, info: &RunInfo) -> Result<(), RunError> {
        self.header.info = Some(info.clone());
        self.header.program_version = info.program_version.clone();
        self.write_header()
    }

    /// `run.json` says how many steps there are to be, which an edit may change.
    pub fn write_total_steps(&mut self, steps: u64) -> Result<(), RunError> {
        match &mut self.header.info {
            Some(info) if info.total_steps != steps => {
                info.total_steps = steps;
                self.write_header()
            }
            _ => Ok(()),
        }
    }

    /// Records in `run.json` where the first weights came from.
    pub fn write_parent(&mut self, parent: Parent) -> Result<(), RunError> {
        self.header.parent = Some(parent);
        self.write_header()
    }

    /// Records in `run.json` that this run repeats another.
    pub fn write_replay_of(&mut self, run: String) -> Result<(), RunError> {
        self.header.replay_of = Some(run);
        self.write_header()
    }

    /// Records in `run.json` what the first step is trained with, unless that is known already.
    pub fn write_first_config(&mut self, config: &RunConfig) -> Result<(), RunError> {
        if self.header.config.is_some() {
            return Ok(());
        }
        self.header.config = Some(config.clone());
        self.write_header()
    }

    /// Where a checkpoint of this run lies. What was logged so far is on disk before.
    ///
    /// # Errors
    /// I/O errors of the logs.
    fn place(&mut self, entry: &CheckpointEntry) -> Result<Place, RunError> {
        self.flush()?;
        branch::place(&self.path, entry)
    }

    /// How often, up to now and in a row, `train.on_spike` has gone back to the checkpoint of this name.
    ///
    /// # Errors
    /// I/O errors of the logs.
    pub fn retreats(&mut self, checkpoint: &str) -> Result<usize, RunError> {
        self.flush()?;
        branch::retreats(&self.path, checkpoint)
    }

    /// How a checkpoint is reached that lies on a branch the run has left; `None` where it lies on the run's own way.
    ///
    /// # Errors
    /// [`RunError::LostBranch`] where the logs do not say; I/O errors.
    pub fn way_back(&mut self, entry: &CheckpointEntry) -> Result<Option<WayBack>, RunError> {
        if !entry.left {
            return Ok(None);
        }
        match self.place(entry)? {
            Place::Here => Ok(None),
            Place::Left(way) => Ok(Some(way)),
            Place::Unknown => Err(RunError::LostBranch {
                run: self.path.clone(),
                checkpoint: entry.name(),
            }),
        }
    }

    /// Goes back to a checkpoint, by its [`RunDir::way_back`]: what the logs hold beyond it is a branch that was left from now on,
    /// and a run that is taken up goes on from it. The lines are written in any case; I/O errors come beside.
    pub fn go_back(
        &mut self,
        entry: &CheckpointEntry,
        way: Option<&WayBack>,
        from: u64,
        by: EditAuthor,
    ) -> (Rewound, Result<(), RunError>) {
        // First: a crash in between must not let the run go on from what was left.
        let marked = checkpoint::return_to(&self.path, entry, way);
        let rewound = Rewound {
            from,
            step: way.map_or(entry.step, |way| way.common),
            checkpoint: entry.name(),
            by,
            onto: way.map(|_| entry.step),
        };
        self.append(&Record::Rewound(rewound.clone()));
        if let Some(way) = way {
            self.follow(way, entry.step);
        }
        let rebuilt = self.rebuild_summary();
        (rewound, marked.and(rebuilt))
    }

    /// Goes on from a checkpoint that the run is taken up from.
    ///
    /// A run that ended while it went back to a branch it had left may have the branch's checkpoint in force and none of its
    /// lines: they are said then.
    ///
    /// # Errors
    /// I/O errors of the logs.
    pub fn take_up(&mut self, entry: &CheckpointEntry) -> Result<(), RunError> {
        match self.place(entry)? {
            Place::Left(way) => {
                self.append(&Record::Rewound(Rewound {
                    from: self.summary.step,
                    step: way.common,
                    checkpoint: entry.name(),
                    by: EditAuthor::User,
                    onto: Some(entry.step),
                }));
                self.follow(&way, entry.step);
            }
            Place::Here | Place::Unknown => self.append(&Record::Resumed { step: entry.step }),
        }
        Ok(())
    }

    /// Says once more what happened on a branch.
    fn follow(&mut self, way: &WayBack, step: u64) {
        for record in &way.records {
            self.append(record);
        }
        // What is done again at the very step takes the place of what was there.
        self.append(&Record::Resumed { step });
    }

    fn write_header(&self) -> Result<(), RunError> {
        write_json(&self.file(RunFile::Run), &self.header)
    }

    /// Adds a record to the log it belongs to. It is on its way to the disk after the next [`RunDir::flush`].
    pub fn append(&mut self, record: &Record) {
        self.summary.note(record);
        self.overview_due |= matches!(record, Record::Checkpoint(_));
        match record {
            Record::Sample(_) => self.samples.push(record),
            Record::Edit(_) => self.edits.push(record),
            Record::Notice { .. } => self.notices.push(record),
            Record::Resumed { .. } | Record::Rewound(_) => {
                self.metrics.push(record);
                self.samples.push(record);
                self.edits.push(record);
            }
            Record::Started(_)
            | Record::Step(_)
            | Record::Eval(_)
            | Record::Checkpoint(_)
            | Record::Diverged { .. }
            | Record::Spike(_)
            | Record::Finished(_)
            | Record::Failed { .. } => self.metrics.push(record),
        }
    }

    /// Hands all lines to the system. Every log is tried, the first error is returned.
    pub fn flush(&mut self) -> Result<(), RunError> {
        let results = [
            self.metrics.flush(),
            self.samples.flush(),
            self.edits.flush(),
            self.notices.flush(),
        ];
        if std::mem::take(&mut self.overview_due) {
            self.renew_overview();
        }
        results.into_iter().collect()
    }

    pub fn logged(&self) -> Logged {
        Logged {
            metrics: self.metrics.written(),
            samples: self.samples.written(),
            edits: self.edits.written(),
            notices: self.notices.written(),
        }
    }

    /// A cache: where it cannot be written, nothing is lost.
    fn renew_overview(&self) {
        if let Err(error) = super::Overview::renew(&self.path) {
            tracing::debug!(%error, "overview not renewed");
        }
    }

    /// As [`RunDir::flush`], and waits for the disk; renews the summary.
    pub fn sync(&mut self) -> Result<(), RunError> {
        let results = [
            self.metrics.sync(),
            self.samples.sync(),
            self.edits.sync(),
            self.notices.sync(),
            self.write_summary(),
        ];
        self.renew_overview();
        results.into_iter().collect()
    }

    /// Renews `summary.json`, from which lists of runs are made.
    pub fn write_summary(&mut self) -> Result<(), RunError> {
        self.summary.updated = now();
        write_json(&self.file(RunFile::Summary), &self.summary)
    }

    /// After going on from a checkpoint: what the summary says comes from the log again.
    pub fn rebuild_summary(&mut self) -> Result<(), RunError> {
        self.flush()?;
        self.summary = Summary::default();
        for record in super::log::read(&self.file(RunFile::Metrics))?.records {
            self.summary.note(&record);
        }
        self.write_summary()
    }

    /// Takes a run away in which nothing was trained: the files that [`RunDir::create`] made, and the folder if
    /// nothing else is in it. Does nothing to a run that was opened.
    pub fn discard(self) {
        if !self.fresh {
            return;
        }
        for file in [
            RunFile::Run,
            RunFile::Config,
            RunFile::Tokenizer,
            RunFile::Metrics,
            RunFile::Samples,
            RunFile::Edits,
            RunFile::Notices,
            RunFile::Log,
            RunFile::Summary,
            RunFile::Notes,
            RunFile::Overview,
            RunFile::Lock,
        ] {
            // What cannot be removed stays; the folder then stays too.
            let _ = std::fs::remove_file(self.file(file));
        }
        let _ = std::fs::remove_dir(&self.path);
    }
}

/// Seconds since 1970, UTC.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}

/// Reads `run.json`, refusing what is not a run or is of a newer format.
pub fn read_header(path: &Path) -> Result<RunHeader, RunError> {
    let file = path.join(RunFile::Run.name());
    let bytes = match std::fs::read(&file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(RunError::NotARun {
                path: path.to_path_buf(),
                missing: RunFile::Run.name(),
            });
        }
        Err(error) => return Err(RunError::io("read", &file)(error)),
    };
    #[derive(Deserialize)]
    struct Version {
        format_version: u32,
    }
    if let Ok(version) = serde_json::from_slice::<Version>(&bytes)
        && version.format_version > FORMAT_VERSION
    {
        return Err(RunError::Newer {
            path: file,
            found: version.format_version,
        });
    }
    serde_json::from_slice(&bytes).map_err(|error| RunError::Damaged {
        path: file,
        reason: error.to_string(),
    })
}

pub(super) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), RunError> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|error| RunError::Damaged {
        path: path.to_path_buf(),
        reason: error.to_string(),
    })?;
    bytes.push(b'\n');
    write_whole(path, &bytes)
}

/// Replaces a small file so that a reader, or a crash, sees the old one or the new one.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        sync_parent(path)
    };
    write().map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        RunError::io("write", path)(error)
    })
}

/// Makes a rename in a folder durable. A system that cannot sync folders does without.
pub fn sync_parent(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    if let Some(parent) = path.parent() {
        std::fs::File::open(parent)?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}
