//! The crash suites: what was acknowledged is there after any crash, and nothing else is.
//!
//! Every suite drives a volume on the simulated disk and calls the same invariants. Bounds come from the
//! environment (`settings.rs`); a violation prints the workload, the ops, the crash and how to replay it.

#[path = "../../fuzz/src/targets/mod.rs"]
mod targets;

mod abstraction;
mod choices;
mod clock;
mod corpus;
mod cuts;
mod damage;
mod damaged;
mod exhaustive;
mod exported;
mod fired;
mod formats;
mod images;
mod invariants;
mod keys;
mod lives;
mod menu;
mod model;
mod nth_fails;
mod opfs;
mod opfs_damage;
mod planted;
mod progress;
mod queued;
mod reference;
mod regressions;
mod replay;
mod replayed;
mod sectors;
mod settings;
mod shrink;
mod suites;
mod violation;
mod workload;
