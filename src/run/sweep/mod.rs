//! A sweep on disk: a folder of runs that differ in a few keys.
//!
//! ```text
//! runs/sweep-gpt-001/
//!   sweep.json             what the sweep is: its trials with their values, rungs, seed; never changed after it is made
//!   configs/trial-001.toml the complete configuration of each trial; trial-001.lock: held by the process that trains it
//!   results.jsonl          one line for each trial and rung that is done; only ever appended to
//!   trial-001/             an ordinary run folder
//!   lock                   held (advisory) by the process that conducts the sweep
//! ```
//!
//! What is to be done next follows from these files alone, so a sweep that was interrupted, however that was, goes on where it was.

pub mod halving;

mod curve;
mod plan;
mod state;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

pub use curve::Curve;
pub use plan::{Metric, SweepPlan, Trial, TrialOutcome, TrialResult, read_plan};
pub use state::{SweepState, TrialState, TrialStatus, read};

use super::dir::write_whole;
use super::lock::{self, Lock};
use super::log::JsonLog;
use super::{RunError, RunFile, naming};
use plan::read_results;

/// Version of the folder's layout.
pub const FORMAT_VERSION: u32 = 1;

const PLAN: &str = "sweep.json";
const RESULTS: &str = "results.jsonl";
const CONFIGS: &str = "configs";
const LOCK: &str = "lock";

/// `trial-001` for 0.
pub fn trial_name(trial: usize) -> String {
    format!("trial-{:03}", trial + 1)
}

/// Whether a folder is a sweep.
pub fn is_sweep(dir: &Path) -> bool {
    dir.join(PLAN).is_file()
}

/// What a run is called that is a trial of a sweep: by its sweep and its own name, by which it is found. None for any other run.
pub fn trial_label(dir: &Path) -> Option<String> {
    let sweep = dir.parent().filter(|parent| is_sweep(parent))?;
    let (sweep, trial) = (sweep.file_name()?, dir.file_name()?);
    Some(format!(
        "{}/{}",
        sweep.to_string_lossy(),
        trial.to_string_lossy()
    ))
}

/// A sweep that nobody conducts and nothing trains in, and that stays so while this lives.
#[derive(Debug)]
pub(super) struct Held {
    _lock: Lock,
    _place: File,
}

/// Takes a sweep for this process, so that it can be moved: nobody conducts it then, and nobody trains a trial of it.
///
/// # Errors
/// [`RunError::SweepGoesOn`]; I/O errors.
pub(super) fn hold(dir: &Path) -> Result<Held, RunError> {
    let goes_on = |trial, pid| RunError::SweepGoesOn {
        name: dir.file_name().unwrap_or_default().display().to_string(),
        trial,
        pid,
    };
    let lock = lock::acquire(dir, &dir.join(LOCK)).map_err(|error| match error {
        RunError::Locked { pid, .. } => goes_on(None, pid),
        error => error,
    })?;
    // From here on no trial is taken up that was not before.
    let path = dir.join(PLAN);
    let place = open_to_lock(&path)?;
    place.lock().map_err(RunError::io("lock", &path))?;
    // A conductor that was killed leaves its trials training. They are asked, not held: there may be more of them than files that
    // a process may have open.
    let configs = std::fs::read_dir(dir.join(CONFIGS));
    for config in configs.into_iter().flatten().flatten() {
        let config = config.path();
        let trial = config.file_stem().unwrap_or_default();
        let run = dir.join(trial).join(RunFile::Lock.name());
        if lock::is_held(&run) || lock::is_held(&config.with_extension("lock")) {
            return Err(goes_on(
                Some(trial.display().to_string()),
                lock::owner(&run),
            ));
        }
    }
    Ok(Held {
        _lock: lock,
        _place: place,
    })
}

/// Keeps the sweep where it is that a run is a trial of, while this lives: whoever moves the sweep waits. Held while the run's own lock
/// is taken, after which [`hold`] sees that one. `None` where the run is no trial.
///
/// # Errors
/// I/O errors.
pub(super) fn keep_in_place(run: &Path) -> Result<Option<File>, RunError> {
    let Some(sweep) = run.parent().filter(|parent| is_sweep(parent)) else {
        return Ok(None);
    };
    let path = sweep.join(PLAN);
    let place = open_to_lock(&path)?;
    place.lock_shared().map_err(RunError::io("lock", &path))?;
    Ok(Some(place))
}

/// The plan itself is the file to lock: it is there as long as the sweep is, and never changes.
fn open_to_lock(path: &Path) -> Result<File, RunError> {
    let file = File::options().read(true).write(true).open(path);
    file.map_err(RunError::io("open", path))
}

/// A folder, and where it is a sweep the folders in it.
pub(super) fn with_trials(dir: PathBuf) -> Vec<PathBuf> {
    if !is_sweep(&dir) {
        return vec![dir];
    }
    let entries = std::fs::read_dir(&dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// The folder that a person means: a path, or a name below `root`.
///
/// # Errors
/// There is no sweep there.
pub fn find(root: &Path, name: &str) -> Result<PathBuf, RunError> {
    let candidates = [PathBuf::from(name), root.join(name)];
    let found = candidates.iter().find(|dir| is_sweep(dir));
    found.cloned().ok_or_else(|| RunError::NotASweep {
        path: candidates[0].clone(),
        below: candidates[1].clone(),
    })
}

/// A sweep that this process conducts.
#[derive(Debug)]
pub struct SweepDir {
    path: PathBuf,
    plan: SweepPlan,
    results: Vec<TrialResult>,
    _lock: Lock,
}

impl SweepDir {
    /// Makes the folder of a new sweep below `root`. `configs` are those of the trials, as TOML.
    ///
    /// # Errors
    /// I/O errors; nothing is left then but what could not be removed.
    pub fn create(
        root: &Path,
        label: &str,
        plan: SweepPlan,
        configs: &[String],
    ) -> Result<Self, RunError> {
        let path = naming::claim(root, &naming::slug(&format!("sweep {label}")))?;
        let path = std::path::absolute(&path).unwrap_or(path);
        let lock = lock::acquire(&path, &path.join(LOCK))?;
        let write = || -> Result<(), RunError> {
            let folder = path.join(CONFIGS);
            std::fs::create_dir(&folder).map_err(RunError::io("make", &folder))?;
            for (trial, config) in configs.iter().enumerate() {
                write_whole(&config_path(&path, trial), config.as_bytes())?;
            }
            let mut bytes =
                serde_json::to_vec_pretty(&plan).map_err(|error| RunError::Damaged {
                    path: path.join(PLAN),
                    reason: error.to_string(),
                })?;
            bytes.push(b'\n');
            // Last, so that a folder with it is whole.
            write_whole(&path.join(PLAN), &bytes)
        };
        if let Err(error) = write() {
            let _ = std::fs::remove_dir_all(&path);
            return Err(error);
        }
        Ok(Self {
            path,
            plan,
            results: Vec::new(),
            _lock: lock,
        })
    }

    /// Opens a sweep to go on with it.
    ///
    /// # Errors
    /// [`RunError::Locked`] where another process conducts it, and as [`read_plan`].
    pub fn open(path: &Path) -> Result<Self, RunError> {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
        let plan = read_plan(&path)?;
        let lock = lock::acquire(&path, &path.join(LOCK))?;
        // A line that a kill cut off is closed, so that the next one stands on its own.
        JsonLog::open(path.join(RESULTS))?;
        Ok(Self {
            results: read_results(&path, &plan)?,
            path,
            plan,
            _lock: lock,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn plan(&self) -> &SweepPlan {
        &self.plan
    }

    pub fn results(&self) -> &[TrialResult] {
        &self.results
    }

    pub fn trial_path(&self, trial: usize) -> PathBuf {
        self.path.join(trial_name(trial))
    }

    pub fn config_path(&self, trial: usize) -> PathBuf {
        config_path(&self.path, trial)
    }

    /// The right to train a trial: a lock that lasts as long as whoever has the file open, the process that trains it among
    /// them. `None` while another has it, which may be one that an earlier conductor left behind.
    ///
    /// # Errors
    /// I/O errors.
    pub fn claim(&self, trial: usize) -> Result<Option<File>, RunError> {
        let path = self.config_path(trial).with_extension("lock");
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(RunError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(error)) => Err(RunError::io("lock", &path)(error)),
        }
    }

    /// What is known of a trial at the end of a rung.
    pub fn result(&self, trial: usize, rung: usize) -> Option<&TrialResult> {
        self.results
            .iter()
            .find(|result| result.trial == trial && result.rung == rung)
    }

    /// The trials of a rung; `None` while the one before it is not done.
    pub fn entering(&self, rung: usize) -> Option<Vec<usize>> {
        let plan = &self.plan;
        halving::entering(
            plan.trials.len(),
            plan.halving,
            plan.metric,
            &self.results,
            rung,
        )
    }

    /// Writes a result down before anything follows from it.
    ///
    /// # Errors
    /// I/O errors; the result does not count then.
    pub fn record(&mut self, result: TrialResult) -> Result<(), RunError> {
        let path = self.path.join(RESULTS);
        let write = || -> std::io::Result<()> {
            let mut line = serde_json::to_vec(&result)?;
            line.push(b'\n');
            let mut file = File::options().append(true).create(true).open(&path)?;
            file.write_all(&line)?;
            file.sync_data()
        };
        write().map_err(RunError::io("write", &path))?;
        self.results.push(result);
        Ok(())
    }
}

fn config_path(dir: &Path, trial: usize) -> PathBuf {
    dir.join(CONFIGS)
        .join(format!("{}.toml", trial_name(trial)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(trials: usize) -> SweepPlan {
        let trial = |at: usize| Trial {
            values: vec![("model.dropout".into(), format!("0.{at}"))],
        };
        SweepPlan {
            format_version: FORMAT_VERSION,
            program_version: "0".into(),
            created: 1,
            config: "gpt".into(),
            sets: Vec::new(),
            vary: vec!["model.dropout=0,0.1".into()],
            grid: true,
            seed: 1,
            steps: 40,
            halving: Some(2),
            rungs: halving::rungs(40, trials, Some(2)),
            parallel: 1,
            metric: Metric::ValLoss,
            trials: (0..trials).map(trial).collect(),
        }
    }

    fn done(trial: usize, rung: usize, loss: f64) -> TrialResult {
        TrialResult {
            trial,
            rung,
            outcome: TrialOutcome::Done,
            step: 10,
            val_loss: Some(loss),
            bits_per_byte: None,
            message: None,
        }
    }

    #[test]
    fn a_sweep_reads_back_and_has_one_conductor() {
        let root = tempfile::tempdir().unwrap();
        let configs = vec!["a = 1".to_string(); 4];
        let mut sweep = SweepDir::create(root.path(), "My test", plan(4), &configs).unwrap();
        let path = sweep.path().to_path_buf();
        assert!(path.ends_with("sweep-my-test-001"), "{}", path.display());
        assert!(matches!(
            SweepDir::open(&path),
            Err(RunError::Locked { .. })
        ));
        assert_eq!(
            std::fs::read_to_string(sweep.config_path(3)).unwrap(),
            "a = 1"
        );
        for trial in 0..4 {
            sweep.record(done(trial, 0, 4.0 - trial as f64)).unwrap();
        }
        drop(sweep);
        // A kill in the middle of a line.
        let mut log = std::fs::File::options()
            .append(true)
            .open(path.join(RESULTS))
            .unwrap();
        log.write_all(br#"{"trial":3,"rung":1,"outc"#).unwrap();
        drop(log);
        let mut sweep = SweepDir::open(&path).unwrap();
        assert_eq!(sweep.plan(), &plan(4));
        assert_eq!(sweep.results().len(), 4);
        assert_eq!(sweep.entering(1), Some(vec![3, 2]));
        sweep.record(done(3, 1, 0.5)).unwrap();
        drop(sweep);
        let state = read(&path).unwrap();
        assert_eq!(state.results.len(), 5);
        let statuses: Vec<TrialStatus> = state.trials.iter().map(|t| t.status).collect();
        use TrialStatus::{Stopped, Waiting};
        assert_eq!(statuses, [Stopped, Stopped, Waiting, Waiting]);
        let ranks: Vec<_> = state.trials.iter().map(|t| t.rank).collect();
        assert_eq!(ranks, [Some(4), Some(3), Some(2), Some(1)]);
        assert_eq!(find(root.path(), "sweep-my-test-001").unwrap(), path);
        assert!(matches!(
            find(root.path(), "none"),
            Err(RunError::NotASweep { .. })
        ));
    }

    #[test]
    fn lists_have_the_trials_which_stay_where_they_are() {
        use crate::run::{RunDir, Store, bin, list};
        let root = tempfile::tempdir().unwrap();
        let configs = vec![String::new(); 2];
        let sweep = SweepDir::create(root.path(), "x", plan(2), &configs).unwrap();
        let config = crate::config::RunConfig::defaults();
        let trial = sweep.trial_path(1);
        drop(RunDir::create(root.path(), Some(&trial), &config).unwrap());
        drop(RunDir::create(root.path(), None, &config).unwrap());
        let name = "sweep-x-001/trial-002";
        let listed: Vec<String> = list(root.path()).into_iter().map(|run| run.name).collect();
        assert!(
            listed.len() == 2 && listed.iter().any(|n| n == name),
            "{listed:?}"
        );
        let mut store = Store::new(root.path().to_path_buf());
        for _ in 0..2 {
            let entries = store.refresh().runs;
            let found = entries.iter().find(|entry| entry.summary.name == name);
            assert!(entries.len() == 2 && found.is_some_and(|e| e.summary.is_trial()));
        }
        assert_eq!(crate::run::find(root.path(), name).unwrap(), trial);
        for refused in [bin::delete(&trial).err(), bin::rename(&trial, "best").err()] {
            assert!(
                matches!(refused, Some(RunError::Trial { .. })),
                "{refused:?}"
            );
        }
        assert!(trial.is_dir());
    }

    #[test]
    fn a_sweep_goes_to_the_bin_whole_and_comes_back_but_not_while_it_goes_on() {
        use crate::run::{BinnedKind, RunDir, bin, list};
        let root = tempfile::tempdir().unwrap();
        let configs = vec![String::new(); 2];
        let sweep = SweepDir::create(root.path(), "x", plan(2), &configs).unwrap();
        let path = sweep.path().to_path_buf();
        let refused = |words: &str| {
            let said = bin::delete(&path).unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
            assert!(path.is_dir());
        };
        refused("the sweep sweep-x-001 goes on (process ");
        // Nobody conducts it, but one of its trials is still being trained, or about to be.
        let claim = sweep.claim(0).unwrap();
        let trial = sweep.trial_path(1);
        drop(sweep);
        refused("goes on: trial-001 is being trained: stop it");
        drop(claim);
        let config = crate::config::RunConfig::defaults();
        let open = RunDir::create(root.path(), Some(&trial), &config).unwrap();
        refused("goes on: trial-002 is being trained (process ");
        drop(open);
        let binned = bin::delete(&path).unwrap();
        assert_eq!(
            (binned.kind, binned.name.as_str()),
            (BinnedKind::Sweep, "sweep-x-001")
        );
        assert!(list(root.path()).is_empty() && !path.exists());
        assert_eq!(bin::binned(root.path()), std::slice::from_ref(&binned));
        assert_eq!(bin::restore(root.path(), &binned).unwrap(), path);
        assert_eq!(list(root.path())[0].name, "sweep-x-001/trial-002");
        assert_eq!(read(&path).unwrap().plan, plan(2));
        // Emptied, a bin has neither.
        drop(RunDir::create(root.path(), Some(&root.path().join("a")), &config).unwrap());
        for dir in [&path, &root.path().join("a")] {
            bin::delete(dir).unwrap();
        }
        let gone = bin::empty_bin(root.path()).unwrap();
        assert_eq!(bin::counted(&gone), "1 run and 1 sweep");
        assert!(std::fs::read_dir(root.path()).unwrap().next().is_none());
    }

    /// A trial that is being taken up when its sweep is deleted is either seen, or finds the sweep gone.
    #[test]
    fn a_sweep_is_not_moved_while_a_trial_is_being_taken_up() {
        use crate::run::{RunDir, bin};
        let root = tempfile::tempdir().unwrap();
        let sweep = SweepDir::create(root.path(), "x", plan(1), &[String::new()]).unwrap();
        let (path, trial) = (sweep.path().to_path_buf(), sweep.trial_path(0));
        drop(sweep);
        let config = crate::config::RunConfig::defaults();
        drop(RunDir::create(root.path(), Some(&trial), &config).unwrap());
        std::thread::scope(|scope| {
            let kept = keep_in_place(&trial).unwrap().expect("it is a trial");
            let deletes = scope.spawn(|| bin::delete(&path));
            std::thread::sleep(std::time::Duration::from_millis(60));
            assert!(path.is_dir() && !deletes.is_finished());
            let lock = lock::acquire(&trial, &trial.join(RunFile::Lock.name())).unwrap();
            drop(kept);
            let refused = deletes.join().unwrap();
            assert!(
                matches!(refused, Err(RunError::SweepGoesOn { .. })),
                "{refused:?}"
            );
            drop(lock);
        });
        // The other way round: whoever comes while it is moved is told that it is gone.
        let held = hold(&path).unwrap();
        std::thread::scope(|scope| {
            let opens = scope.spawn(|| RunDir::open(&trial).map(drop));
            std::thread::sleep(std::time::Duration::from_millis(60));
            assert!(!opens.is_finished());
            std::fs::rename(&path, root.path().join("elsewhere")).unwrap();
            drop(held);
            let refused = opens.join().unwrap();
            assert!(
                matches!(refused, Err(RunError::NotARun { .. })),
                "{refused:?}"
            );
        });
        assert!(!path.exists());
    }

    #[test]
    fn damaged_and_newer_plans_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let write = |text: &str| std::fs::write(root.path().join(PLAN), text).unwrap();
        write("{}");
        assert!(matches!(
            read_plan(root.path()),
            Err(RunError::Damaged { .. })
        ));
        write(r#"{"format_version":9}"#);
        assert!(matches!(
            read_plan(root.path()),
            Err(RunError::Newer { found: 9, .. })
        ));
        let mut empty = plan(1);
        empty.trials.clear();
        write(&serde_json::to_string(&empty).unwrap());
        assert!(matches!(
            read_plan(root.path()),
            Err(RunError::Damaged { .. })
        ));
    }
}
