//! `cargo xtask tidy`: the rules of this tree that no compiler checks, checked by code.
//!
//! What is allowed where stands in `tables.rs`; the rules themselves only compare. Reads every file
//! that git tracks or would track, changes nothing, needs no build.

mod commands;
mod proof;
mod rust;
mod source;
mod tables;
mod text;

use std::path::{Path, PathBuf};
use std::process::Command;

use source::Source;

/// One thing wrong.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    line: usize,
    message: String,
}

/// Checks the whole repository.
///
/// # Errors
/// A sentence with the number of findings, after they were printed.
pub fn run(_args: &[String]) -> Result<(), String> {
    let root = crate::root();
    let paths = files(&root)?;
    let mut findings = Vec::new();
    for path in &paths {
        let Ok(text) = std::fs::read_to_string(root.join(path)) else { continue };
        if is_ours(path) {
            findings.extend(text::check(&root, path, &text));
        }
        if path.ends_with(".rs") {
            findings.extend(rust::check(&Source::new(path, &text)));
        }
    }
    findings.extend(unreachable(&paths, &root));
    findings.extend(rust_versions(&paths, &root));
    findings.extend(proof::check(&root));
    for Finding { path, line, message } in &findings {
        println!("{path}:{line}: {message}");
    }
    match findings.len() {
        0 => {
            println!("tidy: {} files, nothing to mend", paths.len());
            Ok(())
        }
        count => Err(format!("{count} to mend; what is allowed where stands in xtask/src/tidy/tables.rs")),
    }
}

/// Every file that is tracked, or new and not ignored.
fn files(root: &Path) -> Result<Vec<String>, String> {
    let listing = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cannot run git, which lists the files to check: {error}"))?;
    if !listing.status.success() {
        return Err(format!("git ls-files failed: {}", String::from_utf8_lossy(&listing.stderr).trim()));
    }
    let names = String::from_utf8_lossy(&listing.stdout);
    Ok(names.lines().filter(|path| root.join(path).is_file()).map(str::to_owned).collect())
}

/// Whether the text is written by us: not data, not a licence, not made by a tool.
fn is_ours(path: &str) -> bool {
    let made = ["LICENSE-", "Cargo.lock", "package-lock.json"];
    let data = ["tests/golden/v", "tests/data/", "fuzz/corpus/"];
    let name = path.rsplit('/').next().unwrap_or(path);
    !made.iter().any(|made| name.starts_with(made)) && !data.iter().any(|folder| path.starts_with(folder))
}

/// Files of `src/` that no `mod` line names: the compiler never sees them.
fn unreachable(paths: &[String], root: &Path) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in paths.iter().filter(|path| path.starts_with("src/") && path.ends_with(".rs")) {
        let path_of = PathBuf::from(path);
        let stem = path_of.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let folder = path_of.parent().expect("the path starts with src/");
        if path.starts_with("src/bin/") || path == "src/lib.rs" {
            continue;
        }
        let (name, parents) = if stem == "mod" {
            let above = folder.parent().expect("src/mod.rs is no module");
            let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            (name, [above.join("mod.rs"), above.join("lib.rs")])
        } else {
            let parent =
                if folder == Path::new("src") { folder.join("lib.rs") } else { folder.join("mod.rs") };
            (stem, [parent, folder.with_extension("rs")])
        };
        let named = parents.iter().any(|parent| {
            let text = std::fs::read_to_string(root.join(parent)).unwrap_or_default();
            text.contains(&format!("mod {name};")) || text.contains(&format!("path = \"{name}.rs\""))
        });
        if !named {
            let message = format!("no `mod {name};` names this file, so it is never compiled");
            findings.push(Finding { path: path.clone(), line: 1, message });
        }
    }
    findings
}

/// Every manifest names the same oldest compiler, and the README the same one.
fn rust_versions(paths: &[String], root: &Path) -> Vec<Finding> {
    let version_of = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("rust-version"))?;
        line.split('"').nth(1).map(str::to_owned)
    };
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
    let Some(wanted) = version_of(&read("Cargo.toml")) else { return Vec::new() };
    let mut findings = Vec::new();
    for path in paths.iter().filter(|path| path.ends_with("Cargo.toml")) {
        if version_of(&read(path)).as_ref() != Some(&wanted) {
            let message = format!("rust-version is not {wanted}, as in the top Cargo.toml");
            findings.push(Finding { path: path.clone(), line: 1, message });
        }
    }
    if !read("README.md").contains(&format!("Rust {wanted}")) {
        let message = format!("does not say that the oldest compiler is Rust {wanted}");
        findings.push(Finding { path: "README.md".to_owned(), line: 1, message });
    }
    findings
}
