//! Databases going in and out: backup interface, VACUUM INTO, import, export.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use datasync::Database;
use datasync::error::ErrorKind;
use datasync::volume::Options;
use rusqlite::Connection;
use rusqlite::backup::Backup;

use super::common::{End, Place, assert_sound, dump, number, run};

/// SQLite's own VFS on this system.
pub const HOST_VFS: &str = if cfg!(windows) { "win32" } else { "unix" };

const FILL: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b BLOB); CREATE INDEX i ON t(a);
    CREATE VIEW v AS SELECT a FROM t; PRAGMA user_version=7;
    WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 2000)
    INSERT INTO t SELECT x, 'row ' || x, randomblob(x % 700) FROM n";

fn copy(from: &Connection, to: &mut Connection) {
    Backup::new(from, to).unwrap().run_to_completion(50, Duration::ZERO, None).unwrap();
}

#[test]
fn the_backup_interface_copies_in_both_directions() {
    let place = Place::new();
    for page_size in [512, 4096, 65536] {
        let plain = Connection::open_in_memory().unwrap();
        run(&plain, &format!("PRAGMA page_size={page_size}; {FILL}"));
        let mut inside = datasync::open(place.path(&format!("store-{page_size}"))).unwrap();
        copy(&plain, &mut inside);
        assert_eq!(dump(&inside), dump(&plain));
        assert_sound(&inside);
        run(&inside, "DELETE FROM t WHERE id % 3 = 0");
        let mut back = Connection::open(place.path(&format!("back-{page_size}.db"))).unwrap();
        copy(&inside, &mut back);
        assert_eq!(dump(&back), dump(&inside));
        assert_sound(&back);
        assert_eq!(number(&back, "PRAGMA page_size"), page_size);
    }
}

#[test]
fn a_plain_connection_that_outlives_a_session_of_the_store_sees_what_it_changed() {
    let place = Place::new();
    let mut plain: Option<Connection> = None;
    for session in 0..4 {
        let database = place.store();
        let connection = database.connection().unwrap();
        run(
            &connection,
            "CREATE TABLE IF NOT EXISTS t(x); INSERT INTO t SELECT 0 WHERE NOT EXISTS (SELECT * FROM t)",
        );
        for _ in 0..session {
            run(&connection, "UPDATE t SET x = x + 1");
        }
        let wanted = number(&connection, "SELECT x FROM t");
        drop(connection);
        database.close().unwrap();
        let plain =
            plain.get_or_insert_with(|| Connection::open(place.path("app.datasync/base.db")).unwrap());
        assert_eq!(number(plain, "SELECT x FROM t"), wanted, "session {session}");
        assert_sound(plain);
    }
}

#[test]
fn vacuum_into_writes_another_store_or_a_plain_file() {
    let place = Place::new();
    let connection = datasync::open(place.path("app.datasync")).unwrap();
    run(&connection, FILL);
    run(&connection, "DELETE FROM t WHERE id % 2 = 0");
    run(&connection, &format!("VACUUM INTO '{}'", place.text("copy.datasync")));
    let plain = format!("file:{}?vfs={HOST_VFS}", place.text("plain.db"));
    run(&connection, &format!("VACUUM INTO '{plain}'"));
    let copies = [
        datasync::open(place.path("copy.datasync")).unwrap(),
        Connection::open(place.path("plain.db")).unwrap(),
    ];
    for copy in &copies {
        assert_eq!(dump(copy), dump(&connection));
        assert_sound(copy);
    }
    assert!(connection.execute_batch(&format!("VACUUM INTO '{}'", place.text("copy.datasync"))).is_err());
    assert_eq!(dump(&copies[0]), dump(&connection), "an existing copy is not overwritten");
}

#[test]
fn an_export_is_one_snapshot_however_much_is_written_meanwhile() {
    let place = Place::new();
    let database = place.store();
    let connection = database.connection().unwrap();
    run(&connection, FILL);
    run(&connection, "CREATE TABLE c(n INTEGER); INSERT INTO c VALUES (0)");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _end = End(&done);
        let (writer, done) = (database.connection().unwrap(), &done);
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                run(&writer, "BEGIN; UPDATE c SET n = n + 1; UPDATE t SET a = (SELECT n FROM c); COMMIT");
            }
        });
        let mut last = (0, 0);
        for round in 0..3 {
            let path = place.path(&format!("out-{round}.db"));
            database.export(&path, &mut |done, all| last = (done, all)).unwrap();
            assert!(last.0 == last.1 && last.1 > 500_000, "{last:?}");
            let plain = Connection::open(&path).unwrap();
            assert_sound(&plain);
            assert_eq!(number(&plain, "SELECT count(DISTINCT a) FROM t, c WHERE n > 0 AND a <> n"), 0);
            assert_eq!(number(&plain, "SELECT count(*) FROM t"), 2000);
        }
    });
    let error = database.export(place.path("out-0.db"), &mut |_, _| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse, "{error}");
}

#[test]
fn an_import_is_the_same_database_and_an_export_of_it_too() {
    let place = Place::new();
    for page_size in [512, 8192] {
        let (source, store) =
            (place.path(&format!("{page_size}.db")), place.path(&format!("{page_size}.datasync")));
        let plain = Connection::open(&source).unwrap();
        run(&plain, &format!("PRAGMA page_size={page_size}; PRAGMA auto_vacuum=1; {FILL}"));
        let mut words = Vec::new();
        let imported =
            Database::import(&source, &store, Options::new(), &mut |done, all| words.push((done, all)))
                .unwrap();
        let last = *words.last().unwrap();
        assert!(last.0 == last.1 && last.1 == source.metadata().unwrap().len(), "{words:?}");
        assert_eq!(dump(&imported.connection().unwrap()), dump(&plain));
        for sql in ["DELETE FROM t WHERE id < 1000", "UPDATE t SET b = zeroblob(900) WHERE id % 7 = 0"] {
            run(&imported.connection().unwrap(), sql);
            run(&plain, sql);
        }
        let back = place.path(&format!("{page_size}-back.db"));
        imported.export(&back, &mut |_, _| {}).unwrap();
        let back = Connection::open(back).unwrap();
        assert_eq!(dump(&back), dump(&plain));
        assert_eq!(number(&back, "PRAGMA user_version"), 7);
        assert_sound(&back);
        let error = Database::import(&source, &store, Options::new(), &mut |_, _| {}).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misuse, "{error}");
        imported.close().unwrap();
    }
}

#[test]
fn what_is_no_database_is_not_imported_and_no_store_is_made_of_it() {
    let place = Place::new();
    std::fs::write(place.path("letter.txt"), "Dear reader, this is certainly no database. ".repeat(100))
        .unwrap();
    for (name, kind) in [("letter.txt", ErrorKind::Misuse), ("absent.db", ErrorKind::NotFound)] {
        let error = Database::import(place.path(name), place.path("s"), Options::new(), &mut |_, _| {})
            .err()
            .unwrap();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(name), "{error}");
        assert!(!place.path("s").exists());
    }
}

#[test]
fn the_sample_database_goes_in_and_comes_out_the_same() {
    let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/chinook/chinook.db");
    if !sample.exists() {
        println!("skipped: no data");
        return;
    }
    let place = Place::new();
    let imported =
        Database::import(&sample, place.path("chinook.datasync"), Options::new(), &mut |_, _| {}).unwrap();
    let connection = imported.connection().unwrap();
    assert_sound(&connection);
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    assert_eq!(dump(&connection), dump(&Connection::open_with_flags(sample, flags).unwrap()));
}
