//! What a barrier that failed leaves: the five ways of the simulated disk (`BarrierFailure`), thing by thing.
//!
//! A thing is a META copy, a segment's header or a group. The base is one thing, and on the disk it is in between
//! from the first write of a fold on: which of its blocks a failed barrier wrote or spoilt makes it no other.

use super::{Area, Cell, Group, Medium};

/// How one unsynced thing ends on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// As it was.
    Old,
    /// As it was written.
    New,
    /// As neither: a group with a payload that is not whole, or nothing that can be read.
    Garbage,
}

impl Fate {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Old, Self::New, Self::Garbage];
}

/// What becomes of the unsynced things that a barrier should have made durable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// Reads show again what is on the disk.
    Drops,
    /// They stay unsynced: it is as if the process had died just before.
    KeepsDirty,
    /// The cache believes them clean, the disk has the old.
    MarksClean,
    /// The cache believes them clean; on the disk each has ended for itself, the header first, then by page or copy.
    ReportsOnce(Vec<Fate>),
    /// The cache believes them clean, the disk has garbage.
    Spoils,
}

impl<T: Clone + PartialEq> Cell<T> {
    /// Ends on the disk; garbage reads as `torn`.
    pub(super) fn end(&mut self, fate: Fate, torn: Option<T>) {
        match fate {
            Fate::Old => {}
            Fate::New => self.disk.clone_from(&self.cache),
            Fate::Garbage => self.disk = torn,
        }
    }

    fn fail(&mut self, failure: &Failure, fates: &mut impl Iterator<Item = Fate>, torn: Option<T>) {
        if !self.dirty() {
            return;
        }
        match failure {
            Failure::KeepsDirty => return,
            Failure::Drops => self.cache.clone_from(&self.disk),
            Failure::MarksClean => {}
            Failure::ReportsOnce(_) => self.end(fates.next().unwrap_or(Fate::Old), torn),
            // Not even a header is left.
            Failure::Spoils => self.end(Fate::Garbage, None),
        }
        self.clean = self.unsynced();
    }
}

impl Medium {
    /// A barrier of `area` fails.
    pub(super) fn fail(&mut self, area: Area, failure: &Failure) {
        let fates = if let Failure::ReportsOnce(fates) = failure { fates.as_slice() } else { &[] };
        let mut fates = fates.iter().copied();
        match area {
            Area::Meta => self.meta.iter_mut().for_each(|cell| cell.fail(failure, &mut fates, None)),
            Area::Segment(id) => {
                let Some(segment) = self.segments.get_mut(&id) else { return };
                segment.header.fail(failure, &mut fates, None);
                for cell in segment.groups.values_mut() {
                    let torn = cell.cache.map(|group| Group { whole: false, ..group });
                    cell.fail(failure, &mut fates, torn);
                }
                segment.groups.retain(|_, cell| cell.disk.is_some() || cell.cache.is_some());
            }
            Area::Base | Area::Sums => {
                let clean = !matches!(failure, Failure::Drops | Failure::KeepsDirty);
                let failure = if clean { &Failure::MarksClean } else { failure };
                self.base.fail(failure, &mut fates, None);
            }
        }
    }

    /// How many things of `area` a barrier that fails now would decide about.
    #[must_use]
    pub fn dirty(&self, area: Area) -> usize {
        match area {
            Area::Meta => self.meta.iter().filter(|cell| cell.dirty()).count(),
            Area::Segment(id) => self.segments.get(&id).map_or(0, |segment| {
                let groups = segment.groups.values().filter(|cell| cell.dirty()).count();
                groups + usize::from(segment.header.dirty())
            }),
            Area::Base | Area::Sums => usize::from(self.base.dirty()),
        }
    }
}
