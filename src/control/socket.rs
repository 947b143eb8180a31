//! The socket file in a run's folder. It appears with its permissions and already listening, and goes away with its owner.

use std::fs::{DirBuilder, File, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use crate::run::RunFile;

/// Where the socket is made ready before it gets its name: a folder that nobody else may enter.
const WORKSHOP: &str = "control.new";
const UNFINISHED: &str = "socket";

/// A socket file that this process listens on.
#[derive(Debug)]
pub struct Bound {
    run: PathBuf,
    path: PathBuf,
    /// Which file is ours: another process may have put its own in the same place since.
    identity: (u64, u64),
}

impl Bound {
    /// Listens in the folder of a run that this process holds the lock of.
    ///
    /// # Errors
    /// Something that is no socket has the name, another process listens there, or the file system has no sockets.
    pub fn listen(run: &Path) -> io::Result<(Self, UnixListener)> {
        let path = run.join(RunFile::Control.name());
        clear(run, &path)?;
        let workshop = run.join(WORKSHOP);
        // What a process left that was killed in between. Ours alone has the lock.
        let _ = std::fs::remove_file(workshop.join(UNFINISHED));
        let _ = std::fs::remove_dir(&workshop);
        // Nobody can connect before the permissions are right: until then the socket stands in a closed folder. That the
        // process's umask would do as well is true of programs with one thread.
        DirBuilder::new().mode(0o700).create(&workshop)?;
        let made = make(run, &workshop, &path);
        let _ = std::fs::remove_file(workshop.join(UNFINISHED));
        let _ = std::fs::remove_dir(&workshop);
        let (identity, listener) = made?;
        let run = run.to_path_buf();
        Ok((
            Self {
                run,
                path,
                identity,
            },
            listener,
        ))
    }

    /// Connects to it, which wakes the thread that waits for connections.
    pub fn knock(&self) {
        let _ = connect(&self.run);
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if std::fs::symlink_metadata(&self.path)
            .is_ok_and(|found| identity(&found) == self.identity)
        {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Connects to the process that trains the run in this folder.
///
/// # Errors
/// There is no socket, or nobody listens on it.
pub fn connect(run: &Path) -> io::Result<UnixStream> {
    let folder = File::open(run)?;
    UnixStream::connect(short(run, &folder, Path::new(RunFile::Control.name())))
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Makes sure that the name is free, or a dead process's.
fn clear(run: &Path, path: &Path) -> io::Result<()> {
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::other(
            "there is something of that name that is no socket",
        ));
    }
    match connect(run) {
        Ok(_) => Err(io::Error::other("another process listens there")),
        // Refused: its process is gone. It is replaced when ours is ready.
        Err(_) => Ok(()),
    }
}

fn make(run: &Path, workshop: &Path, path: &Path) -> io::Result<((u64, u64), UnixListener)> {
    let folder = File::open(run)?;
    let unfinished = Path::new(WORKSHOP).join(UNFINISHED);
    let listener = UnixListener::bind(short(run, &folder, &unfinished))?;
    let unfinished = workshop.join(UNFINISHED);
    std::fs::set_permissions(&unfinished, Permissions::from_mode(0o600))?;
    let identity = identity(&std::fs::symlink_metadata(&unfinished)?);
    std::fs::rename(&unfinished, path)?;
    Ok((identity, listener))
}

/// A way to `name` in the folder that fits an address, which holds about a hundred bytes: where the path does not, and
/// the system is Linux, by the open folder.
fn short(run: &Path, folder: &File, name: &Path) -> PathBuf {
    let path = run.join(name);
    if SocketAddr::from_pathname(&path).is_ok() {
        return path;
    }
    #[cfg(target_os = "linux")]
    {
        use std::os::fd::AsRawFd;
        PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = folder;
        path
    }
}
