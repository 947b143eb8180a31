//! The windows of the next batch, read by a thread of its own while a step computes.
//!
//! A text that is in memory costs a microsecond or two to gather from. A memory-mapped text that is larger than memory, on a slow
//! disk or just after a start does not: every window of a batch may wait for the disk. So the trainer says which windows the
//! batch after this one has, and finds them read. What was prepared is known by its places in the text: where a run went
//! elsewhere meanwhile (a rewind, another batch size), it is dropped and the batch is read as if nothing had been prepared.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::data::TokenIds;

/// Windows of a text and, one place on, what should follow each token; row by row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Rows {
    pub tokens: Vec<i32>,
    pub targets: Vec<i32>,
}

/// Reads the windows of `length` tokens that begin at `starts`.
pub(super) fn read_rows(ids: &TokenIds, starts: &[usize], length: usize) -> Rows {
    let count = starts.len() * length;
    let mut rows = Rows {
        tokens: Vec::with_capacity(count),
        targets: Vec::with_capacity(count),
    };
    let mut window = Vec::with_capacity(length + 1);
    for start in starts {
        ids.window(*start, length + 1, &mut window);
        rows.tokens
            .extend(window[..length].iter().map(|id| *id as i32));
        rows.targets.extend(window[1..].iter().map(|id| *id as i32));
    }
    rows
}

/// Which windows: where they begin, and their length.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    starts: Vec<usize>,
    length: usize,
}

/// A thread that reads windows of one text. It ends with this value.
#[derive(Debug)]
pub(super) struct Ahead {
    ids: TokenIds,
    /// None where the system gives no thread: every batch is then read when it is needed.
    thread: Option<Mutex<Thread>>,
}

#[derive(Debug)]
struct Thread {
    wanted: Sender<Wanted>,
    done: Receiver<(Wanted, Rows)>,
    /// Asked for and not taken back yet.
    under_way: usize,
}

impl Ahead {
    pub(super) fn new(ids: TokenIds) -> Self {
        let (wanted, asked) = channel::<Wanted>();
        let (give, done) = channel();
        let text = ids.clone();
        let thread = std::thread::Builder::new()
            .name("batches".to_string())
            .spawn(move || {
                for wanted in asked {
                    let rows = read_rows(&text, &wanted.starts, wanted.length);
                    if give.send((wanted, rows)).is_err() {
                        break;
                    }
                }
            })
            .ok()
            .map(|_| {
                Mutex::new(Thread {
                    wanted,
                    done,
                    under_way: 0,
                })
            });
        Self { ids, thread }
    }

    /// Begins to read these windows; [`Ahead::take`] gives them.
    pub(super) fn prepare(&self, starts: Vec<usize>, length: usize) {
        let Some(Ok(mut thread)) = self.thread.as_ref().map(Mutex::lock) else {
            return;
        };
        if thread.wanted.send(Wanted { starts, length }).is_ok() {
            thread.under_way += 1;
        }
    }

    /// These windows: as they were prepared, or read now.
    pub(super) fn take(&self, starts: &[usize], length: usize) -> Rows {
        self.prepared(starts, length)
            .unwrap_or_else(|| read_rows(&self.ids, starts, length))
    }

    fn prepared(&self, starts: &[usize], length: usize) -> Option<Rows> {
        let mut thread = self.thread.as_ref()?.lock().ok()?;
        let mut found = None;
        // What is under way is waited for even where it is of no use any more, so that no more than one batch is ever held.
        while thread.under_way > 0 {
            let (wanted, rows) = thread.done.recv().ok()?;
            thread.under_way -= 1;
            if wanted.length == length && wanted.starts == starts {
                found = Some(rows);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> TokenIds {
        TokenIds::from_ids(&(0..200).collect::<Vec<u32>>())
    }

    #[test]
    fn what_was_prepared_is_what_would_have_been_read() {
        let ahead = Ahead::new(text());
        for starts in [vec![0, 150, 7], vec![3], vec![191, 191]] {
            ahead.prepare(starts.clone(), 8);
            let prepared = ahead.prepared(&starts, 8).expect("it was prepared");
            assert_eq!(prepared, read_rows(&text(), &starts, 8));
            assert_eq!(prepared.tokens[0], starts[0] as i32);
            assert_eq!(prepared.targets[0], starts[0] as i32 + 1);
        }
    }

    #[test]
    fn other_windows_than_those_prepared_are_read() {
        let ahead = Ahead::new(text());
        ahead.prepare(vec![1, 2], 8);
        assert_eq!(ahead.prepared(&[1, 3], 8), None);
        ahead.prepare(vec![1, 2], 8);
        assert_eq!(ahead.prepared(&[1, 2], 9), None, "another length");
        assert_eq!(ahead.take(&[5], 4), read_rows(&text(), &[5], 4));
        // Two at once, as after a step that was refused: the one that fits is found, and the other is not kept.
        ahead.prepare(vec![9], 4);
        ahead.prepare(vec![10], 4);
        assert!(ahead.prepared(&[9], 4).is_some());
        assert_eq!(ahead.prepared(&[10], 4), None);
    }
}
