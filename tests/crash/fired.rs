//! How often each trouble of the fault menu struck. A suite in which one never did that it is meant to meet has
//! not tried it, and fails.

use datasync::backend::sim::{Cut, DiskState, SimDisk, Tally, Trouble};

use crate::suites::suite;
use crate::violation::{Checked, ensure};

/// What a suite breaks that did not try what it is meant to. No promise of the store's, so nothing is caught by it.
pub const UNTRIED: &str = "untried";

/// Counts by name on the menu, over all runs of a suite.
#[derive(Debug, Default)]
pub struct Fired(pub Tally);

impl Fired {
    /// Books what befell `disk`, and what it was before it crashed.
    pub fn book(&self, disk: &SimDisk) {
        disk.book(&self.0);
    }

    /// Books what a power cut that goes as `cut` says takes of `state`.
    pub fn cut(&self, state: &DiskState, cut: &Cut) {
        state.count_losses(cut, &self.0);
    }

    pub fn add(&self, trouble: Trouble, times: u64) {
        self.0.add(trouble, times);
    }

    /// Fails a suite that has not tried what it is meant to.
    pub fn all_struck(&self, name: &str) -> Checked<()> {
        let suite = suite(name);
        let meant: Vec<Trouble> = suite.meant().collect();
        let never = self.0.never(&meant);
        println!("menu of {name} on {:?}: {:?}", suite.medium, self.0);
        ensure(never.is_empty(), UNTRIED, || format!("{name}: these troubles never struck: {never:?}"))
    }
}
