//! Each kind of page by itself: no flipped bit, no foreign place and no impossible number is accepted.

use std::fs;
use std::path::Path;

use datasync::block::{BLOCK_SIZE, BlockBytes, StoreId};
use datasync::format::checksum::digest;
use datasync::format::group::Group;
use datasync::format::meta::{META_BYTES, Meta};
use datasync::format::segment::SegmentHeader;
use datasync::format::sums::SumsPage;

use crate::invariants::{Checked, ensure};

fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1").join(name);
    fs::read(path).expect("a golden file")
}

fn page(name: &str) -> BlockBytes {
    *golden(name).first_chunk().expect("one page")
}

fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = bytes.len() - 8;
    let sum = digest(&bytes[..at]);
    bytes[at..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn refused(what: &str, refused: bool) -> Checked<()> {
    ensure(refused, "format", || format!("{what} was accepted"))
}

/// All of it.
pub fn run() -> Checked<()> {
    flipped()?;
    foreign_sums()?;
    impossible()
}

fn flipped() -> Checked<()> {
    let meta = golden("meta.bin");
    let decodes: [(&str, fn(&BlockBytes) -> bool); 3] = [
        ("group.bin", |page| Group::decode(page).is_ok()),
        ("segment.bin", |page| SegmentHeader::decode(page).is_ok()),
        ("watermark.bin", |page| Group::decode(page).is_ok()),
    ];
    for (name, decodes) in decodes {
        let page = page(name);
        ensure(decodes(&page), "format", || format!("{name} does not decode"))?;
        for at in 0..BLOCK_SIZE {
            let mut bad = page;
            bad[at] ^= 1 << (at % 8);
            refused(&format!("{name} with byte {at} flipped"), !decodes(&bad))?;
        }
    }
    for at in 0..META_BYTES {
        let mut bad = meta.clone();
        bad[at] ^= 1 << (at % 8);
        refused(&format!("meta.bin with byte {at} flipped"), Meta::decode(&bad).is_err())?;
    }
    Ok(())
}

fn foreign_sums() -> Checked<()> {
    let bytes = page("sums.bin");
    let store = StoreId(*bytes[8..].first_chunk().expect("16 bytes"));
    let number = u64::from_le_bytes(*bytes[24..].first_chunk().expect("8 bytes"));
    let slot = bytes[7];
    ensure(SumsPage::decode(&bytes, store, number, slot).is_ok(), "format", || "sums.bin".into())?;
    let other = StoreId([0x77; 16]);
    refused("a page of sums of another store", SumsPage::decode(&bytes, other, number, slot).is_err())?;
    refused("another page of sums", SumsPage::decode(&bytes, store, number + 1, slot).is_err())?;
    refused("another slot of sums", SumsPage::decode(&bytes, store, number, 1 - slot).is_err())
}

fn impossible() -> Checked<()> {
    let (mut group, _) = Group::decode(&page("group.bin")).expect("golden");
    let mut bytes = [0; BLOCK_SIZE];
    group.changes.clear();
    group.size = u64::MAX;
    group.encode(&mut bytes);
    refused("a group that says a size of 2^64 - 1", Group::decode(&bytes).is_err())?;
    let mut meta = Meta::decode(&golden("meta.bin")).expect("golden");
    meta.body.size = u64::MAX;
    refused("a META that says a size of 2^64 - 1", Meta::decode(&sealed(&meta.encode())).is_err())
}

#[test]
fn no_page_is_accepted_that_was_not_written_for_its_place() {
    if let Err(violation) = run() {
        panic!("{violation}");
    }
}
