//! One user of the cores at a time: a preview measures only while nothing trains, and lets go at once when a
//! run begins. A measurement must not disturb the generators that a run relies on, either.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

#[derive(Debug, Default)]
pub struct Machine {
    training: AtomicBool,
    in_use: Mutex<()>,
}

/// A run has the machine while this lives.
#[derive(Debug)]
pub struct Training<'a> {
    machine: &'a Machine,
    _guard: MutexGuard<'a, ()>,
}

impl Drop for Training<'_> {
    fn drop(&mut self) {
        self.machine.training.store(false, Ordering::Release);
    }
}

impl Machine {
    /// Takes the machine for a run, waiting for the step that a measurement is in.
    pub fn train(&self) -> Training<'_> {
        self.training.store(true, Ordering::Release);
        Training {
            machine: self,
            _guard: self.in_use.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    pub fn is_training(&self) -> bool {
        self.training.load(Ordering::Acquire)
    }

    /// Takes the machine for a measurement; `None` while a run has it.
    pub fn measure(&self) -> Option<MutexGuard<'_, ()>> {
        if self.is_training() {
            return None;
        }
        match self.in_use.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}
