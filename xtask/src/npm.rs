//! `cargo xtask npm`: the npm package. Builds the wasm, then js/dist, then packs the tarball to target/web/.
//!
//! Must not know what is in the package: js/build.mjs does. The rule it keeps: what is packed was made from the
//! wasm that was built a moment ago.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs the command.
///
/// # Errors
/// A sentence that names the step that failed.
pub fn run(args: &[String]) -> Result<(), String> {
    if let Some(word) = args.first() {
        return Err(format!("`{word}` means nothing here; `cargo xtask npm` takes no words"));
    }
    let js = crate::root().join("js");
    install(&js)?;
    let pkg = crate::wasm::build()?;
    step(Command::new("node").arg("build.mjs").arg(&pkg).current_dir(&js), "building js/dist")?;
    let tarball = pack(&js)?;
    println!("{}", tarball.display());
    Ok(())
}

/// Installs what js/package-lock.json names, unless that was done already.
///
/// # Errors
/// As npm says.
pub fn install(folder: &Path) -> Result<(), String> {
    let lock = folder.join("package-lock.json");
    let wanted = std::fs::read(&lock).map_err(|error| format!("cannot read {}: {error}", lock.display()))?;
    let stamp = folder.join("node_modules/.installed-from");
    if std::fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(folder);
    step(&mut npm, &format!("installing what {} names", lock.display()))?;
    std::fs::write(&stamp, wanted).map_err(|error| format!("cannot write {}: {error}", stamp.display()))
}

fn pack(js: &Path) -> Result<PathBuf, String> {
    let web = crate::target().join("web");
    let mut npm = Command::new("npm");
    npm.args(["pack", "--silent", "--ignore-scripts", "--pack-destination"]).arg(&web).current_dir(js);
    let output = npm.output().map_err(|error| format!("npm cannot be started: {error}"))?;
    if !output.status.success() {
        return Err(format!("npm pack failed: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let name = String::from_utf8_lossy(&output.stdout);
    let name = name.lines().last().unwrap_or_default().trim();
    let (from, to) = (web.join(name), web.join("datasync.tgz"));
    std::fs::rename(&from, &to).map_err(|error| format!("cannot rename {}: {error}", from.display()))?;
    Ok(to)
}

fn step(command: &mut Command, what: &str) -> Result<(), String> {
    let status = command.status().map_err(|error| format!("{what}: cannot be started: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{what} failed")) }
}
