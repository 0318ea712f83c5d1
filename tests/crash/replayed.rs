//! Every short workload and many seeded lives, replayed through M1: the code does what the model allows.
//!
//! The model's own search shows that whoever keeps its rules keeps the promises; this shows that the store keeps
//! the rules. `DATASYNC_SEED=n` replays life n alone. Barriers fail in each of the five ways of the simulated disk.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use datasync::backend::sim::{BarrierFailure, Fault, Random, SimDisk};
use datasync::error::ErrorKind;
use datasync::planted::{Bug, plant};
use datasync::volume::Volume;

use crate::exhaustive::BEGINNINGS;
use crate::invariants::{Checked, no_panic};
use crate::replay::{Replay, by_model};
use crate::settings::{self, options};
use crate::workload::{Letter, Run, Word, nothing, parse, unexpected};

/// A run and the model beside it.
struct Pair {
    run: Run,
    replay: Replay,
}

impl Pair {
    fn stopped() -> Self {
        Self { run: Run::stopped(SimDisk::new(1), nothing()), replay: Replay::default() }
    }

    fn start() -> Checked<Self> {
        let mut pair = Self::stopped();
        pair.run.disk.start_trace();
        let opened = pair.run.open();
        pair.replay.ops(&pair.run.disk)?;
        opened?;
        pair.settle()?;
        Ok(pair)
    }

    /// Takes one step; whether the store went on.
    fn step(&mut self, letter: Letter) -> Checked<bool> {
        self.replay.closing = letter == Letter::Reopen;
        if letter == Letter::Reopen {
            self.replay.pin(None)?;
        }
        self.run.disk.start_trace();
        let outcome = self.run.step(letter);
        self.replay.ops(&self.run.disk)?;
        if outcome?.is_err() {
            // Whoever goes on using the volume must not make it write.
            self.run.disk.start_trace();
            let refused = self.run.step(Letter::Durable0);
            self.replay.ops(&self.run.disk)?;
            return refused.map(|_| false);
        }
        self.settle()?;
        Ok(true)
    }

    fn settle(&mut self) -> Checked<()> {
        let told = self.run.history.commits.iter().filter(|commit| commit.acknowledged.is_some());
        let told = told.filter_map(|commit| commit.id).map(|id| id.lsn.0).max();
        self.replay.acknowledge(told.unwrap_or(0))?;
        self.replay.pin(self.run.pinned_at())?;
        match &self.run.volume {
            Some(volume) => self.replay.compare(volume, &self.run.disk.state()),
            None => Ok(()),
        }
    }

    /// The process dies, perhaps the power with it, perhaps again while the store is being opened.
    fn crash(&mut self, random: &mut Random, cut: bool) -> Checked<()> {
        let mut cut = cut;
        for again in 0.. {
            self.run.die();
            self.replay.died(&self.run.disk.state())?;
            if cut {
                self.run.disk = self.run.disk.cut_power(random).1;
                self.replay.cut(&self.run.disk.state())?;
            }
            match random.below(9) {
                0..3 if again < 4 => {
                    self.run.disk.inject(Fault::PowerOff { nth: 1 + random.below(30) as u64 });
                }
                3 if again < 4 => self.run.disk.inject(failing(random, 12)),
                _ => {}
            }
            self.run.disk.start_trace();
            let opened = Volume::open(self.run.disk.clone(), options());
            self.replay.ops(&self.run.disk)?;
            let disturbed = self.run.disk.faults().counts().any(|(_, fired)| fired > 0);
            match opened {
                Ok(volume) => {
                    self.run.disk.heal();
                    self.run.adopt(volume)?.map_err(|error| unexpected(&error))?;
                    return self.settle();
                }
                Err(_) if disturbed => cut = random.chance(2, 3),
                Err(error) => return Err(unexpected(&error)),
            }
        }
        Ok(())
    }
}

/// A barrier that fails, in some way.
fn failing(random: &mut Random, barriers: usize) -> Fault {
    let how = *random.pick(&BarrierFailure::ALL);
    Fault::FailBarrier { nth: 1 + random.below(barriers) as u64, how, kind: ErrorKind::Io }
}

/// A workload, then a crash; `fault` befalls its last letter.
fn word(letters: &[Letter], fault: Option<Fault>, random: &mut Random) -> Checked<Replay> {
    let mut pair = Pair::start()?;
    for (at, letter) in letters.iter().enumerate() {
        if let Some(fault) = fault.filter(|_| at + 1 == letters.len()) {
            pair.run.disk.inject(fault);
        }
        if !pair.step(*letter)? {
            break;
        }
    }
    pair.crash(random, true)?;
    Ok(pair.replay)
}

/// A store whose creation `fault` befalls, then a crash.
fn creation(fault: Fault, cut: bool, random: &mut Random) -> Checked<Replay> {
    let mut pair = Pair::stopped();
    pair.run.disk.inject(fault);
    pair.run.disk.start_trace();
    let opened = Volume::open(pair.run.disk.clone(), options());
    pair.replay.ops(&pair.run.disk)?;
    if let Ok(volume) = opened {
        pair.run.adopt(volume)?.map_err(|error| unexpected(&error))?;
        pair.settle()?;
    }
    pair.crash(random, cut)?;
    Ok(pair.replay)
}

/// A life of `steps` letters with crashes between and within them.
fn life(seed: u64, steps: usize) -> Checked<Replay> {
    let mut random = Random::new(seed);
    let mut pair = Pair::start()?;
    for _ in 0..steps {
        match random.below(16) {
            0 => {
                let cut = random.chance(2, 3);
                pair.crash(&mut random, cut)?;
            }
            1 => pair.run.disk.inject(Fault::PowerOff { nth: 1 + random.below(20) as u64 }),
            2 => pair.run.disk.inject(failing(&mut random, 8)),
            _ => {
                let letter = *random.pick(Letter::ALL);
                if !pair.step(letter)? {
                    let cut = random.chance(2, 3);
                    pair.crash(&mut random, cut)?;
                }
            }
        }
    }
    Ok(pair.replay)
}

/// What has to have happened in some run, or the replay has looked at nothing.
const ACTIONS: [&str; 26] = [
    "create a store",
    "create",
    "header",
    "append",
    "part",
    "marker",
    "marker written again",
    "proof",
    "META",
    "base",
    "fold of nothing",
    "barrier",
    "barrier drops",
    "barrier keeps dirty",
    "barrier marks clean",
    "barrier reports once",
    "barrier spoils",
    "directory barrier",
    "remove",
    "open",
    "acknowledge",
    "pins",
    "pin",
    "unpin",
    "die",
    "power cut",
];

type Counts = BTreeMap<&'static str, u64>;

/// All words of at most `depth` letters, behind nothing and behind each beginning.
fn words(depth: usize) -> Vec<Vec<Letter>> {
    let mut all: Vec<Vec<Letter>> = BEGINNINGS.iter().map(|word| parse(word)).collect();
    all.push(Vec::new());
    let mut last = all.clone();
    for _ in 0..depth {
        last = last
            .iter()
            .flat_map(|word| Letter::ALL.iter().map(|letter| [word.as_slice(), &[*letter]].concat()))
            .collect();
        all.extend(last.iter().cloned());
    }
    all
}

/// Runs every job on all threads. The actions counted; or the first run that fails.
fn all(jobs: usize, bug: Option<Bug>, job: impl Fn(usize) -> Checked<Replay> + Sync) -> Checked<Counts> {
    let next = AtomicUsize::new(0);
    let result = Mutex::new(Ok(Counts::new()));
    std::thread::scope(|scope| {
        for _ in 0..settings::threads() {
            scope.spawn(|| {
                plant(bug);
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= jobs || result.lock().expect("unpoisoned").is_err() {
                        break;
                    }
                    let outcome = no_panic(|| job(number));
                    let mut result = result.lock().expect("unpoisoned");
                    match (outcome, &mut *result) {
                        (Ok(replay), Ok(counts)) => {
                            replay.counts.iter().for_each(|(name, count)| {
                                *counts.entry(name).or_default() += count;
                            });
                        }
                        // With a bug planted others may complain first; the model has to find it by itself.
                        (Err(violation), Ok(_)) if bug.is_none() || by_model(&violation) => {
                            *result = Err(violation);
                        }
                        _ => {}
                    }
                }
            });
        }
    });
    result.into_inner().expect("unpoisoned")
}

fn replay_words(depth: usize, bug: Option<Bug>) -> Checked<Counts> {
    let words = words(depth);
    // Each workload five times: crashed behind its last letter, at two ops within it, at two barriers that fail.
    all(words.len() * 5, bug, |number| {
        let letters = &words[number / 5];
        let mut random = Random::new(number as u64);
        let fault = match number % 5 {
            0 => None,
            1 | 2 => Some(Fault::PowerOff { nth: 1 + random.below(12) as u64 }),
            _ => Some(failing(&mut random, 6)),
        };
        word(letters, fault, &mut random).map_err(|v| v.at(format!("word {} with {fault:?}", Word(letters))))
    })
}

/// Every op of a creation is the last one, or its barriers fail; and then the power stays or is cut, in several ways.
fn replay_creations(bug: Option<Bug>) -> Checked<Counts> {
    let off = (1..=16).map(|nth| Fault::PowerOff { nth });
    let barrier = |how| (1..=4).map(move |nth| Fault::FailBarrier { nth, how, kind: ErrorKind::Io });
    let faults: Vec<Fault> = off.chain(BarrierFailure::ALL.into_iter().flat_map(barrier)).collect();
    all(faults.len() * 12, bug, |number| {
        let fault = faults[number / 12];
        let mut random = Random::new(number as u64);
        creation(fault, !number.is_multiple_of(4), &mut random)
            .map_err(|v| v.at(format!("a creation with {fault}, seed {number}")))
    })
}

fn replay_lives(lives: usize, bug: Option<Bug>) -> Checked<Counts> {
    all(lives, bug, |seed| life(seed as u64, 60).map_err(|v| v.at(format!("replay: DATASYNC_SEED={seed}"))))
}

#[test]
fn whatever_the_store_does_the_model_of_the_log_allows() {
    let counts = (|| {
        if let Some(seed) = settings::only_seed() {
            return life(seed, 60).map(|replay| replay.counts);
        }
        let mut counts = Counts::new();
        for some in [replay_creations(None)?, replay_words(2, None)?, replay_lives(1000, None)?] {
            some.into_iter().for_each(|(name, count)| *counts.entry(name).or_default() += count);
        }
        Ok(counts)
    })();
    match counts {
        Ok(counts) => {
            println!("replayed through M1: {counts:?}");
            let never: Vec<_> = ACTIONS.iter().filter(|name| !counts.contains_key(*name)).collect();
            assert!(never.is_empty() || settings::only_seed().is_some(), "these never happened: {never:?}");
        }
        Err(violation) => panic!("{violation}"),
    }
}

/// Bugs in the order of ops, in what META says and in what is folded: those that the replay has to notice by itself.
const NOTICED: [Bug; 41] = [
    Bug::ProveSameCopyFirst,
    Bug::SkipCommitBarrier,
    Bug::AcknowledgeEarly,
    Bug::SkipRotationBarrier,
    Bug::SkipSealBarrier,
    Bug::SkipNewSegmentBarrier,
    Bug::PublishBeforeSegment,
    Bug::SkipSpareEntry,
    Bug::SkipCreationPublish,
    Bug::SkipCreationEntries,
    Bug::SkipRotationPublish,
    Bug::SkipFoldPublish,
    Bug::SkipClosePublish,
    Bug::SkipEpochPublish,
    Bug::SkipRelogPublish,
    Bug::SkipOpenPublish,
    Bug::PublishIntoWinner,
    Bug::PublishOneCopy,
    Bug::ReadOneCopy,
    Bug::TakeOldestMeta,
    Bug::ProveSoundCopyFirst,
    Bug::SkipFirstProofBarrier,
    Bug::SkipEntriesAtOpen,
    Bug::KeepEpoch,
    Bug::CopyBeforeEpoch,
    Bug::SkipRelogBarrier,
    Bug::CutBeforeCopy,
    Bug::SkipCut,
    Bug::RemoveBeforePublish,
    Bug::FoldIgnoresPins,
    Bug::SkipBaseBarrier,
    Bug::RemoveBeforeClose,
    Bug::SkipPoison,
    Bug::RetryBarrier,
    Bug::SkipMetaProof,
    Bug::SkipRelog,
    Bug::WatermarkTooEarly,
    Bug::CommitWithoutMarker,
    Bug::ReuseAbandonedNumber,
    Bug::FoldOpenBatch,
    Bug::SkipSecondBarrier,
];

/// Short runs with `bug` in the store; only what the model itself notices counts.
pub fn run(bug: Option<Bug>) -> Checked<()> {
    replay_creations(bug)?;
    replay_words(1, bug)?;
    replay_lives(150, bug).map(drop)
}

#[test]
fn the_replay_alone_notices_what_is_planted_into_the_order_of_ops() {
    let escaped: Vec<Bug> = NOTICED.into_iter().filter(|bug| run(Some(*bug)).is_ok()).collect();
    assert!(escaped.is_empty(), "the replay does not notice {escaped:?}");
}
