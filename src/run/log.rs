//! Append-only files of one JSON object a line.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::record::Rewound;
use super::{Record, RunError};
use crate::protocol::{SampleRecord, StepReport};

/// Lines are kept back up to this many bytes while the disk refuses them; then new ones are dropped.
const LARGEST_BACKLOG: usize = 8 << 20;

/// The writing end. A line that the disk refuses is kept and tried again at the next flush.
#[derive(Debug)]
pub struct JsonLog {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines that the system has.
    written: u64,
    pending: Vec<u8>,
}

impl JsonLog {
    /// Opens for appending. A torn last line, left by a process that was killed, is closed with a line break,
    /// so that what follows stands on its own.
    pub fn open(path: PathBuf) -> Result<Self, RunError> {
        let open = || -> std::io::Result<(File, u64)> {
            let mut file = OpenOptions::new()
                .read(true)
                .append(true)
                .create(true)
                .open(&path)?;
            let mut length = file.metadata()?.len();
            if length > 0 {
                file.seek(SeekFrom::End(-1))?;
                let mut last = [0];
                file.read_exact(&mut last)?;
                if last != *b"\n" {
                    file.write_all(b"\n")?;
                    length += 1;
                }
            }
            Ok((file, length))
        };
        let (file, written) = open().map_err(RunError::io("open", &path))?;
        Ok(Self {
            path,
            file,
            written,
            pending: Vec::new(),
        })
    }

    pub fn push(&mut self, record: &Record) {
        if self.pending.len() < LARGEST_BACKLOG {
            self.pending.extend_from_slice(record.to_line().as_bytes());
            self.pending.push(b'\n');
        }
    }

    /// Hands the lines to the system; they then survive the end of this process.
    pub fn flush(&mut self) -> Result<(), RunError> {
        let mut written = 0;
        let result = loop {
            if written == self.pending.len() {
                break Ok(());
            }
            match self.file.write(&self.pending[written..]) {
                Ok(0) => break Err(std::io::Error::from(std::io::ErrorKind::WriteZero)),
                Ok(count) => written += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.pending.drain(..written);
        self.written += written as u64;
        result.map_err(RunError::io("write", &self.path))
    }

    /// Bytes that a reader finds in the file, so far as this process wrote them.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Flushes, and waits until the disk has the lines.
    pub fn sync(&mut self) -> Result<(), RunError> {
        self.flush()?;
        self.file
            .sync_data()
            .map_err(RunError::io("sync", &self.path))
    }
}

/// What was trained after a checkpoint that the run then went back to.
#[derive(Debug, Clone)]
pub struct LeftBranch {
    pub rewound: Rewound,
    pub records: Vec<Record>,
}

/// What a log holds once every `resumed` line has taken back what it takes back, and what was done again at the very step of one
/// has taken the place of what was there.
#[derive(Debug, Default)]
pub struct Lines {
    pub records: Vec<Record>,
    /// Oldest first.
    pub left: Vec<LeftBranch>,
    /// Lines that could not be read: torn by a kill, or of a kind this version does not know.
    pub skipped: usize,
}

/// Reads a log. A file that is not there is an empty one.
pub fn read(path: &Path) -> Result<Lines, RunError> {
    read_up_to(path, u64::MAX)
}

/// As [`read`], of the first `limit` bytes.
pub fn read_up_to(path: &Path, limit: u64) -> Result<Lines, RunError> {
    let bytes = read_bytes(path, limit)?;
    let mut reader = Reader::default();
    for line in bytes.split(|byte| *byte == b'\n') {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match parse(line) {
            Some(record) => reader.take(record),
            None => reader.lines.skipped += 1,
        }
    }
    Ok(reader.lines)
}

/// Every record of a log as it was written, taken back or not. A file that is not there is an empty one.
pub(super) fn read_raw(path: &Path) -> Result<Vec<Record>, RunError> {
    let bytes = read_bytes(path, u64::MAX)?;
    let lines = bytes.split(|byte| *byte == b'\n');
    Ok(lines.filter_map(parse).collect())
}

/// The first `limit` bytes of what is there now: a device in the place of a file may never end.
fn read_bytes(path: &Path, limit: u64) -> Result<Vec<u8>, RunError> {
    let read = || -> std::io::Result<Vec<u8>> {
        let file = File::open(path)?;
        let length = file.metadata()?.len().min(limit);
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(RunError::io("read", path)),
    }
}

/// Takes the records of a log in, one after the other.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub lines: Lines,
    /// The last border, as its step and how many records lie before it.
    border: Option<(u64, usize)>,
}

impl Reader {
    pub fn take(&mut self, record: Record) {
        let lines = &mut self.lines;
        if let Some(step) = border(&record) {
            if let Record::Rewound(rewound) = &record {
                let left = |record: &&Record| taken_back(record, step);
                lines.left.push(LeftBranch {
                    rewound: rewound.clone(),
                    records: lines.records.iter().filter(left).cloned().collect(),
                });
            }
            lines.records.retain(|record| !taken_back(record, step));
            self.border = Some((step, lines.records.len()));
        } else if let Some((step, before)) = &mut self.border
            && let Some(at) = replaced(&lines.records[..*before], &record, *step)
        {
            lines.records.remove(at);
            *before -= 1;
        }
        lines.records.push(record);
    }
}

/// The step that a record takes the run back to, if it is one that does.
pub(super) fn border(record: &Record) -> Option<u64> {
    match record {
        Record::Resumed { step } => Some(*step),
        Record::Rewound(rewound) => Some(rewound.step),
        _ => None,
    }
}

pub fn parse(line: &[u8]) -> Option<Record> {
    // Nearly every line is a step; reading its struct directly is several times faster than through the tag.
    if line.starts_with(br#"{"event":"step","#) {
        return serde_json::from_slice::<StepReport>(line)
            .ok()
            .map(Record::Step);
    }
    serde_json::from_slice(line).ok()
}

/// Which of the records before a resume from `step` is done again by this one. A run that was stopped in the middle of the
/// evaluation or the samples of a step does them when it goes on, each time it goes on from there.
fn replaced(before: &[Record], record: &Record, step: u64) -> Option<usize> {
    let now = match record {
        Record::Eval(report) => report.step,
        Record::Sample(sample) => sample.step,
        _ => return None,
    };
    if now != step {
        return None;
    }
    let key = |sample: &SampleRecord| (sample.step, sample.prompt_index, sample.prompt.clone());
    let same = |old: &Record| match (old, record) {
        (Record::Eval(old), Record::Eval(_)) => old.step == step,
        (Record::Sample(old), Record::Sample(new)) => key(old) == key(new),
        _ => false,
    };
    let earlier = |old: &Record| matches!(old, Record::Step(report) if report.step < step);
    let at = before.iter().rposition(|old| same(old) || earlier(old))?;
    same(&before[at]).then_some(at)
}

/// Whether going on from `step` makes this record one of a future that did not happen. Ends always are: the
/// run went on.
pub(super) fn taken_back(record: &Record, step: u64) -> bool {
    match record {
        Record::Step(report) => report.step > step,
        Record::Eval(report) => report.step > step,
        Record::Sample(sample) => sample.step > step,
        Record::Checkpoint(info) => info.step > step,
        Record::Edit(edit) => edit.step > step,
        Record::Finished(_) | Record::Failed { .. } | Record::Diverged { .. } => true,
        Record::Spike(spike) => spike.step > step,
        Record::Started(_)
        | Record::Resumed { .. }
        | Record::Rewound(_)
        | Record::Notice { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Edit, EditAuthor, NoticeLevel};
    use crate::run::EditRecord;

    fn edit(step: u64) -> Record {
        Record::Edit(EditRecord {
            step,
            edit: Edit::LearningRateMultiplier(1.0),
            undo: None,
            by: EditAuthor::User,
        })
    }

    fn steps(lines: &Lines) -> Vec<u64> {
        lines
            .records
            .iter()
            .filter_map(|record| match record {
                Record::Edit(edit) => Some(edit.step),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_torn_line_is_skipped_and_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, format!("{}\n{{\"event\":\"ed", edit(1).to_line())).unwrap();
        assert_eq!(steps(&read(&path).unwrap()), [1]);
        let mut log = JsonLog::open(path.clone()).unwrap();
        log.push(&edit(2));
        log.sync().unwrap();
        let lines = read(&path).unwrap();
        assert_eq!((steps(&lines), lines.skipped), (vec![1, 2], 1));
    }

    #[test]
    fn resuming_takes_back_later_steps_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = JsonLog::open(path.clone()).unwrap();
        for step in 1..=5 {
            log.push(&edit(step));
        }
        log.push(&Record::Notice {
            level: NoticeLevel::Info,
            message: "kept".into(),
        });
        log.push(&edit(6));
        log.push(&Record::Failed {
            message: "out of luck".into(),
        });
        log.push(&Record::Resumed { step: 3 });
        log.push(&edit(4));
        log.sync().unwrap();
        let lines = read(&path).unwrap();
        assert_eq!(steps(&lines), [1, 2, 3, 4]);
        assert!(
            !lines
                .records
                .iter()
                .any(|r| matches!(r, Record::Failed { .. }))
        );
        assert!(
            lines
                .records
                .iter()
                .any(|r| matches!(r, Record::Notice { .. }))
        );
    }

    /// A kill after the evaluation of step 3, before a checkpoint knew of it: it comes again, and again.
    #[test]
    fn what_is_done_again_replaces_what_was_there() {
        let sample = |step: u64, prompt: &str, text: &str| {
            Record::Sample(SampleRecord {
                step,
                prompt_index: 0,
                prompt: prompt.into(),
                text: text.into(),
                temperature: 1.0,
                top_k: 0,
                top_p: 1.0,
                tokens_per_second: 1.0,
                complete: true,
            })
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = JsonLog::open(path.clone()).unwrap();
        log.push(&sample(2, "a", "of step 2"));
        log.push(&sample(3, "a", "cut sh"));
        log.push(&sample(3, "asked for", "by hand"));
        for text in ["cut short", "whole"] {
            log.push(&Record::Resumed { step: 3 });
            log.push(&sample(3, "a", text));
        }
        // Not beside a border: two of one step stay two.
        log.push(&sample(4, "a", "once"));
        log.push(&sample(4, "a", "twice"));
        log.sync().unwrap();
        let records = read(&path).unwrap().records;
        let texts: Vec<&str> = records
            .iter()
            .filter_map(|record| match record {
                Record::Sample(sample) => Some(sample.text.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(texts, ["of step 2", "by hand", "whole", "once", "twice"]);
    }

    #[test]
    fn no_file_is_an_empty_log() {
        let lines = read(Path::new("/nonexistent/metrics.jsonl")).unwrap();
        assert!(lines.records.is_empty() && lines.skipped == 0);
    }
}
