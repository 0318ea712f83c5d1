//! What a volume says of a store that is not as it was left: a typed error that names the file and the next
//! step, and not one byte changed.

use datasync::backend::Source;
use datasync::block::BlockNo;
use datasync::error::{Error, ErrorKind};
use datasync::format::checksum::digest;
use datasync::format::meta::META_BYTES;
use datasync::log::plan::Area;
use datasync::volume::Volume;

use crate::medium::{BLOCK, Medium};
use crate::volume::{Expected, after, check, commit, fill, open, options};

/// A store whose writer crashed with several segments in the log.
fn crashed<M: Medium>() -> M {
    let (medium, mut expected) = (M::new(), Expected::new());
    let volume = open(&medium);
    fill(&volume, &mut expected);
    drop(volume);
    assert!(medium.open().segments().unwrap().len() >= 3);
    medium
}

/// A store that was closed properly, with 20 blocks.
fn closed<M: Medium>() -> M {
    let (medium, mut expected) = (M::new(), Expected::new());
    let volume = open(&medium);
    fill(&volume, &mut expected);
    volume.close().unwrap();
    medium
}

fn everything<M: Medium>(medium: &M) -> Vec<(Area, Vec<u8>)> {
    medium.areas().into_iter().map(|area| (area, medium.bytes(area).unwrap())).collect()
}

/// Opening must fail with `kind`, name the place and each of `words`, and change nothing.
fn refused<M: Medium>(medium: &M, kind: ErrorKind, words: &[&str]) -> Error {
    let before = everything(medium);
    let error = Volume::open(medium.open(), options()).map(drop).expect_err("opened what is damaged");
    assert_eq!(error.kind(), kind, "{error}");
    says(medium, &error, words);
    assert!(everything(medium) == before, "a refused store was changed");
    error
}

fn says<M: Medium>(medium: &M, error: &Error, words: &[&str]) {
    let text = error.to_string();
    assert!(text.contains(&medium.place()), "does not say where: {text}");
    for word in words {
        assert!(text.contains(word), "does not say \"{word}\": {text}");
    }
}

fn change<M: Medium>(medium: &M, area: Area, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = medium.bytes(area).unwrap();
    change(&mut bytes);
    medium.overwrite(area, &bytes);
}

fn segments<M: Medium>(medium: &M) -> Vec<Area> {
    medium.open().segments().unwrap().into_iter().map(Area::Segment).collect()
}

pub fn deleted_segment_is_named<M: Medium>() {
    let medium = crashed::<M>();
    let gone = segments(&medium)[1];
    medium.delete(gone);
    refused(&medium, ErrorKind::Corrupt, &[&gone.to_string(), "datasync salvage"]);
}

pub fn emptied_segment_is_named<M: Medium>() {
    let medium = crashed::<M>();
    let emptied = segments(&medium)[0];
    change(&medium, emptied, |bytes| bytes.fill(0));
    refused(&medium, ErrorKind::Corrupt, &[&emptied.to_string(), "datasync salvage"]);
}

pub fn rot_in_the_middle_of_the_log_is_named<M: Medium>() {
    let medium = crashed::<M>();
    let rotten = segments(&medium)[0];
    change(&medium, rotten, |bytes| bytes[2 * BLOCK + 100] ^= 1);
    refused(&medium, ErrorKind::Corrupt, &[&rotten.to_string(), "datasync"]);
}

pub fn deleted_meta_is_no_new_store<M: Medium>() {
    for medium in [crashed::<M>(), closed::<M>()] {
        medium.delete(Area::Meta);
        refused(&medium, ErrorKind::Corrupt, &["META", "datasync salvage"]);
    }
}

pub fn damaged_meta_is_no_new_store<M: Medium>() {
    for medium in [crashed::<M>(), closed::<M>()] {
        change(&medium, Area::Meta, |bytes| bytes.iter_mut().step_by(64).for_each(|byte| *byte ^= 0xFF));
        refused(&medium, ErrorKind::Corrupt, &["META", "datasync salvage"]);
    }
}

pub fn one_damaged_copy_of_meta_does_no_harm<M: Medium>() {
    for copy in 0..4 {
        let medium = closed::<M>();
        change(&medium, Area::Meta, |bytes| {
            let copy = bytes.chunks_mut(META_BYTES).nth(copy);
            copy.into_iter().flatten().for_each(|byte| *byte = 0xAA);
        });
        let volume = open(&medium);
        commit(&volume, &mut Expected::new(), &[1], 50);
        volume.close().unwrap();
    }
}

pub fn newer_format_asks_for_an_upgrade<M: Medium>() {
    let medium = closed::<M>();
    change(&medium, Area::Meta, |bytes| {
        for copy in bytes.chunks_exact_mut(META_BYTES) {
            copy[4] = 99;
            let sum = digest(&copy[..META_BYTES - 8]);
            copy[META_BYTES - 8..].copy_from_slice(&sum.to_le_bytes());
        }
    });
    refused(&medium, ErrorKind::Unsupported, &["META", "99", "pgrade"]);
}

/// Reading is refused block by block: an application must never see bytes that no commit wrote.
pub fn base_edited_by_another_program_is_noticed<M: Medium>() {
    let medium = closed::<M>();
    change(&medium, Area::Base, |bytes| bytes[5 * BLOCK + 7] ^= 1);
    let volume = match Volume::open(medium.open(), options()) {
        Ok(volume) => volume,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            return says(&medium, &error, &["base.db", "datasync"]);
        }
    };
    let snapshot = volume.snapshot().unwrap();
    let mut bytes = [0; BLOCK];
    let error = snapshot.read(BlockNo(5), &mut bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    says(&medium, &error, &["base.db", "block 5", "datasync"]);
    snapshot.read(BlockNo(4), &mut bytes).unwrap();
}

pub fn base_cut_short_is_noticed<M: Medium>() {
    let medium = closed::<M>();
    change(&medium, Area::Base, |bytes| bytes.truncate(10 * BLOCK));
    let Ok(volume) = Volume::open(medium.open(), options()) else { return };
    let mut bytes = [0; BLOCK];
    let error = volume.snapshot().unwrap().read(BlockNo(15), &mut bytes).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    says(&medium, &error, &["base.db", "datasync"]);
}

pub fn deleted_base_is_noticed<M: Medium>() {
    let medium = closed::<M>();
    medium.delete(Area::Base);
    refused(&medium, ErrorKind::Corrupt, &["base.db", "datasync salvage"]);
}

pub fn deleted_sums_are_noticed<M: Medium>() {
    let medium = closed::<M>();
    medium.delete(Area::Sums);
    refused(&medium, ErrorKind::Corrupt, &["base.sum", "datasync salvage"]);
}

pub fn damaged_store_is_still_read_up_to_the_damage<M: Medium>() {
    let medium = crashed::<M>();
    let rotten = segments(&medium)[1];
    change(&medium, rotten, |bytes| bytes[BLOCK..].fill(0x55));
    let before = everything(&medium);
    let volume = Volume::open(medium.open(), options().read_only(true)).unwrap();
    assert!(!volume.recovery().damage.is_empty());
    let error = volume.begin().map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ReadOnly, "{error}");
    let snapshot = volume.snapshot().unwrap();
    // One commit a round, so this is what was there after that many rounds.
    let rounds = snapshot.lsn().0;
    assert!((1..8).contains(&rounds), "{rounds} of 8 commits");
    check(&snapshot, &after(rounds));
    drop(snapshot);
    drop(volume);
    assert!(everything(&medium) == before);
}

pub fn for_reading_only_what_something_proves_is_called_durable<M: Medium>() {
    let read = |medium: &M| {
        let volume = Volume::open(medium.open(), options().read_only(true)).unwrap();
        let stats = volume.stats();
        assert_eq!(volume.sync().unwrap(), volume.durable_lsn());
        (stats.durable, stats.committed)
    };
    // Nothing says that the last commit's barrier was ever over: it may be in a cache only.
    let medium = crashed::<M>();
    commit(&open(&medium), &mut Expected::new(), &[1], 70);
    let (durable, committed) = read(&medium);
    assert!(durable < committed, "{durable} of {committed}");
    let (durable, committed) = read(&closed::<M>());
    assert_eq!(durable, committed);
}
