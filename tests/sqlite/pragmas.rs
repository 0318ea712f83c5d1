//! The pragmas of the table in `src/vfs/mod.rs`, and how durability follows from what was asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datasync::Database;
use datasync::backend::memory::{Memory, Request};
use datasync::block::Durability;
use datasync::error::{Error, ErrorKind};
use datasync::log::plan::{Area, Op};
use datasync::volume::{Options, Volume};
use rusqlite::Connection;

use super::common::{Place, number, run, text};

#[test]
fn each_pragma_answers() {
    let place = Place::new();
    let database = place.store();
    let connection = database.connection().unwrap();
    let before = text(&connection, "PRAGMA datasync_snapshot").parse::<i64>().unwrap();
    run(&connection, "CREATE TABLE t(x); INSERT INTO t VALUES (1)");
    let after = text(&connection, "PRAGMA datasync_snapshot").parse::<i64>().unwrap();
    assert!(after > before, "{before} {after}");
    assert_eq!(text(&connection, "PRAGMA datasync_verify"), "ok");
    assert_eq!(text(&connection, "PRAGMA datasync_compact"), "ok");
    assert_eq!(text(&connection, "PRAGMA datasync_sync"), after.to_string());
    assert_eq!(text(&connection, "PRAGMA datasync_error"), "");
    for pragma in ["datasync_stats", "datasync_recovery"] {
        let json = text(&connection, &format!("PRAGMA {pragma}"));
        assert_eq!(number(&connection, &format!("SELECT json_valid('{json}')")), 1, "{json}");
    }
}

#[test]
fn pragmas_that_do_not_exist_say_which_do() {
    let place = Place::new();
    let connection = place.store().connection().unwrap();
    let error = connection.execute_batch("PRAGMA datasync_durrability").unwrap_err().to_string();
    assert!(error.contains("datasync_durability"), "{error}");
    let error = connection.execute_batch("PRAGMA datasync_durability = often").unwrap_err().to_string();
    assert!(error.contains("often") && error.contains("witnessed"), "{error}");
    let error = connection.execute_batch("BEGIN IMMEDIATE; PRAGMA datasync_compact").unwrap_err().to_string();
    assert!(error.contains("commit first"), "{error}");
    run(&connection, "ROLLBACK");
}

#[test]
fn what_became_of_a_commit_whose_barrier_failed_is_told_after_reopening() {
    for lost in [false, true] {
        let fails = Arc::new(AtomicBool::new(false));
        let now = Arc::clone(&fails);
        let disk = Memory::new();
        let failing = disk.clone().with_hook(move |request| match request {
            Request::Apply(Op::Barrier(Area::Segment(_))) if now.load(Ordering::SeqCst) => {
                Err(Error::new(ErrorKind::Io, "the planted failure of a barrier"))
            }
            _ => Ok(()),
        });
        let on =
            |disk| Database::over(Volume::open(disk, Options::new().background(false)).unwrap()).unwrap();
        let database = on(failing);
        let connection = database.connection().unwrap();
        run(&connection, "CREATE TABLE t(x); INSERT INTO t VALUES (1)");
        let before = disk.copy();
        fails.store(true, Ordering::SeqCst);
        assert!(connection.execute_batch("INSERT INTO t VALUES (2)").is_err());
        let said = text(&connection, "PRAGMA datasync_error");
        let named = said.split_once("(in SQL: ").and_then(|(_, rest)| rest.split_once(')'));
        let ask = named.unwrap_or_else(|| panic!("{said}")).0;
        let (start, commit) = ask.trim_end_matches('\'').split_once('\'').unwrap();
        assert_eq!(start, "PRAGMA datasync_outcome = ");
        let refused = connection.execute_batch(ask).unwrap_err().to_string();
        assert!(refused.contains("open again"), "{refused}");
        drop((connection, database));

        let database = on(if lost { before } else { disk });
        let connection = database.connection().unwrap();
        let outcome = text(&connection, ask);
        assert_eq!(outcome, if lost { "not committed" } else { "committed" });
        assert_eq!(number(&connection, "SELECT count(*) FROM t"), if lost { 1 } else { 2 });
        run(&connection, "INSERT INTO t VALUES (3)");
        assert_eq!(text(&connection, ask), outcome, "and for good");
        assert_eq!(text(&connection, &format!("PRAGMA main.datasync_outcome({commit})")), outcome);
    }
}

#[test]
fn an_outcome_is_asked_for_by_the_name_of_a_commit() {
    let place = Place::new();
    let connection = place.store().connection().unwrap();
    run(&connection, "CREATE TABLE t(x)");
    assert_eq!(text(&connection, "PRAGMA datasync_outcome = '1.1'"), "committed");
    assert_eq!(
        text(&connection, "PRAGMA datasync_outcome = 1.10"),
        "not committed",
        "no number: 1.10 is not 1.1"
    );
    assert_eq!(text(&connection, "PRAGMA datasync_outcome = '0.1'"), "unknown");
    for strange in ["PRAGMA datasync_outcome", "PRAGMA datasync_outcome = 17"] {
        let error = connection.execute_batch(strange).unwrap_err().to_string();
        assert!(error.contains("EPOCH.LSN"), "{error}");
    }
}

#[test]
fn connections_begin_with_the_durability_of_their_database() {
    let place = Place::new();
    let applied = place.store_with(Options::new().durability(Durability::Applied));
    let durability = |connection: &Connection| text(connection, "PRAGMA datasync_durability");
    let connection = applied.connection().unwrap();
    run(&connection, "CREATE TABLE t(x)");
    let before = applied.volume().durable_lsn();
    run(&connection, "PRAGMA synchronous=FULL; INSERT INTO t VALUES (1)");
    assert_eq!(applied.volume().durable_lsn(), before, "a commit that is applied waits for no barrier");
    run(&connection, "PRAGMA datasync_durability=synchronous");
    assert_eq!(durability(&connection), "durable");
    let joined = place.store_with(Options::new().durability(Durability::Witnessed));
    assert_eq!(durability(&joined.connection().unwrap()), "witnessed", "whoever opened the store");
    assert_eq!(durability(&place.store().connection().unwrap()), "durable");
    assert_eq!(durability(&applied.connection().unwrap()), "applied");
    let memory = Volume::open(Memory::new(), Options::new().durability(Durability::Applied)).unwrap();
    assert_eq!(durability(&Database::over(memory).unwrap().connection().unwrap()), "applied");
}

#[test]
fn durability_follows_synchronous_until_it_is_set_itself() {
    let place = Place::new();
    let database = place.store();
    let connection = database.connection().unwrap();
    let durability = || text(&connection, "PRAGMA datasync_durability");
    assert_eq!(durability(), "durable", "FULL is what SQLite begins with");
    for (synchronous, expected) in [
        ("OFF", "applied"),
        ("FULL", "durable"),
        ("NORMAL", "applied"),
        ("EXTRA", "durable"),
        ("1", "applied"),
        ("2", "durable"),
    ] {
        run(&connection, &format!("PRAGMA main.synchronous={synchronous}"));
        assert_eq!(durability(), expected, "{synchronous}");
    }
    run(&connection, "BEGIN");
    assert!(connection.execute_batch("PRAGMA synchronous=OFF").is_err(), "SQLite refuses it here");
    assert_eq!(durability(), "durable", "so it has not been set");
    run(&connection, "COMMIT; PRAGMA datasync_durability=witnessed; PRAGMA synchronous=OFF");
    assert_eq!(durability(), "witnessed");
    run(&connection, "PRAGMA datasync_durability=synchronous");
    assert_eq!(durability(), "applied");
    let other = database.connection().unwrap();
    assert_eq!(text(&other, "PRAGMA datasync_durability"), "durable", "each connection has its own");
}

#[test]
fn a_pragma_that_sqlite_could_not_begin_takes_no_durability_away() {
    let place = Place::new();
    let database = place.store();
    let (holder, other) = (database.connection().unwrap(), database.connection().unwrap());
    other.busy_timeout(std::time::Duration::ZERO).unwrap();
    run(&holder, "CREATE TABLE t(x); PRAGMA locking_mode=EXCLUSIVE; INSERT INTO t VALUES (1)");
    assert!(other.execute_batch("PRAGMA synchronous=OFF").is_err(), "it cannot read the schema");
    run(&holder, "PRAGMA locking_mode=NORMAL; SELECT * FROM t");
    assert_eq!(number(&other, "PRAGMA synchronous"), 2);
    assert_eq!(text(&other, "PRAGMA datasync_durability"), "durable");
}

#[test]
fn a_relaxed_commit_is_durable_after_the_next_durable_one_and_after_a_sync() {
    let place = Place::new();
    let database = place.store();
    let (relaxed, full) = (database.connection().unwrap(), database.connection().unwrap());
    run(&relaxed, "PRAGMA synchronous=NORMAL; CREATE TABLE t(x)");
    assert_eq!(number(&full, "SELECT count(*) FROM t"), 0, "visible at once");
    run(&full, "INSERT INTO t VALUES (1)");
    assert!(database.volume().durable_lsn() >= database.volume().committed_lsn());
    run(&relaxed, "INSERT INTO t VALUES (2)");
    let synced = database.sync().unwrap();
    assert_eq!(synced, database.volume().durable_lsn());
    assert_eq!(synced, database.volume().committed_lsn());
}

#[test]
fn attached_stores_have_their_own_durability() {
    let place = Place::new();
    let connection = place.store().connection().unwrap();
    run(&connection, &format!("ATTACH '{}' AS other", place.text("other")));
    run(&connection, "PRAGMA synchronous=OFF; PRAGMA other.datasync_durability=witnessed");
    assert_eq!(text(&connection, "PRAGMA main.datasync_durability"), "applied");
    assert_eq!(text(&connection, "PRAGMA other.datasync_durability"), "witnessed");
}
