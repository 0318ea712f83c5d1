//! From the queue to the browser and back: one transaction at a time, every event wired.
//!
//! The rules it keeps: the queue is told of each transaction's end exactly once; nothing of the queue is borrowed
//! while the browser is called; a connection that died is replaced at once, and the queue decides what that means.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

use js_sys::Function;
use send_wrapper::SendWrapper;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::spawn_local;

use super::js::{Database, Request, Store, Transaction, property, set_timeout};
use super::load::{Absent, connect, newest_link};
use super::read::read_by;
use super::records::{begin, bytes_of, key_of, number, put_link, range_of, run_of, store_of, value_of};
use super::trouble::{failure, words};
use super::watch::{PATIENCE_MS, TOO_LATE};
use super::witness;
use crate::backend::queue::{
    BATCH_BYTES, Failure, Fence, Key, Next, Patch, Queue, Transaction as Wanted, Work,
};
use crate::error::ErrorKind;
use crate::log::plan::Area;

/// What nobody flushes goes out after this long, so that a crash loses little.
const IDLE_MS: u32 = 25;

/// What is queued beyond this goes out without being asked for.
const EAGER_BYTES: u64 = BATCH_BYTES / 4;

/// A store's queue and its connection.
pub(super) struct Shared {
    /// `indexeddb:NAME`, for messages.
    pub(super) place: String,
    pub(super) directory: String,
    pub(super) queue: Mutex<Queue>,
    pub(super) link: SendWrapper<Link>,
}

/// The browser's side. Touched by the worker's one thread only.
pub(super) struct Link {
    pub(super) database: RefCell<Option<Database>>,
    /// The transaction under way, with its number.
    pub(super) under_way: RefCell<Option<(u64, Transaction)>>,
    /// The first of its requests that failed, and why.
    refused: RefCell<Option<JsValue>>,
    handlers: Handlers,
    wakers: RefCell<Vec<Waker>>,
    timer_runs: Cell<bool>,
    pub(super) watchdog_runs: Cell<bool>,
    witnessed: Cell<bool>,
    pub(super) transactions: Cell<u64>,
    pub(super) reconnects: Cell<u64>,
    /// A connection is being replaced: the number of the attempt.
    reconnecting: Cell<Option<u64>>,
    /// Reads extents while this worker waits, if there is one.
    pub(super) reader: Option<Function>,
    /// The fetch that a suspended call waits for: its number, and what rejects its promise.
    pub(super) fetch: RefCell<Option<(u64, Function)>>,
    pub(super) fetches: Cell<u64>,
    /// The transaction under way changes `base.db`.
    changes_base: Cell<bool>,
}

/// Called by the browser, again and again.
struct Handlers {
    complete: Closure<dyn FnMut()>,
    abort: Closure<dyn FnMut()>,
    error: Closure<dyn FnMut(JsValue)>,
    close: Closure<dyn FnMut()>,
    version_change: Closure<dyn FnMut()>,
}

fn function<T: ?Sized>(closure: &Closure<T>) -> &Function {
    closure.as_ref().unchecked_ref()
}

fn handler(weak: &Weak<Shared>, call: fn(&Arc<Shared>)) -> Closure<dyn FnMut()> {
    let weak = Weak::clone(weak);
    Closure::new(move || {
        if let Some(shared) = weak.upgrade() {
            call(&shared);
        }
    })
}

impl Shared {
    pub(super) fn new(
        place: String,
        directory: String,
        database: Database,
        queue: Queue,
        reader: Option<Function>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|weak: &Weak<Self>| {
            let handlers = Handlers {
                complete: handler(weak, Self::on_complete),
                abort: handler(weak, Self::on_abort),
                error: {
                    let weak: Weak<Self> = Weak::clone(weak);
                    Closure::new(move |event: JsValue| {
                        if let Some(shared) = weak.upgrade() {
                            shared.on_error(&event);
                        }
                    })
                },
                close: handler(weak, Self::on_close),
                version_change: handler(weak, Self::on_version_change),
            };
            let link = Link {
                database: RefCell::new(None),
                under_way: RefCell::new(None),
                refused: RefCell::new(None),
                handlers,
                wakers: RefCell::default(),
                timer_runs: Cell::new(false),
                watchdog_runs: Cell::new(false),
                witnessed: Cell::new(false),
                transactions: Cell::new(0),
                reconnects: Cell::new(0),
                reconnecting: Cell::new(None),
                reader,
                fetch: RefCell::default(),
                fetches: Cell::new(0),
                changes_base: Cell::new(false),
            };
            let shared = Self { place, directory, queue: Mutex::new(queue), link: SendWrapper::new(link) };
            shared.adopt(database);
            shared
        })
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn adopt(&self, database: Database) {
        database.set_onclose(Some(function(&self.link.handlers.close)));
        database.set_onversionchange(Some(function(&self.link.handlers.version_change)));
        *self.link.database.borrow_mut() = Some(database);
    }

    /// Called after ops were queued: sees that they go out, soon if they are many.
    pub(super) fn queued(self: &Arc<Self>) {
        // ORDER: with a reader no transaction begins in the middle of a call, which may read afterwards, and would
        // wait for ever for a transaction that waits for the call.
        if self.queue().queued_bytes() >= EAGER_BYTES && self.link.reader.is_none() {
            self.pump();
        } else if !self.link.timer_runs.replace(true) {
            self.later(IDLE_MS, |shared| {
                shared.link.timer_runs.set(false);
                shared.pump();
            });
        }
    }

    /// Starts the next transaction, unless one is under way.
    pub(super) fn pump(self: &Arc<Self>) {
        let Some(wanted) = self.queue().take() else { return };
        let number = wanted.number;
        self.link.transactions.set(self.link.transactions.get() + 1);
        match self.start(&wanted) {
            Ok(transaction) => {
                *self.link.under_way.borrow_mut() = Some((number, transaction));
                self.watch();
            }
            Err(why) => self.ended(why),
        }
    }

    /// Whether the reader, if there is one, would be answered now.
    pub(super) fn is_quiet(&self) -> bool {
        self.link.reader.is_none() || !self.link.changes_base.get() || self.link.under_way.borrow().is_none()
    }

    fn start(self: &Arc<Self>, wanted: &Wanted) -> Result<Transaction, Failure> {
        let database = self.link.database.borrow().clone();
        let database = database.ok_or_else(|| Failure::Disconnected("the connection is closed".into()))?;
        let mut stores = vec!["log"];
        let clears = wanted.batch.clears().map(range_of).collect::<Result<Vec<_>, _>>();
        let clears = clears.map_err(|thrown| failure(&thrown))?;
        let cleared = clears.iter().map(|(store, _)| *store);
        for store in cleared.chain(wanted.batch.work().map(|(key, _)| store_of(key))) {
            if !stores.contains(&store) {
                stores.push(store);
            }
        }
        self.link.changes_base.set(stores.contains(&"base"));
        // ORDER: before the transaction begins; the reader would wait for its end.
        let old = self.old_values(wanted).map_err(|thrown| failure(&thrown))?;
        let transaction =
            begin(&database, &stores, "readwrite", wanted.strict).map_err(|thrown| failure(&thrown))?;
        transaction.set_oncomplete(Some(function(&self.link.handlers.complete)));
        transaction.set_onabort(Some(function(&self.link.handlers.abort)));
        transaction.set_onerror(Some(function(&self.link.handlers.error)));
        self.link.refused.take();
        if let Err(thrown) = self.fill(&transaction, wanted, &clears, &old) {
            forget(&transaction);
            let _ = transaction.abort();
            return Err(failure(&thrown));
        }
        Ok(transaction)
    }

    /// With a reader, the extents that are changed in part and not in memory, as they are. Nobody else may write
    /// them: if somebody has, the transaction is refused.
    fn old_values(&self, wanted: &Wanted) -> Result<BTreeMap<u64, Vec<u8>>, JsValue> {
        let mut old = BTreeMap::new();
        let Some(reader) = &self.link.reader else { return Ok(old) };
        for (key, work) in wanted.batch.work() {
            if let (Key::Extent(extent), Work::Patch(patch)) = (key, work)
                && patch.needs_old()
                && self.queue().extent_as_of(extent, wanted.number).is_none()
            {
                let mut value = read_by(reader, &(extent..extent + 1))?;
                old.insert(extent, value.pop().flatten().unwrap_or_default());
            }
        }
        Ok(old)
    }

    /// Gives a transaction all its requests. One alone is committed at once, which saves a turn of the event loop;
    /// more are left to the browser to commit.
    ///
    /// ORDER: no `commit()` behind several requests. Firefox then aborts for the last of them only: another that
    /// failed, for want of space or at the fence, would be missing from what is committed, and `complete` would be
    /// told.
    fn fill(
        &self,
        transaction: &Transaction,
        wanted: &Wanted,
        clears: &[(&'static str, JsValue)],
        old: &BTreeMap<u64, Vec<u8>>,
    ) -> Result<(), JsValue> {
        for (store, range) in clears {
            transaction.object_store(store)?.delete(range)?;
        }
        // The first run of the log carries the link; without one it is a record of its own.
        let mut link = wanted.fence;
        let alone = link.is_some() && !wanted.batch.work().any(is_run_of_log);
        if let (Some(link), true) = (link, alone) {
            put_link(&transaction.object_store("log")?, link)?;
        }
        let mut patches = Vec::new();
        let mut open: Option<(&str, Store)> = None;
        for (key, work) in wanted.batch.work() {
            let name = store_of(key);
            let store = match &open {
                Some((of, store)) if *of == name => store.clone(),
                _ => open.insert((name, transaction.object_store(name)?)).1.clone(),
            };
            let at = key_of(key);
            match work {
                Work::Put(bytes) => {
                    let link = if name == "log" { link.take() } else { None };
                    store.put(&run_of(bytes, link), &at)?;
                }
                Work::Length(bytes) => drop(store.put(&number(*bytes), &at)?),
                Work::Delete => drop(store.delete(&at)?),
                Work::Patch(patch) => match self.patched(key, patch, wanted.number, old) {
                    Some(value) => drop(store.put(&value_of(&value), &at)?),
                    None => patches.push((store, at, patch.clone())),
                },
            }
        }
        if clears.len() + usize::from(alone) + wanted.batch.work().count() == 1 && patches.is_empty() {
            return transaction.commit();
        }
        lay_over(transaction, patches)
    }

    /// The value that a patch makes; `None` if the old one has to be read first.
    fn patched(&self, key: Key, patch: &Patch, number: u64, old: &BTreeMap<u64, Vec<u8>>) -> Option<Vec<u8>> {
        let Key::Extent(extent) = key else { return Some(patch.lay_over(&[])) };
        if let Some(held) = self.queue().extent_as_of(extent, number) {
            return Some(held.to_vec());
        }
        match old.get(&extent) {
            Some(old) => Some(patch.lay_over(old)),
            None => (!patch.needs_old()).then(|| patch.lay_over(&[])),
        }
    }

    fn on_complete(self: &Arc<Self>) {
        let Some((number, _)) = self.link.under_way.borrow_mut().take() else { return };
        let (next, lasts) = {
            let mut queue = self.queue();
            (queue.completed(number), queue.has_lasted())
        };
        // ORDER: not before a strict transaction; else a power cut that takes a new database leaves the sign, and
        // the next opening reports a loss that was none.
        if lasts && !self.link.witnessed.replace(true) {
            let directory = self.directory.clone();
            spawn_local(async move { witness::leave(&directory).await });
        }
        self.go_on(next);
    }

    fn on_abort(self: &Arc<Self>) {
        let Some((_, transaction)) = self.link.under_way.borrow_mut().take() else { return };
        // Firefox calls it an AbortError, whatever the request said.
        let why = self.link.refused.take().unwrap_or_else(|| transaction.failure());
        self.ended(failure(&why));
    }

    /// A request failed; the browser aborts its transaction next.
    fn on_error(&self, event: &JsValue) {
        let why = property(&property(event, "target"), "error");
        self.link.refused.borrow_mut().get_or_insert(why);
    }

    fn on_close(self: &Arc<Self>) {
        self.disconnected("the browser closed the connection");
    }

    /// Somebody deletes the database. What is queued still goes out; then it is theirs.
    fn on_version_change(self: &Arc<Self>) {
        self.queue()
            .close(ErrorKind::Fenced, "another tab deletes this database, or a newer program opens it");
        let shared = Arc::clone(self);
        spawn_local(async move {
            shared.drained().await;
            shared.disconnect();
        });
        self.pump();
    }

    /// Gives the present connection up.
    pub(super) fn disconnected(self: &Arc<Self>, why: &str) {
        if let Some((_, transaction)) = self.link.under_way.borrow_mut().take() {
            forget(&transaction);
            // It may still be running; then the new connection waits for it.
            let _ = transaction.abort();
        }
        self.ended(Failure::Disconnected(why.to_owned()));
    }

    fn ended(self: &Arc<Self>, why: Failure) {
        let next = self.queue().failed(why);
        self.go_on(next);
    }

    fn go_on(self: &Arc<Self>, next: Next) {
        match next {
            Next::Go => self.pump(),
            Next::Reconnect => {
                let attempt = self.link.reconnects.get() + 1;
                self.link.reconnects.set(attempt);
                self.link.reconnecting.set(Some(attempt));
                self.later(PATIENCE_MS, move |shared| shared.give_up(attempt));
                let shared = Arc::clone(self);
                spawn_local(async move { shared.reconnect(attempt).await });
            }
            Next::Stop => {}
        }
        self.wake();
    }

    async fn reconnect(self: Arc<Self>, attempt: u64) {
        self.disconnect();
        let found = self.connect_anew().await;
        if self.link.reconnecting.get() != Some(attempt) {
            // Too late: the queue was told that nothing comes.
            if let Ok(Some((database, _))) = found {
                database.close();
            }
            return;
        }
        self.link.reconnecting.set(None);
        let next = match found {
            Ok(found) => {
                let fence = found.and_then(|(database, fence)| {
                    self.adopt(database);
                    fence
                });
                self.queue().reconnected(fence)
            }
            Err(thrown) => self.queue().not_reconnected(&words(&thrown).1),
        };
        if next == Next::Stop {
            self.disconnect();
        }
        self.go_on(next);
    }

    /// A new connection with the fence that it shows; `None` if there is no database.
    async fn connect_anew(&self) -> Result<Option<(Database, Option<Fence>)>, JsValue> {
        let Some(database) = connect(&self.directory, Absent::Refuse).await? else { return Ok(None) };
        match newest_link(&database).await {
            Ok(fence) => Ok(Some((database, fence))),
            Err(thrown) => {
                database.close();
                Err(thrown)
            }
        }
    }

    /// Ends the queue if this attempt to reconnect is still under way: whoever waits must not wait for ever.
    fn give_up(self: &Arc<Self>, attempt: u64) {
        if self.link.reconnecting.get() == Some(attempt) {
            self.link.reconnecting.set(None);
            let next = self.queue().not_reconnected(TOO_LATE);
            self.go_on(next);
        }
    }

    /// Closes the connection. A transaction that is under way still ends.
    pub(super) fn disconnect(&self) {
        if let Some(database) = self.link.database.borrow_mut().take() {
            database.set_onclose(None);
            database.set_onversionchange(None);
            database.close();
        }
    }

    /// Calls this after some time, if anything is left of the store by then.
    pub(super) fn later(self: &Arc<Self>, ms: u32, call: impl FnOnce(&Arc<Self>) + 'static) {
        let weak = Arc::downgrade(self);
        let call = Closure::once_into_js(move || weak.upgrade().map_or((), |shared| call(&shared)));
        set_timeout(call.unchecked_ref(), ms);
    }

    pub(super) fn wake_me(&self, waker: &Waker) {
        self.link.wakers.borrow_mut().push(waker.clone());
    }

    pub(super) fn wake(&self) {
        let wakers = std::mem::take(&mut *self.link.wakers.borrow_mut());
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Link {
    /// What is queued is given up, as in a crash; nobody is called any more.
    fn drop(&mut self) {
        if let Some((_, transaction)) = self.under_way.get_mut().take() {
            forget(&transaction);
        }
        if let Some(database) = self.database.get_mut().take() {
            database.set_onclose(None);
            database.set_onversionchange(None);
            database.close();
        }
    }
}

/// Nobody listens to this transaction any more.
fn forget(transaction: &Transaction) {
    transaction.set_oncomplete(None);
    transaction.set_onabort(None);
    transaction.set_onerror(None);
}

fn is_run_of_log((key, work): (Key, &Work)) -> bool {
    matches!((key, work), (Key::Run(Area::Segment(_), _), Work::Put(_)))
}

/// Reads the old values of extents, and puts the new ones.
fn lay_over(transaction: &Transaction, patches: Vec<(Store, JsValue, Patch)>) -> Result<(), JsValue> {
    for (store, key, patch) in patches {
        let request = store.get(&key)?;
        let (transaction, read) = (transaction.clone(), request.clone());
        let success = Closure::once_into_js(move || {
            if put_over(&store, &key, &patch, &read).is_err() {
                // Its end is told by the event; a transaction that is over already has told it.
                let _ = transaction.abort();
            }
        });
        request.set_onsuccess(Some(success.unchecked_ref()));
    }
    Ok(())
}

fn put_over(store: &Store, key: &JsValue, patch: &Patch, read: &Request) -> Result<(), JsValue> {
    let old = bytes_of(&read.result()).unwrap_or_default();
    store.put(&value_of(&patch.lay_over(&old)), key).map(drop)
}
