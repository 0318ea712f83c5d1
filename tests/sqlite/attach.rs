//! Several databases on one connection: two stores, a store and a plain file, temporary ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datasync::Database;
use datasync::backend::memory::{Memory, Request};
use datasync::error::{Error, ErrorKind};
use datasync::log::plan::{Area, Op};
use datasync::volume::{Options, Volume};
use rusqlite::{Connection, ffi};

use super::common::{Place, assert_sound, code_of, number, run, text};

/// A connection to store `a` with store `b` attached; both have a table `t`.
fn pair(place: &Place) -> Connection {
    for name in ["a", "b"] {
        run(&datasync::open(place.path(name)).unwrap(), "CREATE TABLE t(x); INSERT INTO t VALUES (0)");
    }
    let connection = datasync::open(place.path("a")).unwrap();
    run(&connection, &format!("ATTACH '{}' AS b", place.text("b")));
    connection
}

fn entries(place: &Place) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(place.path("."))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn one_transaction_over_two_stores_commits_in_both_and_rolls_back_in_both() {
    let place = Place::new();
    let connection = pair(&place);
    for mode in ["delete", "truncate", "persist", "memory", "off"] {
        run(&connection, &format!("PRAGMA main.journal_mode={mode}; PRAGMA b.journal_mode={mode}"));
        run(&connection, "BEGIN; UPDATE t SET x = x + 1; UPDATE b.t SET x = x + 1; COMMIT");
        run(&connection, "BEGIN; UPDATE t SET x = x + 100; UPDATE b.t SET x = x + 100; ROLLBACK");
    }
    assert_eq!(entries(&place), ["a", "b"], "no super-journal stays behind");
    let others = [datasync::open(place.path("a")).unwrap(), datasync::open(place.path("b")).unwrap()];
    for other in &others {
        assert_eq!(number(other, "SELECT x FROM t"), 5);
        run(other, "INSERT INTO t VALUES (1)");
        assert_sound(other);
    }
    assert_eq!(number(&connection, "SELECT count(*) FROM b.t"), 2);
}

#[test]
fn a_plain_file_and_a_store_share_a_transaction() {
    let place = Place::new();
    let connection = datasync::open(place.path("a")).unwrap();
    run(
        &connection,
        &format!("ATTACH 'file:{}?vfs={}' AS p", place.text("plain.db"), super::transfer::HOST_VFS),
    );
    run(&connection, "CREATE TABLE t(x); CREATE TABLE p.u(x)");
    run(&connection, "BEGIN; INSERT INTO t VALUES (1); INSERT INTO u VALUES (2); COMMIT");
    run(&connection, "BEGIN; INSERT INTO t VALUES (1); INSERT INTO u VALUES (2); ROLLBACK");
    drop(connection);
    assert_eq!(entries(&place), ["a", "plain.db"]);
    let plain = Connection::open(place.path("plain.db")).unwrap();
    assert_eq!(number(&plain, "SELECT sum(x) FROM u"), 2);
    let through = Connection::open(place.path("plain.db")).unwrap();
    run(&through, &format!("ATTACH 'file:{}?vfs=datasync' AS s", place.text("a")));
    run(&through, "BEGIN; INSERT INTO s.t VALUES (10); INSERT INTO u VALUES (20); COMMIT");
    assert_eq!(number(&through, "SELECT sum(x) FROM s.t"), 11);
    assert_eq!(number(&plain, "SELECT sum(x) FROM u"), 22);
}

#[test]
fn names_on_a_connection_to_a_store_are_stores_unless_they_say_otherwise() {
    let place = Place::new();
    let host = super::transfer::HOST_VFS;
    let by_uri = |name: &str| Connection::open(format!("file:{}?vfs=datasync", place.text(name)));
    let connections = [datasync::open(place.path("a")), by_uri("b").map_err(|error| panic!("{error}"))];
    for (number_of, connection) in connections.into_iter().enumerate() {
        let connection = connection.unwrap();
        let path = |name: &str| place.text(&format!("{name}-{number_of}.db"));
        run(&connection, "CREATE TABLE t(x); INSERT INTO t VALUES (1)");
        run(&connection, &format!("ATTACH '{}' AS s; CREATE TABLE s.u(x)", path("attached")));
        run(&connection, &format!("VACUUM INTO '{}'", path("copied")));
        run(&connection, &format!("ATTACH 'file:{}?vfs={host}' AS p; CREATE TABLE p.v(x)", path("plain")));
        run(&connection, &format!("VACUUM INTO 'file:{}?vfs={host}'", path("dump")));
        let refused = connection.execute_batch(&format!("ATTACH '{}' AS q", path("plain"))).unwrap_err();
        assert_eq!(code_of::<()>(Err(refused)), ffi::SQLITE_NOTADB, "a file is no store");
        drop(connection);
        for store in ["attached", "copied"] {
            assert!(std::fs::metadata(path(store)).unwrap().is_dir(), "{store}");
            assert_sound(&datasync::open(path(store)).unwrap());
        }
        for file in ["plain", "dump"] {
            assert!(std::fs::metadata(path(file)).unwrap().is_file(), "{file}");
            assert_sound(&Connection::open(path(file)).unwrap());
        }
    }
}

#[test]
fn temporary_databases_and_tables_work_beside_a_store() {
    let place = Place::new();
    let connection = datasync::open(place.path("a")).unwrap();
    run(&connection, "ATTACH '' AS scratch; ATTACH ':memory:' AS memory; CREATE TABLE t(x)");
    run(&connection, "CREATE TABLE scratch.s(x); CREATE TABLE memory.m(x); CREATE TEMP TABLE v(x)");
    let many = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 3000)";
    run(&connection, "PRAGMA scratch.cache_size=5; PRAGMA temp.cache_size=5; BEGIN");
    for table in ["t", "scratch.s", "memory.m", "temp.v"] {
        run(&connection, &format!("INSERT INTO {table} {many} SELECT x FROM n"));
    }
    run(&connection, "COMMIT");
    let joined = "SELECT count(*) FROM t JOIN s USING (x) JOIN m USING (x) JOIN v USING (x)";
    assert_eq!(number(&connection, joined), 3000);
    assert_eq!(
        number(&connection, "SELECT count(*) FROM (SELECT randomblob(500) AS b FROM t ORDER BY b)"),
        3000
    );
    drop(connection);
    assert_eq!(entries(&place), ["a"]);
}

#[test]
fn when_the_second_of_two_stores_is_full_the_first_is_as_it_was() {
    let place = Place::new();
    let memory = Memory::new();
    let volume = Volume::open(memory.clone(), Options::new().background(false)).unwrap();
    let full = Database::over(volume).unwrap();
    run(&full.connection().unwrap(), "CREATE TABLE u(x); INSERT INTO u VALUES (0)");
    let connection = datasync::open(place.path("a")).unwrap();
    run(&connection, "PRAGMA cache_size=5; CREATE TABLE t(x, y); INSERT INTO t VALUES (0, NULL)");
    run(&connection, &format!("ATTACH '{}' AS f", full.name()));
    let many = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 3000)";
    for spilled in [1, 500] {
        run(&connection, "BEGIN");
        run(&connection, &format!("INSERT INTO t {many} SELECT x, randomblob({spilled}) FROM n"));
        run(&connection, &format!("INSERT INTO u {many} SELECT randomblob(3000) FROM n"));
        memory.set_limit(Some(memory.used()));
        assert_eq!(code_of(connection.execute_batch("COMMIT")), ffi::SQLITE_FULL);
        memory.set_limit(None);
        if !connection.is_autocommit() {
            run(&connection, "ROLLBACK");
        }
        assert_eq!(number(&connection, "SELECT count(*) FROM t"), 1, "spilled {spilled}");
        assert_eq!(number(&connection, "SELECT count(*) FROM u"), 1);
        assert_eq!(number(&datasync::open(place.path("a")).unwrap(), "SELECT count(*) FROM t"), 1);
    }
    run(&connection, "BEGIN; INSERT INTO t VALUES (1, 1); INSERT INTO u VALUES (1); COMMIT");
    assert_eq!(text(&connection, "PRAGMA integrity_check"), "ok");
    assert_eq!(number(&full.connection().unwrap(), "SELECT count(*) FROM u"), 2);
}

/// A connection with two stores in memory attached: `a` with so many rows in `t`, and `b` with an empty `u`.
fn beside(place: &Place, options: Options, rows: u32) -> (Connection, Database, [Memory; 2]) {
    beside_on(datasync::open(place.path("main")).unwrap(), options, rows)
}

fn beside_on(connection: Connection, options: Options, rows: u32) -> (Connection, Database, [Memory; 2]) {
    let media = [Memory::new(), Memory::new()];
    let open =
        |medium: &Memory, options| Database::over(Volume::open(medium.clone(), options).unwrap()).unwrap();
    let (a, b) = (open(&media[0], options), open(&media[1], Options::new().background(false)));
    for (schema, name) in [("a", a.name()), ("b", b.name())] {
        run(&connection, &format!("ATTACH 'file:{name}?vfs=datasync' AS {schema}"));
    }
    run(&connection, "CREATE TABLE a.t(x, y); CREATE TABLE b.u(y)");
    let many = format!("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < {rows})");
    run(&connection, &format!("{many} INSERT INTO t SELECT x, zeroblob(3000) FROM n"));
    (connection, a, media)
}

/// A transaction over both which does not fit into the second one, whose medium has no room left.
fn overfill(connection: &Connection, second: &Memory) {
    let many = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 3000)";
    run(connection, "BEGIN; UPDATE t SET y = randomblob(3000)");
    run(connection, &format!("INSERT INTO u {many} SELECT randomblob(3000) FROM n"));
    second.set_limit(Some(second.used()));
}

const CHANGED: &str = "SELECT count(*) FROM t WHERE y <> zeroblob(3000)";

#[test]
fn when_both_of_two_stores_are_full_the_first_is_as_it_was() {
    for rows in [100, 240, 600] {
        let place = Place::new();
        let (connection, database, [first, second]) = beside(&place, Options::new().background(false), rows);
        overfill(&connection, &second);
        // Room for the commit of the first one, and not for another that takes it back.
        first.set_limit(Some(first.used() + u64::from(rows) * 5000));
        assert_eq!(code_of(connection.execute_batch("COMMIT")), ffi::SQLITE_FULL);
        first.set_limit(None);
        assert_eq!(number(&database.connection().unwrap(), CHANGED), 0, "{rows} rows");
    }
}

#[test]
fn what_cannot_be_taken_back_in_the_first_of_two_stores_is_told() {
    for mode in ["NORMAL", "EXCLUSIVE"] {
        let mut told = 0;
        for room in (3000..9000).step_by(1000) {
            let place = Place::new();
            // No segment is large enough for both the commit and its opposite.
            let small = Options::new().background(false).segment_bytes(256 << 10).reserve_bytes(64 << 10);
            let (connection, _a, [first, second]) = beside(&place, small.log_cap_bytes(64 << 20), 600);
            run(&connection, &format!("PRAGMA a.locking_mode={mode}"));
            overfill(&connection, &second);
            first.set_limit(Some(first.used() + 600 * room));
            assert_eq!(code_of(connection.execute_batch("COMMIT")), ffi::SQLITE_FULL);
            let said = datasync::vfs::last_error().expect("in words too");
            first.set_limit(None);
            match connection.query_row(CHANGED, [], |row| row.get::<_, i64>(0)) {
                Ok(changed) => assert_eq!(changed, 0, "{mode}, {room}: {said}"),
                Err(_) => {
                    told += 1;
                    assert!(matches!(said.kind(), ErrorKind::Indeterminate(_)), "{said}");
                }
            }
        }
        // In exclusive mode SQLite still has the journal, and plays it back as soon as there is room again.
        assert_eq!(told > 0, mode == "NORMAL", "{mode}: told {told} times");
    }
}

#[test]
fn what_failed_in_a_store_held_exclusively_is_neither_shown_nor_committed_later() {
    let mut refused = 0;
    for (plain, room) in (0..20).map(|step| (step % 2 > 0, step / 2 * 300_000)) {
        let place = Place::new();
        // A plain file's rollback removes the super-journal, whoever may still need it.
        let main = match plain {
            true => Connection::open(place.path("plain.db")),
            false => datasync::open(place.path("main")).map_err(|error| panic!("{error}")),
        };
        let (connection, _a, [_, second]) =
            beside_on(main.unwrap(), Options::new().background(false).spill_bytes(1 << 20), 1);
        run(&connection, "PRAGMA b.locking_mode=EXCLUSIVE; INSERT INTO u VALUES (0); CREATE TABLE main.p(x)");
        let many = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 300)";
        let first = if plain { "INSERT INTO p VALUES (1)" } else { "UPDATE t SET x = 2" };
        run(&connection, &format!("BEGIN; {first}"));
        run(&connection, &format!("INSERT INTO u {many} SELECT randomblob(3000) FROM n"));
        second.set_limit(Some(second.used() + room));
        if connection.execute_batch("COMMIT").is_ok() {
            continue;
        }
        refused += 1;
        let said = datasync::vfs::last_error().expect("in words too");
        assert_eq!(said.kind(), ErrorKind::Full, "{said}");
        second.set_limit(None);
        assert_eq!(number(&connection, "SELECT count(*) FROM p"), 0, "{room} bytes of room");
        assert_eq!(number(&connection, "SELECT x FROM t"), 1, "{room} bytes of room");
        assert_eq!(number(&connection, "SELECT count(*) FROM u"), 1, "{room} bytes of room");
        run(&connection, "INSERT INTO u VALUES (1); PRAGMA b.locking_mode=NORMAL");
        assert_eq!(number(&connection, "SELECT count(*) FROM u"), 2, "{room} bytes of room");
        assert_eq!(text(&connection, "PRAGMA b.integrity_check"), "ok");
    }
    assert!(refused > 2);
}

#[test]
fn a_transaction_over_three_stores_tells_of_a_failure_whatever_waits_for_its_disk() {
    for synchronous in ["OFF", "NORMAL", "FULL"] {
        let place = Place::new();
        let connection = pair(&place);
        let (third, refuses) = refusing();
        run(&connection, &format!("ATTACH '{}' AS c; CREATE TABLE c.v(x)", third.name()));
        run(&connection, &format!("PRAGMA c.synchronous={synchronous}"));
        refuses.store(true, Ordering::SeqCst);
        let insert = "INSERT INTO t VALUES (1); INSERT INTO b.t VALUES (1); INSERT INTO v VALUES (1)";
        let code = code_of(connection.execute_batch(&format!("BEGIN; {insert}; COMMIT")));
        assert_eq!(code & 0xff, ffi::SQLITE_IOERR, "{synchronous}");
        drop(connection);
        for name in ["a", "b"] {
            let there = datasync::open(place.path(name)).unwrap();
            assert_eq!(number(&there, "SELECT count(*) FROM t"), 1, "{synchronous}: {name} is as it was");
        }
    }
}

#[test]
fn a_store_beside_plain_files_that_sqlite_does_not_roll_back_is_told_of() {
    for mode in ["NORMAL", "EXCLUSIVE"] {
        let place = Place::new();
        run(&datasync::open(place.path("a")).unwrap(), "CREATE TABLE t(x)");
        let (last, refuses) = refusing();
        run(&last.connection().unwrap(), "CREATE TABLE v(x)");
        let connection = Connection::open(place.path("plain.db")).unwrap();
        run(&connection, "CREATE TABLE p(x)");
        for (schema, name) in [("a", place.text("a")), ("b", last.name().to_owned())] {
            run(&connection, &format!("ATTACH 'file:{name}?vfs=datasync' AS {schema}"));
        }
        run(&connection, &format!("PRAGMA a.locking_mode={mode}; INSERT INTO t VALUES (0); DELETE FROM t"));
        refuses.store(true, Ordering::SeqCst);
        let insert = "INSERT INTO p VALUES (1); INSERT INTO t VALUES (1); INSERT INTO v VALUES (1)";
        assert!(connection.execute_batch(&format!("BEGIN; {insert}; COMMIT")).is_err());
        assert_eq!(number(&connection, "SELECT count(*) FROM p"), 0);
        match connection.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)) {
            Ok(rows) => assert_eq!(rows, 0, "{mode}: nothing of what failed is shown"),
            Err(error) => {
                assert_eq!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::SystemIoFailure), "{mode}");
            }
        }
    }
}

/// A database in memory that refuses to write into the log when it is told to.
fn refusing() -> (Database, Arc<AtomicBool>) {
    let refuses = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&refuses);
    let memory = Memory::new().with_hook(move |request| match request {
        Request::Apply(Op::Write { area: Area::Segment(_), .. }) if told.load(Ordering::SeqCst) => {
            Err(Error::new(ErrorKind::Io, "the planted failure of a write"))
        }
        _ => Ok(()),
    });
    (Database::over(Volume::open(memory, Options::new().background(false)).unwrap()).unwrap(), refuses)
}
