//! `cargo xtask browser`: the backends' behaviour suite in a real browser, Chromium unless `--in` names another.
//!
//! Compiles `tests/browser/suite` (the functions of `tests/backends/` over OPFS and memory) and starts the driver
//! `tests/browser/suite.mjs`, which runs every test in a worker of its own. What is tested is not known here.

use std::path::PathBuf;
use std::process::Command;

use crate::wasm::{TARGET, bindgen, cargo, succeed};
use crate::{root, target};

/// Runs the tests whose names contain one of `words`, or all.
///
/// # Errors
/// A sentence when something cannot be built or a test failed.
pub fn run(words: &[String]) -> Result<(), String> {
    let (browser, words) = match words {
        [option, name, rest @ ..] if option == "--in" => (name.as_str(), rest),
        words => ("chromium", words),
    };
    if let Some(option) = words.iter().find(|word| word.starts_with('-')) {
        return Err(format!("`{option}` is not known; words that are given choose tests by their names"));
    }
    let package = build()?;
    let mut driver = Command::new("node");
    driver.arg(root().join("tests/browser/suite.mjs")).arg(package).args(["--browser", browser]);
    driver.args(words.iter().flat_map(|word| ["--only", word]));
    succeed(&mut driver, "a promise was broken in the browser, see above")
}

/// The folder with the suite's module and the JavaScript around it.
fn build() -> Result<PathBuf, String> {
    let folder = target().join("web/suite");
    let mut build = cargo()?;
    build.current_dir(root().join("tests/browser/suite")).env("CARGO_TARGET_DIR", &folder);
    build.args(["build", "--quiet", "--locked", "--target", TARGET]);
    succeed(&mut build, "the suite does not compile")?;
    let package = folder.join("pkg");
    bindgen(&folder.join(TARGET).join("debug/datasync_browser_suite.wasm"), &package, "suite")?;
    Ok(package)
}
