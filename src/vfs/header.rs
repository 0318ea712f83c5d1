//! The few bytes of a database header which this VFS looks at.
//!
//! Three things hang on them. Bytes 18 and 19 say "WAL mode" when they are 2; such a database is read and
//! written as 1, because nothing of WAL mode exists here and SQLite could not open it. Bytes 24 to 39 (change
//! counter and size) are what SQLite reads by themselves, when it takes a lock, to find out whether its page
//! cache still agrees with the file. It is told so by what the file knows, not by the counter alone: a
//! connection with locking_mode=EXCLUSIVE does not raise the counter. And so a page 1 in which only the counter
//! differs (bytes 24 to 27, and 92 to 95, which repeat it) need not be written at all.

use crate::block::Lsn;
use crate::planted::{Bug, planted};

/// Where the file format's write and read versions stand.
const VERSIONS: std::ops::Range<u64> = 18..20;

/// What SQLite compares with its cache.
const STAMP_AT: u64 = 24;
const STAMP_LEN: usize = 16;

/// The change counter, and the counter for which the size in the header is valid: SQLite raises both, to the same
/// number, with the first change of every transaction (section 1.3 of its file format).
const COUNTERS: [std::ops::Range<usize>; 2] = [24..28, 92..96];

/// No page is smaller.
const PAGE_MIN: usize = 512;

/// A stamp that no database has: it claims more pages than SQLite can address. Not all ones, which is what SQLite
/// itself keeps when it could not read page 1: the two are not alike.
const FOREIGN: [u8; STAMP_LEN] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0];

/// Whether this is the read by which SQLite asks if its cache still agrees with the file.
pub(super) fn is_stamp(buf: &[u8], offset: u64) -> bool {
    offset == STAMP_AT && buf.len() == STAMP_LEN
}

/// Whether a piece of the file that begins at `offset` says "WAL mode".
pub(super) fn says_wal(bytes: &[u8], offset: u64) -> bool {
    !planted(Bug::ServeWalMode)
        && offset < VERSIONS.end
        && VERSIONS.filter_map(|place| position(place, offset)).any(|at| bytes.get(at) == Some(&2))
}

/// Turns "WAL mode" into "rollback mode" in a piece of the file that begins at `offset`; whether it said WAL mode.
pub(super) fn as_rollback_mode(bytes: &mut [u8], offset: u64) -> bool {
    let says_wal = says_wal(bytes, offset);
    if says_wal {
        for at in VERSIONS.filter_map(|place| position(place, offset)) {
            if let Some(byte @ 2) = bytes.get_mut(at) {
                *byte = 1;
            }
        }
    }
    says_wal
}

fn position(place: u64, offset: u64) -> Option<usize> {
    usize::try_from(place.checked_sub(offset)?).ok()
}

/// Keeps page 1 at hand, and knows when SQLite's cache must not be trusted.
#[derive(Debug, Default)]
pub(super) struct Watch {
    moved: bool,
    kept: Option<Kept>,
}

/// What SQLite last read or wrote at the start of the file.
#[derive(Debug)]
struct Kept {
    at: Lsn,
    stamp: [u8; STAMP_LEN],
    /// The whole page, but for the counters as the store has it; empty if it is not known.
    page: Vec<u8>,
}

impl Watch {
    /// What SQLite has cached came from another commit than what it will read.
    pub(super) fn moved(&mut self) {
        self.moved = true;
    }

    /// What was kept may be of a batch that came to nothing.
    pub(super) fn forget(&mut self) {
        self.kept = None;
    }

    /// The store has, or is about to get, something else from `offset` on.
    pub(super) fn changes(&mut self, offset: u64) {
        if let Some(kept) = &mut self.kept
            && offset < kept.page.len() as u64
        {
            kept.page.clear();
        }
    }

    /// Answers the read of the stamp without touching the store, if it can be.
    pub(super) fn answer(&mut self, buf: &mut [u8], offset: u64, at: Option<Lsn>) -> Option<usize> {
        if !is_stamp(buf, offset) {
            return None;
        }
        if std::mem::take(&mut self.moved) {
            buf.copy_from_slice(&FOREIGN);
            return Some(STAMP_LEN);
        }
        buf.copy_from_slice(&self.kept_at(at)?.stamp);
        Some(STAMP_LEN)
    }

    /// Whether `bytes` at `offset` are page 1 as the store has it, but for the counters.
    pub(super) fn only_counts(&self, bytes: &[u8], offset: u64, at: Option<Lsn>) -> bool {
        let Some(kept) = self.kept_at(at).filter(|kept| offset == 0 && kept.page.len() == bytes.len()) else {
            return false;
        };
        let [counter, valid_for] = COUNTERS;
        let parts = [0..counter.start, counter.end..valid_for.start, valid_for.end..bytes.len()];
        let first = if planted(Bug::TakeHeaderForCounter) { 2 } else { 0 };
        parts[first..].iter().all(|part| kept.page[part.clone()] == bytes[part.clone()])
    }

    /// Keeps what was read or written at `offset`, for the commit `at`.
    pub(super) fn note(&mut self, bytes: &[u8], offset: u64, at: Option<Lsn>) {
        if offset != 0 {
            return;
        }
        let start = usize::try_from(STAMP_AT).expect("a small number");
        if let (Some(at), Some(stamp)) = (at, bytes.get(start..start + STAMP_LEN)) {
            let stamp = stamp.try_into().expect("cut to length");
            let page = if bytes.len() < PAGE_MIN { Vec::new() } else { bytes.to_vec() };
            self.kept = Some(Kept { at, stamp, page });
        }
    }

    /// What was kept is now of the commit `at`.
    pub(super) fn committed(&mut self, at: Lsn) {
        if let Some(kept) = &mut self.kept {
            kept.at = at;
        }
    }

    fn kept_at(&self, at: Option<Lsn>) -> Option<&Kept> {
        self.kept.as_ref().filter(|kept| Some(kept.at) == at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wal_mode_is_refused_and_harmless_in_whatever_piece_it_is_read() {
        let mut page = [0_u8; 100];
        page[18] = 2;
        page[19] = 2;
        assert!(says_wal(&page, 0));
        as_rollback_mode(&mut page, 0);
        assert_eq!((page[18], page[19]), (1, 1));
        assert!(!says_wal(&page, 0));
        let mut one = [2_u8];
        as_rollback_mode(&mut one, 19);
        assert_eq!(one, [1]);
        assert!(!says_wal(&[2; 40], 4096) && !says_wal(&[2; 40], 20) && !says_wal(&[2; 10], 0));
    }

    #[test]
    fn a_page_counts_only_if_nothing_else_differs_from_what_the_store_has() {
        let mut watch = Watch::default();
        let mut page = [7; 512];
        watch.note(&page, 0, Some(Lsn(1)));
        page[24..28].fill(1);
        page[92..96].fill(1);
        let counts = |watch: &Watch, page: &[u8]| watch.only_counts(page, 0, Some(Lsn(1)));
        assert!(counts(&watch, &page));
        assert!(!watch.only_counts(&page, 0, Some(Lsn(2))) && !watch.only_counts(&page, 512, Some(Lsn(1))));
        assert!(!counts(&watch, &page[..100]) && !counts(&watch, &[7; 1024]));
        for at in [0, 23, 28, 60, 91, 96, 511] {
            let mut other = page;
            other[at] = 0;
            assert!(!counts(&watch, &other), "byte {at}");
        }
        watch.changes(512);
        assert!(counts(&watch, &page));
        watch.changes(511);
        assert!(!counts(&watch, &page), "something was written into the page");
        watch.note(&page, 0, Some(Lsn(1)));
        watch.forget();
        assert!(!counts(&watch, &page));
        watch.note(&page[..100], 0, Some(Lsn(1)));
        assert!(!counts(&watch, &page[..100]), "a header alone is no page");
    }

    #[test]
    fn a_moved_view_is_told_to_sqlite_exactly_once() {
        let mut watch = Watch::default();
        watch.note(&[5; 100], 0, Some(Lsn(1)));
        watch.moved();
        let mut stamp = [0; STAMP_LEN];
        assert_eq!(watch.answer(&mut stamp, 24, Some(Lsn(2))), Some(16));
        assert_eq!(stamp, FOREIGN);
        assert_ne!(stamp, [0xff; STAMP_LEN], "SQLite's own, for a page 1 that it could not read");
        assert_eq!(watch.answer(&mut stamp, 24, Some(Lsn(2))), None, "the kept one is of another commit");
        assert_eq!(watch.answer(&mut stamp, 24, Some(Lsn(1))), Some(16));
        assert_eq!(stamp, [5; STAMP_LEN]);
        assert_eq!(watch.answer(&mut [0; 100], 0, Some(Lsn(1))), None);
    }
}
