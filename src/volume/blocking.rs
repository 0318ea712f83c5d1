//! A volume over a backend that does what it is told before it returns: files, OPFS, memory, the simulator.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::options::Options;
use super::snapshot::{Live, Snapshot};
use super::sync::{AtomicBool, Condvar, Mutex, RwLock, lock};
use super::writer::Writer;
use crate::backend::Backend;
use crate::block::{BLOCK_SIZE, BlockBytes, BlockNo, CommitId, Durability, Lsn, Tag};
use crate::error::{Error, ErrorKind, Result, fail};
use crate::log::plan::{Address, Area, Effect, Op, Plan};
use crate::log::reader::read_page;
use crate::planted::{Bug, planted};
use crate::store::read::{self, Found};
use crate::store::recovery::Recovery;
use crate::store::stats::{BlockMetadata, Damage, RecoveryReport, Stats};
use crate::store::{Outcome, Store};

/// A store bound to its medium. Cheap to clone; all clones are the same volume.
///
/// Dropping the last clone without [`Volume::close`] loses nothing that was acknowledged; the next open
/// recovers. A fold in the background then still ends its present step, and holds the medium (its lock) that
/// long: who opens again at once has to be ready for `Busy`, or calls `close`.
#[derive(Clone)]
pub struct Volume {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) options: Options,
    pub(crate) store: Mutex<Store>,
    /// Held while bytes are appended to the log or META is published.
    pub(crate) io: Mutex<()>,
    /// Shared by reads, exclusive for removing what a read might be inside of.
    pub(crate) gate: RwLock<()>,
    /// Whether the writer slot is taken.
    pub(crate) slot: Mutex<bool>,
    pub(crate) slot_free: Condvar,
    /// Whether somebody is running a barrier for everybody.
    pub(crate) barrier: Mutex<bool>,
    pub(crate) barrier_done: Condvar,
    /// Whether a barrier on the log has failed; held while one runs.
    pub(crate) log_failed: Mutex<bool>,
    /// Held by whoever folds.
    pub(crate) fold: Mutex<()>,
    /// Read views, for expiring the oldest.
    pub(crate) live: Mutex<BTreeMap<u64, Live>>,
    pub(crate) worker: Arc<super::compact::Worker>,
    closed: AtomicBool,
    report: RecoveryReport,
}

impl Volume {
    /// Opens what is on `backend`, recovering it if it was not closed, or creates a store.
    ///
    /// # Errors
    /// * `NotFound`, `NotAStore`, `Unsupported`, `AlgoMismatch`: not a store that can be opened so.
    /// * `Corrupt`: durable bytes are damaged; nothing was changed. Open read-only, or salvage.
    /// * `Full`, `Io`, `Misuse`.
    pub fn open(backend: impl Backend + 'static, options: Options) -> Result<Self> {
        let new = backend.len(Area::Meta)?.is_none();
        let setup = options.setup(backend.name(), new)?;
        let mut recovery = Recovery::new(setup);
        while let Some(plan) = recovery.next(&backend)? {
            match run(&backend, &plan.ops) {
                Ok(()) => {}
                Err(refused) if refused.is_harmless(&plan) => recovery.refused(&backend)?,
                Err(refused) => return Err(refused.error),
            }
        }
        let (store, report) = recovery.finish();
        let shared = Arc::new(Shared {
            backend: Box::new(backend),
            store: Mutex::new(store),
            io: Mutex::new(()),
            gate: RwLock::new(()),
            slot: Mutex::new(false),
            slot_free: Condvar::new(),
            barrier: Mutex::new(false),
            barrier_done: Condvar::new(),
            log_failed: Mutex::new(false),
            fold: Mutex::new(()),
            live: Mutex::new(BTreeMap::new()),
            worker: Arc::default(),
            closed: AtomicBool::new(false),
            report,
            options,
        });
        if !shared.options.read_only {
            // Every crash may leave one more segment; META can list only so many. A full disk is no reason not
            // to open: what is there can be read, and `begin` says that there is no room.
            match shared.make_room() {
                Err(error) if error.kind() == ErrorKind::Full => {}
                outcome => outcome?,
            }
            if shared.options.background {
                super::compact::start(&shared)?;
            }
        }
        Ok(Self { shared })
    }

    /// What opening found and did.
    #[must_use]
    pub fn recovery(&self) -> &RecoveryReport {
        &self.shared.report
    }

    /// Where the store is.
    #[must_use]
    pub fn name(&self) -> String {
        self.shared.backend.name()
    }

    /// A read view of the newest acknowledged commit.
    ///
    /// # Errors
    /// `Misuse` after `close`.
    pub fn snapshot(&self) -> Result<Snapshot> {
        self.snapshot_from(Lsn(0))
    }

    /// A read view of the newest acknowledged commit, but not older than `least`: a caller's own last commit.
    ///
    /// # Errors
    /// `Misuse` after `close`.
    pub fn snapshot_from(&self, least: Lsn) -> Result<Snapshot> {
        let mut store = lock(&self.shared.store);
        // Under the lock under which `close` looks for read views: none can come after it has looked.
        self.shared.check_open()?;
        let at = store.visible().max(least.min(store.committed()));
        Ok(Snapshot::pin(&self.shared, &mut store, at))
    }

    /// A read view of the newest commit, acknowledged or not. Only to begin a write transaction on: what it
    /// shows may still vanish.
    ///
    /// # Errors
    /// `Misuse` after `close`.
    pub fn snapshot_newest(&self) -> Result<Snapshot> {
        self.snapshot_from(Lsn(u64::MAX))
    }

    /// Takes the writer slot.
    ///
    /// # Errors
    /// * `Busy`: another writer has it.
    /// * `Full`, `Io`: the log was full, and to fold it failed. `Poisoned`, `ReadOnly`; `Misuse` after `close`.
    pub fn begin(&self) -> Result<Writer> {
        self.begin_within(Duration::ZERO)
    }

    /// Takes the writer slot: waits up to `wait` for it, and first up to `reader_patience` for a log over its cap.
    ///
    /// # Errors
    /// As [`Volume::begin`].
    pub fn begin_within(&self, wait: Duration) -> Result<Writer> {
        self.shared.check_open()?;
        lock(&self.shared.store).check_writable()?;
        self.shared.wait_for_room().map_err(|error| self.shared.of_earlier_commits(error))?;
        Writer::begin(&self.shared, wait)
    }

    /// Whether somebody has the writer slot.
    #[must_use]
    pub fn writer_active(&self) -> bool {
        *lock(&self.shared.slot)
    }

    /// Makes everything committed so far durable; durable when this returns. Returns the last such commit. For reading
    /// only, nothing is done: the last commit that something proves durable.
    ///
    /// # Errors
    /// `Indeterminate` if the barrier failed, `Poisoned`.
    pub fn sync(&self) -> Result<Lsn> {
        self.shared.check_open()?;
        if self.shared.options.read_only {
            return Ok(self.durable_lsn());
        }
        let lsn = lock(&self.shared.store).committed();
        self.shared.reach(lsn, Durability::Durable)?;
        Ok(lsn)
    }

    /// The newest acknowledged commit.
    #[must_use]
    pub fn visible_lsn(&self) -> Lsn {
        lock(&self.shared.store).visible()
    }

    /// The newest commit.
    #[must_use]
    pub fn committed_lsn(&self) -> Lsn {
        lock(&self.shared.store).committed()
    }

    /// The newest commit known to survive power loss.
    #[must_use]
    pub fn durable_lsn(&self) -> Lsn {
        lock(&self.shared.store).durable()
    }

    /// What commits wait for, if its options said so.
    #[cfg(feature = "sqlite")]
    pub(crate) fn durability_set(&self) -> Option<Durability> {
        self.shared.options.durability
    }

    /// What was counted since opening, and what the store is now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        lock(&self.shared.store).stats()
    }

    /// Damage met since opening.
    #[must_use]
    pub fn damage(&self) -> Vec<Damage> {
        lock(&self.shared.store).damage().to_vec()
    }

    /// What became of a commit, of this life or an earlier one.
    #[must_use]
    pub fn outcome_of(&self, id: CommitId) -> Outcome {
        lock(&self.shared.store).outcome_of(id)
    }

    /// The last request of `client` that was committed.
    #[must_use]
    pub fn last_request(&self, client: u64) -> Option<Tag> {
        lock(&self.shared.store).last_request(client)
    }

    /// What is known of the newest version of a block; `None` if it was never written or given back.
    ///
    /// # Errors
    /// `Corrupt`, `Io`.
    pub fn metadata(&self, block: BlockNo) -> Result<Option<BlockMetadata>> {
        let shared = &self.shared;
        lock(&shared.store).metadata(&*shared.backend, block)
    }

    /// Waits for the writer, folds the whole log and leaves `base.db` as a plain database file. Durable when
    /// this returns. Afterwards the volume can only be asked for numbers. Closing twice is fine.
    ///
    /// # Errors
    /// * `Busy`: a writer or a read view is still there; the store stays open.
    /// * `Poisoned`, `Io`, `Full`: closed without folding; the next open recovers.
    pub fn close(&self) -> Result<()> {
        let shared = &self.shared;
        if shared.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        if shared.options.read_only {
            shared.shut();
            return Ok(());
        }
        let slot = shared.take_slot(shared.options.busy_timeout)?;
        if shared.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        let result = shared.fold_and_seal();
        if !matches!(&result, Err(error) if error.kind() == ErrorKind::Busy) {
            shared.shut();
        }
        drop(slot);
        result
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.worker.stop();
    }
}

impl Shared {
    /// Fails after `close`.
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return fail(
                ErrorKind::Misuse,
                format!("{} has been closed; open it again", self.backend.name()),
            );
        }
        Ok(())
    }

    /// The same for what was begun before `close`, with the lock held under which it writes.
    pub(crate) fn check_still_open(&self) -> Result<()> {
        if planted(Bug::WorkBehindClose) { Ok(()) } else { self.check_open() }
    }

    fn shut(&self) {
        self.closed.store(true, Ordering::Release);
        self.worker.stop();
        let alone = !planted(Bug::ReleaseBesideFold);
        // ORDER: a step that another thread is in the middle of ends before the medium is given back; else it
        // writes into files that the next opening has locked by then.
        let _fold = alone.then(|| lock(&self.fold));
        let _io = alone.then(|| lock(&self.io));
        self.backend.release();
    }

    fn fold_and_seal(&self) -> Result<()> {
        lock(&self.store).check_writable()?;
        self.compact_for_good()?;
        let _fold = lock(&self.fold);
        let _io = lock(&self.io);
        let mut store = lock(&self.store);
        if store.oldest_pin().is_some() {
            return fail(ErrorKind::Busy, format!("{}: a read view is still held", self.backend.name()));
        }
        let plan = store.close()?;
        self.run_in_order(&mut store, &plan)?;
        self.closed.store(true, Ordering::Release);
        Ok(())
    }

    /// Runs a plan with the store locked: for the rare plans that nothing else may overlap.
    pub(crate) fn run_in_order(&self, store: &mut Store, plan: &Plan) -> Result<()> {
        settle(store, plan, run(&*self.backend, &plan.ops))
    }

    /// Runs a plan and tells the store how it went. The store is not locked meanwhile.
    pub(crate) fn run(&self, plan: &Plan) -> Result<()> {
        let mut unfinished = Unfinished { shared: self, armed: true };
        let done = plan.ops.iter().try_for_each(|op| {
            let done = match op {
                Op::Barrier(Area::Segment(_)) => self.log_barrier(op),
                _ => self.backend.apply(op),
            };
            done.map_err(|error| Refused { error, op })
        });
        let settled = settle(&mut lock(&self.store), plan, done);
        unfinished.armed = false;
        settled
    }

    /// Prepares space for `pages` pages. The caller holds `io`.
    pub(crate) fn prepare(&self, pages: usize) -> Result<()> {
        loop {
            // A rotation is followed by the creation of the next spare.
            let may_rotate = self.backend.can_create();
            let Some(plan) = lock(&self.store).prepare(pages, may_rotate)? else { return Ok(()) };
            self.run(&plan)?;
            if matches!(plan.effect, Effect::Published { .. }) {
                self.worker.wake();
            }
        }
    }

    /// Fills `out` with what was found, verified. The caller holds the gate. A mismatch is damage only if `still`
    /// says that nobody could have put other bytes there meanwhile.
    pub(crate) fn fetch(
        &self,
        found: &Found,
        out: &mut BlockBytes,
        still: impl FnOnce(&mut Store) -> bool,
    ) -> Result<()> {
        match found {
            Found::Zeros => out.fill(0),
            Found::Memory(bytes, at) => out.copy_from_slice(&bytes[*at..*at + BLOCK_SIZE]),
            Found::At(address) => self.fetch_at(address, out, still)?,
        }
        Ok(())
    }

    fn fetch_at(
        &self,
        address: &Address,
        out: &mut BlockBytes,
        still: impl FnOnce(&mut Store) -> bool,
    ) -> Result<()> {
        let page = address.offset / BLOCK_SIZE as u64;
        let (checksum, id) = {
            let store = lock(&self.store);
            (store.checksum(), store.id())
        };
        let mut outcome = Ok(());
        // A mismatch is read once more: a transient error of the path is not damage.
        for _ in 0..if planted(Bug::NoSecondLook) { 1 } else { 2 } {
            outcome = match read_page(&*self.backend, address.area, page, out) {
                Ok(_) => read::verify(checksum, id, address, out),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    Err(read::mismatch(address).caused_by(error))
                }
                Err(error) => return Err(error),
            };
            if outcome.is_ok() {
                return Ok(());
            }
        }
        out.fill(0);
        let mut store = lock(&self.store);
        if store.is_poisoned() && address.version > store.durable() {
            let message = format!(
                "{}: block {} of {} was never made durable; open the store again",
                self.backend.name(),
                address.block,
                address.area
            );
            return fail(ErrorKind::Poisoned, message);
        }
        if still(&mut store) || planted(Bug::BlameOvertakenRead) {
            store.note_damage(Damage {
                what: format!("{}: bytes that are not what was written", address.area),
                segment: match address.area {
                    Area::Segment(id) => Some(id),
                    Area::Meta | Area::Base | Area::Sums => None,
                },
                offset: address.offset,
                block: Some(address.block),
                version: Some(address.version),
            });
        }
        outcome.map_err(|error| error.in_store(&self.backend.name()))
    }
}

/// A plan that nobody has heard the end of. A panic in the middle of it poisons the store: what lies behind a hole
/// in the log would be lost, and nobody would run a barrier for those who wait for one.
struct Unfinished<'a> {
    shared: &'a Shared,
    armed: bool,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if self.armed && !planted(Bug::ForgetUnfinished) {
            lock(&self.shared.store)
                .poison(&Error::new(ErrorKind::Io, "a panic in the middle of a write or barrier"));
        }
    }
}

/// An op that failed.
struct Refused<'a> {
    error: Error,
    op: &'a Op,
}

impl Refused<'_> {
    /// Whether nothing but space was missing, for a plan that prepares space or folds. A barrier that failed is
    /// never tried again, whatever it said.
    fn is_harmless(&self, plan: &Plan) -> bool {
        let barrier = matches!(self.op, Op::Barrier(_) | Op::BarrierDirectory);
        self.error.kind() == ErrorKind::Full
            && (!barrier || planted(Bug::RetryFullBarrier))
            && reserves_only(plan)
    }
}

/// Tells the store how a plan went.
fn settle(store: &mut Store, plan: &Plan, done: std::result::Result<(), Refused<'_>>) -> Result<()> {
    match done {
        Ok(()) => store.complete(plan),
        Err(refused) => {
            if refused.is_harmless(plan) {
                store.refused(plan);
            } else {
                store.poison(&refused.error);
            }
            return Err(refused.error);
        }
    }
    Ok(())
}

/// Whether a plan prepares space or folds: the kinds that `Full` does not harm.
fn reserves_only(plan: &Plan) -> bool {
    match plan.effect {
        Effect::Reserved { .. } | Effect::Folded => true,
        Effect::Housekeeping => plan.ops.iter().any(|op| matches!(op, Op::Reserve { .. })),
        Effect::Appended
        | Effect::Durable(_)
        | Effect::Witnessed(_)
        | Effect::Published { .. }
        | Effect::FoldPublished { .. } => false,
    }
}

/// Runs ops in order until one fails.
fn run<'a>(backend: &dyn Backend, ops: &'a [Op]) -> std::result::Result<(), Refused<'a>> {
    ops.iter().try_for_each(|op| match (backend.apply(op), op) {
        (Err(_), Op::Barrier(_)) if planted(Bug::RetryBarrier) => {
            backend.apply(op).map_err(|error| Refused { error, op })
        }
        (done, _) => done.map_err(|error| Refused { error, op }),
    })
}
