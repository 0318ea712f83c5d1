//! A store without a volume around it: what it says before a step, and what it refuses.

use datasync::backend::memory::Memory;
use datasync::backend::sim::SimDisk;
use datasync::backend::{Backend, Source};
use datasync::block::{BLOCK_SIZE, BlockNo, CommitId, Durability, Epoch, Lsn, SegmentId};
use datasync::error::ErrorKind;
use datasync::log::plan::{Address, Area, Effect, Op, Plan};
use datasync::store::read::Found;
use datasync::store::recovery::Recovery;
use datasync::store::{Limits, Setup, Store};
use datasync::volume::{Outcome, Volume};

use super::attack::{power_cut, put};
use crate::settings::options;

/// Each of them, for the planted bugs.
pub const ALL: &[fn()] = &[
    a_fold_says_beforehand_what_its_next_step_needs,
    a_store_with_a_log_or_a_fold_does_not_close,
    an_empty_segment_is_not_ended,
    a_log_is_over_its_cap_by_pages_or_by_segments,
    a_view_holds_back_what_ends_above_it,
    a_proof_has_room_until_the_space_is_used_up,
    bytes_that_are_being_written_are_of_their_own_segment,
    what_is_in_the_log_is_known_until_it_is_folded,
    a_range_that_was_cut_off_is_in_the_log_until_it_is_folded,
    the_first_failure_is_the_one_that_is_told,
    the_fate_of_every_number_is_known,
];

fn run(memory: &Memory, plan: &Plan) {
    plan.ops.iter().try_for_each(|op| memory.apply(op)).expect("memory");
}

/// What a store is after it was opened.
fn opened(memory: &Memory) -> Store {
    capped(memory, 96)
}

/// The same, where the log should have no more pages than this.
fn capped(memory: &Memory, log_cap_pages: u64) -> Store {
    let setup = Setup {
        limits: Limits { segment_pages: 16, reserve_pages: 8, log_cap_pages },
        checksum: None,
        seed: [9; 16],
        now_ms: 0,
        read_only: false,
        create: true,
        name: "by hand".into(),
    };
    let mut recovery = Recovery::new(setup);
    while let Some(plan) = recovery.next(memory).expect("a sound store") {
        run(memory, &plan);
    }
    recovery.finish().0
}

fn prepare(memory: &Memory, store: &mut Store, pages: usize) {
    while let Some(plan) = store.prepare(pages, true).expect("memory") {
        run(memory, &plan);
        store.complete(&plan);
    }
}

/// A base of which most falls away, and a log that says so.
fn shrinking() -> Memory {
    let memory = Memory::new();
    let volume = Volume::open(memory.clone(), options()).expect("a new store");
    put(&volume, &(0..100).collect::<Vec<_>>(), 1, Durability::Durable);
    volume.compact().expect("folds");
    let mut writer = volume.begin().expect("the slot is free");
    writer.set_size(2 * BLOCK_SIZE as u64).expect("in memory");
    writer.trim(BlockNo(0)).expect("in memory");
    writer.commit(Durability::Witnessed).expect("in memory");
    memory
}

#[test]
pub fn a_fold_says_beforehand_what_its_next_step_needs() {
    let memory = shrinking();
    let mut store = opened(&memory);
    assert!(store.can_fold());
    let mut seen = [0; 2];
    loop {
        let said = [store.fold_publishes_next(), store.fold_removes_next()];
        let can = store.can_fold();
        let Some(plan) = store.fold_step(&memory).expect("memory") else { break };
        let takes = |op: &Op| matches!(op, Op::Remove(_) | Op::Resize { .. });
        let publishes = matches!(plan.effect, Effect::FoldPublished { .. });
        assert_eq!((said, can), ([publishes, plan.ops.iter().any(takes)], true), "{plan}");
        seen = [seen[0] + usize::from(said[0]), seen[1] + usize::from(said[1])];
        run(&memory, &plan);
        store.complete(&plan);
    }
    assert_eq!(seen, [1, 2], "META; the cut, the segments");
    assert!(!store.can_fold());
    assert_eq!(memory.len(Area::Base).expect("memory"), Some(2 * BLOCK_SIZE as u64));
}

#[test]
pub fn a_store_with_a_log_or_a_fold_does_not_close() {
    let memory = shrinking();
    let mut store = opened(&memory);
    let refused = |store: &mut Store| store.close().map(drop).expect_err("not yet").kind();
    while store.can_fold() {
        assert_eq!(refused(&mut store), ErrorKind::Busy);
        let Some(plan) = store.fold_step(&memory).expect("memory") else { break };
        run(&memory, &plan);
        store.complete(&plan);
    }
    let plan = store.close().expect("nothing is left to do");
    run(&memory, &plan);
    store.complete(&plan);
    Volume::open(memory, options()).expect("a sound store").close().expect("folds");
}

#[test]
pub fn an_empty_segment_is_not_ended() {
    let memory = Memory::new();
    let mut store = opened(&memory);
    prepare(&memory, &mut store, 1);
    assert_eq!(store.stats().segments, 1);
    assert_eq!(store.seal_for_fold().expect("memory"), None);
    assert!(!store.can_fold());
    let plan = store.close().expect("there is nothing in the log");
    run(&memory, &plan);
    assert_eq!(memory.segments().expect("memory"), []);
}

/// A log of so many segments with one proven commit of one block in each.
fn segments(count: u64) -> Memory {
    let memory = Memory::new();
    let large = options().log_cap_bytes(4096 * BLOCK_SIZE as u64);
    let volume = Volume::open(memory.clone(), large).expect("a new store");
    let _view = volume.snapshot().expect("open");
    for stamp in 1..=count {
        put(&volume, &[stamp % 5], stamp, Durability::Witnessed);
        volume.rotate().expect("seals");
    }
    assert_eq!(volume.stats().segments, count);
    memory.copy()
}

#[test]
pub fn a_log_is_over_its_cap_by_pages_or_by_segments() {
    let memory = segments(1);
    let volume = Volume::open(memory.clone(), options()).expect("a sound store");
    put(&volume, &[0, 1, 2], 2, Durability::Witnessed);
    drop(volume);
    let pages = opened(&memory.copy()).log_pages();
    assert_eq!(pages, 8, "a header, two pages and a proof; a header and three");
    let over = |cap: u64| {
        let store = capped(&memory.copy(), cap);
        (store.over_cap(), store.far_over_cap())
    };
    let wanted = [(pages, (false, false)), (pages - 1, (true, false)), (pages / 2, (true, false))];
    for (cap, wanted) in wanted.into_iter().chain([(pages / 2 - 1, (true, true)), (1, (true, true))]) {
        assert_eq!(over(cap), wanted, "{pages} pages, {cap} wanted");
    }
    for (count, wanted) in
        [(48, (false, false)), (49, (true, false)), (72, (true, false)), (73, (true, true))]
    {
        let store = capped(&segments(count), 4096);
        assert_eq!((store.over_cap(), store.far_over_cap()), wanted, "{count} segments");
    }
}

#[test]
pub fn a_view_holds_back_what_ends_above_it() {
    let store = opened(&segments(3));
    assert_eq!([0, 1, 2, 3, 4].map(|at| store.holds_back(Lsn(at))), [true, true, true, false, false]);
    let (nothing, one) = (Memory::new(), segments(1));
    let (mut new, mut following) = (opened(&nothing), opened(&one));
    assert!(!new.waits_for_its_end() && !new.holds_back(Lsn(0)));
    for (memory, store) in [(&nothing, &mut new), (&one, &mut following)] {
        prepare(memory, store, 1);
    }
    assert!(new.waits_for_its_end(), "all there is is the segment that is written to");
    assert!(!following.waits_for_its_end(), "there is one to be folded");
}

#[test]
pub fn a_proof_has_room_until_the_space_is_used_up() {
    let memory = Memory::new();
    let mut store = opened(&memory);
    assert!(!store.active_has_room());
    prepare(&memory, &mut store, 8);
    // Beside the header there is the reserve; prepared are eight pages and one for a proof.
    let mut commits = 0;
    while store.active_has_room() {
        let mut batch = store.begin().expect("memory");
        let (_, plan) = store.commit(&mut batch, Durability::Applied, 0);
        run(&memory, &plan);
        store.complete(&plan);
        commits += 1;
    }
    let end = memory.len(Area::Segment(SegmentId(1))).expect("memory").expect("it is there");
    assert_eq!(1 + commits, end / BLOCK_SIZE as u64);
}

#[test]
pub fn bytes_that_are_being_written_are_of_their_own_segment() {
    let memory = segments(1);
    let mut store = opened(&memory);
    prepare(&memory, &mut store, 8);
    // The second of these stands on the page of its segment on which an older one has its block.
    for complete in [true, false] {
        let mut batch = store.begin().expect("memory");
        let (_, plan) = store.commit(&mut batch, Durability::Applied, 0);
        run(&memory, &plan);
        complete.then(|| store.complete(&plan));
    }
    let visible = store.visible();
    let Found::At(address) = store.find(&memory, BlockNo(1), visible).expect("memory") else {
        panic!("not in the log")
    };
    assert_eq!((address.area, address.offset), (Area::Segment(SegmentId(1)), 2 * BLOCK_SIZE as u64));
}

#[test]
pub fn what_is_in_the_log_is_known_until_it_is_folded() {
    let memory = segments(3);
    let mut store = opened(&memory);
    let entries = store.log_entries();
    let mut found: Vec<_> = entries.iter().map(|entry| (entry.block.0, entry.version.0)).collect();
    found.sort_unstable();
    assert_eq!(found, [(1, 1), (2, 2), (3, 3)]);
    let other = Address { version: Lsn(3), ..entries[0] };
    assert!(entries.iter().all(|entry| store.still_in_log(entry)) && !store.still_in_log(&other));
    let (near, far) = ((BlockNo(3), BlockNo(4)), (BlockNo(4), BlockNo(9)));
    assert!(store.touches_log(near.0, near.1) && !store.touches_log(far.0, far.1));
    while let Some(plan) = store.fold_step(&memory).expect("memory") {
        assert!(store.touches_log(far.0, far.1), "the fold may be at work there");
        run(&memory, &plan);
        store.complete(&plan);
    }
    assert!(!store.touches_log(near.0, near.1));
    assert!(!entries.iter().any(|entry| store.still_in_log(entry)));
}

#[test]
pub fn a_range_that_was_cut_off_is_in_the_log_until_it_is_folded() {
    let memory = shrinking();
    let mut store = opened(&memory);
    let touched = |store: &Store| {
        [(0, 1), (1, 2), (2, 3), (1, 3), (50, 60), (99, 100), (1, 200), (100, 101)]
            .map(|(from, to)| store.touches_log(BlockNo(from), BlockNo(to)))
    };
    assert_eq!(touched(&store), [true, false, true, true, true, true, true, false]);
    while let Some(plan) = store.fold_step(&memory).expect("memory") {
        run(&memory, &plan);
        store.complete(&plan);
    }
    assert_eq!(touched(&store), [false; 8]);
}

#[test]
pub fn the_first_failure_is_the_one_that_is_told() {
    let mut store = opened(&Memory::new());
    for name in ["first", "second"] {
        let missing = Volume::open(Memory::new().named(name.into()), options().create(false));
        store.poison(&missing.map(drop).expect_err("there is none"));
        let told = store.check_writable().expect_err("nothing can be promised").to_string();
        assert!(told.contains("first"), "{told}");
    }
}

#[test]
pub fn the_fate_of_every_number_is_known() {
    let mut disk = SimDisk::new(1);
    // None; two commits; one, and one that a power cut takes; none; three; none. What is the newest before each.
    let (durable, lost) = (Durability::Durable, Durability::Applied);
    let lives: [(&[Durability], (u64, u64)); 6] = [
        (&[], (1, 0)),
        (&[durable; 2], (2, 0)),
        (&[durable, lost], (2, 2)),
        (&[], (3, 3)),
        (&[durable; 3], (3, 3)),
        (&[], (5, 6)),
    ];
    for (life, newest) in lives {
        let volume = Volume::open(disk.clone(), options()).expect("recovers");
        let unchanged =
            volume.begin().expect("the slot is free").commit(durable).expect("nothing to do").commit;
        assert_eq!((unchanged.epoch.0, unchanged.lsn.0), newest);
        for durability in life {
            let id = put(&volume, &[0], 1, *durability);
            assert_eq!(volume.outcome_of(id), Outcome::Committed);
        }
        drop(volume);
        disk = power_cut(&disk);
    }
    let volume = Volume::open(disk, options()).expect("recovers");
    let own = put(&volume, &[0], 1, durable);
    let there = [(2, 1), (2, 2), (3, 3), (5, 4), (5, 5), (5, 6), (own.epoch.0, own.lsn.0)];
    assert_eq!(there[6], (7, 7));
    for epoch in 1..9 {
        for lsn in 0..10 {
            let id = CommitId { epoch: Epoch(epoch), lsn: Lsn(lsn) };
            let known = lsn == 0 || there.contains(&(epoch, lsn));
            let wanted = if known { Outcome::Committed } else { Outcome::NotCommitted };
            assert_eq!(volume.outcome_of(id), wanted, "{id}");
        }
    }
}
