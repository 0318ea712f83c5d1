//! A store on a medium of transactions (IndexedDB as a model): exhaustively every word of a few steps, then long
//! seeded lives, with every step a use of the store, an end of a transaction, a crash, or another tab.
//! `DATASYNC_QUEUED=word` replays one word, `DATASYNC_SEED=n` one life.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use datasync::backend::Source;
use datasync::backend::queue::{BATCH_BYTES, Memory, Ticket};
use datasync::backend::sim::{Random, SimOrigin, SimTab, TransactionFate};
use datasync::block::{BLOCK_SIZE, BlockNo, CommitId, Durability, Lsn, Tag};
use datasync::error::{Error, ErrorKind};
use datasync::log::plan::Area;
use datasync::planted::{Bug, plant};
use datasync::volume::Volume;

use crate::invariants::{
    Checked, Expected, Violation, ensure, no_panic, opens, progress, read_state, reads, same_again, snapshot,
    space_comes_back,
};
use crate::reference::{Change, Commit, History, fill};
use crate::settings::{self, options};
use crate::workload::{CLIENT, nothing, recovered, unexpected};

macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident $text:literal,)*) => {
        /// One step of a life on the queued medium.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Step { $($(#[$doc])* $name,)* }

        impl Step {
            pub const ALL: &[Step] = &[$(Step::$name,)*];

            fn text(self) -> &'static str {
                match self { $(Step::$name => $text,)* }
            }
        }
    };
}

steps! {
    /// Put b0.
    Put0 "a0",
    /// Put b0 and b1.
    Put01 "a01",
    /// Trim b0, put b1.
    Swap "t",
    /// One block is left of the database.
    Shrink "s1",
    /// Put b9: the database grows over what fell away.
    High "h9",
    /// Twelve blocks: more than the spill bound.
    Large "L",
    /// A new segment.
    Rotate "r",
    /// One step of a fold.
    Fold "c",
    /// Fold everything.
    Compact "C",
    /// Everything committed is to be durable: answers wait for it.
    Settle "S",
    /// Everything committed is to be on the medium.
    Flush "f",
    /// The next transaction completes.
    Complete "1",
    /// All transactions complete.
    Drain "*",
    /// The next transaction is aborted.
    Abort "A",
    /// The next transaction finds no quota.
    Quota "Q",
    /// The connection ends under the next transaction, which was taken.
    LoseTaken "Dt",
    /// The same, and it was not taken.
    LoseUntaken "Dn",
    /// The next transaction is taken, and nobody ever says so.
    SilentTaken "Nt",
    /// The next transaction never ends.
    Silent "Nn",
    /// The connection ends, or a watchdog ends it.
    Disconnect "e",
    /// The process dies; another opens the database.
    Kill "k",
    /// The power fails, taking all it can.
    Power "P",
    /// Another tab takes the database over; the old one goes on.
    OtherTab "o",
    /// The old tab commits, and waits for its answer.
    Zombie "z",
    /// The browser removes the database.
    Vanish "V",
}

/// A word as people and the replay variable spell it.
struct Word<'a>(&'a [Step]);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps: Vec<&str> = self.0.iter().map(|step| step.text()).collect();
        f.write_str(&steps.join("."))
    }
}

fn parse(word: &str) -> Vec<Step> {
    let step = |text: &str| {
        let found = Step::ALL.iter().find(|step| step.text() == text);
        *found.unwrap_or_else(|| panic!("`{text}` is no step on a queued medium"))
    };
    word.split('.').filter(|text| !text.is_empty()).map(step).collect()
}

/// An answer that is held back: what it waits for, up to which commit, and the first commit it is about.
struct Held {
    ticket: Ticket,
    upto: Lsn,
    first: usize,
}

/// A tab with the store open.
struct Tab {
    link: SimTab,
    volume: Volume,
}

/// A store on a queued medium in use.
struct Run {
    origin: SimOrigin,
    memory: Memory,
    tab: Option<Tab>,
    /// A tab that was deposed and does not know it yet.
    zombie: Option<Tab>,
    history: History,
    held: Vec<Held>,
    /// The first commit since the last flush.
    unflushed: usize,
    /// Something was acknowledged, so a vanished database must be missed.
    vanished: bool,
    stamp: u64,
    seq: u64,
}

impl Run {
    fn start(memory: Memory) -> Checked<Self> {
        let mut run = Self {
            origin: SimOrigin::new(),
            memory,
            tab: None,
            zombie: None,
            history: nothing(),
            held: Vec::new(),
            unflushed: 1,
            vanished: false,
            stamp: 0,
            seq: 0,
        };
        run.open()?;
        Ok(run)
    }

    fn step(&mut self, step: Step) -> Checked<()> {
        self.stamp += 1;
        let stamp = self.stamp;
        match step {
            Step::Put0 => self.commit(&[Change::Put(0, stamp)])?,
            Step::Put01 => self.commit(&[Change::Put(0, stamp), Change::Put(1, stamp)])?,
            Step::Swap => self.commit(&[Change::Trim(0), Change::Put(1, stamp)])?,
            Step::Shrink => self.commit(&[Change::Size(1)])?,
            Step::High => self.commit(&[Change::Put(9, stamp)])?,
            Step::Large => {
                let changes: Vec<Change> = (0..12).map(|block| Change::Put(block, stamp)).collect();
                self.commit(&changes)?;
            }
            Step::Rotate => self.with(Volume::rotate),
            Step::Fold => self.with(|volume| volume.compact_step().map(drop)),
            Step::Compact => self.with(Volume::compact),
            Step::Settle => self.flush(true),
            Step::Flush => self.flush(false),
            Step::Complete => self.pump(TransactionFate::Completes),
            Step::Drain => self.tab.iter().for_each(|tab| tab.link.drain()),
            Step::Abort => self.pump(TransactionFate::Aborts),
            Step::Quota => self.pump(TransactionFate::NoQuota(stamp as u32 % 3)),
            Step::LoseTaken => self.pump(TransactionFate::Disconnects { taken: true }),
            Step::LoseUntaken => self.pump(TransactionFate::Disconnects { taken: false }),
            Step::SilentTaken => self.pump(TransactionFate::NeverFires { taken: true }),
            Step::Silent => self.pump(TransactionFate::NeverFires { taken: false }),
            Step::Disconnect => self.tab.iter().for_each(|tab| tab.link.disconnect()),
            Step::Kill => self.crash(0)?,
            Step::Power => self.crash(usize::MAX)?,
            Step::OtherTab => {
                self.answers()?;
                self.zombie = self.tab.take();
                self.held.clear();
                self.open()?;
            }
            Step::Zombie => self.zombie_commits()?,
            Step::Vanish => {
                self.origin.vanish();
                self.vanished = true;
            }
        }
        self.answers()?;
        self.look()
    }

    /// Opens the database in a new tab, and learns which commits are left.
    fn open(&mut self) -> Checked<()> {
        let link = match self.origin.open(self.memory) {
            Ok(link) => link.busy_fetch(),
            Err(error) if error.kind() == ErrorKind::Lost && self.vanished => return Ok(()),
            Err(error) => return Err(unexpected(&error)),
        };
        let volume = opens(Volume::open(link.clone(), options()))?;
        let (least, most) = self.history.bounds_at(u64::MAX);
        let expected = Expected { commits: &self.history.commits, least, most };
        let shown = recovered(&volume, &expected)?;
        self.history.commits.truncate(shown + 1);
        self.history.commits.drain(..least);
        self.unflushed = self.history.commits.len();
        self.tab = Some(Tab { link, volume });
        Ok(())
    }

    fn crash(&mut self, lost: usize) -> Checked<()> {
        (self.tab, self.zombie) = (None, None);
        self.held.clear();
        self.origin.cut_power(lost);
        self.open()
    }

    fn with(&self, verb: impl FnOnce(&Volume) -> Result<(), Error>) {
        // An error of a dead queue; that it is dead, the answers tell.
        let _ = self.tab.as_ref().map(|tab| verb(&tab.volume));
    }

    fn pump(&self, fate: TransactionFate) {
        if let Some(tab) = &self.tab {
            tab.link.pump(fate);
        }
    }

    fn commit(&mut self, changes: &[Change]) -> Checked<()> {
        let Some(tab) = &self.tab else { return Ok(()) };
        let mut state = self.history.newest().state.clone();
        changes.iter().for_each(|change| state.apply(*change));
        self.seq += 1;
        let seq = self.seq;
        let id = match commit(&tab.volume, changes, seq) {
            Ok(id) => id,
            Err(error) => match error.kind() {
                ErrorKind::Indeterminate(id) => id,
                _ => return Ok(()),
            },
        };
        let newest = self.history.newest();
        if newest.id.is_some_and(|newest| newest == id) {
            return ensure(newest.state == state, "I1 prefix", || format!("commit {id} twice"));
        }
        self.history.commits.push(Commit { id: Some(id), state, begun: 0, acknowledged: None, seq });
        Ok(())
    }

    fn flush(&mut self, strict: bool) {
        let Some(tab) = &self.tab else { return };
        let upto = if strict { tab.volume.sync() } else { Ok(tab.volume.committed_lsn()) };
        let Ok(upto) = upto else { return };
        let ticket = tab.link.flush(strict);
        let first = std::mem::replace(&mut self.unflushed, self.history.commits.len());
        if strict {
            self.held.push(Held { ticket, upto, first });
        }
    }

    /// Gives the answers that can be given by now, and checks that a refusal was meant.
    fn answers(&mut self) -> Checked<()> {
        let Some(tab) = &self.tab else { return Ok(()) };
        for held in std::mem::take(&mut self.held) {
            match tab.link.is_flushed(held.ticket) {
                Ok(true) => self.history.acknowledge_up_to(held.upto, 0),
                Ok(false) => self.held.push(held),
                Err(error) => match error.kind() {
                    // Told that nothing of it is there: it must never show up.
                    ErrorKind::Full | ErrorKind::Fenced => {
                        let keep = held.first.max(1).min(self.history.commits.len());
                        self.history.commits.truncate(keep);
                    }
                    ErrorKind::Lost | ErrorKind::Io | ErrorKind::Poisoned => {}
                    kind => {
                        return Err(Violation::new("I9 progress", format!("an answer failed with {kind:?}")));
                    }
                },
            }
        }
        Ok(())
    }

    /// I12: a deposed tab gets no acknowledgement, and nothing of it is seen.
    fn zombie_commits(&mut self) -> Checked<()> {
        let Some(zombie) = &self.zombie else { return Ok(()) };
        let stamp = self.stamp;
        let made = commit(&zombie.volume, &[Change::Put(0, stamp)], 1 << 40);
        let synced = zombie.volume.sync();
        let ticket = zombie.link.flush(true);
        zombie.link.drain();
        let answered = zombie.link.is_flushed(ticket);
        ensure(made.is_err() || synced.is_err() || !matches!(answered, Ok(true)), "I12 fencing", || {
            "a tab that was deposed was told that its commit is durable".to_owned()
        })
    }

    /// What can be seen right now is the newest state.
    fn look(&self) -> Checked<()> {
        let Some(tab) = self.tab.as_ref().filter(|tab| !tab.link.is_dead() && !self.vanished) else {
            return Ok(());
        };
        let Ok(view) = tab.volume.snapshot() else { return Ok(()) };
        let state = match read_state(&view)? {
            Ok(state) => state,
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                return reads(Err(error));
            }
            Err(_) => return Ok(()),
        };
        let newest = &self.history.newest().state;
        ensure(state == *newest, "I6 no wrong data", || {
            format!("a reader sees {state:?}, the newest commit left {newest:?}")
        })
    }

    /// The end of every word: the process dies; what is there is right, stays, and can be written to.
    fn end(mut self) -> Checked<()> {
        self.crash(0)?;
        let Some(tab) = &self.tab else {
            // Vanished, and missed: nothing more can be asked.
            return Ok(());
        };
        ensure(!self.vanished || self.history.commits[0].acknowledged == Some(0), "I8 no silence", || {
            "a database that vanished was opened as if it had never been".to_owned()
        })?;
        let state = self.history.newest().state.clone();
        let (state, _) = progress(&tab.volume, &state, 1 << 40)?;
        let ticket = tab.link.flush(true);
        tab.link.drain();
        let flushed = tab.link.is_flushed(ticket);
        ensure(matches!(flushed, Ok(true)), "I9 progress", || format!("a flush ended with {flushed:?}"))?;
        self.tab = None;
        self.origin.cut_power(usize::MAX);
        let link = self.origin.open(self.memory).map_err(|error| unexpected(&error))?;
        let volume = opens(Volume::open(link, options()))?;
        let found = reads(read_state(&snapshot(&volume)?)?)?;
        same_again((&state, 0), (&found, 0)).map_err(|v| v.at("after the commit that proved progress"))
    }
}

fn commit(volume: &Volume, changes: &[Change], seq: u64) -> Result<CommitId, Error> {
    let mut writer = volume.begin()?;
    for change in changes {
        match *change {
            Change::Put(block, stamp) => writer.write(BlockNo(block), &fill(block, stamp))?,
            Change::Trim(block) => writer.trim(BlockNo(block))?,
            Change::Size(blocks) => writer.set_size(blocks * BLOCK_SIZE as u64)?,
        }
    }
    writer.set_tag(Tag { client: CLIENT, seq, ordinal: 1 });
    Ok(writer.commit(Durability::Applied)?.commit)
}

/// On demand with a transaction for each op, in memory with one for everything, and in between.
const MEMORIES: [Memory; 3] = [
    Memory { resident: false, bytes: 0, batch_bytes: 0 },
    Memory { resident: true, bytes: 1 << 30, batch_bytes: BATCH_BYTES },
    Memory { resident: false, bytes: 0, batch_bytes: 3 * BLOCK_SIZE as u64 },
];

/// Where the words begin.
const BEGINNINGS: [&str; 4] = ["", "a01.S.*", "L.S.*.r.C.S.*", "L.C.h9.S.*.s1.r"];

fn run_word(word: &[Step], memory: Memory) -> Checked<()> {
    no_panic(|| {
        let mut run = Run::start(memory)?;
        word.iter().try_for_each(|step| run.step(*step))?;
        run.end()
    })
    .map_err(|violation| violation.at(format!("replay: DATASYNC_QUEUED={} ({memory:?})", Word(word))))
}

/// Every word of `depth` steps after every beginning; how many.
pub fn exhaustive(depth: u32, bug: Option<Bug>, threads: usize) -> Checked<u64> {
    let steps = Step::ALL.len();
    let per_beginning = steps.pow(depth);
    let next = AtomicUsize::new(0);
    let tried = AtomicU64::new(0);
    let failed = Mutex::new(None);
    let deadline = settings::deadline();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                plant(bug);
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let late = deadline.is_some_and(|deadline| std::time::Instant::now() > deadline);
                    let over = number >= per_beginning * BEGINNINGS.len();
                    if over || late || failed.lock().expect("unpoisoned").is_some() {
                        break;
                    }
                    let mut word = parse(BEGINNINGS[number / per_beginning]);
                    let mut rest = number % per_beginning;
                    for _ in 0..depth {
                        word.push(Step::ALL[rest % steps]);
                        rest /= steps;
                    }
                    tried.fetch_add(1, Ordering::Relaxed);
                    if let Err(violation) = run_word(&word, MEMORIES[number % 3]) {
                        failed.lock().expect("unpoisoned").get_or_insert(violation);
                    }
                }
            });
        }
    });
    match failed.into_inner().expect("unpoisoned") {
        Some(violation) => Err(violation),
        None => Ok(tried.into_inner()),
    }
}

/// One long life.
fn live(seed: u64, steps: usize) -> Checked<()> {
    let mut random = Random::new(seed);
    let mut run = Run::start(MEMORIES[(seed % 3) as usize])?;
    for _ in 0..steps {
        // Mostly use, sometimes trouble, never a database that vanished: that is the end of a life.
        let step = match random.below(10) {
            0..=4 => Step::ALL[random.below(9)],
            5..=8 => *random.pick(&[Step::Settle, Step::Complete, Step::Complete, Step::Drain, Step::Flush]),
            _ => *random.pick(&Step::ALL[9..Step::ALL.len() - 1]),
        };
        if step == Step::Power {
            run.crash(random.below(run.origin.losable() + 1))?;
        } else {
            run.step(step)?;
        }
        if run.tab.as_ref().is_some_and(|tab| tab.link.is_dead()) {
            run.crash(if random.chance(1, 2) { 0 } else { random.below(4) })?;
        }
    }
    run.crash(0)?;
    empty(&mut run)
}

/// I11 at the end of a life.
fn empty(run: &mut Run) -> Checked<()> {
    let Some(tab) = &run.tab else { return Ok(()) };
    let emptied = (|| {
        let mut writer = tab.volume.begin()?;
        writer.set_size(0)?;
        writer.commit(Durability::Durable)?;
        tab.volume.rotate()?;
        tab.volume.compact()
    })();
    emptied.map_err(|error| unexpected(&error))?;
    tab.link.drain();
    let seen = run.origin.open(run.memory).map_err(|error| unexpected(&error))?;
    let segments = seen.segments().map_err(|error| unexpected(&error))?.len();
    let base = seen.len(Area::Base).map_err(|error| unexpected(&error))?.unwrap_or(0);
    space_comes_back(segments, base)
}

/// Lives from `first` on.
pub fn lives(first: u64, number: u64, steps: usize) -> Checked<()> {
    (first..first + number).try_for_each(|seed| {
        no_panic(|| live(seed, steps)).map_err(|v| v.at(format!("replay: DATASYNC_SEED={seed} (queued)")))
    })
}

#[test]
fn every_short_word_on_a_queued_medium_keeps_every_promise() {
    if let Ok(word) = std::env::var("DATASYNC_QUEUED") {
        for memory in MEMORIES {
            run_word(&parse(&word), memory).unwrap_or_else(|violation| panic!("{violation}"));
        }
        return;
    }
    // A word has a beginning and an end besides, and five times as many letters as elsewhere.
    let depth = u32::try_from(settings::depth()).expect("a small number").clamp(2, 5) - 1;
    match exhaustive(depth, None, settings::threads()) {
        Ok(words) => println!("queued: {words} words of {depth} steps"),
        Err(violation) => panic!("{violation}"),
    }
}

#[test]
fn long_lives_on_a_queued_medium_keep_every_promise() {
    let (first, number) = settings::only_seed().map_or((1, settings::seeds()), |seed| (seed, 1));
    if let Err(violation) = lives(first, number, 200) {
        panic!("{violation}");
    }
    println!("queued: lives {first}..{}", first + number);
}
