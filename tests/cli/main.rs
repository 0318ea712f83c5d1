//! The command line program, driven as a person would: real processes, real files, what they print.
//!
//! Here is what the suites share: a folder to run it in, and what a run left.

mod damage;
mod sql;
mod whole;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use datasync::format::checksum::digest;
use rusqlite::Connection;
use tempfile::TempDir;

/// What a run of the program left.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// A folder with a small plain database in it, to run the program in.
struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let plain = Connection::open(dir.path().join("music.db")).unwrap();
        plain
            .execute_batch(
                "CREATE TABLE artist(id INTEGER PRIMARY KEY, name TEXT NOT NULL);
                 CREATE TABLE album(id INTEGER PRIMARY KEY, artist REFERENCES artist(id), title TEXT, cover BLOB);
                 CREATE INDEX album_by_artist ON album(artist);
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
                 INSERT INTO artist(name) SELECT 'artist ' || i FROM n;
                 INSERT INTO album(artist, title, cover) SELECT id, 'by ' || name, zeroblob(id * 3) FROM artist;",
            )
            .unwrap();
        Self { dir }
    }

    /// The same, with the database imported as `music.datasync`.
    fn imported() -> Self {
        let place = Self::new();
        place.run("import music.db music.datasync").is(0);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_datasync"));
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, line: &str) -> Ran {
        self.run_args(&line.split(' ').collect::<Vec<_>>(), "")
    }

    fn sql(&self, sql: &str) -> Ran {
        self.run_args(&["--quiet", "sql", "music.datasync", sql], "")
    }

    fn run_args(&self, args: &[&str], input: &str) -> Ran {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that fails early does not read its input.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let code = output.status.code().expect("the program was not killed, nor did it abort");
        let ran = Ran { code, out: text(output.stdout), err: text(output.stderr) };
        assert!(!ran.err.contains("panicked"), "{args:?}: {}", ran.err);
        ran
    }

    /// Every file of a store with a digest of its bytes.
    fn files(&self, store: &str) -> Vec<(String, u64)> {
        let mut files: Vec<(String, u64)> = fs::read_dir(self.path(store))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| {
                (path.file_name().unwrap().to_string_lossy().into_owned(), digest(&fs::read(&path).unwrap()))
            })
            .filter(|(name, _)| name != "LOCK")
            .collect();
        files.sort();
        files
    }

    /// Commits through the program and kills it, so that the commits are in the log and nothing is folded.
    fn crash_after(&self, statements: &[&str]) {
        let (mut child, mut lines) = self.writer();
        for statement in statements {
            let input = child.stdin.as_mut().unwrap();
            writeln!(input, "{statement}; SELECT 'done';").unwrap();
            input.flush().unwrap();
            while lines.next().unwrap().unwrap() != "done" {}
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// A running `datasync sql` that prints a line `done` for each `SELECT 'done'`.
    fn writer(&self) -> (Child, impl Iterator<Item = std::io::Result<String>> + use<>) {
        let mut child = self
            .command(&["sql", "music.datasync", "--csv"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let lines = lines.map(|line| line.map(|line| line.trim().to_owned()));
        (child, lines)
    }
}

impl Ran {
    #[track_caller]
    fn is(self, code: i32) -> Self {
        assert_eq!(self.code, code, "out: {}\nerr: {}", self.out, self.err);
        self
    }

    #[track_caller]
    fn says(self, part: &str) -> Self {
        assert!(self.out.contains(part), "no {part:?} in out: {}\nerr: {}", self.out, self.err);
        self
    }

    /// An error of one sentence that names `part`, and a next step.
    #[track_caller]
    fn fails(self, code: i32, part: &str) -> Self {
        let ran = self.is(code);
        let lines: Vec<&str> = ran.err.lines().collect();
        let [.., sentence, next] = lines[..] else { panic!("no sentence and next step: {}", ran.err) };
        assert!(sentence.starts_with("error: ") && sentence.contains(part), "no {part:?} in {}", ran.err);
        assert!(next.starts_with(" next: ") && next.len() > 15, "{}", ran.err);
        ran
    }

    /// The next step names `part`.
    #[track_caller]
    fn advises(self, part: &str) -> Self {
        let next = self.err.lines().last().unwrap_or_default();
        assert!(next.starts_with(" next: ") && next.contains(part), "no {part:?} in {}", self.err);
        self
    }
}

/// The whole content, in the words of plain SQLite.
fn content(file: &Path) -> Vec<String> {
    let plain = Connection::open(file).unwrap();
    let verdict: String = plain.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok", "{}", file.display());
    let mut lines = Vec::new();
    for sql in [
        "SELECT type || name || sql FROM sqlite_schema ORDER BY rowid",
        "SELECT id || ':' || name FROM artist ORDER BY id",
        "SELECT id || ':' || artist || ':' || title || ':' || hex(cover) FROM album ORDER BY id",
    ] {
        let mut statement = plain.prepare(sql).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        lines.extend(rows.map(Result::unwrap));
    }
    lines
}

#[test]
fn help_is_there_for_every_command_with_examples() {
    let place = Place::new();
    place.run("--help").is(0).says("Examples:").says("Exit codes:");
    for command in ["import", "export", "sql", "verify", "stat", "log", "compact", "salvage"] {
        place.run(&format!("{command} --help")).is(0).says("Examples:").says(&format!("datasync {command} "));
    }
    place.run("frobnicate").is(2);
}
