//! `cargo xtask tour`: a tour on a real database, with a real crash in it, in a few seconds.
//!
//! Drives the command line program as a person would and prints each command before it runs. Everything
//! happens in a folder of its own under `target/`, which the next tour clears.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Where the tour is and what it uses.
struct Tour {
    datasync: PathBuf,
    folder: PathBuf,
    step: u32,
}

/// Runs the tour.
///
/// # Errors
/// A sentence when something cannot be built or the tour does not go as told.
pub fn run(_args: &[String]) -> Result<(), String> {
    let programs = build()?;
    let folder = crate::root().join("target").join("tour");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| format!("cannot clear {}: {error}", folder.display()))?;
    }
    fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let begun = Instant::now();
    let mut tour = Tour { datasync: programs.join(name("datasync")), folder, step: 0 };

    tour.say("A shop's database, as any SQLite program would have made it.");
    run_quietly(
        &programs.join("examples").join(name("generate")),
        &["shop.db", "--megabytes", "8"],
        &tour.folder,
    )?;
    tour.say(
        "It goes into a store: a directory with a log, and a base.db that is a plain database when closed.",
    );
    tour.datasync(&["import", "shop.db", "shop.datasync"])?;
    tour.datasync(&["sql", "shop.datasync", TOP_CUSTOMERS])?;

    tour.say(
        "Now a program commits one row after another, as fast as the disk allows, and is killed (SIGKILL).",
    );
    let last = tour.kill_a_writer()?;
    println!("    the last row that it was told is durable: {last}");

    tour.say("What is left. The store was not closed; opening it for reading changes nothing.");
    tour.datasync(&["stat", "shop.datasync"])?;
    tour.datasync(&["log", "shop.datasync", "--last", "4"])?;
    tour.say("The next program opens it. Every acknowledged row must be there, and perhaps one that was on its way.");
    let found = tour.datasync(&["--quiet", "sql", "shop.datasync", "--csv", "SELECT max(id) FROM event"])?;
    let found: u64 =
        found.lines().last().and_then(|line| line.trim().parse().ok()).ok_or("no row was found")?;
    println!("    acknowledged up to {last}, found up to {found}");
    if found < last || found > last + 1 {
        return Err(format!("row {last} was acknowledged, and the store ends at {found}"));
    }

    tour.say("Every byte is checked, then SQLite checks the database.");
    tour.datasync(&["verify", "shop.datasync"])?;
    tour.say("The log is folded into base.db (it happens by itself, too), and the database goes out again.");
    tour.datasync(&["compact", "shop.datasync"])?;
    tour.datasync(&["export", "shop.datasync", "copy.db"])?;
    tour.plain_sqlite()?;
    println!(
        "\nThat was it, in {:.1} s. It is all in {}.",
        begun.elapsed().as_secs_f64(),
        tour.folder.display()
    );
    println!("Next: cargo xtask kill --native (20 such crashes), cargo xtask crash (power cuts), README.md.");
    Ok(())
}

const TOP_CUSTOMERS: &str = "SELECT c.name, c.city, count(*) AS orders, round(sum(t.total)) AS total \
     FROM customer c JOIN purchase p ON p.customer = c.id JOIN turnover t ON t.customer = c.id \
     WHERE c.id < 300 GROUP BY c.id ORDER BY orders DESC LIMIT 5";

fn name(program: &str) -> String {
    format!("{program}{}", std::env::consts::EXE_SUFFIX)
}

/// Builds the programs with the tests' profile, whose SQLite may be compiled already.
fn build() -> Result<PathBuf, String> {
    println!("building ...");
    for words in ["--bin datasync", "--example generate"] {
        let mut command = crate::cargo();
        command.args(["build", "--quiet", "--locked", "--profile", "test", "--features", "cli"]);
        let status =
            command.args(words.split(' ')).status().map_err(|error| format!("cannot run cargo: {error}"))?;
        if !status.success() {
            return Err(format!("cargo build {words} failed"));
        }
    }
    Ok(crate::target().join("debug"))
}

fn run_quietly(program: &Path, args: &[&str], folder: &Path) -> Result<(), String> {
    let output = Command::new(program).args(args).current_dir(folder).output();
    let output = output.map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    print_indented(&String::from_utf8_lossy(&output.stdout));
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

fn print_indented(text: &str) {
    text.lines().for_each(|line| println!("    {line}"));
}

impl Tour {
    fn say(&mut self, sentence: &str) {
        self.step += 1;
        println!("\n{}. {sentence}", self.step);
    }

    /// Shows a command and what it prints; returns its standard output.
    fn datasync(&self, args: &[&str]) -> Result<String, String> {
        let shown: Vec<String> = args
            .iter()
            .map(|word| if word.contains(' ') { format!("'{word}'") } else { (*word).to_owned() })
            .collect();
        println!("  $ datasync {}", shown.join(" "));
        let output = Command::new(&self.datasync).args(args).current_dir(&self.folder).output();
        let output = output.map_err(|error| format!("cannot start {}: {error}", self.datasync.display()))?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        print_indented(&out);
        print_indented(&err);
        if output.status.success() {
            Ok(out.into_owned())
        } else {
            Err(format!("datasync {} failed", shown.join(" ")))
        }
    }

    /// Feeds INSERTs to `datasync sql`, kills it in the middle and returns the last row it acknowledged.
    fn kill_a_writer(&self) -> Result<u64, String> {
        println!(
            "  $ yes \"INSERT INTO event(kind) VALUES ('tick') RETURNING id;\" | datasync sql shop.datasync --csv"
        );
        let mut writer = Command::new(&self.datasync)
            .args(["sql", "shop.datasync", "--csv"])
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start the writer: {error}"))?;
        let mut stdin = writer.stdin.take().ok_or("the writer has no input")?;
        let stdout = writer.stdout.take().ok_or("the writer has no output")?;
        let feeder = std::thread::spawn(move || {
            // Ends when the writer is gone.
            while stdin.write_all(b"INSERT INTO event(kind) VALUES ('tick') RETURNING id;\n").is_ok() {}
        });
        let (send, lines) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| send.send(line))
        });
        let first = lines.recv_timeout(Duration::from_secs(30)).map_err(|_| "the writer never committed")?;
        std::thread::sleep(Duration::from_millis(700));
        writer.kill().map_err(|error| format!("cannot kill the writer: {error}"))?;
        writer.wait().map_err(|error| format!("lost the writer: {error}"))?;
        let rows: Vec<u64> =
            std::iter::once(first).chain(lines).filter_map(|line| line.trim().parse().ok()).collect();
        let _ = (feeder.join(), reader.join());
        println!("    killed after {} acknowledged commits", rows.len());
        rows.last().copied().ok_or_else(|| "the writer acknowledged nothing".to_owned())
    }

    /// Opens base.db with the sqlite3 shell, where there is one.
    fn plain_sqlite(&mut self) -> Result<(), String> {
        self.say("No lock-in: after a clean close plain SQLite opens the base itself.");
        let sql = "PRAGMA integrity_check; SELECT count(*) || ' events' FROM event;";
        println!("  $ sqlite3 shop.datasync/base.db \"{sql}\"");
        let base = self.folder.join("shop.datasync").join("base.db");
        let Ok(output) = Command::new("sqlite3").arg(&base).arg(sql).output() else {
            println!("    (there is no sqlite3 shell here; any SQLite program will do)");
            return Ok(());
        };
        print_indented(&String::from_utf8_lossy(&output.stdout));
        if output.stdout.starts_with(b"ok") {
            Ok(())
        } else {
            Err("plain SQLite does not like base.db".into())
        }
    }
}
