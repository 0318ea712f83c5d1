//! SQLite's own sqllogictest files, through this VFS: at the usual page cache and at a tiny one, where every
//! query reads pages and every transaction spills.
//!
//! The files are data beside the repository (`../shared/data/sqllogictest`), all of them run to their ends.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use datasync::Database;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use sqllogictest::{DB, DBOutput, DefaultColumnType, MakeConnection, QueryExpect, Record, Runner};

/// What the record at hand promises.
#[derive(Clone, Default)]
struct Promise {
    /// The types of a query's columns; sqllogictest formats values by them. None for a statement.
    types: Vec<DefaultColumnType>,
    /// A query without rows: SQLite's own runner takes an error for that as well.
    nothing: bool,
}

type Promised = Arc<Mutex<Promise>>;

struct Through {
    connection: Connection,
    promised: Promised,
}

impl Through {
    fn query(&self, sql: &str) -> rusqlite::Result<DBOutput<DefaultColumnType>> {
        let promised = self.promised.lock().unwrap().clone();
        if promised.types.is_empty() {
            self.connection.execute_batch(sql)?;
            return Ok(DBOutput::StatementComplete(0));
        }
        let mut statement = self.connection.prepare(sql)?;
        let columns = statement.column_count();
        let mut rows = Vec::new();
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            let shown = (0..columns).map(|at| Ok(show(row.get_ref(at)?, promised.types.get(at))));
            rows.push(shown.collect::<rusqlite::Result<Vec<String>>>()?);
        }
        Ok(DBOutput::Rows { types: promised.types, rows })
    }
}

/// A value as the files write it.
fn show(value: ValueRef<'_>, promised: Option<&DefaultColumnType>) -> String {
    let whole = |text: &[u8]| -> i64 {
        let text = String::from_utf8_lossy(text);
        let digits = text.trim_start();
        let end =
            digits.char_indices().find(|(at, sign)| !(sign.is_ascii_digit() || *at == 0 && *sign == '-'));
        digits[..end.map_or(digits.len(), |(at, _)| at)].parse().unwrap_or(0)
    };
    match (value, promised) {
        (ValueRef::Null, _) => "NULL".to_owned(),
        (ValueRef::Integer(number), Some(DefaultColumnType::FloatingPoint)) => rounded(number as f64),
        (ValueRef::Real(number), Some(DefaultColumnType::FloatingPoint)) => rounded(number),
        (ValueRef::Real(number), Some(DefaultColumnType::Integer)) => (number as i64).to_string(),
        (ValueRef::Text(text), Some(DefaultColumnType::Integer)) => whole(text).to_string(),
        (ValueRef::Integer(number), _) => number.to_string(),
        (ValueRef::Real(number), _) => number.to_string(),
        (ValueRef::Text([]) | ValueRef::Blob([]), _) => "(empty)".to_owned(),
        (ValueRef::Text(bytes) | ValueRef::Blob(bytes), _) => bytes
            .iter()
            .map(|byte| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '@' })
            .collect(),
    }
}

/// Three decimals, and zeros behind the sixteenth digit, as SQLite's own printf has it.
fn rounded(number: f64) -> String {
    if number.abs() < 1e15 {
        return format!("{number:.3}");
    }
    let sixteen = format!("{number:.15e}");
    let (digits, power) = sixteen.split_once('e').expect("written with an exponent");
    let zeros = power.parse::<usize>().expect("not negative: it is a large number") - 15;
    format!("{}{}.000", digits.replace('.', ""), "0".repeat(zeros))
}

impl DB for Through {
    type Error = rusqlite::Error;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, rusqlite::Error> {
        let nothing = self.promised.lock().unwrap().nothing;
        match self.query(sql) {
            Err(_) if nothing => Ok(DBOutput::Rows { types: Vec::new(), rows: Vec::new() }),
            result => result,
        }
    }

    fn engine_name(&self) -> &str {
        "sqlite"
    }
}

/// The files list one value a line, whatever the width of the rows.
fn same_values(_: fn(&String) -> String, actual: &[Vec<String>], expected: &[String]) -> bool {
    let actual = actual.iter().flatten().map(|value| value.trim());
    actual.eq(expected.iter().map(|value| value.trim()))
}

/// Runs a file on a new store; how many records were run.
fn run_file(file: &Path, cache_size: i32) -> usize {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(directory.path().join("app.datasync")).unwrap();
    let promised = Promised::default();
    let connect = || {
        let connection = database.connection().unwrap();
        // Commits need not be durable here: what is asked for is the right answers.
        connection.execute_batch(&format!("PRAGMA cache_size={cache_size}; PRAGMA synchronous=OFF")).unwrap();
        let promised = Arc::clone(&promised);
        async move { Ok(Through { connection, promised }) }
    };
    let mut ran = 0;
    {
        let mut runner = Runner::new(connect);
        runner.with_validator(same_values);
        run_records(&mut runner, file, &promised, &mut ran);
    }
    let connection = database.connection().unwrap();
    let sound: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok", "{}", file.display());
    ran
}

/// The runner's parser knows neither the remarks behind conditions and controls that SQLite's own takes, nor
/// a `halt` for one engine only.
fn in_its_dialect(script: &str) -> String {
    let words = ["onlyif ", "skipif ", "halt", "hash-threshold "];
    let cut = |line: &str| match words.iter().any(|word| line.starts_with(word)) {
        true => line.split('#').next().unwrap_or_default().trim_end().to_owned(),
        false => line.to_owned(),
    };
    let mut lines: Vec<String> = script.lines().map(cut).collect();
    for at in 1..lines.len() {
        let others =
            |line: &str| line == "skipif sqlite" || line.starts_with("onlyif ") && line != "onlyif sqlite";
        if lines[at] == "halt" && others(&lines[at - 1]) {
            lines[at - 1].clear();
            lines[at].clear();
        }
    }
    lines.join("\n")
}

fn run_records<M: MakeConnection<Conn = Through>>(
    runner: &mut Runner<Through, M>,
    file: &Path,
    promised: &Promised,
    ran: &mut usize,
) {
    let script = in_its_dialect(&std::fs::read_to_string(file).unwrap());
    let records = sqllogictest::parse(&script).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    for record in records {
        *promised.lock().unwrap() = match &record {
            Record::Halt { .. } => break,
            Record::HashThreshold { .. } => continue,
            Record::Query { expected: QueryExpect::Results { types, results, .. }, .. } => {
                // Some files give digests without saying from which length on: the answer is in the record.
                let digest = matches!(results.as_slice(), [only] if only.contains(" values hashing to "));
                runner.with_hash_threshold(usize::from(digest));
                Promise { types: types.clone(), nothing: results.is_empty() }
            }
            _ => Promise::default(),
        };
        let counts = matches!(record, Record::Query { .. } | Record::Statement { .. });
        if let Err(error) = runner.run(record) {
            panic!("{}: {error}", file.display());
        }
        *ran += usize::from(counts);
    }
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "test") {
            found.push(path);
        }
    }
    found.sort();
}

fn run_all(cache_size: i32) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/sqllogictest");
    let mut found = Vec::new();
    files(&data, &mut found);
    if found.is_empty() {
        println!("skipped: no data");
        return;
    }
    let mut total = 0;
    for file in &found {
        let began = std::time::Instant::now();
        let ran = run_file(file, cache_size);
        let name = file.strip_prefix(&data).unwrap_or(file).display();
        println!("{name}: {ran} records at cache_size={cache_size}, {} ms", began.elapsed().as_millis());
        total += ran;
    }
    assert!(total > 0, "the files hold records");
}

#[test]
fn answers_are_sqlites_own_at_the_usual_page_cache() {
    run_all(-2000);
}

#[test]
fn answers_are_sqlites_own_at_a_tiny_page_cache() {
    run_all(10);
}
