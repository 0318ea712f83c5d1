//! `cargo xtask kill --browser chromium`, or `firefox`: kills a whole browser with SIGKILL while its page commits.
//!
//! Builds the package, starts the driver `tests/browser/kill.mjs` once for each backend and keeps the record.
//! What is written, killed and compared is the driver's; nothing of it is known here.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

const BACKENDS: [&str; 2] = ["opfs", "indexeddb"];
const BROWSERS: [&str; 2] = ["chromium", "firefox"];

#[derive(Debug)]
struct Asked {
    /// Sides of `benches/browser/page/sides.js`.
    sides: Vec<String>,
    record: bool,
    build: bool,
    /// Words for the driver.
    rest: Vec<String>,
}

/// Runs the rounds on every backend asked for.
///
/// # Errors
/// A sentence when an option is not understood, something cannot be built or started, a promise was broken,
/// or a cheat was not noticed.
pub fn run(args: &[String]) -> Result<(), String> {
    let asked = parse(args)?;
    if asked.build {
        crate::npm::run(&[])?;
    }
    let driver = crate::root().join("tests").join("browser").join("kill.mjs");
    for side in &asked.sides {
        let result = result_file(side);
        let mut command = Command::new("node");
        command.arg(&driver).args(["--side", side, "--json"]).arg(&result).args(&asked.rest);
        let status = command.status().map_err(|error| format!("cannot run node: {error}"))?;
        if !status.success() {
            return Err(format!("{side}: what was printed last says what was broken, and how to replay it"));
        }
        if asked.record {
            record(side, &result)?;
        }
    }
    Ok(())
}

/// Whether node and a Chromium are there.
///
/// # Errors
/// What is missing.
pub fn ready() -> Result<(), String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = |name: &str| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    let browsers = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    if !found("node") {
        return Err("needs node".into());
    }
    if std::env::var_os("CHROMIUM").is_none() && !browsers.into_iter().any(found) {
        return Err("needs Chromium: on PATH, or named by CHROMIUM".into());
    }
    Ok(())
}

fn result_file(side: &str) -> PathBuf {
    crate::target().join("kill").join(format!("{side}.json"))
}

fn parse(args: &[String]) -> Result<Asked, String> {
    let mut asked = Asked { sides: Vec::new(), record: false, build: true, rest: Vec::new() };
    let (mut browser, mut seeded) = (None, false);
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().cloned().ok_or_else(|| format!("{word} wants a value after it"));
        match word.as_str() {
            "--browser" => browser = Some(value()?),
            "--backend" => {
                let backend = value()?;
                if !BACKENDS.contains(&backend.as_str()) {
                    return Err(format!("--backend is one of {}", BACKENDS.join(", ")));
                }
                asked.sides.push(format!("datasync-{backend}"));
            }
            "--side" => asked.sides.push(value()?),
            "--record" => asked.record = true,
            "--no-build" => asked.build = false,
            "--verbose" => asked.rest.push(word.clone()),
            "--rounds" | "--seed" | "--minutes" => {
                seeded |= word == "--seed";
                let number = value()?;
                number.parse::<u32>().map_err(|_| format!("{word} {number} is not a number"))?;
                asked.rest.extend([word.clone(), number]);
            }
            "--scenario" | "--cheat" => {
                let name = value()?;
                asked.rest.extend([word.clone(), name]);
            }
            other => return Err(format!("kill --browser has no option `{other}`; --help lists them")),
        }
    }
    let Some(browser) = browser.filter(|browser| BROWSERS.contains(&browser.as_str())) else {
        return Err(format!("--browser is one of {}", BROWSERS.join(", ")));
    };
    asked.rest.extend(["--browser".to_owned(), browser]);
    if asked.sides.is_empty() {
        asked.sides = BACKENDS.iter().map(|backend| format!("datasync-{backend}")).collect();
    }
    if !seeded {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_millis());
        asked.rest.extend(["--seed".to_owned(), (now % (1 << 31)).to_string()]);
    }
    Ok(asked)
}

/// Adds what the driver wrote down to the ledger of record runs.
fn record(side: &str, result: &PathBuf) -> Result<(), String> {
    let text = fs::read_to_string(result).map_err(|error| format!("{}: {error}", result.display()))?;
    let fields = text.trim().strip_prefix('{').ok_or("the driver wrote no result")?;
    let entry =
        format!("  {{\"suite\": \"kill-{side}\", \"commit\": \"{}\", {fields}", crate::kill::commit());
    crate::kill::append_to_ledger(&entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Asked, String> {
        parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn both_backends_unless_one_is_named() {
        assert_eq!(parsed("--browser chromium").unwrap().sides, ["datasync-opfs", "datasync-indexeddb"]);
        let asked =
            parsed("--browser chromium --backend indexeddb --rounds 3 --seed 4 --cheat early").unwrap();
        assert_eq!(asked.sides, ["datasync-indexeddb"]);
        assert_eq!(asked.rest.join(" "), "--rounds 3 --seed 4 --cheat early --browser chromium");
    }

    #[test]
    fn strangers_are_refused() {
        for line in
            ["--browser", "--browser lynx", "--browser chromium --backend x", "--browser chromium --x"]
        {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
