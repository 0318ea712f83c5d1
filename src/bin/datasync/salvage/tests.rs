//! A salvage that is crashed at every op of what it writes: the damaged store is as it was, and the copy is whole or
//! not to be found.

use std::path::Path;

use datasync::backend::OpenMode;
use datasync::backend::file::FileStore;
use datasync::backend::sim::{Cut, DiskState, Fault, Random, SimDisk, Tally, Trouble};
use datasync::block::{BLOCK_SIZE, BlockBytes, BlockNo, Durability};
use datasync::volume::{Options, Volume};

use super::wreck::Wreck;
use super::{Ways, rescue};

const BLOCKS: u64 = 9;
/// The block that is damaged.
const LOST: u64 = 4;

fn options() -> Options {
    Options::new().background(false).segment_bytes(64 << 10).reserve_bytes(16 << 10).log_cap_bytes(256 << 10)
}

fn fill(block: u64) -> BlockBytes {
    [block as u8 + 1; BLOCK_SIZE]
}

/// A closed store of a few blocks, one of which rotted.
fn damaged(folder: &Path) {
    let volume = Volume::open(FileStore::open(folder, OpenMode::Create).unwrap(), options()).unwrap();
    let mut writer = volume.begin().unwrap();
    (0..BLOCKS).for_each(|block| writer.write(BlockNo(block), &fill(block)).unwrap());
    writer.commit(Durability::Durable).unwrap();
    volume.close().unwrap();
    drop(volume);
    let mut base = std::fs::read(folder.join("base.db")).unwrap();
    base[LOST as usize * BLOCK_SIZE + 77] ^= 4;
    std::fs::write(folder.join("base.db"), base).unwrap();
}

/// Every file of a folder with its bytes.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

/// Opens what a crash has left of a copy: whether all is there that can be. What is there is never wrong.
fn is_whole(image: &DiskState) -> bool {
    let Ok(volume) = Volume::open(SimDisk::from_state(image.clone(), 1), options()) else { return false };
    let snapshot = volume.snapshot().unwrap();
    let mut whole = snapshot.size() == BLOCKS * BLOCK_SIZE as u64;
    let mut bytes = [0; BLOCK_SIZE];
    for block in 0..BLOCKS {
        snapshot.read(BlockNo(block), &mut bytes).unwrap();
        let there = bytes == fill(block);
        assert!(there || bytes == [0; BLOCK_SIZE], "block {block} of a copy holds what was never in it");
        whole &= there || block == LOST;
    }
    whole
}

/// What a crash on `disk` can leave: the cache alive, everything unsynced lost, some of it.
fn images(disk: &SimDisk, seed: u64, tally: &Tally) -> Vec<DiskState> {
    let state = disk.state();
    let mut random = Random::new(seed);
    let worst = Cut::default();
    let mut images = vec![state.clone(), state.after(&worst)];
    state.count_losses(&worst, tally);
    for _ in 0..6 {
        let (cut, image) = state.draw_image(&mut random);
        state.count_losses(&cut, tally);
        images.push(image);
    }
    images
}

#[test]
fn a_salvage_crashed_at_any_op_leaves_the_damaged_store_and_a_whole_copy_or_none() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("broken.datasync");
    damaged(&folder);
    let before = files(&folder);
    let tally = Tally::default();
    let ways = Ways { unverified: false, quiet: true };
    let mut halves = 0;
    for nth in 1.. {
        let disk = SimDisk::new(nth);
        disk.inject(Fault::PowerOff { nth });
        let mut wreck = Wreck::open(&folder).unwrap();
        let mut found = None;
        let copied = Volume::open(disk.clone(), options()).map_err(Into::into).and_then(|to| {
            rescue(&mut wreck, to, ways, &mut std::io::sink(), || {
                found = Some(disk.state());
                Ok(())
            })
        });
        drop(wreck);
        assert!(files(&folder) == before, "op {nth}: the damaged store is only read");
        assert_eq!(
            copied.is_ok(),
            found.is_some(),
            "op {nth}: a copy is found when it is finished, not before"
        );
        let left = images(&disk, nth, &tally);
        match found {
            None => {
                tally.strike(Trouble::CrashInSalvage);
                halves += left.iter().filter(|image| !is_whole(image)).count();
            }
            Some(found) => {
                let left = images(&SimDisk::from_state(found, 1), nth, &tally);
                assert!(left.iter().all(is_whole), "a copy could be found that is not whole");
                break;
            }
        }
    }
    assert!(halves > 20, "hardly any crash left a half-made copy: {halves}");
    let all_struck = |suite: &str| {
        let never = tally.never(&[Trouble::CrashInSalvage, Trouble::PowerCut]);
        assert!(never.is_empty(), "{suite}: these troubles never struck: {never:?}");
    };
    all_struck("salvage");
}

/// A transaction reaches no more than 4 GiB behind the end, so a larger hole has to be crossed in steps.
#[test]
fn a_salvage_gets_over_a_hole_of_any_size() {
    const HOLE: u64 = (1 << 20) + 5000;
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("sparse.datasync");
    let volume = Volume::open(FileStore::open(&folder, OpenMode::Create).unwrap(), options()).unwrap();
    let mut writer = volume.begin().unwrap();
    writer.write(BlockNo(0), &fill(0)).unwrap();
    writer.set_size(HOLE / 2 * BLOCK_SIZE as u64).unwrap();
    writer.write(BlockNo(HOLE), &fill(1)).unwrap();
    writer.commit(Durability::Durable).unwrap();
    drop(volume);
    let disk = SimDisk::new(1);
    let to = Volume::open(disk.clone(), options()).unwrap();
    let ways = Ways { unverified: false, quiet: true };
    let mut wreck = Wreck::open(&folder).unwrap();
    assert_eq!(rescue(&mut wreck, to, ways, &mut std::io::sink(), || Ok(())).unwrap(), 0);
    let snapshot = Volume::open(disk, options()).unwrap().snapshot().unwrap();
    assert_eq!(snapshot.size(), (HOLE + 1) * BLOCK_SIZE as u64);
    let mut bytes = [0; BLOCK_SIZE];
    snapshot.read(BlockNo(HOLE), &mut bytes).unwrap();
    assert_eq!(bytes, fill(1));
}
