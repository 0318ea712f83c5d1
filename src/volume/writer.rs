//! A write transaction: the writer slot and a batch.

use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::barrier::{Pending, indeterminate};
use super::blocking::Shared;
use super::snapshot::Snapshot;
use super::sync::{lock, wait_while};
use crate::block::{
    BLOCK_COUNT_MAX, BLOCK_SIZE, BlockBytes, BlockNo, CommitId, Durability, Lsn, Tag, blocks_for,
};
use crate::error::{ErrorKind, Result, fail};
use crate::format::group::DESCRIPTORS_MAX;
use crate::planted::{Bug, planted};
use crate::store::batch::Batch;

/// A transaction may reach this many blocks (4 GiB) behind the end at once.
const GAP_BLOCKS_MAX: u64 = 1 << 20;

/// What a commit was acknowledged with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its name for good.
    pub commit: CommitId,
    /// What has been reached.
    pub durability: Durability,
}

/// The writer slot, as long as somebody has it.
pub(crate) struct Slot {
    shared: Arc<Shared>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        *lock(&self.shared.slot) = false;
        self.shared.slot_free.notify_all();
    }
}

impl Shared {
    /// Takes the writer slot, waiting for it up to `wait`.
    pub(crate) fn take_slot(self: &Arc<Self>, wait: Duration) -> Result<Slot> {
        let mut taken = wait_while(&self.slot_free, lock(&self.slot), wait, |taken| *taken);
        if *taken {
            return fail(
                ErrorKind::Busy,
                format!("{}: another write transaction is under way", self.backend.name()),
            );
        }
        *taken = true;
        Ok(Slot { shared: Arc::clone(self) })
    }
}

/// A write transaction. It holds the writer slot until it is dropped; what was not appended by then is
/// abandoned.
pub struct Writer {
    /// `None` only inside of `append` and `drop`.
    batch: Option<Batch>,
    /// Keeps what the batch builds on readable.
    view: Snapshot,
    shared: Arc<Shared>,
    _slot: Slot,
}

/// What it builds on, and how much of it is staged.
impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("Writer");
        fields
            .field("view", &self.view_lsn())
            .field("size", &self.size())
            .field("is_empty", &self.is_empty());
        fields.finish_non_exhaustive()
    }
}

impl Writer {
    pub(crate) fn begin(shared: &Arc<Shared>, wait: Duration) -> Result<Self> {
        let slot = shared.take_slot(wait)?;
        // `close` holds the slot until it is done: whoever waited for it meanwhile finds out here.
        shared.check_open()?;
        let mut store = lock(&shared.store);
        let batch = store.begin()?;
        let view = Snapshot::pin(shared, &mut store, batch.view());
        drop(store);
        Ok(Self { batch: Some(batch), view, shared: Arc::clone(shared), _slot: slot })
    }

    /// The commit this transaction builds on.
    #[must_use]
    pub fn view_lsn(&self) -> Lsn {
        self.view.lsn()
    }

    /// Logical size in bytes, with what is staged.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.batch().size
    }

    /// Whether nothing has been changed yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batch().is_empty()
    }

    /// Reads one block as this transaction sees it.
    ///
    /// # Errors
    /// As [`Snapshot::read`].
    pub fn read(&self, block: BlockNo, out: &mut BlockBytes) -> Result<()> {
        let _gate = self.shared.gate.read().unwrap_or_else(PoisonError::into_inner);
        let found = {
            let mut store = lock(&self.shared.store);
            match store.find_in(&*self.shared.backend, self.batch(), block)? {
                Err(staged) => {
                    *out = *staged;
                    return Ok(());
                }
                Ok(found) => found,
            }
        };
        // The view of a writer is never expired.
        self.shared.fetch(&found, out, |_| true)
    }

    /// Stages the bytes of one block; the logical size grows to hold it. A large transaction spills into the
    /// log, where it does not count before its commit.
    ///
    /// # Errors
    /// * `Misuse`: a block number out of bounds, or more than 4 GiB behind the end.
    /// * `Full`: a spill found no space. The block is staged all the same; nothing is lost.
    /// * `Poisoned`, `Io`.
    pub fn write(&mut self, block: BlockNo, bytes: &BlockBytes) -> Result<()> {
        self.check_block(block)?;
        self.batch_mut().put(block, bytes);
        self.spill_if_large()
    }

    /// Stages that the block reads as zeros.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn trim(&mut self, block: BlockNo) -> Result<()> {
        self.check_block(block)?;
        self.batch_mut().trim(block);
        self.spill_if_large()
    }

    /// Sets the logical size. What falls away reads as zeros if the size grows again.
    ///
    /// # Errors
    /// `Misuse` for a size out of bounds or more than 4 GiB above the present one; `Corrupt`, `Io` if the last
    /// block has to be read and cannot be.
    pub fn set_size(&mut self, bytes: u64) -> Result<()> {
        self.check_end(blocks_for(bytes))?;
        let kept = usize::try_from(bytes % BLOCK_SIZE as u64).expect("less than a block");
        if bytes < self.size() && kept > 0 && !planted(Bug::KeepTruncatedTail) {
            let last = BlockNo(bytes / BLOCK_SIZE as u64);
            let mut block = [0; BLOCK_SIZE];
            self.read(last, &mut block)?;
            block[kept..].fill(0);
            self.batch_mut().put(last, &block);
        }
        self.batch_mut().set_size(bytes);
        Ok(())
    }

    /// A free block, or the one behind the end. It is allocated for good by the commit that writes it.
    ///
    /// # Errors
    /// `Full` when all block numbers are in use; `Io`, `Corrupt` when `base.sum` cannot be read.
    pub fn allocate(&mut self) -> Result<BlockNo> {
        let batch = self.batch.as_mut().expect("there between calls");
        let mut store = lock(&self.shared.store);
        store.list_free_blocks(&*self.shared.backend, batch)?;
        store.allocate(batch)
    }

    /// Says who asked for this commit; kept with it for exactly-once forwarding.
    pub fn set_tag(&mut self, tag: Tag) {
        self.batch_mut().tag = tag;
    }

    /// Makes sure that the commit will not fail for want of space.
    ///
    /// # Errors
    /// `Full`: there is not enough. Nothing of the transaction is lost, and none of it counts yet.
    /// `Poisoned`, `Io`.
    pub fn reserve(&mut self) -> Result<()> {
        self.spill_down_to(self.shared.options.chunk())?;
        let pages = self.batch().staged_pages();
        let _io = lock(&self.shared.io);
        self.shared.prepare(pages)
    }

    /// The same, and room for the commit that would take this one back, if both fit into one segment.
    ///
    /// # Errors
    /// As [`Writer::reserve`].
    pub fn reserve_with_undo(&mut self) -> Result<()> {
        self.spill_down_to(self.shared.options.chunk())?;
        let batch = self.batch();
        let gone: u64 = batch.gone.iter().map(|(from, to)| to.0 - from.0).sum();
        let blocks =
            batch.staged_len() + batch.spilled.len() + usize::try_from(gone).unwrap_or(usize::MAX / 4);
        // Between the two the first may need a page of proof.
        let both = batch.staged_pages() + 2 + blocks + blocks.div_ceil(DESCRIPTORS_MAX);
        let fits = both < self.shared.options.segment_pages() && !planted(Bug::ReserveWithoutUndo);
        let pages = if fits { both } else { batch.staged_pages() };
        let _io = lock(&self.shared.io);
        self.shared.prepare(pages)
    }

    /// Puts the transaction into the log as the next commit and moves on to it: the writer keeps the slot and
    /// may stage more. Not durable when this returns; see [`Pending::wait`].
    ///
    /// With nothing staged there is no new commit: what is returned names the one that the transaction builds on, which
    /// may be somebody else's, and waits only until that is visible (`Applied`), whatever was asked for.
    ///
    /// # Errors
    /// * `Full`: nothing of the commit counts; the transaction is as it was.
    /// * `Indeterminate`: the write of the commit marker failed.
    /// * `Poisoned`, `Io`.
    pub fn append(&mut self, durability: Durability) -> Result<Pending> {
        let shared = Arc::clone(&self.shared);
        if self.is_empty() {
            let commit = lock(&shared.store).id_of(self.view_lsn());
            return Ok(Pending { shared, receipt: Receipt { commit, durability: Durability::Applied } });
        }
        self.spill_down_to(shared.options.chunk())?;
        let pages = self.batch().staged_pages();
        let io = lock(&shared.io);
        shared.prepare(pages)?;
        let batch = self.batch.as_mut().expect("there between calls");
        let (commit, plan) = {
            let mut store = lock(&shared.store);
            let (lsn, plan) = store.commit(batch, durability, (shared.options.clock)());
            (CommitId { epoch: store.epoch(), lsn }, plan)
        };
        if let Err(error) = shared.run(&plan) {
            return Err(indeterminate(&lock(&shared.store), commit.lsn).caused_by(error));
        }
        drop(io);
        let mut store = lock(&shared.store);
        self.batch = Some(Batch::new(commit.lsn, store.size_at(commit.lsn)));
        let view = Snapshot::pin(&shared, &mut store, commit.lsn);
        drop(store);
        self.view = view;
        Ok(Pending { shared, receipt: Receipt { commit, durability } })
    }

    /// Gives up what is staged and spilled; keeps the slot.
    ///
    /// # Errors
    /// `Poisoned`.
    pub fn abandon(&mut self) -> Result<()> {
        let mut store = lock(&self.shared.store);
        if let Some(batch) = self.batch.take() {
            store.abandon(batch);
        }
        self.batch = Some(Batch::new(self.view.lsn(), self.view.size()));
        store.check_writable()
    }

    /// Commits, hands the slot on and waits for `durability`. With nothing staged the receipt is that of the commit
    /// that was there before, at `Applied`, as with [`Writer::append`]; [`Writer::is_empty`] tells beforehand.
    ///
    /// # Errors
    /// As [`Writer::append`] and [`Pending::wait`].
    pub fn commit(mut self, durability: Durability) -> Result<Receipt> {
        let pending = self.append(durability)?;
        drop(self);
        pending.wait()
    }

    fn check_block(&self, block: BlockNo) -> Result<()> {
        self.check_end(block.0.saturating_add(1))
    }

    /// Refuses an end, in blocks, that no address can name or that leaves too large a gap behind the present
    /// one: `base.sum` has an entry for every block, so a fold would write one for each block of the gap.
    fn check_end(&self, end: u64) -> Result<()> {
        let most = BLOCK_COUNT_MAX.min(blocks_for(self.size()) + GAP_BLOCKS_MAX);
        if end > most {
            let now = blocks_for(self.size());
            let text = format!("{now} blocks now, {end} wanted: at most {most} can be reached from here");
            return fail(ErrorKind::Misuse, format!("{}: {text}; grow in steps", self.shared.backend.name()));
        }
        Ok(())
    }

    fn batch(&self) -> &Batch {
        self.batch.as_ref().expect("there between calls")
    }

    fn batch_mut(&mut self) -> &mut Batch {
        self.batch.as_mut().expect("there between calls")
    }

    fn spill_if_large(&mut self) -> Result<()> {
        let most = usize::try_from(self.shared.options.spill_bytes / BLOCK_SIZE as u64).unwrap_or(usize::MAX);
        if self.batch().staged_len() > most.max(1) {
            return self.spill_down_to(0);
        }
        Ok(())
    }

    /// Writes staged changes into the log, without a marker, until at most `keep` are left.
    fn spill_down_to(&mut self, keep: usize) -> Result<()> {
        let chunk = self.shared.options.chunk();
        while self.batch().staged_len() > keep {
            let shared = Arc::clone(&self.shared);
            let count = chunk.min(self.batch().staged_len());
            let _io = lock(&shared.io);
            shared.prepare(count + count.div_ceil(DESCRIPTORS_MAX))?;
            let batch = self.batch.as_mut().expect("there between calls");
            let plan = lock(&shared.store).spill(batch, count, (shared.options.clock)());
            shared.run(&plan)?;
        }
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(batch) = self.batch.take() {
            lock(&self.shared.store).abandon(batch);
        }
    }
}
