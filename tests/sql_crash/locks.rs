//! Who sees what and who may write: each promise a function, so that the planted bugs can be held against it.

use std::time::Duration;

use datasync::block::{BlockNo, Durability};
use rusqlite::{Connection, ffi};

use datasync::backend::sim::{BarrierFailure, Fault, SimDisk};
use datasync::error::ErrorKind;

use crate::bank::{connect, database, number, sql};
use crate::violation::{Checked, ensure};

pub const ALL: &[(&str, fn() -> Checked<()>)] = &[
    ("writing_on_a_stale_snapshot_is_refused", stale),
    ("what_was_rolled_back_is_in_no_later_commit", rolled_back),
    ("a_transaction_is_one_commit", one_commit),
    ("a_holder_in_exclusive_mode_keeps_everybody_out", exclusive),
    ("a_cache_of_another_commit_is_not_trusted", cache),
    ("a_reader_in_exclusive_mode_keeps_writers_out", exclusive_reader),
    ("a_transaction_ends_when_what_it_saw_is_durable", seen_is_durable),
    ("a_commit_tells_that_what_it_saw_may_be_lost", seen_is_told),
    ("a_reader_is_shown_what_is_durable", shown_is_durable),
    ("a_connection_sees_its_own_commits", own_commits),
];

/// The extended code of a failure; 0 for success.
pub fn code(connection: &Connection, text: &str) -> i32 {
    match connection.execute_batch(text) {
        Ok(()) => 0,
        Err(rusqlite::Error::SqliteFailure(failure, _)) => failure.extended_code,
        Err(_) => -1,
    }
}

fn two(start: &str) -> Checked<(datasync::Database, Connection, Connection)> {
    let database = database(&SimDisk::new(1))?;
    let (one, two) = (connect(&database)?, connect(&database)?);
    sql(&one, start)?;
    for connection in [&one, &two] {
        ensure(connection.busy_timeout(Duration::ZERO).is_ok(), "test", String::new)?;
    }
    Ok((database, one, two))
}

fn equal(what: &str, found: i64, wanted: i64) -> Checked<()> {
    ensure(found == wanted, "SQL", || format!("{what}: {found}, not {wanted}"))
}

fn stale() -> Checked<()> {
    let (_database, first, second) = two("CREATE TABLE t(x); INSERT INTO t VALUES (1)")?;
    sql(&second, "BEGIN")?;
    number(&second, "SELECT count(*) FROM t")?;
    sql(&first, "UPDATE t SET x = x + 10")?;
    let refused = code(&second, "UPDATE t SET x = x + 100");
    ensure(refused == ffi::SQLITE_BUSY_SNAPSHOT, "SQL", || format!("a stale writer was told {refused}"))?;
    sql(&second, "ROLLBACK")?;
    equal("after both", number(&first, "SELECT x FROM t")?, 11)
}

const MANY: &str = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 300)
                    INSERT INTO t SELECT x, randomblob(900) FROM n";

fn rolled_back() -> Checked<()> {
    for mode in ["delete", "memory", "off"] {
        let (_database, first, second) = two(&format!(
            "PRAGMA journal_mode={mode}; PRAGMA cache_size=4; CREATE TABLE t(x, y); INSERT INTO t VALUES (1, '')"
        ))?;
        number(&second, "SELECT count(*) FROM t")?;
        sql(&first, &format!("BEGIN; {MANY}; ROLLBACK"))?;
        equal("rows here", number(&first, "SELECT count(*) FROM t")?, 1)?;
        sql(&second, "INSERT INTO t VALUES (2, '')")?;
        equal("rows there", number(&second, "SELECT count(*) FROM t")?, 2)?;
        sql(&first, "INSERT INTO t VALUES (3, '')")?;
        equal("rows at last", number(&second, "SELECT count(*) FROM t")?, 3)?;
        let sound: String = first
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .map_err(|error| crate::violation::Violation::new("SQL", error.to_string()))?;
        ensure(sound == "ok", "SQL", || sound.clone())?;
    }
    Ok(())
}

fn one_commit() -> Checked<()> {
    let (database, first, _) = two("PRAGMA auto_vacuum=1; CREATE TABLE t(x, y)")?;
    let begun = database.volume().committed_lsn().0;
    sql(&first, &format!("BEGIN; {MANY}; COMMIT"))?;
    sql(&first, "DELETE FROM t WHERE x % 3")?;
    sql(&first, "VACUUM")?;
    sql(&first, &format!("BEGIN; {MANY}; ROLLBACK"))?;
    let commits = database.volume().stats().commits;
    equal("commits of a transaction, a DELETE and a VACUUM", commits as i64 - begun as i64, 3)
}

fn exclusive() -> Checked<()> {
    let (_database, holder, other) = two("CREATE TABLE t(x); PRAGMA locking_mode=EXCLUSIVE")?;
    sql(&holder, "INSERT INTO t VALUES (1)")?;
    for text in ["SELECT * FROM t", "INSERT INTO t VALUES (2)"] {
        let refused = code(&other, text);
        ensure(refused & 0xff == ffi::SQLITE_BUSY, "SQL", || format!("`{text}` beside a holder: {refused}"))?;
    }
    sql(&holder, "PRAGMA locking_mode=NORMAL; SELECT * FROM t")?;
    equal("rows", number(&other, "SELECT count(*) FROM t")?, 1)
}

fn exclusive_reader() -> Checked<()> {
    let inside = "BEGIN; SELECT * FROM t; PRAGMA locking_mode=EXCLUSIVE; COMMIT";
    for start in ["PRAGMA locking_mode=EXCLUSIVE; SELECT * FROM t", inside] {
        let (_database, holder, other) = two("CREATE TABLE t(x)")?;
        sql(&holder, start)?;
        let refused = code(&other, "INSERT INTO t VALUES (2)");
        ensure(refused & 0xff == ffi::SQLITE_BUSY, "SQL", || {
            format!("a writer beside `{start}`: {refused}")
        })?;
        sql(&holder, "INSERT INTO t VALUES (1)")?;
        equal("rows", number(&holder, "SELECT count(*) FROM t")?, 1)?;
    }
    Ok(())
}

fn cache() -> Checked<()> {
    let (database, first, second) = two("CREATE TABLE t(x); INSERT INTO t VALUES (1)")?;
    equal("before", number(&second, "SELECT x FROM t")?, 1)?;
    let through = Connection::open_in_memory()
        .map_err(|error| crate::violation::Violation::new("test", error.to_string()))?;
    let attach = format!("ATTACH 'file:{}?vfs=datasync' AS s", database.name());
    sql(&through, &format!("{attach}; PRAGMA locking_mode=EXCLUSIVE; UPDATE s.t SET x = 2"))?;
    equal("after one", number(&second, "SELECT x FROM t")?, 2)?;
    sql(&through, "UPDATE s.t SET x = 3")?;
    sql(&through, "UPDATE s.t SET x = 4")?;
    drop(through);
    equal("after three", number(&second, "SELECT x FROM t")?, 4)?;
    equal("elsewhere", number(&first, "SELECT x FROM t")?, 4)
}

/// A commit of somebody else is in the log and waits for its barrier.
fn pending(database: &datasync::Database) -> Checked<datasync::volume::Pending> {
    let volume = database.volume();
    let append = || {
        let mut writer = volume.begin()?;
        // Far behind the database: SQL does not see it.
        let bytes = [7; datasync::block::BLOCK_SIZE];
        let size = writer.size();
        writer.write(BlockNo(900), &bytes)?;
        writer.trim(BlockNo(900))?;
        writer.set_size(size)?;
        writer.write(BlockNo(0), &{
            let mut first = bytes;
            volume.snapshot()?.read(BlockNo(0), &mut first)?;
            first
        })?;
        writer.append(Durability::Durable)
    };
    append().map_err(|error: datasync::Error| {
        crate::violation::Violation::new("test", format!("a commit to be waited for: {error}"))
    })
}

/// Refused once, because its snapshot is not the newest; then a writer on the newest, durable or not.
fn begin_on_newest(connection: &Connection) -> Checked<()> {
    for _ in 0..4 {
        if code(connection, "BEGIN IMMEDIATE") == 0 {
            return Ok(());
        }
    }
    sql(connection, "BEGIN IMMEDIATE")
}

/// The same by waiting for the slot, as most writers do.
fn wait_for_newest(connection: &Connection) -> Checked<()> {
    ensure(connection.busy_timeout(Duration::from_secs(60)).is_ok(), "test", String::new)?;
    sql(connection, "BEGIN IMMEDIATE")
}

fn seen_is_durable() -> Checked<()> {
    let (database, first, _) = two("CREATE TABLE t(x)")?;
    let pending = pending(&database)?;
    let lsn = pending.commit().lsn;
    wait_for_newest(&first)?;
    sql(&first, "ROLLBACK")?;
    let durable = database.volume().durable_lsn();
    ensure(durable >= lsn, "I2 durability", || {
        format!("a transaction that saw commit {lsn} ended with {durable} durable")
    })
}

fn seen_is_told() -> Checked<()> {
    let disk = SimDisk::new(1);
    let database = database(&disk)?;
    let first = connect(&database)?;
    sql(&first, "CREATE TABLE t(x)")?;
    let _pending = pending(&database)?;
    wait_for_newest(&first)?;
    disk.inject(Fault::FailBarrier { nth: 1, how: BarrierFailure::Drops, kind: ErrorKind::Io });
    let told = code(&first, "COMMIT");
    ensure(told & 0xff == ffi::SQLITE_IOERR, "I2 durability", || {
        format!("a transaction that saw what the disk has lost is told {told}")
    })
}

fn shown_is_durable() -> Checked<()> {
    let (database, first, _) = two("CREATE TABLE t(x)")?;
    let _pending = pending(&database)?;
    let refused = code(&first, "BEGIN IMMEDIATE");
    ensure(refused & 0xff == ffi::SQLITE_BUSY, "SQL", || format!("a stale writer was told {refused}"))?;
    sql(&first, "BEGIN; SELECT * FROM t")?;
    let shown: String = first
        .query_row("PRAGMA datasync_snapshot", [], |row| row.get(0))
        .map_err(|error| crate::violation::Violation::new("SQL", error.to_string()))?;
    let durable = database.volume().durable_lsn();
    ensure(shown.parse().is_ok_and(|shown: u64| shown <= durable.0), "I2 durability", || {
        format!("a reader is shown commit {shown}, {durable} is durable")
    })
}

fn own_commits() -> Checked<()> {
    let (database, first, _) = two("CREATE TABLE t(x); PRAGMA synchronous=NORMAL")?;
    let _pending = pending(&database)?;
    begin_on_newest(&first)?;
    sql(&first, "INSERT INTO t VALUES (1); COMMIT")?;
    equal("own rows", number(&first, "SELECT count(*) FROM t")?, 1)
}

#[test]
fn every_promise_about_locks_is_kept() {
    for (name, run) in ALL {
        if let Err(violation) = crate::violation::no_panic(run) {
            panic!("{name}: {violation}");
        }
    }
}
