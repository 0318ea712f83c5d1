//! The faults of the simulated disk: one enum for every test there is.
//!
//! Each fault counts how often it struck. A run that asked for a fault which never struck proved nothing,
//! and [`Faults::unfired`] names it. Not here: short and interrupted writes, which a backend absorbs below
//! the op alphabet, and what belongs to browsers.

use std::fmt;

use crate::error::ErrorKind;
use crate::log::plan::{Area, Op};

/// The calls a medium can refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// `Op::Create`.
    Create,
    /// `Op::Write`.
    Write,
    /// `Op::Reserve`.
    Reserve,
    /// `Op::Resize`.
    Resize,
    /// `Op::Barrier`.
    Barrier,
    /// `Op::BarrierDirectory`.
    BarrierDirectory,
    /// `Op::Remove`.
    Remove,
    /// `Source::read`.
    Read,
    /// `Source::len`.
    Len,
    /// `Source::segments`.
    List,
    /// Any op, counted together (not the reads).
    AnyOp,
}

impl Call {
    /// Every call, for tests that refuse each in turn.
    pub const ALL: [Self; 11] = [
        Self::Create,
        Self::Write,
        Self::Reserve,
        Self::Resize,
        Self::Barrier,
        Self::BarrierDirectory,
        Self::Remove,
        Self::Read,
        Self::Len,
        Self::List,
        Self::AnyOp,
    ];

    /// The call that `op` is.
    #[must_use]
    pub fn of(op: &Op) -> Self {
        match op {
            Op::Create(_) => Self::Create,
            Op::Write { .. } => Self::Write,
            Op::Reserve { .. } => Self::Reserve,
            Op::Resize { .. } => Self::Resize,
            Op::Barrier(_) => Self::Barrier,
            Op::BarrierDirectory => Self::BarrierDirectory,
            Op::Remove(_) => Self::Remove,
        }
    }
}

/// How much of a refused op reached the cache all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Leaves {
    /// Nothing.
    Nothing,
    /// All of it.
    Everything,
    /// Its pages hold garbage.
    Garbage,
}

/// What a barrier that failed did to the pages it should have made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BarrierFailure {
    /// Dropped from the cache: reads show the old bytes again.
    Drops,
    /// Still dirty: a later barrier would write them.
    KeepsDirty,
    /// Marked clean: reads show the new bytes, the disk holds the old ones, no later barrier writes them.
    MarksClean,
    /// Some reached the disk, the others are marked clean; whoever asks again is told "success".
    ReportsOnce,
    /// Marked clean, and the disk holds garbage: the write tore and is not tried again.
    Spoils,
}

impl BarrierFailure {
    /// All five.
    pub const ALL: [Self; 5] =
        [Self::Drops, Self::KeepsDirty, Self::MarksClean, Self::ReportsOnce, Self::Spoils];
}

/// One thing that goes wrong. Counts start at 1 and run from the moment the fault is injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The `nth` call of this kind fails, and with `lasting` every later one too.
    Refuse {
        /// Which call.
        call: Call,
        /// Which of them.
        nth: u64,
        /// `Io` or `Full`.
        kind: ErrorKind,
        /// Once or for good.
        lasting: bool,
        /// What it leaves behind.
        leaves: Leaves,
    },
    /// The `nth` barrier on an area fails.
    FailBarrier {
        /// Which of them.
        nth: u64,
        /// What becomes of the pages.
        how: BarrierFailure,
        /// `Io` or `Full`.
        kind: ErrorKind,
    },
    /// From the `nth` op on the machine is off: that op and everything after it, reads too, does nothing.
    PowerOff {
        /// The first op that does not happen.
        nth: u64,
    },
    /// From the `nth` barrier on, barriers (the directory's too) say yes and do nothing.
    LyingBarriers {
        /// The first lie.
        nth: u64,
    },
    /// Reading any byte of this page fails, once or for good.
    Unreadable {
        /// Where.
        area: Area,
        /// Which 4 KiB page there.
        page: u64,
        /// Once or for good.
        lasting: bool,
    },
    /// A read of this page returns what it held before its last durable write.
    StaleRead {
        /// Where.
        area: Area,
        /// Which page.
        page: u64,
    },
    /// One read of this page returns other bytes; the next one is right: an error of the path, not of the disk.
    GarbledRead {
        /// Where.
        area: Area,
        /// Which page.
        page: u64,
    },
    /// One durable byte changes.
    Rot {
        /// Where.
        area: Area,
        /// Which byte of the area.
        byte: u64,
        /// The bits that flip, not 0.
        flip: u8,
    },
    /// The last durable write of this page never happened.
    LostWrite {
        /// Where.
        area: Area,
        /// Which page.
        page: u64,
    },
    /// The last durable write of this page went to another one, and this one kept its old bytes.
    MisdirectedWrite {
        /// Where it should have gone.
        area: Area,
        /// Which page there.
        page: u64,
        /// Where it went.
        to_area: Area,
        /// Which page there.
        to_page: u64,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The faults of one run and how often each struck.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    armed: Vec<Armed>,
    off: bool,
}

#[derive(Clone, Debug)]
struct Armed {
    fault: Fault,
    seen: u64,
    fired: u64,
}

/// What the faults make of a call.
pub(super) enum Verdict {
    Allowed,
    Off,
    Refused(ErrorKind, Leaves),
    BarrierFailed(ErrorKind, BarrierFailure),
    Lie,
}

impl Faults {
    /// Arms `fault`. Those that change durable bytes strike at once: `fired` says how often.
    pub(super) fn arm(&mut self, fault: Fault, fired: u64) {
        self.armed.push(Armed { fault, seen: 0, fired });
    }

    /// Faults that never struck.
    #[must_use]
    pub fn unfired(&self) -> Vec<Fault> {
        self.armed.iter().filter(|armed| armed.fired == 0).map(|armed| armed.fault).collect()
    }

    /// Each fault and how often it struck.
    pub fn counts(&self) -> impl Iterator<Item = (Fault, u64)> + '_ {
        self.armed.iter().map(|armed| (armed.fault, armed.fired))
    }

    /// Whether the machine is off.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.off
    }

    pub(super) fn judge_op(&mut self, call: Call) -> Verdict {
        if self.off {
            return Verdict::Off;
        }
        let mut verdict = Verdict::Allowed;
        for armed in &mut self.armed {
            let found = armed.judge_op(call);
            if let Verdict::Off = found {
                self.off = true;
            }
            if !matches!(found, Verdict::Allowed) && matches!(verdict, Verdict::Allowed) {
                armed.fired += 1;
                verdict = found;
            }
        }
        verdict
    }

    pub(super) fn judge_look(&mut self, call: Call) -> Verdict {
        if self.off {
            return Verdict::Off;
        }
        self.armed.iter_mut().fold(Verdict::Allowed, |verdict, armed| match armed.judge_refusal(call) {
            Some(refused) if matches!(verdict, Verdict::Allowed) => {
                armed.fired += 1;
                refused
            }
            _ => verdict,
        })
    }

    /// Whether reading `page` of `area` fails.
    pub(super) fn unreadable(&mut self, area: Area, page: u64) -> bool {
        self.armed.iter_mut().any(|armed| match armed.fault {
            Fault::Unreadable { area: a, page: p, lasting } if (a, p) == (area, page) => {
                let strikes = lasting || armed.fired == 0;
                armed.fired += u64::from(strikes);
                strikes
            }
            _ => false,
        })
    }

    /// Whether reading `page` of `area` returns its previous bytes.
    pub(super) fn stale(&mut self, area: Area, page: u64) -> bool {
        self.armed.iter_mut().any(|armed| {
            let strikes = armed.fault == Fault::StaleRead { area, page };
            armed.fired += u64::from(strikes);
            strikes
        })
    }
}

impl Faults {
    /// Whether this one read of `page` of `area` returns other bytes.
    pub(super) fn garbled(&mut self, area: Area, page: u64) -> bool {
        self.armed.iter_mut().any(|armed| {
            let strikes = armed.fault == Fault::GarbledRead { area, page } && armed.fired == 0;
            armed.fired += u64::from(strikes);
            strikes
        })
    }
}

impl Armed {
    fn judge_op(&mut self, call: Call) -> Verdict {
        if let Some(refused) = self.judge_refusal(call) {
            return refused;
        }
        let barrier = matches!(call, Call::Barrier | Call::BarrierDirectory);
        match self.fault {
            Fault::PowerOff { nth } => {
                self.seen += 1;
                if self.seen >= nth { Verdict::Off } else { Verdict::Allowed }
            }
            Fault::FailBarrier { nth, how, kind } if call == Call::Barrier => {
                self.seen += 1;
                if self.seen == nth { Verdict::BarrierFailed(kind, how) } else { Verdict::Allowed }
            }
            Fault::LyingBarriers { nth } if barrier => {
                self.seen += 1;
                if self.seen >= nth { Verdict::Lie } else { Verdict::Allowed }
            }
            _ => Verdict::Allowed,
        }
    }

    fn judge_refusal(&mut self, call: Call) -> Option<Verdict> {
        let Fault::Refuse { call: wanted, nth, kind, lasting, leaves } = self.fault else { return None };
        let looks = matches!(call, Call::Read | Call::Len | Call::List);
        if wanted != call && (wanted != Call::AnyOp || looks) {
            return None;
        }
        self.seen += 1;
        let strikes = self.seen == nth || (lasting && self.seen > nth);
        strikes.then_some(Verdict::Refused(kind, leaves))
    }
}
