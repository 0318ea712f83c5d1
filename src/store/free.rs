//! Which blocks below the end are free, as ranges.
//!
//! A hint that is allowed to be incomplete (never wrong): `base.sum` and the log know of every trimmed
//! block, so what does not fit is only counted and found again by a scan when the list runs dry.

use std::collections::BTreeMap;

use crate::block::{BLOCK_COUNT_MAX, BlockNo};

/// Most ranges kept in memory.
const RANGES_MAX: usize = 16 * 1024;

/// Free blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FreeList {
    /// First block -> count; disjoint and never touching.
    ranges: BTreeMap<BlockNo, u64>,
    /// Free blocks that are not listed.
    unlisted: u64,
}

impl FreeList {
    /// The list that META remembered.
    #[must_use]
    pub fn from_hint(ranges: &[(BlockNo, u64)], unlisted: u64) -> Self {
        let mut list = Self { ranges: BTreeMap::new(), unlisted };
        ranges.iter().for_each(|(start, count)| list.insert(*start, *count));
        list
    }

    /// What META should remember: at most `max` ranges, and how many blocks that leaves out.
    #[must_use]
    pub fn hint(&self, max: usize) -> (Vec<(BlockNo, u64)>, u64) {
        let listed = self.ranges.iter().take(max).map(|(start, count)| (*start, *count)).collect();
        let rest: u64 = self.ranges.values().skip(max).sum();
        (listed, (self.unlisted + rest).min(BLOCK_COUNT_MAX))
    }

    /// Adds `count` blocks from `start`; those already listed are not added twice.
    pub fn insert(&mut self, start: BlockNo, count: u64) {
        let (mut from, mut to) = (start.0, start.0 + count);
        let before = self.ranges.range(..=start).next_back().map(|(at, len)| (*at, *len));
        if let Some((at, len)) = before.filter(|(at, len)| at.0 + len >= from) {
            (from, to) = (at.0, to.max(at.0 + len));
            self.ranges.remove(&at);
        }
        while let Some((at, len)) =
            self.ranges.range(BlockNo(from)..=BlockNo(to)).next().map(|(at, len)| (*at, *len))
        {
            to = to.max(at.0 + len);
            self.ranges.remove(&at);
        }
        if self.ranges.len() < RANGES_MAX {
            self.ranges.insert(BlockNo(from), to - from);
        } else {
            self.unlisted = (self.unlisted + to - from).min(BLOCK_COUNT_MAX);
        }
    }

    /// Takes one block out, wherever it is.
    pub fn remove(&mut self, block: BlockNo) {
        let Some((at, len)) = self.ranges.range(..=block).next_back().map(|(at, len)| (*at, *len)) else {
            return;
        };
        if block.0 >= at.0 + len {
            return;
        }
        self.ranges.remove(&at);
        if at < block {
            self.ranges.insert(at, block.0 - at.0);
        }
        if block.0 + 1 < at.0 + len {
            self.ranges.insert(block.next(), at.0 + len - block.0 - 1);
        }
    }

    /// Forgets every block from `end` on.
    pub fn truncate(&mut self, end: BlockNo) {
        self.ranges.split_off(&end);
        if let Some((at, len)) = self.ranges.iter_mut().next_back() {
            *len = (*len).min(end.0 - at.0);
        }
    }

    /// The lowest listed block below `end` for which `usable` holds.
    pub fn find(&self, end: BlockNo, usable: impl Fn(BlockNo) -> bool) -> Option<BlockNo> {
        let below = self.ranges.range(..end).map(|(at, len)| at.0..(at.0 + len).min(end.0));
        below.flatten().map(BlockNo).find(|block| usable(*block))
    }

    /// Free blocks that only a scan can find.
    #[must_use]
    pub fn unlisted(&self) -> u64 {
        self.unlisted
    }

    /// Says that a scan has listed what it found.
    pub fn scanned(&mut self) {
        self.unlisted = 0;
    }

    /// Free blocks, listed or not.
    #[must_use]
    pub fn count(&self) -> u64 {
        (self.ranges.values().sum::<u64>() + self.unlisted).min(BLOCK_COUNT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(ranges: &[(u64, u64)]) -> FreeList {
        let ranges: Vec<_> = ranges.iter().map(|(at, len)| (BlockNo(*at), *len)).collect();
        FreeList::from_hint(&ranges, 0)
    }

    #[test]
    fn neighbours_melt_and_removals_split() {
        let mut free = list(&[(3, 1), (5, 1)]);
        free.insert(BlockNo(4), 1);
        assert_eq!(free, list(&[(3, 3)]));
        free.insert(BlockNo(2), 6);
        assert_eq!(free, list(&[(2, 6)]));
        free.remove(BlockNo(4));
        assert_eq!(free, list(&[(2, 2), (5, 3)]));
        free.remove(BlockNo(100));
        free.truncate(BlockNo(6));
        assert_eq!(free, list(&[(2, 2), (5, 1)]));
        assert_eq!(free.find(BlockNo(9), |block| block.0 > 2), Some(BlockNo(3)));
        assert_eq!(free.count(), 3);
    }

    #[test]
    fn only_what_touches_melts_and_only_what_is_listed_goes() {
        for (start, wanted) in [(6, vec![(1, 6)]), (7, vec![(1, 5), (7, 1)])] {
            let mut free = list(&[(1, 5)]);
            free.insert(BlockNo(start), 1);
            assert_eq!(free.ranges, list(&wanted).ranges, "{start}");
        }
        let mut free = list(&[(3, 4)]);
        free.insert(BlockNo(9), 1);
        free.remove(BlockNo(8));
        assert_eq!(free.hint(9).0, [(BlockNo(3), 4), (BlockNo(9), 1)]);
        free.remove(BlockNo(6));
        free.remove(BlockNo(3));
        free.remove(BlockNo(9));
        assert_eq!(free.hint(9).0, [(BlockNo(4), 2)]);
    }

    #[test]
    fn what_finds_no_room_in_the_list_is_counted() {
        let mut free = FreeList::default();
        (0..RANGES_MAX as u64).for_each(|at| free.insert(BlockNo(2 * at), 1));
        assert_eq!((free.ranges.len(), free.unlisted()), (16 * 1024, 0));
        free.insert(BlockNo(1 << 20), 3);
        free.insert(BlockNo(1 << 21), 2);
        assert_eq!((free.ranges.len(), free.unlisted()), (16 * 1024, 5));
        assert_eq!(free.count(), 16 * 1024 + 5);
    }

    #[test]
    fn what_a_hint_leaves_out_is_counted() {
        let (listed, unlisted) = list(&[(1, 1), (5, 2), (9, 4)]).hint(1);
        assert_eq!((listed, unlisted), (vec![(BlockNo(1), 1)], 6));
    }
}
