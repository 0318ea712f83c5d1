//! Lives a life against the reference: the same run, reference and invariants as the crash suite, with every
//! decision taken from the generated value.

use std::sync::atomic::{AtomicU64, Ordering};

use datasync::backend::sim::{Cut, DiskState, Fate, Fault, SimDisk, Trouble};
use datasync::block::{BLOCK_SIZE, BlockNo, Durability, blocks_for};
use datasync::error::Error;
use datasync::log::plan::Area;
use datasync::volume::{BlockStorage, Blocks, Volume};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

use crate::damaged::{Became, one};
use crate::fired::Fired;
use crate::invariants::{BLOCKS, Checked, ensure, no_panic, progress};
use crate::life::{Call4k, Damage, Life, Outage, PageFate, Power, Step, Write, life};
use crate::reference::{Change, State, fill};
use crate::settings::options;
use crate::workload::{Asked, Run, unexpected};

const PAGE: u64 = BLOCK_SIZE as u64;

/// What befell the stores of all lives of a run.
#[derive(Debug, Default)]
pub struct Seen {
    pub fired: Fired,
    reported: AtomicU64,
    harmless: AtomicU64,
}

/// A life that broke a promise, made short.
#[derive(Debug)]
pub struct Broken {
    pub life: Life,
    pub why: String,
}

/// Lives the life of `seed`; one that breaks a promise is made short first.
pub fn seeded(seed: u64, seen: &Seen) -> Result<(), Broken> {
    let config = Config {
        cases: 1,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 3000,
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    let lived = |life: Life| {
        let lived = no_panic(|| live(&life, seen));
        lived.map_err(|violation| TestCaseError::fail(violation.to_string()))
    };
    match runner.run(&life(), lived) {
        Ok(()) => Ok(()),
        Err(TestError::Fail(why, life)) => Err(Broken { life, why: why.to_string() }),
        Err(TestError::Abort(why)) => panic!("seed {seed} makes no life: {why}"),
    }
}

struct Machine<'a> {
    run: Run,
    /// The openings that follow when a fault ends the process.
    after: Vec<Outage>,
    seen: &'a Seen,
}

/// Lives one life, checking every promise at every step.
pub fn live(life: &Life, seen: &Seen) -> Checked<()> {
    let mut machine = Machine { run: Run::start(SimDisk::new(1))?, after: Vec::new(), seen };
    for step in &life.steps {
        if machine.step(step)?.is_err() {
            let after = std::mem::take(&mut machine.after);
            machine.crash(&after)?;
        }
    }
    machine.crash(&[])?;
    if let Some(damage) = life.end {
        machine.damage(damage)?;
    }
    let run = &mut machine.run;
    let Some(volume) = run.volume.clone() else { return Ok(()) };
    progress(&volume, &run.history.newest().state.clone(), 1 << 40)?;
    run.empty()
}

impl Machine<'_> {
    fn step(&mut self, step: &Step) -> Checked<Result<(), Error>> {
        match step {
            Step::Commit(writes, durability) => {
                let stamp = self.run.next_stamp();
                let changes: Vec<Change> = writes.iter().map(|write| write.change(stamp)).collect();
                let outcome = self.run.commit(&changes, *durability)?;
                self.run.look()?;
                Ok(outcome)
            }
            Step::Blocks(calls) => {
                let outcome = self.blocks(calls)?;
                self.run.look()?;
                Ok(outcome)
            }
            Step::Do(letter) => self.run.step(*letter),
            Step::Disturb(fault, after) => {
                self.run.disk.inject(*fault);
                self.after.clone_from(after);
                Ok(Ok(()))
            }
            Step::Crash(outages) => self.crash(outages).map(Ok),
        }
    }

    /// A transaction through `BlockStorage`: what it shows is what the reference has, before its `sync` too.
    fn blocks(&mut self, calls: &[Call4k]) -> Checked<Result<(), Error>> {
        let Some(volume) = self.run.volume.clone() else { return Ok(Ok(())) };
        let stamp = self.run.next_stamp();
        let begun = self.run.disk.ops();
        let newest = self.run.history.newest();
        let (mut state, seq) = (newest.state.clone(), newest.seq);
        let mut blocks = Blocks::new(volume);
        for call in calls {
            if let Err(error) = make(&mut blocks, *call, &mut state, stamp)? {
                return Ok(Err(error));
            }
        }
        let outcome = match blocks.sync() {
            Ok(None) => return Ok(Ok(())),
            Ok(Some(receipt)) => Ok(receipt.commit),
            Err(error) => Err(error),
        };
        self.run.note(Asked { begun, state, seq, durable: true }, outcome)
    }

    /// The process dies and is started again, in each of these ways; in the end on a disk left in peace.
    fn crash(&mut self, outages: &[Outage]) -> Checked<()> {
        let run = &mut self.run;
        for outage in outages {
            run.die();
            self.seen.fired.book(&run.disk);
            if let Some(power) = &outage.power {
                let state = run.disk.state();
                let cut = power.cut(&state);
                self.seen.fired.cut(&state, &cut);
                run.disk = SimDisk::from_state(state.after(&cut), 1);
            }
            if let Some(fault) = outage.next {
                run.disk.inject(fault);
            }
            let Ok(volume) = Volume::open(run.disk.clone(), options()) else {
                if run.disk.faults().counts().any(|(_, fired)| fired > 0) {
                    let off = run.disk.faults().is_off();
                    self.seen.fired.add(Trouble::CrashInOpening, u64::from(off));
                    continue;
                }
                return run.open();
            };
            run.disk.heal();
            return run.adopt(volume)?.map_err(|error| unexpected(&error));
        }
        run.die();
        self.seen.fired.book(&run.disk);
        run.open()
    }

    /// I6, I8: with the newest commit proven durable, one thing goes bad.
    fn damage(&mut self, damage: Damage) -> Checked<()> {
        let run = &mut self.run;
        let stamp = run.next_stamp();
        let change = [Change::Put(0, stamp)];
        run.commit(&change, Durability::Witnessed)?.map_err(|error| unexpected(&error))?;
        run.die();
        let image = run.disk.state();
        let Some(fault) = damage.fault(&image) else { return run.open() };
        let became = one(&image, fault, &run.history, &self.seen.fired);
        match became.map_err(|violation| violation.at(fault))? {
            Became::Nothing => {}
            Became::Reported => drop(self.seen.reported.fetch_add(1, Ordering::Relaxed)),
            Became::Harmless => drop(self.seen.harmless.fetch_add(1, Ordering::Relaxed)),
        }
        run.open()
    }
}

fn make(blocks: &mut Blocks, call: Call4k, state: &mut State, stamp: u64) -> Checked<Result<(), Error>> {
    let outcome = match call {
        Call4k::Write(block) => {
            state.apply(Change::Put(block, stamp));
            blocks.write_block(BlockNo(block), &fill(block, stamp))
        }
        Call4k::Read(block) => match blocks.read_block(BlockNo(block)) {
            Ok(bytes) => {
                let wanted = state.blocks.get(&block).map_or([0; BLOCK_SIZE], |stamp| fill(block, *stamp));
                ensure(*bytes == wanted, "I6 no wrong data", || {
                    format!("block {block} reads otherwise than it was staged")
                })?;
                Ok(())
            }
            Err(error) => Err(error),
        },
        Call4k::Free(block) => {
            state.apply(Change::Trim(block));
            if (block + 1) * PAGE == state.size {
                state.apply(Change::Size(block));
            }
            blocks.deallocate_block(BlockNo(block))
        }
        // The reference looks at a few blocks only.
        Call4k::Allocate if blocks_for(state.size) >= BLOCKS => Ok(()),
        Call4k::Allocate => match blocks.allocate_block() {
            Ok(block) => {
                ensure(!state.blocks.contains_key(&block.0), "allocate", || {
                    format!("block {block} was given out and holds data")
                })?;
                state.apply(Change::Put(block.0, stamp));
                blocks.write_block(block, &fill(block.0, stamp))
            }
            Err(error) => Err(error),
        },
    };
    Ok(outcome)
}

impl Write {
    fn change(self, stamp: u64) -> Change {
        match self {
            Self::Put(block) => Change::Put(block, stamp),
            Self::Trim(block) => Change::Trim(block),
            Self::Size(blocks) => Change::Size(blocks),
        }
    }
}

impl Power {
    fn cut(&self, state: &DiskState) -> Cut {
        let mut cut = Cut::default();
        for ((area, page), fate) in state.unsynced().into_iter().zip(self.pages.iter().cycle()) {
            cut.page(area, page, fate.on(state));
        }
        for (area, new) in state.known_areas().into_iter().zip(self.entries.iter().cycle()) {
            cut.entry(area, if *new { usize::MAX } else { 0 });
        }
        let lens = state.areas().filter_map(|area| Some((area, state.len(area)?)));
        for ((area, len), new) in lens.zip(self.lens.iter().cycle()) {
            if *new {
                cut.len(area, len);
            }
        }
        cut
    }
}

impl PageFate {
    fn on(self, state: &DiskState) -> Fate {
        match self {
            Self::Plain(fate) => fate,
            Self::Ghost(area, page) => {
                place(state, area, page).map_or(Fate::Old, |(area, page)| Fate::Ghost(area, page))
            }
        }
    }
}

impl Damage {
    fn fault(self, image: &DiskState) -> Option<Fault> {
        Some(match self {
            Self::Rot { area, page, byte, flip } => {
                let (area, page) = place(image, area, page)?;
                Fault::Rot { area, byte: page * PAGE + byte, flip }
            }
            Self::LostWrite { area, page } => {
                let (area, page) = place(image, area, page)?;
                Fault::LostWrite { area, page }
            }
            Self::StaleRead { area, page } => {
                let (area, page) = place(image, area, page)?;
                Fault::StaleRead { area, page }
            }
        })
    }
}

/// A page that is there, counted around.
fn place(state: &DiskState, area: usize, page: usize) -> Option<(Area, u64)> {
    let areas: Vec<(Area, u64)> = state
        .areas()
        .map(|area| (area, state.len(area).unwrap_or(0) / PAGE))
        .filter(|(_, pages)| *pages > 0)
        .collect();
    let (area, pages) = *areas.get(area % areas.len().max(1))?;
    Some((area, page as u64 % pages))
}

/// Lives of many seeds on every processor; the first that breaks a promise, in words.
pub fn many(first: u64, number: u64, seen: &Seen) -> Result<(), String> {
    let next = AtomicU64::new(first);
    let failed = std::sync::Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..crate::settings::threads() {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + number || failed.lock().expect("unpoisoned").is_some() {
                        break;
                    }
                    if let Err(Broken { life, why }) = seeded(seed, seen) {
                        let text = format!("{why}\n    shrunk: {life:?}\n    replay: DATASYNC_SEED={seed}");
                        failed.lock().expect("unpoisoned").get_or_insert(text);
                    }
                }
            });
        }
    });
    failed.into_inner().expect("unpoisoned").map_or(Ok(()), Err)
}

#[test]
fn no_life_of_a_store_breaks_a_promise() {
    let seen = Seen::default();
    let (first, number) = crate::settings::only_seed().map_or((1, lives()), |seed| (seed, 1));
    if let Err(text) = many(first, number, &seen) {
        panic!("{text}");
    }
    println!("properties: lives {first}..{}, {seen:?}", first + number);
    if number >= 1000 {
        seen.fired.all_struck("properties").unwrap_or_else(|violation| panic!("{violation}"));
        let became = [&seen.reported, &seen.harmless].map(|count| count.load(Ordering::Relaxed));
        assert!(became.iter().all(|count| *count > 0), "damage was never one of both: {became:?}");
    }
}

fn lives() -> u64 {
    std::env::var("DATASYNC_PROPERTIES").map_or(5000, |lives| lives.parse().expect("a number of lives"))
}
