//! The rules of one Rust file: size, marks, owners of words, arrows between modules.

use super::Finding;
use super::source::{Source, closing, is_word};
use super::tables::{ARROWS, BANNED, FILE_LINES_MAX, FUNCTION_LINES_MAX, OWNED, WIDTH_MAX};

/// Everything wrong with this file.
pub fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    sizes(source, &mut findings);
    header(source, &mut findings);
    banned(source, &mut findings);
    owned(source, &mut findings);
    platform(source, &mut findings);
    arrows(source, &mut findings);
    findings
}

fn report(source: &Source, at: usize, message: String, findings: &mut Vec<Finding>) {
    findings.push(Finding { path: source.path.clone(), line: source.line_of(at), message });
}

fn sizes(source: &Source, findings: &mut Vec<Finding>) {
    let lines = source.text.lines().count();
    if lines > FILE_LINES_MAX {
        let message = format!("{lines} lines, the limit is {FILE_LINES_MAX}: split it by the nouns it holds");
        report(source, source.text.len(), message, findings);
    }
    for (name, range) in source.functions() {
        let lines = source.text[range.clone()].lines().count();
        if lines > FUNCTION_LINES_MAX && !source.in_test(range.start) {
            let message = format!("fn {name} has {lines} lines, the limit is {FUNCTION_LINES_MAX}");
            report(source, range.start, message, findings);
        }
    }
    for (index, line) in source.text.lines().enumerate() {
        let width = line.chars().count();
        if width > WIDTH_MAX {
            let message = format!("{width} characters wide, the limit is {WIDTH_MAX}");
            findings.push(Finding { path: source.path.clone(), line: index + 1, message });
        }
    }
}

fn header(source: &Source, findings: &mut Vec<Finding>) {
    let first = source.text.lines().find(|line| !line.starts_with("#!") && !line.trim().is_empty());
    if !first.is_some_and(|line| line.starts_with("//!")) {
        let message =
            "no module header: open with //! what it holds, what it must not know, the rule it keeps";
        report(source, 0, message.to_owned(), findings);
    }
}

fn banned(source: &Source, findings: &mut Vec<Finding>) {
    for (word, instead) in BANNED {
        for (at, _) in source.code.match_indices(word) {
            if word.starts_with('#') || !source.code[..at].bytes().next_back().is_some_and(is_word) {
                report(source, at, format!("`{word}`: {instead}"), findings);
            }
        }
    }
    for (name, range) in source.functions() {
        if name.starts_with("test_") && source.in_test(range.start) {
            report(source, range.start, format!("fn {name}: name a test as the promise it holds"), findings);
        }
    }
    for at in source.words(".unwrap()").filter(|&at| !source.in_test(at)) {
        let message = "`.unwrap()` outside tests: return the error, or .expect(\"why it holds\")";
        report(source, at, message.to_owned(), findings);
    }
}

fn owned(source: &Source, findings: &mut Vec<Finding>) {
    for rule in OWNED {
        if rule.owners.iter().any(|owner| source.path.starts_with(owner)) {
            continue;
        }
        for at in source.words(rule.word) {
            if rule.word == "unsafe" || !source.in_test(at) {
                report(source, at, format!("`{}`: {}", rule.word, rule.reason), findings);
            }
        }
    }
}

/// A target `cfg` stands on a `mod` or `use` line of `src/`, so that a file is wholly of one platform.
fn platform(source: &Source, findings: &mut Vec<Finding>) {
    if !source.path.starts_with("src/") {
        return;
    }
    for at in source.words("cfg").chain(source.words("cfg_attr")) {
        let Some(open) = source.code[at..].find('(').map(|open| at + open) else { continue };
        if !["", "!", "_attr"].contains(&source.code[at + 3..open].trim()) {
            continue;
        }
        let end = closing(&source.code, open);
        let names_platform = source.code[open..end]
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .any(|word| word == "unix" || word == "windows" || word.starts_with("target_"));
        let item = behind_attributes(&source.code[end..]);
        let item = item.strip_prefix("pub(crate) ").or(item.strip_prefix("pub ")).unwrap_or(item);
        if names_platform && !item.starts_with("mod ") && !item.starts_with("use ") {
            let message = "a target cfg stands only on a `mod` or `use` line: give the platform its own file";
            report(source, at, message.to_owned(), findings);
        }
    }
}

/// The item that starts here, past the end of one attribute and all of the attributes that follow.
fn behind_attributes(code: &str) -> &str {
    let mut rest = code.trim_start_matches([')', ']', ' ', '\n']);
    while rest.starts_with("#[") {
        rest = rest[closing(rest, 1)..].trim_start();
    }
    rest
}

fn arrows(source: &Source, findings: &mut Vec<Finding>) {
    let Some(module) = module_of(&source.path) else { return };
    let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == module) else {
        let message =
            format!("module `{module}` has no row in the table of arrows (xtask/src/tidy/tables.rs)");
        report(source, 0, message, findings);
        return;
    };
    for (at, _) in source.code.match_indices("crate::") {
        for (at, target) in heads(&source.code, at + "crate::".len()) {
            let fine = target == module || allowed.contains(&target);
            if !fine && !source.in_test(at) {
                let message = format!("`{module}` must not know `{target}`: arrows point downwards only");
                report(source, at, message, findings);
            }
        }
    }
    for at in source.words("super::super::").filter(|&at| !source.in_test(at)) {
        report(source, at, "`super::super`: write the path from `crate::`".to_owned(), findings);
    }
}

/// The layer a file of `src/` belongs to; `None` for the crate root and everything outside.
fn module_of(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    let head = inside.split('/').next()?;
    let module = head.strip_suffix(".rs").unwrap_or(head);
    (module != "lib" && module != "bin").then_some(module)
}

/// The first names of a path, or of each path in a group in braces.
fn heads(code: &str, at: usize) -> Vec<(usize, &str)> {
    let name = |at: usize| {
        let length = code[at..].bytes().take_while(|&byte| is_word(byte)).count();
        (at, &code[at..at + length])
    };
    if code.as_bytes().get(at) != Some(&b'{') {
        return vec![name(at)];
    }
    let end = closing(code, at) - 1;
    let mut names = Vec::new();
    let mut depth = 0;
    let mut wanted = true;
    for (offset, byte) in code[at + 1..end].bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 0 => wanted = true,
            _ if wanted && is_word(byte) => {
                names.push(name(at + 1 + offset));
                wanted = false;
            }
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn caught(path: &str, text: &str, expected: &str) {
        let findings = check(&Source::new(path, &format!("//! Header.\n{text}\n")));
        assert!(findings.iter().any(|finding| finding.message.contains(expected)), "{text}: {findings:?}");
    }

    #[track_caller]
    fn fine(path: &str, text: &str) {
        let findings = check(&Source::new(path, &format!("//! Header.\n{text}\n")));
        assert!(findings.is_empty(), "{text}: {findings:?}");
    }

    #[test]
    fn an_arrow_that_points_up_is_caught() {
        caught("src/format/group.rs", "use crate::store::Store;", "`format` must not know `store`");
        caught(
            "src/log/reader.rs",
            "use crate::{block::Lsn, volume::{Volume, log}};",
            "`log` must not know `volume`",
        );
        caught("src/backend/file.rs", "fn f() { crate::store::run(); }", "`backend` must not know `store`");
        caught("src/store/index.rs", "use super::super::log::plan::Op;", "write the path from `crate::`");
        caught("src/novel.rs", "", "has no row in the table");
        fine("src/store/index.rs", "use crate::{block::{BlockNo, Lsn}, log::plan::Op};");
        fine("src/store/index.rs", "//! [`crate::vfs`] is not an arrow.");
        fine("src/store/index.rs", "#[cfg(test)]\nmod tests {\n    use crate::backend::sim::Disk;\n}");
    }

    #[test]
    fn long_files_functions_and_lines_are_caught() {
        caught("src/log/mod.rs", &"\n".repeat(500), "502 lines");
        caught("src/log/mod.rs", &format!("fn long() {{{}}}", "\n".repeat(70)), "fn long has 71 lines");
        caught("src/log/mod.rs", &format!("// {}", "x".repeat(118)), "121 characters");
        fine("src/log/mod.rs", &format!("fn long() {{{}}}", "\n".repeat(69)));
        fine("src/log/mod.rs", &format!("#[cfg(test)]\nmod tests {{ fn long() {{{}}} }}", "\n".repeat(70)));
    }

    #[test]
    fn a_file_without_a_header_is_caught() {
        let findings = check(&Source::new("src/log/mod.rs", "#![deny(missing_docs)]\nuse std::fmt;\n"));
        assert!(findings[0].message.contains("no module header"));
    }

    #[test]
    fn unwrap_and_leftovers_are_caught_outside_tests() {
        caught("src/log/mod.rs", "fn f() { g().unwrap(); }", "outside tests");
        caught("xtask/src/main.rs", "fn f() { g().unwrap(); }", "outside tests");
        caught("src/log/mod.rs", "fn f() { dbg!(1); }", "`dbg!`");
        caught("src/log/mod.rs", "fn f() { todo!() }", "`todo!`");
        caught("src/log/mod.rs", "#[allow(dead_code)]\nfn f() {}", "#[expect");
        caught("tests/cli.rs", "#[test]\nfn test_cli() {}", "name a test as the promise");
        caught("tests/cli.rs", "#[test]\n#[ignore]\nfn cli() {}", "does not run proves nothing");
        fine("tests/cli.rs", "#[test]\n#[ignore = \"only as a child of another test\"]\nfn cli() {}");
        fine("src/log/mod.rs", "#[test]\nfn holds() { g().unwrap(); }");
        fine("tests/cli.rs", "fn helper() { g().unwrap(); }");
        fine("src/log/mod.rs", "fn f() { g().unwrap_or_default(); }");
    }

    #[test]
    fn words_with_an_owner_are_caught_elsewhere() {
        caught("src/log/writer.rs", "fn f() { unsafe { g() } }", "unsafe code stands");
        caught(
            "src/store/mod.rs",
            "#[cfg(test)]\nmod tests { fn f() { unsafe { g() } } }",
            "unsafe code stands",
        );
        caught("src/store/mod.rs", "use std::fs::File;", "files belong to the file backend");
        caught("src/store/policy.rs", "fn f() { Instant::now(); }", "the clock is an argument");
        caught("src/vfs/mod.rs", "fn f() { println!(); }", "a library is silent");
        fine("src/vfs/ffi.rs", "fn f() { unsafe { g() } }");
        fine("src/backend/file.rs", "use std::fs::File;");
        fine("src/log/writer.rs", "#[expect(unsafe_code, reason = \"x\")]\nfn f() {}");
    }

    #[test]
    fn a_platform_inside_a_function_is_caught() {
        caught(
            "src/backend/file.rs",
            "fn f() {\n    #[cfg(target_os = \"macos\")]\n    g();\n}",
            "a target cfg",
        );
        caught("src/backend/file.rs", "fn f() { if cfg!(windows) { g() } }", "a target cfg");
        caught("src/backend/file.rs", "#[cfg(not(unix))]\nfn f() {}", "a target cfg");
        fine(
            "src/backend/mod.rs",
            "#[cfg(unix)]\npub mod file;\n#[cfg(target_family = \"wasm\")]\nuse x::y;",
        );
        fine(
            "src/backend/file/mod.rs",
            "#[cfg_attr(unix, path = \"u.rs\")]\n#[cfg_attr(windows, path = \"w.rs\")]\nmod p;",
        );
        fine("src/planted.rs", "#[cfg(feature = \"sim\")]\nfn f() {}");
    }
}
