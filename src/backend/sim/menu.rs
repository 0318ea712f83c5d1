//! The fault menu: everything that can go wrong with a medium, by name, and how often it did.
//!
//! One list for every simulated medium and every suite. Whoever makes a fault strike counts it here, and a suite
//! names what it is meant to meet: one that never struck fails the suite, because it proved nothing. Which suite
//! is meant to meet what stands in `tests/crash/menu.rs`, what each backend promises then in docs/guarantees.md;
//! a test compares both with this list.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::fault::{BarrierFailure, Call, Piece};

/// A sort of medium, as docs/guarantees.md has a column for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// Files of an operating system.
    Files,
    /// Files of a browser, behind sync access handles.
    Opfs,
    /// Records and transactions of a browser.
    IndexedDb,
}

impl Medium {
    /// All of them, in the order of the columns.
    pub const ALL: [Self; 3] = [Self::Files, Self::Opfs, Self::IndexedDb];

    const fn of(letter: char) -> Option<Self> {
        match letter {
            'F' => Some(Self::Files),
            'O' => Some(Self::Opfs),
            'I' => Some(Self::IndexedDb),
            _ => None,
        }
    }
}

macro_rules! menu {
    ($($(#[$doc:meta])* $name:ident $text:literal $on:literal,)*) => {
        /// One thing that can go wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Trouble { $($(#[$doc])* $name,)* }

        impl Trouble {
            /// The whole menu.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name of its row in docs/guarantees.md.
            #[must_use]
            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The media that it can befall.
            pub fn media(self) -> impl Iterator<Item = Medium> {
                let letters = match self { $(Self::$name => $on,)* };
                letters.chars().filter_map(Medium::of)
            }
        }
    };
}

menu! {
    /// The process is gone; what the cache held is there for the next one.
    ProcessCrash "process crash" "FOI",
    /// The power is gone, and with it any part of what no barrier covered.
    PowerCut "power cut" "FOI",
    /// Of a power cut: an unsynced page is as it was before.
    PageOld "page: old" "FO",
    /// Of a power cut: an unsynced page is as an earlier unsynced write left it.
    PageBetween "page: an earlier write" "FO",
    /// Of a power cut: an unsynced page is zeros.
    PageZero "page: zeros" "FO",
    /// Of a power cut: an unsynced page holds bytes that nobody wrote.
    PageGarbage "page: garbage" "FO",
    /// Of a power cut: an unsynced page holds what another page of the medium held.
    PageGhost "page: another page's bytes" "FO",
    /// Of a power cut: some sectors of a page are new, the others old.
    SectorsTorn "page: torn by sector" "FO",
    /// Of a power cut: a page is new up to some byte, and old behind it.
    BytesTorn "page: torn by byte" "FO",
    /// Of a power cut: a file does not have the length that was set last, whatever became of its data.
    LengthApart "length on its own" "FO",
    /// Of a power cut: a directory entry is not what it was made last, whatever became of the file.
    EntryApart "entry on its own" "FO",
    /// The process dies, the store is opened on the living cache, and then the power goes.
    CutAfterOpening "power cut after the next opening" "F",
    /// The machine stops at an op of an opening.
    CrashInOpening "crash in an opening" "FO",
    /// The machine stops at an op of a fold.
    CrashInFold "crash in a fold" "FO",
    /// The machine stops at an op of a salvage.
    CrashInSalvage "crash in a salvage" "F",
    /// The machine stops in the opening that follows a crash.
    CrashAgain "crash after a crash" "F",
    /// A file or its entry cannot be made.
    RefusedCreate "create refused" "F",
    /// A write is refused, with nothing, all or garbage of it in the cache.
    RefusedWrite "write refused" "FO",
    /// Space cannot be written ahead.
    RefusedReserve "reserve refused" "F",
    /// A length cannot be set.
    RefusedResize "resize refused" "FO",
    /// A file cannot be removed.
    RefusedRemove "remove refused" "FO",
    /// The barrier of a file is refused: nothing of it was tried.
    RefusedBarrier "barrier refused" "FO",
    /// The barrier of the directory is refused.
    RefusedDirectory "directory barrier refused" "F",
    /// A read is refused.
    RefusedRead "read refused" "FO",
    /// A length cannot be learnt.
    RefusedLen "length refused" "F",
    /// The segments cannot be listed.
    RefusedList "listing refused" "F",
    /// Any of these for want of space.
    NoSpace "no space" "F",
    /// Any of these for good, and not only once.
    ForGood "refused for good" "F",
    /// A write takes fewer bytes than it was given.
    ShortWrite "short write" "FO",
    /// A write takes nothing, and gives no reason.
    EmptyWrite "write of nothing" "FO",
    /// A write is interrupted before it took anything.
    InterruptedWrite "interrupted write" "F",
    /// A read gives fewer bytes than there are.
    ShortRead "short read" "FO",
    /// A failed barrier dropped its pages: reads show the old bytes.
    BarrierDrops "failed barrier: dropped" "FO",
    /// A failed barrier kept its pages to be written by the next.
    BarrierKeepsDirty "failed barrier: still dirty" "FO",
    /// A failed barrier marked its pages clean: the cache has the new bytes, the disk the old.
    BarrierMarksClean "failed barrier: marked clean" "FO",
    /// A barrier failed, wrote a part, and whoever asks again is told success.
    BarrierReportsOnce "failed barrier: told once" "FO",
    /// A failed barrier left garbage on the disk under a clean cache.
    BarrierSpoils "failed barrier: garbage" "FO",
    /// A sector cannot be read this once.
    UnreadableOnce "unreadable once" "FO",
    /// A sector cannot be read, ever.
    UnreadableForGood "unreadable for good" "FO",
    /// A read returns other bytes, once.
    GarbledRead "read wrong once" "FO",
    /// A read returns what was there before the last durable write.
    StaleRead "stale read" "FO",
    /// A durable byte changes.
    Rot "rot" "FO",
    /// A durable write never happened.
    LostWrite "lost write" "FO",
    /// A durable write went to another page of its file.
    MisdirectedWithin "misdirected within a file" "FO",
    /// A durable write went to another file.
    MisdirectedAway "misdirected to another file" "FO",
    /// A barrier says yes and does nothing.
    LyingBarrier "barrier that does nothing" "FO",
    /// The wall clock jumps a year, there and back.
    ClockLeaps "clock jumps a year" "FOI",
    /// The wall clock runs backwards.
    ClockRunsBack "clock runs backwards" "FOI",
    /// The wall clock stands still.
    ClockStands "clock stands still" "FOI",
    /// A write is answered with more bytes than it was given.
    AbsurdCount "absurd count" "O",
    /// A write is answered with the code for "no space" as an unsigned number, 4294967288.
    NoSpaceCount "count 4294967288" "O",
    /// A write is refused with the exception for a used-up quota.
    QuotaRefused "quota exception" "O",
    /// Another tab has the handle when the store is opened.
    HandleHeld "handle held elsewhere" "O",
    /// The browser takes a handle back: every call is refused.
    HandleTakenBack "handle taken back" "O",
    /// A file of the store is not there.
    FileMissing "file missing" "O",
    /// A transaction is aborted when it commits.
    Abort "abort at commit" "I",
    /// A put finds no quota.
    QuotaAtPut "no quota at a put" "I",
    /// The connection ends under a transaction that was taken.
    LostTaken "connection lost, taken" "I",
    /// The connection ends under a transaction that was not taken.
    LostUntaken "connection lost, not taken" "I",
    /// Nobody ever says that a transaction is complete, which it is.
    SilentTaken "no word, taken" "I",
    /// Nobody ever says what became of a transaction, which was not taken.
    SilentUntaken "no word, not taken" "I",
    /// Of a power cut: transactions that were complete and not strict are gone, a suffix.
    RelaxedLost "relaxed suffix lost" "I",
    /// The browser removed the whole database.
    DatabaseGone "database gone" "I",
    /// Another tab takes the database over between two steps of this one.
    OtherTab "another tab" "I",
    /// Another tab takes the database over while this one waits for the medium.
    OtherTabInAwait "another tab in an await" "I",
}

impl From<Call> for Trouble {
    /// What it is when this call is refused. Of any op, the one that it was has to be asked for.
    fn from(call: Call) -> Self {
        match call {
            Call::Create => Self::RefusedCreate,
            Call::Write | Call::AnyOp => Self::RefusedWrite,
            Call::Reserve => Self::RefusedReserve,
            Call::Resize => Self::RefusedResize,
            Call::Remove => Self::RefusedRemove,
            Call::Barrier => Self::RefusedBarrier,
            Call::BarrierDirectory => Self::RefusedDirectory,
            Call::Read => Self::RefusedRead,
            Call::Len => Self::RefusedLen,
            Call::List => Self::RefusedList,
        }
    }
}

impl From<BarrierFailure> for Trouble {
    fn from(how: BarrierFailure) -> Self {
        match how {
            BarrierFailure::Drops => Self::BarrierDrops,
            BarrierFailure::KeepsDirty => Self::BarrierKeepsDirty,
            BarrierFailure::MarksClean => Self::BarrierMarksClean,
            BarrierFailure::ReportsOnce => Self::BarrierReportsOnce,
            BarrierFailure::Spoils => Self::BarrierSpoils,
        }
    }
}

impl From<Piece> for Trouble {
    fn from(how: Piece) -> Self {
        match how {
            Piece::ShortWrite => Self::ShortWrite,
            Piece::EmptyWrite => Self::EmptyWrite,
            Piece::InterruptedWrite => Self::InterruptedWrite,
            Piece::ShortRead => Self::ShortRead,
        }
    }
}

/// How often each trouble struck.
pub struct Tally([AtomicU64; Trouble::ALL.len()]);

impl Default for Tally {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; Trouble::ALL.len()])
    }
}

impl Tally {
    /// Counts one strike.
    pub fn strike(&self, trouble: Trouble) {
        self.add(trouble, 1);
    }

    /// Counts `times` strikes.
    pub fn add(&self, trouble: Trouble, times: u64) {
        self.0[trouble as usize].fetch_add(times, Ordering::Relaxed);
    }

    /// How often `trouble` struck.
    #[must_use]
    pub fn count(&self, trouble: Trouble) -> u64 {
        self.0[trouble as usize].load(Ordering::Relaxed)
    }

    /// Moves everything that `other` counted here.
    pub fn take_from(&self, other: &Self) {
        for trouble in Trouble::ALL {
            let count = other.0[*trouble as usize].swap(0, Ordering::Relaxed);
            if count > 0 {
                self.add(*trouble, count);
            }
        }
    }

    /// Those of `meant` that never struck.
    #[must_use]
    pub fn never(&self, meant: &[Trouble]) -> Vec<Trouble> {
        meant.iter().copied().filter(|trouble| self.count(*trouble) == 0).collect()
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let struck = Trouble::ALL.iter().map(|trouble| (trouble.text(), self.count(*trouble)));
        f.debug_map().entries(struck.filter(|(_, count)| *count > 0)).finish()
    }
}
