//! `cargo xtask planted`: every deliberate bug against the suites; which suite caught it, and how fast.
//!
//! The test programs print one line for each bug, and how many the registry has; this command runs them, sums up,
//! and with `--write` makes the tables of `docs/proof.md` and README.md from those lines. A bug that nothing catches
//! fails the programs, and so this; so does a bug of which no line came.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// A bug and what caught it, as a test program printed it.
#[derive(Debug, PartialEq, Eq)]
struct Hunted {
    bug: String,
    /// Suite, milliseconds, promise.
    by: Vec<(String, u64, String)>,
}

/// Runs the programs.
///
/// # Errors
/// A sentence when a bug escapes, or when a word is not understood.
pub fn run(args: &[String]) -> Result<(), String> {
    let (mut write, mut only) = (false, None);
    let mut words = args.iter();
    let mut all = false;
    while let Some(word) = words.next() {
        match word.as_str() {
            "--write" => write = true,
            "--all" => all = true,
            "--bug" => only = Some(words.next().ok_or("--bug wants a name after it")?),
            other => return Err(format!("planted has no option `{other}`; --help lists them")),
        }
    }
    if write && only.is_some() {
        return Err("--write makes the tables of every bug; leave --bug out".to_owned());
    }
    let (mut hunted, mut registered) = (Vec::new(), 0);
    let programs = [
        ("sim", "crash", Some("crash")),
        ("sim", "properties", Some("crash")),
        ("cli,sim", "sql_crash", None),
    ];
    for (features, test, profile) in programs {
        let mut command = crate::cargo();
        command.args(["test", "--locked", "--package", "datasync", "--test", test]);
        if let Some(profile) = profile {
            command.args(["--profile", profile, "--no-default-features"]);
        }
        command.args(["--features", features, "--", "--nocapture", "planted::"]);
        // Hundreds of caught panics; the lines that count would drown in their traces.
        command.env("RUST_BACKTRACE", "0").stderr(Stdio::null());
        if all {
            command.env("DATASYNC_HUNT_ALL", "1");
        }
        if let Some(only) = only {
            command.env("DATASYNC_HUNT", only);
        }
        let (more, of) = watch(command)?;
        merge(&mut hunted, more);
        registered += of;
    }
    if only.is_none() && hunted.len() != registered {
        let seen = hunted.len();
        return Err(format!(
            "the registry has {registered} bugs, and lines came of {seen}: some were not hunted"
        ));
    }
    let escaped = hunted.iter().filter(|one| one.by.is_empty()).count();
    println!("{}", summary(&hunted));
    if escaped > 0 {
        return Err(format!("{escaped} planted bugs were not noticed"));
    }
    if write {
        write_table("docs/proof.md", &every_bug(&hunted))?;
        write_table("README.md", &by_suite(&hunted))?;
    }
    Ok(())
}

/// Makes the table of a document anew.
fn write_table(document: &str, table: &str) -> Result<(), String> {
    let path = crate::root().join(document);
    let trouble = |error: std::io::Error| format!("{document}: {error}");
    let text = std::fs::read_to_string(&path).map_err(trouble)?;
    let text = with_table(&text, table).ok_or_else(|| format!("{document} has lost its marks"))?;
    std::fs::write(&path, text).map_err(trouble)
}

/// Adds what another program caught: a bug that is known by then is caught by one suite more.
fn merge(hunted: &mut Vec<Hunted>, more: Vec<Hunted>) {
    for one in more {
        match hunted.iter_mut().find(|known| known.bug == one.bug) {
            Some(known) => known.by.extend(one.by),
            None => hunted.push(one),
        }
    }
}

/// Runs one program and repeats the lines that are about bugs; with how many the program says there are.
fn watch(mut command: std::process::Command) -> Result<(Vec<Hunted>, usize), String> {
    let mut child =
        command.stdout(Stdio::piped()).spawn().map_err(|error| format!("cannot run cargo: {error}"))?;
    let output = child.stdout.take().ok_or("cargo has no output")?;
    let (mut hunted, mut registered) = (Vec::new(), 0);
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if let Some(one) = read(&line) {
            println!("{line}");
            hunted.push(one);
        }
        registered += count(&line).unwrap_or(0);
    }
    let status = child.wait().map_err(|error| format!("lost cargo: {error}"))?;
    if status.success() || hunted.iter().any(|one| one.by.is_empty()) {
        Ok((hunted, registered))
    } else {
        Err(format!("a suite of planted bugs ended with {status}"))
    }
}

/// How many bugs a program's part of the registry has.
fn count(line: &str) -> Option<usize> {
    own_part(line).strip_prefix("planted: ")?.split_once(" bugs")?.0.parse().ok()
}

/// A line without the name of the test that libtest puts before the first of it.
fn own_part(line: &str) -> &str {
    match line.split_once(" ... ") {
        Some((test, rest)) if test.starts_with("test ") => rest,
        _ => line,
    }
}

fn read(line: &str) -> Option<Hunted> {
    let (bug, by) = own_part(line).strip_prefix("planted ")?.split_once(": ")?;
    if bug.is_empty() || !bug.chars().all(char::is_alphanumeric) {
        return None;
    }
    let one = |text: &str| {
        let mut parts = text.splitn(3, ", ");
        let (suite, ms, promise) = (parts.next()?, parts.next()?, parts.next()?);
        Some((suite.to_owned(), ms.strip_suffix(" ms")?.parse().ok()?, promise.to_owned()))
    };
    Some(Hunted { bug: bug.to_owned(), by: by.split("; ").filter_map(one).collect() })
}

/// The suites besides the first, each once: several tests of one suite are no second witness.
fn others(one: &Hunted) -> Vec<&str> {
    let mut suites: Vec<&str> = Vec::new();
    for (suite, ..) in &one.by {
        if !suites.contains(&suite.as_str()) {
            suites.push(suite);
        }
    }
    suites.split_off(suites.len().min(1))
}

/// How many, by which suites, and the median time to the first catch.
fn summary(hunted: &[Hunted]) -> String {
    let mut times: Vec<u64> = hunted.iter().filter_map(|one| Some(one.by.first()?.1)).collect();
    let median = median(&mut times);
    let slowest = times.last().copied().unwrap_or(0);
    let twice = hunted.iter().filter(|one| !others(one).is_empty()).count();
    format!(
        "{} of {} planted bugs caught; median {median} ms, slowest {slowest} ms; {twice} by two suites or more",
        times.len(),
        hunted.len()
    )
}

/// Sorts `times`.
fn median(times: &mut [u64]) -> u64 {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or(0)
}

/// The text with what stands between its two marks replaced.
fn with_table(text: &str, table: &str) -> Option<String> {
    let marks = ("<!-- planted -->\n", "<!-- end of planted -->");
    let (before, rest) = text.split_once(marks.0)?;
    let (_, after) = rest.split_once(marks.1)?;
    Some(format!("{before}{}{table}{}{after}", marks.0, marks.1))
}

/// What each suite was the first to catch.
fn by_suite(hunted: &[Hunted]) -> String {
    let mut suites: Vec<(&str, Vec<u64>)> = Vec::new();
    for (suite, ms, _) in hunted.iter().filter_map(|one| one.by.first()) {
        match suites.iter_mut().find(|(known, _)| known == suite) {
            Some((_, times)) => times.push(*ms),
            None => suites.push((suite, vec![*ms])),
        }
    }
    suites.sort_by_key(|(_, times)| std::cmp::Reverse(times.len()));
    let mut all: Vec<u64> = suites.iter().flat_map(|(_, times)| times.clone()).collect();
    let mut table = "| suite | planted bugs it was first to catch | median, ms |\n|---|---|---|\n".to_owned();
    for (suite, mut times) in suites {
        table.push_str(&format!("| {suite} | {} | {} |\n", times.len(), median(&mut times)));
    }
    table.push_str(&format!("| **all** | **{} of {}** | {} |\n", all.len(), hunted.len(), median(&mut all)));
    table
}

/// Every bug, and who caught it.
fn every_bug(hunted: &[Hunted]) -> String {
    let mut table = format!("{}\n\n| bug | caught by | broken | ms |\n|---|---|---|---|\n", summary(hunted));
    for one in hunted {
        let Some((first, ms, promise)) = one.by.first() else { continue };
        let also = others(one);
        let also = if also.is_empty() { String::new() } else { format!("; also {}", also.join(", ")) };
        table.push_str(&format!("| {} | {first}{also} | {promise} | {ms} |\n", one.bug));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_suites_become_rows() {
        let one = read("planted SkipRelog: format, 3 ms, I2 durability; lives, 40 ms, I1 prefix").unwrap();
        assert_eq!(one.by[1], ("lives".to_owned(), 40, "I1 prefix".to_owned()));
        assert_eq!(read("planted: 3 bugs"), None);
        assert_eq!(count("planted: 3 bugs in the VFS"), Some(3));
        assert_eq!(count("planted SkipRelog: format, 3 ms, I2 durability"), None);
        let first = read("test planted::each_is_caught ... planted SkipRelog: format, 3 ms, I2").unwrap();
        assert_eq!(first.bug, "SkipRelog");
        let nobody = read("planted SkipAll: NOBODY").unwrap();
        assert!(nobody.by.is_empty());
        let mut both = vec![read("planted SkipRelog: format, 3 ms, I2").unwrap()];
        merge(&mut both, vec![read("planted SkipRelog: lives, 4 ms, I1").unwrap()]);
        assert_eq!((both.len(), both[0].by.len()), (1, 2));
        assert_eq!(
            summary(&[one, nobody]),
            "1 of 2 planted bugs caught; median 3 ms, slowest 3 ms; 1 by two suites or more"
        );
    }

    #[test]
    fn the_table_stands_between_its_marks() {
        let one = read("planted SkipRelog: format, 3 ms, I2 durability").unwrap();
        let hunted = [one];
        let marked = "a\n<!-- planted -->\nold\n<!-- end of planted -->\nb";
        let text = with_table(marked, &every_bug(&hunted)).unwrap();
        assert!(
            text.starts_with("a\n<!-- planted -->\n1 of 1") && text.ends_with("<!-- end of planted -->\nb")
        );
        assert!(text.contains("| SkipRelog | format | I2 durability | 3 |") && !text.contains("old"));
        let text = with_table(marked, &by_suite(&hunted)).unwrap();
        assert!(text.contains("| format | 1 | 3 |\n| **all** | **1 of 1** | 3 |\n"), "{text}");
        assert_eq!(with_table("a", ""), None);
    }
}
