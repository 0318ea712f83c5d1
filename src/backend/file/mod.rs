//! A store as a directory of files: META, base.db, base.sum, log-NNNN, LOCK.
//!
//! Holds the open files and the lock. Must not know: groups, commits, recovery. The rules it keeps: it
//! creates and removes nothing but what an op names; one write op is one positioned write, one barrier op is
//! one barrier; a barrier that failed is remembered and never tried again.
//!
//! This folder is the only place outside tests and tools that may use `std::fs`.

mod handle;
mod lock;
mod place;
#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod platform;
mod trouble;

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use crate::backend::rules::{self, PAGE};
use crate::backend::{Backend, OpenMode, Source};
use crate::block::SegmentId;
use crate::error::{Error, ErrorKind, Result, fail};
use crate::log::plan::{Area, Op};
use handle::{Handle, latched};
use lock::Lock;
use trouble::{Doing, trouble};

/// With more files open than this, those without undurable bytes are closed again.
const OPEN_FILES_MAX: usize = 64;

/// A store's directory, locked for as long as this lives or until it is released.
#[derive(Debug)]
pub struct FileStore {
    /// As the caller named it, made absolute: for messages.
    shown: PathBuf,
    /// Where it really is: for calls.
    directory: PathBuf,
    mode: OpenMode,
    /// `None` once the store was released.
    open: RwLock<Option<Open>>,
    directory_broken: Mutex<bool>,
}

/// What an open store holds of the system.
#[derive(Debug)]
struct Open {
    // Dropped in this order: no file outlives the lock.
    handles: HashMap<Area, Arc<Handle>>,
    lock: Lock,
}

impl FileStore {
    /// Opens the store in the directory `path` and takes its lock.
    ///
    /// With [`OpenMode::Create`] the directory is made if it is absent (not those above it), and its name is
    /// durable on return. Nothing else is created but LOCK; [`OpenMode::ReadOnly`] does without where it may not.
    ///
    /// # Errors
    /// * `Busy`: in use, by this process or another; the message names the holder.
    /// * `NotAStore`: a file, or a directory with other things in it.
    /// * `NotFound`: nothing there, and creating was not asked for.
    /// * `ReadOnly`: the directory cannot be written; [`OpenMode::ReadOnly`] would work.
    /// * `Full`, `Io`: the system refused.
    pub fn open(path: impl AsRef<Path>, mode: OpenMode) -> Result<Self> {
        let path = path.as_ref();
        let shown = match std::path::absolute(path) {
            Ok(shown) => shown,
            Err(cause) => return Err(trouble(Doing::Open, path, cause)),
        };
        let directory = place::prepare(&shown, mode)?;
        let lock = match mode {
            OpenMode::Create | OpenMode::Existing => Lock::exclusive(&directory)?,
            OpenMode::ReadOnly => Lock::shared(&directory)?,
        };
        let open = RwLock::new(Some(Open { handles: HashMap::new(), lock }));
        Ok(Self { shown, directory, mode, open, directory_broken: Mutex::default() })
    }

    /// The store's directory as an absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shown
    }

    fn file_of(&self, area: Area) -> PathBuf {
        self.directory.join(area.to_string())
    }

    /// Looks at what is open, unless the store was released.
    fn with_open<T>(&self, look: impl FnOnce(&Open) -> Result<T>) -> Result<T> {
        match &*self.open.read().expect("nothing panics while it holds the open files") {
            Some(open) => look(open),
            None => Err(self.released()),
        }
    }

    fn released(&self) -> Error {
        Error::new(ErrorKind::Misuse, format!("{} was closed; open it again", self.shown.display()))
    }

    /// The open file of an area.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    fn handle(&self, area: Area) -> Result<Arc<Handle>> {
        match self.with_open(|open| Ok(open.handles.get(&area).cloned()))? {
            Some(handle) => Ok(handle),
            None => self.open_area(area, Doing::Open),
        }
    }

    fn open_area(&self, area: Area, doing: Doing) -> Result<Arc<Handle>> {
        let mut open = self.open.write().expect("nothing panics while it holds the open files");
        let Some(Open { handles, lock }) = &mut *open else { return Err(self.released()) };
        // Somebody else may have opened it meanwhile, and two handles would split what is known of it.
        if let Some(handle) = handles.get(&area) {
            return Ok(Arc::clone(handle));
        }
        lock.check_place()?;
        let path = self.file_of(area);
        let file = OpenOptions::new()
            .read(true)
            .write(self.mode != OpenMode::ReadOnly)
            .create(doing == Doing::Create)
            .truncate(false)
            .open(&path)
            .map_err(|cause| trouble(doing, &path, cause))?;
        close_spares(handles);
        let handle = Arc::new(Handle::new(file, path));
        handles.insert(area, Arc::clone(&handle));
        Ok(handle)
    }

    fn remove(&self, segment: SegmentId) -> Result<()> {
        let area = Area::Segment(segment);
        let mut open = self.open.write().expect("nothing panics while it holds the open files");
        let Some(Open { handles, lock }) = &mut *open else { return Err(self.released()) };
        lock.check_place()?;
        handles.remove(&area);
        let path = self.file_of(area);
        match fs::remove_file(&path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(trouble(Doing::Remove, &path, cause))
            }
            _ => Ok(()),
        }
    }

    fn barrier_directory(&self) -> Result<()> {
        let mut broken = self.directory_broken.lock().expect("nothing panics while it holds the latch");
        if *broken {
            return Err(latched(&self.directory));
        }
        self.with_open(|open| open.lock.check_place())?;
        platform::barrier_directory(&self.directory).map_err(|cause| {
            *broken = true;
            trouble(Doing::Barrier, &self.directory, cause)
        })
    }
}

/// Closes files until there is room for one more, but none that has undurable bytes or a failed barrier:
/// only the open file remembers those.
fn close_spares(handles: &mut HashMap<Area, Arc<Handle>>) {
    if handles.len() >= OPEN_FILES_MAX {
        handles.retain(|area, handle| !matches!(area, Area::Segment(_)) || !handle.is_spare());
    }
}

/// The segment that a file name stands for, if it is written the one way that names of segments are.
fn segment_of(name: &str) -> Option<SegmentId> {
    let digits = name.strip_prefix("log-")?;
    let id = SegmentId(digits.parse().ok()?);
    (Area::Segment(id).to_string() == name).then_some(id)
}

impl Source for FileStore {
    fn read(&self, area: Area, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.handle(area)?.read(offset, buf)
    }

    fn len(&self, area: Area) -> Result<Option<u64>> {
        match self.handle(area) {
            Ok(handle) => handle.len().map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn segments(&self) -> Result<Vec<SegmentId>> {
        self.with_open(|_| Ok(()))?;
        let refused = |cause| trouble(Doing::Read, &self.directory, cause);
        let mut segments = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(refused)? {
            segments.extend(entry.map_err(refused)?.file_name().to_str().and_then(segment_of));
        }
        segments.sort_unstable();
        Ok(segments)
    }
}

impl Backend for FileStore {
    fn apply(&self, op: &Op) -> Result<()> {
        rules::check(op)?;
        if self.mode == OpenMode::ReadOnly {
            return fail(
                ErrorKind::ReadOnly,
                format!(
                    "{} is open for reading only; open it for writing to do \"{op}\"",
                    self.shown.display()
                ),
            );
        }
        match op {
            Op::Create(area) => self.open_area(*area, Doing::Create).map(drop),
            Op::Write { area, offset, bytes } => self.handle(*area)?.write(*offset, bytes),
            Op::Reserve { segment, pages } => {
                self.handle(Area::Segment(*segment))?.reserve(u64::from(*pages) * PAGE)
            }
            Op::Resize { area, bytes } => self.handle(*area)?.resize(*bytes),
            Op::Barrier(area) => self.handle(*area)?.barrier(),
            Op::BarrierDirectory => self.barrier_directory(),
            Op::Remove(segment) => self.remove(*segment),
        }
    }

    fn release(&self) {
        *self.open.write().expect("nothing panics while it holds the open files") = None;
    }

    fn name(&self) -> String {
        self.shown.display().to_string()
    }
}

const _: fn() = || {
    fn shared_between_threads<T: Send + Sync>() {}
    shared_between_threads::<FileStore>();
    shared_between_threads::<File>();
};
