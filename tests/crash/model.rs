//! The queue against a plain model: whatever ops, batches, caches and crashes there are, the medium shows the
//! bytes that memory would after some prefix of the ops.

use datasync::backend::memory::Memory as Plain;
use datasync::backend::queue::{BATCH_BYTES, Memory, VALUE_BYTES};
use datasync::backend::sim::{Random, SimOrigin, SimTab, TransactionFate};
use datasync::backend::{Backend, Source};
use datasync::block::{BLOCK_SIZE, SegmentId};
use datasync::error::{Error, Result};
use datasync::log::plan::{Area, Op};

use crate::invariants::{Checked, Violation, no_panic};

const PAGE: u64 = BLOCK_SIZE as u64;

const SMALL: Memory = Memory { resident: false, bytes: 0, batch_bytes: 3 * PAGE };
/// With room for a prefetch of several extents.
const ROOMY: Memory = Memory { resident: false, bytes: 1 << 20, batch_bytes: 3 * PAGE };
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
    let kind = |outcome: &Result<()>| outcome.as_ref().err().map(Error::kind);
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

/// Reads the base from its beginning, as far as there is one: what is read ahead is not asked for yet.
fn scan(tab: &SimTab, plain: &Plain) {
    let (mut ours, mut theirs) = ([1; BLOCK_SIZE], [1; BLOCK_SIZE]);
    for offset in (0..).step_by(VALUE_BYTES) {
        let got = tab.read(Area::Base, offset, &mut ours);
        match plain.read(Area::Base, offset, &mut theirs) {
            Ok(0) | Err(_) => return,
            Ok(n) => assert_eq!((got.unwrap(), &ours[..n]), (n, &theirs[..n]), "base.db @{offset}"),
        }
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
        if random.chance(1, 6) {
            scan(&tab, past.last().unwrap());
        }
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

/// Lives from seed 0 on; a panic is a broken promise.
pub fn run(lives: u64) -> Checked<()> {
    for seed in 0..lives {
        let memory = [RESIDENT, SMALL, ROOMY][seed as usize % 3];
        no_panic(|| {
            live(seed, memory);
            Ok(())
        })
        .map_err(|broken| Violation::new("I1 prefix", format!("seed {seed}: {}", broken.what)))?;
    }
    Ok(())
}

#[test]
fn medium_always_shows_a_prefix_of_the_ops() {
    if let Err(violation) = run(400) {
        panic!("{violation}");
    }
}
