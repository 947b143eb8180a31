//! Checkpoints are written on a thread of their own: the training thread only takes the snapshot.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::protocol::{CheckpointInfo, CheckpointReason};
use crate::run::checkpoint::{self, Checkpoint, CheckpointMeta};

/// Snapshots that wait at most.
const MOST_WAITING: usize = 4;

/// A snapshot on its way to the disk.
#[derive(Debug)]
pub struct Job {
    pub meta: CheckpointMeta,
    pub checkpoint: Checkpoint,
    /// The configuration in force, as text.
    pub config: String,
    /// How many of the newest checkpoints stay.
    pub keep: usize,
}

/// How a job ended.
#[derive(Debug)]
pub enum Outcome {
    Saved {
        info: CheckpointInfo,
        /// Why old checkpoints could not be cleared away.
        prune_problem: Option<String>,
    },
    /// A newer one took its place while it waited.
    Superseded {
        step: u64,
    },
    Failed {
        step: u64,
        message: String,
    },
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    busy: bool,
    closed: bool,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // The queue is whole at every point where a panic could happen.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The writer thread of one run. Dropping it waits for what is queued.
#[derive(Debug)]
pub struct Saver {
    shared: Arc<Shared>,
    outcomes: Receiver<Outcome>,
    superseded: Sender<Outcome>,
    thread: Option<JoinHandle<()>>,
}

impl Saver {
    /// # Errors
    /// The system has no thread left to give.
    pub fn spawn(run: PathBuf) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
        });
        let (sender, outcomes) = channel();
        let superseded = sender.clone();
        let thread = std::thread::Builder::new()
            .name("fireside-saver".to_string())
            .spawn({
                let shared = Arc::clone(&shared);
                move || work(&run, &shared, &sender)
            })?;
        Ok(Self {
            shared,
            outcomes,
            superseded,
            thread: Some(thread),
        })
    }

    /// Queues a snapshot. One that still waits is replaced if it was made by cadence, or is the best so far and the new one is
    /// better. Where many wait that are not replaced this waits for the disk: only a few snapshots are ever in memory.
    pub fn submit(&self, job: Job) {
        let mut queue = self.shared.lock();
        while queue.jobs.len() >= MOST_WAITING {
            queue = self
                .shared
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
        queue.jobs.retain(|waiting| {
            let wanted = matches!(
                waiting.meta.reason,
                CheckpointReason::User | CheckpointReason::Edit | CheckpointReason::Start
            );
            let replaced = !wanted && (!waiting.meta.best || job.meta.best);
            if replaced {
                // The receiving end is in this struct.
                let _ = self.superseded.send(Outcome::Superseded {
                    step: waiting.meta.step,
                });
            }
            !replaced
        });
        queue.jobs.push_back(job);
        self.shared.changed.notify_all();
    }

    /// Whether nothing is queued or being written.
    pub fn is_idle(&self) -> bool {
        let queue = self.shared.lock();
        queue.jobs.is_empty() && !queue.busy
    }

    /// What ended since the last call.
    pub fn outcomes(&self) -> Vec<Outcome> {
        self.outcomes.try_iter().collect()
    }

    /// Waits until nothing is queued or being written.
    pub fn wait(&self) {
        let mut queue = self.shared.lock();
        while !queue.jobs.is_empty() || queue.busy {
            queue = self
                .shared
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // Panics of a job are caught where it runs.
            let _ = thread.join();
        }
    }
}

fn work(run: &std::path::Path, shared: &Shared, outcomes: &Sender<Outcome>) {
    loop {
        let job = {
            let mut queue = shared.lock();
            loop {
                if let Some(job) = queue.jobs.pop_front() {
                    queue.busy = true;
                    break job;
                }
                if queue.closed {
                    return;
                }
                queue = shared
                    .changed
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        };
        let step = job.meta.step;
        let outcome =
            catch_unwind(AssertUnwindSafe(|| save(run, job))).unwrap_or_else(|_| Outcome::Failed {
                step,
                message: "writing the checkpoint panicked; see the log".to_string(),
            });
        // Nobody listens any more when the run is being put away.
        let _ = outcomes.send(outcome);
        shared.lock().busy = false;
        shared.changed.notify_all();
    }
}

fn save(run: &std::path::Path, job: Job) -> Outcome {
    let entry = match checkpoint::write_with(run, &job.meta, &job.checkpoint, Some(&job.config)) {
        Ok(entry) => entry,
        Err(error) => {
            return Outcome::Failed {
                step: job.meta.step,
                message: error.to_string(),
            };
        }
    };
    let prune_problem = checkpoint::prune(run, job.keep)
        .err()
        .map(|e| e.to_string());
    Outcome::Saved {
        info: CheckpointInfo {
            step: entry.step,
            path: entry.path,
            sequence: Some(entry.sequence),
            bytes: entry.bytes,
            total_bytes: checkpoint::total_bytes(run),
            reason: entry.reason,
            val_loss: entry.val_loss,
        },
        prune_problem,
    }
}
