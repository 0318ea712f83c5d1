//! Who folds, and when: a thread of the volume's own, or whoever asks.
//!
//! The one place of the crate that starts a thread. It holds the volume weakly, so it never keeps one alive.

use std::sync::{Arc, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use super::blocking::{Shared, Volume};
use super::host::Stopwatch;
use super::snapshot::expire_oldest;
use super::sync::{Condvar, Mutex, lock, wait_while};
use crate::block::Durability;
use crate::error::{Error, ErrorKind, Result, fail};
use crate::planted::{Bug, planted};

/// After this long without a commit, the newest commits get their durable proof.
const IDLE: Duration = Duration::from_millis(200);

/// The signals between a volume and its thread.
#[derive(Default)]
pub(crate) struct Worker {
    signal: Mutex<Signal>,
    changed: Condvar,
    /// Notified after each fold, for commits that wait for room.
    folded: Condvar,
}

#[derive(Default)]
struct Signal {
    wake: bool,
    stop: bool,
}

impl Worker {
    /// There may be something to fold.
    pub(crate) fn wake(&self) {
        lock(&self.signal).wake = true;
        self.changed.notify_all();
    }

    /// The thread ends after its present step.
    pub(crate) fn stop(&self) {
        lock(&self.signal).stop = true;
        self.changed.notify_all();
    }

    /// Waits for a signal or for `IDLE`; `false` to stop.
    fn next(&self) -> bool {
        let idle = |signal: &Signal| !signal.wake && !signal.stop;
        let mut signal = wait_while(&self.changed, lock(&self.signal), IDLE, idle);
        signal.wake = false;
        !signal.stop
    }
}

/// Starts the thread of a volume.
pub(crate) fn start(shared: &Arc<Shared>) -> Result<()> {
    let weak = Arc::downgrade(shared);
    let worker = Arc::clone(&shared.worker);
    let spawned =
        thread::Builder::new().name("datasync-fold".into()).spawn(move || background(&weak, &worker));
    match spawned {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::new(
            ErrorKind::Io,
            "the thread that folds the log could not be started; open with background(false) to do without",
        )
        .caused_by(error)),
    }
}

fn background(shared: &Weak<Shared>, worker: &Worker) {
    while worker.next() {
        let Some(shared) = shared.upgrade() else { return };
        // An error has poisoned the volume or will come again; whoever commits next is told.
        let _ = shared.fold_while(|| Arc::strong_count(&shared) > 1);
        // Nobody is left who waits for proof, but somebody may wait for the lock.
        if Arc::strong_count(&shared) > 1 {
            let _ = shared.witness_when_idle();
        }
    }
}

impl Volume {
    /// Starts a new segment: what is in the present one can be folded from now on.
    ///
    /// # Errors
    /// `Busy` while a large write transaction is open; `Io`, `Poisoned`, `ReadOnly`.
    pub fn rotate(&self) -> Result<()> {
        self.shared.check_open()?;
        self.shared.seal()
    }

    /// Folds everything that no read view needs.
    ///
    /// # Errors
    /// As [`Volume::rotate`]; `Full` if the base cannot grow.
    pub fn compact(&self) -> Result<()> {
        self.shared.check_open()?;
        self.shared.compact()
    }

    /// One bounded step of what a volume with a thread of its own does in the background: a step of a fold or,
    /// if nobody has committed for a while (`idle`), the durable proof of the newest commits. `false` when there
    /// is no more to do.
    ///
    /// # Errors
    /// As [`Volume::compact`].
    pub fn tend(&self, idle: bool) -> Result<bool> {
        if self.compact_step()? {
            return Ok(true);
        }
        if idle {
            self.shared.witness_when_idle()?;
        }
        // The proof may have been a rotation.
        Ok(lock(&self.shared.store).can_fold())
    }

    /// One bounded step of a fold; `false` when there is nothing to do.
    ///
    /// # Errors
    /// As [`Volume::compact`].
    pub fn compact_step(&self) -> Result<bool> {
        self.shared.check_open()?;
        let _fold = lock(&self.shared.fold);
        self.shared.check_still_open()?;
        self.shared.fold_once()
    }
}

impl Shared {
    /// Seals the active segment, durably; the next commit begins another.
    fn seal(&self) -> Result<()> {
        if !self.backend.can_create() {
            let text = "no file is ready for the next segment yet; try again in a moment";
            return fail(ErrorKind::Busy, format!("{}: {text}", self.backend.name()));
        }
        self.seal_for_good()
    }

    /// The same where no other segment has to follow.
    fn seal_for_good(&self) -> Result<()> {
        let durable = {
            let _io = lock(&self.io);
            self.check_still_open()?;
            let plan = lock(&self.store).seal_for_fold()?;
            if let Some(plan) = plan {
                self.run(&plan)?;
            }
            lock(&self.store).durable()
        };
        self.reach(durable, Durability::Durable)
    }

    fn compact(&self) -> Result<()> {
        self.seal()?;
        self.fold_all()
    }

    /// Folds everything, for a volume that is about to close.
    pub(crate) fn compact_for_good(&self) -> Result<()> {
        self.seal_for_good()?;
        self.fold_all()
    }

    fn fold_all(&self) -> Result<()> {
        self.fold_while(|| true)
    }

    /// Folds, step by step, as long as `go_on` says so.
    fn fold_while(&self, go_on: impl Fn() -> bool) -> Result<()> {
        let _fold = lock(&self.fold);
        let mut outcome = Ok(());
        while go_on() {
            match self.check_still_open().and_then(|()| self.fold_once()) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        self.worker.folded.notify_all();
        outcome
    }

    /// One step of a fold. The caller holds `fold`.
    fn fold_once(&self) -> Result<bool> {
        let (publishes, removes) = {
            let store = lock(&self.store);
            (store.fold_publishes_next(), store.fold_removes_next())
        };
        let _io = publishes.then(|| lock(&self.io));
        let gated = removes && !planted(Bug::RemoveBesideRead);
        let _gate = gated.then(|| self.gate.write().unwrap_or_else(PoisonError::into_inner));
        let plan = lock(&self.store).fold_step(&*self.backend)?;
        match plan {
            Some(plan) => self.run(&plan).map(|()| true),
            None => Ok(false),
        }
    }

    /// Puts a durable proof of the newest commits into the log once nobody commits any more.
    fn witness_when_idle(&self) -> Result<()> {
        let (idle, proven) = {
            let store = lock(&self.store);
            let durable = store.durable();
            let idle =
                durable == store.committed() && store.active_has_room() && store.check_writable().is_ok();
            (idle, store.is_witnessed(durable))
        };
        if idle && !proven && !*lock(&self.slot) {
            return self.witness();
        }
        Ok(())
    }

    /// Back-pressure: waits while the log is over its cap; expires read views that hold it for too long.
    pub(crate) fn wait_for_room(&self) -> Result<()> {
        if !self.options.background {
            return self.make_room();
        }
        let started = Stopwatch::start();
        while lock(&self.store).over_cap() {
            // The end of a large transaction may be in the segment that nobody has ended yet.
            if lock(&self.store).waits_for_its_end()
                && let Err(error) = self.seal()
                && error.kind() != ErrorKind::Busy
            {
                return Err(error);
            }
            self.worker.wake();
            let signal = lock(&self.worker.signal);
            let nap = Duration::from_millis(20);
            drop(self.worker.folded.wait_timeout(signal, nap).unwrap_or_else(PoisonError::into_inner));
            if started.elapsed() > self.options.reader_patience && !expire_oldest(self) {
                // Nobody is in the way but an error or the disk; only `Full` stops a writer.
                return Ok(());
            }
            lock(&self.store).check_writable()?;
        }
        Ok(())
    }

    /// The same without a thread to wait for: fold here, and expire read views at twice the cap.
    pub(crate) fn make_room(&self) -> Result<()> {
        if lock(&self.store).over_cap() {
            self.fold_what_can_be()?;
        }
        while lock(&self.store).far_over_cap() && expire_oldest(self) {
            self.fold_what_can_be()?;
        }
        Ok(())
    }

    /// Folds the present segment too if another can follow it.
    fn fold_what_can_be(&self) -> Result<()> {
        if self.backend.can_create() { self.compact() } else { self.fold_all() }
    }
}
