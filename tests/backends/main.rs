//! One behaviour suite for every backend, then what only files have: locks, permissions, full disks.
//!
//! `ops` and its like hold functions over a [`medium::Medium`]; this file runs each of them on every medium.

mod child;
mod directory;
mod full;
mod locks;
mod medium;
mod ops;
mod syscalls;

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

mod every_backend {
    on_every_medium! { ops:
        bytes_written_are_read_back,
        bytes_survive_closing_and_opening,
        read_at_the_end_is_short,
        absent_area_is_not_found,
        write_past_the_end_leaves_zeros_between,
        reserve_grows_with_zeros_and_keeps_what_is_there,
        reserve_never_shrinks,
        resize_cuts_and_grows_with_zeros,
        create_keeps_what_is_there,
        removing_what_is_absent_is_fine,
        removed_segment_is_gone_and_its_number_starts_empty,
        segments_are_listed_in_order,
        barriers_succeed_after_every_kind_of_change,
        many_segments_are_all_kept_right,
        threads_on_different_areas_do_not_disturb_each_other,
        broken_ops_are_misuse_and_change_nothing,
    }
}
