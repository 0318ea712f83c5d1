//! What the queue promises, case by case. `tests/crash/model.rs` compares it with a plain model.

use std::sync::Arc;

use crate::backend::Backend;
use crate::backend::queue::{BATCH_BYTES, Fence, Memory, Queue};
use crate::backend::sim::{SimOrigin, TransactionFate};
use crate::block::{BLOCK_SIZE, SegmentId};
use crate::error::ErrorKind;
use crate::log::plan::{Area, Op};
use crate::log::source::Source;

const PAGE: u64 = BLOCK_SIZE as u64;

const SMALL: Memory = Memory { resident: false, bytes: 0, batch_bytes: 3 * PAGE };
const RESIDENT: Memory = Memory { resident: true, bytes: 1 << 30, batch_bytes: BATCH_BYTES };

fn whole(source: &impl Source, area: Area) -> Option<Vec<u8>> {
    let len = source.len(area).unwrap()?;
    let mut bytes = vec![0xEE; usize::try_from(len).unwrap()];
    assert_eq!(source.read(area, 0, &mut bytes).unwrap(), bytes.len());
    Some(bytes)
}

fn write(area: Area, page: u64, pages: usize) -> Op {
    let bytes: Arc<[u8]> = vec![page as u8 + 1; pages * BLOCK_SIZE].into();
    Op::Write { area, offset: page * PAGE, bytes }
}

#[test]
fn op_is_never_torn_between_two_transactions() {
    let origin = SimOrigin::new();
    let tab = origin.open(RESIDENT).unwrap();
    let log = Area::Segment(SegmentId(1));
    tab.apply(&Op::Create(log)).unwrap();
    let large = usize::try_from(BATCH_BYTES).unwrap() / BLOCK_SIZE;
    tab.apply(&write(log, 0, large)).unwrap();
    tab.apply(&write(log, large as u64, 1)).unwrap();
    tab.pump(TransactionFate::Completes);
    let seen = origin.open(RESIDENT).unwrap();
    assert_eq!(seen.len(log).unwrap(), Some(BATCH_BYTES));
    assert_eq!(whole(&seen, log).unwrap(), vec![1; large * BLOCK_SIZE]);
}

#[test]
fn flush_of_nothing_is_done_at_once_but_for_the_first_strict_one() {
    let origin = SimOrigin::new();
    let tab = origin.open(SMALL).unwrap();
    let relaxed = tab.flush(false);
    assert!(tab.is_flushed(relaxed).unwrap());
    // What an earlier life left may be in no more than a cache, as the takeover is.
    let strict = tab.flush(true);
    assert!(!tab.is_flushed(strict).unwrap());
    assert!(origin.losable() > 0);
    tab.drain();
    assert!(tab.is_flushed(strict).unwrap());
    assert_eq!(origin.losable(), 0);
    let again = tab.flush(true);
    assert!(tab.is_flushed(again).unwrap());
}

#[test]
fn strict_flush_of_what_was_written_relaxed_takes_one_more_transaction() {
    let origin = SimOrigin::new();
    let tab = origin.open(SMALL).unwrap();
    tab.apply(&Op::Create(Area::Base)).unwrap();
    tab.drain();
    assert_eq!(origin.losable(), 2);
    let ticket = tab.flush(true);
    assert!(!tab.is_flushed(ticket).unwrap());
    tab.drain();
    assert!(tab.is_flushed(ticket).unwrap());
    assert_eq!(origin.losable(), 0);
    assert!(!tab.pump(TransactionFate::Completes), "an empty transaction too many");
}

#[test]
fn base_in_memory_is_full_at_its_limit_and_goes_on_below_it() {
    let tab = SimOrigin::new().open(Memory { bytes: 8 * PAGE, ..RESIDENT }).unwrap();
    tab.apply(&Op::Create(Area::Base)).unwrap();
    tab.apply(&write(Area::Base, 0, 8)).unwrap();
    let error = tab.apply(&write(Area::Base, 8, 1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full);
    assert!(error.message().contains("32768"), "{error}");
    tab.apply(&write(Area::Base, 3, 2)).unwrap();
    assert_eq!(tab.len(Area::Base).unwrap(), Some(8 * PAGE));
}

#[test]
fn dead_queue_takes_nothing_and_shows_nothing() {
    for fate in [TransactionFate::Aborts, TransactionFate::NoQuota(0)] {
        let tab = SimOrigin::new().open(SMALL).unwrap();
        tab.apply(&Op::Create(Area::Base)).unwrap();
        let ticket = tab.flush(true);
        tab.pump(fate);
        assert!(tab.is_dead());
        let kind = tab.is_flushed(ticket).unwrap_err().kind();
        assert_eq!(kind, if fate == TransactionFate::Aborts { ErrorKind::Io } else { ErrorKind::Full });
        let error = tab.apply(&Op::Create(Area::Sums)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Poisoned);
        assert_eq!(tab.read(Area::Base, 0, &mut [0; 8]).unwrap_err().kind(), ErrorKind::Poisoned);
    }
}

#[test]
fn deposed_owner_that_looks_takes_nothing_and_shows_nothing() {
    let ours = Fence { owner: 3, number: 7 };
    let theirs = Fence { owner: 4, number: 9 };
    let later = Fence { number: 8, ..ours };
    for (found, kind) in [(Some(theirs), ErrorKind::Fenced), (None, ErrorKind::Lost)] {
        let mut queue = Queue::new("t", ours, SMALL);
        queue.apply(&Op::Create(Area::Base)).unwrap();
        queue.looked(Some(later)).unwrap();
        queue.looked(found).unwrap_err();
        let read = queue.read(Area::Base, 0, &mut [0; 8]).unwrap_err();
        assert_eq!(read.kind(), kind);
        assert!(read.message().contains("open it again"), "{read}");
        assert_eq!(queue.apply(&Op::Create(Area::Sums)).unwrap_err().kind(), kind);
        assert!(queue.take().is_some(), "the fence decides what becomes of what was queued");
    }
}

#[test]
fn vanished_database_is_lost_and_never_opened_as_new() {
    let origin = SimOrigin::new();
    let tab = origin.open(SMALL).unwrap();
    tab.apply(&Op::Create(Area::Base)).unwrap();
    let ticket = tab.flush(true);
    tab.drain();
    assert!(tab.is_flushed(ticket).unwrap());
    origin.vanish();
    tab.apply(&Op::Create(Area::Sums)).unwrap();
    let ticket = tab.flush(false);
    tab.pump(TransactionFate::Disconnects { taken: false });
    assert_eq!(tab.is_flushed(ticket).unwrap_err().kind(), ErrorKind::Lost);
    assert_eq!(origin.open(SMALL).unwrap_err().kind(), ErrorKind::Lost);
    origin.forget_everything();
    assert!(origin.open(SMALL).is_ok());
}

#[test]
fn first_owner_of_a_new_database_is_not_that_of_the_one_that_vanished() {
    let origin = SimOrigin::new();
    let zombie = origin.open(SMALL).unwrap();
    origin.vanish();
    let _new = origin.open(SMALL).unwrap();
    zombie.apply(&Op::Create(Area::Base)).unwrap();
    let ticket = zombie.flush(true);
    zombie.drain();
    assert_eq!(zombie.is_flushed(ticket).unwrap_err().kind(), ErrorKind::Fenced);
}

#[test]
fn what_a_takeover_may_have_found_is_not_said_to_be_gone() {
    // (taken before the takeover, the new owner wrote, what is said)
    let cases = [
        (false, false, ErrorKind::Fenced),
        (true, false, ErrorKind::Poisoned),
        (false, true, ErrorKind::Poisoned),
        (true, true, ErrorKind::Poisoned),
    ];
    for (taken, wrote, kind) in cases {
        let origin = SimOrigin::new();
        let deposed = origin.open(SMALL).unwrap();
        deposed.apply(&Op::Create(Area::Base)).unwrap();
        let ticket = deposed.flush(true);
        deposed.pump(TransactionFate::NeverFires { taken });
        let owner = origin.open(SMALL).unwrap();
        assert_eq!(owner.len(Area::Base).unwrap().is_some(), taken);
        if wrote {
            owner.apply(&Op::Create(Area::Sums)).unwrap();
            owner.drain();
        }
        deposed.disconnect();
        let error = deposed.is_flushed(ticket).unwrap_err();
        assert_eq!(error.kind(), kind, "taken {taken}, wrote {wrote}: {error}");
        // Later ops are refused as by any deposed owner.
        let error = deposed.apply(&Op::Create(Area::Meta)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced);
    }
}

#[test]
fn connection_may_end_again_after_a_read_with_nothing_to_write() {
    for reads in [true, false] {
        let origin = SimOrigin::new();
        let first = origin.open(SMALL).unwrap();
        first.apply(&Op::Create(Area::Base)).unwrap();
        first.apply(&write(Area::Base, 0, 1)).unwrap();
        first.drain();
        let reader = origin.open(SMALL).unwrap();
        reader.disconnect();
        if reads {
            assert_eq!(whole(&reader, Area::Base).unwrap(), vec![1; BLOCK_SIZE]);
        }
        reader.disconnect();
        assert_eq!(reader.is_dead(), !reads);
    }
}

#[test]
fn reads_beside_writes_that_never_complete_do_not_replace_connections_for_ever() {
    let origin = SimOrigin::new();
    let tab = origin.open(SMALL).unwrap();
    tab.apply(&Op::Create(Area::Base)).unwrap();
    tab.apply(&write(Area::Base, 0, 30)).unwrap();
    tab.drain();
    tab.apply(&Op::Create(Area::Sums)).unwrap();
    for _ in 0..2 {
        tab.pump(TransactionFate::Disconnects { taken: false });
        let _ = tab.read(Area::Base, 20 * PAGE, &mut [0; 8]);
    }
    assert!(tab.is_dead());
}

/// A prefetch runs over extents that are cut off and grown over again, while an earlier transaction that changes
/// them waits.
#[test]
fn extent_of_before_a_cut_is_not_put_as_after_it() {
    let base = |extent: u64| write(Area::Base, extent * 15, 1);
    let origin = SimOrigin::new();
    let tab = origin.open(Memory { resident: false, bytes: 1 << 20, batch_bytes: PAGE }).unwrap();
    tab.apply(&Op::Create(Area::Base)).unwrap();
    for extent in 0..8 {
        tab.apply(&base(extent)).unwrap();
    }
    tab.drain();
    drop(tab);
    let tab = origin.open(Memory { resident: false, bytes: 1 << 20, batch_bytes: PAGE }).unwrap();
    let mut buf = [0; BLOCK_SIZE];
    // Transaction A: block 1 of extent 2 (block 0 of it is old and acknowledged), and a length, as a fold leaves it.
    tab.apply(&write(Area::Base, 2 * 15 + 1, 1)).unwrap();
    // Transaction B: the database shrinks to two extents and grows again, its end only.
    tab.apply(&Op::Resize { area: Area::Base, bytes: 30 * PAGE }).unwrap();
    tab.apply(&base(7)).unwrap();
    // A scan: extent 0, then 1 and 2 together.
    for extent in 0..8 {
        tab.read(Area::Base, extent * 15 * PAGE, &mut buf).unwrap();
    }
    // A goes out. Then the power is cut.
    assert!(tab.pump(TransactionFate::Completes));
    let seen = origin.open(RESIDENT).unwrap();
    assert_eq!(seen.len(Area::Base).unwrap(), Some((7 * 15 + 1) * PAGE));
    seen.read(Area::Base, (2 * 15 + 1) * PAGE, &mut buf).unwrap();
    assert_eq!(buf, [32; BLOCK_SIZE], "what A wrote");
    seen.read(Area::Base, 2 * 15 * PAGE, &mut buf).unwrap();
    assert_eq!(buf, [31; BLOCK_SIZE], "what was there before A");
}
