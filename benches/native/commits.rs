//! Durable commits a second: one thread, and several that share barriers.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::report::{Report, median, quantile};
use crate::side::{Opened, Side};
use crate::{Asked, Outcome};

/// Commits of one side before the other has its turn.
pub const SLICE: usize = 25;
const BODY: &str =
    "one hundred bytes or so of text, as a note in an app would have it; nothing large, nothing special";

/// Commits one row `count` times and adds each commit's time in microseconds to `taken`.
fn insert(connection: &Connection, count: usize, taken: &mut Vec<f64>) -> Outcome<Duration> {
    let mut statement = connection.prepare("INSERT INTO note(body) VALUES (?1)")?;
    let begun = Instant::now();
    for _ in 0..count {
        let one = Instant::now();
        statement.execute([BODY])?;
        taken.push(one.elapsed().as_secs_f64() * 1e6);
    }
    Ok(begun.elapsed())
}

/// One thread, one row a commit.
pub fn single_thread(asked: &Asked, report: &mut Report) -> Outcome<()> {
    let (mut rates, mut ratios) = ([Vec::new(), Vec::new()], Vec::new());
    let mut taken = [Vec::new(), Vec::new()];
    for run in 0..asked.runs {
        let opened = [
            Opened::fresh(Side::DataSync, &asked.dir, "single")?,
            Opened::fresh(Side::Wal, &asked.dir, "single")?,
        ];
        let connections = [opened[0].connection()?, opened[1].connection()?];
        let mut warm = Vec::new();
        for connection in &connections {
            insert(connection, SLICE, &mut warm)?;
        }
        let mut spent = [Duration::ZERO; 2];
        for slice in 0..asked.commits / SLICE {
            // Who goes first changes, so that neither always pays for the other's leftovers.
            for side in if (run + slice) % 2 == 0 { [0, 1] } else { [1, 0] } {
                spent[side] += insert(&connections[side], SLICE, &mut taken[side])?;
            }
        }
        let commits = (asked.commits / SLICE * SLICE) as f64;
        let rate = spent.map(|time| commits / time.as_secs_f64());
        rates[0].push(rate[0]);
        rates[1].push(rate[1]);
        ratios.push(rate[0] / rate[1]);
        drop(connections);
        for one in opened {
            one.remove()?;
        }
    }
    let values = [
        ("datasync", median(&mut rates[0]), "/s"),
        ("wal", median(&mut rates[1]), "/s"),
        ("ratio", median(&mut ratios), ""),
    ];
    report.row("commits, 1 thread, FULL", &values);
    let [ours, wal] = &mut taken;
    report.row(
        "  time of one commit, middle",
        &[("datasync", quantile(ours, 0.5), " us"), ("wal", quantile(wal, 0.5), " us")],
    );
    report.row(
        "  time of one commit, 99 of 100 below",
        &[("datasync", quantile(ours, 0.99), " us"), ("wal", quantile(wal, 0.99), " us")],
    );
    Ok(())
}

/// `threads` connections that commit one row each as fast as they can.
pub fn concurrent(asked: &Asked, threads: usize, report: &mut Report) -> Outcome<()> {
    let (mut rates, mut ratios) = ([Vec::new(), Vec::new()], Vec::new());
    for run in 0..asked.runs {
        let mut rate = [0.0; 2];
        for side in if run % 2 == 0 { [0, 1] } else { [1, 0] } {
            rate[side] = together(Side::BOTH[side], asked, threads)?;
        }
        rates[0].push(rate[0]);
        rates[1].push(rate[1]);
        ratios.push(rate[0] / rate[1]);
    }
    let values = [
        ("datasync", median(&mut rates[0]), "/s"),
        ("wal", median(&mut rates[1]), "/s"),
        ("ratio", median(&mut ratios), ""),
    ];
    report.row(format!("commits, {threads} threads, FULL"), &values);
    Ok(())
}

fn together(side: Side, asked: &Asked, threads: usize) -> Outcome<f64> {
    let opened = Opened::fresh(side, &asked.dir, "together")?;
    let each = (asked.commits / threads).max(1);
    let begun = Instant::now();
    std::thread::scope(|scope| -> Outcome<()> {
        let mut writers = Vec::new();
        for _ in 0..threads {
            let opened = &opened;
            writers.push(scope.spawn(move || insert(&opened.connection()?, each, &mut Vec::new())));
        }
        for writer in writers {
            writer.join().map_err(|_| "a writer panicked")??;
        }
        Ok(())
    })?;
    let rate = (each * threads) as f64 / begun.elapsed().as_secs_f64();
    let rows: i64 = opened.connection()?.query_row("SELECT count(*) FROM note", [], |row| row.get(0))?;
    assert_eq!(rows, i64::try_from(each * threads)?, "every acknowledged row is there");
    opened.remove()?;
    Ok(rate)
}

/// `child-commits SIDE DIR N`: N commits, for `strace` to count.
pub fn child(args: &[String]) -> Outcome<()> {
    let [side, dir, count] = args else { return Err("child-commits SIDE DIR N".into()) };
    let side = Side::named(side).ok_or("no such side")?;
    let opened = Opened::fresh(side, Path::new(dir), "traced")?;
    insert(&opened.connection()?, SLICE + count.parse::<usize>()?, &mut Vec::new())?;
    // Left as it is: closing is not what is counted.
    std::process::exit(0);
}

const CALLS: [&str; 6] = ["fdatasync", "fsync", "pwrite64", "pwritev", "write", "fallocate"];

/// System calls of one commit, from the difference of two traced runs.
pub fn calls_per_commit(asked: &Asked, report: &mut Report) -> Outcome<()> {
    const COMMITS: usize = 100;
    if Command::new("strace").arg("-V").output().is_err() {
        report.note("no strace here: calls per commit are not counted");
        return Ok(());
    }
    for side in Side::BOTH {
        let (none, many) = (traced(side, asked, 0)?, traced(side, asked, COMMITS)?);
        let values: Vec<(&'static str, f64, &'static str)> = CALLS
            .iter()
            .zip(none.iter().zip(&many))
            .map(|(name, (before, after))| (*name, (after - before) / COMMITS as f64, ""))
            .filter(|(_, per_commit, _)| *per_commit > 0.004)
            .collect();
        report.row(format!("  calls of one commit, {}", side.name()), &values);
    }
    Ok(())
}

fn traced(side: Side, asked: &Asked, commits: usize) -> Outcome<[f64; CALLS.len()]> {
    let summary = asked.dir.join("strace.txt");
    let output = Command::new("strace")
        .args(["-f", "-c", "-o"])
        .arg(&summary)
        .arg(format!("--trace={}", CALLS.join(",")))
        .arg(std::env::current_exe()?)
        .args(["child-commits", side.name()])
        .arg(&asked.dir)
        .arg(commits.to_string())
        .output()?;
    if !output.status.success() {
        return Err(format!("strace: {}", String::from_utf8_lossy(&output.stderr).trim()).into());
    }
    let text = std::fs::read_to_string(&summary)?;
    // Columns: % time, seconds, usecs/call, calls, [errors,] syscall.
    Ok(CALLS.map(|name| {
        let line = text.lines().find(|line| line.split_whitespace().last() == Some(name));
        line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok()).unwrap_or(0.0)
    }))
}
