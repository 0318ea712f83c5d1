//! The proof that the suites can fail: every deliberate bug of the registry is switched on in turn, and some
//! suite must break. A bug that none catches fails this test by name.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use datasync::backend::sim::Bounds;
use datasync::planted::{Bug, plant};

use crate::exhaustive::{self, BEGINNINGS, Limits};
use crate::invariants::{Checked, Violation, no_panic};
use crate::workload::parse;
use crate::{damage, lives, nth_fails, regressions, settings};

/// The suites in their fast versions, by name.
const SUITES: [(&str, fn(Bug) -> Checked<()>); 6] = [
    ("regressions", named),
    ("exhaustive", exhaustive),
    ("damage", rot),
    ("crash in recovery", recovery),
    ("nth call fails", nth),
    ("lives", some_lives),
];

fn named(_: Bug) -> Checked<()> {
    regressions::ALL
        .iter()
        .try_for_each(|(name, run)| no_panic(run).map_err(|violation| violation.at(name)))?;
    regressions::attack::ALL.iter().try_for_each(|attack| {
        no_panic(|| {
            attack();
            Ok(())
        })
    })
}

fn limits(bug: Bug, depth: usize, double_depth: usize) -> Limits {
    Limits {
        depth,
        double_depth,
        double_later: 0,
        beginnings: BEGINNINGS.iter().map(|word| (parse(word), 1)).collect(),
        bounds: Bounds { product: 81, drawn: 8, seed: 1 },
        bounds_inside: Bounds { product: 27, drawn: 2, seed: 1 },
        threads: 1,
        bug: Some(bug),
        deadline: None,
    }
}

fn exhaustive(bug: Bug) -> Checked<()> {
    exhaustive::run(&limits(bug, 1, 0)).map(drop)
}

fn recovery(bug: Bug) -> Checked<()> {
    exhaustive::run(&Limits { beginnings: Vec::new(), ..limits(bug, 1, 1) }).map(drop)
}

fn rot(_: Bug) -> Checked<()> {
    damage::run(&damage::WORDS, 3).map(drop)
}

fn nth(_: Bug) -> Checked<()> {
    nth_fails::run(&nth_fails::WORDS, 5).map(drop)
}

fn some_lives(_: Bug) -> Checked<()> {
    let fates = lives::Fates::default();
    (1..=40).try_for_each(|seed| no_panic(|| lives::live(seed, lives::STEPS, &fates)))
}

/// What a bug ran into.
struct Caught {
    bug: Bug,
    by: Option<(&'static str, Violation)>,
    seconds: f64,
}

fn hunt(bug: Bug) -> Caught {
    let begun = Instant::now();
    plant(Some(bug));
    let found = SUITES
        .iter()
        .find_map(|(name, suite)| no_panic(|| suite(bug)).err().map(|violation| (*name, violation)));
    plant(None);
    Caught { bug, by: found, seconds: begun.elapsed().as_secs_f64() }
}

#[test]
fn every_planted_bug_is_caught() {
    let next = AtomicUsize::new(0);
    let all = Mutex::new(Vec::new());
    let only = std::env::var("DATASYNC_HUNT").ok();
    std::thread::scope(|scope| {
        for _ in 0..settings::threads() {
            scope.spawn(|| {
                while let Some(bug) = Bug::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if only.as_ref().is_none_or(|name| format!("{bug:?}") == *name) {
                        let caught = hunt(*bug);
                        let by = caught.by.as_ref().map_or("NOBODY", |(suite, _)| suite);
                        println!("planted {bug:?}: caught by {by} in {:.2} s", caught.seconds);
                        all.lock().expect("unpoisoned").push(caught);
                    }
                }
            });
        }
    });
    let mut all = all.into_inner().expect("unpoisoned");
    all.sort_by_key(|caught| caught.bug as usize);
    if only.is_some() {
        println!("{:?}", all[0].by);
    }
    let slowest = all.iter().map(|caught| caught.seconds).fold(0.0, f64::max);
    println!("planted: {} bugs, the slowest took {slowest:.1} s", all.len());
    let escaped: Vec<Bug> =
        all.iter().filter(|caught| caught.by.is_none()).map(|caught| caught.bug).collect();
    assert!(escaped.is_empty(), "no suite notices {escaped:?}");
}
