//! Threads that wait awake for work of a few microseconds.
//!
//! A token of a small model is some twenty products of a few microseconds each, one after the other: too little for threads that must be
//! woken, or asked through a queue. A [`Team`]'s helpers watch for the next piece, and each gets the same part of every operation, so that
//! its part of the weights stays in the cache of its processor. A helper that has nothing to do for a while goes to sleep, and one that does
//! not come, because the machine has other work, is not waited for: the caller does its part.

use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// Multiplications that take a member as long as it takes to hand them over, and some more.
const WORTH: usize = 1 << 13;
/// Looks in vain before a helper goes to sleep, each with a pause of some ten nanoseconds.
const PATIENCE: u32 = 5_000;
/// Looks in vain before a caller lets other threads of the machine through.
const IMPATIENCE: u32 = 1_000;

/// States of a helper. Only the caller makes work out of `IDLE` and `ASLEEP`; only one of both takes it.
const IDLE: u32 = 0;
const OFFERED: u32 = 1;
const TAKEN: u32 = 2;
const PANICKED: u32 = 3;
const ASLEEP: u32 = 4;
const ENDED: u32 = 5;

/// The caller, and helpers, which begin when there is first something for them.
#[derive(Debug)]
pub struct Team {
    members: usize,
    helpers: Vec<Helper>,
}

#[derive(Debug)]
struct Helper {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

type Work = dyn Fn(usize) + Sync;

/// What a caller and one helper share, in cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Desk {
    state: AtomicU32,
    /// Written by the caller while there is nothing to do, read by who has taken what was offered.
    work: UnsafeCell<Option<*const Work>>,
}

// SAFETY: `work` is written and read in turns, which `state` gives; what it points to may be used by any thread.
#[allow(unsafe_code)]
unsafe impl Sync for Desk {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Send for Desk {}

impl Team {
    /// The caller and as many others as make `members`.
    pub fn new(members: usize) -> Self {
        Self {
            members: members.max(1),
            helpers: Vec::new(),
        }
    }

    /// How many members it pays to hand parts of so many multiplications to; at least the caller.
    pub fn worth(&self, multiplications: usize) -> usize {
        self.members.min(multiplications / WORTH).max(1)
    }

    /// Does `work` with each of the parts, of which there should be no more than members, each by a thread of its own where it comes in time.
    ///
    /// # Panics
    ///
    /// Where `work` panics.
    pub fn share<T: Send>(&mut self, parts: impl IntoIterator<Item = T>, work: impl Fn(T) + Sync) {
        let mut parts = parts.into_iter();
        let Some(first) = parts.next() else { return };
        let mut others: Vec<Mutex<Option<T>>> = Vec::new();
        others.extend(parts.by_ref().map(|part| Mutex::new(Some(part))));
        self.grow(others.len());
        let one = |part: usize| {
            let part = others[part]
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let Some(part) = part {
                work(part);
            }
        };
        let helpers = &self.helpers[..others.len().min(self.helpers.len())];
        let back = Back(helpers, &one);
        for helper in helpers {
            helper.offer(&one);
        }
        work(first);
        // Those that nobody is there for.
        (helpers.len()..others.len()).for_each(one);
        drop(back);
    }

    /// Sees to it that there are as many helpers, as far as members and the system allow.
    fn grow(&mut self, wanted: usize) {
        while self.helpers.len() < wanted.min(self.members - 1) {
            match Helper::new(self.helpers.len()) {
                Ok(helper) => self.helpers.push(helper),
                Err(error) => {
                    self.members = self.helpers.len() + 1;
                    tracing::warn!("generating on {} threads: {error}", self.members);
                }
            }
        }
    }
}

/// Waits for all that was offered, also where the caller's own part panics: helpers borrow from its stack.
struct Back<'a>(&'a [Helper], &'a (dyn Fn(usize) + Sync));

impl Drop for Back<'_> {
    fn drop(&mut self) {
        let mut panicked = false;
        for (part, helper) in self.0.iter().enumerate() {
            if helper.take_back() {
                // Not while another panic is under way: what comes of it is thrown away.
                if !thread::panicking() {
                    let work = self.1;
                    panicked |= catch_unwind(AssertUnwindSafe(|| work(part))).is_err();
                }
            } else {
                panicked |= helper.finished() == PANICKED;
            }
        }
        assert!(
            !panicked || thread::panicking(),
            "a part of shared work panicked"
        );
    }
}

impl Helper {
    fn new(index: usize) -> std::io::Result<Self> {
        let desk = Arc::new(Desk {
            state: AtomicU32::new(IDLE),
            work: UnsafeCell::new(None),
        });
        let its = desk.clone();
        let thread = thread::Builder::new()
            .name(format!("helper {index}"))
            .spawn(move || its.wait_for_work(index))?;
        let thread = Some(thread);
        Ok(Self { desk, thread })
    }

    #[allow(unsafe_code)]
    fn offer(&self, work: &(dyn Fn(usize) + Sync)) {
        // SAFETY: only the lifetime changes. Who borrows it, `share`, does not return before the helper has said that it is done, or its part
        // was taken back.
        let work = unsafe { std::mem::transmute::<&(dyn Fn(usize) + Sync), *const Work>(work) };
        // SAFETY: nothing is offered, so that nobody reads.
        unsafe { *self.desk.work.get() = Some(work) };
        if self.desk.state.swap(OFFERED, Ordering::AcqRel) == ASLEEP
            && let Some(thread) = &self.thread
        {
            thread.thread().unpark();
        }
    }

    /// Whether the part was still there.
    fn take_back(&self) -> bool {
        let state = &self.desk.state;
        state
            .compare_exchange(OFFERED, IDLE, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Waits until the helper is done.
    fn finished(&self) -> u32 {
        let mut looks = 0;
        loop {
            match self.desk.state.load(Ordering::Acquire) {
                TAKEN => {}
                PANICKED => return self.desk.state.swap(IDLE, Ordering::AcqRel),
                state => return state,
            }
            looks += 1;
            match looks < IMPATIENCE {
                true => std::hint::spin_loop(),
                false => thread::yield_now(),
            }
        }
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        for helper in &mut self.helpers {
            helper.desk.state.store(ENDED, Ordering::Release);
            if let Some(thread) = helper.thread.take() {
                thread.thread().unpark();
                // It catches the panics of what it does.
                let _ = thread.join();
            }
        }
    }
}

impl Desk {
    /// A helper's life.
    fn wait_for_work(&self, part: usize) {
        let mut looks = 0;
        loop {
            let state = &self.state;
            match state.load(Ordering::Acquire) {
                OFFERED => {
                    looks = 0;
                    let taken =
                        state.compare_exchange(OFFERED, TAKEN, Ordering::AcqRel, Ordering::Acquire);
                    if taken.is_ok() {
                        self.work(part);
                    }
                }
                ENDED => return,
                ASLEEP => thread::park(),
                _ if looks < PATIENCE => {
                    looks += 1;
                    std::hint::spin_loop();
                }
                _ => {
                    looks = 0;
                    let _ =
                        state.compare_exchange(IDLE, ASLEEP, Ordering::AcqRel, Ordering::Acquire);
                }
            }
        }
    }

    /// Does what was taken.
    #[allow(unsafe_code)]
    fn work(&self, part: usize) {
        let done = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: the caller wrote it before it was offered, and keeps it until the state below is set.
            if let Some(work) = unsafe { *self.work.get() } {
                // SAFETY: as above.
                unsafe { (*work)(part) }
            }
        }));
        let state = match done {
            Ok(()) => IDLE,
            Err(_) => PANICKED,
        };
        self.state.store(state, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_done_once_whoever_does_it() {
        for members in [1, 2, 3, 9] {
            let mut team = Team::new(members);
            assert_eq!(team.worth(usize::MAX), members);
            assert_eq!(team.worth(0), 1);
            for round in 0..2_000 {
                let mut values = vec![0usize; 40];
                // Now and then so late that helpers have gone to sleep.
                if round % 500 == 0 {
                    thread::sleep(std::time::Duration::from_millis(5));
                }
                let parts = 40usize.div_ceil(1 + round % members);
                team.share(values.chunks_mut(parts).enumerate(), |(part, values)| {
                    for (at, value) in values.iter_mut().enumerate() {
                        *value += part * parts + at + round;
                    }
                });
                let right = values.iter().enumerate().all(|(at, v)| *v == at + round);
                assert!(right, "{members} members, round {round}: {values:?}");
            }
        }
    }

    #[test]
    fn nothing_to_share_is_nothing_to_do() {
        Team::new(3).share(std::iter::empty::<u8>(), |_| panic!("no part"));
    }

    #[test]
    fn a_panic_of_any_part_is_the_callers_and_the_team_goes_on() {
        let mut team = Team::new(3);
        for part in 0..3 {
            let shared = catch_unwind(AssertUnwindSafe(|| {
                team.share(0..3, |at| assert_ne!(at, part));
            }));
            assert!(shared.is_err(), "part {part}");
            let sum = AtomicU32::new(0);
            team.share(1..4, |n| {
                sum.fetch_add(n, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 6);
        }
    }

    #[test]
    fn a_team_goes_where_its_owner_goes() {
        let mut team = Team::new(2);
        thread::spawn(move || {
            let mut values = [1, 2];
            team.share(&mut values, |value| *value *= 3);
            assert_eq!(values, [3, 6]);
        })
        .join()
        .unwrap();
    }
}
