//! `cargo xtask test`: everything CI runs, in the same order, each step named and timed.
//!
//! A step is one or more commands. What they print goes to `target/xtask/STEP.log`; a step that fails
//! shows the end of its log, says where the whole of it is, and stops the run.

mod browsers;

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use browsers::{demo, firefox, npm, package, webkit};

/// Lines of a failed step's log that are shown.
const TAIL_LINES: usize = 120;

type Commands = Result<Vec<Command>, String>;

struct Step {
    name: &'static str,
    about: &'static str,
    /// The commands; the error says what is missing on this machine, and the step is skipped.
    commands: fn() -> Commands,
}

enum Outcome {
    /// With this many tests.
    Passed(usize),
    /// With what is missing.
    Skipped(String),
    Failed(String),
}

/// The steps, cheapest first, so that a slip is told in seconds.
const STEPS: &[Step] = &[
    Step { name: "format", about: "rustfmt has nothing to change", commands: format },
    Step { name: "tidy", about: "arrows, sizes, owners, true documents", commands: tidy },
    Step { name: "licences", about: "every dependency is under an accepted licence", commands: licences },
    Step { name: "decoder", about: "golden files read from docs/format.md alone", commands: decoder },
    Step { name: "xtask", about: "these commands' own tests", commands: xtask },
    Step { name: "clippy", about: "no warning in any combination of features", commands: clippy },
    Step { name: "tests", about: "unit and integration tests", commands: tests },
    Step {
        name: "wasm",
        about: "the worker's crate natively; the module within its budget, and its promises in a browser",
        commands: wasm,
    },
    Step {
        name: "browser",
        about: "the backends' behaviour suite in workers of a real browser",
        commands: browser,
    },
    Step {
        name: "npm",
        about: "the npm package: built, typed, packed, tested without a browser",
        commands: npm,
    },
    Step {
        name: "package",
        about: "the npm package in a browser, and in applications made from its tarball",
        commands: package,
    },
    Step {
        name: "firefox",
        about: "the backends' suite and the package's promises in Firefox",
        commands: firefox,
    },
    Step {
        name: "webkit",
        about: "the package's promises in WebKit, which cannot suspend wasm: with and without a second worker",
        commands: webkit,
    },
    Step { name: "crash", about: "every crash of every small workload keeps every promise", commands: crash },
    Step {
        name: "properties",
        about: "random lives and values keep every promise; a failure is made short",
        commands: properties,
    },
    Step { name: "images", about: "simulated images read from docs/format.md alone", commands: images },
    Step { name: "planted", about: "every planted bug is noticed", commands: planted },
    Step {
        name: "models",
        about: "every state of the protocols' models keeps every promise",
        commands: models,
    },
    Step {
        name: "concurrency",
        about: "every schedule of two threads, many of four, keeps every promise",
        commands: concurrency,
    },
    Step { name: "sql-crash", about: "money is neither made nor lost by any crash", commands: sql_crash },
    Step { name: "salvage", about: "a salvage crashed at every op leaves no half copy", commands: salvage },
    Step { name: "kill", about: "a writer killed in mid-commit, twenty times over", commands: kill },
    Step {
        name: "kill-web",
        about: "a browser killed in mid-commit, twenty times on each backend; a cheat is caught; its own log torn",
        commands: kill_web,
    },
    Step {
        name: "extension",
        about: "the extension in the sqlite3 shell and in Python",
        commands: extension,
    },
    Step { name: "doctests", about: "the examples in the documentation run", commands: doctests },
    Step { name: "docs", about: "the documentation builds without a warning", commands: docs },
    Step { name: "tour", about: "the guided tour goes as it is told", commands: tour },
    Step { name: "demo", about: "the demo page by keyboard, mouse and files in Chromium", commands: demo },
];

/// Runs the steps named in `args`, or all.
///
/// # Errors
/// A sentence that names the step that failed.
pub fn run(args: &[String]) -> Result<(), String> {
    if args.iter().any(|word| word == "--list") {
        STEPS.iter().for_each(|step| println!("{:<10} {}", step.name, step.about));
        return Ok(());
    }
    if let Some(unknown) = args.iter().find(|word| STEPS.iter().all(|step| step.name != *word)) {
        return Err(format!("there is no step `{unknown}`; `cargo xtask test --list` names them"));
    }
    let wanted = |step: &&Step| args.is_empty() || args.iter().any(|word| word == step.name);
    let steps: Vec<&Step> = STEPS.iter().filter(wanted).collect();
    let logs = crate::target().join("xtask");
    std::fs::create_dir_all(&logs).map_err(|error| format!("cannot make {}: {error}", logs.display()))?;

    let begun = Instant::now();
    let (mut tests, mut skipped) = (0, 0);
    for (index, step) in steps.iter().enumerate() {
        let title = format!("[{:>2}/{}] {:<10} {}", index + 1, steps.len(), step.name, step.about);
        let log = logs.join(format!("{}.log", step.name));
        match run_step(step, &title, &log) {
            Outcome::Passed(counted) => tests += counted,
            Outcome::Skipped(_) => skipped += 1,
            Outcome::Failed(sentence) => {
                show_tail(&log);
                println!("\n{} step(s) never ran, after {}", steps.len() - index - 1, time(begun.elapsed()));
                println!("steps: {} passed, 1 failed, {skipped} skipped", index - skipped);
                return Err(format!(
                    "step `{}` failed: {sentence}. Its whole log: {}",
                    step.name,
                    log.display()
                ));
            }
        }
    }
    println!("\n{tests} tests in {} steps, {}", steps.len() - skipped, time(begun.elapsed()));
    println!("steps: {} passed, 0 failed, {skipped} skipped", steps.len() - skipped);
    Ok(())
}

/// Runs every command of one step and says how it went.
fn run_step(step: &Step, title: &str, log: &Path) -> Outcome {
    let begun = Instant::now();
    let live = std::io::stdout().is_terminal();
    print!("{title}");
    flush();
    let outcome = match (step.commands)() {
        Err(missing) => Outcome::Skipped(missing),
        Ok(commands) => run_commands(commands, log, || {
            if live {
                print!("\r{title}  {}", time(begun.elapsed()));
                flush();
            }
        }),
    };
    let word = match &outcome {
        Outcome::Passed(_) => format!("ok  {}", time(begun.elapsed())),
        Outcome::Skipped(missing) => format!("skipped: {missing}"),
        Outcome::Failed(_) => format!("FAILED  {}", time(begun.elapsed())),
    };
    println!("{}{title}  {word}", if live { "\r" } else { "\n" });
    outcome
}

/// Runs `commands` one after the other into a new log.
fn run_commands(commands: Vec<Command>, log: &Path, mut tick: impl FnMut()) -> Outcome {
    if let Err(error) = File::create(log) {
        return Outcome::Failed(format!("cannot write {}: {error}", log.display()));
    }
    match commands.into_iter().try_for_each(|command| run_logged(command, log, &mut tick)) {
        Ok(()) => Outcome::Passed(count_tests(&std::fs::read_to_string(log).unwrap_or_default())),
        Err(sentence) => Outcome::Failed(sentence),
    }
}

/// Runs `command` to its end with everything it prints in `log`, calling `tick` now and then.
fn run_logged(mut command: Command, log: &Path, tick: &mut impl FnMut()) -> Result<(), String> {
    let line = describe(&command);
    let open = || File::options().append(true).create(true).open(log);
    let mut file = open().map_err(|error| format!("cannot write {}: {error}", log.display()))?;
    let handle = |file: &File| file.try_clone().map_err(|error| format!("cannot share the log: {error}"));
    let _ = writeln!(file, "\n$ {line}");
    command.stdin(Stdio::null()).stdout(handle(&file)?).stderr(handle(&file)?);
    let mut child = command.spawn().map_err(|error| format!("cannot start `{line}`: {error}"))?;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("`{line}` ended with {status}")),
            Ok(None) => {
                std::thread::sleep(Duration::from_millis(100));
                tick();
            }
            Err(error) => return Err(format!("lost `{line}`: {error}")),
        }
    }
}

/// The command as one would type it.
fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let variables = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let mut words: Vec<String> = variables
        .map(|(name, value)| format!("{}={:?}", name.display(), value.display().to_string()))
        .collect();
    words.push(program.display().to_string());
    words.extend(command.get_args().map(|word| word.display().to_string()));
    words.join(" ")
}

/// How many tests a log says have passed, in the words of libtest, of nextest and of node.
fn count_tests(log: &str) -> usize {
    let before = |line: &str, word: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|known| known.trim_end_matches([',', ';']) == word)?;
        words.get(at.checked_sub(1)?)?.parse::<usize>().ok()
    };
    let counted = log
        .lines()
        .map(str::trim_start)
        .filter(|line| line.starts_with("test result: ok.") || line.starts_with("Summary ["));
    let node = log.lines().filter_map(|line| line.trim_start().strip_prefix("# pass ")?.parse().ok());
    counted.filter_map(|line| before(line, "passed")).chain(node).sum()
}

fn show_tail(log: &Path) {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    println!();
    lines[lines.len().saturating_sub(TAIL_LINES)..].iter().for_each(|line| println!("    {line}"));
}

fn time(elapsed: Duration) -> String {
    match elapsed.as_secs() {
        seconds @ 0..60 => format!("{seconds}.{} s", elapsed.subsec_millis() / 100),
        seconds => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

fn flush() {
    // A closed terminal must not end the run.
    let _ = std::io::stdout().flush();
}

fn cargo(words: &str) -> Command {
    let mut command = crate::cargo();
    command.args(words.split_whitespace());
    command
}

fn ourselves(words: &str) -> Command {
    let program = std::env::current_exe().unwrap_or_else(|_| "xtask".into());
    let mut command = Command::new(program);
    command.args(words.split_whitespace()).current_dir(crate::root());
    command
}

/// Whether `cargo NAME` is there.
fn has_cargo(name: &str) -> bool {
    let asked = cargo(name).arg("--version").stdin(Stdio::null()).output();
    asked.is_ok_and(|output| output.status.success())
}

fn format() -> Commands {
    Ok(vec![cargo("fmt --all --check -- --color never")])
}

fn tidy() -> Commands {
    Ok(vec![ourselves("tidy")])
}

fn licences() -> Commands {
    let mut commands = vec![ourselves("licences")];
    if has_cargo("deny") {
        commands.push(cargo("deny check bans licenses sources"));
    }
    Ok(commands)
}

fn python(words: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command.args(words).current_dir(crate::root());
    command
}

fn decoder() -> Commands {
    Ok(vec![python(&["tests/golden/decode.py", "--check"])])
}

fn images() -> Commands {
    let folder = crate::target().join("xtask").join("images");
    // Of an earlier run: the decoder must see what this one writes.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let mut write = sim_suite("crash", "exported::");
    write.env("DATASYNC_IMAGES", &folder);
    let mut read = python(&["tests/golden/decode.py", "--images"]);
    read.arg(&folder);
    Ok(vec![write, read])
}

fn properties() -> Commands {
    let mut suite = sim_suite("properties", "--skip planted::");
    // Lives are ended by caught panics while they are made short.
    suite.env("RUST_BACKTRACE", "0");
    Ok(vec![suite])
}

/// Some tests of a suite on the simulated disk, built as `cargo xtask crash` builds it.
fn sim_suite(suite: &str, which: &str) -> Command {
    let features = "--profile crash --no-default-features --features sim";
    cargo(&format!("test --locked --package datasync {features} --test {suite} -- --nocapture {which}"))
}

fn xtask() -> Commands {
    Ok(vec![cargo("test --locked --package xtask")])
}

fn clippy() -> Commands {
    let combinations = [
        "",
        "--no-default-features",
        "--features sim",
        "--features cli",
        "--features sim,loom",
        "--features sim,shuttle",
    ];
    let package = combinations.iter().map(|features| {
        cargo(&format!("clippy --locked --package datasync --all-targets {features} -- -D warnings"))
    });
    let others = ["--package xtask --all-targets", "--manifest-path fuzz/Cargo.toml"];
    let others = others.iter().map(|which| cargo(&format!("clippy --locked {which} -- -D warnings")));
    Ok(package.chain(others).collect())
}

fn tests() -> Commands {
    let runner = if has_cargo("nextest") { "nextest run" } else { "test --lib --bins --tests" };
    Ok(vec![cargo(&format!("{runner} --locked --package datasync --features cli"))])
}

fn wasm() -> Commands {
    let manifest = "--manifest-path wasm/Cargo.toml";
    let mut clippy = crate::wasm::crate_cargo("clippy")?;
    clippy.args(["--", "-D", "warnings"]);
    let mut promises = Command::new("node");
    promises.arg("wasm/test/run.mjs").current_dir(crate::root());
    let native = [
        cargo(&format!("fmt {manifest} --check -- --color never")),
        cargo("fmt --manifest-path xtask/bindgen/Cargo.toml --check -- --color never"),
        cargo(&format!("clippy --locked {manifest} --all-targets -- -D warnings")),
        cargo(&format!("test --locked {manifest}")),
        clippy,
    ];
    let browser = [ourselves("wasm"), promises].into_iter().filter(|_| crate::kill_browser::ready().is_ok());
    Ok(native.into_iter().chain(browser).collect())
}

fn browser() -> Commands {
    crate::kill_browser::ready()?;
    Ok(vec![
        cargo("fmt --manifest-path tests/browser/suite/Cargo.toml --check -- --color never"),
        ourselves("browser"),
    ])
}

/// On two cores the lives take about a minute.
fn crash() -> Commands {
    Ok(vec![ourselves("crash --seeds 12000")])
}

fn planted() -> Commands {
    Ok(vec![ourselves("planted")])
}

fn sql_crash() -> Commands {
    let words = "test --locked --package datasync --features cli,sim --test sql_crash -- --skip planted::";
    Ok(vec![cargo(words)])
}

fn salvage() -> Commands {
    let words = "test --locked --package datasync --features cli,sim --bin datasync salvage::";
    Ok(vec![cargo(words)])
}

fn models() -> Commands {
    let manifest = "--manifest-path models/Cargo.toml";
    Ok(vec![
        cargo(&format!("fmt {manifest} --check -- --color never")),
        cargo(&format!("clippy --release --locked {manifest} --all-targets -- -D warnings")),
        cargo(&format!("test --release --locked {manifest} -- --nocapture --test-threads=1")),
    ])
}

fn concurrency() -> Commands {
    let suite = |scheduler: &str| {
        let features = format!("--no-default-features --features sim,{scheduler}");
        let mut command =
            cargo(&format!("test --locked --package datasync {features} --test {scheduler} -- --nocapture"));
        // Schedules of planted bugs end in caught panics; shuttle takes weaker orderings for stronger ones.
        command.env("RUST_BACKTRACE", "0").env("SHUTTLE_SILENCE_WARNINGS", "1");
        command
    };
    Ok(vec![suite("loom"), suite("shuttle")])
}

fn kill() -> Commands {
    Ok(vec![ourselves("kill --native --rounds 20")])
}

fn kill_web() -> Commands {
    crate::kill_browser::ready()?;
    let mut torn = Command::new("node");
    torn.arg("tests/browser/torn.mjs").current_dir(crate::root());
    Ok(vec![
        ourselves("kill --browser chromium --rounds 20"),
        ourselves("kill --browser chromium --no-build --rounds 20 --cheat early"),
        ourselves("kill --browser chromium --no-build --rounds 20 --cheat applied --backend indexeddb"),
        torn,
    ])
}

fn extension() -> Commands {
    let manifest = "--manifest-path extension/Cargo.toml";
    Ok(vec![
        cargo(&format!("fmt {manifest} --check -- --color never")),
        cargo(&format!("clippy --locked {manifest} --all-targets -- -D warnings")),
        cargo(&format!("test --locked {manifest}")),
    ])
}

fn tour() -> Commands {
    Ok(vec![ourselves("tour")])
}

fn doctests() -> Commands {
    Ok(vec![cargo("test --locked --package datasync --doc")])
}

fn docs() -> Commands {
    let mut command = cargo("doc --locked --package datasync --no-deps");
    command.env("RUSTDOCFLAGS", "-D warnings");
    Ok(vec![command])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_counted_in_every_runners_words() {
        let libtest =
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; in 0.1s\n";
        let nextest = "     Summary [   1.204s] 31 tests run: 31 passed, 2 skipped\n";
        let node = "# tests 8\n# pass 7\n# fail 0\n";
        assert_eq!(count_tests(&format!("{libtest}noise passed\n{nextest}{node}")), 50);
    }

    #[test]
    fn a_failing_command_is_named_and_its_words_kept() {
        let log = crate::target().join(format!("xtask-own-test-{}.log", std::process::id()));
        let mut command = Command::new("sh");
        command.args(["-c", "echo heard; exit 3"]);
        let sentence = run_logged(command, &log, &mut || {}).unwrap_err();
        let heard = std::fs::read_to_string(&log).unwrap();
        std::fs::remove_file(&log).unwrap();
        assert!(sentence.contains("echo heard") && sentence.contains('3'), "{sentence}");
        assert!(heard.contains("\nheard\n"), "{heard}");
    }

    #[test]
    fn times_read_well() {
        assert_eq!(time(Duration::from_millis(1250)), "1.2 s");
        assert_eq!(time(Duration::from_secs(125)), "2 min 05 s");
    }
}
