//! The command line program, driven as a person would: real processes, real files, what they print.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use datasync::format::checksum::digest;
use datasync::format::meta::META_BYTES;
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
fn what_goes_in_comes_out_with_the_same_changes_as_on_plain_sqlite() {
    let changes = "UPDATE artist SET name = upper(name) WHERE id % 7 = 0; DELETE FROM album WHERE id % 5 = 0; \
                   INSERT INTO album(title, artist, cover) VALUES ('new', 1, x'00ff');";
    let place = Place::new();
    place.run("import music.db music.datasync").is(0);
    place.sql(changes).is(0);
    place.run("export music.datasync copy.db").is(0);
    let plain = Connection::open(place.path("music.db")).unwrap();
    plain.execute_batch(changes).unwrap();
    drop(plain);
    assert_eq!(content(&place.path("copy.db")), content(&place.path("music.db")));
    assert_eq!(content(&place.path("music.datasync/base.db")), content(&place.path("music.db")));
}

#[test]
fn rows_are_printed_for_people_and_for_programs() {
    let place = Place::imported();
    let sql = "SELECT id, name, NULL AS n FROM artist WHERE id IN (9, 10)";
    let table =
        "id | name      | n\n---+-----------+-----\n 9 | artist 9  | NULL\n10 | artist 10 | NULL\n(2 rows)\n";
    assert_eq!(place.sql(sql).is(0).out, table);
    let json = place.run_args(&["sql", "music.datasync", "--json", sql], "").is(0);
    assert_eq!(
        json.out,
        "[\n  {\"id\": 9, \"name\": \"artist 9\", \"n\": null},\n  \
         {\"id\": 10, \"name\": \"artist 10\", \"n\": null}\n]\n"
    );
    let csv = place.run_args(&["sql", "music.datasync", "--csv", sql], "").is(0);
    assert_eq!(csv.out, "id,name,n\r\n9,artist 9,\r\n10,artist 10,\r\n");
}

#[test]
fn a_script_runs_from_standard_input_and_names_the_line_that_fails() {
    let place = Place::imported();
    let script = "CREATE TABLE note(text);\n\
                  CREATE TRIGGER t AFTER INSERT ON note BEGIN\n  SELECT 1; SELECT 2;\nEND;\n\
                  INSERT INTO note VALUES ('a;b'), ('c');\n-- a comment;\nSELECT count(*) AS n FROM note;\n";
    place.run_args(&["sql", "music.datasync"], script).is(0).says("\n2\n(1 row)\n");
    let broken = "INSERT INTO note VALUES ('kept');\n\nINSERT INTO nowhere VALUES (1);\n\
                  INSERT INTO note VALUES ('never');\n";
    place.run_args(&["sql", "music.datasync"], broken).fails(5, "line 3: no such table: nowhere");
    place.sql("SELECT text FROM note").is(0).says("kept").says("(3 rows)");
    let open = "BEGIN; DELETE FROM note;";
    place.run_args(&["sql", "music.datasync"], open).fails(5, "inside a transaction, which was rolled back");
    place.sql("SELECT count(*) FROM note").is(0).says("3\n");
}

#[test]
fn a_store_is_only_made_when_that_was_asked_for() {
    let place = Place::new();
    place.run("sql nowhere.datasync SELECT").fails(3, "nowhere.datasync");
    assert!(!place.path("nowhere.datasync").exists());
    place
        .run_args(&["sql", "new.datasync", "--create", "CREATE TABLE t(a); SELECT 1;"], "")
        .is(0)
        .says("(1 row)");
    for line in [
        "stat nowhere.datasync",
        "verify nowhere.datasync",
        "compact nowhere.datasync",
        "log nowhere.datasync",
    ] {
        place.run(line).fails(3, "nowhere.datasync");
    }
    assert!(!place.path("nowhere.datasync").exists());
}

#[test]
fn an_acknowledged_commit_survives_a_killed_writer() {
    let place = Place::imported();
    place.crash_after(&[
        "INSERT INTO artist(id, name) VALUES (1000, 'one')",
        "UPDATE artist SET name = 'two' WHERE id = 1",
    ]);
    place.run("log music.datasync").is(0).says("META slot").says("commit ").says("being written");
    place.run("stat music.datasync").is(0).says("unclean");
    let before = place.files("music.datasync");
    place.run("verify music.datasync").is(0).says("clean: ");
    assert_eq!(place.files("music.datasync"), before, "stat and verify change nothing");
    place.sql("SELECT name FROM artist WHERE id IN (1, 1000)").is(0).says("two").says("one");
    place.run("stat music.datasync --json").is(0).says("\"opened\": \"clean\"");
}

#[test]
fn compact_empties_the_log() {
    let place = Place::imported();
    place.crash_after(&["UPDATE album SET title = 'x'"]);
    place.run("compact music.datasync").is(0);
    let stat = place.run("stat music.datasync --json").is(0);
    let value: serde_json::Value = serde_json::from_str(&stat.out).unwrap();
    assert_eq!(value["log_blocks"], 0);
    place.run("verify music.datasync").is(0).says("clean: ").says(" 0 blocks in the log");
}

#[test]
fn export_replaces_a_file_only_when_told() {
    let place = Place::imported();
    fs::write(place.path("mine.db"), "precious").unwrap();
    place.run("export music.datasync mine.db").fails(2, "mine.db exists already");
    assert_eq!(fs::read(place.path("mine.db")).unwrap(), b"precious");
    place.run("export music.datasync mine.db --force").is(0);
    assert_eq!(content(&place.path("mine.db")), content(&place.path("music.db")));
}

#[test]
fn import_never_touches_what_is_there() {
    let place = Place::imported();
    place.sql("DELETE FROM album").is(0);
    let before = place.files("music.datasync");
    let again = place.run("import music.db music.datasync");
    assert!(again.code != 0 && again.err.contains("music.datasync"), "{}", again.err);
    assert_eq!(place.files("music.datasync"), before);
    fs::write(place.path("text.txt"), "no database at all").unwrap();
    let text = place.run("import text.txt other.datasync");
    assert!(text.code != 0 && text.err.contains("text.txt"), "{}", text.err);
    place.run("import missing.db other.datasync").fails(3, "missing.db");
}

#[test]
fn what_is_no_store_is_named_and_left_alone() {
    let place = Place::new();
    fs::create_dir(place.path("folder")).unwrap();
    fs::write(place.path("folder/letter.txt"), "dear").unwrap();
    for line in
        ["stat folder", "verify folder", "log folder", "sql folder SELECT", "stat music.db", "compact folder"]
    {
        let store = line.split(' ').nth(1).unwrap();
        place.run(line).fails(3, store);
    }
    let left: Vec<_> =
        fs::read_dir(place.path("folder")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["letter.txt"]);
}

#[test]
fn a_store_in_use_names_its_holder() {
    let place = Place::imported();
    let (mut child, mut lines) = place.writer();
    writeln!(child.stdin.as_mut().unwrap(), "SELECT 'done';").unwrap();
    while lines.next().unwrap().unwrap() != "done" {}
    let holder = child.id().to_string();
    place.sql("SELECT 1").fails(4, &holder);
    place.run("verify music.datasync").fails(4, &holder);
    place.run("log music.datasync").is(0).says("META slot");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    place.sql("SELECT 1").is(0);
}

#[test]
fn damage_is_found_named_and_salvaged_into_a_new_store() {
    let place = Place::imported();
    let base = place.path("music.datasync/base.db");
    let mut bytes = fs::read(&base).unwrap();
    let last = bytes.len() / 4096 - 1;
    bytes[last * 4096 + 100] ^= 1;
    fs::write(&base, &bytes).unwrap();
    let before = place.files("music.datasync");
    place
        .run("verify music.datasync")
        .fails(1, "music.datasync")
        .says("DAMAGED")
        .says(&format!("block {last}"));
    let salvaged = place.run("salvage music.datasync --to rescued.datasync").is(1);
    assert!(salvaged.out.contains(&format!("LOST     block {last}")), "{}", salvaged.out);
    assert_eq!(place.files("music.datasync"), before, "the damaged store is only read");
    place.run("verify rescued.datasync --blocks-only").is(0).says("clean: ");
    place.run("salvage music.datasync --to rescued.datasync").fails(2, "exists already");
}

#[test]
fn a_salvage_that_is_killed_leaves_no_copy_that_could_be_taken_for_a_whole_one() {
    let place = Place::imported();
    let (whole, copy) = (place.files("music.datasync"), place.path("copy.datasync"));
    for wait in 0.. {
        let mut child =
            place.command(&["salvage", "music.datasync", "--to", "copy.datasync/"]).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(wait));
        let ended = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(place.files("music.datasync"), whole, "the damaged store is only read");
        if copy.exists() {
            place.run("verify copy.datasync").is(0);
            place.run("export copy.datasync copy.db").is(0);
            assert_eq!(content(&place.path("copy.db")), content(&place.path("music.db")));
            break;
        }
        assert!(!ended, "a salvage that was not killed makes a copy");
        let _ = fs::remove_dir_all(place.path("copy.datasync.salvaging"));
    }
    fs::create_dir(place.path("other.datasync.salvaging")).unwrap();
    place.run("salvage music.datasync --to other.datasync").fails(2, "interrupted");
}

#[test]
fn salvage_of_a_sound_store_loses_nothing() {
    let place = Place::imported();
    place.crash_after(&["INSERT INTO artist(name) VALUES ('in the log')"]);
    place.run("salvage music.datasync --to copy.datasync").is(0).says("copy.datasync holds");
    place.run("export copy.datasync copy.db").is(0);
    place.sql("SELECT 1").is(0);
    assert_eq!(content(&place.path("copy.db")), content(&place.path("music.datasync/base.db")));
}

#[test]
fn salvage_without_meta_copies_what_base_and_sums_agree_on() {
    let place = Place::imported();
    fs::remove_file(place.path("music.datasync/META")).unwrap();
    let salvaged = place.run("salvage music.datasync --to rescued.datasync").is(1);
    assert!(salvaged.out.contains("DAMAGED  META"), "{}", salvaged.out);
    assert!(!salvaged.out.contains("LOST"), "{}", salvaged.out);
    assert!(!place.path("music.datasync/META").exists(), "the damaged store is only read");
    place.run("export rescued.datasync copy.db").is(0);
    assert_eq!(content(&place.path("copy.db")), content(&place.path("music.db")));
}

#[test]
fn salvage_keeps_another_programs_edits_when_told() {
    let place = Place::imported();
    edit_base(&place);
    place.run("salvage music.datasync --to sound.datasync").is(1).says("LOST     block 0: ");
    let all = place.run("salvage music.datasync --to all.datasync --unverified").is(1);
    assert!(all.out.contains("LOST     block 0, copied unverified: "), "{}", all.out);
    place.run("export all.datasync copy.db").is(0);
    assert!(content(&place.path("copy.db")).contains(&"1:edited".to_owned()));
}

#[test]
fn every_kind_of_bad_store_is_an_error_that_changes_nothing() {
    type Spoil = fn(&Place);
    let cases: [(&str, Spoil, &str); 5] = [
        ("damaged META", |place| fs::write(place.path("music.datasync/META"), [7; 65536]).unwrap(), "META"),
        ("missing META", |place| fs::remove_file(place.path("music.datasync/META")).unwrap(), "META"),
        ("deleted segment", |place| remove_segments(place), "log-"),
        ("base edited by another program", edit_base, "base.db"),
        (
            "base cut short",
            |place| fs::write(place.path("music.datasync/base.db"), [0; 4096]).unwrap(),
            "base.db",
        ),
    ];
    for (name, spoil, part) in cases {
        let place = Place::imported();
        place.crash_after(&["INSERT INTO artist(name) VALUES ('late')"]);
        spoil(&place);
        let before = place.files("music.datasync");
        let ran = place.run("verify music.datasync");
        assert!(ran.code == 1 || ran.code == 3, "{name}: {} {}{}", ran.code, ran.out, ran.err);
        assert!(ran.out.contains(part) || ran.err.contains(part), "{name}: {}{}", ran.out, ran.err);
        place.run("log music.datasync");
        place.run("stat music.datasync");
        assert_eq!(place.files("music.datasync"), before, "{name}: nothing was changed");
    }
}

#[test]
fn a_newer_format_is_told_from_damage() {
    let place = Place::imported();
    let path = place.path("music.datasync/META");
    let mut meta = fs::read(&path).unwrap();
    for copy in meta.chunks_exact_mut(META_BYTES) {
        copy[4..6].copy_from_slice(&99_u16.to_le_bytes());
        let digest = digest(&copy[..META_BYTES - 8]);
        copy[META_BYTES - 8..].copy_from_slice(&digest.to_le_bytes());
    }
    fs::write(&path, meta).unwrap();
    let before = place.files("music.datasync");
    for line in ["verify music.datasync", "stat music.datasync", "compact music.datasync"] {
        let ran = place.run(line).fails(3, "music.datasync");
        assert!(ran.err.contains("newer"), "{}", ran.err);
    }
    assert_eq!(place.files("music.datasync"), before);
}

#[test]
fn a_store_that_may_only_be_read_can_be_read() {
    let place = Place::imported();
    let store = place.path("music.datasync");
    let files = || fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().path()).chain([store.clone()]);
    let set = |readonly: bool| {
        for path in files().collect::<Vec<_>>() {
            let mut permissions = fs::metadata(&path).unwrap().permissions();
            permissions.set_readonly(readonly);
            fs::set_permissions(&path, permissions).unwrap();
        }
    };
    set(true);
    let refused = fs::File::options().append(true).open(store.join("META")).is_err();
    if refused {
        place.sql("DELETE FROM album").fails(6, "music.datasync");
        place.run("stat music.datasync").is(0);
        place
            .run_args(&["sql", "music.datasync", "--read-only", "SELECT count(*) FROM album"], "")
            .is(0)
            .says("300");
    } else {
        println!("skipped: this user may write to read-only files");
    }
    set(false);
}

fn remove_segments(place: &Place) {
    for entry in fs::read_dir(place.path("music.datasync")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("log-") {
            fs::remove_file(path).unwrap();
        }
    }
}

fn edit_base(place: &Place) {
    let plain = Connection::open(place.path("music.datasync/base.db")).unwrap();
    plain.execute_batch("UPDATE artist SET name = 'edited'").unwrap();
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
