//! What a power cut leaves of a medium: each unsynced thing ends for itself, as old, new or garbage.

use super::{Fate, Group, State};

/// How many things are unsynced; with `fates`, lets each end as old, new or garbage.
pub(super) fn cut(core: &mut State, fates: Option<u32>) -> u32 {
    let mut count = 0;
    let mut rest = fates.unwrap_or(0);
    let mut fate = || {
        count += 1;
        let fate = Fate::ALL[(rest % 3) as usize];
        rest /= 3;
        fate
    };
    let medium = &mut core.medium;
    // A name is there or not: no garbage.
    if medium.entry.unsynced() && fate() == Fate::New {
        medium.entry.disk = medium.entry.cache;
    }
    for cell in medium.meta.iter_mut().filter(|cell| cell.dirty()) {
        cell.end(fate(), None);
    }
    for segment in medium.segments.values_mut() {
        if segment.entry.unsynced() && fate() == Fate::New {
            segment.entry.disk = segment.entry.cache;
        }
        if segment.header.dirty() {
            segment.header.end(fate(), None);
        }
        for cell in segment.groups.values_mut().filter(|cell| cell.dirty()) {
            let torn = cell.cache.map(|group| Group { whole: false, ..group });
            cell.end(fate(), torn);
        }
    }
    if fates.is_some() {
        medium.entry.cache = medium.entry.disk;
        if medium.entry.disk.is_none() {
            medium.meta = Default::default();
        }
        medium.meta.iter_mut().for_each(|cell| (cell.cache, cell.clean) = (cell.disk.clone(), false));
        for segment in medium.segments.values_mut() {
            (segment.entry.cache, segment.header.cache) = (segment.entry.disk, segment.header.disk);
            segment.header.clean = false;
            segment.groups.values_mut().for_each(|cell| (cell.cache, cell.clean) = (cell.disk, false));
            segment.groups.retain(|_, cell| cell.disk.is_some());
        }
        medium.segments.retain(|_, segment| segment.entry.disk.is_some());
        (medium.base.cache, medium.base.clean) = (medium.base.disk, false);
        medium.base_dirty = [false; 2];
    }
    count
}
