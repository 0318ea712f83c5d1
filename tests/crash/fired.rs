//! How often each kind of fault struck. A run in which one never struck has not tried it.

use std::collections::BTreeMap;
use std::sync::Mutex;

use datasync::backend::sim::{BarrierFailure, Call, Fault, SimDisk};

/// Counts by kind.
#[derive(Debug, Default)]
pub struct Fired(Mutex<BTreeMap<String, u64>>);

impl Fired {
    /// Books what the faults of `disk` did; they stay behind when the process dies.
    pub fn book(&self, disk: &SimDisk) {
        for (fault, count) in disk.faults().counts().filter(|(_, count)| *count > 0) {
            self.add(&kind_of(fault), count);
        }
    }

    pub fn add(&self, kind: &str, count: u64) {
        *self.0.lock().expect("unpoisoned").entry(kind.to_owned()).or_default() += count;
    }

    /// The kinds that a life can meet and this run never did.
    pub fn never(&self, others: &[&str]) -> Vec<String> {
        let fired = self.0.lock().expect("unpoisoned");
        let kinds = Call::ALL.map(|call| format!("refuse {call:?}")).into_iter();
        let kinds = kinds.chain(BarrierFailure::ALL.map(|how| format!("barrier {how:?}")));
        let kinds = kinds.chain(others.iter().map(|kind| (*kind).to_owned()));
        kinds.filter(|kind| !fired.contains_key(kind)).collect()
    }
}

/// The kind of a fault, without its place and number.
pub fn kind_of(fault: Fault) -> String {
    match fault {
        Fault::Refuse { call, .. } => format!("refuse {call:?}"),
        Fault::FailBarrier { how, .. } => format!("barrier {how:?}"),
        other => format!("{other:?}").split([' ', '{']).next().unwrap_or_default().to_owned(),
    }
}
