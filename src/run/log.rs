//! Append-only files of one JSON object a line.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{Record, RunError};
use crate::protocol::StepReport;

/// Lines are kept back up to this many bytes while the disk refuses them; then new ones are dropped.
const LARGEST_BACKLOG: usize = 8 << 20;

/// The writing end. A line that the disk refuses is kept and tried again at the next flush.
#[derive(Debug)]
pub struct JsonLog {
    path: PathBuf,
    file: File,
    pending: Vec<u8>,
}

impl JsonLog {
    /// Opens for appending. A torn last line, left by a process that was killed, is closed with a line break,
    /// so that what follows stands on its own.
    pub fn open(path: PathBuf) -> Result<Self, RunError> {
        let open = || -> std::io::Result<File> {
            let mut file = OpenOptions::new()
                .read(true)
                .append(true)
                .create(true)
                .open(&path)?;
            if file.metadata()?.len() > 0 {
                file.seek(SeekFrom::End(-1))?;
                let mut last = [0];
                file.read_exact(&mut last)?;
                if last != *b"\n" {
                    file.write_all(b"\n")?;
                }
            }
            Ok(file)
        };
        let file = open().map_err(RunError::io("open", &path))?;
        Ok(Self {
            path,
            file,
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
        result.map_err(RunError::io("write", &self.path))
    }

    /// Flushes, and waits until the disk has the lines.
    pub fn sync(&mut self) -> Result<(), RunError> {
        self.flush()?;
        self.file
            .sync_data()
            .map_err(RunError::io("sync", &self.path))
    }
}

/// What a log holds once every `resumed` line has taken back what it takes back.
#[derive(Debug, Default)]
pub struct Lines {
    pub records: Vec<Record>,
    /// Lines that could not be read: torn by a kill, or of a kind this version does not know.
    pub skipped: usize,
}

/// Reads a log. A file that is not there is an empty one.
pub fn read(path: &Path) -> Result<Lines, RunError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Lines::default()),
        Err(error) => return Err(RunError::io("read", path)(error)),
    };
    let mut lines = Lines::default();
    for line in bytes.split(|byte| *byte == b'\n') {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        match parse(line) {
            Some(Record::Resumed { step }) => {
                lines.records.retain(|record| !taken_back(record, step));
                lines.records.push(Record::Resumed { step });
            }
            Some(record) => lines.records.push(record),
            None => lines.skipped += 1,
        }
    }
    Ok(lines)
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

/// Whether going on from `step` makes this record one of a future that did not happen. Ends always are: the
/// run went on.
fn taken_back(record: &Record, step: u64) -> bool {
    match record {
        Record::Step(report) => report.step > step,
        Record::Eval(report) => report.step > step,
        Record::Sample(sample) => sample.step > step,
        Record::Checkpoint(info) => info.step > step,
        Record::Edit(edit) => edit.step > step,
        Record::Finished(_) | Record::Failed { .. } | Record::Diverged { .. } => true,
        Record::Started(_) | Record::Resumed { .. } | Record::Notice { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Edit, NoticeLevel};
    use crate::run::EditRecord;

    fn edit(step: u64) -> Record {
        Record::Edit(EditRecord {
            step,
            edit: Edit::LearningRateMultiplier(1.0),
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

    #[test]
    fn no_file_is_an_empty_log() {
        let lines = read(Path::new("/nonexistent/metrics.jsonl")).unwrap();
        assert!(lines.records.is_empty() && lines.skipped == 0);
    }
}
