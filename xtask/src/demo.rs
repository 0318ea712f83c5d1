//! `cargo xtask demo`: builds the package and serves the page that shows it.
//!
//! Only builds the package and starts the server, `demo/serve.mjs`. Must not know what is served.

use std::process::{Command, Stdio};

/// The port unless another is asked for: part of the origin, so the page's databases stay with it.
const PORT: u16 = 8471;

struct Options {
    port: u16,
    isolated: bool,
    build: bool,
}

/// Builds, serves, prints the address, and stays.
///
/// # Errors
/// A sentence when the build fails, node is missing or the port is taken.
pub fn run(args: &[String]) -> Result<(), String> {
    let options = Options::read(args)?;
    if options.build {
        crate::npm::run(&[])?;
    }
    if !crate::root().join("js/dist").is_dir() {
        return Err("the package is not there: run without --no-build".into());
    }
    let mut server = Command::new("node");
    server.arg(crate::root().join("demo/serve.mjs")).args(["--port", &options.port.to_string()]);
    server.args(options.isolated.then_some("--isolated"));
    // The server ends when this pipe does: it never outlives us.
    let started = server.stdin(Stdio::piped()).spawn();
    let ended = started.and_then(|mut server| {
        let held = server.stdin.take();
        let ended = server.wait();
        drop(held);
        ended
    });
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("the server ended with {status}")),
        Err(error) => Err(format!("cannot run node, which serves the page: {error}")),
    }
}

impl Options {
    fn read(args: &[String]) -> Result<Self, String> {
        let mut options = Self { port: PORT, isolated: false, build: true };
        let mut words = args.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--isolated" => options.isolated = true,
                "--no-build" => options.build = false,
                "--port" => {
                    let number = words.next().and_then(|number| number.parse().ok());
                    options.port = number.ok_or("--port wants a number up to 65535")?;
                }
                other => return Err(format!("`{other}` is unknown; cargo xtask demo --help")),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Result<(u16, bool, bool), &str>) {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let read = Options::read(&words).map(|options| (options.port, options.isolated, options.build));
        match (read, expected) {
            (Err(sentence), Err(part)) => assert!(sentence.contains(part), "{line}: {sentence}"),
            (read, expected) => assert_eq!(read, expected.map_err(str::to_owned), "{line}"),
        }
    }

    #[test]
    fn options_are_read_and_slips_are_named() {
        check("", Ok((PORT, false, true)));
        check("--isolated --port 0 --no-build", Ok((0, true, false)));
        check("--port many", Err("--port wants a number"));
        check("--prot 80", Err("`--prot` is unknown"));
    }
}
