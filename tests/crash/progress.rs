//! A line that says how far a long run is, and the file from which one that was stopped goes on.
//!
//! `DATASYNC_CRASH_STATE` names the file: the bounds, what all runs took so far, then a line for each job that is
//! done. Beside it, in `.keys`, are the keys of the distinct states of these jobs, eight bytes each, so that the
//! next run neither tries nor counts them again. A file of other bounds is begun anew.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufReader, IsTerminal, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::images::{Totals, Tried};

/// Prints one line every two seconds, over the last one on a terminal, until `done`.
pub fn watch(what: &str, done: &AtomicBool, look: impl Fn() -> (String, Totals)) {
    let begun = Instant::now();
    let live = std::io::stderr().is_terminal();
    let every = Duration::from_secs(if live { 2 } else { 60 });
    let mut last = Instant::now();
    while !done.load(Ordering::Acquire) {
        std::thread::sleep(Duration::from_millis(50));
        if last.elapsed() < every {
            continue;
        }
        last = Instant::now();
        let (jobs, totals) = look();
        let line = format!(
            "{what}: {jobs}; {} states, {:.0}/s, {} distinct, {} crashes inside a recovery",
            totals.states,
            totals.states as f64 / begun.elapsed().as_secs_f64(),
            totals.distinct,
            totals.inside_recovery
        );
        let mut err = std::io::stderr();
        let _ = if live { write!(err, "\r{line}  ") } else { writeln!(err, "{line}") };
        let _ = err.flush();
    }
}

/// One job that is done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Finished {
    pub states: u64,
    pub distinct: u64,
    /// Milliseconds on a processor.
    pub busy_ms: u64,
}

/// All jobs that are done, and all runs that did them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sums {
    pub jobs: usize,
    pub states: u64,
    pub distinct: u64,
    pub busy_ms: u64,
    pub runs: u64,
    pub wall_ms: u64,
}

/// Jobs done so far, here and in earlier runs of the same bounds.
pub struct Record {
    path: Option<PathBuf>,
    bounds: String,
    /// Earlier runs, and the time they took until their last job.
    runs: u64,
    wall_ms: u64,
    begun: Instant,
    done: Mutex<Done>,
}

#[derive(Default)]
struct Done {
    jobs: BTreeMap<usize, Finished>,
    /// How many keys the file of keys has for these jobs; what is behind them belongs to none.
    keys: u64,
}

impl Record {
    /// A record that nobody keeps.
    pub fn unkept() -> Self {
        let done = Mutex::default();
        Self { path: None, bounds: String::new(), runs: 0, wall_ms: 0, begun: Instant::now(), done }
    }

    /// What the state file holds, if one is asked for and is of these bounds.
    pub fn open(bounds: String) -> Self {
        let Some(path) = std::env::var_os("DATASYNC_CRASH_STATE").map(PathBuf::from) else {
            return Self { bounds, ..Self::unkept() };
        };
        let text = fs::read_to_string(&path).unwrap_or_default();
        let (runs, wall_ms, done) = parse(&text, &bounds).unwrap_or_default();
        Self { path: Some(path), bounds, runs, wall_ms, begun: Instant::now(), done: Mutex::new(done) }
    }

    pub fn is_done(&self, job: usize) -> bool {
        self.done.lock().expect("unpoisoned").jobs.contains_key(&job)
    }

    /// Tells `tried` the states of all jobs that are done.
    pub fn recall(&self, tried: &Tried) {
        let Some(path) = &self.path else { return };
        let keys = self.done.lock().expect("unpoisoned").keys;
        let Ok(file) = fs::File::open(path.with_extension("keys")) else {
            assert_eq!(keys, 0, "the file of keys beside {} is gone", path.display());
            return;
        };
        let mut file = BufReader::new(file);
        let mut key = [0; 8];
        for _ in 0..keys {
            file.read_exact(&mut key).expect("as many keys as the state file says");
            tried.remember(u64::from_le_bytes(key));
        }
    }

    /// Writes down that `job` is done, and the keys of the states that it saw first.
    pub fn finish(&self, number: usize, job: Finished, keys: &[u64]) {
        let mut done = self.done.lock().expect("unpoisoned");
        done.jobs.insert(number, job);
        let Some(path) = &self.path else { return };
        let bytes: Vec<u8> = keys.iter().flat_map(|key| key.to_le_bytes()).collect();
        let written = fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(path.with_extension("keys"))
            .and_then(|mut file| file.seek(SeekFrom::Start(done.keys * 8)).and(file.write_all(&bytes)));
        written.expect("the file of keys is writable");
        done.keys += keys.len() as u64;
        let sums = self.sums_of(&done);
        let mut text = format!("{}\n{} {} {}\n", self.bounds, sums.runs, sums.wall_ms, done.keys);
        for (number, Finished { states, distinct, busy_ms }) in &done.jobs {
            text.push_str(&format!("{number} {states} {distinct} {busy_ms}\n"));
        }
        // Beside it and renamed: a run that is ended while it writes loses nothing.
        let beside = path.with_extension("new");
        fs::write(&beside, text)
            .and_then(|()| fs::rename(&beside, path))
            .expect("the state file is writable");
    }

    /// What all runs have done.
    pub fn sums(&self) -> Sums {
        self.sums_of(&self.done.lock().expect("unpoisoned"))
    }

    fn sums_of(&self, done: &Done) -> Sums {
        let wall_ms = self.wall_ms + self.begun.elapsed().as_millis() as u64;
        let none = Sums { jobs: done.jobs.len(), runs: self.runs + 1, wall_ms, ..Sums::default() };
        done.jobs.values().fold(none, |sums, job| Sums {
            states: sums.states + job.states,
            distinct: sums.distinct + job.distinct,
            busy_ms: sums.busy_ms + job.busy_ms,
            ..sums
        })
    }
}

/// Runs, milliseconds, and the jobs that a state file of these bounds names.
fn parse(text: &str, bounds: &str) -> Option<(u64, u64, Done)> {
    let mut lines = text.lines();
    lines.next().filter(|first| *first == bounds)?;
    let numbers = |line: &str| line.split(' ').map(|word| word.parse().ok()).collect::<Option<Vec<u64>>>();
    let [runs, wall_ms, keys] = numbers(lines.next()?)?[..] else { return None };
    let job = |line| match numbers(line)?[..] {
        [number, states, distinct, busy_ms] => {
            Some((number as usize, Finished { states, distinct, busy_ms }))
        }
        _ => None,
    };
    Some((runs, wall_ms, Done { jobs: lines.map(job).collect::<Option<_>>()?, keys }))
}

/// Milliseconds that this thread has been on a processor, where the system says so, else since `begun`.
pub fn busy_ms(begun: Instant) -> u64 {
    let told = fs::read_to_string("/proc/thread-self/schedstat").ok();
    let told = told.and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    told.map_or_else(|| begun.elapsed().as_millis() as u64, |nanoseconds| nanoseconds / 1_000_000)
}

#[test]
fn a_state_file_of_other_bounds_or_half_a_line_is_none() {
    let text = "deep\n2 500 9\n3 20 9 70\n";
    let (runs, wall_ms, done) = parse(text, "deep").expect("well formed");
    assert_eq!((runs, wall_ms, done.keys, done.jobs[&3].busy_ms), (2, 500, 9, 70));
    assert!(parse(text, "deeper").is_none() && parse("deep\n2 500 9\n3 20\n", "deep").is_none());
}
