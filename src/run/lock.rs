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
/// [`RunError::Locked`] with the owner's process id, where another process (or this one) holds it.
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
    let write = |file: &mut File| -> std::io::Result<()> {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        file.flush()
    };
    write(&mut file).map_err(RunError::io("write", path))?;
    Ok(Lock { _file: file })
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
}
