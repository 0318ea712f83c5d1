//! The names of the suites' promises, once for natively and once for a browser's worker.
//!
//! Each list calls the macro it is given with a module and the names of its functions.

/// What every backend does with an op.
macro_rules! every_backend {
    ($run:ident) => {
        $run! { ops:
            bytes_written_are_read_back,
            bytes_survive_closing_and_opening,
            read_at_the_end_is_short,
            absent_area_is_not_found,
            write_past_the_end_leaves_zeros_between,
            reserve_grows_with_zeros_and_keeps_what_is_there,
            resize_to_whole_blocks_cuts_for_good,
            create_keeps_what_is_there,
            removing_what_is_absent_is_fine,
            removed_segment_is_gone_and_its_number_starts_empty,
            segments_are_listed_in_order,
            barriers_succeed_after_every_kind_of_change,
            many_segments_are_all_kept_right,
        }
    };
}

/// Calls that the store never makes; the simulated disk stops the test at most of them.
macro_rules! every_real_backend {
    ($run:ident) => {
        $run! { ops:
            reserve_never_shrinks,
            resize_cuts_and_grows_with_zeros,
            broken_ops_are_misuse_and_change_nothing,
        }
    };
}

/// What a volume promises on every backend.
macro_rules! every_volume {
    ($run:ident) => {
        $run! { volume:
            commits_are_read_back_while_open_and_after_closing,
            acknowledged_commits_survive_a_crash,
            close_leaves_base_with_exactly_the_bytes,
            snapshot_sees_the_same_bytes_until_dropped,
            trimmed_blocks_read_as_zeros_for_good,
            abandoned_batch_leaves_nothing,
            second_writer_waits_its_turn,
            one_barrier_serves_every_commit_before_it,
            several_blocks_are_written_and_read_in_the_order_they_are_named,
            a_commit_of_nothing_names_the_one_before,
            compaction_gives_the_space_back,
            write_far_behind_the_end_is_refused,
        }
    };
}

/// What a volume says of a store that is not as it was left.
macro_rules! every_damaged_volume {
    ($run:ident) => {
        $run! { damage:
            deleted_segment_is_named,
            emptied_segment_is_named,
            rot_in_the_middle_of_the_log_is_named,
            deleted_meta_is_no_new_store,
            damaged_meta_is_no_new_store,
            one_damaged_copy_of_meta_does_no_harm,
            newer_format_asks_for_an_upgrade,
            base_edited_by_another_program_is_noticed,
            base_cut_short_is_noticed,
            deleted_base_is_noticed,
            deleted_sums_are_noticed,
            damaged_store_is_still_read_up_to_the_damage,
            for_reading_only_what_something_proves_is_called_durable,
        }
    };
}
