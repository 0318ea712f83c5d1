//! Long seeded lives: a store used, crashed, cut off, refused and reopened again and again, also in the middle
//! of reopening. `DATASYNC_SEED=n` replays life n alone.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use datasync::backend::sim::{BarrierFailure, Call, Fault, Leaves, Random, SimDisk, Trouble};
use datasync::error::ErrorKind;
use datasync::planted::{Bug, plant};
use datasync::volume::Volume;

use crate::cuts::Cuts;
use crate::fired::Fired;
use crate::invariants::{Checked, Violation, no_panic};
use crate::settings::{self, options};
use crate::shrink::{Listed, Recorded, shrunk};
use crate::workload::{Letter, Run, unexpected};

/// What befell the stores.
#[derive(Debug, Default)]
pub struct Fates {
    steps: AtomicU64,
    faults: AtomicU64,
    /// How often each trouble really struck.
    pub fired: Fired,
    /// What happened, step by step, where somebody wants to know.
    pub story: Option<Mutex<Vec<String>>>,
}

impl Fates {
    fn tell(&self, what: impl FnOnce() -> String) {
        if let Some(story) = &self.story {
            story.lock().expect("unpoisoned").push(what());
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Lives one life.
pub fn live(random: &mut impl Cuts, steps: usize, fates: &Fates) -> Checked<()> {
    let mut run = Run::start(SimDisk::new(1))?;
    for _ in 0..steps {
        if random.is_over() {
            break;
        }
        count(&fates.steps);
        match random.below(40) {
            0 => crash(&mut run, random, fates)?,
            1 => {
                let fault = fault(random);
                fates.tell(|| format!("inject {fault}"));
                run.disk.inject(fault);
                count(&fates.faults);
            }
            _ => {
                let letter = *random.pick(Letter::ALL);
                fates.tell(|| letter.text().to_owned());
                if run.step(letter)?.is_err() {
                    crash(&mut run, random, fates)?;
                }
            }
        }
    }
    run.die();
    fates.fired.book(&run.disk);
    run.open()?;
    run.empty()
}

/// The process dies, perhaps the power with it, perhaps several times while the store is being reopened.
fn crash(run: &mut Run, random: &mut impl Cuts, fates: &Fates) -> Checked<()> {
    loop {
        fates.tell(|| "the process dies".into());
        run.die();
        if random.chance(2, 3) {
            fates.tell(|| "the power is cut".into());
            run.disk = random.cut_power(&run.disk);
        }
        // With nothing left to decide from, the disk is left in peace: a life has to end.
        let peace = random.is_over();
        if !peace && random.chance(1, 3) {
            let nth = 1 + random.below(40) as u64;
            fates.tell(|| format!("the power goes off at op {nth} of the next opening"));
            run.disk.inject(Fault::PowerOff { nth });
        } else if !peace && random.chance(1, 12) {
            let fault = fault(random);
            fates.tell(|| format!("inject {fault}"));
            run.disk.inject(fault);
            count(&fates.faults);
        }
        let Ok(volume) = Volume::open(run.disk.clone(), options()) else {
            let disturbed = run.disk.faults().counts().any(|(_, fired)| fired > 0);
            if disturbed {
                if run.disk.faults().is_off() {
                    fates.fired.add(Trouble::CrashInOpening, 1);
                    fates.fired.add(Trouble::CrashAgain, 1);
                }
                continue;
            }
            return run.open();
        };
        run.disk.heal();
        return run.adopt(volume)?.map_err(|error| unexpected(&error));
    }
}

fn fault(random: &mut impl Cuts) -> Fault {
    let nth = 1 + random.below(30) as u64;
    match random.below(5) {
        0 => Fault::FailBarrier {
            nth,
            how: *random.pick(&BarrierFailure::ALL),
            kind: *random.pick(&[ErrorKind::Io, ErrorKind::Io, ErrorKind::Full]),
        },
        1 => Fault::PowerOff { nth },
        _ => {
            let call = *random.pick(&Call::ALL);
            let looks = matches!(call, Call::Read | Call::Len | Call::List);
            Fault::Refuse {
                call,
                nth,
                kind: if looks || random.chance(1, 2) { ErrorKind::Io } else { ErrorKind::Full },
                lasting: random.chance(1, 3),
                leaves: *random.pick(&[Leaves::Nothing, Leaves::Everything, Leaves::Garbage]),
            }
        }
    }
}

/// A life that failed, made short and told step by step.
fn told(seed: u64, steps: usize, violation: &Violation) -> Violation {
    let mut recorded = Recorded::new(Random::new(seed));
    let _ = no_panic(|| live(&mut recorded, steps, &Fates::default()));
    let lived = |answers: &[usize], fates: &Fates| {
        no_panic(|| live(&mut Listed::new(answers.to_vec()), steps, fates)).err()
    };
    let same = |answers: &[usize]| {
        lived(answers, &Fates::default()).is_some_and(|other| other.invariant == violation.invariant)
    };
    let answers = shrunk(recorded.answers, 2000, same);
    let fates = Fates { story: Some(Mutex::default()), ..Fates::default() };
    let shorter = lived(&answers, &fates).unwrap_or_else(|| violation.clone());
    let story = fates.story.map(|story| story.into_inner().expect("unpoisoned").join("; "));
    shorter.at(format!("shrunk: {}", story.unwrap_or_default()))
}

/// Lives from `first` on, `count` of them, on two threads.
pub fn run(first: u64, number: u64, steps: usize, bug: Option<Bug>) -> Checked<Fates> {
    let fates = Fates::default();
    let next = AtomicU64::new(first);
    let failed = Mutex::new(None);
    let deadline = settings::deadline();
    std::thread::scope(|scope| {
        for _ in 0..settings::threads() {
            scope.spawn(|| {
                plant(bug);
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let late = deadline.is_some_and(|deadline| Instant::now() > deadline);
                    if seed >= first + number || late || failed.lock().expect("unpoisoned").is_some() {
                        break;
                    }
                    if let Err(violation) = no_panic(|| live(&mut Random::new(seed), steps, &fates)) {
                        let violation = if bug.is_none() { told(seed, steps, &violation) } else { violation };
                        let violation = violation.at(format!("replay: DATASYNC_SEED={seed}"));
                        failed.lock().expect("unpoisoned").get_or_insert(violation);
                    }
                }
            });
        }
    });
    match failed.into_inner().expect("unpoisoned") {
        Some(violation) => Err(violation),
        None => Ok(fates),
    }
}

/// Steps in a life of the suite.
pub const STEPS: usize = 160;

#[test]
fn long_lives_full_of_faults_never_lose_what_was_acknowledged() {
    let (first, number) = settings::only_seed().map_or((1, settings::seeds()), |seed| (seed, 1));
    let lived = run(first, number, STEPS, None).and_then(|fates| {
        println!("lives: seeds {first}..{}, {fates:?}", first + number);
        if number < 100 { Ok(()) } else { fates.fired.all_struck("lives") }
    });
    lived.unwrap_or_else(|violation| panic!("{violation}"));
}
