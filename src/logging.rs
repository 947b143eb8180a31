//! The program's log: `tracing` lines in a file, never on the screen. While a run trains they go to its
//! `run.log`, otherwise to `fireside.log` in the user's state folder. `FIRESIDE_LOG` sets the filter (`info`).

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The state log is started over when it has grown to this many bytes.
const LARGEST_STATE_LOG: u64 = 4 << 20;

static RUN_LOG: Mutex<Option<File>> = Mutex::new(None);

/// Starts logging. Without a folder to write in, only runs are logged.
pub fn init() {
    let filter = EnvFilter::try_from_env("FIRESIDE_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let state = state_folder().and_then(|folder| open_state_log(&folder).ok());
    // A second start in one process (tests) changes nothing.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_target(false)
        .with_writer(Target {
            state: Mutex::new(state),
        })
        .try_init();
}

/// From now on log to this file; `None` goes back to the state folder.
pub fn follow_run(path: Option<&Path>) {
    let file = path.and_then(|path| OpenOptions::new().append(true).create(true).open(path).ok());
    *RUN_LOG.lock().unwrap_or_else(PoisonError::into_inner) = file;
}

/// `$XDG_STATE_HOME/fireside`, or `~/.local/state/fireside`.
pub fn state_folder() -> Option<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local").join("state")))
        .or_else(|| absolute("LOCALAPPDATA"))
        .map(|base| base.join("fireside"))
}

fn open_state_log(folder: &Path) -> std::io::Result<File> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join("fireside.log");
    if std::fs::metadata(&path).is_ok_and(|metadata| metadata.len() > LARGEST_STATE_LOG) {
        std::fs::rename(&path, folder.join("fireside.log.old"))?;
    }
    OpenOptions::new().append(true).create(true).open(path)
}

struct Target {
    state: Mutex<Option<File>>,
}

struct Line<'a>(&'a Target);

impl<'a> MakeWriter<'a> for Target {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut run = RUN_LOG.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = run.as_mut().or(state.as_mut()) {
            // A log that cannot be written must not disturb what it tells of.
            let _ = file.write_all(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
