//! What a medium holds: durable bytes, bytes that only the cache holds, and names.
//!
//! The rule: nothing becomes durable except by a barrier that says so. Per page, per file length and per
//! directory entry the state keeps what is durable and, in order, what was asked for since. A file's data
//! can be durable while its entry is not. Cloning is cheap: pages and files are shared.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::fault::{BarrierFailure, Fault};
use super::page::{Content, Page, bytes_of, garbage, hash_of, same_bytes};
use super::random::mix;
use crate::block::{BLOCK_SIZE, SegmentId};
use crate::log::plan::Area;

const PAGE: u64 = BLOCK_SIZE as u64;

/// A medium at one moment.
#[derive(Clone, Debug, Default)]
pub struct DiskState {
    files: BTreeMap<u64, Arc<File>>,
    names: BTreeMap<Area, Name>,
    next_file: u64,
}

/// A directory entry: the file it durably names, and what it was changed to since.
#[derive(Clone, Debug, Default)]
pub(super) struct Name {
    pub(super) durable: Option<u64>,
    pub(super) pending: Vec<Option<u64>>,
}

/// A file: its pages and its length.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) pages: BTreeMap<u64, Cell>,
    pub(super) durable_len: u64,
    pub(super) pending_lens: Vec<u64>,
    fingerprint: OnceLock<u64>,
}

/// A page of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    pub(super) durable: Content,
    /// Unsynced writes, oldest first.
    pub(super) pending: Vec<Content>,
    /// What the cache shows, and believes clean, although the disk holds something else.
    pub(super) clean: Option<Content>,
    /// What was durable before the last barrier that changed it.
    pub(super) before: Content,
}

impl Clone for File {
    fn clone(&self) -> Self {
        Self {
            pages: self.pages.clone(),
            durable_len: self.durable_len,
            pending_lens: self.pending_lens.clone(),
            fingerprint: OnceLock::new(),
        }
    }
}

impl Name {
    pub(super) fn visible(&self) -> Option<u64> {
        self.pending.last().copied().unwrap_or(self.durable)
    }
}

impl Cell {
    fn visible(&self) -> &Content {
        self.pending.last().or(self.clean.as_ref()).unwrap_or(&self.durable)
    }

    /// The newest pending write, if any, becomes durable.
    fn settle(&mut self) {
        if let Some(newest) = self.pending.pop() {
            if !same_bytes(&newest, &self.durable) {
                self.before = std::mem::replace(&mut self.durable, newest);
            }
            self.pending.clear();
            self.clean = None;
        }
    }

    fn spoil(&mut self) {
        if !self.pending.is_empty() {
            self.durable = garbage(0);
        }
        self.mark_clean();
    }

    /// Whoever reads it next reads the disk, not what the cache believed to be there before.
    fn forget(&mut self) {
        if !self.pending.is_empty() {
            (self.pending, self.clean) = (Vec::new(), None);
        }
    }

    fn mark_clean(&mut self) {
        if let Some(newest) = self.pending.pop() {
            self.pending.clear();
            self.clean = Some(newest);
        }
    }
}

impl File {
    pub(super) fn len(&self) -> u64 {
        self.pending_lens.last().copied().unwrap_or(self.durable_len)
    }

    /// Whether a barrier would change anything.
    fn has_pending(&self) -> bool {
        !self.pending_lens.is_empty() || self.pages.values().any(|cell| !cell.pending.is_empty())
    }

    fn settle(&mut self) {
        self.pages.values_mut().for_each(Cell::settle);
        self.settle_len();
    }

    fn settle_len(&mut self) {
        self.durable_len = self.len();
        self.pending_lens.clear();
        let end = self.durable_len.div_ceil(PAGE);
        self.pages.retain(|page, _| *page < end);
    }

    fn grow_to(&mut self, len: u64) {
        if len > self.len() {
            self.pending_lens.push(len);
        }
    }

    /// Changes when anything does that a reader, a barrier or a crash could tell.
    fn fingerprint(&self) -> u64 {
        *self.fingerprint.get_or_init(|| {
            let mut all = mix(self.durable_len);
            for len in &self.pending_lens {
                all = mix(all ^ len.rotate_left(7));
            }
            self.pages.iter().fold(all, |all, (page, cell)| all ^ cell.fingerprint(*page))
        })
    }
}

impl Cell {
    fn fingerprint(&self, page: u64) -> u64 {
        if self.pending.is_empty() && self.clean.is_none() && self.durable.is_none() {
            return 0;
        }
        let mut all = mix(page.wrapping_add(1)) ^ hash_of(&self.durable);
        for pending in &self.pending {
            all = mix(all).wrapping_add(hash_of(pending));
        }
        if let Some(clean) = &self.clean {
            all = mix(all ^ 0x55).wrapping_add(hash_of(clean));
        }
        mix(all)
    }
}

impl DiskState {
    pub(super) fn names(&self) -> &BTreeMap<Area, Name> {
        &self.names
    }

    pub(super) fn file_by_id(&self, id: u64) -> &File {
        &self.files[&id]
    }

    /// The file that `area` names now.
    pub(super) fn file(&self, area: Area) -> Option<&File> {
        self.names.get(&area).and_then(Name::visible).map(|id| self.file_by_id(id))
    }

    pub(super) fn file_mut(&mut self, area: Area) -> Option<&mut File> {
        let id = self.names.get(&area).and_then(Name::visible)?;
        Some(self.file_by_id_mut(id))
    }

    pub(super) fn file_by_id_mut(&mut self, id: u64) -> &mut File {
        let file = Arc::make_mut(self.files.get_mut(&id).expect("names point at files"));
        file.fingerprint = OnceLock::new();
        file
    }

    /// Visible length of `area`, if it exists.
    #[must_use]
    pub fn len(&self, area: Area) -> Option<u64> {
        self.file(area).map(File::len)
    }

    /// The areas that exist, as a reader sees it.
    pub fn areas(&self) -> impl Iterator<Item = Area> + '_ {
        self.names.iter().filter(|(_, name)| name.visible().is_some()).map(|(area, _)| *area)
    }

    /// The areas that exist, or may exist again after a crash.
    #[must_use]
    pub fn known_areas(&self) -> Vec<Area> {
        self.names.keys().copied().collect()
    }

    /// The segments that exist, ascending.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentId> {
        let of = |area| if let Area::Segment(id) = area { Some(id) } else { None };
        self.areas().filter_map(of).collect()
    }

    /// What a reader sees of a page.
    #[must_use]
    pub fn visible(&self, area: Area, page: u64) -> Content {
        let cell = self.file(area).and_then(|file| file.pages.get(&page));
        cell.and_then(|cell| cell.visible().clone())
    }

    /// Every page with an unsynced write, of every area that exists.
    #[must_use]
    pub fn unsynced(&self) -> Vec<(Area, u64)> {
        let pages = |area| self.file(area).into_iter().flat_map(|file| &file.pages);
        let unsynced = |area| {
            pages(area).filter(|(_, cell)| !cell.pending.is_empty()).map(move |(page, _)| (area, *page))
        };
        self.areas().flat_map(unsynced).collect()
    }

    /// What the page held before its last durable write.
    #[must_use]
    pub fn before(&self, area: Area, page: u64) -> Content {
        self.file(area).and_then(|file| file.pages.get(&page)).and_then(|cell| cell.before.clone())
    }

    /// Copies what a reader sees from `offset` on; returns how many bytes there were.
    pub(super) fn read(&self, area: Area, offset: u64, buf: &mut [u8]) -> Option<usize> {
        let file = self.file(area)?;
        let there = file.len().saturating_sub(offset).min(buf.len() as u64) as usize;
        let mut done = 0;
        while done < there {
            let at = offset + done as u64;
            let skip = (at % PAGE) as usize;
            let count = (BLOCK_SIZE - skip).min(there - done);
            let shown = file.pages.get(&(at / PAGE)).map_or(&None, Cell::visible);
            buf[done..done + count].copy_from_slice(&bytes_of(shown)[skip..skip + count]);
            done += count;
        }
        Some(there)
    }

    pub(super) fn create(&mut self, area: Area) {
        let name = self.names.entry(area).or_default();
        if name.visible().is_none() {
            name.pending.push(Some(self.next_file));
            self.files.insert(self.next_file, Arc::new(File::default()));
            self.next_file += 1;
        }
    }

    pub(super) fn remove(&mut self, area: Area) {
        if let Some(name) = self.names.get_mut(&area)
            && name.visible().is_some()
        {
            name.pending.push(None);
        }
    }

    /// Writes `contents` to the pages from `first` on. False when the area does not exist.
    pub(super) fn write(&mut self, area: Area, first: u64, contents: Vec<Content>) -> bool {
        let Some(file) = self.file_mut(area) else { return false };
        let end = first + contents.len() as u64;
        for (page, content) in (first..).zip(contents) {
            file.pages.entry(page).or_default().pending.push(content);
        }
        file.grow_to(end * PAGE);
        true
    }

    /// Writes bytes anywhere, as a file takes them: the rest of a page stays as a reader sees it.
    pub(super) fn write_bytes(&mut self, area: Area, offset: u64, bytes: &[u8]) -> bool {
        let Some(file) = self.file_mut(area) else { return false };
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let skip = (at % PAGE) as usize;
            let count = (BLOCK_SIZE - skip).min(bytes.len() - done);
            let cell = file.pages.entry(at / PAGE).or_default();
            let mut page = *bytes_of(cell.visible());
            page[skip..skip + count].copy_from_slice(&bytes[done..done + count]);
            cell.pending.push(Page::content(&page));
            done += count;
        }
        file.grow_to(offset + bytes.len() as u64);
        true
    }

    /// Sets the length to any byte, as a file takes it: what is cut off is zeros when it grows again.
    pub(super) fn set_len(&mut self, area: Area, bytes: u64) -> bool {
        let Some(file) = self.file_mut(area) else { return false };
        let cut = (bytes % PAGE) as usize;
        if let Some(cell) = file.pages.get_mut(&(bytes / PAGE)).filter(|_| cut > 0) {
            let page = *bytes_of(cell.visible());
            cell.pending.push(Page::content(&page[..cut]));
        }
        self.resize(area, bytes)
    }

    /// Zero-fills from the present end up to page `pages`.
    pub(super) fn reserve(&mut self, area: Area, pages: u64) -> bool {
        let Some(file) = self.file_mut(area) else { return false };
        for page in file.len().div_ceil(PAGE)..pages {
            file.pages.entry(page).or_default().pending.push(None);
        }
        file.grow_to(pages * PAGE);
        true
    }

    pub(super) fn resize(&mut self, area: Area, bytes: u64) -> bool {
        let Some(file) = self.file_mut(area) else { return false };
        let end = bytes.div_ceil(PAGE);
        file.pages.range_mut(end..).for_each(|(_, cell)| cell.pending.push(None));
        if bytes != file.len() {
            file.pending_lens.push(bytes);
        }
        true
    }

    pub(super) fn barrier(&mut self, area: Area) -> bool {
        let Some(file) = self.file(area) else { return false };
        // A barrier with nothing to do leaves the file shared.
        if file.has_pending() {
            self.file_mut(area).expect("just seen").settle();
        }
        true
    }

    pub(super) fn barrier_directory(&mut self) {
        self.names.retain(|_, name| {
            name.durable = name.visible();
            name.pending.clear();
            name.durable.is_some()
        });
        self.forget_unnamed();
    }

    /// What a failed barrier leaves. `survives` decides per page for [`BarrierFailure::ReportsOnce`].
    pub(super) fn barrier_failed(
        &mut self,
        area: Area,
        how: BarrierFailure,
        mut survives: impl FnMut(u64) -> bool,
    ) {
        let Some(file) = self.file_mut(area) else { return };
        match how {
            BarrierFailure::KeepsDirty => return,
            BarrierFailure::Drops => file.pages.values_mut().for_each(Cell::forget),
            BarrierFailure::MarksClean => file.pages.values_mut().for_each(Cell::mark_clean),
            BarrierFailure::Spoils => file.pages.values_mut().for_each(Cell::spoil),
            BarrierFailure::ReportsOnce => {
                for (page, cell) in &mut file.pages {
                    if survives(*page) { cell.settle() } else { cell.mark_clean() }
                }
            }
        }
        file.settle_len();
    }

    /// Edits the durable content of a page that exists. False when there is no such page.
    pub(super) fn edit_durable(
        &mut self,
        area: Area,
        page: u64,
        edit: impl FnOnce(&Cell) -> Content,
    ) -> bool {
        let Some(file) = self.file_mut(area) else { return false };
        if page * PAGE >= file.durable_len {
            return false;
        }
        let cell = file.pages.entry(page).or_default();
        let edited = edit(cell);
        if same_bytes(&edited, &cell.durable) {
            return false;
        }
        cell.durable = edited;
        cell.clean = None;
        true
    }

    /// Changes durable bytes if `fault` is of that sort; whether anything changed.
    pub(super) fn strike(&mut self, fault: Fault) -> bool {
        match fault {
            Fault::Rot { area, byte, flip } => self.edit_durable(area, byte / PAGE, |cell| {
                let mut bytes = *bytes_of(&cell.durable);
                bytes[(byte % PAGE) as usize] ^= flip;
                Page::content(&bytes)
            }),
            Fault::LostWrite { area, page } => self.edit_durable(area, page, |cell| cell.before.clone()),
            Fault::MisdirectedWrite { area, page, to_area, to_page } => {
                let moved = self.visible(area, page);
                self.edit_durable(to_area, to_page, |_| moved)
                    && self.edit_durable(area, page, |cell| cell.before.clone())
            }
            _ => false,
        }
    }

    /// Pages that hold or have reserved space, as a disk-full limit counts them.
    #[must_use]
    pub fn pages_used(&self) -> u64 {
        self.files.values().map(|file| file.pages.len() as u64).sum()
    }

    /// How many of the pages `first..end` of `area` would need new space.
    pub(super) fn pages_needed(&self, area: Area, first: u64, end: u64) -> u64 {
        let there = self.file(area).map_or(0, |file| file.pages.range(first..end).count() as u64);
        end.saturating_sub(first).saturating_sub(there)
    }

    /// Whether a power cut now would lose nothing.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let pages =
            |file: &File| file.pages.values().any(|cell| !cell.pending.is_empty() || cell.clean.is_some());
        self.names.values().all(|name| name.pending.is_empty())
            && !self.files.values().any(|file| !file.pending_lens.is_empty() || pages(file))
    }

    /// Equal for states that no reader, barrier or crash can tell apart.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.names.iter().fold(0, |all: u64, (area, name)| {
            let of = |id: Option<u64>| id.map_or(1, |id| self.files[&id].fingerprint());
            let files = name.pending.iter().fold(of(name.durable), |sum, id| mix(sum).wrapping_add(of(*id)));
            all.wrapping_add(mix(files ^ mix(area_number(*area))))
        })
    }

    /// The state with every name settled as `entry` says, then every page and length as `page` and `len`
    /// say: what is there when power comes back.
    pub(super) fn settled(
        &self,
        entry: impl Fn(Area, &Name) -> Option<u64>,
        len: impl Fn(Area, &File) -> u64,
        page: impl Fn(Area, u64, &Cell) -> Content,
    ) -> Self {
        let mut after = self.clone();
        for (area, name) in &mut after.names {
            *name = Name { durable: entry(*area, name), pending: Vec::new() };
        }
        after.names.retain(|_, name| name.durable.is_some());
        after.forget_unnamed();
        let named: Vec<(Area, u64)> =
            after.names.iter().filter_map(|(area, name)| Some((*area, name.durable?))).collect();
        for (area, id) in named {
            let file = after.file_by_id(id);
            let touched = |cell: &Cell| !cell.pending.is_empty() || cell.clean.is_some();
            if file.pending_lens.is_empty() && !file.pages.values().any(touched) {
                continue;
            }
            let new_len = len(area, file);
            let file = after.file_by_id_mut(id);
            for (number, cell) in file.pages.iter_mut().filter(|(_, cell)| touched(cell)) {
                cell.durable = page(area, *number, cell);
                cell.pending.clear();
                cell.clean = None;
            }
            file.pending_lens = vec![new_len];
            file.settle_len();
        }
        after
    }

    fn forget_unnamed(&mut self) {
        let names = &self.names;
        self.files.retain(|id, _| {
            names.values().any(|name| name.durable == Some(*id) || name.pending.contains(&Some(*id)))
        });
    }
}

/// The pages of `bytes`, a multiple of 4 KiB.
pub(super) fn pages_of(bytes: &Arc<[u8]>) -> Vec<Content> {
    (0..bytes.len() / BLOCK_SIZE).map(|page| Page::within(bytes, page * BLOCK_SIZE)).collect()
}

fn area_number(area: Area) -> u64 {
    match area {
        Area::Meta => 1,
        Area::Base => 2,
        Area::Sums => 3,
        Area::Segment(SegmentId(id)) => id.wrapping_add(16),
    }
}
