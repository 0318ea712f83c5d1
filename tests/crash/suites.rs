//! Which troubles of the fault menu each suite is meant to meet. A trouble that no suite meets on a medium that it
//! can befall is a hole; `menu.rs` looks for those.

use datasync::backend::sim::Trouble::{self, *};
use datasync::backend::sim::{Medium, Medium::Files, Medium::IndexedDb, Medium::Opfs};

/// What a suite is meant to meet, and on which medium.
pub struct Suite {
    pub name: &'static str,
    pub medium: Medium,
    meant: &'static [&'static [Trouble]],
}

impl Suite {
    /// The troubles that it has to meet.
    pub fn meant(&self) -> impl Iterator<Item = Trouble> {
        self.meant.iter().copied().flatten().copied()
    }
}

/// The suite of this name.
pub fn suite(name: &str) -> &'static Suite {
    let found = SUITES.iter().find(|suite| suite.name == name);
    found.unwrap_or_else(|| panic!("no suite is called `{name}`"))
}

/// Every call refused.
const REFUSED: &[Trouble] = &[
    RefusedCreate,
    RefusedWrite,
    RefusedReserve,
    RefusedResize,
    RefusedRemove,
    RefusedBarrier,
    RefusedDirectory,
    RefusedRead,
    RefusedLen,
    RefusedList,
    NoSpace,
    ForGood,
];

/// Every way in which a barrier fails.
const BARRIERS: &[Trouble] =
    &[BarrierDrops, BarrierKeepsDirty, BarrierMarksClean, BarrierReportsOnce, BarrierSpoils];

/// What an enumerated power cut takes; zeros, torn and foreign pages are of the class "garbage" there. A page is
/// never written twice without a barrier between, but where barriers lie.
const ENUMERATED: &[Trouble] = &[PowerCut, PageOld, PageGarbage, LengthApart, EntryApart];

/// What a drawn one takes besides.
const DRAWN: &[Trouble] = &[PageZero, PageGhost, SectorsTorn, BytesTorn];

/// Bytes that were durable and are not there, or not right.
const DAMAGE: &[Trouble] = &[Rot, LostWrite, MisdirectedWithin, MisdirectedAway, StaleRead];

/// What a wall clock does.
const CLOCK: &[Trouble] = &[ClockLeaps, ClockRunsBack, ClockStands];

/// What becomes of a transaction.
const TRANSACTIONS: &[Trouble] =
    &[Abort, QuotaAtPut, LostTaken, LostUntaken, SilentTaken, SilentUntaken, OtherTab];

/// Every suite that uses a fault, in the order of the files.
pub const SUITES: &[Suite] = &[
    Suite { name: "damage", medium: Files, meant: &[DAMAGE] },
    Suite {
        name: "exhaustive",
        medium: Files,
        meant: &[ENUMERATED, &[ProcessCrash, CrashInFold, CrashInOpening, CrashAgain]],
    },
    Suite {
        name: "lives",
        medium: Files,
        meant: &[REFUSED, BARRIERS, ENUMERATED, DRAWN, &[ProcessCrash, CrashInOpening, CrashAgain]],
    },
    Suite {
        name: "nth call fails",
        medium: Files,
        meant: &[
            REFUSED,
            BARRIERS,
            &[ShortWrite, EmptyWrite, InterruptedWrite, ShortRead],
            &[ProcessCrash, PowerCut, PageOld, LengthApart, EntryApart],
        ],
    },
    Suite { name: "sectors", medium: Files, meant: &[&[PowerCut, PageOld, SectorsTorn, BytesTorn]] },
    Suite {
        name: "properties",
        medium: Files,
        meant: &[
            REFUSED,
            BARRIERS,
            ENUMERATED,
            DRAWN,
            &[ProcessCrash, CrashInOpening, Rot, LostWrite, StaleRead],
        ],
    },
    Suite { name: "failed barrier", medium: Files, meant: &[BARRIERS] },
    Suite { name: "failed fold", medium: Files, meant: &[BARRIERS] },
    Suite { name: "late power cut", medium: Files, meant: &[&[ProcessCrash, CutAfterOpening]] },
    Suite { name: "lying disk", medium: Files, meant: &[&[LyingBarrier, PowerCut, PageOld, PageBetween]] },
    Suite { name: "read errors", medium: Files, meant: &[&[UnreadableOnce, UnreadableForGood]] },
    Suite { name: "read wrong once", medium: Files, meant: &[&[GarbledRead]] },
    Suite { name: "salvage", medium: Files, meant: &[&[CrashInSalvage, PowerCut]] },
    Suite { name: "clock on files", medium: Files, meant: &[CLOCK] },
    Suite { name: "clock on opfs", medium: Opfs, meant: &[CLOCK] },
    Suite { name: "clock on indexeddb", medium: IndexedDb, meant: &[CLOCK] },
    Suite {
        name: "opfs",
        medium: Opfs,
        meant: &[
            ENUMERATED,
            DRAWN,
            BARRIERS,
            &[PageBetween, ProcessCrash, CrashInOpening, CrashInFold],
            &[RefusedWrite, RefusedResize, RefusedRemove, RefusedBarrier, RefusedRead],
            &[QuotaRefused, HandleTakenBack],
            &[ShortWrite, EmptyWrite, ShortRead, AbsurdCount, NoSpaceCount, LyingBarrier],
        ],
    },
    Suite {
        name: "opfs damage",
        medium: Opfs,
        meant: &[DAMAGE, &[GarbledRead, UnreadableOnce, UnreadableForGood]],
    },
    Suite { name: "opfs files", medium: Opfs, meant: &[&[HandleHeld, FileMissing]] },
    Suite {
        name: "queued words",
        medium: IndexedDb,
        meant: &[TRANSACTIONS, &[ProcessCrash, PowerCut, RelaxedLost, DatabaseGone]],
    },
    Suite {
        name: "queued lives",
        medium: IndexedDb,
        meant: &[TRANSACTIONS, &[ProcessCrash, PowerCut, RelaxedLost]],
    },
    Suite { name: "queued waits", medium: IndexedDb, meant: &[&[OtherTab, OtherTabInAwait]] },
];
