//! The queue against a plain model: whatever ops, batches, caches and crashes there are, the medium shows the
//! bytes that memory would after some prefix of the ops.

use std::sync::Arc;

use crate::backend::Backend;
use crate::backend::memory::Memory as Plain;
use crate::backend::queue::{BATCH_BYTES, Memory, VALUE_BYTES};
use crate::backend::sim::{Random, SimOrigin, SimTab, TransactionFate};
use crate::block::{BLOCK_SIZE, SegmentId};
use crate::error::ErrorKind;
use crate::log::plan::{Area, Op};
use crate::log::source::Source;

const PAGE: u64 = BLOCK_SIZE as u64;

const SMALL: Memory = Memory { resident: false, bytes: 0, batch_bytes: 3 * PAGE };
const RESIDENT: Memory = Memory { resident: true, bytes: 1 << 30, batch_bytes: BATCH_BYTES };

fn area(random: &mut Random) -> Area {
    *random.pick(&[
        Area::Meta,
        Area::Base,
        Area::Base,
        Area::Base,
        Area::Sums,
        Area::Segment(SegmentId(1)),
        Area::Segment(SegmentId(2)),
    ])
}

fn op(random: &mut Random) -> Op {
    let area = area(random);
    let pages = if area == Area::Meta { 12 } else { 90 };
    match (random.below(20), area) {
        (0, _) => Op::Create(area),
        (1, Area::Segment(id)) => Op::Remove(id),
        (2, Area::Segment(segment)) => Op::Reserve { segment, pages: random.below(pages) as u32 },
        (1..=4, Area::Base | Area::Sums) => {
            Op::Resize { area, bytes: random.below(pages * BLOCK_SIZE) as u64 }
        }
        (5, _) => Op::Barrier(area),
        _ => {
            let mut bytes = vec![0; (1 + random.below(24)) * BLOCK_SIZE];
            bytes.chunks_exact_mut(512).for_each(|chunk| chunk.fill(random.draw() as u8));
            Op::Write { area, offset: random.below(pages) as u64 * PAGE, bytes: bytes.into() }
        }
    }
}

fn whole(source: &impl Source, area: Area) -> Option<Vec<u8>> {
    let len = source.len(area).unwrap()?;
    let mut bytes = vec![0xEE; usize::try_from(len).unwrap()];
    assert_eq!(source.read(area, 0, &mut bytes).unwrap(), bytes.len());
    Some(bytes)
}

fn everything(source: &impl Source) -> Vec<(Area, Option<Vec<u8>>)> {
    let segments = source.segments().unwrap().into_iter().map(Area::Segment);
    let areas = [Area::Meta, Area::Base, Area::Sums].into_iter().chain(segments);
    areas.map(|area| (area, whole(source, area))).collect()
}

fn apply_both(tab: &SimTab, plain: &Plain, op: &Op) {
    let (ours, theirs) = (tab.apply(op), plain.apply(op));
    let kind = |outcome: &crate::error::Result<()>| outcome.as_ref().err().map(crate::error::Error::kind);
    assert_eq!(kind(&ours), kind(&theirs), "{op}: {ours:?}, {theirs:?}");
}

fn compare_somewhere(tab: &SimTab, plain: &Plain, random: &mut Random) {
    let area = area(random);
    let mut ours = vec![1; random.below(3 * VALUE_BYTES)];
    let mut theirs = vec![2; ours.len()];
    let offset = random.below(100 * BLOCK_SIZE) as u64;
    let got = (tab.read(area, offset, &mut ours), plain.read(area, offset, &mut theirs));
    match got {
        (Ok(n), Ok(m)) => assert_eq!(&ours[..n], &theirs[..m], "{area} @{offset}"),
        (Err(n), Err(m)) => assert_eq!(n.kind(), m.kind()),
        (ours, theirs) => panic!("{area} @{offset}: {ours:?}, {theirs:?}"),
    }
}

/// A life of ops, transactions, crashes and dead connections; what is there is always a prefix.
fn live(seed: u64, memory: Memory) {
    let mut random = Random::new(seed);
    let origin = SimOrigin::new();
    let mut tab = origin.open(memory).unwrap();
    let mut past = vec![Plain::new()];
    let mut flushed = 0;
    for _ in 0..60 {
        let plain = past.last().unwrap().copy();
        apply_both(&tab, &plain, &op(&mut random));
        past.push(plain);
        if random.chance(1, 3) {
            tab.pump(TransactionFate::Completes);
        }
        if random.chance(1, 12) {
            let ticket = tab.flush(random.chance(1, 2));
            tab.drain();
            assert!(tab.is_flushed(ticket).unwrap(), "seed {seed}");
            flushed = past.len() - 1;
        }
        if random.chance(1, 12) {
            tab.pump(TransactionFate::Disconnects { taken: random.chance(1, 2) });
            tab.pump(TransactionFate::Completes);
        }
        compare_somewhere(&tab, past.last().unwrap(), &mut random);
        if random.chance(1, 15) {
            if random.chance(1, 2) {
                tab.pump(TransactionFate::NeverFires { taken: true });
            }
            tab = origin.open(memory).unwrap();
            let tab = if random.chance(1, 2) { tab.clone().busy_fetch() } else { tab.clone() };
            let found = everything(&tab);
            let prefix = (flushed..past.len()).rev().find(|at| everything(&past[*at]) == found);
            let prefix = prefix.unwrap_or_else(|| panic!("seed {seed}: no prefix of the ops left this"));
            past.truncate(prefix + 1);
            flushed = prefix;
        }
    }
    assert!(origin.largest_value() < 64 << 10, "seed {seed}: browsers are slow with such values");
}

#[test]
fn medium_always_shows_a_prefix_of_the_ops() {
    for seed in 0..400 {
        live(seed, if seed % 3 == 0 { RESIDENT } else { SMALL });
    }
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
fn flush_of_nothing_is_done_at_once() {
    let tab = SimOrigin::new().open(SMALL).unwrap();
    let ticket = tab.flush(true);
    assert!(tab.is_flushed(ticket).unwrap());
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
