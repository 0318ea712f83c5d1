//! The behaviour suite of the native backends in a browser's dedicated worker.
//!
//! The very same functions as `tests/backends/`, over media that only a browser has. They are blocking and a
//! browser opens files asynchronously: the suite runs on a stack that can be suspended (JSPI), so that
//! `Medium::open` is as blocking there as it is natively. The store itself never suspends in these tests.

#![expect(deprecated, reason = "suspending stacks are still called experimental in wasm-bindgen")]

#[macro_use]
#[path = "../../../backends/lists.rs"]
mod lists;
#[path = "../../../backends/damage.rs"]
mod damage;
#[path = "../../../backends/medium.rs"]
mod medium;
#[expect(dead_code, reason = "a worker has one thread: what takes several runs natively only")]
#[path = "../../../backends/ops.rs"]
mod ops;
#[expect(dead_code, reason = "a worker has one thread: what takes several runs natively only")]
#[path = "../../../backends/volume.rs"]
mod volume;

mod indexeddb;
mod opfs;
mod place;
mod trouble;
mod wait;

use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

type Test = (&'static str, &'static str, fn());

/// Adds the functions of a module, for one medium.
macro_rules! run_on_opfs {
    ($module:ident: $($name:ident,)*) => {
        &[$(("opfs", stringify!($name), $module::$name::<opfs::InOpfs> as fn()),)*] as &[Test]
    };
}

/// The same functions in memory: what fails there is not the browser's doing.
macro_rules! run_in_memory {
    ($module:ident: $($name:ident,)*) => {
        &[$(("memory", stringify!($name), $module::$name::<medium::InMemory> as fn()),)*] as &[Test]
    };
}

/// The same functions in IndexedDB, read on demand.
macro_rules! run_on_indexeddb {
    ($module:ident: $($name:ident,)*) => {
        &[$(("indexeddb", stringify!($name), $module::$name::<indexeddb::InIndexedDb<false>> as fn()),)*]
            as &[Test]
    };
}

/// The same functions in IndexedDB, held in memory.
macro_rules! run_on_resident {
    ($module:ident: $($name:ident,)*) => {
        &[$(("resident", stringify!($name), $module::$name::<indexeddb::InIndexedDb<true>> as fn()),)*]
            as &[Test]
    };
}

/// What only IndexedDB has.
macro_rules! run_in_trouble {
    ($module:ident: $($name:ident,)*) => {
        &[$(("indexeddb", stringify!($name), $module::$name as fn()),)*] as &[Test]
    };
}

/// What only OPFS has.
macro_rules! run_alone {
    ($module:ident: $($name:ident,)*) => {
        &[$(("opfs", stringify!($name), $module::$name as fn()),)*] as &[Test]
    };
}

fn tests() -> impl Iterator<Item = &'static Test> {
    let lists: [&'static [Test]; 18] = [
        every_backend!(run_in_memory),
        every_real_backend!(run_in_memory),
        every_volume!(run_in_memory),
        every_damaged_volume!(run_in_memory),
        every_backend!(run_on_opfs),
        every_real_backend!(run_on_opfs),
        every_volume!(run_on_opfs),
        every_damaged_volume!(run_on_opfs),
        place_tests(),
        every_backend!(run_on_indexeddb),
        every_real_backend!(run_on_indexeddb),
        every_volume!(run_on_indexeddb),
        every_damaged_volume!(run_on_indexeddb),
        every_backend!(run_on_resident),
        every_real_backend!(run_on_resident),
        every_volume!(run_on_resident),
        every_damaged_volume!(run_on_resident),
        trouble_tests(),
    ];
    lists.into_iter().flatten()
}

fn place_tests() -> &'static [Test] {
    run_alone! { place:
        second_open_is_busy_and_says_what_to_do,
        handles_given_back_late_are_waited_for,
        impossible_names_are_misuse,
        opening_what_is_not_there_is_not_found,
        databases_are_listed_and_deleted,
        open_database_is_not_deleted,
        store_is_exported_and_imported_byte_for_byte,
        import_into_an_existing_database_is_refused,
        import_without_meta_is_refused_and_leaves_nothing,
        other_files_without_meta_are_no_new_store,
        reading_only_changes_nothing_and_refuses_writes,
        removed_segments_leave_the_directory,
        commits_go_on_while_no_file_is_ready,
        keeper_of_a_dropped_store_has_nothing_to_do,
        files_that_the_browser_cleared_are_lost_and_said_to_be,
        released_store_opens_again,
    }
}

fn trouble_tests() -> &'static [Test] {
    run_in_trouble! { trouble:
        second_open_takes_over_and_the_first_is_fenced,
        unflushed_commits_of_a_dropped_store_are_lost_as_a_whole,
        no_quota_is_full_and_nothing_of_it_is_there,
        one_failed_request_takes_its_whole_transaction_along,
        aborted_transaction_is_tried_once_more,
        dead_connection_is_replaced_and_what_was_queued_is_given_again,
        connection_that_stays_dead_ends_every_promise,
        read_on_a_dead_connection_connects_anew,
        read_that_is_never_answered_connects_anew_and_then_says_so,
        opening_that_is_never_answered_says_so_and_holds_nothing,
        what_a_deposed_owner_reads_is_fenced_once_it_has_looked,
        vanished_database_is_lost_until_it_is_destroyed,
        database_deleted_by_another_tab_keeps_what_was_queued_and_is_fenced,
        database_too_large_for_memory_is_refused_with_the_limit,
        impossible_names_are_misuse_and_absent_ones_are_not_found,
        databases_are_listed_and_destroyed,
        store_is_exported_and_imported_byte_for_byte,
        import_without_meta_is_refused_and_leaves_nothing,
        import_that_was_deposed_removes_nothing,
        no_value_has_64_kib,
        database_of_the_first_layout_is_read_and_goes_on,
    }
}

/// The names of the tests, as `medium::name`.
#[wasm_bindgen]
pub fn names() -> Vec<String> {
    tests().map(|(medium, name, _)| format!("{medium}::{name}")).collect()
}

/// Runs one test. A panic ends this instance of the module; its words are in `globalThis.panic`.
///
/// # Errors
/// The name is none of [`names`].
#[wasm_bindgen(jspi)]
pub fn run(wanted: &str) -> Result<(), JsValue> {
    std::panic::set_hook(Box::new(|panic| {
        // Nobody could be told of a failure here.
        let _ = js_sys::Reflect::set(&js_sys::global(), &"panic".into(), &panic.to_string().into());
    }));
    let found = tests().find(|(medium, name, _)| wanted == format!("{medium}::{name}"));
    let (_, _, test) = found.ok_or_else(|| JsValue::from(format!("there is no test {wanted}")))?;
    test();
    Ok(())
}
