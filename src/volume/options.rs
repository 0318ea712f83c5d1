//! How to open a volume.

use std::time::Duration;

use super::host;
use crate::block::{BLOCK_SIZE, Durability};
use crate::error::{ErrorKind, Result, fail};
use crate::format::checksum::Checksum;
use crate::store::{Limits, Setup};

/// Options of [`Volume::open`](super::Volume::open), as a builder. The defaults suit a native application.
///
/// ```
/// use datasync::volume::Options;
/// use datasync::format::checksum::Checksum;
/// let options = Options::new().checksum(Checksum::Crc32).log_cap_bytes(32 << 20);
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    checksum: Option<Checksum>,
    segment_bytes: u64,
    log_cap_bytes: u64,
    reserve_bytes: u64,
    pub(crate) spill_bytes: u64,
    pub(crate) durability: Durability,
    pub(crate) create: bool,
    pub(crate) read_only: bool,
    pub(crate) background: bool,
    pub(crate) busy_timeout: Duration,
    pub(crate) reader_patience: Duration,
    seed: Option<[u8; 16]>,
    pub(crate) clock: fn() -> u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            checksum: None,
            segment_bytes: 16 << 20,
            log_cap_bytes: 64 << 20,
            reserve_bytes: 1 << 20,
            spill_bytes: 16 << 20,
            durability: Durability::Durable,
            create: true,
            read_only: false,
            background: host::HAS_THREADS,
            busy_timeout: Duration::from_secs(5),
            reader_patience: Duration::from_secs(10),
            seed: None,
            clock: host::wall_clock_ms,
        }
    }
}

impl Options {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Payload checksum of a new store (default: XXH3-64, or what `DATASYNC_CHECKSUM_ALGO` names). An existing
    /// store that uses another one is refused with `AlgoMismatch`.
    #[must_use]
    pub fn checksum(mut self, checksum: Checksum) -> Self {
        self.checksum = Some(checksum);
        self
    }

    /// Soft size of a log segment in bytes (default 16 MiB).
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// Commits wait for a fold while the log is larger than this many bytes (default 64 MiB).
    #[must_use]
    pub fn log_cap_bytes(mut self, bytes: u64) -> Self {
        self.log_cap_bytes = bytes;
        self
    }

    /// Space kept ready for recovery on a full disk, in bytes (default 1 MiB). A commit larger than this takes
    /// a second barrier.
    #[must_use]
    pub fn reserve_bytes(mut self, bytes: u64) -> Self {
        self.reserve_bytes = bytes;
        self
    }

    /// A transaction holds this many bytes in memory before it spills into the log (default 16 MiB).
    #[must_use]
    pub fn spill_bytes(mut self, bytes: u64) -> Self {
        self.spill_bytes = bytes;
        self
    }

    /// What `BlockStorage::sync` reaches (default `Durable`).
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Make a new store where there is none (default true).
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Write nothing, not even recovery (default false). Serves a damaged store as of its last good commit.
    #[must_use]
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Fold in a thread of the volume's own (default true where there are threads). Without it folds run
    /// inside `begin` when the log is over its cap, and everything is deterministic.
    #[must_use]
    pub fn background(mut self, background: bool) -> Self {
        self.background = background;
        self
    }

    /// How long `begin` and `close` wait for the writer slot (default 5 s).
    #[must_use]
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// How long a commit waits for read views that hold a full log, before the oldest is expired (default
    /// 10 s).
    #[must_use]
    pub fn reader_patience(mut self, patience: Duration) -> Self {
        self.reader_patience = patience;
        self
    }

    /// Fixed randomness: for tests that must repeat exactly. Never use it twice for stores that may meet.
    #[must_use]
    pub fn seed(mut self, seed: [u8; 16]) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The wall clock in ms since 1970. Only statistics and block metadata ever see it.
    #[must_use]
    pub fn clock(mut self, clock: fn() -> u64) -> Self {
        self.clock = clock;
        self
    }

    /// The soft size of a segment, in pages.
    pub(crate) fn segment_pages(&self) -> usize {
        usize::try_from(self.segment_bytes / BLOCK_SIZE as u64).unwrap_or(usize::MAX)
    }

    /// Changes in one spill.
    pub(crate) fn chunk(&self) -> usize {
        (self.segment_pages() / 2).clamp(1, 256)
    }

    /// What the store wants to know.
    ///
    /// # Errors
    /// `Misuse` for sizes that cannot work and for an unknown `DATASYNC_CHECKSUM_ALGO`.
    pub(crate) fn setup(&self, name: String, new: bool) -> Result<Setup> {
        let pages = |bytes: u64| bytes / BLOCK_SIZE as u64;
        let (segment, reserve) = (pages(self.segment_bytes), pages(self.reserve_bytes));
        if !(4..=1 << 20).contains(&segment) || reserve < 2 || reserve > segment {
            let message =
                "segment_bytes must be 16 KiB to 4 GiB, reserve_bytes 8 KiB up to the size of a segment";
            return fail(ErrorKind::Misuse, message);
        }
        if self.log_cap_bytes < 2 * self.segment_bytes {
            return fail(ErrorKind::Misuse, "log_cap_bytes must be at least two segments");
        }
        let narrow = |pages: u64| u32::try_from(pages).expect("checked above");
        let limits = Limits {
            segment_pages: narrow(segment),
            reserve_pages: narrow(reserve),
            log_cap_pages: pages(self.log_cap_bytes),
        };
        let checksum = match self.checksum {
            None if new => checksum_from_environment()?,
            chosen => chosen,
        };
        Ok(Setup {
            limits,
            checksum,
            seed: self.seed.unwrap_or_else(host::random_seed),
            now_ms: (self.clock)(),
            read_only: self.read_only,
            create: self.create,
            name,
        })
    }
}

fn checksum_from_environment() -> Result<Option<Checksum>> {
    let Ok(name) = std::env::var("DATASYNC_CHECKSUM_ALGO") else { return Ok(None) };
    match Checksum::from_name(&name) {
        Some(checksum) => Ok(Some(checksum)),
        None => fail(
            ErrorKind::Misuse,
            format!("DATASYNC_CHECKSUM_ALGO is '{name}'; it can be crc32 or fast (xxh3)"),
        ),
    }
}
