//! The commands that treat a store as a whole: import, export, stat, compact; and what is no store.

use std::fs;
use std::io::Write;

use rusqlite::Connection;

use crate::{Place, content};

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
    assert!(!place.path("mine.db.exporting").exists());
}

#[test]
fn an_export_goes_where_it_is_told_whatever_the_name_means_to_sqlite() {
    let place = Place::imported();
    fs::write(place.path("mine.db"), "precious").unwrap();
    for name in ["file:mine.db", ":memory:", "file:x?vfs=datasync"] {
        place.run_args(&["export", "music.datasync", name], "").is(0);
        assert_eq!(content(&place.path(name)), content(&place.path("music.db")), "{name}");
    }
    assert_eq!(fs::read(place.path("mine.db")).unwrap(), b"precious");
}

#[test]
fn nothing_is_written_among_the_files_of_a_store() {
    let place = Place::imported();
    let before = place.files("music.datasync");
    for line in [
        "export music.datasync music.datasync/base.db --force",
        "export music.datasync music.datasync/copy.db",
        "salvage music.datasync --to music.datasync/copy",
    ] {
        let refused = place.run(line).fails(2, "inside of");
        assert!(refused.err.contains("elsewhere"), "{}", refused.err);
    }
    assert_eq!(place.files("music.datasync"), before);
}

#[test]
fn the_base_of_a_store_is_imported_only_when_all_is_in_it() {
    let place = Place::imported();
    place.run("import music.datasync/base.db one.datasync").is(0);
    place.crash_after(&["DELETE FROM album"]);
    let refused = place.run("import music.datasync/base.db two.datasync").fails(2, "was not closed");
    assert!(refused.err.contains("export that store"), "{}", refused.err);
    assert!(!place.path("two.datasync").exists());
    place.run("compact music.datasync").is(0);
    place.run("import music.datasync/base.db two.datasync").is(0);
}

#[test]
fn the_next_step_after_a_wrong_path_leads_somewhere() {
    let place = Place::imported();
    let folder = "directory that it is to stand in";
    place.run_args(&["sql", "a/b.datasync", "--create", "SELECT 1"], "").fails(3, "a/b").advises(folder);
    place.run("import music.db a/b.datasync").fails(3, "a/b").advises(folder);
    place.run("salvage music.datasync --to a/b.datasync").fails(3, "a/b").advises(folder);
    place.run("import music.datasync copy.datasync").fails(2, "is a directory").advises("datasync export");
    place.run("log music.db").fails(3, "is a file").advises("datasync import");
}

#[test]
fn an_export_that_cannot_replace_a_file_says_why_and_leaves_nothing_behind() {
    let place = Place::imported();
    let force = "export music.datasync mine.db --force";
    fs::write(place.path("mine.db"), "precious").unwrap();
    fs::write(place.path("mine.db-wal"), "open").unwrap();
    place.run(force).fails(4, "mine.db-wal");
    assert_eq!(fs::read(place.path("mine.db")).unwrap(), b"precious");
    assert!(!place.path("mine.db.exporting").exists());
    fs::remove_file(place.path("mine.db-wal")).unwrap();
    fs::write(place.path("mine.db.exporting"), "half").unwrap();
    place.run(force).fails(2, "mine.db.exporting").advises("remove it");
    fs::remove_file(place.path("mine.db.exporting")).unwrap();
    fs::remove_file(place.path("mine.db")).unwrap();
    fs::create_dir(place.path("mine.db")).unwrap();
    let refused = place.run(force);
    assert!(refused.code == 6 && !place.path("mine.db.exporting").exists(), "{}", refused.err);
    fs::remove_dir(place.path("mine.db")).unwrap();
    place.run("export music.datasync mine.db").is(0);
    place.run(force).is(0);
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
    place.run("import text.txt other.datasync").fails(5, "text.txt").advises("SQL text goes to");
    place.run("import missing.db other.datasync").fails(3, "missing.db").advises("path of the database file");
    assert!(!place.path("other.datasync").exists());
}

#[test]
fn a_checksum_that_an_empty_store_does_not_have_is_no_damage() {
    let place = Place::new();
    place.run_args(&["sql", "empty.datasync", "--create", "SELECT 1"], "").is(0);
    place
        .run("import music.db empty.datasync --checksum crc32")
        .fails(2, "xxh3")
        .advises("leave --checksum out");
    place.run("import music.db empty.datasync --checksum xxh3").is(0);
}

#[test]
fn the_environment_names_the_checksum_of_new_stores() {
    let place = Place::new();
    let with = |name: &str, args: &[&str]| {
        let out = place.command(args).env("DATASYNC_CHECKSUM_ALGO", name).output().unwrap();
        (out.status.code().unwrap(), String::from_utf8(out.stderr).unwrap())
    };
    let make = ["sql", "new.datasync", "--create", "SELECT 1"];
    let (code, err) = with("md5", &make);
    assert!(code != 0 && err.contains("DATASYNC_CHECKSUM_ALGO") && err.contains("md5"), "{err}");
    assert_eq!(with("crc32", &make).0, 0);
    place.run("import music.db new.datasync --checksum xxh3").fails(2, "new.datasync");
    assert_eq!(
        with("xxh3", &["sql", "new.datasync", "SELECT 1"]).0,
        0,
        "a store that is there keeps its own"
    );
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
