//! `corpus.path`: which files it means, and their text.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use super::error::CorpusError;
use super::gather::{Gather, LARGE, Reading, binary_hint};
use super::mapped::{MappedFile, MappedText, first_bad_byte};
use super::{Corpus, Text};
use crate::progress::{Progress, stopped};

/// Bytes at the start of a file that decide whether a folder's file is text.
const PROBE: usize = 8192;

/// One source, in the order in which they are joined.
enum Source {
    StandardInput,
    File(PathBuf),
}

/// Reads and joins everything that `paths` means.
pub(super) fn open(
    paths: &[PathBuf],
    lossy: bool,
    progress: &mut Progress<'_>,
) -> Result<Corpus, CorpusError> {
    let mut notices = Vec::new();
    let sources = whole(sources(paths, &mut notices))?;
    let name = name(paths, &sources);
    let text = match &sources[..] {
        [Source::File(path)] if is_large(path) => map(path, lossy, progress)?,
        _ => None,
    };
    let text = match text {
        Some(text) => text,
        None => {
            let mut gathered = Gather::default();
            let total = total(&sources);
            let mut reading = Reading {
                lossy,
                total,
                progress,
            };
            for source in &sources {
                add(source, &mut gathered, &mut reading)?;
            }
            if gathered.replaced > 0 {
                notices.push(format!(
                    "{} places of the corpus were not UTF-8 and were replaced by U+FFFD (corpus.lossy = true)",
                    gathered.replaced
                ));
            }
            gathered.finish()?
        }
    };
    if text.as_str().is_empty() {
        return Err(match &sources[..] {
            [Source::StandardInput] => CorpusError::EmptyInput,
            _ => CorpusError::Empty { source_name: name },
        });
    }
    Ok(Corpus {
        name,
        text,
        source_entropy: None,
        notices,
    })
}

/// As [`super::known_bytes`]. A line break may come between two files.
pub(super) fn known_bytes(paths: &[PathBuf]) -> Result<Option<u64>, CorpusError> {
    let sources = whole(sources(paths, &mut Vec::new()))?;
    for source in &sources {
        // A pipe that is opened and left breaks its writer, or waits for one.
        if let Source::File(path) = source
            && fs::metadata(path).is_ok_and(|data| data.is_file())
        {
            File::open(path).map_err(|error| unreadable(path, error))?;
        }
    }
    let breaks = sources.len().saturating_sub(1) as u64;
    Ok(total(&sources).map(|bytes| bytes + breaks))
}

/// What is wrong with the sources, as far as their names and the first bytes of the files tell.
pub(super) fn problems(paths: &[PathBuf], lossy: bool) -> Vec<CorpusError> {
    let (sources, mut problems) = sources(paths, &mut Vec::new());
    for source in &sources {
        // What is read from a pipe is gone.
        let Source::File(path) = source else {
            continue;
        };
        if fs::metadata(path).is_ok_and(|data| !data.is_file()) {
            continue;
        }
        let start = match probe(path) {
            Ok(start) => start,
            Err(error) => {
                problems.push(error);
                continue;
            }
        };
        let source_name = path.display().to_string();
        if let Some(position) = start.iter().position(|&byte| byte == 0) {
            problems.push(CorpusError::Binary {
                source_name,
                position: position as u64,
                hint: binary_hint(&start),
            });
        } else if let Some(position) = bad_byte(&start).filter(|_| !lossy) {
            problems.push(CorpusError::NotUtf8 {
                source_name,
                position: position as u64,
            });
        }
    }
    problems
}

/// The sources, or else the first thing that is wrong with them.
fn whole<T>((sources, problems): (Vec<T>, Vec<CorpusError>)) -> Result<Vec<T>, CorpusError> {
    match problems.into_iter().next() {
        Some(problem) => Err(problem),
        None => Ok(sources),
    }
}

fn add(
    source: &Source,
    gathered: &mut Gather,
    reading: &mut Reading<'_, '_>,
) -> Result<(), CorpusError> {
    match source {
        // On the screens its keys would go into the text.
        Source::StandardInput if io::stdin().is_terminal() => Err(CorpusError::Keyboard),
        Source::StandardInput => gathered.add("standard input", io::stdin().lock(), reading),
        Source::File(path) => {
            let file = File::open(path).map_err(|error| unreadable(path, error))?;
            gathered.add(&path.display().to_string(), file, reading)
        }
    }
}

fn unreadable(path: &Path, error: io::Error) -> CorpusError {
    let path = path.to_path_buf();
    CorpusError::Unreadable { path, error }
}

fn is_large(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.is_file() && data.len() >= LARGE)
}

fn total(sources: &[Source]) -> Option<u64> {
    sources
        .iter()
        .map(|source| match source {
            Source::StandardInput => None,
            Source::File(path) => {
                let data = fs::metadata(path).ok()?;
                data.is_file().then_some(data.len())
            }
        })
        .sum()
}

/// Maps a large file; `None` when it must be read instead, because something in it is to be replaced.
fn map(path: &Path, lossy: bool, progress: &mut Progress<'_>) -> Result<Option<Text>, CorpusError> {
    let file = File::open(path).map_err(|error| unreadable(path, error))?;
    let mapped = MappedFile::open(&file).map_err(|error| unreadable(path, error))?;
    let start = if mapped.starts_with(b"\xEF\xBB\xBF") {
        3
    } else {
        0
    };
    let end = mapped.len();
    let source_name = path.display().to_string();
    let mut zero = None;
    let mut checked = 0;
    let bad = first_bad_byte(&mapped[start..], |at| {
        let part = &mapped[start + checked..start + at];
        let found = part.iter().position(|&byte| byte == 0);
        zero = zero.or(found.map(|found| start + checked + found));
        checked = at;
        mapped.release();
        zero.is_none() && !stopped(progress, "reading", at as u64, end as u64)
    });
    if let Ok(Some(bad)) = bad {
        // A bad byte before the first report: zeros near it tell a binary file from a text with a slip.
        let near = &mapped[start + checked..end.min(start + bad + PROBE)];
        let found = near.iter().position(|&byte| byte == 0);
        zero = zero.or(found.map(|found| start + checked + found));
    }
    if let Some(position) = zero {
        return Err(CorpusError::Binary {
            source_name,
            position: position as u64,
            hint: binary_hint(&mapped[..2]),
        });
    }
    match bad {
        Err(_) => Err(CorpusError::Stopped),
        Ok(Some(_)) if lossy => Ok(None),
        Ok(Some(position)) => Err(CorpusError::NotUtf8 {
            source_name,
            position: (start + position) as u64,
        }),
        Ok(None) => Ok(MappedText::new_checked(mapped, start..end).map(Text::Mapped)),
    }
}

fn name(paths: &[PathBuf], sources: &[Source]) -> String {
    let last = |path: &Path| {
        let last = path.file_name().unwrap_or(path.as_os_str());
        last.to_string_lossy().into_owned()
    };
    match (paths, sources) {
        (_, [Source::StandardInput]) => "standard input".to_string(),
        (_, [Source::File(path)]) => last(path),
        ([path], _) if path.is_dir() => last(path),
        _ => format!("{} files", sources.len()),
    }
}

/// Those that are there, and what is wrong with the rest.
fn sources(paths: &[PathBuf], notices: &mut Vec<String>) -> (Vec<Source>, Vec<CorpusError>) {
    let mut sources = Vec::new();
    let mut problems = Vec::new();
    let mut standard_input = false;
    for path in paths {
        if path == Path::new("-") {
            if !standard_input {
                sources.push(Source::StandardInput);
            }
            standard_input = true;
            continue;
        }
        let files = match fs::metadata(path) {
            Ok(data) if data.is_dir() => folder(path, notices),
            Ok(_) => Ok(vec![path.clone()]),
            Err(error) if error.kind() == io::ErrorKind::NotFound => matching(path),
            Err(error) => Err(unreadable(path, error)),
        };
        match files {
            Ok(files) => sources.extend(files.into_iter().map(Source::File)),
            Err(problem) => problems.push(problem),
        }
    }
    (sources, problems)
}

/// The files that a glob matches, sorted.
fn matching(path: &Path) -> Result<Vec<PathBuf>, CorpusError> {
    let missing = || CorpusError::Missing {
        path: path.to_path_buf(),
    };
    let pattern = path.to_str().ok_or_else(missing)?;
    if !pattern.contains(['*', '?', '[']) {
        return Err(missing());
    }
    let matches = glob::glob(pattern).map_err(|error| CorpusError::BadGlob {
        pattern: pattern.to_string(),
        problem: error.msg.to_string(),
    })?;
    let mut files = Vec::new();
    for found in matches {
        let found = found.map_err(|error| {
            let path = error.path().to_path_buf();
            unreadable(&path, error.into())
        })?;
        if !found.is_dir() {
            files.push(found);
        }
    }
    if files.is_empty() {
        let pattern = pattern.to_string();
        return Err(CorpusError::NoMatch { pattern });
    }
    Ok(files)
}

/// All text files below `folder`, sorted; hidden, empty and binary ones are skipped.
fn folder(folder: &Path, notices: &mut Vec<String>) -> Result<Vec<PathBuf>, CorpusError> {
    let mut found = Vec::new();
    walk(folder, &mut found)?;
    found.sort();
    let mut files = Vec::with_capacity(found.len());
    let mut skipped = Vec::new();
    for path in found {
        let start = probe(&path)?;
        // Text that is not UTF-8 is not passed over: that is told, or replaced where the user says so.
        if start.is_empty() || start.contains(&0) {
            skipped.push(path);
        } else {
            files.push(path);
        }
    }
    if files.is_empty() {
        let path = folder.to_path_buf();
        return Err(CorpusError::NoText { path });
    }
    if !skipped.is_empty() {
        const NAMED: usize = 3;
        let names: Vec<String> = skipped
            .iter()
            .take(NAMED)
            .map(|path| path.display().to_string())
            .collect();
        let more = match skipped.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        notices.push(format!(
            "{}: skipped, because empty or not text: {}{more}",
            folder.display(),
            names.join(", ")
        ));
    }
    Ok(files)
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), CorpusError> {
    let entries = fs::read_dir(folder).map_err(|error| unreadable(folder, error))?;
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(folder, error))?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        // Links to folders are not followed, so that a loop of them does no harm.
        let kind = entry
            .file_type()
            .map_err(|error| unreadable(&path, error))?;
        if kind.is_dir() {
            walk(&path, found)?;
        } else if path.is_file() {
            found.push(path);
        }
    }
    Ok(())
}

/// The first bytes of a file.
fn probe(path: &Path) -> Result<Vec<u8>, CorpusError> {
    let mut start = Vec::with_capacity(PROBE);
    File::open(path)
        .and_then(|file| file.take(PROBE as u64).read_to_end(&mut start))
        .map_err(|error| unreadable(path, error))?;
    Ok(start)
}

/// Where the start of a file stops being UTF-8; a character that is cut off by the end of what was read is none.
fn bad_byte(start: &[u8]) -> Option<usize> {
    let error = std::str::from_utf8(start).err()?;
    let cut = error.error_len().is_none() && start.len() == PROBE;
    (!cut).then_some(error.valid_up_to())
}
