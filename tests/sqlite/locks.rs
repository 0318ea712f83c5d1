//! Who may do what while somebody else does something.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rusqlite::ffi;

use super::common::{Place, assert_sound, code_of, number, run};

#[test]
fn a_reader_keeps_its_snapshot_while_a_writer_commits() {
    let place = Place::new();
    let database = place.store();
    let (writer, reader) = (database.connection().unwrap(), database.connection().unwrap());
    run(&writer, "CREATE TABLE t(x); INSERT INTO t VALUES (1)");
    run(&reader, "BEGIN");
    assert_eq!(number(&reader, "SELECT count(*) FROM t"), 1);
    for more in 2..10 {
        run(&writer, "INSERT INTO t VALUES (2)");
        assert_eq!(number(&reader, "SELECT count(*) FROM t"), 1);
        assert_eq!(number(&writer, "SELECT count(*) FROM t"), more);
    }
    run(&reader, "COMMIT");
    assert_eq!(number(&reader, "SELECT count(*) FROM t"), 9);
}

#[test]
fn writing_on_a_stale_snapshot_is_refused_as_such_and_at_once() {
    let place = Place::new();
    let database = place.store();
    let (first, mut second) = (database.connection().unwrap(), database.connection().unwrap());
    run(&first, "CREATE TABLE t(x)");
    run(&second, "BEGIN");
    assert_eq!(number(&second, "SELECT count(*) FROM t"), 0);
    run(&first, "INSERT INTO t VALUES (1)");
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let count = |_| ASKED.fetch_add(1, Ordering::Relaxed) < 3;
    second.busy_handler(Some(count)).unwrap();
    let refused = code_of(second.execute_batch("INSERT INTO t VALUES (2)"));
    assert_eq!(refused, ffi::SQLITE_BUSY_SNAPSHOT);
    assert_eq!(ASKED.load(Ordering::Relaxed), 0, "the busy handler is not asked: waiting cannot help");
    assert_eq!(number(&second, "SELECT count(*) FROM t"), 0, "the snapshot is still there");
    run(&second, "ROLLBACK; INSERT INTO t VALUES (2)");
    assert_eq!(number(&first, "SELECT count(*) FROM t"), 2);
}

#[test]
fn a_second_writer_is_busy_until_its_turn_comes() {
    let place = Place::new();
    let database = place.store();
    let (first, mut second) = (database.connection().unwrap(), database.connection().unwrap());
    run(&first, "CREATE TABLE t(x); BEGIN IMMEDIATE; INSERT INTO t VALUES (1)");
    second.busy_timeout(Duration::ZERO).unwrap();
    assert_eq!(code_of(second.execute_batch("BEGIN IMMEDIATE")), ffi::SQLITE_BUSY);
    assert_eq!(number(&second, "SELECT count(*) FROM t"), 0, "reading is not refused");
    static ASKED: AtomicU32 = AtomicU32::new(0);
    let thrice = |_| ASKED.fetch_add(1, Ordering::Relaxed) < 3;
    second.busy_handler(Some(thrice)).unwrap();
    assert_eq!(code_of(second.execute_batch("BEGIN IMMEDIATE")), ffi::SQLITE_BUSY);
    assert_eq!(ASKED.load(Ordering::Relaxed), 4, "it goes on for as long as its handler says");
    second.busy_timeout(Duration::from_millis(150)).unwrap();
    let began = Instant::now();
    assert_eq!(code_of(second.execute_batch("BEGIN IMMEDIATE")), ffi::SQLITE_BUSY);
    // A lower bound: a slow machine only waits longer.
    assert!(began.elapsed() >= Duration::from_millis(100), "it waits as long as it was told");
    second.busy_timeout(Duration::from_secs(60)).unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(move || {
            run(&second, "INSERT INTO t VALUES (2)");
            second
        });
        // A head start, so that it waits for its turn; without one it may come too late for that, and still is right.
        std::thread::sleep(Duration::from_millis(50));
        run(&first, "COMMIT");
        let second = waiting.join().unwrap();
        assert_eq!(number(&second, "SELECT count(*) FROM t"), 2);
    });
}

#[test]
fn a_writer_that_gave_up_waiting_leaves_the_slot_to_others() {
    let place = Place::new();
    let database = place.store();
    let (first, second, third) =
        (database.connection().unwrap(), database.connection().unwrap(), database.connection().unwrap());
    run(&first, "CREATE TABLE t(x)");
    for _ in 0..5 {
        run(&first, "BEGIN IMMEDIATE; INSERT INTO t VALUES (1)");
        second.busy_timeout(Duration::from_millis(5)).unwrap();
        assert_eq!(code_of(second.execute_batch("BEGIN IMMEDIATE")), ffi::SQLITE_BUSY);
        run(&first, "COMMIT");
        run(&third, "INSERT INTO t VALUES (3)");
        run(&second, "INSERT INTO t VALUES (2)");
    }
    assert_eq!(number(&third, "SELECT count(*) FROM t"), 15);
}

#[test]
fn begin_exclusive_lets_readers_read() {
    let place = Place::new();
    let database = place.store();
    let (writer, reader) = (database.connection().unwrap(), database.connection().unwrap());
    run(&writer, "CREATE TABLE t(x); BEGIN EXCLUSIVE; INSERT INTO t VALUES (1)");
    assert_eq!(number(&reader, "SELECT count(*) FROM t"), 0);
    run(&writer, "COMMIT");
    assert_eq!(number(&reader, "SELECT count(*) FROM t"), 1);
}

#[test]
fn exclusive_locking_mode_keeps_everybody_out_until_it_ends() {
    let place = Place::new();
    let database = place.store();
    let (holder, other) = (database.connection().unwrap(), database.connection().unwrap());
    other.busy_timeout(Duration::ZERO).unwrap();
    run(&holder, "CREATE TABLE t(x); PRAGMA locking_mode=EXCLUSIVE");
    assert_eq!(number(&other, "SELECT count(*) FROM t"), 0);
    for round in 1..20 {
        // From the second one on SQLite neither locks nor raises the change counter.
        run(&holder, "INSERT INTO t VALUES (1)");
        assert_eq!(number(&holder, "SELECT count(*) FROM t"), round);
        assert_eq!(code_of(other.execute_batch("SELECT * FROM t")), ffi::SQLITE_BUSY);
        assert_eq!(code_of(other.execute_batch("INSERT INTO t VALUES (2)")), ffi::SQLITE_BUSY);
    }
    run(&holder, "BEGIN; INSERT INTO t VALUES (1); ROLLBACK");
    run(&holder, "PRAGMA locking_mode=NORMAL; SELECT * FROM t");
    assert_eq!(number(&other, "SELECT count(*) FROM t"), 19);
    run(&other, "INSERT INTO t VALUES (2)");
    assert_eq!(number(&holder, "SELECT count(*) FROM t"), 20);
    assert_sound(&holder);
}

#[test]
fn exclusive_locking_mode_that_begins_in_a_read_transaction_keeps_others_out_or_is_refused() {
    let place = Place::new();
    let (one, two) = (place.store().connection().unwrap(), place.store().connection().unwrap());
    two.busy_timeout(Duration::ZERO).unwrap();
    run(&one, "CREATE TABLE t(x)");
    run(&one, "BEGIN; SELECT * FROM t; PRAGMA locking_mode=EXCLUSIVE; COMMIT");
    assert_eq!(code_of(two.execute_batch("INSERT INTO t VALUES (2)")), ffi::SQLITE_BUSY);
    run(&one, "INSERT INTO t VALUES (1); PRAGMA locking_mode=NORMAL; SELECT * FROM t");
    run(&two, "INSERT INTO t VALUES (2)");
    run(&one, "BEGIN; SELECT * FROM t");
    run(&two, "INSERT INTO t VALUES (3)");
    let refused = code_of(one.execute_batch("PRAGMA locking_mode=EXCLUSIVE"));
    assert_eq!(refused & 0xff, ffi::SQLITE_BUSY, "what it reads is not the newest");
    run(&one, "COMMIT");
    assert_eq!(number(&one, "SELECT count(*) FROM t"), 3);
    run(&two, "INSERT INTO t VALUES (4)");
    run(&one, "INSERT INTO t VALUES (5)");
    assert_eq!(number(&two, "SELECT count(*) FROM t"), 5);
}

#[test]
fn a_connection_in_exclusive_mode_can_still_write_after_it_only_read() {
    let place = Place::new();
    let database = place.store();
    let (holder, other) = (database.connection().unwrap(), database.connection().unwrap());
    other.busy_timeout(Duration::ZERO).unwrap();
    run(&other, "CREATE TABLE t(x)");
    run(&holder, "PRAGMA locking_mode=EXCLUSIVE");
    assert_eq!(number(&holder, "SELECT count(*) FROM t"), 0);
    assert_eq!(code_of(other.execute_batch("INSERT INTO t VALUES (1)")), ffi::SQLITE_BUSY);
    assert_eq!(number(&other, "SELECT count(*) FROM t"), 0, "it has not written: reading is allowed");
    run(&holder, "INSERT INTO t VALUES (2)");
    run(&holder, "PRAGMA locking_mode=NORMAL; SELECT * FROM t");
    run(&other, "INSERT INTO t VALUES (3)");
    assert_eq!(number(&holder, "SELECT sum(x) FROM t"), 5);
}

#[test]
fn an_attached_store_that_is_let_go_by_a_pragma_for_all_is_read_beside_a_writer() {
    let place = Place::new();
    let database = place.store();
    let writer = database.connection().unwrap();
    run(&writer, "CREATE TABLE t(x)");
    let through = rusqlite::Connection::open_in_memory().unwrap();
    through.busy_timeout(Duration::ZERO).unwrap();
    run(&through, &format!("ATTACH 'file:{}?vfs=datasync' AS s", database.name()));
    run(&through, "PRAGMA s.locking_mode=EXCLUSIVE; INSERT INTO s.t VALUES (1)");
    // Not shown to the attached database's file.
    run(&through, "PRAGMA locking_mode=NORMAL; SELECT * FROM s.t");
    run(&writer, "BEGIN IMMEDIATE; INSERT INTO t VALUES (2)");
    assert_eq!(number(&through, "SELECT count(*) FROM s.t"), 1);
    run(&writer, "COMMIT");
    run(&through, "BEGIN; SELECT * FROM s.t");
    run(&writer, "INSERT INTO t VALUES (3)");
    run(&through, "COMMIT");
}

#[test]
fn what_was_rolled_back_in_exclusive_mode_is_not_committed_by_the_next_transaction() {
    let place = Place::new();
    for mode in ["off", "delete", "memory", "persist", "truncate"] {
        let connection = datasync::open(place.path(mode)).unwrap();
        run(
            &connection,
            &format!("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode={mode}; PRAGMA cache_size=5"),
        );
        let many = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 1000)
                    INSERT INTO t SELECT x, randomblob(500) FROM n";
        run(&connection, &format!("CREATE TABLE t(x, y); {many}"));
        let sum = number(&connection, "SELECT sum(x) FROM t");
        for round in 1..4 {
            run(&connection, "BEGIN; UPDATE t SET x = x + 1000, y = randomblob(600); ROLLBACK");
            assert_eq!(number(&connection, "SELECT sum(x) FROM t"), sum + round - 1, "{mode}");
            run(&connection, "INSERT INTO t VALUES (1, '')");
            assert_sound(&connection);
        }
        drop(connection);
        let connection = datasync::open(place.path(mode)).unwrap();
        assert_eq!(number(&connection, "SELECT sum(x) FROM t"), sum + 3, "{mode}");
        assert_sound(&connection);
    }
}

#[test]
fn a_cache_from_before_an_exclusive_holder_is_not_trusted_after_it() {
    let place = Place::new();
    let database = place.store();
    let (holder, other) = (database.connection().unwrap(), database.connection().unwrap());
    run(&holder, "CREATE TABLE t(x); INSERT INTO t VALUES (1)");
    // Attached: the pragma for all databases is not shown to this one's file.
    let through = rusqlite::Connection::open_in_memory().unwrap();
    run(
        &through,
        &format!("ATTACH 'file:{}?vfs=datasync' AS s; PRAGMA locking_mode=EXCLUSIVE", database.name()),
    );
    run(&through, "UPDATE s.t SET x = 2");
    assert_eq!(number(&other, "SELECT x FROM t"), 2);
    run(&through, "UPDATE s.t SET x = 3");
    run(&through, "UPDATE s.t SET x = 4");
    drop(through);
    assert_eq!(number(&other, "SELECT x FROM t"), 4);
    assert_eq!(number(&holder, "SELECT x FROM t"), 4);
}

#[test]
fn closing_in_the_middle_of_a_transaction_rolls_it_back_and_frees_the_slot() {
    let place = Place::new();
    let database = place.store();
    let (first, second) = (database.connection().unwrap(), database.connection().unwrap());
    run(&first, "CREATE TABLE t(x); BEGIN IMMEDIATE; INSERT INTO t VALUES (1)");
    drop(first);
    run(&second, "INSERT INTO t VALUES (2)");
    assert_eq!(number(&second, "SELECT sum(x) FROM t"), 2);
}

#[test]
fn a_failed_statement_inside_a_transaction_harms_only_itself() {
    let place = Place::new();
    let database = place.store();
    let connection = database.connection().unwrap();
    run(&connection, "PRAGMA cache_size=3; CREATE TABLE t(x UNIQUE, y)");
    run(&connection, "BEGIN; INSERT INTO t VALUES (500, '')");
    let many = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 800)
                INSERT INTO t SELECT x, randomblob(300) FROM n";
    assert_eq!(code_of(connection.execute_batch(many)) & 0xff, ffi::SQLITE_CONSTRAINT);
    assert_eq!(number(&connection, "SELECT count(*) FROM t"), 1);
    run(&connection, "COMMIT");
    assert_eq!(number(&connection, "SELECT count(*) FROM t"), 1);
    assert_sound(&connection);
}
