//! A store in memory: for tests, for scratch databases, for callers who ask for it by name.
//!
//! Holds the areas as bytes; a clone is another handle on the same bytes, so dropping a volume and opening
//! the clone is what a process crash is to a file. Must not know: groups, commits, recovery, files.
//! The rule it keeps: it answers every op exactly as the file backend would, except that nothing is ever
//! durable beyond the process.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::backend::rules::{self, PAGE};
use crate::backend::{Backend, Source};
use crate::block::SegmentId;
use crate::error::{Error, ErrorKind, Result, fail};
use crate::log::plan::{Area, Op};

/// Bytes are kept in pieces of this size, so that an area grows without being copied.
const CHUNK: usize = 16 * 1024;

/// A store's bytes in memory. Cloning it gives another handle on the same bytes; see [`Memory::copy`] for
/// bytes of its own.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    shared: Arc<RwLock<Areas>>,
    name: Option<String>,
    hook: Option<Hook>,
}

/// What a store asks of its medium, for [`Memory::with_hook`].
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// Bytes of this area.
    Read(Area),
    /// To carry out this op.
    Apply(&'a Op),
    /// To let go: the store is closed.
    Release,
}

#[derive(Clone)]
struct Hook(Arc<dyn Fn(Request<'_>) -> Result<()> + Send + Sync>);

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

#[derive(Clone, Debug, Default)]
struct Areas {
    areas: BTreeMap<Area, Bytes>,
    limit: Option<u64>,
}

/// One area. A chunk that is not there reads as zeros.
#[derive(Clone, Debug, Default)]
struct Bytes {
    len: u64,
    chunks: BTreeMap<u64, Box<[u8; CHUNK]>>,
}

impl Memory {
    /// An empty medium without a limit of space.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty medium on which all areas together may have at most `bytes` bytes; more is `Full`.
    #[must_use]
    pub fn with_limit(bytes: u64) -> Self {
        let memory = Self::default();
        memory.set_limit(Some(bytes));
        memory
    }

    /// The same bytes under a name of their own, for messages.
    #[must_use]
    pub fn named(self, name: String) -> Self {
        Self { name: Some(name), ..self }
    }

    /// The same bytes behind `hook`, which is called before each request through this handle and its clones. It may
    /// look, wait or panic; with an error the request is refused, and the store told of it. (Nobody is told that a
    /// release was refused.)
    ///
    /// ```
    /// use datasync::backend::memory::{Memory, Request};
    /// use datasync::error::{Error, ErrorKind};
    /// use datasync::log::plan::Op;
    /// use datasync::volume::{Options, Volume};
    ///
    /// let broken = Memory::new().with_hook(|request| match request {
    ///     Request::Apply(Op::Barrier(_)) => Err(Error::new(ErrorKind::Io, "the disk is gone")),
    ///     _ => Ok(()),
    /// });
    /// let refused = Volume::open(broken, Options::new()).unwrap_err();
    /// assert_eq!(refused.kind(), ErrorKind::Io);
    /// ```
    #[must_use]
    pub fn with_hook(self, hook: impl Fn(Request<'_>) -> Result<()> + Send + Sync + 'static) -> Self {
        Self { hook: Some(Hook(Arc::new(hook))), ..self }
    }

    /// Changes the limit of space, in bytes. What is there already stays, even above the limit.
    pub fn set_limit(&self, bytes: Option<u64>) {
        self.write_areas().limit = bytes;
    }

    /// A medium of its own with the same bytes: what a copy of the directory is to a file. It has no hook.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self { shared: Arc::new(RwLock::new(self.read_areas().clone())), name: self.name.clone(), hook: None }
    }

    /// Makes the area vanish, as if somebody had deleted the file by hand. Absent is fine.
    pub fn forget(&self, area: Area) {
        self.write_areas().areas.remove(&area);
    }

    /// Sum of the lengths of all areas, in bytes.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.read_areas().used()
    }

    fn ask(&self, request: Request<'_>) -> Result<()> {
        self.hook.as_ref().map_or(Ok(()), |hook| (hook.0)(request))
    }

    fn read_areas(&self) -> RwLockReadGuard<'_, Areas> {
        self.shared.read().expect("nothing panics while it holds the areas")
    }

    fn write_areas(&self) -> RwLockWriteGuard<'_, Areas> {
        self.shared.write().expect("nothing panics while it holds the areas")
    }
}

impl Areas {
    fn used(&self) -> u64 {
        self.areas.values().map(|bytes| bytes.len).sum()
    }

    fn get(&mut self, area: Area) -> Result<&mut Bytes> {
        self.areas.get_mut(&area).ok_or_else(|| absent(area))
    }

    /// Sets the length of `area` if there is room for it.
    fn grow(&mut self, area: Area, len: u64) -> Result<&mut Bytes> {
        let used = self.used();
        let limit = self.limit.unwrap_or(u64::MAX);
        let bytes = self.get(area)?;
        let more = len.saturating_sub(bytes.len);
        if used.saturating_add(more) > limit && more > 0 {
            return fail(
                ErrorKind::Full,
                format!(
                    "memory: {area} needs {more} bytes more, {used} of {limit} are in use; raise the limit"
                ),
            );
        }
        bytes.len = bytes.len.max(len);
        Ok(bytes)
    }
}

impl Bytes {
    fn read(&self, offset: u64, buf: &mut [u8]) -> usize {
        let there = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX).min(buf.len());
        let mut rest = &mut buf[..there];
        let mut at = offset;
        while !rest.is_empty() {
            let (chunk, from, n) = piece(at, rest.len());
            let (now, later) = rest.split_at_mut(n);
            match self.chunks.get(&chunk) {
                Some(bytes) => now.copy_from_slice(&bytes[from..from + n]),
                None => now.fill(0),
            }
            rest = later;
            at += n as u64;
        }
        there
    }

    /// Writes below the present length.
    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let (mut rest, mut at) = (bytes, offset);
        while !rest.is_empty() {
            let (chunk, from, n) = piece(at, rest.len());
            let target = self.chunks.entry(chunk).or_insert_with(|| Box::new([0; CHUNK]));
            target[from..from + n].copy_from_slice(&rest[..n]);
            rest = &rest[n..];
            at += n as u64;
        }
    }

    /// Cuts to `len` bytes; what is cut off reads as zeros if the area grows again.
    fn shrink(&mut self, len: u64) {
        self.len = self.len.min(len);
        let (last, from, _) = piece(self.len, CHUNK);
        self.chunks.split_off(&(last + 1));
        if from == 0 {
            self.chunks.remove(&last);
        } else if let Some(bytes) = self.chunks.get_mut(&last) {
            bytes[from..].fill(0);
        }
    }
}

/// Chunk number, offset inside it, and how many of `len` bytes from `at` lie in it.
fn piece(at: u64, len: usize) -> (u64, usize, usize) {
    let from = usize::try_from(at % CHUNK as u64).expect("a remainder of CHUNK is a usize");
    (at / CHUNK as u64, from, len.min(CHUNK - from))
}

fn absent(area: Area) -> Error {
    Error::new(ErrorKind::NotFound, format!("memory: {area} does not exist"))
}

impl Source for Memory {
    fn read(&self, area: Area, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.ask(Request::Read(area))?;
        let areas = self.read_areas();
        let bytes = areas.areas.get(&area).ok_or_else(|| absent(area))?;
        Ok(bytes.read(offset, buf))
    }

    fn len(&self, area: Area) -> Result<Option<u64>> {
        Ok(self.read_areas().areas.get(&area).map(|bytes| bytes.len))
    }

    fn segments(&self) -> Result<Vec<SegmentId>> {
        let areas = self.read_areas();
        let segment = |area: &Area| match area {
            Area::Segment(id) => Some(*id),
            _ => None,
        };
        Ok(areas.areas.keys().filter_map(segment).collect())
    }
}

impl Backend for Memory {
    fn apply(&self, op: &Op) -> Result<()> {
        rules::check(op)?;
        self.ask(Request::Apply(op))?;
        let mut areas = self.write_areas();
        match op {
            Op::Create(area) => {
                areas.areas.entry(*area).or_default();
            }
            Op::Write { area, offset, bytes } => {
                let end = offset + bytes.len() as u64;
                areas.grow(*area, end)?.write(*offset, bytes);
            }
            Op::Reserve { segment, pages } => {
                areas.grow(Area::Segment(*segment), u64::from(*pages) * PAGE)?;
            }
            Op::Resize { area, bytes } => {
                areas.grow(*area, *bytes)?.shrink(*bytes);
            }
            Op::Barrier(area) => {
                areas.get(*area)?;
            }
            Op::BarrierDirectory => {}
            Op::Remove(segment) => {
                areas.areas.remove(&Area::Segment(*segment));
            }
        }
        Ok(())
    }

    fn release(&self) {
        let _ = self.ask(Request::Release);
    }

    fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| "memory".to_owned())
    }
}
