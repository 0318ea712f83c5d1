//! Every interleaving, within a bound on preemptions, of the volume's own code: group commit, a pin against the
//! removal of segments, the poison latch.
//!
//! `DATASYNC_LOOM_PREEMPTIONS=n` looks further; the default takes seconds. Each promise prints how many
//! schedules it was held to, and each has a deliberate bug that the same search must find. A broken promise
//! is noted and not a panic: a thread that unwinds under the scheduler takes the whole process with it.

mod common;

/// What the shared part takes from the scheduler.
mod schedule {
    pub use loom::sync::Mutex;
}

use std::sync::{Arc, Mutex};

use common::{Counter, Medium, Verdict, commit, options, stamp};
use datasync::backend::memory::Memory;
use datasync::block::{BLOCK_SIZE, BlockNo, Durability};
use datasync::error::ErrorKind;
use datasync::planted::{Bug, plant};
use datasync::volume::{OpenKind, Volume};
use loom::thread;

/// Two threads at work on a volume. What breaks a promise goes to the verdict.
type Scene = fn(&Memory, &Verdict);

/// Plays `scene` under every schedule with at most so many preemptions; how many there were.
fn every_schedule(scene: Scene) -> Result<usize, String> {
    let asked = std::env::var("DATASYNC_LOOM_PREEMPTIONS").ok();
    let (count, verdict, bytes) = (Arc::new(Counter::default()), Verdict::default(), medium());
    let (counted, noted) = (Arc::clone(&count), verdict.clone());
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(asked.map_or(3, |text| text.parse().expect("a number")));
    builder.max_branches = 100_000;
    builder.check(move || {
        counted.add();
        scene(&bytes, &noted);
    });
    verdict.read().map(|()| count.get())
}

/// The bytes of a store in which block 0 was written by commits 1 and 2, all of it in the log.
fn prepared() -> Memory {
    let bytes = Memory::new();
    let volume = Volume::open(bytes.clone(), options()).unwrap();
    commit(&volume, 0, 1).unwrap();
    commit(&volume, 0, 2).unwrap();
    bytes
}

/// A prepared store, made inside of a schedule: the volume's locks exist nowhere else.
fn medium() -> Memory {
    let slot = Arc::new(Mutex::new(None));
    let filled = Arc::clone(&slot);
    loom::model(move || *filled.lock().unwrap() = Some(prepared()));
    slot.lock().unwrap().take().expect("one schedule has run")
}

fn opened(bytes: &Memory) -> (Medium, Volume) {
    let medium = Medium::new(bytes.copy());
    let volume = Volume::open(medium.clone(), options()).unwrap();
    (medium, volume)
}

/// Two writers at once: whoever is told "durable" is covered by a barrier that began after his bytes were written.
fn group_commit(bytes: &Memory, verdict: &Verdict) {
    let (medium, volume) = opened(bytes);
    let writer = |block: u64| {
        let (medium, volume, verdict) = (medium.clone(), volume.clone(), verdict.clone());
        move || {
            let lsn = match commit(&volume, block, 7) {
                Ok(lsn) => lsn,
                Err(error) => return verdict.hold(false, || format!("nothing was wrong, yet {error}")),
            };
            let durable = medium.durable();
            verdict.hold(durable >= lsn, || format!("{lsn} acknowledged, {durable} durable"));
            verdict.hold(volume.visible_lsn() >= lsn, || format!("{lsn} acknowledged and not visible"));
        }
    };
    let other = thread::spawn(writer(0));
    writer(1)();
    other.join().unwrap();
    verdict.hold(volume.visible_lsn() == volume.committed_lsn(), || "the last commit is not visible".into());
}

/// A reader while the segment it reads from is folded and removed.
fn pinned_read(bytes: &Memory, verdict: &Verdict) {
    let (_, volume) = opened(bytes);
    let reader = {
        let (volume, verdict) = (volume.clone(), verdict.clone());
        thread::spawn(move || {
            let snapshot = volume.snapshot().unwrap();
            let mut block = [0; BLOCK_SIZE];
            let read = snapshot.read(BlockNo(0), &mut block);
            let read = read.map_err(|error| error.kind());
            verdict.hold(read.is_ok(), || format!("a pinned read: {read:?}"));
            let (found, lsn) = (stamp(&block), snapshot.lsn());
            verdict.hold(found.is_some_and(|stamp| u64::from(stamp) == lsn.0), || {
                format!("a view of commit {lsn} shows {found:?}")
            });
        })
    };
    let folded = commit(&volume, 0, 3).and_then(|_| volume.compact());
    verdict.hold(folded.is_ok(), || format!("the fold: {folded:?}"));
    reader.join().unwrap();
    verdict.hold(volume.damage().is_empty(), || format!("{:?}", volume.damage()));
}

/// Two writers while the first barrier fails: nobody is told "durable" afterwards, and what was read before is
/// still read.
fn poison_latch(bytes: &Memory, verdict: &Verdict) {
    let (medium, volume) = opened(bytes);
    let ready = commit(&volume, 2, 7);
    verdict.hold(ready.is_ok(), || format!("{ready:?}"));
    medium.fail_barrier(1);
    let writer = |block: u64| {
        let (medium, volume, verdict) = (medium.clone(), volume.clone(), verdict.clone());
        move || match commit(&volume, block, 7) {
            Ok(lsn) => {
                let durable = medium.durable();
                verdict.hold(durable >= lsn, || format!("{lsn} acknowledged after a failed barrier"));
            }
            Err(error) => {
                let honest = matches!(error.kind(), ErrorKind::Indeterminate(_) | ErrorKind::Poisoned);
                verdict.hold(honest, || format!("{:?}: {error}", error.kind()));
            }
        }
    };
    let other = thread::spawn(writer(0));
    writer(1)();
    other.join().unwrap();
    let next = volume.begin().map(drop).map_err(|error| error.kind());
    verdict.hold(next == Err(ErrorKind::Poisoned), || format!("a writer may begin: {next:?}"));
    let mut block = [0; BLOCK_SIZE];
    let read = volume.snapshot().and_then(|snapshot| snapshot.read(BlockNo(0), &mut block));
    let kept = read.is_ok() && stamp(&block) == Some(2);
    verdict.hold(kept, || format!("what was acknowledged is not read: {read:?}, {:?}", stamp(&block)));
}

/// A segment is sealed while the barrier of a commit on it fails: what that failure has taken is not durable
/// because the seal's own barrier, right behind it, went well.
fn failure_reported_once(bytes: &Memory, verdict: &Verdict) {
    let (medium, volume) = opened(bytes);
    let ready = commit(&volume, 2, 7);
    verdict.hold(ready.is_ok(), || format!("{ready:?}"));
    medium.fail_barrier(1);
    let writer = {
        let volume = volume.clone();
        thread::spawn(move || drop(commit(&volume, 0, 7)))
    };
    drop(volume.rotate());
    writer.join().unwrap();
    let (said, durable) = (volume.durable_lsn(), medium.durable());
    verdict.hold(said <= durable, || format!("{said} is called durable, {durable} is"));
}

/// Background work while the volume is closed: what was closed stays closed.
fn tended_close(bytes: &Memory, verdict: &Verdict) {
    let (medium, volume) = opened(bytes);
    let ready = commit(&volume, 2, 7);
    verdict.hold(ready.is_ok(), || format!("{ready:?}"));
    let tender = {
        let volume = volume.clone();
        thread::spawn(move || while let Ok(true) = volume.tend(true) {})
    };
    let closed = volume.close();
    verdict.hold(closed.is_ok(), || format!("{closed:?}"));
    let kept = medium.copy();
    tender.join().unwrap();
    verdict.hold(medium.copy().used() == kept.used(), || "something was written after the end".into());
    let again = Volume::open(kept, options()).map(|volume| volume.recovery().kind);
    verdict.hold(matches!(again, Ok(OpenKind::Clean)), || format!("closed, and found {again:?}"));
}

/// A close that fails beside background work: the medium belongs to the next opening once it was given back.
fn failed_close(bytes: &Memory, verdict: &Verdict, fails: fn(&Medium), wanted: ErrorKind) {
    let (medium, volume) = opened(bytes);
    let ready = volume.rotate().and_then(|()| commit(&volume, 2, 7));
    verdict.hold(ready.is_ok(), || format!("{ready:?}"));
    fails(&medium);
    let tender = {
        let volume = volume.clone();
        thread::spawn(move || while let Ok(true) = volume.tend(true) {})
    };
    let closed = volume.close().map_err(|error| error.kind());
    let told = match closed {
        Err(ErrorKind::Indeterminate(_) | ErrorKind::Poisoned) => wanted == ErrorKind::Io,
        closed => closed == Err(wanted),
    };
    verdict.hold(told, || format!("a close that fails: {closed:?}"));
    tender.join().unwrap();
    verdict.hold(!medium.is_late(), || "the medium was used after it had been given back".into());
}

fn broken_close(bytes: &Memory, verdict: &Verdict) {
    failed_close(bytes, verdict, |medium| medium.fail_barrier(1), ErrorKind::Io);
}

fn full_close(bytes: &Memory, verdict: &Verdict) {
    failed_close(bytes, verdict, Medium::fill, ErrorKind::Full);
}

/// A barrier for what an earlier segment holds while that segment is folded and removed.
fn folded_sync(bytes: &Memory, verdict: &Verdict) {
    let (_, volume) = opened(bytes);
    let applied = volume.begin().and_then(|mut writer| {
        writer.write(BlockNo(1), &[7; BLOCK_SIZE])?;
        writer.commit(Durability::Applied)
    });
    verdict.hold(applied.is_ok(), || format!("{applied:?}"));
    let syncer = {
        let (volume, verdict) = (volume.clone(), verdict.clone());
        thread::spawn(move || {
            let synced = volume.sync();
            verdict.hold(synced.is_ok(), || format!("nothing was wrong, yet {synced:?}"));
        })
    };
    let folded = volume.compact();
    verdict.hold(folded.is_ok(), || format!("the fold: {folded:?}"));
    syncer.join().unwrap();
}

#[track_caller]
fn holds(name: &str, scene: Scene) {
    match every_schedule(scene) {
        Ok(schedules) => {
            println!("{name}: {schedules} schedules");
            assert!(schedules > 30, "only {schedules} schedules: nothing was interleaved");
        }
        Err(broken) => panic!("{name}: {broken}"),
    }
}

/// One line that `cargo xtask planted` reads: the bug, then suite, milliseconds and what was broken.
#[track_caller]
fn finds(bug: Bug, scene: Scene) {
    let begun = std::time::Instant::now();
    plant(Some(bug));
    let outcome = every_schedule(scene);
    plant(None);
    match outcome {
        Err(broken) => println!("planted {bug:?}: loom, {} ms, {broken}", begun.elapsed().as_millis()),
        Ok(schedules) => panic!("planted {bug:?}: NOBODY in {schedules} schedules"),
    }
}

/// The scene that a bug between threads breaks.
fn scene_of(bug: Bug) -> Scene {
    match bug {
        Bug::ForgetFailedBarrier => failure_reported_once,
        Bug::FailFoldedBarrier => folded_sync,
        Bug::RemoveBesideRead => pinned_read,
        Bug::ReleaseBesideFold => broken_close,
        Bug::WorkBehindClose => tended_close,
        _ => group_commit,
    }
}

#[test]
fn a_barrier_acknowledges_only_what_it_covers() {
    holds("group commit", group_commit);
}

#[test]
fn a_pinned_read_survives_the_removal_of_its_segment() {
    holds("pin against removal", pinned_read);
}

#[test]
fn a_failed_barrier_poisons_for_everybody() {
    holds("poison latch", poison_latch);
}

#[test]
fn a_failure_that_is_reported_once_is_remembered() {
    holds("failure reported once", failure_reported_once);
}

#[test]
fn what_was_closed_stays_closed() {
    holds("background work beside close", tended_close);
}

#[test]
fn nothing_reaches_a_medium_that_a_failed_close_has_given_back() {
    holds("background work beside a close that breaks", broken_close);
    holds("background work beside a close that is full", full_close);
}

#[test]
fn a_barrier_for_a_segment_that_is_folded_meanwhile_is_no_failure() {
    holds("sync beside a fold", folded_sync);
}

#[test]
fn the_search_finds_what_is_planted() {
    finds(Bug::AcknowledgeEarly, group_commit);
    finds(Bug::SkipCommitBarrier, group_commit);
    finds(Bug::AcknowledgeEarly, poison_latch);
    finds(Bug::FoldIgnoresPins, pinned_read);
    finds(Bug::ForgetPinnedVersions, pinned_read);
    finds(Bug::WorkBehindClose, full_close);
    Bug::THREADS.iter().for_each(|bug| finds(*bug, scene_of(*bug)));
}
