//! The rules: which op may follow which. Each refuses what a crash would punish, and says so in a sentence.

use super::recovery::{Flaw, View};
use super::{Area, Base, Cell, Group, Kind, Life, Medium, Meta, Op, State};

/// The rule that an op would break.
pub type Rule = &'static str;

impl State {
    /// The state after `op`.
    ///
    /// # Errors
    /// The rule that forbids it.
    pub fn next(&self, op: &Op) -> Result<Self, Rule> {
        self.allows(op)?;
        let mut state = self.clone();
        state.perform(op)?;
        Ok(state)
    }

    /// Whether the rules let `op` be.
    ///
    /// # Errors
    /// The rule that forbids it.
    pub fn allows(&self, op: &Op) -> Result<(), Rule> {
        let holds = |holds: bool, rule: Rule| if holds { Ok(()) } else { Err(rule) };
        let medium = &self.medium;
        if matches!(op, Op::Open) {
            return holds(self.life.is_none(), "one process at a time");
        }
        let Some(life) = &self.life else { return Err("nobody writes before he has opened") };
        match op {
            Op::Create(_) => {
                holds(medium.entry.disk.is_some(), "META's entry is durable before there is a log")
            }
            Op::WriteHeader { epoch, .. } => {
                let published = medium.best_meta(View::Disk, &[]).map_or(0, |meta| meta.epoch);
                holds(*epoch == life.meta.epoch, "a segment is begun in the epoch of its life")?;
                holds(published >= *epoch, "an epoch is durable before anything is created under it")
            }
            Op::Append { segment, page, group } => {
                let of = medium.segments.get(segment).ok_or("a group goes into a segment that is there")?;
                holds(of.header.cache == Some(life.meta.epoch), "only the segment of this life is written")?;
                holds(*page == of.end(), "a group goes behind the last one")?;
                holds(group.watermark <= life.durable, "a watermark is never ahead of what is durable")?;
                let rises = life.recovering || group.kind == Kind::Proof || group.lsn > life.committed;
                holds(rises, "commit numbers rise")
            }
            Op::WriteMeta { copies, meta } => self.allows_meta(life, copies, meta),
            Op::WriteBase(_) | Op::FoldNothing => {
                holds(!life.recovering, "nothing is folded before recovery has ended")?;
                let bound = life.pin.unwrap_or(life.durable).min(life.durable);
                holds(bound > life.meta.folded, "only what is durable and not pinned is folded")
            }
            Op::Remove(segment) => {
                let left = medium.best_meta(View::Disk, &[]);
                let same = left == medium.best_meta(View::Cache, &[]);
                let listed = |meta: &Meta| meta.segments.iter().any(|(id, _)| id == segment);
                holds(same && !left.is_some_and(listed), "no removal before META without it is durable")
            }
            Op::Acknowledge(lsn) => holds(*lsn <= life.durable, "nothing is acknowledged before its barrier"),
            Op::Open
            | Op::CreateStore
            | Op::Barrier(_)
            | Op::FailBarrier(..)
            | Op::BarrierDirectory
            | Op::Pin(_)
            | Op::Die => Ok(()),
        }
    }

    fn allows_meta(&self, life: &Life, copies: &[usize], meta: &Meta) -> Result<(), Rule> {
        let medium = &self.medium;
        let newest = medium.best_meta(View::Cache, &[]);
        if let Some(newest) = newest {
            if meta.seq < newest.seq
                || (meta.seq == newest.seq && meta != newest)
                || meta.epoch < newest.epoch
            {
                return Err("META's numbers rise");
            }
            // A torn publish may have left one copy only; the META before it still describes the whole store.
            let left = medium.best_meta(View::Disk, copies);
            let least = if life.recovering { self.acknowledged } else { self.acknowledged.max(life.durable) };
            let enough =
                |left: &Meta| medium.recover_with(View::Disk, left).is_ok_and(|found| found.last() >= least);
            let new = least == 0 && medium.segments.is_empty();
            if !new && !left.is_some_and(enough) {
                return Err("without the copies that are being written there is still a META that is enough");
            }
        }
        for (id, cut) in &meta.segments {
            let segment = medium.segments.get(id).ok_or("META lists segments that are there")?;
            if segment.entry.disk.is_none() || segment.header.disk.is_none() {
                return Err("a segment is durable before META lists it");
            }
            let within = |group: &Group| cut.is_some_and(|cut| group.lsn <= cut);
            let batch = |group: &Group| within(group) && group.kind != Kind::Proof;
            let groups = segment.groups.iter().filter_map(|(page, cell)| Some((*page, cell.cache?, cell)));
            // Recovery ends a segment behind its last batch; a proof of that batch is no part of it any more.
            let end = groups.clone().filter(|(_, group, _)| batch(group)).map(|(page, ..)| page).next_back();
            let mut covered =
                groups.filter(|(page, group, _)| within(group) && (!life.recovering || Some(*page) <= end));
            if covered.any(|(.., cell)| cell.unsynced()) && life.meta.segments.contains(&(*id, None)) {
                return Err("a segment's end is durable before META names it");
            }
        }
        if (medium.base_dirty != [false; 2] || meta.folded > medium.base.disk.unwrap_or_default().1)
            && meta.folded > life.meta.folded
        {
            return Err("the base is durable before META drops the log");
        }
        match medium.recover_with(View::Disk, meta) {
            Err(flaw) => Err(match flaw {
                Flaw::NoMeta | Flaw::NoSegment => "META lists segments that are durable",
                Flaw::ShortSegment => "META names ends that are durable",
                Flaw::Proven => "META claims no more durable than is",
                Flaw::Base => "META and the base belong together",
            }),
            Ok(found) if found.last() < life.durable => Err("META describes every durable commit"),
            Ok(_) => Ok(()),
        }
    }

    /// Does `op`, whatever the rules say of it.
    ///
    /// # Errors
    /// An opening that breaks a promise says which.
    pub fn perform(&mut self, op: &Op) -> Result<(), Rule> {
        match op {
            Op::Open => return self.open(),
            Op::Die => self.life = None,
            Op::FailBarrier(area, failure) => {
                self.medium.fail(*area, failure);
                self.life = None;
            }
            Op::CreateStore => self.medium.entry.write(Some(())),
            Op::Create(id) => self.medium.segments.entry(*id).or_default().entry.write(Some(())),
            Op::WriteHeader { segment, epoch } => {
                let of = self.medium.segments.entry(*segment).or_default();
                of.header.write(Some(*epoch));
                // What an earlier life left there is of another segment now.
                of.groups.clear();
            }
            Op::Append { segment, page, group } => {
                let of = self.medium.segments.entry(*segment).or_default();
                of.groups.insert(*page, Cell { disk: None, cache: Some(*group), clean: false });
                if let Some(life) = self.life.as_mut().filter(|_| group.kind == Kind::Marker)
                    && !life.recovering
                {
                    life.committed = group.lsn;
                    self.history.push((group.lsn, group.stamp));
                }
            }
            Op::WriteMeta { copies, meta } => {
                copies.iter().for_each(|copy| self.medium.meta[*copy].write(Some(meta.clone())));
                if let Some(life) = &mut self.life {
                    life.meta = meta.clone();
                }
            }
            Op::WriteBase(area) => self.write_base(*area),
            Op::FoldNothing => {
                for area in [Area::Base, Area::Sums] {
                    self.write_base(area);
                }
                self.barrier(Area::Base);
                self.barrier(Area::Sums);
            }
            Op::Barrier(area) => self.barrier(*area),
            Op::BarrierDirectory => {
                self.medium.entry.flush();
                self.medium.segments.values_mut().for_each(|segment| segment.entry.flush());
                self.medium.segments.retain(|_, segment| segment.entry.disk.is_some());
            }
            Op::Remove(id) => {
                if let Some(segment) = self.medium.segments.get_mut(id) {
                    segment.entry.write(None);
                }
            }
            Op::Acknowledge(lsn) => self.acknowledged = self.acknowledged.max(*lsn),
            Op::Pin(pin) => {
                if let Some(life) = &mut self.life {
                    life.pin = *pin;
                }
            }
        }
        Ok(())
    }

    fn write_base(&mut self, area: Area) {
        let Some(life) = &self.life else { return };
        let target = life.pin.unwrap_or(life.durable).min(life.durable);
        let (_, hi) = self.medium.base.cache.unwrap_or_default();
        self.medium.base.write(Some((target, hi.max(target))));
        self.medium.base_dirty[usize::from(area == Area::Sums)] = true;
        // Until both are durable the disk has something in between. A fold that is done again may tear what the
        // first one made durable: only what META has dropped from the log is never written.
        let disk: Base = self.medium.base.disk.unwrap_or_default();
        self.medium.base.disk = Some((disk.0.min(life.meta.folded), disk.1.max(target)));
    }

    fn barrier(&mut self, area: Area) {
        let medium = &mut self.medium;
        match area {
            Area::Meta => medium.meta.iter_mut().for_each(Cell::flush),
            Area::Base | Area::Sums => {
                medium.base_dirty[usize::from(area == Area::Sums)] = false;
                if medium.base_dirty == [false; 2] {
                    medium.base.flush();
                }
            }
            Area::Segment(id) => {
                if let Some(segment) = medium.segments.get_mut(&id) {
                    segment.header.flush();
                    segment.groups.values_mut().for_each(Cell::flush);
                }
            }
        }
        let Some(life) = &mut self.life else { return };
        if matches!(area, Area::Segment(_)) && !life.recovering && whole_log(medium, &life.meta) {
            life.durable = life.committed;
        }
        if area == Area::Meta && life.recovering && life.meta.epoch > life.found {
            let of_this_life = |id: &u64| {
                medium.segments.get(id).is_some_and(|segment| segment.header.cache == Some(life.meta.epoch))
            };
            if life.meta.segments.iter().all(|(id, cut)| cut.is_some() || of_this_life(id)) {
                life.recovering = false;
                life.durable = life.committed;
            }
        }
    }

    /// A process reads what is there and finds out whether the promises were kept.
    fn open(&mut self) -> Result<(), Rule> {
        let found = match self.medium.recover(View::Cache) {
            Err(_) => return Err("I7: a crash alone looks like corruption"),
            Ok(None) if self.acknowledged > 0 => return Err("I2: the store is gone"),
            Ok(None) => {
                let meta = Meta { seq: 0, ..Meta::default() };
                self.life =
                    Some(Life { recovering: false, found: 0, meta, committed: 0, durable: 0, pin: None });
                self.history.clear();
                return Ok(());
            }
            Ok(Some(found)) => found,
        };
        let last = found.last();
        if last < self.acknowledged {
            return Err("I2: an acknowledged commit is gone");
        }
        let known: Vec<_> = self.history.iter().filter(|commit| commit.0 <= last).copied().collect();
        let begins = known.iter().rev().zip(found.commits.iter().rev()).all(|(known, found)| known == found);
        if !begins || known.last().map_or(0, |commit| commit.0) != last {
            return Err("I4: something else than a beginning of what was committed");
        }
        self.history = known;
        let (durable, committed) = (found.proven.min(last), last);
        let epoch = found.meta.epoch;
        self.life =
            Some(Life { recovering: true, found: epoch, meta: found.meta, committed, durable, pin: None });
        Ok(())
    }
}

fn whole_log(medium: &Medium, meta: &Meta) -> bool {
    // What a failed barrier took and recovery left behind an end is none of the log: a proof, a commit written again.
    let behind = |group: &Group, cut: &Option<u64>| {
        group.kind == Kind::Proof || cut.is_some_and(|cut| group.lsn > cut)
    };
    let kept = |cell: &Cell<Group>, cut: &Option<u64>| {
        !cell.unsynced() || cell.cache.is_some_and(|group| behind(&group, cut))
    };
    let mut listed = meta.segments.iter().filter_map(|(id, cut)| Some((medium.segments.get(id)?, cut)));
    listed.all(|(segment, cut)| segment.groups.values().all(|cell| kept(cell, cut)))
}

impl super::Segment {
    /// The page behind its last group.
    #[must_use]
    pub fn end(&self) -> u32 {
        let last = self.groups.iter().rev().find_map(|(page, cell)| Some((page, cell.cache.as_ref()?)));
        last.map_or(1, |(page, group)| page + group.pages)
    }
}
