//! Files of earlier format versions, written once and read for ever.
//!
//! `v1/*.bin` are single structures, written by the values in `pages`; its folders are whole stores. With
//! `DATASYNC_WRITE_GOLDEN=1` what is absent is written; what is there is never written again. If a test here
//! fails, the format changed: raise its version, keep the old files, and add new ones.

mod pages;
mod stores;

use std::path::{Path, PathBuf};

use datasync::format::checksum::digest;
use pages::{Page, pages};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

/// The file `name`, written first if it is absent and writing was asked for.
fn golden(page: &Page) -> Vec<u8> {
    let path = folder().join(format!("{}.bin", page.name));
    if std::env::var_os("DATASYNC_WRITE_GOLDEN").is_some() && !path.exists() {
        std::fs::write(&path, &page.bytes).unwrap();
    }
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn structures_of_version_1_are_read_and_written_byte_for_byte() {
    for page in pages() {
        let golden = golden(&page);
        assert_eq!(page.bytes.len(), golden.len(), "{}", page.name);
        let differs = page.bytes.iter().zip(&golden).position(|(now, then)| now != then);
        assert_eq!(differs, None, "{}: written differently from this byte on", page.name);
        assert_eq!(
            (page.reencode)(&golden).as_ref(),
            Ok(&golden),
            "{}: not read as it was written",
            page.name
        );
    }
}

#[test]
fn a_decoder_accepts_only_what_its_encoder_writes() {
    for page in pages() {
        let end = page.bytes.len() - 8;
        for at in 0..end {
            for flip in [1_u8, 0x80] {
                let mut changed = page.bytes.clone();
                changed[at] ^= flip;
                let sealed = digest(&changed[..end]).to_le_bytes();
                changed[end..].copy_from_slice(&sealed);
                if let Ok(written) = (page.reencode)(&changed) {
                    assert!(written == changed, "{}: byte {at} means nothing and is accepted", page.name);
                }
            }
        }
    }
}

#[test]
fn any_flipped_bit_is_refused() {
    for page in pages() {
        for bit in 0..page.bytes.len() * 8 {
            let mut changed = page.bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!((page.reencode)(&changed).is_err(), "{}: bit {bit}", page.name);
        }
    }
}
