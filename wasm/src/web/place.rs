//! The kinds of places there are: the backend of each for the volume, and what looks after it from outside.
//!
//! Must not know statements. The rule it keeps: whoever looks after a place works beside the volume, never inside
//! a call of it.

use datasync::backend::OpenMode;
use datasync::backend::indexeddb::{self, IndexedDb};
use datasync::backend::memory::Memory;
use datasync::backend::opfs::{self, Opfs};
use datasync::backend::{Backend, Source};
use datasync::error::Result;
use datasync::log::plan::Area;
use datasync::volume::report::Object;
use datasync::{Error, ErrorKind};
use js_sys::Function;

use crate::failure::{Failure, Outcome};

/// What may be on its way to a place before new work waits for it, bytes: all of it is in memory.
const BEHIND_BYTES: u64 = 64 << 20;

/// A place that was taken for a database.
pub(super) enum Place {
    Memory(Memory),
    Opfs(Opfs, opfs::Keeper),
    IndexedDb(IndexedDb),
}

/// What looks after the place of an open database.
pub(super) enum Keeper {
    Memory(Memory),
    Opfs(opfs::Keeper),
    IndexedDb(IndexedDb),
}

impl Place {
    /// A new place in memory.
    pub(super) fn memory(name: &str) -> Self {
        Self::Memory(Memory::new().named(format!("memory:{name}")))
    }

    /// The files of the database `name` in this origin's private file system.
    ///
    /// # Errors
    /// As [`Opfs::open`].
    pub(super) async fn opfs(name: &str, mode: Option<&str>) -> Outcome<Self> {
        let mode = match mode {
            None | Some("create") => OpenMode::Create,
            Some("existing") => OpenMode::Existing,
            Some("readOnly") => OpenMode::ReadOnly,
            Some(other) => {
                let text = format!("mode is {other:?}; it can be create, existing or readOnly");
                return Err(Failure::misuse(text));
            }
        };
        let (store, keeper) = Opfs::open(name, mode).await?;
        Ok(Self::Opfs(store, keeper))
    }

    /// The records of the database `name` in this origin's IndexedDB, taken from whoever has it.
    ///
    /// # Errors
    /// As [`IndexedDb::open_read_by`].
    pub(super) async fn indexed_db(
        name: &str,
        options: indexeddb::Options,
        reader: Option<Function>,
    ) -> Outcome<Self> {
        Ok(Self::IndexedDb(IndexedDb::open_read_by(name, options, reader).await?))
    }

    /// How large a log is before it is folded, bytes. A fold of IndexedDB puts nearly every extent that a few
    /// megabytes of log touch, so there it pays to fold twice as much at a time.
    pub(super) fn usual_log_bytes(&self) -> u64 {
        match self {
            Self::Memory(_) | Self::Opfs(..) => 16 << 20,
            Self::IndexedDb(_) => 32 << 20,
        }
    }

    /// The two halves.
    pub(super) fn split(self) -> (Box<dyn Backend>, Keeper) {
        match self {
            Self::Memory(memory) => (Box::new(memory.clone()), Keeper::Memory(memory)),
            Self::Opfs(store, keeper) => (Box::new(store), Keeper::Opfs(keeper)),
            Self::IndexedDb(database) => (Box::new(database.clone()), Keeper::IndexedDb(database)),
        }
    }
}

impl Keeper {
    /// The name of the kind of place.
    pub(super) fn backend(&self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            Self::Opfs(_) => "opfs",
            Self::IndexedDb(_) => "indexeddb",
        }
    }

    /// Adds to the numbers of a store those of its place.
    pub(super) fn describe(&self, status: Object) -> Object {
        match self {
            Self::Memory(_) | Self::Opfs(_) => status,
            Self::IndexedDb(database) => {
                let traffic = database.traffic();
                status
                    .with("queuedBytes", traffic.queued_bytes)
                    .with("cachedBytes", traffic.cached_bytes)
                    .with("transactions", traffic.transactions)
                    .with("reconnects", traffic.reconnects)
            }
        }
    }

    /// Whether what the store calls durable may still be on its way to the place.
    pub(super) fn lags(&self) -> bool {
        match self {
            Self::Memory(_) | Self::Opfs(_) => false,
            Self::IndexedDb(_) => true,
        }
    }

    /// Whether what was flushed survives power loss.
    pub(super) fn is_strict(&self) -> bool {
        match self {
            Self::Memory(_) | Self::Opfs(_) => true,
            Self::IndexedDb(database) => database.is_strict(),
        }
    }

    /// Whether so much is on its way to the place that it has to catch up before more is added.
    pub(super) fn is_behind(&self) -> bool {
        match self {
            Self::Memory(_) | Self::Opfs(_) => false,
            Self::IndexedDb(database) => database.traffic().queued_bytes > BEHIND_BYTES,
        }
    }

    /// Whether everything applied is durable by now. If not, or if it is not to be, [`Keeper::flushed`] tells.
    pub(super) fn is_flushed(&self) -> bool {
        match self {
            Self::Memory(_) | Self::Opfs(_) => true,
            Self::IndexedDb(database) => matches!(database.flush().is_done(), Ok(true)),
        }
    }

    /// Waits until everything applied before the call is durable.
    ///
    /// # Errors
    /// What ended the queue.
    pub(super) async fn flushed(&self) -> Result<()> {
        match self {
            Self::Memory(_) | Self::Opfs(_) => Ok(()),
            Self::IndexedDb(database) => database.flush().await,
        }
    }

    /// Asks the place whether the database is still this worker's.
    ///
    /// # Errors
    /// `Fenced`, `Lost`: it is not.
    pub(super) async fn owned(&self) -> Result<()> {
        match self {
            // Nobody else can have what these hold.
            Self::Memory(_) | Self::Opfs(_) => Ok(()),
            Self::IndexedDb(database) => database.owned().await,
        }
    }

    /// Whether calls may read now. If not, [`Keeper::quiet`] waits for it.
    pub(super) fn is_quiet(&self) -> bool {
        match self {
            Self::Memory(_) | Self::Opfs(_) => true,
            Self::IndexedDb(database) => database.is_quiet(),
        }
    }

    /// Waits until calls may read.
    pub(super) async fn quiet(&self) {
        if let Self::IndexedDb(database) = self {
            database.quiet().await;
        }
    }

    /// Makes ready what later calls will need; whether there is more to do.
    ///
    /// # Errors
    /// `Full`, `Io`: nothing of the database is at stake.
    pub(super) async fn refill(&self) -> Result<bool> {
        match self {
            Self::Memory(_) | Self::IndexedDb(_) => Ok(false),
            Self::Opfs(keeper) => keeper.refill().await,
        }
    }

    /// Waits until the place is given back. To be called when the volume is closed.
    ///
    /// # Errors
    /// What could not be written to the end.
    pub(super) async fn closed(&self) -> Result<()> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Opfs(keeper) => {
                keeper.release();
                Ok(())
            }
            Self::IndexedDb(database) => database.closed().await,
        }
    }

    /// Gives the place back at once.
    pub(super) fn release(&self) {
        match self {
            Self::Memory(_) => {}
            Self::Opfs(keeper) => keeper.release(),
            Self::IndexedDb(database) => database.abandon(),
        }
    }

    /// The store's files with their lengths in bytes.
    ///
    /// # Errors
    /// `Io`, or `Misuse` when the database is closed.
    pub(super) fn files(&self) -> Result<Vec<(String, u64)>> {
        match self {
            Self::Memory(memory) => files_of(memory),
            Self::Opfs(keeper) => keeper.files(),
            Self::IndexedDb(database) => files_of(database),
        }
    }

    /// Fills `buf` from byte `offset` of a file; the count is short at its end only.
    ///
    /// # Errors
    /// As [`Keeper::files`]; `NotFound`.
    pub(super) fn read(&self, file: &str, offset: u64, buf: &mut [u8]) -> Result<usize> {
        match self {
            Self::Memory(memory) => memory.read(area(file)?, offset, buf),
            Self::Opfs(keeper) => keeper.read(file, offset, buf),
            Self::IndexedDb(database) => database.read(area(file)?, offset, buf),
        }
    }
}

fn files_of(source: &dyn Source) -> Result<Vec<(String, u64)>> {
    let mut areas = vec![Area::Meta, Area::Base, Area::Sums];
    areas.extend(source.segments()?.into_iter().map(Area::Segment));
    let mut files = Vec::new();
    for area in areas {
        files.extend(source.len(area)?.map(|bytes| (area.to_string(), bytes)));
    }
    Ok(files)
}

fn area(file: &str) -> Result<Area> {
    opfs::area_of(file).ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("{file:?} is no file of a store; list them again"))
    })
}
