//! Mistakes that stores of this kind really made, one directed test each. The name says the promise.

pub mod attack;
mod beside;
pub mod blocks;
pub mod by_hand;
pub mod evidence;
mod folding;
pub mod full;
mod media;
pub mod openings;
mod power;
pub mod reserve;
pub mod segments;
mod single;
pub mod spans;
pub mod told;
pub mod wide;

use datasync::backend::Source;
use datasync::backend::sim::{
    BarrierFailure, Bounds, Call, Cut, DiskState, Fate, Fault, Leaves, Random, SECTOR, SimDisk, Trouble,
    bytes_of,
};
use datasync::block::{BLOCK_SIZE, BlockNo, Durability};
use datasync::error::ErrorKind;
use datasync::format::group::{Group, Role};
use datasync::log::plan::{Area, Op};
use datasync::volume::{Outcome, Volume};

use crate::fired::Fired;
use crate::images::{Tried, check, crash_recovery};
use crate::invariants::{
    BLOCKS, Checked, Expected, Violation, ensure, fenced, no_panic, read_state, reads, snapshot,
};
use crate::reference::{History, State, fill};
use crate::settings::options;
use crate::workload::{Letter, Run, parse, plain_database, recovered, unexpected};

const PAGE: u64 = BLOCK_SIZE as u64;

/// Each promise by name, so that the planted-bug suite can hold every one of them too.
pub const ALL: &[(&str, fn() -> Checked<()>)] = &[
    ("midlog_rot_is_reported_not_truncated", media::midlog_rot),
    ("ack_implies_barrier_over_the_same_bytes", power::ack_implies_barrier),
    ("process_crash_then_power_cut_keeps_acknowledged", power::process_crash_then_power_cut),
    ("crash_at_every_recovery_op", power::every_recovery_op),
    ("rot_is_never_folded_with_a_fresh_checksum", folding::rot_is_never_folded),
    ("valid_sum_wrong_identity_is_rejected", media::wrong_identity),
    ("no_removal_before_durable_publish", folding::no_early_removal),
    ("trim_survives_any_compaction_order", folding::trim_survives),
    ("directory_entries_are_independent_of_data", power::entries_are_independent),
    ("failed_barrier_poisons_and_is_indeterminate", media::failed_barrier),
    ("torn_tail_in_a_segment_no_longer_last", power::torn_tail_not_last),
    ("size_and_content_persist_independently", power::size_and_content),
    ("a_failure_reported_once_is_believed_by_everybody", beside::reported_once),
    ("a_read_that_its_view_did_not_outlive_is_no_damage", beside::overtaken_read),
    ("what_is_visible_is_readable_while_it_is_written", beside::read_under_way),
    ("what_a_recovery_may_give_up_is_not_in_the_base", beside::folded_early),
    ("recovers_with_zero_free_bytes", media::zero_free_bytes),
    ("zombie_writer_is_fenced_even_after_removal", media::zombie),
    ("hostile_bytes_never_panic_or_overallocate", media::hostile_bytes),
    ("a_store_without_any_meta_is_damaged_not_new", media::lost_meta),
    ("a_torn_rewrite_of_the_winning_meta_loses_nothing", power::torn_meta_rewrite),
    ("blocks_of_a_shrunk_database_never_come_back", folding::shrunk_blocks),
    ("a_read_error_is_never_the_end_of_the_log", media::read_errors),
    ("bytes_of_an_abandoned_batch_never_come_back", folding::abandoned),
    ("full_is_honest_and_harmless", media::honest_full),
    ("a_lying_disk_loses_a_suffix_but_never_lies_on", media::lying_disk),
    ("an_unlisted_segment_is_no_evidence", power::unlisted_segment),
    ("a_snapshot_keeps_its_bytes_across_folds", folding::snapshot_across_folds),
    ("a_fold_levels_what_a_failed_barrier_spoilt", folding::spoilt_sums),
    ("what_a_failed_barrier_takes_of_the_base_is_written_again", folding::spoilt_base),
    ("a_header_forged_with_a_valid_digest_is_refused", media::forged_headers),
    ("a_base_that_another_program_changed_is_refused", media::changed_base),
    ("a_fold_under_way_does_not_keep_a_store_from_closing", folding::close_during_fold),
    ("one_rotten_copy_of_meta_or_sums_costs_nothing", single::one_rotten_copy),
    ("a_segment_that_does_not_fit_is_damage", single::misfit_segments),
    ("impossible_numbers_are_refused_and_harmless", single::impossible_numbers),
    ("a_base_ahead_of_a_lost_log_is_reported", single::base_ahead_of_log),
    ("a_read_that_is_wrong_once_is_no_damage", single::wrong_once),
    ("a_free_block_is_given_out_once", single::free_blocks),
    ("what_a_transaction_cut_off_itself_is_zeros", single::cut_off_itself),
    ("a_new_store_is_there_once_it_is_open", single::new_store_stays),
    ("a_store_copied_without_its_spare_recovers", single::copied_without_spare),
    ("what_a_late_cut_leaves_of_the_base_is_zeros_for_plain_sqlite", single::late_cut),
];

/// Those that take longer than all others together; run last where the first failure is enough.
pub const SLOW: &[&str] = &[
    "hostile_bytes_never_panic_or_overallocate",
    "a_fold_levels_what_a_failed_barrier_spoilt",
    "directory_entries_are_independent_of_data",
];

macro_rules! promises {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            let (_, run) = ALL.iter().find(|(name, _)| *name == stringify!($name)).expect("listed");
            if let Err(violation) = no_panic(run) {
                panic!("{violation}");
            }
        })*

        #[test]
        fn every_promise_has_its_own_test() {
            let tested = [$(stringify!($name)),*];
            assert!(ALL.iter().all(|(name, _)| tested.contains(name)) && tested.len() == ALL.len());
        }
    };
}

promises! {
    midlog_rot_is_reported_not_truncated
    ack_implies_barrier_over_the_same_bytes
    process_crash_then_power_cut_keeps_acknowledged
    crash_at_every_recovery_op
    rot_is_never_folded_with_a_fresh_checksum
    valid_sum_wrong_identity_is_rejected
    no_removal_before_durable_publish
    trim_survives_any_compaction_order
    directory_entries_are_independent_of_data
    failed_barrier_poisons_and_is_indeterminate
    a_failure_reported_once_is_believed_by_everybody
    a_read_that_its_view_did_not_outlive_is_no_damage
    what_is_visible_is_readable_while_it_is_written
    what_a_recovery_may_give_up_is_not_in_the_base
    torn_tail_in_a_segment_no_longer_last
    size_and_content_persist_independently
    recovers_with_zero_free_bytes
    zombie_writer_is_fenced_even_after_removal
    hostile_bytes_never_panic_or_overallocate
    a_store_without_any_meta_is_damaged_not_new
    a_torn_rewrite_of_the_winning_meta_loses_nothing
    blocks_of_a_shrunk_database_never_come_back
    a_read_error_is_never_the_end_of_the_log
    bytes_of_an_abandoned_batch_never_come_back
    full_is_honest_and_harmless
    a_lying_disk_loses_a_suffix_but_never_lies_on
    an_unlisted_segment_is_no_evidence
    a_snapshot_keeps_its_bytes_across_folds
    a_fold_levels_what_a_failed_barrier_spoilt
    what_a_failed_barrier_takes_of_the_base_is_written_again
    a_header_forged_with_a_valid_digest_is_refused
    a_base_that_another_program_changed_is_refused
    a_fold_under_way_does_not_keep_a_store_from_closing
    one_rotten_copy_of_meta_or_sums_costs_nothing
    a_segment_that_does_not_fit_is_damage
    impossible_numbers_are_refused_and_harmless
    a_base_ahead_of_a_lost_log_is_reported
    a_read_that_is_wrong_once_is_no_damage
    a_free_block_is_given_out_once
    what_a_transaction_cut_off_itself_is_zeros
    a_new_store_is_there_once_it_is_open
    a_store_copied_without_its_spare_recovers
    what_a_late_cut_leaves_of_the_base_is_zeros_for_plain_sqlite
}

/// A store that has gone through `word`.
fn after(word: &str) -> Checked<Run> {
    let mut run = Run::start(SimDisk::new(4))?;
    for letter in parse(word) {
        run.step(letter)?.map_err(|error| unexpected(&error))?;
    }
    Ok(run)
}

fn step(run: &mut Run, word: &str) -> Checked<()> {
    parse(word).into_iter().try_for_each(|letter| run.step(letter)?.map_err(|error| unexpected(&error)))
}

/// What must be found now.
fn expected(history: &History) -> Expected<'_> {
    let (least, most) = history.bounds_at(u64::MAX);
    Expected { commits: &history.commits, least, most }
}

/// The medium when everything unsynced is lost.
fn worst(run: &Run) -> DiskState {
    run.disk.state().after(&Cut::default())
}

/// The last segment that holds anything.
fn last_segment(disk: &SimDisk) -> Checked<Area> {
    let segments = disk.state().segments();
    let last = segments.last().ok_or_else(|| Violation::new("test", "the store has no segment"))?;
    Ok(Area::Segment(*last))
}

fn kind_of(image: &DiskState) -> Result<Volume, ErrorKind> {
    Volume::open(SimDisk::from_state(image.clone(), 1), options()).map_err(|error| error.kind())
}

fn is_payload(content: &datasync::backend::sim::Content, block: u64) -> bool {
    let bytes = bytes_of(content);
    let stamp = u64::from_le_bytes(*bytes.first_chunk().expect("a page has 8 bytes"));
    stamp != 0 && stamp < 1 << 20 && *bytes == fill(block, stamp)
}

/// Refusing a call must not be able to hide behind one that never came.
#[test]
fn a_fault_that_never_strikes_is_noticed() {
    let run = after("d0").expect("a healthy store");
    let fault = Fault::Refuse {
        call: Call::Write,
        nth: 1000,
        kind: ErrorKind::Io,
        lasting: true,
        leaves: Leaves::Nothing,
    };
    run.disk.inject(fault);
    assert_eq!(run.disk.faults().unfired(), [fault]);
    let state: State = reads(read_state(&snapshot(run.volume.as_ref().unwrap()).unwrap()).unwrap()).unwrap();
    assert_eq!(state, run.history.newest().state);
    assert!(recovered(run.volume.as_ref().unwrap(), &expected(&run.history)).is_ok());
    assert!(run.disk.segments().is_ok());
}
