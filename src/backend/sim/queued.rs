//! A medium of records and transactions, as a browser offers it, that aborts, refuses, disconnects, loses and
//! vanishes exactly as far as a real one may; and a tab that runs a [`Queue`] on it.
//!
//! What it assumes: a transaction is taken as a whole or not at all; a strict one that completed survives power
//! loss together with all before it; of relaxed ones a power cut takes a suffix. For tests only.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::menu::{Tally, Trouble};
use super::records::{Extents, Records, Value};
use crate::backend::Backend;
use crate::backend::queue::{
    Failure, Fence, Key, Memory, Missing, Next, Queue, Slice, Ticket, Transaction, take_over,
};
use crate::block::SegmentId;
use crate::error::{ErrorKind, Result, fail};
use crate::log::plan::{Area, Op};
use crate::log::source::Source;
use crate::planted::{Bug, planted};

/// What becomes of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionFate {
    /// It is taken, and said to be complete.
    Completes,
    /// The medium aborts it when it commits.
    Aborts,
    /// The put with this number (from 0) finds no quota; with fewer puts, the commit does.
    NoQuota(u32),
    /// The connection ends; the transaction was taken or not.
    Disconnects {
        /// Whether it was taken.
        taken: bool,
    },
    /// Nobody ever says how it ended; it was taken or not. Only a watchdog helps.
    NeverFires {
        /// Whether it was taken.
        taken: bool,
    },
}

#[derive(Debug, Default)]
struct World {
    records: Records,
    /// What there was before each relaxed transaction that no strict one has followed.
    losable: Vec<Records>,
    /// The sign, in another kind of storage, that there was a database.
    witness: bool,
    draws: u64,
    /// How often the database was removed: a connection belongs to one database.
    removed: u64,
    /// After so many waits of a tab for the medium, another one comes.
    intruder: Option<(u64, Intruder)>,
    tally: Tally,
}

/// What another tab does while one waits.
struct Intruder(Box<dyn FnOnce(&SimOrigin) + Send>);

impl fmt::Debug for Intruder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Intruder")
    }
}

impl World {
    /// A tab takes the database over from whoever had it.
    fn seize(&mut self) -> Result<Fence> {
        self.draws += 1;
        let draw = super::mix(self.draws);
        let fence = take_over("simulated", self.records.newest, self.witness, draw)?;
        let before = self.records.clone();
        self.losable.push(before);
        self.records.chain.push(fence);
        self.records.newest = Some(fence);
        Ok(fence)
    }
}

/// One origin's storage: what every tab sees. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct SimOrigin {
    world: Arc<Mutex<World>>,
}

/// A tab that has the store open: a backend. Clones are the same tab.
#[derive(Clone, Debug)]
pub struct SimTab {
    origin: SimOrigin,
    queue: Arc<Mutex<Queue>>,
    /// The database that the connection is to.
    connected: Arc<Mutex<u64>>,
    /// The transaction under way at the medium of which nobody has said anything yet.
    silent: Arc<Mutex<bool>>,
    /// Run each op to its end at once; run a transaction inside each fetch.
    eager: bool,
    busy_fetch: bool,
}

impl SimOrigin {
    /// A storage with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the database in a tab, which takes it over from whoever had it.
    ///
    /// # Errors
    /// `Lost` if there was a database and is none.
    pub fn open(&self, memory: Memory) -> Result<SimTab> {
        let mut world = self.lock();
        let fence = world.seize()?;
        let mut queue = Queue::new("simulated", fence, memory);
        for (key, value) in &world.records.values {
            match (key, value) {
                (Key::Length(area), Value::Length(bytes)) => queue.load_length(*area, *bytes),
                (Key::Run(area, page), Value::Bytes(bytes)) => {
                    queue.load_run(*area, *page, Slice::new(Arc::clone(bytes)));
                }
                (Key::Extent(extent), Value::Bytes(bytes)) if memory.resident => {
                    queue.fetched(*extent, Some(bytes));
                }
                _ => {}
            }
        }
        let connected = Arc::new(Mutex::new(world.removed));
        drop(world);
        Ok(SimTab {
            connected,
            origin: self.clone(),
            queue: Arc::new(Mutex::new(queue)),
            silent: Arc::default(),
            eager: false,
            busy_fetch: false,
        })
    }

    /// Power is cut: the last `lost` of the transactions that may be lost are. With none it was the process only.
    pub fn cut_power(&self, lost: usize) {
        let mut world = self.lock();
        let at = world.losable.len().saturating_sub(lost);
        world.tally.strike(if lost == 0 { Trouble::ProcessCrash } else { Trouble::PowerCut });
        world.tally.add(Trouble::RelaxedLost, (world.losable.len() - at) as u64);
        if let Some(records) = world.losable.get(at).cloned() {
            world.records = records;
        }
        world.losable.clear();
    }

    /// How many transactions a power cut could take.
    #[must_use]
    pub fn losable(&self) -> usize {
        self.lock().losable.len()
    }

    /// The browser removes the database; the witness stays.
    pub fn vanish(&self) {
        let mut world = self.lock();
        world.tally.add(Trouble::DatabaseGone, u64::from(!world.records.values.is_empty()));
        world.records = Records::default();
        world.removed += 1;
        world.losable.clear();
    }

    /// Everything goes, as when a user clears the site's data.
    pub fn forget_everything(&self) {
        *self.lock() = World::default();
    }

    /// At the `nth` wait of a tab for the medium from now on, another one comes: it opens the database, and does
    /// whatever `visit` does, before the one that waits goes on.
    pub fn expect_intruder(&self, nth: u64, visit: impl FnOnce(&Self) + Send + 'static) {
        self.lock().intruder = Some((nth, Intruder(Box::new(visit))));
    }

    /// Whether the other tab of [`SimOrigin::expect_intruder`] has still to come; it will not any more.
    pub fn dismiss_intruder(&self) -> bool {
        self.lock().intruder.take().is_some()
    }

    /// Whether the other tab of [`SimOrigin::expect_intruder`] has still to come.
    #[must_use]
    pub fn expects_intruder(&self) -> bool {
        self.lock().intruder.is_some()
    }

    /// A tab waits for the medium: anything can happen meanwhile.
    fn wait(&self) {
        let mut world = self.lock();
        let Some((waits, visit)) = world.intruder.take() else { return };
        if waits > 1 {
            world.intruder = Some((waits - 1, visit));
            return;
        }
        world.tally.strike(Trouble::OtherTabInAwait);
        drop(world);
        visit.0(self);
    }

    /// Moves what has struck so far into `tally`: each strike is counted once.
    pub fn book(&self, tally: &Tally) {
        tally.take_from(&self.lock().tally);
    }

    /// A number that differs, as far as numbers can, between two states of the medium.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let world = self.lock();
        let word = |all: u64, word: u64| super::mix(all ^ word).rotate_left(7);
        world.records.values.iter().fold(7, |all, (key, value)| {
            let name = format!("{key:?}").bytes().fold(all, |all, byte| word(all, u64::from(byte)));
            match value {
                Value::Length(bytes) => word(name, *bytes),
                Value::Bytes(bytes) => {
                    let words = bytes.as_chunks::<8>().0.iter();
                    words.fold(name, |all, eight| word(all, u64::from_le_bytes(*eight)))
                }
            }
        })
    }

    /// The largest value, in bytes.
    #[must_use]
    pub fn largest_value(&self) -> usize {
        let world = self.lock();
        let size = |value: &Value| match value {
            Value::Bytes(bytes) => bytes.len(),
            Value::Length(_) => 8,
        };
        world.records.values.values().map(size).max().unwrap_or(0)
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a transaction if nothing speaks against it. `held`: the extents that its tab need not read.
    fn take(
        &self,
        connected: u64,
        transaction: &Transaction,
        held: &Extents,
    ) -> std::result::Result<(), Failure> {
        let mut world = self.lock();
        if world.removed != connected {
            return Err(Failure::Disconnected("simulated: removed".into()));
        }
        if let Some(fence) = transaction.fence {
            let taken = world.records.chain.iter().chain(&world.records.newest);
            if taken.into_iter().any(|link| link.number == fence.number) {
                world.tally.strike(Trouble::OtherTab);
                return Err(Failure::Fenced);
            }
        }
        let before = world.records.clone();
        if let Some(fence) = transaction.fence {
            world.records.newest = Some(fence);
        }
        world.records.run(transaction, held);
        if transaction.strict {
            world.losable.clear();
            world.witness = true;
        } else {
            world.losable.push(before);
            world.witness |= planted(Bug::WitnessTooEarly);
        }
        Ok(())
    }

    fn fetch(&self, extents: std::ops::Range<u64>) -> Vec<(u64, Option<Arc<[u8]>>)> {
        self.wait();
        let world = self.lock();
        let value = |extent: u64| match world.records.values.get(&Key::Extent(extent)) {
            Some(Value::Bytes(bytes)) => Some(Arc::clone(bytes)),
            _ => None,
        };
        extents.map(|extent| (extent, value(extent))).collect()
    }
}

impl SimTab {
    /// The same tab, in which every op is a transaction of its own and complete at once.
    #[must_use]
    pub fn eager(mut self) -> Self {
        self.eager = true;
        self
    }

    /// The same tab, in which a transaction completes while a fetch is under way.
    #[must_use]
    pub fn busy_fetch(mut self) -> Self {
        self.busy_fetch = true;
        self
    }

    /// Runs the next transaction, if there is one, to this end. Whether there was one.
    pub fn pump(&self, fate: TransactionFate) -> bool {
        if *self.silent() {
            return false;
        }
        let Some(transaction) = self.queue().take() else { return false };
        let number = transaction.number;
        let held = self.held(&transaction);
        let connected = *self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        let puts = transaction.batch.work().count() as u32 + 1;
        self.origin.wait();
        self.origin.lock().tally.add(Trouble::Abort, u64::from(fate == TransactionFate::Aborts));
        let next = match fate {
            TransactionFate::Completes => match self.origin.take(connected, &transaction, &held) {
                Ok(()) => self.queue().completed(number),
                Err(failure) => self.queue().failed(failure),
            },
            TransactionFate::Aborts => self.queue().failed(Failure::Refused("simulated: abort".into())),
            TransactionFate::NoQuota(put) => {
                let message = format!("simulated: put {} of {puts}", put.min(puts));
                self.origin.lock().tally.strike(Trouble::QuotaAtPut);
                self.queue().failed(Failure::Full(message))
            }
            TransactionFate::Disconnects { taken } => {
                // Refused for the fence, it is simply not taken.
                let taken = taken && self.origin.take(connected, &transaction, &held).is_ok();
                let trouble = if taken { Trouble::LostTaken } else { Trouble::LostUntaken };
                self.origin.lock().tally.strike(trouble);
                self.queue().failed(Failure::Disconnected("simulated".into()))
            }
            TransactionFate::NeverFires { taken } => {
                let taken = taken && self.origin.take(connected, &transaction, &held).is_ok();
                let trouble = if taken { Trouble::SilentTaken } else { Trouble::SilentUntaken };
                self.origin.lock().tally.strike(trouble);
                *self.silent() = true;
                Next::Stop
            }
        };
        self.go_on(next);
        true
    }

    /// The extents of a transaction that memory holds as it leaves them.
    fn held(&self, transaction: &Transaction) -> Extents {
        let queue = self.queue();
        let held = transaction.batch.work().filter_map(|(key, _)| match key {
            Key::Extent(extent) => Some((key, queue.extent_as_of(extent, transaction.number)?.into())),
            Key::Length(_) | Key::Run(..) => None,
        });
        held.collect()
    }

    /// The connection ends although nothing is under way, or a watchdog gives a silent transaction up.
    pub fn disconnect(&self) {
        *self.silent() = false;
        let next = self.queue().failed(Failure::Disconnected("simulated".into()));
        self.go_on(next);
    }

    /// Runs everything that is queued.
    pub fn drain(&self) {
        while self.pump(TransactionFate::Completes) {}
    }

    fn go_on(&self, next: Next) {
        if next == Next::Reconnect {
            let (found, removed) = {
                let world = self.origin.lock();
                (world.records.newest, world.removed)
            };
            *self.connected.lock().unwrap_or_else(PoisonError::into_inner) = removed;
            self.queue().reconnected(found);
        }
    }

    /// Asks for everything applied so far.
    pub fn flush(&self, strict: bool) -> Ticket {
        self.queue().flush(strict)
    }

    /// Whether the ticket's flush is done.
    ///
    /// # Errors
    /// The reason the queue died of.
    pub fn is_flushed(&self, ticket: Ticket) -> Result<bool> {
        self.queue().is_flushed(ticket)
    }

    /// Whether the queue has ended.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.queue().is_dead()
    }

    fn silent(&self) -> MutexGuard<'_, bool> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for SimTab {
    fn read(&self, area: Area, offset: u64, buf: &mut [u8]) -> Result<usize> {
        // Piece by piece: what one read needs may be more than the cache holds.
        let mut done = 0;
        while done < buf.len() {
            let n = (buf.len() - done).min(crate::block::BLOCK_SIZE);
            let piece = &mut buf[done..done + n];
            let read = self.queue().read(area, offset + done as u64, piece)?;
            match read {
                Ok(got) => {
                    done += got;
                    if got < n {
                        return Ok(done);
                    }
                }
                Err(Missing(extents)) => {
                    self.queue().fetch_begins();
                    let found = self.origin.fetch(extents);
                    if self.busy_fetch {
                        self.pump(TransactionFate::Completes);
                    }
                    let mut queue = self.queue();
                    for (extent, value) in found {
                        queue.fetched(extent, value.as_deref());
                    }
                    queue.fetch_ends();
                }
            }
        }
        if buf.is_empty() {
            let asked = self.queue().read(area, offset, buf)?;
            return Ok(asked.unwrap_or(0));
        }
        Ok(done)
    }

    fn len(&self, area: Area) -> Result<Option<u64>> {
        Ok(self.queue().len(area))
    }

    fn segments(&self) -> Result<Vec<SegmentId>> {
        Ok(self.queue().segments())
    }
}

impl Backend for SimTab {
    fn apply(&self, op: &Op) -> Result<()> {
        self.queue().apply(op)?;
        if self.eager {
            self.drain();
            if self.is_dead() {
                return fail(ErrorKind::Poisoned, "simulated: the queue is dead");
            }
        }
        Ok(())
    }

    fn name(&self) -> String {
        "simulated".to_owned()
    }
}
