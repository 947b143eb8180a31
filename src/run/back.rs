//! The way back to a checkpoint of a run that nobody trains.

use std::path::{Path, PathBuf};

use super::checkpoint::{self, CheckpointEntry};
use super::{RunDir, RunFile, summarize};
use crate::config::{self, RunConfig, Source};
use crate::protocol::EditAuthor;

/// See the module.
#[derive(Debug)]
pub struct Back {
    dir: PathBuf,
    entry: CheckpointEntry,
    config: RunConfig,
}

impl Back {
    /// Nothing of the run changes yet.
    ///
    /// # Errors
    /// A sentence: a configuration cannot be read.
    pub fn new(dir: &Path, entry: CheckpointEntry) -> Result<Self, String> {
        let read = |path: PathBuf| {
            config::load(Source::File(path), &[]).map_err(|problems| problems.to_string())
        };
        let now = read(dir.join(RunFile::Config.name()))?;
        let copy = entry.path.join(RunFile::Config.name());
        // Checkpoints of older versions have none.
        let mut config = match copy.is_file() {
            true => read(copy)?,
            false => now.clone(),
        };
        config.name = now.name;
        config.device = now.device;
        config.train.threads = now.train.threads;
        Ok(Self {
            dir: dir.to_path_buf(),
            entry,
            config,
        })
    }

    pub fn entry(&self) -> &CheckpointEntry {
        &self.entry
    }

    /// In force at the checkpoint. Where to compute, and what the run is called, is as it is now.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// Goes back: whoever takes the run up goes on from the checkpoint.
    ///
    /// # Errors
    /// A sentence: another process has the run, the checkpoint is damaged, its branch is lost; I/O errors.
    pub fn go(self) -> Result<RunConfig, String> {
        let Back { dir, entry, config } = self;
        let go = || {
            let mut run = RunDir::open(&dir)?;
            let reached = summarize(&dir).map_or(entry.step, |summary| summary.step);
            let way = run.way_back(&entry)?;
            let from = match way {
                Some(_) => reached,
                None => reached.max(entry.step),
            };
            let (_, written) = run.go_back(&entry, way.as_ref(), from, EditAuthor::User);
            written?;
            run.write_config(&config)?;
            run.write_total_steps(config.train.steps)
        };
        checkpoint::load(&dir, &entry.name())?;
        go().map_err(|error| error.to_string())?;
        Ok(config)
    }
}
