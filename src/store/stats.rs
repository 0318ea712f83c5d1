//! Plain numbers and reports: what was counted, what was found. No logic.

use std::fmt;

use crate::block::{BlockNo, Epoch, Lsn, SegmentId};
use crate::format::checksum::Checksum;

/// What a store is and what it has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The highest commit.
    pub committed: Lsn,
    /// The highest commit known to survive power loss.
    pub durable: Lsn,
    /// This life's number.
    pub epoch: Epoch,
    /// Every commit up to this one is in the base.
    pub folded: Lsn,
    /// Segments of the log.
    pub segments: u64,
    /// Bytes in them.
    pub log_bytes: u64,
    /// Distinct blocks in them.
    pub log_blocks: u64,
    /// Blocks of the base.
    pub base_blocks: u64,
    /// Logical size, bytes.
    pub size_bytes: u64,
    /// Blocks that `allocate` can hand out again.
    pub free_blocks: u64,
    /// Read views held.
    pub pins: u64,
    /// Commits made.
    pub commits: u64,
    /// Barriers of the log run for them.
    pub barriers: u64,
    /// Blocks written by commits.
    pub blocks_written: u64,
    /// Bytes appended to the log, headers included.
    pub bytes_appended: u64,
    /// Groups spilled before their commit.
    pub spills: u64,
    /// Segments started.
    pub rotations: u64,
    /// Folds finished.
    pub folds: u64,
    /// Blocks folded.
    pub blocks_folded: u64,
    /// Blocks read from the log.
    pub reads_log: u64,
    /// Blocks read from the base.
    pub reads_base: u64,
    /// Reads that did not verify.
    pub checksum_failures: u64,
}

/// One place where bytes are not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Which file, and what is wrong there.
    pub what: String,
    /// The segment, if it is in the log.
    pub segment: Option<SegmentId>,
    /// Byte offset in the file.
    pub offset: u64,
    /// The block, where it is known.
    pub block: Option<BlockNo>,
    /// The commit, where it is known.
    pub version: Option<Lsn>,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.offset)?;
        if let Some(block) = self.block {
            write!(f, ", block {block}")?;
        }
        match self.version {
            Some(version) => write!(f, ", commit {version}"),
            None => Ok(()),
        }
    }
}

/// How a store was found when it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenKind {
    /// There was none; it was made.
    Created,
    /// It had been closed properly.
    Clean,
    /// It had not: a crash, a kill, a power cut.
    Unclean,
}

/// What recovery found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryReport {
    /// How the store was found.
    pub kind: OpenKind,
    /// This life's number.
    pub epoch: Epoch,
    /// The last commit that is there.
    pub last: Lsn,
    /// Segments read.
    pub segments: u64,
    /// Commits read from the log.
    pub commits: u64,
    /// Bytes behind the last commit that were never acknowledged, and are gone.
    pub torn_tail_bytes: u64,
    /// Batches without a commit marker that were rolled back at the end of the log.
    pub rolled_back_batches: u64,
    /// Commits at the end whose durability nothing proved: written again, or (read-only) merely served.
    pub unproven_commits: u64,
    /// Bytes written again for them.
    pub relogged_bytes: u64,
    /// Unproven commits that were given up because the disk is full; none of them was acknowledged as durable.
    pub given_up_commits: u64,
    /// What is damaged. Empty unless the store was opened for reading only.
    pub damage: Vec<Damage>,
}

/// What is known of one block besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockMetadata {
    /// The payload sum, seeded with store, block and version.
    pub checksum: u64,
    /// Its algorithm.
    pub algorithm: Checksum,
    /// The commit that wrote it.
    pub version: Lsn,
    /// Wall clock of that commit, ms since 1970.
    pub modified_ms: u64,
}

/// What a full verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// Blocks of the base that were read.
    pub base_blocks: u64,
    /// Versions in the log that were read.
    pub log_blocks: u64,
    /// Everything that does not verify.
    pub damage: Vec<Damage>,
}
