//! The compiler for wasm32-unknown-unknown: found, or made available.
//!
//! rustup's own target where it is there or can be downloaded; else Debian's compiler under the name `web`, for
//! which `xtask/wasm-std.sh` builds a standard library. SQLite is C, so a clang that knows wasm32 is needed too.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::root;

/// The target of the browser's module.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Where rustup finds the compiler that `wasm-std.sh` completes.
const LINKED: &str = "web";

/// Versions of LLVM looked for by number, newest first.
const LLVM: std::ops::RangeInclusive<u32> = 14..=24;

/// A cargo that can build for [`TARGET`], with its C compiler and linker set.
///
/// # Errors
/// One sentence that says what to install.
pub fn cargo() -> Result<Command, String> {
    let named = if has_std(None) {
        None
    } else if has_std(Some(LINKED)) || make_available()? {
        Some(LINKED)
    } else {
        None
    };
    let mut command = Command::new("cargo");
    // Who runs us was told its own toolchain by these; ours is named, or the default.
    command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").env_remove("RUSTC");
    if let Some(name) = named {
        command.arg(format!("+{name}"));
        command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", llvm("wasm-ld", "--version")?);
    }
    command.env("CC_wasm32_unknown_unknown", clang()?);
    command.env("AR_wasm32_unknown_unknown", llvm("llvm-ar", "--version")?);
    Ok(command)
}

/// Whether a toolchain (the default one, if unnamed) has the target's standard library.
fn has_std(toolchain: Option<&str>) -> bool {
    let mut rustc = Command::new("rustc");
    rustc.env_remove("RUSTUP_TOOLCHAIN").args(toolchain.map(|name| format!("+{name}")));
    rustc.args(["--print", "target-libdir", "--target", TARGET]);
    let Some(folder) = said(&mut rustc) else { return false };
    let is_std = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("libstd-");
    std::fs::read_dir(Path::new(folder.trim()))
        .is_ok_and(|entries| entries.flatten().any(|entry| is_std(&entry.file_name())))
}

/// Downloads the target, or builds its library. True if it is the linked toolchain that has it now.
fn make_available() -> Result<bool, String> {
    println!("{TARGET} is missing; asking rustup for it");
    let mut add = Command::new("rustup");
    add.env_remove("RUSTUP_TOOLCHAIN")
        .args(["target", "add", TARGET])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if add.status().is_ok_and(|status| status.success()) && has_std(None) {
        return Ok(false);
    }
    let is_debian = Path::new("/usr/bin/apt-get").exists();
    if is_debian {
        println!("rustup cannot download it; building it with Debian's compiler, once");
        let built = Command::new("bash").arg(root().join("xtask/wasm-std.sh")).status();
        if built.is_ok_and(|status| status.success()) && has_std(Some(LINKED)) {
            return Ok(true);
        }
    }
    let how = if is_debian { ", or run xtask/wasm-std.sh as root" } else { "" };
    Err(format!("the compiler has no {TARGET}: run `rustup target add {TARGET}`{how}"))
}

/// A clang that compiles for wasm32.
fn clang() -> Result<String, String> {
    candidates("clang")
        .find(|name| said(Command::new(name).arg("--print-targets")).is_some_and(|list| list.contains("wasm32")))
        .ok_or_else(|| {
            "SQLite is C and needs a clang that knows wasm32: install clang, lld and llvm (apt-get install clang-22 \
             lld-22 llvm-22, brew install llvm)"
                .to_owned()
        })
}

/// One of LLVM's tools.
fn llvm(tool: &str, question: &str) -> Result<String, String> {
    candidates(tool)
        .find(|name| said(Command::new(name).arg(question)).is_some())
        .ok_or_else(|| format!("{tool} is missing: install lld and llvm beside clang"))
}

/// The names a tool of LLVM may have: with the number of a version, newest first, and without.
fn candidates(tool: &str) -> impl Iterator<Item = String> + '_ {
    LLVM.rev().map(move |version| format!("{tool}-{version}")).chain([tool.to_owned()])
}

/// What a program prints, if it ends well.
fn said(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
