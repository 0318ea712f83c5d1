//! One 4 KiB page of the simulated medium: shared, never edited, hashed once.

use std::sync::{Arc, OnceLock};

use twox_hash::XxHash3_64;

use super::random::Random;
use crate::block::{BLOCK_SIZE, BlockBytes};

/// Bytes in a sector, the unit at which a page may tear.
pub const SECTOR: usize = 512;

/// A page's content, or `None` for all zeros.
pub type Content = Option<Arc<Page>>;

/// Bytes and their hash.
#[derive(Debug)]
pub struct Page {
    hash: u64,
    bytes: BlockBytes,
}

impl Page {
    /// The content with these bytes, at most 4096 of them; the rest is zeros.
    #[must_use]
    pub fn content(bytes: &[u8]) -> Content {
        if crate::block::is_zero(bytes) {
            return None;
        }
        let mut whole = [0; BLOCK_SIZE];
        whole[..bytes.len()].copy_from_slice(bytes);
        Some(Arc::new(Self { hash: XxHash3_64::oneshot(&whole), bytes: whole }))
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &BlockBytes {
        &self.bytes
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
    content.as_ref().map_or(0, |page| page.hash)
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
