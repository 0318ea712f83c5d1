//! Which files there are, which are opened ahead, which are to be deleted: the bookkeeping.
//!
//! Opening a file is asynchronous in a browser and the store is not, so handles are taken before they are
//! needed. A file that the store has not created yet, or has removed, is *not there* for it, whatever the
//! directory lists: it has no bytes. Must not know: JavaScript, promises. The rule it keeps: a file is in
//! exactly one of the three places, and a segment's number is never given out again once it was used.

use std::collections::{BTreeMap, BTreeSet};

use super::handle::{Handle, SyncFile};
use crate::block::SegmentId;
use crate::error::{ErrorKind, Result};
use crate::log::plan::Area;

/// Segments that are opened ahead.
const AHEAD: usize = 4;

/// Bytes of zeros that are written ahead in one step: 2 ms or so.
const STEP_BYTES: u64 = 512 << 10;

/// No file is filled further ahead than this, in bytes.
const FILL_MAX: u64 = 4 << 20;

/// The files of a store.
#[derive(Debug)]
pub(super) struct Pool<F: SyncFile> {
    /// What exists for the store.
    live: BTreeMap<Area, Handle<F>>,
    /// Open, without bytes, not yet created.
    ready: BTreeMap<Area, Handle<F>>,
    /// Segments whose entries in the directory are to be deleted.
    leftover: BTreeSet<SegmentId>,
    /// No segment was ever made with this number or a higher one.
    next: SegmentId,
    /// What the next segment is filled up to with zeros, in bytes: as large as the ones that are full.
    fill: u64,
}

impl<F: SyncFile> Pool<F> {
    /// Takes over the files that were found. Those without bytes are ready, the others are there.
    pub(super) fn new(found: BTreeMap<Area, Handle<F>>) -> Self {
        let (live, ready): (BTreeMap<_, _>, _) = found.into_iter().partition(|(_, handle)| handle.len() > 0);
        Self { live, ready, leftover: BTreeSet::new(), next: SegmentId(1), fill: 0 }
    }

    /// Says which number the store will give its next segment.
    pub(super) fn expect(&mut self, next: SegmentId) {
        self.next = next;
        let old: Vec<Area> = self.ready.keys().copied().filter(|area| is_before(*area, next)).collect();
        for area in old {
            self.ready.remove(&area);
            self.leftover.extend(segment_of(area));
        }
    }

    pub(super) fn live(&self, area: Area) -> Option<&Handle<F>> {
        self.live.get(&area)
    }

    pub(super) fn live_mut(&mut self, area: Area) -> Option<&mut Handle<F>> {
        self.live.get_mut(&area)
    }

    /// Every area that is there, with its length in bytes, in order.
    pub(super) fn areas(&self) -> impl Iterator<Item = (Area, u64)> {
        self.live.iter().map(|(area, handle)| (*area, handle.len()))
    }

    /// Whether the next segment can be made now.
    pub(super) fn can_create(&self) -> bool {
        self.to_come().next().is_some_and(|id| self.ready.contains_key(&Area::Segment(id)))
    }

    /// The numbers that the next segments will have. One that is there already was made by an earlier life.
    fn to_come(&self) -> impl Iterator<Item = SegmentId> {
        let numbers = (0..).map_while(|n| self.next.0.checked_add(n)).map(SegmentId);
        numbers.filter(|id| !self.live.contains_key(&Area::Segment(*id)))
    }

    /// Says that the store writes to this area: if it is a segment, its number is used.
    pub(super) fn used(&mut self, area: Area) {
        if let Some(id) = segment_of(area).filter(|id| *id >= self.next) {
            // The one before may be the one in use, if this one is made ahead.
            let full = SegmentId(id.0.saturating_sub(1));
            let sizes =
                self.live.iter().filter(|(area, _)| is_before(**area, full)).map(|(_, handle)| handle.len());
            self.fill = sizes.fold(self.fill, u64::max).min(FILL_MAX);
            self.expect(SegmentId(id.0.saturating_add(1)));
        }
    }

    /// Makes `area` exist; `false` if no handle of it was opened ahead.
    pub(super) fn create(&mut self, area: Area) -> bool {
        if self.live.contains_key(&area) {
            return true;
        }
        let Some(handle) = self.ready.remove(&area) else {
            // Now it is known which number is wanted.
            if let Some(id) = segment_of(area).filter(|id| *id > self.next) {
                self.expect(id);
            }
            return false;
        };
        self.live.insert(area, handle);
        self.used(area);
        true
    }

    /// Takes a segment out of what is there. Its entry is deleted later.
    pub(super) fn remove(&mut self, id: SegmentId) -> Result<()> {
        let area = Area::Segment(id);
        let Some(mut handle) = self.live.remove(&area) else { return Ok(()) };
        if id < self.next {
            self.fill = self.fill.max(handle.len()).min(FILL_MAX);
        }
        handle.clear()?;
        if id >= self.next {
            // Opened ahead by an earlier life, and never a segment of the store's.
            self.ready.insert(area, handle);
        } else {
            self.leftover.insert(id);
        }
        Ok(())
    }

    /// Segments that should be opened ahead and are not: none where there is neither META nor a place for it.
    pub(super) fn wanted(&self) -> Vec<SegmentId> {
        if !self.has(Area::Meta) {
            return Vec::new();
        }
        self.to_come().take(AHEAD).filter(|id| !self.has(Area::Segment(*id))).collect()
    }

    /// Whether a file of this area is open.
    pub(super) fn has(&self, area: Area) -> bool {
        self.live.contains_key(&area) || self.ready.contains_key(&area)
    }

    /// Takes a handle that was opened ahead. The file must have no bytes that count.
    pub(super) fn put(&mut self, area: Area, handle: Handle<F>) {
        if let Some(id) = segment_of(area) {
            self.leftover.remove(&id);
        }
        if !self.live.contains_key(&area) {
            self.ready.insert(area, handle);
        }
    }

    /// Segments whose entries are to be deleted; the caller gives back with [`Pool::spare`] what it could not.
    pub(super) fn take_leftover(&mut self) -> BTreeSet<SegmentId> {
        std::mem::take(&mut self.leftover)
    }

    /// Gives back an entry that could not be deleted.
    pub(super) fn spare(&mut self, id: SegmentId) {
        self.leftover.insert(id);
    }

    /// Writes zeros ahead into the next segment's file, a bounded step, if the log has filled a segment already;
    /// `false` when there is nothing to do, or no room for it. After a failed barrier the file is given up.
    pub(super) fn fill_step(&mut self) -> Result<bool> {
        let next = self.to_come().next().map(Area::Segment);
        let Some(area) = next else { return Ok(false) };
        let Some(handle) = self.ready.get_mut(&area) else { return Ok(false) };
        if handle.size() >= self.fill {
            return Ok(false);
        }
        let end = (handle.size() + STEP_BYTES).min(self.fill);
        let written = handle.write_ahead(end);
        let lasts = if written.is_ok() { handle.barrier() } else { Ok(()) };
        if lasts.is_err() {
            // Later it would fail every barrier of a log that is well.
            self.ready.remove(&area);
            self.leftover.extend(segment_of(area));
        }
        match written.and(lasts) {
            Err(error) if error.kind() == ErrorKind::Full => {
                // What is wanted will be written when it is; until a segment is full again nothing is tried.
                self.fill = 0;
                Ok(false)
            }
            outcome => outcome.map(|()| true),
        }
    }
}

fn segment_of(area: Area) -> Option<SegmentId> {
    match area {
        Area::Segment(id) => Some(id),
        Area::Meta | Area::Base | Area::Sums => None,
    }
}

fn is_before(area: Area, next: SegmentId) -> bool {
    segment_of(area).is_some_and(|id| id < next)
}
