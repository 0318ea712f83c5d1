//! What a volume takes from the system it runs on: the time and randomness.
//!
//! Must not know stores. The rule it keeps: nothing below `volume/` asks the system for anything.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Whether a volume can have a thread of its own here.
pub(super) const HAS_THREADS: bool = true;

/// The wall clock in ms since 1970.
pub(super) fn wall_clock_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Random bytes from the keys that the standard library draws for its hash maps.
pub(super) fn random_seed() -> [u8; 16] {
    use std::hash::{BuildHasher, Hasher};
    let mut seed = [0; 16];
    for half in seed.chunks_exact_mut(8) {
        half.copy_from_slice(&std::hash::RandomState::new().build_hasher().finish().to_le_bytes());
    }
    seed
}

/// Measures how long something takes.
pub(super) struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins to measure.
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since it began.
    pub(super) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
