//! `datasync salvage`: copies what verifies of a damaged store into a new one.
//!
//! The rules it keeps: the damaged store is opened for reading only and the new one must not exist, so
//! nothing that might still be of use to somebody is ever overwritten; and the new one is made beside its name, which
//! it gets when all of it is durable, so that no crash leaves half a copy that looks like a whole one.

#[cfg(all(test, feature = "sim"))]
mod tests;
mod wreck;

use std::io::Write;
use std::path::Path;

use datasync::backend::OpenMode;
use datasync::backend::file::FileStore;
use datasync::block::{BLOCK_SIZE, BlockNo, Durability, blocks_for};
use datasync::db::Database;
use datasync::error::ErrorKind;
use datasync::volume::{Options, Volume};

use self::wreck::{Found, Wreck};
use crate::args;
use crate::fail::{Code, Done, Failure};
use crate::progress::Progress;
use crate::store::{NO_FOLDER, beside, take_name};
use crate::verify::integrity;
use crate::words::{bytes, count};

/// Blocks of one commit of the copy.
const CHUNK: u64 = 2048;

/// What stands behind the name of a copy that is not whole yet.
const UNFINISHED: &str = ".salvaging";

/// Runs the command.
pub fn run(args: &args::Salvage, quiet: bool, out: &mut dyn Write) -> Done {
    if args.to.symlink_metadata().is_ok() {
        return Err(Failure::new(
            Code::Usage,
            format!("{} exists already", args.to.display()),
            "name a directory that does not exist; salvage never writes over anything",
        ));
    }
    if is_inside(&args.to, &args.store) {
        return Err(Failure::new(
            Code::Usage,
            format!("{} would stand inside of the damaged store", args.to.display()),
            "name a directory elsewhere; the damaged store is only read",
        ));
    }
    let unfinished = beside(&args.to, UNFINISHED);
    if unfinished.symlink_metadata().is_ok() {
        return Err(Failure::new(
            Code::Usage,
            format!("{} is what a salvage has left that was interrupted", unfinished.display()),
            "remove it, and run the command again: it is not whole",
        ));
    }
    let mut wreck = Wreck::open(&args.store)?;
    for damage in &wreck.damage {
        writeln!(out, "DAMAGED  {damage}")?;
    }
    if wreck.size == 0 && !wreck.damage.is_empty() {
        return Err(wreck::nothing(&args.store));
    }
    let files = FileStore::open(&unfinished, OpenMode::Create)
        .map_err(|error| Failure::from(error).when(ErrorKind::NotFound, Code::NoStore, NO_FOLDER))?;
    let rescued = Volume::open(files, Options::new())?;
    let ways = Ways { unverified: args.unverified, quiet };
    let lost = rescue(&mut wreck, rescued, ways, out, || take_name(&unfinished, &args.to))?;
    let last = wreck.last.map_or(String::new(), |last| format!(" up to commit {last}"));
    writeln!(out, "{} holds {}{last}", args.to.display(), bytes(wreck.size))?;
    let complaints = check(args, out)?;
    out.flush()?;
    if lost == 0 && wreck.damage.is_empty() {
        return Ok(());
    }
    let next = match (complaints, args.unverified) {
        (0, _) => {
            "use the new store; keep the damaged one until you have looked at the listed places".to_owned()
        }
        (_, true) => format!(
            "SQLite reads around such damage: `sqlite3 {}/base.db .recover | datasync sql --create MENDED`",
            args.to.display()
        ),
        (_, false) => format!(
            "`datasync salvage {} --to OTHER --unverified` copies the listed blocks as they lie there",
            args.store.display()
        ),
    };
    let places = count(wreck.damage.len() as u64, "place");
    Err(Failure::new(
        Code::Damaged,
        format!("{} do not verify, {places} damaged", count(lost, "block")),
        next,
    ))
}

/// Whether `path`, at which nothing stands yet, is anywhere in `folder`.
fn is_inside(path: &Path, folder: &Path) -> bool {
    let (Ok(path), Ok(folder)) = (std::path::absolute(path), folder.canonicalize()) else { return false };
    let there = path.ancestors().find_map(|above| above.canonicalize().ok());
    there.is_some_and(|there| there.starts_with(folder))
}

/// How to copy.
#[derive(Clone, Copy)]
struct Ways {
    unverified: bool,
    quiet: bool,
}

/// Copies into `to`, closes it, and only then lets it be found; returns how many blocks were lost.
fn rescue(
    wreck: &mut Wreck,
    to: Volume,
    ways: Ways,
    out: &mut dyn Write,
    publish: impl FnOnce() -> Done,
) -> Result<u64, Failure> {
    let lost = copy(wreck, &to, ways, out)?;
    // ORDER: closed before it has its name, or a crash leaves half a copy under the name of a whole one.
    to.close()?;
    drop(to);
    publish()?;
    Ok(lost)
}

/// Copies every block that verifies, and with `unverified` the others of base.db; returns how many did not.
fn copy(wreck: &mut Wreck, to: &Volume, ways: Ways, out: &mut dyn Write) -> Result<u64, Failure> {
    let Ways { unverified, quiet } = ways;
    let all = blocks_for(wreck.size);
    let progress = Progress::bytes("salvage", quiet);
    let mut block = [0; BLOCK_SIZE];
    let (mut next, mut lost) = (0, 0);
    while next < all {
        let mut writer = to.begin()?;
        let end = (next + CHUNK).min(all);
        for number in next..end {
            let keep = match wreck.block(number, &mut block)? {
                Found::Sound => true,
                Found::Lost(why) => {
                    lost += 1;
                    let kept = unverified && wreck.raw(number, &mut block)?;
                    let kept_as = if kept { ", copied unverified" } else { "" };
                    writeln!(out, "LOST     block {number}{kept_as}: {why}")?;
                    kept
                }
            };
            if keep && block != [0; BLOCK_SIZE] {
                writer.write(BlockNo(number), &block)?;
            }
        }
        next = end;
        // In steps, whether there was anything to copy or not: a transaction reaches only so far behind the end.
        writer.set_size(wreck.size.min(next * BLOCK_SIZE as u64))?;
        writer.commit(Durability::Durable)?;
        progress.at(next * BLOCK_SIZE as u64, wreck.size);
    }
    Ok(lost)
}

/// What SQLite thinks of the copy; prints and counts its complaints.
fn check(args: &args::Salvage, out: &mut dyn Write) -> Result<usize, Failure> {
    let database = Database::open_with(&args.to, Options::new().read_only(true))?;
    let complaints = match integrity(&database) {
        Ok(complaints) => complaints,
        Err(failure) => vec![failure.sentence().to_owned()],
    };
    for line in &complaints {
        writeln!(out, "SQLITE   {line}")?;
    }
    database.close()?;
    Ok(complaints.len())
}
