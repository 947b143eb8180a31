//! Runs side by side: what differs in their configurations, their edits, their samples, and who came from whom.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::store::RunEntry;
use super::{Record, RunError, RunFile, log};
use crate::config::{self, Value};
use crate::protocol::{EditAuthor, EditRecord, SampleRecord};

/// What differs between runs. Values stand in the order of the runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Compared {
    /// Keys of the configuration, in the order of the configuration; `None` where a key has no meaning in a run.
    pub keys: Vec<(&'static str, Vec<Option<String>>)>,
    /// Keys that are the same in all of them.
    pub same: usize,
    /// By step.
    pub edits: Vec<EditLine>,
}

/// A change that was made while a run went on.
#[derive(Debug, Clone, PartialEq)]
pub struct EditLine {
    /// Index of the run.
    pub run: usize,
    pub step: u64,
    pub text: String,
    pub by: EditAuthor,
}

/// Compares the configurations that runs began with, and reads their edits.
///
/// # Errors
/// I/O errors of the logs of edits.
pub fn compare(runs: &[Arc<RunEntry>]) -> Result<Compared, RunError> {
    let mut compared = Compared::default();
    for field in config::fields() {
        let values: Vec<Option<&Value>> =
            runs.iter().map(|run| run.values.get(field.key)).collect();
        let differs = values.windows(2).any(|pair| pair[0] != pair[1]);
        if differs {
            let text = |value: Option<&Value>| value.map(Value::to_plain);
            compared
                .keys
                .push((field.key, values.into_iter().map(text).collect()));
        } else if values.first().is_some_and(|value| value.is_some()) {
            compared.same += 1;
        }
    }
    for (at, run) in runs.iter().enumerate() {
        let edits = edits(&run.summary.dir)?;
        compared
            .edits
            .extend(edits.into_iter().map(|edit| EditLine {
                run: at,
                step: edit.step,
                text: edit.edit.to_string(),
                by: edit.by,
            }));
    }
    compared.edits.sort_by_key(|edit| (edit.step, edit.run));
    Ok(compared)
}

/// The edits of a run that going back or taking up did not take back, oldest first.
///
/// # Errors
/// I/O errors.
pub fn edits(dir: &Path) -> Result<Vec<EditRecord>, RunError> {
    let lines = log::read(&dir.join(RunFile::Edits.name()))?;
    let edits = lines.records.into_iter().filter_map(|record| match record {
        Record::Edit(edit) => Some(edit),
        _ => None,
    });
    Ok(edits.collect())
}

/// The samples of a run, oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSamples {
    pub dir: PathBuf,
    pub samples: Vec<SampleRecord>,
}

/// # Errors
/// I/O errors.
pub fn read_samples(dir: &Path) -> Result<RunSamples, RunError> {
    let lines = log::read(&dir.join(RunFile::Samples.name()))?;
    let samples = lines.records.into_iter().filter_map(|record| match record {
        Record::Sample(sample) => Some(sample),
        _ => None,
    });
    Ok(RunSamples {
        dir: dir.to_path_buf(),
        samples: samples.collect(),
    })
}

/// A run at its place in the tree of runs that began from each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// Index of the run.
    pub run: usize,
    /// For every level above, whether more branches follow below it there; empty for a run without a known parent.
    pub more: Vec<bool>,
}

/// The tree, each run below its parent; otherwise in the order in which the runs are given.
pub fn lineage(runs: &[Arc<RunEntry>]) -> Vec<Branch> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let places: Vec<PathBuf> = runs.iter().map(|run| absolute(&run.summary.dir)).collect();
    let parent = |child: usize| -> Option<usize> {
        let named = absolute(Path::new(&runs[child].parent.as_ref()?.run));
        let by_place = places.iter().position(|place| *place == named);
        by_place
            .or_else(|| {
                // It was renamed since.
                let name = named.file_name()?.to_string_lossy();
                (0..runs.len()).find(|at| {
                    places[*at].parent() == named.parent()
                        && runs[*at].notes.formerly.iter().any(|old| *old == name)
                })
            })
            .filter(|at| *at != child)
    };
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); runs.len()];
    let mut roots = Vec::new();
    for run in 0..runs.len() {
        match parent(run) {
            Some(parent) => children[parent].push(run),
            None => roots.push(run),
        }
    }
    let mut tree = Vec::with_capacity(runs.len());
    let mut seen = HashSet::new();
    // Files written by hand may lead in a circle, which has no root: its runs stand as roots of their own.
    for root in roots.into_iter().chain(0..runs.len()) {
        let mut stack = vec![(root, Vec::new())];
        while let Some((run, more)) = stack.pop() {
            if !seen.insert(run) {
                continue;
            }
            let below: Vec<usize> = children[run]
                .iter()
                .copied()
                .filter(|child| !seen.contains(child))
                .collect();
            for (at, child) in below.iter().enumerate().rev() {
                let mut more: Vec<bool> = more.clone();
                more.push(at + 1 < below.len());
                stack.push((*child, more));
            }
            tree.push(Branch { run, more });
        }
    }
    tree
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, load};
    use crate::protocol::{Edit, EditRecord};
    use crate::run::{Parent, RunDir, entry};

    fn made(root: &Path, name: &str, sets: &[&str], parent: Option<&str>) -> Arc<RunEntry> {
        let sets: Vec<String> = sets.iter().map(|set| set.to_string()).collect();
        let config = load(Source::Defaults, &sets).unwrap();
        let mut dir = RunDir::create(root, Some(&root.join(name)), &config).unwrap();
        if let Some(parent) = parent {
            let run = root.join(parent).display().to_string();
            dir.write_parent(Parent { run, step: 1 }).unwrap();
        }
        dir.append(&Record::Edit(EditRecord {
            step: 5,
            edit: Edit::LearningRateMultiplier(0.5),
            undo: None,
            by: EditAuthor::User,
        }));
        dir.flush().unwrap();
        let path = dir.path().to_path_buf();
        drop(dir);
        let mut entry = entry(&path).unwrap();
        entry.set_config(&config);
        Arc::new(entry)
    }

    #[test]
    fn only_what_differs_is_told_and_edits_stand_with_their_run() {
        let root = tempfile::tempdir().unwrap();
        let runs = [
            made(root.path(), "a", &["model.kind=gpt", "train.seed=1"], None),
            made(
                root.path(),
                "b",
                &["model.kind=char-rnn", "train.seed=1"],
                None,
            ),
        ];
        let compared = compare(&runs).unwrap();
        let row = |key: &str| {
            let found = compared.keys.iter().find(|(name, _)| *name == key);
            found.map(|(_, values)| values.clone())
        };
        let some = |text: &str| Some(text.to_string());
        assert_eq!(row("model.kind"), Some(vec![some("gpt"), some("char-rnn")]));
        assert_eq!(row("model.n_heads").unwrap()[1], None);
        assert_eq!(row("train.seed"), None);
        assert!(compared.same > 5);
        let edits: Vec<(usize, u64)> = compared.edits.iter().map(|e| (e.run, e.step)).collect();
        assert_eq!(edits, [(0, 5), (1, 5)]);
        assert_eq!(compared.edits[0].text, "learning rate × 0.5");
        assert_eq!(compare(&[]).unwrap(), Compared::default());
    }

    #[test]
    fn the_tree_follows_parents_through_a_rename_and_survives_a_circle() {
        let root = tempfile::tempdir().unwrap();
        let mut runs = vec![
            made(root.path(), "leaf", &[], Some("middle")),
            made(root.path(), "other", &[], Some("old")),
            made(root.path(), "middle", &[], Some("old")),
            made(root.path(), "circle-a", &[], Some("circle-b")),
            made(root.path(), "circle-b", &[], Some("circle-a")),
            made(root.path(), "orphan", &[], Some("gone")),
        ];
        made(root.path(), "old", &[], None);
        let renamed = super::super::rename(&root.path().join("old"), "new").unwrap();
        runs.push(Arc::new(entry(&renamed).unwrap()));
        let tree: Vec<(&str, Vec<bool>)> = lineage(&runs)
            .into_iter()
            .map(|branch| (runs[branch.run].summary.name.as_str(), branch.more))
            .map(|(name, more)| (Box::leak(name.to_string().into_boxed_str()) as &str, more))
            .collect();
        assert_eq!(
            tree,
            [
                ("orphan", vec![]),
                ("new", vec![]),
                ("other", vec![true]),
                ("middle", vec![false]),
                ("leaf", vec![false, false]),
                ("circle-a", vec![]),
                ("circle-b", vec![false]),
            ]
        );
    }
}
