//! The header page of a segment: its identity, and exactly where its predecessor ended.

use super::checksum::Checksum;
use super::group::Identity;
use super::{DIGEST_AT, FORMAT_VERSION, Flaw, Put, Take, check_page, seal_page};
use crate::block::{BLOCK_SIZE, BlockBytes, Epoch, Lsn, SegmentId, StoreId};

/// First bytes of a segment header.
pub const MAGIC: [u8; 4] = *b"DSS1";
const USED: usize = 88;

/// Where a segment ends for good: nothing behind it counts, everything before it must be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cut {
    /// One more than the last page that counts.
    pub end_page: u32,
    /// Number of the last batch that began before the cut (committed or not).
    pub lsn: Lsn,
    /// Digest of the last header before the cut.
    pub chain: u64,
}

/// The content of a segment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Whose it is.
    pub identity: Identity,
    /// The first batch that begins here has a number one higher than this.
    pub after: Lsn,
    /// Pages written together with this header, itself included, before META listed the segment. A group behind
    /// them proves that a META which lists it had been durable.
    pub born_pages: u32,
    /// The segment before it and where that one ended; `None` when the log was empty.
    pub previous: Option<(SegmentId, Cut)>,
}

impl SegmentHeader {
    /// Writes the header page and returns its digest, the chain of the first group.
    pub fn encode(&self, page: &mut BlockBytes) -> u64 {
        *page = [0; BLOCK_SIZE];
        let (previous, cut) = self.previous.unwrap_or_default();
        let mut put = Put::new(page);
        put.bytes(&MAGIC).u16(FORMAT_VERSION).u8(u8::from(self.previous.is_some()));
        put.u8(self.identity.checksum.code()).bytes(&self.identity.store.0);
        put.u64(self.identity.segment.0).u64(self.identity.salt).u64(self.identity.epoch.0).u64(self.after.0);
        put.u64(previous.0).u32(cut.end_page).u32(self.born_pages).u64(cut.lsn.0).u64(cut.chain);
        seal_page(page)
    }

    /// Reads a header page; returns the header and its digest.
    ///
    /// # Errors
    /// The first [`Flaw`] found.
    pub fn decode(page: &BlockBytes) -> Result<(Self, u64), Flaw> {
        let digest = check_page(page, MAGIC)?;
        let mut take = Take::new(&page[6..]);
        let (has_previous, code) = (take.u8(), take.u8());
        let checksum = Checksum::from_code(code).ok_or(Flaw::Malformed("unknown checksum algorithm"))?;
        let store = StoreId(take.array());
        let (segment, salt, epoch) = (SegmentId(take.u64()), take.u64(), Epoch(take.u64()));
        let (after, previous) = (Lsn(take.u64()), SegmentId(take.u64()));
        let (end_page, born_pages, lsn, chain) = (take.u32(), take.u32(), Lsn(take.u64()), take.u64());
        if has_previous > 1 || born_pages == 0 || !crate::block::is_zero(&page[USED..DIGEST_AT]) {
            return Err(Flaw::Malformed("segment header"));
        }
        if has_previous == 0 && (previous, Cut { end_page, lsn, chain }) != Default::default() {
            return Err(Flaw::Malformed("a cut of no segment"));
        }
        let previous = (has_previous == 1).then_some((previous, Cut { end_page, lsn, chain }));
        let identity = Identity { store, checksum, segment, salt, epoch };
        Ok((Self { identity, after, born_pages, previous }, digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_header_reads_back_as_it_was_written() {
        let identity = Identity {
            store: StoreId([3; 16]),
            checksum: Checksum::Xxh3,
            segment: SegmentId(9),
            salt: 1,
            epoch: Epoch(4),
        };
        let cut = Cut { end_page: 7, lsn: Lsn(5), chain: 99 };
        for previous in [None, Some((SegmentId(8), cut))] {
            let header = SegmentHeader { identity, after: Lsn(6), born_pages: 3, previous };
            let mut page = [1; BLOCK_SIZE];
            let digest = header.encode(&mut page);
            assert_eq!(SegmentHeader::decode(&page), Ok((header, digest)));
            page[USED] = 1;
            assert_eq!(SegmentHeader::decode(&page), Err(Flaw::Digest));
        }
    }
}
