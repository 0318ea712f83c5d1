//! The numbers of the store, one type each, so that none can stand in for another.
//!
//! Everything here is plain data. The rule this file keeps: an arithmetic step that could wrap is
//! checked here once and nowhere else.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Bytes in a block of user data, in a page of the log and in every unit the store writes.
pub const BLOCK_SIZE: usize = 4096;

/// One more than the largest [`BlockNo`]: 2^36 blocks, 256 TiB, above SQLite's own limit for 4 KiB pages.
pub const BLOCK_COUNT_MAX: u64 = 1 << 36;

/// One more than the largest [`Lsn`], [`Epoch`] or other running number that is read from a medium: no store
/// lives to count so far, and what is below can be counted on from.
pub const NUMBER_MAX: u64 = 1 << 62;

/// The bytes of one block.
pub type BlockBytes = [u8; BLOCK_SIZE];

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub u64);

        impl $name {
            /// The number after this one. Panics past `u64::MAX`, which no store lives to see.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.checked_add(1).expect("a 64-bit number of the store ran out"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// Address of a block, counted from 0.
    BlockNo
);
number!(
    /// Number of a commit; each commit is one higher than the last. 0 stands for "before the first".
    Lsn
);
number!(
    /// Number of a writer's life, raised by every writable open.
    Epoch
);
number!(
    /// Number of a log segment. Together with the epoch it is never used twice.
    SegmentId
);

/// The name of a commit for good: an [`Lsn`] alone may be used again after a rollback, the pair never is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId {
    /// The life of the store that made the commit.
    pub epoch: Epoch,
    /// Its number.
    pub lsn: Lsn,
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.lsn)
    }
}

/// Identity of a store, drawn once when it is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StoreId(pub [u8; 16]);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Who asked for a commit, for exactly-once forwarding. All zero means nobody asked to be remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tag {
    /// The client that sent the request.
    pub client: u64,
    /// The client's own number for the request.
    pub seq: u64,
    /// Which commit of that request this is, from 1.
    pub ordinal: u32,
}

/// What a caller wants of a commit before it is told "done".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// Visible to everyone; may vanish in a crash, together with everything after it, never with a gap.
    Applied,
    /// A barrier has covered it: it survives power loss.
    #[default]
    Durable,
    /// `Durable`, and the log itself holds a durable proof of it: even later rot of it is reported, not
    /// mistaken for a torn tail.
    Witnessed,
}

/// How many blocks hold `bytes` bytes.
#[must_use]
pub fn blocks_for(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK_SIZE as u64)
}

/// Whether every byte is zero: the first one is, and each equals the one before it, which the library's
/// comparison of slices finds out many bytes at a time.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    bytes.split_last().is_none_or(|(_, but_last)| bytes[0] == 0 && *but_last == bytes[1..])
}
