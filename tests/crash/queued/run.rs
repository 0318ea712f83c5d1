//! A store on a queued medium in use: what it was told, what it may show, and what it does with each step.

use std::sync::{Arc, Mutex};

use datasync::backend::queue::{Memory, Ticket};
use datasync::backend::sim::{SimOrigin, SimTab, TransactionFate};
use datasync::block::{Durability, Lsn};
use datasync::error::{Error, ErrorKind};
use datasync::volume::Volume;

use super::step::Step;
use crate::invariants::{
    Checked, Expected, Violation, ensure, fenced, opens, prefix, progress, read_state, reads, same_again,
    snapshot,
};
use crate::reference::{Change, Commit, History, State};
use crate::settings::options;
use crate::workload::{commit, nothing, recovered, unexpected};

/// An answer that is held back: what it waits for, up to which commit, and the first commit it is about.
struct Held {
    ticket: Ticket,
    upto: Lsn,
    first: usize,
}

/// A tab with the store open.
pub struct Tab {
    pub link: SimTab,
    pub volume: Volume,
}

/// A store on a queued medium in use.
pub struct Run {
    pub origin: SimOrigin,
    pub memory: Memory,
    pub tab: Option<Tab>,
    /// A tab that was deposed and does not know it yet.
    zombie: Option<Tab>,
    pub history: History,
    held: Vec<Held>,
    /// The first commit since the last flush.
    unflushed: usize,
    /// Something was acknowledged, so a vanished database must be missed.
    vanished: bool,
    stamp: u64,
    seq: u64,
}

impl Run {
    pub fn start(memory: Memory) -> Checked<Self> {
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

    pub fn step(&mut self, step: Step) -> Checked<()> {
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
    pub fn open(&mut self) -> Checked<()> {
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

    pub fn crash(&mut self, lost: usize) -> Checked<()> {
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
        let id = match commit(&tab.volume, changes, Durability::Applied, seq) {
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
        let acknowledged = is_acknowledged(zombie, self.stamp);
        let owned = &self.history.newest().state;
        let view = self.tab.as_ref().filter(|tab| !tab.link.is_dead() && !self.vanished);
        let seen =
            view.and_then(|tab| tab.volume.snapshot().ok()).map(|view| read_state(&view)).transpose()?;
        fenced(acknowledged, seen.and_then(Result::ok).as_ref().unwrap_or(owned), owned)
    }

    /// Another tab takes the database over at the `nth` wait of this one for the medium while it takes `steps`, and
    /// `writes` a commit of its own before this one wakes. Whether it came to that. I12 for what this tab does then.
    pub fn intruded(&mut self, nth: u64, writes: bool, steps: &[Step]) -> Checked<bool> {
        let visit: Arc<Mutex<Option<Checked<Visit>>>> = Arc::default();
        let (memory, seen) = (self.memory, Arc::clone(&visit));
        self.origin.expect_intruder(nth, move |origin| {
            *seen.lock().expect("unpoisoned") = Some(Visit::pay(origin, memory, writes));
        });
        for step in steps {
            self.step(*step)?;
            if self.origin.expects_intruder() {
                continue;
            }
            let visit = visit.lock().expect("unpoisoned").take().expect("the intruder came")?;
            let Some(deposed) = self.tab.take() else { break };
            self.held.clear();
            let newest = self.history.newest().state.clone();
            visit.joins(&mut self.history)?;
            still_reads_its_own(&deposed, &newest)?;
            let acknowledged = is_acknowledged(&deposed, self.stamp + 1);
            self.open()?;
            let owned = self.history.newest().state.clone();
            return fenced(acknowledged, &owned, &owned).map(|()| true);
        }
        self.origin.dismiss_intruder();
        Ok(false)
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
    pub fn end(mut self) -> Checked<()> {
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

/// What another tab found when it took the database over, and the commit that it made, if it made one.
struct Visit {
    found: (State, u64),
    made: Option<Commit>,
}

impl Visit {
    fn pay(origin: &SimOrigin, memory: Memory, writes: bool) -> Checked<Self> {
        let link = origin.open(memory).map_err(|error| unexpected(&error))?;
        let volume = opens(Volume::open(link.clone(), options()))?;
        let view = snapshot(&volume)?;
        let found = (reads(read_state(&view)?)?, view.lsn().0);
        if !writes {
            return Ok(Self { found, made: None });
        }
        let (stamp, seq) = (1 << 30, 1 << 30);
        let change = Change::Put(1, stamp);
        let mut state = found.0.clone();
        state.apply(change);
        let id = commit(&volume, &[change], Durability::Applied, seq).map_err(|error| unexpected(&error))?;
        volume.sync().map_err(|error| unexpected(&error))?;
        let ticket = link.flush(true);
        link.drain();
        let flushed = link.is_flushed(ticket);
        ensure(matches!(flushed, Ok(true)), "I9 progress", || format!("the new owner's flush: {flushed:?}"))?;
        let made = Commit { id: Some(id), state, begun: 0, acknowledged: Some(0), seq };
        Ok(Self { found, made: Some(made) })
    }

    /// What it found is a prefix of `history`, which goes on with what it made.
    fn joins(self, history: &mut History) -> Checked<()> {
        let (least, most) = history.bounds_at(u64::MAX);
        let expected = Expected { commits: &history.commits, least, most };
        let shown = prefix(&self.found.0, self.found.1, &expected)?;
        if let Some(made) = self.made {
            history.commits.truncate(shown + 1);
            history.commits.push(made);
        }
        Ok(())
    }
}

/// I6 for a tab that was deposed: a read shows what it knew, or says that it is fenced; never that the medium is
/// damaged.
fn still_reads_its_own(deposed: &Tab, newest: &State) -> Checked<()> {
    let Ok(view) = deposed.volume.snapshot() else { return Ok(()) };
    match read_state(&view)? {
        Ok(state) => ensure(state == *newest, "I6 no wrong data", || {
            format!("a deposed tab sees {state:?}, its newest commit left {newest:?}")
        }),
        Err(error) => ensure(error.kind() == ErrorKind::Fenced, "I12 fencing", || {
            format!("a read of a deposed tab says {error}")
        }),
    }
}

/// Whether a tab is told that a commit of its is durable, when everything runs that it has queued.
fn is_acknowledged(tab: &Tab, stamp: u64) -> bool {
    let made = commit(&tab.volume, &[Change::Put(0, stamp)], Durability::Applied, 1 << 40);
    let synced = tab.volume.sync();
    let ticket = tab.link.flush(true);
    tab.link.drain();
    made.is_ok() && synced.is_ok() && matches!(tab.link.is_flushed(ticket), Ok(true))
}
