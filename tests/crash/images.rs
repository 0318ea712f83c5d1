//! One medium that a crash left, checked from end to end: opened, read, crashed again, written, reopened.

use datasync::backend::sim::{Bounds, Cut, DiskState, SimDisk, mix};
use datasync::volume::Volume;
use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::invariants::{
    Checked, Expected, no_panic, opens, progress, read_state, reads, same_again, snapshot,
};
use crate::reference::Commit;
use crate::settings::options;
use crate::workload::recovered;

/// The stamp of the commit that proves progress.
const AFTERWARDS: u64 = 1 << 40;

/// What was tried so far, so that nothing is tried twice.
#[derive(Default)]
pub struct Tried {
    seen: Vec<Mutex<HashSet<u64>>>,
    states: AtomicU64,
    distinct: AtomicU64,
}

impl Tried {
    pub fn new() -> Self {
        Self { seen: (0..64).map(|_| Mutex::default()).collect(), ..Self::default() }
    }

    /// Whether this is the first time that `image` is seen with these expectations.
    pub fn is_new(&self, image: &DiskState, expected: &Expected<'_>, twice: bool) -> bool {
        self.states.fetch_add(1, Ordering::Relaxed);
        let allowed = expected.commits[expected.least..=expected.most].iter();
        let key =
            allowed.fold(image.fingerprint() ^ u64::from(twice), |key, commit| mix(key ^ number(commit)));
        let mut seen = self.seen[(key % 64) as usize].lock().expect("nobody panics with it");
        let new = seen.insert(key);
        self.distinct.fetch_add(u64::from(new), Ordering::Relaxed);
        new
    }

    pub fn states(&self) -> u64 {
        self.states.load(Ordering::Relaxed)
    }

    pub fn distinct(&self) -> u64 {
        self.distinct.load(Ordering::Relaxed)
    }
}

fn number(commit: &Commit) -> u64 {
    let blocks = commit.state.blocks.iter();
    blocks.fold(mix(commit.state.size ^ commit.seq), |all, (block, stamp)| mix(all ^ block << 48 ^ stamp))
}

/// Opens `image` and checks all that must hold after a crash and nothing worse.
pub fn check(image: &DiskState, expected: &Expected<'_>) -> Checked<()> {
    no_panic(|| {
        let disk = SimDisk::from_state(image.clone(), 1);
        let volume = opens(Volume::open(disk.clone(), options()))?;
        let shown = recovered(&volume, expected)?;
        if !image.is_settled() {
            used_at_once(image, &expected.commits[shown])?;
        }
        drop(volume);
        // Whatever was served must survive a power cut right now, whatever it takes with it.
        let after = disk.crash_process();
        let again = SimDisk::from_state(after.state().after(&Cut::default()), 1);
        let volume =
            opens(Volume::open(again.clone(), options())).map_err(|v| v.at("opened a second time"))?;
        let exactly = Expected { commits: expected.commits, least: shown, most: shown };
        let twice = recovered(&volume, &exactly).map_err(|v| v.at("opened a second time"))?;
        same_again((&expected.commits[shown].state, 0), (&expected.commits[twice].state, 0))?;
        let (state, _) = progress(&volume, &expected.commits[twice].state, AFTERWARDS)?;
        drop(volume);
        let last = again.crash_process();
        let last = SimDisk::from_state(last.state().after(&Cut::default()), 1);
        let volume = opens(Volume::open(last, options())).map_err(|v| v.at("opened a third time"))?;
        let found = reads(read_state(&snapshot(&volume)?)?)?;
        same_again((&state, 0), (&found, 0)).map_err(|v| v.at("after the commit that proved progress"))
    })
}

/// A store that a process crash left, its cache alive, is written to at once, and then the power goes.
fn used_at_once(image: &DiskState, shown: &Commit) -> Checked<()> {
    let now = SimDisk::from_state(image.clone(), 1);
    let next = opens(Volume::open(now.clone(), options()))?;
    let (state, _) = progress(&next, &shown.state, AFTERWARDS)?;
    drop(next);
    let after = SimDisk::from_state(now.crash_process().state().after(&Cut::default()), 1);
    let volume = opens(Volume::open(after, options())).map_err(|v| v.at("used at once, then a power cut"))?;
    let found = reads(read_state(&snapshot(&volume)?)?)?;
    same_again((&state, 0), (&found, 0)).map_err(|v| v.at("used at once, then a power cut"))
}

/// Crashes the recovery of `image` at every op, in every way within `bounds`, and checks each outcome.
pub fn crash_recovery(
    image: &DiskState,
    expected: &Expected<'_>,
    bounds: &Bounds,
    tried: &Tried,
) -> Checked<()> {
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
        let context = |cut: &Cut| {
            let plan: Vec<String> =
                moments[1..].iter().filter_map(|m| Some(m.op.as_ref()?.to_string())).collect();
            format!("recovery crashed after op {at} of [{}]; {cut}", plan.join("; "))
        };
        if tried.is_new(&moment.state, allowed, false) {
            check(&moment.state, allowed)
                .map_err(|v| v.at(context(&Cut::default())).at("process crash only"))?;
        }
        moment.state.each_image(bounds, |cut, image| {
            if tried.is_new(&image, allowed, false) {
                checked = check(&image, allowed).map_err(|v| v.at(context(cut)));
            }
            checked.is_ok()
        });
        checked?;
    }
    Ok(())
}
