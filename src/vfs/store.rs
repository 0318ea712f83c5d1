//! The stores that are open in this process: one volume per store, shared by every connection to it.
//!
//! Holds the registry (by full name) and what connections to one store share: the volume, whether it still
//! can be trusted, who holds it exclusively, whose turn it is, the last error. Must not know SQLite's calls.
//! The rule it keeps: a volume is opened by the first user, and closed (so folded) by the last, with nobody
//! between.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};

use super::place;
use super::trouble::Trouble;
use super::turn::Claim;
use crate::backend::OpenMode;
use crate::block::Lsn;
use crate::error::{Error, ErrorKind, Result, fail};
use crate::planted::{Bug, planted};
use crate::volume::{Options, Snapshot, Volume};

/// What connections to one store share.
pub(crate) struct Store {
    volume: Volume,
    name: String,
    read_only: bool,
    /// Ours to close when the last user goes; a mounted volume belongs to whoever mounted it.
    owned: bool,
    dead: AtomicBool,
    /// What ended the volume's life, in words.
    ended_by: OnceLock<String>,
    exclusive: AtomicU64,
    next_file: AtomicU64,
    /// Whether a commit has raised the change counter.
    counted: AtomicBool,
    claim: Claim,
    /// What is shown instead of a commit that may be taken back.
    before: Mutex<Option<Snapshot>>,
    last_error: Mutex<Option<Trouble>>,
}

impl Store {
    fn new(name: String, volume: Volume, read_only: bool, owned: bool) -> Self {
        Self {
            volume,
            name,
            read_only,
            owned,
            dead: AtomicBool::new(false),
            ended_by: OnceLock::new(),
            exclusive: AtomicU64::new(0),
            next_file: AtomicU64::new(1),
            counted: AtomicBool::new(false),
            claim: Claim::default(),
            before: Mutex::default(),
            last_error: Mutex::default(),
        }
    }

    pub(crate) fn volume(&self) -> &Volume {
        &self.volume
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn claim(&self) -> &Claim {
        &self.claim
    }

    /// A number for a file of this store, never 0 and never used twice.
    pub(super) fn number_file(&self) -> u64 {
        self.next_file.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether a file may still be used: a file belongs to one life of the volume.
    ///
    /// # Errors
    /// `Poisoned` from the first failure on that made the volume's promises void. The cause has the words of that one,
    /// with the commit in doubt: SQLite's rollback runs into this right behind it, and its error is what is kept.
    pub(super) fn alive(&self) -> Result<()> {
        if self.dead.load(Ordering::Acquire) && !planted(Bug::UseDeadVolume) {
            let text = "an earlier failure ended this opening; close every connection to it and open again";
            let error = Error::new(ErrorKind::Poisoned, format!("{}: {text}", self.name));
            return Err(match self.ended_by.get() {
                Some(cause) => error.caused_by(cause.clone()),
                None => error,
            });
        }
        Ok(())
    }

    /// Keeps the error for [`Store::last_error`] and ends the volume's life if the error says so.
    pub(super) fn note(&self, trouble: &Trouble) {
        match trouble.kind {
            ErrorKind::Poisoned | ErrorKind::Indeterminate(_) | ErrorKind::Fenced | ErrorKind::Lost => {
                // Not one that only says that it was over before.
                if trouble.kind != ErrorKind::Poisoned || !self.dead.load(Ordering::Acquire) {
                    let _ = self.ended_by.set(trouble.text.clone());
                }
                self.end();
            }
            ErrorKind::Io
            | ErrorKind::TooLarge
            | ErrorKind::Corrupt
            | ErrorKind::AlgoMismatch
            | ErrorKind::Unsupported
            | ErrorKind::NotAStore
            | ErrorKind::NotFound
            | ErrorKind::Busy
            | ErrorKind::Stale
            | ErrorKind::Expired
            | ErrorKind::Full
            | ErrorKind::ReadOnly
            | ErrorKind::Misuse => {}
        }
        *lock(&self.last_error) = Some(trouble.clone());
    }

    /// Nothing on this volume may succeed any more.
    pub(super) fn end(&self) {
        self.dead.store(true, Ordering::Release);
    }

    pub(crate) fn last_error(&self) -> Option<Trouble> {
        lock(&self.last_error).clone()
    }

    /// A read view for a connection: of the newest acknowledged commit and not older than `least`, but of none that
    /// may be taken back.
    ///
    /// # Errors
    /// As `Volume::snapshot_from`; `Expired`, as a snapshot's read.
    pub(super) fn snapshot(&self, least: Lsn) -> Result<Snapshot> {
        // Held until there is a view: nothing of a transaction can be hidden too late for it.
        let before = lock(&self.before);
        match &*before {
            Some(before) if !planted(Bug::ShowEarlyPart) => before.again(),
            _ => self.volume.snapshot_from(least),
        }
    }

    /// Shows `before` to everybody, whatever is committed, until [`Store::reveal`]. Its commit is acknowledged.
    pub(super) fn hide_behind(&self, before: Snapshot) {
        *lock(&self.before) = Some(before);
    }

    /// Shows everything again.
    pub(super) fn reveal(&self) {
        drop(lock(&self.before).take());
    }

    /// Whether the database of this life of the volume can be told from that of the one before by its change counter.
    pub(super) fn has_counted(&self) -> bool {
        self.counted.load(Ordering::Acquire)
    }

    pub(super) fn set_counted(&self) {
        self.counted.store(true, Ordering::Release);
    }

    /// The file that keeps everybody else out, or 0.
    pub(super) fn exclusive(&self) -> u64 {
        self.exclusive.load(Ordering::Acquire)
    }

    pub(super) fn set_exclusive(&self, file: u64) {
        self.exclusive.store(file, Ordering::Release);
    }

    /// Lets go if it was `file` that kept everybody out.
    pub(super) fn clear_exclusive(&self, file: u64) {
        let _ = self.exclusive.compare_exchange(file, 0, Ordering::AcqRel, Ordering::Relaxed);
    }

    fn close(&self) -> Result<()> {
        self.claim.drop_any();
        if self.owned { self.volume.close() } else { Ok(()) }
    }
}

/// One user's hold on a store; the last one to be dropped closes it.
pub(crate) struct Held {
    /// `None` only while this is dropped.
    store: Option<Arc<Store>>,
    slot: Arc<Slot>,
}

impl Held {
    pub(crate) fn store(&self) -> &Arc<Store> {
        self.store.as_ref().expect("a store is held until this is dropped")
    }
}

impl Held {
    /// Lets go, and says how closing went if this was the last user.
    ///
    /// # Errors
    /// `Busy` when it was not; else as `Volume::close`.
    pub(crate) fn close(mut self) -> Result<()> {
        let name = self.store().name().to_owned();
        match self.let_go() {
            Some(closed) => closed,
            None => fail(
                ErrorKind::Busy,
                format!("{name}: connections are open; it closes with the last of them"),
            ),
        }
    }

    /// `None` when others still use the store.
    fn let_go(&mut self) -> Option<Result<()>> {
        let store = self.store.take()?;
        let mut state = lock(&self.slot.0);
        state.users -= 1;
        if state.users > 0 {
            return None;
        }
        state.store = None;
        let name = store.name().to_owned();
        // Closed and dropped under the lock of the name: who opens it next waits, and finds it unlocked.
        let closed = store.close();
        drop(store);
        drop(state);
        forget_unused(&name, &self.slot);
        Some(closed)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.let_go() {
            super::trouble::remember(Trouble::of(&error));
        }
    }
}

#[derive(Default)]
struct Slot(Mutex<SlotState>);

#[derive(Default)]
struct SlotState {
    store: Option<Arc<Store>>,
    users: usize,
}

static REGISTRY: LazyLock<Mutex<HashMap<String, Arc<Slot>>>> = LazyLock::new(Mutex::default);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is kept under these locks is valid between any two statements, so a panic elsewhere harms nothing.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn slot(name: &str) -> Arc<Slot> {
    Arc::clone(lock(&REGISTRY).entry(name.to_owned()).or_default())
}

/// Whether this process has a store open under the full name `name`.
pub(super) fn is_open(name: &str) -> bool {
    lock(&REGISTRY).contains_key(name)
}

/// Joins the store of that full name, opening it if this process has not yet. The options count for the
/// opening only.
///
/// # Errors
/// As `Volume::open`; `Busy` when it is open here for reading only and writing was asked for; `Poisoned` when
/// an opening that failed is still in use.
pub(crate) fn join(name: &str, access: OpenMode, options: impl FnOnce() -> Options) -> Result<Held> {
    let slot = slot(name);
    let mut state = lock(&slot.0);
    if let Some(store) = &state.store {
        store.alive()?;
        if store.read_only && access != OpenMode::ReadOnly {
            return fail(
                ErrorKind::Busy,
                format!("{name}: this process has it open for reading only; close that first"),
            );
        }
        let store = Arc::clone(store);
        state.users += 1;
        drop(state);
        return Ok(Held { store: Some(store), slot });
    }
    let read_only = access == OpenMode::ReadOnly;
    match place::open(name, access, options()) {
        Ok(volume) => {
            let store = Arc::new(Store::new(name.to_owned(), volume, read_only, true));
            Ok(admit(slot.clone(), state, store))
        }
        Err(error) => {
            drop(state);
            forget_unused(name, &slot);
            Err(error)
        }
    }
}

/// Gives `volume` a name under which connections can be opened, until the last user is gone.
pub(crate) fn mount(volume: Volume) -> Held {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let name = format!("{MOUNTED}{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let slot = slot(&name);
    let state = lock(&slot.0);
    let store = Arc::new(Store::new(name, volume, false, false));
    admit(slot.clone(), state, store)
}

/// What the names of mounted volumes begin with. No file path does: full names are absolute.
const MOUNTED: &str = "datasync-volume-";

/// The full name for `path` as SQLite is told it.
///
/// # Errors
/// As [`place::full_name`].
pub(crate) fn full_name(path: &str) -> Result<String> {
    if path.starts_with(MOUNTED) && is_open(path) { Ok(path.to_owned()) } else { place::full_name(path) }
}

fn admit(slot: Arc<Slot>, mut state: MutexGuard<'_, SlotState>, store: Arc<Store>) -> Held {
    state.store = Some(Arc::clone(&store));
    state.users = 1;
    drop(state);
    Held { store: Some(store), slot }
}

fn forget_unused(name: &str, slot: &Arc<Slot>) {
    let mut registry = lock(&REGISTRY);
    // Two: the registry's and the caller's. A third would be somebody about to open it.
    if Arc::strong_count(slot) == 2 && lock(&slot.0).store.is_none() {
        registry.remove(name);
    }
}
