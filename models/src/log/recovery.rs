//! What an opening makes of a medium: the META that counts, then the log to its first hole.

use super::{Cell, Commit, Group, Kind, Medium, Meta, Segment};

/// What one looks at: the cache, or only what a power cut leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// What a reader sees now.
    Cache,
    /// What is left if everything unsynced is lost.
    Disk,
}

impl View {
    /// What a cell shows.
    pub fn of<T>(self, cell: &Cell<T>) -> Option<&T> {
        match self {
            Self::Cache => cell.cache.as_ref(),
            Self::Disk => cell.disk.as_ref(),
        }
    }
}

/// Why an opening refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// No META, but a log.
    NoMeta,
    /// A listed segment has no entry or no header.
    NoSegment,
    /// A segment does not reach the end that META names.
    ShortSegment,
    /// Something proves that more was durable than is there.
    Proven,
    /// The base lacks what META says is folded, or has what the log does not cover.
    Base,
}

/// What an opening finds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Recovered {
    /// The META that counts.
    pub meta: Meta,
    /// The commits in the log, oldest first.
    pub commits: Vec<Commit>,
    /// The highest that something proves durable.
    pub proven: u64,
}

impl Recovered {
    /// The highest commit.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.commits.last().map_or(self.meta.folded, |commit| commit.0)
    }
}

impl Medium {
    /// The META that counts in this view, leaving out some copies.
    #[must_use]
    pub fn best_meta(&self, view: View, without: &[usize]) -> Option<&Meta> {
        view.of(&self.entry)?;
        let copies = self.meta.iter().enumerate().filter(|(copy, _)| !without.contains(copy));
        copies.filter_map(|(_, cell)| view.of(cell)).max_by_key(|meta| meta.seq)
    }

    /// What an opening finds; `None` where there is no store.
    ///
    /// # Errors
    /// The flaw that it refuses for.
    pub fn recover(&self, view: View) -> Result<Option<Recovered>, Flaw> {
        match self.best_meta(view, &[]) {
            Some(meta) => self.recover_with(view, meta).map(Some),
            None if self.segments.values().any(|segment| view.of(&segment.entry).is_some()) => {
                Err(Flaw::NoMeta)
            }
            None => Ok(None),
        }
    }

    /// The same with a META of the caller's.
    ///
    /// # Errors
    /// As [`Medium::recover`].
    pub fn recover_with(&self, view: View, meta: &Meta) -> Result<Recovered, Flaw> {
        let mut walk = Walk {
            commits: Vec::new(),
            begun: false,
            open: None,
            proven: meta.durable.max(meta.folded),
            later: 0,
        };
        let mut begun = meta.folded;
        for (id, cut) in &meta.segments {
            let segment = self.segments.get(id).ok_or(Flaw::NoSegment)?;
            if view.of(&segment.entry).is_none() || view.of(&segment.header).is_none() {
                return Err(Flaw::NoSegment);
            }
            walk.segment(segment, view, *cut, &mut begun)?;
        }
        let last = walk.commits.last().map_or(meta.folded, |commit| commit.0);
        if walk.later > last || meta.durable > last {
            return Err(Flaw::Proven);
        }
        let base = view.of(&self.base).copied().unwrap_or_default();
        if base.0 < meta.folded || base.1 > last {
            return Err(Flaw::Base);
        }
        let folded = meta.folded;
        let commits = walk.commits.into_iter().filter(|commit| commit.0 > folded).collect();
        Ok(Recovered { meta: meta.clone(), commits, proven: walk.proven })
    }
}

struct Walk {
    commits: Vec<Commit>,
    /// A batch has begun.
    begun: bool,
    /// The batch that has begun and not ended, and whether all of it is whole.
    open: Option<(u64, bool)>,
    proven: u64,
    /// The highest watermark behind a hole.
    later: u64,
}

impl Walk {
    fn segment(
        &mut self,
        segment: &Segment,
        view: View,
        cut: Option<u64>,
        begun: &mut u64,
    ) -> Result<(), Flaw> {
        let mut page = 1;
        while let Some(group) = segment.groups.get(&page).and_then(|cell| view.of(cell)) {
            // What is behind the end that META names was written by nobody who counts.
            if cut.is_some_and(|cut| group.lsn > cut) {
                break;
            }
            *begun = (*begun).max(group.lsn);
            if !self.group(group) {
                break;
            }
            page += group.pages;
        }
        match cut {
            Some(cut) if *begun < cut => return Err(Flaw::ShortSegment),
            Some(_) => self.proven = self.proven.max(self.last()),
            None => {
                let behind = segment.groups.range(page + 1..).filter_map(|(_, cell)| view.of(cell));
                self.later = behind.map(|group| group.watermark).max().unwrap_or(0).max(self.later);
            }
        }
        Ok(())
    }

    fn last(&self) -> u64 {
        self.commits.last().map_or(0, |commit| commit.0)
    }

    /// Takes one group; `false` if the walk ends at it.
    fn group(&mut self, group: &Group) -> bool {
        self.proven = self.proven.max(group.watermark);
        if group.kind == Kind::Proof {
            return true;
        }
        if group.first {
            self.open = Some((group.lsn, true));
            self.begun = true;
        }
        let Some((_, whole)) = self.open.as_mut().filter(|(lsn, _)| *lsn == group.lsn) else {
            // What is left of one that was given up, its beginning folded away: a batch that counts has no other.
            return !self.begun && group.kind == Kind::Part;
        };
        *whole &= group.whole;
        if group.kind == Kind::Part {
            return true;
        }
        let whole = *whole;
        self.open = None;
        if whole {
            self.commits.push((group.lsn, group.stamp));
        }
        whole
    }
}
