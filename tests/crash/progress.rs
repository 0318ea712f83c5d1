//! A line that says how far a long run is, and the file from which one that was stopped goes on.
//!
//! `DATASYNC_CRASH_STATE` names the file: how a state is crashed again, what all runs took so far, then a line for
//! each job that is done, with the commit that did it. Beside it, in `.keys`, are the keys of the distinct states of
//! these jobs, eight bytes each. The next run does not count them again, but tries them again wherever it meets
//! them: the code may be another by then. Of a file of other bounds the keys are kept, and no job is done.

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
#[derive(Clone, Debug, Default)]
pub struct Finished {
    /// The commit that did it.
    pub commit: String,
    pub states: u64,
    pub distinct: u64,
    /// Milliseconds on a processor.
    pub busy_ms: u64,
}

/// All jobs that are done, and all runs that did them.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    pub states: u64,
    /// Of all runs, those of other bounds too.
    pub distinct: u64,
    /// For each commit, how many jobs it did, and how many distinct states those saw first.
    pub by_commit: BTreeMap<String, (usize, u64)>,
    pub busy_ms: u64,
    pub runs: u64,
    pub wall_ms: u64,
}

/// Jobs done so far, here and in earlier runs of the same bounds. A job's name says all that it tries.
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
    jobs: BTreeMap<String, Finished>,
    /// How many keys the file of keys has for these jobs, and for those of other bounds; what is behind them belongs
    /// to none.
    keys: u64,
}

impl Record {
    /// A record that nobody keeps.
    pub fn unkept() -> Self {
        let done = Mutex::default();
        Self { path: None, bounds: String::new(), runs: 0, wall_ms: 0, begun: Instant::now(), done }
    }

    /// What the state file holds, if one is asked for; of other bounds, its keys.
    pub fn open(bounds: String) -> Self {
        let Some(path) = std::env::var_os("DATASYNC_CRASH_STATE").map(PathBuf::from) else {
            return Self { bounds, ..Self::unkept() };
        };
        let text = fs::read_to_string(&path).unwrap_or_default();
        let (runs, wall_ms, done) = parse(&text, &bounds)
            .unwrap_or_else(|| panic!("{} is no state file: remove it to begin anew", path.display()));
        Self { path: Some(path), bounds, runs, wall_ms, begun: Instant::now(), done: Mutex::new(done) }
    }

    pub fn is_done(&self, job: &str) -> bool {
        self.done.lock().expect("unpoisoned").jobs.contains_key(job)
    }

    /// Tells `tried` which states are counted.
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
            tried.is_counted(u64::from_le_bytes(key));
        }
    }

    /// Writes down that `job` is done, and the keys of the states that it saw first.
    pub fn finish(&self, name: String, job: Finished, keys: &[u64]) {
        let mut done = self.done.lock().expect("unpoisoned");
        done.jobs.insert(name, job);
        let before = done.keys;
        done.keys += keys.len() as u64;
        let Some(path) = &self.path else { return };
        let bytes: Vec<u8> = keys.iter().flat_map(|key| key.to_le_bytes()).collect();
        let written = fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(path.with_extension("keys"))
            .and_then(|mut file| file.seek(SeekFrom::Start(before * 8)).and(file.write_all(&bytes)));
        written.expect("the file of keys is writable");
        let (runs, wall_ms) = (self.runs + 1, self.wall_ms());
        let mut text = format!("{}\n{runs} {wall_ms} {}\n", self.bounds, done.keys);
        for (name, Finished { commit, states, distinct, busy_ms }) in &done.jobs {
            text.push_str(&format!("{name} {commit} {states} {distinct} {busy_ms}\n"));
        }
        // Beside it and renamed: a run that is ended while it writes loses nothing.
        let beside = path.with_extension("new");
        fs::write(&beside, text)
            .and_then(|()| fs::rename(&beside, path))
            .expect("the state file is writable");
    }

    /// What all runs have done.
    pub fn sums(&self) -> Sums {
        let done = self.done.lock().expect("unpoisoned");
        let mut sums =
            Sums { distinct: done.keys, runs: self.runs + 1, wall_ms: self.wall_ms(), ..Sums::default() };
        for Finished { commit, states, distinct, busy_ms } in done.jobs.values() {
            sums.states += states;
            sums.busy_ms += busy_ms;
            let (jobs, first) = sums.by_commit.entry(commit.clone()).or_default();
            *jobs += 1;
            *first += distinct;
        }
        sums
    }

    fn wall_ms(&self) -> u64 {
        self.wall_ms + self.begun.elapsed().as_millis() as u64
    }
}

/// Runs, milliseconds, and the jobs that a state file names. Of other bounds, its keys alone. `None` if it is none.
fn parse(text: &str, bounds: &str) -> Option<(u64, u64, Done)> {
    let mut lines = text.lines();
    let Some(first) = lines.next() else { return Some(Default::default()) };
    let numbers = |words: &[&str]| words.iter().map(|word| word.parse().ok()).collect::<Option<Vec<u64>>>();
    let [runs, wall_ms, keys] = numbers(&lines.next()?.split(' ').collect::<Vec<_>>())?[..] else {
        return None;
    };
    if first != bounds {
        return Some((0, 0, Done { keys, ..Done::default() }));
    }
    let job = |line: &str| {
        let [name, commit, states, distinct, busy_ms] = line.split(' ').collect::<Vec<_>>()[..] else {
            return None;
        };
        let [states, distinct, busy_ms] = numbers(&[states, distinct, busy_ms])?[..] else { return None };
        Some((name.to_owned(), Finished { commit: commit.to_owned(), states, distinct, busy_ms }))
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
fn a_state_file_of_other_bounds_has_keys_and_no_jobs() {
    let text = "few\n2 500 9\n/a0/1/4 abc 20 9 70\n";
    let (runs, wall_ms, done) = parse(text, "few").expect("well formed");
    assert_eq!((runs, wall_ms, done.keys, done.jobs["/a0/1/4"].busy_ms), (2, 500, 9, 70));
    let (runs, wall_ms, done) = parse(text, "more").expect("well formed");
    assert_eq!((runs, wall_ms, done.keys, done.jobs.len()), (0, 0, 9, 0));
    assert!(parse("few\n2 500 9\n/a0/1/4 abc 20\n", "few").is_none() && parse("few\n", "few").is_none());
    assert_eq!(parse("", "few").expect("nothing").2.keys, 0);
}
