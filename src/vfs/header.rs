//! The few bytes of a database header which this VFS looks at.
//!
//! Two things hang on them. Bytes 18 and 19 say "WAL mode" when they are 2; such a database is read and
//! written as 1, because nothing of WAL mode exists here and SQLite could not open it. Bytes 24 to 39 (change
//! counter and size) are what SQLite reads by themselves, when it takes a lock, to find out whether its page
//! cache still agrees with the file. It is told so by what the file knows, not by the counter alone: a
//! connection with locking_mode=EXCLUSIVE does not raise the counter.

use crate::block::Lsn;
use crate::planted::{Bug, planted};

/// Where the file format's write and read versions stand.
const VERSIONS: std::ops::Range<u64> = 18..20;

/// What SQLite compares with its cache.
const STAMP_AT: u64 = 24;
const STAMP_LEN: usize = 16;

/// A stamp that no database has: it claims more pages than SQLite can address.
const FOREIGN: [u8; STAMP_LEN] = [0xff; STAMP_LEN];

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

/// Turns "WAL mode" into "rollback mode" in a piece of the file that begins at `offset`.
pub(super) fn as_rollback_mode(bytes: &mut [u8], offset: u64) {
    if says_wal(bytes, offset) {
        for at in VERSIONS.filter_map(|place| position(place, offset)) {
            if let Some(byte @ 2) = bytes.get_mut(at) {
                *byte = 1;
            }
        }
    }
}

fn position(place: u64, offset: u64) -> Option<usize> {
    usize::try_from(place.checked_sub(offset)?).ok()
}

/// Keeps the stamp at hand, and knows when SQLite's cache must not be trusted.
#[derive(Debug, Default)]
pub(super) struct Watch {
    moved: bool,
    stamp: Option<(Lsn, [u8; STAMP_LEN])>,
}

impl Watch {
    /// What SQLite has cached came from another commit than what it will read.
    pub(super) fn moved(&mut self) {
        self.moved = true;
    }

    /// The stamp that was kept may be of a batch that came to nothing.
    pub(super) fn forget(&mut self) {
        self.stamp = None;
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
        let (lsn, stamp) = self.stamp.as_ref()?;
        if Some(*lsn) != at {
            return None;
        }
        buf.copy_from_slice(stamp);
        Some(STAMP_LEN)
    }

    /// Keeps the stamp out of bytes read or written at `offset`, for the commit `at`.
    pub(super) fn note(&mut self, bytes: &[u8], offset: u64, at: Option<Lsn>) {
        if offset != 0 {
            return;
        }
        let start = usize::try_from(STAMP_AT).expect("a small number");
        if let (Some(at), Some(stamp)) = (at, bytes.get(start..start + STAMP_LEN)) {
            self.stamp = Some((at, stamp.try_into().expect("cut to length")));
        }
    }

    /// The kept stamp is now that of the commit `at`.
    pub(super) fn committed(&mut self, at: Lsn) {
        if let Some((lsn, _)) = &mut self.stamp {
            *lsn = at;
        }
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
    fn a_moved_view_is_told_to_sqlite_exactly_once() {
        let mut watch = Watch::default();
        watch.note(&[5; 100], 0, Some(Lsn(1)));
        watch.moved();
        let mut stamp = [0; STAMP_LEN];
        assert_eq!(watch.answer(&mut stamp, 24, Some(Lsn(2))), Some(16));
        assert_eq!(stamp, FOREIGN);
        assert_eq!(watch.answer(&mut stamp, 24, Some(Lsn(2))), None, "the kept one is of another commit");
        assert_eq!(watch.answer(&mut stamp, 24, Some(Lsn(1))), Some(16));
        assert_eq!(stamp, [5; STAMP_LEN]);
        assert_eq!(watch.answer(&mut [0; 100], 0, Some(Lsn(1))), None);
    }
}
