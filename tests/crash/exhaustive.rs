//! Every workload of a few letters, a crash after every op, every medium the crash can leave; then the same
//! with a crash after every op of the recovery.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use datasync::backend::sim::{Bounds, Moment, SimDisk, Trouble};
use datasync::planted::{Bug, plant};

use crate::images::{Tried, check_once, crash_recovery};
use crate::invariants::{Checked, Expected, Violation, no_panic};
use crate::progress::{Finished, Record, Sums, busy_ms, watch};
use crate::reference::History;
use crate::settings;
use crate::workload::{Letter, Run, Word, parse, unexpected};

/// How far to go with crashes inside a recovery.
#[derive(Clone, Copy, Debug)]
pub struct Again {
    /// Which media are crashed again while they are recovered.
    pub of: Bounds,
    /// Which media that crash leaves.
    pub inside: Bounds,
}

/// How far to go.
#[derive(Clone, Debug)]
pub struct Limits {
    pub depth: usize,
    pub double_depth: usize,
    /// The same behind a beginning.
    pub double_later: usize,
    /// Words that every workload may begin with, beyond nothing at all, and the depth after each.
    pub beginnings: Vec<(Vec<Letter>, usize)>,
    pub bounds: Bounds,
    /// Crashes inside a recovery for words of one letter, and for longer ones.
    pub again_short: Again,
    pub again_long: Again,
    pub threads: usize,
    pub bug: Option<Bug>,
    pub deadline: Option<Instant>,
}

impl Limits {
    pub fn from_environment() -> Self {
        let depth = settings::depth();
        // Behind a beginning a letter costs the most: the step before an issue is resolved goes as deep as it can.
        let later = if depth > 3 { depth - 1 } else { depth.saturating_sub(2).max(1) };
        Self {
            depth,
            double_depth: settings::double_depth().unwrap_or(1).min(depth),
            double_later: settings::double_depth().unwrap_or(0).min(depth),
            beginnings: BEGINNINGS.iter().map(|word| (parse(word), later)).collect(),
            bounds: Bounds::default(),
            again_short: Again {
                of: Bounds::default(),
                inside: Bounds { product: 81, pairs: true, drawn: 4, seed: 1 },
            },
            again_long: Again { of: FEW, inside: FEW },
            threads: settings::threads(),
            bug: None,
            deadline: settings::deadline(),
        }
    }
}

impl Limits {
    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() > deadline)
    }

    /// How each state is treated, for the state file; how far a job goes, its name says.
    fn of_a_state(&self) -> String {
        format!("{:?}; {:?}; {:?}", self.bounds, self.again_short, self.again_long)
    }

    /// Letters of a workload up to which crashes inside recovery are tried.
    fn most_double(&self, beginning: usize) -> usize {
        if beginning == 0 { self.double_depth } else { self.double_later }
    }

    /// In words, for the ledger.
    fn words(&self) -> String {
        let later = self.beginnings.first().map_or(0, |(_, depth)| *depth);
        format!(
            "all workloads of <= {} letters, <= {later} behind each of {} beginnings, one crash; crashes inside \
             recovery for <= {} letters, <= {} behind a beginning (beyond 1 letter and {} combinations: with one \
             loser or survivor at most in each of the two crashes, and {} more)",
            self.depth,
            self.beginnings.len(),
            self.double_depth,
            self.double_later.min(later),
            self.again_long.of.product,
            self.again_long.of.drawn
        )
    }
}

/// All combinations up to those of five pages; of more, those with one loser or one survivor at most, and a few.
const FEW: Bounds = Bounds { product: 243, pairs: false, drawn: 4, seed: 1 };

/// Stores that have been through something: several segments; a folded base; an unproven tail; a base cut short;
/// a second fold since a clean open.
pub const BEGINNINGS: [&str; 5] = ["d01.r.d0", "L.C.a0", "d0.k.a1.t0", "L.C.s1", "d01.z.d0.C.a0"];

/// Runs within `limits`: nothing, or the first violation, with all that replays it.
pub fn run(limits: &Limits) -> Checked<()> {
    run_recorded(limits, &Record::unkept(), &Tried::new())
}

/// The same, but for the jobs that `record` knows as done; those that get done are written down in it.
fn run_recorded(limits: &Limits, record: &Record, tried: &Tried) -> Checked<()> {
    let mut left: Vec<Job> = jobs(limits);
    left.retain(|job| !record.is_done(&job.name(limits)));
    let jobs = Mutex::new(left.into_iter().rev().collect::<Vec<_>>());
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..limits.threads.max(1) {
            scope.spawn(|| {
                plant(limits.bug);
                while failed.lock().expect("unpoisoned").is_none() {
                    let Some(mut job) = jobs.lock().expect("unpoisoned").pop() else { break };
                    let (begun, busy) = (Instant::now(), busy_ms(Instant::now()));
                    let tried = tried.for_job();
                    let depth = job.depth;
                    if let Err(violation) = explore(&mut job, depth, limits, &tried) {
                        failed.lock().expect("unpoisoned").get_or_insert(violation);
                        break;
                    }
                    if limits.is_late() {
                        break;
                    }
                    let finished = Finished {
                        commit: settings::commit(),
                        states: tried.states(),
                        distinct: tried.distinct(),
                        busy_ms: busy_ms(begun) - busy,
                    };
                    record.finish(job.name(limits), finished, &tried.first());
                }
            });
        }
    });
    failed.into_inner().expect("unpoisoned").map_or(Ok(()), Err)
}

/// A word to explore from.
struct Job {
    word: Vec<Letter>,
    /// Letters of it that are a beginning, or the root of another job.
    beginning: usize,
    root: usize,
    /// Letters still to come.
    depth: usize,
}

impl Job {
    /// All that it tries: the beginning, the letters behind it, how many are still to come, and up to how many of them
    /// crashes inside recovery are tried.
    fn name(&self, limits: &Limits) -> String {
        let (beginning, rest) = self.word.split_at(self.beginning);
        let double = limits.most_double(self.beginning).min(rest.len() + self.depth);
        format!("{}/{}/{}/{double}", Word(beginning), Word(rest), self.depth)
    }
}

fn jobs(limits: &Limits) -> Vec<Job> {
    let mut jobs = Vec::new();
    let plain = (Vec::new(), limits.depth);
    for (word, depth) in std::iter::once(&plain).chain(&limits.beginnings) {
        split(word.clone(), word.len(), *depth, usize::from(*depth > 1), &mut jobs);
    }
    jobs
}

/// Jobs of `most` letters still to come, so that little is done twice by a run that is stopped.
fn split(word: Vec<Letter>, beginning: usize, left: usize, most: usize, jobs: &mut Vec<Job>) {
    let root = word.len();
    jobs.push(Job { word: word.clone(), beginning, root, depth: if left > most { 0 } else { left } });
    for letter in Letter::ALL.iter().filter(|_| left > most) {
        let word = word.iter().chain([letter]).copied().collect();
        split(word, beginning, left - 1, most, jobs);
    }
}

fn explore(job: &mut Job, left: usize, limits: &Limits, tried: &Tried) -> Checked<()> {
    if limits.is_late() {
        return Ok(());
    }
    let most = limits.most_double(job.beginning);
    let letters = job.word.len() - job.beginning;
    let again = if letters <= 1 { limits.again_short } else { limits.again_long };
    let again = (most > 0 && letters <= most).then_some(again);
    let changed = last_letter(&job.word, limits, again, tried)
        .map_err(|violation| violation.at(format!("replay: DATASYNC_CRASH_REPLAY={}", Word(&job.word))))?;
    if left == 0 || (!changed && job.word.len() > job.root) {
        return Ok(());
    }
    for letter in Letter::ALL {
        job.word.push(*letter);
        let outcome = explore(job, left - 1, limits, tried);
        job.word.pop();
        outcome?;
    }
    Ok(())
}

/// Checks every crash in the last letter of `word` (in the creation of the store, when there is none).
/// Whether that letter changed anything.
pub fn last_letter(word: &[Letter], limits: &Limits, again: Option<Again>, tried: &Tried) -> Checked<bool> {
    let disk = SimDisk::new(1);
    let Some((last, first)) = word.split_last() else {
        disk.start_trace();
        let run = no_panic(|| Run::start(disk.clone()))?;
        let before = crate::workload::nothing();
        return crashes(&disk.take_trace(), &before, &run.history, limits.bounds, again, tried);
    };
    let mut run = no_panic(|| Run::start(disk))?;
    for letter in first {
        no_panic(|| run.step(*letter))?.map_err(|error| unexpected(&error))?;
    }
    run.history.acknowledge_older();
    run.disk.start_trace();
    let outcome = no_panic(|| run.step(*last))?;
    let moments = run.disk.take_trace();
    let plan = plan_of(&moments);
    outcome.map_err(|error| unexpected(&error).at(&plan))?;
    let before = run.before_recovery.clone().unwrap_or_else(|| run.history.clone());
    let changed = crashes(&moments, &before, &run.history, limits.bounds, again, tried)?;
    if matches!(last, Letter::Step | Letter::Compact) {
        tried.fired().add(Trouble::CrashInFold, moments.len().saturating_sub(2) as u64);
    }
    Ok(changed || matches!(last, Letter::Pin | Letter::Unpin))
}

/// `before` holds for crashes during the letter, `after` for one after it.
fn crashes(
    moments: &[Moment],
    before: &History,
    after: &History,
    bounds: Bounds,
    again: Option<Again>,
    tried: &Tried,
) -> Checked<bool> {
    for (at, moment) in moments.iter().enumerate() {
        let last = at + 1 == moments.len();
        let history = if last { after } else { before };
        let (least, most) = history.bounds_at(at as u64);
        let expected = Expected { commits: &history.commits, least, most };
        let context = |how: &dyn std::fmt::Display| {
            format!("crash after op {at} of {}; allowed {least}..={most}; {how}", plan_of(moments))
        };
        if tried.is_new(&moment.state, &expected) {
            tried.fired().add(Trouble::ProcessCrash, 1);
            check_once(&moment.state, &expected, tried)
                .map_err(|violation| violation.at(context(&"process crash")))?;
        }
        let mut checked: Checked<()> = Ok(());
        moment.state.each_image(&bounds, |cut, image| {
            if tried.is_new(&image, &expected) {
                tried.fired().cut(&moment.state, cut);
                checked = check_once(&image, &expected, tried).map_err(|broken| broken.at(context(cut)));
            }
            checked.is_ok()
        });
        checked?;
        let Some(Again { of, inside }) = again else { continue };
        let mut checked = crash_recovery(&moment.state, &expected, &inside, tried)
            .map_err(|broken| broken.at(context(&"process crash, then in its recovery")));
        moment.state.each_image(&of, |cut, image| {
            if checked.is_ok() {
                checked = crash_recovery(&image, &expected, &inside, tried)
                    .map_err(|broken| broken.at(context(cut)));
            }
            checked.is_ok()
        });
        checked?;
    }
    Ok(moments.len() > 1)
}

/// The ops of a trace, one line.
pub fn plan_of(moments: &[Moment]) -> String {
    let ops: Vec<String> =
        moments.iter().filter_map(|moment| Some(moment.op.as_ref()?.to_string())).collect();
    format!("[{}]", ops.join("; "))
}

/// The shortest word found by leaving letters out that still breaks a promise, and how it does.
fn shrunk(word: &[Letter], limits: &Limits, violation: Violation) -> (Vec<Letter>, Violation) {
    let (mut word, mut violation) = (word.to_vec(), violation);
    let mut at = 0;
    while at < word.len() {
        let mut fewer = word.clone();
        fewer.remove(at);
        match last_letter(&fewer, limits, Some(limits.again_short), &Tried::new()) {
            Err(again) => (word, violation) = (fewer, again),
            Ok(_) => at += 1,
        }
    }
    (word, violation)
}

/// Fails with the shortest counter-example that can be made of `violation`.
fn complain(limits: &Limits, violation: Violation) -> ! {
    let replay = violation.what.rsplit_once("DATASYNC_CRASH_REPLAY=").map(|(_, word)| word.trim().to_owned());
    let Some(word) = replay else { panic!("{violation}") };
    let (word, shorter) = shrunk(&parse(&word), limits, violation.clone());
    panic!(
        "{shorter}\n    shrunk; replay: DATASYNC_CRASH_REPLAY={}\n    found first as: {violation}",
        Word(&word)
    );
}

#[test]
fn every_crash_of_every_short_workload_recovers_to_a_prefix() {
    let limits = Limits::from_environment();
    if let Some(word) = settings::only_workload() {
        let tried = Tried::new();
        if let Err(violation) = last_letter(&parse(&word), &limits, Some(limits.again_short), &tried) {
            panic!("{violation}");
        }
        println!("replayed {word}: {:?}, no violation", tried.totals());
        return;
    }
    let all: Vec<String> = jobs(&limits).iter().map(|job| job.name(&limits)).collect();
    let record = Record::open(limits.of_a_state());
    let tried = Tried::new();
    record.recall(&tried);
    let done = || all.iter().filter(|job| record.is_done(job)).count();
    let over = AtomicBool::new(false);
    let outcome = std::thread::scope(|scope| {
        let look = || {
            let progress =
                format!("{} of {} jobs, {} distinct in all", done(), all.len(), record.sums().distinct);
            (progress, tried.totals())
        };
        let over = &over;
        scope.spawn(move || watch("exhaustive", over, look));
        let outcome = run_recorded(&limits, &record, &tried);
        over.store(true, Ordering::Release);
        outcome
    });
    outcome.unwrap_or_else(|violation| complain(&limits, violation));
    let sums = record.sums();
    summarise(&limits, &sums, done(), all.len());
    // A run that goes on from another one has counted its own part only.
    if done() == all.len() && sums.runs == 1 {
        tried.fired().all_struck("exhaustive").unwrap_or_else(|violation| panic!("{violation}"));
    }
}

/// What was done, for people, and as a line for the ledger once all of it is.
fn summarise(limits: &Limits, sums: &Sums, jobs: usize, all: usize) {
    let Sums { states, distinct, busy_ms, runs, wall_ms, ref by_commit } = *sums;
    let (seconds, core_hours) = (wall_ms as f64 / 1e3, busy_ms as f64 / 3.6e6);
    let words = limits.words();
    println!(
        "exhaustive: {words}; {jobs} of {all} jobs, {states} crash states, {distinct} distinct, {seconds:.1} s, \
         {core_hours:.2} core-hours, 0 violations"
    );
    if jobs == all {
        let first: u64 = by_commit.values().map(|(_, first)| first).sum();
        let commit = |(commit, (jobs, first)): (&String, &(usize, u64))| {
            format!("{jobs} jobs with {commit}, which saw {first} of them first")
        };
        let mut by: Vec<String> = by_commit.iter().map(commit).collect();
        if distinct > first {
            by.push(format!("{} are of runs of other bounds", distinct - first));
        }
        println!(
            "ledger {{\"suite\": \"exhaustive\", \"bounds\": \"{words}\", \"jobs\": {jobs}, \"runs\": {runs}, \
             \"crash_states\": {states}, \"distinct\": {distinct}, \"violations\": 0, \"seconds\": {seconds:.0}, \
             \"core_hours\": {core_hours:.2}, \"note\": \"distinct: pairs of a medium and what it may show, told \
             apart by 64 bits, each counted once over all runs; {}\"}}",
            by.join("; ")
        );
    }
}
