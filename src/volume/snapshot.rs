//! A read view pinned at a commit.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::blocking::Shared;
use super::sync::{AtomicBool, lock};
use crate::block::{BlockBytes, BlockNo, Lsn};
use crate::error::{ErrorKind, Result, fail};
use crate::store::Store;

/// A read view: the same bytes until it is dropped, whatever is committed or folded meanwhile.
///
/// Holding one keeps the log from being folded past it; when the log reaches its cap, a view that has been
/// in the way for too long is expired and every read through it fails with `Expired`.
pub struct Snapshot {
    shared: Arc<Shared>,
    at: Lsn,
    size: u64,
    id: u64,
    expired: Arc<AtomicBool>,
}

/// Which commit it shows, and whether it still does.
impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expired = self.expired.load(Ordering::Acquire);
        let mut fields = f.debug_struct("Snapshot");
        fields.field("lsn", &self.at).field("size", &self.size).field("expired", &expired);
        fields.finish_non_exhaustive()
    }
}

/// A read view as the volume keeps it.
pub(crate) struct Live {
    at: Lsn,
    expired: Arc<AtomicBool>,
}

impl Snapshot {
    pub(crate) fn pin(shared: &Arc<Shared>, store: &mut Store, at: Lsn) -> Self {
        store.pin(at);
        let size = store.size_at(at);
        let expired = Arc::new(AtomicBool::new(false));
        let mut live = lock(&shared.live);
        let id = live.last_key_value().map_or(0, |(last, _)| last + 1);
        live.insert(id, Live { at, expired: Arc::clone(&expired) });
        Self { shared: Arc::clone(shared), at, size, id, expired }
    }

    /// Another view of the same commit.
    ///
    /// # Errors
    /// `Expired`, as [`Snapshot::read`].
    #[cfg(feature = "sqlite")]
    pub(crate) fn again(&self) -> Result<Self> {
        let mut store = lock(&self.shared.store);
        // Under the lock under which it is set: while it is unset, the commit is pinned, and `close` sees that.
        self.check()?;
        Ok(Self::pin(&self.shared, &mut store, self.at))
    }

    /// The commit it shows.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.at
    }

    /// Logical size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads one block; one that was never written, or was trimmed, reads as zeros.
    ///
    /// # Errors
    /// * `Corrupt`, `AlgoMismatch`: the bytes are not what was written. `out` is zeros.
    /// * `Expired`: the view was in the way of a full log for too long.
    /// * `Io`: the medium refused.
    pub fn read(&self, block: BlockNo, out: &mut BlockBytes) -> Result<()> {
        let _gate = self.shared.gate.read().unwrap_or_else(PoisonError::into_inner);
        let found = {
            let mut store = lock(&self.shared.store);
            // Checked under the same lock under which it is set: once unset here, the pin still holds.
            self.check()?;
            store.find(&*self.shared.backend, block, self.at)?
        };
        // Once the pin is gone, a fold may write over what is being read: that is no damage.
        let outcome = self.shared.fetch(&found, out, |_| self.check().is_ok());
        if outcome.is_err() {
            self.check()?;
        }
        outcome
    }

    fn check(&self) -> Result<()> {
        if self.expired.load(Ordering::Acquire) {
            let message =
                format!("the read view of commit {} held a full log for too long; begin a new one", self.at);
            return fail(ErrorKind::Expired, message);
        }
        Ok(())
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        let mut store = lock(&self.shared.store);
        lock(&self.shared.live).remove(&self.id);
        if !self.expired.swap(true, Ordering::AcqRel) {
            store.unpin(self.at);
        }
        if store.can_fold() {
            self.shared.worker.wake();
        }
    }
}

/// Expires every read view of the oldest commit that keeps the log from being folded; `false` when none does.
/// A writer's own view is of the newest commit, so it never does.
pub(crate) fn expire_oldest(shared: &Shared) -> bool {
    let mut store = lock(&shared.store);
    let live = lock(&shared.live);
    let Some(oldest) =
        live.values().filter(|view| !view.expired.load(Ordering::Acquire)).map(|view| view.at).min()
    else {
        return false;
    };
    if !store.holds_back(oldest) {
        return false;
    }
    for view in live.values().filter(|view| view.at == oldest) {
        if !view.expired.swap(true, Ordering::AcqRel) {
            store.unpin(oldest);
        }
    }
    true
}
