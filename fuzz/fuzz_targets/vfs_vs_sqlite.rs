//! `cargo +nightly fuzz run vfs_vs_sqlite`: see `datasync_fuzz::sql`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Err(violation) = datasync_fuzz::sql::vfs_vs_sqlite(data) {
        panic!("{violation}");
    }
});
