//! How large segments become, and when the next one begins.

use datasync::backend::sim::{Moment, SimDisk};
use datasync::block::{BLOCK_SIZE, Durability};
use datasync::log::plan::{Area, Op};
use datasync::volume::{Options, Volume};

use super::attack::{holds, put};
use crate::settings::options;

const PAGE: u64 = BLOCK_SIZE as u64;

/// Each of them, for the planted bugs.
pub const ALL: &[fn()] = &[
    an_append_allocates_nothing,
    space_is_prepared_by_the_mebibyte_and_not_beyond_a_segment,
    a_segment_is_full_before_the_next_begins,
    segments_grow_while_nothing_can_be_folded,
    the_smallest_segments_hold_any_commit,
];

#[test]
pub fn an_append_allocates_nothing() {
    // Commits of every size end everywhere in a segment, and before and behind what was reserved with it.
    for most in 1..12 {
        let disk = SimDisk::new(1);
        let volume = Volume::open(disk.clone(), options()).expect("a new store");
        disk.start_trace();
        for stamp in 1..24 {
            let blocks: Vec<u64> = (0..=stamp % most).collect();
            put(&volume, &blocks, stamp, Durability::Witnessed);
        }
        for pair in disk.take_trace().windows(2) {
            let Some(Op::Write { area: area @ Area::Segment(_), offset, bytes }) = &pair[1].op else {
                continue;
            };
            let (before, end) = (pair[0].state.len(*area), offset + bytes.len() as u64);
            assert!(before >= Some(end), "{area} had {before:?} bytes before it was written up to {end}");
        }
    }
}

/// How many pages a segment is asked to have, each time that space is prepared while `blocks` go into the log.
fn prepared(options: &Options, blocks: u64) -> Vec<u32> {
    let disk = SimDisk::new(1);
    let volume = Volume::open(disk.clone(), options.clone()).expect("a new store");
    disk.start_trace();
    for block in 0..blocks {
        put(&volume, &[block], 1, Durability::Applied);
    }
    let wanted = |moment: Moment| match moment.op {
        Some(Op::Reserve { pages, .. }) => Some(pages),
        _ => None,
    };
    disk.take_trace().into_iter().filter_map(wanted).collect()
}

#[test]
pub fn space_is_prepared_by_the_mebibyte_and_not_beyond_a_segment() {
    // The spare, with the reserve of a recovery; then the rest of the segment.
    assert_eq!(prepared(&options(), 20), [9, 9, 16, 9, 16, 9, 16]);
    let large = options().segment_bytes(700 * PAGE).log_cap_bytes(1400 * PAGE);
    assert_eq!(prepared(&large, 340), [9, 9, 265, 521, 700]);
}

/// After how many commits of one block each the second segment begins, the third, and so on up to `last`.
fn beginnings(volume: &Volume, last: u64) -> Vec<u64> {
    let mut found = Vec::new();
    for commits in 0.. {
        put(volume, &[0], commits + 1, Durability::Durable);
        let segments = volume.stats().segments;
        if segments >= found.len() as u64 + 2 {
            found.push(commits);
        }
        if segments == last {
            break;
        }
    }
    found
}

#[test]
pub fn a_segment_is_full_before_the_next_begins() {
    let volume = Volume::open(SimDisk::new(1), options()).expect("a new store");
    // Of sixteen pages, one is the header, and one stays free for a proof; a commit takes two.
    assert_eq!(beginnings(&volume, 4), [7, 14, 21]);
}

#[test]
pub fn segments_grow_while_nothing_can_be_folded() {
    let volume = Volume::open(SimDisk::new(1), options().log_cap_bytes(4096 * PAGE)).expect("a new store");
    let reader = volume.snapshot().expect("open");
    let found = beginnings(&volume, 34);
    // From the sixteenth on they have room for 32 pages, from the 32nd on for 64.
    let sizes: Vec<u64> = found.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let wanted: Vec<u64> = [[7; 14].as_slice(), &[15; 16], &[31; 2]].concat();
    assert_eq!(sizes, wanted);
    assert_eq!(reader.size(), 0, "the reader sees what it saw");
}

#[test]
pub fn the_smallest_segments_hold_any_commit() {
    let smallest = options().segment_bytes(4 * PAGE).reserve_bytes(2 * PAGE).log_cap_bytes(8 * PAGE);
    for most in 1..7 {
        let volume = Volume::open(SimDisk::new(1), smallest.clone()).expect("a new store");
        for stamp in 1..9 {
            let blocks: Vec<u64> = (0..most).collect();
            put(&volume, &blocks, stamp, Durability::Durable);
            assert!(holds(&volume.snapshot().expect("open"), most - 1, stamp));
            // Each holds two blocks or a proof, and none is ended empty.
            assert!(volume.stats().rotations <= stamp * (most.div_ceil(2) + 1));
        }
    }
}
