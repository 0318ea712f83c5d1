//! Random schedules of a writer, two readers and a compactor on one volume: longer lives than `loom` can list.
//!
//! `DATASYNC_SHUTTLE_SCHEDULES=n` runs more of them. The schedules are drawn from a fixed seed, half of them
//! evenly, half by a scheduler that changes its mind rarely, which finds what takes few preemptions.

mod common;

/// What the shared part takes from the scheduler.
mod schedule {
    pub use shuttle::sync::Mutex;
}

use std::sync::Arc;

use common::{Counter, Medium, Verdict, commit, options, stamp};
use datasync::backend::memory::Memory;
use datasync::block::{BLOCK_SIZE, BlockNo, Durability};
use datasync::error::{Error, ErrorKind};
use datasync::planted::{Bug, plant};
use datasync::volume::{Snapshot, Volume};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::thread;

const COMMITS: u8 = 4;

/// Plays the scene under many schedules; how many.
fn many_schedules(seed: u64, scene: fn(&Verdict)) -> Result<usize, String> {
    let asked = std::env::var("DATASYNC_SHUTTLE_SCHEDULES").ok();
    let number = asked.map_or(2000, |text| text.parse().expect("a number"));
    let (count, verdict) = (Arc::new(Counter::default()), Verdict::default());
    let schedulers: [Box<dyn Scheduler + Send>; 2] = [
        Box::new(RandomScheduler::new_from_seed(seed, number / 2)),
        Box::new(PctScheduler::new_from_seed(seed, 3, number / 2)),
    ];
    for scheduler in schedulers {
        let (counted, noted) = (Arc::clone(&count), verdict.clone());
        shuttle::Runner::new(scheduler, shuttle::Config::new()).run(move || {
            counted.add();
            scene(&noted);
        });
    }
    verdict.read().map(|()| count.get())
}

/// Nothing goes wrong.
fn healthy(verdict: &Verdict) {
    play(verdict, None);
}

/// A barrier fails somewhere in the middle.
fn failing(verdict: &Verdict) {
    let nth = shuttle::rand::Rng::gen_range(&mut shuttle::rand::thread_rng(), 1..8);
    play(verdict, Some(nth));
}

/// Commit n puts the stamp n into two blocks, so a reader can tell a half commit and a wrong one.
fn play(verdict: &Verdict, fails_at: Option<u64>) {
    let medium = Medium::new(Memory::new());
    let volume = Volume::open(medium.clone(), options()).unwrap();
    if let Some(nth) = fails_at {
        medium.fail_barrier(nth);
    }
    let note = move |what: Result<(), Error>, verdict: &Verdict| {
        let honest = |error: &Error| {
            matches!(error.kind(), ErrorKind::Poisoned | ErrorKind::Indeterminate(_) | ErrorKind::Io)
        };
        let fine = what.as_ref().map_or_else(|error| fails_at.is_some() && honest(error), |()| true);
        verdict.hold(fine, || format!("barrier {fails_at:?} fails, and then {what:?}"));
    };
    let compactor = {
        let (volume, verdict) = (volume.clone(), verdict.clone());
        thread::spawn(move || {
            for _ in 0..2 {
                note(volume.rotate().and_then(|()| volume.compact()), &verdict);
            }
        })
    };
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (volume, verdict) = (volume.clone(), verdict.clone());
            thread::spawn(move || {
                let mut newest = 0;
                for _ in 0..3 {
                    let snapshot = volume.snapshot().unwrap();
                    verdict.hold(snapshot.lsn().0 >= newest, || "a reader went back in time".into());
                    newest = snapshot.lsn().0;
                    look(&snapshot, &verdict);
                }
            })
        })
        .collect();
    for stamp in 1..=COMMITS {
        note(write(&volume, &medium, stamp, verdict), verdict);
    }
    compactor.join().unwrap();
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    verdict.hold(volume.damage().is_empty(), || format!("{:?}", volume.damage()));
    note(volume.close(), verdict);
}

fn write(volume: &Volume, medium: &Medium, stamp: u8, verdict: &Verdict) -> Result<(), Error> {
    if stamp == COMMITS {
        commit(volume, 2, stamp)?;
    }
    let mut writer = volume.begin()?;
    writer.write(BlockNo(0), &[stamp; BLOCK_SIZE])?;
    writer.write(BlockNo(1), &[stamp; BLOCK_SIZE])?;
    let lsn = writer.commit(Durability::Durable)?.commit.lsn;
    let durable = medium.durable();
    verdict.hold(durable >= lsn, || format!("{lsn} acknowledged, {durable} durable"));
    Ok(())
}

/// What a view shows is one commit, whole.
fn look(snapshot: &Snapshot, verdict: &Verdict) {
    let lsn = snapshot.lsn().0;
    for block in [0, 1] {
        let mut bytes = [0; BLOCK_SIZE];
        let read = snapshot.read(BlockNo(block), &mut bytes);
        verdict.hold(read.is_ok(), || format!("block {block} at {lsn}: {read:?}"));
        let wanted = if lsn > u64::from(COMMITS) { COMMITS } else { lsn.min(u64::from(COMMITS) - 1) as u8 };
        verdict.hold(stamp(&bytes) == Some(wanted), || {
            format!("block {block} at {lsn} shows {:?}, not {wanted}", stamp(&bytes))
        });
    }
}

#[test]
fn readers_see_whole_commits_while_segments_come_and_go() {
    match many_schedules(1, healthy) {
        Ok(schedules) => println!("writer, two readers, compactor: {schedules} schedules"),
        Err(broken) => panic!("{broken}"),
    }
}

#[test]
fn a_failed_barrier_takes_nothing_from_the_readers() {
    match many_schedules(2, failing) {
        Ok(schedules) => println!("the same with a failing barrier: {schedules} schedules"),
        Err(broken) => panic!("{broken}"),
    }
}

#[test]
fn the_search_finds_what_is_planted() {
    let bugs =
        [Bug::FoldIgnoresPins, Bug::ForgetPinnedVersions, Bug::AcknowledgeEarly, Bug::SkipCommitBarrier];
    for bug in bugs {
        plant(Some(bug));
        let outcome = many_schedules(1, healthy);
        plant(None);
        println!("planted {bug:?}: {outcome:?}");
        assert!(outcome.is_err(), "{bug:?} escaped");
    }
}
