//! What a user does to a store, one letter per step, so that a workload is a word one can print and replay.
//!
//! Each letter does at least one of {put b0, put b1, trim, commit, commit durable, rotate, compact step, pin,
//! unpin, reopen, crash}; those that write hold the puts and the commit together, because an uncommitted put
//! alone leaves nothing to crash.

use std::fmt;

use datasync::backend::sim::{SimDisk, bytes_of};
use datasync::block::{BLOCK_SIZE, BlockNo, CommitId, Durability, Epoch, Lsn, Tag, blocks_for};
use datasync::error::{Error, ErrorKind};
use datasync::log::plan::Area;
use datasync::volume::{Outcome, Snapshot, Volume};

use crate::invariants::{
    Checked, Expected, Violation, ensure, opens, outcomes, prefix, read_state, reads, request_is_remembered,
    snapshot_holds, space_comes_back,
};
use crate::reference::{Change, Commit, History, State, fill};
use crate::settings::options;

/// The client whose requests the commits are.
pub const CLIENT: u64 = 77;

macro_rules! letters {
    ($($(#[$doc:meta])* $name:ident $text:literal,)*) => {
        /// One step of a workload.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Letter { $($(#[$doc])* $name,)* }

        impl Letter {
            pub const ALL: &[Letter] = &[$(Letter::$name,)*];

            pub fn text(self) -> &'static str {
                match self { $(Letter::$name => $text,)* }
            }
        }
    };
}

letters! {
    /// Put b0, commit applied.
    Apply0 "a0",
    /// Put b1, commit applied.
    Apply1 "a1",
    /// Put b0, commit durable.
    Durable0 "d0",
    /// Put b0 and b1, commit durable.
    Durable01 "d01",
    /// Put b0, commit witnessed.
    Witness0 "w0",
    /// Trim b0, commit applied.
    Trim0 "t0",
    /// Trim b0, put b1, commit durable.
    Swap "td",
    /// One block is left of the database, durable.
    Shrink "s1",
    /// Put b9, commit durable: the database grows over what fell away.
    High "h9",
    /// Twelve blocks: more than the spill bound, durable.
    Large "L",
    /// A batch that spilled is dropped.
    Abandon "x",
    /// A new segment.
    Rotate "r",
    /// One step of a fold.
    Step "c",
    /// Fold everything.
    Compact "C",
    /// Everything committed becomes durable.
    Sync "y",
    /// Hold a snapshot.
    Pin "p",
    /// Let it go.
    Unpin "u",
    /// Close cleanly and open again.
    Reopen "z",
    /// The process dies, the cache lives; open again.
    Kill "k",
}

/// A workload as people and the replay variable spell it.
pub struct Word<'a>(pub &'a [Letter]);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters: Vec<&str> = self.0.iter().map(|letter| letter.text()).collect();
        f.write_str(&letters.join("."))
    }
}

/// Reads what [`Word`] printed.
pub fn parse(word: &str) -> Vec<Letter> {
    let letter = |text: &str| {
        let found = Letter::ALL.iter().find(|letter| letter.text() == text);
        *found.unwrap_or_else(|| panic!("`{text}` is no letter of a workload"))
    };
    word.split('.').filter(|text| !text.is_empty()).map(letter).collect()
}

/// A commit that is being asked for: when, what a reader sees after it, and what it promises.
pub struct Asked {
    pub begun: u64,
    pub state: State,
    pub seq: u64,
    pub durable: bool,
}

/// A store in use: the volume, the disk under it, and what it must hold.
pub struct Run {
    pub disk: SimDisk,
    pub volume: Option<Volume>,
    pub history: History,
    /// What could have been found while a recovery was running, before it said what it found.
    pub before_recovery: Option<History>,
    pinned: Option<(Snapshot, State)>,
    stamp: u64,
    seq: u64,
}

impl Run {
    /// A new store on `disk`.
    pub fn start(disk: SimDisk) -> Checked<Self> {
        let mut run = Self::stopped(disk, nothing());
        run.open()?;
        Ok(run)
    }

    /// A run that knows `history` and has not opened the disk yet.
    pub fn stopped(disk: SimDisk, history: History) -> Self {
        let seq = history.newest().seq;
        let stamps = history.commits.iter().flat_map(|commit| commit.state.blocks.values());
        let stamp = stamps.copied().max().unwrap_or(0);
        Self { disk, volume: None, history, before_recovery: None, pinned: None, stamp, seq }
    }

    /// Takes one step. An error of the store is returned as such; a broken promise as a violation.
    pub fn step(&mut self, letter: Letter) -> Checked<Result<(), Error>> {
        let stamp = self.next_stamp();
        let outcome = match letter {
            Letter::Apply0 => self.commit(&[Change::Put(0, stamp)], Durability::Applied)?,
            Letter::Apply1 => self.commit(&[Change::Put(1, stamp)], Durability::Applied)?,
            Letter::Durable0 => self.commit(&[Change::Put(0, stamp)], Durability::Durable)?,
            Letter::Durable01 => {
                self.commit(&[Change::Put(0, stamp), Change::Put(1, stamp)], Durability::Durable)?
            }
            Letter::Witness0 => self.commit(&[Change::Put(0, stamp)], Durability::Witnessed)?,
            Letter::Trim0 => self.commit(&[Change::Trim(0)], Durability::Applied)?,
            Letter::Swap => self.commit(&[Change::Trim(0), Change::Put(1, stamp)], Durability::Durable)?,
            Letter::High => self.commit(&[Change::Put(9, stamp)], Durability::Durable)?,
            Letter::Shrink => self.commit(&[Change::Size(1)], Durability::Durable)?,
            Letter::Large => {
                let changes: Vec<Change> = (0..12).map(|block| Change::Put(block, stamp)).collect();
                self.commit(&changes, Durability::Durable)?
            }
            Letter::Abandon => self.abandon(stamp),
            Letter::Rotate => self.with(|volume| volume.rotate()),
            Letter::Step => self.with(|volume| volume.compact_step().map(drop)),
            Letter::Compact => self.with(Volume::compact),
            Letter::Sync => self.sync(),
            Letter::Pin => self.pin()?,
            Letter::Unpin => {
                self.pinned = None;
                Ok(())
            }
            Letter::Reopen => self.reopen()?,
            Letter::Kill => self.kill()?,
        };
        self.look()?;
        Ok(outcome)
    }

    /// The stamp of what is written next; no two steps share one.
    pub fn next_stamp(&mut self) -> u64 {
        self.before_recovery = None;
        self.stamp += 1;
        self.stamp
    }

    /// The commit that the held snapshot shows.
    pub fn pinned_at(&self) -> Option<u64> {
        self.pinned.as_ref().map(|(snapshot, _)| snapshot.lsn().0)
    }

    /// The process dies; whatever comes next opens the disk anew.
    pub fn die(&mut self) {
        self.pinned = None;
        let next = self.disk.crash_process();
        self.volume = None;
        self.disk = next;
    }

    /// Opens the disk, on which nothing is wrong, and learns which commits are left.
    pub fn open(&mut self) -> Checked<()> {
        let volume = opens(Volume::open(self.disk.clone(), options()))?;
        reads(self.adopt(volume)?)
    }

    /// Learns from an opened volume which commits are left. An error of a read is returned as such.
    pub fn adopt(&mut self, volume: Volume) -> Checked<Result<(), Error>> {
        let (least, most) = self.history.bounds_at(u64::MAX);
        let expected = Expected { commits: &self.history.commits, least, most };
        let shown = match shown(&volume, &expected)? {
            Ok(shown) => shown,
            Err(error) => return Ok(Err(error)),
        };
        let base = Commit { acknowledged: Some(self.disk.ops()), ..self.history.commits[shown].clone() };
        let before = std::mem::replace(&mut self.history, History::new(base));
        self.before_recovery = Some(before);
        self.volume = Some(volume);
        Ok(Ok(()))
    }

    fn with(&self, verb: impl FnOnce(&Volume) -> Result<(), Error>) -> Result<(), Error> {
        self.volume.as_ref().map_or(Ok(()), verb)
    }

    /// One commit of these changes.
    pub fn commit(&mut self, changes: &[Change], durability: Durability) -> Checked<Result<(), Error>> {
        let Some(volume) = self.volume.clone() else { return Ok(Ok(())) };
        let begun = self.disk.ops();
        let mut state = self.history.newest().state.clone();
        changes.iter().for_each(|change| state.apply(*change));
        self.seq += 1;
        let seq = self.seq;
        let outcome = commit(&volume, changes, durability, seq);
        self.note(Asked { begun, state, seq, durable: durability >= Durability::Durable }, outcome)
    }

    /// Writes down what the store said about a commit, and checks its name.
    pub fn note(&mut self, asked: Asked, outcome: Result<CommitId, Error>) -> Checked<Result<(), Error>> {
        let Asked { begun, state, seq, durable } = asked;
        let (id, durable) = match &outcome {
            Ok(id) => (Some(*id), durable),
            Err(error) => match error.kind() {
                ErrorKind::Indeterminate(id) => (Some(id), false),
                // Any other error says: not committed, and never will be.
                _ => return Ok(outcome.map(drop)),
            },
        };
        let newest = self.history.newest();
        if let (Some(id), Some(volume), true) = (id, &self.volume, newest.state == state)
            && newest.id.is_some_and(|newest| newest.lsn == id.lsn)
        {
            // Nothing was staged, so this is no new commit: it is named by the one it stands on.
            return ensure(volume.outcome_of(id) == Outcome::Committed, "I15 one outcome", || {
                format!("an empty commit was called {id}, which the store does not know")
            })
            .map(|()| outcome.map(drop));
        }
        let rises = id.is_none_or(|id| newest.id.is_none_or(|newest| id > newest));
        ensure(rises, "I1 prefix", || format!("commit {id:?} after {:?}", newest.id))?;
        self.history.commits.push(Commit { id, state, begun, acknowledged: None, seq });
        if let (true, Some(id)) = (durable, id) {
            self.history.acknowledge_up_to(id.lsn, self.disk.ops());
        }
        Ok(outcome.map(drop))
    }

    fn abandon(&self, stamp: u64) -> Result<(), Error> {
        // Every other one spills over the end of a segment.
        let blocks = if stamp.is_multiple_of(2) { 9 } else { 24 };
        self.with(|volume| {
            let mut writer = volume.begin()?;
            (0..blocks).try_for_each(|block| writer.write(BlockNo(block), &fill(block, stamp)))
        })
    }

    fn sync(&mut self) -> Result<(), Error> {
        let Some(volume) = &self.volume else { return Ok(()) };
        let reached = volume.sync()?;
        self.history.acknowledge_up_to(reached, self.disk.ops());
        Ok(())
    }

    fn pin(&mut self) -> Checked<Result<(), Error>> {
        let Some(volume) = &self.volume else { return Ok(Ok(())) };
        match volume.snapshot() {
            Ok(snapshot) => {
                self.pinned = Some((snapshot, self.history.newest().state.clone()));
                Ok(Ok(()))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    fn reopen(&mut self) -> Checked<Result<(), Error>> {
        self.pinned = None;
        if let Err(error) = self.with(Volume::close) {
            return Ok(Err(error));
        }
        if self.volume.take().is_some() {
            self.history.acknowledge_all(self.disk.ops());
            plain_database(&self.disk, &self.history.newest().state)?;
        }
        self.reopened()
    }

    fn kill(&mut self) -> Checked<Result<(), Error>> {
        // The trace of this disk goes on: the dead volume does nothing by itself.
        self.pinned = None;
        self.volume = None;
        self.reopened()
    }

    fn reopened(&mut self) -> Checked<Result<(), Error>> {
        match Volume::open(self.disk.clone(), options()) {
            Ok(volume) => self.adopt(volume),
            Err(error) => Ok(Err(error)),
        }
    }

    /// I11 at the end of a life.
    pub fn empty(&self) -> Checked<()> {
        let Some(volume) = &self.volume else { return Ok(()) };
        let emptied = (|| {
            let mut writer = volume.begin()?;
            writer.set_size(0)?;
            writer.commit(Durability::Durable)?;
            volume.rotate()?;
            volume.compact()
        })();
        emptied.map_err(|error| unexpected(&error))?;
        let state = self.disk.state();
        space_comes_back(state.segments().len(), state.len(Area::Base).unwrap_or(0))
    }

    /// What can be seen right now is right: the newest state, and the pinned one.
    pub fn look(&self) -> Checked<()> {
        if let Some((snapshot, state)) = &self.pinned {
            snapshot_holds(snapshot, state)?;
        }
        let Some(Ok(snapshot)) = self.volume.as_ref().map(Volume::snapshot) else { return Ok(()) };
        let Ok(found) = read_state(&snapshot)? else { return Ok(()) };
        let known = self.history.commits.iter().rev().take(2).any(|commit| commit.state == found);
        ensure(known, "I6 no wrong data", || {
            format!("a reader sees {found:?}, the newest commit left {:?}", self.history.newest().state)
        })
    }
}

/// The history of a disk that holds nothing.
pub fn nothing() -> History {
    let id = CommitId { epoch: Epoch(0), lsn: Lsn(0) };
    History::new(Commit { id: Some(id), state: State::default(), begun: 0, acknowledged: Some(0), seq: 0 })
}

/// Which prefix an opened volume shows, everything about it checked that a look can check.
pub fn recovered(volume: &Volume, expected: &Expected<'_>) -> Checked<usize> {
    reads(shown(volume, expected)?)
}

/// The same; an error of a read is returned as such.
pub fn shown(volume: &Volume, expected: &Expected<'_>) -> Checked<Result<usize, Error>> {
    let snapshot = crate::invariants::snapshot(volume)?;
    let state = match read_state(&snapshot)? {
        Ok(state) => state,
        Err(error) => return Ok(Err(error)),
    };
    let shown = prefix(&state, snapshot.lsn().0, expected)?;
    outcomes(volume, expected, shown)?;
    request_is_remembered(volume, &expected.commits[shown])?;
    Ok(Ok(shown))
}

/// Commits `changes` as the request `seq`.
pub fn commit(
    volume: &Volume,
    changes: &[Change],
    durability: Durability,
    seq: u64,
) -> Result<CommitId, Error> {
    let mut writer = volume.begin()?;
    for change in changes {
        match *change {
            Change::Put(block, stamp) => writer.write(BlockNo(block), &fill(block, stamp))?,
            Change::Trim(block) => writer.trim(BlockNo(block))?,
            Change::Size(blocks) => writer.set_size(blocks * BLOCK_SIZE as u64)?,
        }
    }
    writer.set_tag(Tag { client: CLIENT, seq, ordinal: 1 });
    Ok(writer.commit(durability)?.commit)
}

/// After a clean close base.db is the database itself, for any program that reads files.
pub fn plain_database(disk: &SimDisk, state: &State) -> Checked<()> {
    let medium = disk.state();
    ensure(medium.len(Area::Base) == Some(state.size), "plain database", || {
        format!("base.db has length {:?}, the database {}", medium.len(Area::Base), state.size)
    })?;
    for block in 0..blocks_for(state.size) {
        let wanted = state.blocks.get(&block).map_or([0; BLOCK_SIZE], |stamp| fill(block, *stamp));
        ensure(*bytes_of(&medium.visible(Area::Base, block)) == wanted, "plain database", || {
            format!("block {block} of base.db is not what the store shows after a clean close")
        })?;
    }
    Ok(())
}

/// Wraps what a run could not go on from.
pub fn unexpected(error: &Error) -> Violation {
    Violation::new("I9 progress", format!("nothing was wrong with the disk, yet {:?}: {error}", error.kind()))
}
