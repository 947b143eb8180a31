//! The losses of a run, read as they are written: each look reads only what has come since the last one.

use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use super::super::{Record, RunFile, log};

/// Losses over steps of one run.
#[derive(Debug, Clone, Default)]
pub struct Curve {
    path: PathBuf,
    /// Bytes of the log that have been read.
    read: u64,
    /// Step and training loss. Only what is a number.
    pub train: Vec<(u64, f64)>,
    /// Step and validation loss.
    pub validation: Vec<(u64, f64)>,
}

impl Curve {
    /// Of the run in `dir`, which need not be there yet.
    pub fn new(dir: &std::path::Path) -> Self {
        Self {
            path: dir.join(RunFile::Metrics.name()),
            ..Self::default()
        }
    }

    /// Takes what was written since; whether there was anything. A log that became shorter is of a run that began anew.
    pub fn refresh(&mut self) -> bool {
        let mut bytes = Vec::new();
        let mut take = || -> std::io::Result<bool> {
            let mut file = std::fs::File::open(&self.path)?;
            let length = file.metadata()?.len();
            let anew = length < self.read;
            if anew {
                self.read = 0;
            }
            file.seek(SeekFrom::Start(self.read))?;
            file.take(length - self.read).read_to_end(&mut bytes)?;
            Ok(anew)
        };
        // A run that is not there has no curve yet.
        let Ok(anew) = take() else { return false };
        if anew {
            self.train.clear();
            self.validation.clear();
        }
        // The last line may not be whole yet.
        let whole = bytes.iter().rposition(|byte| *byte == b'\n');
        let whole = whole.map_or(0, |at| at + 1);
        self.read += whole as u64;
        for record in bytes[..whole]
            .split(|byte| *byte == b'\n')
            .filter_map(log::parse)
        {
            self.note(record);
        }
        anew || whole > 0
    }

    fn note(&mut self, record: Record) {
        match record {
            Record::Step(report) if report.loss.is_finite() => {
                self.train.push((report.step, report.loss));
            }
            Record::Eval(report) if report.val_loss.is_finite() => {
                self.validation.retain(|(step, _)| *step < report.step);
                self.validation.push((report.step, report.val_loss));
            }
            Record::Resumed { step } => {
                self.train.retain(|(at, _)| *at <= step);
                self.validation.retain(|(at, _)| *at <= step);
            }
            Record::Rewound(rewound) => {
                self.train.retain(|(at, _)| *at <= rewound.step);
                self.validation.retain(|(at, _)| *at <= rewound.step);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn step(step: u64) -> String {
        format!(
            r#"{{"event":"step","step":{step},"epoch":0.0,"tokens":1,"loss":{step}.5,"learning_rate":0.1,"grad_norm":1.0,
               "tokens_per_second":1.0,"ms":1.0,"forward_ms":1.0,"backward_ms":1.0,"optimizer_ms":1.0,"seconds":1.0}}"#
        )
        .replace('\n', "")
    }

    #[test]
    fn each_look_takes_what_is_new_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mut curve = Curve::new(dir.path());
        assert!(!curve.refresh());
        let path = dir.path().join("metrics.jsonl");
        let mut file = std::fs::File::create(&path).unwrap();
        let lines = format!("{}\n{}\n{}", step(1), step(2), &step(3)[..20]);
        file.write_all(lines.as_bytes()).unwrap();
        assert!(curve.refresh());
        assert_eq!(curve.train, [(1, 1.5), (2, 2.5)]);
        assert!(!curve.refresh());
        let rest = format!(
            "{}\n{}\n",
            &step(3)[20..],
            r#"{"event":"resumed","step":2}"#
        );
        file.write_all(rest.as_bytes()).unwrap();
        assert!(curve.refresh());
        assert_eq!(curve.train, [(1, 1.5), (2, 2.5)]);
        file.write_all(format!("{}\n", step(3)).as_bytes()).unwrap();
        curve.refresh();
        assert_eq!(curve.train.len(), 3);
        // Begun anew.
        std::fs::write(&path, format!("{}\n", step(1))).unwrap();
        assert!(curve.refresh());
        assert_eq!(curve.train, [(1, 1.5)]);
    }
}
