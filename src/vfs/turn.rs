//! Whose turn it is to write: how SQLite's busy handler waits for the writer slot instead of polling for it.
//!
//! SQLite retries a refused write by itself: it lets go of its lock, calls the busy handler, which calls
//! `xSleep`, and locks again, all on one thread. So a connection that is refused leaves its name here, `xSleep`
//! waits for the slot and takes it on the connection's behalf, and the retry finds the slot its own, on the
//! newest commit. Without that a writer among many could lose every race until its timeout.
//!
//! The rule it keeps: a slot taken for a connection that does not come back for it is lost to nobody.
//! Whoever is refused because of such a slot counts, and after a few refusals takes it over.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use super::store::Store;
use crate::volume::Writer;

/// So many refusals of others end a claim that its owner does not collect. Collecting takes SQLite two
/// calls, so a healthy owner is refused nothing by this.
const REFUSALS_MAX: u32 = 3;

/// The writer slot, held for a connection which is about to ask for it again.
#[derive(Default)]
pub(super) struct Claim(Mutex<Option<Claimed>>);

struct Claimed {
    file: u64,
    writer: Writer,
    refusals: u32,
}

impl Claim {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Claimed>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The slot, if it was claimed for `file`.
    pub(super) fn collect(&self, file: u64) -> Option<Writer> {
        let mut claimed = self.lock();
        if claimed.as_ref().is_some_and(|claimed| claimed.file == file) {
            claimed.take().map(|claimed| claimed.writer)
        } else {
            None
        }
    }

    /// Counts a refusal; the slot itself once its owner has clearly gone away.
    pub(super) fn refused(&self) -> Option<Writer> {
        let mut claimed = self.lock();
        let owner = claimed.as_mut()?;
        owner.refusals += 1;
        if owner.refusals > REFUSALS_MAX { claimed.take().map(|claimed| claimed.writer) } else { None }
    }

    /// Gives the slot back, whoever it was claimed for.
    pub(super) fn drop_any(&self) {
        drop(self.lock().take());
    }
}

thread_local! {
    static WAITING: RefCell<Option<(Weak<Store>, u64)>> = const { RefCell::new(None) };
}

/// Remembers that `file` was refused the slot just now, on this thread.
pub(super) fn wait_for(store: &Arc<Store>, file: u64) {
    WAITING.with(|waiting| *waiting.borrow_mut() = Some((Arc::downgrade(store), file)));
}

/// Something else happened on this thread: nobody waits any more.
pub(super) fn forget() {
    WAITING.with(|waiting| *waiting.borrow_mut() = None);
}

/// Waits for the slot on behalf of who was refused it last on this thread, at most `at_most`. False when
/// nobody was: then it is an ordinary sleep and the caller's business.
pub(super) fn sleep(at_most: Duration) -> bool {
    let Some((store, file)) = WAITING.with(|waiting| waiting.borrow_mut().take()) else {
        return false;
    };
    let Some(store) = store.upgrade() else {
        return false;
    };
    // A failure is not ours to report: the retry meets it again where SQLite can be told.
    if let Ok(writer) = store.volume().begin_within(at_most) {
        *store.claim().lock() = Some(Claimed { file, writer, refusals: 0 });
    }
    true
}
