//! What the suites run on: a kind of medium whose bytes outlive the backend that was opened on it.

use std::sync::Arc;

use datasync::backend::memory::Memory;
use datasync::backend::{Backend, Source};
use datasync::block::SegmentId;
use datasync::log::plan::{Area, Op};

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
