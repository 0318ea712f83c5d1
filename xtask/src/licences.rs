//! `cargo xtask licences`: what every dependency on every target is licensed under, from cargo's own data.
//!
//! The list of accepted licences is the one in `deny.toml`, so this check and cargo-deny cannot disagree.
//! An expression passes when some choice of its alternatives is made of accepted licences only.

use std::collections::BTreeSet;

/// Checks the workspace and the extension.
///
/// # Errors
/// A sentence naming each package that no accepted licence covers.
pub fn run(_args: &[String]) -> Result<(), String> {
    let deny = std::fs::read_to_string(crate::root().join("deny.toml"))
        .map_err(|error| format!("cannot read deny.toml, which lists the accepted licences: {error}"))?;
    let accepted = accepted(&deny);
    let mut packages = BTreeSet::new();
    for manifest in ["Cargo.toml", "extension/Cargo.toml", "wasm/Cargo.toml", "models/Cargo.toml"] {
        if crate::root().join(manifest).exists() {
            packages.extend(packages_of(manifest)?);
        }
    }
    let refused: Vec<_> = packages
        .iter()
        .filter(|(_, licence)| !allows(licence, &accepted))
        .map(|(package, licence)| format!("  {package}: {licence:?}"))
        .collect();
    if refused.is_empty() {
        println!("licences: {} packages, all under a licence listed in deny.toml", packages.len());
        return Ok(());
    }
    Err(format!("no licence listed in deny.toml covers\n{}", refused.join("\n")))
}

/// (package with version, licence expression) of everything `manifest` can pull in.
fn packages_of(manifest: &str) -> Result<BTreeSet<(String, String)>, String> {
    let tree = crate::cargo()
        .args(["tree", "--manifest-path", manifest, "--workspace", "--all-features", "--target", "all"])
        .args(["--edges", "normal,build,dev", "--no-dedupe", "--prefix", "none", "--format", "{p}|{l}"])
        .output()
        .map_err(|error| format!("cannot run cargo tree: {error}"))?;
    if !tree.status.success() {
        return Err(format!(
            "cargo tree failed on {manifest}: {}",
            String::from_utf8_lossy(&tree.stderr).trim()
        ));
    }
    let lines = String::from_utf8_lossy(&tree.stdout);
    let split = lines.lines().filter_map(|line| line.split_once('|'));
    Ok(split.map(|(package, licence)| (package.to_owned(), licence.to_owned())).collect())
}

/// The quoted words of `allow = [ .. ]` in the section `[licenses]`.
fn accepted(deny: &str) -> BTreeSet<String> {
    let section = deny.split("[licenses]").nth(1).unwrap_or("");
    let list = section.split_once("allow = [").map_or("", |(_, rest)| rest.split(']').next().unwrap_or(""));
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Whether an SPDX expression can be satisfied with accepted licences. `/` is cargo's old way to write OR.
fn allows(expression: &str, accepted: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let allowed = any(&words, &mut at, accepted);
    allowed && at == words.len()
}

fn any(words: &[&str], at: &mut usize, accepted: &BTreeSet<String>) -> bool {
    let mut allowed = all(words, at, accepted);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        allowed |= all(words, at, accepted);
    }
    allowed
}

fn all(words: &[&str], at: &mut usize, accepted: &BTreeSet<String>) -> bool {
    let mut allowed = one(words, at, accepted);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        allowed &= one(words, at, accepted);
    }
    allowed
}

fn one(words: &[&str], at: &mut usize, accepted: &BTreeSet<String>) -> bool {
    let word = words.get(*at).copied().unwrap_or("");
    *at += 1;
    if word == "(" {
        let allowed = any(words, at, accepted);
        *at += 1;
        return allowed;
    }
    if words.get(*at) == Some(&"WITH") {
        let exception = words.get(*at + 1).copied().unwrap_or("");
        *at += 2;
        return accepted.contains(&format!("{word} WITH {exception}"));
    }
    accepted.contains(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_outside_the_list_is_caught() {
        let accepted = accepted("[licenses]\nallow = [\n  \"MIT\",\n  \"Unicode-3.0\",\n]\n[bans]\n");
        assert_eq!(accepted.len(), 2);
        for fine in ["MIT", "MIT/Apache-2.0", "Apache-2.0 OR MIT", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
            assert!(allows(fine, &accepted), "{fine}");
        }
        for refused in ["", "BSL-1.0", "MIT AND GPL-3.0", "Apache-2.0 WITH LLVM-exception", "MIT MIT"] {
            assert!(!allows(refused, &accepted), "{refused}");
        }
    }
}
