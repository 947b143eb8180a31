//! A folder that is written whole or not at all.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::{ExportError, File};

/// What to do about an earlier export in the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// Leave it, and say so.
    Never,
    /// Replace it, provided that it holds nothing but what an export writes.
    EarlierExport,
}

/// How the names of TensorBoard's event files begin. TensorBoard looks for `tfevents` in them.
pub(super) const EVENTS: &str = "events.out.tfevents.";

/// How the names of TensorBoard's folders of branches begin that a run has left.
pub(super) const LEFT: &str = "left-";

/// Every name that an export has ever written, besides event files.
const OURS: [&str; 8] = [
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "model.json",
    "fireside_model.py",
    "README.md",
];

/// Writes the files beside `out`, syncs them and renames the folder into place.
pub fn write(
    out: &Path,
    replace: Replace,
    files: &[File],
) -> Result<Vec<(String, u64)>, ExportError> {
    let out = std::path::absolute(out).map_err(io("find", out))?;
    let taken = occupied(&out, replace)?;
    let parent = out.parent().unwrap_or(Path::new("/")).to_path_buf();
    std::fs::create_dir_all(&parent).map_err(io("make the folder", &parent))?;
    let beside = |what: &str| -> PathBuf {
        let name = out.file_name().unwrap_or_default().to_string_lossy();
        parent.join(format!(".{name}.{what}-{}", std::process::id()))
    };
    let (temporary, old) = (beside("tmp"), beside("old"));
    let written = fill(&temporary, files).and_then(|sizes| {
        if taken {
            std::fs::rename(&out, &old).map_err(io("move", &out))?;
        }
        if let Err(error) = std::fs::rename(&temporary, &out) {
            if taken {
                // What was there goes back to its place; where even that fails, the message names it.
                std::fs::rename(&old, &out).map_err(io("move back", &old))?;
            }
            return Err(io("make", &out)(error));
        }
        Ok(sizes)
    });
    match &written {
        Ok(_) if taken => {
            // The new one is in place: what is left of the old one is in nobody's way.
            let _ = std::fs::remove_dir_all(&old);
        }
        Ok(_) => {}
        Err(_) => {
            let _ = std::fs::remove_dir_all(&temporary);
        }
    }
    written
}

/// Whether there is something to replace. An empty folder counts as nothing of value.
fn occupied(out: &Path, replace: Replace) -> Result<bool, ExportError> {
    let path = || out.to_path_buf();
    match std::fs::symlink_metadata(out) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(io("look at", out)(error)),
        Ok(found) if !found.is_dir() => return Err(ExportError::NotAFolder { path: path() }),
        Ok(_) => {}
    }
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(out).map_err(io("read", out))? {
        let entry = entry.map_err(io("read", out))?;
        entries.push(entry.file_name().to_string_lossy().into_owned());
    }
    if entries.is_empty() {
        return Ok(true);
    }
    if replace == Replace::Never {
        return Err(ExportError::Exists { path: path() });
    }
    for entry in entries {
        if !ours(out, &entry).map_err(io("read", out))? {
            return Err(ExportError::Foreign {
                path: path(),
                entry,
            });
        }
    }
    Ok(true)
}

/// Whether an export may have written this entry of a folder: a file of a known name, an event file of ours, or a folder that
/// holds nothing but those (a run among several, with the branches that it has left).
fn ours(folder: &Path, entry: &str) -> std::io::Result<bool> {
    Ok(OURS.contains(&entry) || is_event_file(entry) || holds_events(&folder.join(entry))?)
}

fn is_event_file(name: &str) -> bool {
    name.starts_with(EVENTS) && name.ends_with(".fireside")
}

/// Whether it is a folder with event files of ours, and besides them nothing but branches that are such folders.
fn holds_events(folder: &Path) -> std::io::Result<bool> {
    if !folder.symlink_metadata()?.is_dir() {
        return Ok(false);
    }
    let mut some = false;
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        match name.starts_with(LEFT) {
            true if holds_events(&folder.join(&name))? => {}
            false if is_event_file(&name) => some = true,
            _ => return Ok(false),
        }
    }
    Ok(some)
}

fn fill(temporary: &Path, files: &[File]) -> Result<Vec<(String, u64)>, ExportError> {
    std::fs::create_dir(temporary).map_err(io("make the folder", temporary))?;
    let mut sizes = Vec::new();
    for file in files {
        let path = temporary.join(&*file.name);
        let write = || -> std::io::Result<()> {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let mut out = std::fs::File::create(&path)?;
            out.write_all(&file.bytes)?;
            out.sync_all()
        };
        write().map_err(io("write", &path))?;
        sizes.push((file.name.to_string(), file.bytes.len() as u64));
    }
    #[cfg(unix)]
    std::fs::File::open(temporary)
        .and_then(|folder| folder.sync_all())
        .map_err(io("sync", temporary))?;
    Ok(sizes)
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> ExportError {
    let path = path.to_path_buf();
    move |source| ExportError::Io {
        action,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(text: &str) -> Vec<File> {
        vec![File {
            name: "config.json".into(),
            bytes: text.as_bytes().to_vec(),
        }]
    }

    fn left(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn an_earlier_export_is_replaced_only_when_asked() {
        let place = tempfile::tempdir().unwrap();
        let out = place.path().join("deep/model");
        write(&out, Replace::Never, &files("one")).unwrap();
        let error = write(&out, Replace::Never, &files("two")).unwrap_err();
        assert!(error.to_string().contains("--force"), "{error}");
        let text = || std::fs::read_to_string(out.join("config.json")).unwrap();
        assert_eq!(text(), "one");
        write(&out, Replace::EarlierExport, &files("two")).unwrap();
        assert_eq!(text(), "two");
        assert_eq!(left(out.parent().unwrap()), ["model"]);
    }

    #[test]
    fn what_no_export_wrote_is_never_replaced() {
        let place = tempfile::tempdir().unwrap();
        let out = place.path().join("model");
        write(&out, Replace::Never, &files("one")).unwrap();
        std::fs::write(out.join("notes.txt"), "mine").unwrap();
        let error = write(&out, Replace::EarlierExport, &files("two")).unwrap_err();
        assert!(error.to_string().contains("notes.txt"), "{error}");
        assert_eq!(left(&out), ["config.json", "notes.txt"]);
        let file = place.path().join("file");
        std::fs::write(&file, "mine").unwrap();
        let error = write(&file, Replace::EarlierExport, &files("two")).unwrap_err();
        assert!(error.to_string().contains("is no folder"), "{error}");
        assert_eq!(left(place.path()), ["file", "model"]);
    }

    #[test]
    fn folders_of_event_files_are_replaced_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let out = place.path().join("logs");
        let files = |runs: &[&str]| -> Vec<File> {
            let event = |run: &&str| File {
                name: format!("{run}/{EVENTS}1.fireside").into(),
                bytes: run.as_bytes().to_vec(),
            };
            runs.iter().map(event).collect()
        };
        write(&out, Replace::Never, &files(&["one", "two"])).unwrap();
        assert_eq!(left(&out), ["one", "two"]);
        write(&out, Replace::EarlierExport, &files(&["three"])).unwrap();
        assert_eq!(left(&out), ["three"]);
        write(
            &out,
            Replace::EarlierExport,
            &files(&["three", "three/left-1-at-step-4"]),
        )
        .unwrap();
        std::fs::create_dir(out.join("three/left-2")).unwrap();
        let other = out.join("three/left-2/notes.txt");
        std::fs::write(&other, "theirs").unwrap();
        assert!(write(&out, Replace::EarlierExport, &files(&["four"])).is_err());
        std::fs::remove_dir_all(out.join("three/left-2")).unwrap();
        write(&out, Replace::EarlierExport, &files(&["three"])).unwrap();
        assert!(!out.join("three/left-1-at-step-4").exists());
        std::fs::write(out.join("three/events.out.tfevents.1.host"), "theirs").unwrap();
        let error = write(&out, Replace::EarlierExport, &files(&["four"])).unwrap_err();
        assert!(error.to_string().contains("three"), "{error}");
        assert_eq!(left(&out), ["three"]);
    }

    #[test]
    fn a_failed_write_leaves_nothing_and_takes_nothing() {
        let place = tempfile::tempdir().unwrap();
        let out = place.path().join("model");
        write(&out, Replace::Never, &files("one")).unwrap();
        let mut broken = files("two");
        broken.push(File {
            name: "config.json/below".into(),
            bytes: Vec::new(),
        });
        assert!(write(&out, Replace::EarlierExport, &broken).is_err());
        assert_eq!(left(place.path()), ["model"]);
        assert_eq!(
            std::fs::read_to_string(out.join("config.json")).unwrap(),
            "one"
        );
        // An empty folder holds nothing that could be lost.
        let empty = place.path().join("empty");
        std::fs::create_dir(&empty).unwrap();
        write(&empty, Replace::Never, &files("three")).unwrap();
        assert_eq!(left(&empty), ["config.json"]);
    }
}
