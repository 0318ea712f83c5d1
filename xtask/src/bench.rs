//! `cargo xtask bench`: builds and runs `benches/native`, optimised, after making the large database it wants.
//!
//! With `--browser` first, `bench_browser.rs` does the work.

use std::path::Path;

/// Size of the large database in MiB.
const LARGE: u32 = 1024;

/// Runs the benchmarks.
///
/// # Errors
/// A sentence when something cannot be built or a measurement fails.
pub fn run(args: &[String]) -> Result<(), String> {
    if args.first().is_some_and(|word| word == "--browser") {
        return crate::bench_browser::run(&args[1..]);
    }
    let folder = crate::root().join("target").join("bench");
    std::fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let quick = args.iter().any(|word| word == "--quick");
    let mut words: Vec<String> = args.iter().filter(|word| *word != "--quick").cloned().collect();
    if !quick && !args.iter().any(|word| word == "--large") {
        let large = folder.join(format!("large-{LARGE}.db"));
        generate(&large)?;
        words.extend(["--large".to_owned(), large.display().to_string()]);
    }
    let mut command = crate::cargo();
    command.args(["bench", "--quiet", "--locked", "--bench", "native", "--"]).args(&words);
    // Left alone, a bundled SQLite calls fsync. Distributions build it to call fdatasync as we do, which is
    // faster: that one is the opponent. A build of its own, so that no other is thrown away for it.
    command.env("LIBSQLITE3_FLAGS", "-DHAVE_FDATASYNC=1").env("CARGO_TARGET_DIR", folder.join("build"));
    let status = command.status().map_err(|error| format!("cannot run cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err("a measurement failed; what it printed says which".into()) }
}

/// Makes the large database, once: a file of a generator that was stopped half-way is not kept.
fn generate(path: &Path) -> Result<(), String> {
    if path.exists() {
        return Ok(());
    }
    eprintln!("making a database of {LARGE} MiB, once: {}", path.display());
    let unfinished = path.with_extension("unfinished");
    if unfinished.exists() {
        std::fs::remove_file(&unfinished).map_err(|error| format!("{}: {error}", unfinished.display()))?;
    }
    let words = [unfinished.display().to_string(), "--megabytes".to_owned(), LARGE.to_string()];
    crate::generate::run(&words)?;
    std::fs::rename(&unfinished, path).map_err(|error| format!("{}: {error}", path.display()))
}
