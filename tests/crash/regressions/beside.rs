//! Two things beside each other, the schedule forced by the medium.
//!
//! Two barriers, of which the first fails: while it is still inside of the medium, another thread seals the
//! segment (`tests/concurrency/loom.rs` found it). A read that a fold overtakes, and one beside an append. A fold of
//! what a seal has not proven yet.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use datasync::backend::Backend;
use datasync::block::SegmentId;
use datasync::error::Error;
use datasync::planted::{plant, planted_here};

use super::*;

/// A disk beside whose ops and reads something happens.
trait Watched: Send + Sync {
    fn disk(&self) -> &SimDisk;

    fn apply(&self, op: &Op) -> Result<(), Error> {
        self.disk().apply(op)
    }

    /// Called before each read.
    fn reads(&self, _: Area) {}
}

/// Volume and medium know each other; the few hundred bytes stay until the process ends.
struct Handle<W: 'static>(&'static W);

impl<W: Watched> Source for Handle<W> {
    fn read(&self, area: Area, offset: u64, buf: &mut [u8]) -> Result<usize, Error> {
        self.0.reads(area);
        self.0.disk().read(area, offset, buf)
    }

    fn len(&self, area: Area) -> Result<Option<u64>, Error> {
        self.0.disk().len(area)
    }

    fn segments(&self) -> Result<Vec<SegmentId>, Error> {
        self.0.disk().segments()
    }
}

impl<W: Watched> Backend for Handle<W> {
    fn apply(&self, op: &Op) -> Result<(), Error> {
        self.0.apply(op)
    }

    fn name(&self) -> String {
        self.0.disk().name()
    }
}

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

impl Watched for Crossed {
    fn disk(&self) -> &SimDisk {
        &self.disk
    }

    fn apply(&self, op: &Op) -> Result<(), Error> {
        match op {
            Op::Barrier(Area::Segment(_)) => self.barrier(op),
            _ => self.disk.apply(op),
        }
    }
}

/// What a failed barrier took is not durable because another barrier, right behind it, went well.
pub fn reported_once() -> Checked<()> {
    let (second, seen) = channel();
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

/// A disk on which, once armed, a read of the base waits until somebody has folded over what it reads.
struct Overtaken {
    disk: SimDisk,
    volume: OnceLock<Volume>,
    armed: Mutex<bool>,
    /// Says that the base has been written.
    folded: Sender<()>,
    seen: Mutex<Receiver<()>>,
    folder: Mutex<Option<JoinHandle<Result<(), Error>>>>,
}

impl Overtaken {
    /// Somebody needs room, expires the view that is in the way, and folds.
    fn overtake(&self) {
        let (volume, bug) = (self.volume.get().expect("set at once").clone(), planted_here());
        let folder = std::thread::spawn(move || {
            plant(bug);
            volume.begin().map(drop)
        });
        *self.folder.lock().expect("unpoisoned") = Some(folder);
        let _ = self.seen.lock().expect("unpoisoned").recv_timeout(Duration::from_secs(5));
    }
}

impl Watched for Overtaken {
    fn disk(&self) -> &SimDisk {
        &self.disk
    }

    fn apply(&self, op: &Op) -> Result<(), Error> {
        let done = self.disk.apply(op);
        if matches!(op, Op::Barrier(Area::Base)) {
            let _ = self.folded.send(());
        }
        done
    }

    fn reads(&self, area: Area) {
        if area == Area::Base && std::mem::take(&mut *self.armed.lock().expect("unpoisoned")) {
            self.overtake();
        }
    }
}

/// A view that is expired in the middle of a read says so, and the store does not call it damage.
pub fn overtaken_read() -> Checked<()> {
    let (folded, seen) = channel();
    let slow: &'static Overtaken = Box::leak(Box::new(Overtaken {
        disk: SimDisk::new(3),
        volume: OnceLock::new(),
        armed: Mutex::new(false),
        folded,
        seen: Mutex::new(seen),
        folder: Mutex::new(None),
    }));
    let volume = crate::invariants::opens(Volume::open(Handle(slow), options()))?;
    assert!(slow.volume.set(volume.clone()).is_ok(), "set once");
    let commit = |blocks: u64, stamp: u64| {
        let mut writer = volume.begin()?;
        (0..blocks).try_for_each(|block| writer.write(BlockNo(block), &fill(block, stamp)))?;
        writer.commit(Durability::Durable)
    };
    commit(1, 1).and_then(|_| volume.compact()).map_err(|error| unexpected(&error))?;
    let view = snapshot(&volume)?;
    commit(200, 2).map_err(|error| unexpected(&error))?;
    while slow.seen.lock().expect("unpoisoned").try_recv().is_ok() {}
    *slow.armed.lock().expect("unpoisoned") = true;
    let told = view.read(BlockNo(0), &mut [0; BLOCK_SIZE]).map_err(|error| error.kind());
    let folder = slow.folder.lock().expect("unpoisoned").take().expect("the base was read");
    folder.join().expect("no panic").map_err(|error| unexpected(&error))?;
    ensure(told == Err(ErrorKind::Expired), "I14 snapshots", || format!("an expired view says {told:?}"))?;
    ensure(volume.damage().is_empty(), "I7 no false alarm", || format!("{:?}", volume.damage()))
}

/// A disk on which somebody reads everything before each write into the log is passed on.
struct Early {
    disk: SimDisk,
    volume: OnceLock<Volume>,
    read: Mutex<Vec<State>>,
}

impl Watched for Early {
    fn disk(&self) -> &SimDisk {
        &self.disk
    }

    fn apply(&self, op: &Op) -> Result<(), Error> {
        if let (Op::Write { area: Area::Segment(_), .. }, Some(volume)) = (op, self.volume.get()) {
            let state = volume.snapshot().map(|view| read_state(&view));
            let state = state.expect("open").map_err(|violation| panic!("{violation}"))?.expect("readable");
            self.read.lock().expect("unpoisoned").push(state);
        }
        self.disk.apply(op)
    }
}

/// A commit that waits for nothing is visible at once: who reads it before its bytes are on the medium gets them.
pub fn read_under_way() -> Checked<()> {
    let early: &'static Early = Box::leak(Box::new(Early {
        disk: SimDisk::new(3),
        volume: OnceLock::new(),
        read: Mutex::new(Vec::new()),
    }));
    let volume = crate::invariants::opens(Volume::open(Handle(early), options()))?;
    assert!(early.volume.set(volume.clone()).is_ok(), "set once");
    for stamp in 1..4 {
        let mut writer = volume.begin().map_err(|error| unexpected(&error))?;
        for block in 0..BLOCKS {
            writer.write(BlockNo(block), &fill(block, stamp)).map_err(|error| unexpected(&error))?;
        }
        writer.commit(Durability::Applied).map_err(|error| unexpected(&error))?;
        let seen = early.read.lock().expect("unpoisoned").pop();
        let now = reads(read_state(&snapshot(&volume)?)?)?;
        ensure(seen.as_ref() == Some(&now), "I6 no wrong data", || format!("{seen:?} was read of {now:?}"))?;
    }
    Ok(())
}

/// A disk on which, once armed, somebody folds before a seal has proven what it sealed; then the power is cut.
struct Hasty {
    disk: SimDisk,
    volume: OnceLock<Volume>,
    armed: Mutex<bool>,
    left: Mutex<Option<DiskState>>,
}

impl Hasty {
    /// Into the base and no further: META is published by who seals.
    fn fold(&self) {
        let (volume, bug) = (self.volume.get().expect("set at once").clone(), planted_here());
        let folder = std::thread::spawn(move || {
            plant(bug);
            (0..4).try_for_each(|_| volume.compact_step().map(drop))
        });
        folder.join().expect("no panic").expect("a healthy disk");
        *self.left.lock().expect("unpoisoned") = Some(self.disk.state().after(&Cut::default()));
    }
}

impl Watched for Hasty {
    fn disk(&self) -> &SimDisk {
        &self.disk
    }

    fn apply(&self, op: &Op) -> Result<(), Error> {
        // The header of the segment whose META is the proof.
        let proof = matches!(op, Op::Write { area: Area::Segment(_), offset: 0, .. });
        if proof && std::mem::take(&mut *self.armed.lock().expect("unpoisoned")) {
            self.fold();
        }
        self.disk.apply(op)
    }
}

/// What a recovery on a full disk has to give up has not been folded: what was there before still is.
pub fn folded_early() -> Checked<()> {
    let hasty: &'static Hasty = Box::leak(Box::new(Hasty {
        disk: SimDisk::new(3),
        volume: OnceLock::new(),
        armed: Mutex::new(false),
        left: Mutex::new(None),
    }));
    let options = options().segment_bytes(64 * PAGE).log_cap_bytes(256 * PAGE);
    let volume = crate::invariants::opens(Volume::open(Handle(hasty), options.clone()))?;
    assert!(hasty.volume.set(volume.clone()).is_ok(), "set once");
    let commit = |block: u64, stamp: u64, durability| {
        let mut writer = volume.begin()?;
        writer.write(BlockNo(block), &fill(block, stamp))?;
        writer.commit(durability).map(drop)
    };
    let work = || -> Result<(), Error> {
        (0..2).try_for_each(|block| commit(block, 1, Durability::Durable))?;
        volume.compact()?;
        (2..12).try_for_each(|stamp| commit(0, stamp, Durability::Applied))?;
        commit(1, 12, Durability::Applied)?;
        *hasty.armed.lock().expect("unpoisoned") = true;
        volume.rotate()
    };
    work().map_err(|error| unexpected(&error))?;
    let left = hasty.left.lock().expect("unpoisoned").take().expect("the proof was written");
    let disk = SimDisk::from_state(left, 1);
    disk.set_free_pages(Some(0));
    let again = crate::invariants::opens(Volume::open(disk, options))?;
    assert!(again.recovery().given_up_commits > 0, "the reserve held all of it");
    let mut bytes = [0; BLOCK_SIZE];
    let read = snapshot(&again)?.read(BlockNo(1), &mut bytes);
    ensure(read.is_ok() && bytes == fill(1, 1), "I2 durability", || {
        format!("what was durable before the commits that were given up is gone: {read:?}")
    })
}
