//! `cargo xtask generate PATH --megabytes N [--seed S]`: a plain SQLite database of that size.
//!
//! The generator itself is `examples/generate.rs`; this builds and runs it optimised.

/// Runs the generator.
///
/// # Errors
/// A sentence when it cannot be built or says no.
pub fn run(args: &[String]) -> Result<(), String> {
    let mut command = crate::cargo();
    command.args(["run", "--quiet", "--release", "--locked", "--example", "generate", "--"]).args(args);
    // A path on the command line is relative to where the caller stands.
    command.current_dir(std::env::current_dir().map_err(|error| format!("no current folder: {error}"))?);
    let status = command.status().map_err(|error| format!("cannot run cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err("the generator failed; what it printed says why".into()) }
}
