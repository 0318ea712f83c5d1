//! Where the newest bytes of each block are, for blocks that are in the log.
//!
//! Several versions of a block are kept only as long as somebody can ask for the older one: a snapshot, or
//! the fold of a segment that ends between the two. Blocks not in here are in the base. Memory is bounded
//! by the log, not by the database.
//!
//! Must not know: bytes, media, plans.

use std::collections::BTreeMap;

use crate::block::{BlockNo, Lsn, SegmentId};
use crate::planted::{Bug, planted};

/// Where a put's payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The segment.
    pub segment: SegmentId,
    /// The page in it.
    pub page: u32,
    /// The payload sum.
    pub sum: u64,
}

/// One version of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The commit that made it.
    pub version: Lsn,
    /// Wall clock of that commit, ms since 1970.
    pub modified_ms: u64,
    /// Where the bytes are; `None` for a trim.
    pub place: Option<Place>,
}

/// What the log knows of a block at some commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// The log has this version.
    Entry(Entry),
    /// Trimmed as part of a range, by this commit.
    Trimmed(Lsn),
    /// Not in the log: the base has it.
    NotInLog,
}

/// The index.
#[derive(Debug, Default)]
pub struct Index {
    /// Versions of each block, oldest first, strictly rising.
    blocks: BTreeMap<BlockNo, Vec<Entry>>,
    /// Disjoint ranges whose *base* bytes are gone: first block -> (one past the last, first commit that
    /// trimmed it, its wall clock).
    trimmed: BTreeMap<BlockNo, (BlockNo, Lsn, u64)>,
}

impl Index {
    /// What the log knows of `block` as of commit `at`.
    #[must_use]
    pub fn resolve(&self, block: BlockNo, at: Lsn) -> Resolved {
        if let Some(entry) = self.versions_of(block).iter().rev().find(|entry| entry.version <= at) {
            return Resolved::Entry(*entry);
        }
        match self.trimmed.range(..=block).next_back() {
            Some((_, (to, lsn, _))) if block < *to && *lsn <= at => Resolved::Trimmed(*lsn),
            _ => Resolved::NotInLog,
        }
    }

    /// Adds a version. An older one that nobody can ask for any more, by the word of `still_needed(older,
    /// newer)`, is dropped.
    pub fn push(&mut self, block: BlockNo, entry: Entry, still_needed: impl Fn(&Entry, &Entry) -> bool) {
        let versions = self.blocks.entry(block).or_default();
        // A version is kept until its successor is visible; by now it may be.
        while let [.., before, newest] = versions.as_slice()
            && !still_needed(before, newest)
        {
            versions.remove(versions.len() - 2);
        }
        if let Some(newest) = versions.last_mut() {
            assert!(
                newest.version <= entry.version,
                "block {block}: {} after {}",
                entry.version,
                newest.version
            );
            if newest.version == entry.version || !still_needed(newest, &entry) {
                *newest = entry;
                return;
            }
        }
        versions.push(entry);
    }

    /// Trims `from..to` as of commit `lsn`: blocks of the log get a version that says so, blocks of the
    /// base are covered by the range.
    pub fn trim_range(
        &mut self,
        (from, to): (BlockNo, BlockNo),
        lsn: Lsn,
        modified_ms: u64,
        still_needed: impl Fn(&Entry, &Entry) -> bool,
    ) {
        let inside: Vec<BlockNo> = self.blocks.range(from..to).map(|(block, _)| *block).collect();
        for block in inside {
            self.push(block, Entry { version: lsn, modified_ms, place: None }, &still_needed);
        }
        let mut gap = from;
        if let Some((_, (end, ..))) = self.trimmed.range(..=from).next_back() {
            gap = gap.max(*end).min(to);
        }
        let later: Vec<(BlockNo, BlockNo)> =
            self.trimmed.range(gap..to).map(|(start, (end, ..))| (*start, *end)).collect();
        for (start, end) in later.into_iter().chain([(to, to)]) {
            if gap < start {
                self.trimmed.insert(gap, (start, lsn, modified_ms));
            }
            gap = gap.max(end);
        }
    }

    /// The newest version at or below `target` of every block that has one, in block order: what a fold up
    /// to `target` has to write.
    #[must_use]
    pub fn foldable(&self, target: Lsn) -> Vec<(BlockNo, Entry)> {
        let within = |entry: &&Entry| entry.version <= target || planted(Bug::FoldNewest);
        let newest = |versions: &Vec<Entry>| versions.iter().rev().find(within).copied();
        self.blocks.iter().filter_map(|(block, versions)| Some((*block, newest(versions)?))).collect()
    }

    /// The trimmed ranges a fold up to `target` has to write, with commit and wall clock.
    #[must_use]
    pub fn foldable_ranges(&self, target: Lsn) -> Vec<(BlockNo, BlockNo, Lsn, u64)> {
        let ranges = self.trimmed.iter().filter(|(_, (_, lsn, _))| *lsn <= target);
        ranges.map(|(from, (to, lsn, modified_ms))| (*from, *to, *lsn, *modified_ms)).collect()
    }

    /// Forgets everything at or below `target`: the base has it now.
    pub fn forget(&mut self, target: Lsn) {
        self.blocks.retain(|_, versions| {
            versions.retain(|entry| entry.version > target);
            !versions.is_empty()
        });
        self.trimmed.retain(|_, (_, lsn, _)| *lsn > target);
    }

    /// Whether any block of `from..to` is in the log.
    #[must_use]
    pub fn any_in(&self, from: BlockNo, to: BlockNo) -> bool {
        self.blocks.range(from..to).next().is_some()
            || self.trimmed.iter().any(|(start, (end, ..))| *start < to && *end > from)
    }

    /// Blocks in the log.
    #[must_use]
    pub fn block_count(&self) -> usize {
        self.blocks.len()
    }

    /// Every version of one block that is kept.
    #[must_use]
    pub fn versions_of(&self, block: BlockNo) -> &[Entry] {
        self.blocks.get(&block).map_or(&[], Vec::as_slice)
    }

    /// Every version that is kept, for verification.
    pub fn entries(&self) -> impl Iterator<Item = (BlockNo, Entry)> + '_ {
        self.blocks.iter().flat_map(|(block, versions)| versions.iter().map(|entry| (*block, *entry)))
    }
}

/// Of what [`Index::foldable`] gives, the items of the blocks from `from` to before `end`.
#[must_use]
pub fn within(items: &[(BlockNo, Entry)], from: BlockNo, end: BlockNo) -> &[(BlockNo, Entry)] {
    let before = |bound: BlockNo| items.partition_point(|(block, _)| *block < bound);
    &items[before(from)..before(end).max(before(from))]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(version: u64) -> Entry {
        let place = Place { segment: SegmentId(1), page: version as u32, sum: 0 };
        Entry { version: Lsn(version), modified_ms: 0, place: Some(place) }
    }

    fn keep_all(_: &Entry, _: &Entry) -> bool {
        true
    }

    #[test]
    fn a_reader_sees_the_newest_version_of_its_time() {
        let mut index = Index::default();
        index.push(BlockNo(1), put(3), keep_all);
        index.push(BlockNo(1), put(5), keep_all);
        assert_eq!(index.resolve(BlockNo(1), Lsn(2)), Resolved::NotInLog);
        assert_eq!(index.resolve(BlockNo(1), Lsn(4)), Resolved::Entry(put(3)));
        assert_eq!(index.resolve(BlockNo(1), Lsn(9)), Resolved::Entry(put(5)));
        index.push(BlockNo(1), put(6), |older, _| older.version == Lsn(3));
        assert_eq!(index.resolve(BlockNo(1), Lsn(5)), Resolved::Entry(put(3)));
    }

    #[test]
    fn a_range_hides_base_blocks_from_its_own_commit_on() {
        let mut index = Index::default();
        index.push(BlockNo(12), put(1), keep_all);
        index.trim_range((BlockNo(10), BlockNo(20)), Lsn(4), 0, keep_all);
        index.trim_range((BlockNo(5), BlockNo(30)), Lsn(7), 0, keep_all);
        assert_eq!(index.resolve(BlockNo(11), Lsn(3)), Resolved::NotInLog);
        assert_eq!(index.resolve(BlockNo(11), Lsn(9)), Resolved::Trimmed(Lsn(4)));
        assert_eq!(index.resolve(BlockNo(5), Lsn(9)), Resolved::Trimmed(Lsn(7)));
        assert_eq!(index.resolve(BlockNo(29), Lsn(9)), Resolved::Trimmed(Lsn(7)));
        assert_eq!(index.resolve(BlockNo(30), Lsn(9)), Resolved::NotInLog);
        assert_eq!(index.resolve(BlockNo(12), Lsn(3)), Resolved::Entry(put(1)));
        let trim = Entry { version: Lsn(7), modified_ms: 0, place: None };
        assert_eq!(index.resolve(BlockNo(12), Lsn(9)), Resolved::Entry(trim));
        index.push(BlockNo(11), put(8), keep_all);
        assert_eq!(index.resolve(BlockNo(11), Lsn(8)), Resolved::Entry(put(8)));
        index.forget(Lsn(7));
        assert_eq!(index.resolve(BlockNo(12), Lsn(9)), Resolved::NotInLog);
        assert_eq!(index.resolve(BlockNo(11), Lsn(9)), Resolved::Entry(put(8)));
    }

    #[test]
    fn a_fold_takes_the_newest_within_its_prefix() {
        let mut index = Index::default();
        for version in [1, 4, 9] {
            index.push(BlockNo(2), put(version), keep_all);
        }
        assert_eq!(index.foldable(Lsn(5)), [(BlockNo(2), put(4))]);
        assert!(index.foldable(Lsn(0)).is_empty());
    }
}
