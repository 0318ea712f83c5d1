//! Transactions over several stores, imports side by side, and a panic in the middle: each promise a function, so
//! that the planted bugs can be held against it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use datasync::Database;
use datasync::backend::memory::Memory;
use datasync::backend::sim::SimDisk;
use datasync::backend::{Backend, Source};
use datasync::block::{BLOCK_SIZE, BlockNo, Durability, SegmentId};
use datasync::log::plan::{Area, Op};
use datasync::planted::{plant, planted_here};
use datasync::volume::Volume;
use rusqlite::{Connection, ffi};

use crate::bank::{connect, database, number, options, sql};
use crate::locks::code;
use crate::violation::{Checked, Violation, ensure};

pub const ALL: &[(&str, fn() -> Checked<()>)] = &[
    ("a_part_of_a_transaction_has_room_to_be_taken_back", room_to_take_back),
    ("every_part_of_a_failed_transaction_is_taken_back", all_taken_back),
    ("nothing_is_acknowledged_behind_a_panic", panic_ends_it),
    ("of_two_imports_into_one_store_the_first_counts", two_imports),
];

fn test(error: impl std::fmt::Display) -> Violation {
    Violation::new("test", error.to_string())
}

/// So many rows of a page each.
fn rows(count: u32) -> String {
    let numbers = format!("SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < {count}");
    format!("WITH RECURSIVE n(x) AS ({numbers}) SELECT 0, randomblob(3000) FROM n")
}

/// A transaction changes rows in each of some stores and finds no room in the last one. Its COMMIT, with so
/// many pages free in the first one, says so, and no row has changed.
fn refused(stores: u64, free: Option<u64>) -> Checked<()> {
    let disks: Vec<SimDisk> = (1..=stores).map(SimDisk::new).collect();
    let opened: Vec<Database> = disks.iter().map(database).collect::<Checked<_>>()?;
    // A file that takes no part: SQLite puts the super-journal beside it.
    let folder = tempfile::tempdir().map_err(test)?;
    let connection = Connection::open(folder.path().join("main.db")).map_err(test)?;
    let tables: Vec<String> = (0..opened.len()).map(|at| format!("s{at}")).collect();
    for (store, name) in opened.iter().zip(&tables) {
        sql(&connection, &format!("ATTACH 'file:{}?vfs=datasync' AS {name}", store.name()))?;
    }
    for table in &tables {
        sql(&connection, &format!("CREATE TABLE {table}.t(x, y); INSERT INTO {table}.t {}", rows(24)))?;
    }
    sql(&connection, "BEGIN")?;
    for table in &tables {
        sql(&connection, &format!("UPDATE {table}.t SET x = 1, y = randomblob(3000)"))?;
    }
    let (last, full) = (&tables[tables.len() - 1], &disks[disks.len() - 1]);
    sql(&connection, &format!("INSERT INTO {last}.t {}", rows(200)))?;
    full.set_free_pages(Some(0));
    disks[0].set_free_pages(free);
    let told = code(&connection, "COMMIT");
    ensure(told == ffi::SQLITE_FULL, "SQL", || format!("COMMIT says {told} where one store is full"))?;
    disks.iter().for_each(|disk| disk.set_free_pages(None));
    drop(connection);
    for (store, table) in opened.iter().zip(&tables) {
        let reader = connect(store).map_err(|error| Violation::new("I3 atomicity", error.what))?;
        let changed = number(&reader, "SELECT count(*) FROM t WHERE x = 1")?;
        ensure(changed == 0, "I3 atomicity", || {
            format!(
                "{changed} rows of {table} are of a COMMIT that failed; {stores} stores, {free:?} pages free"
            )
        })?;
    }
    Ok(())
}

fn room_to_take_back() -> Checked<()> {
    (0..40).step_by(2).try_for_each(|free| refused(2, Some(free)))
}

fn all_taken_back() -> Checked<()> {
    refused(3, None)
}

/// Memory that panics in a write into the log when it was told to.
#[derive(Clone)]
struct Moody(Memory, Arc<AtomicBool>);

impl Source for Moody {
    fn read(&self, area: Area, offset: u64, buf: &mut [u8]) -> datasync::Result<usize> {
        self.0.read(area, offset, buf)
    }

    fn len(&self, area: Area) -> datasync::Result<Option<u64>> {
        self.0.len(area)
    }

    fn segments(&self) -> datasync::Result<Vec<SegmentId>> {
        self.0.segments()
    }
}

impl Backend for Moody {
    fn apply(&self, op: &Op) -> datasync::Result<()> {
        let log = matches!(op, Op::Write { area: Area::Segment(_), .. });
        assert!(!log || !self.1.swap(false, Ordering::SeqCst), "a planted panic");
        self.0.apply(op)
    }

    fn name(&self) -> String {
        "moody memory".to_owned()
    }
}

fn panic_ends_it() -> Checked<()> {
    let medium = Moody(Memory::new(), Arc::default());
    let volume = Volume::open(medium.clone(), options()).map_err(test)?;
    let commit = |stamp: u8| {
        let mut writer = volume.begin()?;
        writer.write(BlockNo(0), &[stamp; BLOCK_SIZE])?;
        writer.commit(Durability::Durable)
    };
    commit(1).map_err(test)?;
    medium.1.store(true, Ordering::SeqCst);
    let panicked = catch_unwind(AssertUnwindSafe(|| commit(2))).is_err();
    ensure(panicked, "test", || "no panic".into())?;
    let told = commit(3).is_ok();
    let mut found = [0; BLOCK_SIZE];
    let again = Volume::open(medium.0.copy(), options());
    let read = again.and_then(|volume| volume.snapshot()?.read(BlockNo(0), &mut found));
    ensure(!told || (read.is_ok() && found[0] == 3), "I2 durability", || {
        format!("a commit behind a panic was acknowledged, and found is {}: {read:?}", found[0])
    })
}

/// A database of one row in more pages than one step of an import copies.
fn source(path: &Path, x: i64) -> Checked<()> {
    let fill =
        format!("PRAGMA page_size=512; CREATE TABLE t(x, y); INSERT INTO t VALUES ({x}, zeroblob(800000))");
    sql(&Connection::open(path).map_err(test)?, &fill)
}

fn two_imports() -> Checked<()> {
    let folder = tempfile::tempdir().map_err(test)?;
    let place = |name: &str| folder.path().join(name);
    let (one, two, store) = (place("one.db"), place("two.db"), place("store"));
    source(&one, 1)?;
    source(&two, 2)?;
    let (tell, told) = channel();
    let (bug, into) = (planted_here(), store.clone());
    let mut start = Some(move || {
        plant(bug);
        Database::import(two, into, options(), &mut |_, _| tell.send(()).unwrap_or(())).map(drop)
    });
    let mut other = None;
    let first = Database::import(&one, &store, options(), &mut |_, _| {
        if let Some(start) = start.take() {
            other = Some(std::thread::spawn(start));
            // It would copy by now if it took the store for its own.
            let _ = told.recv_timeout(Duration::from_millis(200));
        }
    });
    let first = first.map_err(|error| Violation::new("SQL", format!("the first import: {error}")))?;
    let second = other.expect("there are two steps").join().map_err(|_| test("the other import panicked"))?;
    let found = number(&connect(&first)?, "SELECT x FROM t")?;
    ensure(second.is_err() && found == 1, "I1 prefix", || {
        format!("the second import ends with {second:?}, and the store holds database {found}")
    })
}

#[test]
fn every_promise_over_several_stores_is_kept() {
    for (name, run) in ALL {
        if let Err(violation) = crate::violation::no_panic(run) {
            panic!("{name}: {violation}");
        }
    }
}
