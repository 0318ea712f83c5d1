//! A store whose newest commit is proven durable, and one thing on its medium that went bad: reported or harmless,
//! never returned as data and never a silent step back.

use datasync::backend::sim::{DiskState, Fault, SimDisk};
use datasync::error::Error;
use datasync::volume::Volume;

use crate::fired::Fired;
use crate::invariants::{Checked, ensure, read_state, reported, snapshot};
use crate::reference::{History, State};
use crate::settings::options;

/// What became of the damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Became {
    /// There was nothing to damage.
    Nothing,
    Reported,
    Harmless,
}

/// I6 no wrong data and I8 no silence, for `image` with `fault`; it must hold the newest commit of `history`.
pub fn one(image: &DiskState, fault: Fault, history: &History, fired: &Fired) -> Checked<Became> {
    let disk = SimDisk::from_state(image.clone(), 9);
    disk.inject(fault);
    let became = judged(&disk, fault, history);
    fired.book(&disk);
    became
}

fn judged(disk: &SimDisk, fault: Fault, history: &History) -> Checked<Became> {
    let struck_later = matches!(fault, Fault::StaleRead { .. });
    if !struck_later && !disk.faults().unfired().is_empty() {
        return Ok(Became::Nothing);
    }
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
        return Ok(Became::Harmless);
    }
    reported(&format!("damage {fault}"), &errors).map(|()| Became::Reported)
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
