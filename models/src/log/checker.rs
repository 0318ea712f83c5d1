//! The library's plans as scripts of ops, and every way to interleave and crash them.

use std::fmt;

use stateright::{Model, Property};

use super::mistake::Mistake;
use super::power::cut;
use super::recovery::{Recovered, View};
use super::{Area, Cell, Failure, Fate, Group, Kind, Life, Medium, Meta, Op, Rule, State};

/// The bounds of the model.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    /// Commits that are tried, over all lives.
    pub commits: u64,
    /// Segments that are ended.
    pub rotations: u8,
    /// Folds.
    pub folds: u8,
    /// Times that a read view is taken.
    pub pins: u8,
    /// Crashes, of the process or of the power.
    pub crashes: u8,
    /// Barriers fail in every way; without this they only leave the old on the disk and the new in the cache.
    pub failures: bool,
    /// What is wrong with it.
    pub mistake: Option<Mistake>,
}

/// The protocol and what is going on in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scene {
    core: State,
    /// What is left of the plan that appends, rotates or recovers; while it runs, nothing else appends.
    plan: Vec<Op>,
    /// What is left of a fold: between its ops others commit.
    fold: Vec<Op>,
    begun: u64,
    used: [u8; 4],
    /// A promise or rule that was broken.
    broken: Option<Rule>,
    /// A recovery gave something up that was never acknowledged; one wrote something again.
    seen: [bool; 2],
}

const ROTATION: usize = 0;
const FOLD: usize = 1;
const PIN: usize = 2;
const CRASH: usize = 3;

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Commit,
    Sync,
    Acknowledge,
    Rotate,
    Fold,
    Pin(bool),
    /// The next op of the plan, or of the fold.
    Plan,
    Folding,
    /// The process dies.
    Die,
    /// A barrier fails, and its things are dropped from the cache; the process gives up.
    Drop(Area),
    /// A barrier fails, and the cache goes on showing its things; the number says, three ways for each, what the
    /// disk has. (One that fails and keeps them dirty is the death of the process.)
    Fail(Area, usize),
    /// Power is cut; the number says, three ways for each unsynced thing, what is left.
    Cut(u32),
    Open,
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { commits, rotations, folds, pins, crashes, .. } = self;
        write!(f, "{commits} commits, {rotations} rotation, {folds} fold, {pins} pin, {crashes} crashes")
    }
}

impl Log {
    fn has(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    fn unless(&self, mistake: Mistake, op: Op) -> Option<Op> {
        (!self.has(mistake)).then_some(op)
    }

    fn publish(&self, meta: &Meta) -> [Op; 2] {
        let slot = if self.has(Mistake::SameSlot) { 0 } else { (meta.seq % 2) as usize * 2 };
        let write = Op::WriteMeta { copies: vec![slot, slot + 1], meta: meta.clone() };
        [write, Op::Barrier(Area::Meta)]
    }

    fn rotation(&self, core: &State, life: &Life) -> Vec<Op> {
        let mut meta = life.meta.clone();
        meta.seq += 1;
        let id = meta.seq;
        let mut ops = vec![Op::Create(id)];
        ops.extend(self.unless(Mistake::SkipEntryBarrier, Op::BarrierDirectory));
        if let Some((old, cut)) = meta.segments.last_mut().filter(|(_, cut)| cut.is_none()) {
            ops.extend(self.unless(Mistake::SkipOldBarrier, Op::Barrier(Area::Segment(*old))));
            *cut = Some(core.history.last().map_or(0, |commit| commit.0));
        }
        meta.segments.push((id, None));
        meta.durable = life.committed;
        ops.push(Op::WriteHeader { segment: id, epoch: meta.epoch });
        ops.extend(self.unless(Mistake::SkipNewBarrier, Op::Barrier(Area::Segment(id))));
        ops.extend(self.publish(&meta));
        ops
    }

    fn folding(&self, life: &Life) -> Vec<Op> {
        let pin = life.pin.filter(|_| !self.has(Mistake::FoldIgnoresPins));
        let bound = pin.unwrap_or(life.durable).min(life.durable);
        let mut meta = life.meta.clone();
        let ended = |cut: &Option<u64>| cut.is_some_and(|cut| cut <= bound);
        let count = meta.segments.iter().take_while(|(_, cut)| ended(cut)).count();
        let gone: Vec<_> = meta.segments.drain(..count).collect();
        let Some((_, Some(target))) = gone.last() else { return Vec::new() };
        if *target <= meta.folded {
            return Vec::new();
        }
        (meta.seq, meta.folded, meta.durable) = (meta.seq + 1, *target, life.durable);
        let mut ops = vec![Op::WriteBase(Area::Base), Op::WriteBase(Area::Sums)];
        let barriers = [Op::Barrier(Area::Base), Op::Barrier(Area::Sums)];
        ops.extend(barriers.into_iter().filter_map(|op| self.unless(Mistake::SkipBaseBarrier, op)));
        let removals = gone.iter().map(|(id, _)| Op::Remove(*id));
        let early = self.has(Mistake::RemoveEarly);
        ops.extend(removals.clone().filter(|_| early));
        ops.extend(self.publish(&meta));
        ops.extend(removals.filter(|_| !early));
        ops
    }

    /// What recovery does with what it has found.
    fn recovery(&self, core: &State, found: &Recovered) -> Vec<Op> {
        let mut meta = found.meta.clone();
        let mut ops: Vec<Op> = [Area::Meta, Area::Base, Area::Sums].map(Op::Barrier).into();
        ops.extend(meta.segments.iter().map(|(id, _)| Op::Barrier(Area::Segment(*id))));
        ops.push(Op::BarrierDirectory);
        if !self.has(Mistake::SkipProof) {
            ops.extend(self.proof(core, &mut meta));
        }
        (meta.seq, meta.epoch) = (meta.seq + 1, meta.epoch + 1);
        let proven = if self.has(Mistake::SkipRelog) { found.last() } else { found.proven };
        let tail: Vec<_> = found.commits.iter().filter(|commit| commit.0 > proven).collect();
        if !tail.is_empty() {
            ops.extend(self.publish(&meta));
            meta.seq += 1;
        }
        if let Some((id, None)) = meta.segments.last().copied() {
            let kept = found.commits.iter().any(|commit| commit.0 <= proven);
            let first = core.medium.segments.get(&id).and_then(|segment| segment.groups.values().next());
            let kept = kept && first.and_then(|cell| cell.cache).is_some_and(|group| group.lsn <= proven);
            meta.segments.pop();
            if kept {
                meta.segments.push((id, Some(proven.min(found.last()))));
            }
        }
        if !tail.is_empty() {
            let id = meta.seq;
            ops.extend([Op::Create(id), Op::BarrierDirectory]);
            ops.push(Op::WriteHeader { segment: id, epoch: meta.epoch });
            for (page, (lsn, stamp)) in (1..).zip(tail) {
                let group =
                    Group { lsn: *lsn, stamp: *stamp, watermark: found.proven, ..group(*lsn, *stamp, 0) };
                ops.push(Op::Append { segment: id, page, group });
            }
            ops.extend(self.unless(Mistake::SkipRelogBarrier, Op::Barrier(Area::Segment(id))));
            meta.segments.push((id, None));
        }
        meta.durable = found.last();
        ops.extend(self.publish(&meta));
        let listed = |id: &u64| meta.segments.iter().any(|(known, _)| known == id);
        let there = core.medium.segments.iter().filter(|(_, segment)| segment.entry.cache.is_some());
        ops.extend(there.filter(|(id, _)| !listed(id)).map(|(id, _)| Op::Remove(*id)));
        ops
    }

    /// The winning META once more where it is, copy by copy (`src/store/publish.rs: prove_ops`).
    fn proof(&self, core: &State, meta: &mut Meta) -> Vec<Op> {
        let slot = (meta.seq % 2) as usize * 2;
        let first_of = |seq: u64| (seq / 2 % 2) as usize;
        let seq_of = |copy: usize| core.medium.meta[slot + copy].cache.as_ref().map(|meta| meta.seq);
        let first = match (seq_of(0), seq_of(1)) {
            (None, _) => 0,
            (_, None) => 1,
            (one, other) if one == other && self.has(Mistake::ForgetProofOrder) => 0,
            (one, other) if one == other => 1 - first_of(meta.seq),
            (one, _) => usize::from(one != Some(meta.seq)),
        };
        meta.seq += 2;
        meta.seq += if first_of(meta.seq) == first { 0 } else { 2 };
        let copy = |copy: usize| Op::WriteMeta { copies: vec![slot + copy], meta: meta.clone() };
        vec![copy(first), Op::Barrier(Area::Meta), copy(1 - first), Op::Barrier(Area::Meta)]
    }

    fn apply(&self, scene: &mut Scene, op: &Op) {
        let done = match self.mistake {
            None => scene.core.next(op).map(|next| scene.core = next),
            Some(_) => scene.core.perform(op),
        };
        if let Err(rule) = done {
            scene.broken = Some(rule);
        }
    }

    fn commit(&self, scene: &mut Scene, life: &Life) {
        scene.begun += 1;
        let Some((segment, None)) = life.meta.segments.last().copied() else { return };
        let page = scene.core.medium.segments[&segment].end();
        let lsn = life.committed + 1;
        let watermark = if self.has(Mistake::WatermarkEarly) { lsn } else { life.durable };
        let op = Op::Append { segment, page, group: group(lsn, scene.begun, watermark) };
        self.apply(scene, &op);
    }

    fn open(&self, scene: &mut Scene) {
        let before = scene.core.history.len();
        self.apply(scene, &Op::Open);
        scene.seen[0] |= scene.core.history.len() < before;
        let found = scene.core.medium.recover(View::Cache);
        if let Ok(Some(found)) = found {
            scene.plan = self.recovery(&scene.core, &found);
            scene.seen[1] |= scene.plan.iter().any(|op| matches!(op, Op::Append { .. }));
        } else if scene.broken.is_none() {
            let meta = Meta { seq: 1, epoch: 1, ..Meta::default() };
            scene.plan = vec![Op::CreateStore];
            scene.plan.extend(self.publish(&meta));
            scene.plan.extend(self.unless(Mistake::SkipStoreEntry, Op::BarrierDirectory));
        }
    }

    fn up(&self, scene: &Scene, life: &Life, steps: &mut Vec<Step>) {
        let appends = life.meta.segments.last().is_some_and(|(id, cut)| {
            let header = scene.core.medium.segments.get(id).and_then(|segment| segment.header.cache);
            cut.is_none() && header == Some(life.meta.epoch)
        });
        if appends && scene.begun < self.commits {
            steps.push(Step::Commit);
        }
        if appends && life.durable < life.committed {
            steps.push(Step::Sync);
        }
        let bound = if self.has(Mistake::AcknowledgeEarly) { life.committed } else { life.durable };
        if scene.core.acknowledged < bound {
            steps.push(Step::Acknowledge);
        }
        // The first segment of a life costs nothing: without one nothing could be committed.
        let first = !appends && scene.fold.is_empty() && scene.begun < self.commits;
        if first || (scene.used[ROTATION] < self.rotations && scene.fold.is_empty() && appends) {
            steps.push(Step::Rotate);
        }
        if scene.fold.is_empty() && scene.used[FOLD] < self.folds && !self.folding(life).is_empty() {
            steps.push(Step::Fold);
        }
        if life.pin.is_none() && scene.used[PIN] < self.pins && life.committed > 0 {
            steps.push(Step::Pin(true));
        }
        if life.pin.is_some() {
            steps.push(Step::Pin(false));
        }
    }
}

fn group(lsn: u64, stamp: u64, watermark: u64) -> Group {
    Group { lsn, stamp, kind: Kind::Marker, first: true, watermark, pages: 1, whole: true }
}

/// What only some ways to fail lead to.
fn failures() -> [Property<Log>; 2] {
    [
        Property::sometimes(
            "of two META copies that look alike one is garbage on the disk",
            |_, scene: &Scene| {
                let slots = scene.core.medium.meta.chunks(2);
                let alike = slots.filter(|slot| slot[0].cache == slot[1].cache && slot[0].cache.is_some());
                let spoilt = |slot: &[Cell<Meta>]| slot.iter().any(|copy| copy.clean && copy.disk.is_none());
                // The first META of a slot is written over nothing.
                let mut again = alike.filter(|slot| slot[0].cache.as_ref().is_some_and(|meta| meta.seq > 2));
                scene.core.life.is_some() && scene.used[CRASH] == 1 && again.any(spoilt)
            },
        ),
        Property::sometimes(
            "a commit is gone that a process saw, and the power was never cut",
            // What is left of a fold that has not come to its barrier would be gone too.
            |_, scene: &Scene| scene.used[CRASH] == 1 && scene.seen[0] && scene.core.medium.base.dirty(),
        ),
    ]
}

/// The areas where a barrier has something to do, and how much.
fn dirty(medium: &Medium) -> impl Iterator<Item = (Area, usize)> {
    let segments = medium.segments.keys().map(|id| Area::Segment(*id));
    let areas = [Area::Meta, Area::Base].into_iter().chain(segments);
    areas.map(|area| (area, medium.dirty(area))).filter(|(_, things)| *things > 0)
}

/// Lets a barrier of `area` fail; the digits of `number` say how each thing ends on the disk.
fn fail(medium: &Medium, area: Area, number: usize) -> Op {
    let digits = (0..).map_while(|at| number.checked_div(3_usize.pow(at)));
    let fates = digits.take(medium.dirty(area)).map(|rest| Fate::ALL[rest % 3]);
    Op::FailBarrier(area, Failure::ReportsOnce(fates.collect()))
}

impl Model for Log {
    type State = Scene;
    type Action = Step;

    fn init_states(&self) -> Vec<Scene> {
        let mut scene = Scene::default();
        self.open(&mut scene);
        vec![scene]
    }

    fn actions(&self, scene: &Scene, steps: &mut Vec<Step>) {
        if scene.broken.is_some() {
            return;
        }
        let Some(life) = &scene.core.life else {
            steps.push(Step::Open);
            return;
        };
        if scene.used[CRASH] < self.crashes {
            steps.push(Step::Die);
            for (area, things) in dirty(&scene.core.medium) {
                steps.extend(self.failures.then_some(Step::Drop(area)));
                let ways = if self.failures { 3_usize.pow(things.min(4) as u32) } else { 1 };
                steps.extend((0..ways).map(|way| Step::Fail(area, way)));
            }
            let unsynced = cut(&mut scene.core.clone(), None).min(6);
            steps.extend((0..3_u32.pow(unsynced)).map(Step::Cut));
        }
        if !scene.fold.is_empty() {
            steps.push(Step::Folding);
        }
        if scene.plan.is_empty() {
            self.up(scene, life, steps);
        } else {
            steps.push(Step::Plan);
        }
    }

    fn next_state(&self, last: &Scene, step: Step) -> Option<Scene> {
        let mut scene = last.clone();
        let life = last.core.life.clone();
        match (step, life) {
            (Step::Open, _) => self.open(&mut scene),
            (Step::Die | Step::Cut(_) | Step::Drop(_) | Step::Fail(..), _) => {
                scene.used[CRASH] += 1;
                (scene.plan, scene.fold) = (Vec::new(), Vec::new());
                let failure = match step {
                    Step::Drop(area) => Op::FailBarrier(area, Failure::Drops),
                    Step::Fail(area, way) => fail(&scene.core.medium, area, way),
                    _ => Op::Die,
                };
                let _ = scene.core.perform(&failure);
                scene.core.life = None;
                if let Step::Cut(fates) = step {
                    cut(&mut scene.core, Some(fates));
                }
            }
            (Step::Plan, _) => {
                let op = scene.plan.remove(0);
                self.apply(&mut scene, &op);
            }
            (Step::Folding, _) => {
                let op = scene.fold.remove(0);
                self.apply(&mut scene, &op);
            }
            (_, None) => return None,
            (Step::Commit, Some(life)) => self.commit(&mut scene, &life),
            (Step::Sync, Some(life)) => {
                let (segment, _) = *life.meta.segments.last()?;
                self.apply(&mut scene, &Op::Barrier(Area::Segment(segment)));
            }
            (Step::Acknowledge, Some(life)) => {
                let early = self.has(Mistake::AcknowledgeEarly);
                let lsn = if early { life.committed } else { life.durable };
                self.apply(&mut scene, &Op::Acknowledge(lsn));
            }
            (Step::Rotate, Some(life)) => {
                scene.used[ROTATION] +=
                    u8::from(life.meta.segments.last().is_some_and(|last| last.1.is_none()));
                scene.plan = self.rotation(&scene.core, &life);
            }
            (Step::Fold, Some(life)) => {
                scene.used[FOLD] += 1;
                scene.fold = self.folding(&life);
            }
            (Step::Pin(take), Some(life)) => {
                scene.used[PIN] += u8::from(take);
                self.apply(&mut scene, &Op::Pin(take.then_some(life.committed)));
            }
        }
        Some(scene)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(
                "every promise holds at every opening, every op keeps the rules",
                |_, scene: &Scene| scene.broken.is_none(),
            ),
            Property::always(
                "what is acknowledged survives losing all that is unsynced",
                |_, scene: &Scene| {
                    let found = scene.core.medium.recover(View::Disk);
                    matches!(&found, Ok(Some(found)) if found.last() >= scene.core.acknowledged)
                        || (scene.core.acknowledged == 0 && found.is_ok())
                },
            ),
            Property::always("a pinned view stays in the log or in the base", |_, scene: &Scene| {
                let Some(life) = &scene.core.life else { return true };
                let base = scene.core.medium.base.cache.map_or(0, |base| base.1);
                life.pin.is_none_or(|pin| base <= pin && life.meta.folded <= pin)
            }),
            Property::sometimes("every commit is acknowledged", |model: &Self, scene: &Scene| {
                scene.core.acknowledged == model.commits
            }),
            Property::sometimes("a commit that nobody was told of is lost", |_, scene: &Scene| scene.seen[0]),
            Property::sometimes("recovery writes a commit again", |_, scene: &Scene| scene.seen[1]),
            Property::sometimes("the log is folded and removed", |_, scene: &Scene| {
                let removed = |segment: &super::Segment| segment.entry.cache.is_none();
                let folded = scene.core.life.as_ref().is_some_and(|life| life.meta.folded > 0);
                folded && scene.core.medium.segments.values().any(removed)
            }),
            Property::sometimes("two crashes, and a commit after them", |model: &Self, scene: &Scene| {
                scene.used[CRASH] == model.crashes
                    && scene.core.life.as_ref().is_some_and(|life| !life.recovering && life.committed > 1)
            }),
        ];
        if self.failures {
            properties.extend(failures());
        }
        if self.pins > 0 {
            properties.push(Property::sometimes(
                "a read view holds back a fold that would take all",
                |_, scene: &Scene| {
                    let Some(life) = &scene.core.life else { return false };
                    let past = |pin: u64, cut: u64| pin < cut && cut <= life.durable;
                    let mut cuts = life.meta.segments.iter().filter_map(|(_, cut)| *cut);
                    life.pin.is_some_and(|pin| cuts.any(|cut| past(pin, cut)))
                },
            ));
        }
        properties
    }
}
