//! The proof that the properties can fail: bugs that must be caught, each by lives or by values, and the lives are
//! short. `DATASYNC_HUNT=Name` hunts one bug; `DATASYNC_HUNT_ALL=1` tries every bug of the store.
//! (Any bug must be caught by some suite: that is `tests/crash/planted.rs`.)

use std::time::Instant;

use datasync::planted::{Bug, plant};

use crate::codec;
use crate::machine::{Broken, Seen, seeded};

/// These must be caught, by few lives or values.
const CAUGHT: &[Bug] = &[
    Bug::SkipPageDigest,
    Bug::SkipMetaDigest,
    Bug::SkipSumsStore,
    Bug::SkipSumsPage,
    Bug::SkipSumsSlot,
    Bug::AcknowledgeEarly,
    Bug::SkipCommitBarrier,
    Bug::SkipRotationBarrier,
    Bug::SkipNewSegmentBarrier,
    Bug::SkipRotationPublish,
    Bug::SkipFoldPublish,
    Bug::SkipRelogPublish,
    Bug::TakeOldestMeta,
    Bug::CopyBeforeEpoch,
    Bug::SkipRelogBarrier,
    Bug::SkipCut,
    Bug::IgnoreEvidence,
    Bug::CommitWithoutMarker,
    Bug::ReuseAbandonedNumber,
    Bug::SkipReadCheck,
    Bug::ForgetPinnedVersions,
    Bug::FoldIgnoresPins,
    Bug::FoldForgetsTrim,
    Bug::FoldForgetsRanges,
    Bug::FoldForgetsTags,
    Bug::RemoveBeforePublish,
    Bug::FreeListKeepsPuts,
    Bug::ForgetTrimRange,
    Bug::KeepStagedBehindEnd,
];

/// Most steps of a life that a bug of [`CAUGHT`] is shown with, after shrinking.
const SHORT: usize = 9;

/// Lives that a bug has to survive.
const LIVES: u64 = 1500;

/// How a bug showed.
enum Found {
    Nothing,
    Value(String),
    Life(Broken),
}

fn hunt(bug: Option<Bug>) -> Found {
    plant(bug);
    let seen = Seen::default();
    let found = match codec::run(300) {
        Err(violation) => Found::Value(violation.to_string()),
        Ok(()) => (1..=LIVES).find_map(|seed| seeded(seed, &seen).err()).map_or(Found::Nothing, Found::Life),
    };
    plant(None);
    found
}

#[test]
fn planted_bugs_are_caught_by_short_lives() {
    let only = std::env::var("DATASYNC_HUNT").ok();
    let all = std::env::var_os("DATASYNC_HUNT_ALL").is_some() || only.is_some();
    // Without a bug nothing may complain, or a catch would mean nothing.
    match hunt(None) {
        Found::Nothing => {}
        Found::Value(why) | Found::Life(Broken { why, .. }) => panic!("a sound store is blamed: {why}"),
    }
    let (mut escaped, mut long) = (Vec::new(), Vec::new());
    for bug in if all { Bug::STORE } else { CAUGHT } {
        if only.as_ref().is_some_and(|names| names.split(',').all(|name| name != format!("{bug:?}"))) {
            continue;
        }
        let begun = Instant::now();
        let found = hunt(Some(*bug));
        let ms = begun.elapsed().as_millis();
        let must = CAUGHT.contains(bug);
        match found {
            Found::Nothing if must => escaped.push(*bug),
            Found::Nothing => {}
            Found::Value(_) => println!("planted {bug:?}: properties, {ms} ms, format"),
            Found::Life(Broken { life, why }) => {
                let promise = why.split(" broken").next().unwrap_or_default();
                println!("planted {bug:?}: properties, {ms} ms, {promise}");
                println!("    in {} steps: {life:?}: {}", life.steps.len(), why.replace('\n', " "));
                if must && life.steps.len() > SHORT {
                    long.push((*bug, life));
                }
            }
        }
    }
    assert!(escaped.is_empty(), "the properties do not notice {escaped:?}");
    assert!(long.is_empty(), "these were not made short: {long:?}");
}
