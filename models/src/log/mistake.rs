//! What can be planted into the plans of the checker, so that it can be seen to look.

/// A deliberate mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mistake {
    /// A commit is acknowledged before its barrier.
    AcknowledgeEarly,
    /// A header carries a durable number that is not durable yet.
    WatermarkEarly,
    /// A rotation does not make the old segment durable.
    SkipOldBarrier,
    /// A rotation does not make the new segment durable.
    SkipNewBarrier,
    /// A segment's directory entry is not made durable.
    SkipEntryBarrier,
    /// META is always written into the same slot.
    SameSlot,
    /// A fold does not make the base durable.
    SkipBaseBarrier,
    /// A fold removes segments before META is durable.
    RemoveEarly,
    /// Recovery believes a META it has only read.
    SkipProof,
    /// Recovery takes every commit it can read for durable.
    SkipRelog,
    /// Recovery does not make what it wrote again durable before it cuts the original off.
    SkipRelogBarrier,
    /// A fold goes past the oldest read view.
    FoldIgnoresPins,
    /// The directory entry of a new store is not made durable.
    SkipStoreEntry,
    /// Of two copies of META that look alike recovery writes always the same one first.
    ForgetProofOrder,
}

impl Mistake {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::AcknowledgeEarly,
        Self::WatermarkEarly,
        Self::SkipOldBarrier,
        Self::SkipNewBarrier,
        Self::SkipEntryBarrier,
        Self::SameSlot,
        Self::SkipBaseBarrier,
        Self::RemoveEarly,
        Self::SkipProof,
        Self::SkipRelog,
        Self::SkipRelogBarrier,
        Self::FoldIgnoresPins,
        Self::SkipStoreEntry,
        Self::ForgetProofOrder,
    ];
}
