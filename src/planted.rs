//! Deliberate bugs, so that the suites can prove they would notice real ones.
//!
//! Each barrier, order and check of the store asks `planted` whether to leave itself out. Without the
//! feature `sim` the answer is a constant `false` and the question compiles away. With it, a test switches
//! one bug on for its own thread, or the variable `DATASYNC_PLANT=Name` for a whole process.
//!
//! Rule: a new barrier or check arrives together with the bug that removes it.

macro_rules! bugs {
    ($($list:ident: $about:literal { $($(#[$doc:meta])* $name:ident,)* })*) => {
        /// The registry: one name per deliberate bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Bug { $($($(#[$doc])* $name,)*)* }

        impl Bug {
            $(#[doc = $about] pub const $list: &[Bug] = &[$(Bug::$name,)*];)*
            /// Every bug there is.
            pub const ALL: &[&[Bug]] = &[$(Bug::$list,)*];
        }
    };
}

bugs! {
    STORE: "In the store and the volume." {
        /// The barrier behind `sync` and durable commits is left out.
        SkipCommitBarrier,
        /// A commit is acknowledged before its barrier.
        AcknowledgeEarly,
        /// A snapshot shows commits that nobody has acknowledged.
        ShowUnacknowledged,
        /// A rotation does not make the old segment durable.
        SkipRotationBarrier,
        /// A segment is sealed for a fold without a barrier.
        SkipSealBarrier,
        /// A rotation does not make the new segment durable before META lists it.
        SkipNewSegmentBarrier,
        /// A rotation publishes META before it writes the new segment.
        PublishBeforeSegment,
        /// The spare's space is not made durable.
        SkipSpareBarrier,
        /// The spare's directory entry is not made durable.
        SkipSpareEntry,
        /// Space is called ready that was never written.
        SkipReserve,
        /// Commits are appended to the last segment that META can list.
        AppendToFullList,
        /// The META of a new store is published without a barrier.
        SkipCreationPublish,
        /// The directory entries of a new store are not made durable.
        SkipCreationEntries,
        /// The slot of META that a new store does not use yet gets no space.
        LeaveSlotUnwritten,
        /// A rotation publishes META without a barrier.
        SkipRotationPublish,
        /// A fold publishes META without a barrier.
        SkipFoldPublish,
        /// A clean close publishes META without a barrier.
        SkipClosePublish,
        /// Recovery raises the epoch without a barrier.
        SkipEpochPublish,
        /// Recovery publishes the cut and the copy without a barrier.
        SkipRelogPublish,
        /// Recovery publishes the end of the log without a barrier.
        SkipOpenPublish,
        /// META is always written into the same slot.
        PublishIntoWinner,
        /// META is published in one copy.
        PublishOneCopy,
        /// Only one copy of each META slot is read.
        ReadOneCopy,
        /// Of two METAs the older one counts.
        TakeOldestMeta,
        /// META is read without its digest.
        SkipMetaDigest,
        /// The numbers and lists of META are not bounded.
        SkipMetaBounds,
        /// Recovery believes a META it has only read.
        SkipMetaProof,
        /// Recovery writes over the only sound copy of META first.
        ProveSoundCopyFirst,
        /// Of two equal copies of META recovery always writes the same one first.
        ProveSameCopyFirst,
        /// Recovery rewrites the second copy of META before the first is durable.
        SkipFirstProofBarrier,
        /// Recovery lists the directory without a barrier on it.
        SkipEntriesAtOpen,
        /// Recovery keeps the epoch of the life before.
        KeepEpoch,
        /// Recovery writes a segment of the new epoch before it publishes that epoch.
        CopyBeforeEpoch,
        /// How earlier lives ended is not written down.
        ForgetEpochEnds,
        /// A store in use still says that it was closed cleanly.
        StayClean,
        /// Recovery takes every commit it can read for durable.
        SkipRelog,
        /// Recovery does not make the commits it wrote again durable before it cuts them off the old segment.
        SkipRelogBarrier,
        /// Recovery does not make the new segment's directory entry durable.
        SkipRelogEntry,
        /// Recovery cuts the old segment before it copies what is behind the cut.
        CutBeforeCopy,
        /// Recovery does not write down where the old segment ends.
        SkipCut,
        /// Segments wait for the end of a commit that recovery gave up.
        HoldForGivenUp,
        /// Where a segment ends is not compared with what META says.
        SkipCutCheck,
        /// Recovery leaves segments that META does not list.
        KeepOrphans,
        /// Recovery leaves what is behind the end of the base.
        SkipBaseCut,
        /// Recovery takes the spare for ready, whatever its length.
        BelieveSpare,
        /// Proof that something was durable is ignored: every flaw is a torn tail.
        IgnoreEvidence,
        /// That a segment ended or another follows proves nothing.
        IgnoreSuccessor,
        /// That META knew of a later commit proves nothing.
        IgnoreMetaDurable,
        /// That a later group says what was durable proves nothing.
        IgnoreWatermark,
        /// A read that fails is the end of the log.
        ReadErrorIsEnd,
        /// A header carries a durable LSN that is not durable yet.
        WatermarkTooEarly,
        /// A large commit is acknowledged without a durable proof.
        SkipWitness,
        /// The proof is not made durable.
        SkipWitnessBarrier,
        /// A group is a commit without its marker.
        CommitWithoutMarker,
        /// A group may follow any header.
        SkipChainCheck,
        /// Commit numbers need not rise.
        SkipRisingCheck,
        /// A page is read without its digest.
        SkipPageDigest,
        /// Numbers of a group are not bounded.
        SkipGroupBounds,
        /// A header of another store is taken for one of this.
        SkipStoreCheck,
        /// A header of another segment is taken for one of this.
        SkipSegmentCheck,
        /// A header of another life is taken for one of this.
        SkipEpochCheck,
        /// A header with another salt is taken for one of this segment.
        SkipSaltCheck,
        /// A header may name another checksum algorithm.
        SkipAlgorithmCheck,
        /// A segment may begin at another commit than META says.
        SkipAfterCheck,
        /// A segment may follow another than the one before it.
        SkipPreviousCheck,
        /// A commit marker may end any batch.
        SkipBatchDigest,
        /// What is left of a batch that was given up is damage once a fold has taken its beginning.
        RefuseBeheadedBatch,
        /// The number of an abandoned batch is used again.
        ReuseAbandonedNumber,
        /// Recovery does not verify payloads.
        SkipPayloadCheckAtRecovery,
        /// Reads do not verify payloads.
        SkipReadCheck,
        /// A mismatch is not read once more before it is called damage.
        NoSecondLook,
        /// A block of the base that is newer than the log is served.
        SkipOvertakenCheck,
        /// Segments that only a newer META could explain are removed as leftovers.
        SkipLostMetaCheck,
        /// Sums that end too early are not noticed before they are read.
        SkipShortSumsCheck,
        /// A base that another program changed is opened as if nothing had happened.
        SkipCleanBaseCheck,
        /// A page of sums of another store is taken for one of this.
        SkipSumsStore,
        /// A page of sums of another place is taken for this one.
        SkipSumsPage,
        /// A slot of sums is taken for the other one.
        SkipSumsSlot,
        /// Of two slots of sums the first counts, however old.
        FirstSlotWins,
        /// Sums behind the end of the base count.
        SkipMask,
        /// A read that was overtaken by a fold, its view expired, is called damage.
        BlameOvertakenRead,
        /// Older versions are dropped although a snapshot needs them.
        ForgetPinnedVersions,
        /// A fold goes past the oldest snapshot.
        FoldIgnoresPins,
        /// A fold takes commits that a recovery on a full disk gives up.
        FoldUnproven,
        /// A fold takes a segment although a batch reaches over its end.
        FoldOpenBatch,
        /// A fold takes the newest version, also of segments that stay.
        FoldNewest,
        /// A fold leaves trimmed blocks as they were.
        FoldForgetsTrim,
        /// A fold leaves blocks of trimmed ranges as they were.
        FoldForgetsRanges,
        /// A fold keeps the size that META had.
        FoldForgetsSize,
        /// A fold drops the last requests of clients with the log.
        FoldForgetsTags,
        /// A fold gives rotten payloads a fresh checksum.
        FoldLaundersRot,
        /// A fold does not make the base durable.
        SkipBaseBarrier,
        /// A fold does not make slot 0 of the sums durable.
        SkipSumsBarrier,
        /// A fold writes slot 1 of the sums before slot 0 is durable.
        SecondSlotTooEarly,
        /// A fold does not write slot 1 of the sums.
        SkipSecondSlot,
        /// A fold does not make slot 1 of the sums durable.
        SkipSecondBarrier,
        /// A fold after an unclean open writes over slots that may be the only ones.
        SkipLevel,
        /// A fold after an unclean open does not wait for the levelled slots.
        SkipLevelBarrier,
        /// A fold does not raise the sequence of the sums.
        KeepSumsSequence,
        /// A fold uses the sequence of one that was given up.
        ReuseSumsSequence,
        /// A fold takes zeros for written that an unfinished fold wrote.
        TrustUnfinishedTrim,
        /// A fold forgets how far one that was given up had written.
        ForgetReach,
        /// A fold removes segments before META is durable.
        RemoveBeforePublish,
        /// A fold leaves the base as long as it was.
        ForgetShrink,
        /// A clean close does not make the base's length durable.
        SkipCloseBarrier,
        /// A clean close publishes META before the base has its length.
        CloseBeforeBase,
        /// A clean close removes the log before META is durable.
        RemoveBeforeClose,
        /// META lists blocks as free whose trim no barrier covers.
        ListUnsyncedFree,
        /// A block that is written stays in the free list.
        FreeListKeepsPuts,
        /// What a truncation leaves of the last block keeps its bytes.
        KeepTruncatedTail,
        /// Shrinking does not say which blocks fell away.
        ForgetTrimRange,
        /// Shrinking keeps what is staged behind the new end.
        KeepStagedBehindEnd,
        /// Tags of commits are not kept.
        ForgetTags,
        /// A failed write or barrier is forgotten.
        SkipPoison,
        /// A failed barrier is tried again, and believed.
        RetryBarrier,
        /// A barrier that failed for want of space is tried again, and believed.
        RetryFullBarrier,
        /// A transaction that cannot begin is told of the commit before it as if it were its own.
        NameEarlierCommit,
        /// A poisoned store still says what became of its commits.
        OutcomeIgnoresPoison,
    }
    SQL: "In the SQLite VFS." {
        /// The commit is made at xSync, not at COMMIT_PHASETWO.
        CommitAtSync,
        /// A writer may begin on a snapshot that is not the newest.
        WriteOnStaleSnapshot,
        /// A batch that was not committed outlives the unlock.
        KeepBatchAtUnlock,
        /// `synchronous=FULL` gets what NORMAL asks for.
        SwapDurability,
        /// COMMIT_PHASETWO returns before the barrier.
        SkipCommitWait,
        /// A transaction over several files commits where SQLite no longer listens.
        IgnoreSuperJournal,
        /// A part of such a transaction makes sure of space for itself only, and not for being taken back.
        ReserveWithoutUndo,
        /// A part of such a transaction is shown to others before SQLite confirms it.
        ShowEarlyPart,
        /// That a part of such a transaction was refused is told once, though SQLite did not roll it back.
        ForgetRefusal,
        /// SQLite may remove a super-journal that a store has to be taken back by.
        ForgetSuperJournal,
        /// A header that says WAL mode is served as it is.
        ServeWalMode,
        /// `PRAGMA journal_mode=WAL` is left to SQLite.
        AllowWal,
        /// SQLite is not told that its page cache is of another commit.
        TrustPageCache,
        /// A change of the database's header is taken for a count alone, and not written.
        TakeHeaderForCounter,
        /// A transaction that is given up ends before what it saw is durable.
        SkipUnlockWait,
        /// COMMIT of a transaction that changed nothing does not tell that what it saw may be lost.
        SkipSeenWait,
        /// Who may only read is shown what is not durable.
        ShowPending,
        /// A file goes on after its volume has failed.
        UseDeadVolume,
        /// A panic in the middle of a plan poisons nothing.
        ForgetUnfinished,
        /// An import takes an empty store for its own before it has the writer slot.
        ImportWithoutSlot,
        /// A connection in exclusive mode keeps nobody out.
        IgnoreExclusive,
        /// A connection in exclusive mode reads without the writer slot.
        LockWithoutSlot,
        /// Exclusive mode that begins inside a read transaction leaves the slot to others.
        KeepOutWithoutSlot,
        /// A full disk is an I/O error.
        FullIsIoError,
    }
    THREADS: "Between threads." {
        /// A barrier on the log takes the success that follows a failure reported to somebody else for its own.
        ForgetFailedBarrier,
        /// A barrier on a segment that was folded and removed meanwhile is a failure.
        FailFoldedBarrier,
        /// A barrier for all is planned beside an append that is planned and not written yet.
        BarrierBesideAppend,
        /// A fold removes segments that a read may be inside of.
        RemoveBesideRead,
        /// The medium is given back while a fold is in the middle of a step.
        ReleaseBesideFold,
        /// What was begun before a close and has its turn behind it writes all the same.
        WorkBehindClose,
    }
    QUEUE: "In the ordered queue under IndexedDB." {
        /// A flush of the queue is answered when its transaction has begun.
        AcknowledgeBeforeComplete,
        /// A flush answers for all of its last batch, and not only for what was in it when it was asked for.
        AnswerWholeBatch,
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
        /// The sign that a database was there is left before the database is sure to last.
        WitnessTooEarly,
        /// A database that vanished is opened as a new one.
        OpenVanishedAsNew,
        /// A queued change of the base leaves memory when its transaction begins.
        DropOverlayEarly,
        /// Writing some blocks of an extent takes the others away.
        ExtentLosesNeighbours,
        /// An extent is put as memory has it, with what later transactions change.
        ExtentOfLater,
        /// Cutting the base inside an extent leaves what is behind the cut.
        CutExtentKeepsTail,
        /// Runs of a segment that were written over stay on the medium.
        StaleRunsStay,
        /// One op is spread over two transactions.
        TearOp,
    }
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
            let bug = Bug::ALL.iter().copied().flatten().find(|bug| format!("{bug:?}") == name);
            Some(*bug.unwrap_or_else(|| panic!("DATASYNC_PLANT={name} is no planted bug")))
        })
    }
}

pub(crate) use switch::planted;
#[cfg(feature = "sim")]
pub use switch::{plant, planted_here};
