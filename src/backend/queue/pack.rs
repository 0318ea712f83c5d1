//! Bytes without their zeros: what a run of pages is on the medium.
//!
//! ```text
//! span, span, ...    zeros u16, cells u16 (both in cells of 16 bytes, little endian), the bytes of the cells
//! ```
//! A page of SQLite has a gap between its cells' pointers and its cells, and a group's header page is zeros from
//! the last entry on: of a usual commit a quarter is left. A medium that copies a value from process to process and
//! then writes it twice is that much faster.
//!
//! Must not know: what the bytes mean.

use super::layout::VALUE_BYTES;

/// The bytes of a cell.
const CELL: usize = 16;

/// The bytes without the cells that are zeros.
///
/// # Panics
/// If they are no whole cells, or more than [`VALUE_BYTES`].
#[must_use]
pub fn pack(bytes: &[u8]) -> Vec<u8> {
    let (cells, rest) = bytes.as_chunks::<CELL>();
    assert!(rest.is_empty() && bytes.len() <= VALUE_BYTES, "a run of {} bytes", bytes.len());
    let is_zero = |cell: &&[u8; CELL]| **cell == [0; CELL];
    let mut packed = Vec::with_capacity(bytes.len() / 2);
    let mut left = cells;
    while !left.is_empty() {
        let zeros = left.iter().take_while(is_zero).count();
        let full = left[zeros..].iter().take_while(|cell| !is_zero(cell)).count();
        for count in [zeros, full] {
            packed.extend_from_slice(&u16::try_from(count).expect("a value has few cells").to_le_bytes());
        }
        packed.extend_from_slice(left[zeros..zeros + full].as_flattened());
        left = &left[zeros + full..];
    }
    packed
}

/// What was packed; `None` for bytes that [`pack`] does not make.
#[must_use]
pub fn unpack(mut packed: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(VALUE_BYTES);
    while let Some((head, rest)) = packed.split_first_chunk::<4>() {
        let [zeros, full] = [[head[0], head[1]], [head[2], head[3]]];
        let [zeros, full] = [zeros, full].map(|count| usize::from(u16::from_le_bytes(count)) * CELL);
        let (cells, rest) = rest.split_at_checked(full)?;
        if bytes.len() + zeros + full > VALUE_BYTES {
            return None;
        }
        bytes.resize(bytes.len() + zeros, 0);
        bytes.extend_from_slice(cells);
        packed = rest;
    }
    packed.is_empty().then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spans_are_as_described() {
        let mut bytes = vec![0; 5 * CELL];
        bytes[2 * CELL + 3] = 7;
        let mut cell = [0; CELL];
        cell[3] = 7;
        assert_eq!(pack(&bytes), [&[2, 0, 1, 0][..], &cell, &[2, 0, 0, 0]].concat());
        assert_eq!(pack(&[]), []);
        assert_eq!(unpack(&[]), Some(Vec::new()));
    }

    #[test]
    fn bytes_that_nobody_packed_are_refused() {
        let long = [0, 0, 2, 0].into_iter().chain([1; CELL]).collect::<Vec<u8>>();
        let many = [255, 255, 0, 0];
        for bytes in [&[1][..], &[0, 0, 1], &[0, 0, 1, 0], &long, &many, &[1, 0, 0, 0, 9]] {
            assert_eq!(unpack(bytes), None, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(cells in prop::collection::vec(prop_oneof![
            3 => Just([0; CELL]), 1 => any::<[u8; CELL]>(), 1 => (0..CELL).prop_map(|at| {
                let mut cell = [0; CELL];
                cell[at] = 1;
                cell
            }),
        ], 0..VALUE_BYTES / CELL)) {
            let bytes = cells.as_flattened();
            let packed = pack(bytes);
            prop_assert!(packed.len() <= bytes.len() + 4);
            let unpacked = unpack(&packed);
            prop_assert_eq!(unpacked.as_deref(), Some(bytes));
        }

        #[test]
        fn any_bytes_are_unpacked_or_refused(packed in prop::collection::vec(any::<u8>(), 0..600)) {
            prop_assert!(unpack(&packed).is_none_or(|bytes| bytes.len() <= VALUE_BYTES));
        }
    }
}
