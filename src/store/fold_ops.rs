//! The ops that a fold is made of, one small function for each kind of write and barrier.
//!
//! Must not know: the store, or how far the fold has got; `compaction` decides what comes when.

use crate::block::{BLOCK_SIZE, BlockBytes, BlockNo};
use crate::format::sums::{BLOCKS_PER_PAGE, SumsPage};
use crate::log::plan::{Area, Op};
use crate::planted::{Bug, planted};

/// ORDER: blocks and slot 0 are durable before slot 1 is written, and before META drops the log; else a power
/// cut leaves neither the log nor the base.
pub(super) fn fold_barriers() -> Vec<Op> {
    let base = (!planted(Bug::SkipBaseBarrier)).then_some(Op::Barrier(Area::Base));
    let sums = (!planted(Bug::SkipSumsBarrier)).then_some(Op::Barrier(Area::Sums));
    base.into_iter().chain(sums).collect()
}

/// ORDER: slot 1 is as good as slot 0 before slot 0 is written over; else a crash may leave neither.
pub(super) fn level_barrier() -> Vec<Op> {
    if planted(Bug::SkipLevelBarrier) { Vec::new() } else { vec![Op::Barrier(Area::Sums)] }
}

/// ORDER: slot 1 is durable before META drops the log; else an invalid slot could not be told from rot.
pub(super) fn second_barrier() -> Vec<Op> {
    if planted(Bug::SecondSlotTooEarly) {
        return fold_barriers();
    }
    if planted(Bug::SkipSecondBarrier) { Vec::new() } else { vec![Op::Barrier(Area::Sums)] }
}

/// Cuts base and sums behind `blocks`, the blocks that META says there are.
pub(super) fn cut(blocks: u64) -> Vec<Op> {
    let sums = SumsPage::offset(blocks.div_ceil(BLOCKS_PER_PAGE), 0);
    vec![
        Op::Resize { area: Area::Base, bytes: blocks * BLOCK_SIZE as u64 },
        Op::Resize { area: Area::Sums, bytes: sums },
    ]
}

pub(super) fn sums_op(page: &SumsPage, slot: u8) -> Op {
    let mut bytes: BlockBytes = [0; BLOCK_SIZE];
    page.encode(slot, &mut bytes);
    Op::Write { area: Area::Sums, offset: SumsPage::offset(page.page, slot), bytes: bytes[..].into() }
}

/// Adds a block of the base to `ops`, joined to the write before it where they touch.
pub(super) fn push_base(ops: &mut Vec<Op>, block: BlockNo, bytes: &BlockBytes) {
    let at = block.0 * BLOCK_SIZE as u64;
    if let Some(Op::Write { area: Area::Base, offset, bytes: before }) = ops.last_mut()
        && *offset + before.len() as u64 == at
    {
        let mut both = before.to_vec();
        both.extend_from_slice(bytes);
        *before = both.into();
        return;
    }
    ops.push(Op::Write { area: Area::Base, offset: at, bytes: bytes[..].into() });
}
