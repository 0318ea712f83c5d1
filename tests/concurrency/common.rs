//! What the two schedulers' suites share: a backend that knows what a barrier covers, and stores small enough
//! to be opened a hundred thousand times.
//!
//! The rule: the backend's one lock is the scheduler's, so that what a barrier covers depends on the schedule.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use datasync::backend::memory::Memory;
use datasync::backend::{Backend, Source};
use datasync::block::{BLOCK_SIZE, BlockBytes, BlockNo, Durability, Lsn, SegmentId};
use datasync::error::{Error, ErrorKind};
use datasync::format::group::Group;
use datasync::log::plan::{Area, Op};
use datasync::volume::{Options, Volume};

use crate::schedule::Mutex;

const PAGE: u64 = BLOCK_SIZE as u64;

/// What the medium has seen.
#[derive(Debug, Default)]
struct Seen {
    /// The newest commit whose bytes have been written.
    written: Lsn,
    /// The newest commit written before a barrier began that has ended well.
    durable: Lsn,
    barriers: u64,
    /// The barrier with this number fails.
    fails_at: Option<u64>,
    failed: bool,
    /// The volume has given it back.
    released: bool,
    /// It was asked for something after that.
    late: bool,
}

/// A medium whose barriers take time: what is written while one runs is not covered by it.
#[derive(Clone)]
pub struct Medium {
    bytes: Memory,
    seen: Arc<Mutex<Seen>>,
}

impl Medium {
    pub fn new(bytes: Memory) -> Self {
        Self { bytes, seen: Arc::default() }
    }

    /// The barrier with this number, counted from now, fails.
    pub fn fail_barrier(&self, nth: u64) {
        let mut seen = self.seen.lock().unwrap();
        seen.fails_at = Some(seen.barriers + nth);
    }

    /// From now on it has no room for more.
    #[cfg(feature = "loom")]
    pub fn fill(&self) {
        self.bytes.set_limit(Some(self.bytes.used()));
    }

    /// Whether the volume has asked it for something after it had given it back.
    #[cfg(feature = "loom")]
    pub fn is_late(&self) -> bool {
        self.seen.lock().unwrap().late
    }

    /// Its bytes as they are now.
    #[cfg(feature = "loom")]
    pub fn copy(&self) -> Memory {
        self.bytes.copy()
    }

    /// The newest commit that a power cut right now would not take.
    pub fn durable(&self) -> Lsn {
        self.seen.lock().unwrap().durable
    }

    /// A failed barrier is reported once, as systems do: it takes with it what was written before, and the next
    /// barrier says that all is well.
    fn barrier(&self) -> Result<(), Error> {
        let (covered, fails) = {
            let mut seen = self.seen.lock().unwrap();
            seen.barriers += 1;
            let fails = seen.fails_at == Some(seen.barriers);
            seen.failed |= fails;
            (seen.written, fails)
        };
        // Somebody else may run here, and write what this barrier does not cover.
        let mut seen = self.seen.lock().unwrap();
        if fails {
            return Err(Error::new(ErrorKind::Io, "the barrier failed"));
        }
        if !seen.failed {
            seen.durable = seen.durable.max(covered);
        }
        Ok(())
    }
}

impl Source for Medium {
    fn read(&self, area: Area, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        self.bytes.read(area, offset, buf)
    }

    fn len(&self, area: Area) -> Result<Option<u64>, Error> {
        self.bytes.len(area)
    }

    fn segments(&self) -> Result<Vec<SegmentId>, Error> {
        self.bytes.segments()
    }
}

impl Backend for Medium {
    fn apply(&self, op: &Op) -> Result<(), Error> {
        {
            let mut seen = self.seen.lock().unwrap();
            if seen.released {
                seen.late = true;
                return Err(Error::new(ErrorKind::Misuse, "it was closed"));
            }
        }
        self.bytes.apply(op)?;
        if let Op::Barrier(Area::Segment(_)) = op {
            return self.barrier();
        }
        if let Op::Write { area: Area::Segment(_), bytes, .. } = op {
            let page = bytes.first_chunk().expect("whole pages");
            if let Ok((group, _)) = Group::decode(page) {
                let mut seen = self.seen.lock().unwrap();
                seen.written = seen.written.max(group.lsn);
            }
        }
        Ok(())
    }

    fn release(&self) {
        self.seen.lock().unwrap().released = true;
    }

    fn name(&self) -> String {
        "watched memory".to_owned()
    }
}

/// Options under which nothing happens by itself.
pub fn options() -> Options {
    Options::new()
        .background(false)
        .segment_bytes(16 * PAGE)
        .reserve_bytes(4 * PAGE)
        .busy_timeout(Duration::from_secs(3600))
        .seed([3; 16])
        .clock(|| 1_000_000)
}

/// Puts `stamp` into a block, durably.
pub fn commit(volume: &Volume, block: u64, stamp: u8) -> Result<Lsn, Error> {
    let mut writer = volume.begin_within(Duration::from_secs(3600))?;
    writer.write(BlockNo(block), &[stamp; BLOCK_SIZE])?;
    Ok(writer.commit(Durability::Durable)?.commit.lsn)
}

/// The stamp of a block, if it is whole.
pub fn stamp(bytes: &BlockBytes) -> Option<u8> {
    bytes.iter().all(|byte| *byte == bytes[0]).then_some(bytes[0])
}

/// The first promise that was broken, if any.
#[derive(Clone, Default)]
pub struct Verdict(Arc<std::sync::Mutex<Option<String>>>);

impl Verdict {
    pub fn hold(&self, promise: bool, broken: impl FnOnce() -> String) {
        if !promise {
            self.0.lock().unwrap().get_or_insert_with(broken);
        }
    }

    pub fn read(&self) -> Result<(), String> {
        self.0.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}

/// Counts schedules, and what happened in them.
#[derive(Default)]
pub struct Counter(AtomicUsize);

impl Counter {
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}
