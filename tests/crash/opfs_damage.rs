//! Damage to the files of a browser, everywhere, one thing at a time: the promises that `damage.rs` holds a disk to.

use datasync::backend::opfs::OpfsStore;
use datasync::backend::sim::{DiskState, Fault, SECTOR, SimBrowser};
use datasync::block::BLOCK_SIZE;
use datasync::error::{Error, ErrorKind};
use datasync::volume::{Options, Volume};

use crate::damage::{Found, faults};
use crate::damaged::{Became, judge, strikes_later};
use crate::invariants::{Checked, Violation, ensure, no_panic, read_state, reads, snapshot};
use crate::opfs::{Run, used};
use crate::reference::History;
use crate::settings::options;

/// Each ends with everything proven durable: witnessed, or cleanly closed.
const WORDS: [&str; 4] = ["daw", "drLCdaw", "LdCsaw", "daLCdz"];

fn open(browser: &SimBrowser, options: Options) -> Result<Volume, Error> {
    let (store, _) = OpfsStore::open_simulated(browser)?;
    Volume::open(store, options)
}

/// I6 no wrong data, I8 no silence.
fn damaged(image: &DiskState, fault: Fault, history: &History, found: &Found) -> Checked<Became> {
    let browser = SimBrowser::from_state(image.clone());
    browser.inject(fault);
    if !strikes_later(fault) && !browser.faults().unfired().is_empty() {
        return Ok(Became::Nothing);
    }
    let before = SimBrowser::from_state(browser.state());
    let opened = open(&browser, options());
    let became = judge(fault, history, opened, || open(&before, options().read_only(true)));
    browser.book(&found.fired.0);
    became
}

/// I7, I8: a sector that cannot be read is told as that, and when it can be read again nothing is gone.
fn unreadable(image: &DiskState, fault: Fault, history: &History, found: &Found) -> Checked<()> {
    let browser = SimBrowser::from_state(image.clone());
    browser.inject(fault);
    let seen = open(&browser, options()).map(|volume| read_state(&snapshot(&volume)?));
    browser.book(&found.fired.0);
    let told = match seen {
        Ok(state) => state?.map(Some),
        Err(error) => Err(error),
    };
    let newest = &history.newest().state;
    ensure(told.as_ref().map_or(true, |state| state.as_ref() == Some(newest)), "I8 no silence", || {
        format!("a read error made {told:?} of {newest:?}")
    })?;
    let kind = told.err().map(|error| error.kind());
    ensure(matches!(kind, None | Some(ErrorKind::Io)), "I7 no false alarm", || {
        format!("a read error is told as {kind:?}")
    })?;
    let after = SimBrowser::from_state(browser.state());
    let again = open(&after, options()).and_then(|volume| volume.snapshot());
    let state = again.map(|view| read_state(&view)).map_err(|error| {
        Violation::new("I7 no false alarm", format!("when the sector can be read again: {error}"))
    })??;
    ensure(state.is_ok_and(|state| state == *newest), "I2 durability", || {
        "a read error has taken something".to_owned()
    })
}

/// I7: whichever page an open store reads wrong once, it reads again.
fn wrong_once(run: &Run, found: &Found) -> Checked<()> {
    let image = run.browser.state();
    let (volume, _) = run.open.as_ref().expect("open");
    for area in image.areas() {
        for page in 0..image.len(area).unwrap_or(0).div_ceil(BLOCK_SIZE as u64) {
            run.browser.inject(Fault::GarbledRead { area, page });
            let state = reads(read_state(&snapshot(volume)?)?)?;
            ensure(state == run.history.newest().state, "I6 no wrong data", || {
                format!("page {page} of {area} was wrong once: {state:?}")
            })?;
        }
    }
    run.browser.book(&found.fired.0);
    Ok(())
}

/// Damages every store in every way, or in every `step`-th.
pub fn run(step: usize) -> Checked<Found> {
    let mut found = Found::default();
    for word in WORDS {
        let mut run = used(word)?;
        wrong_once(&run, &found)?;
        run.open = None;
        run.history.acknowledge_all(0);
        let image = run.browser.crash().state();
        for fault in faults(&image).into_iter().step_by(step) {
            let context = |violation: Violation| violation.at(format!("{word} with {fault}"));
            let became = no_panic(|| damaged(&image, fault, &run.history, &found)).map_err(context)?;
            found.count(became);
        }
        for area in image.areas() {
            let sectors = image.len(area).unwrap_or(0).div_ceil(SECTOR as u64);
            for (sector, lasting) in
                (0..sectors).step_by(step).flat_map(|sector| [(sector, false), (sector, true)])
            {
                let fault = Fault::Unreadable { area, sector, lasting };
                no_panic(|| unreadable(&image, fault, &run.history, &found))
                    .map_err(|violation| violation.at(format!("{word} with {fault}")))?;
            }
        }
    }
    Ok(found)
}

#[test]
fn damage_to_the_files_of_a_browser_is_reported_and_never_returned() {
    let tried = run(1).and_then(|found| {
        println!("opfs damage: {found:?}");
        assert!(found.reported > 100, "hardly anything was noticed: {found:?}");
        found.fired.all_struck("opfs damage")
    });
    tried.unwrap_or_else(|violation| panic!("{violation}"));
}
