//! No space, at the worst moment, and then something worse: each test is one attack that must fail.

use std::collections::HashSet;

use datasync::backend::sim::{
    BarrierFailure, Bounds, Call, Cut, DiskState, Fault, Leaves, SimDisk, bytes_of,
};
use datasync::block::{BLOCK_SIZE, BlockNo, Durability};
use datasync::error::{ErrorKind, Result};
use datasync::log::plan::Area;
use datasync::volume::Volume;

use super::attack::{holds, power_cut, put};
use super::{after, expected, step};
use crate::invariants::{Checked, Expected, Violation, opens};
use crate::reference::{History, fill};
use crate::settings::options;
use crate::workload::{Run, recovered};

/// Each of them, for the planted bugs.
pub const ALL: &[fn()] = &[
    a_commit_over_two_segments_that_is_given_up_does_not_keep_a_store_from_closing,
    a_new_store_says_full_and_goes_on,
    a_fold_that_found_no_space_spoils_nothing_for_the_next,
    a_fold_that_found_no_space_leaves_no_bytes_for_plain_sqlite,
    a_barrier_that_failed_for_want_of_space_is_never_tried_again,
];

fn open(disk: &SimDisk) -> Volume {
    Volume::open(disk.clone(), options()).expect("only space is missing")
}

fn try_put(volume: &Volume, blocks: &[u64], stamp: u64) -> Result<()> {
    let mut writer = volume.begin()?;
    blocks.iter().try_for_each(|block| writer.write(BlockNo(*block), &fill(*block, stamp)))?;
    writer.commit(Durability::Durable).map(drop)
}

#[test]
pub fn a_commit_over_two_segments_that_is_given_up_does_not_keep_a_store_from_closing() {
    for blocks in [12, 24, 40, 60] {
        let disk = SimDisk::new(1);
        let volume = open(&disk);
        put(&volume, &[0], 1, Durability::Durable);
        let many: Vec<u64> = (0..blocks).collect();
        put(&volume, &many, 2, Durability::Applied);
        let disk = disk.crash_process();
        drop(volume);
        disk.set_free_pages(Some(0));
        let volume = open(&disk);
        let left = if volume.recovery().given_up_commits > 0 { 1 } else { 2 };
        assert!(holds(&volume.snapshot().expect("open"), 0, left));
        disk.set_free_pages(None);
        volume.close().unwrap_or_else(|error| panic!("{blocks} blocks: {error}"));
    }
}

#[test]
pub fn a_new_store_says_full_and_goes_on() {
    for free in 0..40 {
        let disk = SimDisk::new(1);
        drop(open(&disk));
        disk.set_free_pages(Some(free));
        let volume = open(&disk);
        if let Err(error) = try_put(&volume, &[0], 1) {
            assert_eq!(error.kind(), ErrorKind::Full, "{free} pages free: {error}");
        }
        disk.set_free_pages(None);
        put(&volume, &[0], 2, Durability::Durable);
        let again = open(&power_cut(&disk));
        assert!(holds(&again.snapshot().expect("open"), 0, 2), "{free} pages free");
    }
}

/// Folds until there is no space.
fn fold_until_full(volume: &Volume, free: u64, disk: &SimDisk) -> Result<()> {
    disk.set_free_pages(Some(free));
    let mut outcome = Ok(true);
    while matches!(outcome, Ok(true)) {
        outcome = volume.compact_step();
    }
    disk.set_free_pages(None);
    outcome.map(drop)
}

#[test]
pub fn a_fold_that_found_no_space_spoils_nothing_for_the_next() {
    let bounds = Bounds { product: 81, pairs: true, drawn: 2, seed: 4 };
    for (free, nth) in (0..5).flat_map(|free| (1..7).map(move |nth| (free, nth))) {
        let disk = SimDisk::new(1);
        let volume = open(&disk);
        put(&volume, &[0, 1, 2], 1, Durability::Durable);
        volume.compact().expect("folds");
        // Block 200 has its sum on a page of its own, which needs space in both slots.
        put(&volume, &[0, 200], 2, Durability::Durable);
        volume.rotate().expect("seals");
        let Err(error) = fold_until_full(&volume, free, &disk) else { continue };
        assert_eq!(error.kind(), ErrorKind::Full);
        disk.inject(Fault::FailBarrier { nth, how: BarrierFailure::Spoils, kind: ErrorKind::Io });
        let _ = volume.compact();
        let disk = disk.crash_process();
        drop(volume);
        let volume = open(&disk);
        disk.start_trace();
        volume.compact().expect("folds");
        for (at, moment) in disk.take_trace().iter().enumerate() {
            moment.state.each_image(&bounds, |cut, image| {
                let context = || format!("{free} pages free, barrier {nth}, op {at}: {cut}");
                let again = Volume::open(SimDisk::from_state(image, 1), options())
                    .unwrap_or_else(|error| panic!("{}: {error}", context()));
                let view = again.snapshot().expect("open");
                for (block, stamp) in [(0, 2), (1, 1), (2, 1), (200, 2)] {
                    let mut bytes = [0; BLOCK_SIZE];
                    view.read(BlockNo(block), &mut bytes)
                        .unwrap_or_else(|error| panic!("{}: {error}", context()));
                    assert!(bytes == fill(block, stamp), "{}: block {block}", context());
                }
                true
            });
        }
    }
}

/// Every block of `base.db` as another program sees it.
fn plain(disk: &SimDisk, block: u64) -> bool {
    *bytes_of(&disk.state().visible(Area::Base, block)) == [0; BLOCK_SIZE]
}

#[test]
pub fn a_fold_that_found_no_space_leaves_no_bytes_for_plain_sqlite() {
    for (free, between) in (0..6).flat_map(|free| [false, true].map(|between| (free, between))) {
        let disk = SimDisk::new(1);
        let volume = open(&disk);
        put(&volume, &[0, 1, 2], 1, Durability::Durable);
        volume.compact().expect("folds");
        put(&volume, &[5, 7, 9], 2, Durability::Durable);
        volume.rotate().expect("seals");
        let _ = fold_until_full(&volume, free, &disk);
        let size = |blocks: u64| {
            let mut writer = volume.begin().expect("the slot is free");
            writer.set_size(blocks * BLOCK_SIZE as u64).expect("in memory");
            writer.commit(Durability::Durable).expect("there is space");
        };
        size(3);
        if between {
            volume.compact().expect("folds");
            put(&volume, &[11], 3, Durability::Durable);
        }
        size(12);
        volume.close().expect("folds");
        for block in 3..if between { 11 } else { 12 } {
            assert!(plain(&disk, block), "{free} pages free: block {block} of base.db is not zeros");
        }
    }
}

#[test]
pub fn a_barrier_that_failed_for_want_of_space_is_never_tried_again() {
    let directory = |nth| Fault::Refuse {
        call: Call::BarrierDirectory,
        nth,
        kind: ErrorKind::Full,
        lasting: false,
        leaves: Leaves::Nothing,
    };
    let how = BarrierFailure::MarksClean;
    let faults =
        (1..20).flat_map(|nth| [directory(nth), Fault::FailBarrier { nth, how, kind: ErrorKind::Full }]);
    let mut struck = 0;
    for fault in faults {
        let disk = SimDisk::new(1);
        let volume = open(&disk);
        disk.inject(fault);
        let work = || -> Result<()> {
            try_put(&volume, &[0, 1], 1)?;
            volume.compact()?;
            (0..4).try_for_each(|_| try_put(&volume, &[0, 1, 2, 3, 4, 5], 2))?;
            volume.compact()
        };
        if work().is_ok() {
            continue;
        }
        struck += 1;
        let ops = disk.ops();
        let _ = volume.compact();
        let told = try_put(&volume, &[0], 3).map_err(|error| error.kind());
        assert_eq!(told, Err(ErrorKind::Poisoned), "{fault}");
        assert_eq!(disk.ops(), ops, "{fault}: the store went on");
    }
    assert!(struck > 10, "only {struck} barriers failed");
}

/// Medium, expectations and depth of what was tried.
type Keys = HashSet<(u64, usize, usize, u32)>;

/// `image` on a disk without a free page.
fn full(image: &DiskState) -> SimDisk {
    let disk = SimDisk::from_state(image.clone(), 1);
    disk.set_free_pages(Some(0));
    disk
}

/// Opens `image` on a full disk, cuts that off at every op, `depth` times over, and checks what each leaves.
fn crash_on_full(image: &DiskState, allowed: &Expected<'_>, depth: u32, tried: &mut Keys) -> Checked<()> {
    if !tried.insert((image.fingerprint(), allowed.least, allowed.most, depth)) {
        return Ok(());
    }
    let disk = full(image);
    disk.start_trace();
    let volume = opens(Volume::open(disk.clone(), options()))?;
    let shown = recovered(&volume, allowed)?;
    drop(volume);
    let moments = disk.take_trace();
    let exactly = Expected { commits: allowed.commits, least: shown, most: shown };
    let last = disk.crash_process().state();
    for image in [last.after(&Cut::default()), last] {
        // What one opening has shown is there for good, on a full disk or with space again.
        let mut next = Run::stopped(full(&image), History::new(allowed.commits[shown].clone()));
        next.open().map_err(|violation| violation.at("opened a second time"))?;
        recovered(next.volume.as_ref().expect("open"), &exactly)?;
        next.disk.set_free_pages(None);
        step(&mut next, "d0.k.d01.z").map_err(|violation| violation.at("with space again"))?;
    }
    if depth == 0 {
        return Ok(());
    }
    for (at, moment) in moments.iter().enumerate() {
        let allowed = if at + 1 == moments.len() { &exactly } else { allowed };
        let context = |violation: Violation| {
            violation.at(format!("op {at}, {:?}", moment.op.as_ref().map(ToString::to_string)))
        };
        let mut further =
            |image: &DiskState| crash_on_full(image, allowed, depth - 1, tried).map_err(context);
        further(&moment.state)?;
        if depth == 1 {
            further(&moment.state.after(&Cut::default()))?;
            continue;
        }
        let mut checked = Ok(());
        let bounds = Bounds { product: 9, pairs: false, drawn: 2, seed: 4 };
        moment.state.each_image(&bounds, |cut, image| {
            checked = further(&image).map_err(|violation| violation.at(cut.to_string()));
            checked.is_ok()
        });
        checked?;
    }
    Ok(())
}

#[test]
pub fn recovery_on_a_full_disk_may_be_cut_off_anywhere_and_again() {
    for word in ["d0.a1", "a0.a1.a0.a1.a0", "d01.r.d0.a1.a0", "L.C.a0.L.a1", "L.C.s1.y.r.c.c.a0"] {
        let mut tried = Keys::new();
        let mut run = after(word).expect("a healthy store");
        let cut = run.disk.state().after(&Cut::default());
        run.die();
        for image in [run.disk.state(), cut] {
            if let Err(violation) = crash_on_full(&image, &expected(&run.history), 2, &mut tried) {
                panic!("{}", violation.at(word));
            }
        }
        assert!(tried.len() > 50, "{word}: only {} openings", tried.len());
    }
}
