//! The fifth target: the same SQL on this VFS and on SQLite's own.

use datasync::Database;
use datasync::backend::memory::Memory;
use datasync::volume::{Options, Volume};
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::choices::{Bytes, Choices};
use crate::violation::{Checked, Violation, ensure};

/// Most statements of one run.
const STATEMENTS: usize = 40;

/// The statements that the bytes spell, on both: they fail on both or on neither, and leave the same.
pub fn vfs_vs_sqlite(data: &[u8]) -> Checked<()> {
    let mut bytes = Bytes(data);
    let segment = 64 << (10 + bytes.below(3));
    let options = Options::new().background(false).segment_bytes(segment).log_cap_bytes(4 * segment);
    let options = options.reserve_bytes(32 << 10).spill_bytes(segment / 4);
    let memory = Memory::new();
    let mut volume = open(&memory, &options)?;
    let plain = Connection::open_in_memory().map_err(|error| broken(&error))?;
    let mut inside = connect(&volume)?;
    let mut spelled = start(&mut bytes);
    for connection in [&plain, &inside] {
        connection.execute_batch(&spelled).map_err(|error| broken(&error))?;
    }
    for _ in 0..STATEMENTS {
        if bytes.is_over() {
            break;
        }
        if bytes.below(16) == 0 && plain.is_autocommit() {
            drop(inside);
            if bytes.chance(1, 2) {
                volume.close().map_err(|error| Violation::new("I9 progress", error.to_string()))?;
            }
            // Else the process dies here: nothing but the log is left.
            drop(volume);
            volume = open(&memory, &options)?;
            inside = connect(&volume)?;
            spelled.push_str("\n-- opened again");
        }
        let sql = statement(&mut bytes);
        spelled.push_str(&format!("\n{sql}"));
        let (expected, got) = (plain.execute_batch(&sql), inside.execute_batch(&sql));
        ensure(got.is_ok() == expected.is_ok(), "SQL", || format!("{expected:?}, here {got:?}:\n{spelled}"))?;
    }
    for connection in [&plain, &inside] {
        if !connection.is_autocommit() {
            connection.execute_batch("COMMIT").map_err(|error| broken(&error))?;
        }
    }
    let (expected, got) = (dump(&plain)?, dump(&inside)?);
    ensure(expected == got, "SQL", || {
        format!("plain SQLite has\n{expected}\nhere is\n{got}\nafter {spelled}")
    })
}

fn open(memory: &Memory, options: &Options) -> Checked<Volume> {
    Volume::open(memory.clone(), options.clone())
        .map_err(|error| Violation::new("I7 no false alarm", error.to_string()))
}

fn connect(volume: &Volume) -> Checked<Connection> {
    let opened = Database::over(volume.clone()).and_then(|database| database.connection());
    opened.map_err(|error| Violation::new("I9 progress", error.to_string()))
}

fn broken(error: &rusqlite::Error) -> Violation {
    Violation::new("SQL", error.to_string())
}

fn start(bytes: &mut Bytes<'_>) -> String {
    let size = 512 << bytes.below(8);
    let (vacuum, cache) = (bytes.below(3), 3 + bytes.below(20));
    format!("PRAGMA page_size={size}; PRAGMA auto_vacuum={vacuum}; PRAGMA cache_size={cache}")
}

fn statement(bytes: &mut Bytes<'_>) -> String {
    let kind = bytes.below(22);
    let (table, id, size) = (bytes.below(2), bytes.below(200), bytes.below(5000));
    match kind {
        0 => format!("CREATE TABLE IF NOT EXISTS t{table}(id INTEGER PRIMARY KEY, a TEXT, b BLOB)"),
        1 => format!("CREATE INDEX IF NOT EXISTS i{table} ON t{table}(a)"),
        2 => format!("DROP INDEX IF EXISTS i{table}"),
        3 => format!("DROP TABLE IF EXISTS t{table}"),
        4..=6 => format!("INSERT OR REPLACE INTO t{table} VALUES ({id}, 'text {size}', zeroblob({size}))"),
        7 | 8 => format!(
            "WITH RECURSIVE n(x) AS (SELECT {id} UNION ALL SELECT x + 1 FROM n WHERE x < {id} + 40)
             INSERT OR IGNORE INTO t{table} SELECT x, hex(x * {size}), zeroblob(x % {}) FROM n",
            size + 1
        ),
        9 => format!("UPDATE t{table} SET a = a || '+', b = zeroblob({size}) WHERE id % 7 = {}", id % 7),
        10 => format!("DELETE FROM t{table} WHERE id BETWEEN {id} AND {id} + 50"),
        11 => format!("INSERT INTO t{table} SELECT id + 1000, a, b FROM t{} WHERE id < 5", 1 - table),
        12 | 13 => "BEGIN".to_owned(),
        14 => "COMMIT".to_owned(),
        15 => "ROLLBACK".to_owned(),
        16 => format!("SAVEPOINT s{table}"),
        17 => format!("ROLLBACK TO s{table}"),
        18 => format!("RELEASE s{table}"),
        19 => "VACUUM".to_owned(),
        20 => format!("PRAGMA cache_size={}", 3 + id),
        _ => "PRAGMA incremental_vacuum".to_owned(),
    }
}

/// The schema and every row, as text.
fn dump(connection: &Connection) -> Checked<String> {
    let read = || -> rusqlite::Result<String> {
        let mut out = String::new();
        let mut tables = Vec::new();
        let mut schema = connection
            .prepare("SELECT type, name, coalesce(sql, '') FROM sqlite_schema ORDER BY type, name")?;
        let mut rows = schema.query([])?;
        while let Some(row) = rows.next()? {
            let (kind, name, sql): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            out.push_str(&format!("{kind} {name}: {sql}\n"));
            if kind == "table" {
                tables.push(name);
            }
        }
        for table in tables {
            let mut all = connection.prepare(&format!("SELECT * FROM \"{table}\" ORDER BY rowid"))?;
            let columns = all.column_count();
            let mut rows = all.query([])?;
            while let Some(row) = rows.next()? {
                let values: Vec<Value> = (0..columns).map(|at| row.get(at)).collect::<Result<_, _>>()?;
                out.push_str(&format!("{table} {values:?}\n"));
            }
        }
        let sound: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
        Ok(out + &sound)
    };
    read().map_err(|error| broken(&error))
}
