//! Two barriers beside each other, of which the first fails.
//!
//! The schedule is forced: while the failing barrier of a commit is still inside of the medium, another thread
//! seals the segment. `tests/concurrency/loom.rs` found it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use datasync::backend::Backend;
use datasync::block::SegmentId;
use datasync::error::Error;
use datasync::planted::{plant, planted_here};

use super::*;

/// A disk on which somebody seals the log while its first barrier of a segment, once armed, is failing.
struct Crossed {
    disk: SimDisk,
    volume: OnceLock<Volume>,
    armed: Mutex<bool>,
    /// Says that the second barrier has been passed on to the disk.
    second: Sender<()>,
    seen: Mutex<Receiver<()>>,
    sealer: Mutex<Option<JoinHandle<Result<(), Error>>>>,
}

impl Crossed {
    fn barrier(&self, op: &Op) -> Result<(), Error> {
        if !std::mem::take(&mut *self.armed.lock().expect("unpoisoned")) {
            let done = self.disk.apply(op);
            // Nobody listens outside of the one schedule that matters.
            let _ = self.second.send(());
            return done;
        }
        let failed = self.disk.apply(op);
        let (volume, bug) = (self.volume.get().expect("set at once").clone(), planted_here());
        let sealer = std::thread::spawn(move || {
            plant(bug);
            volume.rotate()
        });
        *self.sealer.lock().expect("unpoisoned") = Some(sealer);
        // A store that lets nobody run a barrier beside a failing one is waited for in vain.
        let _ = self.seen.lock().expect("unpoisoned").recv_timeout(Duration::from_millis(100));
        failed
    }
}

struct Handle(&'static Crossed);

impl Source for Handle {
    fn read(&self, area: Area, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        self.0.disk.read(area, offset, buf)
    }

    fn len(&self, area: Area) -> Result<Option<u64>, Error> {
        self.0.disk.len(area)
    }

    fn segments(&self) -> Result<Vec<SegmentId>, Error> {
        self.0.disk.segments()
    }
}

impl Backend for Handle {
    fn apply(&self, op: &Op) -> Result<(), Error> {
        match op {
            Op::Barrier(Area::Segment(_)) => self.0.barrier(op),
            _ => self.0.disk.apply(op),
        }
    }

    fn name(&self) -> String {
        self.0.disk.name()
    }
}

/// What a failed barrier took is not durable because another barrier, right behind it, went well.
pub fn reported_once() -> Checked<()> {
    let (second, seen) = channel();
    // Volume and medium know each other; the few hundred bytes stay until the process ends.
    let crossed: &'static Crossed = Box::leak(Box::new(Crossed {
        disk: SimDisk::new(3),
        volume: OnceLock::new(),
        armed: Mutex::new(false),
        second,
        seen: Mutex::new(seen),
        sealer: Mutex::new(None),
    }));
    let volume = crate::invariants::opens(Volume::open(Handle(crossed), options()))?;
    let commit = |stamp: u64| {
        let mut writer = volume.begin()?;
        writer.write(BlockNo(0), &fill(0, stamp))?;
        writer.commit(Durability::Durable)
    };
    let acknowledged = commit(1).map_err(|error| unexpected(&error))?.commit;
    assert!(crossed.volume.set(volume.clone()).is_ok(), "set once");
    let how = BarrierFailure::MarksClean;
    crossed.disk.inject(Fault::FailBarrier { nth: 1, how, kind: ErrorKind::Io });
    while crossed.seen.lock().expect("unpoisoned").try_recv().is_ok() {}
    *crossed.armed.lock().expect("unpoisoned") = true;
    let second = commit(2).map_err(|error| error.kind());
    let sealer = crossed.sealer.lock().expect("unpoisoned").take().expect("the barrier was reached");
    let sealed = sealer.join().expect("no panic");
    let ErrorKind::Indeterminate(id) = second.expect_err("the barrier failed") else {
        return Err(Violation::new("I15 one outcome", "a failed barrier is not called indeterminate"));
    };
    ensure(sealed.is_err(), "I2 durability", || "a seal went well on a log whose barrier has failed".into())?;
    ensure(volume.durable_lsn() == acknowledged.lsn, "I2 durability", || {
        format!("{} is called durable, its barrier failed", volume.durable_lsn())
    })?;
    ensure(volume.outcome_of(id) == Outcome::Unknown, "I15 one outcome", || {
        format!("{id} is called {:?} before the store was opened again", volume.outcome_of(id))
    })
}
