//! The simulated disk keeps its own promises, or no suite built on it means anything.

use std::collections::HashSet;

use super::*;

const LOG: Area = Area::Segment(SegmentId(7));

fn bytes(fill: u8, pages: usize) -> Arc<[u8]> {
    vec![fill; pages * BLOCK_SIZE].into()
}

fn write(disk: &SimDisk, page: u64, fill: u8, pages: usize) {
    disk.apply(&Op::Write { area: LOG, offset: page * PAGE, bytes: bytes(fill, pages) }).unwrap();
}

fn first_byte(disk: &SimDisk, page: u64) -> Option<u8> {
    let mut byte = [0];
    match disk.read(LOG, page * PAGE, &mut byte) {
        Ok(1) => Some(byte[0]),
        _ => None,
    }
}

fn durable_log() -> SimDisk {
    let disk = SimDisk::new(1);
    disk.apply(&Op::Create(LOG)).unwrap();
    write(&disk, 0, 1, 1);
    disk.apply(&Op::Barrier(LOG)).unwrap();
    disk.apply(&Op::BarrierDirectory).unwrap();
    disk
}

#[test]
fn what_a_barrier_covered_is_in_every_image() {
    let disk = durable_log();
    write(&disk, 1, 2, 2);
    let mut images = 0;
    disk.state().each_image(&Bounds::default(), |_, image| {
        let after = SimDisk::from_state(image, 1);
        assert_eq!(first_byte(&after, 0), Some(1));
        images += 1;
        true
    });
    // Two pages of three classes within three lengths: 9 + 3 + 1.
    assert_eq!(images, 13);
}

#[test]
fn an_entry_without_its_barrier_may_be_gone_although_its_data_is_durable() {
    let disk = SimDisk::new(1);
    disk.apply(&Op::Create(LOG)).unwrap();
    write(&disk, 0, 1, 1);
    disk.apply(&Op::Barrier(LOG)).unwrap();
    let mut found = HashSet::new();
    disk.state().each_image(&Bounds::default(), |_, image| found.insert(image.len(LOG)));
    assert_eq!(found, HashSet::from([None, Some(PAGE)]));
}

#[test]
fn a_removal_without_its_barrier_may_not_have_happened() {
    let disk = durable_log();
    disk.apply(&Op::Remove(SegmentId(7))).unwrap();
    assert_eq!(disk.len(LOG).unwrap(), None);
    let mut found = HashSet::new();
    disk.state().each_image(&Bounds::default(), |_, image| found.insert(image.len(LOG)));
    assert_eq!(found, HashSet::from([None, Some(PAGE)]));
}

#[test]
fn a_process_crash_keeps_the_cache_and_makes_nothing_durable() {
    let disk = durable_log();
    write(&disk, 0, 2, 1);
    let next = disk.crash_process();
    assert_eq!(first_byte(&next, 0), Some(2));
    assert!(disk.apply(&Op::Barrier(LOG)).is_err(), "the dead process must not act");
    let mut found = HashSet::new();
    next.state().each_image(&Bounds::default(), |_, image| {
        found.insert(first_byte(&SimDisk::from_state(image, 1), 0));
        true
    });
    assert!(found.contains(&Some(1)) && found.contains(&Some(2)));
}

#[test]
fn failed_barriers_leave_what_their_kind_says() {
    let shown_and_kept = |how| {
        let disk = durable_log();
        write(&disk, 0, 2, 1);
        disk.inject(Fault::FailBarrier { nth: 1, how, kind: ErrorKind::Io });
        disk.apply(&Op::Barrier(LOG)).unwrap_err();
        let shown = first_byte(&disk, 0);
        disk.apply(&Op::Barrier(LOG)).unwrap();
        assert!(disk.faults().unfired().is_empty());
        let kept = SimDisk::from_state(disk.state().after(&Cut::default()), 1);
        (shown, first_byte(&kept, 0))
    };
    assert_eq!(shown_and_kept(BarrierFailure::Drops), (Some(1), Some(1)));
    assert_eq!(shown_and_kept(BarrierFailure::KeepsDirty), (Some(2), Some(2)));
    assert_eq!(shown_and_kept(BarrierFailure::MarksClean), (Some(2), Some(1)));
}

#[test]
fn what_is_dropped_is_read_from_the_disk_again() {
    let disk = durable_log();
    for (fill, how) in [(2, BarrierFailure::MarksClean), (3, BarrierFailure::Drops)] {
        write(&disk, 0, fill, 1);
        disk.inject(Fault::FailBarrier { nth: 1, how, kind: ErrorKind::Io });
        disk.apply(&Op::Barrier(LOG)).unwrap_err();
        disk.heal();
    }
    assert_eq!(first_byte(&disk, 0), Some(1), "the cache never had more than one page of it");
}

#[test]
fn refusals_strike_at_their_count_and_are_counted() {
    let disk = durable_log();
    let fault =
        |nth, lasting, kind| Fault::Refuse { call: Call::Write, nth, kind, lasting, leaves: Leaves::Nothing };
    disk.inject(fault(2, false, ErrorKind::Full));
    let again = |fill| disk.apply(&Op::Write { area: LOG, offset: 0, bytes: bytes(fill, 1) });
    assert_eq!(disk.faults().unfired().len(), 1);
    again(3).unwrap();
    assert_eq!(again(4).unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(first_byte(&disk, 0), Some(3));
    again(5).unwrap();
    assert!(disk.faults().unfired().is_empty());
    disk.heal();
    disk.inject(fault(1, true, ErrorKind::Io));
    assert_eq!((again(6).is_err(), again(7).is_err()), (true, true));
}

#[test]
fn a_full_disk_refuses_growth_and_takes_overwrites() {
    let disk = durable_log();
    disk.apply(&Op::Reserve { segment: SegmentId(7), pages: 3 }).unwrap();
    disk.set_free_pages(Some(0));
    write(&disk, 2, 9, 1);
    let grow = Op::Write { area: LOG, offset: 3 * PAGE, bytes: bytes(9, 1) };
    assert_eq!(disk.apply(&grow).unwrap_err().kind(), ErrorKind::Full);
    disk.set_free_pages(Some(1));
    disk.apply(&grow).unwrap();
}

#[test]
fn damage_changes_durable_bytes_and_says_whether_it_did() {
    let disk = durable_log();
    write(&disk, 0, 2, 1);
    disk.apply(&Op::Barrier(LOG)).unwrap();
    disk.inject(Fault::StaleRead { area: LOG, page: 0 });
    assert_eq!(first_byte(&disk, 0), Some(1));
    disk.heal();
    assert_eq!(first_byte(&disk, 0), Some(2));
    disk.inject(Fault::Rot { area: LOG, byte: 0, flip: 4 });
    assert_eq!(first_byte(&disk, 0), Some(6));
    disk.inject(Fault::LostWrite { area: LOG, page: 0 });
    assert_eq!(first_byte(&disk, 0), Some(1));
    disk.inject(Fault::Rot { area: LOG, byte: 9 * PAGE, flip: 4 });
    assert_eq!(disk.faults().unfired().len(), 1, "there is no page 9 to rot");
}

#[test]
fn a_lying_barrier_makes_nothing_durable() {
    let disk = durable_log();
    disk.inject(Fault::LyingBarriers { nth: 1 });
    write(&disk, 0, 2, 1);
    disk.apply(&Op::Barrier(LOG)).unwrap();
    assert!(!disk.state().is_settled());
}

#[test]
fn power_off_stops_everything_at_its_op() {
    let disk = durable_log();
    disk.inject(Fault::PowerOff { nth: 2 });
    write(&disk, 0, 2, 1);
    disk.apply(&Op::Barrier(LOG)).unwrap_err();
    disk.read(LOG, 0, &mut [0]).unwrap_err();
    let (_, after) = disk.cut_power(&mut Random::new(3));
    assert!(first_byte(&after, 0).is_some());
}

#[test]
fn the_same_states_have_the_same_fingerprint() {
    let (one, two) = (durable_log(), durable_log());
    assert_eq!(one.state().fingerprint(), two.state().fingerprint());
    write(&one, 1, 5, 1);
    assert_ne!(one.state().fingerprint(), two.state().fingerprint());
    one.apply(&Op::Barrier(LOG)).unwrap();
    write(&two, 1, 5, 1);
    assert_ne!(one.state().fingerprint(), two.state().fingerprint(), "durable is not pending");
    two.apply(&Op::Barrier(LOG)).unwrap();
    assert_eq!(one.state().fingerprint(), two.state().fingerprint());
}
