//! What only OPFS has: handles that others hold, names, files opened ahead, stores that are brought and fetched.

use datasync::backend::Backend;
use datasync::backend::OpenMode;
use datasync::backend::opfs::{Import, list};
use datasync::block::{BlockNo, Durability, SegmentId};
use datasync::error::{Error, ErrorKind};
use datasync::log::plan::{Area, Op};
use datasync::volume::{OpenKind, Volume};
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};

use crate::medium::{Medium, blocks, has, segment, write};
use crate::opfs::{InOpfs, delete, import, listed, refill, remove_file, script};
use crate::volume::{Expected, check, commit, fill, open, options};
use crate::wait::wait;

fn error_of<T>(result: Result<T, Error>) -> Error {
    result.err().expect("this should not have worked")
}

fn says(error: &Error, kind: ErrorKind, words: &[&str]) {
    assert_eq!(error.kind(), kind, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "does not say \"{word}\": {error}");
    }
}

/// A store with some commits that was left without closing.
fn crashed(medium: &InOpfs) -> Expected {
    let mut expected = Expected::new();
    fill(&open(medium), &mut expected);
    expected
}

fn check_all(medium: &InOpfs, expected: &Expected) {
    check(&open(medium).snapshot().unwrap(), expected);
}

pub fn second_open_is_busy_and_says_what_to_do() {
    let medium = InOpfs::new();
    let first = medium.open_as(OpenMode::Create).unwrap();
    let error = error_of(medium.open_as(OpenMode::Create));
    says(&error, ErrorKind::Busy, &[&medium.path(), "another tab", "close it"]);
    drop(first);
    medium.open_as(OpenMode::Create).unwrap();
}

pub fn handles_given_back_late_are_waited_for() {
    let medium = InOpfs::new();
    let first = medium.open_as(OpenMode::Create).unwrap();
    let set = js_sys::Reflect::get(&js_sys::global(), &"setTimeout".into()).unwrap();
    let later = Closure::once_into_js(move || drop(first));
    let set: js_sys::Function = set.unchecked_into();
    set.call2(&JsValue::UNDEFINED, &later, &700.into()).unwrap();
    medium.open_as(OpenMode::Create).unwrap();
}

pub fn impossible_names_are_misuse() {
    for name in ["", ".", "..", "a/b"] {
        let medium = InOpfs { name: name.into() };
        says(&error_of(medium.open_as(OpenMode::Create)), ErrorKind::Misuse, &["choose another"]);
    }
}

pub fn opening_what_is_not_there_is_not_found() {
    let medium = InOpfs::new();
    for mode in [OpenMode::Existing, OpenMode::ReadOnly] {
        says(&error_of(medium.open_as(mode)), ErrorKind::NotFound, &[&medium.path()]);
    }
    assert!(!wait(list()).unwrap().contains(&medium.name));
    says(&error_of(delete(&medium.name)), ErrorKind::NotFound, &[&medium.path()]);
}

pub fn databases_are_listed_and_deleted() {
    let media = ["my notes", "\u{e9}t\u{e9} 100%", "a:b?c#d"].map(|name| InOpfs { name: name.into() });
    for medium in &media {
        let _ = delete(&medium.name);
        let (store, _) = medium.open_as(OpenMode::Create).unwrap();
        let volume = Volume::open(store, options()).unwrap();
        commit(&volume, &mut Expected::new(), &[1], 1);
        volume.close().unwrap();
    }
    let listed = wait(list()).unwrap();
    assert!(listed.is_sorted());
    for medium in &media {
        assert!(listed.contains(&medium.name), "{listed:?}");
        delete(&medium.name).unwrap();
    }
    let listed = wait(list()).unwrap();
    assert!(media.iter().all(|medium| !listed.contains(&medium.name)), "{listed:?}");
}

pub fn open_database_is_not_deleted() {
    let medium = InOpfs::new();
    let expected = crashed(&medium);
    let volume = open(&medium);
    says(&error_of(delete(&medium.name)), ErrorKind::Busy, &[&medium.path()]);
    check(&volume.snapshot().unwrap(), &expected);
    drop(volume);
    check_all(&medium, &expected);
}

pub fn store_is_exported_and_imported_byte_for_byte() {
    let (from, to) = (InOpfs::new(), InOpfs::new());
    let expected = crashed(&from);
    let files = from.files();
    assert!(files.iter().any(|(name, _)| name == "META") && files.len() > 4, "{}", files.len());
    import(&to.name, files.clone()).unwrap();
    assert!(to.files() == files, "an import changed a byte");
    check_all(&to, &expected);
}

pub fn import_into_an_existing_database_is_refused() {
    let medium = InOpfs::new();
    let expected = crashed(&medium);
    let error = error_of(import(&medium.name, medium.files()));
    says(&error, ErrorKind::Misuse, &[&medium.path(), "delete it"]);
    check_all(&medium, &expected);
}

pub fn import_without_meta_is_refused_and_leaves_nothing() {
    let medium = InOpfs::new();
    let error = error_of(import(&medium.name, vec![("base.db".into(), blocks(1, 2))]));
    says(&error, ErrorKind::NotAStore, &["META"]);
    let name = medium.name.clone();
    let error = wait(async move { Import::begin(&name).await?.file("passwords.txt").await }).unwrap_err();
    says(&error, ErrorKind::Misuse, &["passwords.txt", "META"]);
    let (store, _) = medium.open_as(OpenMode::Create).unwrap();
    assert_eq!(Volume::open(store, options()).unwrap().recovery().kind, OpenKind::Created);
}

pub fn other_files_without_meta_are_no_new_store() {
    let medium = InOpfs::new();
    crashed(&medium);
    remove_file(&medium.name, "META");
    let before = medium.files();
    let (store, _) = medium.open_as(OpenMode::Create).unwrap();
    let error = error_of(Volume::open(store, options()));
    says(&error, ErrorKind::Corrupt, &[&medium.path(), "META"]);
    assert!(medium.files() == before);
}

pub fn reading_only_changes_nothing_and_refuses_writes() {
    let medium = InOpfs::new();
    let expected = crashed(&medium);
    let (files, names) = (medium.files(), listed(&medium.name));
    let (store, keeper) = medium.open_as(OpenMode::ReadOnly).unwrap();
    says(&error_of(store.apply(&Op::Create(Area::Base))), ErrorKind::ReadOnly, &["reading only"]);
    let volume = Volume::open(store, options().read_only(true)).unwrap();
    check(&volume.snapshot().unwrap(), &expected);
    refill(&keeper).unwrap();
    drop(volume);
    assert_eq!(listed(&medium.name), names);
    assert!(medium.files() == files);
}

pub fn removed_segments_leave_the_directory() {
    let medium = InOpfs::new();
    let (store, keeper) = medium.open_as(OpenMode::Create).unwrap();
    let ids = [SegmentId(1), SegmentId(2), SegmentId(3)];
    for id in ids {
        store.apply(&Op::Create(Area::Segment(id))).unwrap();
        store.apply(&write(Area::Segment(id), 0, &blocks(7, 3))).unwrap();
    }
    store.apply(&Op::Remove(ids[0])).unwrap();
    assert!(listed(&medium.name).contains(&"log-0001".to_owned()), "the entry goes later");
    refill(&keeper).unwrap();
    let names = listed(&medium.name);
    assert!(!names.contains(&"log-0001".to_owned()), "{names:?}");
    for ahead in ["log-0004", "log-0005", "log-0006", "log-0007"] {
        assert!(names.contains(&ahead.to_owned()), "{names:?}");
    }
    has(&store, segment(2), &blocks(7, 3));
}

pub fn commits_go_on_while_no_file_is_ready() {
    let medium = InOpfs::new();
    let (store, keeper) = medium.open_as(OpenMode::Create).unwrap();
    let volume = Volume::open(store, options()).unwrap();
    let mut expected = Expected::new();
    for round in 0..300 {
        commit(&volume, &mut expected, &[round % 9, 20], round);
    }
    let logs = listed(&medium.name).iter().filter(|name| name.starts_with("log-")).count();
    assert!(logs <= 4, "{logs} segments, and nobody opened files meanwhile");
    let before = volume.stats().rotations;
    refill(&keeper).unwrap();
    commit(&volume, &mut expected, &[3], 1000);
    assert!(volume.stats().rotations > before);
    volume.compact().unwrap();
    refill(&keeper).unwrap();
    check(&volume.snapshot().unwrap(), &expected);
    drop(volume);
    check_all(&medium, &expected);
}

pub fn keeper_of_a_dropped_store_has_nothing_to_do() {
    let medium = InOpfs::new();
    let (store, keeper) = medium.open_as(OpenMode::Create).unwrap();
    drop(store);
    let gone = keeper.clone();
    assert!(!wait(async move { gone.refill().await }).unwrap(), "there is nothing left to look after");
    says(&error_of(keeper.files()), ErrorKind::Misuse, &["open it again"]);
    medium.open_as(OpenMode::Create).unwrap();
}

pub fn files_that_the_browser_cleared_are_lost_and_said_to_be() {
    let medium = InOpfs::new();
    let mut expected = Expected::new();
    let (store, keeper) = medium.open_as(OpenMode::Create).unwrap();
    let volume = Volume::open(store, options()).unwrap();
    commit(&volume, &mut expected, &[1, 2], 1);
    script("await fetch('/clear');", &[]);
    says(&refill(&keeper).unwrap_err(), ErrorKind::Lost, &[&medium.path(), "deleted"]);
    let mut writer = volume.begin().unwrap();
    writer.write(BlockNo(0), &[9; 4096]).unwrap();
    assert!(writer.commit(Durability::Durable).is_err());
    let mut bytes = [0; 4096];
    let read = volume.snapshot().unwrap().read(BlockNo(1), &mut bytes);
    says(&read.unwrap_err(), ErrorKind::Lost, &[&medium.path()]);
    // A page that goes on makes a database anew; the handles of the old one are in nobody's way.
    drop(volume);
    let (store, _) = medium.open_as(OpenMode::Create).unwrap();
    assert_eq!(Volume::open(store, options()).unwrap().recovery().kind, OpenKind::Created);
}

pub fn released_store_opens_again() {
    let medium = InOpfs::new();
    let mut expected = Expected::new();
    let (store, keeper) = medium.open_as(OpenMode::Create).unwrap();
    let volume = Volume::open(store, options()).unwrap();
    commit(&volume, &mut expected, &[1, 2], 1);
    keeper.release();
    let mut writer = volume.begin().unwrap();
    writer.write(BlockNo(0), &[9; 4096]).unwrap();
    assert!(writer.commit(Durability::Durable).is_err());
    // Nobody else gives handles back here: what was kept would still be kept after the 5 s of asking.
    check_all(&medium, &expected);
}
