//! Decoding one page: what is accepted is exactly what would have been written.

use datasync::block::{BLOCK_SIZE, BlockBytes, StoreId};
use datasync::format::checksum::digest;
use datasync::format::group::Group;
use datasync::format::meta::{META_BYTES, Meta};
use datasync::format::segment::SegmentHeader;
use datasync::format::sums::SumsPage;

use crate::invariants::{Checked, ensure};

/// The bytes as each kind of page, as they are and with the digest made right.
pub fn decode_group(data: &[u8]) -> Checked<()> {
    let mut page = [0; BLOCK_SIZE];
    let count = data.len().min(BLOCK_SIZE);
    page[..count].copy_from_slice(&data[..count]);
    all(&page)?;
    seal(&mut page);
    all(&page)?;
    let mut meta = vec![0; META_BYTES];
    let count = data.len().min(META_BYTES);
    meta[..count].copy_from_slice(&data[..count]);
    meta_page(&meta)?;
    seal(&mut meta);
    meta_page(&meta)
}

fn seal(bytes: &mut [u8]) {
    let at = bytes.len() - 8;
    let sum = digest(&bytes[..at]);
    bytes[at..].copy_from_slice(&sum.to_le_bytes());
}

fn all(page: &BlockBytes) -> Checked<()> {
    let mut again = [0; BLOCK_SIZE];
    if let Ok((group, sum)) = Group::decode(page) {
        same("group", group.encode(&mut again) == sum && again == *page)?;
    }
    if let Ok((header, sum)) = SegmentHeader::decode(page) {
        same("segment header", header.encode(&mut again) == sum && again == *page)?;
    }
    let store = StoreId(*page[8..].first_chunk().expect("a page is longer"));
    let number = u64::from_le_bytes(*page[24..].first_chunk().expect("a page is longer"));
    for slot in 0..2 {
        if let Ok(sums) = SumsPage::decode(page, store, number, slot) {
            sums.encode(slot, &mut again);
            same("page of sums", again == *page)?;
        }
    }
    Ok(())
}

fn meta_page(bytes: &[u8]) -> Checked<()> {
    match Meta::decode(bytes) {
        Ok(meta) => same("META", meta.encode() == bytes),
        Err(_) => Ok(()),
    }
}

fn same(what: &str, same: bool) -> Checked<()> {
    ensure(same, "format", || format!("a {what} decodes from bytes that it does not encode to"))
}
