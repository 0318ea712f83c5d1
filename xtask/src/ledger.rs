//! `tests/crash/LEDGER.json`: what was run, how far, and what it found; one line for each record run.

use std::process::Command;

/// Adds one JSON object, on a line of its own.
///
/// # Errors
/// A sentence when the ledger cannot be written or has lost its end.
pub fn append(entry: &str) -> Result<(), String> {
    let path = crate::root().join("tests/crash/LEDGER.json");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let text = with(&text, entry).ok_or("LEDGER.json does not end as a list does")?;
    std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
}

fn with(text: &str, entry: &str) -> Option<String> {
    let list = text.trim_end().strip_suffix(']')?.trim_end();
    let comma = if list.ends_with('[') { "" } else { "," };
    Some(format!("{list}{comma}\n  {entry}\n]\n"))
}

/// The commit that is checked out, in short.
#[must_use]
pub fn commit() -> String {
    let asked =
        Command::new("git").args(["rev-parse", "--short", "HEAD"]).current_dir(crate::root()).output();
    let text = asked.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.ok().filter(|text| !text.is_empty()).unwrap_or_else(|| "unknown".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_becomes_the_last_of_the_list() {
        assert_eq!(with("[\n]\n", "{}").unwrap(), "[\n  {}\n]\n");
        assert_eq!(with("[\n  {\"a\": 1}\n]\n", "{}").unwrap(), "[\n  {\"a\": 1},\n  {}\n]\n");
        assert_eq!(with("not a list", "{}"), None);
    }
}
