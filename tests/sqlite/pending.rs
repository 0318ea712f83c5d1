//! A commit whose barrier is still under way: who may see it, and what they are told if it fails.

use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use datasync::Database;
use datasync::backend::memory::{Memory, Request};
use datasync::error::{Error, ErrorKind, Result};
use datasync::log::plan::{Area, Op};
use datasync::volume::{Options, Volume};
use rusqlite::{Connection, ffi};

use super::common::{code_of, number, run};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, PartialEq)]
enum Barriers {
    Pass,
    Wait,
    Fail,
    Panic,
}

/// What barriers on the log do, and how many wait to be told something else.
#[derive(Clone)]
struct Gate(Arc<(Mutex<(Barriers, u32)>, Condvar)>);

impl Gate {
    /// A database with one row in `t`, and a connection to it.
    fn database() -> (Self, Database, Connection) {
        let gate = Self(Arc::new((Mutex::new((Barriers::Pass, 0)), Condvar::new())));
        let own = gate.clone();
        let memory = Memory::new().with_hook(move |request| match request {
            Request::Apply(Op::Barrier(Area::Segment(_))) => own.barrier(),
            _ => Ok(()),
        });
        let volume = Volume::open(memory, Options::new().background(false)).unwrap();
        let database = Database::over(volume).unwrap();
        let connection = database.connection().unwrap();
        run(&connection, "CREATE TABLE t(x); INSERT INTO t VALUES (0)");
        (gate, database, connection)
    }

    fn set(&self, barriers: Barriers) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).0 = barriers;
        self.0.1.notify_all();
    }

    /// Until somebody's barrier waits.
    fn reached(&self) {
        let state = self.0.0.lock().unwrap();
        drop(self.0.1.wait_timeout_while(state, LONG, |(_, waiting)| *waiting == 0).unwrap());
    }

    fn barrier(&self) -> Result<()> {
        let mut state = self.0.0.lock().unwrap();
        state.1 += 1;
        self.0.1.notify_all();
        let mut state = self.0.1.wait_while(state, |(barriers, _)| *barriers == Barriers::Wait).unwrap();
        state.1 -= 1;
        match state.0 {
            Barriers::Fail => Err(Error::new(ErrorKind::Io, "the planted barrier failure")),
            Barriers::Panic => panic!("a planted panic"),
            Barriers::Pass | Barriers::Wait => Ok(()),
        }
    }
}

/// Runs `sql` in a thread of its own; its code comes when it has ended.
fn begun(connection: Connection, sql: &'static str) -> Receiver<i32> {
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let code = match connection.execute_batch(sql) {
            Ok(()) => ffi::SQLITE_OK,
            error => code_of(error),
        };
        let _ = tell.send(code);
    });
    told
}

fn failed(told: &Receiver<i32>) -> bool {
    told.recv_timeout(LONG).expect("it ends") & 0xff == ffi::SQLITE_IOERR
}

#[test]
fn a_write_transaction_that_saw_a_commit_in_doubt_is_not_acknowledged_before_it() {
    for write in ["", "; UPDATE t SET x = 7 WHERE x = 8"] {
        let (gate, database, connection) = Gate::database();
        let other = database.connection().unwrap();
        gate.set(Barriers::Wait);
        let commit = begun(connection, "INSERT INTO t VALUES (1)");
        gate.reached();
        run(&other, &format!("BEGIN IMMEDIATE{write}"));
        assert_eq!(number(&other, "SELECT count(*) FROM t"), 2, "a writer builds on the newest commit");
        let seen = begun(other, "COMMIT");
        assert!(seen.recv_timeout(Duration::from_millis(200)).is_err(), "it waits");
        gate.set(Barriers::Fail);
        assert!(failed(&commit) && failed(&seen), "what it saw may be gone");
    }
}

#[test]
fn a_read_after_a_refused_write_shows_acknowledged_commits_only() {
    for read in ["SELECT * FROM t", "PRAGMA user_version", "PRAGMA locking_mode=EXCLUSIVE; SELECT * FROM t"] {
        let (gate, database, connection) = Gate::database();
        let other = database.connection().unwrap();
        other.busy_timeout(Duration::ZERO).unwrap();
        assert_eq!(number(&other, "SELECT count(*) FROM t"), 1);
        gate.set(Barriers::Wait);
        let commit = begun(connection, "PRAGMA user_version=1; INSERT INTO t VALUES (1)");
        gate.reached();
        let refused = code_of(other.execute_batch("INSERT INTO t VALUES (2)"));
        assert_eq!(refused, ffi::SQLITE_BUSY, "its snapshot is not the newest");
        let seen = begun(other, read);
        assert!(seen.recv_timeout(Duration::from_millis(200)).is_err(), "{read} waits");
        gate.set(Barriers::Fail);
        assert!(failed(&commit) && failed(&seen), "{read}: what it would have shown may be gone");
    }
}

#[test]
fn a_panic_in_the_barrier_of_one_is_told_to_all_who_wait_for_it() {
    let (gate, database, connection) = Gate::database();
    let others = [database.connection().unwrap(), database.connection().unwrap()];
    gate.set(Barriers::Wait);
    let first = begun(connection, "INSERT INTO t VALUES (1)");
    gate.reached();
    let others = others.map(|other| begun(other, "INSERT INTO t VALUES (2)"));
    let newest = database.volume().clone();
    while newest.committed_lsn().0 < 5 {
        std::thread::yield_now();
    }
    gate.set(Barriers::Panic);
    assert!(failed(&first) && others.iter().all(failed));
    assert!(newest.sync().is_err(), "no barrier is believed after it");
}

#[test]
fn a_part_of_a_transaction_over_two_stores_is_shown_to_nobody_before_the_other() {
    for ends in [Barriers::Pass, Barriers::Fail] {
        let (gate, second, connection) = Gate::database();
        let first = Database::over(Volume::open(Memory::new(), Options::new()).unwrap()).unwrap();
        let place = super::common::Place::new();
        let main = datasync::open(place.path("main")).unwrap();
        run(&main, &format!("ATTACH '{}' AS a; ATTACH '{}' AS b", first.name(), second.name()));
        run(&main, "CREATE TABLE a.u(x)");
        drop(connection);
        let other = first.connection().unwrap();
        other.busy_timeout(Duration::ZERO).unwrap();
        gate.set(Barriers::Wait);
        let commit = begun(main, "BEGIN; INSERT INTO u VALUES (1); INSERT INTO t VALUES (1); COMMIT");
        gate.reached();
        let count = "SELECT count(*) FROM u";
        assert_eq!(number(&other, count), 0, "it may be taken back");
        assert_eq!(code_of(other.execute_batch("BEGIN IMMEDIATE")), ffi::SQLITE_BUSY);
        assert_eq!(number(&other, count), 0, "it still may");
        assert_eq!(number(&first.connection().unwrap(), count), 0);
        gate.set(ends);
        let done = commit.recv_timeout(LONG).unwrap() == ffi::SQLITE_OK;
        assert_eq!(done, ends == Barriers::Pass);
        assert_eq!(number(&other, count), i64::from(done));
        run(&other, "INSERT INTO u VALUES (2)");
    }
}
