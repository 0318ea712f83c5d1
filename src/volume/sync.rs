//! The locks of the volume, from one place, so that a test can put a scheduler of its own behind them.
//!
//! Every build that ships uses the standard library's. With the feature `loom` or `shuttle` the same code runs
//! under a scheduler that tries interleavings (`tests/concurrency/`). The rule: nothing else in
//! `volume/` names a lock, a condition or an atomic of the standard library.

use std::sync::PoisonError;
use std::time::Duration;

use super::host::{HAS_THREADS, Stopwatch};

#[cfg(feature = "loom")]
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard, RwLock, atomic::AtomicBool};
#[cfg(all(feature = "shuttle", not(feature = "loom")))]
pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, RwLock, atomic::AtomicBool};
#[cfg(not(any(feature = "loom", feature = "shuttle")))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, RwLock, atomic::AtomicBool};

/// Locks that a panicking thread has left behind are taken all the same: every state behind them is
/// consistent between statements, and a failed write has poisoned the store in its own way.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits as long as `goes_on` says so, but not longer than `at_most`; not at all where no other thread could change
/// it.
pub(crate) fn wait_while<'a, T>(
    condition: &Condvar,
    mut guard: MutexGuard<'a, T>,
    at_most: Duration,
    mut goes_on: impl FnMut(&T) -> bool,
) -> MutexGuard<'a, T> {
    if at_most.is_zero() || !HAS_THREADS || !goes_on(&guard) {
        return guard;
    }
    let started = Stopwatch::start();
    while goes_on(&guard) {
        let Some(left) = at_most.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) else { break };
        guard = condition.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner).0;
    }
    guard
}
