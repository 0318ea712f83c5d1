//! What a volume promises on any medium: commits, snapshots, trim, compaction, close.

use std::collections::BTreeMap;

use datasync::backend::Source;
use datasync::block::{BlockBytes, BlockNo, Durability};
use datasync::error::ErrorKind;
use datasync::log::plan::Area;
use datasync::volume::{BlockStorage, Blocks, OpenKind, Options, Snapshot, Volume};

use crate::medium::{BLOCK, Medium};

/// Small segments, and nothing that runs by itself.
pub fn options() -> Options {
    Options::new().background(false).segment_bytes(64 * 1024).reserve_bytes(16 * 1024)
}

pub fn open<M: Medium>(medium: &M) -> Volume {
    Volume::open(medium.open(), options()).unwrap()
}

/// A block's bytes that say which block it is and in which round it was written.
pub fn content(block: u64, round: u64) -> BlockBytes {
    let mut bytes = [round as u8; BLOCK];
    bytes[..8].copy_from_slice(&block.to_le_bytes());
    bytes[8..16].copy_from_slice(&round.to_le_bytes());
    bytes
}

/// What should be there: block to round; a block that is not named reads as zeros.
pub type Expected = BTreeMap<u64, u64>;

/// Commits `blocks` as written in `round`, and notes it.
pub fn commit(volume: &Volume, expected: &mut Expected, blocks: &[u64], round: u64) {
    let mut writer = volume.begin().unwrap();
    for block in blocks {
        writer.write(BlockNo(*block), &content(*block, round)).unwrap();
        expected.insert(*block, round);
    }
    writer.commit(Durability::Durable).unwrap();
}

pub fn check(snapshot: &Snapshot, expected: &Expected) {
    let blocks = snapshot.size().div_ceil(BLOCK as u64);
    for block in 0..blocks {
        let mut bytes = [0xEE; BLOCK];
        snapshot.read(BlockNo(block), &mut bytes).unwrap();
        let right = match expected.get(&block) {
            Some(round) => bytes == content(block, *round),
            None => bytes == [0; BLOCK],
        };
        assert!(right, "block {block} is not as expected ({:?}): {:?}", expected.get(&block), &bytes[..24]);
    }
    assert!(expected.keys().all(|block| *block < blocks), "{blocks} blocks are fewer than expected");
}

fn check_now(volume: &Volume, expected: &Expected) {
    check(&volume.snapshot().unwrap(), expected);
}

/// The blocks that a round of [`fill`] writes.
fn blocks_of(round: u64) -> [u64; 4] {
    [0, round, 20 - round, 5]
}

/// Eight rounds, one commit each, over at least three segments.
pub fn fill(volume: &Volume, expected: &mut Expected) {
    for round in 1..=8 {
        commit(volume, expected, &blocks_of(round), round);
        if round % 3 == 0 {
            volume.rotate().unwrap();
        }
    }
}

/// What is there after the first `rounds` rounds of [`fill`].
pub fn after(rounds: u64) -> Expected {
    (1..=rounds).flat_map(|round| blocks_of(round).map(|block| (block, round))).collect()
}

pub fn commits_are_read_back_while_open_and_after_closing<M: Medium>() {
    let (medium, mut expected) = (M::new(), Expected::new());
    let volume = open(&medium);
    assert_eq!(volume.recovery().kind, OpenKind::Created);
    fill(&volume, &mut expected);
    check_now(&volume, &expected);
    volume.close().unwrap();
    drop(volume);
    let volume = open(&medium);
    assert_eq!(volume.recovery().kind, OpenKind::Clean);
    check_now(&volume, &expected);
}

pub fn acknowledged_commits_survive_a_crash<M: Medium>() {
    let (medium, mut expected) = (M::new(), Expected::new());
    for life in 0..4 {
        let volume = open(&medium);
        check_now(&volume, &expected);
        if life > 0 {
            assert_eq!(volume.recovery().kind, OpenKind::Unclean);
        }
        for round in 0..5 {
            commit(&volume, &mut expected, &[0, life * 3 + round], life * 10 + round);
        }
        let mut writer = volume.begin().unwrap();
        writer.write(BlockNo(0), &content(0, 999)).unwrap();
        drop(writer);
        drop(volume);
    }
    check_now(&open(&medium), &expected);
}

pub fn close_leaves_base_with_exactly_the_bytes<M: Medium>() {
    let (medium, mut expected) = (M::new(), Expected::new());
    let volume = open(&medium);
    fill(&volume, &mut expected);
    let mut writer = volume.begin().unwrap();
    writer.set_size(18 * BLOCK as u64).unwrap();
    expected.split_off(&18);
    writer.commit(Durability::Durable).unwrap();
    volume.close().unwrap();
    volume.close().unwrap();
    drop(volume);
    let bytes: Vec<u8> = (0..18)
        .flat_map(|block| expected.get(&block).map_or([0; BLOCK], |round| content(block, *round)))
        .collect();
    assert!(medium.bytes(Area::Base).unwrap() == bytes, "base.db is not the database");
    assert_eq!(medium.open().segments().unwrap(), [], "a clean close leaves no log");
}

pub fn snapshot_sees_the_same_bytes_until_dropped<M: Medium>() {
    let (medium, mut expected) = (M::new(), Expected::new());
    let volume = open(&medium);
    fill(&volume, &mut expected);
    let (pinned, then) = (volume.snapshot().unwrap(), expected.clone());
    for round in 100..110 {
        commit(&volume, &mut expected, &[0, 5, round - 90], round);
        volume.rotate().unwrap();
        volume.compact().unwrap();
        check(&pinned, &then);
    }
    check_now(&volume, &expected);
    drop(pinned);
    volume.compact().unwrap();
    check_now(&volume, &expected);
}

pub fn trimmed_blocks_read_as_zeros_for_good<M: Medium>() {
    let (medium, mut expected) = (M::new(), Expected::new());
    let volume = open(&medium);
    fill(&volume, &mut expected);
    volume.rotate().unwrap();
    volume.compact().unwrap();
    let mut writer = volume.begin().unwrap();
    for block in [0, 5] {
        writer.trim(BlockNo(block)).unwrap();
        expected.remove(&block);
    }
    writer.commit(Durability::Durable).unwrap();
    check_now(&volume, &expected);
    drop(volume);
    let volume = open(&medium);
    check_now(&volume, &expected);
    volume.close().unwrap();
    drop(volume);
    check_now(&open(&medium), &expected);
}

pub fn abandoned_batch_leaves_nothing<M: Medium>() {
    let (medium, mut expected) = (M::new(), Expected::new());
    let volume = open(&medium);
    commit(&volume, &mut expected, &[0, 1], 1);
    let mut writer = volume.begin().unwrap();
    writer.write(BlockNo(0), &content(0, 2)).unwrap();
    writer.write(BlockNo(9), &content(9, 2)).unwrap();
    let mut bytes = [0; BLOCK];
    writer.read(BlockNo(9), &mut bytes).unwrap();
    assert!(bytes == content(9, 2), "a writer reads what it has staged");
    writer.abandon().unwrap();
    writer.read(BlockNo(0), &mut bytes).unwrap();
    assert!(bytes == content(0, 1));
    assert_eq!(writer.size(), 2 * BLOCK as u64);
    drop(writer);
    check_now(&volume, &expected);
    drop(volume);
    let volume = open(&medium);
    check_now(&volume, &expected);
    commit(&volume, &mut expected, &[1], 3);
    check_now(&volume, &expected);
}

pub fn second_writer_waits_its_turn<M: Medium>() {
    let (medium, mut expected) = (M::new(), Expected::new());
    let volume = open(&medium);
    let writer = volume.begin().unwrap();
    assert!(volume.writer_active());
    let error = volume.begin_within(std::time::Duration::from_millis(5)).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    drop(writer);
    commit(&volume, &mut expected, &[3], 1);
    check_now(&volume, &expected);
}

pub fn compaction_gives_the_space_back<M: Medium>() {
    let (medium, mut expected) = (M::new(), Expected::new());
    let volume = open(&medium);
    for round in 1..=10 {
        commit(&volume, &mut expected, &(0..40).collect::<Vec<_>>(), round);
    }
    let mut writer = volume.begin().unwrap();
    writer.set_size(0).unwrap();
    writer.commit(Durability::Durable).unwrap();
    volume.close().unwrap();
    drop(volume);
    assert_eq!(medium.bytes(Area::Base).unwrap().len(), 0, "base.db keeps blocks that nobody has");
    check_now(&open(&medium), &Expected::new());
}

pub fn one_barrier_serves_every_commit_before_it<M: Medium>() {
    let medium = M::new();
    let volume = open(&medium);
    commit(&volume, &mut Expected::new(), &[0], 1);
    let before = volume.stats().barriers;
    let append = |block: u64| {
        let mut writer = volume.begin().unwrap();
        writer.write(BlockNo(block), &content(block, 1)).unwrap();
        writer.append(Durability::Durable).unwrap()
    };
    // No more than the reserve holds: what is larger takes a second barrier.
    let pending: Vec<_> = (0..2).map(append).collect();
    assert_eq!(volume.stats().barriers, before, "nobody has waited yet");
    for one in pending {
        one.wait().unwrap();
    }
    assert_eq!(volume.stats().barriers, before + 1);
}

pub fn several_blocks_are_written_and_read_in_the_order_they_are_named<M: Medium>() {
    let medium = M::new();
    let mut blocks = Blocks::new(open(&medium));
    let bytes: Vec<BlockBytes> = [7, 2, 5].map(|block| content(block, 1)).into();
    let named = [(BlockNo(7), &bytes[0]), (BlockNo(2), &bytes[1]), (BlockNo(5), &bytes[2])];
    blocks.write_blocks(&named).unwrap();
    // The later of two for one block counts, and nothing is a commit of its own.
    let again = content(2, 2);
    blocks.write_blocks(&[(BlockNo(2), &content(2, 9)), (BlockNo(2), &again)]).unwrap();
    blocks.write_blocks(&[]).unwrap();
    let order = [BlockNo(5), BlockNo(7), BlockNo(3), BlockNo(2), BlockNo(5), BlockNo(100)];
    let expected = [bytes[2], bytes[0], [0; BLOCK], again, bytes[2], [0; BLOCK]];
    let read = |blocks: &mut Blocks| blocks.read_blocks(&order).unwrap().into_iter().map(|block| *block);
    assert!(read(&mut blocks).eq(expected), "staged");
    assert!(blocks.volume().snapshot().unwrap().size() == 0, "nobody else sees it yet");
    blocks.sync().unwrap().expect("one commit");
    assert_eq!(blocks.volume().committed_lsn().0, 1);
    drop(blocks);
    let mut blocks = Blocks::new(open(&medium));
    assert!(read(&mut blocks).eq(expected), "after opening again");

    // The first that fails is told; what stood before it is staged.
    let far = (BlockNo(u64::MAX), &again);
    let error = blocks.write_blocks(&[(BlockNo(0), &again), far, (BlockNo(1), &again)]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse, "{error}");
    let read: Vec<_> = blocks.read_blocks(&[BlockNo(0), BlockNo(1)]).unwrap();
    assert!(*read[0] == again && *read[1] == [0; BLOCK]);
    blocks.rollback();
    assert!(*blocks.read_block(BlockNo(0)).unwrap() == [0; BLOCK]);
}

pub fn a_commit_of_nothing_names_the_one_before<M: Medium>() {
    let medium = M::new();
    let volume = open(&medium);
    let mut writer = volume.begin().unwrap();
    writer.write(BlockNo(0), &content(0, 1)).unwrap();
    let first = writer.commit(Durability::Durable).unwrap();
    let mut writer = volume.begin().unwrap();
    assert!(writer.is_empty());
    let nothing = writer.append(Durability::Witnessed).unwrap().wait().unwrap();
    assert_eq!((nothing.commit, nothing.durability), (first.commit, Durability::Applied));
    assert_eq!(writer.commit(Durability::Durable).unwrap(), nothing);
    assert_eq!(volume.committed_lsn(), first.commit.lsn);
}

pub fn concurrent_writers_lose_nothing<M: Medium>() {
    let medium = M::new();
    let volume = open(&medium);
    let each = 20;
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let volume = &volume;
            scope.spawn(move || {
                for n in 0..each {
                    let block = thread * each + n;
                    let mut writer = volume.begin_within(std::time::Duration::from_secs(30)).unwrap();
                    writer.write(BlockNo(block), &content(block, 1)).unwrap();
                    writer.commit(Durability::Durable).unwrap();
                }
            });
        }
    });
    let expected = (0..4 * each).map(|block| (block, 1)).collect();
    check_now(&volume, &expected);
    drop(volume);
    check_now(&open(&medium), &expected);
}

/// A fold writes an entry of base.sum for every block up to the last: a slip of a block number must not fill
/// the disk.
pub fn write_far_behind_the_end_is_refused<M: Medium>() {
    let (medium, mut expected) = (M::new(), Expected::new());
    let volume = open(&medium);
    commit(&volume, &mut expected, &[0, 1], 1);
    let mut writer = volume.begin().unwrap();
    for block in [1 << 21, u64::MAX] {
        let error = writer.write(BlockNo(block), &content(0, 2)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misuse, "{error}");
    }
    assert_eq!(writer.set_size(1 << 40).unwrap_err().kind(), ErrorKind::Misuse);
    writer.write(BlockNo(1000), &content(1000, 2)).unwrap();
    writer.commit(Durability::Durable).unwrap();
    expected.insert(1000, 2);
    volume.close().unwrap();
    drop(volume);
    check_now(&open(&medium), &expected);
}
