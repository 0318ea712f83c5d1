//! When the medium fails: the right code, words to read, and nothing acknowledged lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use datasync::Database;
use datasync::backend::memory::{Memory, Request};
use datasync::error::{Error, ErrorKind};
use datasync::log::plan::Op;
use datasync::volume::{Options, Volume};
use rusqlite::ffi;

use super::common::{assert_sound, code_of, number, run, text};

const FINE: u8 = 0;
const BARRIERS_FAIL: u8 = 1;
const READS_PANIC: u8 = 2;

/// Memory that misbehaves as its mood says.
struct Moody {
    memory: Memory,
    mood: Arc<AtomicU8>,
}

impl Moody {
    fn new() -> Self {
        let mood = Arc::new(AtomicU8::new(FINE));
        let now = Arc::clone(&mood);
        let memory = Memory::new().with_hook(move |request| match (now.load(Ordering::SeqCst), request) {
            (BARRIERS_FAIL, Request::Apply(Op::Barrier(_))) => {
                Err(Error::new(ErrorKind::Io, "the planted barrier failure"))
            }
            (READS_PANIC, Request::Read(_)) => panic!("a planted panic"),
            _ => Ok(()),
        });
        Self { memory, mood }
    }

    fn set(&self, mood: u8) {
        self.mood.store(mood, Ordering::SeqCst);
    }

    fn database(&self) -> Database {
        let volume = Volume::open(self.memory.clone(), Options::new().background(false));
        Database::over(volume.unwrap()).unwrap()
    }
}

const MANY: &str = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 2000)
                    INSERT INTO t SELECT x, randomblob(1000) FROM n";

#[test]
fn out_of_space_is_full_and_the_database_is_as_it_was() {
    let settings = [
        "PRAGMA cache_size=1000",
        "PRAGMA cache_size=5",
        "PRAGMA cache_size=5; PRAGMA journal_mode=off",
        "PRAGMA cache_size=1000; PRAGMA locking_mode=EXCLUSIVE",
        "PRAGMA cache_size=5; PRAGMA locking_mode=EXCLUSIVE",
    ];
    for cache in settings {
        let memory = Memory::new();
        let volume = Volume::open(memory.clone(), Options::new().background(false)).unwrap();
        let database = Database::over(volume).unwrap();
        let connection = database.connection().unwrap();
        run(&connection, &format!("{cache}; CREATE TABLE t(x, y); INSERT INTO t VALUES (0, NULL)"));
        for _ in 0..3 {
            memory.set_limit(Some(memory.used()));
            assert_eq!(code_of(connection.execute_batch(MANY)), ffi::SQLITE_FULL);
            assert_eq!(number(&connection, "SELECT count(*) FROM t"), 1, "{cache}");
            if !cache.contains("EXCLUSIVE") {
                assert_eq!(number(&database.connection().unwrap(), "SELECT count(*) FROM t"), 1, "{cache}");
            }
            memory.set_limit(None);
        }
        run(&connection, MANY);
        assert_eq!(number(&connection, "SELECT count(*) FROM t"), 2001);
        assert_sound(&connection);
    }
}

#[test]
fn a_failed_barrier_ends_the_opening_and_the_next_one_finds_a_whole_database() {
    let medium = Moody::new();
    let database = medium.database();
    let (connection, other) = (database.connection().unwrap(), database.connection().unwrap());
    run(&connection, "CREATE TABLE t(x, y); INSERT INTO t VALUES (0, NULL)");
    assert_eq!(number(&other, "SELECT count(*) FROM t"), 1);
    medium.set(BARRIERS_FAIL);
    let code = code_of(connection.execute_batch("INSERT INTO t VALUES (1, 1)"));
    assert_eq!(code & 0xff, ffi::SQLITE_IOERR);
    let error = database.last_error().expect("it is kept");
    assert!(
        matches!(error.kind(), ErrorKind::Poisoned | ErrorKind::Indeterminate(_) | ErrorKind::Io),
        "{error:?}"
    );
    let said = text(&connection, "PRAGMA datasync_error");
    assert!(said.contains("may or may not survive"), "whatever SQLite did behind it: {said}");
    medium.set(FINE);
    for connection in [&connection, &other] {
        let code = code_of(connection.execute_batch("SELECT * FROM t"));
        assert_eq!(code & 0xff, ffi::SQLITE_IOERR, "a file belongs to one life of the volume");
        assert_eq!(
            code_of(connection.execute_batch("INSERT INTO t VALUES (2, 2)")) & 0xff,
            ffi::SQLITE_IOERR
        );
    }
    drop((connection, other, database));
    let database = medium.database();
    let connection = database.connection().unwrap();
    let rows = number(&connection, "SELECT count(*) FROM t");
    assert!(rows == 1 || rows == 2, "the commit that failed is there or it is not: {rows}");
    run(&connection, "INSERT INTO t VALUES (3, 3)");
    assert_sound(&connection);
}

#[test]
fn a_panic_below_is_an_io_error_in_sqlite_and_not_the_end_of_the_process() {
    let medium = Moody::new();
    let database = medium.database();
    let connection = database.connection().unwrap();
    run(&connection, "CREATE TABLE t(x, y)");
    run(&connection, MANY);
    let fresh = database.connection().unwrap();
    medium.set(READS_PANIC);
    let code = code_of(fresh.query_row("SELECT sum(length(y)) FROM t", [], |row| row.get::<_, i64>(0)));
    assert_eq!(code & 0xff, ffi::SQLITE_IOERR);
    assert!(datasync::vfs::last_error().unwrap().to_string().contains("planted panic"));
    medium.set(FINE);
    assert_eq!(code_of(connection.execute_batch("INSERT INTO t VALUES (1, 1)")) & 0xff, ffi::SQLITE_IOERR);
}

#[test]
fn a_transaction_larger_than_the_spill_bound_commits_whole_and_rolls_back_whole() {
    let volume =
        Volume::open(Memory::new(), Options::new().background(false).spill_bytes(256 << 10)).unwrap();
    let database = Database::over(volume.clone()).unwrap();
    let connection = database.connection().unwrap();
    run(&connection, "PRAGMA cache_size=5; CREATE TABLE t(x, y)");
    run(&connection, &format!("BEGIN; {MANY}"));
    assert_eq!(number(&connection, "SELECT count(*) FROM t"), 2000);
    run(&connection, "ROLLBACK");
    assert_eq!(number(&connection, "SELECT count(*) FROM t"), 0);
    run(&connection, &format!("BEGIN; {MANY}; UPDATE t SET y = randomblob(900) WHERE x % 2; COMMIT"));
    assert_eq!(number(&connection, "SELECT sum(length(y)) FROM t"), 1000 * 1000 + 1000 * 900);
    assert_sound(&connection);
    drop((connection, database));
    volume.close().unwrap();
}
