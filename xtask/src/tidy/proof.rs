//! That docs/proof.md has a row for each planted bug, and none for a bug that is no more.

use std::path::Path;

use super::Finding;

const REGISTRY: &str = "src/planted.rs";
const PROOF: &str = "docs/proof.md";

/// Compares the registry with the document.
pub fn check(root: &Path) -> Vec<Finding> {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
    compare(&read(REGISTRY), &read(PROOF))
}

fn compare(registry: &str, proof: &str) -> Vec<Finding> {
    let (bugs, rows) = (bugs(registry), rows(proof));
    let absent = bugs.iter().filter(|(_, bug)| !rows.iter().any(|(_, row)| row == bug)).map(|(line, bug)| {
        let message = format!("{bug} has no row in {PROOF}: `cargo xtask planted --all --write` makes it");
        Finding { path: REGISTRY.to_owned(), line: *line, message }
    });
    let stale = rows.iter().filter(|(_, row)| !bugs.iter().any(|(_, bug)| bug == row)).map(|(line, row)| {
        let message = format!("{REGISTRY} has no bug {row}");
        Finding { path: PROOF.to_owned(), line: *line, message }
    });
    absent.chain(stale).collect()
}

/// The names in the registry, each with its line.
fn bugs(registry: &str) -> Vec<(usize, &str)> {
    let list = registry.lines().enumerate().skip_while(|(_, line)| *line != "bugs! {");
    let list = list.take_while(|(_, line)| *line != "}");
    list.filter_map(|(at, line)| Some((at + 1, name(line.trim().strip_suffix(',')?)?))).collect()
}

/// The first cells of the tables whose first column is called `bug`, each with its line.
fn rows(proof: &str) -> Vec<(usize, &str)> {
    let mut rows = Vec::new();
    let mut within = false;
    for (at, line) in proof.lines().enumerate() {
        within = line.starts_with("| bug |") || within && line.starts_with('|');
        let cell = line.strip_prefix("| ").and_then(|rest| rest.split(' ').next());
        if within && let Some(bug) = cell.and_then(name) {
            rows.push((at + 1, bug));
        }
    }
    rows
}

fn name(word: &str) -> Option<&str> {
    let is_name = word.starts_with(|first: char| first.is_ascii_uppercase())
        && word.chars().all(|letter| letter.is_ascii_alphanumeric());
    is_name.then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_without_a_row_and_a_row_without_a_bug_are_caught() {
        let list = "        /// Why.\n        SkipOne,\n        SkipTwo,\n    }\n";
        let registry = format!("bugs! {{\n    STORE: \"In the store.\" {{\n{list}}}\n");
        let proof =
            "| bug | caught by |\n|---|---|\n| SkipOne | lives |\n| SkipOld | lives |\n\n| Other | x |\n";
        let found = compare(&registry, proof);
        let places: Vec<_> = found.iter().map(|one| (one.path.as_str(), one.line)).collect();
        assert_eq!(places, [(REGISTRY, 5), (PROOF, 4)], "{found:?}");
        assert!(found[0].message.contains("SkipTwo") && found[1].message.contains("SkipOld"), "{found:?}");
    }
}
