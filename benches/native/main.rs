//! What the store costs, natively, beside SQLite's own WAL on the same disk in the same run.
//!
//! `cargo xtask bench [--json] [--runs N] [--commits N] [--dir DIR] [--large FILE.db]`
//!
//! Both sides run the same rusqlite, the same SQL and `synchronous=FULL`: every commit that is counted was
//! durable when the call returned. They take turns in slices of [`commits::SLICE`] commits, so that a slow
//! moment of the disk hits both. Numbers are medians over runs.

mod commits;
mod opening;
mod report;
mod side;

use std::path::PathBuf;
use std::process::ExitCode;

/// What was asked for on the command line.
#[derive(Debug)]
pub struct Asked {
    /// Where the databases are made: on the disk that is measured.
    pub dir: PathBuf,
    /// How often each measurement is repeated.
    pub runs: usize,
    /// Commits of one side in one run.
    pub commits: usize,
    /// A large plain database to import, for memory and time on a store far larger than the log.
    pub large: Option<PathBuf>,
    /// JSON instead of a table.
    pub json: bool,
}

/// A measurement's result; the error is a sentence for people.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn asked(args: &[String]) -> Outcome<Asked> {
    let mut asked =
        Asked { dir: PathBuf::from("target/bench"), runs: 5, commits: 500, large: None, json: false };
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} wants a value after it"));
        match word.as_str() {
            // What `cargo bench` adds by itself.
            "--bench" => {}
            "--json" => asked.json = true,
            "--runs" => asked.runs = value()?.parse()?,
            "--commits" => asked.commits = value()?.parse()?,
            "--dir" => asked.dir = PathBuf::from(value()?),
            "--large" => asked.large = Some(PathBuf::from(value()?)),
            other => return Err(format!("bench has no option `{other}`").into()),
        }
    }
    Ok(asked)
}

fn measure(args: &[String]) -> Outcome<()> {
    let asked = asked(args)?;
    std::fs::create_dir_all(&asked.dir)?;
    let mut report = report::Report::new(asked.json);
    commits::single_thread(&asked, &mut report)?;
    commits::concurrent(&asked, 4, &mut report)?;
    commits::concurrent(&asked, 8, &mut report)?;
    commits::calls_per_commit(&asked, &mut report)?;
    opening::clean(&asked, &mut report)?;
    opening::after_a_crash(&asked, &mut report)?;
    if let Some(large) = &asked.large {
        opening::large(&asked, large, &mut report)?;
    }
    report.finish();
    Ok(())
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.first().map(String::as_str) {
        Some("child-commits") => commits::child(&args[1..]),
        Some("child-crash") => opening::child_crash(&args[1..]),
        Some("child-query") => opening::child_query(&args[1..]),
        _ => measure(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
