//! A medium without space left: honest, harmless, and no obstacle to opening.

use std::path::Path;
use std::process::Command;

use datasync::backend::Backend;
use datasync::backend::OpenMode;
use datasync::backend::file::FileStore;
use datasync::backend::memory::Memory;
use datasync::block::SegmentId;
use datasync::error::ErrorKind;
use datasync::log::plan::{Area, Op};
use tempfile::TempDir;

use crate::medium::{blocks, has, segment, write};

/// A small file system in memory, mounted while this lives.
pub struct Mount(TempDir);

impl Mount {
    /// `None`, with a word about it, where mounting is not possible (not root, or not Linux).
    pub fn new(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(dir.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(dir));
        }
        eprintln!("skipped: a small file system cannot be mounted here, that takes root on Linux");
        None
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn make_read_only(&self) {
        self.remount("remount,ro");
    }

    pub fn resize(&self, size: &str) {
        self.remount(&format!("remount,size={size}"));
    }

    fn remount(&self, options: &str) {
        let status = Command::new("mount").args(["-o", options]).arg(self.path()).status().unwrap();
        assert!(status.success(), "mount -o {options}");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn reserve(pages: u32) -> Op {
    Op::Reserve { segment: SegmentId(1), pages }
}

/// On a medium with room for some 200 pages.
fn reserving_too_much_harms_nothing(store: &impl Backend) {
    let expected = blocks(1, 3);
    store.apply(&Op::Create(segment(1))).unwrap();
    store.apply(&write(segment(1), 0, &expected)).unwrap();
    let error = store.apply(&reserve(100_000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    assert!(error.message().contains("log-0001"), "{error}");
    has(store, segment(1), &expected);
    store.apply(&reserve(100)).unwrap();
    has(store, segment(1), &[expected, blocks(0, 97)].concat());
    store.apply(&Op::Barrier(segment(1))).unwrap();
}

#[test]
fn reserving_too_much_memory_harms_nothing() {
    reserving_too_much_harms_nothing(&Memory::with_limit(200 * 4096));
}

#[test]
fn reserving_too_much_disk_harms_nothing() {
    let Some(mount) = Mount::new("1m") else { return };
    let path = mount.path().join("app.datasync");
    reserving_too_much_harms_nothing(&FileStore::open(path, OpenMode::Create).unwrap());
}

#[test]
fn reserved_space_can_be_written_on_a_full_medium() {
    let memory = Memory::with_limit(10 * 4096);
    memory.apply(&Op::Create(segment(1))).unwrap();
    memory.apply(&reserve(10)).unwrap();
    assert_eq!(memory.apply(&reserve(11)).unwrap_err().kind(), ErrorKind::Full);
    assert_eq!(
        memory.apply(&write(segment(1), 10 * 4096, &blocks(1, 1))).unwrap_err().kind(),
        ErrorKind::Full
    );
    memory.apply(&write(segment(1), 9 * 4096, &blocks(1, 1))).unwrap();
    assert_eq!(memory.used(), 10 * 4096);
    memory.apply(&Op::Create(Area::Base)).unwrap();
    let grow = Op::Resize { area: Area::Base, bytes: 1 };
    assert_eq!(memory.apply(&grow).unwrap_err().kind(), ErrorKind::Full);
    memory.apply(&Op::Remove(SegmentId(1))).unwrap();
    memory.apply(&grow).unwrap();
    assert_eq!(memory.used(), 1);
}

#[test]
fn store_on_a_full_disk_opens_reads_and_writes_what_it_reserved() {
    let Some(mount) = Mount::new("1m") else { return };
    let path = mount.path().join("app.datasync");
    let store = FileStore::open(&path, OpenMode::Create).unwrap();
    for area in [Area::Meta, segment(1), segment(2)] {
        store.apply(&Op::Create(area)).unwrap();
    }
    store.apply(&reserve(10)).unwrap();
    let full = (0..1000).find_map(|at| store.apply(&write(segment(2), at * 4096, &blocks(2, 1))).err());
    let error = full.expect("1 MiB holds less than 1000 pages");
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    assert!(error.message().contains("log-0002") && error.message().contains("free some space"), "{error}");
    drop(store);
    let store = FileStore::open(&path, OpenMode::Existing).unwrap();
    store.apply(&write(segment(1), 9 * 4096, &blocks(9, 1))).unwrap();
    store.apply(&Op::Barrier(segment(1))).unwrap();
    has(&store, segment(1), &[blocks(0, 9), blocks(9, 1)].concat());
    assert_eq!(store.apply(&reserve(300)).unwrap_err().kind(), ErrorKind::Full);
}
