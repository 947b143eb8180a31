//! A run's curves in a few thousand numbers, so that many runs lie over each other without reading their logs.
//!
//! [`Overview`] holds buckets of neighbouring steps (the smallest, mean and largest training loss, and where on every horizontal
//! axis the bucket ends) and every evaluation. When there are too many buckets, neighbours become one. It is kept in
//! `overview.bin`, says up to which byte of `metrics.jsonl` it goes, and reads on from there: the log is only ever appended to.
//! It is a cache. The log is the truth, and a file that is missing, damaged, of another version or of another log is made again.
//!
//! Lines that a `resumed` or a `rewound` line takes back are left out, as `super::log::read` leaves them out: what was trained
//! beyond the step of any later border. Where such a border lies below what the overview has, it is read from the beginning.

mod file;
mod scan;

use std::path::Path;

use super::{RunError, RunFile};

/// More buckets than this, and neighbours become one: there are then at least half as many.
const MOST_BUCKETS: usize = 4096;
/// More evaluations than this, and every second one goes, the last and the best excepted.
const MOST_EVALUATIONS: usize = 8192;

/// Neighbouring steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// The last of them.
    pub step: u64,
    /// Tokens seen up to there.
    pub tokens: u64,
    /// Seconds of training up to there.
    pub seconds: f64,
    /// Steps whose loss is a number.
    pub count: u32,
    /// Steps whose loss is not.
    pub gaps: u32,
    /// Training losses, nats per token; NaN where there is none.
    pub min: f32,
    pub mean: f64,
    pub max: f32,
}

/// One evaluation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evaluation {
    pub step: u64,
    pub tokens: u64,
    pub seconds: f64,
    /// Nats per token; NaN where it was not a number.
    pub val_loss: f64,
    pub bits_per_byte: f64,
}

/// See the module.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overview {
    /// Oldest first.
    pub buckets: Vec<Bucket>,
    pub evaluations: Vec<Evaluation>,
    /// Steps to a bucket: a power of two. 0 before the first.
    stride: u64,
    /// Bytes of the log that are in it: whole lines.
    covered: u64,
    /// Of the last bytes before `covered`, so that another log is not taken for a longer one.
    mark: u64,
}

impl Overview {
    /// What is known of the run in `dir`: its file, brought up to what the log holds now. Writes the file again where much was
    /// added; where that cannot be, nothing is lost.
    ///
    /// # Errors
    /// I/O errors of the log.
    pub fn of(dir: &Path) -> Result<Self, RunError> {
        let mut overview = file::read(&dir.join(RunFile::Overview.name())).unwrap_or_default();
        let before = overview.covered;
        overview.read_on(dir)?;
        if overview.covered < before || overview.covered - before > WORTH_WRITING {
            overview.save(dir);
        }
        Ok(overview)
    }

    /// Brings the file of the run in `dir` up to its log. Called by the process that writes the log.
    ///
    /// # Errors
    /// I/O errors of the log.
    pub fn renew(dir: &Path) -> Result<(), RunError> {
        let mut overview = file::read(&dir.join(RunFile::Overview.name())).unwrap_or_default();
        let before = overview.covered;
        overview.read_on(dir)?;
        if overview.covered != before {
            overview.save(dir);
        }
        Ok(())
    }

    /// Takes in what was added to the log. True where that was anything.
    ///
    /// # Errors
    /// I/O errors.
    pub fn read_on(&mut self, dir: &Path) -> Result<bool, RunError> {
        let path = dir.join(RunFile::Metrics.name());
        scan::read_on(self, &path).map_err(RunError::io("read", &path))
    }

    fn save(&self, dir: &Path) {
        if let Err(error) = file::write(&dir.join(RunFile::Overview.name()), self) {
            tracing::debug!(%error, "overview not written");
        }
    }

    /// The last step it knows of.
    pub fn last_step(&self) -> u64 {
        self.buckets.last().map_or(0, |bucket| bucket.step)
    }

    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty() && self.evaluations.is_empty()
    }

    /// Bytes of memory.
    pub fn size(&self) -> usize {
        std::mem::size_of::<Self>()
            + self.buckets.capacity() * std::mem::size_of::<Bucket>()
            + self.evaluations.capacity() * std::mem::size_of::<Evaluation>()
    }

    fn add_step(&mut self, step: u64, tokens: u64, seconds: f64, loss: f64) {
        let finite = loss.is_finite();
        let new = Bucket {
            step,
            tokens,
            seconds,
            count: finite.into(),
            gaps: (!finite).into(),
            min: if finite { loss as f32 } else { f32::NAN },
            mean: if finite { loss } else { f64::NAN },
            max: if finite { loss as f32 } else { f32::NAN },
        };
        self.stride = self.stride.max(1);
        match self.buckets.last_mut() {
            Some(last) if same_bucket(last.step, step, self.stride) => *last = joined(*last, new),
            _ => self.buckets.push(new),
        }
        while self.buckets.len() > MOST_BUCKETS {
            self.stride *= 2;
            let stride = self.stride;
            self.buckets.dedup_by(|next, kept| {
                let joins = same_bucket(kept.step, next.step, stride);
                if joins {
                    *kept = joined(*kept, *next);
                }
                joins
            });
        }
    }

    /// The same step evaluated again takes the place of what was there.
    fn add_evaluation(&mut self, evaluation: Evaluation) {
        match self.evaluations.last_mut() {
            Some(last) if last.step == evaluation.step => *last = evaluation,
            _ => self.evaluations.push(evaluation),
        }
        if self.evaluations.len() > MOST_EVALUATIONS {
            let best = self
                .evaluations
                .iter()
                .map(|e| e.val_loss)
                .fold(f64::INFINITY, f64::min);
            let last = self.evaluations.len() - 1;
            let mut at = 0;
            self.evaluations.retain(|evaluation| {
                at += 1;
                at % 2 == 0 || at - 1 == last || evaluation.val_loss == best
            });
        }
    }
}

/// A reader writes the file again when this much of the log was not in it.
const WORTH_WRITING: u64 = 1 << 20;

fn same_bucket(a: u64, b: u64, stride: u64) -> bool {
    a.saturating_sub(1) / stride == b.saturating_sub(1) / stride
}

fn joined(a: Bucket, b: Bucket) -> Bucket {
    let count = a.count.saturating_add(b.count);
    let sum = |bucket: Bucket| match bucket.count {
        0 => 0.0,
        n => bucket.mean * f64::from(n),
    };
    Bucket {
        count,
        gaps: a.gaps.saturating_add(b.gaps),
        // NaN, where one has no number, gives way to the other.
        min: a.min.min(b.min),
        mean: match count {
            0 => f64::NAN,
            n => (sum(a) + sum(b)) / f64::from(n),
        },
        max: a.max.max(b.max),
        ..b
    }
}

#[cfg(test)]
mod tests;
