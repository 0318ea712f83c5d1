//! A simulated run as M1 sees it: every op that the disk took becomes an action of the model, and goes through
//! its `next`, which refuses what its rules forbid. After each step both must show the same.
//!
//! Space (`Reserve`, `Resize`, the base's files) is not in the model and is left out. An opening is known by the
//! op it begins with. Must not know: the store. The model and the bytes are all there is.

use std::collections::BTreeMap;

use datasync::backend::sim::{BarrierFailure, Cut, DiskState, Fault, Moment, SimDisk};
use datasync::block::{BLOCK_SIZE, BlockBytes};
use datasync::format::meta::{META_BYTES, Meta};
use datasync::format::segment::SegmentHeader;
use datasync::log::plan::{Area, Op};
use datasync::volume::Volume;
use datasync_models::log::{self as m1, Failure, Kind, Op as Action, View};

use crate::abstraction::{Shown, groups_of, meta_of};
use crate::invariants::{Checked, Violation, ensure};

/// What a run that leaves the model is called.
pub const NAME: &str = "M1 replay";

/// The model beside a run.
#[derive(Default)]
pub struct Replay {
    state: m1::State,
    /// The volume is being closed: what it ends with is acknowledged.
    pub closing: bool,
    creating: bool,
    trail: Vec<Action>,
    /// How often each action occurred.
    pub counts: BTreeMap<&'static str, u64>,
}

impl Replay {
    /// Takes the ops of a trace, those that were done, and the barrier that failed.
    pub fn ops(&mut self, disk: &SimDisk) -> Checked<()> {
        let failed = disk.faults().counts().find_map(|(fault, fired)| match fault {
            Fault::FailBarrier { how, .. } if fired > 0 => Some(how),
            _ => None,
        });
        for Moment { op, done, state } in disk.take_trace() {
            match (op, failed) {
                (Some(op), _) if done => self.op(&op)?,
                (Some(Op::Barrier(area)), Some(how)) => self.barrier_failed(area, how, &state)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// From here on nobody writes but who opens the store anew: M1 holds the poisoned volume to that. What is left
    /// has to be what M1 says of such a failure; where each thing ends for itself, the disk says how it ended.
    fn barrier_failed(&mut self, area: Area, how: BarrierFailure, disk: &DiskState) -> Checked<()> {
        let area = area_of(area);
        let (cache, left) = (Shown::on(disk), Shown::under_names(disk));
        let failure = match how {
            BarrierFailure::Drops => Failure::Drops,
            BarrierFailure::KeepsDirty => Failure::KeepsDirty,
            BarrierFailure::MarksClean => Failure::MarksClean,
            BarrierFailure::ReportsOnce => Failure::ReportsOnce(left.fates(&self.state.medium, area)),
            BarrierFailure::Spoils => Failure::Spoils,
        };
        let anew = |id| self.state.medium.segments.get(&id).is_some_and(|segment| segment.header.dirty());
        let earlier = match area {
            m1::Area::Segment(id) if how == BarrierFailure::Drops && anew(id) => Some(id),
            _ => None,
        };
        self.act(Action::FailBarrier(area, failure))?;
        // What an earlier life left in a segment that was begun anew, and M1 forgot then, is there again.
        if let Some(id) = earlier {
            let groups = cache.groups_over(&left, id);
            self.state.medium.segments.entry(id).and_modify(|segment| segment.groups = groups);
        }
        self.agrees(&cache, View::Cache)?;
        self.agrees(&Shown::on(&disk.after(&Cut::default())), View::Disk)
    }

    fn op(&mut self, op: &Op) -> Checked<()> {
        match op {
            Op::Create(Area::Meta) => {
                self.creating = true;
                self.opens()?;
                self.act(Action::CreateStore)
            }
            Op::Create(Area::Base) if !self.creating => self.opens(),
            Op::Create(Area::Segment(id)) => self.act(Action::Create(id.0)),
            Op::Create(Area::Sums) => {
                self.creating = false;
                Ok(())
            }
            Op::Create(Area::Base) | Op::Reserve { .. } | Op::Resize { .. } => Ok(()),
            // A new store fills the slot that it does not use yet: space.
            Op::Write { area: Area::Meta, bytes, .. }
                if self.creating && bytes.iter().all(|byte| *byte == 0) =>
            {
                Ok(())
            }
            Op::Write { area: Area::Meta, offset, bytes } => self.write_meta(*offset, bytes),
            Op::Write { area: Area::Segment(id), offset, bytes } => {
                let (pages, _) = bytes.as_chunks::<BLOCK_SIZE>();
                self.append(id.0, (*offset / BLOCK_SIZE as u64) as u32, pages)
            }
            Op::Write { area, .. } => self.act(Action::WriteBase(area_of(*area))),
            Op::Barrier(area) => self.act(Action::Barrier(area_of(*area))),
            Op::BarrierDirectory => self.act(Action::BarrierDirectory),
            Op::Remove(id) => self.act(Action::Remove(id.0)),
        }
    }

    fn opens(&mut self) -> Checked<()> {
        if let (Some(life), true) = (&self.state.life, std::mem::take(&mut self.closing)) {
            let all = life.committed;
            self.acknowledge(all)?;
        }
        self.die()?;
        self.act(Action::Open)
    }

    fn write_meta(&mut self, offset: u64, bytes: &[u8]) -> Checked<()> {
        let first = offset as usize / META_BYTES;
        let decoded: Vec<Option<m1::Meta>> =
            bytes.chunks(META_BYTES).map(|copy| Meta::decode(copy).ok().map(|meta| meta_of(&meta))).collect();
        let Some(Some(meta)) = decoded.first().filter(|one| decoded.iter().all(|other| other == *one)) else {
            return self.fail("META is written that does not read back");
        };
        let folds = self.state.life.as_ref().is_some_and(|life| meta.folded > life.meta.folded);
        let wrote = self.trail.iter().rev().take_while(|one| !matches!(one, Action::WriteMeta { .. }));
        if folds && !wrote.into_iter().any(|one| matches!(one, Action::WriteBase(_))) {
            self.act(Action::FoldNothing)?;
        }
        let copies = (first..first + decoded.len()).collect();
        self.act(Action::WriteMeta { copies, meta: meta.clone() })
    }

    fn append(&mut self, segment: u64, first: u32, pages: &[BlockBytes]) -> Checked<()> {
        let mut at = first;
        if first == 0 {
            let Some(Ok((header, _))) = pages.first().map(SegmentHeader::decode) else {
                return self.fail("a segment begins without a header");
            };
            self.act(Action::WriteHeader { segment, epoch: header.identity.epoch.0 })?;
            at = 1;
        }
        let pages = &pages[(at - first) as usize..];
        let end = at + u32::try_from(pages.len()).expect("a write is bounded");
        for (page, group) in groups_of(pages, at, |group| group.identity.segment.0 == segment) {
            if page != at || !group.whole {
                return self.fail("a group is written that does not read back");
            }
            at += group.pages;
            let again = self.state.life.as_ref().is_some_and(|life| life.recovering);
            let kind = match group.kind {
                Kind::Part => "part",
                Kind::Marker if again => "marker written again",
                Kind::Marker => "marker",
                Kind::Proof => "proof",
            };
            *self.counts.entry(kind).or_default() += 1;
            self.act(Action::Append { segment, page, group })?;
        }
        if at == end { Ok(()) } else { self.fail("pages are written that are no group") }
    }

    /// The process is gone.
    pub fn die(&mut self) -> Checked<()> {
        if self.state.life.is_some() { self.act(Action::Die) } else { Ok(()) }
    }

    /// The process was killed and left `disk`: what is durable there is what the model says is durable.
    pub fn died(&mut self, disk: &DiskState) -> Checked<()> {
        self.creating = false;
        self.die()?;
        self.agrees(&Shown::on(disk), View::Cache)?;
        self.agrees(&Shown::on(&disk.after(&Cut::default())), View::Disk)
    }

    /// The power was cut, and `disk` is left.
    pub fn cut(&mut self, disk: &DiskState) -> Checked<()> {
        *self.counts.entry("power cut").or_default() += 1;
        let left = Shown::on(disk);
        if let Some(why) = left.impossible(&self.state.medium) {
            return self.fail(&format!("no power cut leaves this: {why}"));
        }
        self.state.medium = left.settled(&self.state.medium);
        Ok(())
    }

    /// Somebody was told that everything up to here is durable.
    pub fn acknowledge(&mut self, lsn: u64) -> Checked<()> {
        if lsn > self.state.acknowledged { self.act(Action::Acknowledge(lsn)) } else { Ok(()) }
    }

    /// The oldest read view is of this commit.
    pub fn pin(&mut self, pin: Option<u64>) -> Checked<()> {
        if self.state.life.as_ref().is_none_or(|life| life.pin == pin) {
            return Ok(());
        }
        *self.counts.entry(if pin.is_some() { "pin" } else { "unpin" }).or_default() += 1;
        self.act(Action::Pin(pin))
    }

    /// What the volume says of itself, and what is on the disk, is what the model says.
    pub fn compare(&self, volume: &Volume, disk: &DiskState) -> Checked<()> {
        let Some(life) = &self.state.life else { return self.fail("there is a volume, and no process") };
        let (committed, durable) = (volume.committed_lsn().0, volume.durable_lsn().0);
        let visible = volume.visible_lsn().0;
        let same = committed == life.committed && durable <= life.durable && visible <= committed;
        if !same || life.recovering {
            return self
                .fail(&format!("committed {committed}, durable {durable}, visible {visible}: {life:?}"));
        }
        self.agrees(&Shown::on(disk), View::Cache)
    }

    fn agrees(&self, shown: &Shown, view: View) -> Checked<()> {
        let (mut model, mut shown) = (Shown::in_model(&self.state.medium, view), shown.clone());
        // M1 forgets what an earlier life left in a segment that is begun anew, before that is durable.
        let renewed = self.state.medium.segments.iter().filter(|(_, segment)| segment.header.unsynced());
        for (id, _) in renewed.filter(|_| view == View::Disk) {
            for side in [&mut model, &mut shown] {
                side.segments.entry(*id).and_modify(|segment| segment.1.clear());
            }
        }
        if model == shown {
            return Ok(());
        }
        self.fail(&format!("{view:?}: the disk shows {shown:?}, the model {model:?}"))
    }

    fn act(&mut self, action: Action) -> Checked<()> {
        *self.counts.entry(name(&action)).or_default() += 1;
        let next = self.state.next(&action);
        self.trail.push(action);
        match next {
            Ok(next) => self.state = next,
            Err(rule) => return self.fail(&format!("\"{rule}\"")),
        }
        Ok(())
    }

    fn fail(&self, why: &str) -> Checked<()> {
        let trail: Vec<String> = self.trail.iter().map(|action| format!("\n      {action:?}")).collect();
        ensure(false, NAME, || format!("{why}, after{}\n    in {:?}", trail.concat(), self.state.life))
    }
}

/// Whether the model is what complained.
pub fn by_model(violation: &Violation) -> bool {
    violation.invariant == NAME
}

fn area_of(area: Area) -> m1::Area {
    match area {
        Area::Meta => m1::Area::Meta,
        Area::Base => m1::Area::Base,
        Area::Sums => m1::Area::Sums,
        Area::Segment(id) => m1::Area::Segment(id.0),
    }
}

fn name(action: &Action) -> &'static str {
    match action {
        Action::CreateStore => "create a store",
        Action::Create(_) => "create",
        Action::WriteHeader { .. } => "header",
        Action::Append { .. } => "append",
        Action::WriteMeta { .. } => "META",
        Action::WriteBase(_) => "base",
        Action::FoldNothing => "fold of nothing",
        Action::Barrier(_) => "barrier",
        Action::FailBarrier(_, how) => match how {
            Failure::Drops => "barrier drops",
            Failure::KeepsDirty => "barrier keeps dirty",
            Failure::MarksClean => "barrier marks clean",
            Failure::ReportsOnce(_) => "barrier reports once",
            Failure::Spoils => "barrier spoils",
        },
        Action::BarrierDirectory => "directory barrier",
        Action::Remove(_) => "remove",
        Action::Open => "open",
        Action::Acknowledge(_) => "acknowledge",
        Action::Pin(_) => "pins",
        Action::Die => "die",
    }
}
