//! One behaviour suite for every backend, then what only files have: locks, permissions, full disks.
//!
//! `ops` and its like hold functions over a [`medium::Medium`]; this file runs each of them on every medium.

mod child;
mod crowded;
mod damage;
mod directory;
mod full;
mod handles;
mod locks;
mod medium;
mod ops;
mod syscalls;
mod volume;

/// Runs each function of a module for every medium, as tests `memory::name` and `file::name`.
macro_rules! on_every_medium {
    ($module:ident: $($name:ident,)*) => {
        mod memory {
            $(#[test] fn $name() { crate::$module::$name::<crate::medium::InMemory>(); })*
        }
        mod file {
            $(#[test] fn $name() { crate::$module::$name::<crate::medium::InFiles>(); })*
        }
    };
}

/// The same, and for the simulated disk, as tests `sim::name`.
macro_rules! on_every_medium_and_sim {
    ($module:ident: $($name:ident,)*) => {
        on_every_medium! { $module: $($name,)* }
        #[cfg(feature = "sim")]
        mod sim {
            $(#[test] fn $name() { crate::$module::$name::<crate::medium::InSim>(); })*
        }
    };
}

mod every_backend {
    on_every_medium_and_sim! { ops:
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
        threads_on_different_areas_do_not_disturb_each_other,
    }
}

/// Calls that the store never makes; the simulated disk stops the test at most of them.
mod every_real_backend {
    on_every_medium! { ops:
        reserve_never_shrinks,
        resize_cuts_and_grows_with_zeros,
        broken_ops_are_misuse_and_change_nothing,
    }
}

mod every_volume {
    on_every_medium_and_sim! { volume:
        commits_are_read_back_while_open_and_after_closing,
        acknowledged_commits_survive_a_crash,
        close_leaves_base_with_exactly_the_bytes,
        snapshot_sees_the_same_bytes_until_dropped,
        trimmed_blocks_read_as_zeros_for_good,
        abandoned_batch_leaves_nothing,
        second_writer_waits_its_turn,
        compaction_gives_the_space_back,
        write_far_behind_the_end_is_refused,
        concurrent_writers_lose_nothing,
    }
}

mod every_damaged_volume {
    on_every_medium! { damage:
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
    }
}
