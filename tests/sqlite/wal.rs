//! WAL mode does not exist here, and asking for it, or bringing a database that was in it, harms nothing.

use rusqlite::Connection;

use super::common::{Place, assert_sound, number, run, text};

fn wal_database(place: &Place) -> Connection {
    let plain = Connection::open(place.path("wal.db")).unwrap();
    assert_eq!(text(&plain, "PRAGMA journal_mode=WAL"), "wal");
    run(&plain, "CREATE TABLE t(x); INSERT INTO t VALUES (1), (2), (3)");
    plain
}

#[test]
fn wal_mode_is_refused_and_harmless() {
    let place = Place::new();
    for mode in ["delete", "memory", "truncate", "persist", "off"] {
        let connection = datasync::open(place.path("app.datasync")).unwrap();
        run(&connection, &format!("PRAGMA journal_mode={mode}; CREATE TABLE IF NOT EXISTS t(x)"));
        assert_eq!(text(&connection, "PRAGMA journal_mode=WAL"), mode);
        assert_eq!(text(&connection, "PRAGMA journal_mode"), mode);
        run(&connection, "INSERT INTO t VALUES (1)");
        run(&connection, "PRAGMA locking_mode=EXCLUSIVE; INSERT INTO t VALUES (2)");
        for wal in ["'WAL'", "w", "Wa"] {
            assert_eq!(text(&connection, &format!("PRAGMA main.journal_mode={wal}")), mode, "{wal}");
        }
        run(&connection, "INSERT INTO t VALUES (3)");
        assert_sound(&connection);
    }
    let connection = datasync::open(place.path("app.datasync")).unwrap();
    assert_eq!(number(&connection, "SELECT count(*) FROM t"), 15);
}

#[test]
fn a_database_in_wal_mode_comes_in_by_backup_and_can_be_used_at_once() {
    let place = Place::new();
    let plain = wal_database(&place);
    let database = place.store();
    let mut connection = database.connection().unwrap();
    let backup = rusqlite::backup::Backup::new(&plain, &mut connection).unwrap();
    backup.run_to_completion(100, std::time::Duration::ZERO, None).unwrap();
    drop(backup);
    assert_eq!(number(&connection, "SELECT count(*) FROM t"), 3);
    run(&connection, "INSERT INTO t VALUES (4)");
    assert_eq!(number(&database.connection().unwrap(), "SELECT count(*) FROM t"), 4);
    assert_sound(&connection);
    drop(connection);
    database.close().unwrap();
    let base = std::fs::read(place.path("app.datasync/base.db")).unwrap();
    assert_eq!(base[18..20], [1, 1], "what lies in the store is in rollback mode");
}

#[test]
fn a_database_in_wal_mode_is_imported_with_what_is_still_in_its_log() {
    let place = Place::new();
    let plain = wal_database(&place);
    assert!(place.path("wal.db-wal").metadata().unwrap().len() > 0);
    let database = datasync::Database::import(
        place.path("wal.db"),
        place.path("app.datasync"),
        datasync::volume::Options::new(),
        &mut |_, _| {},
    )
    .unwrap();
    let connection = database.connection().unwrap();
    assert_eq!(number(&connection, "SELECT count(*) FROM t"), 3);
    assert_eq!(text(&connection, "PRAGMA journal_mode"), "delete");
    run(&connection, "INSERT INTO t VALUES (4)");
    run(&plain, "INSERT INTO t VALUES (5)");
    assert_eq!(number(&plain, "SELECT sum(x) FROM t"), 11, "the source is untouched");
}

#[test]
fn a_stray_journal_next_to_the_store_is_neither_played_back_nor_removed() {
    let place = Place::new();
    let connection = datasync::open(place.path("app.datasync")).unwrap();
    for name in ["app.datasync-journal", "app.datasync-wal"] {
        std::fs::write(place.path(name), b"somebody else's").unwrap();
    }
    run(&connection, "CREATE TABLE t(x); INSERT INTO t VALUES (1)");
    drop(connection);
    let connection = datasync::open(place.path("app.datasync")).unwrap();
    assert_eq!(number(&connection, "SELECT x FROM t"), 1);
    assert_eq!(std::fs::read(place.path("app.datasync-journal")).unwrap(), b"somebody else's");
    assert_eq!(std::fs::read(place.path("app.datasync-wal")).unwrap(), b"somebody else's");
}
