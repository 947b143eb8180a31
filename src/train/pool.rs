//! The threads that a trainer computes on.

use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Device;

use crate::device::{runs_on_host, threads};
use crate::kernel::memory;

/// Threads of one trainer's own, as many as its configuration says.
///
/// Work that starts on one of them reaches the others without a thread going to sleep and another waking up, of which a small
/// model's step would have hundreds. They are no one else's: autodiff holds a lock while it computes gradients, and a thread
/// that waits for its part may take up any other work of its pool, so two trainers in one pool could wait for each other.
#[derive(Debug)]
pub(super) struct Pool(Option<rayon::ThreadPool>);

impl Pool {
    /// None are needed where the device computes by itself. Otherwise the process also keeps what a step gives back. Where the
    /// system gives no threads, work stays on the caller's.
    pub(super) fn new(device: &Device, wanted: usize) -> Self {
        let threads = || {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads(wanted))
                .thread_name(|index| format!("trainer {index}"))
                .build()
        };
        Self(if runs_on_host(device) {
            memory::keep();
            threads()
                .inspect_err(|error| tracing::warn!("training without threads of its own: {error}"))
                .ok()
        } else {
            None
        })
    }

    /// Runs `work` on one of the threads, and waits. The others stay awake meanwhile.
    pub(super) fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.0 {
            Some(pool) => pool.install(|| awake(work)),
            None => work(),
        }
    }
}

/// Runs `work` on this thread of a pool while the pool's other threads look for parts of it without ever going to sleep. A step is
/// hundreds of short parallel pieces with a little serial work between them: to wake a thread for each takes longer than many of
/// them do (measured on two threads: 8 to 10 % of a small Transformer's step, at the same processor time).
fn awake<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    let done = AtomicBool::new(false);
    let here = rayon::current_thread_index();
    rayon::scope(|scope| {
        // Taken before any part of the work: what is oldest in a thread's queue is taken first.
        for _ in 1..rayon::current_num_threads() {
            scope.spawn(|_| {
                // The thread that does the work must not wait for its own end, should it come upon one of these.
                if rayon::current_thread_index() != here {
                    look_for_work(&done);
                }
            });
        }
        let _done = Done(&done);
        work()
    })
}

fn look_for_work(done: &AtomicBool) {
    /// Looks in vain before other threads of the machine are let through.
    const PATIENCE: u32 = 64;
    let mut in_vain = 0;
    while !done.load(Ordering::Acquire) {
        match rayon::yield_now() {
            Some(rayon::Yield::Executed) => in_vain = 0,
            _ => in_vain += 1,
        }
        if in_vain == PATIENCE {
            in_vain = 0;
            std::thread::yield_now();
        }
    }
}

/// Says that the work is done, also where it ends by a panic.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use rayon::prelude::*;

    use super::*;

    fn pool(threads: usize) -> Pool {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        Pool(Some(pool.build().unwrap()))
    }

    #[test]
    fn work_in_many_pieces_comes_to_its_end_on_any_number_of_threads() {
        for threads in [1, 2, 3, 8] {
            let pool = pool(threads);
            for round in 0..200u64 {
                let sum = pool.run(|| {
                    let pieces = (0..20u64).map(|piece| {
                        let (a, b) = rayon::join(
                            || (0..50u64).into_par_iter().map(|n| n * piece).sum::<u64>(),
                            || (0..50u64).into_par_iter().map(|n| n + round).sum::<u64>(),
                        );
                        a + b
                    });
                    pieces.sum::<u64>()
                });
                let expected: u64 = (0..20).map(|piece| 1225 * piece + 1225 + 50 * round).sum();
                assert_eq!(sum, expected, "{threads} threads");
            }
        }
    }

    #[test]
    fn runs_of_one_process_compute_on_different_numbers_of_threads() {
        for wanted in [1, 3, 2] {
            let pool = Pool::new(&Device::flex(), wanted);
            assert_eq!(pool.run(rayon::current_num_threads), wanted);
        }
    }

    #[test]
    fn a_panic_ends_the_waiting_too() {
        let pool = pool(3);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            pool.run(|| (0..8).into_par_iter().for_each(|n| assert!(n < 5)));
        }));
        assert!(panicked.is_err());
        assert_eq!(pool.run(|| 7), 7);
    }
}
