//! The threads that a trainer computes on.

use burn::tensor::Device;

use crate::device::runs_on_host;

/// Threads of one trainer's own, as many as the process computes with.
///
/// Work that starts on one of them reaches the others without a thread going to sleep and another waking up, of which a small
/// model's step would have hundreds. They are no one else's: autodiff holds a lock while it computes gradients, and a thread
/// that waits for its part may take up any other work of its pool, so two trainers in one pool could wait for each other.
#[derive(Debug)]
pub(super) struct Pool(Option<rayon::ThreadPool>);

impl Pool {
    /// None are needed where the device computes by itself. Where the system gives no threads, work stays on the caller's.
    pub(super) fn new(device: &Device) -> Self {
        let threads = || {
            rayon::ThreadPoolBuilder::new()
                .num_threads(rayon::current_num_threads())
                .thread_name(|index| format!("trainer {index}"))
                .build()
        };
        Self(if runs_on_host(device) {
            threads()
                .inspect_err(|error| tracing::warn!("training without threads of its own: {error}"))
                .ok()
        } else {
            None
        })
    }

    /// Runs `work` on one of the threads, and waits.
    pub(super) fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.0 {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }
}
