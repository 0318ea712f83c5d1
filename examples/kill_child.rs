//! The two child programs of `cargo xtask kill`: a writer that is made to die, and a checker.
//!
//! `kill_child write STORE SCENARIO` commits until it is killed and prints `ack WRITER TXN` after each
//! commit that it was told is durable. `kill_child check STORE [--leave] [WRITER=TXN:TXN ...]` opens what is
//! left and compares: at least the first number's transactions must be there, at most the second's, each whole.
//!
//! A transaction writes several rows that name how many they are, moves money between two accounts and
//! deletes the writer's transaction of [`KEPT`] before, so the database stays small over many lives.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use datasync::db::Database;
use datasync::volume::Options;
use rusqlite::{Connection, params};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const KEPT: i64 = 60;
const ACCOUNTS: i64 = 20;
const BALANCE: i64 = 1000;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS entry(writer INTEGER, txn INTEGER, part INTEGER, parts INTEGER NOT NULL, payload BLOB,
                   PRIMARY KEY(writer, txn, part)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entry_by_part ON entry(part, writer);
CREATE TABLE IF NOT EXISTS account(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
";

/// What the writer does.
#[derive(Clone, Copy)]
struct Scenario {
    writers: i64,
    parts: i64,
    payload: i64,
    compacting: bool,
}

impl Scenario {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "rows" => Self { writers: 1, parts: 2, payload: 300, compacting: false },
            "large" => Self { writers: 1, parts: 300, payload: 20_000, compacting: false },
            "writers" => Self { writers: 4, parts: 4, payload: 500, compacting: false },
            "compaction" => Self { writers: 2, parts: 20, payload: 3000, compacting: true },
            _ => return None,
        })
    }
}

/// Small bounds, so that segments change, batches spill and the log fills within a second.
fn options() -> Options {
    Options::new().segment_bytes(1 << 20).log_cap_bytes(16 << 20).spill_bytes(256 << 10)
}

/// Bytes that only (writer, txn, part) decide: SplitMix64 over their mix.
fn payload(writer: i64, txn: i64, part: i64, most: i64) -> Vec<u8> {
    let mut state = (writer as u64) << 48 ^ (txn as u64) << 16 ^ part as u64;
    let mut roll = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let len = 8 + usize::try_from(roll() % most as u64).expect("a small length");
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&roll().to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

fn prepare(db: &Connection) -> Outcome<()> {
    db.execute_batch("BEGIN IMMEDIATE")?;
    db.execute_batch(SCHEMA)?;
    for id in 0..ACCOUNTS {
        db.execute("INSERT OR IGNORE INTO account VALUES (?1, ?2)", params![id, BALANCE])?;
    }
    db.execute_batch("COMMIT")?;
    Ok(())
}

fn transaction(db: &Connection, scenario: Scenario, writer: i64, txn: i64) -> Outcome<()> {
    db.execute_batch("BEGIN IMMEDIATE")?;
    let parts = 1 + (txn * 7 + writer) % scenario.parts;
    let mut insert = db.prepare("INSERT INTO entry VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for part in 0..parts {
        insert.execute(params![writer, txn, part, parts, payload(writer, txn, part, scenario.payload)])?;
    }
    db.execute("DELETE FROM entry WHERE writer = ?1 AND txn <= ?2", params![writer, txn - KEPT])?;
    let amount = txn % 97;
    let (from, to) = ((txn * 3 + writer) % ACCOUNTS, (txn * 5 + 1) % ACCOUNTS);
    db.execute("UPDATE account SET balance = balance - ?1 WHERE id = ?2", params![amount, from])?;
    db.execute("UPDATE account SET balance = balance + ?1 WHERE id = ?2", params![amount, to])?;
    db.execute_batch("COMMIT")?;
    Ok(())
}

fn write_for_ever(database: &Database, scenario: Scenario, writer: i64) -> Outcome<()> {
    let db = database.connection()?;
    db.busy_timeout(Duration::from_secs(30))?;
    db.execute_batch("PRAGMA synchronous=FULL; PRAGMA cache_size=-512")?;
    let mut txn: i64 =
        db.query_row("SELECT coalesce(max(txn), 0) FROM entry WHERE writer = ?1", [writer], |row| {
            row.get(0)
        })?;
    loop {
        txn += 1;
        transaction(&db, scenario, writer, txn)?;
        // One line, one write: the parent never sees half an acknowledgement.
        std::io::stdout().write_all(format!("ack {writer} {txn}\n").as_bytes())?;
    }
}

fn write(store: &Path, scenario: Scenario) -> Outcome<()> {
    let database = Database::open_with(store, options())?;
    prepare(&database.connection()?)?;
    println!("ready {:?}", database.recovery().kind);
    std::thread::scope(|scope| {
        let mut lives = Vec::new();
        for writer in 0..scenario.writers {
            let database = &database;
            lives.push(scope.spawn(move || write_for_ever(database, scenario, writer)));
        }
        if scenario.compacting {
            let database = &database;
            lives.push(scope.spawn(move || {
                loop {
                    database.compact()?;
                }
            }));
        }
        for life in lives {
            if let Err(error) = life.join().expect("a writer panicked") {
                eprintln!("writer: {error}");
                std::process::exit(3);
            }
        }
    });
    Ok(())
}

/// The transactions of one writer that are there, checked part by part.
fn check_writer(db: &Connection, writer: i64) -> Outcome<i64> {
    let mut statement =
        db.prepare("SELECT txn, part, parts, payload FROM entry WHERE writer = ?1 ORDER BY txn, part")?;
    let mut rows = statement.query([writer])?;
    let mut open: Option<(i64, i64, i64)> = None;
    let mut seen = Vec::new();
    while let Some(row) = rows.next()? {
        let (txn, part, parts): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let bytes: Vec<u8> = row.get(3)?;
        let expected = match open {
            Some((same, last, of)) if same == txn && of == parts => last + 1,
            Some((_, last, of)) if last + 1 != of => {
                return Err(
                    format!("torn: writer {writer} has {} of {of} rows before txn {txn}", last + 1).into()
                );
            }
            _ => 0,
        };
        let whole =
            [300, 500, 3000, 20_000].into_iter().any(|most| payload(writer, txn, part, most) == bytes);
        if part != expected || !whole {
            return Err(format!(
                "wrong row: writer {writer} txn {txn} part {part}, expected part {expected}"
            )
            .into());
        }
        if part == 0 {
            seen.push(txn);
        }
        open = Some((txn, part, parts));
    }
    if let Some((txn, last, of)) = open.filter(|(_, last, of)| last + 1 != *of) {
        return Err(format!("torn: writer {writer} txn {txn} has {} of {of} rows", last + 1).into());
    }
    let newest = seen.last().copied().unwrap_or(0);
    let wanted: Vec<i64> = ((newest - KEPT).max(0) + 1..=newest).collect();
    if seen != wanted {
        return Err(format!("gap: writer {writer} has transactions {seen:?}").into());
    }
    Ok(newest)
}

fn check(store: &Path, leave: bool, bounds: &BTreeMap<i64, (i64, i64)>) -> Outcome<()> {
    let database = Database::open_with(store, options())?;
    let recovery = format!("{:?}", database.recovery().kind);
    let db = database.connection()?;
    let verdict: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(format!("integrity_check: {verdict}").into());
    }
    let tables: i64 =
        db.query_row("SELECT count(*) FROM sqlite_schema WHERE name IN ('entry', 'account')", [], |row| {
            row.get(0)
        })?;
    let mut found = String::new();
    if tables == 2 {
        let total: i64 =
            db.query_row("SELECT coalesce(sum(balance), 0) FROM account", [], |row| row.get(0))?;
        if total != ACCOUNTS * BALANCE {
            return Err(format!("torn: the accounts hold {total}, not {}", ACCOUNTS * BALANCE).into());
        }
        for (writer, (least, most)) in bounds {
            let newest = check_writer(&db, *writer)?;
            if newest < *least {
                return Err(
                    format!("lost: writer {writer} ends at {newest}, {least} was acknowledged").into()
                );
            }
            if newest > *most {
                return Err(
                    format!("phantom: writer {writer} ends at {newest}, {most} was the last begun").into()
                );
            }
            found.push_str(&format!(" {writer}={newest}"));
        }
    } else if tables == 1 || bounds.values().any(|(least, _)| *least > 0) {
        return Err(format!("lost: {tables} of 2 tables are there").into());
    }
    drop(db);
    if !leave {
        database.close()?;
        let plain = Connection::open(store.join("base.db"))?;
        let verdict: String = plain.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(format!("integrity_check of base.db by plain SQLite: {verdict}").into());
        }
    }
    println!("found {recovery}{found}");
    std::io::stdout().flush()?;
    // Left as a crash leaves it: no destructor runs, the next life recovers once more.
    if leave { std::process::exit(0) } else { Ok(()) }
}

fn bounds(args: &[String]) -> Option<BTreeMap<i64, (i64, i64)>> {
    args.iter()
        .filter(|arg| !arg.starts_with('-'))
        .map(|arg| {
            let (writer, range) = arg.split_once('=')?;
            let (least, most) = range.split_once(':')?;
            Some((writer.parse().ok()?, (least.parse().ok()?, most.parse().ok()?)))
        })
        .collect()
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match (args.first().map(String::as_str), args.get(1), args.get(2)) {
        (Some("write"), Some(store), Some(name)) => match Scenario::named(name) {
            Some(scenario) => write(Path::new(store), scenario),
            None => Err(format!("no scenario {name}").into()),
        },
        (Some("check"), Some(store), _) => match bounds(&args[2..]) {
            Some(bounds) => check(Path::new(store), args.iter().any(|arg| arg == "--leave"), &bounds),
            None => Err("bounds are WRITER=LEAST:MOST".into()),
        },
        _ => {
            Err("usage: kill_child write STORE SCENARIO | check STORE [--leave] [WRITER=LEAST:MOST ...]"
                .into())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
