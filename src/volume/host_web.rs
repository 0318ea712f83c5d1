//! What a volume takes from the system it runs on: the time and randomness of a JavaScript host.
//!
//! The twin of `host.rs`, with the same names. There are no threads here, so nothing in a volume ever waits.

use std::time::Duration;

/// Whether a volume can have a thread of its own here.
pub(super) const HAS_THREADS: bool = false;

/// The wall clock in ms since 1970.
pub(super) fn wall_clock_ms() -> u64 {
    // Whole milliseconds, far below 2^53; a clock before 1970 reads as 0.
    js_sys::Date::now() as u64
}

/// Random bytes of Web Crypto's.
pub(super) fn random_seed() -> [u8; 16] {
    let mut seed = [0; 16];
    // Without randomness two stores could take each other's bytes for their own.
    getrandom::fill(&mut seed).expect("crypto.getRandomValues is there in every worker, and in node");
    seed
}

/// Measures how long something takes, by the wall clock: only ever used to give up waiting.
pub(super) struct Stopwatch(u64);

impl Stopwatch {
    /// Begins to measure.
    pub(super) fn start() -> Self {
        Self(wall_clock_ms())
    }

    /// The time since it began.
    pub(super) fn elapsed(&self) -> Duration {
        Duration::from_millis(wall_clock_ms().saturating_sub(self.0))
    }
}
