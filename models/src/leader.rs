//! M3: tabs that hand a store over. A leader may freeze for as long as it likes, others steal its place; clients
//! forward requests over channels that lose, repeat and reorder; segments are removed under way.
//!
//! The store is IndexedDB's: every transaction compares the owner number, which whoever takes over raises
//! *before* he reads. A request is several commits, each tagged with (client, request, ordinal) in the same
//! transaction; folding a segment away carries the newest tag of each client into META. The channel is a set of
//! everything ever sent: delivering does not take a message out, so it may come again, late, or never.

use std::collections::BTreeSet;
use std::fmt;

use stateright::{Model, Property};

/// Commits of one request.
const ORDINALS: u8 = 2;

/// A deliberate mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mistake {
    /// A transaction does not compare the owner number.
    NoFence,
    /// Whoever takes over reads the store before he raises the owner number.
    ReadBeforeRaise,
    /// Commits carry no tag: only the leader's memory knows what was done.
    NoTags,
    /// A fold does not carry tags into META.
    FoldForgetsTags,
    /// A request is answered when its commits are queued.
    AnswerEarly,
    /// A repeated request is answered from memory, without waiting for the transaction under way.
    AnswerRepeatEarly,
    /// A tag is (client, request) without the ordinal: a request that was half done counts as done.
    NoOrdinal,
}

impl Mistake {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::NoFence,
        Self::ReadBeforeRaise,
        Self::NoTags,
        Self::FoldForgetsTags,
        Self::AnswerEarly,
        Self::AnswerRepeatEarly,
        Self::NoOrdinal,
    ];
}

/// The bounds of the model.
#[derive(Clone, Copy, Debug)]
pub struct Leaders {
    /// How many clients.
    pub clients: usize,
    /// Requests of each.
    pub requests: u8,
    /// How often the store is taken over, the first opening included.
    pub owners: u8,
    /// What is wrong with it.
    pub mistake: Option<Mistake>,
}

/// A commit as the store remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    /// Who asked.
    pub client: u8,
    /// Which request.
    pub request: u8,
    /// Which of its commits.
    pub ordinal: u8,
}

/// For each client the newest commit: (request, ordinal).
type Newest = Vec<(u8, u8)>;

/// What IndexedDB holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stored {
    owner: u8,
    /// Commits in segments that are still there.
    log: Vec<Tag>,
    /// The tags that META carries.
    table: Newest,
    /// Every commit there ever was: for the promises only.
    applied: Vec<Tag>,
}

/// How far a tab has got with leading.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Life {
    Idle,
    /// Has read, and not raised: only with [`Mistake::ReadBeforeRaise`].
    Read(Newest),
    Raised,
    Leading,
}

/// A tab.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tab {
    life: Life,
    frozen: bool,
    owner: u8,
    /// What it has executed, queued or not.
    done: Newest,
    /// What it knows to be in the store.
    durable: Newest,
    queue: Vec<Tag>,
    /// The transaction under way.
    flight: Vec<Tag>,
    /// How it ended, not heard yet.
    ended: Option<bool>,
    /// Answers held back: (client, request).
    waiting: BTreeSet<(u8, u8)>,
}

/// A client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    /// The request it is at.
    request: u8,
}

/// A message that was sent at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Message {
    /// To a tab.
    Request { to: u8, client: u8, request: u8 },
    /// From whichever tab.
    Answer { client: u8, request: u8 },
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    stored: Stored,
    tabs: Vec<Tab>,
    clients: Vec<Client>,
    net: BTreeSet<Message>,
    /// A transaction of a tab that had lost the store was refused.
    fenced: bool,
    /// A request was finished by another tab than the one that began it.
    resumed: bool,
    /// A repeated request was recognised by a tag that only META still had.
    by_table: bool,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A client sends its request to a tab, for the first time or again.
    Send { client: u8, to: u8 },
    /// A message arrives, for the first time or again.
    Deliver(Message),
    /// A tab gives the first so many queued commits to a transaction.
    Pump { tab: u8, count: u8 },
    /// The store runs a tab's transaction; the tab may be frozen meanwhile.
    Run(u8),
    /// A tab hears how its transaction ended.
    Hear(u8),
    /// A tab stops in its tracks.
    Freeze(u8),
    /// And goes on as if nothing had been.
    Thaw(u8),
    /// A tab dies with all it has in memory.
    Die(u8),
    /// A tab takes the place of the leader: raises the owner number.
    Raise(u8),
    /// It reads what is there, and leads.
    Read(u8),
    /// The leader folds all segments away.
    Fold(u8),
}

impl fmt::Display for Leaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} client, {} requests, {} owners", self.clients, self.requests, self.owners)
    }
}

impl Leaders {
    fn has(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    fn tags(&self, stored: &Stored) -> Newest {
        let mut newest = vec![(0, 0); self.clients];
        if self.has(Mistake::NoTags) {
            return newest;
        }
        newest.clone_from(&stored.table);
        for tag in &stored.log {
            newest[tag.client as usize] = newest[tag.client as usize].max((tag.request, tag.ordinal));
        }
        if self.has(Mistake::NoOrdinal) {
            newest.iter_mut().filter(|newest| newest.1 > 0).for_each(|newest| newest.1 = ORDINALS);
        }
        newest
    }

    /// A request has arrived at a leader: executes what of it has not been done, in memory.
    fn serve(&self, state: &mut State, at: usize, client: u8, request: u8) {
        let who = client as usize;
        let tab = &mut state.tabs[at];
        let done = tab.done[who];
        if done.0 > request {
            return;
        }
        let first = if done.0 == request { done.1 + 1 } else { 1 };
        let repeated = first > ORDINALS;
        state.resumed |= first > 1 && !repeated;
        tab.queue.extend((first..=ORDINALS).map(|ordinal| Tag { client, request, ordinal }));
        tab.done[who] = (request, ORDINALS);
        let durable = tab.durable[who] >= (request, ORDINALS);
        let early = self.has(Mistake::AnswerEarly) || (repeated && self.has(Mistake::AnswerRepeatEarly));
        if durable || early {
            let in_log = state.stored.log.iter().any(|tag| tag.client == client);
            state.by_table |= repeated && !in_log && tab.owner > 1;
            state.net.insert(Message::Answer { client, request });
        } else {
            tab.waiting.insert((client, request));
        }
    }

    fn run(&self, state: &mut State, at: usize) {
        let tab = &mut state.tabs[at];
        let owns = tab.owner == state.stored.owner || self.has(Mistake::NoFence);
        if owns {
            state.stored.log.extend(&tab.flight);
            state.stored.applied.extend(&tab.flight);
        } else {
            state.fenced = true;
        }
        tab.ended = Some(owns);
    }

    fn hear(&self, state: &mut State, at: usize) {
        let tab = &mut state.tabs[at];
        if tab.ended.take() == Some(false) {
            *tab = Tab::idle(self.clients);
            return;
        }
        for tag in std::mem::take(&mut tab.flight) {
            tab.durable[tag.client as usize] = (tag.request, tag.ordinal);
        }
        let durable = tab.durable.clone();
        let (ready, still): (BTreeSet<_>, BTreeSet<_>) = tab
            .waiting
            .iter()
            .partition(|(client, request)| durable[*client as usize] >= (*request, ORDINALS));
        tab.waiting = still;
        for (client, request) in ready {
            state.net.insert(Message::Answer { client, request });
        }
    }

    fn read(&self, state: &mut State, at: usize) {
        let found = self.tags(&state.stored);
        let tab = &mut state.tabs[at];
        if self.has(Mistake::ReadBeforeRaise) {
            tab.life = Life::Read(found);
            return;
        }
        (tab.done, tab.durable, tab.life) = (found.clone(), found, Life::Leading);
    }

    fn raise(&self, state: &mut State, at: usize) {
        state.stored.owner += 1;
        let tab = &mut state.tabs[at];
        tab.owner = state.stored.owner;
        tab.life = match std::mem::replace(&mut tab.life, Life::Raised) {
            Life::Read(found) => {
                (tab.done, tab.durable) = (found.clone(), found);
                Life::Leading
            }
            _ => Life::Raised,
        };
    }

    fn fold(&self, stored: &mut Stored) {
        let newest = self.tags(stored);
        stored.log.clear();
        if !self.has(Mistake::FoldForgetsTags) {
            stored.table = newest;
        }
    }

    fn tab_actions(&self, state: &State, at: u8, actions: &mut Vec<Action>) {
        let tab = &state.tabs[at as usize];
        if !tab.flight.is_empty() && tab.ended.is_none() {
            actions.push(Action::Run(at));
        }
        if tab.frozen {
            actions.push(Action::Thaw(at));
            return;
        }
        let early = self.has(Mistake::ReadBeforeRaise);
        let more = state.stored.owner < self.owners;
        match &tab.life {
            Life::Idle if more => actions.push(if early { Action::Read(at) } else { Action::Raise(at) }),
            Life::Read(_) if more => actions.push(Action::Raise(at)),
            Life::Raised => actions.push(Action::Read(at)),
            Life::Leading => {
                actions.extend([Action::Freeze(at), Action::Die(at)]);
                if tab.ended.is_some() {
                    actions.push(Action::Hear(at));
                }
                if tab.flight.is_empty() {
                    let count = u8::try_from(tab.queue.len()).expect("small");
                    actions.extend((1..=count).map(|count| Action::Pump { tab: at, count }));
                }
                if tab.owner == state.stored.owner && !state.stored.log.is_empty() {
                    actions.push(Action::Fold(at));
                }
            }
            Life::Idle | Life::Read(_) => {}
        }
    }
}

impl Tab {
    fn idle(clients: usize) -> Self {
        Self {
            life: Life::Idle,
            frozen: false,
            owner: 0,
            done: vec![(0, 0); clients],
            durable: vec![(0, 0); clients],
            queue: Vec::new(),
            flight: Vec::new(),
            ended: None,
            waiting: BTreeSet::new(),
        }
    }
}

impl Model for Leaders {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let table = vec![(0, 0); self.clients];
        vec![State {
            stored: Stored { owner: 0, log: Vec::new(), table, applied: Vec::new() },
            tabs: vec![Tab::idle(self.clients); 2],
            clients: vec![Client { request: 1 }; self.clients],
            net: BTreeSet::new(),
            fenced: false,
            resumed: false,
            by_table: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for tab in 0..2 {
            self.tab_actions(state, tab, actions);
        }
        for (client, at) in (0..).zip(&state.clients) {
            let sent = |to| state.net.contains(&Message::Request { to, client, request: at.request });
            let open = at.request <= self.requests;
            actions.extend((0..2).filter(|to| open && !sent(*to)).map(|to| Action::Send { client, to }));
        }
        actions
            .extend(state.net.iter().copied().filter(|message| arrives(state, message)).map(Action::Deliver));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Send { client, to } => {
                let request = state.clients[client as usize].request;
                state.net.insert(Message::Request { to, client, request });
            }
            Action::Deliver(Message::Request { to, client, request }) => {
                self.serve(&mut state, to as usize, client, request)
            }
            Action::Deliver(Message::Answer { client, request }) => {
                state.clients[client as usize].request = request + 1;
            }
            Action::Pump { tab, count } => {
                let tab = &mut state.tabs[tab as usize];
                tab.flight = tab.queue.drain(..count as usize).collect();
            }
            Action::Run(tab) => self.run(&mut state, tab as usize),
            Action::Hear(tab) => self.hear(&mut state, tab as usize),
            Action::Freeze(tab) => state.tabs[tab as usize].frozen = true,
            Action::Thaw(tab) => state.tabs[tab as usize].frozen = false,
            Action::Die(tab) => state.tabs[tab as usize] = Tab::idle(self.clients),
            Action::Raise(tab) => self.raise(&mut state, tab as usize),
            Action::Read(tab) => self.read(&mut state, tab as usize),
            Action::Fold(_) => self.fold(&mut state.stored),
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("every commit of a request is applied at most once", |_, state: &State| {
                let applied: BTreeSet<&Tag> = state.stored.applied.iter().collect();
                applied.len() == state.stored.applied.len()
            }),
            Property::always("the commits of a client are applied in its order", |_, state: &State| {
                let clients = 0..u8::try_from(state.clients.len()).expect("few");
                clients.into_iter().all(|client| {
                    let of = state.stored.applied.iter().filter(|tag| tag.client == client);
                    of.is_sorted()
                })
            }),
            Property::always("what was answered has been applied as a whole", |_, state: &State| {
                state.net.iter().all(|message| match *message {
                    Message::Answer { client, request } => (1..=ORDINALS)
                        .all(|ordinal| state.stored.applied.contains(&Tag { client, request, ordinal })),
                    Message::Request { .. } => true,
                })
            }),
            Property::sometimes("every request is answered", |model: &Self, state: &State| {
                state.clients.iter().all(|client| client.request > model.requests)
            }),
            Property::sometimes("a deposed leader's transaction is refused", |_, state: &State| state.fenced),
            Property::sometimes("a half-done request is finished by another", |_, state: &State| {
                state.resumed
            }),
            Property::sometimes("a repeat is known by META's tags alone", |_, state: &State| state.by_table),
        ]
    }
}

/// Whether delivering the message now could change anything.
fn arrives(state: &State, message: &Message) -> bool {
    match *message {
        Message::Request { to, .. } => {
            let tab = &state.tabs[to as usize];
            !tab.frozen && tab.life == Life::Leading
        }
        Message::Answer { client, request } => state.clients[client as usize].request == request,
    }
}
