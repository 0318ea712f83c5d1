//! Rot, lost, misdirected and stale bytes, everywhere, one at a time: reported or harmless, never returned as
//! data and never a silent step back.

use datasync::backend::sim::{DiskState, Fault, SimDisk};
use datasync::block::BLOCK_SIZE;
use datasync::error::Error;
use datasync::log::plan::Area;
use datasync::volume::Volume;

use crate::invariants::{Checked, ensure, no_panic, read_state, reported, snapshot};
use crate::reference::{History, State};
use crate::settings::options;
use crate::workload::{Run, Word, parse, unexpected};

const PAGE: u64 = BLOCK_SIZE as u64;

/// Each ends with everything proven durable: witnessed, or cleanly closed.
pub const WORDS: [&str; 5] =
    ["d0.a1.w0", "d01.r.d0.C.w0", "L.C.d0.C.s1.w0", "d01.d0.C.td.z", "a0.k.d01.t0.r.a1.w0"];

/// What became of the damage.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    pub injected: u64,
    pub reported: u64,
    pub harmless: u64,
}

/// Damages every page of every word's store in every way. `every` thins it out.
pub fn run(words: &[&str], every: usize) -> Checked<Found> {
    let mut found = Found::default();
    for word in words {
        let letters = parse(word);
        let mut run = Run::start(SimDisk::new(9))?;
        for letter in &letters {
            run.step(*letter)?.map_err(|error| unexpected(&error))?;
        }
        run.die();
        let image = run.disk.state();
        for fault in faults(&image).into_iter().step_by(every) {
            no_panic(|| one(&image, fault, &run.history, &mut found))
                .map_err(|violation| violation.at(format!("{} with {fault}", Word(&letters))))?;
        }
    }
    Ok(found)
}

fn faults(image: &DiskState) -> Vec<Fault> {
    let mut faults = Vec::new();
    let areas: Vec<(Area, u64)> =
        image.areas().map(|area| (area, image.len(area).unwrap_or(0).div_ceil(PAGE))).collect();
    for (area, pages) in &areas {
        let area = *area;
        for page in 0..*pages {
            for byte in [0, 9, 70, 200, 2048, 4000, 4095] {
                faults.push(Fault::Rot { area, byte: page * PAGE + byte, flip: 1 << (byte % 8) });
            }
            faults.push(Fault::LostWrite { area, page });
            faults.push(Fault::StaleRead { area, page });
            let (to_area, to_pages) = areas[(page as usize + 1) % areas.len()];
            for (to_area, to_page) in [(area, (page + 1) % pages), (to_area, page % to_pages.max(1))] {
                // One stroke that takes a commit and the only proof of it: the window that remains.
                let witness = area == to_area && Some(to_page) == last_used(image, area, *pages);
                if !witness {
                    faults.push(Fault::MisdirectedWrite { area, page, to_area, to_page });
                }
            }
        }
    }
    faults
}

/// The last page of a segment that holds anything.
fn last_used(image: &DiskState, area: Area, pages: u64) -> Option<u64> {
    let log = matches!(area, Area::Segment(_));
    (0..pages).rfind(|page| log && image.visible(area, *page).is_some())
}

fn one(image: &DiskState, fault: Fault, history: &History, found: &mut Found) -> Checked<()> {
    let disk = SimDisk::from_state(image.clone(), 9);
    disk.inject(fault);
    let struck_later = matches!(fault, Fault::StaleRead { .. });
    if !struck_later && !disk.faults().unfired().is_empty() {
        return Ok(());
    }
    found.injected += 1;
    let wanted = &history.newest().state;
    let before = SimDisk::from_state(disk.state(), 9);
    let errors = match Volume::open(disk.clone(), options()) {
        Ok(volume) => seen(&volume, wanted)?,
        Err(error) => {
            read_only(&before, history)?;
            vec![error]
        }
    };
    if errors.is_empty() {
        found.harmless += 1;
        return Ok(());
    }
    found.reported += 1;
    reported(&format!("damage {fault}"), &errors)
}

/// What an opened store says: nothing, and the newest state; or errors.
fn seen(volume: &Volume, wanted: &State) -> Checked<Vec<Error>> {
    let mut errors = Vec::new();
    match read_state(&snapshot(volume)?)? {
        Ok(state) => ensure(state == *wanted, "I8 no silence", || {
            format!("shows {state:?} without a word; {wanted:?} was acknowledged and proven")
        })?,
        Err(error) => errors.push(error),
    }
    Ok(errors)
}

/// Opened for reading only, a damaged store serves a prefix and says what is damaged, or refuses.
fn read_only(disk: &SimDisk, history: &History) -> Checked<()> {
    let Ok(volume) = Volume::open(disk.clone(), options().read_only(true)) else { return Ok(()) };
    let Ok(state) = read_state(&snapshot(&volume)?)? else { return Ok(()) };
    let newest = state == history.newest().state;
    ensure(newest || !volume.recovery().damage.is_empty(), "I8 no silence", || {
        format!("read-only shows {state:?} and lists no damage")
    })
}

#[test]
fn damage_to_proven_data_is_reported_and_never_returned() {
    match run(&WORDS, 1) {
        Ok(found) => {
            println!("damage: {found:?}");
            assert!(found.reported > 100, "hardly anything was noticed: {found:?}");
        }
        Err(violation) => panic!("{violation}"),
    }
}
