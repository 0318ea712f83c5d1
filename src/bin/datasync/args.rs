//! The command line: names, help and examples. Nothing here does anything.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

const EXAMPLES: &str = "\
Examples:
  datasync import music.db music.datasync        make a store of a SQLite file
  datasync sql music.datasync 'SELECT 1 + 1'     run SQL on it
  datasync verify music.datasync                 check every byte of it
  datasync export music.datasync copy.db         and out again, as a plain SQLite file

A store is a directory. After a clean close `sqlite3 STORE/base.db` opens it as well.

Exit codes:
  0  done; verify: clean         4  the store is in use by another program
  1  damage was found            5  SQLite refused the SQL or the file
  2  the command line is wrong   6  the disk: its space, its permissions, a failure
  3  no store there, or one of a newer version";

/// SQLite on a store that keeps what it acknowledged, whatever crashes.
#[derive(Debug, Parser)]
#[command(name = "datasync", version, after_help = EXAMPLES, arg_required_else_help = true, max_term_width = 100)]
pub struct Cli {
    /// Say nothing but results and errors: no progress bars, no summaries.
    #[arg(short, long, global = true)]
    pub quiet: bool,

    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a store of a SQLite database file.
    #[command(after_help = "\
The file is only read. STORE must not exist yet, or be a store without a database in it.

Examples:
  datasync import music.db music.datasync
  datasync import music.db music.datasync --checksum xxh3")]
    Import(Import),

    /// Write the store's database to a plain SQLite file.
    #[command(after_help = "\
The file holds the newest durable commit. An existing file is not touched unless you say --force, and
then it is replaced in one step: until it is whole the new one is called FILE.exporting. Nothing of the
store is changed. If it is damaged, the file holds what is there before the damage, the damage is
listed, and the exit code is 1.

Examples:
  datasync export music.datasync copy.db
  datasync export music.datasync copy.db --force")]
    Export(Export),

    /// Run SQL: one argument, or a script on standard input.
    #[command(after_help = "\
Every statement's rows are printed when the statement is over, so what you see of a commit is durable.
A script stops at the first error. Without a SQL argument the script is read from standard input and
run as it arrives; a transaction that is open at its end is rolled back.

Examples:
  datasync sql music.datasync 'SELECT * FROM Artist LIMIT 5'
  datasync sql music.datasync --json 'SELECT count(*) AS n FROM Track' | jq '.[0].n'
  datasync sql music.datasync --csv 'SELECT * FROM Invoice' > invoices.csv
  datasync sql music.datasync < changes.sql
  datasync sql new.datasync --create 'CREATE TABLE note(id INTEGER PRIMARY KEY, text)'
  sqlite3 old.db .dump | datasync sql new.datasync --create")]
    Sql(Sql),

    /// Check every byte of the store; exit 0 when clean, 1 when damaged.
    #[command(after_help = "\
Reads and checks everything: META, every group of the log, every block of the base, then the database
itself with SQLite's integrity_check. Changes nothing. It says where the damage is; `datasync salvage`
copies what is left.

Examples:
  datasync verify music.datasync
  datasync verify music.datasync --blocks-only && echo clean")]
    Verify(Verify),

    /// Show sizes, commits and what the last opening found.
    #[command(after_help = "\
Examples:
  datasync stat music.datasync
  datasync stat music.datasync --json | jq .log_bytes")]
    Stat(Stat),

    /// Show what is in the log: segments, groups, commits, descriptors.
    #[command(after_help = "\
Reads the files as they lie there, without opening the store: nothing is changed, nothing is recovered,
and it works beside damage and beside a running program. Group lines name the commit, the pages and
what each of them is: PUT, TRIM or TRIM_RANGE.

Examples:
  datasync log music.datasync                 one line a group
  datasync log music.datasync --blocks        with a line for every block
  datasync log music.datasync --last 20       only the last twenty groups")]
    Log(Log),

    /// Fold the log into base.db, and remove it.
    #[command(after_help = "\
It happens by itself while the store is in use and when it is closed; this does it now. The room of
deleted rows stays in base.db, as in any SQLite database, until `datasync sql STORE VACUUM`.

Examples:
  datasync compact music.datasync")]
    Compact(Store),

    /// Copy what is left of a damaged store into a new one.
    #[command(after_help = "\
The damaged store is only read. Every block that verifies is copied; every block that does not is listed
and stands as zeros in the copy, where SQLite's integrity_check may then find its own damage. Without a
sound META what base.db and base.sum agree on is copied, and the log is lost.

Exit code 0: nothing was lost. 1: something was, and it is listed.

Examples:
  datasync salvage broken.datasync --to rescued.datasync
  datasync salvage broken.datasync --to all.datasync --unverified
  sqlite3 all.datasync/base.db .recover | datasync sql --create mended.datasync")]
    Salvage(Salvage),
}

/// A store and nothing else.
#[derive(Args, Debug)]
pub struct Store {
    /// The store: a directory.
    pub store: PathBuf,
}

#[derive(Args, Debug)]
pub struct Import {
    /// The SQLite database file to read.
    pub file: PathBuf,
    /// The store to make: a directory.
    pub store: PathBuf,
    /// Checksum of every block: crc32, or xxh3 (64 bits, faster on large stores). Without this option a new
    /// store takes what DATASYNC_CHECKSUM_ALGO names, else xxh3.
    #[arg(long, value_parser = ["crc32", "xxh3"])]
    pub checksum: Option<String>,
}

#[derive(Args, Debug)]
pub struct Export {
    /// The store to read: a directory.
    pub store: PathBuf,
    /// The SQLite database file to write.
    pub file: PathBuf,
    /// Replace the file if it exists.
    #[arg(long)]
    pub force: bool,
}

#[derive(Args, Debug)]
pub struct Sql {
    /// The store: a directory.
    pub store: PathBuf,
    /// SQL to run; several statements are fine. Without it a script is read from standard input.
    pub sql: Option<String>,
    /// Rows as JSON: an array of objects for every statement that has rows.
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Rows as CSV with a header line.
    #[arg(long)]
    pub csv: bool,
    /// Make the store if there is none.
    #[arg(long, conflicts_with = "read_only")]
    pub create: bool,
    /// Open for reading only: writes nothing, and serves what is sound of a damaged store.
    #[arg(long)]
    pub read_only: bool,
}

#[derive(Args, Debug)]
pub struct Verify {
    /// The store: a directory.
    pub store: PathBuf,
    /// Check the store's bytes only, not what SQLite thinks of the database in it.
    #[arg(long)]
    pub blocks_only: bool,
}

#[derive(Args, Debug)]
pub struct Stat {
    /// The store: a directory.
    pub store: PathBuf,
    /// One JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Debug)]
pub struct Log {
    /// The store: a directory.
    pub store: PathBuf,
    /// A line for every block of every group.
    #[arg(long)]
    pub blocks: bool,
    /// Only the last N groups.
    #[arg(long, value_name = "N")]
    pub last: Option<usize>,
}

#[derive(Args, Debug)]
pub struct Salvage {
    /// The damaged store; it is only read.
    pub store: PathBuf,
    /// The store to make.
    #[arg(long, value_name = "NEW")]
    pub to: PathBuf,
    /// Copy the listed blocks of base.db too, as they lie there, instead of zeros.
    #[arg(long)]
    pub unverified: bool,
}
