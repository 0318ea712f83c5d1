//! A disk in memory that loses, tears, reorders and refuses exactly as far as a real one may.
//!
//! What it assumes of a medium: a barrier that returned success made everything written before it durable,
//! and bytes outside a page being written do not change. Nothing else. Reads see through a volatile cache.
//! Everything it does depends on its seed and on the calls made: the same run twice is the same run.
//! For tests only. Knows nothing of groups, commits or recovery.

mod browser;
mod fault;
mod images;
mod menu;
mod page;
mod queued;
mod random;
mod records;
mod state;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::backend::Backend;
use crate::backend::whole::{read_fully, write_fully};
use crate::block::{BLOCK_SIZE, SegmentId};
use crate::error::{Error, ErrorKind, Result, fail};
use crate::log::plan::{Area, Op};
use crate::log::source::Source;
pub use browser::{Misdeed, SimBrowser, SimFile};
use fault::Verdict;
pub use fault::{BarrierFailure, Call, Fault, Faults, Leaves, Piece};
pub use images::{Bounds, Cut, Fate};
pub use menu::{Medium, Tally, Trouble};
pub use page::{Content, SECTOR, bytes_of, garbage};
pub use queued::{SimOrigin, SimTab, TransactionFate};
pub use random::{Random, mix};
pub use state::DiskState;
use state::pages_of;

const PAGE: u64 = BLOCK_SIZE as u64;

/// A handle to one simulated disk. Clones share it.
#[derive(Clone, Debug)]
pub struct SimDisk {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    state: DiskState,
    faults: Faults,
    /// What struck, also of faults that are disarmed by now, and before the last crash.
    tally: Arc<Tally>,
    random: Random,
    seed: u64,
    /// Pages there is room for; `None` for no limit.
    capacity: Option<u64>,
    ops: u64,
    reads: u64,
    trace: Option<Vec<Moment>>,
}

/// An op of a traced run and the medium right after it.
#[derive(Clone, Debug)]
pub struct Moment {
    /// What was asked for; `None` for the start of the trace.
    pub op: Option<Op>,
    /// Whether it succeeded.
    pub done: bool,
    /// The medium, its cache and all.
    pub state: DiskState,
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::from_state(DiskState::default(), seed)
    }

    /// A disk that holds `state`: what a power cut left, or, cache and all, what a process crash left.
    #[must_use]
    pub fn from_state(state: DiskState, seed: u64) -> Self {
        let inner = Inner {
            state,
            faults: Faults::default(),
            tally: Arc::default(),
            random: Random::new(seed),
            seed,
            capacity: None,
            ops: 0,
            reads: 0,
            trace: None,
        };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// The medium as it is now.
    #[must_use]
    pub fn state(&self) -> DiskState {
        self.lock().state.clone()
    }

    /// The process that held this handle is gone: whatever still calls it gets nowhere. The new handle sees
    /// what the cache held; nothing became durable by it. Faults stay behind.
    #[must_use]
    pub fn crash_process(&self) -> Self {
        let mut inner = self.lock();
        let next = Self::from_state(inner.state.clone(), inner.seed);
        next.lock().capacity = inner.capacity;
        next.lock().tally = Arc::clone(&inner.tally);
        inner.faults.arm(Fault::PowerOff { nth: 1 }, 1);
        let Inner { faults, tally, .. } = &mut *inner;
        let _ = faults.judge_op(Call::AnyOp, tally);
        tally.strike(Trouble::ProcessCrash);
        drop(inner);
        next
    }

    /// Power is cut and comes back: one outcome, drawn.
    #[must_use]
    pub fn cut_power(&self, random: &mut Random) -> (Cut, Self) {
        let next = self.crash_process();
        let before = next.state();
        let (cut, image) = before.draw_image(random);
        let mut inner = next.lock();
        before.count_losses(&cut, &inner.tally);
        inner.state = image;
        drop(inner);
        (cut, next)
    }

    /// Arms a fault. Those that change durable bytes do so now.
    pub fn inject(&self, fault: Fault) {
        let Inner { state, faults, tally, .. } = &mut *self.lock();
        faults.strike(fault, state, tally);
    }

    /// Disarms everything. Damage done stays.
    pub fn heal(&self) {
        self.lock().faults = Faults::default();
    }

    /// The faults and how often each struck.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.lock().faults.clone()
    }

    /// Moves what has struck so far into `tally`, of this disk and of those that it was before a crash: each strike
    /// is counted once.
    pub fn book(&self, tally: &Tally) {
        tally.take_from(&self.lock().tally);
    }

    /// Leaves room for `pages` more pages, or lifts the limit.
    pub fn set_free_pages(&self, pages: Option<u64>) {
        let mut inner = self.lock();
        inner.capacity = pages.map(|pages| inner.state.pages_used() + pages);
    }

    /// Ops applied or refused so far, numbered from 1.
    #[must_use]
    pub fn ops(&self) -> u64 {
        self.lock().ops
    }

    /// Reads, lengths and listings so far.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.lock().reads
    }

    /// Starts to keep the medium after every op from here on.
    pub fn start_trace(&self) {
        let mut inner = self.lock();
        inner.ops = 0;
        inner.trace = Some(vec![Moment { op: None, done: true, state: inner.state.clone() }]);
    }

    /// The moments since [`SimDisk::start_trace`]: the start, then one for each op.
    #[must_use]
    pub fn take_trace(&self) -> Vec<Moment> {
        self.lock().trace.take().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn apply(&mut self, op: &Op) -> Result<()> {
        match self.faults.judge_op(Call::of(op), &self.tally) {
            Verdict::Allowed => self.perform(op),
            Verdict::Lie => Ok(()),
            Verdict::Off => fail(ErrorKind::Io, format!("simulated: the power is off at `{op}`")),
            Verdict::Refused(kind, leaves) => {
                self.leave(op, leaves)?;
                fail(kind, format!("simulated: refused `{op}`"))
            }
            Verdict::BarrierFailed(kind, how) => {
                if let Op::Barrier(area) = op {
                    let random = &mut self.random;
                    self.state.barrier_failed(*area, how, |_| random.chance(1, 2));
                }
                fail(kind, format!("simulated: `{op}` failed"))
            }
        }
    }

    fn leave(&mut self, op: &Op, leaves: Leaves) -> Result<()> {
        let barrier = matches!(op, Op::Barrier(_) | Op::BarrierDirectory);
        match (leaves, op) {
            (Leaves::Garbage, Op::Write { area, offset, bytes }) => {
                let spoilt =
                    Op::Write { area: *area, offset: *offset, bytes: vec![0xa5; bytes.len()].into() };
                self.perform(&spoilt)
            }
            (Leaves::Everything, _) if !barrier => self.perform(op),
            _ => Ok(()),
        }
    }

    fn perform(&mut self, op: &Op) -> Result<()> {
        self.check(op)?;
        let state = &mut self.state;
        let there = match op {
            Op::Create(area) => {
                state.create(*area);
                true
            }
            Op::Write { area, offset, bytes } if self.faults.counts().next().is_some() => {
                self.write_by_calls(*area, *offset, bytes)?
            }
            Op::Write { area, offset, bytes } => state.write(*area, offset / PAGE, pages_of(bytes)),
            Op::Reserve { segment, pages } => state.reserve(Area::Segment(*segment), u64::from(*pages)),
            Op::Resize { area, bytes } => state.resize(*area, *bytes),
            Op::Barrier(area) => state.barrier(*area),
            Op::BarrierDirectory => {
                state.barrier_directory();
                true
            }
            Op::Remove(segment) => {
                state.remove(Area::Segment(*segment));
                true
            }
        };
        if there { Ok(()) } else { fail(ErrorKind::NotFound, format!("simulated: no area for `{op}`")) }
    }

    /// Writes as a backend does over system calls, which may do less than they are asked.
    fn write_by_calls(&mut self, area: Area, offset: u64, bytes: &Arc<[u8]>) -> Result<bool> {
        let Self { faults, tally, state, .. } = self;
        if state.len(area).is_none() {
            return Ok(false);
        }
        let call = |rest: &[u8], at: u64| {
            let count = faults.piece(true, rest.len(), tally)?;
            if rest.len() == bytes.len() && count == bytes.len() {
                state.write(area, at / PAGE, pages_of(bytes));
            } else {
                state.write_bytes(area, at, &rest[..count]);
            }
            Ok(count)
        };
        let gave_up =
            |cause| Error::new(ErrorKind::Io, format!("simulated: cannot write {area}")).caused_by(cause);
        write_fully(call, bytes, offset).map_err(gave_up).map(|()| true)
    }

    /// The contract of the ops (whole, aligned pages) and the room left.
    fn check(&self, op: &Op) -> Result<()> {
        match op {
            Op::Write { offset, bytes, .. } => {
                assert!(offset % PAGE == 0 && bytes.len() % BLOCK_SIZE == 0, "`{op}` is not whole pages");
            }
            Op::Resize { area, .. } => {
                assert!(matches!(area, Area::Base | Area::Sums), "`{op}`: only base.db and base.sum resize");
            }
            _ => {}
        }
        let Some(capacity) = self.capacity else { return Ok(()) };
        let state = &self.state;
        let needed = match op {
            Op::Write { area, offset, bytes } => {
                state.pages_needed(*area, offset / PAGE, offset / PAGE + (bytes.len() / BLOCK_SIZE) as u64)
            }
            Op::Reserve { segment, pages } => {
                let area = Area::Segment(*segment);
                state.pages_needed(area, state.len(area).unwrap_or(0).div_ceil(PAGE), u64::from(*pages))
            }
            Op::Create(area) => u64::from(state.len(*area).is_none()),
            Op::Resize { .. } | Op::Barrier(_) | Op::BarrierDirectory | Op::Remove(_) => 0,
        };
        if needed > 0 && state.pages_used() + needed > capacity {
            return fail(ErrorKind::Full, format!("simulated: no space for `{op}`"));
        }
        Ok(())
    }

    fn look(&mut self, call: Call, what: &dyn Fn() -> String) -> Result<()> {
        self.reads += 1;
        match self.faults.judge_look(call, &self.tally) {
            Verdict::Allowed => Ok(()),
            Verdict::Refused(kind, _) => fail(kind, format!("simulated: refused to {}", what())),
            _ => fail(ErrorKind::Io, format!("simulated: the power is off, cannot {}", what())),
        }
    }
}

impl Source for SimDisk {
    fn read(&self, area: Area, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let mut inner = self.lock();
        inner.look(Call::Read, &|| format!("read {area} at {offset}"))?;
        let missing = || Error::new(ErrorKind::NotFound, format!("simulated: there is no {area}"));
        if inner.faults.counts().next().is_none() {
            return inner.state.read(area, offset, buf).ok_or_else(missing);
        }
        let Inner { faults, tally, state, .. } = &mut *inner;
        let there =
            state.len(area).ok_or_else(missing)?.saturating_sub(offset).min(buf.len() as u64) as usize;
        let call = |rest: &mut [u8], at: u64| {
            let count = faults.piece(false, rest.len(), tally)?;
            Ok(state.read(area, at, &mut rest[..count]).unwrap_or(0))
        };
        let gave_up =
            |cause| Error::new(ErrorKind::Io, format!("simulated: cannot read {area}")).caused_by(cause);
        let count = read_fully(call, &mut buf[..there], offset).map_err(gave_up)?;
        faults.distort(state, area, offset, &mut buf[..count], tally).or_else(|sector| {
            fail(ErrorKind::Io, format!("simulated: cannot read sector {sector} of {area}"))
        })?;
        Ok(count)
    }

    fn len(&self, area: Area) -> Result<Option<u64>> {
        let mut inner = self.lock();
        inner.look(Call::Len, &|| format!("measure {area}"))?;
        Ok(inner.state.len(area))
    }

    fn segments(&self) -> Result<Vec<SegmentId>> {
        let mut inner = self.lock();
        inner.look(Call::List, &|| "list the segments".to_owned())?;
        Ok(inner.state.segments())
    }
}

impl Backend for SimDisk {
    fn apply(&self, op: &Op) -> Result<()> {
        let mut inner = self.lock();
        inner.ops += 1;
        let outcome = inner.apply(op);
        if inner.trace.is_some() {
            let moment = Moment { op: Some(op.clone()), done: outcome.is_ok(), state: inner.state.clone() };
            inner.trace.as_mut().expect("just seen").push(moment);
        }
        outcome
    }

    fn name(&self) -> String {
        "simulated disk".to_owned()
    }
}
