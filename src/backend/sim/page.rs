//! One 4 KiB page of the simulated medium: shared, never edited, hashed at most once.

use std::sync::{Arc, OnceLock};

use twox_hash::XxHash3_64;

use super::random::Random;
use crate::block::{BLOCK_SIZE, BlockBytes};

/// Bytes in a sector, the unit at which a page may tear.
pub const SECTOR: usize = 512;

/// A page's content, or `None` for all zeros.
pub type Content = Option<Arc<Page>>;

/// Bytes, in the buffer they were written from, and their hash once somebody has asked for it: most pages are
/// written and never compared.
#[derive(Debug)]
pub struct Page {
    hash: OnceLock<u64>,
    written: Arc<[u8]>,
    at: usize,
}

impl Page {
    /// The content with these bytes, at most 4096 of them; the rest is zeros.
    #[must_use]
    pub fn content(bytes: &[u8]) -> Content {
        if crate::block::is_zero(bytes) {
            return None;
        }
        let mut whole = vec![0; BLOCK_SIZE];
        whole[..bytes.len()].copy_from_slice(bytes);
        Some(Arc::new(Self { hash: OnceLock::new(), written: whole.into(), at: 0 }))
    }

    /// The page that begins at byte `at` of `written`.
    pub(super) fn within(written: &Arc<[u8]>, at: usize) -> Content {
        if crate::block::is_zero(&written[at..at + BLOCK_SIZE]) {
            return None;
        }
        Some(Arc::new(Self { hash: OnceLock::new(), written: Arc::clone(written), at }))
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &BlockBytes {
        self.written[self.at..self.at + BLOCK_SIZE].try_into().expect("a whole page")
    }
}

/// The bytes of `content`.
#[must_use]
pub fn bytes_of(content: &Content) -> &BlockBytes {
    const ZEROS: &BlockBytes = &[0; BLOCK_SIZE];
    content.as_ref().map_or(ZEROS, |page| page.bytes())
}

/// The hash of `content`; zeros hash to 0.
#[must_use]
pub fn hash_of(content: &Content) -> u64 {
    content.as_ref().map_or(0, |page| *page.hash.get_or_init(|| XxHash3_64::oneshot(page.bytes())))
}

/// Whether both hold the same bytes.
#[must_use]
pub fn same_bytes(one: &Content, other: &Content) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other) || one.bytes() == other.bytes(),
        (one, other) => one.is_none() && other.is_none(),
    }
}

/// What a page may hold after a power cut that lost it half-way: bytes nobody wrote. `which` picks one of
/// 16 such pages.
#[must_use]
pub fn garbage(which: u64) -> Content {
    static PAGES: OnceLock<Vec<Content>> = OnceLock::new();
    let pages = PAGES.get_or_init(|| (0..16).map(draw_garbage).collect());
    pages[(which % 16) as usize].clone()
}

fn draw_garbage(seed: u64) -> Content {
    let mut random = Random::new(seed);
    let bytes: Vec<u8> = (0..BLOCK_SIZE / 8).flat_map(|_| random.draw().to_le_bytes()).collect();
    Page::content(&bytes)
}

/// `old` with the sectors named by `mask` (bit n: sector n) taken from `new`.
#[must_use]
pub fn torn_by_sector(old: &Content, new: &Content, mask: u8) -> Content {
    let mut bytes = *bytes_of(old);
    for sector in (0..BLOCK_SIZE / SECTOR).filter(|sector| mask >> sector & 1 == 1) {
        let range = sector * SECTOR..(sector + 1) * SECTOR;
        bytes[range.clone()].copy_from_slice(&bytes_of(new)[range]);
    }
    Page::content(&bytes)
}

/// `old` with its first `count` bytes taken from `new`.
#[must_use]
pub fn torn_by_byte(old: &Content, new: &Content, count: usize) -> Content {
    let mut bytes = *bytes_of(old);
    let count = count.min(BLOCK_SIZE);
    bytes[..count].copy_from_slice(&bytes_of(new)[..count]);
    Page::content(&bytes)
}
