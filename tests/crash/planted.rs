//! The proof that the suites can fail: every deliberate bug in the store and in the queue is switched on in turn,
//! and some suite must break. A bug that none catches fails this test by name. (`tests/sql_crash` does the same
//! for the VFS.)
//!
//! `DATASYNC_HUNT=Name` hunts one bug. `DATASYNC_HUNT_ALL=1` lets every suite try, not only until one succeeds.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use datasync::backend::sim::{Bounds, Random};
use datasync::planted::{Bug, plant};

use crate::exhaustive::{self, Again, BEGINNINGS, Limits};
use crate::fired::{Fired, UNTRIED};
use crate::invariants::{Checked, Violation, no_panic};
use crate::workload::parse;
use crate::{
    damage, formats, lives, model, nth_fails, opfs, opfs_damage, queued, regressions, replayed, settings,
};

type Suite = (&'static str, fn(Option<Bug>) -> Checked<()>);

/// The suites in their fast versions, by name, cheapest first.
const QUICK: [Suite; 10] = [
    ("queue against memory", |bug| of_queue(bug, |_, _| model::run(100))),
    ("queued words", |bug| of_queue(bug, queued_words)),
    ("queued lives", |bug| of_queue(bug, |_, fired| queued::lives(1, 60, 160, fired))),
    ("queued waits", |bug| of_queue(bug, |_, fired| queued::intrusions(fired))),
    ("format", |_| formats::run()),
    ("attacks", |_| {
        [
            regressions::attack::ALL,
            regressions::segments::ALL,
            regressions::spans::ALL,
            regressions::told::ALL,
            regressions::blocks::ALL,
            regressions::reserve::ALL,
            regressions::openings::ALL,
            regressions::wide::ALL,
            regressions::by_hand::ALL,
            regressions::evidence::ALL,
        ]
        .into_iter()
        .try_for_each(all_pass)
    }),
    ("full disk", |_| all_pass(regressions::full::ALL)),
    ("regressions", |_| named()),
    ("damage", rot),
    ("lives", some_lives),
];

/// Those that take three times as long as all of the above.
const THOROUGH: [Suite; 6] = [
    ("exhaustive", exhaustive),
    ("crash in recovery", recovery),
    ("nth call fails", nth),
    ("opfs", browsers),
    ("opfs damage", |_| opfs_damage::run(3).map(drop)),
    ("model replay", replayed::run),
];

/// The bugs of the queue live on a medium of their own.
fn of_queue(bug: Option<Bug>, suite: impl Fn(Bug, &Fired) -> Checked<()>) -> Checked<()> {
    match bug.filter(|bug| Bug::QUEUE.contains(bug)) {
        Some(bug) => suite(bug, &Fired::default()),
        None => Ok(()),
    }
}

fn queued_words(bug: Bug, fired: &Fired) -> Checked<()> {
    queued::once(fired)?;
    queued::exhaustive(1, Some(bug), 1, fired)?;
    queued::exhaustive(2, Some(bug), 1, fired).map(drop)
}

/// Tests that tell what they see by a panic.
fn all_pass(tests: &[fn()]) -> Checked<()> {
    tests.iter().try_for_each(|test| {
        no_panic(|| {
            test();
            Ok(())
        })
    })
}

fn named() -> Checked<()> {
    let mut cheap_first: Vec<_> = regressions::ALL.iter().collect();
    cheap_first.sort_by_key(|(name, _)| regressions::SLOW.contains(name));
    cheap_first
        .iter()
        .try_for_each(|(name, run)| no_panic(run).map_err(|violation| violation.at(format!("named {name}"))))
}

fn limits(bug: Option<Bug>, depth: usize, double_depth: usize) -> Limits {
    let bounds = Bounds { product: 81, pairs: true, drawn: 8, seed: 1 };
    let again = Again { of: bounds, inside: Bounds { product: 27, pairs: true, drawn: 2, seed: 1 } };
    Limits {
        depth,
        double_depth,
        double_later: 0,
        beginnings: BEGINNINGS.iter().map(|word| (parse(word), 1)).collect(),
        bounds,
        again_short: again,
        again_long: again,
        threads: 1,
        bug,
        deadline: None,
    }
}

fn exhaustive(bug: Option<Bug>) -> Checked<()> {
    exhaustive::run(&limits(bug, 1, 0))
}

fn recovery(bug: Option<Bug>) -> Checked<()> {
    exhaustive::run(&Limits { beginnings: Vec::new(), ..limits(bug, 1, 1) })
}

fn rot(_: Option<Bug>) -> Checked<()> {
    damage::run(&damage::WORDS, 3).map(drop)
}

fn nth(_: Option<Bug>) -> Checked<()> {
    nth_fails::run(&nth_fails::WORDS, 5).map(drop)
}

fn browsers(_: Option<Bug>) -> Checked<()> {
    opfs::misbehaving(&opfs::WORDS, 7, &Fired::default()).map(drop)
}

fn some_lives(_: Option<Bug>) -> Checked<()> {
    let fates = lives::Fates::default();
    (1..=40).try_for_each(|seed| no_panic(|| lives::live(&mut Random::new(seed), lives::STEPS, &fates)))
}

/// What a bug ran into: suite, how it showed, milliseconds.
struct Caught {
    bug: Bug,
    by: Vec<(&'static str, Violation, u128)>,
}

fn hunt(bug: Bug, all: bool) -> Caught {
    let mut by = Vec::new();
    for &(name, suite) in QUICK.iter().chain(&THOROUGH) {
        let begun = Instant::now();
        plant(Some(bug));
        let found = no_panic(|| suite(Some(bug)));
        plant(None);
        // A suite that could not try what it is meant to has not seen the bug.
        if let Err(violation) = found
            && violation.invariant != UNTRIED
        {
            by.push((name, violation, begun.elapsed().as_millis()));
            if !all {
                break;
            }
        }
    }
    Caught { bug, by }
}

/// One line that `cargo xtask planted` reads: bug, then suite, milliseconds and promise of each that caught it.
fn report(caught: &Caught) {
    let promise = |violation: &Violation| {
        let named = violation.what.rsplit("named ").next().filter(|_| violation.what.contains("named "));
        let named = named.and_then(|rest| rest.split_whitespace().next()).unwrap_or("");
        format!("{} {named}", violation.invariant).trim().to_owned()
    };
    let by: Vec<String> =
        caught.by.iter().map(|(suite, why, ms)| format!("{suite}, {ms} ms, {}", promise(why))).collect();
    println!("planted {:?}: {}", caught.bug, if by.is_empty() { "NOBODY".into() } else { by.join("; ") });
}

/// Without a bug nothing may complain, or a catch would mean nothing. `cargo xtask mutants` judges by this.
fn hold(suites: &[Suite]) {
    for (name, suite) in suites {
        no_panic(|| suite(None)).unwrap_or_else(|violation| panic!("{name}: {violation}"));
    }
}

#[test]
fn no_quick_suite_complains_about_a_sound_store() {
    hold(&QUICK);
}

#[test]
fn no_thorough_suite_complains_about_a_sound_store() {
    hold(&THOROUGH);
}

#[test]
fn every_planted_bug_is_caught() {
    let next = AtomicUsize::new(0);
    let all = Mutex::new(Vec::new());
    let only = std::env::var("DATASYNC_HUNT").ok();
    let hunted = [Bug::STORE, Bug::QUEUE].concat();
    let every_suite = std::env::var_os("DATASYNC_HUNT_ALL").is_some();
    std::thread::scope(|scope| {
        for _ in 0..settings::threads() {
            scope.spawn(|| {
                while let Some(bug) = hunted.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if only
                        .as_ref()
                        .is_none_or(|names| names.split(',').any(|name| name == format!("{bug:?}")))
                    {
                        let caught = hunt(*bug, every_suite);
                        report(&caught);
                        all.lock().expect("unpoisoned").push(caught);
                    }
                }
            });
        }
    });
    let mut all = all.into_inner().expect("unpoisoned");
    all.sort_by_key(|caught| caught.bug as usize);
    if only.is_some() {
        all.iter().for_each(|caught| println!("{:?}: {:?}", caught.bug, caught.by));
    }
    // Of the registry, whatever was hunted: `cargo xtask planted` compares.
    println!("planted: {} bugs in the store and the queue", hunted.len());
    assert!(only.is_some() || all.len() == hunted.len(), "{} of {} were hunted", all.len(), hunted.len());
    let escaped: Vec<Bug> =
        all.iter().filter(|caught| caught.by.is_empty()).map(|caught| caught.bug).collect();
    assert!(escaped.is_empty(), "no suite notices {escaped:?}");
}
