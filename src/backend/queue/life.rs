//! How far the medium got, and how a life of the queue ends.
//!
//! Must not know: areas and records. The rules it keeps: one transaction at a time, in order; nothing is flushed
//! before the medium said complete; a connection that died is replaced once, what was under way is given again
//! only if the fence shows that nobody else wrote and nothing was lost; anything else ends the queue for good.

use std::sync::Arc;

use super::Queue;
use super::transaction::{Batch, Fence, Transaction};
use crate::error::{Error, ErrorKind, Result, fail};
use crate::planted::{Bug, planted};

/// Why a transaction did not complete, or the connection ended. In each case the medium either took the
/// transaction as a whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The stored owner is not ours: somebody has taken over. Nothing was written.
    Fenced,
    /// No space or quota left. Nothing was written.
    Full(String),
    /// The connection is gone; whether the transaction was taken is not known.
    Disconnected(String),
    /// Anything else the medium said. Nothing was written.
    Refused(String),
}

/// What the driver does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Take the next transaction.
    Go,
    /// Connect anew, read the fence, and call [`Queue::reconnected`].
    Reconnect,
    /// Nothing: the queue is dead.
    Stop,
}

/// Something to wait for: see [`Queue::flush`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Changes that a flush had been answered for by then.
    answered: u64,
    /// Changes that had been queued by then. The batch of the last one may take more, which are of a later flush.
    upto: u64,
    /// The batch of the last one.
    number: u64,
    strict: bool,
}

/// Why nothing goes on.
#[derive(Clone, Debug)]
pub(super) struct Death {
    kind: ErrorKind,
    message: String,
}

const TAKEN: &str = "another tab has opened this database and taken it over";
const VANISHED: &str = "the browser has removed the database while it was open";

/// One more than the number of the first owner at most: far below 2^53, so that it can be counted on from.
const OWNERS_FIRST: u64 = 1 << 48;

/// Takes a store over: the fence of its new owner, given the one that was found and whether the witness says that
/// there was a store. It must be put in the very transaction that reads everything else. `draw` is any number that
/// is unlikely to come again: the first owner of a store is not the first owner of one that was there before.
///
/// # Errors
/// `Lost` if there was a store and is none.
pub fn take_over(name: &str, found: Option<Fence>, witnessed: bool, draw: u64) -> Result<Fence> {
    if found.is_none() && witnessed && !planted(Bug::OpenVanishedAsNew) {
        let message = format!(
            "{name}: the browser has removed this database (to make room, or because its data was cleared); \
             delete the name to begin anew"
        );
        return fail(ErrorKind::Lost, message);
    }
    Ok(match found {
        Some(fence) if planted(Bug::SkipTakeover) => fence,
        Some(fence) => Fence { owner: fence.owner + 1, number: fence.number + 1 },
        None => Fence { owner: 1 + draw % OWNERS_FIRST, number: 1 },
    })
}

#[derive(Debug)]
pub(super) struct Life {
    owner: u64,
    /// The number of the takeover: what comes before is not ours.
    first: u64,
    /// The last transaction that is complete, and the last that survives power loss.
    complete: u64,
    strict_complete: u64,
    /// A strict flush was asked for up to here.
    wanted: u64,
    /// Changes that are on the medium, and those up to which a flush was found done.
    there: u64,
    answered: u64,
    under_way: Option<Transaction>,
    /// What was under way when the connection died.
    again: Option<Transaction>,
    /// The last change of the transaction that was under way when the connection died, if somebody has taken over
    /// since and it may have been taken before.
    in_doubt: Option<u64>,
    reconnecting: bool,
    /// The connection was replaced since a transaction last completed, or a read with nothing to write.
    replaced: bool,
    /// No op is taken any more; what is queued still goes out.
    closing: Option<Death>,
    death: Option<Death>,
}

impl Death {
    fn error(&self, name: &str) -> Error {
        Error::new(self.kind, format!("{name}: {}", self.message))
    }
}

impl Life {
    pub(super) fn new(fence: Fence) -> Self {
        let Fence { owner, number } = fence;
        // Nobody said that what was found, or the takeover itself, survives power loss.
        let strict_complete = number.saturating_sub(1);
        Self {
            owner,
            first: number,
            complete: number,
            strict_complete,
            wanted: strict_complete,
            there: 0,
            answered: 0,
            under_way: None,
            again: None,
            in_doubt: None,
            reconnecting: false,
            replaced: false,
            closing: None,
            death: None,
        }
    }

    /// Fails if no op may be taken and nothing may be read.
    pub(super) fn check(&self, name: &str) -> Result<()> {
        let Some(death) = self.death.as_ref().or(self.closing.as_ref()) else { return Ok(()) };
        let kind = match death.kind {
            ErrorKind::Fenced | ErrorKind::Lost => death.kind,
            _ => ErrorKind::Poisoned,
        };
        fail(kind, format!("{name}: {}; open it again", death.message))
    }

    pub(super) fn die(&mut self, death: Death) {
        self.under_way = None;
        self.again = None;
        self.reconnecting = false;
        self.death.get_or_insert(death);
    }
}

impl Queue {
    /// The next transaction to run; `None` while one is under way, when there is nothing to do, or at the end.
    pub fn take(&mut self) -> Option<Transaction> {
        let life = &self.life;
        if life.death.is_some() || life.reconnecting || life.under_way.is_some() {
            return None;
        }
        let batch = match &self.life.again {
            Some(transaction) => Arc::clone(&transaction.batch),
            None => Arc::new(self.next_batch()?),
        };
        self.life.again = None;
        let number = batch.number;
        let strict = self.life.wanted > self.life.strict_complete && self.life.wanted <= number;
        let fence = Fence { owner: self.life.owner, number };
        let fence = (!planted(Bug::SkipOwnerCheck)).then_some(fence);
        let transaction = Transaction { fence, number, strict, batch };
        self.life.under_way = Some(transaction.clone());
        self.base.started(number);
        Some(transaction)
    }

    /// The oldest batch that waits; an empty one if only durability is missing.
    fn next_batch(&mut self) -> Option<Batch> {
        if planted(Bug::SwapTransactions) && self.waiting.len() > 1 {
            self.waiting.swap(0, 1);
        }
        let unproven = self.life.wanted > self.life.strict_complete;
        if self.waiting.is_empty() && unproven {
            self.newest += 1;
            return Some(Batch::new(self.newest));
        }
        self.waiting.pop_front()
    }

    /// The transaction under way is complete. Ignored if there is none: a dead connection's last word.
    pub fn completed(&mut self, number: u64) -> Next {
        if self.life.death.is_some() {
            return Next::Stop;
        }
        let Some(transaction) = self.life.under_way.take_if(|under_way| under_way.number == number) else {
            return Next::Go;
        };
        if transaction.strict {
            self.life.strict_complete = number;
        }
        self.settle(&transaction);
        Next::Go
    }

    fn settle(&mut self, transaction: &Transaction) {
        self.life.complete = self.life.complete.max(transaction.number);
        self.life.there = self.life.there.max(transaction.batch.upto);
        self.life.replaced = false;
        self.queued_bytes -= transaction.batch.bytes;
        self.base.complete(transaction.number);
    }

    /// The medium has answered a read. That the connection is well again is believed only if nothing is to be
    /// written: reads that succeed beside writes that never do would replace connections for ever.
    pub(super) fn has_read(&mut self) {
        if self.waiting.is_empty() && self.is_idle() {
            self.life.replaced = false;
        }
    }

    /// The transaction under way did not complete, or the connection ended while there was none.
    pub fn failed(&mut self, failure: Failure) -> Next {
        if self.life.death.is_some() {
            return Next::Stop;
        }
        if self.life.reconnecting && matches!(failure, Failure::Disconnected(_)) {
            // One dead connection has many last words.
            return Next::Stop;
        }
        if planted(Bug::IgnoreAbort)
            && let Some(number) = self.life.under_way.as_ref().map(|under_way| under_way.number)
        {
            return self.completed(number);
        }
        match failure {
            Failure::Fenced => self.fenced(),
            Failure::Full(message) => {
                if planted(Bug::SkipRefusedBatch)
                    && let Some(transaction) = self.life.under_way.take()
                {
                    self.settle(&transaction);
                    return Next::Go;
                }
                let message =
                    format!("no space or quota left ({message}); what was not durable is not there");
                self.end(ErrorKind::Full, message)
            }
            Failure::Disconnected(message) if self.life.replaced => self.end(
                ErrorKind::Io,
                format!("the connection ended again right after it was replaced: {message}"),
            ),
            Failure::Disconnected(_) => {
                let again = self.life.under_way.take();
                self.life.again = if planted(Bug::ForgetUnderWay) { None } else { again };
                self.life.reconnecting = true;
                self.life.replaced = true;
                Next::Reconnect
            }
            Failure::Refused(message) => self.end(ErrorKind::Io, message),
        }
    }

    /// There is a new connection; `found` is the fence that it shows, `None` if the database is not there or
    /// empty.
    pub fn reconnected(&mut self, found: Option<Fence>) -> Next {
        if self.life.death.is_some() || !self.life.reconnecting {
            return Next::Stop;
        }
        let ours = Fence { owner: self.life.owner, number: self.life.complete };
        let found = if planted(Bug::ReplayWithoutLooking) { ours } else { found.unwrap_or_default() };
        if found.owner == 0 {
            return self.end(ErrorKind::Lost, VANISHED.to_owned());
        }
        let under_way = self.life.again.as_ref().map(|transaction| transaction.number);
        if found.owner != ours.owner {
            // A number is given once: up to that of ours, all that is there is somebody else's.
            let again = self.life.again.as_ref().filter(|transaction| found.number > transaction.number);
            self.life.in_doubt = again.map(|transaction| transaction.batch.upto);
            return self.fenced();
        }
        if Some(found.number) == under_way {
            // It was taken before the connection died. Nobody said that it is durable.
            self.life.reconnecting = false;
            let transaction = self.life.again.take().expect("it has a number");
            self.settle(&transaction);
            return Next::Go;
        }
        if found.number < ours.number {
            let message = format!(
                "the browser has lost transactions that it had completed ({} of {} are there)",
                found.number, ours.number
            );
            return self.end(ErrorKind::Lost, message);
        }
        if found.number > ours.number {
            let message = format!("the medium knows transaction {}, which was never asked for", found.number);
            return self.end(ErrorKind::Io, message);
        }
        self.life.reconnecting = false;
        Next::Go
    }

    /// Takes the newest link that the medium shows. A deposed owner reads what somebody else has written since, so
    /// from then on it takes no op and shows nothing; what is queued is refused by the fence.
    ///
    /// # Errors
    /// `Fenced`, `Lost`: the store is no longer this queue's; or the reason of its end.
    pub fn looked(&mut self, found: Option<Fence>) -> Result<()> {
        match found.unwrap_or_default().owner {
            owner if owner == self.life.owner => {}
            0 => self.close(ErrorKind::Lost, VANISHED),
            _ => self.close(ErrorKind::Fenced, TAKEN),
        }
        self.life.check(&self.name)
    }

    /// A new connection could not be had.
    pub fn not_reconnected(&mut self, message: &str) -> Next {
        self.end(ErrorKind::Io, format!("the connection ended and there is no new one: {message}"))
    }

    /// Asks that everything applied so far reach the medium and, if `strict`, survive power loss.
    pub fn flush(&mut self, strict: bool) -> Ticket {
        if strict {
            self.life.wanted = self.life.wanted.max(self.newest);
        }
        Ticket { answered: self.life.answered, upto: self.changes, number: self.newest, strict }
    }

    /// Whether what the ticket asked for is done.
    ///
    /// # Errors
    /// The reason the queue died of, if it died before. `Full`, `Fenced`: nothing applied since the last flush
    /// that was found done is on the medium, nor ever will be. `Lost`, `Io`, `Poisoned`: it may be there in part.
    pub fn is_flushed(&mut self, ticket: Ticket) -> Result<bool> {
        let life = &mut self.life;
        let started = life.under_way.as_ref().map_or(life.first, |under_way| under_way.number);
        let complete = if planted(Bug::AcknowledgeBeforeComplete) { started } else { life.complete };
        let lasts = !ticket.strict
            || life.strict_complete >= ticket.number
            || planted(Bug::RelaxedIsStrict)
            || planted(Bug::AcknowledgeBeforeComplete);
        if complete.max(life.complete) >= ticket.number && lasts {
            let upto = if planted(Bug::AnswerWholeBatch) { life.there } else { ticket.upto };
            life.answered = life.answered.max(upto);
            return Ok(true);
        }
        match &life.death {
            Some(Death { kind: ErrorKind::Full | ErrorKind::Fenced, message })
                if life.there > ticket.answered =>
            {
                fail(ErrorKind::Poisoned, format!("{}: {message}; a part is there", self.name))
            }
            Some(Death { message, .. }) if life.in_doubt.is_some_and(|upto| upto > ticket.answered) => {
                fail(ErrorKind::Poisoned, format!("{}: {message}; a part may be there", self.name))
            }
            Some(death) => Err(death.error(&self.name)),
            None => Ok(false),
        }
    }

    /// Whether the store is sure to last: only now may a sign be left that there is one.
    #[must_use]
    pub fn has_lasted(&self) -> bool {
        self.life.strict_complete > self.life.first
    }

    /// Takes no more ops; what is queued still goes out.
    pub fn close(&mut self, kind: ErrorKind, why: &str) {
        self.life.closing.get_or_insert(Death { kind, message: why.to_owned() });
    }

    /// Whether nothing is left to do: all is on the medium, or the queue is dead.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let life = &self.life;
        let unproven = life.wanted > life.strict_complete;
        let busy = life.under_way.is_some() || life.reconnecting || life.again.is_some();
        life.death.is_some() || (!busy && self.waiting.is_empty() && !unproven)
    }

    /// Whether ops are taken and reads answered.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<()> {
        self.life.check(&self.name)
    }

    /// Whether the queue has ended for good.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.life.death.is_some()
    }

    /// What it ended with.
    ///
    /// # Errors
    /// The reason of its end.
    pub fn check_alive(&self) -> Result<()> {
        self.life.death.as_ref().map_or(Ok(()), |death| Err(death.error(&self.name)))
    }

    fn fenced(&mut self) -> Next {
        self.end(ErrorKind::Fenced, TAKEN.to_owned())
    }

    fn end(&mut self, kind: ErrorKind, message: String) -> Next {
        self.died(Death { kind, message });
        Next::Stop
    }
}
