//! An area that is in memory as a whole: META, `base.sum`, a segment of the log.
//!
//! Must not know: `base.db`, or what the bytes mean. The rule it keeps: runs never overlap, and every change of a
//! run is told to the caller as records, so that memory and medium say the same.

use std::collections::BTreeMap;

use super::layout::{GROUP_PAGES, Slice, VALUE_PAGES};
use crate::backend::rules::PAGE;
use crate::block::BLOCK_SIZE;
use crate::log::plan::Area;
use crate::planted::{Bug, planted};

/// Records to put (or, with `None`, to delete), by first page.
pub(super) type Changed = Vec<(u64, Option<Slice>)>;

/// The bytes of one area.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs {
    pub(super) len: u64,
    runs: BTreeMap<u64, Slice>,
}

impl Runs {
    /// A run as it was found on the medium.
    pub(super) fn load(&mut self, page: u64, bytes: Slice) {
        self.runs.insert(page, bytes);
    }

    /// Fills `buf` from byte `offset`; fewer bytes only at the end.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        let there = self.len.saturating_sub(offset).min(buf.len() as u64);
        let there = usize::try_from(there).expect("at most the length of a buffer");
        let buf = &mut buf[..there];
        buf.fill(0);
        let end = offset + there as u64;
        let first = self.runs.range(..=offset / PAGE).next_back().map_or(0, |(page, _)| *page);
        for (page, bytes) in self.runs.range(first..end.div_ceil(PAGE)) {
            let (from, to) = (page * PAGE, page * PAGE + bytes.len() as u64);
            let (low, high) = (from.max(offset), to.min(end));
            if low < high {
                let at = |byte: u64, start: u64| usize::try_from(byte - start).expect("inside a buffer");
                buf[at(low, offset)..at(high, offset)].copy_from_slice(&bytes[at(low, from)..at(high, from)]);
            }
        }
        there
    }

    /// Writes whole pages from page `page` on.
    pub(super) fn write(&mut self, area: Area, page: u64, bytes: &Slice) -> Changed {
        if matches!(area, Area::Segment(_)) {
            return self.replace(page, bytes, VALUE_PAGES);
        }
        // Few, large, aligned records: they are all read when the store is opened.
        let end = page + (bytes.len() / BLOCK_SIZE) as u64;
        let (low, high) = (page - page % GROUP_PAGES, end.next_multiple_of(GROUP_PAGES));
        let mut group = vec![0; usize::try_from((high - low) * PAGE).expect("a write fits in memory")];
        self.read(low * PAGE, &mut group);
        let at = usize::try_from((page - low) * PAGE).expect("inside a group");
        group[at..at + bytes.len()].copy_from_slice(bytes);
        self.replace(low, &Slice::new(group.into()), GROUP_PAGES)
    }

    /// Makes what lies at and behind byte `len` go away.
    pub(super) fn cut(&mut self, len: u64) -> Changed {
        let gone = self.runs.split_off(&len.div_ceil(PAGE));
        let mut changed: Changed = gone.into_keys().map(|page| (page, None)).collect();
        if let Some((page, bytes)) = self.runs.last_key_value() {
            let (page, keep) = (*page, usize::try_from(len - page * PAGE).unwrap_or(usize::MAX));
            if keep < bytes.len() {
                let whole = bytes.part(0, keep.next_multiple_of(BLOCK_SIZE).min(bytes.len()));
                let bytes = whole.zeroed_from(keep);
                self.runs.insert(page, bytes.clone());
                changed.push((page, Some(bytes)));
            }
        }
        changed
    }

    /// Replaces the pages from `page` on by `bytes`, in runs of `size` pages.
    fn replace(&mut self, page: u64, bytes: &Slice, size: u64) -> Changed {
        let end = page + (bytes.len() / BLOCK_SIZE) as u64;
        let mut changed = if planted(Bug::StaleRunsStay) { Changed::new() } else { self.make_way(page, end) };
        for from in (page..end).step_by(usize::try_from(size).expect("a few pages")) {
            let pages = usize::try_from((end - from).min(size)).expect("a few pages");
            let at = usize::try_from((from - page) * PAGE).expect("inside what was written");
            let run = bytes.part(at, pages * BLOCK_SIZE);
            changed.retain(|(other, _)| *other != from);
            changed.push((from, Some(run.clone())));
            self.runs.insert(from, run);
        }
        changed
    }

    fn make_way(&mut self, page: u64, end: u64) -> Changed {
        let mut changed = Changed::new();
        let first = self.runs.range(..page).next_back().map_or(page, |(before, _)| *before);
        let near: Vec<(u64, Slice)> =
            self.runs.range(first..end).map(|(at, bytes)| (*at, bytes.clone())).collect();
        for (at, bytes) in near {
            let stop = at + (bytes.len() / BLOCK_SIZE) as u64;
            if stop <= page {
                continue;
            }
            let cut = |from: u64, to: u64| {
                let bound = |page: u64| usize::try_from((page - at) * PAGE).expect("inside a run");
                bytes.part(bound(from), bound(to) - bound(from))
            };
            let before = (at < page).then(|| cut(at, page));
            match &before {
                Some(kept) => drop(self.runs.insert(at, kept.clone())),
                None => drop(self.runs.remove(&at)),
            }
            changed.push((at, before));
            if stop > end {
                self.runs.insert(end, cut(end, stop));
                changed.push((end, Some(cut(end, stop))));
            }
        }
        changed
    }
}
