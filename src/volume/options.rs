//! How to open a volume.

use std::time::Duration;

use super::host;
use crate::block::{BLOCK_SIZE, Durability};
use crate::error::{ErrorKind, Result, fail};
use crate::format::checksum::Checksum;
use crate::store::{Limits, Setup};

/// What the sizes are when nothing is said of any of them.
const SEGMENT_BYTES: u64 = 16 << 20;
const LOG_CAP_BYTES: u64 = 64 << 20;
const RESERVE_BYTES: u64 = 1 << 20;

/// The smallest segment there can be.
const SEGMENT_BYTES_MIN: u64 = 4 * BLOCK_SIZE as u64;

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
    segment_bytes: Option<u64>,
    log_cap_bytes: Option<u64>,
    reserve_bytes: Option<u64>,
    pub(crate) spill_bytes: u64,
    pub(crate) durability: Option<Durability>,
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
            segment_bytes: None,
            log_cap_bytes: None,
            reserve_bytes: None,
            spill_bytes: 16 << 20,
            durability: None,
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

    /// Soft size of a log segment in bytes, 16 KiB to 4 GiB (default 16 MiB, less where the cap that was set
    /// asks for it).
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = Some(bytes);
        self
    }

    /// `Volume::begin` waits for a fold while the log is larger than this many bytes: at least two segments (default
    /// 64 MiB, more where the segments that were set ask for it).
    #[must_use]
    pub fn log_cap_bytes(mut self, bytes: u64) -> Self {
        self.log_cap_bytes = Some(bytes);
        self
    }

    /// Space kept ready for recovery on a full disk, in bytes: 8 KiB up to a segment (default 1 MiB, or a
    /// segment if that is smaller). A commit larger than this takes a second barrier.
    #[must_use]
    pub fn reserve_bytes(mut self, bytes: u64) -> Self {
        self.reserve_bytes = Some(bytes);
        self
    }

    /// A transaction holds this many bytes in memory before it spills into the log (default 16 MiB).
    #[must_use]
    pub fn spill_bytes(mut self, bytes: u64) -> Self {
        self.spill_bytes = bytes;
        self
    }

    /// What a commit waits for where nobody says it of the commit: [`BlockStorage::sync`](super::BlockStorage::sync)
    /// (default `Durable`), and each new connection of a `Database` that is opened with this or is over this
    /// volume (default: what `PRAGMA synchronous` says, which is `Durable` until it is set). On a connection
    /// `PRAGMA datasync_durability` changes it, and goes back to `PRAGMA synchronous`.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = Some(durability);
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

    /// How long [`Volume::close`](super::Volume::close) and the first change on [`Blocks`](super::Blocks) wait for
    /// the writer slot (default 5 s). `Volume::begin` does not wait for it, `begin_within` as long as it is told, and
    /// a connection of SQLite's as long as its own busy timeout.
    #[must_use]
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// How long `Volume::begin`, and whatever else begins to write, waits while the log is over its cap, before the
    /// oldest read view is expired; without one it then goes on (default 10 s).
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
        usize::try_from(self.sizes().segment / BLOCK_SIZE as u64).unwrap_or(usize::MAX)
    }

    /// Changes in one spill.
    pub(crate) fn chunk(&self) -> usize {
        (self.segment_pages() / 2).clamp(1, 256)
    }

    /// The sizes that were set, and for the others what goes with them: a caller who sets one of them has no
    /// business with the rest.
    fn sizes(&self) -> Sizes {
        let half = self.log_cap_bytes.map_or(u64::MAX, |cap| cap / 2);
        let segment = self.segment_bytes.unwrap_or_else(|| SEGMENT_BYTES.min(half).max(SEGMENT_BYTES_MIN));
        Sizes {
            segment,
            cap: self.log_cap_bytes.unwrap_or_else(|| LOG_CAP_BYTES.max(segment.saturating_mul(2))),
            reserve: self.reserve_bytes.unwrap_or_else(|| RESERVE_BYTES.min(segment)),
        }
    }

    /// What the store wants to know.
    ///
    /// # Errors
    /// `Misuse` for sizes that cannot work and for an unknown `DATASYNC_CHECKSUM_ALGO`.
    pub(crate) fn setup(&self, name: String, new: bool) -> Result<Setup> {
        let pages = |bytes: u64| bytes / BLOCK_SIZE as u64;
        let Sizes { segment: segment_bytes, cap, reserve: reserve_bytes } = self.sizes();
        let (segment, reserve) = (pages(segment_bytes), pages(reserve_bytes));
        // In words: the caller may know these options by other names, in a URI or in JavaScript.
        if !(4..=1 << 20).contains(&segment) {
            let message = format!("a segment of the log of {segment_bytes} bytes; it can be 16 KiB to 4 GiB");
            return fail(ErrorKind::Misuse, message);
        }
        if reserve < 2 || reserve > segment {
            let message = format!(
                "a reserve of {reserve_bytes} bytes; it can be 8 KiB up to a segment of the log, {segment_bytes} bytes"
            );
            return fail(ErrorKind::Misuse, message);
        }
        if cap < 2 * segment_bytes {
            let message = format!(
                "the log's cap of {cap} bytes is less than two segments of {segment_bytes} bytes; raise the cap, \
                 or make the segments smaller"
            );
            return fail(ErrorKind::Misuse, message);
        }
        let narrow = |pages: u64| u32::try_from(pages).expect("checked above");
        let limits = Limits {
            segment_pages: narrow(segment),
            reserve_pages: narrow(reserve),
            log_cap_pages: pages(cap),
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

/// The sizes of a log, in bytes.
struct Sizes {
    segment: u64,
    cap: u64,
    reserve: u64,
}

fn checksum_from_environment() -> Result<Option<Checksum>> {
    let Ok(name) = std::env::var("DATASYNC_CHECKSUM_ALGO") else { return Ok(None) };
    match Checksum::from_name(&name) {
        Some(checksum) => Ok(Some(checksum)),
        None => {
            fail(ErrorKind::Misuse, format!("DATASYNC_CHECKSUM_ALGO is '{name}'; it can be crc32 or xxh3"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(options: &Options) -> String {
        let Err(error) = options.setup("store".to_owned(), true) else { panic!("{options:?} was taken") };
        assert_eq!(error.kind(), ErrorKind::Misuse, "{error}");
        error.to_string()
    }

    #[test]
    fn a_size_that_was_not_set_goes_with_those_that_were() {
        let limits = |options: Options| options.setup("store".to_owned(), true).unwrap().limits;
        let all = limits(Options::new());
        assert_eq!((all.segment_pages, all.log_cap_pages, all.reserve_pages), (4096, 16384, 256));
        assert_eq!(limits(Options::new().segment_bytes(48 << 20)).log_cap_pages, 2 * 12288);
        assert_eq!(limits(Options::new().segment_bytes(64 << 10)).reserve_pages, 16);
        assert_eq!(limits(Options::new().log_cap_bytes(20 << 20)).segment_pages, 2560);
        limits(Options::new().segment_bytes(4 << 30));
        limits(Options::new().log_cap_bytes(32 << 10));
    }

    #[test]
    fn sizes_that_contradict_each_other_are_refused_in_words_with_the_numbers() {
        let cap = refused(&Options::new().segment_bytes(10 << 20).log_cap_bytes(16 << 20));
        assert!(cap.contains("cap of 16777216 bytes") && cap.contains("two segments of 10485760"), "{cap}");
        let alone = refused(&Options::new().log_cap_bytes(8 << 10));
        assert!(alone.contains("the log's cap of 8192 bytes"), "what was set is to blame: {alone}");
        let reserve = refused(&Options::new().segment_bytes(64 << 10).reserve_bytes(128 << 10));
        assert!(reserve.contains("a reserve of 131072 bytes") && reserve.contains("65536"), "{reserve}");
        for segment in [0, 12 << 10, 5 << 30, u64::MAX] {
            assert!(refused(&Options::new().segment_bytes(segment)).contains("a segment of the log"));
        }
        for message in [cap, reserve] {
            assert!(!message.contains('_'), "no name of an option, which differs by language: {message}");
        }
    }
}
