//! The commands that treat a store as a whole: import, export, stat, compact.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use datasync::block::BLOCK_SIZE;
use datasync::db::Database;
use datasync::error::{Error, ErrorKind};
use datasync::format::checksum::Checksum;
use datasync::volume::Options;
use serde_json::json;

use crate::args;
use crate::fail::{Code, Done, Failure};
use crate::progress::Progress;
use crate::words::{bytes, cause, count};

/// What to do where a store is to be made in a directory that is not there.
pub const NO_FOLDER: &str = "make the directory that it is to stand in first, or check the path";

/// How a SQLite database file begins.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// What stands behind the name of an export that is not in the place of the older file yet.
const UNFINISHED: &str = ".exporting";

/// `datasync import`.
pub fn import(args: &args::Import, quiet: bool) -> Done {
    let mut options = Options::new();
    if let Some(checksum) = args.checksum.as_deref().and_then(Checksum::from_name) {
        options = options.checksum(checksum);
    }
    look_at_source(&args.file)?;
    refuse_to_import_over(&args.store)?;
    let database = {
        let progress = Progress::bytes("import", quiet);
        Database::import(&args.file, &args.store, options, &mut |done, all| progress.at(done, all))
            .map_err(|error| refused_import(error, args))?
    };
    let size = database.stats().size_bytes;
    database.close()?;
    say(quiet, &format!("{} holds {} of {}", args.store.display(), bytes(size), args.file.display()));
    Ok(())
}

/// Refuses what is not there, or is no database, before a store is made for it.
fn look_at_source(file: &Path) -> Done {
    let refused =
        |code, text: &str, next: &str| Failure::new(code, format!("{}: {text}", file.display()), next);
    if file.is_dir() {
        let next = "name a file of a SQLite database; `datasync export STORE FILE` makes one of a store";
        return Err(refused(Code::Usage, "is a directory", next));
    }
    if !file.is_file() {
        return Err(refused(Code::NoStore, "no such file", "check the path of the database file"));
    }
    let mut begin = Vec::new();
    let read = File::open(file).and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut begin));
    read.map_err(|error| Failure::from(error).within(&file.display().to_string()))?;
    // An empty file is an empty database.
    if begin.is_empty() || begin == MAGIC {
        return Ok(());
    }
    let next = "name a file of a SQLite database; SQL text goes to `datasync sql STORE --create < FILE`";
    Err(refused(Code::Sql, "is not a SQLite database", next))
}

/// What to do about an import that was refused.
fn refused_import(error: Error, args: &args::Import) -> Failure {
    let read_only = "open the database once with `sqlite3`, or copy it, with its -wal or -journal file if it has one, \
                     to where you may write";
    let other_sums = "leave --checksum out, or name a store that does not exist";
    let failure = Failure::from(error);
    let failure = failure.when(ErrorKind::NotFound, Code::NoStore, NO_FOLDER);
    let failure = failure.when(ErrorKind::ReadOnly, Code::Disk, read_only);
    match args.checksum {
        Some(_) => failure.when(ErrorKind::AlgoMismatch, Code::Usage, other_sums),
        None => failure,
    }
}

/// A database in the store stays: looked for without opening the store for writing.
fn refuse_to_import_over(store: &Path) -> Done {
    if !store.join("META").exists() {
        return Ok(());
    }
    let database = Database::open_with(store, Options::new().read_only(true))?;
    if database.stats().size_bytes == 0 {
        return Ok(());
    }
    Err(Failure::new(
        Code::Usage,
        format!("there is a database in {} already", store.display()),
        "name a store that does not exist; an import never writes over anything",
    ))
}

/// `datasync export`.
pub fn export(args: &args::Export, quiet: bool) -> Done {
    let replaces = args.file.symlink_metadata().is_ok();
    if replaces && !args.force {
        return Err(Failure::new(
            Code::Usage,
            format!("{} exists already", args.file.display()),
            "name another file, or say --force to replace it",
        ));
    }
    let target = if replaces { beside(&args.file, UNFINISHED) } else { args.file.clone() };
    if replaces {
        refuse_to_replace(&args.file, &target)?;
    }
    let database = Database::open_with(&args.store, Options::new().read_only(true))?;
    {
        let progress = Progress::bytes("export", quiet);
        database.export(&target, &mut |done, all| progress.at(done, all))?;
    }
    let (size, last) = (database.stats().size_bytes, database.recovery().last);
    let damaged = warn_of_damage(&database);
    database.close()?;
    if replaces {
        replace(&target, &args.file)?;
    }
    let holds = format!("{} holds {}", args.file.display(), bytes(size));
    if damaged == 0 {
        say(quiet, &holds);
        return Ok(());
    }
    Err(Failure::new(
        Code::Damaged,
        format!("{holds}, up to commit {last} alone: the store is damaged"),
        "keep older copies; `datasync verify STORE` lists all damage, `datasync salvage STORE --to NEW` copies what is \
         left",
    ))
}

/// Says what is damaged in a store that was opened for reading all the same; in how many places.
pub fn warn_of_damage(database: &Database) -> usize {
    let damage = &database.recovery().damage;
    for place in damage {
        eprintln!("DAMAGED  {}", cause(&place.to_string(), database.name()));
    }
    damage.len()
}

/// The path with something behind its name.
pub fn beside(file: &Path, suffix: &str) -> PathBuf {
    // Without a slash at the end, behind which nothing could stand.
    let mut name = file.components().as_path().as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// An older file that somebody uses stays, and so does what an interrupted export has left.
fn refuse_to_replace(file: &Path, unfinished: &Path) -> Done {
    if unfinished.symlink_metadata().is_ok() {
        return Err(Failure::new(
            Code::Usage,
            format!("{} is what an export has left that was interrupted", unfinished.display()),
            "remove it, unless that export still runs, and run the command again",
        ));
    }
    refuse_file_in_use(file)
}

/// A journal or a log beside a database file would be taken for that of its successor.
fn refuse_file_in_use(file: &Path) -> Done {
    let others = ["-journal", "-wal"].map(|suffix| beside(file, suffix));
    let Some(other) = others.iter().find(|other| other.exists()) else { return Ok(()) };
    Err(Failure::new(
        Code::Busy,
        format!("{} belongs to the old file, which a program has open or left unclosed", other.display()),
        "close that program and run the command again, or name another file",
    ))
}

/// Puts a finished export in the place of an older file, in one step; where that cannot be, nothing is left of it.
fn replace(finished: &Path, file: &Path) -> Done {
    let replaced = refuse_file_in_use(file).and_then(|()| take_name(finished, file));
    if replaced.is_err() {
        // It is gone from here if it has its name already.
        let _ = std::fs::remove_file(finished);
    }
    replaced
}

/// Gives what is finished its name, durably.
pub fn take_name(finished: &Path, file: &Path) -> Done {
    std::fs::rename(finished, file)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A folder cannot be opened everywhere; where it cannot, the rename is as durable as the system makes it.
    if let Ok(folder) = File::open(folder) {
        folder.sync_all()?;
    }
    Ok(())
}

/// `datasync compact`.
pub fn compact(args: &args::Store, quiet: bool) -> Done {
    let database = Database::open_with(&args.store, Options::new().create(false))?;
    let before = database.stats();
    database.compact()?;
    let after = database.stats();
    database.close()?;
    let base = bytes(after.base_blocks * BLOCK_SIZE as u64);
    let sentence = match after.blocks_folded - before.blocks_folded {
        0 => format!("nothing to fold: all of {base} is in base.db"),
        folded => format!(
            "folded {} out of {} of log; base.db has {base}",
            count(folded, "block"),
            bytes(before.log_bytes)
        ),
    };
    say(quiet, &sentence);
    Ok(())
}

/// `datasync stat`.
pub fn stat(args: &args::Stat, out: &mut dyn Write) -> Done {
    let database = Database::open_with(&args.store, Options::new().read_only(true))?;
    let (stats, recovery) = (database.stats(), database.recovery());
    let disk = disk_bytes(&args.store)?;
    if args.json {
        let value = json!({
            "store": args.store.display().to_string(),
            "size_bytes": stats.size_bytes,
            "disk_bytes": disk,
            "base_blocks": stats.base_blocks,
            "free_blocks": stats.free_blocks,
            "log_bytes": stats.log_bytes,
            "log_blocks": stats.log_blocks,
            "segments": stats.segments,
            "epoch": stats.epoch.0,
            "committed": stats.committed.0,
            "folded": stats.folded.0,
            "opened": format!("{:?}", recovery.kind).to_lowercase(),
            "unproven_commits": recovery.unproven_commits,
            "torn_tail_bytes": recovery.torn_tail_bytes,
            "damage": recovery.damage.iter().map(ToString::to_string).collect::<Vec<_>>(),
        });
        writeln!(out, "{value:#}")?;
    } else {
        let rows = [
            ("database", bytes(stats.size_bytes)),
            ("on disk", bytes(disk)),
            ("base.db", count(stats.base_blocks, "block")),
            ("free", count(stats.free_blocks, "block")),
            ("log", format!("{} in {}", bytes(stats.log_bytes), count(stats.segments, "segment"))),
            ("commits", format!("up to {}, folded up to {}", stats.committed, stats.folded)),
            ("writer lives", stats.epoch.to_string()),
            ("last closed", format!("{:?}", recovery.kind).to_lowercase()),
        ];
        for (name, value) in rows {
            writeln!(out, "{name:>12}  {value}")?;
        }
        for damage in &recovery.damage {
            writeln!(out, "{:>12}  {damage}", "DAMAGE")?;
        }
    }
    database.close()?;
    Ok(())
}

/// Bytes of the store's files.
fn disk_bytes(store: &Path) -> std::io::Result<u64> {
    store.read_dir()?.try_fold(0, |sum, entry| Ok(sum + entry?.metadata()?.len()))
}

fn say(quiet: bool, sentence: &str) {
    if !quiet {
        eprintln!("{sentence}");
    }
}
