//! The faults that a test can arm on a simulated disk: where, when and how one of the menu is to strike.
//!
//! Each counts how often it struck, itself and in the tally of its disk under its name on the menu. A run that
//! armed a fault which never struck proved nothing, and [`Faults::unfired`] names it.

use std::ops::Range;
use std::{fmt, io};

use super::menu::{Tally, Trouble};
use super::page::{bytes_of, garbage, same_bytes};
use super::state::DiskState;
use super::{PAGE, SECTOR};
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
    /// Dropped from the cache: reads show the disk's bytes, the old ones, again.
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

/// How a system call does less than it was asked. Below the ops: a backend takes the call up again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Piece {
    /// A write takes half of its bytes.
    ShortWrite,
    /// A write takes nothing, and gives no reason.
    EmptyWrite,
    /// A write is interrupted before it took anything; the next one is not.
    InterruptedWrite,
    /// A read gives half of its bytes.
    ShortRead,
}

impl Piece {
    /// All four.
    pub const ALL: [Self; 4] = [Self::ShortWrite, Self::EmptyWrite, Self::InterruptedWrite, Self::ShortRead];
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
    /// The `nth` such system call does less than it was asked, and with `lasting` every later one too.
    InPieces {
        /// How.
        how: Piece,
        /// Which of them.
        nth: u64,
        /// Once or for good.
        lasting: bool,
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
    /// Reading any byte of this sector fails, once or for good.
    Unreadable {
        /// Where.
        area: Area,
        /// Which sector of [`SECTOR`] bytes there.
        sector: u64,
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
    /// Arms `fault`. Those that change durable bytes strike `state` at once.
    pub(super) fn strike(&mut self, fault: Fault, state: &mut DiskState, tally: &Tally) {
        let fired = state.strike(fault);
        if let (true, Some(trouble)) = (fired, fault.trouble()) {
            tally.strike(trouble);
        }
        self.arm(fault, u64::from(fired));
    }

    /// Arms `fault`, which has struck so often.
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

    pub(super) fn judge_op(&mut self, call: Call, tally: &Tally) -> Verdict {
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
                found.count(call, armed.fault, tally);
                verdict = found;
            }
        }
        verdict
    }

    pub(super) fn judge_look(&mut self, call: Call, tally: &Tally) -> Verdict {
        if self.off {
            return Verdict::Off;
        }
        self.armed.iter_mut().fold(Verdict::Allowed, |verdict, armed| match armed.judge_refusal(call) {
            Some(refused) if matches!(verdict, Verdict::Allowed) => {
                armed.fired += 1;
                refused.count(call, armed.fault, tally);
                refused
            }
            _ => verdict,
        })
    }

    /// The first of these sectors of `area` that cannot be read.
    fn unreadable(&mut self, area: Area, sectors: &Range<u64>, tally: &Tally) -> Option<u64> {
        self.armed.iter_mut().find_map(|armed| match armed.fault {
            Fault::Unreadable { area: a, sector, lasting } if a == area && sectors.contains(&sector) => {
                let once_or_ever = if lasting { Trouble::UnreadableForGood } else { Trouble::UnreadableOnce };
                armed.strikes(lasting || armed.fired == 0, once_or_ever, tally).then_some(sector)
            }
            _ => None,
        })
    }

    /// Puts over what a read of `area` from `offset` on found what it returns instead, page by page.
    ///
    /// # Errors
    /// The first sector that cannot be read. What comes before it is there; behind it is garbage.
    pub(super) fn distort(
        &mut self,
        state: &DiskState,
        area: Area,
        offset: u64,
        found: &mut [u8],
        tally: &Tally,
    ) -> Result<(), u64> {
        if self.armed.is_empty() {
            return Ok(());
        }
        let end = offset + found.len() as u64;
        let bytes = SECTOR as u64;
        if let Some(sector) = self.unreadable(area, &(offset / bytes..end.div_ceil(bytes)), tally) {
            found[(sector * bytes).saturating_sub(offset) as usize..].fill(0xa5);
            return Err(sector);
        }
        for page in offset / PAGE..end.div_ceil(PAGE) {
            let garbled = self.garbled(area, page, tally);
            let before = if garbled { garbage(page) } else { state.before(area, page) };
            let differs = garbled || !same_bytes(&before, &state.visible(area, page));
            if garbled || self.stale(area, page, differs, tally) {
                let (from, to) = ((page * PAGE).max(offset), ((page + 1) * PAGE).min(end));
                let other = &bytes_of(&before)[(from - page * PAGE) as usize..(to - page * PAGE) as usize];
                found[(from - offset) as usize..(to - offset) as usize].copy_from_slice(other);
            }
        }
        Ok(())
    }

    /// Whether reading `page` of `area` returns its previous bytes. `differs` when those are others.
    fn stale(&mut self, area: Area, page: u64, differs: bool, tally: &Tally) -> bool {
        self.armed.iter_mut().any(|armed| {
            let meant = armed.fault == Fault::StaleRead { area, page };
            armed.strikes(meant && differs, Trouble::StaleRead, tally)
        })
    }

    /// How many of `asked` bytes a write (a read, if it is no `write`) takes, or how it fails.
    pub(super) fn piece(&mut self, write: bool, asked: usize, tally: &Tally) -> io::Result<usize> {
        for armed in &mut self.armed {
            let Fault::InPieces { how, nth, lasting } = armed.fault else { continue };
            if write == (how == Piece::ShortRead) {
                continue;
            }
            armed.seen += 1;
            let strikes = armed.seen == nth || (lasting && armed.seen > nth);
            // Of one byte there is no half, and who is interrupted for ever would try for ever.
            let can = match how {
                Piece::ShortWrite | Piece::ShortRead => asked > 1,
                Piece::EmptyWrite => true,
                Piece::InterruptedWrite => (armed.seen - nth.min(armed.seen)).is_multiple_of(2),
            };
            if armed.strikes(strikes && can, how.into(), tally) {
                return match how {
                    Piece::ShortWrite | Piece::ShortRead => Ok(asked / 2),
                    Piece::EmptyWrite => Ok(0),
                    Piece::InterruptedWrite => Err(io::ErrorKind::Interrupted.into()),
                };
            }
        }
        Ok(asked)
    }

    /// Whether this one read of `page` of `area` returns other bytes.
    fn garbled(&mut self, area: Area, page: u64, tally: &Tally) -> bool {
        self.armed.iter_mut().any(|armed| {
            let meant = armed.fault == Fault::GarbledRead { area, page } && armed.fired == 0;
            armed.strikes(meant, Trouble::GarbledRead, tally)
        })
    }
}

impl Fault {
    /// Its name on the menu, if it has one whatever it strikes.
    #[must_use]
    pub fn trouble(self) -> Option<Trouble> {
        match self {
            Self::Refuse { call: Call::AnyOp, .. } | Self::PowerOff { .. } => None,
            Self::Refuse { call, .. } => Some(call.into()),
            Self::FailBarrier { how, .. } => Some(how.into()),
            Self::InPieces { how, .. } => Some(how.into()),
            Self::LyingBarriers { .. } => Some(Trouble::LyingBarrier),
            Self::Unreadable { lasting: true, .. } => Some(Trouble::UnreadableForGood),
            Self::Unreadable { .. } => Some(Trouble::UnreadableOnce),
            Self::StaleRead { .. } => Some(Trouble::StaleRead),
            Self::GarbledRead { .. } => Some(Trouble::GarbledRead),
            Self::Rot { .. } => Some(Trouble::Rot),
            Self::LostWrite { .. } => Some(Trouble::LostWrite),
            Self::MisdirectedWrite { area, to_area, .. } if area == to_area => {
                Some(Trouble::MisdirectedWithin)
            }
            Self::MisdirectedWrite { .. } => Some(Trouble::MisdirectedAway),
        }
    }
}

impl Verdict {
    /// Counts what `fault` did to a call. That the machine is off is counted by whoever knows what it was doing.
    fn count(&self, call: Call, fault: Fault, tally: &Tally) {
        match self {
            Self::Allowed | Self::Off => {}
            Self::Refused(kind, _) => {
                tally.strike(call.into());
                tally.add(Trouble::NoSpace, u64::from(*kind == ErrorKind::Full));
                let for_good = matches!(fault, Fault::Refuse { lasting: true, .. });
                tally.add(Trouble::ForGood, u64::from(for_good));
            }
            Self::BarrierFailed(_, how) => tally.strike((*how).into()),
            Self::Lie => tally.strike(Trouble::LyingBarrier),
        }
    }
}

impl Armed {
    /// Counts a strike if it is one.
    fn strikes(&mut self, strikes: bool, trouble: Trouble, tally: &Tally) -> bool {
        self.fired += u64::from(strikes);
        tally.add(trouble, u64::from(strikes));
        strikes
    }

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
