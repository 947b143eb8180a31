//! Renaming runs, and the bin that deleted runs and sweeps wait in: `runs/.bin/NAME`, beside the runs, so that deleting and
//! restoring are renames of a folder and cost nothing. Only emptying the bin takes anything away.
//!
//! A sweep is deleted whole, with its trials: it finds them by their names.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::dir::{now, read_header, write_json};
use super::{Notes, RunError, RunFile, lock, sweep};

/// Below the folder of the runs.
const BIN: &str = ".bin";
/// In a run in the bin: where it came from.
const DELETED: &str = "deleted.json";

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Deleted {
    name: String,
    /// Seconds since 1970, UTC.
    at: u64,
}

/// What a folder in the bin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BinnedKind {
    Run,
    /// With all of its runs.
    Sweep,
}

/// A run or a sweep in the bin.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Binned {
    pub kind: BinnedKind,
    /// What it was called.
    pub name: String,
    /// Where it lies now.
    pub dir: PathBuf,
    /// Seconds since 1970, UTC; 0 where it is not known.
    pub deleted: u64,
}

fn bin_of(root: &Path) -> PathBuf {
    root.join(BIN)
}

fn name_of(dir: &Path) -> String {
    dir.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// Moves a run, or a sweep with its runs, to the bin beside it. Where it lies then is returned.
///
/// # Errors
/// [`RunError::NotARun`]; [`RunError::Locked`] where a process has the run; [`RunError::SweepGoesOn`]; I/O errors.
pub fn delete(dir: &Path) -> Result<Binned, RunError> {
    let dir = absolute(dir);
    let kind = kind_of(&dir)?;
    if kind == BinnedKind::Run {
        require_its_own(&dir)?;
    }
    let held = hold(&dir, kind)?;
    let root = dir.parent().unwrap_or(Path::new("."));
    let bin = bin_of(root);
    std::fs::create_dir_all(&bin).map_err(RunError::io("make the bin", &bin))?;
    let name = name_of(&dir);
    // A name deleted before is in the bin already: the next one gets a number.
    let mut place = bin.join(&name);
    let mut number = 2u64;
    while place.symlink_metadata().is_ok() {
        place = bin.join(format!("{name}~{number}"));
        number += 1;
    }
    std::fs::rename(&dir, &place).map_err(RunError::io("move to the bin", &dir))?;
    drop(held);
    let deleted = Deleted { name, at: now() };
    // Without it the folder's own name says what the run was called.
    if let Err(error) = write_json(&place.join(DELETED), &deleted) {
        tracing::warn!(%error, "where a deleted run came from is not noted");
    }
    Ok(Binned {
        kind,
        name: deleted.name,
        dir: place,
        deleted: deleted.at,
    })
}

/// What is held of a folder while it is moved or taken away.
enum Held {
    Run { _lock: lock::Lock },
    Sweep { _held: sweep::Held },
}

/// Takes a run or a sweep for this process: nobody trains it, or in it, until this is let go of.
fn hold(dir: &Path, kind: BinnedKind) -> Result<Held, RunError> {
    Ok(match kind {
        BinnedKind::Sweep => Held::Sweep {
            _held: sweep::hold(dir)?,
        },
        BinnedKind::Run => Held::Run {
            _lock: lock::acquire(dir, &dir.join(RunFile::Lock.name()))?,
        },
    })
}

/// What is in the bin, the one deleted last first.
pub fn binned(root: &Path) -> Vec<Binned> {
    let Ok(entries) = std::fs::read_dir(bin_of(root)) else {
        return Vec::new();
    };
    let mut found: Vec<Binned> = entries
        .flatten()
        .filter_map(|entry| {
            let dir = entry.path();
            let kind = kind_of(&dir).ok()?;
            let deleted = std::fs::read(dir.join(DELETED))
                .ok()
                .and_then(|bytes| serde_json::from_slice::<Deleted>(&bytes).ok())
                .unwrap_or_else(|| Deleted {
                    name: name_of(&dir),
                    at: 0,
                });
            Some(Binned {
                kind,
                // A name that was written by hand cannot lead out of the folder.
                name: match check_name(&deleted.name) {
                    Ok(()) => deleted.name,
                    Err(_) => name_of(&dir),
                },
                dir,
                deleted: deleted.at,
            })
        })
        .collect();
    found.sort_by(|a, b| {
        b.deleted
            .cmp(&a.deleted)
            .then_with(|| b.dir.file_name().cmp(&a.dir.file_name()))
    });
    found
}

/// Brings a run or a sweep back from the bin, under the name it had. Where it lies then is returned.
///
/// # Errors
/// [`RunError::NameTaken`] where there is another of that name now; as [`delete`] where it is trained in the bin; I/O errors.
pub fn restore(root: &Path, run: &Binned) -> Result<PathBuf, RunError> {
    let place = root.join(&run.name);
    if place.symlink_metadata().is_ok() {
        return Err(RunError::NameTaken {
            name: run.name.clone(),
        });
    }
    let held = hold(&run.dir, kind_of(&run.dir)?)?;
    std::fs::rename(&run.dir, &place).map_err(RunError::io("restore", &run.dir))?;
    drop(held);
    match std::fs::remove_file(place.join(DELETED)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(%error, "a note of the bin is left in the run");
        }
        _ => {}
    }
    // Gone when it was the last; otherwise it is not empty, and stays.
    let _ = std::fs::remove_dir(bin_of(root));
    Ok(place)
}

/// Takes away for good what is in the bin, and says what that was.
///
/// # Errors
/// As [`delete`] where something is trained in the bin; I/O errors; what had been taken away by then is gone.
pub fn empty_bin(root: &Path) -> Result<Vec<Binned>, RunError> {
    let runs = binned(root);
    for run in &runs {
        let _held = hold(&run.dir, run.kind)?;
        std::fs::remove_dir_all(&run.dir).map_err(RunError::io("remove", &run.dir))?;
    }
    let _ = std::fs::remove_dir(bin_of(root));
    Ok(runs)
}

/// How many they are, in words: `2 runs and 1 sweep`.
pub fn counted(binned: &[Binned]) -> String {
    let count = |kind| binned.iter().filter(|one| one.kind == kind).count();
    let words = |count, one: &str| match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {one}s"),
    };
    match (count(BinnedKind::Run), count(BinnedKind::Sweep)) {
        (runs, 0) => words(runs, "run"),
        (0, sweeps) => words(sweeps, "sweep"),
        (runs, sweeps) => format!("{} and {}", words(runs, "run"), words(sweeps, "sweep")),
    }
}

/// Gives a run's folder another name. Where it lies then is returned.
///
/// # Errors
/// [`RunError::BadName`], [`RunError::NameTaken`]; [`RunError::Locked`] where a process has the run; what [`read_header`] and
/// [`Notes::read`] say; I/O errors.
pub fn rename(dir: &Path, name: &str) -> Result<PathBuf, RunError> {
    let dir = absolute(dir);
    let name = name.trim();
    check_name(name).map_err(|reason| RunError::BadName {
        name: name.to_string(),
        reason,
    })?;
    let mut header = read_header(&dir)?;
    require_its_own(&dir)?;
    let before = name_of(&dir);
    if before == name {
        return Ok(dir);
    }
    let held = lock::acquire(&dir, &dir.join(RunFile::Lock.name()))?;
    let place = dir.with_file_name(name);
    if place.symlink_metadata().is_ok() {
        return Err(RunError::NameTaken {
            name: name.to_string(),
        });
    }
    let mut notes = Notes::read(&dir)?;
    notes.formerly.retain(|other| *other != name);
    notes.formerly.push(before);
    std::fs::rename(&dir, &place).map_err(RunError::io("rename", &dir))?;
    // The folder's name is what counts; what it says inside follows it.
    notes.write(&place)?;
    header.name = name.to_string();
    if let Some(info) = &mut header.info {
        info.name = name.to_string();
        info.dir.clone_from(&place);
    }
    write_json(&place.join(RunFile::Run.name()), &header)?;
    drop(held);
    Ok(place)
}

/// Whether a run may be called so, in words where it may not.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("it is empty".to_string());
    }
    if name.starts_with(['.', '-']) {
        return Err("it begins with a dot or a dash".to_string());
    }
    if name == "last" {
        return Err("`last` stands for the run changed last".to_string());
    }
    if let Some(bad) = name.chars().find(|c| {
        c.is_control() || matches!(c, '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|')
    }) {
        return Err(format!("{bad:?} is not allowed in the name of a folder"));
    }
    if name.len() > 120 {
        return Err("it is longer than 120 bytes".to_string());
    }
    Ok(())
}

fn kind_of(dir: &Path) -> Result<BinnedKind, RunError> {
    if dir.join(RunFile::Run.name()).is_file() {
        Ok(BinnedKind::Run)
    } else if sweep::is_sweep(dir) {
        Ok(BinnedKind::Sweep)
    } else {
        Err(RunError::NotARun {
            path: dir.to_path_buf(),
            missing: RunFile::Run.name(),
        })
    }
}

/// A sweep finds its trials by their names.
fn require_its_own(dir: &Path) -> Result<(), RunError> {
    match sweep::trial_label(dir) {
        Some(name) => Err(RunError::Trial { name }),
        None => Ok(()),
    }
}

fn absolute(dir: &Path) -> PathBuf {
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, load};
    use crate::run::{RunDir, list};

    fn run(root: &Path, name: &str) -> PathBuf {
        let config = load(Source::Defaults, &[]).unwrap();
        let run = RunDir::create(root, Some(&root.join(name)), &config).unwrap();
        run.path().to_path_buf()
    }

    fn names(root: &Path) -> Vec<String> {
        let mut names: Vec<String> = list(root).into_iter().map(|run| run.name).collect();
        names.sort();
        names
    }

    #[test]
    fn deleted_runs_wait_in_the_bin_and_come_back() {
        let root = tempfile::tempdir().unwrap();
        let (a, _) = (run(root.path(), "a"), run(root.path(), "b"));
        let first = delete(&a).unwrap();
        run(root.path(), "a");
        let second = delete(&a).unwrap();
        assert_ne!(first.dir, second.dir);
        assert_eq!(names(root.path()), ["b"]);
        assert_eq!(binned(root.path()).len(), 2);
        let back = restore(root.path(), &first).unwrap();
        assert_eq!(back, root.path().join("a"));
        assert!(!back.join(DELETED).exists());
        assert!(matches!(
            restore(root.path(), &second),
            Err(RunError::NameTaken { .. })
        ));
        assert_eq!(names(root.path()), ["a", "b"]);
        assert_eq!(empty_bin(root.path()).unwrap(), [second]);
        assert!(!root.path().join(BIN).exists());
        assert_eq!(names(root.path()), ["a", "b"]);
    }

    /// Whoever names it by its path may train it there.
    #[test]
    fn a_run_that_is_trained_in_the_bin_stays_there() {
        let root = tempfile::tempdir().unwrap();
        let binned = delete(&run(root.path(), "a")).unwrap();
        let open = RunDir::open(&binned.dir).unwrap();
        assert!(matches!(
            restore(root.path(), &binned),
            Err(RunError::Locked { .. })
        ));
        assert!(matches!(
            empty_bin(root.path()),
            Err(RunError::Locked { .. })
        ));
        drop(open);
        restore(root.path(), &binned).unwrap();
        assert_eq!(names(root.path()), ["a"]);
    }

    #[test]
    fn a_run_that_a_process_has_stays_where_it_is() {
        let root = tempfile::tempdir().unwrap();
        let config = load(Source::Defaults, &[]).unwrap();
        let dir = root.path().join("a");
        let open = RunDir::create(root.path(), Some(&dir), &config).unwrap();
        assert!(matches!(delete(&dir), Err(RunError::Locked { .. })));
        assert!(matches!(rename(&dir, "b"), Err(RunError::Locked { .. })));
        drop(open);
        let place = rename(&dir, "b").unwrap();
        assert_eq!(read_header(&place).unwrap().name, "b");
        assert_eq!(Notes::read(&place).unwrap().formerly, ["a"]);
        // And back: it is not said to be its own former name.
        let place = rename(&place, "a").unwrap();
        assert_eq!(Notes::read(&place).unwrap().formerly, ["b"]);
    }

    #[test]
    fn names_that_are_no_folder_names_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let dir = run(root.path(), "a");
        run(root.path(), "b");
        for name in ["", ".", "..", "../x", "x/y", "last", "-x", "a\u{7}b"] {
            assert!(
                matches!(rename(&dir, name), Err(RunError::BadName { .. })),
                "{name:?}"
            );
        }
        assert!(matches!(rename(&dir, "b"), Err(RunError::NameTaken { .. })));
        assert_eq!(rename(&dir, " a ").unwrap(), dir);
    }
}
