//! What META and the log say about each other: what does not fit is damage, and what proves nothing is not believed.

use std::collections::BTreeSet;

use datasync::backend::sim::{BarrierFailure, Cut as PowerCut, Fate, Fault, SimDisk, bytes_of};
use datasync::backend::{Backend, Source};
use datasync::block::{BLOCK_SIZE, Durability, Lsn, SegmentId};
use datasync::error::ErrorKind;
use datasync::format::FORMAT_VERSION;
use datasync::format::checksum::digest;
use datasync::format::group::{Group, Role};
use datasync::format::meta::{META_BYTES, Meta};
use datasync::format::segment::Cut;
use datasync::log::ahead::next_segment;
use datasync::log::plan::{Area, Op};
use datasync::volume::{Damage, Volume};

use super::attack::{holds, power_cut, put};
use crate::settings::options;

const PAGE: u64 = BLOCK_SIZE as u64;

/// Each of them, for the planted bugs.
pub const ALL: &[fn()] = &[
    an_end_that_the_log_does_not_have_is_damage,
    a_log_that_lacks_what_meta_knows_is_damage,
    a_proof_of_another_place_proves_nothing,
    rot_before_an_end_is_damage_where_no_commit_is_lost_too,
    a_file_that_is_no_meta_is_told_from_a_damaged_one,
    a_store_of_a_newer_version_is_left_alone,
    a_failed_barrier_and_a_torn_write_do_not_take_both_copies_of_meta,
    the_next_segment_is_what_the_newest_meta_says,
    the_log_beside_an_older_meta_tells_that_the_newest_is_lost,
    a_segment_of_another_store_or_number_is_no_evidence,
    a_torn_write_does_not_take_the_only_sound_copy_of_sums,
];

fn open(disk: &SimDisk) -> Volume {
    Volume::open(disk.clone(), options()).expect("a healthy medium")
}

fn refusal(disk: &SimDisk) -> ErrorKind {
    Volume::open(disk.clone(), options()).map(drop).expect_err("refused").kind()
}

fn write(disk: &SimDisk, area: Area, offset: u64, bytes: &[u8]) {
    disk.apply(&Op::Write { area, offset, bytes: bytes.into() }).expect("nothing is wrong with the disk");
}

/// The META that counts.
fn meta(disk: &SimDisk) -> Meta {
    let copies = (0..4).filter_map(|copy| {
        let mut bytes = vec![0; META_BYTES];
        disk.read(Area::Meta, copy * META_BYTES as u64, &mut bytes).expect("readable");
        Meta::decode(&bytes).ok()
    });
    copies.max_by_key(|meta| meta.seq).expect("the store has one")
}

/// The same disk, with another META in the place of the one that counts.
fn with_meta(disk: &SimDisk, change: impl FnOnce(&mut Meta)) -> SimDisk {
    let mut meta = meta(disk);
    change(&mut meta);
    let forged = SimDisk::from_state(disk.state(), 1);
    write(
        &forged,
        Area::Meta,
        meta.seq % 2 * 2 * META_BYTES as u64,
        &[meta.encode(), meta.encode()].concat(),
    );
    forged
}

#[test]
pub fn an_end_that_the_log_does_not_have_is_damage() {
    let disk = SimDisk::new(1);
    let volume = open(&disk);
    put(&volume, &[0], 1, Durability::Witnessed);
    put(&volume, &[0], 2, Durability::Witnessed);
    let disk = disk.crash_process();
    drop(open(&disk));
    let disk = disk.crash_process();
    let forgeries: [fn(&mut Cut); 5] = [
        |cut| cut.lsn = cut.lsn.next(),
        |cut| cut.lsn = Lsn(cut.lsn.0 - 1),
        |cut| cut.chain ^= 1,
        |cut| cut.end_page += 1,
        |cut| cut.end_page -= 1,
    ];
    for (at, forge) in forgeries.into_iter().enumerate() {
        let forged = with_meta(&disk, |meta| {
            let cut = meta.body.segments.last_mut().and_then(|last| last.cut.as_mut());
            forge(cut.expect("recovery has cut the log"));
        });
        assert_eq!(refusal(&forged), ErrorKind::Corrupt, "forgery {at}");
    }
    assert!(holds(&open(&with_meta(&disk, |_| {})).snapshot().expect("open"), 0, 2));
}

/// A store of two commits, of which META lists the second segment alone, with its end behind the proof.
fn ended() -> SimDisk {
    let disk = SimDisk::new(1);
    let volume = open(&disk);
    put(&volume, &[0], 1, Durability::Durable);
    volume.rotate().expect("seals");
    let view = volume.snapshot().expect("open");
    put(&volume, &[0], 2, Durability::Witnessed);
    volume.rotate().expect("seals");
    while volume.compact_step().expect("folds") {}
    assert!(holds(&view, 0, 1));
    let disk = disk.crash_process();
    let listed: Vec<_> =
        meta(&disk).body.segments.iter().map(|s| (s.id, s.cut.map(|c| c.end_page))).collect();
    assert_eq!(listed, [(SegmentId(2), Some(4))]);
    disk
}

/// The one thing that is wrong with it, as an opening for reading tells it; and what that opening shows.
fn damage(disk: SimDisk) -> (Damage, Volume) {
    assert_eq!(refusal(&disk), ErrorKind::Corrupt);
    let volume = Volume::open(disk, options().read_only(true)).expect("for reading");
    let [found] = volume.recovery().damage.as_slice() else { panic!("{:?}", volume.recovery().damage) };
    (found.clone(), volume)
}

#[test]
pub fn a_log_that_lacks_what_meta_knows_is_damage() {
    let (found, volume) = damage(with_meta(&ended(), |meta| meta.body.durable = Lsn(3)));
    assert_eq!(found.what, "the log ends at commit 2, META knows of 3");
    assert_eq!((found.segment, found.block, found.version), (None, None, Some(Lsn(3))));
    assert!(holds(&volume.snapshot().expect("open"), 0, 2));
    // Where something stands that is not sound, that is named.
    let disk = SimDisk::new(1);
    put(&open(&disk), &[0], 1, Durability::Durable);
    let disk = disk.crash_process();
    let known = with_meta(&disk, |meta| meta.body.durable = Lsn(1));
    known.inject(Fault::Rot { area: Area::Segment(SegmentId(1)), byte: PAGE + 10, flip: 4 });
    let (found, _) = damage(known);
    assert_eq!((found.segment, found.offset, found.version), (Some(SegmentId(1)), PAGE, Some(Lsn(1))));
}

#[test]
pub fn a_proof_of_another_place_proves_nothing() {
    let disk = SimDisk::new(1);
    let volume = open(&disk);
    put(&volume, &[0], 1, Durability::Durable);
    put(&volume, &[0], 2, Durability::Witnessed);
    let disk = disk.crash_process();
    let (area, page) = (Area::Segment(SegmentId(1)), 5);
    let (group, _) = Group::decode(bytes_of(&disk.state().visible(area, page))).expect("the proof");
    assert_eq!((group.role, group.lsn, group.durable), (Role::Watermark, Lsn(2), Lsn(2)));
    // The number of the last commit, what it says is durable; pages given up, commits left unproven.
    let cases = [((2, 2), (0, 0)), ((2, 1), (0, 1)), ((2, 3), (1, 1)), ((1, 2), (1, 1)), ((3, 2), (1, 1))];
    for ((lsn, durable), wanted) in cases {
        let mut bytes = [0; BLOCK_SIZE];
        Group { lsn: Lsn(lsn), durable: Lsn(durable), ..group.clone() }.encode(&mut bytes);
        let forged = SimDisk::from_state(disk.state(), 1);
        write(&forged, area, page * PAGE, &bytes);
        let volume = open(&forged);
        let told = volume.recovery();
        assert_eq!((told.torn_tail_bytes / PAGE, told.unproven_commits), wanted, "{durable} after {lsn}");
        assert!(holds(&volume.snapshot().expect("open"), 0, 2));
    }
}

#[test]
pub fn rot_before_an_end_is_damage_where_no_commit_is_lost_too() {
    let disk = ended();
    disk.inject(Fault::Rot { area: Area::Segment(SegmentId(2)), byte: 3 * PAGE + 10, flip: 4 });
    let (found, volume) = damage(disk);
    assert!(found.what.starts_with("log-0002: group: "), "{found}");
    let place = (found.segment, found.offset / PAGE, found.offset % PAGE, found.block, found.version);
    assert_eq!(place, (Some(SegmentId(2)), 3, 0, None, Some(Lsn(3))));
    assert!(holds(&volume.snapshot().expect("open"), 0, 2));
}

#[test]
pub fn a_file_that_is_no_meta_is_told_from_a_damaged_one() {
    for (bytes, kind) in [(4 * META_BYTES, ErrorKind::Corrupt), (4 * META_BYTES + 4096, ErrorKind::NotAStore)]
    {
        let disk = SimDisk::new(1);
        let volume = open(&disk);
        put(&volume, &[0], 1, Durability::Durable);
        let disk = disk.crash_process();
        write(&disk, Area::Meta, 0, &vec![0x41; bytes]);
        assert_eq!(refusal(&disk), kind, "{bytes} bytes");
    }
}

#[test]
pub fn a_store_of_a_newer_version_is_left_alone() {
    let disk = SimDisk::new(1);
    let volume = open(&disk);
    put(&volume, &[0], 1, Durability::Durable);
    let disk = disk.crash_process();
    for copy in 0..4 {
        let mut bytes = meta(&disk).encode();
        bytes[4..6].copy_from_slice(&(FORMAT_VERSION + 1).to_le_bytes());
        let sum = digest(&bytes[..META_BYTES - 8]);
        bytes[META_BYTES - 8..].copy_from_slice(&sum.to_le_bytes());
        let newer = SimDisk::from_state(disk.state(), 1);
        write(&newer, Area::Meta, copy * META_BYTES as u64, &bytes);
        let ops = newer.ops();
        assert_eq!(refusal(&newer), ErrorKind::Unsupported, "copy {copy}");
        assert_eq!(newer.ops(), ops, "copy {copy}");
    }
}

#[test]
pub fn a_failed_barrier_and_a_torn_write_do_not_take_both_copies_of_meta() {
    // The copy that has rotted before, if any.
    let cases = (0..4).flat_map(|lives| [None, Some(0), Some(1)].map(|rotten| (lives, rotten)));
    let cases = cases.flat_map(|(lives, rotten)| BarrierFailure::ALL.map(|how| (lives, rotten, how)));
    let mut failed = 0;
    for ((lives, rotten, how), nth) in cases.flat_map(|case| (4..8).map(move |nth| (case, nth))) {
        let mut disk = SimDisk::new(1);
        put(&open(&disk), &[0], 1, Durability::Witnessed);
        for _ in 0..lives {
            disk = disk.crash_process();
            open(&disk);
        }
        // Behind a fold the META before the newest is not enough.
        if lives > 1 {
            disk = disk.crash_process();
            open(&disk).compact().expect("folds");
        }
        let disk = disk.crash_process();
        if let Some(copy) = rotten {
            let byte = (meta(&disk).seq % 2 * 2 + copy) * META_BYTES as u64 + 70;
            disk.inject(Fault::Rot { area: Area::Meta, byte, flip: 1 });
        }
        disk.inject(Fault::FailBarrier { nth, how, kind: ErrorKind::Io });
        failed += usize::from(Volume::open(disk.clone(), options()).is_err());
        let disk = disk.crash_process();
        disk.start_trace();
        let context = format!("after {lives} lives, {rotten:?} rotten, barrier {nth} failed, {how:?}");
        Volume::open(disk.clone(), options()).unwrap_or_else(|error| panic!("{context}: {error}"));
        for (at, moment) in disk.take_trace().into_iter().enumerate() {
            let mut cut = PowerCut::default();
            let torn = moment.state.unsynced().into_iter().filter(|(area, _)| *area == Area::Meta);
            torn.for_each(|(area, page)| cut.page(area, page, Fate::Garbage(1)));
            let again = SimDisk::from_state(moment.state.after(&cut), 1);
            let volume = Volume::open(again, options());
            let volume = volume.unwrap_or_else(|error| panic!("{context}, power cut at op {at}: {error}"));
            assert!(holds(&volume.snapshot().expect("open"), 0, 1), "{context}, power cut at op {at}");
        }
    }
    assert!(failed > 100, "only {failed} barriers failed");
}

#[test]
pub fn the_next_segment_is_what_the_newest_meta_says() {
    let disk = SimDisk::new(1);
    assert_eq!(next_segment(&disk).expect("readable"), None, "there is no META");
    let volume = open(&disk);
    let mut slots = BTreeSet::new();
    // A fold takes one META more, so either slot comes to hold the newest.
    for folds in [false, true, false, false, true, true] {
        put(&volume, &[0], 1, Durability::Durable);
        volume.rotate().expect("seals");
        put(&volume, &[0], 1, Durability::Durable);
        if folds {
            volume.compact().expect("folds");
        }
        let newest = meta(&disk);
        assert_eq!(next_segment(&disk).expect("readable"), Some(newest.body.next_segment));
        // Each copy is enough.
        let slot = newest.seq % 2 * 2;
        for lost in [slot, slot + 1] {
            let left = SimDisk::from_state(disk.state(), 1);
            write(&left, Area::Meta, lost * META_BYTES as u64, &[0x5a; META_BYTES]);
            assert_eq!(next_segment(&left).expect("readable"), Some(newest.body.next_segment));
        }
        slots.insert(slot);
    }
    assert_eq!(slots.len(), 2);
    write(&disk, Area::Meta, 0, &[0x5a; 4 * META_BYTES]);
    assert_eq!(next_segment(&disk).expect("readable"), None, "no copy is sound");
}

#[test]
pub fn the_log_beside_an_older_meta_tells_that_the_newest_is_lost() {
    let disk = SimDisk::new(1);
    let volume = open(&disk);
    for stamp in 1..4 {
        put(&volume, &[0], stamp, Durability::Durable);
        let newest = power_cut(&disk);
        let slot = meta(&newest).seq % 2 * 2 * META_BYTES as u64;
        for copy in [0, META_BYTES as u64] {
            newest.inject(Fault::Rot { area: Area::Meta, byte: slot + copy + 70, flip: 1 });
        }
        assert_eq!(refusal(&newest), ErrorKind::Corrupt, "{stamp} segments");
        volume.rotate().expect("seals");
    }
}

#[test]
pub fn a_segment_of_another_store_or_number_is_no_evidence() {
    let [ours, other] = [7, 8].map(|seed| {
        let disk = SimDisk::new(1);
        let volume = Volume::open(disk.clone(), options().seed([seed; 16])).expect("a new store");
        put(&volume, &[0], 1, Durability::Witnessed);
        volume.rotate().expect("seals");
        put(&volume, &[0], 2, Durability::Witnessed);
        disk.crash_process()
    });
    for (from, segment, to) in [(&ours, 2, 9), (&other, 2, 9), (&other, 2, 3), (&ours, 1, 3)] {
        let disk = SimDisk::from_state(ours.state(), 1);
        let beside = Area::Segment(SegmentId(to));
        disk.apply(&Op::Create(beside)).expect("nothing is wrong with the disk");
        for page in 0..4 {
            let bytes = *bytes_of(&from.state().visible(Area::Segment(SegmentId(segment)), page));
            write(&disk, beside, page * PAGE, &bytes);
        }
        let volume = open(&disk);
        assert!(holds(&volume.snapshot().expect("open"), 0, 2), "{segment} as {to}");
        put(&volume, &[0], 3, Durability::Durable);
        volume.close().expect("folds");
    }
}

#[test]
pub fn a_torn_write_does_not_take_the_only_sound_copy_of_sums() {
    for rotten in [None, Some(0), Some(1)] {
        let disk = SimDisk::new(1);
        let volume = open(&disk);
        put(&volume, &[0, 1, 2], 1, Durability::Durable);
        volume.compact().expect("folds");
        put(&volume, &[0], 2, Durability::Witnessed);
        let disk = disk.crash_process();
        if let Some(copy) = rotten {
            disk.inject(Fault::Rot { area: Area::Sums, byte: copy * PAGE + 80, flip: 1 });
        }
        disk.start_trace();
        open(&disk).compact().expect("folds");
        for (at, moment) in disk.take_trace().into_iter().enumerate() {
            let mut cut = PowerCut::default();
            let torn = moment.state.unsynced().into_iter().filter(|(area, _)| *area == Area::Sums);
            torn.for_each(|(area, page)| cut.page(area, page, Fate::Garbage(1)));
            let volume = open(&SimDisk::from_state(moment.state.after(&cut), 1));
            let view = volume.snapshot().expect("open");
            for (block, stamp) in [(0, 2), (1, 1), (2, 1)] {
                assert!(holds(&view, block, stamp), "copy {rotten:?} rotten, power cut at op {at}");
            }
        }
    }
}
