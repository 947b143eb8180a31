//! The way out of the training thread. Nothing here ever waits for the reader, except the last farewell.
//!
//! Events go into a channel of bounded length. When it is full they gather here, and what gathers is kept
//! small: steps merge into one batch and, past a limit, thin out; progress, norms and schedules are replaced
//! by newer ones; pieces of samples are left out (the whole text still comes). What states a fact about the
//! run's life is never dropped. The metrics log on disk has every step in any case.

use std::collections::VecDeque;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::{Duration, Instant};

use crate::control::Tee;
use crate::protocol::{Event, EventKind, Phase, RunId, StepReport};
use crate::run::Logged;

/// Events that the channel itself holds.
pub const CHANNEL_LENGTH: usize = 256;
/// Time between two batches of steps: 25 a second.
const BATCH_INTERVAL: Duration = Duration::from_millis(40);
/// Steps that gather at most while the reader does not read.
const MOST_STEPS: usize = 1 << 16;
/// Pieces of samples that gather at most.
const MOST_EVENTS_FOR_PIECES: usize = 1 << 12;

/// Whoever watches from another process gets the same events through the tee, which does not wait either.
#[derive(Debug)]
pub struct Outbox {
    sender: SyncSender<Event>,
    run: RunId,
    waiting: VecDeque<Event>,
    /// Steps that wait for the next batch.
    steps: Vec<StepReport>,
    last_batch: Instant,
    tee: Option<Tee>,
}

impl Outbox {
    pub fn new(sender: SyncSender<Event>) -> Self {
        Self {
            sender,
            run: 0,
            waiting: VecDeque::new(),
            steps: Vec::new(),
            last_batch: Instant::now(),
            tee: None,
        }
    }

    /// From now on events of the present run also go there.
    pub fn set_tee(&mut self, tee: Option<Tee>) {
        self.gather_steps();
        self.tee = tee;
    }

    /// The logs of the run are that long, with everything in them that was published so far.
    pub fn logged(&mut self, logged: Logged) {
        if let Some(tee) = &self.tee {
            tee.logged(logged);
        }
    }

    /// The run that the following events belong to.
    pub fn set_run(&mut self, run: RunId) {
        self.gather_steps();
        self.run = run;
    }

    /// Publishes an event behind everything published before it.
    pub fn emit(&mut self, kind: EventKind) {
        self.gather_steps();
        self.enqueue(Event {
            run: self.run,
            kind,
        });
        self.push_out();
    }

    /// Publishes an event of another run than the present one.
    pub fn emit_for(&mut self, run: RunId, kind: EventKind) {
        self.gather_steps();
        self.enqueue(Event { run, kind });
        self.push_out();
    }

    /// Publishes a step with the next batch.
    pub fn step(&mut self, report: StepReport) {
        self.steps.push(report);
        if self.last_batch.elapsed() >= BATCH_INTERVAL {
            self.flush();
        }
    }

    /// Hands over what the reader has room for.
    pub fn flush(&mut self) {
        self.gather_steps();
        self.push_out();
    }

    /// Whether everything has been handed over.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.steps.is_empty()
    }

    /// Hands over everything, waiting for the reader; ends early only when the reader is gone.
    pub fn farewell(mut self) {
        self.gather_steps();
        for event in self.waiting {
            if self.sender.send(event).is_err() {
                return;
            }
        }
    }

    fn gather_steps(&mut self) {
        if self.steps.is_empty() {
            return;
        }
        self.last_batch = Instant::now();
        let steps = std::mem::take(&mut self.steps);
        self.enqueue(Event {
            run: self.run,
            kind: EventKind::Steps(steps),
        });
    }

    fn enqueue(&mut self, event: Event) {
        if let Some(tee) = &self.tee
            && event.run == self.run
        {
            tee.publish(&event);
        }
        if matches!(event.kind, EventKind::SamplePiece { .. })
            && self.waiting.len() >= MOST_EVENTS_FOR_PIECES
        {
            return;
        }
        if let Some(last) = self.waiting.back_mut()
            && last.run == event.run
        {
            match (&mut last.kind, &event.kind) {
                (EventKind::Steps(earlier), EventKind::Steps(later)) => {
                    earlier.extend_from_slice(later);
                    self.thin();
                    return;
                }
                (EventKind::Phase(earlier), EventKind::Phase(later))
                    if replaces(earlier, later) =>
                {
                    *last = event;
                    return;
                }
                _ => {}
            }
        }
        // Of norms and schedules only the latest matters, wherever the earlier one waits.
        if matches!(
            event.kind,
            EventKind::Health { .. } | EventKind::Schedule(_)
        ) {
            self.waiting.retain(|waiting| {
                waiting.run != event.run
                    || std::mem::discriminant(&waiting.kind) != std::mem::discriminant(&event.kind)
            });
        }
        self.waiting.push_back(event);
        self.thin();
    }

    /// Halves the steps that wait once there are too many; what is not a number stays.
    fn thin(&mut self) {
        let count = |event: &Event| match &event.kind {
            EventKind::Steps(steps) => steps.len(),
            _ => 0,
        };
        let total: usize = self.waiting.iter().map(count).sum();
        if total <= MOST_STEPS {
            return;
        }
        for event in &mut self.waiting {
            if let EventKind::Steps(steps) = &mut event.kind {
                let last = steps.len().saturating_sub(1);
                let mut index = 0;
                steps.retain(|report| {
                    let keep = index % 2 == 1 || index == last || !report.loss.is_finite();
                    index += 1;
                    keep
                });
            }
        }
    }

    fn push_out(&mut self) {
        while let Some(event) = self.waiting.pop_front() {
            match self.sender.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Full(event)) => {
                    self.waiting.push_front(event);
                    return;
                }
                Err(TrySendError::Disconnected(_)) => self.waiting.clear(),
            }
        }
    }
}

/// Whether a phase only brings an earlier one up to date.
fn replaces(earlier: &Phase, later: &Phase) -> bool {
    matches!(
        (earlier, later),
        (Phase::Loading { .. }, Phase::Loading { .. })
            | (Phase::Evaluating { .. }, Phase::Evaluating { .. })
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Notice, NoticeLevel};
    use std::sync::mpsc::sync_channel;

    fn report(step: u64, loss: f64) -> StepReport {
        StepReport {
            step,
            epoch: 0.0,
            tokens: step,
            loss,
            learning_rate: 0.1,
            grad_norm: 1.0,
            tokens_per_second: 1.0,
            ms: 1.0,
            forward_ms: 0.5,
            backward_ms: 0.4,
            optimizer_ms: 0.1,
            seconds: 0.0,
        }
    }

    fn notice(message: &str) -> EventKind {
        EventKind::Notice(Notice {
            level: NoticeLevel::Info,
            message: message.into(),
        })
    }

    #[test]
    fn a_reader_that_sleeps_loses_no_fact_and_little_memory() {
        let (sender, receiver) = sync_channel(4);
        let mut outbox = Outbox::new(sender);
        for step in 1..=400_000 {
            let loss = if step == 1234 { f64::NAN } else { 1.0 };
            outbox.step(report(step, loss));
            if step % 10_000 == 0 {
                outbox.emit(notice(&step.to_string()));
            }
            if step % 64 == 0 {
                outbox.flush();
            }
        }
        let waiting: usize = outbox
            .waiting
            .iter()
            .map(|event| match &event.kind {
                EventKind::Steps(steps) => steps.len(),
                _ => 1,
            })
            .sum();
        assert!(waiting <= MOST_STEPS + 100, "{waiting}");
        let reader = std::thread::spawn(move || receiver.into_iter().collect::<Vec<_>>());
        outbox.farewell();
        let events = reader.join().unwrap();
        let notices = events
            .iter()
            .filter(|event| matches!(event.kind, EventKind::Notice(_)))
            .count();
        assert_eq!(notices, 40);
        let steps: Vec<StepReport> = events
            .iter()
            .filter_map(|event| match &event.kind {
                EventKind::Steps(steps) => Some(steps.clone()),
                _ => None,
            })
            .flatten()
            .collect();
        assert!(steps.is_sorted_by(|a, b| a.step < b.step));
        assert_eq!(steps.last().unwrap().step, 400_000);
        assert!(steps.iter().any(|report| report.loss.is_nan()));
    }

    #[test]
    fn order_is_kept_and_progress_is_merged() {
        let (sender, receiver) = sync_channel(1);
        let mut outbox = Outbox::new(sender);
        outbox.emit(notice("fills the channel"));
        for done in 0..1000 {
            outbox.emit(EventKind::Phase(Phase::Evaluating { done, total: 1000 }));
        }
        outbox.step(report(1, 1.0));
        outbox.emit(notice("after the step"));
        assert!(outbox.waiting.len() <= 3);
        let reader = std::thread::spawn(move || receiver.into_iter().collect::<Vec<_>>());
        outbox.farewell();
        let kinds: Vec<EventKind> = reader.join().unwrap().into_iter().map(|e| e.kind).collect();
        assert!(matches!(
            kinds[1],
            EventKind::Phase(Phase::Evaluating { done: 999, .. })
        ));
        assert!(matches!(kinds[2], EventKind::Steps(_)));
        assert!(matches!(kinds[3], EventKind::Notice(_)));
    }

    #[test]
    fn a_reader_that_left_is_no_trouble() {
        let (sender, receiver) = sync_channel(1);
        drop(receiver);
        let mut outbox = Outbox::new(sender);
        outbox.emit(notice("into the void"));
        assert!(outbox.is_empty());
        outbox.farewell();
    }
}
