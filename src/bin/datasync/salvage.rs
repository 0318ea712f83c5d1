//! `datasync salvage`: copies what verifies of a damaged store into a new one.
//!
//! The rule it keeps: the damaged store is opened for reading only and the new one must not exist, so
//! nothing that might still be of use to somebody is ever overwritten.

use std::io::Write;

use datasync::backend::file::{FileStore, OpenMode};
use datasync::block::{BLOCK_SIZE, BlockNo, Durability, blocks_for};
use datasync::db::Database;
use datasync::error::ErrorKind;
use datasync::volume::{Options, Volume};

use crate::args;
use crate::fail::{Code, Done, Failure};
use crate::progress::Progress;
use crate::verify::integrity;
use crate::words::{bytes, count};

/// Blocks of one commit of the copy.
const CHUNK: u64 = 2048;

/// Runs the command.
pub fn run(args: &args::Salvage, quiet: bool, out: &mut dyn Write) -> Done {
    if args.to.exists() {
        return Err(Failure::new(
            Code::Usage,
            format!("{} exists already", args.to.display()),
            "name a directory that does not exist; salvage never writes over anything",
        ));
    }
    let damaged = FileStore::open(&args.store, OpenMode::ReadOnly)?;
    let damaged = Volume::open(damaged, Options::new().read_only(true))?;
    for damage in &damaged.recovery().damage {
        writeln!(out, "DAMAGED  {damage}")?;
    }
    let lost_log = damaged.recovery().damage.len();
    let rescued = Volume::open(FileStore::open(&args.to, OpenMode::Create)?, Options::new())?;
    let lost = copy(&damaged, &rescued, quiet, out)?;
    rescued.close()?;
    drop(rescued);
    let size = damaged.snapshot()?.size();
    writeln!(out, "{} holds {} up to commit {}", args.to.display(), bytes(size), damaged.recovery().last)?;
    damaged.close()?;
    let complaints = check(args, out)?;
    out.flush()?;
    if lost == 0 && lost_log == 0 {
        return Ok(());
    }
    let next = if complaints == 0 {
        "use the new store; keep the damaged one until you have looked at the listed places".to_owned()
    } else {
        format!(
            "SQLite's .recover reads around such damage: `sqlite3 {0}/base.db .recover | datasync sql --create NEW2`",
            args.to.display()
        )
    };
    let what = format!(
        "{} and {} of the log could not be read",
        count(lost, "block"),
        count(lost_log as u64, "place")
    );
    Err(Failure::new(Code::Damaged, what, next))
}

/// Copies every block that verifies; returns how many did not.
fn copy(from: &Volume, to: &Volume, quiet: bool, out: &mut dyn Write) -> Result<u64, Failure> {
    let snapshot = from.snapshot()?;
    let all = blocks_for(snapshot.size());
    let progress = Progress::bytes("salvage", quiet);
    let mut block = [0; BLOCK_SIZE];
    let (mut next, mut lost) = (0, 0);
    loop {
        let mut writer = to.begin()?;
        let end = (next + CHUNK).min(all);
        for number in next..end {
            match snapshot.read(BlockNo(number), &mut block) {
                Ok(()) if block == [0; BLOCK_SIZE] => {}
                Ok(()) => writer.write(BlockNo(number), &block)?,
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::Corrupt | ErrorKind::AlgoMismatch | ErrorKind::Io
                    ) =>
                {
                    lost += 1;
                    writeln!(out, "LOST     block {number}: {error}")?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        next = end;
        if next == all {
            writer.set_size(snapshot.size())?;
        }
        writer.commit(Durability::Durable)?;
        progress.at(next * BLOCK_SIZE as u64, snapshot.size());
        if next == all {
            return Ok(lost);
        }
    }
}

/// What SQLite thinks of the copy; prints and counts its complaints.
fn check(args: &args::Salvage, out: &mut dyn Write) -> Result<usize, Failure> {
    let database = Database::open_with(&args.to, Options::new().read_only(true))?;
    let complaints = match integrity(&database) {
        Ok(complaints) => complaints,
        Err(failure) => vec![failure.to_string().trim_start_matches("error: ").replace('\n', ";")],
    };
    for line in &complaints {
        writeln!(out, "SQLITE   {line}")?;
    }
    database.close()?;
    Ok(complaints.len())
}
