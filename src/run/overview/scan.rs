//! From the lines of a log to an overview.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use serde::Deserialize;

use super::file::checksum;
use super::{Evaluation, Overview};

/// So many bytes before the end of what is covered are remembered by their checksum.
const MARK: u64 = 256;
/// The log is read in pieces of this size.
const PIECE: usize = 1 << 20;

/// What an overview wants of a step. Other keys of the line are passed over without being read.
#[derive(Deserialize)]
struct Step {
    step: u64,
    tokens: u64,
    loss: Option<f64>,
    seconds: f64,
}

#[derive(Deserialize)]
struct Eval {
    step: u64,
    tokens: u64,
    seconds: f64,
    val_loss: Option<f64>,
    bits_per_byte: Option<f64>,
}

#[derive(Deserialize)]
struct Border {
    step: u64,
}

/// True where anything was added.
pub fn read_on(overview: &mut Overview, path: &Path) -> std::io::Result<bool> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let was = !overview.is_empty();
            *overview = Overview::default();
            return Ok(was);
        }
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    if overview.covered > length || mark(&mut file, overview.covered)? != overview.mark {
        *overview = Overview::default();
    }
    if overview.covered == length {
        return Ok(false);
    }
    let from = overview.covered;
    let mut borders = borders(&mut file, from)?;
    // What is there already may be taken back.
    if borders.iter().any(|(_, step)| *step < last(overview)) && from > 0 {
        *overview = Overview::default();
        borders = self::borders(&mut file, 0)?;
    }
    // A line survives when no border after it lies below its step.
    let mut limits: Vec<(u64, u64)> = Vec::with_capacity(borders.len());
    let mut least = u64::MAX;
    for (at, step) in borders.into_iter().rev() {
        least = least.min(step);
        limits.push((at, least));
    }
    // The next border first again.
    let from = overview.covered;
    let end = lines(&mut file, from, &mut |at, line| {
        while limits.last().is_some_and(|(border, _)| *border < at) {
            limits.pop();
        }
        let limit = limits.last().map_or(u64::MAX, |(_, step)| *step);
        take(overview, line, limit);
    })?;
    overview.covered = end;
    overview.mark = mark(&mut file, end)?;
    Ok(end > from)
}

fn last(overview: &Overview) -> u64 {
    let evaluated = overview.evaluations.last().map_or(0, |e| e.step);
    overview.last_step().max(evaluated)
}

/// Adds a line whose step is at most `limit`. Others, and lines that cannot be read, are passed over.
fn take(overview: &mut Overview, line: &[u8], limit: u64) {
    if line.starts_with(br#"{"event":"step","#) {
        if let Ok(step) = serde_json::from_slice::<Step>(line)
            && step.step <= limit
        {
            let loss = step.loss.unwrap_or(f64::NAN);
            overview.add_step(step.step, step.tokens, step.seconds, loss);
        }
    } else if line.starts_with(br#"{"event":"eval","#)
        && let Ok(eval) = serde_json::from_slice::<Eval>(line)
        && eval.step <= limit
    {
        overview.add_evaluation(Evaluation {
            step: eval.step,
            tokens: eval.tokens,
            seconds: eval.seconds,
            val_loss: eval.val_loss.unwrap_or(f64::NAN),
            bits_per_byte: eval.bits_per_byte.unwrap_or(f64::NAN),
        });
    }
}

/// Where the lines lie that take others back, and to which step.
fn borders(file: &mut File, from: u64) -> std::io::Result<Vec<(u64, u64)>> {
    let mut found = Vec::new();
    lines(file, from, &mut |at, line| {
        let border = line.starts_with(br#"{"event":"resumed""#)
            || line.starts_with(br#"{"event":"rewound""#);
        if border && let Ok(border) = serde_json::from_slice::<Border>(line) {
            found.push((at, border.step));
        }
    })?;
    Ok(found)
}

/// Calls `each` with the place and the bytes of every whole line from `from` on. Returns where the last one ends.
fn lines(file: &mut File, from: u64, each: &mut dyn FnMut(u64, &[u8])) -> std::io::Result<u64> {
    file.seek(SeekFrom::Start(from))?;
    let mut buffer: Vec<u8> = Vec::new();
    let mut at = from;
    loop {
        let kept = buffer.len();
        buffer.resize(kept + PIECE, 0);
        let count = file.read(&mut buffer[kept..])?;
        buffer.truncate(kept + count);
        if count == 0 {
            return Ok(at);
        }
        let mut start = 0;
        while let Some(length) = memchr::memchr(b'\n', &buffer[start..]) {
            each(at + start as u64, &buffer[start..start + length]);
            start += length + 1;
        }
        at += start as u64;
        buffer.drain(..start);
    }
}

/// Of the bytes before `end`.
fn mark(file: &mut File, end: u64) -> std::io::Result<u64> {
    if end == 0 {
        return Ok(0);
    }
    let from = end.saturating_sub(MARK);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = vec![0; (end - from) as usize];
    file.read_exact(&mut bytes)?;
    Ok(checksum(&bytes))
}
