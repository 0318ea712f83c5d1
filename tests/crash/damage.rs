//! Rot, lost, misdirected and stale bytes, everywhere, one at a time: reported or harmless, never returned as
//! data and never a silent step back.

use datasync::backend::sim::{DiskState, Fault, SimDisk};
use datasync::block::BLOCK_SIZE;
use datasync::log::plan::Area;

use crate::damaged::{Became, one};
use crate::fired::Fired;
use crate::invariants::{Checked, no_panic};
use crate::workload::{Run, Word, parse, unexpected};

const PAGE: u64 = BLOCK_SIZE as u64;

/// Each ends with everything proven durable: witnessed, or cleanly closed.
pub const WORDS: [&str; 5] =
    ["d0.a1.w0", "d01.r.d0.C.w0", "L.C.d0.C.s1.w0", "d01.d0.C.td.z", "a0.k.d01.t0.r.a1.w0"];

/// What became of the damage.
#[derive(Debug, Default)]
pub struct Found {
    pub fired: Fired,
    pub injected: u64,
    pub reported: u64,
    pub harmless: u64,
}

impl Found {
    pub fn count(&mut self, became: Became) {
        self.injected += u64::from(became != Became::Nothing);
        self.reported += u64::from(became == Became::Reported);
        self.harmless += u64::from(became == Became::Harmless);
    }
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
            let became = no_panic(|| one(&image, fault, &run.history, &found.fired))
                .map_err(|violation| violation.at(format!("{} with {fault}", Word(&letters))))?;
            found.count(became);
        }
    }
    Ok(found)
}

/// Damage of every sort, everywhere.
pub fn faults(image: &DiskState) -> Vec<Fault> {
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

#[test]
fn damage_to_proven_data_is_reported_and_never_returned() {
    let tried = run(&WORDS, 1).and_then(|found| {
        println!("damage: {found:?}");
        assert!(found.reported > 100, "hardly anything was noticed: {found:?}");
        found.fired.all_struck("damage")
    });
    tried.unwrap_or_else(|violation| panic!("{violation}"));
}
