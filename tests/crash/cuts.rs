//! What a power cut leaves, decided like everything else in a life.

use datasync::backend::sim::{Cut, DiskState, Fate, Random, SimDisk};
use datasync::block::BLOCK_SIZE;
use datasync::log::plan::Area;

use crate::choices::{Bytes, Choices};

/// Decisions about a disk.
pub trait Cuts: Choices {
    /// One of `all`, which is not empty.
    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T
    where
        Self: Sized,
    {
        &all[self.below(all.len())]
    }

    /// Cuts the power of `disk` and returns what is there when it comes back.
    fn cut_power(&mut self, disk: &SimDisk) -> SimDisk
    where
        Self: Sized,
    {
        let seed = self.below(usize::MAX) as u64;
        disk.cut_power(&mut Random::new(seed)).1
    }
}

impl Cuts for Random {}

impl Cuts for Bytes<'_> {
    fn cut_power(&mut self, disk: &SimDisk) -> SimDisk {
        let next = disk.crash_process();
        let state = next.state();
        let image = state.after(&self.cut(&state));
        SimDisk::from_state(image, 1)
    }
}

impl Bytes<'_> {
    fn cut(&mut self, state: &DiskState) -> Cut {
        let mut cut = Cut::default();
        for (area, page) in state.unsynced() {
            cut.page(area, page, self.fate(state));
        }
        for area in state.known_areas() {
            if self.chance(1, 2) {
                cut.entry(area, usize::MAX);
            }
            if let Some(len) = state.len(area).filter(|_| self.chance(1, 2)) {
                cut.len(area, len);
            }
        }
        cut
    }

    fn fate(&mut self, state: &DiskState) -> Fate {
        match self.below(16) {
            0..6 => Fate::Version(usize::MAX),
            6..10 => Fate::Old,
            10 => Fate::Zero,
            11 => Fate::Garbage(self.below(16) as u64),
            12 => Fate::Sectors(self.below(256) as u8),
            13 => Fate::Bytes(self.below(BLOCK_SIZE)),
            14 => Fate::Version(self.below(3)),
            _ => {
                let areas: Vec<Area> = state.areas().collect();
                let Some(area) = areas.get(self.below(areas.len())) else { return Fate::Old };
                let pages = state.len(*area).unwrap_or(0) / BLOCK_SIZE as u64;
                Fate::Ghost(*area, self.below(pages as usize) as u64)
            }
        }
    }
}
