//! A line that says how far a long run is, and the file from which one that was stopped goes on.
//!
//! `DATASYNC_CRASH_STATE` names the file: a line with the bounds, then one for each job that is done. A file of
//! other bounds is begun anew.

use std::collections::BTreeMap;
use std::fs;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Numbers that several threads raise.
#[derive(Default)]
pub struct Counters {
    pub states: AtomicU64,
    pub distinct: AtomicU64,
    pub faults: AtomicU64,
    pub done: AtomicBool,
}

impl Counters {
    pub fn add(&self, states: u64, distinct: u64) {
        self.states.fetch_add(states, Ordering::Relaxed);
        self.distinct.fetch_add(distinct, Ordering::Relaxed);
    }

    pub fn set(&self, states: u64, distinct: u64) {
        self.states.store(states, Ordering::Relaxed);
        self.distinct.store(distinct, Ordering::Relaxed);
    }

    /// Prints one line every two seconds, over the last one on a terminal, until the run is done.
    pub fn watch(&self, what: &str) {
        let begun = Instant::now();
        let live = std::io::stderr().is_terminal();
        let every = Duration::from_secs(if live { 2 } else { 60 });
        let mut last = Instant::now();
        while !self.done.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(50));
            if last.elapsed() < every {
                continue;
            }
            last = Instant::now();
            let (states, distinct) =
                (self.states.load(Ordering::Relaxed), self.distinct.load(Ordering::Relaxed));
            let seconds = begun.elapsed().as_secs_f64();
            let line = format!(
                "{what}: {states} states, {:.0}/s, {distinct} distinct images, {} faults fired",
                states as f64 / seconds,
                self.faults.load(Ordering::Relaxed)
            );
            let mut err = std::io::stderr();
            let _ = if live { write!(err, "\r{line}  ") } else { writeln!(err, "{line}") };
            let _ = err.flush();
        }
    }
}

/// Jobs done so far, here and in earlier runs of the same bounds.
pub struct Record {
    path: Option<PathBuf>,
    bounds: String,
    done: Mutex<BTreeMap<usize, (u64, u64)>>,
}

impl Record {
    /// What the state file holds, if one is asked for and is of these bounds.
    pub fn open(bounds: String) -> Self {
        let path = std::env::var_os("DATASYNC_CRASH_STATE").map(PathBuf::from);
        let text = path.as_ref().and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
        let mut lines = text.lines();
        let same = lines.next() == Some(&bounds);
        let done = lines.filter(|_| same).filter_map(|line| {
            let mut numbers = line.split(' ').map(|word| word.parse::<u64>().ok());
            let (job, states, distinct) = (numbers.next()??, numbers.next()??, numbers.next()??);
            Some((job as usize, (states, distinct)))
        });
        Self { done: Mutex::new(done.collect()), path, bounds }
    }

    /// Whether finished jobs are kept for another run.
    pub fn is_kept(&self) -> bool {
        self.path.is_some()
    }

    pub fn is_done(&self, job: usize) -> bool {
        self.done.lock().expect("unpoisoned").contains_key(&job)
    }

    /// Writes down that `job` is done.
    pub fn finish(&self, job: usize, states: u64, distinct: u64) {
        let mut done = self.done.lock().expect("unpoisoned");
        done.insert(job, (states, distinct));
        let Some(path) = &self.path else { return };
        let mut text = format!("{}\n", self.bounds);
        done.iter()
            .for_each(|(job, (states, distinct))| text.push_str(&format!("{job} {states} {distinct}\n")));
        // Beside it and renamed: a run that is ended while it writes loses nothing.
        let beside = path.with_extension("new");
        fs::write(&beside, text)
            .and_then(|()| fs::rename(&beside, path))
            .expect("the state file is writable");
    }

    /// Jobs, states, distinct states so far.
    pub fn totals(&self) -> (usize, u64, u64) {
        let done = self.done.lock().expect("unpoisoned");
        let sums = done.values().fold((0, 0), |sums, one| (sums.0 + one.0, sums.1 + one.1));
        (done.len(), sums.0, sums.1)
    }
}
