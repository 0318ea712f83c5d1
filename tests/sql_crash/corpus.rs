//! The committed inputs of the fuzzer `vfs_vs_sqlite`, run as an ordinary test; and where its seeds come from.
//!
//! `DATASYNC_WRITE_SEEDS=1` writes the seeds anew.

use std::fs;
use std::path::{Path, PathBuf};

use crate::sql::vfs_vs_sqlite;
use crate::violation::no_panic;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/vfs_vs_sqlite")
}

/// A statement as the target reads it: not reopened before, its kind, table, id and size.
fn spelled(kind: u8, table: u8, id: u8, size: u16) -> Vec<u8> {
    let [low, high] = size.to_le_bytes();
    vec![1, kind, table, id, high, low]
}

/// Opened again first; 0 closes cleanly, 1 dies.
fn reopened(how: u8, kind: u8, table: u8, id: u8, size: u16) -> Vec<u8> {
    let mut bytes = spelled(kind, table, id, size);
    bytes.splice(0..1, [0, how]);
    bytes
}

fn seeds() -> [(&'static str, Vec<u8>); 3] {
    let (create, index, many, update, begin, rollback, vacuum) = (0, 1, 7, 9, 12, 15, 19);
    let start = |page_size: u8, vacuum: u8| vec![0, page_size, vacuum, 2];
    let plain = [
        start(3, 0),
        spelled(create, 0, 0, 0),
        spelled(index, 0, 0, 0),
        spelled(many, 0, 1, 4000),
        reopened(1, update, 0, 3, 900),
        spelled(vacuum, 0, 0, 0),
        reopened(0, many, 0, 90, 300),
    ];
    let rolled_back = [
        start(0, 1),
        spelled(create, 1, 0, 0),
        spelled(many, 1, 1, 4000),
        spelled(begin, 0, 0, 0),
        spelled(update, 1, 0, 4500),
        spelled(many, 1, 100, 4500),
        spelled(rollback, 0, 0, 0),
        reopened(1, many, 1, 7, 30),
    ];
    let large_pages = [
        start(7, 2),
        spelled(create, 0, 0, 0),
        spelled(many, 0, 1, 4999),
        spelled(10, 0, 5, 0),
        spelled(21, 0, 0, 0),
        reopened(1, vacuum, 0, 0, 0),
    ];
    [("plain", plain.concat()), ("rolled-back", rolled_back.concat()), ("large-pages", large_pages.concat())]
}

#[test]
fn the_seeds_are_what_they_are_made_from() {
    for (name, bytes) in seeds() {
        let path = folder().join(format!("seed-{name}"));
        if std::env::var_os("DATASYNC_WRITE_SEEDS").is_some() {
            fs::create_dir_all(folder()).expect("writable");
            fs::write(&path, &bytes).expect("writable");
        }
        assert!(fs::read(&path).is_ok_and(|there| there == bytes), "{}: write it anew", path.display());
    }
}

#[test]
fn every_committed_input_of_the_fuzzer_leaves_what_plain_sqlite_leaves() {
    let mut total = 0;
    for entry in fs::read_dir(folder()).expect("a corpus") {
        let path = entry.expect("readable").path();
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        if name.starts_with("seed-") || name.starts_with("found-") {
            if let Err(violation) = no_panic(|| vfs_vs_sqlite(&fs::read(&path).expect("readable"))) {
                panic!("{}: {violation}", path.display());
            }
            total += 1;
        }
    }
    assert!(total >= 3, "only {total} inputs");
}
