//! `cargo xtask bench --browser`: DataSync beside its peers in a headless Chromium.
//!
//! Only builds the package, fetches the peers (npm, into `benches/browser/node_modules`) and starts the driver,
//! `benches/browser/run.mjs`, which measures and prints. Knows nothing of what is measured.

use std::path::Path;
use std::process::Command;

/// Runs the driver with `args`, after the package and the peers are there.
///
/// # Errors
/// A sentence when node or npm is missing, the peers cannot be fetched or a measurement fails.
pub fn run(args: &[String]) -> Result<(), String> {
    let folder = crate::root().join("benches").join("browser");
    fetch_peers(&folder)?;
    if !args.iter().any(|word| word == "--no-build") {
        build_package()?;
    }
    let words = args.iter().filter(|word| *word != "--no-build");
    let mut command = Command::new("node");
    command.arg(folder.join("run.mjs")).args(words).current_dir(crate::root());
    let status = command.status().map_err(|error| format!("cannot run node: {error}"))?;
    if status.success() { Ok(()) } else { Err("a measurement failed; what it printed says which".into()) }
}

/// Makes `js/dist` as it is published: `cargo xtask npm`.
pub fn build_package() -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let status = Command::new(program).arg("npm").current_dir(crate::root()).status();
    let status = status.map_err(|error| format!("cannot run cargo xtask npm: {error}"))?;
    if status.success() { Ok(()) } else { Err("the package was not built; what it printed says why".into()) }
}

/// Fetches the peers when the lock file is newer than what is there.
fn fetch_peers(folder: &Path) -> Result<(), String> {
    let time = |path: &Path| std::fs::metadata(path).and_then(|about| about.modified()).ok();
    let wanted = time(&folder.join("package-lock.json"));
    let there = time(&folder.join("node_modules").join(".package-lock.json"));
    if there.is_some() && there >= wanted {
        return Ok(());
    }
    eprintln!("fetching the peers, once: benches/browser/node_modules");
    let mut command = Command::new("npm");
    command.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(folder);
    let status = command.status().map_err(|error| format!("cannot run npm: {error}"))?;
    if status.success() { Ok(()) } else { Err("npm could not fetch the peers".into()) }
}
