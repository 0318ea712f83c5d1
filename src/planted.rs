//! Deliberate bugs, so that the suites can prove they would notice real ones.
//!
//! Each barrier, order and check of the store asks `planted` whether to leave itself out. Without the
//! feature `sim` the answer is a constant `false` and the question compiles away. With it, a test switches
//! one bug on for its own thread, or the variable `DATASYNC_PLANT=Name` for a whole process.
//!
//! Rule: a new barrier or check arrives together with the bug that removes it.

macro_rules! bugs {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The registry: one name per deliberate bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Bug { $($(#[$doc])* $name,)* }

        impl Bug {
            /// Every bug there is.
            pub const ALL: &[Bug] = &[$(Bug::$name,)*];
        }
    };
}

bugs! {
    /// The barrier behind `sync` and durable commits is left out.
    SkipCommitBarrier,
    /// A barrier on the log takes the success that follows a failure reported to somebody else for its own.
    ForgetFailedBarrier,
    /// A commit is acknowledged before its barrier.
    AcknowledgeEarly,
    /// A rotation does not make the old segment durable.
    SkipRotationBarrier,
    /// A rotation does not make the new segment durable before META lists it.
    SkipNewSegmentBarrier,
    /// META is published without a barrier.
    SkipMetaBarrier,
    /// META is always written into the same slot.
    PublishIntoWinner,
    /// Recovery believes a META it has only read.
    SkipMetaProof,
    /// Recovery writes over the only sound copy of META first.
    ProveSoundCopyFirst,
    /// Recovery keeps the epoch of the life before.
    KeepEpoch,
    /// Recovery takes every commit it can read for durable.
    SkipRelog,
    /// Recovery does not make the commits it wrote again durable before it cuts them off the old segment.
    SkipRelogBarrier,
    /// Recovery does not write down where the old segment ends.
    SkipCut,
    /// Where a segment ends is not compared with what META says.
    SkipCutCheck,
    /// Proof that something was durable is ignored: every flaw is a torn tail.
    IgnoreEvidence,
    /// A header carries a durable LSN that is not durable yet.
    WatermarkTooEarly,
    /// A large commit is acknowledged without a durable proof.
    SkipWitness,
    /// The proof is not made durable.
    SkipWitnessBarrier,
    /// A group may follow any header.
    SkipChainCheck,
    /// A group of another segment or life is taken for one of this.
    SkipIdentityCheck,
    /// A commit marker may end any batch.
    SkipBatchDigest,
    /// Recovery does not verify payloads.
    SkipPayloadCheckAtRecovery,
    /// Reads do not verify payloads.
    SkipReadCheck,
    /// Segments that only a newer META could explain are removed as leftovers.
    SkipLostMetaCheck,
    /// Sums that end too early are not noticed before they are read.
    SkipShortSumsCheck,
    /// A base that another program changed is opened as if nothing had happened.
    SkipCleanBaseCheck,
    /// Older versions are dropped although a snapshot needs them.
    ForgetPinnedVersions,
    /// A fold goes past the oldest snapshot.
    FoldIgnoresPins,
    /// A fold takes a segment although a batch reaches over its end.
    FoldOpenBatch,
    /// A fold leaves trimmed blocks as they were.
    FoldForgetsTrim,
    /// A fold leaves blocks of trimmed ranges as they were.
    FoldForgetsRanges,
    /// A fold gives rotten payloads a fresh checksum.
    FoldLaundersRot,
    /// A fold does not make the base durable.
    SkipBaseBarrier,
    /// A fold does not make slot 0 of the sums durable.
    SkipSumsBarrier,
    /// A fold does not write slot 1 of the sums.
    SkipSecondSlot,
    /// A fold does not make slot 1 of the sums durable.
    SkipSecondBarrier,
    /// A fold after an unclean open writes over slots that may be the only ones.
    SkipLevel,
    /// A fold removes segments before META is durable.
    RemoveBeforePublish,
    /// META lists blocks as free whose trim no barrier covers.
    ListUnsyncedFree,
    /// Tags of commits are not kept.
    ForgetTags,
    /// A flush of the queue is answered when its transaction has begun.
    AcknowledgeBeforeComplete,
    /// A strict flush of the queue is answered by a relaxed transaction.
    RelaxedIsStrict,
    /// A transaction of the queue does not compare the owner.
    SkipOwnerCheck,
    /// A queue is opened without taking the store over.
    SkipTakeover,
    /// A transaction that was aborted is taken for complete.
    IgnoreAbort,
    /// A batch that the quota refused is left out, and the queue goes on.
    SkipRefusedBatch,
    /// Two batches of the queue change places.
    SwapTransactions,
    /// What was under way when the connection died is not given again.
    ForgetUnderWay,
    /// A new connection is believed to show what the old one left.
    ReplayWithoutLooking,
    /// A database that vanished is opened as a new one.
    OpenVanishedAsNew,
    /// A queued change of the base leaves memory when its transaction begins.
    DropOverlayEarly,
    /// Writing some blocks of an extent takes the others away.
    ExtentLosesNeighbours,
    /// Cutting the base inside an extent leaves what is behind the cut.
    CutExtentKeepsTail,
    /// Runs of a segment that were written over stay on the medium.
    StaleRunsStay,
    /// One op is spread over two transactions.
    TearOp,
}

#[cfg(not(feature = "sim"))]
mod switch {
    use super::Bug;

    /// Whether `bug` is switched on. Never, in this build.
    #[inline(always)]
    pub const fn planted(_bug: Bug) -> bool {
        false
    }
}

#[cfg(feature = "sim")]
mod switch {
    use std::cell::Cell;
    use std::sync::OnceLock;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether `bug` is switched on for this thread or this process.
    pub fn planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug) || process_wide() == Some(bug)
    }

    /// Switches `bug` on for this thread, or all bugs off.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    /// What is switched on for this thread: to be handed to a thread that the test starts.
    pub fn planted_here() -> Option<Bug> {
        PLANTED.get()
    }

    fn process_wide() -> Option<Bug> {
        static CHOSEN: OnceLock<Option<Bug>> = OnceLock::new();
        *CHOSEN.get_or_init(|| {
            let name = std::env::var("DATASYNC_PLANT").ok()?;
            let bug = Bug::ALL.iter().find(|bug| format!("{bug:?}") == name);
            Some(*bug.unwrap_or_else(|| panic!("DATASYNC_PLANT={name} is no planted bug")))
        })
    }
}

pub(crate) use switch::planted;
#[cfg(feature = "sim")]
pub use switch::{plant, planted_here};
