//! Every workload of a few letters, a crash after every op, every medium the crash can leave; then the same
//! with a crash after every op of the recovery.

use std::sync::Mutex;
use std::time::Instant;

use datasync::backend::sim::{Bounds, Moment, SimDisk};
use datasync::planted::{Bug, plant};

use crate::images::{Tried, check, crash_recovery};
use crate::invariants::{Checked, Expected, Violation, no_panic};
use crate::reference::History;
use crate::settings;
use crate::workload::{Letter, Run, Word, parse, unexpected};

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
    /// The same for crashes inside a recovery.
    pub bounds_inside: Bounds,
    pub threads: usize,
    pub bug: Option<Bug>,
    pub deadline: Option<Instant>,
}

impl Limits {
    pub fn from_environment() -> Self {
        let depth = settings::depth();
        let later = depth.saturating_sub(2).max(1);
        Self {
            depth,
            double_depth: settings::double_depth().unwrap_or(1).min(depth),
            double_later: settings::double_depth().unwrap_or(0).min(depth),
            beginnings: BEGINNINGS.iter().map(|word| (parse(word), later)).collect(),
            bounds: Bounds::default(),
            bounds_inside: Bounds { product: 81, drawn: 4, seed: 1 },
            threads: settings::threads(),
            bug: None,
            deadline: settings::deadline(),
        }
    }
}

/// Stores that have been through something: several segments; a folded base; an unproven tail; a base cut short;
/// a second fold since a clean open.
pub const BEGINNINGS: [&str; 5] = ["d01.r.d0", "L.C.a0", "d0.k.a1.t0", "L.C.s1", "d01.z.d0.C.a0"];

/// Runs within `limits`. What was tried; or the first violation, with all that replays it.
pub fn run(limits: &Limits) -> Checked<Tried> {
    let tried = Tried::new();
    let jobs = Mutex::new(jobs(limits));
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..limits.threads.max(1) {
            scope.spawn(|| {
                plant(limits.bug);
                loop {
                    let Some(mut job) = jobs.lock().expect("unpoisoned").pop() else { break };
                    let depth = job.depth;
                    let outcome = explore(&mut job, depth, limits, &tried);
                    if let Err(violation) = outcome {
                        failed.lock().expect("unpoisoned").get_or_insert(violation);
                    }
                    if failed.lock().expect("unpoisoned").is_some() {
                        break;
                    }
                }
            });
        }
    });
    match failed.into_inner().expect("unpoisoned") {
        Some(violation) => Err(violation),
        None => Ok(tried),
    }
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

fn jobs(limits: &Limits) -> Vec<Job> {
    let mut jobs = Vec::new();
    let plain = (Vec::new(), limits.depth);
    for (word, depth) in std::iter::once(&plain).chain(&limits.beginnings) {
        let beginning = word.len();
        jobs.push(Job { word: word.clone(), beginning, root: beginning, depth: 0 });
        for letter in Letter::ALL.iter().filter(|_| *depth > 0) {
            let word = word.iter().chain([letter]).copied().collect();
            jobs.push(Job { word, beginning, root: beginning + 1, depth: depth - 1 });
        }
    }
    jobs.reverse();
    jobs
}

fn explore(job: &mut Job, left: usize, limits: &Limits, tried: &Tried) -> Checked<()> {
    if limits.deadline.is_some_and(|deadline| Instant::now() > deadline) {
        return Ok(());
    }
    let most = if job.beginning == 0 { limits.double_depth } else { limits.double_later };
    let double = most > 0 && job.word.len() - job.beginning <= most;
    let changed = last_letter(&job.word, limits, double, tried)
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
pub fn last_letter(word: &[Letter], limits: &Limits, double: bool, tried: &Tried) -> Checked<bool> {
    let disk = SimDisk::new(1);
    let Some((last, first)) = word.split_last() else {
        disk.start_trace();
        let run = no_panic(|| Run::start(disk.clone()))?;
        let before = crate::workload::nothing();
        return crashes(&disk.take_trace(), &before, &run.history, limits, double, tried);
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
    let changed = crashes(&moments, &before, &run.history, limits, double, tried)?;
    Ok(changed || matches!(last, Letter::Pin | Letter::Unpin))
}

/// `before` holds for crashes during the letter, `after` for one after it.
fn crashes(
    moments: &[Moment],
    before: &History,
    after: &History,
    limits: &Limits,
    double: bool,
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
        if tried.is_new(&moment.state, &expected, false) {
            check(&moment.state, &expected).map_err(|violation| violation.at(context(&"process crash")))?;
        }
        if double && tried.is_new(&moment.state, &expected, true) {
            crash_recovery(&moment.state, &expected, &limits.bounds_inside, tried)
                .map_err(|violation| violation.at(context(&"process crash, then in its recovery")))?;
        }
        let mut checked: Checked<()> = Ok(());
        moment.state.each_image(&limits.bounds, |cut, image| {
            if tried.is_new(&image, &expected, false) {
                checked = check(&image, &expected).map_err(|violation| violation.at(context(cut)));
            }
            if checked.is_ok() && double && tried.is_new(&image, &expected, true) {
                checked = crash_recovery(&image, &expected, &limits.bounds_inside, tried)
                    .map_err(|violation: Violation| violation.at(context(cut)));
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

#[test]
fn every_crash_of_every_short_workload_recovers_to_a_prefix() {
    let limits = Limits::from_environment();
    let begun = Instant::now();
    if let Some(word) = settings::only_workload() {
        let tried = Tried::new();
        if let Err(violation) = last_letter(&parse(&word), &limits, true, &tried) {
            panic!("{violation}");
        }
        return;
    }
    match run(&limits) {
        Ok(tried) => {
            let seconds = begun.elapsed().as_secs_f64();
            println!(
                "exhaustive: depth {}, in recovery {}, {} crash states, {} distinct, {:.0} distinct/s, \
                 {seconds:.1} s, 0 violations",
                limits.depth,
                limits.double_depth,
                tried.states(),
                tried.distinct(),
                tried.distinct() as f64 / seconds,
            );
        }
        Err(violation) => panic!("{violation}"),
    }
}
