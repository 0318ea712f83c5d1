//! M2: commits through IndexedDB. Ops go into an ordered queue in memory and count for the store at once; a pump
//! gives the front of the queue to one transaction at a time; an answer waits for its transaction.
//!
//! What the store believes to be durable runs ahead of the medium: a commit's header says so, a fold and a removal
//! are queued without waiting. The question is whether what survives (a prefix of the ops, cut anywhere between
//! two transactions) can ever show that. Transactions abort, connections close and nobody knows what became of
//! the last one, power takes relaxed transactions that had completed, and another tab may take the store.

use std::fmt;

use stateright::{Model, Property};

/// A deliberate mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mistake {
    /// A transaction does not compare the owner number.
    NoFence,
    /// Whoever opens reads the store before he raises the owner number.
    ReadBeforeRaise,
    /// A commit is answered when it is queued.
    AnswerEarly,
    /// A commit is answered as durable when a relaxed transaction completes.
    AnswerRelaxed,
    /// After an abort the queue goes on with the next transaction.
    GoOnAfterAbort,
    /// After a closed connection the queue gives the same transaction again, without looking whether it went through.
    ReplayBlindly,
    /// A fold queues the removal of the log before the META that no longer lists it.
    RemoveFirst,
    /// A fold queues META before the blocks of the base.
    PublishFirst,
}

impl Mistake {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::NoFence,
        Self::ReadBeforeRaise,
        Self::AnswerEarly,
        Self::AnswerRelaxed,
        Self::GoOnAfterAbort,
        Self::ReplayBlindly,
        Self::RemoveFirst,
        Self::PublishFirst,
    ];
}

/// The bounds of the model.
#[derive(Clone, Copy, Debug)]
pub struct Queue {
    /// Commits that are begun, over all lives.
    pub commits: u8,
    /// How often the store is opened.
    pub owners: u8,
    /// How often the log is folded.
    pub folds: u8,
    /// How often power is cut.
    pub cuts: u8,
    /// What is wrong with it.
    pub mistake: Option<Mistake>,
}

/// The name of a commit: (owner that made it, number in the log).
pub type Commit = (u8, u8);

/// One op of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// A group: the commit, and what its header says is durable.
    Append { commit: Commit, watermark: u8 },
    /// The newest blocks up to a commit go into the base.
    Copy(u8),
    /// META says that the log begins behind this commit.
    Publish(u8),
    /// The log up to this commit is removed.
    Remove(u8),
}

/// What IndexedDB holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Medium {
    owner: u8,
    /// Groups, by number; `None` where one was removed or never came.
    log: Vec<Option<(Commit, u8)>>,
    /// What the base was made of: the commits folded into it.
    base: Vec<Commit>,
    folded: u8,
}

/// What an opening finds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    Commits(Vec<Commit>),
    /// A header proves a commit that is not there.
    Corrupt,
}

impl Found {
    fn has(&self, commit: &Commit) -> bool {
        matches!(self, Self::Commits(commits) if commits.contains(commit))
    }
}

impl Medium {
    fn apply(&mut self, op: Op) {
        match op {
            Op::Append { commit, watermark } => {
                let at = commit.1 as usize;
                self.log.resize(self.log.len().max(at), None);
                self.log[at - 1] = Some((commit, watermark));
            }
            Op::Copy(upto) => {
                if let Found::Commits(all) = self.read() {
                    self.base = all.into_iter().filter(|commit| commit.1 <= upto).collect();
                }
            }
            Op::Publish(upto) => self.folded = upto,
            Op::Remove(upto) => self.log.iter_mut().take(upto as usize).for_each(|group| *group = None),
        }
    }

    /// Recovery: the base up to what META says, then the log to its first hole; a header behind the hole must not
    /// prove what is missing.
    fn read(&self) -> Found {
        let mut commits: Vec<Commit> =
            self.base.iter().copied().filter(|commit| commit.1 <= self.folded).collect();
        if commits.len() < self.folded as usize {
            return Found::Corrupt;
        }
        let behind = self.log.iter().skip(self.folded as usize);
        commits.extend(behind.clone().map_while(|group| group.map(|(commit, _)| commit)));
        let proven = behind.flatten().map(|(_, watermark)| *watermark).max();
        if proven.is_some_and(|proven| usize::from(proven) > commits.len()) {
            return Found::Corrupt;
        }
        Found::Commits(commits)
    }
}

/// A tab's connection and queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tab {
    open: bool,
    /// It has raised the owner number and not read yet.
    raised: bool,
    owner: u8,
    /// What its store shows.
    commits: Vec<Commit>,
    /// What its store has folded, as far as it knows.
    folded: u8,
    queue: Vec<Op>,
    flight: Vec<Op>,
    strict: bool,
    /// How the transaction ended; `None` while it runs.
    ended: Option<bool>,
    /// The queue has ended for good.
    dead: bool,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    medium: Medium,
    /// What is left if power is cut: the medium after the last strict transaction, and after each relaxed since.
    durable: Vec<Medium>,
    tabs: [Tab; 2],
    begun: u8,
    folds: u8,
    cuts: u8,
    /// Commits that somebody was told are durable.
    answered: Vec<Commit>,
    /// What the newest opening found: what every later one must begin with, but for power cuts.
    settled: Vec<Commit>,
    fenced: bool,
    unknown_went_through: bool,
    ahead: bool,
    lost_relaxed: bool,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Raise(u8),
    Read(u8),
    /// The store of a tab commits: into the queue.
    Commit(u8),
    /// It folds everything it believes to be durable: into the queue.
    Fold(u8),
    /// The front of the queue goes to a transaction.
    Pump {
        tab: u8,
        count: u8,
        strict: bool,
    },
    /// The medium runs it.
    Run(u8),
    /// It aborts (quota, or the engine's reasons).
    Abort(u8),
    /// `complete` or `abort` is heard.
    Hear(u8),
    /// The connection closes: whether the transaction went through is not known.
    Close(u8),
    /// The tab dies.
    Die(u8),
    /// Power is cut; so many relaxed transactions are left.
    Cut(u8),
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} commits, {} openings, {} fold, {} power cut",
            self.commits, self.owners, self.folds, self.cuts
        )
    }
}

impl Queue {
    fn has(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    fn answer(&self, state: &mut State, ops: &[Op]) {
        for op in ops {
            if let Op::Append { commit, .. } = op {
                state.answered.push(*commit);
            }
        }
    }

    fn read(&self, state: &mut State, at: usize) {
        if let Found::Commits(commits) = state.medium.read() {
            state.settled.clone_from(&commits);
            let tab = &mut state.tabs[at];
            (tab.raised, tab.open) = (false, true);
            (tab.folded, tab.commits) = (state.medium.folded, commits);
        }
    }

    fn raise(&self, state: &mut State, at: usize) {
        state.medium.owner += 1;
        let tab = &mut state.tabs[at];
        tab.owner = state.medium.owner;
        tab.raised = !tab.open;
        // Strict, and it waits for every transaction before it.
        state.durable = vec![state.medium.clone()];
    }

    fn commit(&self, state: &mut State, at: usize) {
        state.begun += 1;
        let tab = &mut state.tabs[at];
        let number = u8::try_from(tab.commits.len()).expect("few") + 1;
        let commit = (tab.owner, number);
        // To the store the barrier of the commit before went well when it was queued.
        let op = Op::Append { commit, watermark: number - 1 };
        state.ahead |= !(tab.queue.is_empty() && tab.flight.is_empty());
        tab.commits.push(commit);
        tab.queue.push(op);
        if self.has(Mistake::AnswerEarly) {
            self.answer(state, &[op]);
        }
    }

    fn fold(&self, tab: &mut Tab) {
        let upto = u8::try_from(tab.commits.len()).expect("few");
        tab.folded = upto;
        let mut ops = [Op::Copy(upto), Op::Publish(upto), Op::Remove(upto)];
        if self.has(Mistake::RemoveFirst) {
            ops.swap(1, 2);
        }
        if self.has(Mistake::PublishFirst) {
            ops.rotate_left(1);
        }
        tab.queue.extend(ops);
    }

    fn run(&self, state: &mut State, at: usize) {
        let tab = &mut state.tabs[at];
        if tab.owner != state.medium.owner && !self.has(Mistake::NoFence) {
            state.fenced = true;
            tab.ended = Some(false);
            return;
        }
        tab.flight.iter().for_each(|op| state.medium.apply(*op));
        tab.ended = Some(true);
        if tab.strict {
            state.durable.clear();
        }
        state.durable.push(state.medium.clone());
    }

    fn hear(&self, state: &mut State, at: usize) {
        let tab = &mut state.tabs[at];
        let done = tab.ended.take() == Some(true);
        let ops = std::mem::take(&mut tab.flight);
        tab.dead |= !done && !self.has(Mistake::GoOnAfterAbort);
        if done && (tab.strict || self.has(Mistake::AnswerRelaxed)) {
            self.answer(state, &ops);
        }
    }

    fn close(&self, state: &mut State, at: usize) {
        let tab = &mut state.tabs[at];
        state.unknown_went_through |= tab.ended == Some(true);
        tab.ended = None;
        if self.has(Mistake::ReplayBlindly) {
            tab.owner = state.medium.owner;
            return;
        }
        *tab = Tab::default();
    }

    fn cut(&self, state: &mut State, kept: usize) {
        state.cuts += 1;
        state.lost_relaxed |= kept + 1 < state.durable.len();
        state.medium = state.durable[kept].clone();
        state.durable.truncate(kept + 1);
        state.tabs = [Tab::default(), Tab::default()];
        // What an opening has found and only relaxed transactions had brought may be gone again.
        if let Found::Commits(commits) = state.medium.read() {
            let same = state.settled.iter().zip(&commits).take_while(|(a, b)| a == b).count();
            state.settled.truncate(same);
        }
    }

    fn tab_actions(&self, state: &State, at: u8, actions: &mut Vec<Action>) {
        let tab = &state.tabs[at as usize];
        let early = self.has(Mistake::ReadBeforeRaise);
        let may_raise = state.medium.owner < self.owners;
        if tab.raised {
            actions.push(Action::Read(at));
        } else if !tab.open && may_raise {
            actions.push(if early { Action::Read(at) } else { Action::Raise(at) });
        } else if tab.open && tab.owner == 0 {
            if may_raise {
                actions.push(Action::Raise(at));
            }
            return;
        }
        if !tab.open {
            return;
        }
        actions.push(Action::Die(at));
        let running = !tab.flight.is_empty();
        if running && tab.ended.is_none() {
            actions.extend([Action::Run(at), Action::Abort(at)]);
        }
        if running {
            actions.push(Action::Close(at));
        }
        if tab.ended.is_some() {
            actions.push(Action::Hear(at));
        }
        if tab.dead {
            return;
        }
        if state.begun < self.commits {
            actions.push(Action::Commit(at));
        }
        if usize::from(tab.folded) < tab.commits.len() && state.folds < self.folds {
            actions.push(Action::Fold(at));
        }
        if !running {
            let all = u8::try_from(tab.queue.len()).expect("small");
            for count in (1..=all).filter(|count| [1, all].contains(count)) {
                actions.extend([true, false].map(|strict| Action::Pump { tab: at, count, strict }));
            }
        }
    }
}

impl Model for Queue {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            medium: Medium::default(),
            durable: vec![Medium::default()],
            tabs: [Tab::default(), Tab::default()],
            begun: 0,
            folds: 0,
            cuts: 0,
            answered: Vec::new(),
            settled: Vec::new(),
            fenced: false,
            unknown_went_through: false,
            ahead: false,
            lost_relaxed: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for tab in 0..2 {
            self.tab_actions(state, tab, actions);
        }
        if state.cuts < self.cuts {
            actions.extend((0..u8::try_from(state.durable.len()).expect("few")).map(Action::Cut));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Raise(tab) => self.raise(&mut state, tab as usize),
            Action::Read(tab) => self.read(&mut state, tab as usize),
            Action::Commit(tab) => self.commit(&mut state, tab as usize),
            Action::Fold(tab) => {
                state.folds += 1;
                self.fold(&mut state.tabs[tab as usize]);
            }
            Action::Pump { tab, count, strict } => {
                let tab = &mut state.tabs[tab as usize];
                tab.flight = tab.queue.drain(..count as usize).collect();
                tab.strict = strict;
            }
            Action::Run(tab) => self.run(&mut state, tab as usize),
            Action::Abort(tab) => state.tabs[tab as usize].ended = Some(false),
            Action::Hear(tab) => self.hear(&mut state, tab as usize),
            Action::Close(tab) => self.close(&mut state, tab as usize),
            Action::Die(tab) => state.tabs[tab as usize] = Tab::default(),
            Action::Cut(kept) => self.cut(&mut state, kept as usize),
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "what was answered as durable is found, even after a power cut",
                |_, state: &State| {
                    let found = state.durable[0].read();
                    state.answered.iter().all(|commit| found.has(commit))
                },
            ),
            Property::always("what survives never looks corrupt", |_, state: &State| {
                state.durable.iter().all(|medium| medium.read() != Found::Corrupt)
            }),
            Property::always("what an opening found stays", |_, state: &State| {
                let Found::Commits(commits) = state.medium.read() else { return false };
                commits.starts_with(&state.settled)
            }),
            Property::sometimes("every commit is answered", |model: &Self, state: &State| {
                state.answered.len() == usize::from(model.commits)
            }),
            Property::sometimes("a deposed tab's transaction is refused", |_, state: &State| state.fenced),
            Property::sometimes("a transaction of unknown fate went through", |_, state: &State| {
                state.unknown_went_through
            }),
            Property::sometimes("the store believes more durable than is", |_, state: &State| state.ahead),
            Property::sometimes("power takes a completed relaxed transaction", |_, state: &State| {
                state.lost_relaxed
            }),
            Property::sometimes("the log is folded away", |_, state: &State| {
                state.medium.folded > 0 && state.medium.log.iter().all(Option::is_none)
            }),
        ]
    }
}
