//! `datasync verify`: every byte of a store, and then what SQLite says of the database in it.

use std::io::Write;

use datasync::db::Database;
use datasync::volume::Options;

use crate::args;
use crate::fail::{Code, Done, Failure};
use crate::progress::Progress;
use crate::words::{cause, count};

/// Runs the command. Nothing is written: the store is opened for reading only.
pub fn run(args: &args::Verify, quiet: bool, out: &mut dyn Write) -> Done {
    let database = Database::open_with(&args.store, Options::new().read_only(true))?;
    let report = {
        let progress = Progress::steps("verify", quiet);
        database.verify(&mut |done, all| progress.at(done, all))?
    };
    let recovery = database.recovery();
    let mut found: Vec<String> = Vec::new();
    for damage in recovery.damage.iter().chain(&report.damage) {
        let line = cause(&damage.to_string(), database.name()).to_owned();
        if !found.contains(&line) {
            found.push(line);
        }
    }
    for line in &found {
        writeln!(out, "DAMAGED  {line}")?;
    }
    if !args.blocks_only && found.is_empty() {
        found = integrity(&database)?;
        for line in &found {
            writeln!(out, "SQLITE   {line}")?;
        }
    }
    if found.is_empty() {
        let (base, log) = (count(report.base_blocks, "block"), count(report.log_blocks, "block"));
        writeln!(out, "clean: {base} in base.db, {log} in the log, up to commit {}", recovery.last)?;
    }
    database.close()?;
    if found.is_empty() {
        return Ok(());
    }
    out.flush()?;
    Err(Failure::new(
        Code::Damaged,
        format!("{} in {}", count(found.len() as u64, "damaged place"), args.store.display()),
        format!(
            "`datasync salvage {} --to NEW` copies what is left; nothing was changed",
            args.store.display()
        ),
    ))
}

/// What `integrity_check` has to say besides "ok".
pub fn integrity(database: &Database) -> Result<Vec<String>, Failure> {
    let connection = database.connection()?;
    let mut statement = connection.prepare("PRAGMA integrity_check")?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let line: String = row.get(0)?;
        if line != "ok" {
            found.push(line);
        }
    }
    Ok(found)
}
