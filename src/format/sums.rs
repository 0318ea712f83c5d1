//! A page of `base.sum`: version and checksum of 168 consecutive base blocks.
//!
//! Each page has two places on the medium, 4 KiB apart (slot 0 and slot 1), because the 4 KiB being
//! written when the power goes may hold anything afterwards. The two are equal when no fold is under way.

use super::checksum::Checksum;
use super::{DIGEST_AT, FORMAT_VERSION, Flaw, Put, Take, check_page, seal_page};
use crate::block::{BLOCK_SIZE, BlockBytes, BlockNo, Lsn, StoreId};
use crate::planted::{Bug, planted};

/// First bytes of a page of `base.sum`.
pub const MAGIC: [u8; 4] = *b"DSB1";
/// Blocks that one page describes.
pub const BLOCKS_PER_PAGE: u64 = 168;
const ENTRIES_AT: usize = 56;
const MODIFIED_MAX: u64 = (1 << 48) - 1;

/// What is known of one base block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BaseEntry {
    /// Never written.
    #[default]
    Absent,
    /// Its bytes are in `base.db`.
    Present {
        /// The commit that wrote it.
        version: Lsn,
        /// Its payload sum.
        sum: u64,
        /// Wall clock of that commit, ms since 1970.
        modified_ms: u64,
    },
    /// Given back; reads as zeros.
    Trimmed {
        /// The commit that trimmed it.
        version: Lsn,
        /// Wall clock of that commit, ms since 1970.
        modified_ms: u64,
    },
}

impl BaseEntry {
    /// Whether commit `lsn` or one before it trimmed the block.
    #[must_use]
    pub fn trimmed_by(&self, lsn: Lsn) -> bool {
        matches!(self, Self::Trimmed { version, .. } if *version <= lsn)
    }
}

/// One page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SumsPage {
    /// The store.
    pub store: StoreId,
    /// The algorithm of the sums.
    pub checksum: Checksum,
    /// Which page: it describes blocks from `page * 168`.
    pub page: u64,
    /// Raised by every fold that rewrites the page; the higher of two valid slots counts.
    pub seq: u64,
    /// 168 entries.
    pub entries: Vec<BaseEntry>,
}

impl SumsPage {
    /// A page on which nothing was ever written.
    #[must_use]
    pub fn empty(store: StoreId, checksum: Checksum, page: u64) -> Self {
        Self { store, checksum, page, seq: 0, entries: vec![BaseEntry::Absent; BLOCKS_PER_PAGE as usize] }
    }

    /// Which page a block is on, and which entry of it.
    #[must_use]
    pub fn place(block: BlockNo) -> (u64, usize) {
        (block.0 / BLOCKS_PER_PAGE, (block.0 % BLOCKS_PER_PAGE) as usize)
    }

    /// Byte offset of a slot of a page in `base.sum`.
    #[must_use]
    pub fn offset(page: u64, slot: u8) -> u64 {
        (page * 2 + u64::from(slot)) * BLOCK_SIZE as u64
    }

    /// Writes the page for one of its slots.
    pub fn encode(&self, slot: u8, out: &mut BlockBytes) {
        assert_eq!(self.entries.len() as u64, BLOCKS_PER_PAGE, "entries of a page of base.sum");
        *out = [0; BLOCK_SIZE];
        let mut put = Put::new(out);
        put.bytes(&MAGIC).u16(FORMAT_VERSION).u8(self.checksum.code()).u8(slot).bytes(&self.store.0);
        put.u64(self.page).u64(self.seq).bytes(&[0; 16]);
        for entry in &self.entries {
            let (version, sum, modified_ms, state) = match *entry {
                BaseEntry::Absent => (0, 0, 0, 0),
                BaseEntry::Present { version, sum, modified_ms } => (version.0, sum, modified_ms, 1),
                BaseEntry::Trimmed { version, modified_ms } => (version.0, 0, modified_ms, 2),
            };
            let modified_ms = modified_ms.min(MODIFIED_MAX).to_le_bytes();
            put.u64(version).u64(sum).bytes(&modified_ms[..6]).u8(state).u8(0);
        }
        seal_page(out);
    }

    /// Reads a page and checks that it is the one that belongs into this slot of this store.
    ///
    /// # Errors
    /// The first [`Flaw`] found.
    pub fn decode(bytes: &BlockBytes, store: StoreId, page: u64, slot: u8) -> Result<Self, Flaw> {
        check_page(bytes, MAGIC)?;
        let mut take = Take::new(&bytes[6..]);
        let (code, own_slot) = (take.u8(), take.u8());
        let checksum = Checksum::from_code(code).ok_or(Flaw::Malformed("unknown checksum algorithm"))?;
        if StoreId(take.array()) != store && !planted(Bug::SkipSumsStore) {
            return Err(Flaw::Foreign("another store"));
        }
        let (own_page, seq, zeros) = (take.u64(), take.u64(), take.array::<16>());
        if own_page != page && !planted(Bug::SkipSumsPage) {
            return Err(Flaw::Foreign("another page"));
        }
        if own_slot != slot && !planted(Bug::SkipSumsSlot) {
            return Err(Flaw::Foreign("another slot"));
        }
        if zeros != [0; 16] {
            return Err(Flaw::Malformed("header of a page of base.sum"));
        }
        let mut take = Take::new(&bytes[ENTRIES_AT..DIGEST_AT]);
        let entries = (0..BLOCKS_PER_PAGE).map(|_| decode_entry(&mut take)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { store, checksum, page, seq, entries })
    }
}

fn decode_entry(take: &mut Take<'_>) -> Result<BaseEntry, Flaw> {
    let (version, sum) = (Lsn(take.u64()), take.u64());
    let mut wall = [0; 8];
    wall[..6].copy_from_slice(&take.array::<6>());
    let modified_ms = u64::from_le_bytes(wall);
    match (take.u8(), take.u8()) {
        (0, 0) if version.0 == 0 && sum == 0 && modified_ms == 0 => Ok(BaseEntry::Absent),
        (1, 0) => Ok(BaseEntry::Present { version, sum, modified_ms }),
        (2, 0) if sum == 0 => Ok(BaseEntry::Trimmed { version, modified_ms }),
        _ => Err(Flaw::Malformed("entry of base.sum")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_sums_reads_back_only_in_its_own_place() {
        let store = StoreId([8; 16]);
        let mut page = SumsPage::empty(store, Checksum::Xxh3, 3);
        page.seq = 12;
        page.entries[0] = BaseEntry::Present { version: Lsn(4), sum: 99, modified_ms: 1_700_000_000_000 };
        page.entries[167] = BaseEntry::Trimmed { version: Lsn(5), modified_ms: 7 };
        let mut bytes = [0; BLOCK_SIZE];
        page.encode(1, &mut bytes);
        assert_eq!(SumsPage::decode(&bytes, store, 3, 1), Ok(page.clone()));
        // A time takes 48 bits. What is later than that, in ten thousand years, is the last of them.
        let timed = |modified_ms| BaseEntry::Trimmed { version: Lsn(5), modified_ms };
        for (given, kept) in [((1 << 48) - 1, (1 << 48) - 1), (1 << 48, (1 << 48) - 1)] {
            let mut later = page.clone();
            later.entries[7] = timed(given);
            later.encode(1, &mut bytes);
            let read = SumsPage::decode(&bytes, store, 3, 1).unwrap();
            assert_eq!(read.entries[7], timed(kept));
        }
        page.encode(1, &mut bytes);
        assert!(matches!(SumsPage::decode(&bytes, store, 3, 0), Err(Flaw::Foreign(_))));
        assert!(matches!(SumsPage::decode(&bytes, store, 4, 1), Err(Flaw::Foreign(_))));
        assert!(matches!(SumsPage::decode(&bytes, StoreId([9; 16]), 3, 1), Err(Flaw::Foreign(_))));
        assert_eq!(SumsPage::decode(&[0; BLOCK_SIZE], store, 3, 1), Err(Flaw::NotThere));
    }
}
