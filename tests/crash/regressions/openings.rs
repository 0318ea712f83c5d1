//! What an opening refuses, what it leaves as it is, and what it remembers of the lives before.

use datasync::backend::memory::Memory;
use datasync::backend::sim::{Call, Fault, Leaves, Moment, SimDisk};
use datasync::backend::{Backend, Source};
use datasync::block::{BLOCK_SIZE, BlockNo, CommitId, Durability};
use datasync::error::ErrorKind;
use datasync::format::meta::EPOCHS_MAX;
use datasync::format::sums::BLOCKS_PER_PAGE;
use datasync::log::plan::{Area, Op};
use datasync::volume::{OpenKind, Outcome, Volume};

use super::attack::{holds, power_cut, put};
use crate::settings::options;

const PAGE: u64 = BLOCK_SIZE as u64;

/// Each of them, for the planted bugs.
pub const ALL: &[fn()] = &[
    every_opening_begins_a_life_of_its_own,
    a_life_is_remembered_over_as_many_crashed_recoveries_as_there_is_room_for,
    a_base_without_one_of_its_files_is_damaged,
    a_closed_store_opens_for_reading_although_a_page_of_sums_is_gone,
    a_closed_store_whose_sums_cannot_be_read_is_not_called_damaged,
    data_without_a_meta_is_no_place_for_a_new_store,
    a_store_is_made_only_where_one_is_asked_for,
    an_opening_cuts_the_base_only_behind_a_fold,
    what_a_dead_process_created_is_durable_before_it_is_used,
    a_commit_over_two_segments_is_folded_as_a_whole,
];

fn open(disk: &SimDisk) -> Volume {
    Volume::open(disk.clone(), options()).expect("a healthy medium")
}

#[test]
pub fn every_opening_begins_a_life_of_its_own() {
    let mut disk = SimDisk::new(1);
    let mut made: Vec<CommitId> = Vec::new();
    let ends = ["close", "proven", "unproven", "empty", "unproven", "close", "close", "proven"];
    for (life, end) in (1..).zip(ends) {
        let volume = open(&disk);
        let told = volume.recovery();
        assert_eq!((told.epoch.0, volume.stats().epoch.0), (life, life), "before {end}");
        assert!(made.iter().all(|id| volume.outcome_of(*id) == Outcome::Committed), "before {end}");
        let commit = match end {
            "empty" => None,
            "unproven" => Some(Durability::Applied),
            _ => Some(Durability::Witnessed),
        };
        made.extend(commit.map(|durability| put(&volume, &[0], life, durability)));
        assert!(made.last().is_none_or(|id| id.epoch.0 == life || end == "empty"));
        if end == "close" {
            volume.close().expect("folds");
        }
        disk = disk.crash_process();
        let only_looked = Volume::open(disk.clone(), options().read_only(true)).expect("a sound store");
        assert_eq!(only_looked.recovery().epoch.0, life, "looking is no life");
    }
}

#[test]
pub fn a_life_is_remembered_over_as_many_crashed_recoveries_as_there_is_room_for() {
    let most = EPOCHS_MAX as u64;
    let mut disk = SimDisk::new(1);
    let first = put(&open(&disk), &[0], 1, Durability::Applied);
    for crashed in 0..=most + 10 {
        if [0, 1, most - 1, most, most + 10].contains(&crashed) {
            let then = SimDisk::from_state(disk.crash_process().state(), 1);
            let volume = open(&then);
            assert!(holds(&volume.snapshot().expect("open"), 0, 1));
            let known = if crashed < most { Outcome::Committed } else { Outcome::Unknown };
            assert_eq!(volume.outcome_of(first), known, "{crashed} crashed recoveries");
            let second = put(&volume, &[0], 2, Durability::Durable);
            let volume = open(&then.crash_process());
            assert_eq!(volume.outcome_of(second), Outcome::Committed, "{crashed} crashed recoveries");
        }
        disk = disk.crash_process();
        // The new life is in META, and dies at its first byte.
        let into_log = Fault::Refuse {
            call: Call::Write,
            nth: 4,
            kind: ErrorKind::Io,
            lasting: true,
            leaves: Leaves::Nothing,
        };
        disk.inject(into_log);
        let refused = Volume::open(disk.clone(), options()).map(drop).expect_err("refused");
        assert_eq!(refused.kind(), ErrorKind::Io);
        disk.heal();
    }
}

/// A store with a base and a log, closed or not.
fn with_base(closed: bool) -> Memory {
    let memory = Memory::new();
    let volume = Volume::open(memory.clone(), options()).expect("a new store");
    put(&volume, &[0, 1], 1, Durability::Durable);
    volume.compact().expect("folds");
    put(&volume, &[0], 2, Durability::Durable);
    if closed {
        volume.close().expect("folds");
    }
    memory
}

fn refusal(memory: &Memory) -> ErrorKind {
    Volume::open(memory.clone(), options()).map(drop).expect_err("refused").kind()
}

#[test]
pub fn a_base_without_one_of_its_files_is_damaged() {
    for (closed, area) in [false, true].into_iter().flat_map(|c| [(c, Area::Base), (c, Area::Sums)]) {
        let memory = with_base(closed);
        memory.forget(area);
        assert_eq!(refusal(&memory), ErrorKind::Corrupt, "{area}");
        assert_eq!(memory.len(area).expect("memory"), None, "{area} was made anew");
        if (closed, area) != (true, Area::Sums) {
            let volume = Volume::open(memory, options().read_only(true)).expect("for reading");
            assert!(!volume.damage().is_empty(), "{area} is missing, and nobody is told");
            let view = volume.snapshot().expect("open");
            let lost = view.read(BlockNo(1), &mut [0; BLOCK_SIZE]).expect_err("nothing is left of it");
            assert_eq!(lost.kind(), ErrorKind::Corrupt, "{area}");
        }
    }
}

#[test]
pub fn a_closed_store_opens_for_reading_although_a_page_of_sums_is_gone() {
    let memory = Memory::new();
    let volume = Volume::open(memory.clone(), options()).expect("a new store");
    put(&volume, &[0, BLOCKS_PER_PAGE], 1, Durability::Durable);
    volume.close().expect("folds");
    let rot = [0x5a; 2 * BLOCK_SIZE][..].into();
    memory.apply(&Op::Write { area: Area::Sums, offset: 0, bytes: rot }).expect("memory");
    let volume = Volume::open(memory, options().read_only(true)).expect("for reading");
    assert!(!volume.damage().is_empty(), "nobody is told");
    assert!(holds(&volume.snapshot().expect("open"), BLOCKS_PER_PAGE, 1), "its sum is sound");
}

#[test]
pub fn a_closed_store_whose_sums_cannot_be_read_is_not_called_damaged() {
    let disk = SimDisk::new(1);
    let volume = open(&disk);
    put(&volume, &[0], 1, Durability::Durable);
    volume.close().expect("folds");
    for read_only in [false, true] {
        let disk = disk.crash_process();
        disk.inject(Fault::Unreadable { area: Area::Sums, sector: 0, lasting: true });
        let refused = Volume::open(disk.clone(), options().read_only(read_only)).map(drop);
        assert_eq!(refused.expect_err("unreadable").kind(), ErrorKind::Io, "read only: {read_only}");
        disk.heal();
        assert!(holds(&open(&disk).snapshot().expect("open"), 0, 1));
    }
}

#[test]
pub fn data_without_a_meta_is_no_place_for_a_new_store() {
    for left in [Area::Base, Area::Sums] {
        let memory = with_base(true);
        [Area::Meta, Area::Base, Area::Sums]
            .into_iter()
            .filter(|area| *area != left)
            .for_each(|area| memory.forget(area));
        assert_eq!(refusal(&memory), ErrorKind::Corrupt, "{left}");
        assert_eq!(memory.len(Area::Meta).expect("memory"), None, "{left}");
    }
    let memory = with_base(false);
    [Area::Meta, Area::Base, Area::Sums].into_iter().for_each(|area| memory.forget(area));
    assert_eq!(refusal(&memory), ErrorKind::Corrupt, "segments");
}

#[test]
pub fn a_store_is_made_only_where_one_is_asked_for() {
    for options in
        [options().create(false), options().read_only(true), options().create(false).read_only(true)]
    {
        let disk = SimDisk::new(1);
        let refused = Volume::open(disk.clone(), options).map(drop).expect_err("refused");
        assert_eq!((refused.kind(), disk.ops()), (ErrorKind::NotFound, 0));
    }
}

/// Opens it; whether that gave the base another length.
fn resizes(disk: &SimDisk) -> (Volume, bool) {
    disk.start_trace();
    let volume = open(disk);
    let resize = |moment: &Moment| matches!(moment.op, Some(Op::Resize { .. }));
    let found = disk.take_trace().iter().any(resize);
    (volume, found)
}

#[test]
pub fn an_opening_cuts_the_base_only_behind_a_fold() {
    let disk = SimDisk::new(1);
    let volume = open(&disk);
    put(&volume, &[0, 1], 1, Durability::Durable);
    let mut writer = volume.begin().expect("the slot is free");
    writer.set_size(8 * PAGE).expect("in memory");
    writer.commit(Durability::Durable).expect("a healthy medium");
    volume.close().expect("folds");
    // The end of the database holds no block, and belongs to it for plain SQLite.
    let (volume, resized) = resizes(&disk);
    assert!(!resized && volume.recovery().kind == OpenKind::Clean);
    assert_eq!(disk.state().len(Area::Base), Some(8 * PAGE));
    put(&volume, &[7], 2, Durability::Durable);
    volume.compact().expect("folds");
    put(&volume, &[0], 3, Durability::Durable);
    drop(volume);
    let (volume, resized) = resizes(&disk.crash_process());
    assert!(!resized && volume.recovery().kind == OpenKind::Unclean, "it was as long as it has to be");
}

#[test]
pub fn what_a_dead_process_created_is_durable_before_it_is_used() {
    let disk = SimDisk::new(1);
    let volume = open(&disk);
    put(&volume, &[0], 1, Durability::Witnessed);
    disk.start_trace();
    for stamp in 2..20 {
        put(&volume, &[0], stamp, Durability::Witnessed);
    }
    let lives = disk.take_trace().into_iter().filter(|moment| matches!(moment.op, Some(Op::Reserve { .. })));
    for (at, moment) in lives.enumerate() {
        let next = SimDisk::from_state(moment.state, 1);
        next.start_trace();
        let volume = open(&next);
        let stamp = volume.committed_lsn().0;
        put(&volume, &[0], 20, Durability::Durable);
        for moment in next.take_trace() {
            let context = format!("died over spare {at}, power cut at {:?}", moment.op);
            let disk = power_cut(&SimDisk::from_state(moment.state, 1));
            let volume = Volume::open(disk, options()).unwrap_or_else(|error| panic!("{context}: {error}"));
            let view = volume.snapshot().expect("open");
            assert!(holds(&view, 0, stamp) || holds(&view, 0, 20), "{context}");
        }
    }
}

#[test]
pub fn a_commit_over_two_segments_is_folded_as_a_whole() {
    for durability in [Durability::Applied, Durability::Durable, Durability::Witnessed] {
        for blocks in [12, 17, 24, 40] {
            let disk = SimDisk::new(1);
            let volume = open(&disk);
            put(&volume, &[0], 1, Durability::Durable);
            put(&volume, &(0..blocks).collect::<Vec<_>>(), 2, durability);
            let disk = disk.crash_process();
            let volume = open(&disk);
            while volume.compact_step().expect("folds") {}
            let again = open(&power_cut(&disk));
            for view in [volume.snapshot().expect("open"), again.snapshot().expect("open")] {
                assert!((0..blocks).all(|block| holds(&view, block, 2)), "{blocks} blocks, {durability:?}");
            }
        }
    }
}
