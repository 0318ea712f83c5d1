//! Bytes to values and back: group headers, segment headers, META slots, pages of `base.sum`, checksums.
//!
//! Pure, and the surface that hostile bytes meet first: a decoder here never panics, never allocates from
//! a length it has not verified, and accepts exactly what its encoder writes. What a value *means* (is this
//! group the next one, is it torn or damaged) is not known here; `log/` and `store/` decide that.
//!
//! The byte tables are in `docs/format.md`; all integers are little-endian.

pub mod checksum;
pub mod group;
pub mod meta;
pub mod segment;
pub mod sums;

use std::fmt;

use crate::block::{BLOCK_SIZE, BlockBytes};
use crate::planted::{Bug, planted};

/// Version of everything on the medium. A reader refuses a higher one.
pub const FORMAT_VERSION: u16 = 1;

/// Why bytes are not the value they were read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The magic number is not there: never written, zeroed, or something else altogether.
    NotThere,
    /// The magic is there, the format version is higher than ours.
    Newer {
        /// The version found.
        version: u16,
    },
    /// The digest does not match: torn or damaged.
    Digest,
    /// The digest matches and the content breaks a rule of the format.
    Malformed(&'static str),
    /// Sound, but of another store, segment, life or place.
    Foreign(&'static str),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotThere => f.write_str("nothing written here"),
            Self::Newer { version } => {
                write!(f, "format version {version}, this build reads up to {FORMAT_VERSION}")
            }
            Self::Digest => f.write_str("digest does not match"),
            Self::Malformed(why) => write!(f, "malformed: {why}"),
            Self::Foreign(what) => write!(f, "belongs elsewhere: {what}"),
        }
    }
}

/// Writes integers one after another into a page.
pub(crate) struct Put<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl<'a> Put<'a> {
    pub(crate) fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.bytes[self.at..self.at + value.len()].copy_from_slice(value);
        self.at += value.len();
        self
    }

    pub(crate) fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes(&[value])
    }

    pub(crate) fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(crate) fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(crate) fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_le_bytes())
    }
}

/// Reads integers one after another out of a page; the caller never asks for more than the page has.
pub(crate) struct Take<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Take<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        out.copy_from_slice(&self.bytes[self.at..self.at + N]);
        self.at += N;
        out
    }

    pub(crate) fn u8(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }
}

/// Where every page keeps its digest: the last eight bytes.
pub(crate) const DIGEST_AT: usize = BLOCK_SIZE - 8;

/// Checks magic, version and digest of a 4 KiB page, in the order that gives the most telling flaw.
pub(crate) fn check_page(page: &BlockBytes, magic: [u8; 4]) -> Result<u64, Flaw> {
    let mut take = Take::new(page);
    if take.array::<4>() != magic {
        return Err(Flaw::NotThere);
    }
    let version = take.u16();
    let stored = Take::new(&page[DIGEST_AT..]).u64();
    if checksum::digest(&page[..DIGEST_AT]) != stored && !planted(Bug::SkipPageDigest) {
        return Err(Flaw::Digest);
    }
    if version > FORMAT_VERSION {
        return Err(Flaw::Newer { version });
    }
    if version == 0 {
        return Err(Flaw::Malformed("format version 0"));
    }
    Ok(stored)
}

/// Writes the digest of a finished 4 KiB page into its last eight bytes and returns it.
pub(crate) fn seal_page(page: &mut BlockBytes) -> u64 {
    let digest = checksum::digest(&page[..DIGEST_AT]);
    Put::new(&mut page[DIGEST_AT..]).u64(digest);
    digest
}
