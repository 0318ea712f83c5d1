//! Durability, failures and odd databases, as SQL sees them: each promise a function, so that the planted bugs can
//! be held against it.

use datasync::backend::sim::{BarrierFailure, Cut, Fault, SimDisk};
use datasync::block::{BLOCK_SIZE, BlockNo, Durability};
use datasync::error::ErrorKind;
use rusqlite::{Connection, ffi};

use crate::bank::{connect, database, number, sql};
use crate::locks::code;
use crate::violation::{Checked, Violation, ensure};

pub const ALL: &[(&str, fn() -> Checked<()>)] = &[
    ("a_commit_at_full_is_durable_when_it_returns", full_is_durable),
    ("a_commit_at_normal_waits_for_no_barrier", normal_is_quick),
    ("a_file_belongs_to_one_life_of_its_volume", one_life),
    ("quota_is_full_not_io_error", quota),
    ("a_commit_on_a_full_disk_changes_nothing", full_is_early),
    ("a_header_that_changes_is_written_and_one_that_only_counts_is_not", counted),
    ("wal_mode_is_refused_and_harmless", wal),
];

fn full_is_durable() -> Checked<()> {
    let disk = SimDisk::new(1);
    let database = database(&disk)?;
    let connection = connect(&database)?;
    sql(&connection, "CREATE TABLE t(x)")?;
    for row in 1..4 {
        sql(&connection, &format!("INSERT INTO t VALUES ({row})"))?;
        let image = disk.state().after(&Cut::default());
        let after = crate::bank::database(&SimDisk::from_state(image, 1))?;
        let found = number(&connect(&after)?, "SELECT count(*) FROM t")?;
        ensure(found == row, "I2 durability", || format!("{found} of {row} rows after a power cut"))?;
    }
    Ok(())
}

fn normal_is_quick() -> Checked<()> {
    let database = database(&SimDisk::new(1))?;
    let connection = connect(&database)?;
    sql(&connection, "CREATE TABLE t(x); PRAGMA synchronous=NORMAL")?;
    let before = database.stats().barriers;
    sql(&connection, "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)")?;
    let barriers = database.stats().barriers - before;
    ensure(barriers == 0, "SQL", || format!("{barriers} barriers for two commits at NORMAL"))
}

fn one_life() -> Checked<()> {
    let disk = SimDisk::new(1);
    let database = database(&disk)?;
    let (connection, other) = (connect(&database)?, connect(&database)?);
    sql(&connection, "CREATE TABLE t(x); INSERT INTO t VALUES (0)")?;
    number(&other, "SELECT count(*) FROM t")?;
    disk.inject(Fault::FailBarrier { nth: 1, how: BarrierFailure::KeepsDirty, kind: ErrorKind::Io });
    let told = code(&connection, "INSERT INTO t VALUES (1)");
    ensure(told & 0xff == ffi::SQLITE_IOERR, "I15 one outcome", || format!("a failed barrier is {told}"))?;
    disk.heal();
    for connection in [&connection, &other] {
        let told = code(connection, "SELECT * FROM t");
        ensure(told & 0xff == ffi::SQLITE_IOERR, "I15 one outcome", || {
            format!("after the failure a read says {told}")
        })?;
    }
    Ok(())
}

const MANY: &str = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 300)
                    INSERT INTO t SELECT randomblob(900) FROM n";

fn quota() -> Checked<()> {
    for cache in [4, 2000] {
        let disk = SimDisk::new(1);
        let connection = connect(&database(&disk)?)?;
        sql(&connection, &format!("PRAGMA cache_size={cache}; CREATE TABLE t(x); INSERT INTO t VALUES (0)"))?;
        disk.set_free_pages(Some(0));
        let told = code(&connection, MANY);
        ensure(told == ffi::SQLITE_FULL, "SQL", || format!("a full disk is {told}"))?;
        let rows = number(&connection, "SELECT count(*) FROM t")?;
        ensure(rows == 1, "I3 atomicity", || format!("{rows} rows after a full disk"))?;
        disk.set_free_pages(None);
        sql(&connection, MANY)?;
    }
    Ok(())
}

fn full_is_early() -> Checked<()> {
    let disk = SimDisk::new(1);
    let connection = connect(&database(&disk)?)?;
    sql(&connection, "CREATE TABLE t(x); INSERT INTO t VALUES (0)")?;
    sql(&connection, &format!("BEGIN; {MANY}"))?;
    disk.set_free_pages(Some(0));
    let told = code(&connection, "COMMIT");
    ensure(told == ffi::SQLITE_FULL, "SQL", || format!("a COMMIT on a full disk says {told}"))?;
    disk.set_free_pages(None);
    let rows = number(&connection, "SELECT count(*) FROM t")?;
    ensure(rows == 1, "I3 atomicity", || format!("{rows} rows after a COMMIT that failed"))?;
    sql(&connection, MANY)?;
    let rows = number(&connection, "SELECT count(*) FROM t")?;
    ensure(rows == 301, "I9 progress", || format!("{rows} rows at last"))
}

fn counted() -> Checked<()> {
    let database = database(&SimDisk::new(1))?;
    let (one, two) = (connect(&database)?, connect(&database)?);
    sql(&one, "CREATE TABLE t(x); INSERT INTO t VALUES (0); PRAGMA user_version=7")?;
    let found = number(&two, "PRAGMA user_version")?;
    ensure(found == 7, "SQL", || format!("user_version is {found} for another connection"))?;
    let before = database.stats().blocks_written;
    for row in 1..=4 {
        sql(&one, &format!("INSERT INTO t VALUES ({row})"))?;
        let seen = number(&two, "SELECT max(x) FROM t")?;
        ensure(seen == row, "SQL", || format!("another connection sees row {seen} after {row}"))?;
    }
    let blocks = database.stats().blocks_written - before;
    ensure(blocks == 4, "SQL", || format!("{blocks} blocks for four commits of a row each"))
}

fn wal() -> Checked<()> {
    let disk = SimDisk::new(1);
    let connection = connect(&database(&disk)?)?;
    sql(&connection, "CREATE TABLE t(x); PRAGMA locking_mode=EXCLUSIVE; INSERT INTO t VALUES (1)")?;
    let mode: String = connection
        .query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))
        .map_err(|error| Violation::new("SQL", error.to_string()))?;
    ensure(mode == "delete", "SQL", || format!("journal_mode=WAL answers {mode}"))?;
    sql(&connection, "INSERT INTO t VALUES (2)")?;
    drop(connection);
    said_wal()
}

/// A database whose header says WAL mode is read and written all the same.
fn said_wal() -> Checked<()> {
    let database = database(&SimDisk::new(1))?;
    sql(&connect(&database)?, "CREATE TABLE t(x); INSERT INTO t VALUES (1)")?;
    let volume = database.volume();
    let patch = || -> datasync::Result<()> {
        let mut bytes = [0; BLOCK_SIZE];
        volume.snapshot()?.read(BlockNo(0), &mut bytes)?;
        (bytes[18], bytes[19]) = (2, 2);
        let mut writer = volume.begin()?;
        writer.write(BlockNo(0), &bytes)?;
        writer.commit(Durability::Durable).map(drop)
    };
    patch().map_err(|error| Violation::new("test", error.to_string()))?;
    let connection: Connection = connect(&database)?;
    sql(&connection, "INSERT INTO t VALUES (2)")?;
    let rows = number(&connection, "SELECT count(*) FROM t")?;
    ensure(rows == 2, "SQL", || format!("{rows} rows in a database that says WAL mode"))
}

#[test]
fn every_promise_about_durability_and_failures_is_kept() {
    for (name, run) in ALL {
        if let Err(violation) = crate::violation::no_panic(run) {
            panic!("{name}: {violation}");
        }
    }
}
