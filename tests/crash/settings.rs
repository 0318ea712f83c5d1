//! Bounds of the suites, from the environment (`cargo xtask crash` sets it), and the volume options all use.

use std::cell::Cell;
use std::time::{Duration, Instant};

use datasync::block::BLOCK_SIZE;
use datasync::volume::Options;

const PAGE: u64 = BLOCK_SIZE as u64;

thread_local! {
    /// The wall clock of this thread's stores; it stands still but where a suite is about clocks.
    pub static CLOCK: Cell<fn() -> u64> = const { Cell::new(|| 1_000_000) };
}

/// Most operations of an exhaustively tried workload.
pub fn depth() -> usize {
    number("DATASYNC_CRASH_DEPTH").map_or(3, |depth| depth as usize)
}

/// Most operations of a workload for which every crash inside the recovery is tried too.
pub fn double_depth() -> Option<usize> {
    number("DATASYNC_CRASH_DOUBLE").map(|letters| letters as usize)
}

/// How many seeded lives.
pub fn seeds() -> u64 {
    number("DATASYNC_CRASH_SEEDS").unwrap_or(150)
}

/// The one seed to replay, or where to start counting.
pub fn only_seed() -> Option<u64> {
    number("DATASYNC_SEED")
}

/// The one workload to replay, as a violation prints it.
pub fn only_workload() -> Option<String> {
    std::env::var("DATASYNC_CRASH_REPLAY").ok()
}

/// When to stop although the bounds are not reached.
pub fn deadline() -> Option<Instant> {
    number("DATASYNC_CRASH_BUDGET_S").map(|seconds| Instant::now() + Duration::from_secs(seconds))
}

/// The commit under test, for the record of a long run.
pub fn commit() -> String {
    std::env::var("DATASYNC_CRASH_COMMIT").unwrap_or_else(|_| "unknown".to_owned())
}

/// Memory for the keys of what was tried; beyond it nothing is forgotten, but states may be tried twice.
pub fn key_bytes() -> usize {
    number("DATASYNC_CRASH_KEYS_MIB").map_or(1 << 30, |mib| (mib as usize) << 20)
}

pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get)
}

/// Everything small, so that rotation, spilling and folding happen in workloads of three operations.
pub fn options() -> Options {
    Options::new()
        .background(false)
        .segment_bytes(16 * PAGE)
        .reserve_bytes(8 * PAGE)
        .spill_bytes(4 * PAGE)
        .log_cap_bytes(96 * PAGE)
        .seed([7; 16])
        .clock(CLOCK.get())
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}
