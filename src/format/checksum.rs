//! Checksums: one seeded sum per block payload, one digest per structural page.
//!
//! A payload sum covers the bytes *and* who they belong to (store, block, version), so bytes that are
//! intact but stale, lost or misdirected do not verify. Structural digests are always XXH3-64; the
//! algorithm of payload sums is chosen once per store.
//!
//! Sources: CRC-32 is the IEEE 802.3 polynomial (crate `crc32fast`); XXH3-64 is the xxHash specification's
//! (crate `twox-hash`).

use twox_hash::XxHash3_64;

use crate::block::{BlockBytes, BlockNo, Lsn, StoreId};

/// The algorithm of a store's payload sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// CRC-32 (IEEE): 32 bits, detects every burst of up to 32 bits.
    Crc32,
    /// XXH3-64: 64 bits, the faster of the two.
    #[default]
    Xxh3,
}

impl Checksum {
    /// The number that stands for it on the medium.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Crc32 => 1,
            Self::Xxh3 => 2,
        }
    }

    /// The algorithm behind a number, if there is one.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Crc32),
            2 => Some(Self::Xxh3),
            _ => None,
        }
    }

    /// The name people write: `crc32` or `xxh3`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "crc32",
            Self::Xxh3 => "xxh3",
        }
    }

    /// The algorithm of that name; `fast` is another name of `xxh3`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "crc32" => Some(Self::Crc32),
            "xxh3" | "fast" => Some(Self::Xxh3),
            _ => None,
        }
    }

    /// The sum of one block's payload as written by commit `version`.
    #[must_use]
    pub fn sum(self, store: StoreId, block: BlockNo, version: Lsn, payload: &BlockBytes) -> u64 {
        let mut whose = [0; 32];
        whose[..16].copy_from_slice(&store.0);
        whose[16..24].copy_from_slice(&block.0.to_le_bytes());
        whose[24..].copy_from_slice(&version.0.to_le_bytes());
        match self {
            Self::Crc32 => {
                let mut crc = crc32fast::Hasher::new();
                crc.update(&whose);
                crc.update(payload);
                u64::from(crc.finalize())
            }
            Self::Xxh3 => XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot(&whose), payload),
        }
    }
}

/// The digest that closes every structural page.
#[must_use]
pub fn digest(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

/// Extends a running digest by one more: the digest of the two numbers' bytes.
#[must_use]
pub fn chain(so_far: u64, next: u64) -> u64 {
    let mut both = [0; 16];
    both[..8].copy_from_slice(&so_far.to_le_bytes());
    both[8..].copy_from_slice(&next.to_le_bytes());
    digest(&both)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::BLOCK_SIZE;

    #[test]
    fn digests_are_the_published_ones() {
        // XXH3-64 of nothing with seed 0, and CRC-32's check value over "123456789".
        assert_eq!(digest(b""), 0x2D06_8005_38D3_94C2);
        assert_eq!(crc32fast::hash(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn the_same_bytes_under_another_name_have_another_sum() {
        let payload = [7; BLOCK_SIZE];
        for algorithm in [Checksum::Crc32, Checksum::Xxh3] {
            let sum = |store, block, version| {
                algorithm.sum(StoreId([store; 16]), BlockNo(block), Lsn(version), &payload)
            };
            let all = [sum(1, 2, 3), sum(2, 2, 3), sum(1, 3, 3), sum(1, 2, 4)];
            for (at, one) in all.iter().enumerate() {
                assert!(!all[at + 1..].contains(one), "{algorithm:?}");
            }
        }
    }

    #[test]
    fn codes_and_names_lead_back() {
        for algorithm in [Checksum::Crc32, Checksum::Xxh3] {
            assert_eq!(Checksum::from_code(algorithm.code()), Some(algorithm));
            assert_eq!(Checksum::from_name(algorithm.name()), Some(algorithm));
        }
        assert_eq!(Checksum::from_code(0), None);
        assert_eq!(Checksum::from_name("md5"), None);
    }
}
