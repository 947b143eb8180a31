//! The advisory lock of a run: whoever trains it holds it. The system lets go of it when the process ends,
//! however it ends, so a lock never outlives its owner.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::RunError;

/// Held while it lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

/// Takes the lock for this process.
///
/// # Errors
/// [`RunError::Locked`] with the owner's process id, where another process (or this one) holds it; an I/O error where the folder was
/// moved while the lock was waited for.
pub fn acquire(run: &Path, path: &Path) -> Result<Lock, RunError> {
    let mut file = open(path).map_err(RunError::io("open", path))?;
    let mut attempts = 0;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            // Someone who only looks whether the run is alive holds a shared lock for an instant.
            Err(TryLockError::WouldBlock) if attempts < 20 => {
                attempts += 1;
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let pid = file
                    .read_to_string(&mut text)
                    .ok()
                    .and_then(|_| text.trim().parse().ok());
                return Err(RunError::Locked {
                    path: run.to_path_buf(),
                    pid,
                });
            }
            Err(TryLockError::Error(error)) => return Err(RunError::io("lock", path)(error)),
        }
    }
    if !is_at(&file, path) {
        let moved = std::io::Error::new(
            std::io::ErrorKind::NotFound,
            "its folder was moved meanwhile",
        );
        return Err(RunError::io("lock", path)(moved));
    }
    let write = |file: &mut File| -> std::io::Result<()> {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        file.flush()
    };
    write(&mut file).map_err(RunError::io("write", path))?;
    Ok(Lock { _file: file })
}

/// Whether a file that was opened at `path` is still the one there: whoever moves a folder holds its lock, and a lock that is let go of
/// then is one of another place.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(held), Ok(there)) => (held.dev(), held.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// Systems that move no folder with an open file in it.
#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> bool {
    true
}

/// Whether a live process holds the lock.
pub fn is_held(path: &Path) -> bool {
    match File::open(path) {
        Ok(file) => matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)),
        Err(_) => false,
    }
}

/// The process that says it holds the lock. Worth asking only while it is held.
pub fn owner(path: &Path) -> Option<u32> {
    let text = std::fs::read_to_string(path).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_owner_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        assert!(!is_held(&path));
        let lock = acquire(dir.path(), &path).unwrap();
        assert!(is_held(&path));
        match acquire(dir.path(), &path) {
            Err(RunError::Locked { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(lock);
        assert!(!is_held(&path));
        acquire(dir.path(), &path).unwrap();
    }

    /// Whoever waited for the lock of a folder that was moved has the lock of another place than the one asked for.
    #[cfg(unix)]
    #[test]
    fn the_lock_of_a_folder_that_was_moved_is_not_taken() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("a");
        std::fs::create_dir(&dir).unwrap();
        let path = dir.join("lock");
        let lock = acquire(&dir, &path).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| acquire(&dir, &path));
            std::thread::sleep(std::time::Duration::from_millis(60));
            std::fs::rename(&dir, root.path().join("b")).unwrap();
            drop(lock);
            let words = waiting.join().unwrap().unwrap_err().to_string();
            assert!(words.contains("moved meanwhile"), "{words}");
        });
    }
}
