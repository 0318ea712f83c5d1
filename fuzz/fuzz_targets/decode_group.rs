//! `cargo +nightly fuzz run decode_group`: see `datasync_fuzz::targets`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Err(violation) = datasync_fuzz::targets::decode_group(data) {
        panic!("{violation}");
    }
});
