//! `base.db`: on the medium, with a bounded part of it in memory.
//!
//! What a read sees is the medium's extent with everything queued since laid over it. Must not know: how an
//! extent is fetched. The rule it keeps: a queued change leaves memory only once the medium has it *and* no
//! fetch that began before is under way.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use super::layout::{Patch, Slice, VALUE_BYTES, VALUE_PAGES, extent_of};
use crate::backend::rules::PAGE;
use crate::block::BLOCK_SIZE;
use crate::planted::{Bug, planted};

/// Most extents that one prefetch asks for: 960 KiB.
const WINDOW_MAX: u64 = 16;

/// Extents that have to be fetched before a read can go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing(pub Range<u64>);

/// The base as one life of the queue sees it.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) len: Option<u64>,
    /// Extents in memory, with everything queued applied.
    cache: BTreeMap<u64, Cached>,
    /// Everything is in memory: what is not there is zeros.
    resident: bool,
    /// Bytes of the cache at most.
    limit: usize,
    held: usize,
    clock: u64,
    /// What is queued, by extent, with the number of the last transaction that has a part in it.
    overlay: BTreeMap<u64, (Patch, u64)>,
    /// Cuts that are queued: what the medium has from this extent on is no longer there, until that transaction.
    cuts: VecDeque<(u64, u64)>,
    /// The last transaction that is complete.
    complete: u64,
    /// Fetches under way.
    fetches: u32,
    /// The extent behind the last fetch, and how many that fetch asked for.
    scan: (u64, u64),
}

#[derive(Debug)]
struct Cached {
    bytes: Vec<u8>,
    used: u64,
    /// The last transaction that changes it.
    changed: u64,
}

impl Base {
    /// A base of which nothing is in memory. `limit` bounds the cache in bytes.
    pub(super) fn new(resident: bool, limit: usize) -> Self {
        Self {
            len: None,
            cache: BTreeMap::new(),
            resident,
            limit: limit.max(4 * VALUE_BYTES),
            held: 0,
            clock: 0,
            overlay: BTreeMap::new(),
            cuts: VecDeque::new(),
            complete: 0,
            fetches: 0,
            scan: (0, 0),
        }
    }

    pub(super) fn is_resident(&self) -> bool {
        self.resident
    }

    /// Fills `buf` from byte `offset`; fewer bytes only at the end, and none if something has to be fetched.
    pub(super) fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize, Missing> {
        let there = self.len.unwrap_or(0).saturating_sub(offset).min(buf.len() as u64);
        let there = usize::try_from(there).expect("at most the length of a buffer");
        let mut done = 0;
        while done < there {
            let (extent, from) = extent_of(offset + done as u64);
            let n = (there - done).min(VALUE_BYTES - from);
            self.read_in(extent, from, &mut buf[done..done + n])?;
            done += n;
        }
        Ok(there)
    }

    fn read_in(&mut self, extent: u64, from: usize, out: &mut [u8]) -> Result<(), Missing> {
        self.clock += 1;
        if let Some(cached) = self.cache.get_mut(&extent) {
            cached.used = self.clock;
            copy(&cached.bytes, from, out);
            return Ok(());
        }
        if self.resident || self.is_cut(extent) {
            let value = self.overlay.get(&extent).map(|(patch, _)| patch.lay_over(&[]));
            copy(&value.unwrap_or_default(), from, out);
            return Ok(());
        }
        let queued = self.overlay.get(&extent).and_then(|(patch, _)| patch.block(from / BLOCK_SIZE));
        let inside = from % BLOCK_SIZE + out.len() <= BLOCK_SIZE;
        match queued {
            Some(block) if inside => copy(block.map_or(&[], |block| &block[..]), from % BLOCK_SIZE, out),
            _ => return Err(self.miss(extent)),
        }
        Ok(())
    }

    /// What to fetch for the sake of `extent`: twice as much each time if the fetches follow each other.
    fn miss(&mut self, extent: u64) -> Missing {
        let (next, window) = self.scan;
        let window = if extent == next { (window * 2).clamp(1, WINDOW_MAX) } else { 1 };
        let window = window.min((self.limit / VALUE_BYTES / 2) as u64).max(1);
        let end = self.len.unwrap_or(0).div_ceil(VALUE_PAGES * PAGE);
        let upto = (extent + window).min(end).max(extent + 1);
        self.scan = (upto, window);
        Missing(extent..upto)
    }

    /// A fetch begins. What is queued stays in memory until it ends.
    pub(super) fn fetch_begins(&mut self) {
        self.fetches += 1;
    }

    /// A fetch has ended, however it ended.
    pub(super) fn fetch_ends(&mut self) {
        self.fetches -= 1;
        self.retire();
    }

    /// Takes what the medium holds as extent `extent`; `None` if it holds nothing.
    pub(super) fn fetched(&mut self, extent: u64, value: Option<&[u8]>) {
        if self.cache.contains_key(&extent) {
            return;
        }
        // A cut has taken what earlier transactions change out of the overlay.
        let cut = self.cut_by(extent);
        let value = if cut.is_some() { &[] } else { value.unwrap_or(&[]) };
        let (bytes, changed) = match self.overlay.get(&extent) {
            Some((patch, last)) => (patch.lay_over(value), *last),
            None => (value.to_vec(), cut.unwrap_or(0)),
        };
        self.hold(extent, bytes, changed);
    }

    /// An extent as transaction `number` leaves it, if memory holds just that.
    pub(super) fn as_of(&self, extent: u64, number: u64) -> Option<&[u8]> {
        let cached = self.cache.get(&extent)?;
        let later = cached.changed > number && !planted(Bug::ExtentOfLater);
        (!later).then_some(&cached.bytes)
    }

    /// A whole number of blocks is written at byte `offset`, in transaction `number`.
    pub(super) fn write(&mut self, number: u64, offset: u64, bytes: &Slice) {
        for (at, extent, place) in blocks_of(offset, bytes.len()) {
            let block = bytes.part(at, BLOCK_SIZE);
            let end = place * BLOCK_SIZE + BLOCK_SIZE;
            if let Some(cached) = self.cache.get_mut(&extent) {
                let before = cached.bytes.len();
                cached.bytes.resize(before.max(end), 0);
                cached.bytes[end - BLOCK_SIZE..end].copy_from_slice(&block);
                cached.changed = number;
                self.held += cached.bytes.len() - before;
            } else if self.resident {
                let mut whole = vec![0; end];
                whole[end - BLOCK_SIZE..].copy_from_slice(&block);
                self.hold(extent, whole, number);
            }
            if !self.resident {
                let there = !self.is_cut(extent);
                let (patch, last) = self.overlay.entry(extent).or_insert((Patch::new(there), number));
                patch.put(place, block);
                *last = number;
            }
        }
    }

    /// The base has `len` bytes now, in transaction `number`; what was behind becomes zeros.
    pub(super) fn cut(&mut self, number: u64, len: u64) {
        let (extent, keep) = extent_of(len);
        let first_gone = if keep == 0 { extent } else { extent + 1 };
        for (_, gone) in self.cache.split_off(&first_gone) {
            self.held -= gone.bytes.len();
        }
        drop(self.overlay.split_off(&first_gone));
        if keep > 0
            && let Some(cached) = self.cache.get_mut(&extent)
        {
            let from = keep.min(cached.bytes.len());
            cached.bytes[from..].fill(0);
            cached.changed = number;
        }
        if self.resident {
            return;
        }
        if keep > 0 {
            let there = !self.is_cut(extent);
            let (patch, last) = self.overlay.entry(extent).or_insert((Patch::new(there), number));
            patch.cut(keep);
            *last = number;
        }
        self.cuts.push_back((first_gone, number));
    }

    /// Transaction `number` is on the medium.
    pub(super) fn complete(&mut self, number: u64) {
        self.complete = self.complete.max(number);
        self.retire();
    }

    fn retire(&mut self) {
        if self.fetches == 0 {
            let complete = self.complete;
            self.overlay.retain(|_, (_, last)| *last > complete);
            while self.cuts.front().is_some_and(|(_, number)| *number <= complete) {
                self.cuts.pop_front();
            }
        }
    }

    /// Leaves out the changes of a transaction that is only on its way: what a planted bug does.
    pub(super) fn started(&mut self, number: u64) {
        if planted(Bug::DropOverlayEarly) {
            self.overlay.retain(|_, (_, last)| *last > number);
        }
    }

    fn is_cut(&self, extent: u64) -> bool {
        self.cut_by(extent).is_some()
    }

    /// The last of the queued transactions that cut this extent off.
    fn cut_by(&self, extent: u64) -> Option<u64> {
        self.cuts.iter().rev().find(|(from, _)| extent >= *from).map(|(_, number)| *number)
    }

    fn hold(&mut self, extent: u64, bytes: Vec<u8>, changed: u64) {
        self.clock += 1;
        self.held += bytes.len();
        let old = self.cache.insert(extent, Cached { bytes, used: self.clock, changed });
        self.held -= old.map_or(0, |old| old.bytes.len());
        while self.held > self.limit && !self.resident {
            let oldest = self.cache.iter().min_by_key(|(_, cached)| cached.used);
            let Some(oldest) = oldest.map(|(extent, _)| *extent) else { return };
            self.held -= self.cache.remove(&oldest).map_or(0, |cached| cached.bytes.len());
        }
    }

    /// Bytes of the cache.
    pub(super) fn held(&self) -> usize {
        self.held
    }
}

/// For each block of a write: where it lies in the written bytes, its extent, its place there.
pub(super) fn blocks_of(offset: u64, len: usize) -> impl Iterator<Item = (usize, u64, usize)> {
    (0..len).step_by(BLOCK_SIZE).map(move |at| {
        let (extent, byte) = extent_of(offset + at as u64);
        (at, extent, byte / BLOCK_SIZE)
    })
}

/// Copies from a value that may be too short; what it lacks is zeros.
fn copy(value: &[u8], from: usize, out: &mut [u8]) {
    let there = value.len().saturating_sub(from).min(out.len());
    out[..there].copy_from_slice(&value[from.min(value.len())..][..there]);
    out[there..].fill(0);
}
