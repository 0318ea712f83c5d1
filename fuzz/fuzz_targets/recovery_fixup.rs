//! `cargo +nightly fuzz run recovery_fixup`: see `datasync_fuzz::targets`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Err(violation) = datasync_fuzz::targets::recovery_fixup(data) {
        panic!("{violation}");
    }
});
