//! What is known of the blocks of the base, and which of the two slots of a `base.sum` page to believe.
//!
//! The rule: of two valid slots the one with the higher sequence counts. Whether an invalid slot is torn or
//! rotten depends on the log (a fold touches only pages of blocks that are in the log), so the caller
//! says whether one was under way.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::block::{BLOCK_SIZE, BlockNo, StoreId};
use crate::error::{ErrorKind, Result, fail};
use crate::format::Flaw;
use crate::format::checksum::Checksum;
use crate::format::sums::{BLOCKS_PER_PAGE, BaseEntry, SumsPage};
use crate::log::plan::Area;
use crate::log::reader::read_page;
use crate::log::source::Source;
use crate::planted::{Bug, planted};

/// Pages of `base.sum` held in memory: 2048 pages describe 1.3 GiB and take about 11 MiB.
const PAGES_CACHED: usize = 2048;

/// The two slots of one page as they were read.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    pub(crate) slots: [std::result::Result<SumsPage, Flaw>; 2],
}

impl Slots {
    pub(crate) fn read(source: &dyn Source, store: StoreId, page: u64) -> Result<Self> {
        let read = |slot: u8| -> Result<_> {
            let mut bytes = [0; BLOCK_SIZE];
            read_page(source, Area::Sums, SumsPage::offset(page, slot) / BLOCK_SIZE as u64, &mut bytes)?;
            Ok(SumsPage::decode(&bytes, store, page, slot))
        };
        Ok(Self { slots: [read(0)?, read(1)?] })
    }

    /// The page that counts, if any slot is sound.
    pub(crate) fn winner(&self) -> Option<&SumsPage> {
        match &self.slots {
            [Ok(first), Ok(_)] if planted(Bug::FirstSlotWins) => Some(first),
            [Ok(first), Ok(second)] => Some(if second.seq > first.seq { second } else { first }),
            [Ok(one), Err(_)] | [Err(_), Ok(one)] => Some(one),
            [Err(_), Err(_)] => None,
        }
    }

    /// Both slots are sound and say the same.
    pub(crate) fn level(&self) -> bool {
        matches!(&self.slots, [Ok(first), Ok(second)] if first == second)
    }

    /// What slot 1 must be made, and barriered, before slot 0 may be written over.
    ///
    /// A fold writes slot 0, then a barrier, then slot 1. So an older slot 1 is durable; an equal one may be
    /// in the cache only, with slot 0 durable; an invalid one was being written, with slot 0 durable.
    pub(crate) fn unproven_second(&self) -> Option<&SumsPage> {
        match &self.slots {
            [Ok(first), Ok(second)] if first.seq == second.seq => Some(first),
            [Ok(first), Err(_)] => Some(first),
            _ => None,
        }
    }
}

/// Pages of `base.sum` in memory, the most recently used ones.
#[derive(Debug, Default)]
pub(crate) struct BaseSums {
    pages: BTreeMap<u64, Arc<SumsPage>>,
    order: VecDeque<u64>,
}

impl BaseSums {
    /// The page, from memory or from the medium, with everything from `base_blocks` on taken as absent.
    pub(crate) fn page(
        &mut self,
        source: &dyn Source,
        (store, checksum): (StoreId, Checksum),
        page: u64,
        base_blocks: u64,
    ) -> Result<Arc<SumsPage>> {
        if let Some(found) = self.pages.get(&page) {
            return Ok(Arc::clone(found));
        }
        let mut found = load(source, (store, checksum), page, base_blocks)?;
        mask(&mut found, base_blocks);
        let found = Arc::new(found);
        if self.order.len() >= PAGES_CACHED
            && let Some(oldest) = self.order.pop_front()
        {
            self.pages.remove(&oldest);
        }
        self.order.push_back(page);
        self.pages.insert(page, Arc::clone(&found));
        Ok(found)
    }

    /// Forgets everything: a fold has changed the pages.
    pub(crate) fn clear(&mut self) {
        self.pages.clear();
        self.order.clear();
    }
}

fn load(
    source: &dyn Source,
    (store, checksum): (StoreId, Checksum),
    page: u64,
    base_blocks: u64,
) -> Result<SumsPage> {
    if page * BLOCKS_PER_PAGE >= base_blocks {
        return Ok(SumsPage::empty(store, checksum, page));
    }
    let slots = match Slots::read(source, store, page) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Slots { slots: [Err(Flaw::NotThere), Err(Flaw::NotThere)] }
        }
        read => read?,
    };
    let Some(winner) = slots.winner() else {
        return fail(
            ErrorKind::Corrupt,
            format!(
                "base.sum: both copies of page {page} (blocks {}..) are damaged; `datasync salvage` \
                     saves the rest",
                page * BLOCKS_PER_PAGE
            ),
        );
    };
    if winner.checksum != checksum {
        return fail(
            ErrorKind::AlgoMismatch,
            format!(
                "base.sum: page {page} is summed with {}, the store with {}",
                winner.checksum.name(),
                checksum.name()
            ),
        );
    }
    Ok(winner.clone())
}

/// Takes every block from `base_blocks` on as absent: the base has been cut there.
pub(crate) fn mask(page: &mut SumsPage, base_blocks: u64) {
    let first = page.page * BLOCKS_PER_PAGE;
    for (block, entry) in (first..).zip(&mut page.entries) {
        if block >= base_blocks && !planted(Bug::SkipMask) {
            *entry = BaseEntry::Absent;
        }
    }
}

/// The entry of a block on its page.
pub(crate) fn entry(page: &SumsPage, block: BlockNo) -> BaseEntry {
    let (number, at) = SumsPage::place(block);
    assert_eq!(number, page.page, "block {block} is not on page {}", page.page);
    page.entries[at]
}
