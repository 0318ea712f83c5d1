//! `cargo xtask crash`: the crash suite of `tests/crash/`, with its bounds given by hand.
//!
//! The suite reads its bounds from the environment, so that a failing case can be replayed by copying one
//! line; this command translates options into those variables, runs the suite optimised, and with `--record`
//! adds what it says of itself to `tests/crash/LEDGER.json`. With `--resume` a run goes on where the last one
//! stopped: `target/crash-record` says which jobs are done, and by which commit.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// Option and variable. All want a number, but for the workload of `--replay`, which is passed on as it is.
const BOUNDS: &[(&str, &str)] = &[
    ("--depth", "DATASYNC_CRASH_DEPTH"),
    ("--seeds", "DATASYNC_CRASH_SEEDS"),
    ("--seed", "DATASYNC_SEED"),
    ("--budget", "DATASYNC_CRASH_BUDGET_S"),
    ("--replay", "DATASYNC_CRASH_REPLAY"),
];

/// glibc would hand memory back to the system, and fetch it again, several times in each opening of a store.
pub const KEEP_MEMORY: &str = "glibc.malloc.trim_threshold=1073741824:glibc.malloc.top_pad=16777216";

/// Runs the suite.
///
/// # Errors
/// A sentence when an option is not understood or the suite fails.
pub fn run(args: &[String]) -> Result<(), String> {
    let mut command = crate::cargo();
    command.args(["test", "--profile", "crash", "--locked", "--package", "datasync"]);
    command.args(["--no-default-features", "--features", "sim", "--test", "crash", "--"]);
    command.args(["--nocapture", "--skip", "planted::"]);
    if args.iter().any(|word| word == "--resume") {
        // Only the exhaustive suite has jobs to go on from.
        command.args(["exhaustive::every"]).env("DATASYNC_CRASH_STATE", crate::target().join("crash-record"));
        command.env("DATASYNC_CRASH_COMMIT", crate::ledger::commit());
        // Hundreds of millions of states are told apart.
        command.env("DATASYNC_CRASH_KEYS_MIB", "4096");
    }
    command.env("GLIBC_TUNABLES", KEEP_MEMORY);
    for (variable, value) in bounds(args)? {
        println!("{variable}={value}");
        command.env(variable, value);
    }
    let mut child =
        command.stdout(Stdio::piped()).spawn().map_err(|error| format!("cannot run cargo: {error}"))?;
    let output = child.stdout.take().ok_or("cargo has no output")?;
    let mut entries = Vec::new();
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        match line.strip_prefix("ledger {") {
            Some(rest) => entries.push(format!("{{\"commit\": \"{}\", {rest}", crate::ledger::commit())),
            None => println!("{line}"),
        }
    }
    let status = child.wait().map_err(|error| format!("lost cargo: {error}"))?;
    if !status.success() {
        return Err("the crash suite failed; what it printed says how to replay it".into());
    }
    if args.iter().any(|word| word == "--record") {
        entries.iter().try_for_each(|entry| crate::ledger::append(entry))?;
    }
    Ok(())
}

/// The environment that the options ask for.
fn bounds(args: &[String]) -> Result<Vec<(&'static str, String)>, String> {
    let mut found = Vec::new();
    let mut words = args.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--resume" | "--record" => {}
            // As deep as everything else: the suite cuts it to the depth.
            "--double" => found.push(("DATASYNC_CRASH_DOUBLE", "9".to_owned())),
            option => {
                let (_, variable) = BOUNDS
                    .iter()
                    .find(|(known, _)| *known == option)
                    .ok_or_else(|| format!("crash has no option `{option}`; --help lists them"))?;
                let value = words.next().ok_or_else(|| format!("{option} wants a value after it"))?;
                found.push((*variable, translate(option, value).ok_or_else(|| unreadable(option, value))?));
            }
        }
    }
    Ok(found)
}

fn unreadable(option: &str, value: &str) -> String {
    let ways = if option == "--budget" { "300, 5m or 1h" } else { "300" };
    format!("{option} {value} is not understood; write {option} {ways}")
}

/// The value as the suite wants to read it.
fn translate(option: &str, value: &str) -> Option<String> {
    match option {
        "--replay" => Some(value.to_owned()),
        _ => number(value, option == "--budget").map(|number| number.to_string()),
    }
}

/// A whole number; a time may end in `s`, `m` or `h` and becomes seconds.
fn number(text: &str, time: bool) -> Option<u64> {
    let units = [("s", 1), ("m", 60), ("h", 3600)];
    let unit = units.iter().find(|(letter, _)| time && text.ends_with(letter));
    let digits = unit.map_or(text, |(letter, _)| text.trim_end_matches(letter));
    digits.parse::<u64>().ok()?.checked_mul(unit.map_or(1, |(_, seconds)| *seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_the_variables_of_the_suite() {
        let words: Vec<String> =
            "--depth 4 --double --budget 5m --seed 7 --replay p0,c".split(' ').map(str::to_owned).collect();
        let wanted = [
            ("DATASYNC_CRASH_DEPTH", "4".to_owned()),
            ("DATASYNC_CRASH_DOUBLE", "9".to_owned()),
            ("DATASYNC_CRASH_BUDGET_S", "300".to_owned()),
            ("DATASYNC_SEED", "7".to_owned()),
            ("DATASYNC_CRASH_REPLAY", "p0,c".to_owned()),
        ];
        assert_eq!(bounds(&words), Ok(wanted.to_vec()));
    }

    #[test]
    fn options_that_are_not_understood_are_refused() {
        for line in ["--depth", "--depth x", "--depth 5m", "--budget -1", "--loud"] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert!(bounds(&words).is_err(), "{line}");
        }
    }
}
