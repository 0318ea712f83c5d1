//! A volume on a medium that runs full: commits are refused, nothing is lost, and it opens all the same.

use datasync::backend::Backend;
use datasync::backend::OpenMode;
use datasync::backend::file::FileStore;
use datasync::backend::memory::Memory;
use datasync::block::{BlockNo, Durability};
use datasync::error::{Error, ErrorKind};
use datasync::volume::Volume;

use crate::full::Mount;
use crate::volume::{Expected, check, content, options};

fn open(backend: impl Backend + 'static) -> Volume {
    Volume::open(backend, options()).unwrap()
}

/// Commits ten new blocks a round until the medium is full.
fn fill_up(volume: &Volume, expected: &mut Expected) -> Error {
    for round in 0..1000 {
        let mut writer = volume.begin().unwrap();
        let blocks = round * 10..(round + 1) * 10;
        for block in blocks.clone() {
            writer.write(BlockNo(block), &content(block, round)).unwrap();
        }
        match writer.commit(Durability::Durable) {
            Ok(_) => expected.extend(blocks.map(|block| (block, round))),
            Err(error) => return error,
        }
    }
    panic!("the medium is larger than the test thinks");
}

fn check_now(volume: &Volume, expected: &Expected) {
    check(&volume.snapshot().unwrap(), expected);
}

/// `open` opens the same bytes each time; `more` gives the medium more room.
fn full_medium_loses_nothing<B: Backend + 'static>(reopen: impl Fn() -> B, more: impl Fn()) {
    let mut expected = Expected::new();
    let volume = open(reopen());
    let error = fill_up(&volume, &mut expected);
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    assert!(expected.len() > 50, "full after {} blocks already", expected.len());
    check_now(&volume, &expected);
    drop(volume);

    // Once after a crash, once more after a crash of the recovered one.
    for _ in 0..2 {
        check_now(&open(reopen()), &expected);
    }
    let volume = open(reopen());
    assert_eq!(fill_up(&volume, &mut expected.clone()).kind(), ErrorKind::Full);
    check_now(&volume, &expected);

    more();
    let mut writer = volume.begin().unwrap();
    writer.write(BlockNo(0), &content(0, 77)).unwrap();
    writer.commit(Durability::Durable).unwrap();
    expected.insert(0, 77);
    volume.close().unwrap();
    drop(volume);
    check_now(&open(reopen()), &expected);
}

#[test]
fn full_memory_loses_nothing() {
    let memory = Memory::with_limit(2 << 20);
    full_medium_loses_nothing(|| memory.clone(), || memory.set_limit(None));
}

#[test]
fn full_disk_loses_nothing() {
    let Some(mount) = Mount::new("2m") else { return };
    let path = mount.path().join("app.datasync");
    full_medium_loses_nothing(|| FileStore::open(&path, OpenMode::Create).unwrap(), || mount.resize("8m"));
}

/// Giving blocks back is the way out of a full disk that needs nobody else.
#[test]
fn full_medium_gets_room_from_trimming() {
    let memory = Memory::with_limit(2 << 20);
    let volume = open(memory);
    let mut expected = Expected::new();
    fill_up(&volume, &mut expected);
    let mut writer = volume.begin().unwrap();
    writer.set_size(4096).unwrap();
    writer.commit(Durability::Durable).unwrap();
    expected.split_off(&1);
    volume.compact().unwrap();
    check_now(&volume, &expected);
    let mut writer = volume.begin().unwrap();
    for block in 0..40 {
        writer.write(BlockNo(block), &content(block, 7)).unwrap();
        expected.insert(block, 7);
    }
    writer.commit(Durability::Durable).unwrap();
    check_now(&volume, &expected);
}
