//! Files that take the place of nothing, unless that was asked for, and are whole or not there.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::{ChartError, Figure, Kind, Look, file};

/// Files that were written, and what could not be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    pub files: Vec<PathBuf>,
    pub problems: Vec<String>,
}

/// Writes every kind of file into `folder`, under `stem`, or `stem-2` … where that is taken.
///
/// # Errors
/// The folder cannot be made, or no file could be written.
pub fn all(folder: &Path, stem: &str, figure: &Figure, look: &Look) -> Result<Written, ChartError> {
    std::fs::create_dir_all(folder).map_err(|source| ChartError::Io {
        action: "make the folder",
        path: folder.to_path_buf(),
        source,
    })?;
    let named = |number: u32, kind: Kind| {
        let number = if number > 1 {
            format!("-{number}")
        } else {
            String::new()
        };
        folder.join(format!("{stem}{number}.{}", kind.ending()))
    };
    let taken = |number: &u32| Kind::ALL.iter().any(|kind| named(*number, *kind).exists());
    let number = (1..u32::MAX).find(|number| !taken(number)).unwrap_or(1);
    let mut written = Written::default();
    let mut first_error = None;
    for kind in Kind::ALL {
        let path = named(number, kind);
        match file(figure, kind, look).and_then(|bytes| new(&path, &bytes, false)) {
            Ok(()) => written.files.push(path),
            Err(error) => {
                written.problems.push(error.to_string());
                first_error.get_or_insert(error);
            }
        }
    }
    match first_error {
        Some(error) if written.files.is_empty() => Err(error),
        _ => Ok(written),
    }
}

/// Writes a file beside its place and moves it there.
///
/// # Errors
/// [`ChartError::Exists`] where something is there already, unless it may be replaced; I/O errors.
pub fn new(path: &Path, bytes: &[u8], replace: bool) -> Result<(), ChartError> {
    let io = |action| {
        move |source| ChartError::Io {
            action,
            path: path.to_path_buf(),
            source,
        }
    };
    let exists = || ChartError::Exists {
        path: path.to_path_buf(),
    };
    if !replace && path.symlink_metadata().is_ok() {
        return Err(exists());
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.join(format!(".{name}.tmp-{}", std::process::id()));
    let written = || -> std::io::Result<()> {
        let mut out = std::fs::File::create(&beside)?;
        out.write_all(bytes)?;
        out.sync_all()
    };
    let moved = || -> Result<(), ChartError> {
        written().map_err(io("write"))?;
        if replace {
            return std::fs::rename(&beside, path).map_err(io("write"));
        }
        // A link fails where a file appeared meanwhile; a rename would take its place.
        match std::fs::hard_link(&beside, path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(exists()),
            // A file system without links.
            Err(_) if path.symlink_metadata().is_err() => {
                std::fs::rename(&beside, path).map_err(io("write"))
            }
            Err(_) => Err(exists()),
        }
    };
    let result = moved();
    // Gone already where it was renamed.
    let _ = std::fs::remove_file(&beside);
    result
}
