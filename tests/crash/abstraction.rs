//! The bytes of a medium, read as M1 sees a medium: META copies, segments and their groups.
//!
//! Reads bytes through `format` alone, never through the store's own recovery: what the two make of the same
//! bytes is what the replay compares. The base is left out: M1 knows how far it is folded, not what is in it.

use std::collections::BTreeMap;

use datasync::backend::sim::{Cut, DiskState, bytes_of, mix};
use datasync::block::{BLOCK_SIZE, BlockBytes};
use datasync::format::group::{Change, Group, Role};
use datasync::format::meta::{META_BYTES, Meta};
use datasync::format::segment::SegmentHeader;
use datasync::log::plan::Area;
use datasync_models::log::{self as m1, Cell, Fate, Medium, View};

/// A segment: the epoch in its header, and its groups by page.
pub type Segment = (Option<u64>, BTreeMap<u32, m1::Group>);

/// What one view of a medium shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Whether META has a directory entry.
    pub entry: bool,
    pub meta: [Option<m1::Meta>; 4],
    pub segments: BTreeMap<u64, Segment>,
}

impl Shown {
    /// What a reader of the simulated disk sees.
    pub fn on(disk: &DiskState) -> Self {
        let page = |area, page| *bytes_of(&disk.visible(area, page));
        let meta = [0, 1, 2, 3].map(|copy| {
            let pages = (META_BYTES / BLOCK_SIZE) as u64;
            let bytes: Vec<u8> =
                (copy * pages..(copy + 1) * pages).flat_map(|at| page(Area::Meta, at)).collect();
            Meta::decode(&bytes).ok().map(|meta| meta_of(&meta))
        });
        let of = |id| {
            let area = Area::Segment(id);
            let pages = disk.len(area).unwrap_or(0) / BLOCK_SIZE as u64;
            let pages: Vec<BlockBytes> = (0..pages).map(|at| page(area, at)).collect();
            let header = pages.first().and_then(|page| SegmentHeader::decode(page).ok());
            let Some((header, _)) = header.filter(|(header, _)| header.identity.segment == id) else {
                return (id.0, (None, BTreeMap::new()));
            };
            let groups = groups_of(&pages[1..], 1, |group| group.identity == header.identity);
            (id.0, (Some(header.identity.epoch.0), groups))
        };
        let entry = disk.len(Area::Meta).is_some();
        Self { entry, meta, segments: disk.segments().into_iter().map(of).collect() }
    }

    /// What the disk has in the files that a reader of the cache sees, whether or not their names are durable.
    pub fn under_names(disk: &DiskState) -> Self {
        let mut cut = Cut::default();
        disk.known_areas().into_iter().for_each(|area| cut.entry(area, usize::MAX));
        Self::on(&disk.after(&cut))
    }

    /// What one view of the model's medium shows.
    pub fn in_model(medium: &Medium, view: View) -> Self {
        let there = medium.segments.iter().filter(|(_, segment)| view.of(&segment.entry).is_some());
        let of = |(id, segment): (&u64, &m1::Segment)| {
            let header = view.of(&segment.header).copied();
            let groups = segment.groups.iter().filter(|_| header.is_some());
            let groups = groups.filter_map(|(page, cell)| Some((*page, *view.of(cell)?)));
            (*id, (header, groups.collect()))
        };
        let entry = view.of(&medium.entry).is_some();
        Self {
            entry,
            meta: [0, 1, 2, 3].map(|copy| view.of(&medium.meta[copy]).filter(|_| entry).cloned()),
            segments: there.map(of).collect(),
        }
    }

    /// The model's medium after a power cut that left this: nothing is unsynced, the base is what was durable.
    pub fn settled(self, before: &Medium) -> Medium {
        let base = durable(before.base.disk);
        let segment = |(id, (header, groups)): (u64, Segment)| {
            let groups = groups.into_iter().map(|(page, group)| (page, durable(Some(group)))).collect();
            (id, m1::Segment { entry: durable(Some(())), header: durable(header), groups })
        };
        let segments = self.segments.into_iter().map(segment).collect();
        let entry = durable(self.entry.then_some(()));
        Medium { entry, meta: self.meta.map(durable), segments, base, base_dirty: [false; 2] }
    }

    /// How each unsynced thing of `area` ended on the disk that shows this, in the order of a failed barrier.
    pub fn fates(&self, medium: &Medium, area: m1::Area) -> Vec<Fate> {
        let id = match area {
            m1::Area::Meta => {
                let copies = medium.meta.iter().zip(&self.meta).filter(|(cell, _)| cell.dirty());
                return copies.map(|(cell, left)| fate(cell, left.as_ref())).collect();
            }
            m1::Area::Segment(id) => id,
            m1::Area::Base | m1::Area::Sums => return Vec::new(),
        };
        let there = (medium.segments.get(&id), self.segments.get(&id));
        let (Some(segment), Some((header, groups))) = there else { return Vec::new() };
        let header = segment.header.dirty().then(|| fate(&segment.header, header.as_ref()));
        let groups = segment.groups.iter().map(|(page, cell)| (cell, groups.get(page)));
        let groups = groups.filter(|(cell, _)| cell.dirty()).map(|(cell, left)| fate(cell, left));
        header.into_iter().chain(groups).collect()
    }

    /// The groups of a segment where `self` is what the cache shows and `disk` what the disk has. No barrier would
    /// write any of them.
    pub fn groups_over(&self, disk: &Self, segment: u64) -> BTreeMap<u32, Cell<m1::Group>> {
        let of =
            |shown: &Self| shown.segments.get(&segment).map(|(_, groups)| groups.clone()).unwrap_or_default();
        let (cache, disk) = (of(self), of(disk));
        let cell = |page| {
            let (disk, cache) = (disk.get(page).copied(), cache.get(page).copied());
            (*page, Cell { clean: disk != cache, disk, cache })
        };
        cache.keys().chain(disk.keys()).map(cell).collect()
    }

    /// Why no power cut leaves this of `medium`, if that is so: each thing ends as old, new or garbage.
    pub fn impossible(&self, medium: &Medium) -> Option<String> {
        let entry = self.entry.then_some(());
        if entry != medium.entry.disk && entry != medium.entry.cache {
            return Some(format!("META's entry is {entry:?}, not one of {:?}", medium.entry));
        }
        for (copy, (cell, left)) in medium.meta.iter().zip(&self.meta).enumerate().filter(|_| self.entry) {
            let garbage = left.is_none() && cell.dirty();
            if !garbage && *left != cell.disk && (cell.clean || *left != cell.cache) {
                return Some(format!("META copy {copy} is {left:?}, neither of {cell:?}"));
            }
        }
        for (id, segment) in &medium.segments {
            let there = self.segments.contains_key(id).then_some(());
            if there != segment.entry.disk && there != segment.entry.cache {
                return Some(format!("segment {id}: its entry is {there:?}, not one of {:?}", segment.entry));
            }
            let Some((header, groups)) = self.segments.get(id) else { continue };
            let of = &segment.header;
            let garbage = header.is_none() && of.dirty();
            if !garbage && *header != of.disk && (of.clean || *header != of.cache) {
                return Some(format!("segment {id}: its header is {header:?}, not one of {of:?}"));
            }
            for (page, cell) in segment.groups.iter().filter(|_| *header == segment.header.cache) {
                let left = groups.get(page);
                let may_be = |group: &m1::Group| {
                    let new = cell.cache.map(|new| m1::Group { whole: group.whole, ..new });
                    cell.disk == Some(*group) || (cell.dirty() && new == Some(*group))
                };
                if !left.map_or(cell.disk.is_none(), may_be) {
                    return Some(format!("segment {id} page {page}: {left:?}, not one of {cell:?}"));
                }
            }
        }
        let unknown = self.segments.keys().find(|id| !medium.segments.contains_key(id));
        unknown.map(|id| format!("segment {id} comes from nowhere"))
    }
}

/// How `cell` ended if `left` is on the disk.
fn fate<T: PartialEq>(cell: &Cell<T>, left: Option<&T>) -> Fate {
    match left {
        left if left == cell.cache.as_ref() => Fate::New,
        left if left == cell.disk.as_ref() => Fate::Old,
        _ => Fate::Garbage,
    }
}

fn durable<T: Clone>(value: Option<T>) -> Cell<T> {
    Cell { disk: value.clone(), cache: value, clean: false }
}

/// A META with what M1 leaves out left out.
pub fn meta_of(meta: &Meta) -> m1::Meta {
    let segments = meta.body.segments.iter();
    m1::Meta {
        seq: meta.seq,
        epoch: meta.epoch.0,
        folded: meta.body.folded.0,
        durable: meta.body.durable.0,
        segments: segments.map(|record| (record.id.0, record.cut.map(|cut| cut.lsn.0))).collect(),
    }
}

/// The groups in `pages`, by page; the first of them is page `first` of the segment.
pub fn groups_of(
    pages: &[BlockBytes],
    first: u32,
    ours: impl Fn(&Group) -> bool,
) -> BTreeMap<u32, m1::Group> {
    let mut groups = BTreeMap::new();
    let mut at = first as usize;
    let begin = first as usize;
    while let Some(page) = pages.get(at - begin) {
        let decoded = Group::decode(page).ok().map(|(group, _)| group);
        let Some(group) = decoded.filter(|group| group.page as usize == at && ours(group)) else {
            at += 1;
            continue;
        };
        let payload = pages.get(at - begin + 1..).unwrap_or_default();
        groups.insert(group.page, group_of(&group, payload));
        at += group.pages() as usize;
    }
    groups
}

fn group_of(group: &Group, payload: &[BlockBytes]) -> m1::Group {
    let kind = match group.role {
        Role::Watermark => m1::Kind::Proof,
        Role::Batch { last: true, .. } => m1::Kind::Marker,
        Role::Batch { .. } => m1::Kind::Part,
    };
    let sums = group.changes.iter().filter_map(|change| match change {
        Change::Put { block, sum } => Some((*block, *sum)),
        Change::Trim { .. } | Change::TrimRange { .. } => None,
    });
    let identity = &group.identity;
    let sound = |(at, (block, sum))| {
        let bytes: Option<&BlockBytes> = payload.get(at);
        bytes.is_some_and(|bytes| identity.checksum.sum(identity.store, block, group.lsn, bytes) == sum)
    };
    m1::Group {
        lsn: group.lsn.0,
        stamp: stamp(group),
        kind,
        first: matches!(group.role, Role::Batch { first: true, .. }),
        watermark: group.durable.0,
        pages: group.pages(),
        whole: sums.enumerate().all(sound),
    }
}

/// The same for a commit that recovery wrote again, another one for any other commit.
fn stamp(group: &Group) -> u64 {
    let start = mix(group.lsn.0) ^ mix(group.tag.seq ^ group.size << 20);
    group.changes.iter().fold(start, |all, change| {
        let (kind, block, more) = match change {
            Change::Put { block, sum } => (1, block.0, *sum),
            Change::Trim { block } => (2, block.0, 0),
            Change::TrimRange { from, to } => (3, from.0, to.0),
        };
        mix(all ^ kind ^ block << 8 ^ more.rotate_left(17))
    })
}
