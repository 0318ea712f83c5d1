//! How long an open takes: of a clean store, after a crash with a full log, and of a large one; and the
//! memory it takes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use datasync::db::Database;
use datasync::volume::Options;

use crate::report::{Report, median};
use crate::side::remove;
use crate::{Asked, Outcome};

fn ms(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1e3
}

fn store(asked: &Asked, name: &str) -> PathBuf {
    asked.dir.join(format!("{name}.datasync"))
}

/// Opens a store and reads one row; milliseconds.
fn open_and_read(path: &Path) -> Outcome<f64> {
    let begun = Instant::now();
    let database = Database::open(path)?;
    let _: i64 =
        database.connection()?.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let took = ms(begun);
    database.close()?;
    Ok(took)
}

/// A store that was closed.
pub fn clean(asked: &Asked, report: &mut Report) -> Outcome<()> {
    let path = store(asked, "clean");
    remove(&path)?;
    let database = Database::open(&path)?;
    database.connection()?.execute_batch(
        "CREATE TABLE note(id INTEGER PRIMARY KEY, body BLOB);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
         INSERT INTO note(body) SELECT randomblob(1000) FROM n;",
    )?;
    database.close()?;
    let mut times = Vec::new();
    for _ in 0..asked.runs * 4 {
        times.push(open_and_read(&path)?);
    }
    report.row("open, clean store of 10 MB", &[("datasync", median(&mut times), " ms")]);
    remove(&path)
}

/// `child-crash STORE`: writes until the log is as full as it gets, then dies without closing.
pub fn child_crash(args: &[String]) -> Outcome<()> {
    let [path] = args else { return Err("child-crash STORE".into()) };
    let database = Database::open_with(Path::new(path), Options::new().background(false))?;
    let connection = database.connection()?;
    connection.execute_batch(
        "PRAGMA synchronous=FULL; CREATE TABLE note(id INTEGER PRIMARY KEY, body BLOB);
         CREATE INDEX by_body ON note(substr(body, 1, 16));",
    )?;
    let mut statement = connection.prepare("INSERT INTO note(body) VALUES (randomblob(20000))")?;
    let (mut fullest, mut after) = (0, 0);
    for commit in 0.. {
        statement.execute([])?;
        let log = database.stats().log_bytes;
        // A fold made it smaller: fill it up once more to just below that, and stop.
        if log < fullest {
            after = fullest;
        }
        fullest = fullest.max(log);
        let full = (after > 0 && log + (1 << 20) >= after) || commit > 20_000;
        if full {
            println!("{log}");
            std::process::exit(0);
        }
    }
    Ok(())
}

/// A store whose writer died with a full log.
pub fn after_a_crash(asked: &Asked, report: &mut Report) -> Outcome<()> {
    let (mut times, mut sizes) = (Vec::new(), Vec::new());
    for _ in 0..asked.runs.min(3) {
        let path = store(asked, "crash");
        remove(&path)?;
        let output = Command::new(std::env::current_exe()?).arg("child-crash").arg(&path).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned().into());
        }
        sizes.push(String::from_utf8_lossy(&output.stdout).trim().parse::<f64>()? / (1 << 20) as f64);
        times.push(open_and_read(&path)?);
        remove(&path)?;
    }
    let values = [("datasync", median(&mut times), " ms"), ("log", median(&mut sizes), " MiB")];
    report.row("open after a crash, full log", &values);
    Ok(())
}

/// `child-query STORE`: opens a large store and reads single rows; prints ms to open, us a query, peak KiB.
pub fn child_query(args: &[String]) -> Outcome<()> {
    const QUERIES: u32 = 2000;
    let [path] = args else { return Err("child-query STORE".into()) };
    let begun = Instant::now();
    let database = Database::open(Path::new(path))?;
    let connection = database.connection()?;
    let last: i64 = connection.query_row("SELECT max(id) FROM purchase", [], |row| row.get(0))?;
    let open = ms(begun);
    let mut statement = connection.prepare(
        "SELECT c.name, count(*) FROM purchase p JOIN customer c ON c.id = p.customer
         JOIN line l ON l.purchase = p.id WHERE p.id = ?1 GROUP BY 1",
    )?;
    let begun = Instant::now();
    for query in 0..i64::from(QUERIES) {
        // Steps of a large prime visit the whole table in no order.
        let id = query * 7_368_787 % last + 1;
        let _: (String, i64) = statement.query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    }
    let each = begun.elapsed().as_secs_f64() * 1e6 / f64::from(QUERIES);
    println!("{open} {each} {}", peak_kib().unwrap_or(0));
    Ok(())
}

/// The most memory that was resident in this process, where the system tells.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok())
}

/// A database far larger than the log: import, open, query, and the memory of a process that does only that.
pub fn large(asked: &Asked, file: &Path, report: &mut Report) -> Outcome<()> {
    let path = store(asked, "large");
    remove(&path)?;
    let size = std::fs::metadata(file)?.len() as f64 / (1 << 20) as f64;
    let begun = Instant::now();
    Database::import(file, &path, Options::new(), &mut |_, _| {})?.close()?;
    let took = begun.elapsed().as_secs_f64();
    report.row(
        format!("import of {size:.0} MiB"),
        &[("datasync", size / took, " MiB/s"), ("time", took, " s")],
    );
    let (mut opens, mut queries, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..asked.runs {
        let output = Command::new(std::env::current_exe()?).arg("child-query").arg(&path).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned().into());
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [open, query, peak] = numbers[..] else { return Err(format!("child-query said {text}").into()) };
        opens.push(open);
        queries.push(query);
        peaks.push(peak / 1024.0);
    }
    report.row(
        format!("open and 2000 point queries, {size:.0} MiB"),
        &[
            ("open", median(&mut opens), " ms"),
            ("query", median(&mut queries), " us"),
            ("peak memory", median(&mut peaks), " MiB"),
        ],
    );
    remove(&path)
}
