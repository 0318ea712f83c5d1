//! `cargo xtask models`: the models of `models/`, every state of them, with larger bounds on `--big`.

/// Runs the models.
///
/// # Errors
/// A sentence when an option is not understood, a promise is broken or a planted mistake stays unnoticed.
pub fn run(args: &[String]) -> Result<(), String> {
    if let Some(word) = args.iter().find(|word| *word != "--big") {
        return Err(format!("models has no option `{word}`; --help lists them"));
    }
    let mut command = crate::cargo();
    command.args(["run", "--release", "--locked", "--quiet", "--manifest-path", "models/Cargo.toml", "--"]);
    let status = command.args(args).status().map_err(|error| format!("cannot run cargo: {error}"))?;
    match status.success() {
        true => Ok(()),
        false => Err("a model is not as it should be; the lines above say which".into()),
    }
}
