//! What a run begins from: nothing, a checkpoint of its own, or another run.

use std::path::{Path, PathBuf};

use super::Context;
use super::driver::Driver;
use super::edit::in_words;
use super::replay::{Plan, Replay, stored_config};
use super::session::{Session, SessionState};
use super::start::{NoStart, loading};
use crate::config::{self, Changes, RunConfig};
use crate::protocol::{CheckpointReason, Edit, NoticeLevel, Origin, RunInfo};
use crate::run::checkpoint::{self, Checkpoint, CheckpointEntry, Loaded, Which};
use crate::run::{EditRecord, Parent, RunDir, RunFile, branch, read_header};
use crate::state::NamedTensor;

/// How a run begins.
pub(super) struct Beginning {
    /// In force for the first step, but for `changes`.
    pub config: RunConfig,
    /// The first edit: what was asked for where it differs from what was in force.
    pub changes: Changes,
    /// That of the run it goes on from.
    pub tokenizer: Option<PathBuf>,
    pub from: From,
    pub parent: Option<Parent>,
    /// Of the run it goes on from, to see whether the text is still the same.
    pub info: Option<RunInfo>,
    pub replay: Option<Replay>,
    /// Edits of later than the checkpoint that a run which ended without a last word had made, to be made again.
    pub again: Vec<EditRecord>,
    /// Its beginning is saved: it cannot be had again from the configuration alone.
    pub saved: bool,
}

/// What is put into the trainer before the first step.
pub(super) enum From {
    Nothing,
    /// Everything of a checkpoint.
    Checkpoint(Box<Loaded>),
    Weights(Vec<NamedTensor>, CheckpointEntry),
}

/// Finds out what a run begins from. Nothing is trained or written yet, but for marks on damaged checkpoints.
pub(super) fn begin(
    context: &mut Context,
    dir: &mut RunDir,
    config: RunConfig,
    origin: &Origin,
    plan: Option<Plan>,
) -> Result<Beginning, NoStart> {
    let fresh = |config: RunConfig| Beginning {
        config,
        changes: Changes::new(),
        tokenizer: None,
        from: From::Nothing,
        parent: None,
        info: None,
        replay: None,
        again: Vec::new(),
        saved: false,
    };
    let tokenizer = |run: &Path| Some(run.join(RunFile::Tokenizer.name()));
    match (origin, plan) {
        (Origin::New { .. }, _) => Ok(fresh(config)),
        (Origin::Resume { .. }, _) => {
            let (loaded, config, changes, again) = resume(context, dir, config)?;
            Ok(Beginning {
                changes,
                again,
                tokenizer: Some(own_tokenizer(context, dir, &loaded.entry)?),
                from: From::Checkpoint(Box::new(loaded)),
                info: dir.header().info.clone(),
                ..fresh(config)
            })
        }
        (Origin::From { parent, step, .. }, _) => {
            let (weights, entry) = weights(context, parent, *step)?;
            Ok(Beginning {
                tokenizer: tokenizer(parent),
                parent: Some(lineage(parent, entry.step)),
                from: From::Weights(weights, entry),
                saved: true,
                ..fresh(config)
            })
        }
        (
            Origin::Fork {
                parent, checkpoint, ..
            },
            _,
        ) => {
            let loaded = read(context, parent, checkpoint.as_deref())?;
            let Differing {
                in_force,
                first_edit,
                ..
            } = differing(None, config, &loaded)?;
            Ok(Beginning {
                changes: first_edit,
                tokenizer: tokenizer(parent),
                parent: Some(lineage(parent, loaded.entry.step)),
                info: read_header(parent).map_err(NoStart::failed)?.info,
                from: From::Checkpoint(Box::new(loaded)),
                saved: true,
                ..fresh(in_force)
            })
        }
        (Origin::Replay { parent, .. }, Some(plan)) => {
            if let Some(doubt) = plan.doubt {
                context.notice(NoticeLevel::Warning, doubt);
            }
            Ok(Beginning {
                tokenizer: tokenizer(parent),
                saved: plan.loaded.is_some(),
                from: match plan.loaded {
                    Some(loaded) => From::Checkpoint(Box::new(loaded)),
                    None => From::Nothing,
                },
                parent: plan.parent,
                info: plan.info,
                replay: Some(plan.replay),
                ..fresh(config)
            })
        }
        (Origin::Replay { .. }, None) => Err(NoStart::failed("there is nothing to repeat")),
    }
}

/// The tokenizer of a run that goes on. One that is gone from its folder is put back from the checkpoint's copy.
fn own_tokenizer(
    context: &mut Context,
    dir: &RunDir,
    entry: &CheckpointEntry,
) -> Result<PathBuf, NoStart> {
    let own = dir.file(RunFile::Tokenizer);
    let copy = entry.path.join(RunFile::Tokenizer.name());
    if !own.exists()
        && let Ok(text) = std::fs::read_to_string(&copy)
    {
        dir.write_tokenizer(&text).map_err(NoStart::failed)?;
        context.notice(
            NoticeLevel::Warning,
            format!(
                "{} was gone and is back, from {}",
                own.display(),
                entry.name()
            ),
        );
    }
    Ok(own)
}

fn lineage(parent: &Path, step: u64) -> Parent {
    Parent {
        run: parent.display().to_string(),
        step,
    }
}

/// The newest whole checkpoint, what was in force there, and what is to change: where `config` differs from what the run was
/// left with, which may be of later than the checkpoint.
fn resume(
    context: &mut Context,
    dir: &mut RunDir,
    config: RunConfig,
) -> Result<(Loaded, RunConfig, Changes, Vec<EditRecord>), NoStart> {
    let stored = stored_config(dir.path()).map_err(NoStart::Failed)?;
    let loaded = read(context, dir.path(), None)?;
    for (path, reason) in &loaded.damaged {
        if let Err(error) = checkpoint::mark_damaged(path, reason) {
            tracing::warn!(%error, "damaged checkpoint not marked");
        }
    }
    // Before edits were repeated nothing changed but by being taken up.
    dir.write_first_config(&stored).map_err(NoStart::failed)?;
    let differing = differing(Some(&stored), config, &loaded)?;
    let again = edits_to_make_again(dir.path(), &loaded.entry, &differing)?;
    say_what_was_lost(context, dir, loaded.entry.step, again.len());
    Ok((loaded, differing.in_force, differing.first_edit, again))
}

/// The edits made after a checkpoint that it does not know of: the run makes them again when it is there. What is asked for now counts
/// more than what they say of the same keys, also where the checkpoint has it already.
fn edits_to_make_again(
    run: &Path,
    entry: &CheckpointEntry,
    differing: &Differing,
) -> Result<Vec<EditRecord>, NoStart> {
    let mut edits = branch::edits_after(run, entry).map_err(NoStart::failed)?;
    edits.retain(|record| !differing.known.contains(record));
    edits.retain_mut(|record| match &mut record.edit {
        Edit::Set(set) => {
            set.retain(|key, _| !differing.asked.contains_key(key));
            !set.is_empty()
        }
        Edit::LearningRateMultiplier(_) => true,
    });
    Ok(edits)
}

/// What a run that goes on from a checkpoint is asked to be.
struct Differing {
    /// In force at the checkpoint.
    in_force: RunConfig,
    /// Where what is asked for differs from what was stored, or else from the checkpoint.
    asked: Changes,
    /// What of it is not in force at the checkpoint already.
    first_edit: Changes,
    /// The edits that the checkpoint knows of.
    known: Vec<EditRecord>,
}

/// Holds what is asked for against a checkpoint.
fn differing(
    stored: Option<&RunConfig>,
    wanted: RunConfig,
    loaded: &Loaded,
) -> Result<Differing, NoStart> {
    let mut checkpoint = loaded.checkpoint.state.clone();
    let state: SessionState = part(&mut checkpoint, "session", &loaded.entry)
        .and_then(|value| read_state(value, &loaded.entry))
        .map_err(NoStart::Failed)?;
    let in_force = config_of(&state, &loaded.entry, &wanted);
    let stored = stored.unwrap_or(&in_force);
    let changed = stored.another_run(&wanted);
    let mut changes = config::difference(stored, &wanted);
    if !changed.is_empty() {
        let of = |key: &str, part: &str| key == part || key.starts_with(&format!("{part}."));
        let keys: Vec<&str> = changes
            .keys()
            .map(String::as_str)
            .filter(|key| !config::is_live(key) && changed.iter().any(|part| of(key, part)))
            .collect();
        // A key that has lost its meaning is none that has changed.
        let keys = if keys.is_empty() { changed } else { keys };
        return Err(NoStart::Failed(format!(
            "a run cannot go on with another {}: start a new run instead",
            keys.join(", ")
        )));
    }
    changes.retain(|key, _| config::is_live(key));
    // What cannot be is said before anything begins.
    let then = config::change(&in_force, &changes, loaded.entry.step)
        .map_err(|problems| NoStart::Failed(in_words(&problems)))?;
    if then.train.steps < loaded.entry.step && changes.contains_key("train.steps") {
        return Err(NoStart::Failed(format!(
            "not changed: train.steps: the run is at step {}; expected at least that",
            loaded.entry.step
        )));
    }
    let new = config::difference(&in_force, &then);
    Ok(Differing {
        first_edit: changes
            .clone()
            .into_iter()
            .filter(|(key, _)| new.contains_key(key))
            .collect(),
        asked: changes,
        in_force,
        known: state.edits,
    })
}

/// A checkpoint of `run`, by its name or the newest whole one. What was passed over is said, and in a run of our own marked.
fn read(context: &mut Context, run: &Path, name: Option<&str>) -> Result<Loaded, NoStart> {
    loading(context, "reading the checkpoint", 0, None);
    let Some(name) = name else {
        let loaded = checkpoint::load_newest(run).map_err(NoStart::failed)?;
        for sentence in &loaded.skipped {
            context.notice(
                NoticeLevel::Warning,
                format!("{sentence}; going on from step {}", loaded.entry.step),
            );
        }
        return Ok(loaded);
    };
    checkpoint::load(run, name).map_err(NoStart::Failed)
}

/// What a run that ended without a last word loses: a checkpoint half written, and the steps after the newest whole one.
fn say_what_was_lost(context: &mut Context, dir: &RunDir, step: u64, edits: usize) {
    if dir.swept() > 0 {
        context.notice(
            NoticeLevel::Info,
            "a checkpoint that was only half written when the run ended has been cleared away",
        );
    }
    let reached = crate::run::summarize(dir.path()).map_or(0, |summary| summary.step);
    if reached > step {
        let edited = match edits {
            0 => String::new(),
            1 => ", with the edit made there".to_string(),
            _ => format!(", with the {edits} edits made there"),
        };
        context.notice(
            NoticeLevel::Info,
            format!(
                "the run had reached step {reached}, its newest whole checkpoint is of step {step}: what lies between is \
                 trained again{edited}"
            ),
        );
    }
}

/// The weights of another run.
fn weights(
    context: &mut Context,
    parent: &Path,
    step: Option<u64>,
) -> Result<(Vec<NamedTensor>, CheckpointEntry), NoStart> {
    loading(context, "reading the weights", 0, None);
    let which = step.map_or(Which::Newest, Which::Step);
    let (weights, entry, skipped) =
        checkpoint::load_model(parent, which).map_err(NoStart::failed)?;
    for sentence in skipped {
        context.notice(
            NoticeLevel::Warning,
            format!("{sentence}; starting from step {}", entry.step),
        );
    }
    Ok((weights, entry))
}

impl Beginning {
    /// Puts into the trainer what it begins from, which is then let go of.
    pub fn restore(&mut self, driver: &mut dyn Driver) -> Result<SessionState, NoStart> {
        let mut state = match std::mem::replace(&mut self.from, From::Nothing) {
            From::Nothing => SessionState {
                version: SessionState::VERSION,
                ..SessionState::default()
            },
            From::Checkpoint(loaded) => {
                let Loaded {
                    mut checkpoint,
                    entry,
                    ..
                } = *loaded;
                let state = session_state(&mut checkpoint, &entry).map_err(NoStart::Failed)?;
                driver
                    .restore(&self.config, checkpoint)
                    .map_err(|error| unfit(&entry, "this run", error))?;
                state
            }
            From::Weights(weights, entry) => {
                let mut start = driver.snapshot().map_err(NoStart::failed)?;
                start.model = weights;
                driver.restore(&self.config, start).map_err(|error| {
                    NoStart::Failed(format!(
                        "the weights in {} do not fit this configuration: {error}",
                        entry.path.display()
                    ))
                })?;
                SessionState {
                    version: SessionState::VERSION,
                    ..SessionState::default()
                }
            }
        };
        state.config = Some(self.config.clone());
        Ok(state)
    }
}

fn unfit(entry: &CheckpointEntry, what: &str, error: impl std::fmt::Display) -> NoStart {
    NoStart::Failed(format!(
        "{} does not fit {what}: {error}",
        entry.path.display()
    ))
}

/// Takes the session's part out of a checkpoint; the trainer's is left.
///
/// # Errors
/// A sentence: it is not what a session writes.
pub(super) fn session_state(
    checkpoint: &mut Checkpoint,
    entry: &CheckpointEntry,
) -> Result<SessionState, String> {
    let state = part(&mut checkpoint.state, "session", entry)?;
    checkpoint.state = part(&mut checkpoint.state, "trainer", entry)?;
    read_state(state, entry)
}

fn part(
    state: &mut serde_json::Value,
    key: &str,
    entry: &CheckpointEntry,
) -> Result<serde_json::Value, String> {
    state
        .get_mut(key)
        .map(serde_json::Value::take)
        .ok_or_else(|| format!("state.json of {} has no {key}", entry.path.display()))
}

fn read_state(value: serde_json::Value, entry: &CheckpointEntry) -> Result<SessionState, String> {
    serde_json::from_value::<SessionState>(value)
        .map(SessionState::brought_up_to_date)
        .map_err(|error| {
            format!(
                "state.json of {} cannot be used: {error}",
                entry.path.display()
            )
        })
}

/// What was in force at a checkpoint. Where to compute, with how many threads, what the run is called and where its text lies is as
/// it is now.
pub(super) fn config_of(
    state: &SessionState,
    entry: &CheckpointEntry,
    now: &RunConfig,
) -> RunConfig {
    let mut config = match &state.config {
        Some(config) => config.clone(),
        // Of before edits: its copy of the run's configuration, or else the run's own.
        None => stored_config(&entry.path).unwrap_or_else(|_| now.clone()),
    };
    config.name.clone_from(&now.name);
    config.device.clone_from(&now.device);
    config.train.threads = now.train.threads;
    if !config.corpus.path.is_empty() && !now.corpus.path.is_empty() {
        config.corpus.path.clone_from(&now.corpus.path);
    }
    config
}

impl Session<'_> {
    /// A checkpoint from which the whole run can be repeated.
    pub(super) fn save_beginning(&mut self) {
        if let Err(error) = self.submit(CheckpointReason::Start, false) {
            self.trouble(error);
        }
    }
}
