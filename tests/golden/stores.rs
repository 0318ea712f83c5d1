//! Whole stores of version 1, opened as they lie there.
//!
//! `v1/open` is what a writer that was killed leaves behind: a base, two segments, a batch that was given up.
//! `v1/closed` is a store after a clean close. What they must hold is said by `expected`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use datasync::backend::OpenMode;
use datasync::backend::file::FileStore;
use datasync::block::{BLOCK_SIZE, BlockBytes, BlockNo, Durability, Tag};
use datasync::format::checksum::Checksum;
use datasync::volume::{OpenKind, Options, Volume};

const STORES: [(&str, bool); 2] = [("open", false), ("closed", true)];
const BLOCKS: u64 = 20;
const TAG: Tag = Tag { client: 21, seq: 22, ordinal: 1 };

fn options(closed: bool) -> Options {
    let checksum = if closed { Checksum::Crc32 } else { Checksum::Xxh3 };
    let small = Options::new().segment_bytes(16 << 12).reserve_bytes(2 << 12).log_cap_bytes(64 << 12);
    small
        .spill_bytes(4 << 12)
        .checksum(checksum)
        .background(false)
        .seed([0xD5; 16])
        .clock(|| 1_763_800_000_000)
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1").join(name)
}

/// The bytes that round `round` writes to `block`.
fn payload(block: u64, round: u8) -> BlockBytes {
    let mut bytes = [round; BLOCK_SIZE];
    bytes[..8].copy_from_slice(&block.to_le_bytes());
    bytes
}

/// The rounds of writing; a fold happens after the second one.
fn rounds() -> Vec<(u8, Vec<u64>)> {
    vec![
        (1, (0..12).collect()),
        (2, vec![0, 3, 5]),
        (3, vec![0, 6, 15]),
        (4, vec![0, 1]),
        (5, (9..18).collect()),
    ]
}

/// What every block holds in the end; trimmed and never written ones are left out.
fn expected() -> BTreeMap<u64, BlockBytes> {
    let mut blocks = BTreeMap::new();
    for (round, written) in rounds() {
        for block in written {
            blocks.insert(block, payload(block, round));
        }
        if round == 4 {
            blocks.remove(&2);
            blocks.remove(&7);
        }
    }
    blocks
}

fn write(folder: &Path, closed: bool) {
    let volume = Volume::open(FileStore::open(folder, OpenMode::Create).unwrap(), options(closed)).unwrap();
    for (round, blocks) in rounds() {
        let mut writer = volume.begin().unwrap();
        if round == 1 {
            writer.set_size(BLOCKS * BLOCK_SIZE as u64).unwrap();
        }
        for block in blocks {
            writer.write(BlockNo(block), &payload(block, round)).unwrap();
        }
        if round == 4 {
            writer.trim(BlockNo(2)).unwrap();
            writer.trim(BlockNo(7)).unwrap();
            writer.set_tag(TAG);
        }
        writer.commit(Durability::Witnessed).unwrap();
        if round == 2 {
            volume.compact().unwrap();
        }
        if round == 4 {
            let mut given_up = volume.begin().unwrap();
            for block in 0..BLOCKS {
                given_up.write(BlockNo(block), &payload(block, 99)).unwrap();
            }
        }
    }
    if closed {
        volume.close().unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn stores_of_version_1_are_opened_with_everything_they_hold() {
    for (name, closed) in STORES {
        let golden = folder(name);
        if std::env::var_os("DATASYNC_WRITE_GOLDEN").is_some() && !golden.exists() {
            write(&golden, closed);
            std::fs::remove_file(golden.join("LOCK")).unwrap();
        }
        let scratch = tempfile::tempdir().unwrap();
        let store = scratch.path().join(name);
        copy(&golden, &store);
        let backend = FileStore::open(&store, OpenMode::Existing).unwrap();
        let volume = Volume::open(backend, options(closed)).unwrap();
        let kind = if closed { OpenKind::Clean } else { OpenKind::Unclean };
        assert_eq!(volume.recovery().kind, kind, "{name}");
        assert_eq!(volume.last_request(TAG.client), Some(TAG), "{name}");
        let report = volume.verify(&mut |_, _| {}).unwrap();
        assert!(report.damage.is_empty(), "{name}: {:?}", report.damage);

        let snapshot = volume.snapshot().unwrap();
        assert_eq!(snapshot.size(), BLOCKS * BLOCK_SIZE as u64, "{name}");
        let expected = expected();
        for block in 0..BLOCKS {
            let mut found = [0xEE; BLOCK_SIZE];
            snapshot.read(BlockNo(block), &mut found).unwrap();
            let wanted = expected.get(&block).copied().unwrap_or([0; BLOCK_SIZE]);
            assert!(found == wanted, "{name}: block {block} starts {:?}", &found[..16]);
        }
    }
}
