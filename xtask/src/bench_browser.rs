//! `cargo xtask bench --browser`: DataSync beside its peers in a headless Chromium.
//!
//! Only builds the package, installs the peers into `benches/browser/node_modules` and starts the driver,
//! `benches/browser/run.mjs`, which measures and prints. Knows nothing of what is measured.

use std::process::Command;

/// Runs the driver with `args`, after the package and the peers are there.
///
/// # Errors
/// A sentence when node or npm is missing, the peers cannot be fetched or a measurement fails.
pub fn run(args: &[String]) -> Result<(), String> {
    let folder = crate::root().join("benches").join("browser");
    crate::npm::install(&folder)?;
    if !args.iter().any(|word| word == "--no-build") {
        crate::npm::run(&[])?;
    }
    let words = args.iter().filter(|word| *word != "--no-build");
    let mut command = Command::new("node");
    command.arg(folder.join("run.mjs")).args(words).current_dir(crate::root());
    let status = command.status().map_err(|error| format!("cannot run node: {error}"))?;
    if status.success() { Ok(()) } else { Err("a measurement failed; what it printed says which".into()) }
}
