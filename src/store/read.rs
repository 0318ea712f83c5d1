//! Finding a block: the log first, then the base.
//!
//! Only finding: the driver reads the bytes outside of its lock and verifies them with [`verify`].

use std::sync::Arc;

use super::batch::{Batch, Own};
use super::index::{Place, Resolved};
use super::stats::BlockMetadata;
use super::{Store, base};
use crate::block::{BLOCK_SIZE, BlockBytes, BlockNo, Lsn, StoreId};
use crate::error::{Error, ErrorKind, Result, fail};
use crate::format::checksum::Checksum;
use crate::format::sums::{BaseEntry, SumsPage};
use crate::log::plan::{Address, Area};
use crate::log::source::Source;
use crate::planted::{Bug, planted};

/// Where the bytes of a block are.
#[derive(Clone, Debug)]
pub enum Found {
    /// It reads as zeros.
    Zeros,
    /// In memory: from byte `at`, one block long.
    Memory(Arc<[u8]>, usize),
    /// On the medium.
    At(Address),
}

impl Store {
    /// Finds `block` as of commit `at`, which must be pinned.
    ///
    /// # Errors
    /// * `Corrupt`, `AlgoMismatch`: what is known of the block is damaged.
    /// * `Io`: the medium refused.
    pub fn find(&mut self, source: &dyn Source, block: BlockNo, at: Lsn) -> Result<Found> {
        match self.index.resolve(block, at) {
            Resolved::Entry(entry) => Ok(match entry.place {
                Some(place) => self.in_log(block, entry.version, place),
                None => Found::Zeros,
            }),
            Resolved::Trimmed(_) => Ok(Found::Zeros),
            Resolved::NotInLog => self.in_base(source, block),
        }
    }

    /// Finds `block` as the writer of `batch` sees it. `Err` holds staged bytes.
    ///
    /// # Errors
    /// As [`Store::find`].
    pub fn find_in<'a>(
        &mut self,
        source: &dyn Source,
        batch: &'a Batch,
        block: BlockNo,
    ) -> Result<std::result::Result<Found, &'a BlockBytes>> {
        match batch.own(block) {
            Own::Staged(bytes) => Ok(Err(bytes)),
            Own::Spilled(place) => {
                let version = batch.lsn.expect("a batch that spilled has a number");
                Ok(Ok(self.in_log(block, version, place)))
            }
            Own::Trimmed => Ok(Ok(Found::Zeros)),
            Own::Unchanged => self.find(source, block, batch.view).map(Ok),
        }
    }

    /// What is known of the newest version of `block`; `None` if it was never written or was trimmed.
    ///
    /// # Errors
    /// As [`Store::find`].
    pub fn metadata(&mut self, source: &dyn Source, block: BlockNo) -> Result<Option<BlockMetadata>> {
        let algorithm = self.checksum();
        match self.index.resolve(block, self.committed) {
            Resolved::Entry(entry) => Ok(entry.place.map(|place| BlockMetadata {
                checksum: place.sum,
                algorithm,
                version: entry.version,
                modified_ms: entry.modified_ms,
            })),
            Resolved::Trimmed(_) => Ok(None),
            Resolved::NotInLog => Ok(match self.base_entry(source, block)? {
                BaseEntry::Present { version, sum, modified_ms } => {
                    Some(BlockMetadata { checksum: sum, algorithm, version, modified_ms })
                }
                BaseEntry::Absent | BaseEntry::Trimmed { .. } => None,
            }),
        }
    }

    pub(crate) fn base_entry(&mut self, source: &dyn Source, block: BlockNo) -> Result<BaseEntry> {
        let blocks = self.meta.body.base_blocks;
        let whose = (self.meta.store, self.checksum());
        let (number, _) = SumsPage::place(block);
        let page =
            self.base.page(source, whose, number, blocks).map_err(|error| error.in_store(&self.name))?;
        Ok(base::entry(&page, block))
    }

    fn in_log(&mut self, block: BlockNo, version: Lsn, place: Place) -> Found {
        self.stats.reads_log += 1;
        let held = self.retained.iter().find_map(|held| {
            let at = (place.page.checked_sub(held.page)?) as usize * BLOCK_SIZE;
            let inside = held.segment == place.segment && at < held.bytes.len();
            inside.then(|| Found::Memory(Arc::clone(&held.bytes), at))
        });
        held.unwrap_or_else(|| Found::At(log_address(block, version, place)))
    }

    fn in_base(&mut self, source: &dyn Source, block: BlockNo) -> Result<Found> {
        let BaseEntry::Present { version, sum, .. } = self.base_entry(source, block)? else {
            return Ok(Found::Zeros);
        };
        if version > self.meta.body.folded && !planted(Bug::SkipOvertakenCheck) {
            // A fold that never finished has overtaken the log, and the log no longer has the block.
            let message = format!(
                "{}: base.db: block {block} is of commit {version}, which the log has lost; `datasync salvage` saves \
                 the rest",
                self.name
            );
            return fail(ErrorKind::Corrupt, message);
        }
        self.stats.reads_base += 1;
        let offset = block.0 * BLOCK_SIZE as u64;
        Ok(Found::At(Address { block, version, sum, area: Area::Base, offset }))
    }
}

/// The address of a payload in the log.
pub(crate) fn log_address(block: BlockNo, version: Lsn, place: Place) -> Address {
    let area = Area::Segment(place.segment);
    Address { block, version, sum: place.sum, area, offset: u64::from(place.page) * BLOCK_SIZE as u64 }
}

/// Checks that `bytes` are what was written to `address`.
///
/// # Errors
/// `Corrupt`, naming the place.
pub fn verify(checksum: Checksum, store: StoreId, address: &Address, bytes: &BlockBytes) -> Result<()> {
    if planted(Bug::SkipReadCheck)
        || checksum.sum(store, address.block, address.version, bytes) == address.sum
    {
        return Ok(());
    }
    Err(mismatch(address))
}

/// The error for bytes that do not verify.
pub(crate) fn mismatch(address: &Address) -> Error {
    let Address { block, version, area, offset, .. } = address;
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "{area}: block {block} (commit {version}) at byte {offset} is not what was written; \
                 `datasync verify` lists all damage, `datasync salvage` saves the rest"
        ),
    )
}
