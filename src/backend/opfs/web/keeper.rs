//! What is done for a store between its calls: files opened ahead, deleted afterwards, looked at.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use send_wrapper::SendWrapper;
use wasm_bindgen_futures::JsFuture;
use web_sys::FileSystemDirectoryHandle;

use super::Files;
use super::calls::{JsFile, refusal, take_all};
use crate::backend::OpenMode;
use crate::backend::Source;
use crate::backend::opfs::name::area_of;
use crate::backend::opfs::pool::Pool;
use crate::backend::opfs::{Shared, State};
use crate::block::SegmentId;
use crate::error::{ErrorKind, Result, fail};
use crate::log::plan::Area;

/// Looks after an open [`Opfs`](super::Opfs) from outside the volume. Keeps no handle alive; clones look after the
/// same store.
#[derive(Clone)]
pub struct Keeper {
    shared: Weak<Shared<JsFile>>,
    directory: SendWrapper<FileSystemDirectoryHandle>,
    /// A refill is under way.
    busy: Arc<AtomicBool>,
}

/// Whose store it looks after; nobody's once that is gone.
impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.shared.upgrade().map(|shared| shared.path.clone());
        f.debug_struct("Keeper").field("path", &path).finish_non_exhaustive()
    }
}

impl Keeper {
    pub(super) fn new(shared: &Files, directory: FileSystemDirectoryHandle) -> Self {
        let directory = SendWrapper::new(directory);
        Self { shared: Arc::downgrade(shared), directory, busy: Arc::default() }
    }

    /// Opens the next segments ahead, deletes the files of removed ones, and writes zeros ahead, 1 MiB at most.
    /// Call it between the store's calls until it returns `false`: then there is nothing left to do.
    ///
    /// Nothing of the database is at stake in it: after an error the store works on as far as it can.
    ///
    /// # Errors
    /// * `Full`: no room to open files ahead; segments grow beyond their soft size meanwhile.
    /// * `Io`: the browser refused, or deleted the database's files while it was open.
    pub async fn refill(&self) -> Result<bool> {
        if self.shared.strong_count() == 0 || self.busy.swap(true, Ordering::AcqRel) {
            return Ok(false);
        }
        let outcome = self.refill_once().await;
        self.busy.store(false, Ordering::Release);
        outcome
    }

    async fn refill_once(&self) -> Result<bool> {
        let Some(shared) = self.shared.upgrade().filter(|shared| shared.mode != OpenMode::ReadOnly) else {
            return Ok(false);
        };
        if matches!(*shared.lock(), State::Released) {
            return Ok(false);
        }
        self.check_place(&shared).await?;
        self.delete_leftover(&shared).await?;
        drop(shared);
        self.open_wanted().await?;
        let Some(shared) = self.shared.upgrade() else { return Ok(false) };
        shared.with(Pool::fill_step)
    }

    /// Notices that somebody deleted the files (the user, with the browser's own means).
    async fn check_place(&self, shared: &Files) -> Result<()> {
        if shared.len(Area::Meta)?.is_none() {
            return Ok(());
        }
        let entry = JsFuture::from(self.directory.get_file_handle(&Area::Meta.to_string())).await;
        match entry {
            Err(why) if refusal(&why).name == "NotFoundError" => {
                shared.lose();
                shared.with(|_| Ok(()))
            }
            _ => Ok(()),
        }
    }

    async fn delete_leftover(&self, shared: &Files) -> Result<()> {
        let leftover = shared.with(|pool| Ok(pool.take_leftover()))?;
        for id in leftover {
            let name = Area::Segment(id).to_string();
            let removed = JsFuture::from(self.directory.remove_entry(&name)).await;
            // What cannot be deleted now is tried again later, and empty in any case.
            if removed.is_err_and(|why| refusal(&why).name != "NotFoundError") {
                shared.with(|pool| {
                    pool.spare(id);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    /// Opens the segments that should be open ahead and are not.
    pub(super) async fn open_wanted(&self) -> Result<()> {
        let Some(shared) = self.shared.upgrade().filter(|shared| shared.mode != OpenMode::ReadOnly) else {
            return Ok(());
        };
        let wanted = shared.with(|pool| Ok(pool.wanted()))?;
        if !wanted.is_empty() {
            self.open_segments(&shared, &wanted).await?;
        }
        Ok(())
    }

    /// Opens one segment ahead, whatever number comes next.
    ///
    /// # Errors
    /// As [`Keeper::refill`].
    pub async fn open_ahead(&self, segment: SegmentId) -> Result<()> {
        let Some(shared) = self.shared.upgrade() else { return Ok(()) };
        if shared.with(|pool| Ok(pool.has(Area::Segment(segment))))? {
            return Ok(());
        }
        self.open_segments(&shared, &[segment]).await
    }

    async fn open_segments(&self, shared: &Files, ids: &[SegmentId]) -> Result<()> {
        let areas: Vec<Area> = ids.iter().copied().map(Area::Segment).collect();
        let taken = take_all(&self.directory, &shared.path, &areas, true).await?;
        for (area, mut handle) in taken {
            if handle.len() > 0 {
                // Left by a life that was cut off while it deleted: META does not list it.
                handle.clear()?;
            }
            shared.with(|pool| {
                pool.put(area, handle);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// The store's files with their lengths in bytes: what a copy of the directory holds.
    ///
    /// # Errors
    /// `Misuse` after the store was closed, `Io` if its files are lost.
    pub fn files(&self) -> Result<Vec<(String, u64)>> {
        let name = |(area, len): (Area, u64)| (area.to_string(), len);
        self.open()?.with(|pool| Ok(pool.areas().map(name).collect()))
    }

    /// Fills `buf` from byte `offset` of one of those files; the count is short at its end only.
    ///
    /// # Errors
    /// As [`Keeper::files`]; `NotFound` for a file that is not there.
    pub fn read(&self, file: &str, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let shared = self.open()?;
        match area_of(file) {
            Some(area) => shared.read(area, offset, buf),
            None => fail(ErrorKind::NotFound, format!("{file:?} is no file of a store; list them again")),
        }
    }

    /// Gives the handles back at once. What was acknowledged is durable; the next open recovers.
    pub fn release(&self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.release();
        }
    }

    fn open(&self) -> Result<Files> {
        match self.shared.upgrade() {
            Some(shared) => Ok(shared),
            None => fail(ErrorKind::Misuse, "the database was closed; open it again"),
        }
    }

    /// The directory's path, for messages.
    #[must_use]
    pub fn path(&self) -> String {
        self.shared.upgrade().map(|shared| shared.path.clone()).unwrap_or_default()
    }
}
