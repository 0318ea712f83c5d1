//! The database file as one connection sees it: SQLite's lock ladder over snapshots and the writer slot.
//!
//! | level | held |
//! |---|---|
//! | none | nothing; a read takes a snapshot for itself |
//! | shared | a snapshot |
//! | reserved and up | the snapshot and the writer slot with the batch, until the commit hands the slot on |
//!
//! Must not know FFI. The rules it keeps: what SQLite reads between two changes of its lock comes from one
//! commit, or from its own batch on top of that commit; and SQLite's page cache is never trusted across a
//! change of snapshot, whatever the database's change counter says.

use std::sync::Arc;

use super::commit::Writing;
use super::pragma::Mode;
use super::store::{Held, Store};
use super::{header, turn};
use crate::block::{BLOCK_SIZE, BlockBytes, BlockNo, Lsn};
use crate::error::{ErrorKind, Result, fail};
use crate::planted::{Bug, planted};
use crate::volume::{Snapshot, Writer};

/// SQLite's lock levels, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    None,
    Shared,
    Reserved,
    Pending,
    Exclusive,
}

/// An open database file. Its fields are dropped in order: what it took from the volume before the volume.
pub(super) struct MainFile {
    pub(super) writing: Option<Writing>,
    pub(super) view: Option<Snapshot>,
    claimed: Option<Writer>,
    held: Held,
    pub(super) number: u64,
    pub(super) level: Level,
    pub(super) mode: Mode,
    read_only: bool,
    immutable: bool,
    /// This connection's own last commit: it never sees less.
    pub(super) own: Lsn,
    /// It was refused because its snapshot was not the newest: the next one is.
    pin_newest: bool,
    /// The commit that SQLite's page cache agrees with, if SQLite ever read under a lock.
    pub(super) cached: Option<Lsn>,
    pub(super) header: header::Watch,
}

impl MainFile {
    /// A file on `held`. An immutable one keeps the snapshot of this moment and takes no locks.
    ///
    /// # Errors
    /// As `Volume::snapshot`.
    pub(super) fn new(held: Held, mode: Mode, read_only: bool, immutable: bool) -> Result<Self> {
        let number = held.store().number_file();
        let view = if immutable { Some(held.store().snapshot(Lsn(0))?) } else { None };
        Ok(Self {
            writing: None,
            view,
            claimed: None,
            held,
            number,
            level: Level::None,
            mode,
            read_only,
            immutable,
            own: Lsn(0),
            pin_newest: false,
            cached: None,
            header: header::Watch::default(),
        })
    }

    pub(super) fn store(&self) -> &Arc<Store> {
        self.held.store()
    }

    /// Whether writing was ruled out when it was opened.
    pub(super) fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Raises the lock. Readers never wait for a writer nor it for them, so above `Reserved` nothing is asked.
    ///
    /// # Errors
    /// * `Busy`: another connection writes, or holds the database exclusively.
    /// * `Stale`: the snapshot is no longer the newest, so nothing can be written on it.
    /// * `ReadOnly`, `Poisoned`, and whatever a snapshot can fail with.
    pub(super) fn lock(&mut self, wanted: Level) -> Result<()> {
        self.store().alive()?;
        turn::forget();
        if self.level == Level::None && wanted > Level::None {
            self.share().inspect_err(|_| self.mode.refuse())?;
            self.level = Level::Shared;
        }
        if wanted >= Level::Reserved && self.level < Level::Reserved {
            self.take_slot()?;
        }
        self.level = self.level.max(wanted);
        Ok(())
    }

    fn share(&mut self) -> Result<()> {
        let store = Arc::clone(self.store());
        let holder = store.exclusive();
        if holder != 0 && holder != self.number && !planted(Bug::IgnoreExclusive) {
            let text = "another connection holds the database exclusively (locking_mode=EXCLUSIVE)";
            return fail(ErrorKind::Busy, format!("{}: {text}", store.name()));
        }
        self.claimed = store.claim().collect(self.number);
        let keeps = self.mode.exclusive && !self.read_only && !planted(Bug::LockWithoutSlot);
        if keeps && self.claimed.is_none() {
            // SQLite will not let go of this lock again. A snapshot alone would grow stale under it, and no
            // write could ever begin; so the slot comes with it.
            self.claimed = Some(self.begin()?);
        }
        let view = match (&self.claimed, std::mem::take(&mut self.pin_newest)) {
            (Some(_), _) => store.volume().snapshot_newest()?,
            (None, true) => store.snapshot(Lsn(u64::MAX))?,
            (None, false) => store.snapshot(self.own)?,
        };
        // A slot that was waited for is collected in order to write, and a write transaction waits at its end.
        // Anybody else may only read, and then nothing waits any more where SQLite would listen.
        let writes = self.claimed.is_some() && !self.mode.exclusive;
        if !writes && let Err(error) = self.prove(view.lsn(), Bug::ShowPending) {
            self.claimed = None;
            return Err(error);
        }
        self.look_at(view);
        Ok(())
    }

    /// From now on SQLite lets go of no lock that it gets, nor of the one that it has: a read transaction's snapshot
    /// would grow stale under it, and no write could ever begin. So the slot comes with it here too.
    ///
    /// # Errors
    /// `Busy`: another connection writes. `Stale`: it has written since this transaction began to read.
    pub(super) fn keep_out(&mut self) -> Result<()> {
        let reads = self.level == Level::Shared && !self.read_only && !planted(Bug::KeepOutWithoutSlot);
        if let (true, None, Some(view)) = (reads, &self.claimed, &self.view) {
            let seen = view.lsn();
            let writer = self.begin()?;
            if writer.view_lsn() != seen {
                return self.stale();
            }
            self.claimed = Some(writer);
            self.prove(seen, Bug::ShowPending)?;
        }
        self.mode.exclusive = true;
        Ok(())
    }

    /// Waits until what it reads is durable, where that was not waited for before it was shown.
    ///
    /// # Errors
    /// As `Volume::sync`.
    pub(super) fn prove_seen(&self) -> Result<()> {
        self.view.as_ref().map_or(Ok(()), |view| self.prove(view.lsn(), Bug::SkipSeenWait))
    }

    /// `unless` is the bug that leaves this wait out.
    fn prove(&self, seen: Lsn, unless: Bug) -> Result<()> {
        if seen > self.store().volume().visible_lsn() && !planted(unless) {
            self.store().alive()?;
            self.store().volume().sync()?;
        }
        Ok(())
    }

    /// Makes `view` what SQLite reads, and has it drop its cache if that came from elsewhere.
    pub(super) fn look_at(&mut self, view: Snapshot) {
        if self.cached.is_some_and(|cached| cached != view.lsn()) && !planted(Bug::TrustPageCache) {
            self.header.moved();
        }
        self.cached = Some(view.lsn());
        self.view = Some(view);
    }

    fn take_slot(&mut self) -> Result<()> {
        let store = Arc::clone(self.store());
        if self.read_only {
            return fail(ErrorKind::ReadOnly, format!("{}: opened for reading only", store.name()));
        }
        let base = self.view.as_ref().map(Snapshot::lsn);
        let stale = base.is_some_and(|base| store.volume().committed_lsn() > base);
        if stale && !planted(Bug::WriteOnStaleSnapshot) {
            return self.stale();
        }
        let writer = match self.claimed.take() {
            Some(writer) => writer,
            None => self.begin()?,
        };
        if base != Some(writer.view_lsn()) && !planted(Bug::WriteOnStaleSnapshot) {
            return self.stale();
        }
        self.writing = Some(Writing::new(writer));
        Ok(())
    }

    fn begin(&self) -> Result<Writer> {
        let store = self.store();
        store.volume().begin().or_else(|error| {
            if error.kind() == ErrorKind::Busy {
                if let Some(writer) = store.claim().refused() {
                    return Ok(writer);
                }
                turn::wait_for(store, self.number);
            }
            Err(error)
        })
    }

    fn stale(&mut self) -> Result<()> {
        self.pin_newest = true;
        turn::wait_for(self.store(), self.number);
        let text = "the database changed after this transaction began to read; roll back and begin again";
        fail(ErrorKind::Stale, format!("{}: {text}", self.store().name()))
    }

    /// Lowers the lock. A batch that was not committed is dropped here.
    ///
    /// # Errors
    /// Letting go of commits that were seen before they were durable waits for them, and can fail as
    /// `Volume::sync` does. `Indeterminate`: a commit of a transaction that failed stays. The lock is lowered all
    /// the same.
    pub(super) fn unlock(&mut self, wanted: Level) -> Result<()> {
        let mut left = Ok(());
        if wanted <= Level::Shared {
            let given_up = if planted(Bug::KeepBatchAtUnlock) { None } else { self.writing.take() };
            if let Some(writing) = given_up {
                if writing.touched {
                    self.header.forget();
                }
                if writing.early.is_some() {
                    left = Err(self.left_behind());
                }
            }
            self.store().clear_exclusive(self.number);
        }
        self.level = self.level.min(wanted);
        if wanted > Level::None || self.immutable {
            return left;
        }
        self.claimed = None;
        self.mode.lets_go();
        let view = self.view.take();
        left?;
        // ORDER: the transaction ends only after what it may have read is durable; told earlier, a crash
        // could take back what its caller has already acted on.
        view.map_or(Ok(()), |view| self.prove(view.lsn(), Bug::SkipUnlockWait))
    }

    /// Whether anybody is writing.
    pub(super) fn is_reserved(&self) -> bool {
        self.level >= Level::Reserved || self.store().volume().writer_active()
    }

    /// Logical length in bytes, as this connection sees it.
    ///
    /// # Errors
    /// As a snapshot.
    pub(super) fn size(&self) -> Result<u64> {
        self.store().alive()?;
        Ok(self.source()?.size())
    }

    /// Fills `buf` from `offset` and returns how many bytes there were.
    ///
    /// # Errors
    /// As reading a block: `Io`, `Corrupt`, `AlgoMismatch`, `Expired`, `Poisoned`.
    pub(super) fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<usize> {
        let done = self.read_at(buf, offset);
        if done.is_err() {
            self.mode.refuse();
        }
        done
    }

    fn read_at(&mut self, buf: &mut [u8], offset: u64) -> Result<usize> {
        self.store().alive()?;
        if header::is_stamp(buf, offset) {
            self.begin_again()?;
        }
        if let Some(done) = self.header.answer(buf, offset, self.cached) {
            return Ok(done);
        }
        let source = self.source()?;
        let there = source.size().saturating_sub(offset).min(buf.len() as u64);
        let there = usize::try_from(there).expect("no longer than the buffer");
        read_bytes(&source, &mut buf[..there], offset)?;
        drop(source);
        let masked = header::as_rollback_mode(&mut buf[..there], offset);
        if self.level > Level::None {
            self.header.note(&buf[..there], offset, self.cached);
        }
        if masked {
            self.header.changes(offset);
        }
        Ok(there)
    }

    /// SQLite looks whether its cache is good, which it does only where a transaction begins. What is staged
    /// now was given up without an unlock, as happens in exclusive mode: after an error, or without a journal.
    fn begin_again(&mut self) -> Result<()> {
        if self.writing.as_ref().is_some_and(|writing| writing.early.is_some()) {
            return Err(self.left_behind());
        }
        if let Some(writing) = &mut self.writing
            && writing.touched
        {
            writing.abandon()?;
            self.header.forget();
            self.header.moved();
        }
        Ok(())
    }

    pub(super) fn source(&self) -> Result<Source<'_>> {
        match (&self.writing, &self.view) {
            (Some(writing), _) => Ok(Source::Batch(writing)),
            (None, Some(view)) => Ok(Source::View(view)),
            (None, None) => Ok(Source::Glance(self.store().snapshot(self.own)?)),
        }
    }
}

impl Drop for MainFile {
    fn drop(&mut self) {
        self.store().clear_exclusive(self.number);
        drop(self.store().claim().collect(self.number));
    }
}

/// Where a read comes from.
pub(super) enum Source<'a> {
    Batch(&'a Writing),
    View(&'a Snapshot),
    /// Without a lock: whatever is the newest at this moment.
    Glance(Snapshot),
}

impl Source<'_> {
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Batch(writing) => writing.size,
            Self::View(view) => view.size(),
            Self::Glance(view) => view.size(),
        }
    }

    pub(super) fn block(&self, block: BlockNo, out: &mut BlockBytes) -> Result<()> {
        match self {
            Self::Batch(writing) => writing.writer.read(block, out),
            Self::View(view) => view.read(block, out),
            Self::Glance(view) => view.read(block, out),
        }
    }
}

/// Reads whole blocks straight into `buf`, the ends of it by way of a copy.
fn read_bytes(source: &Source<'_>, buf: &mut [u8], offset: u64) -> Result<()> {
    let mut spare: Option<Box<BlockBytes>> = None;
    for piece in pieces(offset, buf.len()) {
        let part = &mut buf[piece.at..piece.at + piece.len];
        match <&mut BlockBytes>::try_from(&mut *part) {
            Ok(whole) => source.block(piece.block, whole)?,
            Err(_) => {
                let spare = spare.get_or_insert_with(|| Box::new([0; BLOCK_SIZE]));
                source.block(piece.block, spare)?;
                part.copy_from_slice(&spare[piece.within..piece.within + piece.len]);
            }
        }
    }
    Ok(())
}

/// A run of bytes within one block.
pub(super) struct Piece {
    /// Where it begins in the caller's buffer.
    pub at: usize,
    pub len: usize,
    pub block: BlockNo,
    /// Where it begins in the block.
    pub within: usize,
}

/// Cuts `len` bytes at `offset` where blocks meet.
pub(super) fn pieces(offset: u64, len: usize) -> impl Iterator<Item = Piece> {
    let unit = BLOCK_SIZE as u64;
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let position = offset + done as u64;
        let within = usize::try_from(position % unit).expect("less than a block");
        let piece = Piece {
            at: done,
            len: (BLOCK_SIZE - within).min(len - done),
            block: BlockNo(position / unit),
            within,
        };
        done += piece.len;
        Some(piece)
    })
}
