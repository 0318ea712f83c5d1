//! A browser's private files behind exclusive handles, that answer as badly as browsers do; and the medium under
//! them, which a power cut treats as it treats any other.
//!
//! What it assumes: a flush that returned made everything written to that file before it durable, and at most one
//! tab has a file's handle. Names have no barrier: they are durable when the system gets to it
//! ([`SimBrowser::settle_names`]). For tests only. Knows nothing of groups, commits or recovery.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Cut;
use super::fault::{BarrierFailure, Fault, Faults};
use super::menu::{Tally, Trouble};
use super::random::{Random, mix};
use super::state::DiskState;
use crate::backend::opfs::{Answer, Refusal, SyncFile};
use crate::log::plan::Area;

/// How a browser misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misdeed {
    /// No call writes or reads more than this many bytes.
    Short(usize),
    /// Writes are answered with zero.
    Nothing,
    /// Writes are answered with more than was asked for.
    Absurd,
    /// Writes are answered with -8 as an unsigned number.
    NoSpaceCount,
    /// Writes are refused with the exception for a used-up quota.
    Quota,
    /// Writes are refused.
    WriteFails,
    /// Reads are refused.
    ReadFails,
    /// Truncating is refused.
    TruncateFails,
    /// Deleting a file is refused.
    RemoveFails,
    /// Flushing is refused: nothing of it was tried.
    FlushFails,
    /// Flushing fails, and this is what becomes of the pages.
    FlushBreaks(BarrierFailure),
    /// Flushing says yes and does nothing.
    FlushLies,
    /// Every call is refused: the browser took the handle back.
    TakenBack,
    /// Every call is refused: the machine is off, so nobody is there to hear it.
    Off,
}

impl Misdeed {
    /// Those that a tab lives to see, for tests that try each in turn.
    pub const ALL: [Self; 17] = [
        Self::Short(1000),
        Self::Nothing,
        Self::Absurd,
        Self::NoSpaceCount,
        Self::Quota,
        Self::WriteFails,
        Self::ReadFails,
        Self::TruncateFails,
        Self::RemoveFails,
        Self::FlushFails,
        Self::FlushBreaks(BarrierFailure::Drops),
        Self::FlushBreaks(BarrierFailure::KeepsDirty),
        Self::FlushBreaks(BarrierFailure::MarksClean),
        Self::FlushBreaks(BarrierFailure::ReportsOnce),
        Self::FlushBreaks(BarrierFailure::Spoils),
        Self::FlushLies,
        Self::TakenBack,
    ];

    fn befalls(self, call: Call) -> bool {
        match self {
            Self::Short(_) => matches!(call, Call::Read | Call::Write),
            Self::Nothing | Self::Absurd | Self::NoSpaceCount | Self::Quota | Self::WriteFails => {
                call == Call::Write
            }
            Self::ReadFails => call == Call::Read,
            Self::TruncateFails => call == Call::Truncate,
            Self::RemoveFails => call == Call::Remove,
            Self::FlushFails | Self::FlushBreaks(_) | Self::FlushLies => call == Call::Flush,
            // Counted by what changes the medium, so that the n-th is a moment of a store's life.
            Self::Off => call != Call::Read,
            Self::TakenBack => call != Call::Remove,
        }
    }

    /// Its name on the menu; of the machine going off, those who know what it was doing count.
    fn trouble(self, call: Call) -> Option<Trouble> {
        match self {
            Self::Short(_) if call == Call::Read => Some(Trouble::ShortRead),
            Self::Short(_) => Some(Trouble::ShortWrite),
            Self::Nothing => Some(Trouble::EmptyWrite),
            Self::Absurd => Some(Trouble::AbsurdCount),
            Self::NoSpaceCount => Some(Trouble::NoSpaceCount),
            Self::Quota => Some(Trouble::QuotaRefused),
            Self::WriteFails => Some(Trouble::RefusedWrite),
            Self::ReadFails => Some(Trouble::RefusedRead),
            Self::TruncateFails => Some(Trouble::RefusedResize),
            Self::RemoveFails => Some(Trouble::RefusedRemove),
            Self::FlushFails => Some(Trouble::RefusedBarrier),
            Self::FlushBreaks(how) => Some(how.into()),
            Self::FlushLies => Some(Trouble::LyingBarrier),
            Self::TakenBack => Some(Trouble::HandleTakenBack),
            Self::Off => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Read,
    Write,
    Truncate,
    Flush,
    Remove,
}

#[derive(Clone, Copy, Debug)]
struct Armed {
    deed: Misdeed,
    nth: u64,
    lasting: bool,
    seen: u64,
    fired: u64,
}

#[derive(Debug, Default)]
struct World {
    state: DiskState,
    taken: BTreeSet<Area>,
    armed: Option<Armed>,
    /// Of bytes, not of calls.
    faults: Faults,
    off: bool,
    tally: Arc<Tally>,
    writes: usize,
    flushes: usize,
}

/// The private files of one origin. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct SimBrowser {
    world: Arc<Mutex<World>>,
}

/// A file behind its handle.
#[derive(Debug)]
pub struct SimFile {
    browser: SimBrowser,
    area: Area,
}

impl SimBrowser {
    /// A browser that has stored nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A browser that finds this on its medium.
    #[must_use]
    pub fn from_state(state: DiskState) -> Self {
        let browser = Self::default();
        browser.lock().state = state;
        browser
    }

    /// The medium as it is now.
    #[must_use]
    pub fn state(&self) -> DiskState {
        self.lock().state.clone()
    }

    /// From its `nth` such call on (1 is the next) the browser does `deed`, once or for good; nothing else any more.
    pub fn misbehave(&self, deed: Misdeed, nth: u64, lasting: bool) {
        self.lock().armed = Some(Armed { deed, nth, lasting, seen: 0, fired: 0 });
    }

    /// Arms a fault of bytes: rot, a lost or misdirected write, a read that fails or returns something else. Those that
    /// change durable bytes do so now. Faults of a disk's calls never strike here.
    pub fn inject(&self, fault: Fault) {
        let World { state, faults, tally, .. } = &mut *self.lock();
        faults.strike(fault, state, tally);
    }

    /// The faults of bytes and how often each struck.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.lock().faults.clone()
    }

    /// The browser behaves again.
    pub fn behave(&self) {
        self.lock().armed = None;
    }

    /// Whether what was armed has struck.
    #[must_use]
    pub fn has_struck(&self) -> bool {
        self.lock().armed.is_some_and(|armed| armed.fired > 0)
    }

    /// The tab or the whole browser dies: whatever still calls gets nowhere. The new one sees what was written.
    #[must_use]
    pub fn crash(&self) -> Self {
        let mut world = self.lock();
        let next = Self::from_state(world.state.clone());
        next.lock().tally = Arc::clone(&world.tally);
        world.off = true;
        world.tally.strike(Trouble::ProcessCrash);
        drop(world);
        next
    }

    /// Power is cut and comes back: one outcome, drawn.
    #[must_use]
    pub fn cut_power(&self, random: &mut Random) -> (Cut, Self) {
        let next = self.crash();
        let before = next.state();
        let (cut, image) = before.draw_image(random);
        before.count_losses(&cut, &next.lock().tally);
        next.lock().state = image;
        (cut, next)
    }

    /// The system wrote back what names there are.
    pub fn settle_names(&self) {
        self.lock().state.barrier_directory();
    }

    /// A file is gone, as after a power cut that took its name, or when somebody cleared the site's data.
    pub fn lose(&self, area: Area) {
        let mut world = self.lock();
        world.state.remove(area);
        world.state.barrier_directory();
        world.tally.strike(Trouble::FileMissing);
    }

    /// Moves what has struck so far into `tally`: each strike is counted once.
    pub fn book(&self, tally: &Tally) {
        tally.take_from(&self.lock().tally);
    }

    /// Writes and flushes so far.
    #[must_use]
    pub fn calls(&self) -> (usize, usize) {
        let world = self.lock();
        (world.writes, world.flushes)
    }

    /// Which files' handles are out.
    #[must_use]
    pub fn taken(&self) -> BTreeSet<Area> {
        self.lock().taken.clone()
    }

    /// Which files there are.
    #[must_use]
    pub fn listed(&self) -> BTreeSet<Area> {
        self.lock().state.areas().collect()
    }

    /// Length of a file in bytes; `None` where there is none.
    #[must_use]
    pub fn len(&self, area: Area) -> Option<u64> {
        self.lock().state.len(area)
    }

    /// Deletes a directory entry.
    ///
    /// # Errors
    /// The browser's refusal.
    pub fn remove(&self, area: Area) -> Answer<()> {
        let mut world = self.lock();
        match world.judge(Call::Remove) {
            Some(deed) => Err(refused(deed)),
            None => {
                world.state.remove(area);
                Ok(())
            }
        }
    }

    /// Takes the handle of a file, which is made where there is none.
    ///
    /// # Errors
    /// The browser's refusal when somebody has the handle.
    pub fn take(&self, area: Area) -> Answer<SimFile> {
        let mut world = self.lock();
        if world.off {
            return Err(refused(Misdeed::Off));
        }
        if !world.taken.insert(area) {
            world.tally.strike(Trouble::HandleHeld);
            return Err(Refusal::new("NoModificationAllowedError", "simulated: somebody has the handle"));
        }
        world.state.create(area);
        drop(world);
        Ok(SimFile { browser: self.clone(), area })
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    /// What the browser does wrong in this call.
    fn judge(&mut self, call: Call) -> Option<Misdeed> {
        if self.off {
            return Some(Misdeed::Off);
        }
        let armed = self.armed.as_mut()?;
        if !armed.deed.befalls(call) {
            return None;
        }
        armed.seen += 1;
        let strikes = armed.seen == armed.nth || (armed.lasting && armed.seen > armed.nth);
        if !strikes {
            return None;
        }
        armed.fired += 1;
        let deed = armed.deed;
        self.off |= deed == Misdeed::Off;
        if let Some(trouble) = deed.trouble(call) {
            self.tally.strike(trouble);
        }
        Some(deed)
    }
}

fn refused(deed: Misdeed) -> Refusal {
    match deed {
        Misdeed::TakenBack | Misdeed::Off => Refusal::new("InvalidStateError", "the handle is closed"),
        Misdeed::Quota => Refusal::new("QuotaExceededError", "no capacity"),
        Misdeed::ReadFails => Refusal::new("NotReadableError", "the disk failed"),
        _ => Refusal::new("UnknownError", "the disk failed"),
    }
}

impl SyncFile for SimFile {
    fn read(&self, buf: &mut [u8], at: u64) -> Answer<f64> {
        let mut world = self.browser.lock();
        let most = match world.judge(Call::Read) {
            Some(Misdeed::Short(most)) => most.min(buf.len()),
            Some(deed) => return Err(refused(deed)),
            None => buf.len(),
        };
        let World { state, faults, tally, .. } = &mut *world;
        let count = state.read(self.area, at, &mut buf[..most]).unwrap_or(0);
        match faults.distort(state, self.area, at, &mut buf[..count], tally) {
            Ok(()) => Ok(count as f64),
            Err(_) => Err(refused(Misdeed::ReadFails)),
        }
    }

    fn write(&self, bytes: &[u8], at: u64) -> Answer<f64> {
        let mut world = self.browser.lock();
        world.writes += 1;
        let n = match world.judge(Call::Write) {
            None => bytes.len(),
            Some(Misdeed::Short(most)) => most.min(bytes.len()),
            Some(Misdeed::NoSpaceCount) => return Ok(4_294_967_288.0),
            Some(Misdeed::Absurd) => return Ok(bytes.len() as f64 + 1.0),
            Some(Misdeed::Nothing) => return Ok(0.0),
            Some(deed) => return Err(refused(deed)),
        };
        // A file that was deleted under its handle takes bytes as if nothing had happened.
        let _ = world.state.write_bytes(self.area, at, &bytes[..n]);
        Ok(n as f64)
    }

    fn truncate(&self, bytes: u64) -> Answer<()> {
        let mut world = self.browser.lock();
        match world.judge(Call::Truncate) {
            Some(deed) => Err(refused(deed)),
            None => {
                let _ = world.state.set_len(self.area, bytes);
                Ok(())
            }
        }
    }

    fn flush(&self) -> Answer<()> {
        let mut world = self.browser.lock();
        world.flushes += 1;
        match world.judge(Call::Flush) {
            Some(Misdeed::FlushLies) => Ok(()),
            Some(deed @ Misdeed::FlushBreaks(how)) => {
                let flushes = world.flushes as u64;
                world
                    .state
                    .barrier_failed(self.area, how, |page| mix(page ^ flushes << 32).is_multiple_of(2));
                Err(refused(deed))
            }
            Some(deed) => Err(refused(deed)),
            None => {
                let _ = world.state.barrier(self.area);
                Ok(())
            }
        }
    }

    fn size(&self) -> Answer<f64> {
        Ok(self.browser.lock().state.len(self.area).unwrap_or(0) as f64)
    }

    fn close(&self) {
        let mut world = self.browser.lock();
        let had = world.taken.remove(&self.area);
        assert!(had || world.off, "{} is closed twice", self.area);
    }
}
