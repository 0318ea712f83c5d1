//! A store in the origin private file system of a browser: the same files and bytes as natively.
//!
//! META, base.db, base.sum and log-NNNN lie in the directory `datasync/NAME`, each behind a sync access
//! handle, which is also the lock: no second tab gets one. Handles are taken asynchronously, before they are
//! needed ([`Keeper::refill`]); every op then runs in one or a few blocking calls. Holds the ops and what is known
//! of the files. Must not know: groups, commits, recovery. The rules it keeps: one barrier is one `flush`, after one
//! `write` of what was appended to the segment since the last; no count is believed unchecked; nothing is there for
//! the store that it did not create.
//!
//! There is no barrier for a directory in a browser: see docs/guarantees.md for what follows.

mod count;
mod handle;
mod name;
mod pool;
#[cfg(any(test, feature = "sim"))]
mod simulated;
#[cfg(test)]
mod tests;
mod trouble;
#[cfg(target_family = "wasm")]
mod web;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::backend::rules::{self, PAGE};
use crate::backend::{Backend, OpenMode, Source};
use crate::block::SegmentId;
use crate::error::{Error, ErrorKind, Result, fail};
use crate::log::ahead::next_segment;
use crate::log::plan::{Area, Op};
pub use count::{Answer, Refusal};
use handle::Handle;
pub use handle::SyncFile;
pub use name::{area_of, directory_of, name_of};
use pool::Pool;
#[cfg(any(test, feature = "sim"))]
pub use simulated::SimKeeper;
#[cfg(target_family = "wasm")]
pub use web::*;

/// A store's files, held for as long as this lives or until it is released.
pub struct OpfsStore<F: SyncFile> {
    shared: Arc<Shared<F>>,
}

/// What a store and its [`Keeper`](web::Keeper) have in common.
struct Shared<F: SyncFile> {
    /// `opfs:datasync/NAME`, for messages.
    path: String,
    mode: OpenMode,
    state: Mutex<State<F>>,
}

enum State<F: SyncFile> {
    Open(Pool<F>),
    /// The handles were given back.
    Released,
    /// The files were deleted under us.
    Lost,
}

impl<F: SyncFile> Shared<F> {
    /// A store of the files that were found.
    ///
    /// # Errors
    /// `Io` if META cannot be read.
    fn new(path: String, mode: OpenMode, found: BTreeMap<Area, Handle<F>>) -> Result<Arc<Self>> {
        let state = Mutex::new(State::Open(Pool::new(found)));
        let shared = Arc::new(Self { path, mode, state });
        let next = next_segment(&*shared)?.unwrap_or(SegmentId(1));
        shared.with(|pool| {
            pool.expect(next);
            Ok(())
        })?;
        Ok(shared)
    }

    fn lock(&self) -> MutexGuard<'_, State<F>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the files, if they are still ours.
    fn with<T>(&self, work: impl FnOnce(&mut Pool<F>) -> Result<T>) -> Result<T> {
        match &mut *self.lock() {
            State::Open(pool) => work(pool),
            State::Released => fail(ErrorKind::Misuse, format!("{} was closed; open it again", self.path)),
            State::Lost => fail(
                ErrorKind::Lost,
                format!(
                    "the files of {} were deleted while it was open (was this site's data cleared?); what was in \
                     them is lost unless there is an export",
                    self.path
                ),
            ),
        }
    }

    fn with_live<T>(&self, area: Area, work: impl FnOnce(&mut Handle<F>) -> Result<T>) -> Result<T> {
        self.with(|pool| match pool.live_mut(area) {
            Some(handle) => work(handle),
            None => Err(self.absent(area)),
        })
    }

    fn absent(&self, area: Area) -> Error {
        Error::new(
            ErrorKind::NotFound,
            format!("{}/{area} does not exist; import a copy of the store, or create a new one", self.path),
        )
    }

    fn create(&self, area: Area) -> Result<()> {
        if self.with(|pool| Ok(pool.create(area)))? {
            return Ok(());
        }
        fail(
            ErrorKind::Full,
            format!(
                "{}/{area} has not been opened ahead; nothing was harmed: try again when this call is over",
                self.path
            ),
        )
    }

    fn write(&self, area: Area, offset: u64, bytes: &[u8]) -> Result<()> {
        self.with(|pool| {
            pool.used(area);
            match pool.live_mut(area) {
                Some(handle) if matches!(area, Area::Segment(_)) => handle.append(offset, bytes),
                Some(handle) => handle.write(offset, bytes),
                None => Err(self.absent(area)),
            }
        })
    }

    /// Gives every handle back, flushed.
    fn release(&self) {
        *self.lock() = State::Released;
    }

    /// Gives the files up, because they were deleted under us. Their handles are leaked: Chromium never returns
    /// from closing one whose file was cleared away, and nobody would hear of the loss. They end with the worker.
    fn lose(&self) {
        std::mem::forget(std::mem::replace(&mut *self.lock(), State::Lost));
    }
}

impl<F: SyncFile> Source for Shared<F> {
    fn read(&self, area: Area, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.with_live(area, |handle| handle.read(offset, buf))
    }

    fn len(&self, area: Area) -> Result<Option<u64>> {
        self.with(|pool| Ok(pool.live(area).map(Handle::len)))
    }

    fn segments(&self) -> Result<Vec<SegmentId>> {
        let segment = |(area, _): (Area, u64)| match area {
            Area::Segment(id) => Some(id),
            Area::Meta | Area::Base | Area::Sums => None,
        };
        self.with(|pool| Ok(pool.areas().filter_map(segment).collect()))
    }
}

impl<F: SyncFile> Source for OpfsStore<F> {
    fn read(&self, area: Area, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.shared.read(area, offset, buf)
    }

    fn len(&self, area: Area) -> Result<Option<u64>> {
        self.shared.len(area)
    }

    fn segments(&self) -> Result<Vec<SegmentId>> {
        self.shared.segments()
    }
}

impl<F: SyncFile> Backend for OpfsStore<F> {
    fn apply(&self, op: &Op) -> Result<()> {
        rules::check(op)?;
        let shared = &self.shared;
        if shared.mode == OpenMode::ReadOnly {
            let path = &shared.path;
            return fail(
                ErrorKind::ReadOnly,
                format!("{path} is open for reading only; open it for writing to do \"{op}\""),
            );
        }
        match op {
            Op::Create(area) => shared.create(*area),
            Op::Write { area, offset, bytes } => shared.write(*area, *offset, bytes),
            Op::Reserve { segment, pages } => {
                let bytes = u64::from(*pages) * PAGE;
                shared.with_live(Area::Segment(*segment), |handle| handle.reserve(bytes))
            }
            Op::Resize { area, bytes } => shared.with_live(*area, |handle| handle.resize(*bytes)),
            Op::Barrier(area) => shared.with_live(*area, Handle::barrier),
            // Nothing to call, but a store that was closed or lost has to say so.
            Op::BarrierDirectory => shared.with(|_| Ok(())),
            Op::Remove(segment) => shared.with(|pool| pool.remove(*segment)),
        }
    }

    fn release(&self) {
        self.shared.release();
    }

    fn can_create(&self) -> bool {
        self.shared.with(|pool| Ok(pool.can_create())).unwrap_or(false)
    }

    fn name(&self) -> String {
        self.shared.path.clone()
    }
}

impl<F: SyncFile> fmt::Debug for OpfsStore<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpfsStore").field("path", &self.shared.path).finish_non_exhaustive()
    }
}
