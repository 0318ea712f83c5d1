//! More than fits into one: blocks of several pages of sums, folds of several steps, clients without number.

use std::collections::BTreeMap;

use datasync::backend::memory::Memory;
use datasync::backend::sim::{Fault, Moment, SimDisk, bytes_of};
use datasync::block::{BLOCK_SIZE, BlockNo, Durability, Lsn, Tag};
use datasync::error::ErrorKind;
use datasync::format::meta::CLIENTS_MAX;
use datasync::format::sums::BLOCKS_PER_PAGE;
use datasync::log::plan::{Area, Op};
use datasync::volume::{Volume, Writer};

use super::attack::{holds, power_cut, put};
use super::is_payload;
use crate::reference::fill;
use crate::settings::options;

const PAGE: u64 = BLOCK_SIZE as u64;

/// Each of them, for the planted bugs.
pub const ALL: &[fn()] = &[
    a_base_of_several_pages_of_sums_is_what_was_written,
    sums_are_read_once_and_an_error_of_a_read_is_no_damage,
    a_fold_goes_in_bounded_steps,
    a_payload_that_is_read_wrong_once_is_folded_all_the_same,
    the_last_request_of_every_client_is_remembered,
    a_fold_takes_the_requests_of_what_it_folds_and_no_others,
    slots_are_levelled_only_behind_an_unclean_end,
    what_is_cut_off_again_is_not_written_again,
    a_fold_whose_sums_were_not_written_keeps_the_log,
];

/// A store and what it must hold: the stamp of each block that is not zeros, and the size in blocks.
struct Wide {
    disk: SimDisk,
    volume: Volume,
    blocks: BTreeMap<u64, u64>,
    size: u64,
}

impl Wide {
    fn commit(&mut self, change: impl FnOnce(&mut Writer, &mut BTreeMap<u64, u64>)) {
        let mut writer = self.volume.begin().expect("the slot is free");
        change(&mut writer, &mut self.blocks);
        self.size = writer.size() / PAGE;
        writer.commit(Durability::Durable).expect("a healthy medium");
    }

    fn put(&mut self, blocks: impl Iterator<Item = u64>, stamp: u64) {
        self.commit(|writer, held| {
            for block in blocks {
                writer.write(BlockNo(block), &fill(block, stamp)).expect("there is space");
                held.insert(block, stamp);
            }
        });
    }

    fn trim(&mut self, blocks: impl Iterator<Item = u64>) {
        self.commit(|writer, held| {
            for block in blocks {
                writer.trim(BlockNo(block)).expect("there is space");
                held.remove(&block);
            }
        });
    }

    fn resize(&mut self, blocks: u64) {
        self.commit(|writer, held| {
            writer.set_size(blocks * PAGE).expect("in memory");
            held.split_off(&blocks);
        });
    }

    fn look(&self, when: &str) {
        let view = self.volume.snapshot().expect("open");
        assert_eq!(view.size(), self.size * PAGE, "{when}");
        for block in 0..self.size {
            let mut bytes = [1; BLOCK_SIZE];
            view.read(BlockNo(block), &mut bytes).unwrap_or_else(|error| panic!("{when}: {error}"));
            let wanted = self.blocks.get(&block).map_or([0; BLOCK_SIZE], |stamp| fill(block, *stamp));
            assert!(bytes == wanted, "{when}: block {block}");
        }
        let report = self.volume.verify(&mut |_, _| {}).expect("readable");
        assert_eq!(report.damage, [], "{when}");
    }

    /// It is the same in the log, in the base, and opened again after the process died.
    fn everywhere(&mut self, when: &str) {
        self.look(when);
        self.volume.compact().expect("folds");
        self.look(&format!("{when}, folded"));
        self.disk = self.disk.crash_process();
        self.volume = Volume::open(self.disk.clone(), options()).expect("recovers");
        self.look(&format!("{when}, opened again"));
    }
}

#[test]
pub fn a_base_of_several_pages_of_sums_is_what_was_written() {
    let disk = SimDisk::new(1);
    let volume = Volume::open(disk.clone(), options()).expect("a new store");
    let mut wide = Wide { disk, volume, blocks: BTreeMap::new(), size: 0 };
    let page = BLOCKS_PER_PAGE;
    wide.put(0..2 * page + 20, 1);
    wide.everywhere("three pages");
    wide.put([5, page - 1, page, 2 * page - 1, 2 * page].into_iter(), 2);
    wide.everywhere("a block on each");
    wide.trim([3, page + 2, 2 * page + 3].into_iter());
    wide.everywhere("a hole in each");
    // The range touches the first two pages, the block that is written the last one alone.
    wide.resize(7);
    wide.put([2 * page + 30].into_iter(), 3);
    wide.everywhere("shrunk and grown");
    wide.put(0..2 * page, 4);
    wide.everywhere("filled again");
    wide.resize(page + 9);
    wide.everywhere("cut within the second page");
    wide.resize(2 * page + 40);
    wide.everywhere("grown without a block");
    wide.put([page].into_iter(), 5);
    wide.resize(page);
    wide.everywhere("cut to one whole page");
    wide.put([page, page + 1].into_iter(), 6);
    wide.everywhere("grown by two");
    wide.volume.close().expect("folds");
    let medium = wide.disk.state();
    for block in 0..wide.size {
        let wanted = wide.blocks.get(&block).map_or([0; BLOCK_SIZE], |stamp| fill(block, *stamp));
        assert!(*bytes_of(&medium.visible(Area::Base, block)) == wanted, "block {block} of base.db");
    }
}

#[test]
pub fn sums_are_read_once_and_an_error_of_a_read_is_no_damage() {
    let disk = SimDisk::new(1);
    let volume = Volume::open(disk.clone(), options()).expect("a new store");
    let blocks = [0, BLOCKS_PER_PAGE, 2 * BLOCKS_PER_PAGE];
    put(&volume, &blocks, 1, Durability::Durable);
    volume.compact().expect("folds");
    let view = volume.snapshot().expect("open");
    disk.inject(Fault::Unreadable { area: Area::Sums, sector: 0, lasting: false });
    let failed = view.read(BlockNo(0), &mut [0; BLOCK_SIZE]).expect_err("unreadable");
    assert_eq!((failed.kind(), volume.damage().len()), (ErrorKind::Io, 0));
    assert!(blocks.iter().all(|block| holds(&view, *block, 1)));
    let before = disk.reads();
    for _ in 0..3 {
        assert!(blocks.iter().all(|block| holds(&view, *block, 1)));
    }
    assert_eq!(disk.reads() - before, 9, "the blocks alone");
}

/// Blocks that each step of a fold wrote into the base, and pages of sums.
fn steps(volume: &Volume, disk: &SimDisk) -> Vec<[u64; 2]> {
    let mut found = Vec::new();
    loop {
        disk.start_trace();
        let more = volume.compact_step().expect("folds");
        let pages = |of: Area, trace: &[Moment]| {
            let written = trace.iter().filter_map(|moment| match &moment.op {
                Some(Op::Write { area, bytes, .. }) if *area == of => Some(bytes.len() as u64 / PAGE),
                _ => None,
            });
            written.sum()
        };
        let trace = disk.take_trace();
        found.push([pages(Area::Base, &trace), pages(Area::Sums, &trace)]);
        if !more {
            found.retain(|step| *step != [0, 0]);
            return found;
        }
    }
}

#[test]
pub fn a_fold_goes_in_bounded_steps() {
    let page = BLOCKS_PER_PAGE;
    let joined: Vec<u64> = (0..200).collect();
    let apart: Vec<u64> = (0..100).map(|at| 2 * at).collect();
    let far: Vec<u64> = (0..70).map(|at| page * at).collect();
    let wanted: [(&[u64], &[[u64; 2]]); 3] = [
        (&joined, &[[64, 0], [64, 0], [64, 1], [8, 1], [0, 2]]),
        (&apart, &[[64, 0], [36, 2], [0, 2]]),
        (&far, &[[32, 32], [32, 32], [6, 6], [0, 32], [0, 32], [0, 6]]),
    ];
    for (blocks, wanted) in wanted {
        let disk = SimDisk::new(1);
        let options = options().log_cap_bytes(4096 * PAGE);
        let volume = Volume::open(disk.clone(), options).expect("a new store");
        put(&volume, blocks, 1, Durability::Durable);
        volume.rotate().expect("seals");
        assert_eq!(steps(&volume, &disk), wanted, "{} blocks up to {:?}", blocks.len(), blocks.last());
    }
}

#[test]
pub fn a_payload_that_is_read_wrong_once_is_folded_all_the_same() {
    let disk = SimDisk::new(1);
    let volume = Volume::open(disk.clone(), options()).expect("a new store");
    put(&volume, &[0, 1, 2], 1, Durability::Durable);
    let image = disk.state();
    for segment in image.segments() {
        let area = Area::Segment(segment);
        for page in 0..image.len(area).unwrap_or(0) / PAGE {
            if (0..3).any(|block| is_payload(&image.visible(area, page), block)) {
                disk.inject(Fault::GarbledRead { area, page });
            }
        }
    }
    volume.compact().expect("folds");
    assert!(disk.faults().unfired().is_empty(), "the fold read nothing");
    assert_eq!(volume.damage(), [], "an error of the path is no damage");
    let view = volume.snapshot().expect("open");
    assert!((0..3).all(|block| holds(&view, block, 1)));
}

#[test]
pub fn the_last_request_of_every_client_is_remembered() {
    let volume = Volume::open(Memory::new(), options()).expect("a new store");
    let ask = |client: u64, seq: u64| {
        let mut writer = volume.begin().expect("the slot is free");
        writer.write(BlockNo(0), &fill(0, seq)).expect("staged");
        writer.set_tag(Tag { client, seq, ordinal: 1 });
        writer.commit(Durability::Durable).expect("a healthy medium");
    };
    let last = |client: u64| volume.last_request(client).map(|tag| tag.seq);
    let most = CLIENTS_MAX as u64;
    for client in 1..=most {
        ask(client, 1);
        if client % 7 == 0 {
            volume.compact().expect("folds");
        }
    }
    ask(1, 2);
    for folded in [false, true] {
        assert_eq!(last(1), Some(2));
        assert!((2..=most).all(|client| last(client) == Some(1)), "folded: {folded}");
        volume.compact().expect("folds");
    }
    // There is no room for one more: the one that asked longest ago is forgotten.
    ask(most + 1, 1);
    volume.compact().expect("folds");
    let forgotten: Vec<u64> = (1..=most + 1).filter(|client| last(*client).is_none()).collect();
    assert_eq!(forgotten, [2]);
}

#[test]
pub fn a_fold_takes_the_requests_of_what_it_folds_and_no_others() {
    let disk = SimDisk::new(1);
    let volume = Volume::open(disk.clone(), options()).expect("a new store");
    let ask = |seq: u64, durability: Durability| {
        let mut writer = volume.begin().expect("the slot is free");
        writer.write(BlockNo(0), &fill(0, seq)).expect("staged");
        writer.set_tag(Tag { client: 5, seq, ordinal: 1 });
        writer.commit(durability).expect("a healthy medium");
    };
    ask(1, Durability::Durable);
    volume.rotate().expect("seals");
    ask(2, Durability::Applied);
    while volume.compact_step().expect("folds") {}
    assert_eq!(volume.stats().folded, Lsn(1));
    assert_eq!(volume.last_request(5).map(|tag| tag.seq), Some(2));
    let cut = Volume::open(power_cut(&disk), options()).expect("recovers");
    assert!(holds(&cut.snapshot().expect("open"), 0, 1), "the second was never durable");
    assert_eq!(cut.last_request(5).map(|tag| tag.seq), Some(1));
}

#[test]
pub fn slots_are_levelled_only_behind_an_unclean_end() {
    // One slot of sums and the other; before them, where a failed barrier may have left them unequal, a third barrier.
    for (clean, wanted) in [(true, 2), (false, 3)] {
        let disk = SimDisk::new(1);
        let volume = Volume::open(disk.clone(), options()).expect("a new store");
        put(&volume, &[0], 1, Durability::Durable);
        if clean {
            volume.close().expect("nothing holds it open");
        }
        let disk = disk.crash_process();
        let volume = Volume::open(disk.clone(), options()).expect("a healthy medium");
        put(&volume, &[0], 2, Durability::Durable);
        disk.start_trace();
        volume.compact().expect("folds");
        let is_barrier = |moment: &&Moment| moment.op == Some(Op::Barrier(Area::Sums));
        assert_eq!(disk.take_trace().iter().filter(is_barrier).count(), wanted, "clean: {clean}");
    }
}

#[test]
pub fn what_is_cut_off_again_is_not_written_again() {
    let disk = SimDisk::new(1);
    let volume = Volume::open(disk.clone(), options()).expect("a new store");
    // The blocks of each write into the base.
    let folded = || {
        disk.start_trace();
        volume.compact().expect("folds");
        let trace = disk.take_trace();
        let written = trace.iter().filter_map(|moment| match &moment.op {
            Some(Op::Write { area: Area::Base, bytes, .. }) => Some(bytes.len() / BLOCK_SIZE),
            _ => None,
        });
        written.collect::<Vec<_>>()
    };
    put(&volume, &[0, 1, 2, 3, 4, 5, 6, 7], 1, Durability::Durable);
    assert_eq!(folded(), [8], "neighbours go together");
    // The last block comes back at once. Zeros go where the base has bytes, so to the others only once.
    for zeros in [6, 1] {
        let mut writer = volume.begin().expect("the slot is free");
        writer.set_size(2 * PAGE).expect("in memory");
        writer.write(BlockNo(7), &fill(7, 2)).expect("in memory");
        writer.commit(Durability::Durable).expect("a healthy medium");
        assert_eq!(folded(), [zeros, 1]);
    }
}

#[test]
pub fn a_fold_whose_sums_were_not_written_keeps_the_log() {
    let mut refused = 0;
    for steps in 0..8 {
        let disk = SimDisk::new(1);
        let volume = Volume::open(disk.clone(), options()).expect("a new store");
        put(&volume, &[0], 1, Durability::Durable);
        volume.compact().expect("folds");
        put(&volume, &[0], 2, Durability::Durable);
        volume.rotate().expect("seals");
        for _ in 0..steps {
            volume.compact_step().expect("folds");
        }
        disk.inject(Fault::LostWrite { area: Area::Sums, page: 0 });
        match volume.compact() {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
                refused += 1;
            }
        }
        assert!(holds(&volume.snapshot().expect("open"), 0, 2), "lost behind {steps} steps");
    }
    assert_eq!(refused, 1, "between the barrier on the first slot and the second slot");
}
