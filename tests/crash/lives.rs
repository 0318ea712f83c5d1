//! Long seeded lives: a store used, crashed, cut off, refused and reopened again and again, also in the middle
//! of reopening. `DATASYNC_SEED=n` replays life n alone.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use datasync::backend::sim::{BarrierFailure, Call, Fault, Leaves, Random, SimDisk};
use datasync::block::Durability;
use datasync::error::ErrorKind;
use datasync::log::plan::Area;
use datasync::planted::{Bug, plant};
use datasync::volume::Volume;

use crate::choices::Choices;
use crate::invariants::{Checked, no_panic, space_comes_back};
use crate::settings::{self, options};
use crate::workload::{Letter, Run, unexpected};

/// What befell the stores.
#[derive(Debug, Default)]
pub struct Fates {
    steps: AtomicU64,
    process_crashes: AtomicU64,
    power_cuts: AtomicU64,
    faults: AtomicU64,
    crashes_in_recovery: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Lives one life.
pub fn live(random: &mut impl Choices, steps: usize, fates: &Fates) -> Checked<()> {
    let mut run = Run::start(SimDisk::new(1))?;
    for _ in 0..steps {
        if random.is_over() {
            break;
        }
        count(&fates.steps);
        match random.below(40) {
            0 => crash(&mut run, random, fates)?,
            1 => {
                run.disk.inject(fault(random));
                count(&fates.faults);
            }
            _ => {
                let letter = *random.pick(Letter::ALL);
                if run.step(letter)?.is_err() {
                    crash(&mut run, random, fates)?;
                }
            }
        }
    }
    run.die();
    run.open()?;
    empty(&mut run)
}

/// The process dies, perhaps the power with it, perhaps several times while the store is being reopened.
fn crash(run: &mut Run, random: &mut impl Choices, fates: &Fates) -> Checked<()> {
    loop {
        run.die();
        count(&fates.process_crashes);
        if random.chance(2, 3) {
            count(&fates.power_cuts);
            run.disk = random.cut_power(&run.disk);
        }
        // With nothing left to decide from, the disk is left in peace: a life has to end.
        let peace = random.is_over();
        if !peace && random.chance(1, 3) {
            run.disk.inject(Fault::PowerOff { nth: 1 + random.below(40) as u64 });
        } else if !peace && random.chance(1, 12) {
            run.disk.inject(fault(random));
            count(&fates.faults);
        }
        let Ok(volume) = Volume::open(run.disk.clone(), options()) else {
            let disturbed = run.disk.faults().counts().any(|(_, fired)| fired > 0);
            if disturbed {
                count(&fates.crashes_in_recovery);
                continue;
            }
            return run.open();
        };
        run.disk.heal();
        return run.adopt(volume)?.map_err(|error| unexpected(&error));
    }
}

fn fault(random: &mut impl Choices) -> Fault {
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

/// I11 at the end of a life.
fn empty(run: &mut Run) -> Checked<()> {
    let Some(volume) = run.volume.clone() else { return Ok(()) };
    let emptied = (|| {
        let mut writer = volume.begin()?;
        writer.set_size(0)?;
        writer.commit(Durability::Durable)?;
        volume.rotate()?;
        volume.compact()
    })();
    emptied.map_err(|error| unexpected(&error))?;
    let state = run.disk.state();
    space_comes_back(state.segments().len(), state.len(Area::Base).unwrap_or(0))
}

/// Lives from `first` on, `count` of them, on two threads.
pub fn run(first: u64, number: u64, steps: usize, bug: Option<Bug>) -> Checked<Fates> {
    let fates = Fates::default();
    let next = AtomicU64::new(first);
    let failed = std::sync::Mutex::new(None);
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
    match run(first, number, STEPS, None) {
        Ok(fates) => {
            println!("lives: seeds {first}..{}, {fates:?}", first + number);
            let few = fates.crashes_in_recovery.load(Ordering::Relaxed) == 0 && number >= 20;
            assert!(!few, "no crash ever hit a recovery: {fates:?}");
        }
        Err(violation) => panic!("{violation}"),
    }
}
