//! Many connections on many threads: no money is made, no commit is lost, nobody starves.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use datasync::Database;
use datasync::backend::memory::{Memory, Request};
use datasync::error::ErrorKind;
use datasync::log::plan::{Area, Op};
use datasync::volume::{Options, Volume};
use rusqlite::Connection;

use super::common::{End, Place, Random, assert_sound, code_of, number, run};

const ACCOUNTS: u64 = 20;
const TOTAL: i64 = 20 * 1000;

fn bank(connection: &Connection) {
    run(connection, "CREATE TABLE account(id INTEGER PRIMARY KEY, money INTEGER, filler BLOB)");
    for id in 0..ACCOUNTS {
        run(connection, &format!("INSERT INTO account VALUES ({id}, 1000, randomblob(700))"));
    }
}

fn transfer(connection: &Connection, random: &mut Random) {
    let (from, to, money) = (random.below(ACCOUNTS), random.below(ACCOUNTS), random.below(50));
    run(connection, "BEGIN IMMEDIATE");
    run(connection, &format!("UPDATE account SET money = money - {money} WHERE id = {from}"));
    run(connection, &format!("UPDATE account SET money = money + {money} WHERE id = {to}"));
    run(connection, if random.below(8) == 0 { "ROLLBACK" } else { "COMMIT" });
}

#[test]
fn transfers_of_many_writers_never_change_the_total_that_readers_see() {
    const WRITERS: u64 = 6;
    const TRANSFERS: u64 = 60;
    let place = Place::new();
    let database = place.store();
    bank(&database.connection().unwrap());
    let done = AtomicBool::new(false);
    let reads = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let _end = End(&done);
        for _ in 0..2 {
            let reader = database.connection().unwrap();
            let (done, reads) = (&done, &reads);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    run(&reader, "BEGIN");
                    let first = number(&reader, "SELECT sum(money) FROM account");
                    std::thread::yield_now();
                    assert_eq!(
                        number(&reader, "SELECT sum(money) FROM account WHERE filler NOT NULL"),
                        first
                    );
                    run(&reader, "COMMIT");
                    assert_eq!(first, TOTAL);
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let writers: Vec<_> = (0..WRITERS)
            .map(|seed| {
                let writer = database.connection().unwrap();
                writer.busy_timeout(Duration::from_secs(60)).unwrap();
                scope.spawn(move || {
                    let mut random = Random(seed);
                    for _ in 0..TRANSFERS {
                        transfer(&writer, &mut random);
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
    });
    assert!(reads.into_inner() > 0);
    let connection = database.connection().unwrap();
    assert_eq!(number(&connection, "SELECT sum(money) FROM account"), TOTAL);
    assert_sound(&connection);
    drop(connection);
    database.close().unwrap();
    let plain = Connection::open(place.path("app.datasync/base.db")).unwrap();
    assert_eq!(number(&plain, "SELECT sum(money) FROM account"), TOTAL);
    assert_sound(&plain);
}

#[test]
fn every_commit_of_every_thread_is_there_and_visible_to_its_own_connection_at_once() {
    const THREADS: i64 = 8;
    const EACH: i64 = 40;
    let place = Place::new();
    let database = place.store();
    run(&database.connection().unwrap(), "CREATE TABLE t(thread, number)");
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let connection = database.connection().unwrap();
            connection.busy_timeout(Duration::from_secs(60)).unwrap();
            scope.spawn(move || {
                if thread % 2 == 1 {
                    run(&connection, "PRAGMA synchronous=NORMAL");
                }
                for at in 0..EACH {
                    run(&connection, &format!("INSERT INTO t VALUES ({thread}, {at})"));
                    let own = format!("SELECT count(*) FROM t WHERE thread = {thread}");
                    assert_eq!(number(&connection, &own), at + 1, "a connection sees its own commits");
                }
            });
        }
    });
    assert_eq!(number(&database.connection().unwrap(), "SELECT count(*) FROM t"), THREADS * EACH);
}

#[test]
fn writers_share_barriers() {
    const THREADS: u64 = 8;
    const EACH: u64 = 30;
    let volume = Volume::open(slow(), Options::new()).unwrap();
    let database = Database::over(volume).unwrap();
    run(&database.connection().unwrap(), "CREATE TABLE t(x)");
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            let connection = database.connection().unwrap();
            connection.busy_timeout(Duration::from_secs(60)).unwrap();
            scope.spawn(move || {
                for at in 0..EACH {
                    run(&connection, &format!("INSERT INTO t VALUES ({at})"));
                }
            });
        }
    });
    assert_eq!(number(&database.connection().unwrap(), "SELECT count(*) FROM t"), 240);
    let stats = database.stats();
    // How many share one is up to the machine: that one serves all before it is a promise of the volume.
    assert!(stats.barriers < stats.commits, "{} barriers for {} commits", stats.barriers, stats.commits);
}

/// Memory whose barriers take as long as those of a disk.
fn slow() -> Memory {
    Memory::new().with_hook(|request| {
        if matches!(request, Request::Apply(Op::Barrier(Area::Segment(_)))) {
            // A head start for the others, so that they meet.
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    })
}

fn small_log() -> Options {
    let segment = 256 << 10;
    let options = Options::new().segment_bytes(segment).reserve_bytes(64 << 10).log_cap_bytes(2 * segment);
    options.spill_bytes(64 << 10)
}

#[test]
fn writers_with_a_full_log_go_on_as_it_is_folded() {
    let place = Place::new();
    let database = place.store_with(small_log());
    run(&database.connection().unwrap(), "CREATE TABLE t(thread, b)");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let connection = database.connection().unwrap();
            connection.busy_timeout(Duration::from_secs(60)).unwrap();
            scope.spawn(move || {
                run(&connection, "PRAGMA cache_size=5");
                for at in 0..60 {
                    let (rows, sql) = (1 + at % 9, "INSERT INTO t SELECT ?1, randomblob(3000) FROM n");
                    let many = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < ?2)";
                    connection.execute(&format!("{many} {sql}"), [thread, rows]).unwrap();
                }
            });
        }
    });
    let connection = database.connection().unwrap();
    assert_eq!(number(&connection, "SELECT count(*) FROM t"), 4 * (0..60).map(|at| 1 + at % 9).sum::<i64>());
    assert_sound(&connection);
    let stats = database.stats();
    assert!(stats.folds > 3 && stats.log_bytes < 4 << 20, "{stats:?}");
}

#[test]
fn a_reader_that_holds_a_full_log_is_expired_and_reads_anew() {
    let place = Place::new();
    let database = place.store_with(small_log().reader_patience(Duration::from_millis(100)));
    let (writer, reader) = (database.connection().unwrap(), database.connection().unwrap());
    run(&writer, "CREATE TABLE t(x, b)");
    let fill = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 100)
                INSERT INTO t SELECT x, randomblob(3000) FROM n";
    run(&writer, fill);
    run(&reader, "PRAGMA cache_size=5; BEGIN");
    assert_eq!(number(&reader, "SELECT count(*) FROM t"), 100);
    for _ in 0..10 {
        run(&writer, fill);
        run(&writer, "DELETE FROM t WHERE rowid % 2");
    }
    let sum = "SELECT sum(length(b)) FROM t";
    let expired = reader.query_row(sum, [], |row| row.get::<_, i64>(0));
    assert_eq!(code_of(expired), rusqlite::ffi::SQLITE_BUSY_SNAPSHOT);
    assert_eq!(datasync::vfs::last_error().unwrap().kind(), ErrorKind::Expired);
    run(&reader, "ROLLBACK");
    assert_eq!(number(&reader, sum), number(&writer, sum));
    assert_sound(&reader);
}

#[test]
fn opening_and_closing_from_many_threads_at_once_is_one_volume_after_the_other() {
    let place = Place::new();
    drop(place.store());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let path = place.path("app.datasync");
            scope.spawn(move || {
                for round in 0..15 {
                    let connection = datasync::open(&path).unwrap();
                    connection.busy_timeout(Duration::from_secs(60)).unwrap();
                    run(&connection, "CREATE TABLE IF NOT EXISTS t(x)");
                    run(&connection, &format!("INSERT INTO t VALUES ({})", thread * 100 + round));
                }
            });
        }
    });
    let connection = datasync::open(place.path("app.datasync")).unwrap();
    assert_eq!(number(&connection, "SELECT count(DISTINCT x) FROM t"), 60);
}
