//! Group commit: one barrier acknowledges every commit that it covers.
//!
//! Whoever needs a barrier and finds none under way runs one for everybody; the others wait for it and look
//! again. A commit that arrives while a barrier runs is covered by the next.

use std::fmt;
use std::sync::{Arc, PoisonError};

use super::blocking::Shared;
use super::sync::lock;
use super::writer::Receipt;
use crate::block::{CommitId, Durability, Lsn};
use crate::error::{Error, ErrorKind, Result, fail};
use crate::log::plan::{Area, Op};
use crate::planted::{Bug, planted};
use crate::store::Store;

/// A commit that is in the log and not acknowledged yet.
#[must_use = "a commit is acknowledged by `wait` only"]
pub struct Pending {
    pub(crate) shared: Arc<Shared>,
    pub(crate) receipt: Receipt,
}

/// The commit, and what `wait` waits for.
impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Receipt { commit, durability } = self.receipt;
        f.debug_struct("Pending")
            .field("commit", &commit)
            .field("durability", &durability)
            .finish_non_exhaustive()
    }
}

impl Pending {
    /// The commit.
    #[must_use]
    pub fn commit(&self) -> CommitId {
        self.receipt.commit
    }

    /// Blocks until the commit has reached the durability that was asked for.
    ///
    /// # Errors
    /// `Indeterminate` if a barrier failed: only reopening tells whether the commit survived.
    pub fn wait(self) -> Result<Receipt> {
        self.shared.reach(self.receipt.commit.lsn, self.receipt.durability)?;
        Ok(self.receipt)
    }
}

impl Shared {
    /// Blocks until commit `lsn` is acknowledged at `durability`.
    pub(crate) fn reach(&self, lsn: Lsn, durability: Durability) -> Result<()> {
        if planted(Bug::AcknowledgeEarly) {
            lock(&self.store).acknowledge(lsn);
            return Ok(());
        }
        let mut running = lock(&self.barrier);
        loop {
            {
                let store = lock(&self.store);
                if reached(&store, lsn, durability) {
                    return Ok(());
                }
                if store.is_poisoned() {
                    return Err(indeterminate(&store, lsn));
                }
            }
            if *running {
                running = self.barrier_done.wait(running).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            *running = true;
            drop(running);
            let turn = Turn(self);
            let outcome = self.barrier_for_all(durability == Durability::Witnessed);
            drop(turn);
            running = lock(&self.barrier);
            if let Err(error) = outcome {
                let store = lock(&self.store);
                return Err(indeterminate(&store, lsn).caused_by(error));
            }
        }
    }

    /// What failed before a transaction has begun. The commit that is in doubt then is not the one that the caller
    /// goes on to ask about, so no number is named.
    pub(crate) fn of_earlier_commits(&self, error: Error) -> Error {
        match (error.kind(), lock(&self.store).check_writable()) {
            (ErrorKind::Indeterminate(_), Err(ended)) if !planted(Bug::NameEarlierCommit) => {
                ended.caused_by(error)
            }
            _ => error,
        }
    }

    /// Makes everything committed so far durable and acknowledges it.
    fn barrier_for_all(&self, witness: bool) -> Result<()> {
        let plan = {
            // Every append that was planned has been done by whoever held `io`.
            let _io = (!planted(Bug::BarrierBesideAppend)).then(|| lock(&self.io));
            lock(&self.store).sync()?
        };
        if let Some(plan) = plan {
            self.run(&plan)?;
        }
        let durable = lock(&self.store).durable();
        let wanted = {
            let store = lock(&self.store);
            !store.is_witnessed(durable) && (witness || store.needs_witness(durable))
        };
        if wanted {
            self.witness()?;
        }
        lock(&self.store).acknowledge(durable);
        Ok(())
    }

    /// A barrier on the log, one at a time and none after one that failed.
    ///
    /// ORDER: a failure is known before the next barrier begins. A system reports it once; the barrier of a
    /// rotation right behind that of a commit is told that all is well, and META then promises groups that the
    /// disk never got.
    pub(crate) fn log_barrier(&self, op: &Op) -> Result<()> {
        if planted(Bug::ForgetFailedBarrier) {
            return self.backend.apply(op);
        }
        let mut failed = lock(&self.log_failed);
        if *failed {
            return fail(ErrorKind::Io, format!("{}: a barrier on the log has failed", self.backend.name()));
        }
        let done =
            self.backend.apply(op).or_else(|error| if self.is_folded(op) { Ok(()) } else { Err(error) });
        *failed = done.is_err();
        done
    }

    /// Whether a barrier came too late: its segment was sealed, folded and removed between its plan and now. What it
    /// was for is durable in the base then; else the segment would be there.
    fn is_folded(&self, op: &Op) -> bool {
        let Op::Barrier(Area::Segment(id)) = op else { return false };
        let store = lock(&self.store);
        !planted(Bug::FailFoldedBarrier)
            && *id < store.meta.body.next_segment
            && store.segments.iter().all(|segment| segment.record.id != *id)
    }

    /// Puts a durable proof of everything durable into the log.
    pub(crate) fn witness(&self) -> Result<()> {
        let _io = lock(&self.io);
        // Nothing may be written behind a `close` that was done before this had the lock.
        if is_sealed(&lock(&self.store)) && !planted(Bug::WorkBehindClose) {
            return Ok(());
        }
        self.check_still_open()?;
        // The last append has left room for this one page, so that a full disk is no reason to fail here.
        let prepared = self.prepare(0);
        let plan = {
            let mut store = lock(&self.store);
            if store.is_witnessed(store.durable()) {
                // A rotation has published META meanwhile, the better proof.
                return Ok(());
            }
            prepared?;
            store.witness((self.options.clock)())
        };
        plan.map_or(Ok(()), |plan| self.run(&plan))
    }
}

/// The barrier that runs for everybody. It is over when this is dropped, also by a panic: others wait for it.
struct Turn<'a>(&'a Shared);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *lock(&self.0.barrier) = false;
        self.0.barrier_done.notify_all();
    }
}

/// Whether the volume was closed, which proves everything durable.
fn is_sealed(store: &Store) -> bool {
    store.meta.body.clean && !store.is_poisoned()
}

fn reached(store: &Store, lsn: Lsn, durability: Durability) -> bool {
    let visible = store.visible() >= lsn;
    // A closed store has no log left that anything would have to be proven of.
    let proven = |proof: bool| proof || is_sealed(store);
    match durability {
        Durability::Applied => visible,
        // What a rotation made durable, or a barrier whose proof is still being written, is not enough.
        Durability::Durable => visible && store.durable() >= lsn && proven(!store.needs_witness(lsn)),
        Durability::Witnessed => visible && proven(store.is_witnessed(lsn)),
    }
}

/// The error of a commit that nothing more can be said about in this life.
pub(crate) fn indeterminate(store: &Store, lsn: Lsn) -> Error {
    let id = CommitId { epoch: store.epoch(), lsn };
    Error::new(
        ErrorKind::Indeterminate(id),
        format!(
            "commit {id} may or may not survive: a write or barrier failed; reopen and ask for the outcome of {id} \
             (in SQL: PRAGMA datasync_outcome = '{id}')"
        ),
    )
}
