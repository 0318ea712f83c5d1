//! Databases opened by name: URI parameters, reading only, and names that mean nothing.

use datasync::Database;
use datasync::error::ErrorKind;
use datasync::volume::Options;
use rusqlite::{Connection, OpenFlags, ffi};

use super::common::{Place, code_of, number, run, text};

fn by_name(place: &Place, parameters: &str) -> rusqlite::Result<Connection> {
    datasync::vfs::register().unwrap();
    Connection::open(format!("file:{}?vfs=datasync{parameters}", place.text("app.datasync")))
}

#[test]
fn anybodys_connection_opens_a_store_by_name_and_shares_its_volume() {
    let place = Place::new();
    let one = by_name(&place, "&checksum=xxh3&segment_bytes=1M&log_cap=8M&spill=256K").unwrap();
    run(&one, "CREATE TABLE t(x); INSERT INTO t VALUES (1)");
    let two = by_name(&place, "").unwrap();
    let three = place.store();
    run(&two, "INSERT INTO t VALUES (2)");
    assert_eq!(number(&three.connection().unwrap(), "SELECT count(*) FROM t"), 2);
    let relative = std::path::absolute(place.path("./x/../app.datasync")).unwrap();
    std::fs::create_dir(place.path("x")).unwrap();
    assert_eq!(number(&datasync::open(relative).unwrap(), "SELECT count(*) FROM t"), 2);
}

#[test]
fn a_parameter_that_is_not_understood_is_a_clear_error() {
    let place = Place::new();
    for (bad, word) in [("&colour=red", "colour"), ("&checksum=md5", "md5"), ("&log_cap=much", "much")] {
        assert_eq!(code_of(by_name(&place, bad)), ffi::SQLITE_CANTOPEN, "{bad}");
        let error = datasync::vfs::last_error().unwrap();
        assert_eq!(error.kind(), ErrorKind::Misuse);
        assert!(error.to_string().contains(word), "{error}");
    }
    assert!(!place.path("app.datasync").exists(), "nothing was made");
}

#[test]
fn reading_only_reads_and_refuses_to_write() {
    let place = Place::new();
    let connection = place.store().connection().unwrap();
    run(&connection, "CREATE TABLE t(x); INSERT INTO t VALUES (1)");
    drop(connection);
    for alone in [true, false] {
        let writer = (!alone).then(|| place.store());
        let reader = by_name(&place, "&mode=ro").unwrap();
        assert_eq!(number(&reader, "SELECT count(*) FROM t"), 1);
        assert_eq!(code_of(reader.execute_batch("INSERT INTO t VALUES (2)")) & 0xff, ffi::SQLITE_READONLY);
        if alone {
            let error = Database::open(place.path("app.datasync")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
        }
        drop((reader, writer));
    }
    let database = place.store_with(Options::new().read_only(true));
    assert!(database.is_read_only());
    assert_eq!(number(&database.connection().unwrap(), "SELECT count(*) FROM t"), 1);
}

#[test]
fn immutable_reads_one_commit_for_good() {
    let place = Place::new();
    let writer = place.store().connection().unwrap();
    run(&writer, "CREATE TABLE t(x); INSERT INTO t VALUES (1)");
    let reader = by_name(&place, "&immutable=1").unwrap();
    assert_eq!(number(&reader, "SELECT count(*) FROM t"), 1);
    run(&writer, "INSERT INTO t VALUES (2)");
    assert_eq!(number(&reader, "SELECT count(*) FROM t"), 1);
    assert!(reader.execute_batch("INSERT INTO t VALUES (2)").is_err());
}

#[test]
fn what_is_not_there_is_not_made_unless_asked_for() {
    let place = Place::new();
    assert_eq!(code_of(by_name(&place, "&mode=rw")), ffi::SQLITE_CANTOPEN);
    assert_eq!(code_of(by_name(&place, "&mode=ro")), ffi::SQLITE_CANTOPEN);
    assert!(!place.path("app.datasync").exists());
    let error = Database::open_with(place.path("app.datasync"), Options::new().create(false)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    std::fs::write(place.path("letter.txt"), "Dear reader").unwrap();
    let error = datasync::open(place.path("letter.txt")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAStore, "{error}");
    assert_eq!(std::fs::read(place.path("letter.txt")).unwrap(), b"Dear reader");
}

#[test]
fn closing_with_a_connection_open_says_so_and_closes_with_the_last_of_them() {
    let place = Place::new();
    let database = place.store();
    let connection = database.connection().unwrap();
    run(&connection, "CREATE TABLE t(x)");
    assert_eq!(database.close().unwrap_err().kind(), ErrorKind::Busy);
    run(&connection, "INSERT INTO t VALUES (1)");
    drop(connection);
    let plain = Connection::open(place.path("app.datasync/base.db")).unwrap();
    assert_eq!(number(&plain, "SELECT count(*) FROM t"), 1, "closed and folded");
}

#[test]
fn names_with_signs_in_them_are_names() {
    let place = Place::new();
    for name in ["with space", "100%", "a?b=c&d#e", "it's", "\u{e9}t\u{e9}"] {
        let connection = datasync::open(place.path(name)).unwrap();
        run(&connection, "CREATE TABLE t(x); INSERT INTO t VALUES (1)");
        assert!(place.path(name).is_dir(), "{name}");
        let other = datasync::open(place.path(name)).unwrap();
        assert_eq!(number(&other, "SELECT count(*) FROM t"), 1);
    }
}

#[test]
fn the_vfs_is_never_the_default_and_says_its_name() {
    let place = Place::new();
    drop(place.store());
    let plain = Connection::open_with_flags(place.path("plain.db"), OpenFlags::default()).unwrap();
    run(&plain, "CREATE TABLE t(x)");
    assert!(place.path("plain.db").is_file());
    let inside = datasync::open(place.path("app.datasync")).unwrap();
    assert_eq!(text(&inside, "SELECT file LIKE '%app.datasync' FROM pragma_database_list"), "1");
}

#[test]
fn connections_that_share_a_cache_are_told_apart_and_may_be_closed_in_any_order() {
    let place = Place::new();
    let open = || by_name(&place, "&cache=shared").unwrap();
    let (one, two) = (open(), open());
    run(&one, "CREATE TABLE t(x)");
    run(&two, "SELECT * FROM t");
    let refuses = |connection: &Connection| {
        run(connection, "BEGIN; INSERT INTO t VALUES (1)");
        assert!(connection.execute_batch("PRAGMA synchronous=OFF").is_err(), "not in a transaction");
        assert_eq!(text(connection, "PRAGMA datasync_durability"), "durable");
        run(connection, "COMMIT");
    };
    refuses(&one);
    drop(one);
    refuses(&two);
    run(&two, "PRAGMA synchronous=OFF");
    assert_eq!(text(&two, "PRAGMA datasync_durability"), "applied");
}
