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
    if !strikes_later(fault) && !disk.faults().unfired().is_empty() {
        return Ok(Became::Nothing);
    }
    let before = SimDisk::from_state(disk.state(), 9);
    let opened = Volume::open(disk.clone(), options());
    judge(fault, history, opened, || Volume::open(before, options().read_only(true)))
}

/// Whether `fault` waits for a read.
pub fn strikes_later(fault: Fault) -> bool {
    matches!(fault, Fault::StaleRead { .. } | Fault::GarbledRead { .. } | Fault::Unreadable { .. })
}

/// What became of `fault` in a store that was `opened`, or refused to be and then opened for reading only.
pub fn judge(
    fault: Fault,
    history: &History,
    opened: Result<Volume, Error>,
    read_only: impl FnOnce() -> Result<Volume, Error>,
) -> Checked<Became> {
    let errors = match opened {
        Ok(volume) => seen(&volume, &history.newest().state)?,
        Err(error) => {
            serves(read_only(), history)?;
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
fn serves(opened: Result<Volume, Error>, history: &History) -> Checked<()> {
    let Ok(volume) = opened else { return Ok(()) };
    let Ok(state) = read_state(&snapshot(&volume)?)? else { return Ok(()) };
    let newest = state == history.newest().state;
    ensure(newest || !volume.recovery().damage.is_empty(), "I8 no silence", || {
        format!("read-only shows {state:?} and lists no damage")
    })
}
