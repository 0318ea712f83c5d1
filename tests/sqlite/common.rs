//! What the suites share: stores in a temporary directory, small words for SQL, a seeded generator.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use datasync::Database;
use datasync::volume::Options;
use rusqlite::Connection;
use rusqlite::types::Value;

/// A directory with a store in it; both go when it is dropped.
pub struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("temporary directories have plain names").to_owned()
    }

    pub fn store(&self) -> Database {
        Database::open(self.path("app.datasync")).expect("a store opens")
    }

    pub fn store_with(&self, options: Options) -> Database {
        Database::open_with(self.path("app.datasync"), options).expect("a store opens")
    }
}

/// Ends the writers when the test ends, however it does.
pub struct End<'a>(pub &'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs SQL and panics with it when it fails.
#[track_caller]
pub fn run(connection: &Connection, sql: &str) {
    if let Err(error) = connection.execute_batch(sql) {
        panic!("{sql}: {error:?}; {:?}", datasync::vfs::last_error());
    }
}

/// The one number of the one row.
#[track_caller]
pub fn number(connection: &Connection, sql: &str) -> i64 {
    match connection.query_row(sql, [], |row| row.get(0)) {
        Ok(number) => number,
        Err(error) => panic!("{sql}: {error:?}; {:?}", datasync::vfs::last_error()),
    }
}

/// The one text of the one row.
#[track_caller]
pub fn text(connection: &Connection, sql: &str) -> String {
    match connection.query_row(sql, [], |row| row.get::<_, Value>(0)) {
        Ok(Value::Text(text)) => text,
        Ok(Value::Integer(number)) => number.to_string(),
        Ok(other) => panic!("{sql}: {other:?}"),
        Err(error) => panic!("{sql}: {error:?}; {:?}", datasync::vfs::last_error()),
    }
}

#[track_caller]
pub fn assert_sound(connection: &Connection) {
    assert_eq!(text(connection, "PRAGMA integrity_check"), "ok");
}

/// The extended code of a failure.
#[track_caller]
pub fn code_of<T: std::fmt::Debug>(result: rusqlite::Result<T>) -> i32 {
    match result {
        Err(rusqlite::Error::SqliteFailure(failure, _)) => failure.extended_code,
        other => panic!("a failure of SQLite's was expected, not {other:?}"),
    }
}

/// Everything in a database as text: the schema and every row of every table, in a fixed order.
pub fn dump(connection: &Connection) -> String {
    let mut out = String::new();
    let mut tables = Vec::new();
    let mut schema = connection
        .prepare("SELECT type, name, coalesce(sql, '') FROM sqlite_schema ORDER BY type, name")
        .expect("the schema reads");
    let mut rows = schema.query([]).expect("the schema reads");
    while let Some(row) = rows.next().expect("the schema reads") {
        let (kind, name, sql): (String, String, String) =
            (row.get(0).unwrap(), row.get(1).unwrap(), row.get(2).unwrap());
        out.push_str(&format!("{kind} {name}: {sql}\n"));
        if kind == "table" {
            tables.push(name);
        }
    }
    for table in tables {
        let mut all =
            connection.prepare(&format!("SELECT rowid, * FROM \"{table}\" ORDER BY rowid")).unwrap();
        let columns = all.column_count();
        let mut rows = all.query([]).unwrap();
        while let Some(row) = rows.next().unwrap_or_else(|error| panic!("{table}: {error:?}")) {
            let values: Vec<Value> = (0..columns).map(|at| row.get(at).unwrap()).collect();
            out.push_str(&format!("{table} {values:?}\n"));
        }
    }
    out
}

/// A small generator (SplitMix64), so that a seed is a test.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
