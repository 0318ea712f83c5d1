//! An ordered write-behind queue: how a store that wants its ops done now lives on a medium that only knows
//! transactions which are done later (IndexedDB).
//!
//! [`Queue::apply`] changes memory, puts the change into the open batch and returns. A driver takes batches in
//! order ([`Queue::take`]), one at a time, each as one atomic transaction, and says how it went
//! ([`Queue::completed`], [`Queue::failed`]). So what survives is always a prefix of the ops in order: a barrier
//! only promises order here, and durability is asked for with [`Queue::flush`] and answered by
//! [`Queue::is_flushed`].
//!
//! Pure: no I/O, no clock, no promise. What a browser or a simulated medium does comes in as calls.

mod base;
mod layout;
mod life;
mod pack;
mod runs;
#[cfg(test)]
mod tests;
mod transaction;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

pub use base::Missing;
use base::{Base, blocks_of};
pub use layout::{Key, Patch, Slice, VALUE_BYTES, VALUE_PAGES};
use layout::{SEGMENT_END, extent_of};
use life::{Death, Life};
pub use life::{Failure, Next, Ticket, take_over};
pub use pack::{pack, unpack};
use runs::{Changed, Runs};
pub use transaction::{Batch, Clear, Fence, Transaction, Work};

use super::rules::{self, PAGE};
use crate::block::SegmentId;
use crate::error::{Error, ErrorKind, Result, fail};
use crate::log::plan::{Area, Op};
use crate::planted::{Bug, planted};

/// What suits a browser as [`Memory::batch_bytes`].
pub const BATCH_BYTES: u64 = 4 << 20;

/// How much of the base is held in memory.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Everything, from the start: nothing is ever fetched.
    pub resident: bool,
    /// Bytes of extents at most: the cache, or with `resident` the whole base.
    pub bytes: u64,
    /// A batch takes no more ops once it has this many bytes: the next one starts.
    pub batch_bytes: u64,
}

/// The queue of one life of a store: its records in memory, and what of them is not on the medium yet.
#[derive(Debug)]
pub struct Queue {
    name: String,
    memory: Memory,
    meta: Option<Runs>,
    sums: Option<Runs>,
    segments: BTreeMap<SegmentId, Runs>,
    base: Base,
    /// Batches that wait, oldest first; only the last still takes ops.
    waiting: VecDeque<Batch>,
    /// The number of the newest batch.
    newest: u64,
    /// Changes queued so far.
    changes: u64,
    queued_bytes: u64,
    /// The op being applied has its batch: all of an op is in one.
    op_has_batch: bool,
    life: Life,
}

impl Queue {
    /// A queue over an empty medium that was taken over with this fence. Load what is there before anything else.
    #[must_use]
    pub fn new(name: &str, fence: Fence, memory: Memory) -> Self {
        Self {
            name: name.to_owned(),
            memory,
            meta: None,
            sums: None,
            segments: BTreeMap::new(),
            base: Base::new(memory.resident, usize::try_from(memory.bytes).unwrap_or(usize::MAX)),
            waiting: VecDeque::new(),
            newest: fence.number,
            changes: 0,
            queued_bytes: 0,
            op_has_batch: false,
            life: Life::new(fence),
        }
    }

    /// Takes the length of an area as the medium has it. Before the runs and extents of that area.
    pub fn load_length(&mut self, area: Area, bytes: u64) {
        match area {
            Area::Base => self.base.len = Some(bytes),
            Area::Meta | Area::Sums | Area::Segment(_) => {
                self.runs_entry(area).len = bytes;
            }
        }
    }

    /// Takes a run as the medium has it. One of an area without a length is left over from nothing we know.
    pub fn load_run(&mut self, area: Area, page: u64, bytes: Slice) {
        if let Ok(runs) = self.runs_mut(area) {
            runs.load(page, bytes);
        }
    }

    /// Runs one op in memory and queues it.
    ///
    /// # Errors
    /// * `Full`: the base is held in memory and would outgrow the limit. Nothing is harmed.
    /// * `NotFound`, `Misuse`: nothing was changed.
    /// * `Poisoned`, `Fenced`, `Lost`: the queue is dead; open the store again.
    pub fn apply(&mut self, op: &Op) -> Result<()> {
        self.life.check(&self.name)?;
        rules::check(op)?;
        self.op_has_batch = false;
        match op {
            Op::Create(area) => self.create(*area),
            Op::Write { area: Area::Base, offset, bytes } => self.write_base(*offset, bytes),
            Op::Write { area, offset, bytes } => self.write_runs(*area, *offset, bytes),
            Op::Reserve { segment, pages } => {
                let area = Area::Segment(*segment);
                let len = self.runs_mut(area)?.len.max(u64::from(*pages) * PAGE);
                self.set_runs_len(area, len)
            }
            Op::Resize { area: Area::Base, bytes } => self.resize_base(*bytes),
            Op::Resize { area, bytes } => self.resize_runs(*area, *bytes),
            Op::Barrier(Area::Base) => self.base_len().map(drop),
            Op::Barrier(area) => self.runs_mut(*area).map(drop),
            Op::BarrierDirectory => Ok(()),
            Op::Remove(segment) => {
                if self.segments.remove(segment).is_some() {
                    let batch = self.batch(0);
                    batch.clear(Clear::Segment(*segment));
                    batch.set(Key::Length(Area::Segment(*segment)), Work::Delete);
                }
                Ok(())
            }
        }
    }

    /// Fills `buf` from byte `offset` of `area`: how many bytes there were, or what has to be fetched first (then
    /// `buf` is as it was, or in part filled).
    ///
    /// # Errors
    /// `NotFound`; `Poisoned`, `Fenced`, `Lost` once the queue is dead, because what memory shows may never have
    /// reached the medium.
    pub fn read(
        &mut self,
        area: Area,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<std::result::Result<usize, Missing>> {
        self.life.check(&self.name)?;
        match area {
            Area::Base => {
                self.base_len()?;
                Ok(self.base.read(offset, buf))
            }
            area => Ok(Ok(self.runs_mut(area)?.read(offset, buf))),
        }
    }

    /// Length of an area in bytes; `None` if it does not exist.
    #[must_use]
    pub fn len(&self, area: Area) -> Option<u64> {
        match area {
            Area::Base => self.base.len,
            Area::Meta => self.meta.as_ref().map(|runs| runs.len),
            Area::Sums => self.sums.as_ref().map(|runs| runs.len),
            Area::Segment(id) => self.segments.get(&id).map(|runs| runs.len),
        }
    }

    /// Every segment, in order.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentId> {
        self.segments.keys().copied().collect()
    }

    /// Whether nothing is there at all: a medium that was never written to.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.meta.is_none() && self.sums.is_none() && self.base.len.is_none() && self.segments.is_empty()
    }

    /// A fetch of extents begins: no lock of the queue may be held until it ends.
    pub fn fetch_begins(&mut self) {
        self.base.fetch_begins();
    }

    /// Takes an extent as the medium has it, `None` if it has none; between a fetch's begin and end, or at loading.
    pub fn fetched(&mut self, extent: u64, value: Option<&[u8]>) {
        self.base.fetched(extent, value);
        self.has_read();
    }

    /// An extent as transaction `number`, the one under way, leaves it, if memory holds just that: then its patch
    /// needs no old value of the medium.
    #[must_use]
    pub fn extent_as_of(&self, extent: u64, number: u64) -> Option<&[u8]> {
        self.base.as_of(extent, number)
    }

    /// The fetch has ended, whether it brought anything or not.
    pub fn fetch_ends(&mut self) {
        self.base.fetch_ends();
    }

    /// Bytes of ops that are not complete on the medium: what a caller holds back new work by.
    #[must_use]
    pub fn queued_bytes(&self) -> u64 {
        self.queued_bytes
    }

    /// Bytes of `base.db` in memory.
    #[must_use]
    pub fn cached_bytes(&self) -> u64 {
        self.base.held() as u64
    }

    fn create(&mut self, area: Area) -> Result<()> {
        if self.len(area).is_none() {
            self.load_length(area, 0);
            self.batch(0).set(Key::Length(area), Work::Length(0));
        }
        Ok(())
    }

    fn write_runs(&mut self, area: Area, offset: u64, bytes: &Arc<[u8]>) -> Result<()> {
        if matches!(area, Area::Segment(SegmentId(SEGMENT_END..))) {
            return fail(ErrorKind::Misuse, format!("{}: {area} is out of bounds", self.name));
        }
        let len = self.runs_mut(area)?.len.max(offset + bytes.len() as u64);
        let changed = self.runs_mut(area)?.write(area, offset / PAGE, &Slice::new(Arc::clone(bytes)));
        self.put(area, changed, bytes.len() as u64);
        self.set_runs_len(area, len)
    }

    fn set_runs_len(&mut self, area: Area, len: u64) -> Result<()> {
        let runs = self.runs_mut(area)?;
        if runs.len != len {
            runs.len = len;
            self.batch(0).set(Key::Length(area), Work::Length(len));
        }
        Ok(())
    }

    fn resize_runs(&mut self, area: Area, bytes: u64) -> Result<()> {
        let changed = self.runs_mut(area)?.cut(bytes);
        self.put(area, changed, 0);
        self.set_runs_len(area, bytes)
    }

    /// Queues what a change of runs means for the records.
    fn put(&mut self, area: Area, changed: Changed, bytes: u64) {
        let batch = self.batch(bytes);
        for (page, run) in changed {
            batch.set(Key::Run(area, page), run.map_or(Work::Delete, Work::Put));
        }
    }

    fn write_base(&mut self, offset: u64, bytes: &Arc<[u8]>) -> Result<()> {
        let len = self.base_len()?;
        let end = offset + bytes.len() as u64;
        self.check_room(end)?;
        let bytes = Slice::new(Arc::clone(bytes));
        let batch = self.batch(bytes.len() as u64);
        for (at, extent, place) in blocks_of(offset, bytes.len()) {
            batch.patch(extent).put(place, bytes.part(at, crate::block::BLOCK_SIZE));
        }
        if end > len {
            batch.set(Key::Length(Area::Base), Work::Length(end));
        }
        let number = batch.number;
        self.base.write(number, offset, &bytes);
        self.base.len = Some(len.max(end));
        Ok(())
    }

    fn resize_base(&mut self, bytes: u64) -> Result<()> {
        let len = self.base_len()?;
        self.check_room(bytes)?;
        if bytes == len {
            return Ok(());
        }
        let batch = self.batch(0);
        if bytes < len {
            let (extent, keep) = extent_of(bytes);
            if keep > 0 {
                batch.patch(extent).cut(keep);
            }
            batch.clear(Clear::ExtentsFrom(if keep > 0 { extent + 1 } else { extent }));
        }
        batch.set(Key::Length(Area::Base), Work::Length(bytes));
        let number = batch.number;
        if bytes < len {
            self.base.cut(number, bytes);
        }
        self.base.len = Some(bytes);
        Ok(())
    }

    /// A base that is held in memory as a whole may not outgrow it.
    fn check_room(&self, bytes: u64) -> Result<()> {
        if self.base.is_resident() && bytes > self.memory.bytes && bytes > self.base.len.unwrap_or(0) {
            let message = format!(
                "{}: the database is held in memory here and may have at most {} bytes; raise the limit, or use \
                 a browser with WebAssembly promise integration",
                self.name, self.memory.bytes
            );
            return fail(ErrorKind::Full, message);
        }
        Ok(())
    }

    fn base_len(&self) -> Result<u64> {
        self.base.len.ok_or_else(|| self.absent(Area::Base))
    }

    fn absent(&self, area: Area) -> Error {
        Error::new(ErrorKind::NotFound, format!("{}: {area} does not exist", self.name))
    }

    fn runs_mut(&mut self, area: Area) -> Result<&mut Runs> {
        let runs = match area {
            Area::Meta => self.meta.as_mut(),
            Area::Sums => self.sums.as_mut(),
            Area::Segment(id) => self.segments.get_mut(&id),
            Area::Base => None,
        };
        runs.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("{}: {area} does not exist", self.name)))
    }

    fn runs_entry(&mut self, area: Area) -> &mut Runs {
        match area {
            Area::Meta => self.meta.get_or_insert_default(),
            Area::Sums => self.sums.get_or_insert_default(),
            Area::Segment(id) => self.segments.entry(id).or_default(),
            Area::Base => unreachable!("the base is kept in extents"),
        }
    }

    /// The batch that the next op goes into; `bytes` is what the op brings.
    fn batch(&mut self, bytes: u64) -> &mut Batch {
        let full = self.waiting.back().is_none_or(|last| last.bytes >= self.memory.batch_bytes);
        if full && (!self.op_has_batch || planted(Bug::TearOp)) {
            self.newest += 1;
            self.waiting.push_back(Batch::new(self.newest));
        }
        self.op_has_batch = true;
        self.queued_bytes += bytes;
        self.changes += 1;
        let batch = self.waiting.back_mut().expect("just made sure of");
        batch.bytes += bytes;
        batch.upto = self.changes;
        batch
    }

    fn died(&mut self, death: Death) {
        self.waiting.clear();
        self.queued_bytes = 0;
        self.life.die(death);
    }
}
