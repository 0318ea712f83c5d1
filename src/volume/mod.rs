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

use std::fmt;

pub use crate::store::Outcome;
pub use crate::store::stats::{BlockMetadata, Damage, OpenKind, RecoveryReport, Stats, VerifyReport};
pub use barrier::Pending;
use blocking::Shared;
pub use blocking::Volume;
pub use options::Options;
pub use snapshot::Snapshot;
pub use storage::{BlockStorage, Blocks};
pub use writer::{Receipt, Writer};

/// Where it is and what it was opened for. Takes no lock, so that it can be printed from anywhere.
impl fmt::Debug for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { backend, options, .. } = &*self.shared;
        let mut fields = f.debug_struct("Volume");
        fields.field("name", &backend.name()).field("read_only", &options.read_only).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, OnceLock};

    use super::*;
    use crate::backend::memory::Memory;
    use crate::block::{BlockNo, Durability};

    #[test]
    fn what_has_locks_inside_can_be_printed_while_they_are_held() {
        let (inside, printed) = (Arc::new(OnceLock::<Volume>::new()), Arc::new(Mutex::new(String::new())));
        let (here, text) = (Arc::clone(&inside), Arc::clone(&printed));
        let memory = Memory::new().named("m".to_owned()).with_hook(move |_| {
            // Closing writes with the store locked.
            here.get().into_iter().for_each(|volume| *text.lock().unwrap() = format!("{volume:?}"));
            Ok(())
        });
        let volume = Volume::open(memory, Options::new().background(false)).unwrap();
        assert!(inside.set(volume.clone()).is_ok());
        let mut blocks = Blocks::new(volume.clone());
        blocks.write_block(BlockNo(0), &[7; 4096]).unwrap();
        let writer = "Writer { view: Lsn(0), size: 4096, is_empty: false, .. }";
        let shown = "Volume { name: \"m\", read_only: false, .. }";
        assert_eq!(format!("{blocks:?}"), format!("Blocks {{ volume: {shown}, writer: Some({writer}) }}"));
        blocks.rollback();
        let mut writer = volume.begin().unwrap();
        writer.write(BlockNo(0), &[8; 4096]).unwrap();
        let pending = writer.append(Durability::Durable).unwrap();
        let commit = format!("{:?}", pending.commit());
        assert_eq!(
            format!("{pending:?}"),
            format!("Pending {{ commit: {commit}, durability: Durable, .. }}")
        );
        pending.wait().unwrap();
        drop(writer);
        let snapshot = volume.snapshot().unwrap();
        assert_eq!(format!("{snapshot:?}"), "Snapshot { lsn: Lsn(1), size: 4096, expired: false, .. }");
        drop(snapshot);
        volume.close().unwrap();
        assert_eq!(*printed.lock().unwrap(), shown);
    }
}
