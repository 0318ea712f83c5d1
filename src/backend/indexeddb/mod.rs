//! A store in a browser's IndexedDB: the same bytes as natively, as records of four object stores.
//!
//! Ops are queued in memory (`backend::queue`) and go out in order, one transaction at a time; a barrier only
//! promises order. What is to be acknowledged waits for [`IndexedDb::flush`]. The log, META and `base.sum` are in
//! memory from the start; `base.db` is read on demand where WebAssembly can be suspended (JSPI), or where another
//! worker reads for this one while it waits, else it is in memory too, up to a limit. Must not know: groups,
//! commits, recovery. The rule it keeps: every promise settles, whatever the browser does.

mod import;
mod js;
mod load;
mod place;
mod pump;
mod read;
mod records;
mod trouble;
mod watch;
mod witness;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use js_sys::Function;

use crate::backend::opfs::directory_of;
use crate::backend::queue::Ticket;
use crate::backend::{Backend, Source};
use crate::block::SegmentId;
use crate::error::{ErrorKind, Result};
use crate::log::plan::{Area, Op};
pub use import::Import;
use load::newest_link;
pub use place::{destroy, list};
use pump::Shared;

/// How to open a database in IndexedDB.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Hold all of it in memory: the only way without JSPI and without a reader.
    pub resident: bool,
    /// With `resident`, most bytes of the database file; more is `TooLarge` when opening, `Full` when growing.
    pub resident_limit_bytes: u64,
    /// Without `resident`, bytes of `base.db` held in memory at most.
    pub cache_bytes: u64,
    /// Make a new database where there is none.
    pub create: bool,
    /// A flush survives power loss. Otherwise it survives the end of the browser's processes only.
    pub strict: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            resident: true,
            resident_limit_bytes: 256 << 20,
            cache_bytes: 8 << 20,
            create: true,
            strict: true,
        }
    }
}

/// A database that this worker owns. Clones are the same one. Dropping the last without [`IndexedDb::closed`] gives
/// up what is queued, as a crash would.
#[derive(Clone)]
pub struct IndexedDb {
    shared: Arc<Shared>,
    options: Options,
}

impl fmt::Debug for IndexedDb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("IndexedDb");
        fields.field("place", &self.shared.place).field("options", &self.options).finish_non_exhaustive()
    }
}

/// What the queue and its connection did since opening.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Bytes of ops that are not on the medium yet: hold back new work beyond some MiB.
    pub queued_bytes: u64,
    /// Bytes of `base.db` in memory.
    pub cached_bytes: u64,
    /// Transactions begun.
    pub transactions: u64,
    /// Connections that had to be replaced.
    pub reconnects: u64,
}

impl IndexedDb {
    /// Takes the database over from whoever has it (that tab is fenced from here on) and reads what is held in
    /// memory.
    ///
    /// # Errors
    /// * `Misuse`: a name that cannot be one. `NotFound`: there is none, and creating was not asked for.
    /// * `Lost`: there was one, and the browser has removed it; [`destroy`] the name to begin anew.
    /// * `TooLarge`: it would have to be held in memory and is above the limit.
    /// * `Busy`: the browser says nothing; another tab may be in the way.
    /// * `Unsupported`: no IndexedDB here, or a newer version wrote it. `NotAStore`, `Io`.
    pub async fn open(name: &str, options: Options) -> Result<Self> {
        Self::open_read_by(name, options, None).await
    }

    /// The same, with a function of JavaScript that reads extents of `base.db` while this worker waits for it:
    /// called with the first one's number and how many, it returns an array of as many `Uint8Array` or `undefined`.
    /// It has a connection of its own, so nothing may be read through it while a transaction changes `base.db`:
    /// such a transaction may need this worker's event loop to end. See [`IndexedDb::quiet`].
    ///
    /// # Errors
    /// As [`IndexedDb::open`].
    pub async fn open_read_by(name: &str, options: Options, reader: Option<Function>) -> Result<Self> {
        let directory = directory_of(name)?;
        let place = format!("indexeddb:{name}");
        let (database, queue) = load::open(&place, &directory, options).await?;
        Ok(Self { shared: Shared::new(place, directory, database, queue, reader), options })
    }

    /// Whether calls may read now. With a reader they may not while a transaction changes `base.db`.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.shared.is_quiet()
    }

    /// Waits until calls may read. None begins to change `base.db` before the event loop's next turn.
    pub fn quiet(&self) -> impl Future<Output = ()> + use<> {
        let shared = Arc::clone(&self.shared);
        shared.until(Shared::is_quiet)
    }

    /// Waits until everything applied before the call is on the medium: durable when this returns, as far as
    /// [`Options::strict`] says.
    ///
    /// # Errors
    /// * `Full`, `Fenced`: nothing applied since the last flush that was done is on the medium, nor ever will
    ///   be.
    /// * `Lost`, `Io`, `Poisoned`: some of it may be.
    ///
    /// After an error nothing can be applied or read; open the database again.
    pub fn flush(&self) -> Flushed {
        let ticket = self.shared.queue().flush(self.options.strict);
        self.shared.pump();
        Flushed { shared: Arc::clone(&self.shared), ticket }
    }

    /// Whether what is flushed survives power loss.
    #[must_use]
    pub fn is_strict(&self) -> bool {
        self.options.strict
    }

    /// Asks the medium whether this worker still owns the database. What a deposed one reads may be of the new owner,
    /// and look like damage.
    ///
    /// # Errors
    /// `Fenced`, `Lost`: it does not; nothing can be applied or read any more. Else what ended the queue.
    pub async fn owned(&self) -> Result<()> {
        let shared = &self.shared;
        shared.queue().check()?;
        let database = shared.link.database.borrow().clone();
        if let Some(database) = database {
            match newest_link(&database).await {
                Ok(found) => return shared.queue().looked(found),
                Err(_) => shared.disconnected("the owner could not be read"),
            }
        }
        // A connection that is replaced is asked the same.
        shared.drained().await;
        shared.queue().check()
    }

    /// What has been done, and what waits.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let queue = self.shared.queue();
        Traffic {
            queued_bytes: queue.queued_bytes(),
            cached_bytes: queue.cached_bytes(),
            transactions: self.shared.link.transactions.get(),
            reconnects: self.shared.link.reconnects.get(),
        }
    }

    /// Whether nothing has ever been written here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shared.queue().is_empty()
    }

    /// Waits until everything queued is on the medium, then gives the connection back.
    ///
    /// # Errors
    /// As [`IndexedDb::flush`].
    pub async fn closed(&self) -> Result<()> {
        let flushed = self.flush().await;
        self.shared.queue().close(ErrorKind::Poisoned, "the database was closed");
        self.shared.disconnect();
        flushed
    }

    /// Gives the connection back at once. A transaction that is under way may still end; what is queued behind it
    /// is given up, as in a crash.
    pub fn abandon(&self) {
        self.shared.queue().close(ErrorKind::Poisoned, "the database was closed");
        self.shared.disconnect();
        let _ = self.shared.queue().not_reconnected("closed");
        self.shared.wake();
    }
}

/// Waits for a flush. Begun when it is made, whether it is awaited or not.
#[must_use = "what was flushed is durable only when this is done"]
pub struct Flushed {
    shared: Arc<Shared>,
    ticket: Ticket,
}

impl fmt::Debug for Flushed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flushed").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}

impl Flushed {
    /// Whether it is done by now.
    ///
    /// # Errors
    /// As [`IndexedDb::flush`].
    pub fn is_done(&self) -> Result<bool> {
        self.shared.queue().is_flushed(self.ticket)
    }
}

impl Future for Flushed {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        match self.is_done() {
            Ok(true) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error)),
            Ok(false) => {
                self.shared.wake_me(context.waker());
                Poll::Pending
            }
        }
    }
}

impl Shared {
    /// Waits until the queue has nothing left to do, or is dead.
    pub(super) fn drained(self: &Arc<Self>) -> impl Future<Output = ()> + use<> {
        Arc::clone(self).until(|shared| shared.queue().is_idle())
    }

    fn until(self: Arc<Self>, so: fn(&Self) -> bool) -> impl Future<Output = ()> + use<> {
        std::future::poll_fn(move |context| {
            if so(&self) {
                return Poll::Ready(());
            }
            self.wake_me(context.waker());
            Poll::Pending
        })
    }
}

impl Source for IndexedDb {
    fn read(&self, area: Area, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.shared.read(area, offset, buf)
    }

    fn len(&self, area: Area) -> Result<Option<u64>> {
        Ok(self.shared.queue().len(area))
    }

    fn segments(&self) -> Result<Vec<SegmentId>> {
        Ok(self.shared.queue().segments())
    }
}

impl Backend for IndexedDb {
    fn apply(&self, op: &Op) -> Result<()> {
        self.shared.queue().apply(op)?;
        self.shared.queued();
        Ok(())
    }

    fn release(&self) {
        self.shared.queue().close(ErrorKind::Poisoned, "the database was closed");
        self.shared.pump();
    }

    fn name(&self) -> String {
        self.shared.place.clone()
    }
}
