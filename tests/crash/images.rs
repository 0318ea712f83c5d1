//! One medium that a crash left, checked from end to end: opened, read, crashed again, written, reopened.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use datasync::backend::sim::{Bounds, Cut, DiskState, SimDisk, Trouble, mix};
use datasync::volume::Volume;

use crate::fired::Fired;
use crate::invariants::{
    Checked, Expected, no_panic, opens, progress, read_state, reads, same_again, snapshot,
};
use crate::keys::{Keys, Offered};
use crate::reference::{Commit, State};
use crate::settings::{key_bytes, options};
use crate::workload::recovered;

/// The stamp of the commit that proves progress.
const AFTERWARDS: u64 = 1 << 40;

/// What was tried so far, so that nothing is tried twice.
///
/// Why a check that succeeded need not be run again for the same key: the store under test has no threads, clock
/// or randomness here, so all that a check sees follows from the medium and from what is expected of it, and the
/// key is made of just these ([`key`]). A check that failed ends the run.
pub struct Tried {
    memory: Arc<Memory>,
    /// Keys that a job saw first, where somebody writes them down.
    first: Option<Mutex<Vec<u64>>>,
    states: AtomicU64,
    distinct: AtomicU64,
}

struct Memory {
    /// Media that were checked.
    seen: Keys,
    /// Media that an earlier run has checked and counted.
    counted: Keys,
    /// Media whose recovery was crashed as well.
    inside: Keys,
    /// Media that a recovery or a commit after it left, checked from there to the end.
    further: Keys,
    /// States that a crash inside a recovery left, of those below.
    inside_recovery: AtomicU64,
    states: AtomicU64,
    distinct: AtomicU64,
    /// What struck the states that were checked.
    fired: Fired,
}

impl Tried {
    pub fn new() -> Self {
        let bytes = key_bytes();
        let memory = Memory {
            seen: Keys::within(bytes),
            counted: Keys::within(bytes),
            inside: Keys::within(bytes / 8),
            further: Keys::within(bytes / 2),
            inside_recovery: AtomicU64::new(0),
            states: AtomicU64::new(0),
            distinct: AtomicU64::new(0),
            fired: Fired::default(),
        };
        Self { memory: Arc::new(memory), first: None, states: AtomicU64::new(0), distinct: AtomicU64::new(0) }
    }

    /// The same memory for one job, which counts for itself and keeps the keys it saw first.
    pub fn for_job(&self) -> Self {
        Self {
            memory: Arc::clone(&self.memory),
            first: Some(Mutex::default()),
            states: AtomicU64::new(0),
            distinct: AtomicU64::new(0),
        }
    }

    /// Takes a key that an earlier run has counted. It is checked again when it is met: the code of that run may have
    /// been another.
    pub fn is_counted(&self, key: u64) {
        let room = self.memory.counted.offer(key) != Offered::Forgotten;
        assert!(room, "no room for the keys that are counted: raise DATASYNC_CRASH_KEYS_MIB");
    }

    /// Whether this is the first time that `image` is seen with these expectations.
    pub fn is_new(&self, image: &DiskState, expected: &Expected<'_>) -> bool {
        self.states.fetch_add(1, Ordering::Relaxed);
        self.memory.states.fetch_add(1, Ordering::Relaxed);
        let key = key(image, expected);
        match self.memory.seen.offer(key) {
            Offered::Known => return false,
            Offered::New if self.memory.counted.contains(key) => {}
            Offered::New => {
                self.distinct.fetch_add(1, Ordering::Relaxed);
                self.memory.distinct.fetch_add(1, Ordering::Relaxed);
                if let Some(first) = &self.first {
                    first.lock().expect("nobody panics with it").push(key);
                }
            }
            // Checked, but not counted: it may have been counted before.
            Offered::Forgotten => {}
        }
        true
    }

    /// Whether the recovery of `image` has never been crashed with these expectations. Counts nothing.
    pub fn is_new_inside(&self, image: &DiskState, expected: &Expected<'_>, bounds: &Bounds) -> bool {
        let key = mix(key(image, expected) ^ mix(bounds.product as u64));
        self.memory.inside.offer(key) != Offered::Known
    }

    /// States offered to this job.
    pub fn states(&self) -> u64 {
        self.states.load(Ordering::Relaxed)
    }

    /// Those of them that nobody had seen before.
    pub fn distinct(&self) -> u64 {
        self.distinct.load(Ordering::Relaxed)
    }

    /// The keys that this job saw first; they are taken out.
    pub fn first(&self) -> Vec<u64> {
        let first = self.first.as_ref().map(|first| first.lock().expect("nobody panics with it"));
        first.map_or_else(Vec::new, |mut first| std::mem::take(&mut first))
    }

    /// What struck the states that all jobs of this run have checked.
    pub fn fired(&self) -> &Fired {
        &self.memory.fired
    }

    /// What all jobs of this run have tried so far.
    pub fn totals(&self) -> Totals {
        let Memory { states, distinct, inside_recovery, .. } = &*self.memory;
        Totals {
            states: states.load(Ordering::Relaxed),
            distinct: distinct.load(Ordering::Relaxed),
            inside_recovery: inside_recovery.load(Ordering::Relaxed),
        }
    }
}

/// What was tried.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// States that were offered, however often.
    pub states: u64,
    /// Different ones: pairs of a medium and what is expected of it.
    pub distinct: u64,
    /// Of `states`, those that a crash inside a recovery left.
    pub inside_recovery: u64,
}

/// Everything that the outcome of a check depends on: the medium, as far as a reader, a barrier or a crash can
/// tell; the names of all commits; contents and requests of those that may be the last one.
fn key(image: &DiskState, expected: &Expected<'_>) -> u64 {
    let Expected { commits, least, most } = *expected;
    let mut key = mix(image.fingerprint() ^ mix((least as u64) << 32 | most as u64));
    for commit in commits {
        key = mix(key ^ commit.id.map_or(1, |id| mix(id.epoch.0 << 32 ^ id.lsn.0)));
    }
    commits[least..=most].iter().fold(key, |key, commit| mix(key ^ number(&commit.state, commit.seq)))
}

fn number(state: &State, seq: u64) -> u64 {
    let first = mix(state.size ^ seq << 48);
    state.blocks.iter().fold(first, |all, (block, stamp)| mix(all ^ block << 48 ^ stamp))
}

/// Opens `image` and checks all that must hold after a crash and nothing worse.
pub fn check(image: &DiskState, expected: &Expected<'_>) -> Checked<()> {
    check_once(image, expected, &Tried::new())
}

/// The same, but for what `tried` knows to hold of the media that come after this one.
pub fn check_once(image: &DiskState, expected: &Expected<'_>, tried: &Tried) -> Checked<()> {
    no_panic(|| {
        let disk = SimDisk::from_state(image.clone(), 1);
        let volume = opens(Volume::open(disk.clone(), options()))?;
        let shown = recovered(&volume, expected)?;
        if !image.is_settled() {
            used_at_once(image, &expected.commits[shown], tried)?;
        }
        drop(volume);
        // Whatever was served must survive a power cut right now, whatever it takes with it.
        let again = disk.crash_process().state().after(&Cut::default());
        let exactly = Expected { commits: expected.commits, least: shown, most: shown };
        from_there_on(&again, &exactly, tried)
    })
}

/// What a recovery and a power cut left: it shows the same again, takes a commit, and shows that ever after.
fn from_there_on(image: &DiskState, exactly: &Expected<'_>, tried: &Tried) -> Checked<()> {
    if tried.memory.further.offer(key(image, exactly)) == Offered::Known {
        return Ok(());
    }
    let disk = SimDisk::from_state(image.clone(), 1);
    let volume = opens(Volume::open(disk.clone(), options())).map_err(|v| v.at("opened a second time"))?;
    let twice = recovered(&volume, exactly).map_err(|v| v.at("opened a second time"))?;
    let first = &exactly.commits[exactly.least].state;
    same_again((first, 0), (&exactly.commits[twice].state, 0))?;
    takes_a_commit(disk, volume, first, tried).map_err(|v| v.at("after the commit that proved progress"))
}

/// The store takes a commit, and the next opening shows it, whatever a power cut takes.
fn takes_a_commit(disk: SimDisk, volume: Volume, now: &State, tried: &Tried) -> Checked<()> {
    let (state, _) = progress(&volume, now, AFTERWARDS)?;
    drop(volume);
    let last = disk.crash_process().state().after(&Cut::default());
    // Nothing is asked of what comes now but this state: the key is the medium and the state alone.
    if tried.memory.further.offer(mix(last.fingerprint() ^ number(&state, 0))) == Offered::Known {
        return Ok(());
    }
    let volume = opens(Volume::open(SimDisk::from_state(last, 1), options()))?;
    let found = reads(read_state(&snapshot(&volume)?)?)?;
    same_again((&state, 0), (&found, 0))
}

/// A store that a process crash left, its cache alive, is written to at once, and then the power goes.
fn used_at_once(image: &DiskState, shown: &Commit, tried: &Tried) -> Checked<()> {
    let now = SimDisk::from_state(image.clone(), 1);
    let next = opens(Volume::open(now.clone(), options()))?;
    takes_a_commit(now, next, &shown.state, tried).map_err(|v| v.at("used at once, then a power cut"))
}

/// Crashes the recovery of `image` at every op, in every way within `bounds`, and checks each outcome. Once.
pub fn crash_recovery(
    image: &DiskState,
    expected: &Expected<'_>,
    bounds: &Bounds,
    tried: &Tried,
) -> Checked<()> {
    if !tried.is_new_inside(image, expected, bounds) {
        return Ok(());
    }
    let (moments, shown) = no_panic(|| {
        let disk = SimDisk::from_state(image.clone(), 1);
        disk.start_trace();
        let volume = opens(Volume::open(disk.clone(), options()))?;
        let shown = recovered(&volume, expected)?;
        Ok((disk.take_trace(), shown))
    })?;
    let exactly = Expected { commits: expected.commits, least: shown, most: shown };
    for (at, moment) in moments.iter().enumerate() {
        let allowed = if at + 1 == moments.len() { &exactly } else { expected };
        let mut checked = Ok(());
        let is_new = |image: &DiskState| {
            tried.memory.inside_recovery.fetch_add(1, Ordering::Relaxed);
            tried.is_new(image, allowed)
        };
        let context = |cut: &Cut| {
            let plan: Vec<String> =
                moments[1..].iter().filter_map(|m| Some(m.op.as_ref()?.to_string())).collect();
            format!("recovery crashed after op {at} of [{}]; {cut}", plan.join("; "))
        };
        // An opening that stops before its last op.
        let inside = u64::from(at + 1 < moments.len());
        if is_new(&moment.state) {
            tried.fired().add(Trouble::ProcessCrash, 1);
            tried.fired().add(Trouble::CrashInOpening, inside);
            check_once(&moment.state, allowed, tried)
                .map_err(|v| v.at(context(&Cut::default())).at("process crash only"))?;
        }
        moment.state.each_image(bounds, |cut, image| {
            if is_new(&image) {
                tried.fired().cut(&moment.state, cut);
                tried.fired().add(Trouble::CrashInOpening, inside);
                tried.fired().add(Trouble::CrashAgain, inside);
                checked = check_once(&image, allowed, tried).map_err(|v| v.at(context(cut)));
            }
            checked.is_ok()
        });
        checked?;
    }
    Ok(())
}
