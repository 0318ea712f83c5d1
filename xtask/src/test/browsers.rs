//! The steps of `cargo xtask test` that need node, and most of them a browser.
//!
//! Must not know what is tried there. The rule it keeps: a step whose browser is not on this machine says so.

use std::process::{Command, Stdio};

use super::{Commands, ourselves};

fn node(words: &str) -> Command {
    let mut command = Command::new("node");
    command.args(words.split_whitespace()).current_dir(crate::root()).stdin(Stdio::null());
    command
}

/// Whether the browser `name` is there. The error says what a step in it needs.
fn has(name: &str, needs: &str) -> Result<(), String> {
    let finds = format!(
        "import('./benches/browser/browsers.mjs').then(m => process.exit(m.findBrowser('{name}') ? 0 : 1))"
    );
    if node("-e").arg(finds).output().is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    Err(format!("needs node and {needs}"))
}

fn has_chromium() -> Result<(), String> {
    has("chromium", "a Chromium (CHROMIUM names one that is not on PATH)")
}

pub(super) fn npm() -> Commands {
    if !node("--version").output().is_ok_and(|output| output.status.success()) {
        return Err("needs node and npm".to_owned());
    }
    Ok(vec![ourselves("npm"), node("js/test/run.mjs")])
}

pub(super) fn package() -> Commands {
    has_chromium()?;
    let mut drive = node("tests/browser/package/run.mjs");
    drive.env("CARGO_TARGET_DIR", crate::target());
    Ok(vec![ourselves("npm"), drive])
}

/// The package in a browser that nobody drives.
fn undriven(words: &str) -> Command {
    let mut drive = node(&format!("tests/browser/package/undriven.mjs {words}"));
    drive.env("CARGO_TARGET_DIR", crate::target());
    drive
}

pub(super) fn firefox() -> Commands {
    has("firefox", "Firefox (FIREFOX names one that is not on PATH)")?;
    let suite = ourselves("browser --in firefox");
    Ok(vec![suite, ourselves("npm"), undriven("--browser firefox --backends opfs,indexeddb")])
}

pub(super) fn webkit() -> Commands {
    has("webkit", "WebKitGTK's MiniBrowser and xvfb-run (Debian: webkit2gtk-driver, xvfb, xauth)")?;
    let drive = "--browser webkit --backends indexeddb";
    Ok(vec![ourselves("npm"), undriven(drive), undriven(&format!("{drive} --isolated"))])
}

pub(super) fn demo() -> Commands {
    has_chromium()?;
    let mut drive = node("--test tests/browser/demo-parts.mjs tests/browser/demo.mjs");
    drive.env("XTASK", std::env::current_exe().unwrap_or_else(|_| "xtask".into()));
    // Built by the tour.
    drive.env("DATASYNC", crate::target().join("debug").join("datasync"));
    Ok(vec![ourselves("npm"), node("js/node_modules/typescript/bin/tsc -p demo"), drive])
}
