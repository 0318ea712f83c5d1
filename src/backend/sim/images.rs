//! Every medium that a power cut at one moment can leave behind.
//!
//! Each unsynced page ends as old, new, an unsynced version in between, or garbage; each length and each
//! directory entry decides for itself. A page under one checksum has no other classes that a reader could
//! tell apart (`tests/crash` shows it by enumerating sectors). META's unit is a copy of 16 KiB, for the
//! same reason. Up to [`Bounds::product`] combinations all are listed, in a fixed order; beyond that those
//! with at most two losers, at most two survivors, and some drawn ones.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use super::menu::{Tally, Trouble};
use super::page::{Content, garbage, hash_of, same_bytes, torn_by_byte, torn_by_sector};
use super::random::Random;
use super::state::{Cell, DiskState, File, Name};
use crate::block::BLOCK_SIZE;
use crate::log::plan::Area;

const PAGE: u64 = BLOCK_SIZE as u64;
const META_COPY_PAGES: u64 = 4;

/// How far to enumerate.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Up to this many combinations, list all.
    pub product: usize,
    /// When there are more, two losers and two survivors at a time, not only one.
    pub pairs: bool,
    /// How many to draw besides, when there are more.
    pub drawn: usize,
    /// Seed of the draw.
    pub seed: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { product: 729, pairs: true, drawn: 32, seed: 1 }
    }
}

/// What becomes of an unsynced page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// As before the first unsynced write.
    Old,
    /// The unsynced write with this number, from 0.
    Version(usize),
    /// Zeros.
    Zero,
    /// Bytes nobody wrote; which of 16 pages of them.
    Garbage(u64),
    /// The newest write in the sectors of this mask, the old bytes elsewhere.
    Sectors(u8),
    /// The newest write in the first so many bytes, the old bytes after them.
    Bytes(usize),
    /// What another page of the medium held: file systems have exposed stale space that way.
    Ghost(Area, u64),
}

impl Fate {
    /// Its name on the menu, where it is a loss.
    fn trouble(self) -> Trouble {
        match self {
            Self::Old => Trouble::PageOld,
            Self::Version(_) => Trouble::PageBetween,
            Self::Zero => Trouble::PageZero,
            Self::Garbage(_) => Trouble::PageGarbage,
            Self::Sectors(_) => Trouble::SectorsTorn,
            Self::Bytes(_) => Trouble::BytesTorn,
            Self::Ghost(..) => Trouble::PageGhost,
        }
    }
}

/// One outcome of a power cut.
#[derive(Clone, Debug, Default)]
pub struct Cut {
    pages: BTreeMap<(Area, u64), Fate>,
    lens: BTreeMap<Area, u64>,
    entries: BTreeMap<Area, usize>,
}

impl Cut {
    /// Sets the fate of one page.
    pub fn page(&mut self, area: Area, page: u64, fate: Fate) {
        self.pages.insert((area, page), fate);
    }

    /// Sets the length of an area.
    pub fn len(&mut self, area: Area, bytes: u64) {
        self.lens.insert(area, bytes);
    }

    /// Lets `count` of the unsynced changes of the area's entry survive (0: the durable one).
    pub fn entry(&mut self, area: Area, count: usize) {
        self.entries.insert(area, count);
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((area, page), fate) in &self.pages {
            write!(f, "{area} page {page}: {fate:?}; ")?;
        }
        for (area, len) in &self.lens {
            write!(f, "{area} length: {len}; ")?;
        }
        for (area, count) in &self.entries {
            write!(f, "{area} entry: {count} of its changes; ")?;
        }
        f.write_str("everything else durable or old")
    }
}

/// One thing that a power cut decides, and the ways it can go: the first is "new", the second "old".
struct Dimension {
    kind: Kind,
    ways: usize,
}

enum Kind {
    Pages { area: Area, pages: Vec<u64>, fates: Vec<Fate> },
    Len { area: Area, lens: Vec<u64> },
    Entry { area: Area, counts: Vec<usize> },
}

impl Dimension {
    fn new(kind: Kind) -> Option<Self> {
        let ways = match &kind {
            Kind::Pages { fates, .. } => fates.len(),
            Kind::Len { lens, .. } => lens.len(),
            Kind::Entry { counts, .. } => counts.len(),
        };
        (ways > 1).then_some(Self { kind, ways })
    }

    fn choose(&self, way: usize, cut: &mut Cut) {
        match &self.kind {
            Kind::Pages { area, pages, fates } => {
                pages.iter().for_each(|page| cut.page(*area, *page, fates[way]));
            }
            Kind::Len { area, lens } => cut.len(*area, lens[way]),
            Kind::Entry { area, counts } => cut.entry(*area, counts[way]),
        }
    }
}

impl DiskState {
    /// The medium after a power cut that went as `cut` says; what it does not name is old.
    #[must_use]
    pub fn after(&self, cut: &Cut) -> Self {
        let entry = |area: Area, name: &Name| match cut.entries.get(&area) {
            Some(0) | None => name.durable,
            Some(count) => name.pending.get(count - 1).copied().unwrap_or_else(|| name.visible()),
        };
        let len = |area: Area, file: &File| cut.lens.get(&area).copied().unwrap_or(file.durable_len);
        let page = |area: Area, number: u64, cell: &Cell| match cut.pages.get(&(area, number)) {
            Some(Fate::Ghost(area, page)) => self.visible(*area, *page),
            fate => content(cell, fate.copied().unwrap_or(Fate::Old)),
        };
        self.settled(entry, len, page)
    }

    /// Counts what a power cut that goes as `cut` says takes from what was asked for: a page, a length or an entry
    /// that is as it was asked for is no loss.
    pub fn count_losses(&self, cut: &Cut, tally: &Tally) {
        tally.strike(Trouble::PowerCut);
        for (area, name) in self.names() {
            let kept = match cut.entries.get(area) {
                Some(0) | None => name.durable,
                Some(count) => name.pending.get(count - 1).copied().unwrap_or_else(|| name.visible()),
            };
            if kept != name.visible() {
                tally.strike(Trouble::EntryApart);
            }
            let Some(file) = kept.map(|id| self.file_by_id(id)) else { continue };
            let len = cut.lens.get(area).copied().unwrap_or(file.durable_len);
            tally.add(Trouble::LengthApart, u64::from(len != file.len()));
            for (page, cell) in &file.pages {
                let Some(newest) = cell.pending.last() else { continue };
                let fate = cut.pages.get(&(*area, *page)).copied().unwrap_or(Fate::Old);
                let left = match fate {
                    Fate::Ghost(area, page) => self.visible(area, page),
                    fate => content(cell, fate),
                };
                if !same_bytes(&left, newest) {
                    tally.strike(fate.trouble());
                }
            }
        }
    }

    /// Calls `visit` with every distinct medium a power cut now can leave, within `bounds`. Stops when it
    /// returns false.
    pub fn each_image(&self, bounds: &Bounds, mut visit: impl FnMut(&Cut, DiskState) -> bool) {
        let dimensions = self.dimensions();
        let mut seen = HashSet::new();
        let mut offer = |ways: &[usize]| {
            let mut cut = Cut::default();
            dimensions.iter().zip(ways).for_each(|(dimension, way)| dimension.choose(*way, &mut cut));
            let image = self.after(&cut);
            !seen.insert(image.fingerprint()) || visit(&cut, image)
        };
        let product = dimensions
            .iter()
            .try_fold(1usize, |product, dimension| product.checked_mul(dimension.ways))
            .filter(|product| *product <= bounds.product);
        match product {
            Some(product) => {
                let all = (0..product).map(|number| digits(number, &dimensions));
                all.take_while(|ways| offer(ways)).count();
            }
            None => offer_some(&dimensions, bounds, &mut offer),
        }
    }

    /// One outcome of a power cut, drawn.
    #[must_use]
    pub fn draw_image(&self, random: &mut Random) -> (Cut, DiskState) {
        let mut cut = Cut::default();
        let dimensions = self.dimensions();
        let areas: Vec<Area> = self.areas().collect();
        let style = random.below(4);
        for dimension in &dimensions {
            let way = match style {
                0 => random.below(2),
                1 if random.chance(3, 4) => 0,
                2 if random.chance(3, 4) => 1,
                _ => random.below(dimension.ways),
            };
            dimension.choose(way, &mut cut);
        }
        for fate in cut.pages.values_mut().filter(|_| !areas.is_empty()) {
            *fate = match random.below(24) {
                0 => Fate::Zero,
                1 => Fate::Garbage(random.draw()),
                2 => Fate::Sectors(random.draw() as u8),
                3 => Fate::Bytes(random.below(BLOCK_SIZE)),
                4 => {
                    let area = *random.pick(&areas);
                    let pages = self.len(area).unwrap_or(0) / PAGE;
                    Fate::Ghost(area, random.below(pages as usize) as u64)
                }
                _ => *fate,
            };
        }
        let image = self.after(&cut);
        (cut, image)
    }

    fn dimensions(&self) -> Vec<Dimension> {
        let mut found = Vec::new();
        for (area, name) in self.names() {
            if !name.pending.is_empty() {
                let mut counts: Vec<usize> = (0..=name.pending.len()).rev().collect();
                counts[1..].reverse();
                found.extend(Dimension::new(Kind::Entry { area: *area, counts }));
            }
            if let Some(file) = name.visible().or(name.durable).map(|id| self.file_by_id(id)) {
                found.extend(Dimension::new(Kind::Len { area: *area, lens: lens_of(file) }));
                found.extend(page_dimensions(*area, file));
            }
        }
        found
    }
}

/// The combination with this number.
fn digits(mut number: usize, dimensions: &[Dimension]) -> Vec<usize> {
    dimensions
        .iter()
        .map(|dimension| {
            let way = number % dimension.ways;
            number /= dimension.ways;
            way
        })
        .collect()
}

fn offer_some(dimensions: &[Dimension], bounds: &Bounds, offer: &mut impl FnMut(&[usize]) -> bool) {
    let count = dimensions.len();
    for common in 0..2 {
        let plain = vec![common; count];
        if !offer(&plain) {
            return;
        }
        for first in 0..count {
            for one in (0..dimensions[first].ways).filter(|way| *way != common) {
                let mut ways = plain.clone();
                ways[first] = one;
                if !offer(&ways) {
                    return;
                }
                for second in (first + 1..count).filter(|_| bounds.pairs) {
                    for two in (0..dimensions[second].ways).filter(|way| *way != common) {
                        let mut both = ways.clone();
                        both[second] = two;
                        if !offer(&both) {
                            return;
                        }
                    }
                }
            }
        }
    }
    let mut random = Random::new(bounds.seed);
    for _ in 0..bounds.drawn {
        let ways: Vec<usize> = dimensions.iter().map(|dimension| random.below(dimension.ways)).collect();
        if !offer(&ways) {
            return;
        }
    }
}

/// Newest first, then the durable one, then those in between, some that were never asked for among them.
fn lens_of(file: &File) -> Vec<u64> {
    if file.pending_lens.is_empty() {
        return Vec::new();
    }
    let mut lens = vec![file.len(), file.durable_len];
    let between = lens[0].min(lens[1]) + PAGE..lens[0].max(lens[1]);
    let partial = [between.start, between.end.saturating_sub(PAGE)].into_iter();
    lens.extend(file.pending_lens.iter().copied().chain(partial.filter(|len| between.contains(len))));
    let mut seen = HashSet::new();
    lens.retain(|len| seen.insert(*len));
    lens
}

fn page_dimensions(area: Area, file: &File) -> Vec<Dimension> {
    let mut units: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for (page, _) in file.pages.iter().filter(|(_, cell)| !cell.pending.is_empty()) {
        let unit = if area == Area::Meta { page / META_COPY_PAGES } else { *page };
        units.entry(unit).or_default().push(*page);
    }
    // Space that was only reserved: zeros over nothing. One unit, or it would drown what matters.
    let idle = |cell: &Cell| cell.durable.is_none() && cell.pending.iter().all(Option::is_none);
    let mut reserved = Vec::new();
    if area != Area::Meta {
        units.retain(|page, _| {
            let idle = idle(&file.pages[page]);
            reserved.extend(idle.then_some(*page));
            !idle
        });
    }
    let dimension = |pages: Vec<u64>| {
        let cells: Vec<&Cell> = pages.iter().map(|page| &file.pages[page]).collect();
        Dimension::new(Kind::Pages { area, fates: fates_of(&cells), pages })
    };
    let reserved = Some(reserved).filter(|pages| !pages.is_empty());
    units.into_values().chain(reserved).filter_map(dimension).collect()
}

/// The distinct fates of pages that share one: new, old, garbage, then the versions in between.
fn fates_of(cells: &[&Cell]) -> Vec<Fate> {
    let most = cells.iter().map(|cell| cell.pending.len()).max().unwrap_or(0);
    let newest = Fate::Version(most.saturating_sub(1));
    let between = (0..most.saturating_sub(1)).map(Fate::Version);
    let mut seen = HashSet::new();
    let mut distinct = |fate: &Fate| {
        let hashes: Vec<u64> = cells.iter().map(|cell| hash_of(&content(cell, *fate))).collect();
        seen.insert(hashes)
    };
    [newest, Fate::Old, Fate::Garbage(0)].into_iter().chain(between).filter(|fate| distinct(fate)).collect()
}

fn content(cell: &Cell, fate: Fate) -> Content {
    let Some(newest) = cell.pending.last() else { return cell.durable.clone() };
    match fate {
        Fate::Old | Fate::Ghost(..) => cell.durable.clone(),
        Fate::Version(number) => cell.pending.get(number).unwrap_or(newest).clone(),
        Fate::Zero => None,
        Fate::Garbage(which) => garbage(which),
        Fate::Sectors(mask) => torn_by_sector(&cell.durable, newest, mask),
        Fate::Bytes(count) => torn_by_byte(&cell.durable, newest, count),
    }
}
