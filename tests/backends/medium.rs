//! What the suites run on: a kind of medium whose bytes outlive the backend that was opened on it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use datasync::backend::file::{FileStore, OpenMode};
use datasync::backend::memory::Memory;
use datasync::backend::{Backend, Source};
use datasync::block::SegmentId;
use datasync::log::plan::{Area, Op};
use tempfile::TempDir;

/// Somewhere a store can be, be closed, damaged by hand, and opened again.
pub trait Medium {
    type Opened: Backend + 'static;

    fn new() -> Self;

    /// Opens the bytes there are, or begins with none.
    fn open(&self) -> Self::Opened;

    /// Where it is, as messages call it.
    fn place(&self) -> String;

    /// Removes an area behind the store's back.
    fn delete(&self, area: Area);

    /// The bytes of an area, `None` where there is none.
    fn bytes(&self, area: Area) -> Option<Vec<u8>>;

    /// Replaces the bytes of an area behind the store's back.
    fn overwrite(&self, area: Area, bytes: &[u8]);

    /// The areas that are there, in order.
    fn areas(&self) -> Vec<Area> {
        let store = self.open();
        let fixed = [Area::Meta, Area::Base, Area::Sums].into_iter();
        let mut areas: Vec<_> = fixed.filter(|area| store.len(*area).unwrap().is_some()).collect();
        areas.extend(store.segments().unwrap().into_iter().map(Area::Segment));
        areas
    }
}

pub struct InMemory(pub Memory);

impl Medium for InMemory {
    type Opened = Memory;

    fn new() -> Self {
        Self(Memory::new())
    }

    fn open(&self) -> Memory {
        self.0.clone()
    }

    fn place(&self) -> String {
        "memory".into()
    }

    fn delete(&self, area: Area) {
        self.0.forget(area);
    }

    fn bytes(&self, area: Area) -> Option<Vec<u8>> {
        read_all(&self.0, area)
    }

    fn overwrite(&self, area: Area, bytes: &[u8]) {
        self.0.forget(area);
        self.0.apply(&Op::Create(area)).unwrap();
        self.0.apply(&write(area, 0, bytes)).unwrap();
    }
}

pub struct InFiles {
    pub dir: TempDir,
}

impl InFiles {
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("app.datasync")
    }

    pub fn file(&self, area: Area) -> PathBuf {
        self.path().join(area.to_string())
    }
}

impl Medium for InFiles {
    type Opened = FileStore;

    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn open(&self) -> FileStore {
        FileStore::open(self.path(), OpenMode::Create).unwrap()
    }

    fn place(&self) -> String {
        self.path().display().to_string()
    }

    fn delete(&self, area: Area) {
        fs::remove_file(self.file(area)).unwrap();
    }

    fn bytes(&self, area: Area) -> Option<Vec<u8>> {
        fs::read(self.file(area)).ok()
    }

    fn overwrite(&self, area: Area, bytes: &[u8]) {
        fs::write(self.file(area), bytes).unwrap();
    }
}

pub const BLOCK: usize = 4096;

pub fn segment(n: u64) -> Area {
    Area::Segment(SegmentId(n))
}

pub fn write(area: Area, offset: u64, bytes: &[u8]) -> Op {
    Op::Write { area, offset, bytes: Arc::from(bytes) }
}

pub fn blocks(fill: u8, n: usize) -> Vec<u8> {
    vec![fill; n * BLOCK]
}

/// Everything in an area, read with one call.
pub fn read_all(store: &impl Source, area: Area) -> Option<Vec<u8>> {
    let len = store.len(area).unwrap()?;
    let mut bytes = vec![0xEE; usize::try_from(len).unwrap()];
    assert_eq!(store.read(area, 0, &mut bytes).unwrap(), bytes.len());
    Some(bytes)
}

/// Checks every byte of an area, and says where the first wrong one is.
pub fn has(store: &impl Source, area: Area, expected: &[u8]) {
    let bytes = read_all(store, area).unwrap_or_else(|| panic!("{area} is not there"));
    let differs = bytes.iter().zip(expected).position(|(is, should)| is != should);
    if let Some(at) = differs {
        panic!("{area}: byte {at} is {}, not {}", bytes[at], expected[at]);
    }
    assert_eq!(bytes.len(), expected.len(), "length of {area}");
}

/// The simulated disk without faults: it has to behave as the real ones do.
#[cfg(feature = "sim")]
pub struct InSim(datasync::backend::sim::SimDisk);

#[cfg(feature = "sim")]
impl Medium for InSim {
    type Opened = datasync::backend::sim::SimDisk;

    fn new() -> Self {
        Self(datasync::backend::sim::SimDisk::new(1))
    }

    fn open(&self) -> Self::Opened {
        self.0.clone()
    }

    fn place(&self) -> String {
        self.0.name()
    }

    fn delete(&self, area: Area) {
        unreachable!("nobody deletes {area} of a simulated disk by hand");
    }

    fn bytes(&self, area: Area) -> Option<Vec<u8>> {
        read_all(&self.0, area)
    }

    fn overwrite(&self, area: Area, _bytes: &[u8]) {
        unreachable!("nobody edits {area} of a simulated disk by hand");
    }
}
