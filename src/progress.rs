//! How long-running work in [`crate::corpus`], [`crate::tokenizer`] and [`crate::data`] says how far it is,
//! and learns that it should stop.

/// What is being done and how far it is. The unit of `done` is the work's own (mostly bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Update<'a> {
    /// A few words for people: `tokenising`.
    pub what: &'a str,
    pub done: u64,
    /// `None` when it cannot be counted.
    pub total: Option<u64>,
}

/// The listener's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    Continue,
    /// End as soon as possible; the work then returns its `Stopped` error.
    Stop,
}

/// A listener. Called at most a few hundred times for one piece of work, on the thread that asked for it.
pub type Progress<'a> = dyn FnMut(Update<'_>) -> Flow + 'a;

/// The listener that wants to hear nothing: `&mut progress::ignore`.
pub fn ignore(_update: Update<'_>) -> Flow {
    Flow::Continue
}

/// Reports `done` of `total` bytes; true means stop.
pub(crate) fn stopped(progress: &mut Progress<'_>, what: &str, done: u64, total: u64) -> bool {
    let total = Some(total);
    progress(Update { what, done, total }) == Flow::Stop
}
