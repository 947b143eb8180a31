//! Text collected from any reader: in memory while it is small, in a temporary mapped file when it is not.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::PathBuf;

use super::error::CorpusError;
use super::mapped::{MappedFile, MappedText};
use super::{Text, folders};
use crate::progress::{self, Flow, Progress, Update};

/// Texts from this size on are mapped instead of held in memory.
pub(super) const LARGE: u64 = 64 << 20;
const BLOCK: usize = 1 << 20;

/// How a text is read.
pub(super) struct Reading<'a, 'p> {
    pub(super) lossy: bool,
    /// Bytes expected from all sources together.
    pub(super) total: Option<u64>,
    pub(super) progress: &'a mut Progress<'p>,
}

/// Collects UTF-8.
#[derive(Default)]
pub(super) struct Gather {
    memory: Vec<u8>,
    spool: Option<Spool>,
    len: u64,
    last: Option<u8>,
    /// Places that were not UTF-8 and became U+FFFD.
    pub(super) replaced: u64,
    seen: u64,
}

struct Spool {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Drop for Spool {
    fn drop(&mut self) {
        // A mapping keeps the contents alive on Unix; elsewhere the file is left for the system to clean up.
        let _ = fs::remove_file(&self.path);
    }
}

impl Gather {
    /// Appends all that `reader` gives. A byte order mark at the start is dropped; a line break is put between
    /// two sources when the first does not end in one.
    pub(super) fn add(
        &mut self,
        source_name: &str,
        mut reader: impl Read,
        reading: &mut Reading<'_, '_>,
    ) -> Result<(), CorpusError> {
        let unreadable = |error| CorpusError::Unreadable {
            path: source_name.into(),
            error,
        };
        if self.last.is_some_and(|byte| byte != b'\n') {
            self.push(b"\n")?;
        }
        // `pending` begins at byte `position` of the source.
        let mut pending: Vec<u8> = Vec::with_capacity(BLOCK + 4);
        let mut position = 0u64;
        loop {
            let from = pending.len();
            let read = reader
                .by_ref()
                .take(BLOCK as u64)
                .read_to_end(&mut pending)
                .map_err(unreadable)?;
            if let Some(at) = pending[from..].iter().position(|&byte| byte == 0) {
                return Err(CorpusError::Binary {
                    source_name: source_name.into(),
                    position: position + (from + at) as u64,
                    hint: binary_hint(&pending),
                });
            }
            if position == 0 && pending.starts_with(b"\xEF\xBB\xBF") {
                pending.drain(..3);
                position = 3;
            }
            let taken = self.take(&pending, read == 0, position, source_name, reading.lossy)?;
            pending.drain(..taken);
            position += taken as u64;
            self.seen += read as u64;
            let update = Update {
                what: "reading",
                done: self.seen,
                total: reading.total,
            };
            if (reading.progress)(update) == Flow::Stop {
                return Err(CorpusError::Stopped);
            }
            if read == 0 {
                return Ok(());
            }
        }
    }

    /// Appends what is whole at the front of `pending`; returns how many bytes that were.
    fn take(
        &mut self,
        pending: &[u8],
        at_end: bool,
        position: u64,
        source_name: &str,
        lossy: bool,
    ) -> Result<usize, CorpusError> {
        let mut taken = 0;
        while taken < pending.len() {
            let rest = &pending[taken..];
            let error = match std::str::from_utf8(rest) {
                Ok(_) => {
                    self.push(rest)?;
                    return Ok(pending.len());
                }
                Err(error) => error,
            };
            let good = error.valid_up_to();
            self.push(&rest[..good])?;
            taken += good;
            if error.error_len().is_none() && !at_end {
                return Ok(taken);
            }
            if !lossy {
                return Err(CorpusError::NotUtf8 {
                    source_name: source_name.into(),
                    position: position + taken as u64,
                });
            }
            self.push("\u{FFFD}".as_bytes())?;
            self.replaced += 1;
            taken += error.error_len().unwrap_or(rest.len() - good);
        }
        Ok(taken)
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), CorpusError> {
        let Some(&last) = bytes.last() else {
            return Ok(());
        };
        self.last = Some(last);
        self.len += bytes.len() as u64;
        if self.spool.is_none() && self.len >= LARGE {
            let mut spool = Spool::create()?;
            spool.write(&self.memory)?;
            self.memory = Vec::new();
            self.spool = Some(spool);
        }
        match &mut self.spool {
            Some(spool) => spool.write(bytes),
            None => {
                self.memory.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// The text.
    pub(super) fn finish(self) -> Result<Text, CorpusError> {
        match self.spool {
            Some(spool) => spool.finish(self.len as usize),
            None => String::from_utf8(self.memory)
                .map(Text::Owned)
                .map_err(|error| CorpusError::NotUtf8 {
                    source_name: "the corpus".into(),
                    position: error.utf8_error().valid_up_to() as u64,
                }),
        }
    }
}

/// For sources that write text themselves.
pub(super) struct Writing<'a, 'p> {
    pub(super) gathered: &'a mut Gather,
    pub(super) total: u64,
    pub(super) progress: &'a mut Progress<'p>,
    /// What made a write fail.
    pub(super) error: Option<CorpusError>,
}

impl Write for Writing<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let pushed = self.gathered.push(bytes);
        let done = self.gathered.len;
        let stop = progress::stopped(self.progress, "writing stories", done, self.total);
        let result = match stop {
            true => Err(CorpusError::Stopped),
            false => pushed,
        };
        result.map(|()| bytes.len()).map_err(|error| {
            self.error = Some(error);
            io::ErrorKind::Other.into()
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Spool {
    fn create() -> Result<Self, CorpusError> {
        let folder = folders::cache().unwrap_or_else(std::env::temp_dir);
        let failed = |error| CorpusError::Spool {
            path: folder.clone(),
            error,
        };
        fs::create_dir_all(&folder).map_err(failed)?;
        let stamp = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_nanos());
        let path = folder.join(format!("text-{}-{stamp}.tmp", std::process::id()));
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(failed)?;
        let file = BufWriter::with_capacity(BLOCK, file);
        Ok(Self { path, file })
    }

    fn failed(&self, error: io::Error) -> CorpusError {
        let path = self.path.clone();
        CorpusError::Spool { path, error }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), CorpusError> {
        self.file.write_all(bytes).map_err(|e| self.failed(e))
    }

    fn finish(mut self, len: usize) -> Result<Text, CorpusError> {
        self.file.flush().map_err(|e| self.failed(e))?;
        let mapped = MappedFile::open(self.file.get_ref()).map_err(|e| self.failed(e))?;
        // Everything that was pushed is UTF-8.
        MappedText::new_checked(mapped, 0..len)
            .map(Text::Mapped)
            .ok_or_else(|| self.failed(io::ErrorKind::UnexpectedEof.into()))
    }
}

pub(super) fn binary_hint(start: &[u8]) -> &'static str {
    match start {
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => "; it looks like UTF-16: convert it to UTF-8 first",
        _ => "",
    }
}
