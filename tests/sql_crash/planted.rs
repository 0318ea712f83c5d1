//! Every deliberate bug of the VFS is switched on in turn, and a promise must break. One that none notices fails
//! this test by name.

use std::time::Instant;

use datasync::planted::{Bug, plant};

use crate::violation::{Checked, no_panic};
use crate::{bank, locks, promises, several};

/// What a bug must break, cheapest first.
pub fn all() -> Vec<(&'static str, fn() -> Checked<()>)> {
    let banks: [(&str, fn() -> Checked<()>); 2] = [
        ("bank transfers, FULL", || bank::crashes("FULL", 8, 1).map(drop)),
        ("bank transfers, NORMAL", || bank::crashes("NORMAL", 8, 1).map(drop)),
    ];
    locks::ALL.iter().chain(promises::ALL).chain(several::ALL).copied().chain(banks).collect()
}

#[test]
fn every_bug_planted_in_the_vfs_is_caught() {
    let every = std::env::var_os("DATASYNC_HUNT_ALL").is_some();
    let only = std::env::var("DATASYNC_HUNT").ok();
    let mut escaped = Vec::new();
    // Without a bug nothing may complain, or a catch would mean nothing.
    for (name, run) in all() {
        if let Err(violation) = no_panic(run) {
            panic!("{name} complains about a sound VFS: {violation}");
        }
    }
    for bug in Bug::SQL {
        if only.as_ref().is_some_and(|name| *name != format!("{bug:?}")) {
            continue;
        }
        let mut caught = Vec::new();
        for (name, run) in all() {
            let begun = Instant::now();
            plant(Some(*bug));
            let broken = no_panic(run);
            plant(None);
            if let Err(violation) = broken {
                if only.is_some() {
                    println!("{name}: {violation}");
                }
                let ms = begun.elapsed().as_millis();
                caught.push(format!("sql, {ms} ms, {} {name}", violation.invariant));
                if !every {
                    break;
                }
            }
        }
        let by = if caught.is_empty() { "NOBODY".to_owned() } else { caught.join("; ") };
        println!("planted {bug:?}: {by}");
        if caught.is_empty() {
            escaped.push(*bug);
        }
    }
    println!("planted: {} bugs in the VFS", Bug::SQL.len());
    assert!(escaped.is_empty(), "nothing notices {escaped:?}");
}
