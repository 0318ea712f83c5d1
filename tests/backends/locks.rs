//! One writer or many readers, in one process and across processes.

use datasync::backend::OpenMode;
use datasync::backend::file::FileStore;
use datasync::backend::{Backend, Source};
use datasync::error::{Error, ErrorKind};
use datasync::log::plan::{Area, Op};

use crate::child::Holder;
use crate::medium::Medium;
use crate::native::InFiles;

fn refused(medium: &InFiles, mode: OpenMode) -> Error {
    let error = FileStore::open(medium.path(), mode).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(error.message().contains("app.datasync"), "no file named: {error}");
    assert!(error.message().contains("try again"), "no next step: {error}");
    error
}

/// A store's directory, with META so that `Existing` and `ReadOnly` find one.
fn store() -> InFiles {
    let medium = InFiles::new();
    medium.open().apply(&Op::Create(Area::Meta)).unwrap();
    medium
}

#[test]
fn second_writer_of_one_process_is_told_who_holds_it() {
    let medium = store();
    let held = medium.open();
    for mode in [OpenMode::Create, OpenMode::Existing, OpenMode::ReadOnly] {
        let message = refused(&medium, mode).to_string();
        assert!(message.contains(&format!("pid {}", std::process::id())), "{message}");
    }
    drop(held);
    medium.open();
}

#[test]
fn writer_of_another_process_is_named_and_its_death_lets_go() {
    let medium = store();
    let holder = Holder::start("holds_for_writing", &medium.path());
    let program = std::env::current_exe().unwrap().file_name().unwrap().to_string_lossy().into_owned();
    for mode in [OpenMode::Create, OpenMode::ReadOnly] {
        let message = refused(&medium, mode).to_string();
        assert!(message.contains(&format!("pid {}, program {program}", holder.pid())), "{message}");
    }
    holder.kill();
    medium.open();
}

#[test]
fn readers_share_and_keep_writers_out() {
    let medium = store();
    let holder = Holder::start("holds_for_reading", &medium.path());
    let here = FileStore::open(medium.path(), OpenMode::ReadOnly).unwrap();
    let also = FileStore::open(medium.path(), OpenMode::ReadOnly).unwrap();
    let message = refused(&medium, OpenMode::Existing).to_string();
    assert!(message.contains("open for reading"), "{message}");
    drop((here, also));
    refused(&medium, OpenMode::Existing);
    holder.kill();
    medium.open();
}

#[test]
fn readers_never_see_the_name_of_a_writer_that_is_gone() {
    let medium = store();
    Holder::start("holds_for_writing", &medium.path()).kill();
    let _reader = FileStore::open(medium.path(), OpenMode::ReadOnly).unwrap();
    let message = refused(&medium, OpenMode::Create).to_string();
    assert!(!message.contains("pid"), "{message}");
}

#[test]
fn released_store_can_be_opened_by_others_and_is_never_touched_again() {
    let medium = store();
    let old = medium.open();
    old.release();
    old.release();
    let new = medium.open();
    for op in [Op::Create(Area::Base), Op::Barrier(Area::Meta), Op::BarrierDirectory] {
        assert_eq!(old.apply(&op).unwrap_err().kind(), ErrorKind::Misuse, "{op}");
    }
    assert_eq!(old.read(Area::Meta, 0, &mut [0; 1]).unwrap_err().kind(), ErrorKind::Misuse);
    assert_eq!(old.len(Area::Meta).unwrap_err().kind(), ErrorKind::Misuse);
    assert_eq!(old.segments().unwrap_err().kind(), ErrorKind::Misuse);
    drop(old);
    assert_eq!(new.len(Area::Base).unwrap(), None);
    refused(&medium, OpenMode::Create);
}
