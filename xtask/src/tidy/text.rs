//! The rules of every text file and of the documents: characters, links, limits, and that what a document
//! says of the code is there.

use std::path::Path;

use super::tables::{DOCUMENT_LINES_MAX, HOSTS};
use super::{Finding, commands};

/// Everything wrong with one text file. `root` is the top of the repository.
pub fn check(root: &Path, path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut report = |line: usize, message: String| {
        findings.push(Finding { path: path.to_owned(), line, message });
    };
    for (index, line) in text.lines().enumerate() {
        if let Some(wrong) = line_rule(line) {
            report(index + 1, wrong);
        }
        if path.ends_with(".md") {
            broken_references(root, path, line).into_iter().for_each(|message| report(index + 1, message));
        }
        if path.ends_with(".rs") && line.trim_start().starts_with("//") {
            absent_paths(root, path, line).into_iter().for_each(|message| report(index + 1, message));
        }
    }
    if path.ends_with(".md") {
        commands::check(text).into_iter().for_each(|(line, message)| report(line, message));
    }
    let lines = text.lines().count();
    if !text.is_empty() && (!text.ends_with('\n') || text.ends_with("\n\n")) {
        report(lines, "a file ends with exactly one newline".to_owned());
    }
    if let Some((_, limit)) = DOCUMENT_LINES_MAX.iter().find(|(prefix, _)| path.starts_with(prefix))
        && lines > *limit
    {
        report(lines, format!("{lines} lines, the limit is {limit}: cut it, or move a part to its own page"));
    }
    findings
}

fn line_rule(line: &str) -> Option<String> {
    if let Some(letter) = line.chars().find(|letter| !letter.is_ascii() || *letter == '\t' || *letter == '\r')
    {
        return Some(format!("{letter:?}: files are ASCII, without tabs and carriage returns"));
    }
    if line.ends_with(' ') {
        return Some("blank at the end of the line".to_owned());
    }
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
    if let Some(mark) = marks.iter().find(|mark| line.contains(*mark)) {
        return Some(format!("{mark}: an open point is an issue, or a test of what holds today"));
    }
    let machines =
        [concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/Use", "rs/"), concat!("C:", "\\Users")];
    if let Some(place) = machines.iter().find(|place| line.contains(*place)) {
        return Some(format!("{place} is a path of one machine"));
    }
    let mut hosts = line.split("://").skip(1).map(|rest| rest.split(['/', ')', '"', '>', ' ', '`']).next());
    let host = hosts.find_map(|host| host.filter(|host| host.contains('.') && !HOSTS.contains(host)));
    host.map(|host| format!("{host} is not in the list of hosts we link to (xtask/src/tidy/tables.rs)"))
}

/// Paths in a Rust comment, from the top of the repository or of the file's own crate, that are not there.
fn absent_paths(root: &Path, path: &str, comment: &str) -> Vec<String> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || "_./-*<{".contains(letter);
    let words = comment.split(|letter| !is_part(letter)).map(|word| word.trim_end_matches('.'));
    let named = words.filter(|word| ["src/", "tests/", "docs/"].iter().any(|top| word.starts_with(top)));
    let is_there = |word: &str| Path::new(path).ancestors().any(|top| root.join(top).join(word).exists());
    let absent = named.filter(|word| !word.contains(['*', '<', '{']) && !is_there(word));
    absent.map(|word| format!("{word} is not there")).collect()
}

/// Links to files that are not there, and paths, or paths with names behind a colon, that name nothing.
fn broken_references(root: &Path, path: &str, line: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let folder = root.join(path).parent().expect("a file has a folder").to_owned();
    for target in line.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
        if !target.is_empty() && !target.contains("://") && !folder.join(target).exists() {
            broken.push(format!("link to {target}, which is not there"));
        }
    }
    for quoted in line.split('`').skip(1).step_by(2) {
        let (file, name) = quoted.split_once(": ").map_or((quoted, None), |(file, name)| (file, Some(name)));
        let is_source = ["src/", "tests/", "xtask/", "extension/"].iter().any(|top| file.starts_with(top));
        if !is_source || file.contains([' ', '*', '{', '<']) {
            continue;
        }
        match (std::fs::read_to_string(root.join(file)), name) {
            (Err(_), _) if !root.join(file).is_dir() => broken.push(format!("`{file}` is not there")),
            (Ok(text), Some(name)) => {
                let missing = name.split(", ").filter(|name| !defines(&text, name));
                broken.extend(missing.map(|name| format!("`{file}` does not define `{name}`")));
            }
            _ => {}
        }
    }
    broken
}

/// Whether the Rust text defines `name`, which may be written `Type::function`.
fn defines(text: &str, name: &str) -> bool {
    let name = name.trim_end_matches("()").rsplit("::").next().unwrap_or(name);
    let kinds = ["fn ", "struct ", "enum ", "trait ", "const ", "type ", "mod ", "static "];
    kinds.iter().any(|kind| {
        text.match_indices(&format!("{kind}{name}")).any(|(at, found)| {
            let after = text[at + found.len()..].chars().next();
            !after.is_some_and(|letter| letter.is_alphanumeric() || letter == '_')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_line(path: &str, line: &str, expected: &str) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let findings = check(root, path, &format!("{line}\n"));
        let messages: Vec<_> = findings.iter().map(|finding| finding.message.as_str()).collect();
        if expected.is_empty() {
            assert!(messages.is_empty(), "{line}: {messages:?}");
        } else {
            assert!(messages.iter().any(|message| message.contains(expected)), "{line}: {messages:?}");
        }
    }

    #[test]
    fn machine_paths_and_unknown_hosts_are_caught() {
        check_line("a.toml", concat!("path = \"/wo", "rk/main\""), "a path of one machine");
        check_line(
            "a.toml",
            concat!("url = \"https:", "//crates.example.net/index\""),
            "crates.example.net is not in the list",
        );
        check_line("a.md", "See <https://docs.rs/datasync> and http://localhost:8080/.", "");
    }

    #[test]
    fn characters_marks_and_ends_are_caught() {
        check_line("a.md", "caf\u{e9}", "files are ASCII");
        check_line("a.md", "word ", "blank at the end");
        check_line("src/a.rs", concat!("// TO", "DO: later"), "an open point is an issue");
        check_line("a.md", "word\n", "exactly one newline");
    }

    #[test]
    fn a_document_past_its_limit_is_caught() {
        check_line("README.md", &"line\n".repeat(200).replace("\n\n", "\n"), "the limit is 200");
    }

    #[test]
    fn a_comment_that_names_a_file_that_is_not_there_is_caught() {
        check_line("src/a.rs", "//! See `tests/absent/`.", "tests/absent/ is not there");
        check_line("src/a.rs", "    // docs/absent.md has the table.", "docs/absent.md is not there");
        check_line("src/a.rs", "//! `tests/crash/`, docs/format.md; `tests/*/x.rs`, not/src/x.", "");
        check_line("wasm/src/a.rs", "// The table of `src/wire.rs`.", "");
        check_line("src/a.rs", "let path = \"tests/absent\";", "");
    }

    #[test]
    fn a_document_that_names_what_is_not_there_is_caught() {
        check_line("README.md", "see [this](docs/absent.md)", "link to docs/absent.md");
        check_line("README.md", "in `src/absent.rs`", "`src/absent.rs` is not there");
        check_line("README.md", "in `src/block.rs: absent`", "does not define `absent`");
        check_line("README.md", "in `src/block.rs: blocks_for`, `src/error.rs: Error::kind`, `src/log/`", "");
    }
}
