//! Files as memory: the one place where this crate maps files.
//!
//! Mapped pages count towards a process's resident memory as long as they are mapped in, so readers of large
//! files call [`MappedFile::release`] now and then: the pages stay in the system's cache and come back on the next
//! touch.

use std::fs::File;
use std::io;
use std::ops::{Deref, Range};

use memmap2::Mmap;

/// A read-only view of a whole file.
///
/// The file must not be written while it is mapped: a file that shrinks ends the process with SIGBUS, one that
/// changes may give text that is not UTF-8. Corpora are mapped only while they are read in, and only when they are
/// large; the id cache is never written in place.
#[derive(Debug)]
pub(crate) struct MappedFile {
    map: Mmap,
}

impl MappedFile {
    #[allow(unsafe_code)]
    pub(crate) fn open(file: &File) -> io::Result<Self> {
        // SAFETY: the mapping is read-only. That nobody else writes the file meanwhile cannot be ensured for a
        // user's file, only asked for (see above); fireside itself replaces files by renaming, never in place.
        let map = unsafe { Mmap::map(file)? };
        Ok(Self { map })
    }

    /// Lets go of the pages in memory; reading brings them back.
    #[allow(unsafe_code)]
    pub(crate) fn release(&self) {
        #[cfg(unix)]
        {
            // SAFETY: for a shared, read-only mapping of a file, pages that are dropped come back from the same
            // file with the same bytes, so no borrowed byte changes. Refusal does no harm.
            let _ = unsafe {
                self.map
                    .unchecked_advise(memmap2::UncheckedAdvice::DontNeed)
            };
        }
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.map
    }
}

/// A mapped file, or a part of it, that is UTF-8.
#[derive(Debug)]
pub(crate) struct MappedText {
    file: MappedFile,
    range: Range<usize>,
}

impl MappedText {
    /// `file[range]` must have been checked to be UTF-8 by [`first_bad_byte`].
    pub(super) fn new_checked(file: MappedFile, range: Range<usize>) -> Option<Self> {
        (range.start <= range.end && range.end <= file.len()).then_some(Self { file, range })
    }

    #[allow(unsafe_code)]
    pub(super) fn as_str(&self) -> &str {
        let bytes = &self.file[self.range.clone()];
        // SAFETY: `new_checked` is called only with bytes that were checked, and the file does not change while
        // it is mapped (see `MappedFile`). Checking again would read the whole file at every call.
        unsafe { std::str::from_utf8_unchecked(bytes) }
    }

    pub(super) fn release(&self) {
        self.file.release();
    }
}

/// Position of the first byte of `bytes` that is not UTF-8. `between` is called with the position about every 16
/// MiB, to report and release; it ends the check by returning false.
pub(super) fn first_bad_byte(
    bytes: &[u8],
    mut between: impl FnMut(usize) -> bool,
) -> Result<Option<usize>, Interrupted> {
    const STEP: usize = 16 << 20;
    let mut at = 0;
    while at < bytes.len() {
        let end = bytes.len().min(at + STEP);
        match std::str::from_utf8(&bytes[at..end]) {
            Ok(_) => at = end,
            Err(error) => {
                let cut_short = error.error_len().is_none() && end < bytes.len();
                at += error.valid_up_to();
                if !cut_short {
                    return Ok(Some(at));
                }
            }
        }
        if !between(at) {
            return Err(Interrupted);
        }
    }
    Ok(None)
}

/// The caller asked to stop.
#[derive(Debug)]
pub(super) struct Interrupted;
