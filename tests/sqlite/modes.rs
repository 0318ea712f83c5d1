//! Every page size with every journal mode: the whole life of a small database.

use super::common::{Place, assert_sound, number, run, text};

const PAGE_SIZES: [u32; 8] = [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536];
const JOURNAL_MODES: [&str; 5] = ["delete", "truncate", "persist", "memory", "off"];

fn live(page_size: u32, journal_mode: &str, auto_vacuum: u32) {
    let place = Place::new();
    let what = format!("page_size={page_size} journal_mode={journal_mode} auto_vacuum={auto_vacuum}");
    let database = place.store();
    let connection = database.connection().unwrap();
    run(&connection, &format!("PRAGMA page_size={page_size}; PRAGMA auto_vacuum={auto_vacuum}"));
    assert_eq!(text(&connection, &format!("PRAGMA journal_mode={journal_mode}")), journal_mode, "{what}");
    run(&connection, "PRAGMA cache_size=5; PRAGMA cache_spill=5");
    run(&connection, "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b BLOB); CREATE INDEX i ON t(a)");
    run(
        &connection,
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 1000)
         INSERT INTO t SELECT x, 'row ' || (x * 7919 % 1000), randomblob(x % 300) FROM n",
    );
    assert_eq!(number(&connection, "PRAGMA page_size"), i64::from(page_size), "{what}");
    let sum = "SELECT sum(id * length(b)) + count(*) FROM t";
    let before = number(&connection, sum);
    assert_sound(&connection);

    // Rolled back after spilling pages: as if it had never been.
    run(
        &connection,
        "BEGIN; UPDATE t SET a = a || ' changed', b = zeroblob(1000); DELETE FROM t WHERE id % 3 = 0",
    );
    run(&connection, "ROLLBACK");
    assert_eq!(number(&connection, sum), before, "{what}: after a rollback");
    assert_sound(&connection);

    // Rolled back to a savepoint, then committed. (Without a journal SQLite cannot do this itself.)
    if journal_mode != "off" {
        run(&connection, "BEGIN; DELETE FROM t WHERE id > 900; SAVEPOINT s; UPDATE t SET b = zeroblob(2000)");
        run(&connection, "ROLLBACK TO s; INSERT INTO t VALUES (5000, 'after', zeroblob(10)); COMMIT");
        assert_eq!(number(&connection, "SELECT count(*) FROM t"), 901, "{what}");
        assert_eq!(number(&connection, "SELECT max(length(b)) FROM t"), 299, "{what}");
    }

    run(&connection, "DELETE FROM t WHERE id % 2 = 0; UPDATE t SET b = randomblob(500) WHERE id % 5 = 0");
    let before = number(&connection, sum);
    run(&connection, "VACUUM");
    assert_eq!(number(&connection, sum), before, "{what}: after VACUUM");
    let other = if page_size == 512 { 65536 } else { page_size / 2 };
    run(&connection, &format!("PRAGMA page_size={other}; VACUUM"));
    assert_eq!(number(&connection, "PRAGMA page_size"), i64::from(other), "{what}");
    assert_eq!(number(&connection, sum), before, "{what}: after a change of page size");
    assert_sound(&connection);
    drop(connection);
    database.close().unwrap();

    let database = place.store();
    let connection = database.connection().unwrap();
    assert_eq!(number(&connection, sum), before, "{what}: after reopening");
    assert_sound(&connection);
    drop(connection);
    database.close().unwrap();
    let plain = rusqlite::Connection::open(place.path("app.datasync/base.db")).unwrap();
    assert_eq!(number(&plain, sum), before, "{what}: base.db in plain SQLite");
    assert_sound(&plain);
}

#[test]
fn every_page_size_lives_through_every_journal_mode() {
    for page_size in PAGE_SIZES {
        for journal_mode in JOURNAL_MODES {
            live(page_size, journal_mode, 0);
        }
    }
}

#[test]
fn auto_vacuum_shrinks_the_database_after_the_sync_and_nothing_is_lost() {
    for page_size in [512, 4096, 65536] {
        live(page_size, "delete", 1);
        live(page_size, "delete", 2);
    }
}
