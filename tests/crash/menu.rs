//! The fault menu is one list: every trouble is met by a suite on every medium that it can befall, every suite asks
//! whether it met what it is meant to, and docs/guarantees.md has a row for each.

use std::collections::BTreeSet;
use std::path::Path;

use datasync::backend::sim::{Medium, Tally, Trouble};

use crate::suites::SUITES;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_trouble_is_met_on_every_medium_that_it_can_befall() {
    let met: BTreeSet<(Trouble, String)> = SUITES
        .iter()
        .flat_map(|suite| suite.meant().map(|trouble| (trouble, format!("{:?}", suite.medium))))
        .collect();
    let can: BTreeSet<(Trouble, String)> = Trouble::ALL
        .iter()
        .flat_map(|trouble| trouble.media().map(|medium| (*trouble, format!("{medium:?}"))))
        .collect();
    let unmet: Vec<_> = can.difference(&met).collect();
    assert!(unmet.is_empty(), "no suite is meant to meet {unmet:?}");
    let impossible: Vec<_> = met.difference(&can).collect();
    assert!(impossible.is_empty(), "the menu does not know {impossible:?}");
}

#[test]
fn every_suite_asks_whether_it_met_what_it_is_meant_to() {
    let mut text = String::new();
    for folder in [
        "tests/crash",
        "tests/crash/queued",
        "tests/crash/regressions",
        "tests/properties",
        "src/bin/datasync/salvage",
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for entry in std::fs::read_dir(folder).expect("a folder of tests") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|end| end == "rs") {
                text.push_str(&std::fs::read_to_string(path).expect("a text"));
            }
        }
    }
    let silent: Vec<&str> = SUITES
        .iter()
        .map(|suite| suite.name)
        .filter(|name| !text.contains(&format!("all_struck(\"{name}\")")))
        .collect();
    assert!(silent.is_empty(), "these suites never ask: {silent:?}");
}

#[test]
fn a_count_of_nothing_is_no_strike() {
    let tally = Tally::default();
    tally.add(Trouble::Rot, 0);
    tally.strike(Trouble::LostWrite);
    assert_eq!(tally.never(&[Trouble::Rot, Trouble::LostWrite]), [Trouble::Rot]);
    let other = Tally::default();
    other.take_from(&tally);
    assert_eq!((tally.count(Trouble::LostWrite), other.count(Trouble::LostWrite)), (0, 1));
}

/// The table of docs/guarantees.md: name of the row, then for each medium whether its cell is filled.
fn rows() -> Vec<(String, [bool; 3])> {
    let text = read("docs/guarantees.md");
    let (_, rest) = text.split_once("<!-- menu -->").expect("the table begins");
    let (table, _) = rest.split_once("<!-- end of menu -->").expect("the table ends");
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, files, opfs, indexeddb] = cells[..] else { panic!("no row of four cells: {line}") };
        assert!(cells.iter().all(|cell| !cell.is_empty()), "an empty cell: {line}");
        (name.to_owned(), [files, opfs, indexeddb].map(|cell| cell != "-"))
    };
    rows.map(row).collect()
}

#[test]
fn the_guarantees_name_the_menu_and_nothing_else() {
    let said: BTreeSet<String> = rows()
        .iter()
        .flat_map(|(name, cells)| {
            let media = Medium::ALL.iter().zip(cells).filter(|(_, filled)| **filled);
            name.split("; ")
                .flat_map(move |name| media.clone().map(move |(medium, _)| format!("{name} on {medium:?}")))
                .collect::<Vec<_>>()
        })
        .collect();
    let meant: BTreeSet<String> = Trouble::ALL
        .iter()
        .flat_map(|trouble| trouble.media().map(|medium| format!("{} on {medium:?}", trouble.text())))
        .collect();
    let unsaid: Vec<_> = meant.difference(&said).collect();
    assert!(unsaid.is_empty(), "docs/guarantees.md says nothing of {unsaid:?}");
    let unknown: Vec<_> = said.difference(&meant).collect();
    assert!(unknown.is_empty(), "docs/guarantees.md promises what no medium does: {unknown:?}");
}
