//! A store bound to a backend: what one opens.
//!
//! This is where time, threads and locks come in. The rule kept here: a caller is told "durable" only after
//! [`Store::acknowledge`](crate::store::Store::acknowledge), and nobody is shown a commit before that
//! except the writer that builds on it.
//!
//! Locks are taken in this order, never the other way: writer slot, fold, barrier, `io`, gate, `store`, and
//! `log_failed` alone.

mod barrier;
mod blocking;
mod compact;
#[cfg_attr(all(target_family = "wasm", target_os = "unknown"), path = "host_web.rs")]
mod host;
mod options;
pub mod report;
mod snapshot;
mod storage;
mod sync;
mod verify;
mod writer;

pub use crate::store::Outcome;
pub use crate::store::stats::{BlockMetadata, Damage, OpenKind, RecoveryReport, Stats, VerifyReport};
pub use barrier::Pending;
pub use blocking::Volume;
pub use options::Options;
pub use snapshot::Snapshot;
pub use storage::{BlockStorage, Blocks};
pub use writer::{Receipt, Writer};
