//! Stores that are damaged, or of another version: verify, salvage, and that nothing is changed.

use std::fs;

use datasync::backend::OpenMode;
use datasync::backend::file::FileStore;
use datasync::block::{BLOCK_SIZE, BlockNo, Durability};
use datasync::format::checksum::digest;
use datasync::format::meta::META_BYTES;
use datasync::volume::{Options, Volume};
use rusqlite::Connection;

use crate::{Place, content};

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
fn what_is_read_of_a_damaged_store_is_called_that() {
    let place = Place::imported();
    place.crash_after(&["INSERT INTO artist(name) VALUES ('late')"]);
    remove_segments(&place);
    fs::write(place.path("copy.db"), "an older copy").unwrap();
    place.run("export music.datasync copy.db").fails(2, "exists already");
    let exported = place.run("export music.datasync copy.db --force").fails(1, "the store is damaged");
    assert!(exported.err.contains("DAMAGED  log-"), "{}", exported.err);
    assert_eq!(content(&place.path("copy.db")), content(&place.path("music.db")));
    let read = place.run_args(&["sql", "music.datasync", "--read-only", "SELECT 1"], "").is(0);
    assert!(read.err.contains("DAMAGED  log-"), "{}", read.err);
    let log = place.run("log music.datasync --last 2").is(0);
    assert!(log.out.contains("MISSING"), "{}", log.out);
}

#[test]
fn the_last_groups_are_shown_with_all_their_blocks() {
    let place = Place::imported();
    place.crash_after(&["DELETE FROM album", "DELETE FROM artist"]);
    let all = place.run("log music.datasync --blocks").is(0).out;
    let last = place.run("log music.datasync --blocks --last 1").is(0).out;
    let group = |line: &&str| line.starts_with("  page ");
    assert_eq!(last.lines().filter(group).count(), 1, "{last}");
    assert!(last.lines().count() > 1 && last.starts_with("  page ") && all.contains(&last), "{last}");
}

#[test]
fn a_sound_store_without_a_database_is_salvaged_and_another_kind_of_content_is_named() {
    let place = Place::imported();
    place.run_args(&["sql", "empty.datasync", "--create", "SELECT 1"], "").is(0);
    place.run("salvage empty.datasync --to copy.datasync").is(0);
    place.run("verify copy.datasync").is(0);
    let volume = Volume::open(
        FileStore::open(place.path("blocks.datasync"), OpenMode::Create).unwrap(),
        Options::new().background(false),
    );
    let volume = volume.unwrap();
    let mut writer = volume.begin().unwrap();
    writer.write(BlockNo(0), &[7; BLOCK_SIZE]).unwrap();
    writer.commit(Durability::Durable).unwrap();
    volume.close().unwrap();
    drop(volume);
    place.run("verify blocks.datasync").fails(5, "not a database").advises("--blocks-only");
    place.run("verify blocks.datasync --blocks-only").is(0);
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
