//! Transactions over several stores, imports side by side, and a panic in the middle: each promise a function, so
//! that the planted bugs can be held against it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use datasync::Database;
use datasync::backend::memory::{Memory, Request};
use datasync::backend::sim::{BarrierFailure, Fault, SimDisk};
use datasync::block::{BLOCK_SIZE, BlockNo, Durability};
use datasync::error::ErrorKind;
use datasync::log::plan::{Area, Op};
use datasync::planted::{plant, planted_here};
use datasync::volume::{Options, Volume};
use rusqlite::{Connection, ffi};
use tempfile::TempDir;

use crate::bank::{connect, database, number, options, sql};
use crate::locks::code;
use crate::violation::{Checked, Violation, ensure};

pub const ALL: &[(&str, fn() -> Checked<()>)] = &[
    ("a_part_of_a_transaction_has_room_to_be_taken_back", room_to_take_back),
    ("a_transaction_over_two_stores_tells_of_a_failure", failure_is_told),
    ("every_part_of_a_failed_transaction_is_taken_back", all_taken_back),
    ("no_part_of_a_transaction_is_shown_before_all", shown_together),
    ("what_was_refused_and_not_rolled_back_is_told_again", told_again),
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

/// A connection to a plain file with stores attached as `s0`, `s1`, ... SQLite puts super-journals beside the file,
/// and leaves one there when a transaction can neither be committed nor be taken back.
fn attached(stores: &[Database]) -> Checked<(Connection, TempDir)> {
    let folder = tempfile::tempdir().map_err(test)?;
    let connection = Connection::open(folder.path().join("main.db")).map_err(test)?;
    for (at, store) in stores.iter().enumerate() {
        sql(&connection, &format!("ATTACH 'file:{}?vfs=datasync' AS s{at}", store.name()))?;
    }
    Ok((connection, folder))
}

/// A transaction changes rows in each of some stores and finds no room in the last one. Its COMMIT, with so
/// many pages free in the first one, says so, and no row has changed.
fn refused(stores: u64, free: Option<u64>) -> Checked<()> {
    let disks: Vec<SimDisk> = (1..=stores).map(SimDisk::new).collect();
    let opened: Vec<Database> = disks.iter().map(database).collect::<Checked<_>>()?;
    let (connection, _folder) = attached(&opened)?;
    let tables: Vec<String> = (0..opened.len()).map(|at| format!("s{at}")).collect();
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

fn failure_is_told() -> Checked<()> {
    let disks = [SimDisk::new(1), SimDisk::new(2)];
    let (connection, _folder) = attached(&[database(&disks[0])?, database(&disks[1])?])?;
    sql(&connection, "CREATE TABLE s0.t(x); CREATE TABLE s1.u(x)")?;
    sql(&connection, "BEGIN; INSERT INTO t VALUES (1); INSERT INTO u VALUES (1)")?;
    disks[1].inject(Fault::FailBarrier { nth: 1, how: BarrierFailure::Drops, kind: ErrorKind::Io });
    let told = code(&connection, "COMMIT");
    ensure(told != 0, "I2 durability", || "COMMIT succeeds although a barrier failed".into())
}

fn room_to_take_back() -> Checked<()> {
    (0..40).step_by(2).try_for_each(|free| refused(2, Some(free)))
}

fn all_taken_back() -> Checked<()> {
    refused(3, None)
}

/// While the second store of a transaction waits for its disk, somebody else reads the first.
fn shown_together() -> Checked<()> {
    let first = in_memory(Memory::new(), options())?;
    let reader = Mutex::new(connect(&first)?);
    let shown = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&shown);
    let second = in_memory(
        Memory::new().with_hook(move |request| {
            if matches!(request, Request::Apply(Op::Barrier(Area::Segment(_)))) {
                let rows = number(&reader.lock().expect("unpoisoned"), "SELECT count(*) FROM sqlite_schema");
                seen.lock().expect("unpoisoned").push(rows.map_err(|error| error.what));
            }
            Ok(())
        }),
        options(),
    )?;
    let (connection, _folder) = attached(&[first, second])?;
    sql(&connection, "CREATE TABLE s1.u(x)")?;
    shown.lock().expect("unpoisoned").clear();
    sql(&connection, "BEGIN; CREATE TABLE s0.t(x); INSERT INTO u VALUES (1); COMMIT")?;
    let shown = shown.lock().expect("unpoisoned");
    ensure(!shown.is_empty(), "test", || "the second store had no barrier".into())?;
    let sound = shown.iter().all(|rows| *rows == Ok(0));
    ensure(sound, "I3 atomicity", || format!("tables shown before COMMIT had returned: {shown:?}"))
}

/// A plain file's rollback takes the super-journal away; SQLite then believes that the store has committed.
fn told_again() -> Checked<()> {
    let refused: Vec<bool> =
        (0..10).map(|step| refused_beside_file(step * 300_000)).collect::<Checked<_>>()?;
    let seen = refused.contains(&true);
    ensure(seen, "test", || "there was room for everything".into())
}

/// Whether the store refused its part, with so many bytes of room.
fn refused_beside_file(room: u64) -> Checked<bool> {
    let memory = Memory::new();
    let store = [in_memory(memory.clone(), options().spill_bytes(1 << 20))?];
    let (connection, _folder) = attached(&store)?;
    sql(&connection, "CREATE TABLE p(x)")?;
    sql(
        &connection,
        "CREATE TABLE s0.t(x, y); PRAGMA s0.locking_mode=EXCLUSIVE; INSERT INTO t VALUES (0, 0)",
    )?;
    sql(&connection, &format!("BEGIN; INSERT INTO p VALUES (1); INSERT INTO t {}", rows(300)))?;
    memory.set_limit(Some(memory.used() + room));
    if code(&connection, "COMMIT") == ffi::SQLITE_OK {
        return Ok(false);
    }
    memory.set_limit(None);
    let count = "SELECT count(*) FROM t";
    let found = number(&connection, count)?;
    ensure(found == 1, "I3 atomicity", || format!("{found} rows are shown after a COMMIT that was refused"))?;
    sql(&connection, "INSERT INTO t VALUES (1, 1); PRAGMA s0.locking_mode=NORMAL")?;
    let found = (number(&connection, count)?, number(&connect(&store[0])?, count)?);
    ensure(found == (2, 2), "I3 atomicity", || format!("{found:?} rows where two were committed"))?;
    Ok(true)
}

fn in_memory(memory: Memory, options: Options) -> Checked<Database> {
    Volume::open(memory, options).and_then(Database::over).map_err(test)
}

fn panic_ends_it() -> Checked<()> {
    let (memory, panics) = (Memory::new(), Arc::new(AtomicBool::new(false)));
    let told = Arc::clone(&panics);
    let medium = memory.clone().with_hook(move |request| {
        let log = matches!(request, Request::Apply(Op::Write { area: Area::Segment(_), .. }));
        assert!(!log || !told.swap(false, Ordering::SeqCst), "a planted panic");
        Ok(())
    });
    let volume = Volume::open(medium, options()).map_err(test)?;
    let commit = |stamp: u8| {
        let mut writer = volume.begin()?;
        writer.write(BlockNo(0), &[stamp; BLOCK_SIZE])?;
        writer.commit(Durability::Durable)
    };
    commit(1).map_err(test)?;
    panics.store(true, Ordering::SeqCst);
    let panicked = catch_unwind(AssertUnwindSafe(|| commit(2))).is_err();
    ensure(panicked, "test", || "no panic".into())?;
    let told = commit(3).is_ok();
    let mut found = [0; BLOCK_SIZE];
    let again = Volume::open(memory.copy(), options());
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
