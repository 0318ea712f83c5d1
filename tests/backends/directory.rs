//! What may stand at a path, and what a store's directory does when it is not as expected.

use std::fs;
use std::path::Path;

use datasync::backend::OpenMode;
use datasync::backend::file::FileStore;
use datasync::backend::{Backend, Source};
use datasync::block::SegmentId;
use datasync::error::{Error, ErrorKind};
use datasync::log::plan::{Area, Op};

use crate::full::Mount;
use crate::medium::{Medium, blocks, segment, write};
use crate::native::InFiles;

const MODES: [OpenMode; 3] = [OpenMode::Create, OpenMode::Existing, OpenMode::ReadOnly];

fn refused(path: &Path, mode: OpenMode, kind: ErrorKind, words: &[&str]) -> Error {
    let error = FileStore::open(path, mode).unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "no \"{word}\" in: {error}");
    }
    error
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn file_in_place_of_a_store_is_refused_and_untouched() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.db");
    fs::write(&path, "SQLite format 3\0").unwrap();
    for mode in MODES {
        let store = dir.path().join("app.datasync");
        let import = format!("datasync import {} {}", path.display(), store.display());
        refused(&path, mode, ErrorKind::NotAStore, &[path.to_str().unwrap(), &import]);
    }
    assert_eq!(fs::read(&path).unwrap(), b"SQLite format 3\0");
    assert_eq!(names(dir.path()), ["app.db"]);
}

#[test]
fn directory_with_other_files_is_refused_and_untouched() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["photo.jpg", "b.txt", "a.txt", "z", "log-00001", "base.db"] {
        fs::write(dir.path().join(name), name).unwrap();
    }
    for mode in MODES {
        let words = [dir.path().to_str().unwrap(), "a.txt, b.txt, log-00001 and 2 more", "datasync import"];
        refused(dir.path(), mode, ErrorKind::NotAStore, &words);
    }
    assert_eq!(names(dir.path()), ["a.txt", "b.txt", "base.db", "log-00001", "photo.jpg", "z"]);
}

#[test]
fn nothing_is_created_unless_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.datasync");
    for mode in [OpenMode::Existing, OpenMode::ReadOnly] {
        refused(&path, mode, ErrorKind::NotFound, &[path.to_str().unwrap(), "check the path"]);
        refused(dir.path(), mode, ErrorKind::NotFound, &["holds no store yet"]);
    }
    assert!(names(dir.path()).is_empty());
    let deep = dir.path().join("not/there/app.datasync");
    refused(&deep, OpenMode::Create, ErrorKind::NotFound, &[deep.to_str().unwrap(), "directory above"]);
    fs::write(dir.path().join("file"), "").unwrap();
    let below = dir.path().join("file/app.datasync");
    for mode in MODES {
        refused(&below, mode, ErrorKind::NotFound, &[below.to_str().unwrap(), "is a file"]);
    }
    assert_eq!(names(dir.path()), ["file"]);
}

#[test]
fn creation_that_was_cut_short_is_begun_again() {
    let medium = InFiles::new();
    drop(medium.open());
    assert_eq!(names(&medium.path()), ["LOCK"]);
    refused(&medium.path(), OpenMode::Existing, ErrorKind::NotFound, &["holds no store yet"]);
    medium.open().apply(&Op::Create(Area::Meta)).unwrap();
    FileStore::open(medium.path(), OpenMode::Existing).unwrap();
}

#[test]
fn parts_without_meta_are_left_to_recovery() {
    let medium = InFiles::new();
    medium.open().apply(&Op::Create(segment(1))).unwrap();
    for mode in MODES {
        FileStore::open(medium.path(), mode).unwrap();
    }
}

#[test]
fn strange_names_are_no_segments() {
    let medium = InFiles::new();
    let store = medium.open();
    for area in [Area::Meta, segment(1), segment(10_000)] {
        store.apply(&Op::Create(area)).unwrap();
    }
    for name in [
        "log-1",
        "log-00001",
        "log-",
        "log-abcd",
        "log-+001",
        "log-0002.bak",
        "xlog-0002",
        "log-99999999999999999999",
    ] {
        fs::write(medium.path().join(name), "").unwrap();
    }
    assert_eq!(store.segments().unwrap(), [SegmentId(1), SegmentId(10_000)]);
}

#[test]
fn reader_changes_nothing() {
    let medium = InFiles::new();
    let store = medium.open();
    store.apply(&Op::Create(Area::Meta)).unwrap();
    store.apply(&write(Area::Meta, 0, &blocks(1, 1))).unwrap();
    drop(store);
    let store = FileStore::open(medium.path(), OpenMode::ReadOnly).unwrap();
    let ops = [
        Op::Create(segment(1)),
        write(Area::Meta, 0, &blocks(2, 1)),
        Op::Reserve { segment: SegmentId(1), pages: 1 },
        Op::Resize { area: Area::Base, bytes: 0 },
        Op::Barrier(Area::Meta),
        Op::BarrierDirectory,
        Op::Remove(SegmentId(1)),
    ];
    for op in ops {
        let error = store.apply(&op).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReadOnly, "{op}: {error}");
        assert!(error.message().contains(medium.path().to_str().unwrap()), "{error}");
    }
    assert_eq!(names(&medium.path()), ["LOCK", "META"]);
    assert!(medium.bytes(Area::Meta).unwrap() == blocks(1, 1), "META was changed");
}

#[test]
fn messages_name_the_whole_path_and_the_next_step() {
    let medium = InFiles::new();
    let store = medium.open();
    let path = medium.file(segment(7));
    let error = store.read(segment(7), 0, &mut [0; 1]).unwrap_err();
    assert!(error.message().contains(path.to_str().unwrap()), "{error}");
    assert!(error.message().contains("datasync verify"), "{error}");
    assert_eq!(store.name(), medium.path().to_str().unwrap());
    assert_eq!(store.path(), medium.path());
}

/// Otherwise an open store would create its next segment inside somebody else's.
#[cfg(unix)]
#[test]
fn directory_replaced_while_open_is_noticed() {
    let medium = InFiles::new();
    let store = medium.open();
    store.apply(&Op::Create(segment(1))).unwrap();
    fs::rename(medium.path(), medium.dir.path().join("moved")).unwrap();
    let other = medium.open();
    other.apply(&Op::Create(segment(1))).unwrap();
    for op in [Op::Create(segment(2)), Op::Remove(SegmentId(1)), Op::BarrierDirectory] {
        let error = store.apply(&op).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert!(error.message().contains("moved or replaced"), "{error}");
    }
    assert_eq!(other.segments().unwrap(), [SegmentId(1)]);
    drop(store);
    assert!(!fs::read(medium.path().join("LOCK")).unwrap().is_empty(), "the new holder's name was wiped out");
}

/// Otherwise it would append to somebody else's segment of that number.
#[cfg(unix)]
#[test]
fn file_of_a_directory_that_was_replaced_is_not_opened() {
    let medium = InFiles::new();
    let store = medium.open();
    // More than are kept open.
    (1..=70).for_each(|number| store.apply(&Op::Create(segment(number))).unwrap());
    fs::rename(medium.path(), medium.dir.path().join("moved")).unwrap();
    let other = medium.open();
    other.apply(&Op::Create(segment(1))).unwrap();
    for refused in [
        store.apply(&write(segment(1), 0, &blocks(1, 1))),
        store.apply(&Op::Barrier(segment(1))),
        store.read(segment(1), 0, &mut [0; 1]).map(drop),
        store.len(segment(1)).map(drop),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert!(error.message().contains("moved or replaced"), "{error}");
    }
    assert_eq!(other.len(segment(1)).unwrap(), Some(0), "another store was written to");
}

#[cfg(unix)]
#[test]
fn store_behind_a_symbolic_link_is_the_same_store() {
    let medium = InFiles::new();
    let link = medium.dir.path().join("link");
    let store = medium.open();
    store.apply(&Op::Create(Area::Meta)).unwrap();
    std::os::unix::fs::symlink(medium.path(), &link).unwrap();
    refused(&link, OpenMode::Existing, ErrorKind::Busy, &["app.datasync", "pid"]);
    drop(store);
    assert_eq!(FileStore::open(&link, OpenMode::Existing).unwrap().name(), link.to_str().unwrap());
}

#[test]
fn read_only_file_system_serves_readers_and_refuses_writers() {
    let Some(mount) = Mount::new("1m") else { return };
    let path = mount.path().join("app.datasync");
    let store = FileStore::open(&path, OpenMode::Create).unwrap();
    store.apply(&Op::Create(Area::Meta)).unwrap();
    store.apply(&write(Area::Meta, 0, &blocks(1, 1))).unwrap();
    drop(store);
    mount.make_read_only();
    for mode in [OpenMode::Create, OpenMode::Existing] {
        refused(&path, mode, ErrorKind::ReadOnly, &[path.to_str().unwrap(), "for reading only"]);
    }
    let new = mount.path().join("new.datasync");
    refused(&new, OpenMode::Create, ErrorKind::ReadOnly, &[new.to_str().unwrap(), "read-only"]);
    let first = FileStore::open(&path, OpenMode::ReadOnly).unwrap();
    let second = FileStore::open(&path, OpenMode::ReadOnly).unwrap();
    assert_eq!(first.len(Area::Meta).unwrap(), Some(4096));
    drop((first, second));
}

#[test]
fn read_only_file_system_without_a_lock_file_serves_readers() {
    let Some(mount) = Mount::new("1m") else { return };
    fs::write(mount.path().join("META"), "x").unwrap();
    mount.make_read_only();
    let store = FileStore::open(mount.path(), OpenMode::ReadOnly).unwrap();
    assert_eq!(store.len(Area::Meta).unwrap(), Some(1));
}

/// Says nothing for root, who may write everywhere; the read-only mounts above are for root.
#[cfg(unix)]
#[test]
fn directory_without_permission_is_read_only() {
    use std::os::unix::fs::PermissionsExt;
    let medium = InFiles::new();
    medium.open().apply(&Op::Create(Area::Meta)).unwrap();
    let closed = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    closed(&medium.path().join("LOCK"), 0o444);
    closed(&medium.path(), 0o555);
    if FileStore::open(medium.path(), OpenMode::Existing).is_ok() {
        eprintln!("skipped: this user may write where permissions forbid it");
    } else {
        refused(&medium.path(), OpenMode::Existing, ErrorKind::ReadOnly, &["LOCK", "let this user write"]);
        FileStore::open(medium.path(), OpenMode::ReadOnly).unwrap();
        closed(&medium.path(), 0o755);
        fs::remove_file(medium.path().join("LOCK")).unwrap();
        closed(&medium.path(), 0o555);
        let reader = FileStore::open(medium.path(), OpenMode::ReadOnly).unwrap();
        assert_eq!(reader.len(Area::Meta).unwrap(), Some(0));
        assert!(!names(&medium.path()).contains(&"LOCK".to_owned()));
        refused(&medium.path(), OpenMode::Existing, ErrorKind::ReadOnly, &["LOCK", "let this user write"]);
    }
    closed(&medium.path(), 0o755);
}
